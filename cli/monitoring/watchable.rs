//! [`Watchable`]: what of a workflow can be watched, by the signals of its steps, with the names that AWS gives to it as far as somebody looked.

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;
use serde_json::Value;
use wf_engine::model::definition::Objectives;
use wf_engine::model::event::StepFailure;
use wf_engine::registry::BoundWorkflow;
use wf_engine::signal::Signal;
use wf_engine::step::StepContext;
use wf_steps::aws::Cloud;
use wf_steps::watched::{self, Targets};

use crate::readiness::STANDBY;

/// What can be watched.
pub struct Watchable {
    pub workflow: String,
    pub objectives: Objectives,
    /// Where wf's own metrics are.
    pub own_region: Option<String>,
    /// Their namespace.
    pub namespace: String,
    /// Each once, in a fixed order.
    pub signals: BTreeSet<Signal>,
    /// Steps that act in other accounts: what they work on is watched there.
    pub elsewhere: Vec<String>,
    pub names: Names,
}

/// What AWS calls what steps name.
#[derive(Default)]
pub struct Names {
    /// Whether somebody looked.
    pub looked: bool,
    pub targets: BTreeMap<Signal, Targets>,
    pub health_checks: BTreeMap<Signal, String>,
}

impl Watchable {
    /// Gathers the signals of a workflow's steps, without a look at anything.
    pub fn of(bound: &BoundWorkflow, inputs: &IndexMap<String, Value>, region: Option<&str>, namespace: &str) -> Self {
        let workflow = bound.workflow();
        let (elsewhere, here): (Vec<usize>, Vec<usize>) = (0..workflow.len()).partition(|&ix| bound.account(ix).is_some());
        let standby = || inputs.get(STANDBY).and_then(Value::as_str);
        Self {
            workflow: workflow.name().to_owned(),
            objectives: workflow.def().objectives.clone(),
            own_region: region.or_else(standby).map(str::to_owned),
            namespace: namespace.to_owned(),
            signals: here.into_iter().flat_map(|ix| bound.signals(ix)).collect(),
            elsewhere: elsewhere.into_iter().filter(|&ix| !bound.signals(ix).is_empty()).map(|ix| workflow.id(ix).to_string()).collect(),
            names: Names::default(),
        }
    }

    /// Looks what AWS calls what the steps name.
    pub async fn look(&mut self, cx: &StepContext<Cloud>) -> Result<(), StepFailure> {
        let mut names = Names { looked: true, ..Names::default() };
        for signal in &self.signals {
            match signal {
                Signal::HealthyTargets { group, region, .. } => {
                    names.targets.insert(signal.clone(), watched::targets(cx, region, group).await?);
                }
                Signal::RecordHealth { zone, zone_id, private, record, kind } => {
                    let found = watched::health_check(cx, (zone, zone_id.as_deref(), *private), (record, kind)).await?;
                    names.health_checks.extend(found.map(|id| (signal.clone(), id)));
                }
                Signal::ReplicaLag { .. } | Signal::GroupSize { .. } | Signal::Topic { .. } => {}
            }
        }
        self.names = names;
        Ok(())
    }
}
