//! What the operator should look at before a run: a plan that leans on what may be gone, or promotes without a fence or a question.

use std::collections::BTreeSet;
use std::time::Duration;

use wf_engine::model::definition::{Compensate, StepPolicy};
use wf_engine::model::event::Mode;
use wf_engine::model::workflow::StepIx;
use wf_engine::plan::Verdict;
use wf_engine::registry::BoundWorkflow;
use wf_engine::step::{Reversibility, StepKind as _};
use wf_steps::kinds::approval::Approval;
use wf_steps::kinds::fence::Fence;
use wf_steps::kinds::rds_promote_read_replica::RdsPromoteReadReplica;

use super::is_point_of_no_return;
use crate::render::span;
use crate::{split_brain, whoami};

/// Longer than this, resolvers hold users back for longer than the rest of a failover's last steps takes.
const TTL_MAX: u64 = 120;

/// What only Route 53's one control plane can do.
const ROUTE53_CHANGE: &str = "route53:ChangeResourceRecordSets";
/// Where that control plane is.
const ROUTE53_REGION: &str = "us-east-1";

/// Returns the warnings, a sentence each.
pub fn of(
    bound: &BoundWorkflow,
    regions: &whoami::Plan<'_>,
    order: &[StepIx],
    verdicts: &[Verdict],
    (rto, expected): (Option<Duration>, Duration),
) -> Vec<String> {
    let workflow = bound.workflow();
    let mut warnings = of_the_plan(bound, regions, order);
    for &ix in order {
        match &verdicts[ix] {
            Verdict::Changes { before, .. } => {
                if let Some(ttl) = before.pointer("/record/ttl").and_then(serde_json::Value::as_u64).filter(|ttl| *ttl > TTL_MAX) {
                    warnings.push(format!(
                        "the record of `{}` has a TTL of {ttl} s: that long users may be led to the old place",
                        workflow.id(ix)
                    ));
                }
            }
            Verdict::Fails(failure) => warnings.push(format!("`{}` would fail: {}", workflow.id(ix), failure.message)),
            Verdict::Unreachable(failure) => warnings.push(format!("`{}` could not be looked at: {}", workflow.id(ix), failure.message)),
            Verdict::LeftOut | Verdict::AsDesired | Verdict::Waits | Verdict::After(_) | Verdict::NotYet(_) => {}
        }
    }
    if let Some(rto) = rto.filter(|rto| expected > *rto) {
        warnings.push(format!("nine runs of ten take up to {}, and the RTO is {}", span(expected), span(rto)));
    }
    warnings
}

/// Returns the warnings that need no look at the world, those of the control planes that a plan leans on among them: what is to be known long
/// before a run.
pub fn beforehand(bound: &BoundWorkflow, regions: &whoami::Plan<'_>, order: &[StepIx]) -> Vec<String> {
    let mut warnings = of_the_plan(bound, regions, order);
    let leaves = regions.occasion.mode == Mode::Unplanned && failing(bound, regions, order).contains(ROUTE53_REGION);
    for &ix in order.iter().filter(|&&ix| leaves && bound.declared(ix).iam().apply.contains(&ROUTE53_CHANGE)) {
        warnings.push(format!(
            "`{}` needs Route 53's control plane, which is in {ROUTE53_REGION}, the region that is being left: `via: StopObject(…)` and `via: RoutingControl(…)` move the users without it",
            bound.workflow().id(ix)
        ));
    }
    warnings
}

/// Returns the regions that the plan passes over when they are gone.
fn failing(bound: &BoundWorkflow, regions: &whoami::Plan<'_>, order: &[StepIx]) -> BTreeSet<String> {
    order.iter().filter(|&&ix| is_a_fence(bound, ix)).filter_map(|&ix| regions.region(ix)).collect()
}

fn of_the_plan(bound: &BoundWorkflow, regions: &whoami::Plan<'_>, order: &[StepIx]) -> Vec<String> {
    let workflow = bound.workflow();
    let mut warnings = Vec::new();
    if regions.occasion.mode == Mode::Unplanned {
        let failing = failing(bound, regions, order);
        for &ix in order.iter().filter(|&&ix| workflow.step(ix).on_unreachable != StepPolicy::Continue) {
            if let Some(region) = regions.region(ix).filter(|region| failing.contains(region)) {
                warnings.push(format!(
                    "`{}` needs the API of {region}, the region that is being left, and the run does not go on without it",
                    workflow.id(ix)
                ));
            }
        }
    }
    for &ix in order.iter().filter(|&&ix| is_point_of_no_return(bound, ix)) {
        let before = workflow.ancestors(ix);
        if !before.iter().any(|&need| kind(bound, need) == Approval::INFO.name) {
            warnings.push(format!("`{}` cannot be undone, and nobody is asked before it", workflow.id(ix)));
        }
        let elsewhere = |need: &StepIx| regions.region(*need).is_some_and(|region| Some(region) != regions.region(ix));
        let fences = |need: &&StepIx| bound.declared(**need).reversibility() == Reversibility::Reversible && elsewhere(need);
        if regions.occasion.mode == Mode::Planned
            && kind(bound, ix) == RdsPromoteReadReplica::INFO.name
            && !before.iter().any(|need| fences(&need))
        {
            warnings
                .push(format!("`{}` makes a second database that takes writes, and no step before it stops the first", workflow.id(ix)));
        }
    }
    for step in split_brain::unfenced(workflow, regions.occasion) {
        warnings.push(format!(
            "`{step}` makes a second database that takes writes, and no `Fence` before it stops the first: `wf run` takes that only with --accept-split-brain-risk"
        ));
    }
    warnings
}

/// A step that the plan passes over when its region is gone.
fn is_a_fence(bound: &BoundWorkflow, ix: StepIx) -> bool {
    let step = bound.workflow().step(ix);
    let passed_over = step.on_unreachable == StepPolicy::Continue
        && step.compensate != Compensate::None
        && bound.declared(ix).reversibility() == Reversibility::Reversible;
    passed_over || kind(bound, ix) == Fence::INFO.name
}

fn kind(bound: &BoundWorkflow, ix: StepIx) -> &str {
    &bound.workflow().step(ix).kind.value
}
