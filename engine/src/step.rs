//! What a step kind is: code that brings one piece of the world to a desired state, in four parts that the engine drives
//! and journals between. A kind implements [`StepKind`]; [`crate::registry`] finds it by its name.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use crate::clock::{Clock, Sleep};
use crate::model::account::Account;
use crate::model::definition::Objectives;
use crate::model::event::{Fields, Mode, StepFailure};
use crate::model::ids::{RunId, StepId};
use crate::pacer::Pacer;
use crate::readiness::Check;
use crate::signal::Signal;

/// Whether a step can be undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reversibility {
    /// Changes nothing, so there is nothing to undo. Such a kind has no `apply`: it observes and settles.
    ReadOnly,
    /// `compensate` restores the before-image.
    Reversible,
    /// Cannot be undone: the run passes its point of no return when such a step is applied.
    Irreversible,
}

impl std::fmt::Display for Reversibility {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::ReadOnly => "read-only",
            Self::Reversible => "reversible",
            Self::Irreversible => "irreversible",
        })
    }
}

/// What to do with a step that was interrupted after its intent was recorded, without a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interruption {
    /// Observe the world again and carry on: `observe` can tell, or repeating `apply` is harmless.
    Observe,
    /// Nobody can tell whether it happened: pause the run and ask.
    Halt,
}

/// The type of an output or of a field of a before-image, which decides what `${step.field}` stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldType {
    /// A text.
    Text,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// `true` or `false`.
    Bool,
    /// Anything else; cannot be referred to.
    Json,
}

/// Describes a parameter, an output or a field of a before-image, for `wf kinds` and for checking references.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub ty: FieldType,
    /// What it means, with its unit.
    pub doc: &'static str,
}

impl Field {
    /// Describes a field.
    pub const fn new(name: &'static str, ty: FieldType, doc: &'static str) -> Self {
        Self { name, ty, doc }
    }
}

/// The IAM actions that each part of a kind needs.
#[derive(Debug, Clone, Copy, Default)]
pub struct Iam {
    /// To observe and to settle: read-only.
    pub read: &'static [&'static str],
    /// To apply.
    pub apply: &'static [&'static str],
    /// To compensate, beyond what `read` and `apply` name.
    pub compensate: &'static [&'static str],
    /// To check beforehand ([`StepKind::readiness`]), beyond what `read` names: read-only, and no run needs them.
    pub ready: &'static [&'static str],
}

impl Iam {
    /// Tells whether nothing is needed: such a kind acts in no account.
    pub const fn is_empty(&self) -> bool {
        self.read.is_empty() && self.apply.is_empty() && self.compensate.is_empty() && self.ready.is_empty()
    }
}

/// The rights in Kubernetes (RBAC) that each part of a kind needs, as verbs and a resource: "get,list nodes", "patch deployments.apps".
#[derive(Debug, Clone, Copy, Default)]
pub struct Rbac {
    /// To observe and to settle: read-only.
    pub read: &'static [&'static str],
    /// To apply.
    pub apply: &'static [&'static str],
    /// To compensate, beyond what `read` and `apply` name.
    pub compensate: &'static [&'static str],
}

impl Rbac {
    /// Of a kind that has nothing to do with Kubernetes.
    pub const NONE: Self = Self { read: &[], apply: &[], compensate: &[] };

    /// Tells whether nothing is needed.
    pub const fn is_empty(&self) -> bool {
        self.read.is_empty() && self.apply.is_empty() && self.compensate.is_empty()
    }
}

/// Everything about a kind that does not depend on its params.
#[derive(Debug, Clone, Copy)]
pub struct KindInfo {
    /// The name in `run:`.
    pub name: &'static str,
    /// What it does, in a line.
    pub summary: &'static str,
    /// A step in RON that uses it, complete and valid.
    pub example: &'static str,
    /// Whether it can be undone, unless the params decide ([`StepKind::reversibility`]).
    pub reversibility: Reversibility,
    /// Its params, as in the struct.
    pub params: &'static [Field],
    /// What later steps can refer to as `${step.name}`.
    pub outputs: &'static [Field],
    /// What a following run can refer to as `${workflow.step.before.name}`.
    pub before: &'static [Field],
    /// The IAM actions that it needs.
    pub iam: Iam,
    /// The rights in Kubernetes that it needs.
    pub rbac: Rbac,
    /// The facts about AWS that it obeys, a line each.
    pub facts: &'static [&'static str],
    /// How long it usually takes, for scheduling until there is history.
    pub typical: Duration,
    /// The limit of a step that sets no `timeout`.
    pub timeout: Duration,
}

/// What `observe` found.
#[derive(Debug, Clone, PartialEq)]
pub enum Observed<B> {
    /// The world already is as desired, or soon will be by itself: `apply` is not needed, `settle` is.
    Satisfied(B),
    /// The world must be changed; this is how it is now.
    Differs(B),
}

/// A value that a step would change, for people: "desired 0 → 6". Never a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What is changed.
    pub what: String,
    /// What it is now; empty when it is not there.
    pub from: String,
    /// What it would be.
    pub to: String,
}

impl Change {
    /// Names a value that is not as desired.
    pub fn new(what: impl Into<String>, from: impl ToString, to: impl ToString) -> Self {
        Self { what: what.into(), from: from.to_string(), to: to.to_string() }
    }

    /// Names a value that is given, and is another one now.
    pub fn if_other<T: PartialEq + ToString>(what: &str, from: &T, to: Option<&T>) -> Option<Self> {
        to.filter(|&to| to != from).map(|to| Self::new(what, from.to_string(), to.to_string()))
    }
}

/// What a kind needs beside its params.
pub trait Env: Clone + Send + Sync + 'static {
    /// Returns the same means in another account, for a step whose `account` says so. An environment that knows no accounts is itself
    /// everywhere.
    #[must_use]
    fn in_account(&self, _account: &Account) -> Self {
        self.clone()
    }
}

impl Env for () {}

/// A step kind: its params, and the four parts. The implementing struct holds the params.
///
/// The engine calls the parts in this order, and journals between them:
/// `observe` → (the before-image is durable) → `apply` → (the handle is durable) → `settle`; and `compensate` to roll back.
/// Each may be called again after a crash, so none may rely on memory of an earlier call.
/// Each is dropped at an `.await` when the step times out or the run is interrupted, except `apply`, which is let finish.
#[async_trait]
pub trait StepKind: DeserializeOwned + Send + Sync + 'static {
    /// What the kind needs beside its params: cloud clients, for instance.
    type Env: Env;
    /// What must be known of the world before it is changed, to restore it. No secrets: it is journaled.
    type Before: Serialize + DeserializeOwned + Send + Sync;
    /// What `apply` returns to be followed up.
    type Handle: Serialize + DeserializeOwned + Send + Sync;

    /// Everything about the kind that does not depend on its params.
    const INFO: KindInfo;

    /// Says what is wrong with the params beyond their types, a sentence each: limits, contradictions.
    fn problems(&self) -> Vec<String> {
        Vec::new()
    }

    /// Tells which IAM actions this step needs: those of the kind, of which a step that goes about it in one of several ways needs a part.
    fn iam(&self) -> Iam {
        Self::INFO.iam
    }

    /// Tells whether this step can be undone.
    fn reversibility(&self) -> Reversibility {
        Self::INFO.reversibility
    }

    /// Tells what to do with this step when it was interrupted between intent and result.
    fn interruption(&self) -> Interruption {
        Interruption::Observe
    }

    /// Returns how long this step usually takes.
    fn typical(&self) -> Duration {
        Self::INFO.typical
    }

    /// Returns the limit of this step, when the workflow sets none.
    fn timeout(&self) -> Duration {
        Self::INFO.timeout
    }

    /// Returns the environment that what the step works on belongs to, as its tags say; `None` when they do not say, when there is nothing
    /// yet, or when the kind cannot tell. Read-only: a drill looks before it takes anything down.
    async fn environment(&self, cx: &StepContext<Self::Env>) -> Result<Option<String>, StepFailure> {
        let _ = cx;
        Ok(None)
    }

    /// Reads the world. `intent` is the before-image of an earlier attempt whose result is not known: with it, a world that is
    /// as desired may be our own doing; without it, somebody else's.
    async fn observe(&self, cx: &StepContext<Self::Env>, intent: Option<&Self::Before>) -> Result<Observed<Self::Before>, StepFailure>;

    /// Names what `apply` would change in a world that is so, for `wf plan`: no moment and no id of a run, so that the same world makes the
    /// same plan. A kind that names nothing is told by its summary.
    fn changes(&self, _before: &Self::Before) -> Vec<Change> {
        Vec::new()
    }

    /// Checks, for `wf check --live`, what a run needs of the world beyond what `observe` finds out, each with what to do about it. It only
    /// reads, by actions that [`KindInfo::iam`] names under `read` and `ready`. What must be there for `observe` need not be checked again; a failure is
    /// that nothing could be checked.
    async fn readiness(&self, _cx: &StepContext<Self::Env>, _objectives: &Objectives) -> Result<Vec<Check>, StepFailure> {
        Ok(Vec::new())
    }

    /// Names what the step works on and can be kept an eye on, for dashboards and alarms.
    fn signals(&self) -> Vec<Signal> {
        Vec::new()
    }

    /// Changes the world with one call, idempotent by [`StepContext::token`] where AWS takes a token.
    async fn apply(&self, cx: &StepContext<Self::Env>, before: &Self::Before) -> Result<Self::Handle, StepFailure>;

    /// Waits until the world is as desired, and returns the outputs. Read-only. Without a handle, because the world was already
    /// so, or because the answer to `apply` was lost.
    async fn settle(
        &self,
        cx: &StepContext<Self::Env>,
        before: &Self::Before,
        handle: Option<&Self::Handle>,
    ) -> Result<Fields, StepFailure>;

    /// Restores the before-image, and waits until it is restored. Declarative: right when `apply` never happened, happened half,
    /// or when it is repeated.
    async fn compensate(
        &self,
        cx: &StepContext<Self::Env>,
        before: &Self::Before,
        handle: Option<&Self::Handle>,
    ) -> Result<(), StepFailure>;
}

/// Returns the failure of a read-only kind whose `apply` or `compensate` was called: the engine does not.
pub fn nothing_to_apply<T>(kind: &KindInfo) -> Result<T, StepFailure> {
    Err(StepFailure::permanent(format!("{} changes nothing, so it can be neither applied nor compensated", kind.name)))
}

/// A human's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Whether the step may go on.
    pub granted: bool,
    /// Who decided.
    pub by: String,
    /// Why, in their words.
    pub reason: String,
}

/// What a running step tells the engine beside its result. Progress is shown, never recorded.
#[derive(Debug)]
pub enum StepSignal {
    /// What it waits for, such as "4/6 in service".
    Progress(String),
    /// It needs a human's decision.
    Ask {
        /// The question.
        message: String,
        /// How long the question stands.
        timeout: Duration,
        /// Where the answer goes.
        answer: oneshot::Sender<Decision>,
    },
}

/// Takes the signals of one step.
pub type SignalSink = Arc<dyn Fn(StepSignal) + Send + Sync>;

tokio::task_local! {
    /// Where the signals of the step that this task drives go.
    static SIGNALS: SignalSink;
}

/// Drives a part of a step, so that what it calls can tell what it waits for ([`show_progress`]).
pub(crate) async fn told_by<T>(signals: &SignalSink, part: impl Future<Output = T>) -> T {
    SIGNALS.scope(Arc::clone(signals), part).await
}

/// Shows what the step that runs in this task waits for. For what lies below the kinds and has no [`StepContext`], such as a
/// connection shared by all steps; outside of a step nothing is shown.
pub fn show_progress(text: impl FnOnce() -> String) {
    let _ = SIGNALS.try_with(|signals| signals(StepSignal::Progress(text())));
}

/// What a step knows of its run, and the means that the engine lends it.
#[derive(Clone)]
pub struct StepContext<E> {
    /// The run.
    pub run: RunId,
    /// The step.
    pub step: StepId,
    /// Counts from 1.
    pub attempt: u32,
    /// Counts the times that an operator had this step tried anew after it had failed for good; part of the token.
    pub generation: u32,
    /// Whether the failing side still works with us.
    pub mode: Mode,
    /// The only source of time.
    pub clock: Arc<dyn Clock>,
    /// Where signals go.
    pub signals: SignalSink,
    /// What the kind needs beside its params.
    pub env: E,
}

impl<E> StepContext<E> {
    /// Returns the idempotency token of this step's `apply`: the same for every attempt and resume, at most 64 characters of
    /// `[A-Za-z0-9-]`, different after an operator had a failed step tried anew.
    pub fn token(&self) -> String {
        let key = format!("{}/{}/{}", self.run, self.step, self.generation);
        let digest = crate::model::record::hash(key.as_bytes());
        format!("wf-{}-{}", self.run.as_str().to_ascii_lowercase(), &digest[..24])
    }

    /// Shows what the step waits for, such as "4/6 in service".
    pub fn progress(&self, text: impl Into<String>) {
        (self.signals)(StepSignal::Progress(text.into()));
    }

    /// Asks a human, and waits for the answer. Returns `None` when the engine is leaving.
    pub async fn ask(&self, message: String, timeout: Duration) -> Option<Decision> {
        let (answer, decision) = oneshot::channel();
        (self.signals)(StepSignal::Ask { message, timeout, answer });
        decision.await.ok()
    }

    /// Lets `duration` of the run's time pass.
    pub fn sleep(&self, duration: Duration) -> Sleep {
        self.clock.sleep(duration)
    }

    /// Starts a poll loop's pacing, for something that usually takes `typical`.
    pub fn pacer(&self, typical: Duration) -> Pacer {
        let seed = format!("{}/{}/{}", self.run, self.step, self.attempt);
        Pacer::new(Arc::clone(&self.clock), typical, &seed)
    }

    /// Replaces the environment.
    pub fn with_env<F>(&self, env: F) -> StepContext<F> {
        StepContext {
            run: self.run.clone(),
            step: self.step.clone(),
            attempt: self.attempt,
            generation: self.generation,
            mode: self.mode,
            clock: Arc::clone(&self.clock),
            signals: Arc::clone(&self.signals),
            env,
        }
    }
}

/// Makes [`Fields`] from pairs, for the ends of `settle`.
pub fn fields<const N: usize>(pairs: [(&str, serde_json::Value); N]) -> Fields {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Values by the reference that names them, such as `failover.promote.endpoint`.
pub type References = BTreeMap<String, serde_json::Value>;
