//! `Wait`: lets time pass. With `"0s"` it is the no-op that the benchmarks chain by the thousand.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use wf_engine::clock::between;
use wf_engine::model::event::{Fields, StepFailure};
use wf_engine::step::{Field, FieldType, Iam, KindInfo, Observed, Reversibility, StepContext, StepKind, nothing_to_apply};
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
    type Before = Deadline;
    type Handle = ();

    const INFO: KindInfo = KindInfo {
        name: "Wait",
        summary: "lets time pass; prefer a step that waits for a fact",
        example: r#"(id: "settle_down", run: Wait(duration: "30s"))"#,
        reversibility: Reversibility::ReadOnly,
        params: &[Field::new("duration", FieldType::Text, "how long, such as \"30s\"; \"0s\" ends at once")],
        outputs: &[],
        before: &[Field::new("until", FieldType::Text, "when the wait ends")],
        iam: Iam { read: &[], apply: &[], compensate: &[] },
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

    async fn observe(&self, cx: &StepContext<()>, intent: Option<&Deadline>) -> Result<Observed<Deadline>, StepFailure> {
        let until = match intent {
            Some(earlier) => earlier.until,
            None => cx.clock.now().checked_add(self.duration.0).unwrap_or(Timestamp::MAX),
        };
        Ok(Observed::Satisfied(Deadline { until }))
    }

    async fn apply(&self, _cx: &StepContext<()>, _before: &Deadline) -> Result<(), StepFailure> {
        nothing_to_apply(&Self::INFO)
    }

    async fn settle(&self, cx: &StepContext<()>, before: &Deadline, _handle: Option<&()>) -> Result<Fields, StepFailure> {
        let left = between(cx.clock.now(), before.until);
        if !left.is_zero() {
            cx.progress(format!("until {}", before.until.strftime("%H:%M:%S UTC")));
            cx.sleep(left).await;
        }
        Ok(Fields::new())
    }

    async fn compensate(&self, _cx: &StepContext<()>, _before: &Deadline, _handle: Option<&()>) -> Result<(), StepFailure> {
        nothing_to_apply(&Self::INFO)
    }
}
