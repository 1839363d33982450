//! [`Step`]: a step kind without its types, as the runtime drives it. What goes in and out is JSON, as the journal holds it.

use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::model::definition::Objectives;
use crate::model::event::{Fields, StepFailure};
use crate::readiness::Check;
use crate::signal::Signal;
use crate::step::{Change, Iam, Interruption, KindInfo, Observed, Reversibility, StepContext, StepKind, told_by};

/// A step with its params decoded: [`StepKind`] without its types, as the runtime drives it.
#[async_trait]
pub trait Step: Send + Sync {
    /// Everything about the kind that does not depend on its params.
    fn info(&self) -> &'static KindInfo;
    /// See [`StepKind::problems`].
    fn problems(&self) -> Vec<String>;
    /// See [`StepKind::iam`].
    fn iam(&self) -> Iam;
    /// See [`StepKind::reversibility`].
    fn reversibility(&self) -> Reversibility;
    /// See [`StepKind::interruption`].
    fn interruption(&self) -> Interruption;
    /// See [`StepKind::typical`].
    fn typical(&self) -> Duration;
    /// See [`StepKind::timeout`].
    fn timeout(&self) -> Duration;
    /// See [`StepKind::environment`].
    async fn environment(&self, cx: &StepContext<()>) -> Result<Option<String>, StepFailure>;
    /// See [`StepKind::observe`].
    async fn observe(&self, cx: &StepContext<()>, intent: Option<&Value>) -> Result<Observed<Value>, StepFailure>;
    /// See [`StepKind::changes`]. Nothing for a before-image that is none of this kind's.
    fn changes(&self, before: &Value) -> Vec<Change>;
    /// See [`StepKind::readiness`].
    async fn readiness(&self, cx: &StepContext<()>, objectives: &Objectives) -> Result<Vec<Check>, StepFailure>;
    /// See [`StepKind::signals`].
    fn signals(&self) -> Vec<Signal>;
    /// See [`StepKind::apply`].
    async fn apply(&self, cx: &StepContext<()>, before: &Value) -> Result<Value, StepFailure>;
    /// See [`StepKind::settle`].
    async fn settle(&self, cx: &StepContext<()>, before: &Value, handle: Option<&Value>) -> Result<Fields, StepFailure>;
    /// See [`StepKind::compensate`].
    async fn compensate(&self, cx: &StepContext<()>, before: &Value, handle: Option<&Value>) -> Result<(), StepFailure>;
}

pub(super) struct Bound<K: StepKind> {
    pub(super) params: K,
    pub(super) env: K::Env,
}

#[async_trait]
impl<K: StepKind> Step for Bound<K> {
    fn info(&self) -> &'static KindInfo {
        const { &K::INFO }
    }

    fn problems(&self) -> Vec<String> {
        self.params.problems()
    }

    fn iam(&self) -> Iam {
        self.params.iam()
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

    async fn environment(&self, cx: &StepContext<()>) -> Result<Option<String>, StepFailure> {
        told_by(&cx.signals, self.params.environment(&cx.with_env(self.env.clone()))).await
    }

    async fn observe(&self, cx: &StepContext<()>, intent: Option<&Value>) -> Result<Observed<Value>, StepFailure> {
        let intent = intent.map(read::<K::Before>).transpose()?;
        match told_by(&cx.signals, self.params.observe(&cx.with_env(self.env.clone()), intent.as_ref())).await? {
            Observed::Satisfied(before) => write(&before).map(Observed::Satisfied),
            Observed::Differs(before) => write(&before).map(Observed::Differs),
        }
    }

    fn changes(&self, before: &Value) -> Vec<Change> {
        read::<K::Before>(before).map(|before| self.params.changes(&before)).unwrap_or_default()
    }

    async fn readiness(&self, cx: &StepContext<()>, objectives: &Objectives) -> Result<Vec<Check>, StepFailure> {
        told_by(&cx.signals, self.params.readiness(&cx.with_env(self.env.clone()), objectives)).await
    }

    fn signals(&self) -> Vec<Signal> {
        self.params.signals()
    }

    async fn apply(&self, cx: &StepContext<()>, before: &Value) -> Result<Value, StepFailure> {
        let before = read(before)?;
        write(&told_by(&cx.signals, self.params.apply(&cx.with_env(self.env.clone()), &before)).await?)
    }

    async fn settle(&self, cx: &StepContext<()>, before: &Value, handle: Option<&Value>) -> Result<Fields, StepFailure> {
        let (before, handle) = (read(before)?, handle.map(read).transpose()?);
        told_by(&cx.signals, self.params.settle(&cx.with_env(self.env.clone()), &before, handle.as_ref())).await
    }

    async fn compensate(&self, cx: &StepContext<()>, before: &Value, handle: Option<&Value>) -> Result<(), StepFailure> {
        let (before, handle) = (read(before)?, handle.map(read).transpose()?);
        told_by(&cx.signals, self.params.compensate(&cx.with_env(self.env.clone()), &before, handle.as_ref())).await
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
