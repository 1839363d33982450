//! `wf check`: every mistake of a workflow file at once, offline; with `--live`, what in the world is in the way of a run.

use std::path::Path;

use serde::Serialize;
use wf_engine::model::event::Mode;
use wf_engine::model::occasion::{Occasion, Only};
use wf_engine::model::problem::{Problem, line_column};
use wf_engine::model::workflow::Workflow;

use crate::args::{Check as Args, RunOptions, Simulation};
use crate::commands::run;
use crate::console::Console;
use crate::diagnostics::Exit;
use crate::failure::Failure;
use crate::readiness::Kept;
use crate::sim_world::offline_registry;
use crate::source::Source;
use crate::split_brain;
use crate::words::count;

/// What the check found, for `--json`.
#[derive(Serialize)]
struct Checked<'a> {
    file: &'a Path,
    ok: bool,
    workflow: Option<&'a str>,
    steps: usize,
    problems: Vec<Told<'a>>,
}

#[derive(Serialize)]
struct Told<'a> {
    line: usize,
    column: usize,
    end_line: usize,
    end_column: usize,
    message: &'a str,
    help: Option<&'a str>,
}

pub async fn check(console: &mut Console, state_dir: &Path, args: &Args) -> Result<Exit, Failure> {
    if !args.live {
        if args.simulation != Simulation::default() {
            return Err(Failure::usage("--sim-speed and --sim-fault only have a place beside --live --sim"));
        }
        return offline(console, args);
    }
    let options = RunOptions::from(args);
    let launch = run::launch(state_dir, &args.file, &options, args.follows.as_deref()).await?;
    split_brain::risked(&launch.workflow, occasion(&launch.workflow, args), args.accept_split_brain_risk)?;
    let readiness = launch.readiness(console, state_dir, args.rights_of.as_deref()).await?;
    if let Err(error) = Kept::of(&readiness).keep(state_dir) {
        tracing::warn!(%error, "what was found was not kept for `wf metrics`");
    }
    if console.json() {
        console.document(&readiness)?;
    } else {
        console.data(&readiness.text(console.out_look()))?;
    }
    Ok(if readiness.ready { Exit::Completed } else { Exit::NotReady })
}

/// Returns what kind of run is checked.
fn occasion(workflow: &Workflow, args: &Args) -> Occasion {
    let def = workflow.def();
    def.occasion(args.mode.map_or(def.mode, Mode::from), false)
}

fn offline(console: &mut Console, args: &Args) -> Result<Exit, Failure> {
    let file = args.file.as_path();
    let checked = Source::read(file).and_then(|source| source.workflow_with_followed(&offline_registry()));
    match checked {
        Ok(workflow) => {
            split_brain::risked(&workflow, occasion(&workflow, args), args.accept_split_brain_risk)?;
            if console.json() {
                console.document(&Checked {
                    file,
                    ok: true,
                    workflow: Some(workflow.name()),
                    steps: workflow.len(),
                    problems: Vec::new(),
                })?;
            } else {
                console.data(&format!("ok: {}", described(&workflow)))?;
            }
            Ok(Exit::Completed)
        }
        Err(Failure::Invalid { text, problems, .. }) if console.json() => {
            let problems = problems.iter().map(|problem| told(&text, problem)).collect();
            console.document(&Checked { file, ok: false, workflow: None, steps: 0, problems })?;
            Ok(Exit::InvalidWorkflow)
        }
        Err(failure) => Err(failure),
    }
}

fn told<'a>(text: &str, problem: &'a Problem) -> Told<'a> {
    let (line, column) = line_column(text, problem.at.start);
    let (end_line, end_column) = line_column(text, problem.at.end);
    Told { line, column, end_line, end_column, message: &problem.message, help: problem.help.as_deref() }
}

fn described(workflow: &Workflow) -> String {
    let steps = count(workflow.len(), "step");
    let edges: usize = (0..workflow.len()).map(|ix| workflow.needs(ix).count()).sum();
    let count_of = |only| (0..workflow.len()).filter(|&ix| workflow.step(ix).only == Some(only)).count();
    let inputs = count(workflow.def().inputs.len(), "input");
    let mut text = format!("{steps}, {}, {inputs}", if edges == 1 { "1 dependency".to_owned() } else { format!("{edges} dependencies") });
    for only in Only::ALL {
        match count_of(only) {
            0 => {}
            steps => text.push_str(&format!(", {steps} only {only}")),
        }
    }
    text
}
