//! `wf dashboard` and `wf alarms`: what keeps an eye on a workflow in CloudWatch, made from its steps; shown, or put there.

use std::path::Path;

use wf_engine::signal::Signal;

use crate::args::{Alarms as AlarmsArgs, Dashboard, Monitored, Notify, RunOptions};
use crate::commands::run;
use crate::confirm;
use crate::console::Console;
use crate::diagnostics::Exit;
use crate::failure::Failure;
use crate::launch::new_run_id;
use crate::monitoring::{Alarms, Topics, Watchable, dashboard as body};
use crate::notify::Targets;
use crate::render::count;
use crate::sim_world::World;

pub async fn dashboard(console: &mut Console, state_dir: &Path, args: &Dashboard) -> Result<Exit, Failure> {
    let (watchable, world) = watchable(state_dir, &args.of, args.put.is_some()).await?;
    let body = body(&watchable);
    let Some(name) = &args.put else {
        let more = !watchable.names.looked && watchable.signals.iter().any(|signal| matches!(signal, Signal::RecordHealth { .. }));
        if more {
            console.say("the health of the primary side is left out: its health check is only known to AWS, `--live` looks");
        }
        console.document(&body)?;
        return Ok(Exit::Completed);
    };
    let region = watchable.own_region.as_deref().ok_or_else(|| Failure::usage("nobody says where it is put: `--region REGION`"))?;
    confirm::put(console, &format!("dashboard `{name}` in {region}, in place of one of that name"), name, args.yes || args.of.sim)?;
    if let Some(world) = world {
        world.cloud.put_dashboard(region, name, &body.to_string()).await.map_err(Failure::of_step)?;
    }
    console.say(&format!("dashboard {name} put in {region}"));
    Ok(Exit::Completed)
}

pub async fn alarms(console: &mut Console, state_dir: &Path, args: &AlarmsArgs) -> Result<Exit, Failure> {
    // A mistake in a topic is told before anything is looked at.
    let given = Targets::of(&Notify { notify_sns: args.topic.clone(), notify_webhook: None })?;
    let (watchable, world) = watchable(state_dir, &args.of, args.put).await?;
    let topics = topics(&watchable, &given);
    let alarms = Alarms::of(&watchable, &topics);
    match console.json() {
        true => console.document(&alarms)?,
        false => console.data(alarms.text().trim_end())?,
    }
    let Some(world) = world.filter(|_| args.put) else { return Ok(Exit::Completed) };
    let what = format!("{} of `{}`, in place of those of the same names", count(alarms.alarms.len(), "alarm"), watchable.workflow);
    confirm::put(console, &what, &watchable.workflow, args.yes || args.of.sim)?;
    for planned in alarms.alarms {
        let mut alarm = planned.alarm;
        for topic in &mut alarm.topics {
            *topic = world.cloud.topic_arn(topic, &alarm.region).await.map_err(Failure::of_step)?;
        }
        world.cloud.put_alarm(&alarm).await.map_err(Failure::of_step)?;
        console.say(&format!("alarm {} put in {}", alarm.name, alarm.region));
    }
    Ok(Exit::Completed)
}

/// Gathers what can be watched; with a look at the world, if one is wanted.
async fn watchable(state_dir: &Path, of: &Monitored, put: bool) -> Result<(Watchable, Option<World>), Failure> {
    let options = RunOptions::from(of);
    let launch = run::launch(state_dir, &of.file, &options, of.follows.as_deref()).await?;
    let (bound, inputs) = launch.bound()?;
    let mut watchable = Watchable::of(&bound, &inputs, of.region.as_deref(), &of.namespace);
    if !of.live && !put {
        return Ok((watchable, None));
    }
    let run = new_run_id();
    let world = if of.sim { World::sim(state_dir, &(&options).into(), &run)? } else { World::aws(&run).await };
    watchable.look(&world.context(run, "watched")?).await.map_err(Failure::of_step)?;
    Ok((watchable, Some(world)))
}

/// Returns who is told, by region: who was named, or else the topics that the workflow publishes to.
fn topics(watchable: &Watchable, given: &Targets) -> Topics {
    let mut topics = Topics::new();
    for topic in &given.topics {
        topics.entry(topic.region.clone()).or_default().push(topic.name.clone());
    }
    if !given.topics.is_empty() {
        return topics;
    }
    for signal in &watchable.signals {
        if let Signal::Topic { topic, region } = signal {
            topics.entry(region.clone()).or_default().push(topic.clone());
        }
    }
    topics
}
