//! The open registry of step kinds, and binding: [`Workflow`] → [`BoundWorkflow`], in which every kind is known and all params
//! are decoded. The price of a registry over an enum, that names are looked up late, is paid here, before anything runs.

mod bound;
mod inputs;
mod step;

pub use bound::BoundWorkflow;
pub use inputs::{InputError, collect_imports, resolve_inputs};
pub use step::Step;

use std::collections::BTreeMap;
use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::Value;

use crate::model::account::{Account, AccountDef};
use crate::model::problem::{Place, Problem};
use crate::model::ron_fields;
use crate::model::template::{Reference, RenderError};
use crate::model::workflow::{Source, StepIx, Workflow, source_of};
use crate::step::{Env as _, Field, FieldType, KindInfo, StepKind};
use bound::{BoundStep, known_values};
use step::Bound;

/// A kind, whatever its types.
trait Kind: Send + Sync {
    fn info(&self) -> &'static KindInfo;
    fn param_names(&self) -> &'static [&'static str];
    fn bind(&self, params: &str, account: Option<&Account>) -> Result<Arc<dyn Step>, Vec<Problem>>;
}

struct KindOf<K: StepKind> {
    env: K::Env,
}

impl<K: StepKind> Kind for KindOf<K> {
    fn info(&self) -> &'static KindInfo {
        const { &K::INFO }
    }

    fn param_names(&self) -> &'static [&'static str] {
        ron_fields::field_names::<K>()
    }

    fn bind(&self, params: &str, account: Option<&Account>) -> Result<Arc<dyn Step>, Vec<Problem>> {
        let params = if params.trim().is_empty() { "()" } else { params };
        let params = ron_fields::decode::<K>(params)?;
        let env = account.map_or_else(|| self.env.clone(), |account| self.env.in_account(account));
        Ok(Arc::new(Bound { params, env }))
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

    fn bind(&self, params: &str, account: Option<&Account>) -> Result<Arc<dyn Step>, Vec<Problem>> {
        self.kind.bind(params, account).map(|step| (self.wrapping)(step))
    }
}

/// The step kinds that a workflow can use, by name.
#[derive(Default)]
pub struct Registry {
    kinds: BTreeMap<&'static str, Box<dyn Kind>>,
    account_rule: Option<AccountRule>,
}

/// Says what is wrong with a field of an `Account(…)`, given its name and its text.
pub type AccountRule = fn(&str, &str) -> Option<String>;

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

    /// Sets the rules that accounts are written by.
    #[must_use]
    pub fn with_account_rule(mut self, rule: AccountRule) -> Self {
        self.account_rule = Some(rule);
        self
    }

    /// Wraps every step that this registry will make: for tests that cut a step off.
    #[cfg(feature = "testkit")]
    #[must_use]
    pub fn wrapped(self, wrapping: &Wrapping) -> Self {
        let wrapped = |kind| Box::new(Wrapped { kind, wrapping: Arc::clone(wrapping) }) as Box<dyn Kind>;
        Self { kinds: self.kinds.into_iter().map(|(name, kind)| (name, wrapped(kind))).collect(), ..self }
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
        self.step_in(kind, params, None)
    }

    fn step_in(&self, kind: &str, params: &str, account: Option<&Account>) -> Result<Arc<dyn Step>, Vec<Problem>> {
        match self.kinds.get(kind) {
            Some(kind) => kind.bind(params, account),
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
        let account = |def, problems: &mut Vec<Problem>| self.account(&workflow, def, inputs, imports, problems).map(Arc::new);
        let common = workflow.def().account.as_ref().and_then(|def| account(def, &mut problems));
        for ix in 0..workflow.len() {
            let before = problems.len();
            let own = workflow.step(ix).account.as_ref();
            let account = own.map_or_else(|| common.clone(), |def| account(def, &mut problems));
            let bound = self.bind_step(&workflow, ix, inputs, imports, account, &mut problems);
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
        account: Option<Arc<Account>>,
        problems: &mut Vec<Problem>,
    ) -> Option<BoundStep> {
        let step = workflow.step(ix);
        let Some(kind) = self.kinds.get(step.kind.value.as_str()) else {
            problems.push(self.unknown(&step.kind.value, step.kind.at.clone()));
            return None;
        };
        if let Some(own) = step.account.as_ref().filter(|_| kind.info().iam.is_empty()) {
            problems.push(Problem::new(own.at.clone(), format!("{} acts in no account", kind.info().name)).help("take `account` out"));
        }
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
        let rendered = match rendered {
            Ok(rendered) => rendered,
            Err(error) => {
                let (RenderError::NoValue(reference) | RenderError::TooLong(reference)) = &error;
                problems.push(Problem::new(reference.at.clone(), error.to_string()));
                return None;
            }
        };
        match kind.bind(&rendered.text, account.as_deref()) {
            Ok(bound) if references_hold => {
                if !deferred {
                    let at = step.params_at.clone();
                    problems.extend(bound.problems().into_iter().map(|problem| Problem::new(at.clone(), problem)));
                }
                Some(BoundStep { kind: step.kind.value.clone(), step: bound, account, deferred })
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

    /// Puts the inputs into an account and checks it. `None` when not all of them are known, or something is wrong.
    fn account(
        &self,
        workflow: &Workflow,
        def: &AccountDef,
        inputs: &IndexMap<String, Value>,
        imports: &Imports<'_>,
        problems: &mut Vec<Problem>,
    ) -> Option<Account> {
        let mut account = Account::default();
        let mut known = true;
        for field in &def.fields {
            let mut certain = true;
            let rendered = field.text.render(|reference| {
                let (value, real) = self.stand_in(workflow, reference, inputs, imports).unwrap_or((Value::from(STAND_IN), false));
                certain &= real;
                Some(value)
            });
            let text = rendered.ok().and_then(|rendered| ron_fields::value::<String>(&rendered.text).ok());
            let problem = match (&text, certain) {
                (_, false) => None,
                (None, true) => Some("must be a text".to_owned()),
                (Some(text), true) => self.account_rule.and_then(|rule| rule(field.name, text)),
            };
            known &= certain && problem.is_none();
            problems.extend(problem.map(|problem| Problem::new(field.at.clone(), format!("`{}`: {problem}", field.name))));
            account.set(field.name, text.unwrap_or_default());
        }
        known.then_some(account)
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
