//! The kinds that are measured. None touches anything outside of the engine.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use serde::Deserialize;
use wf_engine::model::event::{Fields, StepFailure};
use wf_engine::registry::Registry;
use wf_engine::step::{Env, Iam, KindInfo, Observed, Rbac, Reversibility, StepContext, StepKind, nothing_to_apply};

/// Returns the kinds.
pub(crate) fn registry(gate: &Gate) -> Registry {
    Registry::new().with::<Nothing>(()).with::<Touch>(()).with::<Pass>(gate.clone())
}

/// Decides whether [`Pass`] succeeds; closed at first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gate(Arc<AtomicBool>);

impl Env for Gate {}

impl Gate {
    pub(crate) fn open(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

const INFO: KindInfo = KindInfo {
    name: "Nothing",
    summary: "does nothing",
    example: r#"(id: "nothing", run: Nothing())"#,
    reversibility: Reversibility::ReadOnly,
    params: &[],
    outputs: &[],
    before: &[],
    iam: Iam { read: &[], apply: &[], compensate: &[], ready: &[] },
    rbac: Rbac::NONE,
    facts: &[],
    typical: Duration::from_secs(1),
    timeout: Duration::from_secs(60),
};

/// Is done as soon as it is started: two records, that it was started and that it succeeded.
#[derive(Debug, Deserialize)]
struct Nothing {}

#[async_trait]
impl StepKind for Nothing {
    type Env = ();
    type Before = ();
    type Handle = ();

    const INFO: KindInfo = INFO;

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

/// Claims that the world has to be changed: four records, and its intent is durable before its `apply`, which does nothing.
#[derive(Debug, Deserialize)]
struct Touch {}

#[async_trait]
impl StepKind for Touch {
    type Env = ();
    type Before = u32;
    type Handle = ();

    const INFO: KindInfo = KindInfo {
        name: "Touch",
        summary: "claims to change something",
        example: r#"(id: "touch", run: Touch())"#,
        reversibility: Reversibility::Reversible,
        ..INFO
    };

    async fn observe(&self, _: &StepContext<()>, _: Option<&u32>) -> Result<Observed<u32>, StepFailure> {
        Ok(Observed::Differs(0))
    }

    async fn apply(&self, _: &StepContext<()>, _: &u32) -> Result<(), StepFailure> {
        Ok(())
    }

    async fn settle(&self, _: &StepContext<()>, _: &u32, _: Option<&()>) -> Result<Fields, StepFailure> {
        Ok(Fields::new())
    }

    async fn compensate(&self, _: &StepContext<()>, _: &u32, _: Option<&()>) -> Result<(), StepFailure> {
        Ok(())
    }
}

/// Fails while its gate is closed, so that a run can be left and resumed just before its end.
#[derive(Debug, Deserialize)]
struct Pass {}

#[async_trait]
impl StepKind for Pass {
    type Env = Gate;
    type Before = ();
    type Handle = ();

    const INFO: KindInfo = KindInfo { name: "Pass", summary: "passes an open gate", example: r#"(id: "pass", run: Pass())"#, ..INFO };

    async fn observe(&self, cx: &StepContext<Gate>, _: Option<&()>) -> Result<Observed<()>, StepFailure> {
        if cx.env.0.load(Ordering::Relaxed) { Ok(Observed::Satisfied(())) } else { Err(StepFailure::permanent("the gate is closed")) }
    }

    async fn apply(&self, _: &StepContext<Gate>, (): &()) -> Result<(), StepFailure> {
        nothing_to_apply(&Self::INFO)
    }

    async fn settle(&self, _: &StepContext<Gate>, (): &(), _: Option<&()>) -> Result<Fields, StepFailure> {
        Ok(Fields::new())
    }

    async fn compensate(&self, _: &StepContext<Gate>, (): &(), _: Option<&()>) -> Result<(), StepFailure> {
        nothing_to_apply(&Self::INFO)
    }
}
