//! `Approval`: asks a human, and goes on only when they agree.

use std::time::Duration;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::json;
use wf_engine::model::event::{Fields, StepFailure};
use wf_engine::step::{Field, FieldType, Iam, KindInfo, Observed, Rbac, Reversibility, StepContext, StepKind, fields, nothing_to_apply};
use wf_engine::units::Span;

use crate::question;

/// Asks a human.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// The question.
    pub message: String,
    /// How long it stands.
    #[serde(default = "half_an_hour")]
    pub timeout: Span,
}

/// The longest question, in bytes: it is recorded in one piece.
const MESSAGE_LEN_MAX: usize = 4096;

const fn half_an_hour() -> Span {
    Span::secs(30 * 60)
}

#[async_trait]
impl StepKind for Approval {
    type Env = ();
    type Before = ();
    type Handle = ();

    const INFO: KindInfo = KindInfo {
        name: "Approval",
        summary: "asks a human, and goes on only when they agree",
        example: r#"(id: "go", run: Approval(message: "Promote prod-db-replica-west? This cannot be undone.", timeout: "30m"))"#,
        reversibility: Reversibility::ReadOnly,
        params: &[
            Field::new("message", FieldType::Text, "the question; say what happens next and what cannot be undone"),
            Field::new("timeout", FieldType::Text, "how long the question stands; default \"30m\""),
        ],
        outputs: &[
            Field::new("approved_by", FieldType::Text, "who agreed"),
            Field::new("approved_at", FieldType::Text, "when, in UTC"),
            Field::new("reason", FieldType::Text, "why, in their words"),
        ],
        before: &[],
        iam: Iam { read: &[], apply: &[], compensate: &[], ready: &[] },
        rbac: Rbac::NONE,
        facts: &[
            "a refusal and a lapsed question both fail the step for good: no answer is not a yes",
            "a question that was open when the run was interrupted is asked anew, and stands as long again",
        ],
        typical: Duration::from_secs(120),
        timeout: Duration::from_secs(31 * 60),
    };

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.message.trim().is_empty() {
            problems.push("`message` is empty: nobody can tell what they agree to".to_owned());
        }
        if self.message.len() > MESSAGE_LEN_MAX {
            problems.push(format!("`message` is {} bytes long, more than the {MESSAGE_LEN_MAX} that can be recorded", self.message.len()));
        }
        if self.timeout.0.is_zero() {
            problems.push("`timeout` is zero: the question would lapse before anyone can answer".to_owned());
        }
        problems
    }

    fn timeout(&self) -> Duration {
        self.timeout.0 + Duration::from_secs(60)
    }

    async fn observe(&self, _cx: &StepContext<()>, _intent: Option<&()>) -> Result<Observed<()>, StepFailure> {
        Ok(Observed::Satisfied(()))
    }

    async fn apply(&self, _cx: &StepContext<()>, _before: &()) -> Result<(), StepFailure> {
        nothing_to_apply(&Self::INFO)
    }

    async fn settle(&self, cx: &StepContext<()>, _before: &(), _handle: Option<&()>) -> Result<Fields, StepFailure> {
        let decision = question::put(cx, self.message.clone(), self.timeout).await?;
        Ok(fields([("approved_by", json!(decision.by)), ("approved_at", json!(cx.clock.now())), ("reason", json!(decision.reason))]))
    }

    async fn compensate(&self, _cx: &StepContext<()>, _before: &(), _handle: Option<&()>) -> Result<(), StepFailure> {
        nothing_to_apply(&Self::INFO)
    }
}
