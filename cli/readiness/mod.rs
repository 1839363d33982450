//! [`Readiness`]: whether a workflow would work if it were run now, as `wf check --live` tells it. Knows nothing of what a kind checks.

mod kept;
mod rights;
mod text;

use std::path::PathBuf;

use crate::failure::Failure;
use crate::plan::{Place, beforehand};
use crate::sim_world::World;
use jiff::Timestamp;
use serde::Serialize;
use wf_engine::clock::{Clock as _, SystemClock, between};
use wf_engine::model::event::{Identity, Mode};
use wf_engine::model::ids::StepId;
use wf_engine::model::workflow::StepIx;
use wf_engine::plan::Looking;
use wf_engine::readiness::{Check, Finding, Later, StepReadiness};

pub use kept::Kept;

/// The input that names the standby region in the shipped workflows.
pub const STANDBY: &str = "dr_region";

/// What was found out about a workflow and its world.
#[derive(Debug, Serialize)]
pub struct Readiness {
    /// The workflow's file.
    pub file: PathBuf,
    /// Its name.
    pub workflow: String,
    /// In which mode it would run.
    pub mode: Mode,
    /// Where was looked: `aws`, or `sim`.
    pub world: String,
    /// As whom.
    pub identity: Option<Identity>,
    /// When was looked, by the time of that world.
    #[serde(skip)]
    pub at: Timestamp,
    /// The standby region, as far as the workflow says.
    #[serde(skip)]
    pub standby: Option<String>,
    /// Whether nothing is in the way: no check failed, and none is unknown.
    pub ready: bool,
    /// How long it took.
    pub seconds: f64,
    /// How many checks passed, of [`Self::checks`].
    pub passed: usize,
    /// Every check, by step.
    pub checks: Vec<Told>,
    /// The steps of which not all could be checked yet.
    pub later: Vec<ToldLater>,
    /// What the plan itself leans on, and should not.
    pub warnings: Vec<String>,
}

/// A check, as it is told.
#[derive(Debug, Serialize)]
pub struct Told {
    pub step: StepId,
    pub kind: String,
    pub check: &'static str,
    /// What it was checked on; empty where that is the step.
    pub subject: String,
    pub verdict: Verdict,
    /// What is wrong.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub fix: String,
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Passed,
    /// It passed, and somebody should look.
    Warned,
    Failed,
    Unknown,
}

impl From<&Finding> for Verdict {
    fn from(found: &Finding) -> Self {
        match found {
            Finding::Passed => Self::Passed,
            Finding::Warned { .. } => Self::Warned,
            Finding::Failed { .. } => Self::Failed,
            Finding::Unknown { .. } => Self::Unknown,
        }
    }
}

/// A step of which not all could be checked yet.
#[derive(Debug, Serialize)]
pub struct ToldLater {
    pub step: StepId,
    /// The steps whose outputs it uses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<StepId>,
    /// What is no obstacle yet, as steps before it change the world.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_yet: Option<String>,
}

impl Readiness {
    /// Looks at the world, and tells whether the workflow would work there.
    ///
    /// Whose rights are looked at may be somebody else than who looks.
    ///
    /// # Errors
    /// When nothing can be asked in this world.
    pub async fn make(file: PathBuf, looking: &Looking, place: Place<'_>, world: &World, rights_of: Option<&str>) -> Result<Self, Failure> {
        let begun = SystemClock.now();
        let asked = rights::Asked { file: &file, looking, place: &place, world, whose: rights_of };
        let (mut found, rights) = tokio::join!(looking.readiness(), asked.checks(looking.run.clone()));
        let mut rights = rights?;
        for step in &mut found {
            let told = |check: &Check| step.checks.iter().any(|other| !other.is_good() && other.why() == check.why());
            // A cluster that does not answer is told once.
            let of_step: Vec<_> =
                rights.remove(&step.step).unwrap_or_default().into_iter().filter(|check| check.is_good() || !told(check)).collect();
            step.checks.extend(of_step);
        }
        let seconds = between(begun, SystemClock.now()).as_secs_f64();
        let workflow = looking.bound.workflow();
        let order: Vec<StepIx> = (0..workflow.len()).filter(|&ix| workflow.step(ix).takes_part(looking.occasion)).collect();
        let checks: Vec<_> = found.iter().flat_map(|step| told(looking, step)).collect();
        let id = |ix: StepIx| workflow.id(ix).clone();
        let later = |step: &StepReadiness| match step.later.as_ref()? {
            Later::After(steps) => Some(ToldLater { step: id(step.step), after: steps.iter().map(|&ix| id(ix)).collect(), not_yet: None }),
            Later::NotYet(why) => Some(ToldLater { step: id(step.step), after: Vec::new(), not_yet: Some(why.clone()) }),
        };
        let passed = checks.iter().filter(|check| matches!(check.verdict, Verdict::Passed | Verdict::Warned)).count();
        Ok(Self {
            file,
            workflow: workflow.name().to_owned(),
            mode: looking.occasion.mode,
            world: place.world.to_owned(),
            at: looking.clock.now(),
            standby: place.run.inputs.get(STANDBY).and_then(|region| region.as_str()).map(str::to_owned),
            identity: place.identity,
            ready: passed == checks.len(),
            seconds,
            passed,
            later: found.iter().filter_map(later).collect(),
            warnings: beforehand(&looking.bound, &place.run, &order),
            checks,
        })
    }
}

fn told(looking: &Looking, step: &StepReadiness) -> Vec<Told> {
    let workflow = looking.bound.workflow();
    let one = |check: &Check| Told {
        step: workflow.id(step.step).clone(),
        kind: workflow.step(step.step).kind.value.clone(),
        check: check.name,
        subject: check.subject.clone(),
        verdict: (&check.found).into(),
        why: check.why().to_owned(),
        fix: check.fix().to_owned(),
    };
    step.checks.iter().map(one).collect()
}
