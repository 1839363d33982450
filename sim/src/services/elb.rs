//! Elastic Load Balancing v2, query protocol of 2015-12-01: load balancers, target groups, target health.

use super::{Answer, Call, Params, ServiceError};
use crate::world::app::{LoadBalancer, TargetGroup};
use crate::world::autoscaling::{Instance, Lifecycle};
use crate::world::{Region, World, timestamp};
use crate::xml::Element;

/// Answers an ELBv2 call.
pub(super) fn answer(world: &mut World, call: &Call) -> Result<Answer, ServiceError> {
    let (region, params) = (call.region.as_str(), &call.params);
    let empty = Region::default();
    let here = world.region(region).unwrap_or(&empty);
    match call.action.name {
        "DescribeLoadBalancers" => load_balancers(here, params),
        "DescribeTargetGroups" => target_groups(here, params),
        "DescribeListeners" => listeners(here, params),
        "DescribeListenerCertificates" => listener_certificates(here, params),
        _ => target_health(here, params),
    }
}

/// Keeps what is asked for by name or ARN; everything if nothing is. A name that is not there is an error.
fn select<'a, T>(
    all: Vec<&'a T>,
    params: &Params,
    lists: (&str, &str),
    keys: impl Fn(&T) -> (&str, &str),
    missing: &str,
) -> Result<Vec<&'a T>, ServiceError> {
    let (names, arns) = (params.list(lists.0), params.list(lists.1));
    if names.is_empty() && arns.is_empty() {
        return Ok(all);
    }
    let mut found = Vec::new();
    for wanted in names.iter().chain(&arns) {
        let item = all.iter().find(|item| keys(item).0 == *wanted || keys(item).1 == *wanted);
        found.push(*item.ok_or_else(|| ServiceError::new(missing, format!("One or more of '{wanted}' not found")))?);
    }
    Ok(found)
}

fn load_balancers(region: &Region, params: &Params) -> Result<Answer, ServiceError> {
    let all: Vec<&LoadBalancer> = region.load_balancers.values().collect();
    let found = select(all, params, ("Names.member", "LoadBalancerArns.member"), |l| (&l.name, &l.arn), "LoadBalancerNotFound")?;
    let members = found.into_iter().map(|l| {
        Element::new("member")
            .with("LoadBalancerArn", &l.arn)
            .with("DNSName", &l.dns_name)
            .with("CanonicalHostedZoneId", &l.zone_id)
            .with("CreatedTime", timestamp(l.created))
            .with("LoadBalancerName", &l.name)
            .with("Scheme", "internet-facing")
            .with_child(Element::new("State").with("Code", "active"))
            .with("Type", "application")
            .with("IpAddressType", "ipv4")
    });
    Ok(Answer::xml(Element::new("DescribeLoadBalancersResult").with_list("LoadBalancers", members)))
}

/// The ARN of a listener, by its port.
fn listener_arn(balancer: &LoadBalancer, port: u16) -> String {
    format!("{}/{port:016x}", balancer.arn.replacen(":loadbalancer/", ":listener/", 1))
}

fn listeners(region: &Region, params: &Params) -> Result<Answer, ServiceError> {
    let arn = params.require("LoadBalancerArn", "ValidationError")?;
    let missing = || ServiceError::new("LoadBalancerNotFound", "One or more load balancers not found");
    let balancer = region.load_balancers.values().find(|l| l.arn == arn).ok_or_else(missing)?;
    let forward = balancer
        .target_groups
        .iter()
        .filter_map(|name| region.target_groups.get(name))
        .map(|group| Element::new("member").with("Type", "forward").with("TargetGroupArn", &group.arn));
    let certificate = balancer.certificate.as_ref();
    let (protocol, port) = if certificate.is_some() { ("HTTPS", 443) } else { ("HTTP", 80) };
    let shown = certificate.map(|shown| Element::new("member").with("CertificateArn", &shown.arn));
    let listener = Element::new("member")
        .with("ListenerArn", listener_arn(balancer, port))
        .with("LoadBalancerArn", &balancer.arn)
        .with("Port", port)
        .with("Protocol", protocol)
        .with_list("Certificates", shown)
        .with_list("DefaultActions", forward);
    Ok(Answer::xml(Element::new("DescribeListenersResult").with_list("Listeners", [listener])))
}

fn listener_certificates(region: &Region, params: &Params) -> Result<Answer, ServiceError> {
    let arn = params.require("ListenerArn", "ValidationError")?;
    let missing = || ServiceError::new("ListenerNotFound", "One or more listeners not found");
    let shown = region.load_balancers.values().find_map(|l| l.certificate.as_ref().filter(|_| listener_arn(l, 443) == arn));
    let shown = shown.ok_or_else(missing)?;
    let member = Element::new("member").with("CertificateArn", &shown.arn).with("IsDefault", true);
    Ok(Answer::xml(Element::new("DescribeListenerCertificatesResult").with_list("Certificates", [member])))
}

fn target_groups(region: &Region, params: &Params) -> Result<Answer, ServiceError> {
    let mut all: Vec<&TargetGroup> = region.target_groups.values().collect();
    let users =
        |t: &TargetGroup| -> Vec<&LoadBalancer> { region.load_balancers.values().filter(|l| l.target_groups.contains(&t.name)).collect() };
    if let Some(arn) = params.get("LoadBalancerArn") {
        if !region.load_balancers.values().any(|l| l.arn == arn) {
            return Err(ServiceError::new("LoadBalancerNotFound", format!("Load balancer '{arn}' not found")));
        }
        all.retain(|t| users(t).iter().any(|l| l.arn == arn));
    }
    let found = select(all, params, ("Names.member", "TargetGroupArns.member"), |t| (&t.name, &t.arn), "TargetGroupNotFound")?;
    let members = found.into_iter().map(|t| {
        let arns = users(t).into_iter().map(|l| Element { name: "member".to_owned(), text: l.arn.clone(), children: Vec::new() });
        Element::new("member")
            .with("TargetGroupArn", &t.arn)
            .with("TargetGroupName", &t.name)
            .with("Protocol", "HTTP")
            .with("Port", 80)
            .with("HealthCheckProtocol", "HTTP")
            .with("HealthCheckPort", "traffic-port")
            .with("HealthCheckEnabled", true)
            .with("HealthCheckIntervalSeconds", 30)
            .with("HealthCheckTimeoutSeconds", 5)
            .with("HealthyThresholdCount", 2)
            .with("UnhealthyThresholdCount", 2)
            .with("HealthCheckPath", "/health")
            .with_child(Element::new("Matcher").with("HttpCode", 200))
            .with_list("LoadBalancerArns", arns)
            .with("TargetType", "instance")
    });
    Ok(Answer::xml(Element::new("DescribeTargetGroupsResult").with_list("TargetGroups", members)))
}

fn target_health(region: &Region, params: &Params) -> Result<Answer, ServiceError> {
    let arn = params.require("TargetGroupArn", "ValidationError")?;
    if !(arn.starts_with("arn:") && arn.contains(":targetgroup/")) {
        return Err(ServiceError::new("ValidationError", format!("'{arn}' is not a valid target group ARN")));
    }
    let found = region.target_groups.values().find(|t| t.arn == arn);
    let group = found.ok_or_else(|| ServiceError::new("TargetGroupNotFound", "One or more target groups not found"))?;
    let wanted = params.pairs("Targets.member", "Id", "Port");
    let groups = region.groups.values().filter(|g| g.target_groups.contains(&group.name));
    let registered = groups.flat_map(|g| &g.instances).filter(|i| !matches!(i.state, Lifecycle::Pending { .. }));
    let members = registered.filter(|i| wanted.is_empty() || wanted.iter().any(|(id, _)| *id == i.id)).map(health);
    Ok(Answer::xml(Element::new("DescribeTargetHealthResult").with_list("TargetHealthDescriptions", members)))
}

fn health(instance: &Instance) -> Element {
    let (state, reason, description) = match (instance.state, instance.health.healthy) {
        (Lifecycle::Terminating { .. }, _) => {
            ("draining", Some("Target.DeregistrationInProgress"), Some("Target deregistration is in progress"))
        }
        (_, None) => ("initial", Some("Elb.InitialHealthChecking"), Some("Initial health checks in progress")),
        (_, Some(true)) => ("healthy", None, None),
        (_, Some(false)) => ("unhealthy", Some("Target.ResponseCodeMismatch"), Some("Health checks failed with these codes: [503]")),
    };
    let target = Element::new("Target").with("Id", &instance.id).with("Port", 80).with("AvailabilityZone", &instance.zone);
    let health = Element::new("TargetHealth").with("State", state).with_some("Reason", reason).with_some("Description", description);
    Element::new("member").with_child(target).with("HealthCheckPort", 80).with_child(health)
}
