//! Who takes over what a run found before it changed it: workflows beside its file that follow it, and runs of them.

use std::collections::BTreeMap;
use std::path::Path;

use indexmap::IndexMap;
use wf_engine::model::ids::{RunId, StepId};
use wf_engine::model::workflow::{Source as Origin, Workflow, source_of};
use wf_engine::runtime::Replayed;

use super::changes::Restorer;
use crate::render::state_word;
use crate::run_summary::{RunSummary, summary};
use crate::runs::Runs;
use crate::sim_world::SIM;
use crate::source::Source;

/// The most files beside a workflow that are looked into.
const FILES_MAX: usize = 64;
/// The most runs that are told to follow one.
const RUNS_MAX: usize = 16;

/// What takes over values of a run.
#[derive(Debug, Clone)]
pub struct Follower {
    /// The workflow that takes them.
    workflow: String,
    /// Its file, or the run of it that did.
    which: Which,
    /// Step → the fields of its before-image.
    takes: BTreeMap<String, Vec<String>>,
}

#[derive(Debug, Clone)]
enum Which {
    File(String),
    Run { run: RunId, state: &'static str },
}

impl Follower {
    /// Says how this one restores what a step changed, if it took or takes the step's before-image.
    pub(super) fn restores(&self, step: &StepId, of: &Replayed) -> Option<Restorer> {
        let fields = self.takes.get(step.as_str())?.clone();
        Some(match &self.which {
            Which::Run { run, state } => Restorer::Run { run: format!("{} {run}", self.workflow), state: (*state).to_owned(), fields },
            // Only the last completed run is followed.
            Which::File(_) if !RunSummary::of(of, false).is_completed() => return None,
            Which::File(file) => {
                let sim = if of.header.world == SIM { " --sim" } else { "" };
                let command = format!("wf failback {file} --from {}{sim}", of.header.run);
                Restorer::Workflow { workflow: self.workflow.clone(), command, fields }
            }
        })
    }
}

/// Reads the workflows beside a run's file that follow it, as far as they are there and can be read.
pub fn beside(replayed: &Replayed) -> Vec<Follower> {
    let file = Path::new(&replayed.header.file);
    let (Some(name), Some(dir)) = (file.file_name().and_then(|name| name.to_str()), file.parent()) else { return Vec::new() };
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|ext| ext == "ron") && path.is_file()).collect();
    files.sort();
    let follower = |path: std::path::PathBuf| {
        let text = Source::read(&path).ok()?.text;
        // A long file is read in no time and parsed in seconds.
        let (workflow, _) = Workflow::parse_leniently(text.contains("follows").then_some(&text)?);
        let workflow = workflow.filter(|workflow| workflow.def().follows.as_ref().is_some_and(|follows| follows.value == name))?;
        let given = IndexMap::new();
        let references = workflow.imports(&given).map(|reference| reference.path.as_str());
        let takes = taken(references, &replayed.header.workflow);
        let file = path.strip_prefix(".").unwrap_or(&path).display().to_string();
        Some(Follower { workflow: workflow.name().to_owned(), which: Which::File(file), takes })
    };
    files.into_iter().take(FILES_MAX).filter_map(follower).collect()
}

/// Finds the runs that followed a run, the newest first, with what they took from it.
pub async fn runs_behind(runs: &Runs, replayed: &Replayed) -> Vec<Follower> {
    let mut behind = Vec::new();
    let Ok(ids) = runs.ids().await else { return behind };
    for run in ids.iter().rev().take_while(|run| **run > replayed.header.run) {
        // A run that cannot be read is not known to follow.
        let follows = summary(runs, run).await.is_ok_and(|summary| summary.follows.as_ref() == Some(&replayed.header.run));
        if !follows || behind.len() >= RUNS_MAX {
            continue;
        }
        let Ok((follower, found)) = runs.replayed(run).await else { continue };
        let (state, _) = state_word(&follower.state, found.live_at.is_some());
        let takes = taken(follower.header.imports.keys().map(String::as_str), &replayed.header.workflow);
        behind.push(Follower { workflow: follower.header.workflow.clone(), which: Which::Run { run: run.clone(), state }, takes });
    }
    behind
}

fn taken<'a>(references: impl Iterator<Item = &'a str>, of: &str) -> BTreeMap<String, Vec<String>> {
    let mut takes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for path in references {
        if let Some(Origin::Import { workflow, step, before: true, field }) = source_of(path)
            && workflow == of
        {
            let fields = takes.entry(step.to_owned()).or_default();
            if !fields.iter().any(|known| known == field) {
                fields.push(field.to_owned());
            }
        }
    }
    takes
}
