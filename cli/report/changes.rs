//! The ledger of a run: what it changed, from what to what, whether it was put back, and who can put it back.
//!
//! A kind names its values ([`wf_engine::step::StepKind::changes`]) from its params and the before-image on record, as in `wf plan`; no
//! world is asked. Of a kind that names none, the fields of its before-image and the outputs of the same names are told.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use wf_engine::model::event::{Event, RunOutcome};
use wf_engine::model::ids::StepId;
use wf_engine::model::record::Record;
use wf_engine::model::run_state::{RunPhase, StepStatus};
use wf_engine::model::workflow::StepIx;
use wf_engine::registry::{BoundWorkflow, Imports, Registry};
use wf_engine::runtime::{Replayed, may_roll_back};
use wf_engine::step::Change;

use super::followers::Follower;
use crate::sim_world::offline_registry;
use crate::whoami;

/// The params that say what a step works on, in the order in which they are told.
const NAMING: [&str; 10] = ["group", "cluster", "nodegroup", "namespace", "kind", "name", "instance", "zone", "topic", "region"];

/// What a step changed, or may have changed.
#[derive(Debug, Clone, Serialize)]
pub struct Changed {
    /// The step.
    pub step: StepId,
    /// Its kind.
    pub kind: String,
    /// What the kind does.
    pub does: String,
    /// What it works on, as far as its params name it.
    pub on: Vec<String>,
    /// When the intent to change it was recorded.
    pub at: Timestamp,
    /// The values, as far as they are known.
    pub values: Vec<Altered>,
    /// The before-image.
    pub before: Value,
    /// What became of it.
    pub fate: Fate,
    /// When it was put back, or that was given up.
    pub undone_at: Option<Timestamp>,
    /// Whether it cannot be undone.
    pub irreversible: bool,
    /// Who can put it back; nobody when there is nothing left to put back.
    pub restorers: Vec<Restorer>,
}

/// A value before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Altered {
    /// What it is.
    pub what: String,
    /// What it was; empty when it was not there.
    pub from: String,
    /// What it was set to; `None` when neither the kind nor its outputs say.
    pub to: Option<String>,
}

/// What became of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// It was made, and stands.
    Stands,
    /// It was asked for, and nobody knows whether it was made.
    Unknown,
    /// The before-image was restored.
    Undone,
    /// Restoring the before-image failed.
    NotUndone,
    /// What it was made on is gone again: another step had made it, and that is undone.
    Gone,
}

/// Who can put a change back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "by", rename_all = "kebab-case")]
pub enum Restorer {
    /// This run's own rollback.
    Rollback {
        /// The command line.
        command: String,
    },
    /// A run that followed this one took over what it had found.
    Run {
        /// The run and its workflow.
        run: String,
        /// Where it is.
        state: String,
        /// What it took.
        fields: Vec<String>,
    },
    /// A workflow that follows this one takes over what it found.
    Workflow {
        /// Its name.
        workflow: String,
        /// The command line.
        command: String,
        /// What it takes.
        fields: Vec<String>,
    },
    /// Nobody that is known.
    Hand,
    /// Nobody has to: nothing was recorded that could be put back, such as of a message that was sent.
    Nothing,
}

impl Fate {
    /// Tells whether the world may still be changed.
    pub fn is_left(self) -> bool {
        match self {
            Self::Stands | Self::Unknown | Self::NotUndone => true,
            Self::Undone | Self::Gone => false,
        }
    }

    /// Says it in a few words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Stands => "changed",
            Self::Unknown => "perhaps changed",
            Self::Undone => "undone",
            Self::NotUndone => "NOT UNDONE",
            Self::Gone => "gone with what it was made on",
        }
    }
}

/// Returns everything that a run changed or may have changed.
pub fn all(replayed: &Replayed, records: &[Record], followers: &[Follower]) -> Vec<Changed> {
    let Replayed { header, workflow, state, .. } = replayed;
    let mut intents: HashMap<StepIx, Timestamp> = HashMap::new();
    for record in records {
        if let Event::StepObserved { step, satisfied: false, .. } = &record.event
            && let Some(ix) = workflow.find(step)
        {
            intents.entry(ix).or_insert(record.at);
        }
    }
    // A step that was tried anew may have found its world as desired: then its last intent is of an earlier try.
    let mut intents: Vec<_> = intents.into_iter().filter(|&(ix, _)| state.step(ix).intent || state.step(ix).irreversible).collect();
    intents.sort_by_key(|&(ix, at)| (at, ix));
    if intents.is_empty() {
        return Vec::new();
    }
    let registry = offline_registry();
    // A workflow that this wf cannot bind was written for another one: its values are told as they are recorded.
    let bound = registry.bind(Arc::clone(workflow), &header.inputs, &Imports::Values(&header.imports)).ok();
    let changed = |(ix, at): (StepIx, Timestamp)| {
        let step = state.step(ix);
        let kind = &workflow.step(ix).kind.value;
        let fate = fate(replayed, ix);
        Changed {
            step: workflow.id(ix).clone(),
            kind: kind.clone(),
            does: registry.kind(kind).map(|info| info.summary.to_owned()).unwrap_or_default(),
            on: named(replayed, &registry, ix),
            at,
            values: values(replayed, bound.as_ref(), &registry, ix),
            before: step.before.clone().unwrap_or_default(),
            fate,
            undone_at: step.undo.ended_at,
            irreversible: step.irreversible,
            restorers: if fate.is_left() { restorers(replayed, ix, followers) } else { Vec::new() },
        }
    };
    gone(intents.into_iter().map(changed).collect())
}

/// What was done to something that the run had made itself, and has taken away again, is gone with it.
fn gone(mut changes: Vec<Changed>) -> Vec<Changed> {
    let made = |changed: &&Changed| changed.fate == Fate::Undone && changed.before.get("existed") == Some(&Value::Bool(false));
    let taken_away: Vec<_> = changes.iter().filter(made).map(|changed| changed.on.clone()).collect();
    for changed in &mut changes {
        if changed.fate.is_left() && taken_away.contains(&changed.on) {
            changed.fate = Fate::Gone;
            changed.restorers.clear();
        }
    }
    changes
}

fn fate(replayed: &Replayed, ix: StepIx) -> Fate {
    let step = replayed.state.step(ix);
    match step.status {
        StepStatus::Compensated => Fate::Undone,
        StepStatus::CompensationFailed => Fate::NotUndone,
        StepStatus::Succeeded => Fate::Stands,
        // Accepted by AWS is changed, whatever came of the wait for it.
        _ if step.handle.is_some() => Fate::Stands,
        _ => Fate::Unknown,
    }
}

fn named(replayed: &Replayed, registry: &Registry, ix: StepIx) -> Vec<String> {
    let plan = whoami::Plan::of(replayed);
    let Some(info) = registry.kind(&replayed.workflow.step(ix).kind.value) else { return Vec::new() };
    let has = |name: &&str| {
        info.params.iter().any(|param| param.name == *name)
            || (*name == "region" && info.params.iter().any(|param| param.name == "cluster"))
    };
    let named: Vec<_> = NAMING.iter().filter(|name| has(name)).filter_map(|name| plan.param(ix, name)).collect();
    named.into_iter().filter(|name| !name.is_empty()).collect()
}

fn values(replayed: &Replayed, bound: Option<&BoundWorkflow>, registry: &Registry, ix: StepIx) -> Vec<Altered> {
    let step = replayed.state.step(ix);
    let before = step.before.as_ref().unwrap_or(&Value::Null);
    let named = bound.and_then(|bound| bound.resolve(registry, ix, |source| replayed.state.value_of(source)).ok());
    let named = named.map(|bound| bound.changes(before)).unwrap_or_default();
    if !named.is_empty() {
        return named.into_iter().map(|Change { what, from, to }| Altered { what, from, to: Some(to) }).collect();
    }
    let text = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    };
    let altered = |(name, from): (&String, &Value)| Altered { what: name.clone(), from: text(from), to: step.outputs.get(name).map(text) };
    // What its outputs show as it was has not changed.
    let same = |altered: &Altered| altered.to.as_ref() == Some(&altered.from);
    before.as_object().into_iter().flatten().map(altered).filter(|altered| !same(altered)).collect()
}

fn restorers(replayed: &Replayed, ix: StepIx, followers: &[Follower]) -> Vec<Restorer> {
    let Replayed { header, state, .. } = replayed;
    let id = replayed.workflow.id(ix);
    let mut found: Vec<_> = followers.iter().filter_map(|follower| follower.restores(id, replayed)).collect();
    if state.can_undo(ix) {
        let sure = if state.point_of_no_return().is_some() { " --past-point-of-no-return" } else { "" };
        if state.phase() == RunPhase::Finished(RunOutcome::Stuck) || state.phase() == RunPhase::Compensating {
            found.push(Restorer::Rollback { command: format!("wf resume {}", header.run) });
        } else if may_roll_back(state, true).is_ok() {
            found.push(Restorer::Rollback { command: format!("wf rollback {}{sure}", header.run) });
        }
    }
    if found.is_empty() {
        let empty = |before: &Value| before.is_null() || before.as_object().is_some_and(serde_json::Map::is_empty);
        found.push(if state.step(ix).before.as_ref().is_none_or(empty) { Restorer::Nothing } else { Restorer::Hand });
    }
    found
}
