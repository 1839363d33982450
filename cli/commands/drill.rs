//! `wf drill`: an exercise that brings a failure about, fails over, checks and measures, and puts everything back.

use std::path::{Path, PathBuf};

use serde_json::json;
use wf_engine::model::dsl::AtEnd;

use crate::args::Drill;
use crate::confirm;
use crate::console::Console;
use crate::diagnostics::Exit;
use crate::failure::Failure;
use crate::launch::{Exercise, Launch};
use crate::render::drill::{Past, history_table};
use crate::render::summary::Summary;
use crate::runs::Runs;
use crate::sim_world::offline_registry;
use crate::source::Source;

/// The input that a drill's workflow takes the environment from.
const ENVIRONMENT: &str = "env";
/// What is exercised when nobody says.
const ENVIRONMENT_DEFAULT: &str = "staging";

pub async fn drill(console: &mut Console, state_dir: &Path, args: Drill) -> Result<Exit, Failure> {
    if args.drill == "history" {
        return history(console, state_dir, args.env.as_deref()).await;
    }
    let source = Source::read(&file(&args.drill))?;
    let workflow = source.workflow(&offline_registry())?;
    if workflow.def().at_end == AtEnd::Stay {
        return Err(Failure::usage(format!("`{}` is no drill: it does not put back what it changes", workflow.name()))
            .help("give the workflow `at_end: Undo`, or `UndoDrill` where it is no drill otherwise, and its steps their `stage`; `wf run` runs it as it is"));
    }
    let environment = args.env.unwrap_or_else(|| ENVIRONMENT_DEFAULT.to_owned());
    confirm::environment(console, &environment, args.production, args.confirm.as_deref(), args.options.sim)?;
    let mut options = args.options;
    if workflow.def().inputs.contains_key(ENVIRONMENT) {
        options.set.insert(0, (ENVIRONMENT.to_owned(), environment.clone()));
    }
    Launch {
        source,
        workflow,
        options: &options,
        follows: None,
        drill: Some(Exercise { environment, production: args.production }),
        watched: None,
    }
    .go(console, state_dir, &args.notify)
    .await
}

/// Finds the file of a drill: that of its name, or the one that was named.
fn file(drill: &str) -> PathBuf {
    let is_name = drill.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if is_name { PathBuf::from(format!("workflows/drill-{drill}.ron")) } else { PathBuf::from(drill) }
}

async fn history(console: &mut Console, state_dir: &Path, environment: Option<&str>) -> Result<Exit, Failure> {
    let runs = Runs::open(state_dir)?;
    let mut past = Vec::new();
    for run in runs.ids().await? {
        // One that cannot be read is shown by `wf list`.
        let Ok((replayed, found)) = runs.replayed(&run).await else { continue };
        let drill = Past::of(Summary::of(&replayed, &found.records, &[]));
        past.extend(drill.filter(|past| environment.is_none_or(|environment| environment == past.drill.environment)));
    }
    if console.json() {
        console.document(&json!(past))?;
    } else if past.is_empty() {
        console.say("no drill yet: `wf drill pilot-light --env staging --sim` tries one on the simulated AWS");
    } else {
        let text = history_table(&past, console.out_look());
        console.data(&text)?;
    }
    Ok(Exit::Completed)
}
