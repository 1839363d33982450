//! Tells people who are not at the terminal what happens in a run: a topic, a webhook, or both.
//!
//! ```text
//!   dispatcher ──recorded──► Notifier ──a bounded queue each──► one task per target ──► SNS, the webhook
//!                                                                      │
//!                                                  told.json: up to which record each was told
//! ```
//!
//! A run never waits for it and never fails by it: what finds no room is dropped, each try has a limit, and the end of the run waits for a few
//! seconds at most. What was not told is said on stderr. A process that was killed before it could tell is caught up with by the next one that
//! drives the run, so a message arrives once, or in a rare case twice: its `id` tells.
//!
//! Under `--sim` the topics are simulated ones, and the webhook is really posted to, since that is how one tries it; whatever is said
//! of such a run begins with `SIMULATED`.

mod delivery;
mod message;
mod progress;
mod targets;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use wf_engine::model::ids::RunId;
use wf_engine::model::record::Record;
use wf_engine::model::run_state::RunState;
use wf_engine::model::workflow::Workflow;
use wf_engine::report::{Notice, Reporter};
use wf_journal::Layout;
use wf_steps::aws::Cloud;

use delivery::{Channel, Tally, Worker};
use message::Notification;
use progress::Progress;

use crate::diagnostics::Exit;
use crate::failure::Failure;
use crate::render::live::Suspend;

pub use targets::{Targets, secrets};

/// How many messages wait for one target.
const QUEUE_LEN_MAX: usize = 256;
/// How long the end of a run waits for what is still to be told.
const FAREWELL_MAX: Duration = Duration::from_secs(5);
/// The same for somebody who pressed Ctrl-C.
const FAREWELL_INTERRUPTED_MAX: Duration = Duration::from_secs(2);

/// What is told about, and what it takes.
pub struct About<'a> {
    pub run: &'a RunId,
    pub workflow: &'a Arc<Workflow>,
    /// What earlier owners recorded.
    pub earlier: &'a [Record],
    pub cloud: &'a Cloud,
    pub layout: &'a Layout,
    /// Where it is said what was not told.
    pub suspend: Suspend,
}

/// Puts what happens into the queues. Dropping it ends them.
pub struct Notifier {
    queues: Vec<Queue>,
    suspend: Suspend,
    /// When the last word was queued.
    closed: watch::Sender<Option<Instant>>,
}

struct Queue {
    sender: mpsc::Sender<Arc<Notification>>,
    tally: Arc<Tally>,
}

/// What is on its way.
pub struct Deliveries {
    workers: Vec<(Arc<Tally>, JoinHandle<()>)>,
    run: RunId,
    suspend: Suspend,
    closed: watch::Receiver<Option<Instant>>,
}

impl Targets {
    /// Begins to tell, first of all what an earlier process did not live to tell.
    pub fn begin(self, about: About<'_>) -> (Notifier, Deliveries) {
        let (closed, over) = watch::channel(None);
        let mut notifier = Notifier { queues: Vec::new(), suspend: about.suspend.clone(), closed };
        let mut deliveries = Deliveries { workers: Vec::new(), run: about.run.clone(), suspend: about.suspend.clone(), closed: over };
        let topics = self.topics.into_iter().map(|topic| Channel::Topic { topic, cloud: about.cloud.clone() });
        let channels: Vec<_> = topics.chain(self.webhook.map(Channel::Webhook)).collect();
        if channels.is_empty() {
            return (notifier, deliveries);
        }
        let progress = Arc::new(Progress::read(about.layout, about.run));
        let untold = progress.untold(about.workflow, about.earlier);
        for channel in channels {
            let tally = Arc::new(Tally::new(channel.name()));
            let (sender, queue) = mpsc::channel(QUEUE_LEN_MAX);
            let worker = Worker::new(channel, queue, Arc::clone(&tally), Arc::clone(&progress), about.suspend.clone());
            let late = untold.iter().filter(|notification| progress.lacks(tally.target(), notification.seq));
            let told = Queue { sender, tally: Arc::clone(&tally) };
            late.for_each(|notification| told.put(notification, &about.suspend));
            notifier.queues.push(told);
            deliveries.workers.push((tally, tokio::spawn(worker.work())));
        }
        (notifier, deliveries)
    }
}

impl Reporter for Notifier {
    fn recorded(&mut self, record: &Record, state: &RunState) {
        if self.queues.is_empty() {
            return;
        }
        if let Some(notification) = Notification::of(record, state).map(Arc::new) {
            self.queues.iter().for_each(|queue| queue.put(&notification, &self.suspend));
        }
    }

    fn notice(&mut self, _: &Notice, _: &RunState) {}
}

impl Queue {
    fn put(&self, notification: &Arc<Notification>, suspend: &Suspend) {
        self.tally.queued.fetch_add(1, Ordering::Relaxed);
        if self.sender.try_send(Arc::clone(notification)).is_err() {
            self.tally.lost(notification, &format!("{QUEUE_LEN_MAX} messages wait for it already"), suspend);
        }
    }
}

impl Drop for Notifier {
    fn drop(&mut self) {
        self.closed.send_replace(Some(Instant::now()));
    }
}

impl Deliveries {
    /// Waits until all is told that the run leaves to tell, for a few seconds at most, and says what is not.
    pub async fn finish(self, end: &Result<Exit, Failure>) {
        let patience = if matches!(end, Ok(Exit::Interrupted)) { FAREWELL_INTERRUPTED_MAX } else { FAREWELL_MAX };
        let until = self.closed.borrow().unwrap_or_else(Instant::now) + patience;
        for (tally, mut worker) in self.workers {
            if tokio::time::timeout_at(until, &mut worker).await.is_err() {
                worker.abort();
            }
            if let Some(words) = tally.farewell(&self.run) {
                self.suspend.run(|out| drop(writeln!(out, "warning: {words}")));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use wf_engine::clock::SystemClock;

    use super::*;
    use crate::render::live::LiveReporter;
    use crate::render::tale::{LOOK, Paper, Tale, run};

    #[test]
    fn what_finds_no_room_is_dropped_and_said_once() {
        let (paper, tale) = (Paper::default(), Tale::paused());
        let state = tale.replayed().state;
        let live = LiveReporter::new(LOOK, Box::new(paper.clone()), Arc::new(SystemClock));
        // Nobody takes anything out of the queue.
        let (sender, _queue) = mpsc::channel(1);
        let tally = Arc::new(Tally::new("the webhook".to_owned()));
        let queue = Queue { sender, tally: Arc::clone(&tally) };
        let mut notifier = Notifier { queues: vec![queue], suspend: live.suspend_handle(), closed: watch::Sender::new(None) };
        tale.records.iter().for_each(|record| notifier.recorded(record, &state));
        drop(live);
        let said = paper.take();
        assert_eq!(said.matches("warning: the webhook was not notified (`point-of-no-return`)").count(), 1, "{said}");
        assert_eq!(said.matches("warning").count(), 1, "{said}");
        let farewell = tally.farewell(&run()).expect("words");
        assert!(farewell.starts_with("the webhook was not notified of 4 of 4 events"), "{farewell}");
    }
}
