//! RDS, query protocol of 2014-10-31: instances, replicas, promotion, snapshots, tags.

use super::rds_render::{render, tags};
use super::{Answer, Call, Params, ServiceError, rds_changes};
use crate::world::database::{Database, Snapshot};
use crate::world::{World, timestamp};
use crate::xml::Element;

pub(super) const INVALID: &str = "InvalidParameterValue";
pub(super) const STATE: &str = "InvalidDBInstanceState";

/// Items on a page, unless asked for fewer.
const PAGE_MAX: usize = 100;
/// What instances can be filtered by, and how many filters are looked at.
const FILTERS: [&str; 5] = ["db-cluster-id", "db-instance-id", "dbi-resource-id", "domain", "engine"];
const FILTERS_MAX: usize = 20;

/// Answers an RDS call.
pub(super) fn answer(world: &mut World, call: &Call) -> Result<Answer, ServiceError> {
    let (region, params) = (call.region.as_str(), &call.params);
    match call.action.name {
        "DescribeDBInstances" => describe(world, region, params),
        "PromoteReadReplica" => rds_changes::promote(world, region, params),
        "CreateDBInstanceReadReplica" => rds_changes::create_replica(world, region, params),
        "ModifyDBInstance" => rds_changes::modify(world, region, params),
        "DeleteDBInstance" => rds_changes::delete(world, region, params),
        "DescribeOrderableDBInstanceOptions" => describe_classes(world, region, params),
        "DescribeDBSnapshots" => describe_snapshots(world, region, params),
        "ListTagsForResource" => list_tags(world, region, params),
        _ => add_tags(world, region, params),
    }
}

/// Takes the name out of an instance's ARN; names are lower case.
pub(super) fn name_of(text: &str) -> String {
    text.rsplit(':').next().unwrap_or(text).to_ascii_lowercase()
}

fn not_found(name: &str) -> ServiceError {
    ServiceError::new("DBInstanceNotFound", format!("DBInstance {name} not found.")).status(404)
}

/// Finds an instance of the region, by name or by ARN.
pub(super) fn find<'a>(world: &'a World, region: &str, text: &str) -> Result<&'a Database, ServiceError> {
    let name = name_of(text);
    let elsewhere = text.starts_with("arn:") && text.split(':').nth(3) != Some(region);
    let found = world.region(region).and_then(|r| r.databases.get(&name)).filter(|_| !elsewhere);
    found.ok_or_else(|| not_found(&name))
}

pub(super) fn identifier<'a>(params: &'a Params, name: &str) -> Result<&'a str, ServiceError> {
    params.require(name, "MissingParameter")
}

fn describe(world: &World, region: &str, params: &Params) -> Result<Answer, ServiceError> {
    let all: Vec<&Database> = match params.get("DBInstanceIdentifier") {
        Some(text) => vec![find(world, region, text)?],
        None => world.region(region).into_iter().flat_map(|r| r.databases.values()).collect(),
    };
    let wanted = filtered(all, params)?;
    let (shown, marker) = page(wanted, params, |d| &d.id)?;
    let result = Element::new("DescribeDBInstancesResult").with_some("Marker", marker);
    Ok(Answer::xml(result.with_list("DBInstances", shown.into_iter().map(|d| render(world, region, d)))))
}

/// Tells whether the region has a class. Those that it lacks stand in the world file; a list of all of them is not to be had.
fn describe_classes(world: &World, region: &str, params: &Params) -> Result<Answer, ServiceError> {
    let engine = identifier(params, "Engine")?;
    let class = params.get("DBInstanceClass").filter(|class| class.starts_with("db."));
    let lacks = |class: &&str| world.region(region).is_some_and(|r| r.lacks_classes.iter().any(|lacked| lacked == class));
    let option = |class: &str| {
        Element::new("OrderableDBInstanceOption")
            .with("Engine", engine)
            .with_some("EngineVersion", params.get("EngineVersion"))
            .with("DBInstanceClass", class)
            .with("ReadReplicaCapable", true)
            .with("SupportsStorageEncryption", true)
    };
    let options = class.filter(|class| !lacks(class)).map(option);
    Ok(Answer::xml(Element::new("DescribeOrderableDBInstanceOptionsResult").with_list("OrderableDBInstanceOptions", options)))
}

/// Keeps what every filter lets through.
fn filtered<'a>(mut databases: Vec<&'a Database>, params: &Params) -> Result<Vec<&'a Database>, ServiceError> {
    for n in 1..=FILTERS_MAX {
        let Some(name) = params.get(&format!("Filters.Filter.{n}.Name")) else {
            break;
        };
        let values = params.list(&format!("Filters.Filter.{n}.Values.Value"));
        databases.retain(|d| match name {
            "db-instance-id" => values.iter().any(|v| name_of(v) == d.id),
            "dbi-resource-id" => values.contains(&d.resource_id.as_str()),
            "engine" => values.contains(&d.engine.as_str()),
            // No instance here is one of a cluster, or in a domain.
            _ => false,
        });
        if !FILTERS.contains(&name) {
            return Err(ServiceError::new(INVALID, format!("Unrecognized filter name: {name}")));
        }
    }
    Ok(databases)
}

/// Cuts a page out of a list in the order of names: the items, and the marker of the next page.
fn page<'a, T>(items: Vec<&'a T>, params: &Params, id: fn(&T) -> &String) -> Result<(Vec<&'a T>, Option<String>), ServiceError> {
    let size = match params.number("MaxRecords", INVALID)? {
        Some(n @ 20..=100) => n.unsigned_abs() as usize,
        Some(n) => return Err(ServiceError::new(INVALID, format!("Invalid value {n} for MaxRecords. Must be between 20 and 100"))),
        None => PAGE_MAX,
    };
    let start = match params.get("Marker") {
        Some(marker) => items
            .iter()
            .position(|item| id(item) == marker)
            .ok_or_else(|| ServiceError::new(INVALID, format!("The parameter Marker is not valid: {marker}")))?,
        None => 0,
    };
    let next = items.get(start + size).map(|item| id(item).clone());
    Ok((items.into_iter().skip(start).take(size).collect(), next))
}

/// Answers with an instance, as the result of an action.
pub(super) fn one(world: &World, region: &str, result: &str, id: &str) -> Result<Answer, ServiceError> {
    let database = find(world, region, id)?;
    Ok(Answer::xml(Element::new(result).with_child(render(world, region, database))))
}

fn describe_snapshots(world: &World, region: &str, params: &Params) -> Result<Answer, ServiceError> {
    let (id, instance) = (params.get("DBSnapshotIdentifier").map(name_of), params.get("DBInstanceIdentifier").map(name_of));
    let all = world.region(region).into_iter().flat_map(|r| r.snapshots.values());
    let wanted: Vec<&Snapshot> =
        all.filter(|s| id.as_ref().is_none_or(|id| *id == s.id) && instance.as_ref().is_none_or(|i| *i == s.instance)).collect();
    let (shown, marker) = page(wanted, params, |s| &s.id)?;
    let found: Vec<Element> = shown
        .into_iter()
        .map(|s| {
            Element::new("DBSnapshot")
                .with("DBSnapshotIdentifier", &s.id)
                .with("DBInstanceIdentifier", &s.instance)
                .with("SnapshotCreateTime", timestamp(s.created))
                .with("Engine", &s.engine)
                .with("EngineVersion", &s.engine_version)
                .with("AllocatedStorage", s.allocated_storage)
                .with("Status", "available")
                .with("SnapshotType", "manual")
                .with("PercentProgress", 100)
                .with("DBSnapshotArn", world.arn("rds", region, &format!("snapshot:{}", s.id)))
        })
        .collect();
    if let Some(id) = id
        && found.is_empty()
    {
        return Err(ServiceError::new("DBSnapshotNotFound", format!("DBSnapshot {id} not found.")).status(404));
    }
    Ok(Answer::xml(Element::new("DescribeDBSnapshotsResult").with_some("Marker", marker).with_list("DBSnapshots", found)))
}

/// The ARN whose tags are meant; a bare name is none.
fn resource(params: &Params) -> Result<&str, ServiceError> {
    let text = identifier(params, "ResourceName")?;
    match text.starts_with("arn:") && text.contains(":db:") {
        true => Ok(text),
        false => Err(ServiceError::new(INVALID, format!("Invalid resource name: {text}"))),
    }
}

fn list_tags(world: &World, region: &str, params: &Params) -> Result<Answer, ServiceError> {
    let database = find(world, region, resource(params)?)?;
    Ok(Answer::xml(Element::new("ListTagsForResourceResult").with_list("TagList", tags(database))))
}

fn add_tags(world: &mut World, region: &str, params: &Params) -> Result<Answer, ServiceError> {
    let arn = resource(params)?;
    let name = find(world, region, arn)?.id.clone();
    let mut effective = false;
    if let Some(database) = world.region_mut(region).databases.get_mut(&name) {
        for (key, value) in params.pairs("Tags.Tag", "Key", "Value") {
            effective |= database.tags.insert(key, value.clone()) != Some(value);
        }
    }
    Ok(Answer::xml(Element::default()).effective(effective))
}
