//! The way of `Route53Failover` by routing controls of Amazon Application Recovery Controller: the standby's control is set On and the primary's
//! Off, in one call to the data plane of the controls' cluster, whose endpoints are in five regions. The health checks of the records follow.

use std::time::Duration;

use aws_sdk_route53::types::{HealthCheckConfig, HealthCheckType};
use wf_engine::model::event::{FailureKind, StepFailure};
use wf_engine::readiness::Check;
use wf_engine::step::{Change, Observed, StepContext};

use super::stop_object::{LOOKED_UP_WITHIN, Watch};
use super::{RecordBefore, Route53Failover, Via};
use crate::aws::Cloud;
use crate::aws::poll::{self, Look};
use crate::aws::recovery_cluster::{Cluster, States, word};
use crate::named_record::NamedRecord;
use crate::record_set::RecordSet;
use crate::{hosted_zone, record_readiness};

/// How long it usually takes until a control that was set shows everywhere, and then until the name servers answer otherwise.
const SHOWN_TYPICALLY: Duration = Duration::from_secs(5);
const TYPICAL: Duration = Duration::from_secs(30);

/// The routing controls that move the users.
#[derive(Debug, Clone, Copy)]
pub(super) struct Controls<'a> {
    cluster: Cluster<'a>,
    on: &'a [String],
    off: &'a [String],
    overridden: &'a [String],
}

impl Controls<'_> {
    fn arns(&self) -> Vec<&str> {
        self.on.iter().chain(self.off).map(String::as_str).collect()
    }

    fn desired(&self) -> States {
        let on = self.on.iter().map(|arn| (arn.clone(), true));
        on.chain(self.off.iter().map(|arn| (arn.clone(), false))).collect()
    }

    /// Sets the controls as desired, and returns the region of the endpoint that took it.
    pub(super) async fn set(&self, cx: &StepContext<Cloud>) -> Result<String, StepFailure> {
        self.cluster.set(cx, &self.desired(), self.overridden).await.map(str::to_owned)
    }

    /// Sets the controls as they were before.
    pub(super) async fn restore(&self, cx: &StepContext<Cloud>, before: &RecordBefore) -> Result<(), StepFailure> {
        self.cluster.set(cx, &before.controls, self.overridden).await.map(drop)
    }

    pub(super) fn changes(&self, before: &RecordBefore) -> Vec<Change> {
        let now = |arn: &String| before.controls.get(arn).map_or("", |on| word(*on));
        self.desired().iter().map(|(arn, on)| Change::new(format!("routing control {arn}"), now(arn), word(*on))).collect()
    }

    /// Tells whether a health check follows one of the controls, itself or one that it is calculated from.
    fn judge(&self, check: &str, configs: &[HealthCheckConfig]) -> Watch {
        let control = |config: &HealthCheckConfig| {
            (config.r#type == HealthCheckType::RecoveryControl).then(|| config.routing_control_arn().unwrap_or_default().to_owned())
        };
        let ours = configs.iter().find(|config| control(config).is_some_and(|arn| self.on.contains(&arn) || self.off.contains(&arn)));
        match (ours, configs.iter().find_map(control)) {
            (Some(config), Some(arn)) if config.disabled().unwrap_or_default() => {
                Watch::Not(format!("health check {check} follows {arn}, but is disabled"))
            }
            (Some(config), Some(arn)) if config.inverted().unwrap_or_default() => {
                Watch::Not(format!("health check {check} follows {arn}, but is inverted: it would move the users the other way"))
            }
            (Some(_), _) => Watch::AsItShould,
            (None, Some(other)) => Watch::Not(format!("health check {check} follows {other}, which the step does not set")),
            (None, None) => Watch::Not(format!("health check {check} follows no routing control")),
        }
    }
}

impl Route53Failover {
    /// Returns the controls that move the users.
    pub(super) fn controls(&self) -> Option<Controls<'_>> {
        match &self.via {
            Via::RecordEdit | Via::HealthCheck | Via::StopObject { .. } => None,
            Via::RoutingControl { endpoints, on, off, override_safety_rules } => {
                Some(Controls { cluster: Cluster(endpoints), on, off, overridden: override_safety_rules })
            }
        }
    }

    /// Looks whether the controls are as desired, and whether they would move anybody, as far as Route 53 says.
    pub(super) async fn observe_controls(
        &self,
        cx: &StepContext<Cloud>,
        controls: Controls<'_>,
        intent: Option<&RecordBefore>,
    ) -> Result<Observed<RecordBefore>, StepFailure> {
        let looked_up = async {
            match intent {
                Some(earlier) => Ok(earlier.clone()),
                None => self.before_controls(cx, controls).await,
            }
        };
        // What the controls are is to be known in any case; the record is worth no wait after it.
        let arns = controls.arns();
        let (states, before) = tokio::join!(controls.cluster.states(cx, &arns), looked_up);
        let (states, mut before) = (states?, before?);
        let as_desired = states == controls.desired();
        if intent.is_none() {
            before.controls = states;
        }
        Ok(if as_desired { Observed::Satisfied(before) } else { Observed::Differs(before) })
    }

    /// Reads what the step needs besides the states: the record, and who answers for the zone.
    async fn before_controls(&self, cx: &StepContext<Cloud>, controls: Controls<'_>) -> Result<RecordBefore, StepFailure> {
        let seen = async {
            let Some((zone, record)) = self.controlled_record(cx, controls).await? else { return Ok::<_, StepFailure>(None) };
            let servers = hosted_zone::name_servers(cx, &zone).await.unwrap_or_default();
            Ok(Some(RecordBefore { servers, ..RecordBefore::new(zone, record) }))
        };
        let seen = tokio::select! {
            seen = seen => seen?,
            () = cx.sleep(LOOKED_UP_WITHIN) => None,
        };
        Ok(seen.unwrap_or_else(|| RecordBefore::new(String::new(), None)))
    }

    /// Reads the record whose health check follows one of the controls, with its zone; `None` when Route 53 does not say.
    async fn controlled_record(
        &self,
        cx: &StepContext<Cloud>,
        controls: Controls<'_>,
    ) -> Result<Option<(String, Option<RecordSet>)>, StepFailure> {
        let hint = "the health check of the record, or one that it is calculated from, has to be of type RECOVERY_CONTROL and follow a control that `on` or `off` names; or use another `via`";
        self.watched_record(cx, "the routing controls", hint, |check, configs| controls.judge(check, configs)).await
    }

    /// Waits until the controls show as they were set, and then until name servers answer with where the record is to lead.
    pub(super) async fn controlled(&self, cx: &StepContext<Cloud>, controls: Controls<'_>, servers: &[String]) -> Result<(), StepFailure> {
        let (arns, desired) = (&controls.arns(), &controls.desired());
        poll::until(cx, SHOWN_TYPICALLY, |_| async move {
            let states = controls.cluster.states(cx, arns).await?;
            let other = desired.iter().find(|(arn, on)| states.get(*arn) != Some(on));
            Ok(match other {
                None => Look::Done(()),
                Some((arn, on)) => Look::Waiting(format!("routing control {arn} to be {}; it is {}", word(*on), word(!*on))),
            })
        })
        .await?;
        poll::until(cx, TYPICAL, |_| self.led_there(cx, servers)).await
    }

    /// Checks that the record follows the controls, and that each endpoint tells their states.
    pub(super) async fn controls_readiness(
        &self,
        cx: &StepContext<Cloud>,
        named: NamedRecord<'_>,
        controls: Controls<'_>,
        records: &[RecordSet],
    ) -> Vec<Check> {
        let followed = self.controlled_record(cx, controls).await;
        let followed = followed.and_then(|seen| {
            seen.ok_or_else(|| StepFailure::unreachable(format!("Route 53 does not say what the health check of {named} follows")))
        });
        let mut checks = vec![Check::of("routing control", named).as_observed().fail_on(followed)];
        checks.extend(record_readiness::whole_pair(named, records));
        let answers = controls.cluster.states_everywhere(&cx.env, &controls.arns()).await;
        let some_answer = answers.iter().any(|(_, states)| states.is_ok());
        for (endpoint, states) in answers {
            let check = Check::of("ARC endpoint", format!("{} in {}", endpoint.url, endpoint.region));
            checks.push(match states {
                Ok(_) => check,
                Err(failure) if some_answer && failure.kind != FailureKind::Permanent => check.warn_if(true, failure.message, AWAY),
                Err(failure) => check.fail_on::<()>(Err(failure)),
            });
        }
        checks
    }
}

/// What to do about one endpoint.
const AWAY: &str = "nothing while others answer, as a failover asks them one after the other and AWS takes them away in turn; one that stays away: compare it with what `aws route53-recovery-control-config describe-cluster --region us-west-2` names";

#[cfg(test)]
mod tests {
    use super::*;

    const ON: &str = "arn:aws:route53-recovery-control::123456789012:controlpanel/p/routingcontrol/west";
    const OFF: &str = "arn:aws:route53-recovery-control::123456789012:controlpanel/p/routingcontrol/east";

    fn config(follows: Option<&str>, inverted: bool, disabled: bool) -> HealthCheckConfig {
        let kind = if follows.is_some() { HealthCheckType::RecoveryControl } else { HealthCheckType::Https };
        let config = HealthCheckConfig::builder().r#type(kind).set_routing_control_arn(follows.map(str::to_owned));
        config.inverted(inverted).disabled(disabled).build().expect("complete")
    }

    #[test]
    fn only_a_check_that_follows_a_control_of_the_step_moves_the_users() {
        let (on, off) = ([ON.to_owned()], [OFF.to_owned()]);
        let controls = Controls { cluster: Cluster(&[]), on: &on, off: &off, overridden: &[] };
        let judged = |configs: &[HealthCheckConfig]| controls.judge("hc", configs);
        for arn in [ON, OFF] {
            assert_eq!(judged(&[config(Some(arn), false, false)]), Watch::AsItShould);
            assert_eq!(judged(&[config(None, false, false), config(Some(arn), false, false)]), Watch::AsItShould);
        }
        for (config, why) in [
            (config(Some(OFF), true, false), "is inverted"),
            (config(Some(OFF), false, true), "is disabled"),
            (config(Some("arn:other"), false, false), "follows arn:other, which the step does not set"),
            (config(None, false, false), "follows no routing control"),
        ] {
            assert!(matches!(judged(&[config]), Watch::Not(said) if said.contains(why)), "{why}");
        }
    }
}
