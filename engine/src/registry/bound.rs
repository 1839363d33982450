//! [`BoundWorkflow`]: a workflow whose kinds are known and whose params are decoded.

use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use serde_json::Value;

use super::{Imports, Registry, STAND_IN, Step};
use crate::model::account::Account;
use crate::model::dsl::OnInterrupted;
use crate::model::event::StepFailure;
use crate::model::template::{Reference, RenderError};
use crate::model::workflow::{Source, StepIx, Workflow, source_of};
use crate::signal::Signal;
use crate::step::Interruption;

/// A step of a [`BoundWorkflow`].
pub(super) struct BoundStep {
    pub(super) kind: String,
    /// Decoded, if `deferred` with stand-ins: good for its declarations, not to be run.
    pub(super) step: Arc<dyn Step>,
    /// Whom it acts as, when its account is another one and is known.
    pub(super) account: Option<Arc<Account>>,
    pub(super) deferred: bool,
}

/// A workflow whose kinds are known and whose params are decoded: the only thing that the runtime accepts.
pub struct BoundWorkflow {
    pub(super) workflow: Arc<Workflow>,
    pub(super) steps: Vec<BoundStep>,
    /// Inputs and imports, by reference.
    pub(super) known: IndexMap<String, Value>,
}

impl BoundWorkflow {
    /// Returns the workflow.
    pub fn workflow(&self) -> &Arc<Workflow> {
        &self.workflow
    }

    /// Returns a step as far as it is known before the run: for its declarations, not to be run.
    pub fn declared(&self, ix: StepIx) -> &dyn Step {
        self.steps[ix].step.as_ref()
    }

    /// Returns what a step works on and can be kept an eye on. What only the run will know is left out.
    pub fn signals(&self, ix: StepIx) -> Vec<Signal> {
        let bound = &self.steps[ix];
        let known = |signal: &Signal| !bound.deferred || signal.names().iter().all(|name| !name.contains(STAND_IN));
        bound.step.signals().into_iter().filter(known).collect()
    }

    /// Tells whether an interrupted step must be decided on by a human.
    pub fn halts(&self, ix: StepIx) -> bool {
        match self.workflow.step(ix).on_interrupted {
            OnInterrupted::Default => self.steps[ix].step.interruption() == Interruption::Halt,
            OnInterrupted::Rerun => false,
            OnInterrupted::Halt => true,
        }
    }

    fn has_account(&self, ix: StepIx) -> bool {
        self.workflow.step(ix).account.is_some() || self.workflow.def().account.is_some()
    }

    /// Returns whom a step acts as, when its account is another one than the operator's.
    pub fn account(&self, ix: StepIx) -> Option<&Account> {
        self.steps[ix].account.as_deref().filter(|_| !self.steps[ix].step.info().iam.is_empty())
    }

    /// Returns the limit of a step.
    pub fn timeout(&self, ix: StepIx) -> Duration {
        self.workflow.step(ix).timeout.map_or_else(|| self.steps[ix].step.timeout(), |timeout| timeout.0)
    }

    /// Decodes a step's params with the values that the run has by now.
    ///
    /// # Errors
    /// When a value is missing or is not what the kind takes: a failure of the step.
    pub fn resolve(
        &self,
        registry: &Registry,
        ix: StepIx,
        value_of: impl Fn(&Source<'_>) -> Option<Value>,
    ) -> Result<Arc<dyn Step>, StepFailure> {
        let bound = &self.steps[ix];
        if bound.account.is_none() && self.has_account(ix) {
            // Never as somebody else than the plan says.
            return Err(StepFailure::permanent("the account that the step acts in is not known: an input of it has no value"));
        }
        if !bound.deferred {
            return Ok(Arc::clone(&bound.step));
        }
        let lookup = |reference: &Reference| {
            self.known.get(&reference.path).cloned().or_else(|| source_of(&reference.path).and_then(|source| value_of(&source)))
        };
        let rendered = self.workflow.step(ix).params.render(lookup).map_err(|error| match error {
            RenderError::NoValue(_) => StepFailure::permanent(format!("{error}: the step that gives it did not succeed")),
            RenderError::TooLong(_) => StepFailure::permanent(error.to_string()),
        })?;
        let step = registry
            .step_in(&bound.kind, &rendered.text, bound.account.as_deref())
            .map_err(|problems| refused(&bound.kind, problems.into_iter().map(|problem| problem.message)))?;
        match step.problems() {
            problems if problems.is_empty() => Ok(step),
            problems => Err(refused(&bound.kind, problems)),
        }
    }
}

fn refused(kind: &str, problems: impl IntoIterator<Item = String>) -> StepFailure {
    let problems: Vec<_> = problems.into_iter().collect();
    StepFailure::permanent(format!("with the values of this run, the params of {kind} are not valid: {}", problems.join("; ")))
}

pub(super) fn known_values(workflow: &Workflow, inputs: &IndexMap<String, Value>, imports: &Imports<'_>) -> IndexMap<String, Value> {
    let declared = workflow.def().inputs.iter().filter_map(|(name, input)| Some((name.clone(), input.default.clone()?)));
    let mut known: IndexMap<_, _> = declared.collect();
    known.extend(inputs.iter().map(|(name, value)| (name.clone(), value.clone())));
    if let Imports::Values(values) = imports {
        known.extend(values.iter().map(|(name, value)| (name.clone(), value.clone())));
        for (name, input) in &workflow.def().inputs {
            if let (None, Some(value)) = (known.get(name), input.from.as_ref().and_then(|from| values.get(&from.path))) {
                known.insert(name.clone(), value.clone());
            }
        }
    }
    known
}
