//! The values that a run starts with: its inputs, and what it takes over from the run that it follows.

use indexmap::IndexMap;
use serde_json::Value;

use crate::model::dsl::Input;
use crate::model::problem::Problem;
use crate::model::ron_fields;
use crate::model::run_state::RunState;
use crate::model::template::Reference;
use crate::model::workflow::{Source, Workflow, source_of};

/// The most bytes of a run's inputs, and of what it takes over from another run, each as JSON: both are in its first record.
pub const VALUES_LEN_MAX: usize = 24 * 1024;

/// Says why the inputs given for a run cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// The workflow declares no such input.
    #[error("the workflow has no input `{name}`{hint}")]
    Unknown {
        /// As given.
        name: String,
        /// The nearest name, as a sentence.
        hint: String,
    },
    /// The value has another type than the default.
    #[error("input `{name}` must be {expected}, not `{given}`")]
    IllTyped {
        /// The input.
        name: String,
        /// The type of the default.
        expected: &'static str,
        /// As given.
        given: String,
    },
    /// The values do not fit into a record.
    #[error("the inputs are {len} bytes long together, more than the {VALUES_LEN_MAX} allowed; the longest is `{longest}`")]
    TooLong {
        /// How long they are.
        len: usize,
        /// The input that takes most of it.
        longest: String,
    },
    /// An input without default was not given.
    #[error("input `{name}` must be given: --set {name}=…")]
    Missing {
        /// The input.
        name: String,
    },
}

/// Puts together the values of a run's inputs: the defaults, overridden by what was given. A text is read as the type of the default.
///
/// # Errors
/// Everything that is wrong with what was given.
pub fn resolve_inputs(workflow: &Workflow, given: &[(String, Value)]) -> Result<IndexMap<String, Value>, Vec<InputError>> {
    let declared = &workflow.def().inputs;
    let mut errors = Vec::new();
    let mut values: IndexMap<String, Value> = IndexMap::new();
    for (name, value) in given {
        match declared.get(name) {
            None => errors.push(InputError::Unknown {
                name: name.clone(),
                hint: ron_fields::did_you_mean(name, declared.keys().map(String::as_str)),
            }),
            Some(Input { from: Some(_), .. }) => {
                values.insert(name.clone(), guessed(value));
            }
            Some(input) => match typed(value, input.default.as_ref()) {
                Ok(value) => {
                    values.insert(name.clone(), value);
                }
                Err(expected) => errors.push(InputError::IllTyped { name: name.clone(), expected, given: value.to_string() }),
            },
        }
    }
    let ordered = declared.iter().filter_map(|(name, input)| {
        let value = values.swap_remove(name).or_else(|| input.default.clone());
        if value.is_none() && input.from.is_none() {
            errors.push(InputError::Missing { name: name.clone() });
        }
        Some((name.clone(), value?))
    });
    let ordered: IndexMap<String, Value> = ordered.collect();
    if let Some((len, longest)) = too_long(&ordered) {
        errors.push(InputError::TooLong { len, longest: longest.to_owned() });
    }
    if errors.is_empty() { Ok(ordered) } else { Err(errors) }
}

/// Returns how long values are together, and the name of the longest, if they are longer than allowed.
fn too_long(values: &IndexMap<String, Value>) -> Option<(usize, &str)> {
    let lens = values.iter().map(|(name, value)| (name.len() + value.to_string().len() + 4, name.as_str()));
    let (len, longest) = lens.fold((0, (0, "")), |(sum, longest), one| (sum + one.0, longest.max(one)));
    (len > VALUES_LEN_MAX).then_some((len, longest.1))
}

/// An input that defaults to a value of another run has the type of that value, which is known only there: a text that reads
/// as a number or truth value is one.
fn guessed(given: &Value) -> Value {
    let scalar = given.as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
    scalar.filter(|value| value.is_number() || value.is_boolean()).unwrap_or_else(|| given.clone())
}

fn typed(given: &Value, default: Option<&Value>) -> Result<Value, &'static str> {
    match (given, default) {
        (Value::String(_), None | Some(Value::String(_))) => Ok(given.clone()),
        (Value::String(text), Some(Value::Number(_))) => text.parse::<serde_json::Number>().map(Value::Number).map_err(|_| "a number"),
        (Value::String(text), Some(Value::Bool(_))) => text.parse::<bool>().map(Value::Bool).map_err(|_| "`true` or `false`"),
        (Value::Number(_), None | Some(Value::Number(_))) | (Value::Bool(_), None | Some(Value::Bool(_))) => Ok(given.clone()),
        (_, Some(Value::Number(_))) => Err("a number"),
        (_, Some(Value::Bool(_))) => Err("`true` or `false`"),
        (_, _) => Err("a text"),
    }
}

/// Takes the values that a run needs from the run that it follows.
///
/// # Errors
/// Each reference that the followed run has no value for, and why: the step did not succeed, or has no such field.
pub fn collect_imports(
    workflow: &Workflow,
    inputs: &IndexMap<String, Value>,
    followed: &RunState,
) -> Result<IndexMap<String, Value>, Vec<Problem>> {
    let mut values = IndexMap::new();
    let mut problems = Vec::new();
    for reference in workflow.imports(inputs) {
        let Some(Source::Import { workflow: name, step, before, field }) = source_of(&reference.path) else { continue };
        let value = if name == followed.workflow().name() { followed.value_of(&Source::Step { step, before, field }) } else { None };
        match value {
            Some(value) => {
                values.insert(reference.path.clone(), value);
            }
            None => problems.push(no_value(workflow, reference, step, followed)),
        }
    }
    if let Some((len, longest)) = too_long(&values) {
        let place = workflow.imports(inputs).find(|reference| reference.path == longest).map_or(0..0, |reference| reference.at.clone());
        let message = format!("the values taken over are {len} bytes long together, more than the {VALUES_LEN_MAX} allowed");
        problems.push(Problem::new(place, message).help(format!("the longest is `{longest}`")));
    }
    if problems.is_empty() { Ok(values) } else { Err(problems) }
}

fn no_value(workflow: &Workflow, reference: &Reference, step: &str, followed: &RunState) -> Problem {
    let status = step.parse().ok().and_then(|id| followed.workflow().find(&id)).map(|ix| followed.step(ix).status);
    let why = status.map_or_else(
        || format!("it has no step `{step}`"),
        |status| format!("its step `{step}` is {}", format!("{status:?}").to_lowercase()),
    );
    let problem = Problem::new(reference.at.clone(), format!("the run that is followed has no value for `{}`: {why}", reference.path));
    let input = workflow.def().inputs.iter().find(|(_, input)| input.from.as_ref().is_some_and(|from| from.path == reference.path));
    match input {
        Some((name, _)) => problem.help(format!("give the value by hand: --set {name}=…")),
        None => problem,
    }
}
