//! `wf resume`: takes a run over and carries it on.

use std::path::Path;
use std::sync::Arc;

use wf_engine::model::event::Fields;
use wf_engine::model::ids::{RunId, StepId};
use wf_engine::registry::Registry;
use wf_engine::runtime::{Replayed, ResumePlan};

use crate::args::Resume;
use crate::claimed::Claimed;
use crate::commands::explain;
use crate::commands::order::{outputs, resumed, step_id};
use crate::console::Console;
use crate::diagnostics::Exit;
use crate::drive::{Drive, Way};
use crate::failure::Failure;
use crate::notify::Targets;
use crate::run_ids::LATEST;
use crate::run_summary::kept;
use crate::runs::{Runs, failed};
use crate::sim_world::{World, offline_registry};
use crate::values::Pair;
use crate::{edited, operator, whoami};

pub async fn resume(console: &mut Console, state_dir: &Path, args: &Resume) -> Result<Exit, Failure> {
    let (runs, notify) = (Runs::open(state_dir)?, Targets::of(&args.notify)?);
    let run = find(&runs, &args.run).await?;
    let plain = args.redo.is_empty() && args.mark_done.is_empty() && !args.accept_changes;
    if plain && resumed(console, &runs, &run).await? {
        return Ok(Exit::Completed);
    }
    // A run in other hands is refused here, before a world is opened.
    let mut claimed = Claimed::claim(runs.journal(), &run).await?;
    let earlier = std::mem::take(&mut claimed.earlier);
    let replayed = wf_engine::runtime::replay(&run, &earlier).map_err(|source| failed(&run, source))?;
    let mut plan = ResumePlan {
        by: operator::this(),
        approve_all: args.yes,
        redo: args.redo.iter().map(|step| step_id(step)).collect::<Result<_, _>>()?,
        mark_done: mark_done(&replayed, &offline_registry(), args)?,
        adopt: edited::adoption(console, &replayed, args)?,
    };
    let world = World::of_run(&replayed, state_dir, &args.simulation).await?;
    plan.by.identity = whoami::ask(console, &world, &whoami::Plan::of(&replayed)).await?;
    whoami::same(console, whoami::recorded(&earlier), plan.by.identity.as_ref(), args.other_account)?;
    Drive { run, world, journal: Arc::new(claimed), workflow: replayed.started_with, earlier, way: Way::Resume(plan), notify }
        .go(console, &runs)
        .await
}

/// Tells what a resume would do with each step, and what became of the file since.
pub async fn dry_run(console: &mut Console, state_dir: &Path, args: &Resume) -> Result<Exit, Failure> {
    let exit = explain::explain(console, state_dir, &args.run, None).await?;
    let runs = Runs::open(state_dir)?;
    let (replayed, _) = runs.replayed(&runs.find(&args.run).await?).await?;
    edited::adoption(console, &replayed, args)?;
    Ok(exit)
}

/// Finds the run that is meant; `@latest` is the newest one that is not known to be over. A live one counts, and so does one that cannot be
/// read, so that none is passed over unseen.
async fn find(runs: &Runs, text: &str) -> Result<RunId, Failure> {
    let ids = runs.ids().await?;
    let open = |run: &&RunId| kept(runs, run).is_none_or(|summary| summary.is_resumable());
    match ids.iter().rev().find(open).filter(|_| text == LATEST) {
        Some(run) => Ok(run.clone()),
        None => runs.pick(&ids, text),
    }
}

fn mark_done(replayed: &Replayed, registry: &Registry, args: &Resume) -> Result<Vec<(StepId, Fields)>, Failure> {
    let mut done: Vec<(StepId, Vec<Pair>)> = Vec::new();
    for step in &args.mark_done {
        done.push((step_id(step)?, Vec::new()));
    }
    for (name, value) in &args.output {
        let (place, name) = belongs_to(&done, name)?;
        done[place].1.push((name.to_owned(), value.clone()));
    }
    let typed = |(step, given): (StepId, Vec<Pair>)| outputs(replayed, registry, &step, &given).map(|outputs| (step, outputs));
    done.into_iter().map(typed).collect()
}

/// Finds the step that an output is of: the one that its name says, or the only one there is.
fn belongs_to<'a>(done: &[(StepId, Vec<Pair>)], name: &'a str) -> Result<(usize, &'a str), Failure> {
    match (name.split_once('.'), done) {
        (Some((step, name)), _) => match done.iter().position(|(id, _)| id.as_str() == step) {
            Some(place) => Ok((place, name)),
            None => Err(Failure::usage(format!("--output {step}.{name}: `{}` is not marked done", step.escape_debug()))),
        },
        (None, [_]) => Ok((0, name)),
        (None, _) => Err(Failure::usage(format!("--output {name}: several steps are marked done, so write --output STEP.{name}=…"))),
    }
}
