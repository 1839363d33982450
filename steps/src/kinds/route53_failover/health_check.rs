//! The way of `Route53Failover` that changes nothing: the ordinary health check of the primary record turns by itself when the primary is
//! down, and the step waits for what users are told.

use std::time::Duration;

use futures_util::future::join_all;
use wf_engine::model::event::{FailureKind, StepFailure};
use wf_engine::step::{Observed, StepContext};

use super::stop_object::{LOOKED_UP_WITHIN, Target, shown};
use super::{RecordBefore, Route53Failover};
use crate::aws::Cloud;
use crate::aws::name_server::Question;
use crate::aws::poll::{self, Look};
use crate::record_set::RecordSet;
use crate::{hosted_zone, record_readiness};

/// How long it usually takes: three checks of thirty seconds.
const TYPICAL: Duration = Duration::from_secs(90);

impl Route53Failover {
    /// Looks whether there is a health check that could turn, and who answers for the zone, as far as Route 53 says. In an outage it may
    /// say nothing; what the name servers answer counts anyway.
    pub(super) async fn observe_check(
        &self,
        cx: &StepContext<Cloud>,
        intent: Option<&RecordBefore>,
    ) -> Result<Observed<RecordBefore>, StepFailure> {
        if let Some(earlier) = intent {
            return Ok(Observed::Satisfied(earlier.clone()));
        }
        let found = tokio::select! {
            found = self.record_with_check(cx) => found,
            () = cx.sleep(LOOKED_UP_WITHIN) => Err(StepFailure::unreachable("Route 53 did not answer")),
        };
        match found {
            Ok(before) => Ok(Observed::Satisfied(before)),
            Err(failure) if failure.kind == FailureKind::Permanent && !failure.message.starts_with("failed to ") => Err(failure),
            Err(failure) => {
                cx.progress(format!("goes on without a look at the record: {}", failure.message));
                Ok(Observed::Satisfied(RecordBefore::new(String::new(), None)))
            }
        }
    }

    async fn record_with_check(&self, cx: &StepContext<Cloud>) -> Result<RecordBefore, StepFailure> {
        let named = self.named();
        let zone_id = named.zone(cx).await?;
        let record = named.find(cx, &zone_id, false).await?;
        let Some(check) = check_of(record.as_ref()) else {
            let failure = StepFailure::permanent(format!("{named} has no health check, so nothing moves its users by itself"));
            return Err(failure.hint("give the primary record a health check of its application beforehand, or use another `via`"));
        };
        if record_readiness::config(cx, check).await?.disabled().unwrap_or_default() {
            let failure = StepFailure::permanent(format!("health check {check} of {named} is disabled, so it never turns"));
            return Err(failure.hint("enable it beforehand, or use another `via`"));
        }
        let servers = hosted_zone::name_servers(cx, &zone_id).await?;
        Ok(RecordBefore { servers, ..RecordBefore::new(zone_id, record) })
    }

    /// Waits until the check counts as unhealthy, if Route 53 says, and the zone's name servers answer with where the record is to lead.
    pub(super) async fn turned(&self, cx: &StepContext<Cloud>, before: &RecordBefore) -> Result<(), StepFailure> {
        poll::until(cx, TYPICAL, |_| async move {
            if let Some(check) = check_of(before.record.as_ref())
                && is_healthy(cx, check).await
            {
                return Ok(Look::Waiting(format!("health check {check} to find the primary unhealthy; it counts as healthy")));
            }
            self.led_there(cx, &before.servers).await
        })
        .await
    }

    /// Looks whether all name servers that answer lead where the record is to lead.
    pub(super) async fn led_there(&self, cx: &StepContext<Cloud>, servers: &[String]) -> Result<Look<()>, StepFailure> {
        let (record, target) = (self.record.as_str(), Target::of(&self.to));
        let (wanted, answers) = (target.addresses(cx).await?, self.answers(cx, servers).await?);
        let elsewhere = answers.iter().find(|values| !values.iter().any(|value| wanted.contains(value)));
        Ok(match elsewhere {
            None => Look::Done(()),
            Some(values) => Look::Waiting(format!("name servers to answer for {record} with {target}; they answer with {}", shown(values))),
        })
    }

    /// Returns what each name server of the zone answers that answers at all; when none does, what this machine is told.
    async fn answers(&self, cx: &StepContext<Cloud>, servers: &[String]) -> Result<Vec<Vec<String>>, StepFailure> {
        let question = Question { name: &self.record, kind: &self.r#type, recursive: false };
        let answers = join_all(servers.iter().map(|server| cx.env.ask_name_server(server, question))).await;
        let answers: Vec<_> = answers.into_iter().flatten().collect();
        if answers.is_empty() { Ok(vec![cx.env.addresses(&self.record).await?]) } else { Ok(answers) }
    }
}

fn check_of(record: Option<&RecordSet>) -> Option<&str> {
    record.and_then(|record| record.health_check_id.as_deref())
}

/// Tells whether Route 53 counts the check as healthy. When it cannot be asked, only the answers count.
async fn is_healthy(cx: &StepContext<Cloud>, check: &str) -> bool {
    let said = tokio::select! {
        said = record_readiness::is_healthy(cx, check) => said.ok().flatten(),
        () = cx.sleep(LOOKED_UP_WITHIN) => None,
    };
    said.unwrap_or_default()
}
