//! What an edited workflow does to the state of a run: its text comes in parts, and is taken over as a whole or not at all.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::{RunState, StepState, StepStatus, count};
use crate::model::edit::{Edit, has_begun, is_limit};
use crate::model::event::{Event, WorkflowChange};
use crate::model::ids::StepId;
use crate::model::record::{Record, hash};
use crate::model::transition::IllegalTransition;
use crate::model::workflow::{StepIx, Workflow};

/// An edited workflow on its way into the journal. A process that dies in between leaves the run as it was.
#[derive(Debug, Clone)]
pub(super) struct Incoming {
    change: WorkflowChange,
    parts: u32,
    text: String,
}

impl RunState {
    /// Takes in the beginning of an edited workflow, or its next part. Whatever else comes before it is whole gives it up.
    pub(super) fn apply_edit(&mut self, record: &Record) -> Result<(), IllegalTransition> {
        match (&record.event, self.incoming.take()) {
            (Event::WorkflowChanged(change), _) => {
                self.apply_to_run(record)?;
                self.incoming = Some(Box::new(Incoming { change: (**change).clone(), parts: 0, text: String::new() }));
                Ok(())
            }
            (Event::WorkflowText { part, text }, Some(mut incoming)) if *part == incoming.parts => {
                incoming.text.push_str(text);
                incoming.parts += 1;
                if incoming.parts < incoming.change.text_parts {
                    self.incoming = Some(incoming);
                    return Ok(());
                }
                self.adopt(*incoming).map_err(|why| IllegalTransition::Edit { seq: record.seq, why })
            }
            (_, _) => self.apply_to_run(record),
        }
    }

    fn adopt(&mut self, Incoming { change, text, .. }: Incoming) -> Result<(), String> {
        if hash(text.as_bytes()) != change.workflow_hash {
            return Err("its text is not the one that was adopted".to_owned());
        }
        let edited =
            Workflow::parse(&text).map_err(|problems| problems.first().map_or_else(String::new, |problem| problem.message.clone()))?;
        let edit = Edit::of(self, &edited);
        if let Some(why) = edit.refusals().into_iter().next() {
            return Err(why);
        }
        let header = self.header.as_ref().ok_or("the run has not begun")?;
        let mut header = (**header).clone();
        header.inputs = change.inputs;
        header.workflow_hash = change.workflow_hash;
        header.file = change.file;
        self.header = Some(Arc::new(header));
        self.exchange(Arc::new(edited), &edit);
        Ok(())
    }

    /// Puts the edited workflow in the place of the old one. Steps that it has too keep what is known of them; one that was told
    /// something else is as if it had not been tried.
    fn exchange(&mut self, edited: Arc<Workflow>, edit: &Edit) {
        let old = std::mem::replace(&mut self.workflow, edited);
        let begun: Vec<_> = (0..old.len()).map(|ix| has_begun(self, ix)).collect();
        let point_of_no_return = self.point_of_no_return.map(|ix| old.id(ix).clone());
        let mut known: HashMap<&StepId, (StepState, bool)> =
            std::mem::take(&mut self.steps).into_iter().enumerate().map(|(ix, step)| (old.id(ix), (step, begun[ix]))).collect();
        let changed: HashMap<&StepId, &[String]> = edit.steps.iter().map(|edit| (&edit.step, edit.what.as_slice())).collect();
        let workflow = Arc::clone(&self.workflow);
        let step = |ix: StepIx| {
            let waits_for = count(workflow.needs(ix));
            let Some((step, begun)) = known.remove(workflow.id(ix)) else { return StepState::new(waits_for) };
            let what = changed.get(workflow.id(ix)).copied().unwrap_or_default();
            if !begun && what.iter().any(|what| !is_limit(what)) {
                return StepState { generation: step.generation + 1, wish: step.wish, ..StepState::new(waits_for) };
            }
            // What the file says now is newer than what an operator said of it.
            let timeout = step.timeout.filter(|_| !what.iter().any(|what| what == "timeout"));
            let attempts = step.attempts.filter(|_| !what.iter().any(|what| what == "retry"));
            StepState { waits_for, timeout, attempts, ..step }
        };
        self.steps = (0..workflow.len()).map(step).collect();
        self.point_of_no_return = point_of_no_return.and_then(|id| self.workflow.find(&id));
        self.recount();
    }

    /// Makes the counters and ready sets anew, as they are when nothing is under way.
    fn recount(&mut self) {
        self.left = self.steps.len();
        self.ready.clear();
        self.blocking.clear();
        self.priority = self.workflow.remaining(|_| Duration::ZERO);
        for ix in 0..self.steps.len() {
            match self.steps[ix].status {
                StepStatus::Pending if self.steps[ix].waits_for == 0 => {
                    self.ready.insert(self.key(ix));
                }
                StepStatus::Pending => {}
                _ => self.moved(ix, StepStatus::Pending),
            }
        }
    }

    /// Orders the steps by durations that are known only after the journal was read.
    pub fn prioritise(&mut self, duration: impl Fn(StepIx) -> Duration) {
        self.priority = self.workflow.remaining(duration);
        let priority = &self.priority;
        for set in [&mut self.ready, &mut self.undo_ready] {
            *set = set.iter().map(|&(_, ix)| (Reverse(priority[ix]), ix)).collect();
        }
    }
}
