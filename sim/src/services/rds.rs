//! RDS, query protocol of 2014-10-31: instances, replicas, promotion, snapshots, tags.

use super::rds_render::{render, tags};
use super::{Answer, Call, Params, ServiceError, rds_changes};
use crate::world::database::Database;
use crate::world::{World, timestamp};
use crate::xml::Element;

pub(super) const INVALID: &str = "InvalidParameterValue";
pub(super) const STATE: &str = "InvalidDBInstanceState";

/// Answers an RDS call.
pub(super) fn answer(world: &mut World, call: &Call) -> Result<Answer, ServiceError> {
    let (region, params) = (call.region.as_str(), &call.params);
    match call.action.name {
        "DescribeDBInstances" => describe(world, region, params),
        "PromoteReadReplica" => rds_changes::promote(world, region, params),
        "CreateDBInstanceReadReplica" => rds_changes::create_replica(world, region, params),
        "ModifyDBInstance" => rds_changes::modify(world, region, params),
        "DeleteDBInstance" => rds_changes::delete(world, region, params),
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
    let filter = params.list("Filters.Filter.1.Values.Value");
    let by_filter = params.get("Filters.Filter.1.Name") == Some("db-instance-id");
    let found: Vec<Element> = match params.get("DBInstanceIdentifier") {
        Some(text) => vec![render(world, region, find(world, region, text)?)],
        None => {
            let all = world.region(region).into_iter().flat_map(|r| r.databases.values());
            let wanted = all.filter(|d| !by_filter || filter.iter().any(|f| name_of(f) == d.id));
            wanted.map(|d| render(world, region, d)).collect()
        }
    };
    Ok(Answer::xml(Element::new("DescribeDBInstancesResult").with_list("DBInstances", found)))
}

/// Answers with an instance, as the result of an action.
pub(super) fn one(world: &World, region: &str, result: &str, id: &str) -> Result<Answer, ServiceError> {
    let database = find(world, region, id)?;
    Ok(Answer::xml(Element::new(result).with_child(render(world, region, database))))
}

fn describe_snapshots(world: &World, region: &str, params: &Params) -> Result<Answer, ServiceError> {
    let (id, instance) = (params.get("DBSnapshotIdentifier").map(name_of), params.get("DBInstanceIdentifier").map(name_of));
    let all = world.region(region).into_iter().flat_map(|r| r.snapshots.values());
    let found: Vec<Element> = all
        .filter(|s| id.as_ref().is_none_or(|id| *id == s.id) && instance.as_ref().is_none_or(|i| *i == s.instance))
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
    Ok(Answer::xml(Element::new("DescribeDBSnapshotsResult").with_list("DBSnapshots", found)))
}

fn list_tags(world: &World, region: &str, params: &Params) -> Result<Answer, ServiceError> {
    let database = find(world, region, identifier(params, "ResourceName")?)?;
    Ok(Answer::xml(Element::new("ListTagsForResourceResult").with_list("TagList", tags(database))))
}

fn add_tags(world: &mut World, region: &str, params: &Params) -> Result<Answer, ServiceError> {
    let name = name_of(identifier(params, "ResourceName")?);
    find(world, region, &name)?;
    let mut effective = false;
    if let Some(database) = world.region_mut(region).databases.get_mut(&name) {
        for (key, value) in params.pairs("Tags.Tag", "Key", "Value") {
            effective |= database.tags.insert(key, value.clone()) != Some(value);
        }
    }
    Ok(Answer::xml(Element::default()).effective(effective))
}
