//! What a shell completes beyond verbs and flags: runs, their steps, workflow files. Asked for by the shell each time, so it only reads, and
//! an answer that cannot be had is no answer.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use clap_complete::engine::{CompletionCandidate, PathCompleter, ValueCompleter as _};
use wf_engine::runtime::Replayed;

use crate::run_ids::LATEST;
use crate::runs::Runs;

/// The most runs that are offered, the newest first.
const RUNS_MAX: usize = 50;

/// Returns the runs of the state directory, the newest first.
pub fn runs() -> Vec<CompletionCandidate> {
    let Ok(runs) = Runs::open(&state_dir()) else { return Vec::new() };
    let Ok(mut listed) = runs.layout().runs() else { return Vec::new() };
    listed.sort_unstable();
    let all = listed.iter().rev().take(RUNS_MAX).map(|run| CompletionCandidate::new(run.to_string()));
    [CompletionCandidate::new(LATEST)].into_iter().chain(all).collect()
}

/// Returns the steps of the run that the command line names, each with where it is.
pub fn steps() -> Vec<CompletionCandidate> {
    let words: Vec<_> = std::env::args().skip_while(|word| word != "--").skip(1).collect();
    let replayed = words.iter().skip(2).find_map(|word| replayed(word));
    let Some(Replayed { workflow, state, .. }) = replayed else { return Vec::new() };
    let candidate = |ix| {
        let status = format!("{:?}", state.step(ix).status).to_lowercase();
        CompletionCandidate::new(workflow.id(ix).to_string()).help(Some(status.into()))
    };
    (0..workflow.len()).map(candidate).collect()
}

/// Returns the RON files and directories that begin so.
pub fn workflows(current: &OsStr) -> Vec<CompletionCandidate> {
    let fits = |path: &Path| path.is_dir() || path.extension().is_some_and(|ext| ext == "ron");
    PathCompleter::any().filter(fits).complete(current)
}

fn replayed(word: &str) -> Option<Replayed> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    runtime.block_on(async {
        let runs = Runs::open(&state_dir()).ok()?;
        let run = runs.find(word).await.ok()?;
        Some(runs.replayed(&run).await.ok()?.0)
    })
}

/// The shell tells no flags apart here: a state directory that is named by one is not known.
fn state_dir() -> PathBuf {
    std::env::var_os("WF_STATE_DIR").filter(|dir| !dir.is_empty()).map_or_else(|| PathBuf::from(".wf"), PathBuf::from)
}
