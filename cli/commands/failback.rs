//! `wf failback`: a run of the workflow that follows a completed failover, with what that one recorded.

use std::path::Path;

use crate::args::Failback;
use crate::console::Console;
use crate::diagnostics::Exit;
use crate::failure::Failure;
use crate::imports;
use crate::launch::{Launch, world_name};
use crate::runs::Runs;
use crate::sim_world::offline_registry;
use crate::source::Source;

pub async fn failback(console: &mut Console, state_dir: &Path, args: &Failback) -> Result<Exit, Failure> {
    let source = Source::read(&args.file)?;
    let workflow = source.workflow(&offline_registry())?;
    let Some(name) = imports::followed_name(&source, &workflow) else {
        return Err(Failure::usage(format!("`{}` follows no other workflow, so there is nothing to go back from", workflow.name()))
            .help("give the workflow `follows: \"failover.ron\"`, or start it with `wf run`"));
    };
    let runs = Runs::open(state_dir)?;
    let run = match &args.from {
        Some(text) => runs.find(text).await?,
        None => imports::last_completed(&runs, &name, world_name(&args.options)).await?,
    };
    let (followed, _) = runs.replayed(&run).await?;
    imports::same_world(&followed, world_name(&args.options))?;
    // The new run opens the state directory itself.
    drop(runs);
    console.say(&format!("going back from run {run} of `{name}`"));
    Launch { source, workflow, options: &args.options, follows: Some(followed), drill: None, watched: None }
        .go(console, state_dir, &args.notify)
        .await
}
