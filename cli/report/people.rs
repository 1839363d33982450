//! What people decided: the answers to the run's questions, and everything else that steered it.

use jiff::Timestamp;
use serde::Serialize;
use wf_engine::model::event::{Event, Fields, Operator};
use wf_engine::model::ids::StepId;
use wf_engine::model::order::Order;
use wf_engine::model::record::Record;

use crate::render::lines::order_words;
use crate::split_brain;

/// A question to a human.
#[derive(Debug, Clone, Serialize)]
pub struct Approval {
    /// The step that asked.
    pub step: StepId,
    /// The question.
    pub question: String,
    /// When it was asked.
    pub asked_at: Timestamp,
    /// When it lapses.
    pub answer_by: Timestamp,
    /// The answer; `None` while there is none.
    pub granted: Option<bool>,
    /// Who gave it.
    pub by: Option<Operator>,
    /// Why, in their words.
    pub reason: Option<String>,
    /// When.
    pub answered_at: Option<Timestamp>,
}

/// Something that steered the run.
#[derive(Debug, Clone, Serialize)]
pub struct Deed {
    /// When.
    pub at: Timestamp,
    /// What was done, in a few words.
    pub what: String,
    /// The step that it was done to.
    pub step: Option<StepId>,
    /// Who did it; `None` for the run itself, and for a signal.
    pub by: Option<Operator>,
    /// Why, when that is known.
    pub reason: Option<String>,
    /// What they said that the step gave.
    #[serde(skip_serializing_if = "Fields::is_empty")]
    pub outputs: Fields,
    /// Whether it is the run's start.
    #[serde(skip)]
    pub(super) starts: bool,
}

/// Returns every question with its answer. One that is asked anew, after an interruption for instance, stands there anew.
pub fn approvals(records: &[Record]) -> Vec<Approval> {
    let mut asked: Vec<Approval> = Vec::new();
    for record in records {
        match &record.event {
            Event::ApprovalRequested { step, message, expires_at } => asked.push(Approval {
                step: step.clone(),
                question: message.clone(),
                asked_at: record.at,
                answer_by: *expires_at,
                granted: None,
                by: None,
                reason: None,
                answered_at: None,
            }),
            Event::ApprovalDecided { step, granted, by, reason } => {
                if let Some(open) = asked.iter_mut().rev().find(|asked| asked.step == *step && asked.granted.is_none()) {
                    open.granted = Some(*granted);
                    open.by = Some(by.clone());
                    open.reason = said(reason);
                    open.answered_at = Some(record.at);
                }
            }
            _ => {}
        }
    }
    asked
}

/// Returns what steered the run, in order.
pub fn deeds(records: &[Record]) -> Vec<Deed> {
    let mut undoing = false;
    let deed = |record: &Record| {
        undoing |= matches!(record.event, Event::RollbackStarted { .. });
        deed(record, undoing)
    };
    records.iter().filter_map(deed).collect()
}

fn deed(record: &Record, undoing: bool) -> Option<Deed> {
    let deed = |what: &str, by: Option<&Operator>, reason: Option<&str>| Deed {
        at: record.at,
        what: what.to_owned(),
        step: record.event.step().cloned(),
        by: by.cloned(),
        reason: reason.and_then(said),
        outputs: Fields::new(),
        starts: false,
    };
    Some(match &record.event {
        Event::RunStarted(header) => {
            let yes = header.approve_all.then(|| "approvals given in advance (--yes)".to_owned());
            let risk = split_brain::taken(&header.unfenced);
            let said = yes.into_iter().chain(risk).collect::<Vec<_>>().join("; ");
            Deed { starts: true, ..deed("started the run", Some(&header.by), Some(&said)) }
        }
        Event::RunResumed { by } => deed("resumed the run", Some(by), None),
        Event::WorkflowChanged(change) => deed("adopted the edited workflow", Some(&change.by), Some(&change.summary)),
        Event::StepRedone { by, .. } => deed("let the step run again", Some(by), None),
        Event::StepMarkedDone { by, outputs, reason, .. } => {
            Deed { outputs: outputs.clone(), ..deed("said that the step is done", Some(by), Some(reason)) }
        }
        Event::Ordered { order: Order::MarkDone { .. }, by, reason } if undoing => {
            deed("said that the step is undone", Some(by), Some(reason))
        }
        // What it leads to is a deed by itself.
        Event::Ordered { order: Order::MarkDone { .. }, .. } => return None,
        Event::Ordered { order, by, reason } => deed(&format!("ordered: {}", order_words(order)), Some(by), Some(reason)),
        Event::RollbackStarted { reason, by } => deed("began to roll back", by.as_ref(), Some(reason)),
        Event::RunPaused { reason } => deed("paused", None, Some(reason)),
        Event::RunInterrupted { reason } => deed("was interrupted", None, Some(reason)),
        Event::PointOfNoReturnPassed { .. } => deed("passed the point of no return", None, None),
        Event::WorkflowText { .. }
        | Event::StepStarted { .. }
        | Event::StepObserved { .. }
        | Event::StepApplied { .. }
        | Event::ApprovalRequested { .. }
        | Event::ApprovalDecided { .. }
        | Event::AttemptFailed { .. }
        | Event::StepSucceeded { .. }
        | Event::StepFailed { .. }
        | Event::StepUnreachable { .. }
        | Event::StepSkipped { .. }
        | Event::StepInterrupted { .. }
        | Event::CompensationStarted { .. }
        | Event::CompensationAttemptFailed { .. }
        | Event::StepCompensated { .. }
        | Event::CompensationFailed { .. }
        | Event::RunFinished { .. } => return None,
    })
}

fn said(reason: &str) -> Option<String> {
    Some(reason.trim()).filter(|reason| !reason.is_empty()).map(ToOwned::to_owned)
}
