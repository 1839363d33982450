//! What steps ask and operators order: questions, decisions, interruptions.

use super::{Action, Dispatcher, Signalled, WORDS_LEN_MAX};
use crate::clock::between;
use crate::model::event::{Event, Operator, clip};
use crate::model::order::{self, Order, Refusal};
use crate::model::run_state::{RunPhase, StepStatus, Wish, Word};
use crate::model::workflow::StepIx;
use crate::report::Notice;
use crate::runtime::RunError;
use crate::runtime::control::Control;
use crate::step::{Decision, StepSignal};
use crate::units::Span;

impl Dispatcher {
    pub(super) fn signalled(&mut self, signalled: Signalled) -> Result<(), RunError> {
        let Signalled { ix, serial, signal } = signalled;
        let Some(executing) = self.executing.get_mut(&ix).filter(|executing| executing.serial == serial) else { return Ok(()) };
        match signal {
            StepSignal::Progress(text) => {
                executing.words = Some(clip(text.clone(), WORDS_LEN_MAX));
                let notice = Notice::Progress { step: self.id(ix), text };
                self.reporter.notice(&notice, &self.state);
                Ok(())
            }
            StepSignal::Ask { message, timeout, answer } => {
                if let Some((granted, by, reason)) = self.state.step(ix).approval.clone() {
                    self.actions.push(Action::Answer(answer, Decision { granted, by, reason }));
                    return Ok(());
                }
                executing.question = Some(answer);
                let expires_at = self.clock.now() + timeout;
                self.emit(Event::ApprovalRequested { step: self.id(ix), message, expires_at })?;
                if self.approve_all {
                    let by = self.by.clone();
                    self.decide_approval(ix, true, by, "approved in advance (--yes)".to_owned())?;
                }
                Ok(())
            }
        }
    }

    fn decide_approval(&mut self, ix: StepIx, granted: bool, by: Operator, reason: String) -> Result<(), RunError> {
        let decision = Decision { granted, by: format!("{}@{}", by.user, by.host), reason: reason.clone() };
        self.emit(Event::ApprovalDecided { step: self.id(ix), granted, by, reason })?;
        if let Some(answer) = self.executing.get_mut(&ix).and_then(|executing| executing.question.take()) {
            self.actions.push(Action::Answer(answer, decision));
        }
        Ok(())
    }

    pub(super) fn ordered(&mut self, control: Control) -> Result<(), RunError> {
        match control {
            Control::Interrupt { reason } => {
                if self.leaving.is_none() {
                    self.reporter.notice(&Notice::Leaving { reason: reason.clone() }, &self.state);
                    self.leaving = Some(reason);
                    self.interrupt_active()?;
                }
                Ok(())
            }
            Control::Order { order, by, reason, reply } => match self.possible(&order) {
                Ok(()) => {
                    self.obey(order, by, reason)?;
                    self.actions.push(Action::Reply(reply));
                    Ok(())
                }
                Err(refusal) => {
                    // Whoever asked may have gone.
                    drop(reply.send(Err(refusal)));
                    Ok(())
                }
            },
        }
    }

    fn possible(&self, order: &Order) -> Result<(), Refusal> {
        if self.leaving.is_some() {
            return Err(Refusal::Leaving);
        }
        order.check(&self.state)?;
        if let Order::Adjust { step, timeout: Some(timeout), .. } = order {
            let ix = order::find(&self.state, step)?.0;
            let alive = self.state.step(ix).alive_since.filter(|_| self.executing.contains_key(&ix));
            if let Some(spent) = alive.map(|since| between(since, self.clock.now())).filter(|spent| *spent >= timeout.0) {
                let spent = Span::secs(spent.as_secs());
                return Err(Refusal::Figures(format!(
                    "step `{step}` has taken {spent} already, so it would end at once: `wf skip` leaves it out"
                )));
            }
        }
        Ok(())
    }

    /// Records an order, and does what it asks for at once. The rest follows from the state.
    fn obey(&mut self, order: Order, by: Operator, reason: String) -> Result<(), RunError> {
        let ix = order.step().and_then(|step| self.state.workflow().find(step));
        if let (Order::Approve { .. } | Order::Reject { .. }, Some(ix)) = (&order, ix) {
            return self.decide_approval(ix, matches!(order, Order::Approve { .. }), by, reason);
        }
        self.emit(order.clone().event(by, reason))?;
        match (order, ix) {
            (Order::Resume, _) => self.make_up_for_pause(),
            (Order::Retry { .. }, Some(ix)) if self.state.step(ix).retry_at.is_some() => self.next_attempt(ix),
            (Order::Skip { .. } | Order::MarkDone { .. }, Some(ix)) => self.leave(ix),
            (Order::Adjust { timeout: Some(_), .. }, Some(ix)) => {
                self.actions.push(Action::Deadline(ix, self.deadline(ix)));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Starts the attempts whose time came while the run was paused.
    fn make_up_for_pause(&mut self) -> Result<(), RunError> {
        let due: Vec<_> = self.state.active().iter().copied().filter(|ix| !self.executing.contains_key(ix)).collect();
        due.into_iter().try_for_each(|ix| self.next_attempt(ix))
    }

    /// Starts the attempt that a step waits for.
    fn next_attempt(&mut self, ix: StepIx) -> Result<(), RunError> {
        // The timer that is set for it is nobody's any more.
        self.executing.remove(&ix);
        if self.state.phase() == RunPhase::Compensating { self.compensate(ix) } else { self.start(ix) }
    }

    /// Has one step left at its next safe point.
    fn leave(&mut self, ix: StepIx) -> Result<(), RunError> {
        match self.state.step(ix).status {
            StepStatus::Retrying => {
                self.executing.remove(&ix);
                self.emit(Event::StepInterrupted { step: self.id(ix) })
            }
            _ => {
                if let Some(executing) = self.executing.get(&ix) {
                    executing.leave.send_replace(true);
                }
                Ok(())
            }
        }
    }

    pub(super) fn end_as_wished(&mut self, ix: StepIx) -> Result<(), RunError> {
        let step = self.id(ix);
        let Some(wish) = self.state.step(ix).wish.clone() else { return Ok(()) };
        let Wish { word: Word { by, reason, .. }, done } = *wish;
        let event = match done {
            Some(outputs) => Event::StepMarkedDone { step, outputs, by, reason },
            None if reason.is_empty() => Event::StepSkipped { step, reason: format!("by order of {}@{}", by.user, by.host) },
            None => Event::StepSkipped { step, reason: format!("by order of {}@{}: {reason}", by.user, by.host) },
        };
        self.emit(event)
    }

    pub(super) fn begin_rollback(&mut self) -> Result<(), RunError> {
        let event = match self.state.cancelled() {
            Some(cancelled) => Event::RollbackStarted { reason: cancelled.word.reason.clone(), by: Some(cancelled.word.by.clone()) },
            None if self.state.blocking().is_empty() => {
                Event::RollbackStarted { reason: "every step is done, and what they did is put back".to_owned(), by: None }
            }
            None => Event::RollbackStarted { reason: self.failed_steps(), by: None },
        };
        self.emit(event)
    }
}
