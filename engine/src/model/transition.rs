//! Where steps and runs can be, and the one table of legal transitions. Live runs and replays both ask it.

use serde::Serialize;

use super::event::{Event, RunOutcome};
use super::ids::StepId;
use super::order::Refusal;

/// Where a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub enum StepStatus {
    /// Not started.
    Pending,
    /// Asks a human.
    Waiting,
    /// An attempt is under way.
    Running,
    /// An attempt failed, another one will follow.
    Retrying,
    /// Started, no result on record: it is observed again before anything else.
    Interrupted,
    /// The world is as desired.
    Succeeded,
    /// Failed for good.
    Failed,
    /// Not part of this run.
    Skipped,
    /// Its world could not be reached.
    Unreachable,
    /// Its before-image is being restored.
    Compensating,
    /// Restoring was started, no result on record.
    CompensationInterrupted,
    /// Its before-image is restored.
    Compensated,
    /// Restoring failed for good.
    CompensationFailed,
}

/// Where a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum RunPhase {
    /// Steps are being done.
    Forward,
    /// Nothing is started until an operator says so.
    Paused,
    /// Steps are being undone.
    Compensating,
    /// Over.
    Finished(RunOutcome),
}

/// An event that cannot follow what is on record: the journal is not of this workflow, or the engine has a bug.
#[derive(Debug, Clone, thiserror::Error)]
pub enum IllegalTransition {
    /// The workflow has no such step.
    #[error("record {seq} is about step `{step}`, which the workflow does not have")]
    NoSuchStep {
        /// The record.
        seq: u64,
        /// The step.
        step: StepId,
    },
    /// The step is not where the event says.
    #[error("record {seq} cannot follow: step `{step}` is {status:?}")]
    Step {
        /// The record.
        seq: u64,
        /// The step.
        step: StepId,
        /// Where it is.
        status: StepStatus,
    },
    /// The order makes no sense there.
    #[error("record {seq} cannot follow: {refusal}")]
    Order {
        /// The record.
        seq: u64,
        /// Why.
        refusal: Refusal,
    },
    /// The edited workflow is none, or the run cannot take it over.
    #[error("record {seq} cannot follow: the edited workflow: {why}")]
    Edit {
        /// The record.
        seq: u64,
        /// What is wrong with it.
        why: String,
    },
    /// The run is not where the event says.
    #[error("record {seq} cannot follow: the run is {phase:?}")]
    Run {
        /// The record.
        seq: u64,
        /// Where it is.
        phase: RunPhase,
    },
}

/// Tells whether a step in this status has an executor, or a timer for one.
pub fn is_active(status: StepStatus) -> bool {
    match status {
        StepStatus::Waiting | StepStatus::Running | StepStatus::Retrying | StepStatus::Compensating => true,
        StepStatus::Pending
        | StepStatus::Interrupted
        | StepStatus::Succeeded
        | StepStatus::Failed
        | StepStatus::Skipped
        | StepStatus::Unreachable
        | StepStatus::CompensationInterrupted
        | StepStatus::Compensated
        | StepStatus::CompensationFailed => false,
    }
}

/// The one table of legal transitions: where a step is after an event, or `None` if the event cannot follow.
pub fn next_status(status: StepStatus, event: &Event) -> Option<StepStatus> {
    use StepStatus as S;
    Some(match (status, event) {
        (S::Pending | S::Interrupted | S::Retrying, Event::StepStarted { .. }) => S::Running,
        (S::Running, Event::StepObserved { .. } | Event::PointOfNoReturnPassed { .. } | Event::StepApplied { .. }) => S::Running,
        (S::Running, Event::ApprovalRequested { .. }) => S::Waiting,
        (S::Waiting, Event::ApprovalDecided { .. }) => S::Running,
        (S::Interrupted, Event::ApprovalDecided { .. } | Event::StepRedone { .. }) => S::Interrupted,
        (S::Running | S::Waiting, Event::AttemptFailed { .. }) => S::Retrying,
        (S::Running | S::Waiting, Event::StepSucceeded { .. }) => S::Succeeded,
        (S::Running | S::Waiting, Event::StepFailed { .. }) => S::Failed,
        (S::Running | S::Waiting, Event::StepUnreachable { .. }) => S::Unreachable,
        (S::Running | S::Waiting | S::Retrying, Event::StepInterrupted { .. }) => S::Interrupted,
        (S::Compensating, Event::StepInterrupted { .. }) => S::CompensationInterrupted,
        (S::Pending | S::Interrupted, Event::StepSkipped { .. }) => S::Skipped,
        (S::Pending | S::Interrupted | S::Failed | S::Unreachable, Event::StepMarkedDone { .. }) => S::Succeeded,
        (
            S::Succeeded | S::Failed | S::Unreachable | S::Interrupted | S::Skipped | S::CompensationInterrupted | S::Compensating,
            Event::CompensationStarted { .. },
        ) => S::Compensating,
        (S::Compensating, Event::CompensationAttemptFailed { .. }) => S::Compensating,
        (S::Compensating, Event::StepCompensated { .. }) => S::Compensated,
        (S::Compensating, Event::CompensationFailed { .. }) => S::CompensationFailed,
        _ => return None,
    })
}
