//! `wf watch`: looks at a page as a user would, at alarms and health checks, and starts a workflow when it stays bad. It ends with that run: after a failover, what it
//! watched is elsewhere.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use wf_engine::clock::{Clock as _, SystemClock};
use wf_engine::model::ids::RunId;
use wf_engine::model::run_state::RunPhase;
use wf_engine::model::workflow::{StepIx, Workflow};
use wf_engine::step::StepContext;
use wf_steps::aws::Cloud;

use super::resume;
use crate::args::{Resume, Watch};
use crate::console::Console;
use crate::diagnostics::Exit;
use crate::failure::Failure;
use crate::interrupt::Signals;
use crate::launch::{Launch, Watched, changes, new_run_id};
use crate::notify::Targets;
use crate::render::{date_and_time, time_of_day};
use crate::run_summary::summary;
use crate::runs::Runs;
use crate::sim_world::{World, offline_registry};
use crate::source::Source;
use crate::values::Since;
use crate::watch::{Detector, Inbox, Incident, Look, Memory, Says, Seen, Sources, tls};

/// The kind that asks a human.
const APPROVAL: &str = "Approval";

pub async fn watch(console: &mut Console, state_dir: &Path, mut args: Watch) -> Result<Exit, Failure> {
    let source = Source::read(&args.file)?;
    let workflow = source.workflow(&offline_registry())?;
    // A mistake is told when the watch begins, not at three in the morning.
    Targets::of(&args.notify)?;
    let runs = Runs::open(state_dir)?;
    let unkept = |source| Failure::Files { path: state_dir.to_owned(), doing: "written", source };
    let Some(memory) = Memory::open(state_dir, workflow.name()).map_err(unkept)? else {
        return Err(Failure::refused(format!("another process watches for `{}` already", workflow.name())));
    };
    let unanswered = match answered(console, state_dir, &runs, &memory, &args).await? {
        Earlier::Over(exit) => return Ok(exit),
        Earlier::Unanswered(began_at) => Some(began_at),
        Earlier::None => None,
    };
    // What was checked is what is run, whatever becomes of the file meanwhile.
    let checked = source.clone();
    let launch = Launch { source, workflow: Arc::clone(&workflow), options: &args.options, follows: None, drill: None, watched: None };
    launch.confirm(console, |bound, mode| asks_first(&workflow, &changes(bound, mode).1, args.auto)).await?;
    let Some(began_at) = look(console, state_dir, &runs, &args, workflow.name(), unanswered).await? else { return Ok(Exit::Interrupted) };
    // Before the run is: whoever restarts the watch then knows that the incident is answered, and by which run.
    let run = new_run_id();
    memory.keep(&Incident::new(began_at, run.clone())).map_err(unkept)?;
    drop(runs);
    args.options.incident_at = Some(Since::Moment(began_at));
    let watched = Some(Watched { run, approve: args.auto });
    Launch { source: checked, workflow, options: &args.options, follows: None, drill: None, watched }
        .go(console, state_dir, &args.notify)
        .await
}

/// What an earlier watch left.
enum Earlier {
    /// Nothing.
    None,
    /// An incident that began then, and whose run never did.
    Unanswered(Timestamp),
    /// A run that answers the incident, and has come to rest now.
    Over(Exit),
}

/// Carries on the run that answers the last incident, if it is not over. One incident is answered once.
async fn answered(console: &mut Console, state_dir: &Path, runs: &Runs, memory: &Memory, args: &Watch) -> Result<Earlier, Failure> {
    let unread = |source| Failure::Files { path: memory.path().to_owned(), doing: "read", source };
    if args.rearm {
        memory.forget().map_err(unread)?;
        return Ok(Earlier::None);
    }
    let Some(Incident { began_at, run, .. }) = memory.last().map_err(unread)? else { return Ok(Earlier::None) };
    let began = date_and_time(began_at);
    if !runs.ids().await?.contains(&run) {
        console
            .say(&format!("the incident of {began} UTC was seen, but its run had not begun: if the page is still bad, it is answered now"));
        return Ok(Earlier::Unanswered(began_at));
    }
    let (replayed, found) = runs.replayed(&run).await?;
    match replayed.state.phase() {
        RunPhase::Forward | RunPhase::Compensating if found.live_at.is_none() => {
            console.say(&format!("the incident of {began} UTC is answered by run {run}, which was cut off: it goes on"));
            let (simulation, notify) = (args.options.simulation.clone(), args.notify.clone());
            let resumed = Resume { run: run.to_string(), yes: args.auto, simulation, notify, ..Resume::default() };
            resume::resume(console, state_dir, &resumed).await.map(Earlier::Over)
        }
        _ => Err(Failure::refused(format!("the incident of {began} UTC is answered by run {run} already"))
            .help(format!("`wf status {run}` shows where it is; `wf watch … --rearm` watches for the next incident"))),
    }
}

/// Refuses a plan that would do what cannot be undone without asking anybody.
fn asks_first(workflow: &Workflow, irreversible: &std::collections::BTreeSet<StepIx>, auto: bool) -> Result<(), Failure> {
    let Some(&unasked) = irreversible.iter().find(|&&ix| !auto && !is_behind_a_question(workflow, ix)) else { return Ok(()) };
    let id = workflow.id(unasked);
    Err(Failure::refused(format!("step `{id}` cannot be undone, and `{}` asks nobody before it", workflow.name()))
        .help(format!("let `{id}` need a step `Approval(message: …)`; or `--auto`, and nobody is asked")))
}

fn is_behind_a_question(workflow: &Workflow, ix: StepIx) -> bool {
    workflow.step(ix).kind.value == APPROVAL || workflow.ancestors(ix).into_iter().any(|need| workflow.step(need).kind.value == APPROVAL)
}

/// Looks until it is an incident, and returns when that began; `None` when somebody ends the watch. An incident that an earlier
/// watch left `unanswered` goes on for as long as the page was not well again.
async fn look(
    console: &mut Console,
    state_dir: &Path,
    runs: &Runs,
    args: &Watch,
    workflow: &str,
    mut unanswered: Option<Timestamp>,
) -> Result<Option<Timestamp>, Failure> {
    let world = match args.options.sim {
        true => World::sim(state_dir, &(&args.options).into(), &new_run_id())?,
        false => World::aws(&new_run_id()).await,
    };
    let (failures, of) = (args.failures, args.of.unwrap_or(args.failures));
    let detector = Detector::new(as_usize(failures), as_usize(of));
    let mut detector = if unanswered.is_some() { detector.fallen() } else { detector };
    let mut signals = Signals::catch()?;
    let rule = match failures {
        _ if of > failures => format!("{failures} of {of} looks are bad"),
        1 => "a look is bad".to_owned(),
        _ => format!("{failures} looks in a row are bad"),
    };
    let cx = world.context(new_run_id(), "watch")?;
    let sources = sources(args, &cx).await?;
    console.say(&format!("watches {}, every {}: when {rule}, it starts `{workflow}`", sources.shown(), args.interval));
    let mut before = None;
    loop {
        let at = world.clock.now();
        let Look { says, each, why } = sources.look(&cx, before.is_none()).await?;
        let same = before.replace(each.clone()).is_none_or(|before| before == each);
        let time = time_of_day(at);
        unanswered = unanswered.filter(|_| says != Says::Good);
        match detector.take(at, says) {
            Seen::Quiet if same => {}
            Seen::Quiet => console.say(&format!("{time}  as before: {why}")),
            Seen::Well if why.is_empty() => console.say(&format!("{time}  well")),
            Seen::Well => console.say(&format!("{time}  well: {why}")),
            Seen::Unknown => console.say(&format!("{time}  unknown, which starts nothing: {why}")),
            Seen::NeverWell => console.say(&format!("{time}  bad, and was never well since the watch began: {why}")),
            Seen::Bad(so_far) => console.say(&format!("{time}  bad, {so_far} of {failures}: {why}")),
            Seen::Incident(first_bad) => match too_soon(runs, workflow, args.min_delay.0).await? {
                None => {
                    let began_at = unanswered.unwrap_or(first_bad);
                    console.say(&format!("{time}  an incident since {}: {}", time_of_day(began_at), why));
                    // The run opens the world anew, and a simulated one is one process's and one opening's.
                    sources.close().await;
                    if let Some(sim) = &world.sim {
                        sim.flush()?;
                    }
                    return Ok(Some(began_at));
                }
                Some(run) => {
                    console.say(&format!("{time}  bad, but run {run} was started less than {} ago: starts nothing", args.min_delay));
                }
            },
        }
        tokio::select! {
            () = world.clock.sleep(args.interval.0) => {}
            signal = signals.next() => {
                console.say(&format!("{signal}: the watch ends, and nothing was started"));
                return Ok(None);
            }
        }
    }
}

async fn sources(args: &Watch, cx: &StepContext<Cloud>) -> Result<Sources, Failure> {
    let looked_at = &args.looked_at;
    let inbox = match (&looked_at.sns_topic, args.sns_listen) {
        (Some(topic), Some(address)) => {
            let tls = args.sns_certificate.as_ref().zip(args.sns_key.as_ref()).map(|(certificate, key)| tls(certificate, key));
            let tls = tls.transpose().map_err(|refused| Failure::usage(refused.to_string()))?;
            let listening = Inbox::listen(address, tls, topic, cx.env.clone(), Arc::clone(&cx.clock)).await;
            Some(listening.map_err(|source| Failure::System { doing: "listening for SNS", source })?)
        }
        (None, _) | (_, None) => None,
    };
    Ok(Sources {
        page: looked_at.url.clone(),
        alarms: looked_at.alarm.clone(),
        health_checks: looked_at.health_check.clone(),
        inbox,
        require: args.require,
        limit: args.interval.0,
    })
}

/// Returns the run of the workflow that was started too recently for another one.
async fn too_soon(runs: &Runs, workflow: &str, min_delay: Duration) -> Result<Option<RunId>, Failure> {
    let since = Since::Ago(min_delay).as_ms(SystemClock.now());
    for run in runs.ids().await?.into_iter().rev().take_while(|run| run.made_at_ms() >= since) {
        // One that cannot be read may be of this workflow.
        if summary(runs, &run).await.map_or(true, |summary| summary.workflow == workflow) {
            return Ok(Some(run));
        }
    }
    Ok(None)
}

fn as_usize(n: u32) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}
