//! [`LiveReporter`]: shows a run while it happens. On a terminal what is over scrolls by above a block of what is under way; elsewhere
//! there is a line per event.
//!
//! The dispatcher must never wait for a terminal (an operator who presses Ctrl-S would stop the failover), so a thread of its own
//! writes. What finds no room while it is stuck is counted and lost; the journal has it all.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use wf_engine::clock::{Clock, between};
use wf_engine::model::event::Event;
use wf_engine::model::ids::StepId;
use wf_engine::model::record::Record;
use wf_engine::model::run_state::RunState;
use wf_engine::report::{Notice, Reporter};

use super::board::Board;
use super::lines::{line, progress_line, run_line};
use super::screen::Screen;
use super::usual::Usual;
use super::{Look, harmless};

/// How often the block is drawn anew while nothing happens: elapsed times tick.
const TICK: Duration = Duration::from_millis(200);
/// How often a writer without a block wakes up for nothing.
const IDLE_TICK: Duration = Duration::from_secs(3600);
/// The least time between two drawings.
const PAUSE: Duration = Duration::from_millis(40);
/// How much of the run's time lies between two lines about what one step waits for, where there is no block.
const PROGRESS_PAUSE: Duration = Duration::from_secs(30);
/// How long the end of a run waits for a terminal that takes nothing: the run is to be given back, whoever reads.
const FAREWELL_MAX: Duration = Duration::from_secs(2);
/// The most bytes that wait to be written.
const PENDING_MAX: usize = 4 * 1024 * 1024;
/// The height of a terminal that does not tell.
const HEIGHT_DEFAULT: usize = 24;

/// Shows a run while it happens. When it is dropped everything is written, or its terminal is stuck: then the writer goes on beside.
pub struct LiveReporter {
    look: Look,
    clock: Arc<dyn Clock>,
    shared: Arc<Shared>,
    told: BTreeMap<StepId, (String, Timestamp)>,
}

/// Prints beside a [`LiveReporter`] without tearing its display.
#[derive(Clone)]
pub struct Suspend {
    shared: Arc<Shared>,
}

struct Shared {
    desk: Mutex<Desk>,
    news: Condvar,
    done: Condvar,
}

/// What waits to be shown.
#[derive(Default)]
struct Desk {
    /// Whether colours are wanted; nothing else that steers a terminal passes.
    color: bool,
    /// Whether there is a block below what scrolls by.
    block: bool,
    above: String,
    lost: usize,
    board: Board,
    prompt: String,
    entered: usize,
    closed: bool,
    /// Whether the writer is still there.
    writing: bool,
    /// The output, once the writer is done with it.
    out: Option<Box<dyn Write + Send>>,
}

impl Shared {
    /// Changes what is to be shown, and tells the writer.
    fn change<T>(&self, change: impl FnOnce(&mut Desk) -> T) -> T {
        let changed = change(&mut self.lock());
        self.news.notify_one();
        changed
    }

    fn lock(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Desk {
    fn print(&mut self, text: &str) {
        let text = &*harmless(text, self.color);
        if self.above.len() + text.len() > PENDING_MAX {
            self.lost += 1;
            return;
        }
        self.above.push_str(text);
        if !text.ends_with('\n') {
            self.above.push('\n');
        }
    }

    /// Writes what waits, if the writer is gone.
    fn write_on(&mut self) {
        if let Some(mut out) = self.out.take() {
            let _ = out.write_all(self.take_above().as_bytes());
            let _ = out.flush();
            self.out = Some(out);
        }
    }

    fn take_above(&mut self) -> String {
        let mut above = std::mem::take(&mut self.above);
        if self.lost > 0 {
            above.push_str(&format!("… {} lines were not shown: the terminal did not take them in time; `wf log` has them\n", self.lost));
            self.lost = 0;
        }
        above
    }
}

impl LiveReporter {
    /// Shows a run on `out`, which is a terminal if `look` says so. `clock` is the run's.
    pub fn new(look: Look, out: Box<dyn Write + Send>, clock: Arc<dyn Clock>) -> Self {
        let shared = Arc::new(Shared {
            desk: Mutex::new(Desk { color: look.color, block: look.tty, ..Desk::default() }),
            news: Condvar::new(),
            done: Condvar::new(),
        });
        let writer = Writer { look, clock: Arc::clone(&clock), shared: Arc::clone(&shared), screen: Screen::new(out) };
        shared.lock().writing = true;
        let gone = Gone(Arc::clone(&shared));
        let spawned = std::thread::Builder::new().name("display".to_owned()).spawn(move || {
            let _gone = gone;
            writer.run();
        });
        if let Err(error) = spawned {
            tracing::warn!(%error, "the run is not shown: no thread for the display");
        }
        Self { look, clock, shared, told: BTreeMap::new() }
    }

    /// Returns a way to print without tearing the display.
    pub fn suspend_handle(&self) -> Suspend {
        Suspend { shared: Arc::clone(&self.shared) }
    }

    /// Returns how lines are to look now: a terminal may have another width than at the start.
    fn look(&self) -> Look {
        let width = size().filter(|_| self.look.tty).map_or(self.look.width, |(width, _)| width);
        Look { width, ..self.look }
    }

    /// Takes in what happened before anybody looked, without a line about it.
    pub fn catch_up(&mut self, records: &[Record], state: &RunState) {
        if self.look.tty {
            self.shared.change(|desk| desk.board.catch_up(records, state));
        }
    }

    /// Tells whether a step's words are to be shown as a line: they are new, and the last ones are some time ago.
    fn is_news(&mut self, step: &StepId, text: &str, now: Timestamp) -> bool {
        let told = self.told.get(step);
        let news = told.is_none_or(|(last, at)| last != text && between(*at, now) >= PROGRESS_PAUSE);
        if news {
            self.told.insert(step.clone(), (text.to_owned(), now));
        }
        news
    }
}

impl Reporter for LiveReporter {
    fn recorded(&mut self, record: &Record, state: &RunState) {
        let line = if shown(&record.event, self.look.tty) { line(record, state, &self.look()) } else { None };
        if self.look.tty {
            self.shared.change(|desk| {
                desk.board.recorded(record, state);
                line.iter().for_each(|line| desk.print(line));
            });
        } else if let Some(line) = line {
            self.shared.change(|desk| desk.print(&line));
        }
    }

    fn notice(&mut self, notice: &Notice, state: &RunState) {
        let now = self.clock.now();
        match notice {
            Notice::Progress { step, text } if self.look.tty => self.shared.lock().board.progress(step, text, state),
            Notice::Progress { step, text } => {
                if self.is_news(step, text, now) {
                    self.shared.change(|desk| desk.print(&progress_line(now, step, text, &self.look())));
                }
            }
            Notice::SlowDisk { waited } => {
                let text =
                    format!("the disk of the journal has not answered for {} s: nothing more is started until it does", waited.as_secs());
                self.shared.change(|desk| desk.print(&run_line(now, &text, &self.look())));
            }
            Notice::Leaving { reason } => {
                let text = format!("{reason}: starts nothing more, waits for calls that are under way; once more leaves at once");
                let line = run_line(now, &text, &self.look());
                self.shared.change(|desk| {
                    desk.board.leaves();
                    desk.print(&line);
                });
            }
        }
    }
}

impl Drop for LiveReporter {
    fn drop(&mut self) {
        self.shared.change(|desk| desk.closed = true);
        let desk = self.shared.lock();
        // A display that is stuck or failed is no reason to fail.
        drop(self.shared.done.wait_timeout_while(desk, FAREWELL_MAX, |desk| desk.writing).unwrap_or_else(PoisonError::into_inner));
    }
}

/// Tells that the writer is gone, however it went.
struct Gone(Arc<Shared>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.lock().writing = false;
        self.0.done.notify_all();
    }
}

impl Suspend {
    /// Prints what `print` writes, in whole lines, above whatever is drawn anew. While the run is shown it never waits for the terminal.
    pub fn run<T>(&self, print: impl FnOnce(&mut dyn Write) -> T) -> T {
        let mut text = Vec::new();
        let result = print(&mut text);
        self.shared.change(|desk| {
            desk.print(&String::from_utf8_lossy(&text));
            desk.write_on();
        });
        result
    }

    /// Waits until all is shown, for as long as the terminal takes. Only for a process that holds nothing any more and that a signal ends.
    pub fn finish(&self) {
        let desk = self.shared.lock();
        drop(self.shared.done.wait_while(desk, |desk| desk.closed && desk.writing).unwrap_or_else(PoisonError::into_inner));
    }

    /// Takes in how long the steps usually take.
    pub fn usual(&self, usual: Usual) {
        self.shared.change(|desk| desk.board.usual(usual));
    }

    /// Shows a question below everything, with the cursor behind it; an empty one takes it away. What is typed there stays visible
    /// until something scrolls by.
    pub fn prompt(&self, question: &str) {
        let question = super::clean(question).into_owned();
        self.shared.change(|desk| {
            // Without a block below everything it is a line like others.
            if !desk.block && !question.is_empty() {
                desk.print(&question);
            }
            desk.prompt = question;
        });
    }

    /// Takes note that the operator ended a line, which moved the cursor.
    pub fn entered(&self) {
        self.shared.change(|desk| desk.entered += 1);
    }
}

/// The thread that writes.
struct Writer {
    look: Look,
    clock: Arc<dyn Clock>,
    shared: Arc<Shared>,
    screen: Screen,
}

impl Writer {
    fn run(mut self) {
        loop {
            let desk = self.shared.lock();
            // Without a block there is nothing to draw anew in time.
            let tick = if self.look.tty { TICK } else { IDLE_TICK };
            let (mut desk, _) = self.shared.news.wait_timeout_while(desk, tick, idle).unwrap_or_else(PoisonError::into_inner);
            let closed = desk.closed;
            let above = desk.take_above();
            let entered = std::mem::take(&mut desk.entered);
            let (width, height) = size().unwrap_or((self.look.width, HEIGHT_DEFAULT));
            let block = if self.look.tty && !closed { self.block(&desk, width, height) } else { Vec::new() };
            drop(desk);
            self.screen.entered(entered);
            self.screen.draw(&above, block, width);
            if closed {
                let mut desk = self.shared.lock();
                desk.out = Some(self.screen.into_out());
                desk.write_on();
                return;
            }
            if self.look.tty {
                std::thread::sleep(PAUSE);
            }
        }
    }

    fn block(&self, desk: &Desk, width: usize, height: usize) -> Vec<String> {
        let look = Look { width, ..self.look };
        let block = desk.board.block(self.clock.now(), &look, height);
        let mut block: Vec<_> = block.iter().map(|line| harmless(line, look.color).into_owned()).collect();
        if !block.is_empty() || !desk.prompt.is_empty() {
            block.push(desk.prompt.clone());
        }
        block
    }
}

fn idle(desk: &mut Desk) -> bool {
    desk.above.is_empty() && !desk.closed
}

/// Asks the terminal for its columns and lines, which may change at any time.
fn size() -> Option<(usize, usize)> {
    let size = terminal_size::terminal_size_of(std::io::stderr()).or_else(|| terminal_size::terminal_size_of(std::io::stdout()));
    let (terminal_size::Width(width), terminal_size::Height(height)) = size?;
    Some((width.into(), height.into()))
}

/// Tells whether an event is shown while it happens: on a terminal rows tell what is under way, elsewhere lines must.
fn shown(event: &Event, tty: bool) -> bool {
    match event {
        Event::WorkflowText { .. } | Event::StepApplied { .. } => false,
        Event::StepStarted { .. } | Event::StepObserved { .. } | Event::CompensationStarted { .. } => !tty,
        Event::RunStarted(_)
        | Event::WorkflowChanged(_)
        | Event::PointOfNoReturnPassed { .. }
        | Event::ApprovalRequested { .. }
        | Event::ApprovalDecided { .. }
        | Event::AttemptFailed { .. }
        | Event::StepSucceeded { .. }
        | Event::StepFailed { .. }
        | Event::StepUnreachable { .. }
        | Event::StepSkipped { .. }
        | Event::StepInterrupted { .. }
        | Event::StepRedone { .. }
        | Event::StepMarkedDone { .. }
        | Event::Ordered { .. }
        | Event::RunPaused { .. }
        | Event::RunInterrupted { .. }
        | Event::RunResumed { .. }
        | Event::RollbackStarted { .. }
        | Event::CompensationAttemptFailed { .. }
        | Event::StepCompensated { .. }
        | Event::CompensationFailed { .. }
        | Event::RunFinished { .. } => true,
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use serde_json::json;
    use wf_engine::clock::Sleep;

    use super::*;
    use crate::render::tale::{LOOK, Paper, Tale, at, id};

    /// A clock that stands where it is put.
    struct Still(Mutex<Timestamp>);

    impl Clock for Still {
        fn now(&self) -> Timestamp {
            *self.0.lock().expect("clock")
        }

        fn sleep(&self, _: Duration) -> Sleep {
            Box::pin(std::future::pending())
        }
    }

    fn still() -> Arc<Still> {
        Arc::new(Still(Mutex::new(at(0.0))))
    }

    fn progress(step: &str, text: &str) -> Notice {
        Notice::Progress { step: id(step), text: text.to_owned() }
    }

    #[test]
    fn without_a_terminal_there_is_a_line_per_event_and_little_progress() {
        let (paper, clock, tale) =
            (Paper::default(), still(), Tale::new().begun(0.0, "fence").succeeded(40.0, "fence", json!({"in_service": 0})));
        let state = tale.replayed().state;
        let mut live = LiveReporter::new(LOOK, Box::new(paper.clone()), Arc::clone(&clock) as Arc<dyn Clock>);
        tale.records[..5].iter().for_each(|record| live.recorded(record, &state));
        for (secs, text) in [
            (1.0, "4/4 in service"),
            (2.0, "3/4 in service"),
            (20.0, "2/4 in service"),
            (32.0, "2/4 in service"),
            (33.0, "1/4 in service"),
            (39.0, "1/4 in service"),
        ] {
            *clock.0.lock().expect("clock") = at(secs);
            live.notice(&progress("fence", text), &state);
        }
        live.suspend_handle().run(|out| write!(out, "a word between")).expect("paper");
        live.recorded(&tale.records[5], &state);
        live.notice(&Notice::SlowDisk { waited: Duration::from_secs(5) }, &state);
        live.notice(&Notice::Leaving { reason: "Ctrl-C".into() }, &state);
        drop(live);
        insta::assert_snapshot!(paper.take(), @r"
        02:59:00  ▶ run                 01HZXW3V9K0000000000000042 started by ops@bastion: failover, unplanned, 6 steps, on the simulated AWS
                                        with dr_region=eu-west-1
        02:59:00  ▶ fence               started
        02:59:00  · fence               about to change; before: desired=2, min=1
        02:59:01  … fence               4/4 in service
        02:59:32  … fence               2/4 in service
        a word between
        02:59:40  ✓ fence               succeeded in 40s: in_service=0
        02:59:39  ! run                 the disk of the journal has not answered for 5 s: nothing more is started until it does
        02:59:39  ! run                 Ctrl-C: starts nothing more, waits for calls that are under way; once more leaves at once
        ");
    }

    #[test]
    fn on_a_terminal_the_block_is_gone_at_the_end_and_what_is_over_stays() {
        let (paper, tale) = (Paper::default(), Tale::completed());
        let state = tale.replayed().state;
        let mut live = LiveReporter::new(Look { tty: true, ..LOOK }, Box::new(paper.clone()), still());
        tale.records.iter().for_each(|record| live.recorded(record, &state));
        let suspend = live.suspend_handle();
        suspend.prompt("yes or no? ");
        drop(live);
        suspend.run(|out| write!(out, "a last word")).expect("paper");
        let text = paper.take();
        let last = text.rsplit("\x1b[J").next().expect("some");
        assert!(text.contains("POINT OF NO RETURN") && text.contains("completed after 8m 20s"), "{text}");
        assert!(!last.contains("RTO") && !last.contains("yes or no") && last.ends_with("a last word\n"), "{last:?}");
    }

    #[test]
    fn a_terminal_that_went_away_does_not_matter() {
        struct Gone;
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
        }
        let tale = Tale::completed();
        let state = tale.replayed().state;
        for tty in [false, true] {
            let mut live = LiveReporter::new(Look { tty, ..LOOK }, Box::new(Gone), still());
            tale.records.iter().for_each(|record| live.recorded(record, &state));
            live.suspend_handle().run(|out| write!(out, "x")).expect("buffered");
        }
    }

    #[test]
    fn a_terminal_that_is_stuck_does_not_hold_the_run_up() {
        let mut desk = Desk::default();
        let line = "x".repeat(1024 * 1024);
        (0..6).for_each(|_| desk.print(&line));
        let text = desk.take_above();
        assert!(text.len() < PENDING_MAX + 200 && text.contains("3 lines were not shown"), "{}", text.len());
    }
}
