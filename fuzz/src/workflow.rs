//! The workflow parser, the graph and the binder, with the real step kinds.

use std::sync::{Arc, LazyLock};

use indexmap::IndexMap;
use serde_json::Value;
use wf_engine::model::problem::Problem;
use wf_engine::model::workflow::Workflow;
use wf_engine::registry::{BoundWorkflow, Imports, Registry};
use wf_steps::aws::Cloud;

static REGISTRY: LazyLock<Registry> = LazyLock::new(|| wf_steps::registry(Cloud::offline()));

/// Checks a workflow file: every mistake has words and a place in the file, and what has none can be bound and resolved.
///
/// # Panics
/// When it does not hold.
pub fn check(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let (workflow, problems) = Workflow::parse_leniently(text);
    told(text, &problems);
    assert!(workflow.is_some() || !problems.is_empty(), "nothing read, nothing said");
    let strict = Workflow::parse(text);
    assert_eq!(strict.is_ok(), problems.is_empty() && workflow.is_some(), "read leniently, it is valid, and strictly it is not");
    let Some(workflow) = workflow.map(Arc::new) else { return };
    if let Ok(strict) = &strict {
        in_order(strict);
    }
    let defaults: IndexMap<_, _> =
        workflow.def().inputs.iter().filter_map(|(name, input)| Some((name.clone(), input.default.clone()?))).collect();
    for imports in [Imports::None, Imports::Shape(&workflow), Imports::Values(&IndexMap::new())] {
        match REGISTRY.bind(Arc::clone(&workflow), &defaults, &imports) {
            Ok(bound) if problems.is_empty() => bound_well(&bound),
            Ok(_) => {}
            Err(found) => {
                assert!(!found.is_empty(), "not bound, and nothing said");
                told(text, &found);
            }
        }
    }
}

#[track_caller]
fn told(text: &str, problems: &[Problem]) {
    for Problem { at, message, .. } in problems {
        assert!(!message.is_empty(), "a mistake without words at {at:?}");
        assert!(at.start <= at.end && at.end <= text.len(), "`{message}` is told at {at:?}, of {} bytes", text.len());
        assert!(text.is_char_boundary(at.start) && text.is_char_boundary(at.end), "`{message}` at {at:?} cuts a character");
    }
}

/// Every step stands behind what it needs.
fn in_order(workflow: &Workflow) {
    let mut place = vec![usize::MAX; workflow.len()];
    for (at, &ix) in workflow.order().iter().enumerate() {
        place[ix] = at;
    }
    for ix in 0..workflow.len() {
        assert_eq!(workflow.find(workflow.id(ix)), Some(ix));
        assert!(workflow.needs(ix).all(|need| place[need] < place[ix]), "`{}` stands before what it needs", workflow.id(ix));
    }
}

/// A step that is bound tells what it is, and takes values of every type without a panic.
fn bound_well(bound: &BoundWorkflow) {
    for ix in 0..bound.workflow().len() {
        let step = bound.declared(ix);
        let _ = (step.reversibility(), step.typical(), bound.timeout(ix), bound.halts(ix));
        for value in [Value::from("${x}\"\n"), Value::from(-1), Value::from(1e300), Value::Null, Value::from(vec![1])] {
            if let Err(failure) = bound.resolve(&REGISTRY, ix, |_| Some(value.clone())) {
                assert!(!failure.message.is_empty());
            }
        }
    }
}
