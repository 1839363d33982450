//! The open registry of step kinds, and binding: [`Workflow`] → [`BoundWorkflow`], in which every kind is known and all params
//! are decoded. The price of a registry over an enum, that names are looked up late, is paid here, before anything runs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use indexmap::IndexMap;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::model::dsl::{Input, OnInterrupted};
use crate::model::event::{Fields, StepFailure};
use crate::model::problem::{Place, Problem};
use crate::model::ron_fields;
use crate::model::run_state::RunState;
use crate::model::template::Reference;
use crate::model::workflow::{Source, StepIx, Workflow, source_of};
use crate::step::{Field, FieldType, Interruption, KindInfo, Observed, Reversibility, StepContext, StepKind};

/// A step with its params decoded: [`StepKind`] without its types, as the runtime drives it.
#[async_trait]
pub trait Step: Send + Sync {
    /// Everything about the kind that does not depend on its params.
    fn info(&self) -> &'static KindInfo;
    /// See [`StepKind::problems`].
    fn problems(&self) -> Vec<String>;
    /// See [`StepKind::reversibility`].
    fn reversibility(&self) -> Reversibility;
    /// See [`StepKind::interruption`].
    fn interruption(&self) -> Interruption;
    /// See [`StepKind::typical`].
    fn typical(&self) -> Duration;
    /// See [`StepKind::timeout`].
    fn timeout(&self) -> Duration;
    /// See [`StepKind::observe`].
    async fn observe(&self, cx: &StepContext<()>, intent: Option<&Value>) -> Result<Observed<Value>, StepFailure>;
    /// See [`StepKind::apply`].
    async fn apply(&self, cx: &StepContext<()>, before: &Value) -> Result<Value, StepFailure>;
    /// See [`StepKind::settle`].
    async fn settle(&self, cx: &StepContext<()>, before: &Value, handle: Option<&Value>) -> Result<Fields, StepFailure>;
    /// See [`StepKind::compensate`].
    async fn compensate(&self, cx: &StepContext<()>, before: &Value, handle: Option<&Value>) -> Result<(), StepFailure>;
}

struct Bound<K: StepKind> {
    params: K,
    env: K::Env,
}

#[async_trait]
impl<K: StepKind> Step for Bound<K> {
    fn info(&self) -> &'static KindInfo {
        const { &K::INFO }
    }

    fn problems(&self) -> Vec<String> {
        self.params.problems()
    }

    fn reversibility(&self) -> Reversibility {
        self.params.reversibility()
    }

    fn interruption(&self) -> Interruption {
        self.params.interruption()
    }

    fn typical(&self) -> Duration {
        self.params.typical()
    }

    fn timeout(&self) -> Duration {
        self.params.timeout()
    }

    async fn observe(&self, cx: &StepContext<()>, intent: Option<&Value>) -> Result<Observed<Value>, StepFailure> {
        let intent = intent.map(read::<K::Before>).transpose()?;
        match self.params.observe(&cx.with_env(self.env.clone()), intent.as_ref()).await? {
            Observed::Satisfied(before) => write(&before).map(Observed::Satisfied),
            Observed::Differs(before) => write(&before).map(Observed::Differs),
        }
    }

    async fn apply(&self, cx: &StepContext<()>, before: &Value) -> Result<Value, StepFailure> {
        let before = read(before)?;
        write(&self.params.apply(&cx.with_env(self.env.clone()), &before).await?)
    }

    async fn settle(&self, cx: &StepContext<()>, before: &Value, handle: Option<&Value>) -> Result<Fields, StepFailure> {
        let (before, handle) = (read(before)?, handle.map(read).transpose()?);
        self.params.settle(&cx.with_env(self.env.clone()), &before, handle.as_ref()).await
    }

    async fn compensate(&self, cx: &StepContext<()>, before: &Value, handle: Option<&Value>) -> Result<(), StepFailure> {
        let (before, handle) = (read(before)?, handle.map(read).transpose()?);
        self.params.compensate(&cx.with_env(self.env.clone()), &before, handle.as_ref()).await
    }
}

fn read<T: DeserializeOwned>(value: &Value) -> Result<T, StepFailure> {
    T::deserialize(value).map_err(|error| {
        StepFailure::permanent("what the journal holds of this step was written by another wf and cannot be read")
            .because(error.to_string())
    })
}

fn write<T: Serialize>(value: &T) -> Result<Value, StepFailure> {
    serde_json::to_value(value).map_err(|error| StepFailure::permanent("what the step found cannot be recorded").because(error.to_string()))
}

/// A kind, whatever its types.
trait Kind: Send + Sync {
    fn info(&self) -> &'static KindInfo;
    fn param_names(&self) -> &'static [&'static str];
    fn bind(&self, params: &str) -> Result<Arc<dyn Step>, Vec<Problem>>;
}

struct KindOf<K: StepKind> {
    env: K::Env,
}

impl<K: StepKind> Kind for KindOf<K>
where
    K::Env: Sync,
{
    fn info(&self) -> &'static KindInfo {
        const { &K::INFO }
    }

    fn param_names(&self) -> &'static [&'static str] {
        ron_fields::field_names::<K>()
    }

    fn bind(&self, params: &str) -> Result<Arc<dyn Step>, Vec<Problem>> {
        let params = if params.trim().is_empty() { "()" } else { params };
        let params = ron_fields::decode::<K>(params)?;
        Ok(Arc::new(Bound { params, env: self.env.clone() }))
    }
}

/// What [`Registry::wrapped`] puts around a step.
#[cfg(feature = "testkit")]
pub type Wrapping = Arc<dyn Fn(Arc<dyn Step>) -> Arc<dyn Step> + Send + Sync>;

/// A kind whose steps are wrapped.
#[cfg(feature = "testkit")]
struct Wrapped {
    kind: Box<dyn Kind>,
    wrapping: Wrapping,
}

#[cfg(feature = "testkit")]
impl Kind for Wrapped {
    fn info(&self) -> &'static KindInfo {
        self.kind.info()
    }

    fn param_names(&self) -> &'static [&'static str] {
        self.kind.param_names()
    }

    fn bind(&self, params: &str) -> Result<Arc<dyn Step>, Vec<Problem>> {
        self.kind.bind(params).map(|step| (self.wrapping)(step))
    }
}

/// The step kinds that a workflow can use, by name.
#[derive(Default)]
pub struct Registry {
    kinds: BTreeMap<&'static str, Box<dyn Kind>>,
}

impl Registry {
    /// Makes a registry without kinds.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a kind, with what it needs beside its params.
    #[must_use]
    pub fn with<K: StepKind>(mut self, env: K::Env) -> Self {
        self.kinds.insert(K::INFO.name, Box::new(KindOf::<K> { env }));
        self
    }

    /// Wraps every step that this registry will make: for tests that cut a step off.
    #[cfg(feature = "testkit")]
    #[must_use]
    pub fn wrapped(self, wrapping: &Wrapping) -> Self {
        let wrapped = |kind| Box::new(Wrapped { kind, wrapping: Arc::clone(wrapping) }) as Box<dyn Kind>;
        Self { kinds: self.kinds.into_iter().map(|(name, kind)| (name, wrapped(kind))).collect() }
    }

    /// Returns every kind, by name.
    pub fn kinds(&self) -> impl Iterator<Item = &'static KindInfo> {
        self.kinds.values().map(|kind| kind.info())
    }

    /// Returns a kind.
    pub fn kind(&self, name: &str) -> Option<&'static KindInfo> {
        self.kinds.get(name).map(|kind| kind.info())
    }

    /// Returns the names of a kind's params as its struct has them, to check the documentation against.
    pub fn param_names(&self, name: &str) -> &'static [&'static str] {
        self.kinds.get(name).map_or(&[], |kind| kind.param_names())
    }

    /// Decodes one step's params from RON without references, for tests and tools.
    ///
    /// # Errors
    /// When the kind is unknown or the params are not its own.
    pub fn step(&self, kind: &str, params: &str) -> Result<Arc<dyn Step>, Vec<Problem>> {
        match self.kinds.get(kind) {
            Some(kind) => kind.bind(params),
            None => Err(vec![self.unknown(kind, 0..0)]),
        }
    }

    fn unknown(&self, kind: &str, at: Place) -> Problem {
        let problem = Problem::new(at, format!("there is no step kind `{kind}`")).suggest(kind, self.kinds.keys().copied());
        if problem.help.as_deref().is_some_and(|help| help.starts_with("there is")) {
            problem.help("`wf kinds` lists them all")
        } else {
            problem
        }
    }

    /// Binds a workflow: finds every kind and decodes all params, with the run's inputs and imports put in and, for values
    /// that only the run will know, stand-ins of their declared type.
    ///
    /// # Errors
    /// Every unknown kind, unknown, missing or ill-typed param, and reference to an output that does not exist.
    pub fn bind(
        &self,
        workflow: Arc<Workflow>,
        inputs: &IndexMap<String, Value>,
        imports: &Imports<'_>,
    ) -> Result<BoundWorkflow, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut steps = Vec::with_capacity(workflow.len());
        for ix in 0..workflow.len() {
            let before = problems.len();
            let bound = self.bind_step(&workflow, ix, inputs, imports, &mut problems);
            debug_assert!(bound.is_some() || problems.len() > before, "a step is bound or told why not");
            steps.extend(bound);
        }
        if problems.is_empty() {
            Ok(BoundWorkflow { known: known_values(&workflow, inputs, imports), workflow, steps })
        } else {
            problems.sort_by_key(|problem| (problem.at.start, problem.at.end));
            problems.dedup();
            Err(problems)
        }
    }

    fn bind_step(
        &self,
        workflow: &Workflow,
        ix: StepIx,
        inputs: &IndexMap<String, Value>,
        imports: &Imports<'_>,
        problems: &mut Vec<Problem>,
    ) -> Option<BoundStep> {
        let step = workflow.step(ix);
        let Some(kind) = self.kinds.get(step.kind.value.as_str()) else {
            problems.push(self.unknown(&step.kind.value, step.kind.at.clone()));
            return None;
        };
        let mut deferred = false;
        let mut unknown = Vec::new();
        let rendered = step.params.render(|reference| {
            let value = self.stand_in(workflow, reference, inputs, imports);
            deferred |= matches!(value, Ok((_, false)));
            let value = value.map(|(value, _)| value).map_err(|problem| unknown.push((reference.at.clone(), problem)));
            Some(value.unwrap_or_else(|()| Value::from(STAND_IN)))
        });
        let (unknown, told): (Vec<Place>, Vec<Problem>) = unknown.into_iter().unzip();
        let references_hold = unknown.is_empty();
        problems.extend(told);
        let Ok(rendered) = rendered else { return None };
        match kind.bind(&rendered.text) {
            Ok(bound) if references_hold => {
                if !deferred {
                    let at = step.params_at.clone();
                    problems.extend(bound.problems().into_iter().map(|problem| Problem::new(at.clone(), problem)));
                }
                Some(BoundStep { kind: step.kind.value.clone(), step: bound, deferred })
            }
            Ok(_) => None,
            Err(found) => {
                for problem in found {
                    let missing = problem.message.ends_with("is missing");
                    let at = if missing { step.kind.at.clone() } else { rendered.original(&problem.at) };
                    if unknown.iter().any(|reference| at.start <= reference.start && reference.end <= at.end) {
                        // A consequence of a reference that was told already.
                        continue;
                    }
                    let problem = Problem { at, ..problem };
                    problems.push(if problem.help.is_none() {
                        problem.help(format!("`wf kinds {}` shows its params", kind.info().name))
                    } else {
                        problem
                    });
                }
                None
            }
        }
    }

    /// Returns a reference's value, and whether it is the real one or stands in for one that only the run will know.
    fn stand_in(
        &self,
        workflow: &Workflow,
        reference: &Reference,
        inputs: &IndexMap<String, Value>,
        imports: &Imports<'_>,
    ) -> Result<(Value, bool), Problem> {
        let nothing = || Problem::new(reference.at.clone(), format!("`{}` is not a reference", reference.path));
        match source_of(&reference.path).ok_or_else(nothing)? {
            Source::Input(name) => match (inputs.get(name), workflow.def().inputs.get(name).and_then(|input| input.from.as_ref())) {
                (Some(value), _) => Ok((value.clone(), true)),
                (None, Some(from)) => self.stand_in(workflow, from, inputs, imports),
                (None, None) => Ok((Value::from(STAND_IN), false)),
            },
            Source::Step { step, before, field } => self.declared(workflow, reference, step, before, field).map(|value| (value, false)),
            Source::Import { workflow: name, step, before, field } => match imports {
                Imports::Values(values) => match values.get(&reference.path) {
                    Some(value) => Ok((value.clone(), true)),
                    None => Err(Problem::new(reference.at.clone(), format!("the run that this one follows has no `{}`", reference.path))),
                },
                Imports::Shape(other) if other.name() == name => {
                    self.declared(other, reference, step, before, field).map(|value| (value, false))
                }
                Imports::Shape(other) => {
                    let problem = Problem::new(reference.at.clone(), format!("the workflow follows `{}`, not `{name}`", other.name()));
                    Err(problem.help(format!("write ${{{}.{step}.…}}", other.name())))
                }
                Imports::None => Ok((Value::from(STAND_IN), false)),
            },
        }
    }

    /// Returns a stand-in for a declared output, or tells that there is none of that name.
    fn declared(&self, workflow: &Workflow, reference: &Reference, step: &str, before: bool, field: &str) -> Result<Value, Problem> {
        let ix = step.parse().ok().and_then(|id| workflow.find(&id));
        let Some(ix) = ix else {
            let known: Vec<_> = (0..workflow.len()).map(|ix| workflow.id(ix).as_str()).collect();
            return Err(Problem::new(reference.at.clone(), format!("`{}` has no step `{step}`", workflow.name())).suggest(step, known));
        };
        // An unknown kind is told where it stands.
        let Some(info) = self.kind(&workflow.step(ix).kind.value) else { return Ok(Value::from(STAND_IN)) };
        let (fields, what) = if before { (info.before, "field in its before-image") } else { (info.outputs, "output") };
        match fields.iter().find(|declared| declared.name == field) {
            Some(Field { ty: FieldType::Text, .. }) => Ok(Value::from(STAND_IN)),
            Some(Field { ty: FieldType::Integer, .. }) => Ok(Value::from(1)),
            Some(Field { ty: FieldType::Number, .. }) => Ok(Value::from(1.0)),
            Some(Field { ty: FieldType::Bool, .. }) => Ok(Value::from(true)),
            Some(Field { ty: FieldType::Json, .. }) => {
                Err(Problem::new(reference.at.clone(), format!("`{field}` of `{step}` is no single value and cannot be referred to")))
            }
            None => {
                let problem = Problem::new(reference.at.clone(), format!("step `{step}` ({}) has no {what} `{field}`", info.name));
                Err(problem.suggest(field, fields.iter().map(|declared| declared.name)))
            }
        }
    }
}

/// Stands in for a text that only the run will know; it also reads as a duration.
const STAND_IN: &str = "1s";

/// Where the values of the run come from that a workflow follows.
#[derive(Debug)]
pub enum Imports<'a> {
    /// The workflow follows none, or the other one could not be read.
    None,
    /// No run yet: only the workflow that would be followed, to check the names against.
    Shape(&'a Workflow),
    /// The values, by reference.
    Values(&'a IndexMap<String, Value>),
}

fn known_values(workflow: &Workflow, inputs: &IndexMap<String, Value>, imports: &Imports<'_>) -> IndexMap<String, Value> {
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

/// A step of a [`BoundWorkflow`].
struct BoundStep {
    kind: String,
    /// Decoded, if `deferred` with stand-ins: good for its declarations, not to be run.
    step: Arc<dyn Step>,
    deferred: bool,
}

/// A workflow whose kinds are known and whose params are decoded: the only thing that the runtime accepts.
pub struct BoundWorkflow {
    workflow: Arc<Workflow>,
    steps: Vec<BoundStep>,
    /// Inputs and imports, by reference.
    known: IndexMap<String, Value>,
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

    /// Tells whether an interrupted step must be decided on by a human.
    pub fn halts(&self, ix: StepIx) -> bool {
        match self.workflow.step(ix).on_interrupted {
            OnInterrupted::Default => self.steps[ix].step.interruption() == Interruption::Halt,
            OnInterrupted::Rerun => false,
            OnInterrupted::Halt => true,
        }
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
        if !bound.deferred {
            return Ok(Arc::clone(&bound.step));
        }
        let lookup = |reference: &Reference| {
            self.known.get(&reference.path).cloned().or_else(|| source_of(&reference.path).and_then(|source| value_of(&source)))
        };
        let rendered = self.workflow.step(ix).params.render(lookup).map_err(|reference| {
            StepFailure::permanent(format!("`${{{}}}` has no value: the step that gives it did not succeed", reference.path))
        })?;
        let step = registry
            .step(&bound.kind, &rendered.text)
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
    let ordered = ordered.collect();
    if errors.is_empty() { Ok(ordered) } else { Err(errors) }
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
