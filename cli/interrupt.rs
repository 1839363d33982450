//! Ctrl-C and its kin: once leaves the run at a safe point, twice leaves at once.

use std::io::Write as _;

use tokio::signal::unix::{Signal, SignalKind, signal};
use wf_engine::model::ids::RunId;
use wf_engine::runtime::{Control, Controller};

use crate::diagnostics::Exit;
use crate::failure::Failure;
use crate::render::live::Suspend;

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

/// Turns the first signal into an order to leave, and the second into leaving at once.
pub async fn obey(mut signals: Signals, run: RunId, controller: Controller, suspend: Suspend) {
    let reason = signals.next().await;
    // That it leaves, and that once more leaves at once, is said by the display.
    suspend.run(|out| drop(writeln!(out, "to carry on later: wf resume {run}")));
    let interrupt = controller.send(Control::Interrupt { reason: reason.to_owned() });
    tokio::select! {
        _ = interrupt => {}
        _ = signals.next() => leave_at_once(&run),
    }
    signals.next().await;
    leave_at_once(&run);
}

/// What is on record is durable, so there is nothing to save: a resume looks at the world again.
fn leave_at_once(run: &RunId) {
    // The display has no time to finish.
    let _ = writeln!(std::io::stderr(), "\nleft at once. What was under way is looked at again by: wf resume {run}");
    std::process::exit(i32::from(Exit::Interrupted as u8));
}
