//! A world small enough to compare: named numbers that steps set, a log of every effective change, and failures on request.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::model::account::Account;
use crate::model::event::{FailureKind, Fields, StepFailure};
use crate::registry::Registry;
use crate::step::{
    Env, Field, FieldType, Iam, Interruption, KindInfo, Observed, Rbac, Reversibility, StepContext, StepKind, fields, nothing_to_apply,
};

/// A part of a step kind, as failures name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// See [`StepKind::observe`].
    Observe,
    /// See [`StepKind::apply`], before it takes effect.
    Apply,
    /// See [`StepKind::apply`], after it took effect: the answer is lost.
    ApplyAnswer,
    /// See [`StepKind::settle`].
    Settle,
    /// See [`StepKind::compensate`].
    Compensate,
}

/// The world that [`Set`] changes. Clones share it; it survives a crash of the engine, as the real one does.
#[derive(Clone, Default)]
pub struct FakeWorld {
    inner: Arc<Mutex<Inner>>,
    /// What keys begin with: the role that the step acts as.
    role: String,
}

impl Env for FakeWorld {
    fn in_account(&self, account: &Account) -> Self {
        Self { inner: Arc::clone(&self.inner), role: format!("{}/", account.role) }
    }
}

#[derive(Default)]
struct Inner {
    values: BTreeMap<String, i64>,
    changes: Vec<(String, i64)>,
    failures: BTreeMap<(String, Part), (u32, FailureKind)>,
    calls: BTreeMap<(String, Part), u32>,
}

impl FakeWorld {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the next `times` calls of a part that concern `key` fail.
    pub fn fail(&self, key: &str, part: Part, times: u32, kind: FailureKind) {
        self.lock().failures.insert((key.to_owned(), part), (times, kind));
    }

    /// Returns every number that is not zero.
    pub fn values(&self) -> BTreeMap<String, i64> {
        self.lock().values.iter().filter(|(_, value)| **value != 0).map(|(key, value)| (key.clone(), *value)).collect()
    }

    /// Returns every effective change, in order.
    pub fn changes(&self) -> Vec<(String, i64)> {
        self.lock().changes.clone()
    }

    /// Returns how often a part was called for `key`.
    pub fn calls(&self, key: &str, part: Part) -> u32 {
        self.lock().calls.get(&(key.to_owned(), part)).copied().unwrap_or_default()
    }

    fn named(&self, key: &str) -> String {
        format!("{}{key}", self.role)
    }

    fn get(&self, key: &str) -> i64 {
        self.lock().values.get(&self.named(key)).copied().unwrap_or_default()
    }

    fn set(&self, key: &str, value: i64) {
        let key = self.named(key);
        let mut inner = self.lock();
        if inner.values.insert(key.clone(), value).unwrap_or_default() != value {
            inner.changes.push((key, value));
        }
    }

    fn meet(&self, key: &str, part: Part) -> Result<(), StepFailure> {
        let mut inner = self.lock();
        *inner.calls.entry((key.to_owned(), part)).or_default() += 1;
        match inner.failures.get_mut(&(key.to_owned(), part)) {
            Some((times, kind)) if *times > 0 => {
                *times -= 1;
                let message = format!("{part:?} of {key} failed as asked for");
                Err(match kind {
                    FailureKind::Transient => StepFailure::transient(message),
                    FailureKind::Permanent => StepFailure::permanent(message),
                    FailureKind::Unreachable => StepFailure::unreachable(message),
                })
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// Of the kinds that change nothing.
const NO_IAM: Iam = Iam { read: &[], apply: &[], compensate: &[], ready: &[] };

/// Sets a number of the [`FakeWorld`], and takes a while to.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Set {
    key: String,
    #[serde(default = "one")]
    value: i64,
    #[serde(default)]
    irreversible: bool,
    /// Whether nobody can tell if an interrupted attempt happened.
    #[serde(default)]
    blind: bool,
    /// How long settling takes.
    #[serde(default)]
    takes: crate::units::Span,
}

fn one() -> i64 {
    1
}

/// The before-image of [`Set`].
#[derive(Debug, Serialize, Deserialize)]
pub struct WasSet {
    value: i64,
}

#[async_trait]
impl StepKind for Set {
    type Env = FakeWorld;
    type Before = WasSet;
    type Handle = String;

    const INFO: KindInfo = KindInfo {
        name: "Set",
        summary: "sets a number of a world made for tests",
        example: r#"(id: "set", run: Set(key: "x"))"#,
        reversibility: Reversibility::Reversible,
        params: &[],
        outputs: &[Field::new("value", FieldType::Integer, "the number that was set")],
        before: &[Field::new("value", FieldType::Integer, "the number that was there before")],
        iam: Iam { read: &["fake:Get"], apply: &["fake:Set"], compensate: &[], ready: &[] },
        rbac: Rbac::NONE,
        facts: &[],
        typical: Duration::from_secs(1),
        timeout: Duration::from_secs(600),
    };

    fn reversibility(&self) -> Reversibility {
        if self.irreversible { Reversibility::Irreversible } else { Reversibility::Reversible }
    }

    fn interruption(&self) -> Interruption {
        if self.blind { Interruption::Halt } else { Interruption::Observe }
    }

    async fn observe(&self, cx: &StepContext<FakeWorld>, _: Option<&WasSet>) -> Result<Observed<WasSet>, StepFailure> {
        cx.env.meet(&self.key, Part::Observe)?;
        let before = WasSet { value: cx.env.get(&self.key) };
        Ok(if before.value == self.value && !self.blind { Observed::Satisfied(before) } else { Observed::Differs(before) })
    }

    async fn apply(&self, cx: &StepContext<FakeWorld>, _: &WasSet) -> Result<String, StepFailure> {
        cx.env.meet(&self.key, Part::Apply)?;
        cx.env.set(&self.key, self.value);
        cx.env.meet(&self.key, Part::ApplyAnswer)?;
        Ok(cx.token())
    }

    async fn settle(&self, cx: &StepContext<FakeWorld>, _: &WasSet, _: Option<&String>) -> Result<Fields, StepFailure> {
        cx.env.meet(&self.key, Part::Settle)?;
        cx.progress(format!("{} to be {}", self.key, self.value));
        if !self.takes.0.is_zero() {
            cx.sleep(self.takes.0).await;
        }
        Ok(fields([("value", self.value.into())]))
    }

    async fn compensate(&self, cx: &StepContext<FakeWorld>, before: &WasSet, _: Option<&String>) -> Result<(), StepFailure> {
        cx.env.meet(&self.key, Part::Compensate)?;
        cx.env.set(&self.key, before.value);
        Ok(())
    }
}

/// Asks a human.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ask {}

#[async_trait]
impl StepKind for Ask {
    type Env = FakeWorld;
    type Before = ();
    type Handle = ();

    const INFO: KindInfo = KindInfo {
        name: "Ask",
        summary: "asks a human",
        reversibility: Reversibility::ReadOnly,
        outputs: &[],
        before: &[],
        iam: NO_IAM,
        ..Set::INFO
    };

    async fn observe(&self, _: &StepContext<FakeWorld>, _: Option<&()>) -> Result<Observed<()>, StepFailure> {
        Ok(Observed::Satisfied(()))
    }

    async fn apply(&self, _: &StepContext<FakeWorld>, (): &()) -> Result<(), StepFailure> {
        nothing_to_apply(&Self::INFO)
    }

    async fn settle(&self, cx: &StepContext<FakeWorld>, (): &(), _: Option<&()>) -> Result<Fields, StepFailure> {
        match cx.ask("go on?".to_owned(), Duration::from_secs(60)).await {
            Some(decision) if decision.granted => Ok(Fields::new()),
            Some(decision) => Err(StepFailure::permanent(format!("refused: {}", decision.reason))),
            None => Err(StepFailure::transient("the engine is leaving")),
        }
    }

    async fn compensate(&self, _: &StepContext<FakeWorld>, (): &(), _: Option<&()>) -> Result<(), StepFailure> {
        nothing_to_apply(&Self::INFO)
    }
}

/// Lets seconds pass, and records when it began.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Linger {
    secs: u64,
}

#[async_trait]
impl StepKind for Linger {
    type Env = ();
    /// Seconds of tokio's clock, since this one's is the machine's.
    type Before = u64;
    type Handle = ();

    const INFO: KindInfo = KindInfo { name: "Linger", summary: "lets seconds pass", ..Ask::INFO };

    async fn observe(&self, _: &StepContext<()>, _: Option<&u64>) -> Result<Observed<u64>, StepFailure> {
        Ok(Observed::Satisfied(paused_secs()))
    }

    async fn apply(&self, _: &StepContext<()>, _: &u64) -> Result<(), StepFailure> {
        nothing_to_apply(&Self::INFO)
    }

    async fn settle(&self, cx: &StepContext<()>, before: &u64, _: Option<&()>) -> Result<Fields, StepFailure> {
        let left = (before + self.secs).saturating_sub(paused_secs());
        cx.sleep(Duration::from_secs(left)).await;
        Ok(Fields::new())
    }

    async fn compensate(&self, _: &StepContext<()>, _: &u64, _: Option<&()>) -> Result<(), StepFailure> {
        nothing_to_apply(&Self::INFO)
    }
}

/// Returns seconds of tokio's clock since it was first asked.
fn paused_secs() -> u64 {
    static START: std::sync::OnceLock<tokio::time::Instant> = std::sync::OnceLock::new();
    tokio::time::Instant::now().duration_since(*START.get_or_init(tokio::time::Instant::now)).as_secs()
}

/// Does nothing, at once.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

#[async_trait]
impl StepKind for Nothing {
    type Env = ();
    type Before = ();
    type Handle = ();

    const INFO: KindInfo = KindInfo { name: "Nothing", summary: "does nothing", ..Ask::INFO };

    async fn observe(&self, _: &StepContext<()>, _: Option<&()>) -> Result<Observed<()>, StepFailure> {
        Ok(Observed::Satisfied(()))
    }

    async fn apply(&self, _: &StepContext<()>, (): &()) -> Result<(), StepFailure> {
        nothing_to_apply(&Self::INFO)
    }

    async fn settle(&self, _: &StepContext<()>, (): &(), _: Option<&()>) -> Result<Fields, StepFailure> {
        Ok(Fields::new())
    }

    async fn compensate(&self, _: &StepContext<()>, (): &(), _: Option<&()>) -> Result<(), StepFailure> {
        nothing_to_apply(&Self::INFO)
    }
}

/// Returns the kinds of the fake world.
pub fn registry(world: &FakeWorld) -> Registry {
    Registry::new().with::<Set>(world.clone()).with::<Ask>(world.clone()).with::<Nothing>(()).with::<Linger>(())
}
