//! `wf list`: the runs, newest first.

use std::path::Path;

use serde_json::json;
use wf_engine::clock::{Clock as _, SystemClock, between};
use wf_engine::model::event::RunOutcome;
use wf_engine::model::ids::RunId;

use crate::args::{List, StateArg};
use crate::console::Console;
use crate::diagnostics::Exit;
use crate::failure::Failure;
use crate::render::count;
use crate::render::tables::{ListRow, list_table};
use crate::run_summary::{RunSummary, State, summary};
use crate::runs::Runs;

pub async fn list(console: &mut Console, state_dir: &Path, wanted: &List) -> Result<Exit, Failure> {
    let runs = Runs::open(state_dir)?;
    let since = wanted.since.map_or(0, |since| since.as_ms(SystemClock.now()));
    let mut listed = Vec::new();
    let ids = runs.ids().await?;
    for run in ids.iter().rev().filter(|run| run.made_at_ms() >= since) {
        let summary = summary(&runs, run).await;
        if is_wanted(wanted, &summary) {
            listed.push((run.clone(), summary));
        }
    }
    if console.json() {
        let all: Vec<_> = listed.iter().map(|(run, summary)| document(run, summary)).collect();
        console.document(&all)?;
    } else if ids.is_empty() {
        console.say("no runs yet: `wf run FILE` starts one");
    } else if listed.is_empty() {
        console.say(&format!("none of the {} is like that: `wf list` shows them all", count(ids.len(), "run")));
    } else {
        let rows: Vec<_> = listed.iter().map(|(run, summary)| row(run, summary)).collect();
        let text = list_table(&rows, console.out_look());
        console.data(&text)?;
    }
    Ok(Exit::Completed)
}

/// Tells whether a run is one of those that were asked for. Of one that cannot be read no workflow is known.
fn is_wanted(wanted: &List, summary: &Result<RunSummary, Failure>) -> bool {
    let of_workflow = wanted.workflow.as_ref().is_none_or(|name| summary.as_ref().is_ok_and(|summary| summary.workflow == *name));
    of_workflow && (wanted.state.is_empty() || wanted.state.iter().any(|&state| is_in(state, summary)))
}

fn is_in(wanted: StateArg, summary: &Result<RunSummary, Failure>) -> bool {
    let Ok(summary) = summary else { return wanted == StateArg::Unreadable };
    match wanted {
        // One that an operator holds up is both.
        StateArg::Live => summary.pid.is_some(),
        StateArg::Paused => summary.state == State::Paused,
        StateArg::Interrupted => summary.state == State::Interrupted,
        StateArg::Completed => summary.is_completed(),
        StateArg::RolledBack => summary.outcome == Some(RunOutcome::RolledBack),
        StateArg::Stuck => summary.outcome == Some(RunOutcome::Stuck),
        StateArg::Abandoned => summary.outcome == Some(RunOutcome::Abandoned),
        StateArg::Unreadable => false,
    }
}

fn document(run: &RunId, summary: &Result<RunSummary, Failure>) -> serde_json::Value {
    match summary {
        Ok(summary) => json!(summary),
        Err(failure) => json!({ "run": run, "state": "unreadable", "error": failure.to_string() }),
    }
}

fn row(run: &RunId, summary: &Result<RunSummary, Failure>) -> ListRow {
    match summary {
        Err(failure) => ListRow::unreadable(run.to_string(), &failure.to_string()),
        Ok(summary) => ListRow {
            run: run.to_string(),
            workflow: summary.workflow.clone(),
            state: word(summary),
            started: summary.started_at,
            duration: summary.started_at.zip(summary.last_at).map(|(start, end)| between(start, end).as_secs_f64()),
            steps_done: summary.steps_done,
            steps_total: summary.steps,
            follows: summary.follows.as_ref().map(ToString::to_string),
        },
    }
}

fn word(summary: &RunSummary) -> String {
    let pid = summary.pid.map_or_else(String::new, |pid| format!(", process {pid}"));
    match summary.state {
        State::Running => format!("running{pid}"),
        State::RollingBack => format!("rolling back{pid}"),
        State::Interrupted => "interrupted".to_owned(),
        State::Paused => "paused".to_owned(),
        State::Finished => summary.outcome.map_or_else(String::new, |outcome| outcome.to_string()),
    }
}
