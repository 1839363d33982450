//! EKS, REST/JSON of 2017-11-01: clusters, managed node groups, updates.

use serde_json::{Value, json};

use super::{Answer, Call, Document, ServiceError};
use crate::world::eks::{Cluster, Nodegroup, Update, UpdateStatus};
use crate::world::{Ms, World, hash};

/// Finds the action for a method and path, and what the path names.
pub(super) fn route(method: &str, path: &[String]) -> Option<(String, Vec<String>)> {
    let parts: Vec<&str> = path.iter().map(String::as_str).collect();
    let (action, labels): (&str, &[&str]) = match (method, parts.as_slice()) {
        ("GET", ["clusters"]) => ("ListClusters", &[]),
        ("GET", ["clusters", cluster]) => ("DescribeCluster", &[cluster]),
        ("GET", ["clusters", cluster, "addons"]) => ("ListAddons", &[cluster]),
        ("GET", ["clusters", cluster, "node-groups"]) => ("ListNodegroups", &[cluster]),
        ("GET", ["clusters", cluster, "node-groups", group]) => ("DescribeNodegroup", &[cluster, group]),
        ("POST", ["clusters", cluster, "node-groups", group, "update-config"]) => ("UpdateNodegroupConfig", &[cluster, group]),
        ("GET", ["clusters", cluster, "updates", update]) => ("DescribeUpdate", &[cluster, update]),
        _ => return None,
    };
    Some((action.to_owned(), labels.iter().map(|l| (*l).to_owned()).collect()))
}

/// Answers an EKS call.
pub(super) fn answer(world: &mut World, call: &Call) -> Result<Answer, ServiceError> {
    let region = call.region.as_str();
    let label = |n: usize| call.labels.get(n).map(String::as_str).unwrap_or_default();
    let (cluster, second) = (label(0), label(1));
    match call.action.name {
        "ListClusters" => {
            let names: Vec<&String> = world.region(region).into_iter().flat_map(|r| r.clusters.keys()).collect();
            Ok(Answer::json(json!({ "clusters": names })))
        }
        "DescribeCluster" => Ok(Answer::json(json!({ "cluster": render_cluster(world, call, find_cluster(world, region, cluster)?) }))),
        "ListAddons" => Ok(Answer::json(json!({ "addons": find_cluster(world, region, cluster)?.addons }))),
        "ListNodegroups" => {
            let names: Vec<&String> = find_cluster(world, region, cluster)?.nodegroups.keys().collect();
            Ok(Answer::json(json!({ "nodegroups": names })))
        }
        "DescribeNodegroup" => {
            let group = find(world, region, cluster, second)?;
            Ok(Answer::json(json!({ "nodegroup": render(world, region, cluster, group) })))
        }
        "DescribeUpdate" => describe_update(world, region, call),
        _ => update(world, call, cluster, second),
    }
}

fn not_found(message: String) -> ServiceError {
    ServiceError::new("ResourceNotFoundException", message).status(404)
}

fn find_cluster<'a>(world: &'a World, region: &str, name: &str) -> Result<&'a Cluster, ServiceError> {
    let found = world.region(region).and_then(|r| r.clusters.get(name));
    found.ok_or_else(|| not_found(format!("No cluster found for name: {name}.")))
}

fn find<'a>(world: &'a World, region: &str, cluster: &str, name: &str) -> Result<&'a Nodegroup, ServiceError> {
    let found = find_cluster(world, region, cluster)?.nodegroups.get(name);
    found.ok_or_else(|| not_found(format!("No node group found for name: {name}.")))
}

fn describe_update(world: &World, region: &str, call: &Call) -> Result<Answer, ServiceError> {
    let (cluster, id) = (call.labels.first().cloned().unwrap_or_default(), call.labels.get(1).cloned().unwrap_or_default());
    let found = find_cluster(world, region, &cluster)?;
    let wanted = call.params.get("nodegroupName");
    let groups = found.nodegroups.values().filter(|g| wanted.is_none_or(|w| w == g.name));
    let update = groups.into_iter().find_map(|g| g.updates.iter().find(|u| u.id == id).map(|u| (g, u)));
    let (group, update) = update.ok_or_else(|| not_found(format!("No update found for ID: {id}")))?;
    Ok(Answer::json(json!({ "update": render_update(&cluster, group, update) })))
}

fn invalid(message: String) -> ServiceError {
    ServiceError::new("InvalidParameterException", message)
}

fn update(world: &mut World, call: &Call, cluster: &str, name: &str) -> Result<Answer, ServiceError> {
    let region = call.region.as_str();
    let group = find(world, region, cluster, name)?;
    let empty = Value::Null;
    let body = match &call.document {
        Document::Json(body) => body,
        _ => &empty,
    };
    let token = body.get("clientRequestToken").and_then(Value::as_str).unwrap_or_default().to_owned();
    if let Some(known) = group.updates.iter().find(|u| !token.is_empty() && u.token == token) {
        return Ok(Answer::json(json!({ "update": render_update(cluster, group, known) })));
    }
    if group.is_updating() {
        let message = "Nodegroup cannot be updated as it is currently not in Active State".to_owned();
        return Err(ServiceError::new("ResourceInUseException", message).status(409));
    }
    let (min, max, desired) = scaling(body, group)?;
    let effective = (group.min, group.max, group.desired) != (min, max, desired);
    let nodes_before = group.nodes;
    let label = format!("nodegroup/{region}/{cluster}/{name}");
    let id = world.draw_uuid(&label);
    let token = if token.is_empty() { id.clone() } else { token };
    let now = world.now;
    let until = now + world.draw_ms(&label, world.timings.nodegroup_update);
    let update = Update { id, token, min, max, desired, nodes_before, created: now, until, status: UpdateStatus::InProgress };
    let shown = update.clone();
    let group = world.region_mut(region).clusters.get_mut(cluster).and_then(|c| c.nodegroups.get_mut(name));
    let group = group.ok_or_else(|| not_found(format!("No node group found for name: {name}.")))?;
    group.begin(update);
    Ok(Answer::json(json!({ "update": render_update(cluster, group, &shown) })).effective(effective))
}

/// Reads the sizes that an update asks for; what it does not mention stays.
fn scaling(body: &Value, group: &Nodegroup) -> Result<(i64, i64, i64), ServiceError> {
    let config = body.get("scalingConfig");
    let size = |field: &str, current: i64| match config.and_then(|c| c.get(field)) {
        None | Some(Value::Null) => Ok(current),
        Some(value) => {
            value.as_i64().filter(|n| (0..=10_000).contains(n)).ok_or_else(|| invalid(format!("{field} is not a valid size: {value}")))
        }
    };
    let (min, max) = (size("minSize", group.min)?, size("maxSize", group.max)?);
    let desired = size("desiredSize", group.desired)?;
    if max < 1 {
        return Err(invalid("maxSize must be at least 1".to_owned()));
    }
    if min > max {
        return Err(invalid(format!("Minimum capacity {min} can't be greater than maximum capacity {max}")));
    }
    if desired < min {
        return Err(invalid(format!("Minimum capacity {min} can't be greater than desired size {desired}")));
    }
    if desired > max {
        return Err(invalid(format!("desired capacity {desired} can't be greater than max size {max}")));
    }
    Ok((min, max, desired))
}

fn seconds(ms: Ms) -> f64 {
    ms as f64 / 1000.0
}

fn render_cluster(world: &World, call: &Call, cluster: &Cluster) -> Value {
    let region = call.region.as_str();
    // Whoever is served over loopback reaches the cluster's API over loopback too.
    let endpoint = match &call.served_at {
        Some(address) => format!("http://{address}/k8s/{region}/{}", cluster.name),
        None => format!("https://{}", crate::k8s::endpoint_host(region, &cluster.name)),
    };
    json!({
        "name": cluster.name,
        "arn": world.arn("eks", region, &format!("cluster/{}", cluster.name)),
        "createdAt": seconds(cluster.created),
        "version": cluster.version,
        "endpoint": endpoint,
        "status": "ACTIVE",
        "certificateAuthority": { "data": crate::k8s::certificate_authority() },
        "platformVersion": "eks.1",
        "tags": {},
    })
}

fn render(world: &World, region: &str, cluster: &str, group: &Nodegroup) -> Value {
    let launches = group.launch_failure.then(|| ("AsgInstanceLaunchFailures", group.launch_failure_message()));
    let others = group.issues.iter().map(|code| (code.as_str(), format!("The world file says that the node group has {code}.")));
    let issues: Vec<_> = launches.into_iter().chain(others).collect();
    let issues: Vec<_> =
        issues.into_iter().map(|(code, message)| json!({ "code": code, "message": message, "resourceIds": [asg_name(group)] })).collect();
    let subnets = world.region(region).map(|r| r.subnets_in(region, &["a", "b", "c"])).unwrap_or_default();
    let resource = format!("nodegroup/{cluster}/{}/{:08x}", group.name, hash(9, &group.name, 0) >> 32);
    json!({
        "nodegroupName": group.name,
        "nodegroupArn": world.arn("eks", region, &resource),
        "clusterName": cluster,
        "createdAt": seconds(group.created),
        "modifiedAt": seconds(group.modified),
        "status": group.status(),
        "capacityType": "ON_DEMAND",
        "scalingConfig": { "minSize": group.min, "maxSize": group.max, "desiredSize": group.desired },
        "instanceTypes": [group.instance_type],
        "subnets": subnets,
        "health": { "issues": issues },
        "resources": { "autoScalingGroups": [{ "name": asg_name(group) }] },
        "tags": {},
    })
}

fn asg_name(group: &Nodegroup) -> String {
    format!("eks-{}-{:08x}", group.name, hash(10, &group.name, 0) >> 32)
}

fn render_update(cluster: &str, group: &Nodegroup, update: &Update) -> Value {
    let errors = if update.status == UpdateStatus::Failed {
        json!([{ "errorCode": "NodeCreationFailure", "errorMessage": group.launch_failure_message(), "resourceIds": [asg_name(group)] }])
    } else {
        json!([])
    };
    let param = |kind: &str, value: i64| json!({ "type": kind, "value": value.to_string() });
    json!({
        "id": update.id,
        "status": update.status.as_str(),
        "type": "ConfigUpdate",
        "params": [param("MinSize", update.min), param("MaxSize", update.max), param("DesiredSize", update.desired)],
        "createdAt": seconds(update.created),
        "errors": errors,
        "clusterName": cluster,
    })
}
