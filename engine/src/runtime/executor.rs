//! One attempt of one step, in a task of its own: observe → intent → apply → handle → settle, or a compensation. It talks to the
//! dispatcher, which records; it never touches the journal or the state.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};

use crate::model::event::{Fields, StepFailure};
use crate::model::workflow::StepIx;
use crate::registry::Step;
use crate::step::{Observed, Reversibility, StepContext};

/// How long a mutating call that is under way may still take when the run is leaving or the step's time is up. Its result is
/// worth waiting for: without it the step must be observed again.
const APPLY_GRACE: Duration = Duration::from_secs(30);

/// What an executor tells the dispatcher.
pub(super) enum Report {
    /// The before-image; the executor waits for `go` before it changes anything.
    Observed { before: Value, satisfied: bool, go: Option<oneshot::Sender<()>> },
    /// The mutating call was accepted.
    Applied { handle: Value },
    /// The attempt ended.
    Ended(AttemptEnd),
    /// The compensation ended.
    Undone(Result<(), StepFailure>),
    /// The executor left, at a safe point unless told otherwise.
    Left,
}

/// How an attempt ended.
pub(super) enum AttemptEnd {
    Done(Fields),
    Failed(StepFailure),
    /// The step's time was up. `unknown` says that a mutating call was cut off.
    TimedOut {
        unknown: bool,
        waited_for: &'static str,
    },
}

/// A message with its sender.
pub(super) struct Message {
    pub ix: StepIx,
    /// Tells a message of an executor that was replaced since.
    pub serial: u64,
    pub report: Report,
}

/// What an attempt starts from.
pub(super) struct Attempt {
    pub ix: StepIx,
    pub serial: u64,
    pub step: Arc<dyn Step>,
    pub cx: StepContext<()>,
    /// The before-image of an intent on record, if there is one.
    pub intent: Option<Value>,
    /// The handle on record, if there is one.
    pub handle: Option<Value>,
    /// The latest before-image on record, whatever it led to.
    pub before: Option<Value>,
    /// When its time is up; an operator may change that.
    pub deadline: watch::Receiver<jiff::Timestamp>,
    pub leave: watch::Receiver<bool>,
    pub reports: mpsc::Sender<Message>,
}

/// Why a part of an attempt ended without a result.
enum Cut {
    Left,
    TimeUp,
}

impl Attempt {
    /// Runs the attempt and reports how it ended.
    pub async fn run(mut self) {
        tracing::debug!("begins");
        let end = match self.drive().await {
            Ok(end) => Report::Ended(end),
            Err(Left) => Report::Left,
        };
        end.trace();
        match &end {
            Report::Ended(AttemptEnd::Done(_)) => tracing::debug!("is as desired"),
            Report::Ended(AttemptEnd::Failed(failure)) => tracing::debug!(kind = ?failure.kind, message = failure.message, "failed"),
            Report::Ended(AttemptEnd::TimedOut { waited_for, .. }) => tracing::debug!(waited_for, "timed out"),
            Report::Observed { .. } | Report::Applied { .. } | Report::Undone(_) | Report::Left => tracing::debug!("left"),
        }
        self.report(end).await;
    }

    /// Restores the before-image and reports how it went.
    pub async fn compensate(mut self) {
        let before = self.intent.take().unwrap_or(Value::Null);
        let (step, cx, handle) = (Arc::clone(&self.step), self.cx.clone(), self.handle.clone());
        let report = match self.limited(step.compensate(&cx, &before, handle.as_ref())).await {
            Ok(result) => Report::Undone(result),
            Err(Cut::Left) => Report::Left,
            Err(Cut::TimeUp) => Report::Undone(Err(StepFailure::transient("restoring the before-image did not end in time"))),
        };
        report.trace();
        self.report(report).await;
    }

    async fn drive(&mut self) -> Result<AttemptEnd, Left> {
        let (step, cx) = (Arc::clone(&self.step), self.cx.clone());
        let mut handle = self.handle.clone();
        let mut before = self.intent.clone().or(self.before.clone());
        // A read-only step has nothing to look at twice: what it began with is on record, so it carries on from there.
        let carries_on = self.step.reversibility() == Reversibility::ReadOnly && self.before.is_some();
        if before.is_none() || (handle.is_none() && !carries_on) {
            let intent = self.intent.clone();
            let observed = match self.limited(step.observe(&cx, intent.as_ref())).await {
                Ok(Ok(observed)) => observed,
                Ok(Err(failure)) => return Ok(AttemptEnd::Failed(failure)),
                Err(cut) => return cut.end("the world to be read"),
            };
            match observed {
                Observed::Satisfied(seen) => before = Some(self.satisfied(before, seen).await),
                Observed::Differs(seen) => {
                    // What was there before the first intent is what must be restored.
                    let image = self.intent.clone().unwrap_or(seen);
                    self.intend(&image).await?;
                    match self.apply(step.apply(&cx, &image)).await? {
                        Ok(applied) => handle = Some(applied),
                        Err(end) => return Ok(end),
                    }
                    before = Some(image);
                }
            }
        }
        let before = before.unwrap_or(Value::Null);
        match self.limited(step.settle(&cx, &before, handle.as_ref())).await {
            Ok(Ok(outputs)) => Ok(AttemptEnd::Done(outputs)),
            Ok(Err(failure)) => Ok(AttemptEnd::Failed(failure)),
            Err(cut) => cut.end("the world to become as desired"),
        }
    }

    /// The world is as desired: records how it is, unless there is an intent to keep, or nothing to say.
    async fn satisfied(&mut self, known: Option<Value>, seen: Value) -> Value {
        if self.intent.is_some() {
            return known.unwrap_or(seen);
        }
        if !seen.is_null() {
            self.report(Report::Observed { before: seen.clone(), satisfied: true, go: None }).await;
        }
        seen
    }

    /// Has the before-image recorded as an intent, and waits until it is durable.
    async fn intend(&mut self, before: &Value) -> Result<(), Left> {
        if self.intent.is_some() {
            return if *self.leave.borrow() { Err(Left) } else { Ok(()) };
        }
        let (go, durable) = oneshot::channel();
        self.report(Report::Observed { before: before.clone(), satisfied: false, go: Some(go) }).await;
        durable.await.map_err(|_| Left)
    }

    /// Runs the mutating call. It is not dropped when the run leaves, only when it takes too long after that.
    async fn apply(&mut self, apply: impl Future<Output = Result<Value, StepFailure>>) -> Result<Result<Value, AttemptEnd>, Left> {
        let mut apply = std::pin::pin!(apply);
        let mut cut = None;
        let result = match self.limited(apply.as_mut()).await {
            Ok(result) => Some(result),
            Err(reason) => {
                cut = Some(reason);
                let grace = self.cx.clock.sleep(APPLY_GRACE);
                tokio::select! {
                    biased;
                    result = apply => Some(result),
                    () = grace => None,
                }
            }
        };
        if let Some(Ok(handle)) = &result {
            self.report(Report::Applied { handle: handle.clone() }).await;
        }
        match (result, cut) {
            (Some(Ok(handle)), None | Some(Cut::TimeUp)) => Ok(Ok(handle)),
            (Some(Ok(_)) | None, Some(Cut::Left)) => Err(Left),
            (Some(Err(failure)), _) => Ok(Err(AttemptEnd::Failed(failure))),
            (None, _) => Ok(Err(AttemptEnd::TimedOut { unknown: true, waited_for: "the call that changes the world to be answered" })),
        }
    }

    /// Runs a part until it ends, the run leaves, or the step's time is up.
    async fn limited<T>(&mut self, part: impl Future<Output = T>) -> Result<T, Cut> {
        let mut part = std::pin::pin!(part);
        loop {
            let deadline = *self.deadline.borrow_and_update();
            let time_up = self.cx.clock.sleep(crate::clock::between(self.cx.clock.now(), deadline));
            tokio::select! {
                biased;
                result = part.as_mut() => return Ok(result),
                _ = self.leave.wait_for(|leave| *leave) => return Err(Cut::Left),
                Ok(()) = self.deadline.changed() => {}
                () = time_up => return Err(Cut::TimeUp),
            }
        }
    }

    async fn report(&self, report: Report) {
        // The dispatcher is gone only when the process stops acting; then nobody wants to know.
        let _ = self.reports.send(Message { ix: self.ix, serial: self.serial, report }).await;
    }
}

impl Report {
    /// Tells the attempt's span how it ended, for whoever collects spans.
    fn trace(&self) {
        let (outcome, failed) = match self {
            Self::Ended(AttemptEnd::Done(_)) => ("as desired", false),
            Self::Ended(AttemptEnd::Failed(_)) | Self::Undone(Err(_)) => ("failed", true),
            Self::Ended(AttemptEnd::TimedOut { .. }) => ("timed out", true),
            Self::Undone(Ok(())) => ("undone", false),
            Self::Observed { .. } | Self::Applied { .. } | Self::Left => ("left", false),
        };
        let span = tracing::Span::current();
        span.record("outcome", outcome);
        if failed {
            // A name that OpenTelemetry knows.
            span.record("otel.status_code", "ERROR");
        }
    }
}

/// The executor is to leave without a result.
struct Left;

impl Cut {
    fn end(self, waited_for: &'static str) -> Result<AttemptEnd, Left> {
        match self {
            Self::Left => Err(Left),
            Self::TimeUp => Ok(AttemptEnd::TimedOut { unknown: false, waited_for }),
        }
    }
}
