//! [`Worker`]: tells one target what waits in its queue, one message after the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use wf_engine::model::event::{FailureKind, StepFailure};
use wf_engine::model::ids::RunId;
use wf_steps::aws::{self, Cloud, Message};

use super::message::Notification;
use super::progress::Progress;
use super::targets::{Topic, Webhook};
use crate::render::clean;
use crate::render::live::Suspend;
use crate::words::count;

/// How long one try may take.
const TRY_TIME_MAX: Duration = Duration::from_secs(5);
/// The pauses between tries. A target that was not reached before has one try a message, until it is reached again.
const PAUSES: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(2)];

/// A way to people.
pub enum Channel {
    Topic { topic: Topic, cloud: Cloud },
    Webhook(Webhook),
}

/// Why a message was not taken.
struct Untaken {
    why: String,
    /// Whether the same message may be taken later.
    passes: bool,
}

/// What became of the messages to a target.
pub struct Tally {
    target: String,
    pub queued: AtomicUsize,
    told: AtomicUsize,
    lost: AtomicUsize,
    said: AtomicBool,
}

/// Tells one target.
pub struct Worker {
    channel: Channel,
    queue: mpsc::Receiver<Arc<Notification>>,
    tally: Arc<Tally>,
    progress: Arc<Progress>,
    suspend: Suspend,
    reached: bool,
}

impl Tally {
    pub fn new(target: String) -> Self {
        Self { target, queued: AtomicUsize::new(0), told: AtomicUsize::new(0), lost: AtomicUsize::new(0), said: AtomicBool::new(false) }
    }

    pub fn target(&self) -> &str {
        &self.target
    }

    /// Takes note that a target is not told something. Said when it happens for the first time, traced each time.
    pub fn lost(&self, notification: &Notification, why: &str, suspend: &Suspend) {
        let (target, event) = (&self.target, notification.event);
        tracing::warn!(to = %target, id = %notification.id, %event, why, "not notified");
        self.lost.fetch_add(1, Ordering::Relaxed);
        if !self.said.swap(true, Ordering::Relaxed) {
            suspend.run(|out| drop(writeln!(out, "warning: {target} was not notified (`{event}`): {}; nothing waits for it", clean(why))));
        }
    }

    /// Says at the end what was not told and not said before.
    pub fn farewell(&self, run: &RunId) -> Option<String> {
        let [queued, told, lost] = [&self.queued, &self.told, &self.lost].map(|figure| figure.load(Ordering::Relaxed));
        let (target, left) = (&self.target, queued.saturating_sub(told + lost));
        let untold = lost + left;
        if left == 0 && lost < 2 {
            return None;
        }
        tracing::warn!(to = %target, queued, told, lost, left, "not everything was told");
        let late = if left > 0 { format!(", {left} of them for want of time at the end") } else { String::new() };
        Some(format!("{target} was not notified of {untold} of {}{late}: `wf log {run}` has them all", count(queued, "event")))
    }
}

impl Worker {
    pub fn new(
        channel: Channel,
        queue: mpsc::Receiver<Arc<Notification>>,
        tally: Arc<Tally>,
        progress: Arc<Progress>,
        suspend: Suspend,
    ) -> Self {
        Self { channel, queue, tally, progress, suspend, reached: true }
    }

    /// Tells what comes, until nothing more does.
    pub async fn work(mut self) {
        while let Some(notification) = self.queue.recv().await {
            // From here on somebody else catches up with it, if this process is killed.
            self.keep(notification.seq).await;
            match self.tell(&notification).await {
                Ok(()) => {
                    self.tally.told.fetch_add(1, Ordering::Relaxed);
                }
                Err(Untaken { why, .. }) => self.tally.lost(&notification, &why, &self.suspend),
            }
            self.keep(notification.seq + 1).await;
        }
    }

    /// The disk may hang, and the threads of the run must not.
    async fn keep(&self, from: u64) {
        let (progress, tally) = (Arc::clone(&self.progress), Arc::clone(&self.tally));
        let _ = tokio::task::spawn_blocking(move || progress.keep(&tally.target, from)).await;
    }

    async fn tell(&mut self, notification: &Notification) -> Result<(), Untaken> {
        let pauses = if self.reached { &PAUSES[..] } else { &[] };
        let mut pauses = pauses.iter();
        loop {
            let told = tokio::time::timeout(TRY_TIME_MAX, self.channel.send(notification)).await;
            let told = told.unwrap_or_else(|_| Err(Untaken::passing(format!("no answer within {} s", TRY_TIME_MAX.as_secs()))));
            self.reached = told.is_ok();
            match (told, pauses.next()) {
                (Err(Untaken { passes: true, why }), Some(pause)) => {
                    tracing::debug!(to = %self.tally.target, why, "notifying is tried again");
                    tokio::time::sleep(*pause).await;
                }
                (told, _) => return told,
            }
        }
    }
}

impl Channel {
    /// Names it where people read, and where it is kept how far it was told: never by a webhook's URL.
    pub fn name(&self) -> String {
        match self {
            Self::Topic { topic, .. } => format!("topic {topic}"),
            Self::Webhook(_) => "the webhook".to_owned(),
        }
    }

    async fn send(&self, notification: &Notification) -> Result<(), Untaken> {
        match self {
            Self::Topic { topic, cloud } => publish(cloud, topic, notification).await.map_err(Untaken::from),
            Self::Webhook(webhook) => post(webhook, notification).await,
        }
    }
}

async fn publish(cloud: &Cloud, topic: &Topic, notification: &Notification) -> Result<(), StepFailure> {
    let arn = topic.arn.get_or_try_init(|| cloud.topic_arn(&topic.name, &topic.region)).await?;
    let message = Message {
        subject: notification.subject(),
        text: notification.text(),
        group: notification.run.to_string(),
        token: notification.id.replace('/', "-"),
        attributes: vec![("event", notification.event.to_string()), ("workflow", notification.workflow.clone())],
    };
    cloud.publish(arn, &topic.region, &message).await
}

async fn post(webhook: &Webhook, notification: &Notification) -> Result<(), Untaken> {
    let json = notification.json().map_err(|error| Untaken { why: error.to_string(), passes: false })?;
    let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    let answer = aws::post(webhook.url(), headers, json.into_bytes(), TRY_TIME_MAX).await.map_err(|failure| {
        let untaken = Untaken::from(failure);
        Untaken { why: webhook.masked(&untaken.why), ..untaken }
    })?;
    match answer.status {
        200..300 => Ok(()),
        status @ (408 | 429 | 500..) => Err(Untaken::passing(format!("it answered {status}"))),
        status => Err(Untaken { why: format!("it answered {status}"), passes: false }),
    }
}

impl Untaken {
    fn passing(why: String) -> Self {
        Self { why, passes: true }
    }
}

impl From<StepFailure> for Untaken {
    fn from(failure: StepFailure) -> Self {
        let passes = failure.kind != FailureKind::Permanent;
        let told = [failure.message].into_iter().chain(failure.causes).chain(failure.hint.map(|hint| format!("hint: {hint}")));
        Self { why: told.collect::<Vec<_>>().join("; "), passes }
    }
}
