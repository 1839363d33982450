//! [`Plan`]: what a run would do, by the live state of the world, and how long it would take. Made without a single write.

mod history;
mod text;
mod warnings;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use wf_engine::model::definition::Compensate;
use wf_engine::model::event::{Identity, Mode, StepFailure};
use wf_engine::model::ids::StepId;
use wf_engine::model::record::hash;
use wf_engine::model::workflow::StepIx;
use wf_engine::plan::{Looking, Verdict, forecast};
use wf_engine::registry::BoundWorkflow;
use wf_engine::step::{Change, Reversibility};
use wf_steps::aws::budget;

pub use history::History;
pub use warnings::beforehand;

use crate::whoami;

/// What a run would do.
#[derive(Debug, Serialize)]
pub struct Plan {
    /// The workflow's name.
    pub workflow: String,
    /// In which mode it would run.
    pub mode: Mode,
    /// Where it would act: `aws`, or `sim`.
    pub world: String,
    /// As whom.
    pub identity: Option<Identity>,
    /// Names what was looked at and found: the file, the inputs, and what each step would do.
    pub hash: String,
    /// The steps that would run, in the order in which they would begin.
    pub steps: Vec<PlannedStep>,
    /// The steps from which on the run cannot be rolled back whole.
    pub point_of_no_return: Vec<StepId>,
    /// What a rollback undoes, whenever it is asked for.
    pub can_be_undone: Vec<StepId>,
    /// What stays.
    pub cannot_be_undone: Vec<StepId>,
    /// How long it would take, in seconds.
    pub expected: Expected,
    /// The objective for that, in seconds.
    pub rto: Option<f64>,
    /// What it asks of each AWS service.
    pub calls: Vec<Calls>,
    /// What the operator should look at before the run.
    pub warnings: Vec<String>,
}

/// A step of a [`Plan`].
#[derive(Debug, Serialize)]
pub struct PlannedStep {
    pub step: StepId,
    pub kind: String,
    pub needs: Vec<StepId>,
    pub verdict: Told,
    /// What the kind does, in a line.
    pub summary: &'static str,
    /// Seconds after the run's start.
    pub start: f64,
    /// Seconds, half of the times.
    pub p50: f64,
    /// Seconds, nine times of ten.
    pub p90: f64,
    /// How many earlier runs that is from; 0 when it is what the kind usually takes.
    pub seen: usize,
    pub reversibility: String,
    /// Whether it decides how long the run takes.
    pub critical: bool,
}

/// What a step would do, as it is told.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    Changes(Vec<Change>),
    AsDesired,
    Waits,
    After(Vec<StepId>),
    NotYet(StepFailure),
    Unreachable(StepFailure),
    Fails(StepFailure),
}

/// How long a run would take, in seconds.
#[derive(Debug, Serialize)]
pub struct Expected {
    pub p50: f64,
    pub p90: f64,
    /// How many of the steps are known from earlier runs.
    pub steps_seen: usize,
    /// How many earlier runs there are.
    pub runs: usize,
}

/// What a plan asks of a service.
#[derive(Debug, Serialize)]
pub struct Calls {
    pub service: String,
    /// How many actions the steps name, each once: waits ask more often.
    pub at_least: usize,
    /// How many in a second are allowed, in a region.
    pub rate: f64,
    /// Who says so; none where AWS publishes nothing, and the rate is a careful guess.
    pub source: Option<&'static str>,
}

/// Where a plan is made, and with which values.
pub struct Place<'a> {
    pub world: &'static str,
    pub identity: Option<Identity>,
    pub run: whoami::Plan<'a>,
}

impl Plan {
    /// Looks at the world and puts together what a run would do there.
    pub async fn make(looking: &Looking, history: &History, place: Place<'_>) -> Self {
        let bound = &looking.bound;
        let workflow = bound.workflow();
        let verdicts = looking.look().await;
        let runs = |ix: &StepIx| workflow.step(*ix).takes_part(looking.occasion);
        let known = |ix: StepIx| history.of(workflow.id(ix).as_str()).filter(|_| runs(&ix));
        let usual = |ix: StepIx| if runs(&ix) { bound.declared(ix).typical() } else { Duration::ZERO };
        let half = |ix: StepIx| known(ix).map_or_else(|| usual(ix), |known| known.p50);
        let most = |ix: StepIx| known(ix).map_or_else(|| usual(ix), |known| known.p90);
        let (likely, late) = (forecast(workflow, half), forecast(workflow, most));
        let id = |ix: StepIx| workflow.id(ix).clone();
        let mut order: Vec<StepIx> = (0..workflow.len()).filter(runs).collect();
        order.sort_by_key(|&ix| (likely.starts[ix], ix));
        let steps: Vec<_> = order
            .iter()
            .map(|&ix| PlannedStep {
                step: id(ix),
                kind: workflow.step(ix).kind.value.clone(),
                needs: workflow.needs(ix).map(id).collect(),
                verdict: told(&verdicts[ix], &id),
                summary: bound.declared(ix).info().summary,
                start: likely.starts[ix].as_secs_f64(),
                p50: half(ix).as_secs_f64(),
                p90: most(ix).as_secs_f64(),
                seen: known(ix).map_or(0, |known| known.runs),
                reversibility: bound.declared(ix).reversibility().to_string(),
                critical: likely.path.contains(&ix),
            })
            .collect();
        let undoing = Undoing::of(bound, &order);
        let rto = workflow.def().objectives.rto.map(|rto| rto.0);
        let warnings = warnings::of(bound, &place.run, &order, &verdicts, (rto, late.makespan));
        let expected = Expected {
            p50: likely.makespan.as_secs_f64(),
            p90: late.makespan.as_secs_f64(),
            steps_seen: steps.iter().filter(|step| step.seen > 0).count(),
            runs: history.runs(),
        };
        Self {
            workflow: workflow.name().to_owned(),
            mode: looking.occasion.mode,
            world: place.world.to_owned(),
            hash: name(workflow.text(), &serde_json::json!([place.run.inputs, place.run.imports]), looking.occasion.mode, &steps),
            identity: place.identity,
            point_of_no_return: undoing.ends_at.into_iter().map(id).collect(),
            can_be_undone: undoing.can.into_iter().map(id).collect(),
            cannot_be_undone: undoing.cannot.into_iter().map(id).collect(),
            calls: calls(bound, &order),
            rto: rto.map(|rto| rto.as_secs_f64()),
            steps,
            expected,
            warnings,
        }
    }

    /// Tells whether a run would change the world.
    pub fn changes_something(&self) -> bool {
        self.steps.iter().any(|step| matches!(step.verdict, Told::Changes(_) | Told::After(_) | Told::NotYet(_)))
    }

    /// Returns the steps that would fail, or whose world does not answer.
    pub fn failing(&self) -> impl Iterator<Item = &PlannedStep> {
        self.steps.iter().filter(|step| matches!(step.verdict, Told::Fails(_)))
    }
}

fn told(verdict: &Verdict, id: &impl Fn(StepIx) -> StepId) -> Told {
    match verdict {
        Verdict::Changes { changes, .. } => Told::Changes(changes.clone()),
        Verdict::LeftOut | Verdict::AsDesired => Told::AsDesired,
        Verdict::Waits => Told::Waits,
        Verdict::After(steps) => Told::After(steps.iter().map(|&ix| id(ix)).collect()),
        Verdict::NotYet(failure) => Told::NotYet(failure.clone()),
        Verdict::Unreachable(failure) => Told::Unreachable(failure.clone()),
        Verdict::Fails(failure) => Told::Fails(failure.clone()),
    }
}

/// Makes the name of a plan. What a failure says is left out: it tells of moments and requests.
fn name(text: &str, values: &Value, mode: Mode, steps: &[PlannedStep]) -> String {
    let step = |step: &PlannedStep| {
        let found = match &step.verdict {
            Told::Changes(changes) => serde_json::to_value(changes).unwrap_or_default(),
            Told::AsDesired => "as desired".into(),
            Told::Waits => "waits".into(),
            Told::After(_) | Told::NotYet(_) => "later".into(),
            Told::Unreachable(_) => "unreachable".into(),
            Told::Fails(_) => "fails".into(),
        };
        (step.step.to_string(), found)
    };
    let found: BTreeMap<_, _> = steps.iter().map(step).collect();
    let all = serde_json::json!([text, values, mode, found]);
    hash(all.to_string().as_bytes())[..16].to_owned()
}

/// What a rollback undoes, and what it does not.
struct Undoing {
    ends_at: Vec<StepIx>,
    can: Vec<StepIx>,
    cannot: Vec<StepIx>,
}

impl Undoing {
    fn of(bound: &BoundWorkflow, order: &[StepIx]) -> Self {
        let changing = order.iter().copied().filter(|&ix| bound.declared(ix).reversibility() != Reversibility::ReadOnly);
        let stays = |ix: &StepIx| is_point_of_no_return(bound, *ix) || bound.workflow().step(*ix).compensate == Compensate::None;
        let (cannot, can) = changing.partition(stays);
        Self { ends_at: order.iter().copied().filter(|&ix| is_point_of_no_return(bound, ix)).collect(), can, cannot }
    }
}

/// Tells whether a run cannot be rolled back whole once this step has run.
fn is_point_of_no_return(bound: &BoundWorkflow, ix: StepIx) -> bool {
    bound.declared(ix).reversibility() == Reversibility::Irreversible
}

fn calls(bound: &BoundWorkflow, order: &[StepIx]) -> Vec<Calls> {
    let mut services: BTreeMap<&str, usize> = BTreeMap::new();
    for &ix in order {
        let iam = bound.declared(ix).iam();
        for action in iam.read.iter().chain(iam.apply) {
            if let Some((service, _)) = action.split_once(':') {
                *services.entry(service).or_default() += 1;
            }
        }
    }
    let published = |service: &str| budget::PUBLISHED.iter().find(|limit| limit.service == service && limit.operation.is_none());
    let calls = services.into_iter().map(|(service, at_least)| {
        let limit = published(service);
        Calls {
            service: service.to_owned(),
            at_least,
            rate: limit.map_or(budget::UNPUBLISHED.1, |limit| limit.rate),
            source: limit.map(|limit| limit.source),
        }
    });
    calls.collect()
}
