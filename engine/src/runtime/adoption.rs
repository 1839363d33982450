//! How the workflow's text gets into the journal: at a run's start, and when an operator adopts an edited file between two owners.

use std::sync::Arc;

use super::RunError;
use super::dispatcher::Dispatcher;
use crate::model::edit::Edit;
use crate::model::event::{Event, Operator, WorkflowChange};
use crate::model::order::Refusal;
use crate::model::record::hash;
use crate::model::run_state::RunState;
use crate::model::workflow::Workflow;

/// The most bytes of the workflow's text in one record. Escaped as JSON they may grow sixfold, which still fits.
const TEXT_PART_LEN: usize = 8 * 1024;

/// An edited workflow, to be taken over by a run.
pub struct Adoption {
    /// The workflow.
    pub workflow: Arc<Workflow>,
    /// The file that it was read from, for the operator only.
    pub file: String,
}

/// An edited workflow that a run can take over, as it is recorded.
pub(super) struct Changed {
    pub(super) workflow: Arc<Workflow>,
    pub(super) change: WorkflowChange,
    texts: Vec<String>,
}

/// Compares an edited workflow with a run, and makes of it what is recorded.
///
/// # Errors
/// When the run cannot take it over.
pub(super) fn change(state: &RunState, adopt: Adoption, by: Operator) -> Result<Changed, RunError> {
    let Adoption { workflow, file } = adopt;
    let edit = Edit::of(state, &workflow);
    if !edit.refusals().is_empty() {
        return Err(RunError::Refused(Refusal::Edit(edit.refusals())));
    }
    let texts = text_parts(workflow.text());
    let change = WorkflowChange {
        workflow_hash: hash(workflow.text().as_bytes()),
        text_parts: u32::try_from(texts.len()).unwrap_or(u32::MAX),
        file,
        summary: edit.summary(),
        inputs: edit.inputs,
        by,
    };
    Ok(Changed { workflow, change, texts })
}

/// Records that the run is of an edited workflow from here on.
pub(super) fn adopt(dispatcher: &mut Dispatcher, Changed { change, texts, .. }: Changed) -> Result<(), RunError> {
    if !dispatcher.state.active().is_empty() {
        dispatcher.emit(Event::RunInterrupted { reason: "its process is gone".to_owned() })?;
    }
    dispatcher.emit(Event::WorkflowChanged(Box::new(change)))?;
    for (part, text) in (0..).zip(texts) {
        dispatcher.emit(Event::WorkflowText { part, text })?;
    }
    let bound = Arc::clone(&dispatcher.bound);
    dispatcher.state.prioritise(|ix| bound.declared(ix).typical());
    Ok(())
}

/// Cuts the workflow's text into what fits a record.
pub(super) fn text_parts(text: &str) -> Vec<String> {
    let mut parts = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let mut end = rest.len().min(TEXT_PART_LEN);
        while !rest.is_char_boundary(end) {
            end -= 1;
        }
        parts.push(rest[..end].to_owned());
        rest = &rest[end..];
    }
    parts
}
