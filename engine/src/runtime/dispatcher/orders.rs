//! What steps ask and operators order: questions, decisions, interruptions.

use super::{Action, Dispatcher, Signalled, WORDS_LEN_MAX};
use crate::model::event::{Event, Operator, clip};
use crate::model::ids::StepId;
use crate::model::run_state::StepStatus;
use crate::model::workflow::StepIx;
use crate::report::Notice;
use crate::runtime::RunError;
use crate::runtime::control::{Control, Refusal};
use crate::step::{Decision, StepSignal};

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

    pub(super) fn ordered(&mut self, order: Control) -> Result<(), RunError> {
        match order {
            Control::Interrupt { reason } => {
                if self.leaving.is_none() {
                    self.reporter.notice(&Notice::Leaving { reason: reason.clone() }, &self.state);
                    self.interrupt_active()?;
                    self.leaving = Some(reason);
                }
                Ok(())
            }
            Control::Decide { step, granted, by, reason, reply } => match self.undecided(&step) {
                Ok(ix) => {
                    self.decide_approval(ix, granted, by, reason)?;
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

    fn undecided(&self, step: &StepId) -> Result<StepIx, Refusal> {
        if self.leaving.is_some() {
            return Err(Refusal::Leaving);
        }
        let known = || (0..self.state.workflow().len()).map(|ix| self.state.workflow().id(ix).as_str());
        let missing =
            || Refusal::NoSuchStep { step: step.to_string(), hint: crate::model::ron_fields::did_you_mean(step.as_str(), known()) };
        let ix = self.state.workflow().find(step).ok_or_else(missing)?;
        match self.state.step(ix).status {
            StepStatus::Waiting => Ok(ix),
            status => Err(Refusal::NotWaiting { step: step.clone(), status: format!("{status:?}").to_lowercase() }),
        }
    }
}
