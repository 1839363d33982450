//! RDS: a primary with a replica, and all that can be asked of them.

use serde_json::{Value, json};

use super::sequence::{Call, Case, Draw, EAST, Subject, Use::*, WEST, case};

pub const SUBJECT: Subject = Subject { service: "rds", cases: CASES, seed, watch, names: |_| json!({}) };

/// The region of the replica: only moto has replicas in another.
fn away(draw: &Draw) -> &'static str {
    if draw.server == "moto" { WEST } else { EAST }
}

fn primary(draw: &Draw) -> String {
    draw.name("primary")
}

fn replica(draw: &Draw) -> String {
    draw.name("replica")
}

fn fresh(draw: &Draw) -> String {
    draw.name("new")
}

fn arn(draw: &Draw, region: &str, name: &str) -> String {
    format!("arn:aws:rds:{region}:{}:db:{name}", draw.account)
}

/// How the primary is named where the replica is.
fn source(draw: &Draw) -> String {
    if away(draw) == EAST { primary(draw) } else { arn(draw, EAST, &primary(draw)) }
}

fn seed(draw: &Draw) -> Vec<Call> {
    vec![
        Call::new(
            "rds",
            EAST,
            "create_db_instance",
            json!({
                "DBInstanceIdentifier": primary(draw), "DBInstanceClass": "db.r6g.xlarge", "Engine": "postgres", "EngineVersion": "15.4",
                "AllocatedStorage": 500, "MasterUsername": "dbadmin", "MasterUserPassword": "not-a-secret", "BackupRetentionPeriod": 30,
                "MultiAZ": true, "DBName": "production", "StorageType": "gp3", "PubliclyAccessible": false,
                "Tags": [{ "Key": "DR_Role", "Value": "primary" }],
            }),
        ),
        Call::new(
            "rds",
            away(draw),
            "create_db_instance_read_replica",
            json!({
                "DBInstanceIdentifier": replica(draw), "SourceDBInstanceIdentifier": source(draw), "DBInstanceClass": "db.r6g.xlarge",
                "StorageType": "gp3", "PubliclyAccessible": false, "Tags": [{ "Key": "DR_Role", "Value": "replica" }],
            }),
        ),
        // RDS gives a replica no backups; the servers copy the retention of the source.
        Call::new(
            "rds",
            away(draw),
            "modify_db_instance",
            json!({ "DBInstanceIdentifier": replica(draw), "BackupRetentionPeriod": 0, "MultiAZ": false, "ApplyImmediately": true }),
        ),
    ]
}

/// What the simulator has of a sequence in the east, as a world file says it.
pub fn simulated_primary(draw: &Draw) -> String {
    format!(
        r#"(id: "{}", engine: "postgres", engine_version: "15.4", class: "db.r6g.xlarge", allocated_storage: 500, multi_az: true,
            backup_retention: 30, database: "production", username: "dbadmin", tags: {{ "DR_Role": "primary" }})"#,
        primary(draw)
    )
}

/// What the simulator has of a sequence where the replica is.
pub fn simulated_replica(draw: &Draw) -> (&'static str, String) {
    let replica = format!(
        r#"(id: "{}", replica_of: (region: "us-east-1", id: "{}"), engine: "postgres", engine_version: "15.4", class: "db.r6g.xlarge",
            allocated_storage: 500, multi_az: false, backup_retention: 0, database: "production", username: "dbadmin",
            tags: {{ "DR_Role": "replica" }})"#,
        replica(draw),
        primary(draw)
    );
    (away(draw), replica)
}

fn watch(draw: &Draw) -> Vec<Call> {
    let mut places = vec![(EAST, primary(draw)), (EAST, fresh(draw)), (away(draw), replica(draw))];
    if away(draw) != EAST {
        places.push((away(draw), fresh(draw)));
    }
    let describe = |(region, name)| {
        let call = Call::new("rds", region, "describe_db_instances", json!({ "DBInstanceIdentifier": name }));
        call.busy("DBInstances[?DBInstanceStatus!='available']")
    };
    let mut calls: Vec<_> = places.into_iter().map(describe).collect();
    let snapshots =
        |name| Call::new("rds", EAST, "describe_db_snapshots", json!({ "DBInstanceIdentifier": name, "SnapshotType": "manual" }));
    calls.push(snapshots(primary(draw)));
    calls
}

/// Adds more parameters to the name of an instance.
fn of(name: String, more: Value) -> Value {
    let mut params = json!({ "DBInstanceIdentifier": name });
    params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    params
}

fn at_once(name: String, more: Value) -> Value {
    let mut params = of(name, more);
    params["ApplyImmediately"] = json!(true);
    params
}

/// What cannot be the name of an instance.
fn no_name(draw: &mut Draw) -> String {
    let what = draw.one_of(&["under_score", "double--dash", "dash-"]);
    let name = draw.name(what);
    let before = draw.one_of(&["", "-", "9"]);
    format!("{before}{name}")
}

const DESCRIBE: &str = "describe_db_instances";
const MODIFY: &str = "modify_db_instance";
const CREATE: &str = "create_db_instance_read_replica";
const PROMOTE: &str = "promote_read_replica";
const DELETE: &str = "delete_db_instance";

/// moto tells of Aurora and Neptune only.
fn offered(class: &str) -> (&'static str, Value) {
    (EAST, json!({ "Engine": "postgres", "EngineVersion": "15.4", "DBInstanceClass": class }))
}

const CASES: &[Case] = &[
    case("describe_orderable_db_instance_options", "a class that is there", Look, |_| offered("db.r5.xlarge")).on("ministack"),
    case("describe_orderable_db_instance_options", "a class that is none", Look, |_| offered("r5.xlarge")).on("ministack"),
    case(DESCRIBE, "the primary", Look, |d| (EAST, of(primary(d), json!({})))),
    case(DESCRIBE, "the replica", Look, |d| (away(d), of(replica(d), json!({})))),
    case(DESCRIBE, "all", All, |d| (away(d), json!({}))),
    case(DESCRIBE, "an unknown name", Look, |d| (EAST, of(d.name("unknown"), json!({})))),
    case(DESCRIBE, "a name of another region", Look, |d| (WEST, of(primary(d), json!({})))),
    case(DESCRIBE, "a name in capitals", Look, |d| (EAST, of(primary(d).to_uppercase(), json!({})))),
    case(DESCRIBE, "an ARN", Look, |d| (EAST, of(arn(d, EAST, &primary(d)), json!({})))),
    case(DESCRIBE, "an ARN of another region", Look, |d| (WEST, of(arn(d, EAST, &primary(d)), json!({})))),
    case(DESCRIBE, "an ARN of nothing", Look, |d| (EAST, of(arn(d, EAST, "nothing"), json!({})))),
    case(DESCRIBE, "filtered by name", Look, |d| {
        (EAST, json!({ "Filters": [{ "Name": "db-instance-id", "Values": [primary(d), d.name("unknown")] }] }))
    }),
    case(DESCRIBE, "filtered by a name that is not there", Look, |d| {
        (EAST, json!({ "Filters": [{ "Name": "db-instance-id", "Values": [d.name("unknown")] }] }))
    }),
    case(DESCRIBE, "an unknown filter", Look, |d| (EAST, json!({ "Filters": [{ "Name": "colour", "Values": [primary(d)] }] }))),
    case(DESCRIBE, "fewer records than 20", Look, |d| (EAST, json!({ "MaxRecords": d.number(0, 19) }))),
    case(DESCRIBE, "an invalid marker", Look, |_| (EAST, json!({ "Marker": "nonsense" }))),
    case("describe_db_snapshots", "an unknown snapshot", Look, |d| (EAST, json!({ "DBSnapshotIdentifier": d.name("unknown") }))),
    case("describe_db_snapshots", "an instance without any", Look, |d| (EAST, json!({ "DBInstanceIdentifier": d.name("unknown") }))),
    case("list_tags_for_resource", "the primary", Look, |d| (EAST, json!({ "ResourceName": arn(d, EAST, &primary(d)) }))),
    case("list_tags_for_resource", "an unknown instance", Look, |d| (EAST, json!({ "ResourceName": arn(d, EAST, "unknown") }))),
    case("list_tags_for_resource", "a name that is no ARN", Look, |d| (EAST, json!({ "ResourceName": primary(d) }))),
    case("list_tags_for_resource", "nothing named", Look, |_| (EAST, json!({}))),
    case("add_tags_to_resource", "a new tag", Change, |d| {
        (EAST, json!({ "ResourceName": arn(d, EAST, &primary(d)), "Tags": [{ "Key": "drill", "Value": d.number(1, 9).to_string() }] }))
    }),
    case("add_tags_to_resource", "a tag that is there", Change, |d| {
        (EAST, json!({ "ResourceName": arn(d, EAST, &primary(d)), "Tags": [{ "Key": "DR_Role", "Value": "other" }] }))
    }),
    case("add_tags_to_resource", "an unknown instance", Change, |d| {
        (EAST, json!({ "ResourceName": arn(d, EAST, "unknown"), "Tags": [{ "Key": "a", "Value": "b" }] }))
    }),
    case(MODIFY, "the retention", Change, |d| {
        let days = d.number(1, 35);
        (EAST, at_once(primary(d), json!({ "BackupRetentionPeriod": days })))
    }),
    case(MODIFY, "the class", Change, |d| {
        let class = d.one_of(&["db.r6g.large", "db.r6g.xlarge", "db.r6g.2xlarge"]);
        (EAST, at_once(primary(d), json!({ "DBInstanceClass": class })))
    }),
    case(MODIFY, "several things", Change, |d| {
        let multi = d.rng.bool();
        (EAST, at_once(primary(d), json!({ "MultiAZ": multi, "AllocatedStorage": 600, "BackupRetentionPeriod": 14 })))
    }),
    case(MODIFY, "the retention of the replica", Change, |d| {
        let days = d.number(0, 7);
        (away(d), at_once(replica(d), json!({ "BackupRetentionPeriod": days })))
    }),
    case(MODIFY, "in capitals", Change, |d| (EAST, at_once(primary(d).to_uppercase(), json!({ "BackupRetentionPeriod": 21 })))),
    case(MODIFY, "nothing", Change, |d| (EAST, of(primary(d), json!({})))),
    case(MODIFY, "the class, in the maintenance window", Last, |d| (EAST, of(primary(d), json!({ "DBInstanceClass": "db.r6g.4xlarge" })))),
    case(MODIFY, "a retention of more than 35 days", Change, |d| {
        let days = d.number(36, 99);
        (EAST, at_once(primary(d), json!({ "BackupRetentionPeriod": days })))
    }),
    case(MODIFY, "a negative retention", Change, |d| (EAST, at_once(primary(d), json!({ "BackupRetentionPeriod": -1 })))),
    case(MODIFY, "a retention that is no number", Change, |d| (EAST, at_once(primary(d), json!({ "BackupRetentionPeriod": "many" })))),
    case(MODIFY, "a class that is none", Change, |d| (EAST, at_once(primary(d), json!({ "DBInstanceClass": "r6g" })))),
    case(MODIFY, "less storage", Change, |d| (EAST, at_once(primary(d), json!({ "AllocatedStorage": 100 })))),
    case(MODIFY, "an unknown instance", Change, |d| (EAST, at_once(d.name("unknown"), json!({ "BackupRetentionPeriod": 7 })))),
    case(MODIFY, "an instance of another region", Change, |d| (WEST, at_once(primary(d), json!({ "BackupRetentionPeriod": 7 })))),
    // moto takes any instance for it, also one of another sequence.
    case(MODIFY, "no instance", Change, |_| (EAST, json!({ "BackupRetentionPeriod": 7 }))).on("ministack"),
    case(MODIFY, "a name that is taken", Change, |d| (EAST, at_once(replica(d), json!({ "NewDBInstanceIdentifier": primary(d) }))))
        .on("ministack"),
    case(MODIFY, "a name that is none", Change, |d| {
        let name = no_name(d);
        (EAST, at_once(primary(d), json!({ "NewDBInstanceIdentifier": name })))
    }),
    case(MODIFY, "a new name", Last, |d| (EAST, at_once(primary(d), json!({ "NewDBInstanceIdentifier": fresh(d) })))),
    case(MODIFY, "a new name, in capitals", Last, |d| {
        (EAST, at_once(primary(d), json!({ "NewDBInstanceIdentifier": fresh(d).to_uppercase() })))
    }),
    case(CREATE, "a replica of the primary", Change, |d| {
        (away(d), of(fresh(d), json!({ "SourceDBInstanceIdentifier": source(d), "DBInstanceClass": "db.r6g.large" })))
    }),
    case(CREATE, "a replica where the primary is", Last, |d| (EAST, of(fresh(d), json!({ "SourceDBInstanceIdentifier": primary(d) })))),
    case(CREATE, "a name in capitals", Last, |d| {
        (away(d), of(fresh(d).to_uppercase(), json!({ "SourceDBInstanceIdentifier": source(d) })))
    }),
    case(CREATE, "a name that is taken", Change, |d| (away(d), of(replica(d), json!({ "SourceDBInstanceIdentifier": source(d) })))),
    case(CREATE, "a name that is none", Change, |d| {
        let name = no_name(d);
        (away(d), of(name, json!({ "SourceDBInstanceIdentifier": source(d) })))
    }),
    case(CREATE, "an unknown source", Change, |d| (EAST, of(fresh(d), json!({ "SourceDBInstanceIdentifier": d.name("unknown") })))),
    case(CREATE, "an unknown source in another region", Change, |d| {
        (WEST, of(fresh(d), json!({ "SourceDBInstanceIdentifier": arn(d, EAST, "unknown") })))
    })
    .on("moto"),
    case(CREATE, "a source in another region by its name", Change, |d| {
        (WEST, of(fresh(d), json!({ "SourceDBInstanceIdentifier": primary(d) })))
    }),
    case(CREATE, "a malformed ARN", Change, |d| {
        let source = d.one_of(&["arn:aws:rds:us-east-1", "arn:aws:s3:::bucket", "arn:aws:rds:us-east-1:1:snapshot:x"]);
        (EAST, of(fresh(d), json!({ "SourceDBInstanceIdentifier": source })))
    }),
    case(CREATE, "no source", Change, |d| (EAST, of(fresh(d), json!({})))),
    // ministack makes an instance without a name, and of all sequences the same.
    case(CREATE, "no name", Change, |d| (EAST, json!({ "SourceDBInstanceIdentifier": primary(d) }))).on("moto"),
    case(CREATE, "a source without backups", Change, |d| {
        (away(d), of(fresh(d), json!({ "SourceDBInstanceIdentifier": arn(d, away(d), &replica(d)) })))
    })
    .on("moto"),
    case(PROMOTE, "a replica", Change, |d| {
        let days = d.number(1, 35);
        (WEST, of(replica(d), json!({ "BackupRetentionPeriod": days })))
    })
    .on("moto"),
    case(PROMOTE, "a replica, without a retention", Last, |d| (WEST, of(replica(d), json!({})))).on("moto"),
    case(PROMOTE, "a replica in capitals", Change, |d| (WEST, of(replica(d).to_uppercase(), json!({ "BackupRetentionPeriod": 7 }))))
        .on("moto"),
    case(PROMOTE, "what is no replica", Change, |d| (EAST, of(primary(d), json!({})))).on("moto"),
    case(PROMOTE, "a retention of more than 35 days", Change, |d| (WEST, of(replica(d), json!({ "BackupRetentionPeriod": 36 }))))
        .on("moto"),
    case(PROMOTE, "an unknown instance", Change, |d| (EAST, of(d.name("unknown"), json!({})))).on("moto"),
    case(PROMOTE, "no instance", Change, |_| (EAST, json!({}))).on("moto"),
    case(DELETE, "the replica", Last, |d| (away(d), of(replica(d), json!({ "SkipFinalSnapshot": true })))),
    case(DELETE, "the primary, with a snapshot", Last, |d| (EAST, of(primary(d), json!({ "FinalDBSnapshotIdentifier": d.name("last") })))),
    case(DELETE, "neither snapshot nor skip", Change, |d| (EAST, of(primary(d), json!({})))),
    case(DELETE, "snapshot and skip", Change, |d| {
        (EAST, of(primary(d), json!({ "SkipFinalSnapshot": true, "FinalDBSnapshotIdentifier": d.name("last") })))
    }),
    case(DELETE, "the replica, with a snapshot", Change, |d| {
        (away(d), of(replica(d), json!({ "FinalDBSnapshotIdentifier": d.name("last") })))
    }),
    case(DELETE, "an invalid snapshot name", Change, |d| (EAST, of(primary(d), json!({ "FinalDBSnapshotIdentifier": "-dash" })))),
    case(DELETE, "an unknown instance", Change, |d| (EAST, of(d.name("unknown"), json!({ "SkipFinalSnapshot": true })))),
    case(DELETE, "no instance", Change, |_| (EAST, json!({ "SkipFinalSnapshot": true }))),
];
