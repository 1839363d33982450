//! What an operator can order while a run is under way, or while no process drives it: [`Order`], when each one makes sense, and
//! [`Refusal`], why it does not. One table for live runs, for replays, and for runs that nobody owns.

use serde::{Deserialize, Serialize};

use super::event::{Event, Fields, Mode, Operator, RunOutcome};
use super::ids::StepId;
use super::retry::RetryPolicy;
use super::ron_fields::did_you_mean;
use super::run_state::{RunPhase, RunState, StepStatus};
use super::workflow::{Source, StepIx, source_of};
use crate::units::Span;

/// What an operator orders.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "kebab-case")]
pub enum Order {
    /// Let a step that asks go on. Recorded as [`Event::ApprovalDecided`].
    Approve {
        /// The step.
        step: StepId,
    },
    /// Refuse a step that asks: it fails. Recorded as [`Event::ApprovalDecided`].
    Reject {
        /// The step.
        step: StepId,
    },
    /// Start nothing more, neither forward nor back, until resumed. What is under way goes on to its end.
    Pause,
    /// Go on after a pause.
    Resume,
    /// Give the run up: leave what is under way at its next safe point, then undo everything or leave it as it is.
    Cancel {
        /// Whether everything attempted is undone.
        rollback: bool,
        /// Whether the reversible rest is undone although something irreversible was done.
        #[serde(default)]
        past_point_of_no_return: bool,
    },
    /// Try a step that failed anew, or start the attempt that it waits for now.
    Retry {
        /// The step.
        step: StepId,
    },
    /// Leave a step out. One that is under way is left at its next safe point; what it changed is undone with the rest.
    Skip {
        /// The step.
        step: StepId,
    },
    /// Take a step for done: somebody did it by hand.
    MarkDone {
        /// The step.
        step: StepId,
        /// What later steps can refer to.
        #[serde(default)]
        outputs: Fields,
    },
    /// The failing side no longer works with us: from planned to unplanned. Steps and attempts that start from now on know.
    Escalate,
    /// Give a step more time, or more attempts, or less.
    Adjust {
        /// The step.
        step: StepId,
        /// Its timeout, counted from when its present life began.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        timeout: Option<Span>,
        /// How many attempts it has in all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        attempts: Option<u32>,
    },
}

/// Why an order cannot be carried out; reads well after "refused: ".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The workflow has no such step.
    #[error("the run has no step `{step}`{hint}")]
    NoSuchStep {
        /// As given.
        step: String,
        /// The nearest name, as a sentence.
        hint: String,
    },
    /// The step is not where the order makes sense.
    #[error("step `{step}` is {status}: {only}")]
    Status {
        /// The step.
        step: StepId,
        /// Where it is.
        status: String,
        /// When the order makes sense.
        only: &'static str,
    },
    /// A later step uses a value that the step would then not give.
    #[error("step `{user}` uses `${{{step}.{field}}}`, which `{step}` would then not give")]
    ValueNeeded {
        /// The step that would not give it.
        step: StepId,
        /// The value.
        field: String,
        /// The step that uses it.
        user: StepId,
    },
    /// The figures make no sense.
    #[error("{0}")]
    Figures(String),
    /// The run is over.
    #[error("the run is {outcome}: there is nothing to {verb}")]
    Finished {
        /// How it ended.
        outcome: RunOutcome,
        /// What was asked for.
        verb: &'static str,
    },
    /// An irreversible step was applied.
    #[error("step `{step}` cannot be undone any more; the rest can: confirm with --past-point-of-no-return")]
    PastPointOfNoReturn {
        /// The step.
        step: StepId,
    },
    /// The run is being rolled back already.
    #[error("the run is being rolled back already")]
    RollingBack,
    /// The run is paused already.
    #[error("the run is paused already")]
    AlreadyPaused,
    /// The run is not paused.
    #[error("the run is not paused")]
    NotPaused,
    /// The run is unplanned already.
    #[error("the run is unplanned already")]
    AlreadyUnplanned,
    /// The run was given up.
    #[error("the run was cancelled and is coming to its end")]
    Cancelled,
    /// Only a run that a process drives can be told so.
    #[error("no process drives the run: there is nothing to {verb}")]
    NotUnderWay {
        /// What was asked for.
        verb: &'static str,
    },
    /// The run is leaving.
    #[error("the run is leaving")]
    Leaving,
    /// The run cannot take an edited workflow over.
    #[error("the run cannot take over what was edited: {}", .0.join("; "))]
    Edit(Vec<String>),
}

impl Order {
    /// Returns the word that an operator types.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Approve { .. } => "approve",
            Self::Reject { .. } => "reject",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Cancel { rollback: false, .. } => "cancel",
            Self::Cancel { rollback: true, .. } => "roll back",
            Self::Retry { .. } => "retry",
            Self::Skip { .. } => "skip",
            Self::MarkDone { .. } => "mark done",
            Self::Escalate => "escalate",
            Self::Adjust { .. } => "adjust",
        }
    }

    /// Returns the step that the order is about, if it is about one.
    pub fn step(&self) -> Option<&StepId> {
        match self {
            Self::Approve { step }
            | Self::Reject { step }
            | Self::Retry { step }
            | Self::Skip { step }
            | Self::MarkDone { step, .. }
            | Self::Adjust { step, .. } => Some(step),
            Self::Pause | Self::Resume | Self::Cancel { .. } | Self::Escalate => None,
        }
    }

    /// Returns the fact that the order was given and accepted.
    pub fn event(self, by: Operator, reason: String) -> Event {
        match self {
            Self::Approve { step } => Event::ApprovalDecided { step, granted: true, by, reason },
            Self::Reject { step } => Event::ApprovalDecided { step, granted: false, by, reason },
            order => Event::Ordered { order, by, reason },
        }
    }

    /// Tells whether the order makes sense now.
    ///
    /// # Errors
    /// Why it does not.
    pub fn check(&self, state: &RunState) -> Result<(), Refusal> {
        let phase = state.phase();
        if let RunPhase::Finished(outcome) = phase {
            return match self {
                Self::Cancel { rollback: false, .. } if outcome == RunOutcome::Stuck => Ok(()),
                Self::MarkDone { step, .. } if outcome == RunOutcome::Stuck => not_undone(state, step),
                _ => Err(Refusal::Finished { outcome, verb: self.verb() }),
            };
        }
        if state.cancelled().is_some() {
            return Err(Refusal::Cancelled);
        }
        match self {
            Self::Approve { step } | Self::Reject { step } => {
                let (ix, status) = find(state, step)?;
                let asks = status == StepStatus::Waiting || (status == StepStatus::Interrupted && state.step(ix).asked);
                demand(asks, step, state, "only a step that waits for an approval can be approved or rejected")
            }
            Self::Pause if state.held().is_some() || phase == RunPhase::Paused => Err(Refusal::AlreadyPaused),
            Self::Pause => Ok(()),
            Self::Resume => state.held().map(|_| ()).ok_or(Refusal::NotPaused),
            Self::Cancel { rollback: false, .. } => Ok(()),
            Self::Cancel { rollback: true, past_point_of_no_return } => may_roll_back(state, *past_point_of_no_return),
            Self::Retry { step } => {
                let (ix, status) = find(state, step)?;
                let due_later = state.held().is_none() && state.step(ix).retry_at.is_some();
                let again = due_later || state.blocking().contains(&ix) || status == StepStatus::CompensationFailed;
                demand(
                    again,
                    step,
                    state,
                    "only a step that failed and holds the run up, or that waits for its next attempt, can be retried",
                )
            }
            Self::Skip { step } => open(state, step, "skipped").and_then(|ix| values_given(state, ix, &Fields::new())),
            Self::MarkDone { step, .. } if phase == RunPhase::Compensating => not_undone(state, step),
            Self::MarkDone { step, outputs } => open(state, step, "marked done").and_then(|ix| values_given(state, ix, outputs)),
            Self::Escalate if phase == RunPhase::Compensating => Err(Refusal::RollingBack),
            Self::Escalate if state.mode() == Mode::Unplanned => Err(Refusal::AlreadyUnplanned),
            Self::Escalate => Ok(()),
            Self::Adjust { step, timeout, attempts } => {
                figures(*timeout, *attempts)?;
                open(state, step, "adjusted").map(|_| ())
            }
        }
    }
}

/// Tells whether a run can be rolled back by hand, and why not.
///
/// # Errors
/// The reason.
pub fn may_roll_back(state: &RunState, past_point_of_no_return: bool) -> Result<(), Refusal> {
    match state.phase() {
        RunPhase::Compensating | RunPhase::Finished(RunOutcome::Stuck) => return Err(Refusal::RollingBack),
        RunPhase::Finished(outcome @ (RunOutcome::RolledBack | RunOutcome::Abandoned)) => {
            return Err(Refusal::Finished { outcome, verb: "roll back" });
        }
        RunPhase::Finished(RunOutcome::Completed | RunOutcome::CompletedWithExceptions) | RunPhase::Forward | RunPhase::Paused => {}
    }
    match state.point_of_no_return() {
        Some(ix) if !past_point_of_no_return => Err(Refusal::PastPointOfNoReturn { step: state.workflow().id(ix).clone() }),
        Some(_) | None => Ok(()),
    }
}

fn figures(timeout: Option<Span>, attempts: Option<u32>) -> Result<(), Refusal> {
    let max = RetryPolicy::ATTEMPTS_MAX;
    match (timeout, attempts) {
        (None, None) => Err(Refusal::Figures("neither a timeout nor a number of attempts was given".to_owned())),
        (Some(timeout), _) if timeout.0.is_zero() => Err(Refusal::Figures("a step cannot end in no time".to_owned())),
        (_, Some(attempts)) if attempts == 0 || attempts > max => {
            Err(Refusal::Figures(format!("the attempts must be from 1 to {max}, not {attempts}")))
        }
        _ => Ok(()),
    }
}

/// Finds a step, or says which one may have been meant.
///
/// # Errors
/// When there is none of that name.
pub fn find(state: &RunState, step: &StepId) -> Result<(StepIx, StepStatus), Refusal> {
    let workflow = state.workflow();
    let known = (0..workflow.len()).map(|ix| workflow.id(ix).as_str());
    match workflow.find(step) {
        Some(ix) => Ok((ix, state.step(ix).status)),
        None => Err(Refusal::NoSuchStep { step: step.to_string(), hint: did_you_mean(step.as_str(), known) }),
    }
}

/// Refuses an order about a step that is not where it makes sense.
pub(crate) fn demand(holds: bool, step: &StepId, state: &RunState, only: &'static str) -> Result<(), Refusal> {
    if holds {
        return Ok(());
    }
    let status = find(state, step)?.1;
    Err(Refusal::Status { step: step.clone(), status: words(status), only })
}

fn words(status: StepStatus) -> String {
    match status {
        StepStatus::CompensationInterrupted => "left while it was being undone".to_owned(),
        StepStatus::Compensating => "being undone".to_owned(),
        StepStatus::Compensated => "undone".to_owned(),
        StepStatus::CompensationFailed => "not undone: that failed".to_owned(),
        StepStatus::Waiting => "waiting for an approval".to_owned(),
        StepStatus::Retrying => "waiting for its next attempt".to_owned(),
        StepStatus::Pending
        | StepStatus::Running
        | StepStatus::Interrupted
        | StepStatus::Succeeded
        | StepStatus::Failed
        | StepStatus::Skipped
        | StepStatus::Unreachable => format!("{status:?}").to_lowercase(),
    }
}

/// Finds a step that is not over, in a run that goes forward.
fn open(state: &RunState, step: &StepId, verb: &'static str) -> Result<StepIx, Refusal> {
    let (ix, status) = find(state, step)?;
    if state.phase() == RunPhase::Compensating {
        return Err(Refusal::RollingBack);
    }
    let open = match status {
        StepStatus::Pending | StepStatus::Waiting | StepStatus::Running | StepStatus::Retrying | StepStatus::Interrupted => true,
        StepStatus::Failed | StepStatus::Unreachable => state.blocking().contains(&ix),
        StepStatus::Succeeded
        | StepStatus::Skipped
        | StepStatus::Compensating
        | StepStatus::CompensationInterrupted
        | StepStatus::Compensated
        | StepStatus::CompensationFailed => false,
    };
    let only = match verb {
        "skipped" => "only a step that is not over can be skipped",
        "adjusted" => "only a step that is not over can be adjusted",
        _ => "only a step that is not over can be marked done",
    };
    demand(open, step, state, only).map(|()| ix)
}

/// Refuses a word about a step of a rollback, unless undoing it failed: then somebody may have undone it by hand.
fn not_undone(state: &RunState, step: &StepId) -> Result<(), Refusal> {
    let failed = find(state, step)?.1 == StepStatus::CompensationFailed;
    demand(failed, step, state, "in a rollback only a step that could not be undone can be marked done, once you undid it by hand")
}

/// Refuses to let a step end without a value that a later one uses.
fn values_given(state: &RunState, ix: StepIx, outputs: &Fields) -> Result<(), Refusal> {
    let workflow = state.workflow();
    let id = workflow.id(ix);
    for user in workflow.dependents(ix) {
        let step = workflow.step(user);
        if !step.takes_part(state.occasion()) {
            continue;
        }
        for reference in step.params.references() {
            let Some(Source::Step { step, before, field }) = source_of(&reference.path) else { continue };
            let given = if before {
                state.step(ix).before.as_ref().and_then(|image| image.get(field)).is_some()
            } else {
                outputs.contains_key(field)
            };
            if step == id.as_str() && !given {
                let field = if before { format!("before.{field}") } else { field.to_owned() };
                return Err(Refusal::ValueNeeded { step: id.clone(), field, user: workflow.id(user).clone() });
            }
        }
    }
    Ok(())
}
