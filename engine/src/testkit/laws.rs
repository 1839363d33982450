//! The laws that every journal obeys, whatever crashed and however often: checked from the records alone, not with the help of
//! the fold that is to be trusted.

use std::collections::BTreeSet;

use super::MemoryJournal;
use crate::model::dsl::{Compensate, StepPolicy};
use crate::model::event::Event;
use crate::model::ids::RunId;
use crate::model::order::Order;
use crate::model::record::Record;
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
    let text: String = records[1..].iter().map_while(|record| text_of(&record.event)).collect();
    let Ok(workflow) = Workflow::parse(&text) else { return vec!["the stored workflow cannot be read".to_owned()] };
    let mut facts = Facts::new(workflow);
    match runtime::replay(run, &records) {
        Ok(again) if again.state.steps() == replayed.state.steps() && again.state.phase() == replayed.state.phase() => {}
        Ok(_) | Err(_) => facts.broken.push("a second replay gives another state".to_owned()),
    }
    for record in &records {
        facts.take(record);
    }
    facts.broken
}

fn text_of(event: &Event) -> Option<&str> {
    if let Event::WorkflowText { text, .. } = event { Some(text) } else { None }
}

/// What the records so far say of each step.
struct Facts {
    workflow: Workflow,
    /// An edited workflow, as far as it is on record: how many parts are to come, and the text so far.
    edited: Option<(u32, String)>,
    done: BTreeSet<StepIx>,
    succeeded: BTreeSet<StepIx>,
    intended: BTreeSet<StepIx>,
    irreversible: BTreeSet<StepIx>,
    compensated: BTreeSet<StepIx>,
    compensating: bool,
    broken: Vec<String>,
}

impl Facts {
    fn new(workflow: Workflow) -> Self {
        let none = BTreeSet::new;
        Self {
            workflow,
            edited: None,
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
        self.edit(record);
        if let Event::Ordered { order: Order::MarkDone { step, .. }, .. } = &record.event
            && self.compensating
        {
            // Undone by hand.
            self.compensated.extend(self.workflow.find(step));
            return;
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

    /// Takes an edited workflow over once its text is whole. What has begun must be the same in both.
    fn edit(&mut self, record: &Record) {
        match (&record.event, self.edited.take()) {
            (Event::WorkflowChanged(change), _) => self.edited = Some((change.text_parts, String::new())),
            (Event::WorkflowText { text, .. }, Some((left, so_far))) => {
                let text = so_far + text;
                match (left, Workflow::parse(&text)) {
                    (2.., _) => self.edited = Some((left - 1, text)),
                    (_, Ok(edited)) => self.exchange(edited, record),
                    (_, Err(_)) => self.broken.push(format!("the edited workflow cannot be read (record {})", record.seq)),
                }
            }
            (_, _) => {}
        }
    }

    fn exchange(&mut self, edited: Workflow, record: &Record) {
        let old = std::mem::replace(&mut self.workflow, edited);
        for &ix in self.intended.iter().chain(&self.done) {
            let (was, is) = (old.step(ix), self.workflow.find(old.id(ix)).map(|ix| self.workflow.step(ix)));
            if is.is_none_or(|is| is.params.text() != was.params.text() || is.kind.value != was.kind.value) {
                self.broken.push(format!("step `{}` had begun and was told something else (record {})", old.id(ix), record.seq));
            }
        }
        let now = |set: &BTreeSet<StepIx>| set.iter().filter_map(|&ix| self.workflow.find(old.id(ix))).collect();
        let sets = [&self.done, &self.succeeded, &self.intended, &self.irreversible, &self.compensated].map(now);
        [self.done, self.succeeded, self.intended, self.irreversible, self.compensated] = sets;
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
