//! `wf list`: the runs, newest first.

use std::path::Path;

use serde_json::json;
use wf_engine::clock::between;
use wf_engine::model::ids::RunId;

use crate::console::Console;
use crate::diagnostics::Exit;
use crate::failure::Failure;
use crate::render::tables::{ListRow, list_table};
use crate::run_summary::{RunSummary, State, summary};
use crate::runs::Runs;

pub async fn list(console: &mut Console, state_dir: &Path) -> Result<Exit, Failure> {
    let runs = Runs::open(state_dir)?;
    let mut listed = Vec::new();
    for run in runs.ids().await?.into_iter().rev() {
        let summary = summary(&runs, &run).await;
        listed.push((run, summary));
    }
    if console.json() {
        let all: Vec<_> = listed.iter().map(|(run, summary)| document(run, summary)).collect();
        console.document(&all)?;
    } else if listed.is_empty() {
        console.say("no runs yet: `wf run FILE` starts one");
    } else {
        let rows: Vec<_> = listed.iter().map(|(run, summary)| row(run, summary)).collect();
        let text = list_table(&rows, console.out_look());
        console.data(&text)?;
    }
    Ok(Exit::Completed)
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
