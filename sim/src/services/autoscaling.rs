//! EC2 Auto Scaling, query protocol of 2011-01-01: groups, their capacity, their activities.

use super::{Answer, Call, Params, ServiceError};
use crate::world::autoscaling::{Activity, Group, Instance, Lifecycle};
use crate::world::ec2::launch_template_id;
use crate::world::{World, hash, timestamp};
use crate::xml::Element;

const VALIDATION: &str = "ValidationError";
/// Groups and activities on a page, unless asked for fewer.
const PAGE: usize = 50;

/// Answers an Auto Scaling call.
pub(super) fn answer(world: &mut World, call: &Call) -> Result<Answer, ServiceError> {
    let (region, params) = (call.region.as_str(), &call.params);
    match call.action.name {
        "DescribeAutoScalingGroups" => describe(world, region, params),
        // No group here has one: they are of the past.
        "DescribeLaunchConfigurations" => {
            Ok(Answer::xml(Element::new("DescribeLaunchConfigurationsResult").with_list("LaunchConfigurations", [])))
        }
        "DescribeScalingActivities" => activities(world, region, params),
        "UpdateAutoScalingGroup" => update(world, region, params),
        _ => set_desired(world, region, params),
    }
}

fn invalid(message: impl Into<String>) -> ServiceError {
    ServiceError::new(VALIDATION, message)
}

fn find<'a>(world: &'a World, region: &str, name: &str) -> Result<&'a Group, ServiceError> {
    let found = world.region(region).and_then(|r| r.groups.get(name));
    found.ok_or_else(|| invalid(format!("AutoScalingGroup name not found - no such group: {name}")))
}

/// Cuts a page out of a list: the items, and the token of the next page.
fn page<T>(items: Vec<T>, params: &Params) -> Result<(Vec<T>, Option<String>), ServiceError> {
    let size = match params.number("MaxRecords", VALIDATION)? {
        Some(n @ 1..=100) => n.unsigned_abs() as usize,
        Some(n) => return Err(invalid(format!("MaxRecords {n} is not between 1 and 100"))),
        None => PAGE,
    };
    let start = match params.get("NextToken") {
        Some(token) => token.parse::<usize>().map_err(|_| ServiceError::new("InvalidNextToken", "The token is not valid"))?,
        None => 0,
    };
    let next = start.saturating_add(size);
    let more = (items.len() > next).then(|| next.to_string());
    Ok((items.into_iter().skip(start).take(size).collect(), more))
}

fn describe(world: &World, region: &str, params: &Params) -> Result<Answer, ServiceError> {
    let names = params.list("AutoScalingGroupNames.member");
    let all = world.region(region).into_iter().flat_map(|r| r.groups.values());
    let wanted: Vec<&Group> = all.filter(|g| names.is_empty() || names.contains(&g.name.as_str())).collect();
    let (groups, token) = page(wanted, params)?;
    let groups: Vec<Element> = groups.into_iter().map(|g| render(world, region, g)).collect();
    let result = Element::new("DescribeAutoScalingGroupsResult").with_list("AutoScalingGroups", groups);
    Ok(Answer::xml(result.with_some("NextToken", token)))
}

fn activities(world: &World, region: &str, params: &Params) -> Result<Answer, ServiceError> {
    let ids = params.list("ActivityIds.member");
    let groups: Vec<&Group> = match params.get("AutoScalingGroupName") {
        Some(name) => vec![find(world, region, name)?],
        None => world.region(region).into_iter().flat_map(|r| r.groups.values()).collect(),
    };
    let mut all: Vec<(&str, &Activity)> = groups
        .iter()
        .flat_map(|g| g.activities.iter().map(|a| (g.name.as_str(), a)))
        .filter(|(_, a)| ids.is_empty() || ids.contains(&a.id.as_str()))
        .collect();
    // Newest first; within a group they are so already.
    all.sort_by_key(|(_, a)| std::cmp::Reverse(a.started));
    let (shown, token) = page(all, params)?;
    let shown: Vec<Element> = shown
        .into_iter()
        .map(|(group, a)| {
            Element::new("member")
                .with("ActivityId", &a.id)
                .with("AutoScalingGroupName", group)
                .with("Description", &a.description)
                .with("Cause", &a.cause)
                .with("StartTime", timestamp(a.started))
                .with_some("EndTime", a.ended.map(timestamp))
                .with("StatusCode", &a.status)
                .with_some("StatusMessage", a.message.as_ref())
                .with("Progress", a.progress)
                .with("Details", format!("{{\"Availability Zone\":\"{region}a\"}}"))
        })
        .collect();
    let result = Element::new("DescribeScalingActivitiesResult").with_list("Activities", shown);
    Ok(Answer::xml(result.with_some("NextToken", token)))
}

fn update(world: &mut World, region: &str, params: &Params) -> Result<Answer, ServiceError> {
    let name = params.require("AutoScalingGroupName", VALIDATION)?;
    let group = find(world, region, name)?;
    let size = |field: &str| -> Result<Option<i64>, ServiceError> {
        let size = params.number(field, VALIDATION)?;
        if size.is_some_and(|s| !(0..=10_000).contains(&s)) {
            return Err(invalid(format!("{field} must be between 0 and 10000")));
        }
        Ok(size)
    };
    let min = size("MinSize")?.unwrap_or(group.min);
    let max = size("MaxSize")?.unwrap_or(group.max);
    if min > max {
        return Err(invalid(format!("Max bound, {max}, must be greater than or equal to min bound, {min}")));
    }
    let desired = match size("DesiredCapacity")? {
        Some(desired) if (min..=max).contains(&desired) => desired,
        Some(desired) => {
            return Err(invalid(format!("Desired capacity:{desired} must be between the specified min size:{min} and max size:{max}")));
        }
        None => group.desired.clamp(min, max),
    };
    let effective = (group.min, group.max, group.desired) != (min, max, desired);
    resize(world, region, name, (min, max, desired));
    Ok(Answer::xml(Element::default()).effective(effective))
}

fn set_desired(world: &mut World, region: &str, params: &Params) -> Result<Answer, ServiceError> {
    let name = params.require("AutoScalingGroupName", VALIDATION)?;
    let desired = params.number("DesiredCapacity", VALIDATION)?.ok_or_else(|| invalid("DesiredCapacity is required"))?;
    let group = find(world, region, name)?;
    if desired < group.min {
        return Err(invalid(format!("New SetDesiredCapacity value {desired} is below min value {} for the AutoScalingGroup.", group.min)));
    }
    if desired > group.max {
        return Err(invalid(format!("New SetDesiredCapacity value {desired} is above max value {} for the AutoScalingGroup.", group.max)));
    }
    let (effective, size) = (group.desired != desired, (group.min, group.max, desired));
    resize(world, region, name, size);
    Ok(Answer::xml(Element::default()).effective(effective))
}

fn resize(world: &mut World, region: &str, name: &str, (min, max, desired): (i64, i64, i64)) {
    if let Some(group) = world.region_mut(region).groups.get_mut(name) {
        (group.min, group.max, group.desired) = (min, max, desired);
    }
    world.fit_to_desired(region, name);
}

fn render(world: &World, region: &str, group: &Group) -> Element {
    let arn =
        world.arn("autoscaling", region, &format!("autoScalingGroup:{:016x}:autoScalingGroupName/{}", hash(7, &group.name, 0), group.name));
    let member = |text: String| Element { name: "member".to_owned(), text, children: Vec::new() };
    let zones = group.zone_letters().iter().map(|z| member(format!("{region}{z}")));
    let target_groups =
        group.target_groups.iter().filter_map(|t| world.region(region)?.target_groups.get(t)).map(|t| member(t.arn.clone()));
    let template = group.launch_template.as_ref().map(|name| {
        Element::new("LaunchTemplate")
            .with("LaunchTemplateId", launch_template_id(name))
            .with("LaunchTemplateName", name)
            .with("Version", &group.launch_template_version)
    });
    let subnets = world.region(region).map(|r| r.subnets_in(region, group.zone_letters())).unwrap_or_default();
    let suspended = group.suspended.iter().map(|process| {
        Element::new("member").with("ProcessName", process).with("SuspensionReason", "User suspended at the world's beginning")
    });
    Element::new("member")
        .with("AutoScalingGroupName", &group.name)
        .with("AutoScalingGroupARN", arn)
        .with("MinSize", group.min)
        .with("MaxSize", group.max)
        .with("DesiredCapacity", group.desired)
        .with("DefaultCooldown", 300)
        .with_list("AvailabilityZones", zones)
        .with_list("TargetGroupARNs", target_groups)
        .with("HealthCheckType", "EC2")
        .with("HealthCheckGracePeriod", 300)
        .with_list("Instances", group.instances.iter().map(|i| instance(group, i)))
        .with("CreatedTime", timestamp(group.created))
        .with("NewInstancesProtectedFromScaleIn", false)
        .with_children(template)
        .with_list("SuspendedProcesses", suspended)
        .with("VPCZoneIdentifier", subnets.join(","))
}

fn instance(group: &Group, instance: &Instance) -> Element {
    let state = match instance.state {
        Lifecycle::Pending { .. } => "Pending",
        Lifecycle::InService => "InService",
        Lifecycle::Terminating { .. } => "Terminating",
    };
    Element::new("member")
        .with("InstanceId", &instance.id)
        .with("InstanceType", &group.instance_type)
        .with("AvailabilityZone", &instance.zone)
        .with("LifecycleState", state)
        .with("HealthStatus", "Healthy")
        .with("ProtectedFromScaleIn", false)
}
