//! Which actions a workflow needs: what `wf iam` prints, and `wf check --live` asks about.

use wf_engine::model::workflow::StepIx;
use wf_engine::registry::Registry;
use wf_engine::step::Iam;

use crate::args::Rights;
use crate::whoami;

/// Returns the IAM actions of a step; none of a kind that is not known.
pub fn of_step(plan: &whoami::Plan<'_>, ix: StepIx, registry: &Registry, rights: Rights) -> impl Iterator<Item = &'static str> {
    let kind = registry.kind(&plan.workflow.step(ix).kind.value);
    let iam = kind.map(|kind| plan.step(ix, registry).map_or(kind.iam, |step| step.iam()));
    let Iam { read, ready, apply, compensate } = iam.unwrap_or_default();
    parts(rights, [read, ready, apply, compensate]).into_iter().flatten().copied()
}

/// Leaves out what changes something: planning, and checking beforehand, read only.
pub fn parts(rights: Rights, [read, ready, apply, compensate]: [&'static [&'static str]; 4]) -> Vec<&'static [&'static str]> {
    if rights == Rights::Plan { vec![read, ready] } else { vec![read, ready, apply, compensate] }
}
