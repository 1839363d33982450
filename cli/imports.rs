//! What a run takes over from the one that it follows: exactly the values that its file refers to.

use indexmap::IndexMap;
use serde_json::Value;
use wf_engine::model::ids::RunId;
use wf_engine::model::problem::{Problem, line_column};
use wf_engine::model::workflow::Workflow;
use wf_engine::registry::collect_imports;
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
    for run in runs.ids().await?.iter().rev() {
        // A run that cannot be read is no reason not to go back from another one.
        let Ok(summary) = summary(runs, run).await else { continue };
        if summary.workflow == workflow && summary.world == world && summary.is_completed() {
            return Ok(run.clone());
        }
        others += usize::from(summary.workflow == workflow);
    }
    let seen = if others == 0 { String::new() } else { format!(" ({others} others are not completed, or acted elsewhere: `wf list`)") };
    Err(Failure::refused(format!("there is no completed run of `{workflow}` on {} to go back from{seen}", place(world))).help(
        "--from names another run, `wf list` shows them all; `wf run FILE --set INPUT=VALUE` needs none when every value is given by hand",
    ))
}

fn place(world: &str) -> &'static str {
    if world == crate::sim_world::SIM { "the simulated AWS" } else { "the real AWS" }
}

/// Takes the values that a run with these inputs needs out of the run that it follows.
pub fn values(
    source: &Source,
    workflow: &Workflow,
    inputs: &IndexMap<String, Value>,
    followed: &Replayed,
) -> Result<IndexMap<String, Value>, Failure> {
    let run = &followed.header.run;
    collect_imports(workflow, inputs, &followed.state).map_err(|problems| {
        let told: Vec<_> = problems.iter().map(|problem| told(source, problem)).collect();
        Failure::refused(format!("run {run} does not have what `{}` takes from it:\n{}", workflow.name(), told.join("\n")))
            .help(format!("`wf status {run} --json` shows what it recorded; --from names another run, --set gives a value by hand"))
    })
}

/// Takes nothing, if nothing is needed: every value may have been given by hand.
pub fn none(source: &Source, workflow: &Workflow, inputs: &IndexMap<String, Value>) -> Result<IndexMap<String, Value>, Failure> {
    let Some(reference) = workflow.imports(inputs).next() else { return Ok(IndexMap::new()) };
    let file = source.path.display();
    Err(Failure::usage(format!(
        "`{}` takes values, such as `${{{}}}`, from the run that it follows: say which",
        workflow.name(),
        reference.path
    ))
    .help(format!("`wf failback {file}` takes the last completed one, `wf run {file} --follows RUN` another; --set gives a value by hand")))
}

fn told(source: &Source, problem: &Problem) -> String {
    let (line, column) = line_column(&source.text, problem.at.start);
    let help = problem.help.as_ref().map_or_else(String::new, |help| format!(" ({help})"));
    format!("  {}:{line}:{column}: {}{help}", source.path.display(), problem.message)
}

/// Refuses to mix the worlds: what a simulated failover recorded says nothing of the real AWS, and the other way round.
pub fn same_world(followed: &Replayed, world: &str) -> Result<(), Failure> {
    if followed.header.world == world {
        return Ok(());
    }
    let message =
        format!("run {} acted on {}, the new run would act on {}", followed.header.run, place(&followed.header.world), place(world));
    let help = if world == crate::sim_world::SIM { "leave --sim out, or name another run" } else { "add --sim, or name another run" };
    Err(Failure::refused(message).help(help))
}
