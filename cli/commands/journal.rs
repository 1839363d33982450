//! `wf journal verify`: proves that journals are whole and unaltered.

use std::path::Path;

use serde_json::{Value, json};
use wf_engine::journal::JournalError;
use wf_engine::model::ids::RunId;
use wf_engine::runtime::replay;

use crate::args::Journal;
use crate::console::Console;
use crate::diagnostics::Exit;
use crate::failure::Failure;
use crate::runs::{Runs, failed};

pub async fn journal(console: &mut Console, state_dir: &Path, args: &Journal) -> Result<Exit, Failure> {
    let Journal::Verify { run, all } = args;
    let runs = Runs::open(state_dir)?;
    if !all {
        let run = runs.find(run).await?;
        let whole = verify(&runs, &run).await?;
        told(console, &run, &Verdict::Whole(whole))?;
        return Ok(Exit::Completed);
    }
    let mut exit = Exit::Completed;
    for run in runs.ids().await? {
        let verdict = match verify(&runs, &run).await {
            Ok(whole) => Verdict::Whole(whole),
            Err(Failure::Journal(JournalError::Locked { holder, .. })) => Verdict::Live { holder },
            Err(failure) => {
                exit = Exit::JournalUnusable;
                Verdict::Unusable { error: with_causes(&failure) }
            }
        };
        told(console, &run, &verdict)?;
    }
    Ok(exit)
}

/// A journal that is as it was written.
struct Whole {
    records: u64,
    head: String,
}

enum Verdict {
    Whole(Whole),
    /// A process drives the run: it is verified when it is at rest.
    Live {
        holder: String,
    },
    Unusable {
        error: String,
    },
}

/// Checks the chain of hashes, and that the events make sense one after the other.
async fn verify(runs: &Runs, run: &RunId) -> Result<Whole, Failure> {
    let verified = runs.journal().verify(run).await?;
    let records = wf_engine::journal::Journal::read(runs.journal().as_ref(), run).await?;
    replay(run, &records).map_err(|source| failed(run, source))?;
    Ok(Whole { records: verified.records, head: verified.head })
}

fn told(console: &mut Console, run: &RunId, verdict: &Verdict) -> Result<(), Failure> {
    if console.json() {
        let document: Value = match verdict {
            Verdict::Whole(whole) => json!({ "run": run, "ok": true, "records": whole.records, "head": whole.head }),
            Verdict::Live { holder } => json!({ "run": run, "ok": null, "held_by": holder }),
            Verdict::Unusable { error } => json!({ "run": run, "ok": false, "error": error }),
        };
        return console.json_line(&document);
    }
    console.data(&match verdict {
        Verdict::Whole(whole) => format!("{run}  ok, {} records, head {}", whole.records, whole.head),
        Verdict::Live { holder } => format!("{run}  not verified: in the hands of {holder}"),
        Verdict::Unusable { error } => format!("{run}  UNUSABLE: {error}"),
    })
}

fn with_causes(failure: &Failure) -> String {
    let mut text = failure.to_string();
    let mut cause = std::error::Error::source(failure);
    while let Some(error) = cause {
        if !text.contains(&error.to_string()) {
            text.push_str(&format!(": {error}"));
        }
        cause = error.source();
    }
    text
}
