//! The verbs that steer a run: `wf approve`, `pause`, `cancel`, `retry`, `skip`, … They reach a live run through the process that drives
//! it, and are recorded in the journal of one that nobody drives.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use wf_engine::journal::JournalError;
use wf_engine::model::event::{Fields, Mode};
use wf_engine::model::ids::{IdError, RunId, StepId};
use wf_engine::model::occasion::Occasion;
use wf_engine::registry::Registry;
use wf_engine::runtime::{self, Order, Replayed, RunError, may_roll_back};
use wf_journal::Holder;

use crate::args::{Adjust, Cancel, Escalate, MarkDone, OrderRun, OrderStep, Skip};
use crate::console::Console;
use crate::control_client::{OWNER_TIME_MAX, Refused, connect};
use crate::control_socket::Request;
use crate::diagnostics::Exit;
use crate::failure::Failure;
use crate::runs::{Runs, failed};
use crate::sim_world::{AWS, SIM, offline_registry};
use crate::values::{Pair, output};
use crate::{confirm, operator, split_brain};

/// How often a run is tried again whose owner is just coming or going.
const TRIES_MAX: u32 = 3;
/// How long is waited to hear whether a run is paused.
const GLANCE_MAX: Duration = Duration::from_secs(2);

/// What is ordered, and why.
pub struct Ordered {
    pub order: Order,
    pub reason: String,
}

/// Whether a process took the order, or the journal did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    Live,
    Recorded,
}

pub async fn run(console: &mut Console, state_dir: &Path, args: OrderRun, order: Order) -> Result<Exit, Failure> {
    let runs = Runs::open(state_dir)?;
    let run = runs.find(&args.run).await?;
    give(console, &runs, &run, Ordered { order, reason: args.why.reason }).await
}

pub async fn escalate(console: &mut Console, state_dir: &Path, args: Escalate) -> Result<Exit, Failure> {
    let runs = Runs::open(state_dir)?;
    let run = runs.find(&args.of.run).await?;
    let (replayed, _) = runs.replayed(&run).await?;
    Order::Escalate.check(&replayed.state).map_err(|refusal| failed(&run, RunError::Refused(refusal)))?;
    let escalated = Occasion { mode: Mode::Unplanned, ..replayed.state.occasion() };
    let risk = split_brain::taken(&split_brain::still_risked(&replayed, &replayed.workflow, escalated, args.accept_split_brain_risk)?);
    let reason = [args.of.why.reason].into_iter().filter(|reason| !reason.is_empty()).chain(risk).collect::<Vec<_>>().join("; ");
    give(console, &runs, &run, Ordered { order: Order::Escalate, reason }).await
}

pub async fn step(console: &mut Console, state_dir: &Path, args: OrderStep, order: impl FnOnce(StepId) -> Order) -> Result<Exit, Failure> {
    let runs = Runs::open(state_dir)?;
    let run = runs.find(&args.run).await?;
    let order = order(step_id(&args.step)?);
    give(console, &runs, &run, Ordered { order, reason: args.why.reason }).await
}

pub async fn skip(console: &mut Console, state_dir: &Path, args: Skip) -> Result<Exit, Failure> {
    let runs = Runs::open(state_dir)?;
    let run = runs.find(&args.run).await?;
    let order = Order::Skip { step: step_id(&args.step)? };
    give(console, &runs, &run, Ordered { order, reason: args.reason }).await
}

pub async fn mark_done(console: &mut Console, state_dir: &Path, args: MarkDone) -> Result<Exit, Failure> {
    let runs = Runs::open(state_dir)?;
    let run = runs.find(&args.run).await?;
    let step = step_id(&args.step)?;
    let (replayed, _) = runs.replayed(&run).await?;
    let outputs = outputs(&replayed, &offline_registry(), &step, &args.output)?;
    give(console, &runs, &run, Ordered { order: Order::MarkDone { step, outputs }, reason: args.reason }).await
}

pub async fn adjust(console: &mut Console, state_dir: &Path, args: Adjust) -> Result<Exit, Failure> {
    let runs = Runs::open(state_dir)?;
    let run = runs.find(&args.run).await?;
    let order = Order::Adjust { step: step_id(&args.step)?, timeout: args.timeout, attempts: args.attempts };
    give(console, &runs, &run, Ordered { order, reason: args.why.reason }).await
}

pub async fn cancel(console: &mut Console, state_dir: &Path, args: Cancel) -> Result<Exit, Failure> {
    let runs = Runs::open(state_dir)?;
    let run = runs.find(&args.run).await?;
    if args.rollback && runs.owner(&run).is_none() {
        let sure = if args.past_point_of_no_return { " --past-point-of-no-return" } else { "" };
        return Err(Failure::refused(format!("no process drives run {run}, so somebody has to carry its rollback out"))
            .help(format!("wf rollback {run}{sure}")));
    }
    if args.rollback {
        return roll_back(console, &runs, &run, args.past_point_of_no_return, args.yes, args.reason).await;
    }
    let (replayed, _) = runs.replayed(&run).await?;
    let order = Order::Cancel { rollback: false, past_point_of_no_return: false };
    order.check(&replayed.state).map_err(|refusal| failed(&run, RunError::Refused(refusal)))?;
    if replayed.header.world == AWS {
        let changed = replayed.state.steps().iter().filter(|step| step.intent || step.irreversible).count();
        confirm::cancel(console, &replayed.header.workflow, changed, args.yes)?;
    }
    give(console, &runs, &run, Ordered { order, reason: args.reason }).await
}

/// Has the process that drives a run roll it back.
pub async fn roll_back(console: &mut Console, runs: &Runs, run: &RunId, past: bool, yes: bool, reason: String) -> Result<Exit, Failure> {
    if !yes {
        let (replayed, _) = runs.replayed(run).await?;
        may_roll_back(&replayed.state, past).map_err(|refusal| failed(run, RunError::Refused(refusal)))?;
        let steps = (0..replayed.workflow.len()).filter(|&ix| replayed.state.can_undo(ix)).count();
        let on_aws = replayed.header.world == AWS;
        confirm::rollback(console, &replayed.header.workflow, steps, !on_aws, None)?;
    }
    let order = Order::Cancel { rollback: true, past_point_of_no_return: past };
    give(console, runs, run, Ordered { order, reason }).await
}

/// Gives an order to whoever has the run, and says what comes of it.
async fn give(console: &mut Console, runs: &Runs, run: &RunId, ordered: Ordered) -> Result<Exit, Failure> {
    let taken = taken(runs, run, &ordered).await?;
    let Ordered { order, reason } = ordered;
    if console.json() {
        console.document(&serde_json::json!({ "run": run, "order": order, "reason": reason, "live": taken == Taken::Live }))?;
    } else {
        console.data(&said(run, &order, taken))?;
    }
    Ok(Exit::Completed)
}

async fn taken(runs: &Runs, run: &RunId, ordered: &Ordered) -> Result<Taken, Failure> {
    let mut tries = 0;
    loop {
        tries += 1;
        let result = match runs.owner(run) {
            Some(owner) => to_owner(runs, run, ordered, &owner).await.map(|()| Taken::Live),
            None => to_journal(runs, run, ordered).await.map(|()| Taken::Recorded),
        };
        match result {
            Err(Failure::Run { source: RunError::Journal(JournalError::Locked { .. }), .. }) if tries < TRIES_MAX => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            result => return result,
        }
    }
}

async fn to_journal(runs: &Runs, run: &RunId, Ordered { order, reason }: &Ordered) -> Result<(), Failure> {
    let (replayed, _) = runs.replayed(run).await?;
    // A simulated world's time stands still while nobody has it open.
    let now = if replayed.header.world == SIM { replayed.state.last_at().unwrap_or_default() } else { Timestamp::now() };
    let given = (order.clone(), operator::this(), reason.clone());
    runtime::order(runs.journal().as_ref(), now, run, given).await.map_err(|source| failed(run, source))?;
    // The cache tells of the run as it was.
    let _ = std::fs::remove_file(runs.layout().summary_file(run));
    Ok(())
}

async fn to_owner(runs: &Runs, run: &RunId, ordered: &Ordered, owner: &Holder) -> Result<(), Failure> {
    match ask(runs, run, ordered).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(Refused { error, help })) => {
            Err(Failure::refused(error).help(help.unwrap_or_else(|| format!("`wf status {run}` shows every step"))))
        }
        Err(error) => Err(Failure::refused(format!(
            "run {run} is in the hands of {owner}, which does not answer: {error}; it may still carry the order out"
        ))
        .help(format!("`wf status {run}` tells; if it stays so, end it (kill -INT {}) and `wf resume {run}`", owner.pid))),
    }
}

/// Asks the process that drives a run to carry an order out; returns what it has against it.
async fn ask(runs: &Runs, run: &RunId, Ordered { order, reason }: &Ordered) -> std::io::Result<Result<(), Refused>> {
    // The rest of the time is for the answer.
    let until = Timestamp::now() + OWNER_TIME_MAX / 2;
    let request = Request::Order { order: Box::new(order.clone()), reason: reason.clone(), by: Box::new(operator::this()), until };
    connect(&runs.layout().control_socket(run)).await?.order(&request).await
}

/// Ends a pause of a run that another process drives. Returns whether there was one, as far as that process tells at once.
pub async fn resumed(console: &mut Console, runs: &Runs, run: &RunId) -> Result<bool, Failure> {
    if runs.owner(run).is_none() {
        return Ok(false);
    }
    let held = match tokio::time::timeout(GLANCE_MAX, runs.replayed(run)).await {
        Ok(Ok((replayed, found))) => found.live_at.is_some() && replayed.state.held().is_some(),
        // That it is in other hands says it all.
        Ok(Err(_)) | Err(_) => false,
    };
    if held {
        give(console, runs, run, Ordered { order: Order::Resume, reason: String::new() }).await?;
    }
    Ok(held)
}

fn said(run: &RunId, order: &Order, taken: Taken) -> String {
    let step = order.step().map(|step| format!("step `{step}` of ")).unwrap_or_default();
    let done = match (order, taken) {
        (Order::Approve { .. }, _) => "approved",
        (Order::Reject { .. }, _) => "rejected",
        (Order::Pause, _) => "paused",
        (Order::Resume, _) => "goes on",
        (Order::Cancel { rollback: false, .. }, Taken::Recorded) => "abandoned",
        (Order::Cancel { .. }, _) => "cancelled",
        (Order::Retry { .. }, _) => "to be tried again",
        (Order::Skip { .. }, _) => "to be left out",
        (Order::MarkDone { .. }, _) => "taken for done",
        (Order::Escalate, _) => "unplanned from now on",
        (Order::Adjust { .. }, _) => "adjusted",
    };
    let next = match (order, taken) {
        (Order::Pause, _) => format!("what is under way goes on to its end; then: wf resume {run}"),
        (Order::Cancel { rollback: false, .. }, Taken::Recorded) => format!("what it changed stays as it is: wf report {run}"),
        (_, Taken::Recorded) => format!("recorded; nobody drives the run: wf resume {run}"),
        (Order::Cancel { .. }, Taken::Live) => format!("what is under way is left at its next safe point: wf status {run}"),
        (_, Taken::Live) => return format!("{done}: {step}run {run}"),
    };
    format!("{done}: {step}run {run}\n{next}")
}

/// Reads a step's id.
pub fn step_id(text: &str) -> Result<StepId, Failure> {
    text.parse().map_err(|error: IdError| Failure::usage(error.to_string()))
}

/// Reads the outputs of a step as its kind declares them.
pub fn outputs(replayed: &Replayed, registry: &Registry, step: &StepId, given: &[Pair]) -> Result<Fields, Failure> {
    let mut outputs = Fields::new();
    let kind = replayed.workflow.find(step).map(|ix| replayed.workflow.step(ix).kind.value.as_str());
    // A step that there is not is refused with the order.
    let Some(info) = kind.and_then(|kind| registry.kind(kind)) else { return Ok(outputs) };
    for (name, value) in given {
        let Some(field) = info.outputs.iter().find(|field| field.name == name) else {
            let known: Vec<_> = info.outputs.iter().map(|field| field.name).collect();
            return Err(Failure::usage(format!("{} has no output `{}`", info.name, name.escape_debug()))
                .help(format!("it has: {}", known.join(", "))));
        };
        outputs.insert(name.clone(), output(field, value).map_err(Failure::usage)?);
    }
    Ok(outputs)
}
