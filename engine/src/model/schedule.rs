//! What may happen next: a pure function of the run's state. The dispatcher asks until there is nothing more to do now.

use super::event::RunOutcome;
use super::run_state::{RunPhase, RunState};
use super::workflow::StepIx;

/// The scheduler's wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Start a step, or carry an interrupted one on.
    Start(StepIx),
    /// Leave a step out: it is only part of runs of the other mode.
    Skip(StepIx),
    /// End a step as an operator said.
    EndAsWished(StepIx),
    /// Make the executors of all active steps leave at their next safe point.
    InterruptActive,
    /// Start compensating.
    BeginRollback,
    /// Compensate a step.
    Compensate(StepIx),
    /// Ask the operator.
    Pause(PauseCause),
    /// End the run.
    Finish(RunOutcome),
}

/// Why a run pauses by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PauseCause {
    /// Steps failed, and the run may not roll back by itself.
    Failed,
    /// Nobody can tell whether an interrupted step happened.
    Undecided(StepIx),
}

/// What the scheduler must know beside the state.
pub trait Limits {
    /// The most steps that may be active at once.
    fn max_parallel(&self) -> usize;
    /// Tells whether an interrupted step must be decided on by a human.
    fn halts(&self, ix: StepIx) -> bool;
}

/// Returns the next thing to do, or `None` to wait for one of the active steps. To be asked again after the command's event
/// was applied.
pub fn next_command(state: &RunState, limits: &impl Limits) -> Option<Command> {
    if let Some(cancelled) = state.cancelled() {
        return after_cancel(state, cancelled.rollback);
    }
    let command = match state.phase() {
        RunPhase::Forward if !state.blocking().is_empty() => Some(after_failure(state)?),
        RunPhase::Forward => forward(state, limits),
        RunPhase::Compensating => backward(state, limits),
        RunPhase::Paused | RunPhase::Finished(_) => None,
    };
    // Nothing begins while the run is paused by hand; that everything is done can be said.
    command.filter(|command| state.held().is_none() || matches!(command, Command::Finish(_)))
}

/// Somebody gave the run up: leave what is under way, then undo all, or nothing.
fn after_cancel(state: &RunState, rollback: bool) -> Option<Command> {
    match (state.phase(), state.active().is_empty()) {
        (RunPhase::Paused | RunPhase::Finished(_), _) => None,
        (RunPhase::Forward | RunPhase::Compensating, false) => Some(Command::InterruptActive),
        (RunPhase::Forward | RunPhase::Compensating, true) if rollback => Some(Command::BeginRollback),
        (RunPhase::Forward | RunPhase::Compensating, true) => Some(Command::Finish(RunOutcome::Abandoned)),
    }
}

/// A step failed: before the point of no return leave everything and go back, after it let the running steps end and ask.
fn after_failure(state: &RunState) -> Option<Command> {
    match (state.rolls_back(), state.active().is_empty()) {
        (true, true) => Some(Command::BeginRollback),
        (true, false) => Some(Command::InterruptActive),
        (false, true) => Some(Command::Pause(PauseCause::Failed)),
        (false, false) => None,
    }
}

fn forward(state: &RunState, limits: &impl Limits) -> Option<Command> {
    let undecided = |ix: &StepIx| {
        let step = state.step(*ix);
        step.unknown && !step.redo && limits.halts(*ix)
    };
    let (occasion, mut halted) = (state.occasion(), None);
    for ix in state.ready() {
        if state.step(ix).wish.is_some() {
            return Some(Command::EndAsWished(ix));
        }
        if !state.workflow().step(ix).takes_part(occasion) {
            return Some(Command::Skip(ix));
        }
        if undecided(&ix) {
            halted = halted.or(Some(ix));
        } else if state.active().len() < limits.max_parallel() {
            return Some(Command::Start(ix));
        } else {
            return None;
        }
    }
    match halted {
        _ if !state.active().is_empty() => None,
        Some(ix) => Some(Command::Pause(PauseCause::Undecided(ix))),
        None if state.left() == 0 && state.undoes() => Some(Command::BeginRollback),
        None if state.left() == 0 => {
            Some(Command::Finish(if state.exceptions() { RunOutcome::CompletedWithExceptions } else { RunOutcome::Completed }))
        }
        None => None,
    }
}

fn backward(state: &RunState, limits: &impl Limits) -> Option<Command> {
    match state.next_undo() {
        Some(ix) if state.active().len() < limits.max_parallel() => Some(Command::Compensate(ix)),
        Some(_) => None,
        None if !state.active().is_empty() => None,
        None if state.undo_left() == 0 => Some(Command::Finish(RunOutcome::RolledBack)),
        None => Some(Command::Finish(RunOutcome::Stuck)),
    }
}
