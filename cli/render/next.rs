//! What an operator can type next, given where a run is; and what of it can still be undone.

use serde::Serialize;
use wf_engine::model::event::RunOutcome;
use wf_engine::model::ids::{RunId, StepId};
use wf_engine::model::run_state::{RunPhase, RunState, StepStatus};
use wf_engine::model::workflow::StepIx;

use super::{Ink, Look, clean, count, pad};

/// How many steps a list names before it only counts.
const NAMED_MAX: usize = 12;

/// A command to type, and what it does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Next {
    /// The command line.
    pub command: String,
    /// What it does.
    pub does: String,
}

/// Returns the commands that make sense for a run that is where `state` says, and that a process drives (`live`) or not.
pub fn commands(run: &RunId, state: &RunState, live: bool) -> Vec<Next> {
    let next = |command: String, does: String| Next { command, does };
    match state.phase() {
        RunPhase::Forward | RunPhase::Compensating if !live => left(run, state),
        RunPhase::Forward | RunPhase::Compensating if state.held().is_some() => {
            vec![
                next(format!("wf resume {run}"), "goes on".to_owned()),
                next(format!("wf cancel {run} --rollback --reason …"), "undoes everything".to_owned()),
            ]
        }
        RunPhase::Forward => {
            let asking = (0..state.steps().len()).filter(|&ix| state.step(ix).status == StepStatus::Waiting);
            asking.flat_map(|ix| answers(run, state.workflow().id(ix))).collect()
        }
        RunPhase::Paused => paused(run, state),
        RunPhase::Finished(RunOutcome::Stuck) => {
            let failed = with_status(state, &[StepStatus::CompensationFailed]);
            let again = match failed.is_empty() {
                true => "carries the rollback to its end".to_owned(),
                false => format!("tries again to undo {}", names(state, &failed)),
            };
            let by_hand = failed.first().map(|&ix| {
                let step = state.workflow().id(ix);
                next(format!("wf mark-done {run} {step} --reason …"), format!("if you undid {step} by hand; then `wf resume`"))
            });
            let log = next(format!("wf log {run}"), "shows everything that happened".to_owned());
            [Some(next(format!("wf resume {run}"), again)), by_hand, Some(log)].into_iter().flatten().collect()
        }
        RunPhase::Compensating
        | RunPhase::Finished(
            RunOutcome::Completed | RunOutcome::CompletedWithExceptions | RunOutcome::RolledBack | RunOutcome::Abandoned,
        ) => Vec::new(),
    }
}

/// Returns the two answers to a step's question.
pub fn answers(run: &RunId, step: &StepId) -> [Next; 2] {
    [
        Next { command: format!("wf approve {run} {step}"), does: "goes on".to_owned() },
        Next { command: format!("wf reject {run} {step}"), does: "fails the step".to_owned() },
    ]
}

fn left(run: &RunId, state: &RunState) -> Vec<Next> {
    let resume = Next { command: format!("wf resume {run}"), does: "carries on where it stopped".to_owned() };
    if state.phase() == RunPhase::Compensating {
        vec![resume]
    } else {
        [Some(resume), rollback(run, state)].into_iter().flatten().collect()
    }
}

fn paused(run: &RunId, state: &RunState) -> Vec<Next> {
    let mut all = Vec::new();
    let failed: Vec<_> = state.blocking().iter().copied().collect();
    if failed.is_empty() {
        for ix in undecided(state) {
            let step = state.workflow().id(ix);
            all.push(Next {
                command: format!("wf resume {run} --redo {step}"),
                does: format!("if {step} did not take effect: runs it again"),
            });
            all.push(Next {
                command: format!("wf resume {run} --mark-done {step}"),
                does: format!("if {step} took effect: goes on behind it"),
            });
        }
    } else {
        all.push(Next { command: format!("wf resume {run}"), does: format!("tries {} again and goes on", names(state, &failed)) });
    }
    if let [ix] = failed.as_slice() {
        let step = state.workflow().id(*ix);
        all.push(Next {
            command: format!("wf resume {run} --mark-done {step}"),
            does: format!("if you did {step} by hand: goes on behind it"),
        });
    }
    all.extend(rollback(run, state));
    all
}

fn rollback(run: &RunId, state: &RunState) -> Option<Next> {
    let undoable = undoable(state);
    if undoable.is_empty() {
        return None;
    }
    let sure = if state.point_of_no_return().is_some() { " --past-point-of-no-return" } else { "" };
    let rest = if sure.is_empty() { "" } else { "; what cannot be undone stays" };
    Some(Next { command: format!("wf rollback {run}{sure}"), does: format!("undoes {}{rest}", names(state, &undoable)) })
}

/// Returns the interrupted steps of which nobody knows what they did, and that no operator has decided on.
fn undecided(state: &RunState) -> Vec<StepIx> {
    let undecided = |&ix: &StepIx| {
        let step = state.step(ix);
        step.status == StepStatus::Interrupted && step.unknown && !step.redo
    };
    (0..state.steps().len()).filter(undecided).collect()
}

/// Returns the steps whose before-image can still be restored.
fn undoable(state: &RunState) -> Vec<StepIx> {
    let open = |&ix: &StepIx| state.can_undo(ix) && state.step(ix).status != StepStatus::Compensated;
    (0..state.steps().len()).filter(open).collect()
}

/// Returns the steps that changed, or may have changed, what will stay so: irreversible ones, and those that the plan does not compensate.
fn stays(state: &RunState) -> Vec<StepIx> {
    let stays = |&ix: &StepIx| (state.step(ix).intent || state.step(ix).irreversible) && !state.can_undo(ix);
    (0..state.steps().len()).filter(stays).collect()
}

/// Returns the steps in one of the given statuses.
fn with_status(state: &RunState, statuses: &[StepStatus]) -> Vec<StepIx> {
    (0..state.steps().len()).filter(|&ix| statuses.contains(&state.step(ix).status)).collect()
}

/// Names steps: all of a few, the first of many.
pub fn names(state: &RunState, steps: &[StepIx]) -> String {
    let named: Vec<_> = steps.iter().take(NAMED_MAX).map(|&ix| state.workflow().id(ix).as_str()).collect();
    match steps.len().saturating_sub(NAMED_MAX) {
        0 => named.join(", "),
        more => format!("{} and {}", named.join(", "), count(more, "more step")),
    }
}

/// A step and what it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Named {
    /// The step.
    pub step: StepId,
    /// Its kind.
    pub kind: String,
}

/// What of a run can still be undone and what cannot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Undoing {
    /// Steps whose before-image can be restored.
    pub can: Vec<Named>,
    /// Steps that changed what will stay so.
    pub cannot: Vec<Named>,
}

impl Undoing {
    /// Looks through a run's steps.
    pub fn of(state: &RunState) -> Self {
        let workflow = state.workflow();
        let named = |ix: StepIx| Named { step: workflow.id(ix).clone(), kind: clean(&workflow.step(ix).kind.value).into_owned() };
        Self { can: undoable(state).into_iter().map(named).collect(), cannot: stays(state).into_iter().map(named).collect() }
    }

    /// Writes both lists; nothing when nothing was changed.
    pub fn text(&self, look: &Look) -> String {
        let mut text = String::new();
        for (title, steps) in [("Can still be undone:", &self.can), ("Cannot be undone:", &self.cannot)] {
            if steps.is_empty() {
                continue;
            }
            text.push_str(&format!("  {}\n", look.paint(Ink::Bold, title)));
            for named in steps.iter().take(NAMED_MAX) {
                text.push_str(&format!("    {}  {}\n", pad(named.step.as_str(), 18), look.paint(Ink::Dim, &named.kind)));
            }
            if steps.len() > NAMED_MAX {
                text.push_str(&format!("    … and {}\n", count(steps.len() - NAMED_MAX, "more step")));
            }
        }
        text
    }
}

/// Writes commands with what they do, one a line.
pub fn commands_text(commands: &[Next], look: &Look) -> String {
    let Some(widest) = commands.iter().map(|next| next.command.len()).max() else { return String::new() };
    let fits = commands.iter().all(|next| widest + next.does.chars().count() + 7 <= look.width);
    let mut text = format!("  {}\n", look.paint(Ink::Bold, "Type next:"));
    for next in commands {
        let command = look.paint(Ink::Busy, &pad(&next.command, if fits { widest } else { 0 }));
        let between = if fits { "   " } else { "\n        " };
        text.push_str(&format!("    {command}{between}{}\n", next.does));
    }
    text
}
