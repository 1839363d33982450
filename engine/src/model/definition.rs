//! A workflow as it was written: settings decoded, places kept, params raw. [`super::dsl`] reads it, [`super::workflow`] validates it.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::account::AccountDef;
use super::event::Mode;
use super::ids::StepId;
use super::occasion::{Occasion, Only};
use super::problem::{Place, Placed};
use super::retry::RetryPolicy;
use super::template::{Reference, Template};
use crate::units::Span;

/// A workflow as it was written.
#[derive(Debug, Clone)]
pub struct WorkflowDef {
    /// Its name.
    pub name: String,
    /// What it must achieve.
    pub objectives: Objectives,
    /// Its inputs, in the order of the file.
    pub inputs: IndexMap<String, Input>,
    /// What to do when a step fails before the point of no return.
    pub on_failure: OnFailure,
    /// What to do when every step is done.
    pub at_end: AtEnd,
    /// The most steps that may run at once.
    pub max_parallel: u32,
    /// The workflow file whose last completed run this one builds on; its values are `${workflow.step.output}`.
    pub follows: Option<Placed<String>>,
    /// The mode of a run that does not say otherwise.
    pub mode: Mode,
    /// The account that its steps act in, when it is not the operator's own.
    pub account: Option<AccountDef>,
    /// The steps, in the order of the file.
    pub steps: Vec<StepDef>,
}

/// What a workflow must achieve, and for what.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Objectives {
    /// How long the service may be away.
    pub rto: Option<Span>,
    /// How much of the latest data may be lost, as a time.
    pub rpo: Option<Span>,
    /// How much depends on the service.
    pub tier: Option<Tier>,
    /// The rules that the service is under, such as "pci_dss": for the report, whose reader asks for them.
    pub compliance: Vec<String>,
}

/// How much depends on a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tier {
    /// The business stands still without it.
    Critical,
    /// It may be away for longer.
    NonCritical,
}

impl std::fmt::Display for Tier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Critical => "critical",
            Self::NonCritical => "not critical",
        })
    }
}

/// A value that a run can be given.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// The value when none is given; without one, and without `from`, the run must be given one.
    pub default: Option<Value>,
    /// The value of the followed run that stands in when none is given, such as `failover.fence.before.min`.
    pub from: Option<Reference>,
    /// Where the input is declared.
    pub at: Place,
}

/// What to do when a step fails before the point of no return. After it a run always pauses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
pub enum OnFailure {
    /// Compensate everything attempted.
    #[default]
    Rollback,
    /// Start nothing more and ask the operator.
    Pause,
}

/// What to do when every step is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
pub enum AtEnd {
    /// What was changed stays.
    #[default]
    Stay,
    /// Compensate everything attempted, also past a point of no return: what a drill changes, it puts back.
    Undo,
    /// That of a drill is compensated, that of other runs stays: one file for both.
    UndoDrill,
}

/// What a step is for in a drill: what its failure says of the drill depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
pub enum Stage {
    /// Makes what the drill needs. Its failure says nothing of the failover.
    Prepare,
    /// Brings the failure about. The clock starts with it.
    Fail,
    /// Proves that the failure happened.
    Prove,
    /// Checks that users are served again. The clock stops with the last one.
    Check,
}

/// What a step's failure means for the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
pub enum StepPolicy {
    /// The run cannot go on.
    #[default]
    Fail,
    /// The steps behind it go on as if it had succeeded.
    Continue,
}

/// Whether a step is compensated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
pub enum Compensate {
    /// As its kind does.
    #[default]
    Default,
    /// Not at all: what it changed stays.
    None,
}

/// What to do with a step that was interrupted between intent and result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
pub enum OnInterrupted {
    /// As its kind says.
    #[default]
    Default,
    /// Observe and carry on, even if the kind cannot tell.
    Rerun,
    /// Pause and ask, even if the kind can tell.
    Halt,
}

/// A step as it was written.
#[derive(Debug, Clone)]
pub struct StepDef {
    /// Its name.
    pub id: Placed<StepId>,
    /// The steps that it waits for, as listed.
    pub needs: Vec<Placed<StepId>>,
    /// The name of its kind.
    pub kind: Placed<String>,
    /// The params of its kind, parentheses included.
    pub params: Template,
    /// Where the params stand.
    pub params_at: Place,
    /// The account that it acts in, instead of the workflow's.
    pub account: Option<AccountDef>,
    /// The limit of the whole step, retries included; each resume starts it anew.
    pub timeout: Option<Span>,
    /// How a failed attempt is followed by others.
    pub retry: RetryPolicy,
    /// What its failure means for the run.
    pub on_failure: StepPolicy,
    /// What it means that its world cannot be reached.
    pub on_unreachable: StepPolicy,
    /// The runs that it is part of; `None` means all.
    pub only: Option<Only>,
    /// What it is for in a drill; `None` is the failover itself.
    pub stage: Option<Stage>,
    /// Whether it is compensated.
    pub compensate: Compensate,
    /// What to do when it was interrupted.
    pub on_interrupted: OnInterrupted,
    /// Where the step stands.
    pub at: Place,
}

impl WorkflowDef {
    /// Returns what kind of run one of it is. What is always put back is an exercise, whatever it is started as.
    pub fn occasion(&self, mode: Mode, drill: bool) -> Occasion {
        Occasion { mode, drill: drill || self.at_end == AtEnd::Undo }
    }

    /// Tells whether such a run puts back what it changed, when every step is done.
    pub fn undoes(&self, occasion: Occasion) -> bool {
        match self.at_end {
            AtEnd::Stay => false,
            AtEnd::Undo => true,
            AtEnd::UndoDrill => occasion.drill,
        }
    }
}

impl StepDef {
    /// Tells whether the step is part of such a run.
    pub fn takes_part(&self, occasion: Occasion) -> bool {
        self.only.is_none_or(|only| only.includes(occasion))
    }
}
