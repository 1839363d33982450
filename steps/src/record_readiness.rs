//! What a DNS record needs for a failover, for `wf check --live`: that it is there, that its pair is complete, that Route 53 watches the
//! primary, and that resolvers do not keep it for long. Knows nothing of what a step makes of the record.

use aws_sdk_route53::types::{HealthCheckConfig, HealthCheckType, ResourceRecordSetFailover};
use wf_engine::model::event::StepFailure;
use wf_engine::readiness::Check;
use wf_engine::step::StepContext;

use crate::aws::{Cloud, errors};
use crate::hosted_zone;
use crate::named_record::NamedRecord;
use crate::record_set::RecordSet;

/// Longer than this, resolvers hold users back for longer than the rest of a failover's last steps takes.
const TTL_SECS_MAX: i64 = 60;
/// The part of the health checkers that has to find an endpoint healthy, by Route 53's documentation, in percent.
const HEALTHY_PERCENT: usize = 18;

/// The records of a name and type, and the one of them that a step is about.
pub(crate) struct Found {
    pub(crate) check: Check,
    pub(crate) records: Vec<RecordSet>,
}

/// Finds the record of a step, and those beside it. With `create` there may be none.
pub(crate) async fn find(cx: &StepContext<Cloud>, named: NamedRecord<'_>, create: bool) -> Found {
    let check = Check::of("record", named).as_observed();
    let records = async {
        let zone_id = named.zone(cx).await?;
        named.find(cx, &zone_id, create).await?;
        hosted_zone::records(cx, &zone_id, named.record, named.kind).await
    };
    match records.await {
        Ok(records) => Found { check, records },
        Err(failure) => Found { check: check.fail_on::<()>(Err(failure)), records: Vec::new() },
    }
}

/// Checks the time to live of records. An alias of a load balancer has one of 60 s.
pub(crate) fn ttl(named: NamedRecord<'_>, records: &[RecordSet]) -> Check {
    let longest = records.iter().filter_map(|record| record.ttl).max().unwrap_or_default();
    Check::of("time to live", named).fail_if(
        longest > TTL_SECS_MAX,
        format!("{named} has a time to live of {longest} s: for so long users may be led to the old place"),
        format!(
            "`aws route53 change-resource-record-sets` with \"TTL\": {TTL_SECS_MAX}, {longest} s before a planned failover at the latest"
        ),
    )
}

/// Checks that the pair of failover records is complete. Records of another routing policy have none.
pub(crate) fn whole_pair(named: NamedRecord<'_>, records: &[RecordSet]) -> Option<Check> {
    records.iter().find(|record| record.failover.is_some())?;
    let has = |role| in_role(records, role).is_some();
    let missing = if has(ResourceRecordSetFailover::Primary) { "SECONDARY" } else { "PRIMARY" };
    Some(Check::of("failover pair", named).fail_if(
        !has(ResourceRecordSetFailover::Primary) || !has(ResourceRecordSetFailover::Secondary),
        format!("{} {} has no {missing} record: Route 53 has nowhere to move its users to", named.record, named.kind),
        format!(
            "`aws route53 change-resource-record-sets` with a record of the same name and type, a set identifier of its own and \"Failover\": \"{missing}\""
        ),
    ))
}

fn in_role(records: &[RecordSet], role: ResourceRecordSetFailover) -> Option<&RecordSet> {
    records.iter().find(|record| record.failover.as_deref() == Some(role.as_str()))
}

/// Checks the pair of failover records, and the health check of the primary one.
pub(crate) async fn pair(cx: &StepContext<Cloud>, named: NamedRecord<'_>, records: &[RecordSet]) -> Vec<Check> {
    let mut checks: Vec<_> = whole_pair(named, records).into_iter().collect();
    let primary = in_role(records, ResourceRecordSetFailover::Primary);
    let Some(primary) = primary else { return checks };
    let Some(id) = primary.health_check_id.as_deref() else {
        let watched = primary.alias.as_ref().is_some_and(|alias| alias.evaluate_target_health);
        let why = format!("the PRIMARY record of {} {} has no health check", named.record, named.kind);
        let fix = "\"HealthCheckId\" of a check of the application, made beforehand: a new one counts as healthy until it has been made";
        let attached = Check::of("health check", named);
        checks.push(attached.fail_if(!watched, format!("{why}: Route 53 takes it for healthy for ever"), fix).warn_if(
            watched,
            format!("{why}: Route 53 sees whether its load balancer has healthy targets, not whether the application serves"),
            fix,
        ));
        return checks;
    };
    checks.push(health(cx, id).await);
    checks
}

/// Checks that a health check counts as healthy.
async fn health(cx: &StepContext<Cloud>, id: &str) -> Check {
    let check = Check::of("health", format!("health check {id}"));
    let tells = format!("`aws route53 get-health-check-status --health-check-id {id}` tells what the health checkers see");
    match is_healthy(cx, id).await {
        Err(failure) => check.fail_on::<()>(Err(failure)),
        Ok(None) => check.warn_if(
            true,
            format!("whether health check {id} is healthy cannot be asked for: it watches no endpoint"),
            "look at the metric HealthCheckStatus in CloudWatch (us-east-1)",
        ),
        Ok(Some(healthy)) => check.fail_if(
            !healthy,
            format!("health check {id} of the PRIMARY record is unhealthy: Route 53 already answers with the SECONDARY one"),
            format!("if this is the outage, run the failover; otherwise mend what it watches: {tells}"),
        ),
    }
}

/// Tells whether a health check counts as healthy; `None` when Route 53 cannot say.
pub(crate) async fn is_healthy(cx: &StepContext<Cloud>, id: &str) -> Result<Option<bool>, StepFailure> {
    let config = config(cx, id).await?;
    if config.r#type != HealthCheckType::Calculated {
        return endpoint(cx, id, &config).await;
    }
    // The status of a calculated one cannot be asked for; those that it is calculated from are.
    let (mut healthy, mut unknown) = (0, 0);
    for child in config.child_health_checks() {
        match endpoint(cx, child, &self::config(cx, child).await?).await? {
            Some(is_healthy) => healthy += i32::from(is_healthy),
            None => unknown += 1,
        }
    }
    let threshold = config.health_threshold().unwrap_or_default();
    let known = unknown == 0 || healthy >= threshold;
    Ok(known.then(|| (healthy >= threshold) != config.inverted().unwrap_or_default()))
}

/// As [`is_healthy`], of a check that is not calculated.
async fn endpoint(cx: &StepContext<Cloud>, id: &str, config: &HealthCheckConfig) -> Result<Option<bool>, StepFailure> {
    let inverted = config.inverted().unwrap_or_default();
    // A disabled one is not made, and counts as healthy.
    if config.disabled().unwrap_or_default() {
        return Ok(Some(!inverted));
    }
    if matches!(config.r#type, HealthCheckType::Calculated | HealthCheckType::CloudwatchMetric | HealthCheckType::RecoveryControl) {
        return Ok(None);
    }
    let answer = cx.env.route53().get_health_check_status().health_check_id(id).send().await;
    let answer = answer.map_err(errors::reading("route53:GetHealthCheckStatus", format!("ask for the status of health check {id}")))?;
    let seen = answer.health_check_observations();
    let says = |start: &str| {
        let status = seen.iter().filter_map(|seen| seen.status_report()?.status());
        status.filter(|status| status.starts_with(start)).count()
    };
    let good = says("Success");
    Ok((!seen.is_empty()).then_some((good * 100 > seen.len() * HEALTHY_PERCENT) != inverted))
}

pub(crate) async fn config(cx: &StepContext<Cloud>, id: &str) -> Result<HealthCheckConfig, StepFailure> {
    let answer = cx.env.route53().get_health_check().health_check_id(id).send().await;
    let answer = answer.map_err(errors::reading("route53:GetHealthCheck", format!("look at health check {id}")))?;
    let config = answer.health_check.and_then(|check| check.health_check_config);
    config.ok_or_else(|| StepFailure::transient(format!("Route 53 says nothing of health check {id}")))
}
