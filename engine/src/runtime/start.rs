//! The three ways into the dispatcher's loop: a new run, a run taken over, a run to be rolled back.

use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use jiff::Timestamp;
use serde_json::Value;

use super::adoption::{Adoption, Changed, adopt, change, text_parts};
use super::dispatcher::{Dispatcher, Parts};
use super::{RunEnd, RunError, Runtime};
use crate::journal::Claim;
use crate::model::event::{Event, Fields, Mode, Operator, RunHeader, RunOutcome};
use crate::model::ids::{RunId, StepId};
use crate::model::order::{self, Order, Refusal, may_roll_back};
use crate::model::record::{Chain, Record, hash};
use crate::model::run_state::{RunPhase, RunState, StepStatus};
use crate::model::workflow::Workflow;
use crate::registry::{BoundWorkflow, Imports};

/// What a new run is of.
pub struct StartPlan {
    /// Its id.
    pub run: RunId,
    /// The workflow, bound.
    pub bound: BoundWorkflow,
    /// The file that it was read from, for the operator only.
    pub file: String,
    /// Every input with its value.
    pub inputs: IndexMap<String, Value>,
    /// Values of the run that this one follows.
    pub imports: IndexMap<String, Value>,
    /// The run that this one follows.
    pub follows: Option<RunId>,
    /// Whether the failing side still works with us.
    pub mode: Mode,
    /// The environment that is exercised, if the run is a drill.
    pub drill: Option<String>,
    /// Promotions that no fence comes before, let through by whoever starts the run.
    pub unfenced: Vec<StepId>,
    /// When the incident began, if that is known.
    pub incident_at: Option<Timestamp>,
    /// The most steps that may run at once; `None` means what the workflow says.
    pub max_parallel: Option<u32>,
    /// Whether approvals are given in advance.
    pub approve_all: bool,
    /// Where the run acts: `aws`, or `sim`.
    pub world: String,
    /// Who starts it.
    pub by: Operator,
}

/// How a run is taken over.
pub struct ResumePlan {
    /// Who resumes it.
    pub by: Operator,
    /// Whether approvals are given in advance.
    pub approve_all: bool,
    /// Interrupted steps that may run again although nobody knows what they did.
    pub redo: Vec<StepId>,
    /// Steps that are done, by the operator's word, with their outputs.
    pub mark_done: Vec<(StepId, Fields)>,
    /// The edited workflow that the run is of from here on.
    pub adopt: Option<Adoption>,
}

/// How a run is rolled back by hand.
pub struct RollbackRequest {
    /// Who asks.
    pub by: Operator,
    /// Why, in their words.
    pub reason: String,
    /// Whether the reversible rest is undone although something irreversible was done.
    pub past_point_of_no_return: bool,
}

/// A run as its journal tells it.
#[derive(Debug)]
pub struct Replayed {
    /// What it is of, with the inputs that count now.
    pub header: RunHeader,
    /// The stored workflow, as it was adopted last.
    pub workflow: Arc<Workflow>,
    /// The workflow that it was started with.
    pub started_with: Arc<Workflow>,
    /// Where it is.
    pub state: RunState,
}

impl Replayed {
    /// Rebuilds a run from its records and the workflow that it was started with.
    ///
    /// # Errors
    /// When the records are no whole run of the workflow.
    pub fn of(run: &RunId, started_with: Arc<Workflow>, records: &[Record]) -> Result<Self, RunError> {
        let state = RunState::replay(Arc::clone(&started_with), |_| Duration::from_secs(1), records)?;
        let header = state.header().cloned().ok_or_else(|| RunError::NotARun { run: run.clone() })?;
        Ok(Self { header, workflow: Arc::clone(state.workflow()), started_with, state })
    }
}

/// Starts a new run and drives it until it ends, pauses or is interrupted.
///
/// # Errors
/// When the journal fails. Nothing was then done that is not on record.
pub async fn start(runtime: Runtime, plan: StartPlan) -> Result<RunEnd, RunError> {
    let claim = runtime.journal.claim(&plan.run, true).await?;
    let workflow = Arc::clone(plan.bound.workflow());
    let bound = Arc::new(plan.bound);
    let state = RunState::new(Arc::clone(&workflow), |ix| bound.declared(ix).typical());
    let texts = text_parts(workflow.text());
    let header = RunHeader {
        run: plan.run.clone(),
        workflow: workflow.name().to_owned(),
        workflow_hash: hash(workflow.text().as_bytes()),
        text_parts: u32::try_from(texts.len()).unwrap_or(u32::MAX),
        file: plan.file,
        inputs: plan.inputs,
        imports: plan.imports,
        follows: plan.follows,
        mode: plan.mode,
        drill: plan.drill,
        unfenced: plan.unfenced,
        incident_at: plan.incident_at,
        max_parallel: plan.max_parallel.unwrap_or(workflow.def().max_parallel),
        approve_all: plan.approve_all,
        world: plan.world,
        by: plan.by.clone(),
    };
    let journal = Arc::clone(&runtime.journal);
    let parts = Parts {
        run: plan.run.clone(),
        journal: runtime.journal,
        registry: runtime.registry,
        clock: runtime.clock,
        reporter: runtime.reporter,
        bound,
        state,
        chain: Chain::default(),
        epoch: claim.epoch,
        by: plan.by,
        approve_all: plan.approve_all,
    };
    let mut dispatcher = Dispatcher::new(parts);
    dispatcher.emit(Event::RunStarted(Box::new(header)))?;
    for (part, text) in (0..).zip(texts) {
        dispatcher.emit(Event::WorkflowText { part, text })?;
    }
    let end = dispatcher.drive(runtime.control).await;
    released(journal.as_ref(), &plan.run, end).await
}

/// Takes a run over and drives it on.
///
/// # Errors
/// When the run is in other hands, is over, or its journal fails.
pub async fn resume(runtime: Runtime, run: &RunId, plan: ResumePlan) -> Result<RunEnd, RunError> {
    let journal = Arc::clone(&runtime.journal);
    let claim = journal.claim(run, false).await?;
    let end = resume_claimed(runtime, run, claim, plan).await;
    released(journal.as_ref(), run, end).await
}

async fn resume_claimed(runtime: Runtime, run: &RunId, claim: Claim, plan: ResumePlan) -> Result<RunEnd, RunError> {
    let approve_all = |header: &RunHeader| plan.approve_all || header.approve_all;
    let Runtime { journal, registry, clock, reporter, control, workflow } = runtime;
    let parts = Taken { journal, registry, clock, reporter, workflow };
    let (mut dispatcher, changed) = taken_over(parts, run, claim, plan.by.clone(), approve_all, plan.adopt)?;
    if let RunPhase::Finished(
        outcome @ (RunOutcome::Completed | RunOutcome::CompletedWithExceptions | RunOutcome::RolledBack | RunOutcome::Abandoned),
    ) = dispatcher.state.phase()
    {
        return Err(RunError::Refused(Refusal::Finished { outcome, verb: "resume" }));
    }
    if let Some(changed) = changed {
        adopt(&mut dispatcher, changed)?;
    }
    let decided = plan.mark_done.iter().map(|(step, _)| step).chain(&plan.redo);
    for step in decided {
        decidable(&dispatcher.state, step)?;
    }
    // A step that failed is decided while its failure stands, an interrupted one once it is known to be.
    for (step, outputs) in &plan.mark_done {
        if matches!(status_of(&dispatcher.state, step), Some(StepStatus::Failed | StepStatus::Unreachable)) {
            dispatcher.emit(Event::StepMarkedDone {
                step: step.clone(),
                outputs: outputs.clone(),
                by: plan.by.clone(),
                reason: String::new(),
            })?;
        }
    }
    dispatcher.emit(Event::RunResumed { by: plan.by.clone() })?;
    for (step, outputs) in plan.mark_done {
        if status_of(&dispatcher.state, &step) == Some(StepStatus::Interrupted) {
            dispatcher.emit(Event::StepMarkedDone { step, outputs, by: plan.by.clone(), reason: String::new() })?;
        }
    }
    for step in plan.redo {
        if status_of(&dispatcher.state, &step) == Some(StepStatus::Interrupted) {
            dispatcher.emit(Event::StepRedone { step, by: plan.by.clone() })?;
        }
    }
    dispatcher.drive(control).await
}

/// Compensates everything that a run attempted.
///
/// # Errors
/// As [`resume`]; and when something irreversible was done and the request does not say that it knows.
pub async fn rollback(runtime: Runtime, run: &RunId, request: RollbackRequest) -> Result<RunEnd, RunError> {
    let journal = Arc::clone(&runtime.journal);
    let claim = journal.claim(run, false).await?;
    let end = rollback_claimed(runtime, run, claim, request).await;
    released(journal.as_ref(), run, end).await
}

async fn rollback_claimed(runtime: Runtime, run: &RunId, claim: Claim, request: RollbackRequest) -> Result<RunEnd, RunError> {
    let Runtime { journal, registry, clock, reporter, control, workflow } = runtime;
    let parts = Taken { journal, registry, clock, reporter, workflow };
    let (mut dispatcher, _) = taken_over(parts, run, claim, request.by.clone(), |_| false, None)?;
    may_roll_back(&dispatcher.state, request.past_point_of_no_return).map_err(RunError::Refused)?;
    if dispatcher.state.phase() == RunPhase::Forward {
        dispatcher.emit(Event::RunResumed { by: request.by.clone() })?;
    }
    dispatcher.emit(Event::RollbackStarted { reason: request.reason, by: Some(request.by) })?;
    dispatcher.drive(control).await
}

/// Records an order to a run that no process drives; what follows from it happens when the run is resumed. A run that is given up is
/// over at once.
///
/// # Errors
/// When the run is in other hands, when the order makes no sense, or when the journal fails.
pub async fn order(
    journal: &dyn crate::journal::Journal,
    now: Timestamp,
    run: &RunId,
    (order, by, reason): (Order, Operator, String),
) -> Result<(), RunError> {
    let claim = journal.claim(run, false).await?;
    let recorded = order_claimed(journal, now, run, claim, (order, by, reason)).await;
    let released = journal.release(run).await;
    recorded?;
    Ok(released?)
}

async fn order_claimed(
    journal: &dyn crate::journal::Journal,
    now: Timestamp,
    run: &RunId,
    claim: Claim,
    (order, by, reason): (Order, Operator, String),
) -> Result<(), RunError> {
    let (_, workflow) = stored(run, &claim.records, None)?;
    let mut state = RunState::replay(workflow, |_| Duration::from_secs(1), &claim.records)?;
    let mut chain = Chain::resume(&claim.records, claim.head);
    let mut batch = Vec::new();
    let mut emit = |state: &mut RunState, event| -> Result<(), RunError> {
        let (record, sealed) = chain.extend(now, claim.epoch, event)?;
        state.apply(&record)?;
        batch.push(sealed);
        Ok(())
    };
    // Whatever ran when the last owner died is interrupted; a resume would find it so.
    if !state.active().is_empty() {
        emit(&mut state, Event::RunInterrupted { reason: "its process is gone".to_owned() })?;
    }
    order.check(&state).map_err(RunError::Refused)?;
    let given_up = match order {
        Order::Pause | Order::Resume | Order::Cancel { rollback: true, .. } => {
            return Err(RunError::Refused(Refusal::NotUnderWay { verb: order.verb() }));
        }
        Order::Cancel { rollback: false, .. } => true,
        Order::Approve { .. }
        | Order::Reject { .. }
        | Order::Retry { .. }
        | Order::Skip { .. }
        | Order::MarkDone { .. }
        | Order::Escalate
        | Order::Adjust { .. } => false,
    };
    emit(&mut state, order.event(by, reason))?;
    if given_up {
        emit(&mut state, Event::RunFinished { outcome: RunOutcome::Abandoned })?;
    }
    let Some(first) = batch.first().map(|first| first.seq) else { return Ok(()) };
    Ok(journal.append(run, claim.epoch, first, batch).await?)
}

fn status_of(state: &RunState, step: &StepId) -> Option<StepStatus> {
    state.workflow().find(step).map(|ix| state.step(ix).status)
}

/// Checks that a step can be decided by hand: it was interrupted, or is about to be found so, or failed.
fn decidable(state: &RunState, step: &StepId) -> Result<(), RunError> {
    let status = order::find(state, step).map_err(RunError::Refused)?.1;
    let undecided = match status {
        StepStatus::Running
        | StepStatus::Waiting
        | StepStatus::Retrying
        | StepStatus::Interrupted
        | StepStatus::Failed
        | StepStatus::Unreachable => true,
        StepStatus::Pending
        | StepStatus::Succeeded
        | StepStatus::Skipped
        | StepStatus::Compensating
        | StepStatus::CompensationInterrupted
        | StepStatus::Compensated
        | StepStatus::CompensationFailed => false,
    };
    order::demand(undecided, step, state, "only a step that was interrupted or failed can be decided by hand").map_err(RunError::Refused)
}

struct Taken {
    journal: Arc<dyn crate::journal::Journal>,
    registry: Arc<crate::registry::Registry>,
    clock: Arc<dyn crate::clock::Clock>,
    reporter: Box<dyn crate::report::Reporter>,
    workflow: Option<Arc<Workflow>>,
}

/// Rebuilds a claimed run and makes this process its owner.
fn taken_over(
    taken: Taken,
    run: &RunId,
    claim: Claim,
    by: Operator,
    approve_all: impl Fn(&RunHeader) -> bool,
    adopt: Option<Adoption>,
) -> Result<(Dispatcher, Option<Changed>), RunError> {
    let (_, workflow) = stored(run, &claim.records, taken.workflow.as_ref())?;
    let mut state = RunState::replay(workflow, |_| Duration::ZERO, &claim.records)?;
    let header = state.header().cloned().ok_or_else(|| RunError::NotARun { run: run.clone() })?;
    let changed = adopt.map(|adopt| change(&state, adopt, by.clone())).transpose()?;
    let (workflow, inputs) = match &changed {
        Some(Changed { workflow, change, .. }) => (Arc::clone(workflow), &change.inputs),
        None => (Arc::clone(state.workflow()), &header.inputs),
    };
    let imports = if header.imports.is_empty() { Imports::None } else { Imports::Values(&header.imports) };
    let bound = taken.registry.bind(Arc::clone(&workflow), inputs, &imports);
    let bound = Arc::new(bound.map_err(|problems| RunError::Workflow { problems, text: workflow.text().to_owned() })?);
    if changed.is_none() {
        state.prioritise(|ix| bound.declared(ix).typical());
    }
    let chain = Chain::resume(&claim.records, claim.head);
    let approve_all = approve_all(&header);
    let Taken { journal, registry, clock, reporter, .. } = taken;
    let dispatcher = Dispatcher::new(Parts {
        run: run.clone(),
        journal,
        registry,
        clock,
        reporter,
        bound,
        state,
        chain,
        epoch: claim.epoch,
        by,
        approve_all,
    });
    Ok((dispatcher, changed))
}

/// Rebuilds a run from its records, without its kinds: for `status`, `log` and the runs that follow it.
///
/// # Errors
/// When the records are no whole run.
pub fn replay(run: &RunId, records: &[Record]) -> Result<Replayed, RunError> {
    let (_, workflow) = stored(run, records, None)?;
    Replayed::of(run, workflow, records)
}

/// Puts the stored workflow together again; `known` saves reading it, if it is the same.
fn stored(run: &RunId, records: &[Record], known: Option<&Arc<Workflow>>) -> Result<(RunHeader, Arc<Workflow>), RunError> {
    let not_a_run = || RunError::NotARun { run: run.clone() };
    let Some(Event::RunStarted(header)) = records.first().map(|record| &record.event) else { return Err(not_a_run()) };
    let mut text = String::new();
    let mut parts = 0;
    for record in &records[1..] {
        match &record.event {
            Event::WorkflowText { part, text: more } if *part == parts => {
                text.push_str(more);
                parts += 1;
            }
            _ => break,
        }
    }
    if parts != header.text_parts || hash(text.as_bytes()) != header.workflow_hash {
        return Err(not_a_run());
    }
    if let Some(known) = known.filter(|known| known.text() == text) {
        return Ok(((**header).clone(), Arc::clone(known)));
    }
    let workflow = Workflow::parse(&text).map_err(|problems| RunError::Workflow { problems, text })?;
    Ok(((**header).clone(), Arc::new(workflow)))
}

/// Gives the run back. A failure to do so matters less than how the run ended.
async fn released(journal: &dyn crate::journal::Journal, run: &RunId, end: Result<RunEnd, RunError>) -> Result<RunEnd, RunError> {
    let released = journal.release(run).await;
    let end = end?;
    released?;
    Ok(end)
}
