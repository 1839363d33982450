//! `Wait`: lets time pass. With `"0s"` it is the no-op that the benchmarks chain by the thousand.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use wf_engine::clock::between;
use wf_engine::model::event::{Fields, StepFailure};
use wf_engine::step::{Field, FieldType, Iam, KindInfo, Observed, Rbac, Reversibility, StepContext, StepKind, nothing_to_apply};
use wf_engine::units::Span;

/// Lets time pass.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wait {
    /// How long.
    pub duration: Span,
}

/// When the wait ends: recorded, so that a resumed run waits for the rest only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Deadline {
    /// The end of the wait.
    pub until: Timestamp,
}

#[async_trait]
impl StepKind for Wait {
    type Env = ();
    /// Nothing for a wait that ends at once: it has nothing to resume, and nothing to record.
    type Before = Option<Deadline>;
    type Handle = ();

    const INFO: KindInfo = KindInfo {
        name: "Wait",
        summary: "lets time pass; prefer a step that waits for a fact",
        example: r#"(id: "settle_down", run: Wait(duration: "30s"))"#,
        reversibility: Reversibility::ReadOnly,
        params: &[Field::new("duration", FieldType::Text, "how long, such as \"30s\"; \"0s\" ends at once")],
        outputs: &[],
        before: &[Field::new("until", FieldType::Text, "when the wait ends")],
        iam: Iam { read: &[], apply: &[], compensate: &[], ready: &[] },
        rbac: Rbac::NONE,
        facts: &["an interrupted wait ends when it would have ended: a resume waits for the rest only"],
        typical: Duration::from_secs(30),
        timeout: Duration::from_secs(60),
    };

    fn typical(&self) -> Duration {
        self.duration.0
    }

    fn timeout(&self) -> Duration {
        self.duration.0 + Duration::from_secs(60)
    }

    async fn observe(&self, cx: &StepContext<()>, _: Option<&Option<Deadline>>) -> Result<Observed<Option<Deadline>>, StepFailure> {
        let until = cx.clock.now().checked_add(self.duration.0).unwrap_or(Timestamp::MAX);
        Ok(Observed::Satisfied((!self.duration.0.is_zero()).then_some(Deadline { until })))
    }

    async fn apply(&self, _cx: &StepContext<()>, _before: &Option<Deadline>) -> Result<(), StepFailure> {
        nothing_to_apply(&Self::INFO)
    }

    async fn settle(&self, cx: &StepContext<()>, before: &Option<Deadline>, _handle: Option<&()>) -> Result<Fields, StepFailure> {
        if let Some(Deadline { until }) = before {
            cx.progress(format!("until {}", until.strftime("%H:%M:%S UTC")));
            cx.sleep(between(cx.clock.now(), *until)).await;
        }
        Ok(Fields::new())
    }

    async fn compensate(&self, _cx: &StepContext<()>, _before: &Option<Deadline>, _handle: Option<&()>) -> Result<(), StepFailure> {
        nothing_to_apply(&Self::INFO)
    }
}
