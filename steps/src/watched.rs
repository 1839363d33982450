//! What AWS itself calls the things that steps name: for whoever watches them. Read-only.

use wf_engine::model::event::StepFailure;
use wf_engine::step::StepContext;

use crate::aws::Cloud;
use crate::hosted_zone;
use crate::kinds::elb_wait_targets_healthy::ElbWaitTargetsHealthy;
use crate::named_record::NamedRecord;
use crate::record_readiness;

/// A target group, as CloudWatch names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Targets {
    /// The target group.
    pub group: String,
    /// The load balancers that use it.
    pub load_balancers: Vec<String>,
    /// How many targets it has.
    pub registered: u32,
}

/// Finds a target group by its name or ARN.
///
/// # Errors
/// When there is none, or nobody answered.
pub async fn targets(cx: &StepContext<Cloud>, region: &str, group: &str) -> Result<Targets, StepFailure> {
    let wanted = ElbWaitTargetsHealthy { target_group: group.to_owned(), region: region.to_owned(), min_healthy: None, min_percent: None };
    let (arn, balancers) = wanted.find(cx).await?;
    let after = |arn: &str, start: &str| arn.split_once(start).map_or_else(|| arn.to_owned(), |(_, name)| name.to_owned());
    Ok(Targets {
        registered: wanted.registered(cx, &arn).await?,
        group: format!("targetgroup/{}", after(&arn, ":targetgroup/")),
        load_balancers: balancers.iter().map(|arn| after(arn, ":loadbalancer/")).collect(),
    })
}

/// Returns the health check of the PRIMARY record of a name and type; `None` when there is no such record, or it has none.
///
/// # Errors
/// When the zone is not there, or nobody answered.
pub async fn health_check(
    cx: &StepContext<Cloud>,
    (zone, zone_id, private): (&str, Option<&str>, bool),
    (record, kind): (&str, &str),
) -> Result<Option<String>, StepFailure> {
    let named = NamedRecord { zone, zone_id, private, record, kind, set_identifier: None };
    let zone_id = named.zone(cx).await?;
    let records = hosted_zone::records(cx, &zone_id, record, kind).await?;
    Ok(records.into_iter().find(|record| record.failover.as_deref() == Some("PRIMARY")).and_then(|record| record.health_check_id))
}

/// Tells whether a health check counts as healthy; `None` when Route 53 cannot say.
///
/// # Errors
/// When there is none, or nobody answered.
pub async fn is_healthy(cx: &StepContext<Cloud>, health_check: &str) -> Result<Option<bool>, StepFailure> {
    record_readiness::is_healthy(cx, health_check).await
}
