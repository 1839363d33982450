//! `HttpCheck`: asks a web page as a user would, until it answered well several times in a row.

use std::time::Duration;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::json;
use wf_engine::clock::between;
use wf_engine::model::event::{FailureKind, Fields, StepFailure};
use wf_engine::step::{Field, FieldType, Iam, KindInfo, Observed, Rbac, Reversibility, StepContext, StepKind, fields, nothing_to_apply};
use wf_engine::units::Span;

use crate::aws::{Cloud, WebAnswer};

/// Asks a web page.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpCheck {
    /// The page.
    pub url: String,
    /// How many good answers in a row are needed.
    #[serde(default = "three")]
    pub successes: u32,
    /// The status of a good answer.
    #[serde(default = "ok")]
    pub expect_status: u16,
    /// What the body of a good answer contains.
    #[serde(default)]
    pub body_contains: Option<String>,
    /// The host to connect to.
    #[serde(default)]
    pub connect_to: Option<String>,
    /// The pause between two requests.
    #[serde(default = "five_seconds")]
    pub interval: Span,
    /// The limit of one request.
    #[serde(default = "five_seconds")]
    pub timeout: Span,
}

const fn three() -> u32 {
    3
}

const fn ok() -> u16 {
    200
}

const fn five_seconds() -> Span {
    Span::secs(5)
}

#[async_trait]
impl StepKind for HttpCheck {
    type Env = Cloud;
    type Before = ();
    type Handle = ();

    const INFO: KindInfo = KindInfo {
        name: "HttpCheck",
        summary: "asks a web page until it answered well several times in a row",
        example: r#"(id: "verify", run: HttpCheck(url: "https://app.company.com/health", successes: 3))"#,
        reversibility: Reversibility::ReadOnly,
        params: &[
            Field::new("url", FieldType::Text, "the page; its host is also the SNI and the Host header"),
            Field::new("successes", FieldType::Integer, "how many good answers in a row are needed; default 3"),
            Field::new("expect_status", FieldType::Integer, "the HTTP status of a good answer; default 200"),
            Field::new("body_contains", FieldType::Text, "what the first 4 KiB of a good answer's body contain; default: anything"),
            Field::new(
                "connect_to",
                FieldType::Text,
                "the host to connect to, such as a load balancer's own name; default: the host of `url`",
            ),
            Field::new("interval", FieldType::Text, "the pause between two requests; default \"5s\""),
            Field::new("timeout", FieldType::Text, "the limit of one request; default \"5s\""),
        ],
        outputs: &[
            Field::new("status", FieldType::Integer, "the HTTP status of the last answer"),
            Field::new("checked_at", FieldType::Text, "when it came, in UTC"),
            Field::new("response_ms", FieldType::Integer, "how long it took, in milliseconds"),
        ],
        before: &[],
        iam: Iam { read: &[], apply: &[], compensate: &[], ready: &[] },
        rbac: Rbac::NONE,
        facts: &[
            "`connect_to` goes to a load balancer's own name with the SNI and Host of `url`, whose certificate it has",
            "one bad answer starts the count anew; redirects are not followed",
            "after a DNS change the first answers may still come from the old side: the count in a row covers more than one of them",
        ],
        typical: Duration::from_secs(20),
        timeout: Duration::from_secs(10 * 60),
    };

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let url = self.url.parse::<http::Uri>().ok();
        if !url.is_some_and(|url| matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some()) {
            problems.push(format!("`{}` is not a URL such as \"https://app.company.com/health\"", self.url.escape_debug()));
        }
        if self.successes == 0 {
            problems.push("`successes` is 0, so nothing would be checked".to_owned());
        }
        if !(100..=599).contains(&self.expect_status) {
            problems.push(format!("`expect_status` {} is no HTTP status", self.expect_status));
        }
        if self.timeout.0.is_zero() {
            problems.push("`timeout` is zero: no answer could come in time".to_owned());
        }
        problems
    }

    async fn observe(&self, _cx: &StepContext<Cloud>, _intent: Option<&()>) -> Result<Observed<()>, StepFailure> {
        Ok(Observed::Satisfied(()))
    }

    async fn apply(&self, _cx: &StepContext<Cloud>, _before: &()) -> Result<(), StepFailure> {
        nothing_to_apply(&Self::INFO)
    }

    async fn settle(&self, cx: &StepContext<Cloud>, _before: &(), _handle: Option<&()>) -> Result<Fields, StepFailure> {
        let mut in_a_row = 0;
        loop {
            let asked_at = cx.clock.now();
            let answer = cx.env.get(&self.url, self.connect_to.as_deref(), self.timeout.0).await;
            match self.judge(answer)? {
                Ok(status) if in_a_row + 1 >= self.successes => {
                    let checked_at = cx.clock.now();
                    let took = u64::try_from(between(asked_at, checked_at).as_millis()).unwrap_or(u64::MAX);
                    return Ok(fields([("status", json!(status)), ("checked_at", json!(checked_at)), ("response_ms", json!(took))]));
                }
                Ok(_) => {
                    in_a_row += 1;
                    cx.progress(format!("{in_a_row}/{} ok", self.successes));
                }
                Err(reason) => {
                    in_a_row = 0;
                    cx.progress(format!("0/{} ok: {reason}", self.successes));
                }
            }
            cx.sleep(self.interval.0).await;
        }
    }

    async fn compensate(&self, _cx: &StepContext<Cloud>, _before: &(), _handle: Option<&()>) -> Result<(), StepFailure> {
        nothing_to_apply(&Self::INFO)
    }
}

impl HttpCheck {
    /// Returns the status of a good answer, or why it is a bad one. No answer is a bad one; a URL that cannot be asked at all
    /// fails the step.
    fn judge(&self, answer: Result<WebAnswer, StepFailure>) -> Result<Result<u16, String>, StepFailure> {
        let answer = match answer {
            Ok(answer) => answer,
            Err(failure) if failure.kind == FailureKind::Permanent => return Err(failure),
            Err(failure) => return Ok(Err(failure.message)),
        };
        if answer.status != self.expect_status {
            return Ok(Err(format!("status {} instead of {}", answer.status, self.expect_status)));
        }
        let body = String::from_utf8_lossy(&answer.body);
        let said = self.body_contains.as_ref().is_none_or(|text| body.contains(text.as_str()));
        Ok(if said { Ok(answer.status) } else { Err(format!("status {}, but its body does not say what it should", answer.status)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check() -> HttpCheck {
        serde_json::from_value(json!({ "url": "https://app.company.com/health", "body_contains": "ok" })).expect("valid")
    }

    #[test]
    fn a_good_answer_has_status_and_body() {
        let answer = |status, body: &str| Ok(WebAnswer { status, body: body.into() });
        let good = |answer| check().judge(answer).map(|judged| judged.is_ok());
        assert_eq!(good(answer(200, r#"{"status":"ok"}"#)), Ok(true));
        assert_eq!(good(answer(503, "ok")), Ok(false));
        assert_eq!(good(answer(200, "maintenance")), Ok(false));
        assert_eq!(good(Err(StepFailure::unreachable("refused"))), Ok(false));
        assert!(good(Err(StepFailure::permanent("not a URL"))).is_err());
    }

    #[test]
    fn nonsense_is_named() {
        let bad = HttpCheck { url: "app.company.com/health".into(), successes: 0, expect_status: 7, timeout: Span::secs(0), ..check() };
        assert_eq!(bad.problems().len(), 4);
        assert_eq!(check().problems(), Vec::<String>::new());
    }
}
