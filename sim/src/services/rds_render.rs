//! An RDS instance as a describe shows it.

use crate::world::database::{Database, Work};
use crate::world::{World, hash, timestamp};
use crate::xml::Element;

/// Writes an instance as a describe shows it.
pub(super) fn render(world: &World, region: &str, database: &Database) -> Element {
    let now = world.now;
    let creating = matches!(database.work, Some(Work::Creating { .. }));
    let mut element = Element::new("DBInstance")
        .with("DBInstanceIdentifier", &database.id)
        .with("DBInstanceClass", &database.class)
        .with("Engine", &database.engine)
        .with("EngineVersion", &database.engine_version)
        .with("DBInstanceStatus", database.status(now))
        .with("MasterUsername", &database.username)
        .with("DBName", &database.database)
        .with("AllocatedStorage", database.allocated_storage)
        .with("InstanceCreateTime", timestamp(database.created))
        .with("PreferredBackupWindow", "03:00-04:00")
        .with("PreferredMaintenanceWindow", "sun:04:00-sun:05:00")
        .with("BackupRetentionPeriod", database.retention)
        .with("MultiAZ", database.multi_az)
        .with("AutoMinorVersionUpgrade", true)
        .with("PubliclyAccessible", false)
        .with("StorageEncrypted", database.key.is_some())
        .with_some("KmsKeyId", database.key.as_ref())
        .with("StorageType", "gp3")
        .with("DeletionProtection", database.deletion_protection)
        .with("DbiResourceId", &database.resource_id)
        .with("DBInstanceArn", world.arn("rds", region, &format!("db:{}", database.id)))
        .with("AvailabilityZone", format!("{region}a"))
        .with_list("TagList", tags(database));
    if !creating {
        let zone = format!("Z{:013X}", hash(6, region, 0) & 0xf_ffff_ffff_ffff);
        let endpoint = Element::new("Endpoint").with("Address", world.endpoint(region, &database.id)).with("Port", 5432);
        element = element.with_child(endpoint.with("HostedZoneId", zone));
    }
    if database.retention > 0 && !creating {
        element = element.with("LatestRestorableTime", timestamp(now - now.rem_euclid(300_000)));
    }
    element = element.with_child(pending(database)).with_list("ReadReplicaDBInstanceIdentifiers", replicas(world, region, database));
    match &database.source {
        Some(_) => element.with_children(replication(world, region, database)),
        None => element,
    }
}

fn pending(database: &Database) -> Element {
    let changes = match &database.work {
        Some(Work::Modifying { changes, .. }) => changes,
        _ => &database.deferred,
    };
    Element::new("PendingModifiedValues")
        .with_some("DBInstanceClass", changes.class.as_ref())
        .with_some("AllocatedStorage", changes.allocated_storage)
        .with_some("BackupRetentionPeriod", changes.retention)
        .with_some("MultiAZ", changes.multi_az)
        .with_some("DBInstanceIdentifier", changes.id.as_ref())
}

/// Replicas in other regions are listed by ARN.
fn replicas(world: &World, region: &str, database: &Database) -> Vec<Element> {
    let name = |(r, d): (&str, &Database)| {
        if r == region { d.id.clone() } else { world.arn("rds", r, &format!("db:{}", d.id)) }
    };
    let of = |text| Element { name: "ReadReplicaDBInstanceIdentifier".to_owned(), text, children: Vec::new() };
    let following = world.replicas_of(&database.resource_id).filter(|(_, d)| d.source.as_ref().is_some_and(|s| !s.detached));
    following.map(name).map(of).collect()
}

fn replication(world: &World, region: &str, database: &Database) -> Vec<Element> {
    let Some(source) = &database.source else {
        return Vec::new();
    };
    let master = world.database_by_resource(&source.resource_id);
    let id = master.map_or(source.id.as_str(), |(_, m)| m.id.as_str());
    let name = if source.region == region { id.to_owned() } else { world.arn("rds", &source.region, &format!("db:{id}")) };
    let (normal, status) = match (source.detached, master.is_some()) {
        (true, _) => (false, "stopped"),
        (false, true) => (true, "replicating"),
        (false, false) => (false, "terminated"),
    };
    let (normal, status) =
        source.shown.as_deref().filter(|_| !source.detached).map_or((normal, status), |shown| (shown == "replicating", shown));
    let info = Element::new("DBInstanceStatusInfo").with("StatusType", "read replication").with("Normal", normal).with("Status", status);
    vec![
        Element { name: "ReadReplicaSourceDBInstanceIdentifier".to_owned(), text: name, children: Vec::new() },
        Element::new("StatusInfos").with_child(info),
    ]
}

/// Writes an instance's tags.
pub(super) fn tags(database: &Database) -> impl Iterator<Item = Element> {
    let tag = |(k, v)| Element::new("Tag").with("Key", k).with("Value", v);
    database.tags.iter().map(tag)
}
