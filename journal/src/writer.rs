//! The thread that writes. It takes what has queued up, writes it run by run with one sync each, and only then acknowledges: the longer a
//! sync takes, the more appends share the next one. There is one thread, and sled's own beside it, so a sync costs no more hand-overs than needed.
//!
//! A disk that hangs cannot be interrupted. Whoever waits for it gives up after [`DISK_TIME_MAX`], with an error that promises nothing either
//! way, and the run takes nothing more; the thread is left behind, with the run's lock, until the disk answers or the process ends.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use wf_engine::journal::JournalError;
use wf_engine::model::ids::RunId;
use wf_engine::model::record::{Epoch, Sealed};

use crate::run::{OpenRun, check_contiguous};

/// How many appends wait at most; who comes later waits for a place.
const QUEUE_LEN_MAX: usize = 1024;

/// How long the disk may take for an append. Slow ones take seconds; this one does not answer.
pub const DISK_TIME_MAX: Duration = Duration::from_secs(60);

/// Where the outcome of an append goes.
type Done = oneshot::Sender<Result<(), JournalError>>;

/// An append on its way.
pub(crate) struct Append {
    pub(crate) run: Arc<OpenRun>,
    pub(crate) epoch: Epoch,
    pub(crate) expected_seq: u64,
    pub(crate) records: Vec<Sealed>,
    pub(crate) done: Done,
}

/// The writer thread and the way to it. Dropping it lets the thread finish what is queued, and waits for that.
#[derive(Debug)]
pub(crate) struct Writer {
    queue: Option<mpsc::Sender<Append>>,
    thread: Option<JoinHandle<()>>,
    syncs: Arc<AtomicU64>,
    /// The thread waits for a disk that does not answer.
    hangs: AtomicBool,
    patience: Duration,
}

/// Nobody can tell whether the disk has it, or will have it.
#[derive(Debug, thiserror::Error)]
#[error("the disk has not answered for {} s: what was to be recorded may be there or not", .0.as_secs())]
pub struct DiskHangs(pub Duration);

impl Writer {
    pub(crate) fn start(patience: Duration) -> io::Result<Self> {
        let (queue, mut appends) = mpsc::channel(QUEUE_LEN_MAX);
        let syncs = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&syncs);
        let thread = std::thread::Builder::new().name("wf-journal".to_owned()).spawn(move || {
            while let Some(first) = appends.blocking_recv() {
                let mut queued = vec![first];
                while queued.len() < QUEUE_LEN_MAX {
                    let Ok(append) = appends.try_recv() else {
                        break;
                    };
                    queued.push(append);
                }
                by_run(queued).into_iter().for_each(|group| commit(group, &count));
            }
        })?;
        Ok(Self { queue: Some(queue), thread: Some(thread), syncs, hangs: AtomicBool::new(false), patience })
    }

    /// Returns how many times the thread has waited for the disk.
    pub(crate) fn syncs(&self) -> &AtomicU64 {
        &self.syncs
    }

    /// Hands records to the thread and waits until they are durable.
    pub(crate) async fn append(
        &self,
        run: Arc<OpenRun>,
        epoch: Epoch,
        expected_seq: u64,
        records: Vec<Sealed>,
    ) -> Result<(), JournalError> {
        let id = run.id().clone();
        let (done, acknowledged) = oneshot::channel();
        let gone = || JournalError::Poisoned { run: id.clone() };
        let queue = self.queue.as_ref().ok_or_else(gone)?;
        let append = Append { run: Arc::clone(&run), epoch, expected_seq, records, done };
        let answered = tokio::time::timeout(self.patience, async {
            queue.send(append).await.map_err(|_| gone())?;
            acknowledged.await.map_err(|_| gone())?
        });
        answered.await.unwrap_or_else(|_| {
            run.poison();
            self.hangs.store(true, Ordering::Relaxed);
            Err(JournalError::Storage { run: id.clone(), doing: "written", source: Box::new(DiskHangs(self.patience)) })
        })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take().filter(|_| !self.hangs.load(Ordering::Relaxed)) {
            // A writer that panicked has acknowledged nothing since.
            let _ = thread.join();
        }
    }
}

/// Sorts appends by run, each run's in the order in which they came.
fn by_run(queued: Vec<Append>) -> Vec<Vec<Append>> {
    let mut groups: Vec<Vec<Append>> = Vec::new();
    let mut places = std::collections::HashMap::new();
    for append in queued {
        let place = *places.entry(Arc::as_ptr(&append.run)).or_insert(groups.len());
        if place == groups.len() {
            groups.push(Vec::new());
        }
        groups[place].push(append);
    }
    groups
}

/// Writes the appends of one run as one entry, with one sync, and tells everybody.
fn commit(group: Vec<Append>, syncs: &AtomicU64) {
    let outcomes = write(group, syncs);
    // Only now, with the run out of this thread's hands: whoever is told may release it at once, which is to find it free.
    for (done, outcome) in outcomes {
        // Nobody waits any more when the caller was cancelled; the records are as durable as they are.
        let _ = done.send(outcome);
    }
}

fn write(group: Vec<Append>, syncs: &AtomicU64) -> Vec<(Done, Result<(), JournalError>)> {
    let Some(run) = group.first().map(|append| Arc::clone(&append.run)) else {
        return Vec::new();
    };
    let mut outcomes = Vec::with_capacity(group.len());
    let mut accepted = Vec::new();
    let mut records = Vec::new();
    for mut append in group {
        match check(&run, &append, records.len() as u64) {
            Err(refused) => outcomes.push((append.done, Err(refused))),
            Ok(()) => {
                records.append(&mut append.records);
                accepted.push(append.done);
            }
        }
    }
    let mut failure = if records.is_empty() { None } else { Some(run.append(&records, syncs)).and_then(Result::err) };
    let failed = failure.is_some();
    outcomes.extend(accepted.into_iter().map(|done| {
        let outcome = failure.take().map_or_else(
            || {
                if failed { Err(JournalError::Poisoned { run: run.id().clone() }) } else { Ok(()) }
            },
            Err,
        );
        (done, outcome)
    }));
    outcomes
}

/// Checks that the append comes from the owner and goes where the journal ends, `ahead` records from where it is now.
fn check(run: &OpenRun, append: &Append, ahead: u64) -> Result<(), JournalError> {
    let id = || -> RunId { run.id().clone() };
    let state = run.state();
    let found = state.next_seq + ahead;
    if state.poisoned {
        return Err(JournalError::Poisoned { run: id() });
    }
    if append.epoch != state.epoch || append.expected_seq != found {
        return Err(JournalError::Fenced { run: id(), expected: append.expected_seq, epoch: append.epoch, found, owner: state.epoch });
    }
    check_contiguous(run.id(), append.expected_seq, &append.records)
}

#[cfg(test)]
mod tests {
    use wf_engine::model::event::Event;
    use wf_engine::model::record::Chain;

    use super::*;
    use crate::layout::Layout;

    #[tokio::test]
    async fn nobody_waits_for_a_disk_that_does_not_answer_and_the_run_takes_nothing_more() {
        let dir = tempfile::tempdir().expect("a directory");
        let id = RunId::new(1, 1);
        let (run, _) = OpenRun::open(&Layout::new(dir.path()), &id, true).expect("a new run");
        let run = Arc::new(run);
        let mut chain = Chain::default();
        let mut next = || chain.extend(jiff::Timestamp::UNIX_EPOCH, 1, Event::RunPaused { reason: String::new() }).expect("small").1;
        let (queue, _never_taken) = mpsc::channel(1);
        let patience = Duration::from_millis(1);
        let writer = Writer { queue: Some(queue), thread: None, syncs: Arc::default(), hangs: AtomicBool::new(false), patience };
        let late = writer.append(Arc::clone(&run), 1, 0, vec![next()]).await.expect_err("nobody waited");
        assert!(late.to_string().contains("could not be written"), "{late}");
        drop(writer);
        let writer = Writer::start(DISK_TIME_MAX).expect("a thread");
        let refused = writer.append(run, 1, 1, vec![next()]).await;
        assert!(matches!(refused, Err(JournalError::Poisoned { .. })), "{refused:?}");
    }
}
