//! `wf plan`: what a run would do, without doing anything.

use std::path::Path;

use crate::args::Plan as Args;
use crate::commands::run;
use crate::console::Console;
use crate::diagnostics::Exit;
use crate::failure::Failure;
use crate::launch::world_name;
use crate::plan::History;
use crate::runs::Runs;

pub async fn plan(console: &mut Console, state_dir: &Path, args: &Args) -> Result<Exit, Failure> {
    let launch = run::launch(state_dir, &args.file, &args.options, args.follows.as_deref()).await?;
    let history = History::read(&Runs::open(state_dir)?, launch.workflow.name(), world_name(&args.options)).await?;
    let plan = launch.plan(console, state_dir, &history).await?;
    if console.json() {
        console.document(&plan)?;
    } else {
        console.data(&plan.text(console.out_look()))?;
    }
    let fails = plan.failing().next().is_some();
    Ok(match () {
        () if !args.exit_code => Exit::Completed,
        () if fails => Exit::Unexpected,
        () if plan.changes_something() => Exit::Changes,
        () => Exit::Completed,
    })
}
