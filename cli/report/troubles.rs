//! Every failed attempt, with what AWS said.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::Serialize;
use wf_engine::model::event::{Event, StepFailure};
use wf_engine::model::ids::StepId;
use wf_engine::model::record::Record;

/// An attempt that failed.
#[derive(Debug, Clone, Serialize)]
pub struct Trouble {
    /// When.
    pub at: Timestamp,
    /// The step.
    pub step: StepId,
    /// Whether undoing it is what failed.
    pub undoing: bool,
    /// The attempt, when another one followed by itself; `None` when the step ended with it.
    pub attempt: Option<u32>,
    /// Why.
    pub failure: StepFailure,
    /// Whether the step, or its undoing, succeeded in the end, or an operator said so.
    pub made_good: bool,
}

/// Returns every failed attempt, in order.
pub fn all(records: &[Record]) -> Vec<Trouble> {
    let mut good: HashMap<(&StepId, bool), u64> = HashMap::new();
    let mut failed = Vec::new();
    for record in records {
        let trouble = |step: &StepId, undoing, attempt, failure: &StepFailure| Trouble {
            at: record.at,
            step: step.clone(),
            undoing,
            attempt,
            failure: failure.clone(),
            made_good: false,
        };
        match &record.event {
            Event::AttemptFailed { step, attempt, failure, .. } => {
                failed.push((record.seq, trouble(step, false, Some(*attempt), failure)));
            }
            Event::StepFailed { step, failure } | Event::StepUnreachable { step, failure } => {
                failed.push((record.seq, trouble(step, false, None, failure)));
            }
            Event::CompensationAttemptFailed { step, attempt, failure, .. } => {
                failed.push((record.seq, trouble(step, true, Some(*attempt), failure)));
            }
            Event::CompensationFailed { step, failure } => failed.push((record.seq, trouble(step, true, None, failure))),
            Event::StepSucceeded { step, .. } | Event::StepMarkedDone { step, .. } => {
                good.insert((step, false), record.seq);
            }
            Event::StepCompensated { step } => {
                good.insert((step, true), record.seq);
            }
            Event::RunStarted(_)
            | Event::WorkflowText { .. }
            | Event::WorkflowChanged(_)
            | Event::StepStarted { .. }
            | Event::StepObserved { .. }
            | Event::PointOfNoReturnPassed { .. }
            | Event::StepApplied { .. }
            | Event::ApprovalRequested { .. }
            | Event::ApprovalDecided { .. }
            | Event::StepSkipped { .. }
            | Event::StepInterrupted { .. }
            | Event::StepRedone { .. }
            | Event::Ordered { .. }
            | Event::RunPaused { .. }
            | Event::RunInterrupted { .. }
            | Event::RunResumed { .. }
            | Event::RollbackStarted { .. }
            | Event::CompensationStarted { .. }
            | Event::RunFinished { .. } => {}
        }
    }
    let made_good = |seq: u64, trouble: &Trouble| good.get(&(&trouble.step, trouble.undoing)).is_some_and(|&later| later > seq);
    failed.into_iter().map(|(seq, trouble)| Trouble { made_good: made_good(seq, &trouble), ..trouble }).collect()
}
