//! [`Edit`]: how an edited workflow file differs from the workflow of a run, step by step, and which of it the run can still take over.
//!
//! What has begun stays as it was told: its before-image, its handle and its compensation belong to what it was then. Of such a step
//! only the limits of its attempts can change. Everything else, new steps included, can be as the file says now, since whatever a step
//! waits for is part of the step: nothing new can come before something that has begun.

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;
use serde_json::Value;

use super::account::AccountDef;
use super::definition::{StepDef, WorkflowDef};
use super::event::clip;
use super::ids::StepId;
use super::run_state::{RunPhase, RunState, StepStatus};
use super::workflow::{Source, StepIx, Workflow, source_of};

/// The most bytes of an edit's summary.
const SUMMARY_LEN_MAX: usize = 2048;

/// How an edited file differs from the workflow of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Edit {
    /// What is different beside the steps, and why it cannot be taken over, where it cannot.
    pub settings: Vec<(String, Option<String>)>,
    /// Every step of both that is not the same in both, in the order of the file, removed ones last.
    pub steps: Vec<StepEdit>,
    /// How many steps are the same in both.
    pub kept: usize,
    /// The value of every input that the run has with the edited file.
    pub inputs: IndexMap<String, Value>,
}

/// How a step differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepEdit {
    /// The step.
    pub step: StepId,
    /// What became of it.
    pub class: EditClass,
    /// The settings that are different.
    pub what: Vec<String>,
    /// Why the run cannot take it over.
    pub refused: Option<String>,
}

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EditClass {
    /// It is different, and has changed nothing yet.
    ChangedNotStarted,
    /// It is different, and has begun.
    ChangedAfterStart,
    /// It is new.
    Added,
    /// It is gone.
    Removed,
}

impl std::fmt::Display for EditClass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::ChangedNotStarted => "changed, not started",
            Self::ChangedAfterStart => "changed after its start",
            Self::Added => "added",
            Self::Removed => "removed",
        })
    }
}

/// Tells whether a step may have changed the world, or has a result that others build on: what it was told then counts.
pub fn has_begun(state: &RunState, ix: StepIx) -> bool {
    let step = state.step(ix);
    match step.status {
        StepStatus::Pending | StepStatus::Waiting | StepStatus::Running | StepStatus::Retrying | StepStatus::Interrupted => step.intent,
        StepStatus::Failed | StepStatus::Unreachable => step.intent || !state.blocking().contains(&ix),
        StepStatus::Succeeded
        | StepStatus::Skipped
        | StepStatus::Compensating
        | StepStatus::CompensationInterrupted
        | StepStatus::Compensated
        | StepStatus::CompensationFailed => true,
    }
}

impl Edit {
    /// Compares an edited workflow with the one of a run.
    pub fn of(state: &RunState, edited: &Workflow) -> Self {
        let old = state.workflow();
        let mut settings = Vec::new();
        let (inputs, changed_inputs) = inputs(state, edited, &mut settings);
        compare_settings(old.def(), edited.def(), &mut settings);
        let mut edit = Self { settings, steps: Vec::new(), kept: 0, inputs };
        for ix in 0..edited.len() {
            let (id, new) = (edited.id(ix), edited.step(ix));
            let Some(was) = old.find(id) else {
                edit.steps.push(StepEdit { step: id.clone(), class: EditClass::Added, what: Vec::new(), refused: None });
                continue;
            };
            let what = differences(old.step(was), new, &changed_inputs);
            match what.is_empty() {
                true => edit.kept += 1,
                false => edit.steps.push(changed(id, what, has_begun(state, was))),
            }
        }
        for ix in (0..old.len()).filter(|&ix| edited.find(old.id(ix)).is_none()) {
            let refused = has_begun(state, ix).then(|| "it has begun: without it, nobody could undo what it did".to_owned());
            edit.steps.push(StepEdit { step: old.id(ix).clone(), class: EditClass::Removed, what: Vec::new(), refused });
        }
        if let Some(why) = phase_refuses(state) {
            edit.settings.insert(0, ("the run".to_owned(), Some(why)));
        }
        edit
    }

    /// Tells whether the file says the same as the run.
    pub fn is_empty(&self) -> bool {
        self.settings.is_empty() && self.steps.is_empty()
    }

    /// Returns why the run cannot take the edit over, a sentence each.
    pub fn refusals(&self) -> Vec<String> {
        let settings = self.settings.iter().filter_map(|(what, why)| why.as_ref().map(|why| format!("{what}: {why}")));
        let steps = self.steps.iter().filter_map(|edit| edit.refused.as_ref().map(|why| format!("step `{}`: {why}", edit.step)));
        settings.chain(steps).collect()
    }

    /// Says in a line what is different.
    pub fn summary(&self) -> String {
        let mut said: Vec<_> = self.settings.iter().map(|(what, _)| what.clone()).collect();
        for class in [EditClass::ChangedNotStarted, EditClass::ChangedAfterStart, EditClass::Added, EditClass::Removed] {
            let ids: Vec<_> = self.steps.iter().filter(|edit| edit.class == class).map(|edit| edit.step.as_str()).collect();
            if !ids.is_empty() {
                said.push(format!("{class}: {}", ids.join(", ")));
            }
        }
        clip(said.join("; "), SUMMARY_LEN_MAX)
    }
}

fn phase_refuses(state: &RunState) -> Option<String> {
    match state.phase() {
        RunPhase::Forward | RunPhase::Paused if state.cancelled().is_some() => Some("it was cancelled".to_owned()),
        RunPhase::Forward if state.rolls_back() && !state.blocking().is_empty() => {
            Some("a step failed, and what it did is about to be undone".to_owned())
        }
        RunPhase::Forward | RunPhase::Paused => None,
        RunPhase::Compensating => Some("it is being rolled back".to_owned()),
        RunPhase::Finished(outcome) => Some(format!("it is {outcome}")),
    }
}

fn changed(id: &StepId, what: Vec<String>, begun: bool) -> StepEdit {
    let class = if begun { EditClass::ChangedAfterStart } else { EditClass::ChangedNotStarted };
    let fixed: Vec<_> = what.iter().filter(|what| !is_limit(what)).map(|what| format!("`{what}`")).collect();
    let refused = (begun && !fixed.is_empty())
        .then(|| format!("it has begun: what it was told stays ({}); `timeout` and `retry` can change", fixed.join(", ")));
    StepEdit { step: id.clone(), class, what, refused }
}

/// Tells whether a setting limits the attempts of a step, and says nothing of what it does.
pub(super) fn is_limit(what: &str) -> bool {
    matches!(what, "timeout" | "retry")
}

/// Returns the values that the run has with the edited file, and the names of those that are new values.
fn inputs(
    state: &RunState,
    edited: &Workflow,
    settings: &mut Vec<(String, Option<String>)>,
) -> (IndexMap<String, Value>, BTreeSet<String>) {
    let none = IndexMap::new();
    let given = state.header().map_or(&none, |header| &header.inputs);
    let (mut values, mut changed) = (IndexMap::new(), BTreeSet::new());
    for (name, input) in &edited.def().inputs {
        let was = state.workflow().def().inputs.get(name);
        let (default, default_was) = (input.default.as_ref(), was.and_then(|was| was.default.as_ref()));
        match (given.get(name), default) {
            // What was given in words stays; what was the file's word follows the file.
            (Some(value), Some(default)) if Some(default) != default_was && default_was == Some(value) => {
                settings.push((format!("input `{name}` is {default}, was {value}"), None));
                changed.insert(name.clone());
                values.insert(name.clone(), default.clone());
            }
            (Some(value), default) => {
                if default != default_was {
                    settings.push((format!("input `{name}` has another default, but stays {value} as the run was given it"), None));
                }
                values.insert(name.clone(), value.clone());
            }
            (None, Some(default)) => {
                if was.is_none() {
                    settings.push((format!("input `{name}` is new: {default}"), None));
                }
                values.insert(name.clone(), default.clone());
            }
            (None, None) => settings.push((format!("input `{name}`"), Some("it is new and has no default".to_owned()))),
        }
    }
    let gone = given.keys().filter(|name| !edited.def().inputs.contains_key(*name));
    settings.extend(gone.map(|name| (format!("input `{name}` is gone"), None)));
    (values, changed)
}

fn compare_settings(old: &WorkflowDef, new: &WorkflowDef, settings: &mut Vec<(String, Option<String>)>) {
    let mut differs = |what: &str, differs: bool, refused: Option<&str>| {
        if differs {
            settings.push((what.to_owned(), refused.map(str::to_owned)));
        }
    };
    differs("name", old.name != new.name, Some("it is the file of another workflow"));
    let follows = |def: &WorkflowDef| def.follows.as_ref().map(|follows| follows.value.clone());
    differs("follows", follows(old) != follows(new), Some("the run has taken its values from the run that it follows already"));
    differs("account", !same_account(old.account.as_ref(), new.account.as_ref()), Some("the run has been given its account already"));
    differs("on_failure", old.on_failure != new.on_failure, None);
    differs("at_end", old.at_end != new.at_end, None);
    differs("objectives", old.objectives != new.objectives, None);
    differs("mode (of new runs; this one keeps its own: `wf escalate`)", old.mode != new.mode, None);
    differs("max_parallel (of new runs; this one keeps its own)", old.max_parallel != new.max_parallel, None);
}

/// Returns the settings of a step that are different.
fn differences(old: &StepDef, new: &StepDef, changed_inputs: &BTreeSet<String>) -> Vec<String> {
    let mut what = Vec::new();
    let mut differs = |name: &str, differs: bool| {
        if differs {
            what.push(name.to_owned());
        }
    };
    let needs = |step: &StepDef| step.needs.iter().map(|need| need.value.clone()).collect::<BTreeSet<_>>();
    differs("needs", needs(old) != needs(new));
    differs("run", old.kind.value != new.kind.value || !old.params.says_the_same_as(&new.params));
    differs("account", !same_account(old.account.as_ref(), new.account.as_ref()));
    differs("timeout", old.timeout != new.timeout);
    differs("retry", old.retry != new.retry);
    differs("on_failure", old.on_failure != new.on_failure);
    differs("on_unreachable", old.on_unreachable != new.on_unreachable);
    differs("only", old.only != new.only);
    differs("stage", old.stage != new.stage);
    differs("compensate", old.compensate != new.compensate);
    differs("on_interrupted", old.on_interrupted != new.on_interrupted);
    let accounts = new.account.iter().flat_map(AccountDef::references);
    for reference in new.params.references().chain(accounts) {
        if let Some(Source::Input(name)) = source_of(&reference.path)
            && changed_inputs.contains(name)
        {
            differs(&format!("${{{name}}}"), true);
        }
    }
    what.dedup();
    what
}

fn same_account(old: Option<&AccountDef>, new: Option<&AccountDef>) -> bool {
    let fields = |account: Option<&AccountDef>| -> Option<BTreeMap<&'static str, String>> {
        account.map(|account| account.fields.iter().map(|field| (field.name, field.text.bare())).collect())
    };
    fields(old) == fields(new)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;

    const WRITTEN: &str = r#"Workflow(name: "w", inputs: { "size": 3 }, steps: [
        (id: "a", run: X(n: "${size}")), (id: "b", needs: ["a"], run: X(n: 1), timeout: "1m"), (id: "c", run: X(n: 2)),
    ])"#;

    fn edit(from: &str, to: &str) -> Edit {
        let workflow = Arc::new(Workflow::parse(WRITTEN).expect("valid"));
        let text = WRITTEN.replace(from, to);
        assert_ne!(text, WRITTEN);
        Edit::of(&RunState::new(workflow, |_| Duration::ZERO), &Workflow::parse(&text).expect("valid"))
    }

    #[test]
    fn what_is_different_is_named() {
        let said = |from: &str, to: &str| edit(from, to).summary();
        assert_eq!(said("n: 1", "n: 5"), "changed, not started: b");
        assert_eq!(said("1m", "2m"), "changed, not started: b");
        assert_eq!(said(r#"(id: "c""#, r#"(id: "d""#), "added: d; removed: c");
        assert_eq!(said(r#"name: "w""#, r#"name: "v""#), "name");
        assert_eq!(said("inputs: {", r#"inputs: { "more": 1,"#), "input `more` is new: 1");
        assert_eq!(edit(r#"name: "w""#, r#"name: "v""#).refusals(), ["name: it is the file of another workflow"]);
    }

    #[test]
    fn what_only_looks_different_is_the_same() {
        let edit = edit("run: X(n: 1)", "run: X( /* one */ n :\n 1, // as before\n )");
        assert_eq!((edit.is_empty(), edit.kept), (true, 3), "{edit:?}");
    }
}
