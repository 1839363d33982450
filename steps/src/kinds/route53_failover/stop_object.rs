//! The way of `Route53Failover` that needs nothing of Route 53's control plane: standby takes over primary. The record's health check is
//! an inverted one that watches an object in the standby region; the object's coming moves the users, its going lets them back.

use std::time::Duration;

use aws_sdk_route53::types::HealthCheckConfig;
use wf_engine::model::event::{FailureKind, StepFailure};
use wf_engine::step::{Observed, StepContext};

use super::{Destination, RecordBefore, Route53Failover, Via};
use crate::aws::Cloud;
use crate::aws::object::Object;
use crate::aws::poll::{self, Look};
use crate::record_readiness;
use crate::record_set::{RecordSet, canonical};

/// How long Route 53 is asked for the record and its health check: worth knowing where a plan is tried out, and no reason to wait in an
/// outage.
pub(super) const LOOKED_UP_WITHIN: Duration = Duration::from_secs(15);
/// How long it usually takes until the name servers answer otherwise: three checks of ten or thirty seconds, and a resolver's minute.
const TYPICAL: Duration = Duration::from_secs(60);
/// How long an answer about the object may take for whoever nobody knows.
const READ_WITHIN: Duration = Duration::from_secs(10);

/// What the record's health check was found to be.
#[derive(Debug, PartialEq)]
pub(super) enum Watch {
    /// It follows what moves the users.
    AsItShould,
    /// It does not, for this reason: nobody would be moved.
    Not(String),
    /// Route 53 did not say.
    Unknown(String),
}

/// Asks Route 53 what a health check is, and those that it is calculated from, and judges them.
async fn watch(cx: &StepContext<Cloud>, check: &str, judge: impl Fn(&str, &[HealthCheckConfig]) -> Watch) -> Watch {
    let asked = async {
        let mut configs = vec![record_readiness::config(cx, check).await?];
        for child in configs[0].child_health_checks().to_vec() {
            configs.push(record_readiness::config(cx, &child).await?);
        }
        Ok::<_, StepFailure>(configs)
    };
    match asked.await {
        Err(failure) => Watch::Unknown(failure.message),
        Ok(configs) => judge(check, &configs),
    }
}

fn judge(check: &str, configs: &[HealthCheckConfig], object: Object<'_>) -> Watch {
    let watches = |config: &&HealthCheckConfig| {
        let (host, path) = (config.fully_qualified_domain_name().unwrap_or_default(), config.resource_path().unwrap_or_default());
        canonical(host) == object.host() && path.trim_start_matches('/') == object.key
    };
    match configs.iter().find(watches) {
        Some(config) if config.disabled().unwrap_or_default() => {
            Watch::Not(format!("health check {check} watches {object}, but is disabled"))
        }
        Some(config) if !config.inverted().unwrap_or_default() => {
            Watch::Not(format!("health check {check} watches {object}, but is not inverted: it would move the users when the object goes"))
        }
        Some(_) => Watch::AsItShould,
        None => Watch::Not(format!("health check {check} does not watch {object} at {}", object.host())),
    }
}

/// Puts the object, or takes it away. S3 shows it at once.
pub(super) async fn switch(cx: &StepContext<Cloud>, object: Object<'_>, present: bool) -> Result<(), StepFailure> {
    match present {
        true => object.put(&cx.env, &format!("wf run {} step {}\n", cx.run, cx.step)).await,
        false => object.delete(&cx.env).await,
    }
}

impl Route53Failover {
    /// Returns the object that moves the users, and whether it is to be there.
    pub(super) fn object(&self) -> Option<(Object<'_>, bool)> {
        match &self.via {
            Via::RecordEdit | Via::HealthCheck | Via::RoutingControl { .. } => None,
            Via::StopObject { bucket, key, region, present } => Some((Object { bucket, key, region }, *present)),
        }
    }

    /// Looks whether the object is as desired, and whether it would move anybody, as far as Route 53 says.
    pub(super) async fn observe_object(
        &self,
        cx: &StepContext<Cloud>,
        object: Object<'_>,
        present: bool,
        intent: Option<&RecordBefore>,
    ) -> Result<Observed<RecordBefore>, StepFailure> {
        let there = object.is_there(&cx.env).await?;
        let before = match intent {
            Some(earlier) => earlier.clone(),
            None => {
                let seen = tokio::select! {
                    seen = self.record_of_object(cx, object) => seen?,
                    () = cx.sleep(LOOKED_UP_WITHIN) => None,
                };
                let (zone, record) = seen.unwrap_or_default();
                RecordBefore { object: Some(there), ..RecordBefore::new(zone, record) }
            }
        };
        Ok(if there == present { Observed::Satisfied(before) } else { Observed::Differs(before) })
    }

    /// Reads the record whose health check watches the object, with its zone; `None` when Route 53 does not say.
    pub(super) async fn record_of_object(
        &self,
        cx: &StepContext<Cloud>,
        object: Object<'_>,
    ) -> Result<Option<(String, Option<RecordSet>)>, StepFailure> {
        let hint = "the health check of the primary record, or one that it is calculated from, has to watch the object and be inverted; or use `via: RecordEdit`";
        self.watched_record(cx, "the object", hint, |check, configs| judge(check, configs, object)).await
    }

    /// Reads the record, whose health check has to follow what moves the users, with its zone; `None` when Route 53 does not say. One that does
    /// not is a failure: nobody would be moved.
    pub(super) async fn watched_record(
        &self,
        cx: &StepContext<Cloud>,
        mover: &str,
        hint: &str,
        judge: impl Fn(&str, &[HealthCheckConfig]) -> Watch,
    ) -> Result<Option<(String, Option<RecordSet>)>, StepFailure> {
        let named = self.named();
        let looked_up = async {
            let zone_id = named.zone(cx).await?;
            let record = named.find(cx, &zone_id, false).await?;
            Ok::<_, StepFailure>((zone_id, record))
        };
        let (zone_id, record) = match looked_up.await {
            Ok(found) => found,
            // That Route 53 may not be asked is no reason either: it is not needed to move the users.
            Err(failure) if failure.kind == FailureKind::Permanent && !failure.message.starts_with("failed to ") => return Err(failure),
            Err(failure) => {
                cx.progress(format!("goes on without a look at the record: {}", failure.message));
                return Ok(None);
            }
        };
        let check = record.as_ref().and_then(|record| record.health_check_id.as_deref());
        let watch = match check {
            Some(check) => watch(cx, check, judge).await,
            None => Watch::Not(format!("{named} has no health check")),
        };
        match watch {
            Watch::AsItShould => {}
            Watch::Unknown(why) => cx.progress(format!("goes on without a look at the health check: {why}")),
            Watch::Not(why) => {
                return Err(StepFailure::permanent(format!("{mover} would not move {named}: {why}")).hint(hint));
            }
        }
        Ok(Some((zone_id, record)))
    }

    /// Waits until the name servers answer with an address of where the record is to lead. What they answer is what the users get; neither
    /// the object nor a health check is. An object that is to be there has to be one that health checkers may read.
    pub(super) async fn moved(&self, cx: &StepContext<Cloud>, object: Option<Object<'_>>) -> Result<(), StepFailure> {
        let (record, target) = (self.record.as_str(), &Target::of(&self.to));
        poll::until(cx, TYPICAL, |_| async move {
            if let Some(object) = object {
                let answer = cx.env.get(&object.url(&cx.env), None, READ_WITHIN).await?;
                if answer.status != 200 {
                    let wants = "health checkers may not read the object: its bucket has to allow everybody s3:GetObject on it";
                    return Ok(Look::Waiting(format!("{wants} (HTTP {})", answer.status)));
                }
            }
            let (now, wanted) = (cx.env.addresses(record).await?, target.addresses(cx).await?);
            Ok(match now.iter().any(|address| wanted.contains(address)) {
                true => Look::Done(()),
                false => Look::Waiting(format!("name servers to answer for {record} with {target}; they answer with {}", shown(&now))),
            })
        })
        .await
    }
}

pub(super) fn shown(addresses: &[String]) -> String {
    if addresses.is_empty() { "nothing".to_owned() } else { addresses.join(", ") }
}

/// Where the users are to go.
pub(super) enum Target<'a> {
    /// To the addresses that this name has.
    Name(&'a str),
    /// To one of these.
    Values(&'a [String]),
}

impl<'a> Target<'a> {
    pub(super) fn of(to: &'a Destination) -> Self {
        match to {
            Destination::Alias { dns_name, .. } => Self::Name(dns_name),
            Destination::Values { values, .. } => Self::Values(values),
        }
    }

    pub(super) async fn addresses(&self, cx: &StepContext<Cloud>) -> Result<Vec<String>, StepFailure> {
        match self {
            Self::Name(name) => cx.env.addresses(name.trim_end_matches('.')).await,
            Self::Values(values) => Ok(values.to_vec()),
        }
    }
}

impl std::fmt::Display for Target<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name) => write!(f, "an address of {name}"),
            Self::Values(values) => write!(f, "{}", values.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_route53::types::HealthCheckType;

    use super::*;

    const OBJECT: Object<'static> = Object { bucket: "dr-switch", key: "failover/app", region: "us-west-2" };

    fn config(path: &str, inverted: bool, disabled: bool) -> HealthCheckConfig {
        let config = HealthCheckConfig::builder().r#type(HealthCheckType::Https).resource_path(path).inverted(inverted).disabled(disabled);
        config.fully_qualified_domain_name("dr-switch.s3.us-west-2.amazonaws.com").build().expect("complete")
    }

    #[test]
    fn only_an_inverted_check_that_watches_the_object_moves_the_users() {
        let judged = |configs: &[HealthCheckConfig]| judge("hc", configs, OBJECT);
        let other = config("/other", true, false);
        assert_eq!(judged(&[other.clone(), config("/failover/app", true, false)]), Watch::AsItShould);
        for (config, why) in [
            (config("/failover/app", false, false), "not inverted"),
            (config("/failover/app", true, true), "is disabled"),
            (other, "does not watch s3://dr-switch/failover/app"),
        ] {
            assert!(matches!(judged(&[config]), Watch::Not(said) if said.contains(why)), "{why}");
        }
    }
}
