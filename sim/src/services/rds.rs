//! RDS, query protocol of 2014-10-31: instances, replicas, promotion, snapshots, tags.

use super::{Answer, Call, Params, ServiceError};
use crate::world::database::{Changes, Database, Snapshot, Source, Work};
use crate::world::{World, hash, timestamp};
use crate::xml::Element;

const INVALID: &str = "InvalidParameterValue";
const STATE: &str = "InvalidDBInstanceState";
/// Days that RDS keeps automated backups at most.
const RETENTION_MAX: i64 = 35;

/// Answers an RDS call.
pub(super) fn answer(world: &mut World, call: &Call) -> Result<Answer, ServiceError> {
    let (region, params) = (call.region.as_str(), &call.params);
    match call.action.name {
        "DescribeDBInstances" => describe(world, region, params),
        "PromoteReadReplica" => promote(world, region, params),
        "CreateDBInstanceReadReplica" => create_replica(world, region, params),
        "ModifyDBInstance" => modify(world, region, params),
        "DeleteDBInstance" => delete(world, region, params),
        "DescribeDBSnapshots" => describe_snapshots(world, region, params),
        "ListTagsForResource" => list_tags(world, region, params),
        _ => add_tags(world, region, params),
    }
}

/// Takes the name out of an instance's ARN; names are lower case.
fn name_of(text: &str) -> String {
    text.rsplit(':').next().unwrap_or(text).to_ascii_lowercase()
}

fn not_found(name: &str) -> ServiceError {
    ServiceError::new(
        "DBInstanceNotFound",
        format!("DBInstance {name} not found."),
    )
    .status(404)
}

fn find<'a>(world: &'a World, region: &str, text: &str) -> Result<&'a Database, ServiceError> {
    let name = name_of(text);
    let found = world.region(region).and_then(|r| r.databases.get(&name));
    found.ok_or_else(|| not_found(&name))
}

fn identifier<'a>(params: &'a Params, name: &str) -> Result<&'a str, ServiceError> {
    params.require(name, "MissingParameter")
}

fn describe(world: &World, region: &str, params: &Params) -> Result<Answer, ServiceError> {
    let filter = params.list("Filters.Filter.1.Values.Value");
    let by_filter = params.get("Filters.Filter.1.Name") == Some("db-instance-id");
    let found: Vec<Element> = match params.get("DBInstanceIdentifier") {
        Some(text) => vec![render(world, region, find(world, region, text)?)],
        None => {
            let all = world
                .region(region)
                .into_iter()
                .flat_map(|r| r.databases.values());
            let wanted = all.filter(|d| !by_filter || filter.iter().any(|f| name_of(f) == d.id));
            wanted.map(|d| render(world, region, d)).collect()
        }
    };
    Ok(Answer::xml(
        Element::new("DescribeDBInstancesResult").with_list("DBInstances", found),
    ))
}

/// Answers with an instance, as the result of an action.
fn one(world: &World, region: &str, result: &str, id: &str) -> Result<Answer, ServiceError> {
    let database = find(world, region, id)?;
    Ok(Answer::xml(
        Element::new(result).with_child(render(world, region, database)),
    ))
}

fn promote(world: &mut World, region: &str, params: &Params) -> Result<Answer, ServiceError> {
    let id = name_of(identifier(params, "DBInstanceIdentifier")?);
    let retention = params
        .number("BackupRetentionPeriod", INVALID)?
        .unwrap_or(1);
    let database = find(world, region, &id)?;
    if database.source.is_none() {
        return Err(ServiceError::new(
            STATE,
            "DB Instance is not a read replica.",
        ));
    }
    if database.work.is_some() {
        let message = format!(
            "DB Instance {id} is not in a state in which it can be promoted ({}).",
            database.status(world.now)
        );
        return Err(ServiceError::new(STATE, message));
    }
    world.promote(region, &id, retention_days(retention)?);
    Ok(one(world, region, "PromoteReadReplicaResult", &id)?.effective(true))
}

fn retention_days(days: i64) -> Result<u32, ServiceError> {
    match u32::try_from(days) {
        Ok(days) if i64::from(days) <= RETENTION_MAX => Ok(days),
        _ => Err(ServiceError::new(
            INVALID,
            format!(
                "Invalid backup retention period: {days}. Must be between 0 and {RETENTION_MAX}."
            ),
        )),
    }
}

/// Refuses names that RDS does not take.
fn check_name(name: &str) -> Result<(), ServiceError> {
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic());
    let letters = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    if starts && letters && name.len() <= 63 && !name.ends_with('-') && !name.contains("--") {
        return Ok(());
    }
    Err(ServiceError::new(
        INVALID,
        format!("The parameter DBInstanceIdentifier is not a valid identifier: {name}"),
    ))
}

fn exists(world: &World, region: &str, id: &str) -> Result<(), ServiceError> {
    match find(world, region, id) {
        Ok(_) => Err(ServiceError::new(
            "DBInstanceAlreadyExists",
            "DB instance already exists",
        )),
        Err(_) => Ok(()),
    }
}

fn create_replica(
    world: &mut World,
    region: &str,
    params: &Params,
) -> Result<Answer, ServiceError> {
    let id = identifier(params, "DBInstanceIdentifier")?.to_ascii_lowercase();
    check_name(&id)?;
    let source = identifier(params, "SourceDBInstanceIdentifier")?;
    let source_region = source_region(source, region)?;
    exists(world, region, &id)?;
    let master = find(world, &source_region, source)?.clone();
    if master.status(world.now) != "available" {
        let message = format!("DB instance {} is not in the available state.", master.id);
        return Err(ServiceError::new(STATE, message));
    }
    if master.retention == 0 {
        let message = format!(
            "Automated backups are not enabled for this database instance ({}). To enable automated backups, use ModifyDBInstance to set the backup retention period to a non-zero value.",
            master.id
        );
        return Err(ServiceError::new(STATE, message));
    }
    let until = world.now
        + world.draw_ms(
            &format!("create-replica/{region}/{id}"),
            world.timings.create_replica,
        );
    let behind = world.draw(
        &format!("catch-up/{region}/{id}"),
        world.timings.replica_catch_up,
    );
    let resource_id = format!(
        "db-{}",
        world
            .draw_hex(&format!("resource/{region}/{id}"), 16)
            .to_ascii_uppercase()
    );
    let replica = Database {
        id: id.clone(),
        resource_id,
        class: params
            .get("DBInstanceClass")
            .unwrap_or(&master.class)
            .to_owned(),
        multi_az: params.flag("MultiAZ", INVALID)?.unwrap_or(false),
        retention: 0,
        deletion_protection: params.flag("DeletionProtection", INVALID)?.unwrap_or(false),
        tags: params
            .pairs("Tags.Tag", "Key", "Value")
            .into_iter()
            .collect(),
        created: world.now,
        work: Some(Work::Creating { until }),
        deferred: Changes::default(),
        source: Some(Source {
            region: source_region,
            resource_id: master.resource_id.clone(),
            id: master.id.clone(),
            replicated_to: world.now,
            catching_up: Some((until, behind)),
            lag_by_minute: Default::default(),
            detached: false,
        }),
        promoted_from: None,
        promoted_at: None,
        rows: Default::default(),
        ..master
    };
    world
        .region_mut(region)
        .databases
        .insert(id.clone(), replica);
    Ok(one(world, region, "CreateDBInstanceReadReplicaResult", &id)?.effective(true))
}

/// A source in another region is named by its ARN; a bare name is one of this region.
fn source_region(source: &str, region: &str) -> Result<String, ServiceError> {
    if !source.starts_with("arn:") {
        return Ok(region.to_owned());
    }
    match source.split(':').collect::<Vec<_>>().as_slice() {
        ["arn", _, "rds", region, _, "db", _] => Ok((*region).to_owned()),
        _ => Err(ServiceError::new(
            INVALID,
            format!("Invalid DB instance ARN: {source}"),
        )),
    }
}

fn modify(world: &mut World, region: &str, params: &Params) -> Result<Answer, ServiceError> {
    let id = name_of(identifier(params, "DBInstanceIdentifier")?);
    let now = world.now;
    let database = find(world, region, &id)?;
    if database.work.is_some() {
        let message = format!(
            "Database instance {id} is not in available state ({}).",
            database.status(now)
        );
        return Err(ServiceError::new(STATE, message));
    }
    let mut changes = requested(params, database)?;
    if let Some(new) = &changes.id {
        check_name(new)?;
        exists(world, region, new)?;
    }
    let mut deferred = Changes::default();
    if !params.flag("ApplyImmediately", INVALID)?.unwrap_or(false) {
        // Of what can be changed here, backups and protection do not wait for the maintenance window.
        let at_once = Changes {
            retention: changes.retention,
            deletion_protection: changes.deletion_protection,
            ..Changes::default()
        };
        deferred = Changes {
            retention: None,
            deletion_protection: None,
            ..changes
        };
        changes = at_once;
    }
    let effective = !(changes.is_empty() && deferred.is_empty());
    let unseen = world.draw_ms(
        &format!("promote-unseen/{region}/{id}"),
        world.timings.promote_unseen,
    ) / 2;
    let takes = world
        .draw_ms(&format!("modify/{region}/{id}"), world.timings.modify)
        .max(unseen);
    if let Some(database) = world.region_mut(region).databases.get_mut(&id) {
        if !deferred.is_empty() {
            database.deferred = deferred;
        }
        if !changes.is_empty() {
            database.work = Some(Work::Modifying {
                unseen_until: now + unseen,
                until: now + takes,
                changes,
            });
        }
    }
    Ok(one(world, region, "ModifyDBInstanceResult", &id)?.effective(effective))
}

/// Reads which values a modification would change, as against what they are.
fn requested(params: &Params, database: &Database) -> Result<Changes, ServiceError> {
    let retention = params
        .number("BackupRetentionPeriod", INVALID)?
        .map(retention_days)
        .transpose()?;
    let storage = params
        .number("AllocatedStorage", INVALID)?
        .map(u32::try_from)
        .transpose();
    let storage = storage.map_err(|_| ServiceError::new(INVALID, "Invalid storage size"))?;
    let class = params.get("DBInstanceClass").map(str::to_owned);
    if class.as_ref().is_some_and(|c| !c.starts_with("db.")) {
        return Err(ServiceError::new(
            INVALID,
            format!("Invalid DB Instance class: {}", class.unwrap_or_default()),
        ));
    }
    Ok(Changes {
        retention: retention.filter(|r| *r != database.retention),
        class: class.filter(|c| *c != database.class),
        id: params
            .get("NewDBInstanceIdentifier")
            .map(str::to_ascii_lowercase)
            .filter(|n| *n != database.id),
        multi_az: params
            .flag("MultiAZ", INVALID)?
            .filter(|m| *m != database.multi_az),
        deletion_protection: params
            .flag("DeletionProtection", INVALID)?
            .filter(|d| *d != database.deletion_protection),
        allocated_storage: storage.filter(|s| *s != database.allocated_storage),
    })
}

fn delete(world: &mut World, region: &str, params: &Params) -> Result<Answer, ServiceError> {
    let id = name_of(identifier(params, "DBInstanceIdentifier")?);
    let combination =
        |message: &str| Err(ServiceError::new("InvalidParameterCombination", message));
    let skip = params.flag("SkipFinalSnapshot", INVALID)?.unwrap_or(false);
    let snapshot = params
        .get("FinalDBSnapshotIdentifier")
        .map(str::to_ascii_lowercase);
    let database = find(world, region, &id)?.clone();
    match (&snapshot, skip) {
        (None, false) => {
            return combination(
                "FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is specified.",
            );
        }
        (Some(_), true) => {
            return combination(
                "FinalDBSnapshotIdentifier can not be specified when SkipFinalSnapshot is specified.",
            );
        }
        (Some(_), false) if database.source.is_some() => {
            return combination(
                "FinalDBSnapshotIdentifier can not be specified when deleting a replica instance.",
            );
        }
        _ => {}
    }
    if database.deletion_protection {
        return combination(
            "Cannot delete protected DB Instance, please disable deletion protection and try again.",
        );
    }
    if matches!(database.work, Some(Work::Deleting { .. })) {
        return Err(ServiceError::new(
            STATE,
            format!("DB Instance {id} is already being deleted."),
        ));
    }
    if snapshot.is_some() && database.work.is_some() {
        let message = format!(
            "DB Instance {id} is not in available state, so no final snapshot can be taken."
        );
        return Err(ServiceError::new(STATE, message));
    }
    if let Some(snapshot) = snapshot {
        check_name(&snapshot)?;
        if world
            .region(region)
            .is_some_and(|r| r.snapshots.contains_key(&snapshot))
        {
            return Err(ServiceError::new(
                "DBSnapshotAlreadyExists",
                format!(
                    "Cannot create the snapshot because a snapshot with the identifier {snapshot} already exists."
                ),
            ));
        }
        let kept = Snapshot {
            id: snapshot.clone(),
            instance: id.clone(),
            engine: database.engine.clone(),
            engine_version: database.engine_version.clone(),
            allocated_storage: database.allocated_storage,
            created: world.now,
            rows: database.rows.count(),
        };
        world.region_mut(region).snapshots.insert(snapshot, kept);
    }
    let until = world.now + world.draw_ms(&format!("delete/{region}/{id}"), world.timings.delete);
    if let Some(database) = world.region_mut(region).databases.get_mut(&id) {
        database.work = Some(Work::Deleting { until });
    }
    Ok(one(world, region, "DeleteDBInstanceResult", &id)?.effective(true))
}

fn describe_snapshots(
    world: &World,
    region: &str,
    params: &Params,
) -> Result<Answer, ServiceError> {
    let (id, instance) = (
        params.get("DBSnapshotIdentifier").map(name_of),
        params.get("DBInstanceIdentifier").map(name_of),
    );
    let all = world
        .region(region)
        .into_iter()
        .flat_map(|r| r.snapshots.values());
    let found: Vec<Element> = all
        .filter(|s| {
            id.as_ref().is_none_or(|id| *id == s.id)
                && instance.as_ref().is_none_or(|i| *i == s.instance)
        })
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
                .with(
                    "DBSnapshotArn",
                    world.arn("rds", region, &format!("snapshot:{}", s.id)),
                )
        })
        .collect();
    if let Some(id) = id
        && found.is_empty()
    {
        return Err(
            ServiceError::new("DBSnapshotNotFound", format!("DBSnapshot {id} not found."))
                .status(404),
        );
    }
    Ok(Answer::xml(
        Element::new("DescribeDBSnapshotsResult").with_list("DBSnapshots", found),
    ))
}

fn tags(database: &Database) -> impl Iterator<Item = Element> {
    database
        .tags
        .iter()
        .map(|(k, v)| Element::new("Tag").with("Key", k).with("Value", v))
}

fn list_tags(world: &World, region: &str, params: &Params) -> Result<Answer, ServiceError> {
    let database = find(world, region, identifier(params, "ResourceName")?)?;
    Ok(Answer::xml(
        Element::new("ListTagsForResourceResult").with_list("TagList", tags(database)),
    ))
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

/// Writes an instance as a describe shows it.
fn render(world: &World, region: &str, database: &Database) -> Element {
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
        .with("AutoMinorVersionUpgrade", false)
        .with("PubliclyAccessible", false)
        .with("StorageEncrypted", true)
        .with("StorageType", "gp3")
        .with("DeletionProtection", database.deletion_protection)
        .with("DbiResourceId", &database.resource_id)
        .with(
            "DBInstanceArn",
            world.arn("rds", region, &format!("db:{}", database.id)),
        )
        .with("AvailabilityZone", format!("{region}a"))
        .with_list("TagList", tags(database));
    if !creating {
        let zone = format!("Z{:013X}", hash(6, region, 0) & 0xf_ffff_ffff_ffff);
        let endpoint = Element::new("Endpoint")
            .with("Address", world.endpoint(region, &database.id))
            .with("Port", 5432);
        element = element.with_child(endpoint.with("HostedZoneId", zone));
    }
    if database.retention > 0 && !creating {
        element = element.with(
            "LatestRestorableTime",
            timestamp(now - now.rem_euclid(300_000)),
        );
    }
    element = element.with_child(pending(database)).with_list(
        "ReadReplicaDBInstanceIdentifiers",
        replicas(world, region, database),
    );
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
        if r == region {
            d.id.clone()
        } else {
            world.arn("rds", r, &format!("db:{}", d.id))
        }
    };
    let of = |text| Element {
        name: "ReadReplicaDBInstanceIdentifier".to_owned(),
        text,
        children: Vec::new(),
    };
    let following = world
        .replicas_of(&database.resource_id)
        .filter(|(_, d)| d.source.as_ref().is_some_and(|s| !s.detached));
    following.map(name).map(of).collect()
}

fn replication(world: &World, region: &str, database: &Database) -> Vec<Element> {
    let Some(source) = &database.source else {
        return Vec::new();
    };
    let master = world.database_by_resource(&source.resource_id);
    let id = master.map_or(source.id.as_str(), |(_, m)| m.id.as_str());
    let name = if source.region == region {
        id.to_owned()
    } else {
        world.arn("rds", &source.region, &format!("db:{id}"))
    };
    let (normal, status) = match (source.detached, master.is_some()) {
        (true, _) => (false, "stopped"),
        (false, true) => (true, "replicating"),
        (false, false) => (false, "terminated"),
    };
    let info = Element::new("DBInstanceStatusInfo")
        .with("StatusType", "read replication")
        .with("Normal", normal)
        .with("Status", status);
    vec![
        Element {
            name: "ReadReplicaSourceDBInstanceIdentifier".to_owned(),
            text: name,
            children: Vec::new(),
        },
        Element::new("StatusInfos").with_child(info),
    ]
}
