//! The health checks of Route 53: reading them, and changing what an operator changes in a failover.

use super::{Answer, Call, Document, ServiceError};
use crate::world::dns::HealthCheck;
use crate::world::{World, timestamp};
use crate::xml::Element;

/// Answers a call about health checks.
pub(super) fn answer(world: &mut World, call: &Call, id: &str) -> Result<Answer, ServiceError> {
    match call.action.name {
        "ListHealthChecks" => {
            let checks = world.dns.health_checks.values().map(health_check);
            let result = Element::new("ListHealthChecksResponse").with_list("HealthChecks", checks);
            Ok(Answer::xml(result.with("Marker", "").with("IsTruncated", false).with("MaxItems", 100)))
        }
        "GetHealthCheck" => {
            let check = find_check(world, id)?;
            Ok(Answer::xml(Element::new("GetHealthCheckResponse").with_child(health_check(check))))
        }
        "GetHealthCheckStatus" => check_status(world, id),
        _ => update(world, call, id),
    }
}

fn find_check<'a>(world: &'a World, id: &str) -> Result<&'a HealthCheck, ServiceError> {
    world.dns.health_checks.get(id).ok_or_else(|| missing(id))
}

fn missing(id: &str) -> ServiceError {
    ServiceError::new("NoSuchHealthCheck", format!("A health check with id {id} does not exist.")).status(404)
}

fn health_check(check: &HealthCheck) -> Element {
    let config = if let Some(control) = &check.routing_control {
        Element::new("HealthCheckConfig").with("Type", "RECOVERY_CONTROL").with("RoutingControlArn", control)
    } else if check.children.is_empty() {
        Element::new("HealthCheckConfig")
            .with("Port", check.port)
            .with("Type", "HTTPS")
            .with("ResourcePath", &check.path)
            .with("FullyQualifiedDomainName", &check.fqdn)
            .with("RequestInterval", check.interval)
            .with("FailureThreshold", check.threshold)
            .with("MeasureLatency", false)
            .with("EnableSNI", true)
    } else {
        let children = check.children.iter().map(|id| {
            let mut child = Element::new("ChildHealthCheck");
            child.text = id.clone();
            child
        });
        let config = Element::new("HealthCheckConfig").with("Type", "CALCULATED").with("HealthThreshold", check.health_threshold);
        config.with_list("ChildHealthChecks", children)
    };
    let config = config.with("Inverted", check.inverted).with("Disabled", check.disabled);
    Element::new("HealthCheck")
        .with("Id", &check.id)
        .with("CallerReference", &check.name)
        .with_child(config)
        .with("HealthCheckVersion", check.version.max(1))
}

fn check_status(world: &World, id: &str) -> Result<Answer, ServiceError> {
    let check = find_check(world, id)?;
    if !check.children.is_empty() {
        return Err(ServiceError::new("InvalidInput", "The status of a calculated health check cannot be asked for."));
    }
    if check.routing_control.is_some() {
        return Err(ServiceError::new("InvalidInput", "The status of a health check of type RECOVERY_CONTROL cannot be asked for."));
    }
    let observe = |(region, address): (&str, &str)| {
        let report = Element::new("StatusReport").with("Status", &check.last).with("CheckedTime", timestamp(check.checked));
        Element::new("HealthCheckObservation").with("Region", region).with("IPAddress", address).with_child(report)
    };
    let observers = [("us-east-1", "15.177.2.10"), ("us-west-2", "15.177.14.10"), ("eu-west-1", "15.177.10.10")];
    let result = Element::new("GetHealthCheckStatusResponse");
    Ok(Answer::xml(result.with_list("HealthCheckObservations", observers.map(observe))))
}

/// Changes whether a check is inverted and whether it is disabled; nothing else of it.
fn update(world: &mut World, call: &Call, id: &str) -> Result<Answer, ServiceError> {
    let Document::Xml(document) = &call.document else {
        return Err(ServiceError::new("InvalidInput", "Unable to parse request"));
    };
    let flag = |name: &str| document.get(name).map(|text| text == "true");
    let minute = world.now.div_euclid(60_000);
    let check = world.dns.health_checks.get_mut(id).ok_or_else(|| missing(id))?;
    let expected = document.get("HealthCheckVersion").and_then(|text| text.parse::<u64>().ok());
    if expected.is_some_and(|expected| expected != check.version.max(1)) {
        return Err(ServiceError::new("HealthCheckVersionMismatch", "The health check was changed meanwhile.").status(409));
    }
    let (inverted, disabled) = (flag("Inverted").unwrap_or(check.inverted), flag("Disabled").unwrap_or(check.disabled));
    let effective = (inverted, disabled) != (check.inverted, check.disabled);
    if inverted != check.inverted {
        check.healthy = !check.healthy;
        check.history.push((minute, check.healthy));
    }
    (check.inverted, check.disabled) = (inverted, disabled);
    check.version = check.version.max(1) + u64::from(effective);
    let answer = Element::new("UpdateHealthCheckResponse").with_child(health_check(check));
    Ok(Answer::xml(answer).effective(effective))
}
