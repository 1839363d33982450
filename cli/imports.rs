//! What a run takes over from the one that it follows: exactly the values that its file refers to.

use indexmap::IndexMap;
use serde_json::Value;
use wf_engine::model::ids::RunId;
use wf_engine::model::workflow::{Source as From, Workflow, source_of};
use wf_engine::runtime::Replayed;

use crate::failure::Failure;
use crate::run_summary::summary;
use crate::runs::Runs;
use crate::source::Source;

/// Returns the name of the workflow that this one follows: by the file beside it, or by the file's name.
pub fn followed_name(source: &Source, workflow: &Workflow) -> Option<String> {
    let file = &workflow.def().follows.as_ref()?.value;
    let stem = std::path::Path::new(file).file_stem().map(|stem| stem.to_string_lossy().into_owned());
    source.followed(workflow).map(|followed| followed.name().to_owned()).or(stem)
}

/// Finds the newest run of a workflow, on the given world, that reached its end.
pub async fn last_completed(runs: &Runs, workflow: &str, world: &str) -> Result<RunId, Failure> {
    let mut others = 0;
    for run in runs.ids()?.iter().rev() {
        // A run that cannot be read is no reason not to go back from another one.
        let Ok(summary) = summary(runs, run).await else { continue };
        if summary.workflow == workflow && summary.world == world && summary.is_completed() {
            return Ok(run.clone());
        }
        others += usize::from(summary.workflow == workflow);
    }
    let seen = if others == 0 { String::new() } else { format!(" ({others} others are not completed, or acted elsewhere: `wf list`)") };
    Err(Failure::refused(format!("there is no completed run of `{workflow}` on {} to go back from{seen}", place(world)))
        .help("name a run with --from; `wf list` shows them all"))
}

fn place(world: &str) -> &'static str {
    if world == crate::sim_world::SIM { "the simulated AWS" } else { "the real AWS" }
}

/// Takes the values that a workflow refers to out of the run that it follows, by their full references.
pub fn values(workflow: &Workflow, followed: &Replayed) -> Result<IndexMap<String, Value>, Failure> {
    let mut values = IndexMap::new();
    let mut missing = Vec::new();
    for ix in 0..workflow.len() {
        for reference in workflow.step(ix).params.references() {
            let Some(From::Import { workflow: name, step, before, field }) = source_of(&reference.path) else { continue };
            let value = if name == followed.header.workflow { followed.state.value_of(&From::Step { step, before, field }) } else { None };
            match value {
                Some(value) => drop(values.insert(reference.path.clone(), value)),
                None => missing.push(format!("  ${{{}}}: {}", reference.path, why_missing(followed, name, step, before, field))),
            }
        }
    }
    missing.dedup();
    if missing.is_empty() {
        return Ok(values);
    }
    let message = format!("run {} does not have what `{}` takes from it:\n{}", followed.header.run, workflow.name(), missing.join("\n"));
    Err(Failure::refused(message).help(format!("`wf status {} --json` shows what it recorded; --from names another run", followed.header.run)))
}

fn why_missing(followed: &Replayed, name: &str, step: &str, before: bool, field: &str) -> String {
    if name != followed.header.workflow {
        return format!("the run is of `{}`", followed.header.workflow);
    }
    let Some(ix) = step.parse().ok().and_then(|id| followed.workflow.find(&id)) else { return format!("it has no step `{step}`") };
    let status = format!("{:?}", followed.state.step(ix).status).to_lowercase();
    let what = if before { "before-image with" } else { "output" };
    format!("step `{step}` is {status} and recorded no {what} `{field}`")
}

/// Refuses to mix the worlds: what a simulated failover recorded says nothing of the real AWS, and the other way round.
pub fn same_world(followed: &Replayed, world: &str) -> Result<(), Failure> {
    if followed.header.world == world {
        return Ok(());
    }
    let message = format!("run {} acted on {}, the new run would act on {}", followed.header.run, place(&followed.header.world), place(world));
    let help = if world == crate::sim_world::SIM { "leave --sim out, or name another run" } else { "add --sim, or name another run" };
    Err(Failure::refused(message).help(help))
}
