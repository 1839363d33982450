//! `wf diagnose`: what is wrong in the world, why, and what to do about it. It only reads.

use std::path::Path;
use std::time::Duration;

use wf_steps::aws::lag::show;
use wf_steps::aws::lag_diagnosis::{Diagnosis, diagnose as look};

use crate::args::{Diagnose, Lag, Simulation};
use crate::console::Console;
use crate::diagnostics::Exit;
use crate::failure::Failure;
use crate::launch::new_run_id;
use crate::render::clean;
use crate::sim_world::World;

/// The longest time that is looked back.
const PERIOD_MAX: Duration = Duration::from_secs(14 * 24 * 3600);

pub async fn diagnose(console: &mut Console, state_dir: &Path, args: &Diagnose) -> Result<Exit, Failure> {
    let Diagnose::Lag(args) = args;
    lag(console, state_dir, args).await
}

async fn lag(console: &mut Console, state_dir: &Path, args: &Lag) -> Result<Exit, Failure> {
    if !args.sim && args.simulation != Simulation::default() {
        return Err(Failure::usage("--sim-speed and --sim-fault only have a place beside --sim"));
    }
    if args.period.0 > PERIOD_MAX || args.period.0 < Duration::from_secs(60) {
        return Err(Failure::usage("--period is from 1m to 14d: CloudWatch keeps each minute so long"));
    }
    let run = new_run_id();
    let world = if args.sim { World::sim(state_dir, &(&args.simulation).into(), &run)? } else { World::aws(&run).await };
    let cx = world.context(run, "diagnose")?;
    let diagnosis = look(&cx, &args.region, &args.instance, args.period.0).await.map_err(Failure::of_step)?;
    match console.json() {
        true => console.document(&diagnosis)?,
        false => console.data(&text(&diagnosis, args))?,
    }
    Ok(if diagnosis.keeps_up { Exit::Completed } else { Exit::NotReady })
}

fn text(diagnosis: &Diagnosis, args: &Lag) -> String {
    let Diagnosis { instance, region, status, source, class, source_class, lag, source_write_iops, cpu, cause, next, .. } = diagnosis;
    let mut text = format!("{} in {}: {}, {}\n", clean(instance), clean(region), clean(status), clean(class));
    if let Some(source) = source {
        let class = source_class.as_ref().map_or_else(|| "it does not answer".to_owned(), |class| clean(class).into_owned());
        text.push_str(&format!("  source  {}, {class}\n", clean(source)));
    }
    let seconds = |of: fn(&wf_steps::aws::lag_diagnosis::Sample) -> f64| lag.iter().map(of);
    match lag.last() {
        Some(last) => {
            let average = seconds(|sample| sample.average).sum::<f64>() / lag.len() as f64;
            let maximum = seconds(|sample| sample.maximum).fold(0.0, f64::max);
            let (now, average, maximum) = (show(last.maximum), show(average), show(maximum));
            text.push_str(&format!("  lag     {now} now, {average} on average and {maximum} at most in {}\n", args.period));
        }
        None => text.push_str(&format!("  lag     CloudWatch has no sample of the last {}\n", args.period)),
    }
    let known = |value: Option<f64>, unit: &str| value.map_or_else(|| "not known".to_owned(), |value| format!("{value:.0} {unit}"));
    text.push_str(&format!(
        "  writes  {} by the source; processors of the replica: {}\n",
        known(*source_write_iops, "a second"),
        known(*cpu, "% busy")
    ));
    text.push_str(&format!("  cause   {}\n  next    {}\n", clean(cause), clean(next)));
    text
}
