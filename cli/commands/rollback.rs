//! `wf rollback`: compensates everything that a run attempted.

use std::path::Path;
use std::sync::Arc;

use wf_engine::runtime::{RollbackRequest, RunError, may_roll_back, replay};

use crate::args::Rollback;
use crate::claimed::Claimed;
use crate::commands::order;
use crate::console::Console;
use crate::diagnostics::Exit;
use crate::drive::{Drive, Way};
use crate::failure::Failure;
use crate::notify::Targets;
use crate::runs::{Runs, failed};
use crate::sim_world::{AWS, World};
use crate::{confirm, operator, whoami};

pub async fn rollback(console: &mut Console, state_dir: &Path, args: &Rollback) -> Result<Exit, Failure> {
    let (runs, notify) = (Runs::open(state_dir)?, Targets::of(&args.notify)?);
    let run = runs.find(&args.run).await?;
    if runs.owner(&run).is_some() {
        return order::roll_back(console, &runs, &run, args.past_point_of_no_return, args.yes, args.reason.clone()).await;
    }
    let mut claimed = Claimed::claim(runs.journal(), &run).await?;
    let earlier = std::mem::take(&mut claimed.earlier);
    let replayed = replay(&run, &earlier).map_err(|source| failed(&run, source))?;
    if let Err(refusal) = may_roll_back(&replayed.state, args.past_point_of_no_return) {
        return Err(failed(&run, RunError::Refused(refusal)));
    }
    let on_aws = replayed.header.world == AWS;
    let (name, steps) = (&replayed.header.workflow, (0..replayed.workflow.len()).filter(|&ix| replayed.state.can_undo(ix)).count());
    if on_aws && !console.asks() {
        confirm::rollback(console, name, steps, args.yes, None)?;
    }
    let world = World::of_run(&replayed, state_dir, &args.simulation).await?;
    let mut by = operator::this();
    by.identity = whoami::ask(console, &world, &whoami::Plan::of(&replayed)).await?;
    whoami::same(console, whoami::recorded(&earlier), by.identity.as_ref(), args.other_account)?;
    if on_aws {
        confirm::rollback(console, name, steps, args.yes, by.identity.as_ref())?;
    }
    let request = RollbackRequest { by, reason: args.reason.clone(), past_point_of_no_return: args.past_point_of_no_return };
    Drive { run, world, journal: Arc::new(claimed), workflow: replayed.started_with, earlier, way: Way::Rollback(request), notify }
        .go(console, &runs)
        .await
}
