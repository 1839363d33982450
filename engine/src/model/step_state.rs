//! What is known of one step of a run: a part of the fold, changed by [`RunState::apply`](super::run_state::RunState::apply) only.

use jiff::Timestamp;
use serde_json::Value;

use super::event::{Event, Fields, StepFailure};
use super::run_state::Wish;
use super::transition::StepStatus;
use crate::units::Span;

/// What is known of a step.
#[derive(Debug, Clone, PartialEq)]
pub struct StepState {
    /// Where it is.
    pub status: StepStatus,
    /// The number of its latest attempt; 0 before the first.
    pub attempt: u32,
    /// How often it was tried anew after it had failed for good.
    pub generation: u32,
    /// The before-image: of the intent if there is one, of the latest look otherwise.
    pub before: Option<Value>,
    /// Whether changing the world was intended: from then on it may have been changed.
    pub intent: bool,
    /// What `apply` returned.
    pub handle: Option<Value>,
    /// What later steps can refer to.
    pub outputs: Fields,
    /// Why the latest attempt failed.
    pub failure: Option<StepFailure>,
    /// When it was first started.
    pub started_at: Option<Timestamp>,
    /// When its present life began, from which its timeout counts: its start, or its latest resume.
    pub alive_since: Option<Timestamp>,
    /// When it succeeded, failed or was skipped.
    pub ended_at: Option<Timestamp>,
    /// When the next attempt is due, while it is retrying or its compensation is.
    pub retry_at: Option<Timestamp>,
    /// The decision of a human, once there is one.
    pub approval: Option<(bool, String, String)>,
    /// Whether it is irreversible and was applied.
    pub irreversible: bool,
    /// Whether it was left between intent and handle, so that only the world knows what it did.
    pub unknown: bool,
    /// Whether an operator said that it may run again although nobody knows what it did.
    pub redo: bool,
    /// Whether it asked a human and nobody answered yet.
    pub asked: bool,
    /// How it is to end, by an operator's word.
    pub wish: Option<Box<Wish>>,
    /// Its timeout, where an operator changed it.
    pub timeout: Option<Span>,
    /// How many attempts it has, where an operator changed it.
    pub attempts: Option<u32>,
    /// How many of its needs are not done yet.
    pub(super) waits_for: u32,
    /// Its compensation.
    pub undo: UndoState,
}

/// What is known of a step's compensation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UndoState {
    /// The number of its latest attempt; 0 before the first.
    pub attempt: u32,
    /// When it was first started.
    pub started_at: Option<Timestamp>,
    /// When it succeeded or failed.
    pub ended_at: Option<Timestamp>,
    /// How many dependents are not undone yet.
    pub(super) waits_for: u32,
    pub(super) done: bool,
    /// Whether its latest attempt was left without a result.
    pub cut_off: bool,
}

impl StepState {
    pub(super) fn new(waits_for: u32) -> Self {
        Self {
            status: StepStatus::Pending,
            attempt: 0,
            generation: 0,
            before: None,
            intent: false,
            handle: None,
            outputs: Fields::new(),
            failure: None,
            started_at: None,
            alive_since: None,
            ended_at: None,
            retry_at: None,
            approval: None,
            irreversible: false,
            unknown: false,
            redo: false,
            asked: false,
            wish: None,
            timeout: None,
            attempts: None,
            waits_for,
            undo: UndoState::default(),
        }
    }

    /// Notes what an event says of the step, which was in `previous` before it.
    pub(super) fn record(&mut self, event: &Event, previous: StepStatus, now: Timestamp) {
        match event {
            Event::StepStarted { attempt, .. } => {
                self.attempt = *attempt;
                self.started_at.get_or_insert(now);
                if previous != StepStatus::Retrying {
                    self.alive_since = Some(now);
                }
                self.retry_at = None;
                self.unknown = false;
                self.redo = false;
                self.asked = false;
            }
            Event::StepObserved { before, satisfied, .. } => {
                self.before = Some(before.clone());
                self.intent = !satisfied;
            }
            Event::PointOfNoReturnPassed { .. } => self.irreversible = true,
            Event::StepApplied { handle, .. } => self.handle = Some(handle.clone()),
            Event::ApprovalRequested { .. } => self.asked = true,
            Event::ApprovalDecided { granted, by, reason, .. } => {
                self.asked = false;
                self.approval = Some((*granted, by.user.clone(), reason.clone()));
            }
            Event::AttemptFailed { failure, retry_at, .. } => {
                self.failure = Some(failure.clone());
                self.retry_at = Some(*retry_at);
            }
            Event::StepSucceeded { outputs, .. } | Event::StepMarkedDone { outputs, .. } => {
                self.outputs.clone_from(outputs);
                self.ended_at = Some(now);
                self.wish = None;
            }
            Event::StepFailed { failure, .. } | Event::StepUnreachable { failure, .. } => {
                self.failure = Some(failure.clone());
                self.ended_at = Some(now);
            }
            Event::StepSkipped { .. } => self.ended_at = Some(now),
            Event::StepRedone { .. } => self.redo = true,
            Event::CompensationStarted { attempt, .. } => {
                self.undo.attempt = *attempt;
                self.undo.cut_off = false;
                self.undo.started_at.get_or_insert(now);
                self.retry_at = None;
            }
            Event::CompensationAttemptFailed { failure, retry_at, .. } => {
                self.failure = Some(failure.clone());
                self.retry_at = Some(*retry_at);
            }
            Event::StepCompensated { .. } => self.undo.ended_at = Some(now),
            Event::CompensationFailed { failure, .. } => {
                self.failure = Some(failure.clone());
                self.undo.ended_at = Some(now);
            }
            Event::StepInterrupted { .. } => {
                self.undo.cut_off = previous == StepStatus::Compensating && self.retry_at.is_none();
                self.unknown = self.left_unknown(previous);
                self.retry_at = None;
            }
            Event::RunStarted(_)
            | Event::WorkflowText { .. }
            | Event::WorkflowChanged(_)
            | Event::Ordered { .. }
            | Event::RunPaused { .. }
            | Event::RunInterrupted { .. }
            | Event::RunResumed { .. }
            | Event::RollbackStarted { .. }
            | Event::RunFinished { .. } => {}
        }
    }

    /// Tells whether the step, left now, may have changed the world without our knowing.
    pub(super) fn left_unknown(&self, status: StepStatus) -> bool {
        status == StepStatus::Running && self.intent && self.handle.is_none()
    }
}
