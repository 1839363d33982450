//! `wf metrics`: the newest runs as a text that Prometheus reads, for the textfile collector of its node exporter, or put to CloudWatch.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use wf_engine::model::event::RunHeader;
use wf_engine::model::run_state::StepState;
use wf_engine::runtime::Replayed;

use crate::args::{Metrics, Simulation};
use crate::console::Console;
use crate::diagnostics::Exit;
use crate::failure::Failure;
use crate::launch::new_run_id;
use crate::monitoring::{Figure, Standby, Told, ToldRun, figures, publishable, text};
use crate::readiness::{Kept, STANDBY};
use crate::render::summary::Summary;
use crate::render::{count, state_word};
use crate::runs::Runs;
use crate::sim_world::World;

/// The outputs by which steps tell how far behind a replica was.
const LAG_OUTPUTS: [&str; 3] = ["replica_lag_at_promote", "lag", "lag_seconds"];

pub async fn metrics(console: &mut Console, state_dir: &Path, args: &Metrics) -> Result<Exit, Failure> {
    if !args.sim && args.simulation != Simulation::default() {
        return Err(Failure::usage("--sim-speed and --sim-fault only have a place beside --sim"));
    }
    let (figures, standby) = gather(state_dir).await?;
    match &args.output {
        Some(path) => {
            replace(path, text(&figures).as_bytes()).map_err(|source| Failure::Files { path: path.clone(), doing: "written", source })?
        }
        None if args.publish => {}
        None => console.data(&text(&figures))?,
    }
    if args.publish {
        publish(console, state_dir, args, &figures, &standby).await?;
    }
    Ok(Exit::Completed)
}

/// Gathers what is known of runs and of checks, and the standby regions of their workflows.
async fn gather(state_dir: &Path) -> Result<(Vec<Figure>, Standby), Failure> {
    let runs = Runs::open(state_dir)?;
    let checks = Kept::all(state_dir).map_err(|source| Failure::Files { path: state_dir.to_owned(), doing: "read", source })?;
    let mut standby: Standby = checks.iter().filter_map(|kept| Some((kept.workflow.clone(), kept.standby.clone()?))).collect();
    let mut told = Told { runs: Vec::new(), checks };
    for run in runs.ids().await? {
        // One that cannot be read is shown by `wf list`.
        let Ok((replayed, found)) = runs.replayed(&run).await else { continue };
        let (state, ink) = state_word(&replayed.state, found.live_at.is_some());
        let summary = Summary { state, ink, ..Summary::of(&replayed, &found.records, &[]) };
        standby.extend(standby_of(&replayed.header).map(|region| (summary.workflow.clone(), region)));
        told.runs.push(ToldRun { summary, lags: lags(&replayed) });
    }
    Ok((figures(told), standby))
}

fn standby_of(header: &RunHeader) -> Option<String> {
    Some(header.inputs.get(STANDBY)?.as_str()?.to_owned())
}

/// Returns how far behind replicas were when steps looked, by step.
fn lags(replayed: &Replayed) -> Vec<(String, f64)> {
    let of = |(ix, step): (usize, &StepState)| {
        let lag = LAG_OUTPUTS.iter().find_map(|name| step.outputs.get(*name)?.as_f64())?;
        Some((replayed.workflow.id(ix).to_string(), lag))
    };
    replayed.state.steps().iter().enumerate().filter_map(of).collect()
}

async fn publish(console: &mut Console, state_dir: &Path, args: &Metrics, figures: &[Figure], standby: &Standby) -> Result<(), Failure> {
    let run = new_run_id();
    let world = if args.sim { World::sim(state_dir, &(&args.simulation).into(), &run)? } else { World::aws(&run).await };
    let found = publishable(figures, world.name, args.region.as_deref(), standby, world.clock.now());
    if !found.nowhere.is_empty() {
        let names: Vec<_> = found.nowhere.iter().map(|name| format!("`{name}`")).collect();
        return Err(Failure::usage(format!("nothing was put: {} has no input `{STANDBY}` that would say where to", names.join(", ")))
            .help("`--region REGION` puts all of them there; best the standby region"));
    }
    for (region, data) in &found.data {
        world.cloud.put_metrics(region, &args.namespace, data).await.map_err(Failure::of_step)?;
        console.say(&format!("{} put into {} in {region}", count(data.len(), "value"), args.namespace));
    }
    if found.too_old > 0 {
        console.say(&format!("{} left out: CloudWatch takes nothing that is older than two weeks", count(found.too_old, "value")));
    }
    if found.workflows.is_empty() && found.too_old == 0 {
        console.say(&format!("nothing to put: no workflow was run or checked on {}", if args.sim { "the simulated AWS" } else { "AWS" }));
    }
    Ok(())
}

/// Replaces a file as a whole, so that a collector reads the old one or the new one. Collectors run as other users, so that anybody may read it.
fn replace(path: &Path, text: &[u8]) -> std::io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).open(&new)?;
    file.write_all(text)?;
    fs::rename(&new, path)
}
