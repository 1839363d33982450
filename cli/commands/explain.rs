//! `wf explain`: why each step of a run is where it is, and what `wf resume` would do with it. It reads, and asks nobody.

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use wf_engine::model::event::{Event, StepFailure};
use wf_engine::model::ids::StepId;
use wf_engine::model::record::Record;
use wf_engine::model::run_state::{RunPhase, RunState, StepStatus};
use wf_engine::model::workflow::StepIx;
use wf_engine::registry::{BoundWorkflow, Imports};
use wf_engine::runtime::{Replayed, RunError};

use crate::console::Console;
use crate::diagnostics::Exit;
use crate::failure::Failure;
use crate::render::lines::{order_words, why};
use crate::render::{Look, clean, cut, pad, state_word};
use crate::runs::{Found, Runs, failed};
use crate::sim_world::offline_registry;

/// What a resume does with a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
enum Resumed {
    /// Takes its result from the journal.
    Replay,
    /// Looks at the world first, and changes only what is not as desired.
    Observe,
    /// Tries it anew.
    Rerun,
    /// Starts it when its needs are met.
    Run,
    /// Stops and asks the operator.
    Halt,
    /// Restores its before-image.
    Undo,
    /// Leaves it as it is.
    Leave,
}

/// A step, explained.
#[derive(Debug, Serialize)]
struct Explained {
    step: StepId,
    kind: String,
    status: StepStatus,
    on_resume: Resumed,
    /// Why it is where it is, a sentence each, the latest last.
    why: Vec<String>,
    /// What a resume does with it.
    then: String,
}

pub async fn explain(console: &mut Console, state_dir: &Path, run: &str, step: Option<&str>) -> Result<Exit, Failure> {
    let runs = Runs::open(state_dir)?;
    let run = runs.find(run).await?;
    let (replayed, found) = runs.replayed(&run).await?;
    let steps = explained(&replayed, &found)?;
    let chosen = match step {
        None => None,
        Some(text) => {
            let known = || steps.iter().map(|step| step.step.as_str());
            let missing = || {
                let hint = wf_engine::model::ron_fields::did_you_mean(text, known());
                Failure::usage(format!("run {run} has no step `{}`{hint}", text.escape_debug())).help("`wf explain RUN` shows them all")
            };
            Some(steps.iter().find(|step| step.step.as_str() == text).ok_or_else(missing)?)
        }
    };
    match (chosen, console.json()) {
        (None, true) => console.document(&steps)?,
        (Some(step), true) => console.document(step)?,
        (None, false) => console.data(&table(&replayed, found.live_at.is_some(), &steps, console.out_look()))?,
        (Some(step), false) => console.data(&alone(step))?,
    }
    Ok(Exit::Completed)
}

fn explained(replayed: &Replayed, found: &Found) -> Result<Vec<Explained>, Failure> {
    let Replayed { header, workflow, state, .. } = replayed;
    let bound = offline_registry().bind(Arc::clone(workflow), &header.inputs, &Imports::Values(&header.imports));
    let unbound = |problems| failed(&header.run, RunError::Workflow { problems, text: workflow.text().to_owned() });
    let bound = bound.map_err(unbound)?;
    let over = matches!(state.phase(), RunPhase::Finished(_)) && after_resume(replayed, found).is_none();
    let after = after_resume(replayed, found).unwrap_or_else(|| replayed.state.clone());
    let one = |ix: StepIx| {
        let (on_resume, then) = if over { (Resumed::Leave, "the run is over".to_owned()) } else { on_resume(&bound, state, &after, ix) };
        Explained {
            step: workflow.id(ix).clone(),
            kind: workflow.step(ix).kind.value.clone(),
            status: state.step(ix).status,
            on_resume,
            why: reasons(replayed, &found.records, ix),
            then,
        }
    };
    Ok((0..workflow.len()).map(one).collect())
}

/// Returns the state that a resume would begin with; none when the run cannot be resumed.
fn after_resume(replayed: &Replayed, found: &Found) -> Option<RunState> {
    let last = found.records.last()?;
    let event = Event::RunResumed { by: replayed.header.by.clone() };
    let mut state = replayed.state.clone();
    state.apply(&Record { seq: last.seq + 1, epoch: last.epoch + 1, event, ..last.clone() }).ok()?;
    Some(state)
}

fn on_resume(bound: &BoundWorkflow, now: &RunState, after: &RunState, ix: StepIx) -> (Resumed, String) {
    let (step, workflow) = (after.step(ix), bound.workflow());
    let told = |resumed, text: &str| (resumed, text.to_owned());
    if after.phase() == RunPhase::Compensating || (!after.blocking().is_empty() && after.rolls_back()) {
        return match step.status {
            StepStatus::Compensated => told(Resumed::Leave, "it is undone"),
            _ if after.can_undo(ix) => told(Resumed::Undo, "what it changed is restored"),
            _ => told(Resumed::Leave, "it has nothing to undo, or it cannot be undone"),
        };
    }
    match step.status {
        StepStatus::Succeeded => told(Resumed::Replay, "its result is on record, nothing is done again"),
        StepStatus::Skipped | StepStatus::Unreachable => told(Resumed::Replay, "the run goes on without it"),
        StepStatus::Failed if after.blocking().contains(&ix) => {
            told(Resumed::Leave, "it has failed, and what follows from that comes first")
        }
        StepStatus::Failed => told(Resumed::Replay, "it failed, and the plan goes on without it"),
        _ if step.unknown && !step.redo && bound.halts(ix) => {
            (Resumed::Halt, format!("nobody can tell whether it took effect: look, then --redo {0} or --mark-done {0}", workflow.id(ix)))
        }
        _ if step.handle.is_some() => told(Resumed::Observe, "its change was accepted: the rest of the wait follows"),
        _ if step.intent => {
            told(Resumed::Observe, "its change may have taken effect: it looks at the world, and changes only what is not so")
        }
        _ if matches!(now.step(ix).status, StepStatus::Failed) => told(Resumed::Rerun, "it is tried anew, from its first attempt"),
        StepStatus::Interrupted | StepStatus::Running | StepStatus::Retrying | StepStatus::Waiting => {
            told(Resumed::Rerun, "it had changed nothing yet: it begins again")
        }
        _ => {
            let open: Vec<_> =
                workflow.needs(ix).filter(|&need| !is_done(after.step(need).status)).map(|need| workflow.id(need).as_str()).collect();
            let then = if open.is_empty() { "it starts at once".to_owned() } else { format!("it starts after {}", open.join(", ")) };
            (Resumed::Run, then)
        }
    }
}

fn is_done(status: StepStatus) -> bool {
    matches!(status, StepStatus::Succeeded | StepStatus::Skipped)
}

/// Returns why a step is where it is, from its events.
fn reasons(replayed: &Replayed, records: &[Record], ix: StepIx) -> Vec<String> {
    let Replayed { header, workflow, state, .. } = replayed;
    let (id, step) = (workflow.id(ix), state.step(ix));
    let mut reasons: Vec<String> =
        records.iter().filter(|record| record.event.step() == Some(id)).filter_map(|record| reason(&record.event)).collect();
    match step.status {
        StepStatus::Pending => {
            let open: Vec<_> = workflow.needs(ix).filter(|&need| !is_done(state.step(need).status)).collect();
            let named = |need: &StepIx| format!("{} ({})", workflow.id(*need), word(state.step(*need).status));
            match open.as_slice() {
                [] if !matches!(state.phase(), RunPhase::Forward) => reasons.push("the run stopped before its turn".to_owned()),
                [] => reasons.push("its needs are met: it waits for its turn".to_owned()),
                open => reasons.push(format!("it waits for {}", open.iter().map(named).collect::<Vec<_>>().join(", "))),
            }
        }
        StepStatus::Waiting => reasons.push(format!("it waits for an answer: `wf approve {} {id}`", header.run)),
        StepStatus::Running => reasons.push("it is under way, or its process ended without a word".to_owned()),
        StepStatus::Retrying => {
            reasons.push(step.retry_at.map_or_else(|| "it is tried again".to_owned(), |at| format!("it is tried again at {at}")))
        }
        _ => {}
    }
    reasons
}

fn reason(event: &Event) -> Option<String> {
    let failed = |failure: &StepFailure| [vec![clean(&failure.message).into_owned()], why(failure)].concat().join("; ");
    Some(match event {
        Event::StepObserved { satisfied: true, .. } => "the world already was as desired".to_owned(),
        Event::PointOfNoReturnPassed { .. } => "it passed the point of no return".to_owned(),
        Event::ApprovalDecided { granted, by, reason, .. } => {
            let said = if *granted { "approved" } else { "refused" };
            format!("{said} by {}: {}", clean(&by.user), clean(reason))
        }
        Event::AttemptFailed { attempt, failure, .. } => format!("attempt {attempt} failed: {}", failed(failure)),
        Event::StepFailed { failure, .. } => format!("it failed: {}", failed(failure)),
        Event::StepUnreachable { failure, .. } => format!("it could not be reached: {}", failed(failure)),
        Event::StepSkipped { reason, .. } => format!("it was left out: {}", clean(reason)),
        Event::StepInterrupted { .. } => "it was left before its result was known".to_owned(),
        Event::StepRedone { by, .. } => format!("{} said that it may run again", clean(&by.user)),
        Event::StepMarkedDone { by, reason, .. } => format!("{} said that it is done: {}", clean(&by.user), clean(reason)),
        Event::Ordered { order, by, reason } => format!("{}, ordered by {}: {}", order_words(order), clean(&by.user), clean(reason)),
        Event::CompensationStarted { attempt: 1, .. } => "the run was rolled back".to_owned(),
        Event::CompensationAttemptFailed { attempt, failure, .. } => format!("undoing it failed, attempt {attempt}: {}", failed(failure)),
        Event::CompensationFailed { failure, .. } => format!("it could not be undone: {}", failed(failure)),
        _ => return None,
    })
}

fn word(status: StepStatus) -> String {
    let name = serde_json::to_value(status).ok().and_then(|name| name.as_str().map(str::to_lowercase));
    name.unwrap_or_default()
}

fn table(replayed: &Replayed, live: bool, steps: &[Explained], look: &Look) -> String {
    let width = |of: &dyn Fn(&Explained) -> usize, least: usize| steps.iter().map(of).max().unwrap_or_default().max(least);
    let ids = width(&|step| step.step.as_str().chars().count(), 4);
    let words = width(&|step| word(step.status).chars().count(), 6);
    let mut text = format!("{} {}: {}\n\n", clean(&replayed.header.workflow), replayed.header.run, state_word(&replayed.state, live).0);
    text.push_str(&format!("  {}  {}  ON RESUME\n", pad("STEP", ids), pad("STATUS", words)));
    for step in steps {
        let lead = format!("  {}  {}  {}  ", pad(step.step.as_str(), ids), pad(&word(step.status), words), pad(&label(step.on_resume), 7));
        let room = if look.tty { look.width.saturating_sub(lead.chars().count()).max(30) } else { 140 };
        text.push_str(&format!("{lead}{}\n", cut(&step.then, room)));
        if let Some(last) = step.why.last().filter(|_| !is_done(step.status)) {
            text.push_str(&format!("{}{}\n", " ".repeat(lead.chars().count()), cut(last, room)));
        }
    }
    text.push_str(&format!("\n  `wf explain {} STEP` tells all that led there.\n", replayed.header.run));
    text
}

fn label(resumed: Resumed) -> String {
    serde_json::to_value(resumed).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
}

fn alone(step: &Explained) -> String {
    let mut text = format!("{} ({}): {}\n", step.step, clean(&step.kind), word(step.status));
    for why in &step.why {
        text.push_str(&format!("  - {why}\n"));
    }
    text.push_str(&format!("  on resume: {}: {}\n", label(step.on_resume), step.then));
    text
}
