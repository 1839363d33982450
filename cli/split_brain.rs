//! Two databases that take writes: an unplanned promotion without a fence is refused, unless the operator takes the risk, which is recorded.

use wf_engine::model::definition::StepPolicy;
use wf_engine::model::event::{Event, Mode};
use wf_engine::model::ids::StepId;
use wf_engine::model::occasion::Occasion;
use wf_engine::model::record::Record;
use wf_engine::model::workflow::{StepIx, Workflow};
use wf_engine::runtime::{Order, Replayed};
use wf_engine::step::StepKind as _;
use wf_steps::kinds::fence::Fence;
use wf_steps::kinds::rds_promote_read_replica::RdsPromoteReadReplica;

use crate::failure::Failure;

/// Returns the promotions of such a run that no fence comes before. In a planned run the steps see for themselves that the writers are
/// gone; a drill promotes what it puts back.
pub fn unfenced(workflow: &Workflow, occasion: Occasion) -> Vec<StepId> {
    if occasion.mode == Mode::Planned || workflow.def().undoes(occasion) {
        return Vec::new();
    }
    let is = |ix: StepIx, kind: &str| workflow.step(ix).takes_part(occasion) && workflow.step(ix).kind.value == kind;
    // One whose failure is passed over holds nothing up.
    let fences = |ix: StepIx| is(ix, Fence::INFO.name) && workflow.step(ix).on_failure != StepPolicy::Continue;
    (0..workflow.len())
        .filter(|&ix| is(ix, RdsPromoteReadReplica::INFO.name) && !workflow.ancestors(ix).into_iter().any(fences))
        .map(|ix| workflow.id(ix).clone())
        .collect()
}

/// Returns the promotions that are let through at the operator's risk; refuses them when they did not take it.
pub fn risked(workflow: &Workflow, occasion: Occasion, accepted: bool) -> Result<Vec<StepId>, Failure> {
    permitted(unfenced(workflow, occasion), accepted)
}

/// As [`risked`], of a run that goes on as another `occasion`, or with an edited `workflow`: what was let through when it was started is,
/// and what is promoted already was promoted under other circumstances.
pub fn still_risked(replayed: &Replayed, workflow: &Workflow, occasion: Occasion, accepted: bool) -> Result<Vec<StepId>, Failure> {
    let over = |step: &StepId| replayed.workflow.find(step).is_some_and(|ix| replayed.state.step(ix).irreversible);
    let mut unfenced = unfenced(workflow, occasion);
    unfenced.retain(|step| !replayed.header.unfenced.contains(step) && !over(step));
    permitted(unfenced, accepted)
}

/// Returns what was let through of a run, at its start or since: whatever made it so needed somebody's word.
pub fn let_through(replayed: &Replayed, records: &[Record]) -> Vec<StepId> {
    let Replayed { header, workflow, state, .. } = replayed;
    let changes = |record: &Record| matches!(record.event, Event::Ordered { order: Order::Escalate, .. } | Event::WorkflowChanged(_));
    let Some(last) = records.iter().rposition(changes) else { return header.unfenced.clone() };
    let promoted = |step: &StepId| {
        records[..last].iter().any(|record| matches!(&record.event, Event::PointOfNoReturnPassed { step: passed } if passed == step))
    };
    let since = unfenced(workflow, state.occasion()).into_iter().filter(|step| !header.unfenced.contains(step) && !promoted(step));
    header.unfenced.iter().cloned().chain(since).collect()
}

fn permitted(unfenced: Vec<StepId>, accepted: bool) -> Result<Vec<StepId>, Failure> {
    match unfenced.first() {
        Some(step) if !accepted => Err(Failure::refused(format!(
            "step `{step}` makes a second database that takes writes, and no `Fence` before it stops the first: what both take cannot be brought together"
        ))
        .help(format!(
            "let `{step}` need a step `Fence(region: …, group: …)`; `--mode planned` if both sides answer; `--accept-split-brain-risk` takes the risk, and is recorded"
        ))),
        _ => Ok(unfenced),
    }
}

/// Says what risk was taken, if one was.
pub fn taken(unfenced: &[StepId]) -> Option<String> {
    let names = unfenced.iter().map(|step| format!("`{step}`")).collect::<Vec<_>>().join(", ");
    (!unfenced.is_empty()).then(|| format!("split brain: {names} without a fence (--accept-split-brain-risk)"))
}
