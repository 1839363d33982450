//! `wf status`: where a run is, whether or not a process drives it.

use std::path::Path;

use serde_json::{Value, json};
use wf_engine::model::run_state::StepStatus;
use wf_engine::model::workflow::StepIx;
use wf_engine::runtime::Replayed;

use crate::args::Status;
use crate::commands::follow;
use crate::console::Console;
use crate::diagnostics::Exit;
use crate::failure::Failure;
use crate::render::tables::status_text;
use crate::run_summary::{RunSummary, State};
use crate::runs::{Found, Runs};

pub async fn status(console: &mut Console, state_dir: &Path, args: &Status) -> Result<Exit, Failure> {
    let runs = Runs::open(state_dir)?;
    let run = runs.find(&args.run).await?;
    let (mut replayed, mut found) = runs.replayed(&run).await?;
    if args.follow {
        match found.live_at {
            Some(now) => {
                follow::follow(console, &runs, state_dir, &replayed, &found.records, now).await?;
                (replayed, found) = runs.replayed(&run).await?;
            }
            None => console.say("no process drives this run: there is nothing to follow"),
        }
    }
    if console.json() {
        let pid = found.live_at.and_then(|_| runs.owner(&run)).map(|owner| owner.pid);
        console.document(&document(&replayed, &found, pid))?;
        return Ok(Exit::Completed);
    }
    let text = status_text(&replayed, &found.records, console.out_look(), found.live_at);
    console.data(&text)?;
    Ok(Exit::Completed)
}

fn document(replayed: &Replayed, found: &Found, pid: Option<u32>) -> Value {
    let Replayed { header, workflow, state, .. } = replayed;
    let live = found.live_at.is_some();
    let steps: Vec<_> = (0..workflow.len()).map(|ix| step(replayed, ix)).collect();
    let ids =
        |wanted: &dyn Fn(StepIx) -> bool| -> Vec<_> { (0..workflow.len()).filter(|&ix| wanted(ix)).map(|ix| workflow.id(ix)).collect() };
    json!({
        "run": header.run,
        "workflow": header.workflow,
        "file": header.file,
        "world": header.world,
        "mode": state.mode(),
        "state": State::of(state, live),
        "pid": pid,
        "outcome": RunSummary::of(replayed, live).outcome,
        "reason": state.pause_reason(),
        "paused_by": state.held().map(|word| json!({ "by": word.by, "reason": word.reason, "at": word.at })),
        "started_at": state.started_at(),
        "last_at": state.last_at(),
        "follows": header.follows,
        "inputs": header.inputs,
        "imports": header.imports,
        "started_by": header.by,
        "point_of_no_return": state.point_of_no_return().map(|ix| workflow.id(ix)),
        "can_be_undone": ids(&|ix| state.can_undo(ix) && state.step(ix).status != StepStatus::Compensated),
        "cannot_be_undone": ids(&|ix| state.step(ix).irreversible),
        "records": found.records.len(),
        "steps": steps,
    })
}

fn step(replayed: &Replayed, ix: StepIx) -> Value {
    let Replayed { workflow, state, .. } = replayed;
    let step = state.step(ix);
    json!({
        "id": workflow.id(ix),
        "kind": workflow.step(ix).kind.value,
        "needs": workflow.needs(ix).map(|need| workflow.id(need)).collect::<Vec<_>>(),
        "status": step.status,
        "attempt": step.attempt,
        "started_at": step.started_at,
        "ended_at": step.ended_at,
        "retry_at": step.retry_at,
        "before": step.before,
        "outputs": step.outputs,
        "failure": step.failure,
        "approval": step.approval.as_ref().map(|(granted, by, reason)| json!({ "granted": granted, "by": by, "reason": reason })),
        "irreversible": step.irreversible,
        "undo": { "attempt": step.undo.attempt, "started_at": step.undo.started_at, "ended_at": step.undo.ended_at },
    })
}
