//! `wf run`: a new run of a workflow file.

use std::path::Path;

use crate::args::{Run, RunOptions};
use crate::console::Console;
use crate::diagnostics::Exit;
use crate::failure::Failure;
use crate::imports;
use crate::launch::{Launch, world_name};
use crate::runs::Runs;
use crate::sim_world::offline_registry;
use crate::source::Source;

pub async fn run(console: &mut Console, state_dir: &Path, args: &Run) -> Result<Exit, Failure> {
    launch(state_dir, &args.file, &args.options, args.follows.as_deref()).await?.go(console, state_dir, &args.notify).await
}

/// Reads what a run of a file is about to be.
pub async fn launch<'a>(state_dir: &Path, file: &Path, options: &'a RunOptions, follows: Option<&str>) -> Result<Launch<'a>, Failure> {
    let source = Source::read(file)?;
    let workflow = source.workflow(&offline_registry())?;
    let follows = match follows {
        None => None,
        Some(_) if workflow.def().follows.is_none() => {
            return Err(Failure::usage(format!("`{}` follows no other workflow: --follows has no place here", workflow.name())));
        }
        Some(text) => {
            let runs = Runs::open(state_dir)?;
            let (followed, _) = runs.replayed(&runs.find(text).await?).await?;
            imports::same_world(&followed, world_name(options))?;
            Some(followed)
        }
    };
    Ok(Launch { source, workflow, options, follows, drill: None, watched: None })
}
