//! Ctrl-C and its kin: once leaves the run at a safe point, twice leaves at once. Has a thread of its own from the first moment of a run to the
//! end of the process, so that nothing that waits for a terminal can keep a signal from being obeyed.

use std::io::Write as _;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{oneshot, watch};
use wf_engine::model::ids::RunId;
use wf_engine::runtime::{Control, Controller, Order};

use crate::diagnostics::Exit;
use crate::failure::Failure;
use crate::operator;
use crate::render::live::Suspend;

/// How long the last words may take once the run was given back. A terminal that is full takes none.
const FAREWELL_MAX: Duration = Duration::from_secs(3);
/// How long somebody who leaves at once waits for the terminal.
const LAST_WORD_MAX: Duration = Duration::from_millis(500);

/// The signals that ask wf to leave.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    /// Takes the signals over: from here on they no longer end the process by themselves.
    pub fn catch() -> Result<Self, Failure> {
        let catch = |kind| signal(kind).map_err(|source| Failure::System { doing: "waiting for signals", source });
        Ok(Self {
            interrupt: catch(SignalKind::interrupt())?,
            terminate: catch(SignalKind::terminate())?,
            hangup: catch(SignalKind::hangup())?,
        })
    }

    /// Waits for the next one, and returns its name.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "Ctrl-C",
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.hangup.recv() => "SIGHUP",
        }
    }
}

/// How a run ended in this process, for the thread that waits for signals: `None` while it has not.
pub type Over = watch::Sender<Option<Exit>>;

/// Obeys signals until the process ends.
pub fn obey(run: RunId, drill: bool, controller: Controller, suspend: Suspend) -> Result<Over, Failure> {
    let system = |source| Failure::System { doing: "waiting for signals", source };
    let runtime = Builder::new_current_thread().enable_all().build().map_err(system)?;
    let signals = {
        let _inside = runtime.enter();
        Signals::catch()?
    };
    let over = Over::new(None);
    let watcher = Watcher { signals, run, drill, controller, suspend, over: over.subscribe() };
    let work = move || runtime.block_on(watcher.work());
    std::thread::Builder::new().name("signals".to_owned()).spawn(work).map_err(system)?;
    Ok(over)
}

struct Watcher {
    signals: Signals,
    run: RunId,
    /// Whether the run is an exercise, which puts back what it changed before it leaves.
    drill: bool,
    controller: Controller,
    suspend: Suspend,
    over: watch::Receiver<Option<Exit>>,
}

impl Watcher {
    /// Turns the first signal into an order to leave, and the second into leaving at once.
    async fn work(mut self) {
        let mut reason = self.signals.next().await;
        if self.over.borrow().is_some() {
            self.leave_at_once();
        }
        if self.drill && self.clean_up(reason).await {
            reason = self.signals.next().await;
            if self.over.borrow().is_some() {
                self.leave_at_once();
            }
        }
        self.say_how_to_carry_on();
        let interrupt = self.controller.send(Control::Interrupt { reason: reason.to_owned() });
        tokio::select! {
            _ = interrupt => {}
            _ = self.signals.next() => self.leave_at_once(),
        }
        tokio::select! {
            _ = self.signals.next() => {}
            () = enough_said(&mut self.over) => {}
        }
        self.leave_at_once();
    }

    /// Has a drill put back what it changed. Returns whether it does.
    async fn clean_up(&self, reason: &str) -> bool {
        let (reply, answer) = oneshot::channel();
        let order = Order::Cancel { rollback: true, past_point_of_no_return: true };
        let order = Control::Order { order, by: operator::this(), reason: reason.to_owned(), reply };
        if self.controller.send(order).await.is_err() || !matches!(answer.await, Ok(Ok(()))) {
            return false;
        }
        let suspend = self.suspend.clone();
        let words = "the drill ends here, and what it changed is put back; Ctrl-C again leaves that to `wf resume`";
        std::thread::spawn(move || suspend.run(|out| drop(writeln!(out, "{words}"))));
        true
    }

    /// That it leaves, and that once more leaves at once, is said by the display.
    fn say_how_to_carry_on(&self) {
        let (suspend, run) = (self.suspend.clone(), self.run.clone());
        // Beside, as the display may be gone by now, and the terminal full.
        std::thread::spawn(move || suspend.run(|out| drop(writeln!(out, "to carry on later: wf resume {run}"))));
    }

    /// What is on record is durable, so there is nothing to save: a resume looks at the world again.
    fn leave_at_once(&self) -> ! {
        let over = *self.over.borrow();
        if over.is_none() {
            last_word(format!("\nleft at once. What was under way is looked at again by: wf resume {}", self.run));
        }
        std::process::exit(i32::from(over.unwrap_or(Exit::Interrupted) as u8));
    }
}

/// Waits until the run is over, and whoever reads has had time for the last words.
async fn enough_said(over: &mut watch::Receiver<Option<Exit>>) {
    // The sender may go with its process, which needs no help then.
    let _ = over.wait_for(Option::is_some).await;
    tokio::time::sleep(FAREWELL_MAX).await;
}

/// Says something past the display, if the terminal takes it.
fn last_word(text: String) {
    let (said, heard) = channel();
    std::thread::spawn(move || {
        // The display has no time to finish.
        let _ = writeln!(std::io::stderr(), "{text}");
        let _ = said.send(());
    });
    match heard.recv_timeout(LAST_WORD_MAX) {
        Ok(()) | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
    }
}
