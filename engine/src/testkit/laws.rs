//! The laws that every journal obeys, whatever crashed and however often: checked from the records alone, not with the help of
//! the fold that is to be trusted.

use std::collections::BTreeSet;
use std::time::Duration;

use super::MemoryJournal;
use crate::model::dsl::{Compensate, StepPolicy};
use crate::model::event::Event;
use crate::model::ids::RunId;
use crate::model::record::Record;
use crate::model::run_state::RunState;
use crate::model::workflow::{StepIx, Workflow};
use crate::runtime;

/// Returns what is wrong with a run's journal, a sentence each.
pub fn broken(journal: &MemoryJournal, run: &RunId) -> Vec<String> {
    let records = match journal.records(run) {
        Ok(records) => records,
        Err(error) => return vec![format!("the hash chain is broken: {error}")],
    };
    let replayed = match runtime::replay(run, &records) {
        Ok(replayed) => replayed,
        Err(error) => return vec![format!("the journal cannot be replayed: {error}")],
    };
    let mut facts = Facts::new(&replayed.workflow);
    match RunState::replay(replayed.workflow.clone(), |_| Duration::from_secs(1), &records) {
        Ok(again) if again.steps() == replayed.state.steps() && again.phase() == replayed.state.phase() => {}
        Ok(_) | Err(_) => facts.broken.push("a second replay gives another state".to_owned()),
    }
    for record in &records {
        facts.take(record);
    }
    facts.broken
}

/// What the records so far say of each step.
struct Facts<'a> {
    workflow: &'a Workflow,
    done: BTreeSet<StepIx>,
    succeeded: BTreeSet<StepIx>,
    intended: BTreeSet<StepIx>,
    irreversible: BTreeSet<StepIx>,
    compensated: BTreeSet<StepIx>,
    compensating: bool,
    broken: Vec<String>,
}

impl<'a> Facts<'a> {
    fn new(workflow: &'a Workflow) -> Self {
        let none = BTreeSet::new;
        Self {
            workflow,
            done: none(),
            succeeded: none(),
            intended: none(),
            irreversible: none(),
            compensated: none(),
            compensating: false,
            broken: Vec::new(),
        }
    }

    fn take(&mut self, record: &Record) {
        if matches!(record.event, Event::RollbackStarted { .. }) {
            self.compensating = true;
        }
        let Some(ix) = record.event.step().and_then(|step| self.workflow.find(step)) else { return };
        match &record.event {
            Event::StepStarted { .. } => self.started(ix, record),
            Event::StepObserved { satisfied: false, .. } => {
                let first = self.intended.insert(ix);
                self.demand(first, ix, record, "its before-image was replaced");
            }
            Event::PointOfNoReturnPassed { .. } => {
                let first = self.irreversible.insert(ix);
                self.demand(first, ix, record, "it passed the point of no return twice");
            }
            Event::StepSucceeded { .. } | Event::StepMarkedDone { .. } => {
                let first = self.succeeded.insert(ix);
                self.demand(first, ix, record, "it succeeded twice");
                self.done.insert(ix);
            }
            Event::StepSkipped { .. } => drop(self.done.insert(ix)),
            Event::StepFailed { .. } if self.workflow.step(ix).on_failure == StepPolicy::Continue => drop(self.done.insert(ix)),
            Event::StepUnreachable { .. } if self.workflow.step(ix).on_unreachable == StepPolicy::Continue => drop(self.done.insert(ix)),
            Event::CompensationStarted { .. } => self.compensation_started(ix, record),
            Event::StepCompensated { .. } => {
                let first = self.compensated.insert(ix);
                self.demand(first, ix, record, "it was compensated twice");
            }
            _ => {}
        }
    }

    fn started(&mut self, ix: StepIx, record: &Record) {
        let ready = self.workflow.needs(ix).all(|need| self.done.contains(&need));
        self.demand(ready, ix, record, "it started before its needs were done");
        self.demand(!self.done.contains(&ix), ix, record, "it started again although it was done");
        self.demand(!self.compensating, ix, record, "it started during a rollback");
    }

    fn compensation_started(&mut self, ix: StepIx, record: &Record) {
        let mut behind: Vec<_> = self.workflow.dependents(ix).collect();
        let mut seen = BTreeSet::new();
        while let Some(next) = behind.pop() {
            if seen.insert(next) {
                behind.extend(self.workflow.dependents(next));
            }
        }
        let in_turn = seen.iter().all(|dependent| !self.restorable(*dependent) || self.compensated.contains(dependent));
        self.demand(in_turn, ix, record, "it was compensated before what depended on it");
        self.demand(self.compensating, ix, record, "it was compensated outside of a rollback");
        self.demand(self.restorable(ix), ix, record, "it was compensated although there was nothing to restore");
        self.demand(!self.compensated.contains(&ix), ix, record, "it was compensated again");
    }

    fn restorable(&self, ix: StepIx) -> bool {
        let wanted = self.workflow.step(ix).compensate == Compensate::Default;
        wanted && self.intended.contains(&ix) && !self.irreversible.contains(&ix)
    }

    fn demand(&mut self, holds: bool, ix: StepIx, record: &Record, wrong: &str) {
        if !holds {
            self.broken.push(format!("step `{}`: {wrong} (record {})", self.workflow.id(ix), record.seq));
        }
    }
}
