//! RDS calls that change instances: promote, create a replica, modify, delete.

use super::rds::{INVALID, STATE, find, identifier, name_of, one};
use super::{Answer, Params, ServiceError};
use crate::world::World;
use crate::world::database::{Changes, Database, Snapshot, Source, Work};

/// Days that RDS keeps automated backups at most.
const RETENTION_MAX: i64 = 35;

/// Promotes a replica.
pub(super) fn promote(world: &mut World, region: &str, params: &Params) -> Result<Answer, ServiceError> {
    let id = name_of(identifier(params, "DBInstanceIdentifier")?);
    let retention = params.number("BackupRetentionPeriod", INVALID)?.unwrap_or(1);
    let database = find(world, region, &id)?;
    if database.source.is_none() {
        return Err(ServiceError::new(STATE, "DB Instance is not a read replica."));
    }
    if database.work.is_some() {
        let message = format!("DB Instance {id} is not in a state in which it can be promoted ({}).", database.status(world.now));
        return Err(ServiceError::new(STATE, message));
    }
    world.promote(region, &id, retention_days(retention)?);
    Ok(one(world, region, "PromoteReadReplicaResult", &id)?.effective(true))
}

fn retention_days(days: i64) -> Result<u32, ServiceError> {
    match u32::try_from(days) {
        Ok(days) if i64::from(days) <= RETENTION_MAX => Ok(days),
        _ => Err(ServiceError::new(INVALID, format!("Invalid backup retention period: {days}. Must be between 0 and {RETENTION_MAX}."))),
    }
}

/// Refuses names that RDS does not take.
fn check_name(name: &str) -> Result<(), ServiceError> {
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic());
    let letters = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    if starts && letters && name.len() <= 63 && !name.ends_with('-') && !name.contains("--") {
        return Ok(());
    }
    Err(ServiceError::new(INVALID, format!("The parameter DBInstanceIdentifier is not a valid identifier: {name}")))
}

fn exists(world: &World, region: &str, id: &str) -> Result<(), ServiceError> {
    match find(world, region, id) {
        Ok(_) => Err(ServiceError::new("DBInstanceAlreadyExists", "DB instance already exists")),
        Err(_) => Ok(()),
    }
}

/// Creates a replica, of an instance here or in another region.
pub(super) fn create_replica(world: &mut World, region: &str, params: &Params) -> Result<Answer, ServiceError> {
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
    let key = replica_key(world, region, &master, source_region == region, params)?;
    let until = world.now + world.draw_ms(&format!("create-replica/{region}/{id}"), world.timings.create_replica);
    let behind = world.draw(&format!("catch-up/{region}/{id}"), world.timings.replica_catch_up);
    let resource_id = format!("db-{}", world.draw_hex(&format!("resource/{region}/{id}"), 16).to_ascii_uppercase());
    let replica = Database {
        id: id.clone(),
        resource_id,
        class: params.get("DBInstanceClass").unwrap_or(&master.class).to_owned(),
        key,
        multi_az: params.flag("MultiAZ", INVALID)?.unwrap_or(false),
        retention: 0,
        deletion_protection: params.flag("DeletionProtection", INVALID)?.unwrap_or(false),
        tags: params.pairs("Tags.Tag", "Key", "Value").into_iter().collect(),
        created: world.now,
        work: Some(Work::Creating { until }),
        deferred: Changes::default(),
        source: Some(Source {
            shown: None,
            region: source_region,
            resource_id: master.resource_id.clone(),
            id: master.id.clone(),
            replicated_to: world.now,
            catching_up: Some((until, behind)),
            falling_behind: None,
            lag_by_minute: Default::default(),
            detached: false,
        }),
        promoted_from: None,
        promoted_at: None,
        rows: Default::default(),
        ..master
    };
    world.region_mut(region).databases.insert(id.clone(), replica);
    Ok(one(world, region, "CreateDBInstanceReadReplicaResult", &id)?.effective(true))
}

/// Returns the key that encrypts a replica. An encrypted source has encrypted replicas only; a key does not leave its region.
fn replica_key(world: &World, region: &str, master: &Database, here: bool, params: &Params) -> Result<Option<String>, ServiceError> {
    let refuse = |message: &str| Err(ServiceError::new("InvalidParameterCombination", message));
    match (&master.key, params.get("KmsKeyId")) {
        (None, None) => Ok(None),
        (None, Some(_)) => refuse("You can't create an encrypted read replica from an unencrypted DB instance."),
        (Some(key), _) if here => Ok(Some(key.clone())),
        (Some(_), None) => refuse("Cannot create a cross region unencrypted read replica from encrypted source"),
        (Some(_), Some(wanted)) => match world.key(region, wanted).filter(|key| key.state == "Enabled") {
            Some(key) => Ok(Some(world.arn("kms", region, &format!("key/{}", key.id)))),
            None => Err(ServiceError::new(
                "KMSKeyNotAccessibleFault",
                format!("The specified KMS key [{wanted}] does not exist, is not enabled or you do not have permissions to access it."),
            )),
        },
    }
}

/// A source in another region is named by its ARN; a bare name is one of this region.
fn source_region(source: &str, region: &str) -> Result<String, ServiceError> {
    if !source.starts_with("arn:") {
        return Ok(region.to_owned());
    }
    match source.split(':').collect::<Vec<_>>().as_slice() {
        ["arn", _, "rds", region, _, "db", _] => Ok((*region).to_owned()),
        _ => Err(ServiceError::new(INVALID, format!("Invalid DB instance ARN: {source}"))),
    }
}

/// Modifies an instance, now or in its maintenance window.
pub(super) fn modify(world: &mut World, region: &str, params: &Params) -> Result<Answer, ServiceError> {
    let id = name_of(identifier(params, "DBInstanceIdentifier")?);
    let now = world.now;
    let database = find(world, region, &id)?;
    if database.work.is_some() {
        let message = format!("Database instance {id} is not in available state ({}).", database.status(now));
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
        let at_once = Changes { retention: changes.retention, deletion_protection: changes.deletion_protection, ..Changes::default() };
        deferred = Changes { retention: None, deletion_protection: None, ..changes };
        changes = at_once;
    }
    let effective = !(changes.is_empty() && deferred.is_empty());
    let unseen = world.draw_ms(&format!("promote-unseen/{region}/{id}"), world.timings.promote_unseen) / 2;
    let takes = world.draw_ms(&format!("modify/{region}/{id}"), world.timings.modify).max(unseen);
    if let Some(database) = world.region_mut(region).databases.get_mut(&id) {
        if !deferred.is_empty() {
            database.deferred = deferred;
        }
        if !changes.is_empty() {
            database.work = Some(Work::Modifying { unseen_until: now + unseen, until: now + takes, changes });
        }
    }
    Ok(one(world, region, "ModifyDBInstanceResult", &id)?.effective(effective))
}

/// Reads which values a modification would change, as against what they are.
fn requested(params: &Params, database: &Database) -> Result<Changes, ServiceError> {
    let retention = params.number("BackupRetentionPeriod", INVALID)?.map(retention_days).transpose()?;
    let storage = params.number("AllocatedStorage", INVALID)?.map(u32::try_from).transpose();
    let storage = storage.map_err(|_| ServiceError::new(INVALID, "Invalid storage size"))?;
    let class = params.get("DBInstanceClass").map(str::to_owned);
    if class.as_ref().is_some_and(|c| !c.starts_with("db.")) {
        return Err(ServiceError::new(INVALID, format!("Invalid DB Instance class: {}", class.unwrap_or_default())));
    }
    Ok(Changes {
        retention: retention.filter(|r| *r != database.retention),
        class: class.filter(|c| *c != database.class),
        id: params.get("NewDBInstanceIdentifier").map(str::to_ascii_lowercase).filter(|n| *n != database.id),
        multi_az: params.flag("MultiAZ", INVALID)?.filter(|m| *m != database.multi_az),
        deletion_protection: params.flag("DeletionProtection", INVALID)?.filter(|d| *d != database.deletion_protection),
        allocated_storage: storage.filter(|s| *s != database.allocated_storage),
    })
}

/// Deletes an instance, with or without a final snapshot.
pub(super) fn delete(world: &mut World, region: &str, params: &Params) -> Result<Answer, ServiceError> {
    let id = name_of(identifier(params, "DBInstanceIdentifier")?);
    let skip = params.flag("SkipFinalSnapshot", INVALID)?.unwrap_or(false);
    let snapshot = params.get("FinalDBSnapshotIdentifier").map(str::to_ascii_lowercase);
    let database = find(world, region, &id)?.clone();
    may_be_deleted(&database, skip, snapshot.as_deref())?;
    if let Some(snapshot) = snapshot {
        check_name(&snapshot)?;
        keep_snapshot(world, region, &database, snapshot)?;
    }
    let takes = world.draw_ms(&format!("delete/{region}/{id}"), world.timings.delete);
    let until = world.now + takes;
    if let Some(database) = world.region_mut(region).databases.get_mut(&id) {
        database.work = Some(Work::Deleting { until });
    }
    Ok(one(world, region, "DeleteDBInstanceResult", &id)?.effective(true))
}

fn may_be_deleted(database: &Database, skip: bool, snapshot: Option<&str>) -> Result<(), ServiceError> {
    let combination = match (snapshot, skip) {
        (None, false) => Some("FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is specified."),
        (Some(_), true) => Some("FinalDBSnapshotIdentifier can not be specified when SkipFinalSnapshot is specified."),
        (Some(_), false) if database.source.is_some() => {
            Some("FinalDBSnapshotIdentifier can not be specified when deleting a replica instance.")
        }
        _ if database.deletion_protection => Some("Cannot delete protected DB Instance, please disable deletion protection and try again."),
        _ => None,
    };
    if let Some(message) = combination {
        return Err(ServiceError::new("InvalidParameterCombination", message));
    }
    let id = &database.id;
    if matches!(database.work, Some(Work::Deleting { .. })) {
        return Err(ServiceError::new(STATE, format!("DB Instance {id} is already being deleted.")));
    }
    if snapshot.is_some() && database.work.is_some() {
        let message = format!("DB Instance {id} is not in available state, so no final snapshot can be taken.");
        return Err(ServiceError::new(STATE, message));
    }
    Ok(())
}

fn keep_snapshot(world: &mut World, region: &str, database: &Database, id: String) -> Result<(), ServiceError> {
    if world.region(region).is_some_and(|r| r.snapshots.contains_key(&id)) {
        let message = format!("Cannot create the snapshot because a snapshot with the identifier {id} already exists.");
        return Err(ServiceError::new("DBSnapshotAlreadyExists", message));
    }
    let kept = Snapshot {
        id: id.clone(),
        instance: database.id.clone(),
        engine: database.engine.clone(),
        engine_version: database.engine_version.clone(),
        allocated_storage: database.allocated_storage,
        created: world.now,
        rows: database.rows.count(),
    };
    world.region_mut(region).snapshots.insert(id, kept);
    Ok(())
}
