//! What operators' orders do to the state of a run.

use jiff::Timestamp;

use super::{RunState, StepStatus};
use crate::model::event::{Event, Fields, Mode, Operator};
use crate::model::ids::StepId;
use crate::model::occasion::Occasion;
use crate::model::order::Order;
use crate::model::record::Record;
use crate::model::transition::IllegalTransition;
use crate::model::workflow::StepIx;

/// Who said so, when, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// Who.
    pub by: Operator,
    /// Why, in their words; may be empty.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

/// How a step is to end, by an operator's word, as soon as it is its turn and nothing of it is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// Whose word.
    pub word: Word,
    /// What the step is to give when it is taken for done; `None` when it is left out.
    pub done: Option<Fields>,
}

/// That the run was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cancelled {
    /// Whose word.
    pub word: Word,
    /// Whether everything attempted is undone.
    pub rollback: bool,
}

impl RunState {
    pub(super) fn apply_order(&mut self, record: &Record) -> Result<(), IllegalTransition> {
        let Event::Ordered { order, by, reason } = &record.event else { return Ok(()) };
        order.check(self).map_err(|refusal| IllegalTransition::Order { seq: record.seq, refusal })?;
        self.ordered(order, Word { by: by.clone(), reason: reason.clone(), at: record.at });
        Ok(())
    }

    /// Takes in an order that was found to make sense.
    fn ordered(&mut self, order: &Order, word: Word) {
        match order {
            // Recorded as decisions.
            Order::Approve { .. } | Order::Reject { .. } => {}
            Order::Pause => self.held = Some(word),
            Order::Resume => self.held = None,
            Order::Cancel { rollback, .. } => {
                self.held = None;
                self.cancelled = Some(Cancelled { word, rollback: *rollback });
            }
            Order::Retry { step } => self.workflow.clone().find(step).into_iter().for_each(|ix| self.tried_again(ix)),
            Order::Skip { step } => self.wished(step, Wish { word, done: None }),
            Order::MarkDone { step, .. } if self.is_not_undone(step) => self.undone_by_hand(step, word.at),
            Order::MarkDone { step, outputs } => self.wished(step, Wish { word, done: Some(outputs.clone()) }),
            Order::Escalate => self.mode = Some(Mode::Unplanned),
            Order::Adjust { step, timeout, attempts } => {
                if let Some(ix) = self.workflow.find(step) {
                    let step = &mut self.steps[ix];
                    step.timeout = timeout.or(step.timeout);
                    step.attempts = attempts.or(step.attempts);
                }
            }
        }
    }

    fn is_not_undone(&self, step: &StepId) -> bool {
        self.workflow.find(step).is_some_and(|ix| self.steps[ix].status == StepStatus::CompensationFailed)
    }

    fn undone_by_hand(&mut self, step: &StepId, at: Timestamp) {
        let Some(ix) = self.workflow.find(step) else { return };
        self.steps[ix].undo.ended_at = Some(at);
        self.set_status(ix, StepStatus::Compensated);
    }

    fn wished(&mut self, step: &StepId, wish: Wish) {
        let Some(ix) = self.workflow.find(step) else { return };
        self.steps[ix].wish = Some(Box::new(wish));
        self.blocks_no_more(ix);
    }

    /// A step that failed holds nothing up once somebody said how it is to end.
    pub(super) fn blocks_no_more(&mut self, ix: StepIx) {
        if self.blocking.remove(&ix) {
            self.anew(ix);
        }
    }

    fn tried_again(&mut self, ix: StepIx) {
        self.blocks_no_more(ix);
        if self.steps[ix].status == StepStatus::CompensationFailed {
            self.steps[ix].undo.attempt = 0;
            self.set_status(ix, StepStatus::CompensationInterrupted);
        }
    }

    /// A step that failed for good is as if it had not been tried, but for what it may have changed.
    pub(super) fn anew(&mut self, ix: StepIx) {
        let step = &mut self.steps[ix];
        step.generation += 1;
        step.attempt = 0;
        step.handle = None;
        step.before = step.before.take().filter(|_| step.intent);
        step.ended_at = None;
        step.approval = None;
        step.asked = false;
        let intent = step.intent;
        self.set_status(ix, if intent { StepStatus::Interrupted } else { StepStatus::Pending });
    }

    /// Returns who paused the run by hand, while it is.
    pub fn held(&self) -> Option<&Word> {
        self.held.as_ref()
    }

    /// Returns who gave the run up, from then to its end.
    pub fn cancelled(&self) -> Option<&Cancelled> {
        self.cancelled.as_ref()
    }

    /// Tells whether the failing side still works with us, by what is known now.
    pub fn mode(&self) -> Mode {
        self.mode.or_else(|| self.header().map(|header| header.mode)).unwrap_or(Mode::Unplanned)
    }

    /// Tells what kind of run it is, by what is known now.
    pub fn occasion(&self) -> Occasion {
        let drill = self.header().is_some_and(|header| header.drill.is_some());
        self.workflow.def().occasion(self.mode(), drill)
    }
}
