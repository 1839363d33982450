//! What executors report, and what follows from it: events, retries, the end of an attempt.

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::{oneshot, watch};

use super::{Action, Dispatcher, Executing, OUTPUTS_LEN_MAX};
use crate::model::event::{Event, FailureKind, StepFailure};
use crate::model::retry::RetryPolicy;
use crate::model::run_state::{RunPhase, StepStatus};
use crate::model::workflow::StepIx;
use crate::runtime::RunError;
use crate::runtime::executor::{AttemptEnd, Message, Report};
use crate::step::Reversibility;

impl Dispatcher {
    pub(super) fn reported(&mut self, message: Message) -> Result<(), RunError> {
        let Message { ix, serial, report } = message;
        if self.executing.get(&ix).is_none_or(|executing| executing.serial != serial) {
            return Ok(());
        }
        match report {
            Report::Observed { before, satisfied, go } => self.observed(ix, before, satisfied, go),
            Report::Applied { handle } => self.emit(Event::StepApplied { step: self.id(ix), handle }),
            Report::Ended(end) => {
                let words = self.executing.remove(&ix).and_then(|executing| executing.words);
                self.attempt_ended(ix, end, words)
            }
            Report::Undone(result) => {
                self.executing.remove(&ix);
                self.undone(ix, result)
            }
            Report::Left => self.left(ix),
        }
    }

    fn observed(&mut self, ix: StepIx, before: Value, satisfied: bool, go: Option<oneshot::Sender<()>>) -> Result<(), RunError> {
        let leaving = self.executing.get(&ix).is_some_and(|executing| *executing.leave.borrow());
        let irreversible = self.bound.declared(ix).reversibility() == Reversibility::Irreversible;
        if !satisfied && (leaving || (irreversible && !self.state.blocking().is_empty())) {
            // Nothing is changed any more, and nothing irreversible after a failure: without a go, the executor leaves.
            return Ok(());
        }
        self.emit(Event::StepObserved { step: self.id(ix), before, satisfied })?;
        if irreversible && !satisfied {
            self.emit(Event::PointOfNoReturnPassed { step: self.id(ix) })?;
        }
        self.actions.extend(go.map(Action::Go));
        Ok(())
    }

    fn attempt_ended(&mut self, ix: StepIx, end: AttemptEnd, words: Option<String>) -> Result<(), RunError> {
        let step = self.id(ix);
        match end {
            AttemptEnd::Done(outputs) => {
                let len = serde_json::to_vec(&outputs).map_or(usize::MAX, |json| json.len());
                if len > OUTPUTS_LEN_MAX {
                    let failure = StepFailure::permanent(format!(
                        "the step's outputs are {len} bytes long, more than the {OUTPUTS_LEN_MAX} that can be recorded"
                    ));
                    return self.emit(Event::StepFailed { step, failure });
                }
                self.emit(Event::StepSucceeded { step, outputs })
            }
            AttemptEnd::TimedOut { unknown: true, .. } if self.bound.halts(ix) => self.emit(Event::StepInterrupted { step }),
            AttemptEnd::TimedOut { unknown, waited_for } => {
                let timeout = crate::units::Span(self.timeout(ix));
                let mut failure = StepFailure::permanent(format!("timed out after {timeout}, waiting for {waited_for}"));
                if let Some(words) = words {
                    failure = failure.because(format!("it waited for: {words}"));
                }
                if unknown {
                    failure = failure.because("the call may have taken effect: the step is observed again before anything else is done");
                }
                self.emit(Event::StepFailed { step, failure })
            }
            AttemptEnd::Failed(failure) => self.attempt_failed(ix, failure),
        }
    }

    fn attempt_failed(&mut self, ix: StepIx, failure: StepFailure) -> Result<(), RunError> {
        let (step, attempt) = (self.id(ix), self.state.step(ix).attempt);
        let delay = match failure.kind {
            FailureKind::Permanent => None,
            FailureKind::Transient | FailureKind::Unreachable => self.retry(ix).delay(attempt, fastrand::f64()),
        };
        match (delay, failure.kind) {
            (Some(_), _) if self.leaving.is_some() => self.emit(Event::StepInterrupted { step }),
            (Some(delay), _) => {
                let retry_at = self.clock.now() + delay;
                self.emit(Event::AttemptFailed { step: step.clone(), attempt, failure, retry_at })?;
                if self.state.step(ix).wish.is_some() {
                    // Somebody said meanwhile how it is to end.
                    return self.emit(Event::StepInterrupted { step });
                }
                self.await_retry(ix, retry_at);
                Ok(())
            }
            (None, FailureKind::Unreachable) => self.emit(Event::StepUnreachable { step, failure }),
            (None, FailureKind::Permanent | FailureKind::Transient) => self.emit(Event::StepFailed { step, failure }),
        }
    }

    fn undone(&mut self, ix: StepIx, result: Result<(), StepFailure>) -> Result<(), RunError> {
        let (step, attempt) = (self.id(ix), self.state.step(ix).undo.attempt);
        let failure = match result {
            Ok(()) => return self.emit(Event::StepCompensated { step }),
            Err(failure) => failure,
        };
        // A compensation is tried at least as hard as the default: giving up leaves the world between two states.
        let retry = self.retry(ix);
        let retry = RetryPolicy { attempts: retry.attempts.max(RetryPolicy::default().attempts), ..retry };
        let delay = if failure.kind == FailureKind::Permanent { None } else { retry.delay(attempt, fastrand::f64()) };
        match delay {
            Some(delay) => {
                let retry_at = self.clock.now() + delay;
                self.emit(Event::CompensationAttemptFailed { step, attempt, failure, retry_at })?;
                self.await_retry(ix, retry_at);
                Ok(())
            }
            None => self.emit(Event::CompensationFailed { step, failure }),
        }
    }

    fn await_retry(&mut self, ix: StepIx, at: Timestamp) {
        if self.leaving.is_some() {
            return;
        }
        self.serial += 1;
        let serial = self.serial;
        let (leave, _) = watch::channel(false);
        let (deadline, _) = watch::channel(at);
        self.executing.insert(ix, Executing { serial, leave, deadline, question: None, words: None });
        self.actions.push(Action::Retry { ix, serial, at });
    }

    /// Returns how often and how soon a step is tried again.
    fn retry(&self, ix: StepIx) -> RetryPolicy {
        let retry = self.state.workflow().step(ix).retry;
        RetryPolicy { attempts: self.state.step(ix).attempts.unwrap_or(retry.attempts), ..retry }
    }

    fn left(&mut self, ix: StepIx) -> Result<(), RunError> {
        self.executing.remove(&ix);
        // When the whole run leaves, one event interrupts all steps.
        if self.leaving.is_some() || (self.state.step(ix).status == StepStatus::Compensating && self.state.cancelled().is_none()) {
            return Ok(());
        }
        self.emit(Event::StepInterrupted { step: self.id(ix) })
    }

    /// A task is over: a timer that rang, an executor that reported before, or one that panicked.
    pub(super) fn task_ended(&mut self, ended: Result<(tokio::task::Id, (StepIx, u64)), tokio::task::JoinError>) -> Result<(), RunError> {
        let (id, panicked) = match &ended {
            Ok((id, _)) => (*id, false),
            Err(error) => (error.id(), error.is_panic()),
        };
        let Some((ix, serial)) = self.task_steps.remove(&id) else { return Ok(()) };
        if self.executing.get(&ix).is_none_or(|executing| executing.serial != serial) {
            return Ok(());
        }
        let undoing = self.state.phase() == RunPhase::Compensating;
        let timer = self.state.step(ix).retry_at.is_some();
        if panicked {
            self.executing.remove(&ix);
            let failure =
                StepFailure::permanent("the step kind has a bug: it panicked").hint("please report this; `wf resume` tries the step again");
            return if undoing { self.undone(ix, Err(failure)) } else { self.attempt_failed(ix, failure) };
        }
        match (timer, undoing) {
            // It is made up for when the run is resumed.
            (true, _) if self.state.held().is_some() => {
                self.executing.remove(&ix);
                Ok(())
            }
            (true, true) => {
                self.executing.remove(&ix);
                self.compensate(ix)
            }
            (true, false) => {
                self.executing.remove(&ix);
                self.start(ix)
            }
            // Its last message is still in the channel.
            (false, _) => Ok(()),
        }
    }
}
