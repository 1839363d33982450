//! The steps that meet the faults, one of each kind that changes something, and the part of the world that each of them changes.

use serde_json::{Value, json};

use crate::servers::Servers;

/// A step, and what it asks AWS for.
pub struct Subject {
    pub kind: &'static str,
    pub ron: String,
    /// The service as microburst calls it.
    pub service: &'static str,
    /// The operation that changes the world, as microburst calls it, and how moto's list of calls names it.
    pub change: &'static str,
    pub logged: &'static str,
    /// The first operation that looks at the world.
    pub read: &'static str,
    /// What its messages must name.
    pub names: [&'static str; 2],
    /// The places in the world that it changes, and what stands there afterwards.
    pub effect: Vec<(&'static str, Value)>,
    /// Whether the call may be repeated without a look at the world: it says how things shall be, or has a token.
    pub repeatable: bool,
}

/// Makes the world of the guide, and an instance that has no replicas and is none.
pub fn seed(servers: &Servers) -> Value {
    let seeded = servers.seed("moto");
    servers.ask(&json!({
        "do": "call", "at": "moto", "region": "us-east-1", "service": "rds", "operation": "create_db_instance", "params": {
            "DBInstanceIdentifier": "alone", "DBInstanceClass": "db.r6g.xlarge", "Engine": "postgres", "AllocatedStorage": 20,
            "MasterUsername": "dbadmin", "MasterUserPassword": "not-a-secret", "BackupRetentionPeriod": 7, "StorageEncrypted": true,
        },
    }));
    seeded
}

impl Subject {
    /// Returns the world after the step, from the one before it.
    pub fn after(&self, before: &Value) -> Value {
        let mut world = before.clone();
        for (place, value) in &self.effect {
            *world.pointer_mut(place).unwrap_or_else(|| panic!("{place} is not in {before}")) = value.clone();
        }
        world
    }
}

/// Returns the steps for a world.
pub fn subjects(seeded: &Value) -> Vec<Subject> {
    let west = |field: &str| seeded["us-west-2"][field].as_str().unwrap();
    let (alb, zone) = (west("alb_dns_name"), west("alb_zone_id"));
    let dns = format!(
        r#"Route53Failover(zone: "company.com", record: "app.company.com", type: "A", set_identifier: "primary", to: Alias(dns_name: "{alb}", zone_id: "{zone}"))"#
    );
    vec![
        Subject {
            kind: "AutoScalingScale",
            ron: r#"AutoScalingScale(group: "prod-app-dr-asg", region: "us-west-2", min: 3, desired: 6, max: 12)"#.to_owned(),
            service: "autoscaling",
            change: "UpdateAutoScalingGroup",
            logged: "UpdateAutoScalingGroup",
            read: "DescribeAutoScalingGroups",
            names: ["prod-app-dr-asg", "us-west-2"],
            effect: vec![("/us-west-2/groups/prod-app-dr-asg", json!({ "min": 3, "desired": 6, "max": 12, "instances": 6 }))],
            repeatable: true,
        },
        Subject {
            kind: "EksScaleNodegroup",
            ron: r#"EksScaleNodegroup(cluster: "production-dr", nodegroup: "general", region: "us-west-2", min: 3, desired: 6)"#.to_owned(),
            service: "eks",
            change: "UpdateNodegroupConfig",
            logged: "/node-groups/general/update-config",
            read: "DescribeNodegroup",
            names: ["production-dr/general", "us-west-2"],
            effect: vec![("/us-west-2/nodegroups/production-dr", json!({ "min": 3, "desired": 6, "max": 20 }))],
            repeatable: true,
        },
        Subject {
            kind: "RdsPromoteReadReplica",
            ron: r#"RdsPromoteReadReplica(instance: "prod-db-replica-west", region: "us-west-2", backup_retention_days: 7)"#.to_owned(),
            service: "rds",
            change: "PromoteReadReplica",
            logged: "PromoteReadReplica",
            read: "DescribeDBInstances",
            names: ["prod-db-replica-west", "us-west-2"],
            effect: vec![
                ("/us-west-2/databases/prod-db-replica-west/source", json!(null)),
                ("/us-west-2/databases/prod-db-replica-west/retention", json!(7)),
                ("/us-east-1/databases/prod-db-primary/replicas", json!([])),
            ],
            repeatable: false,
        },
        Subject {
            kind: "RdsModifyInstance",
            ron: r#"RdsModifyInstance(instance: "alone", region: "us-east-1", backup_retention_days: 14)"#.to_owned(),
            service: "rds",
            change: "ModifyDBInstance",
            logged: "ModifyDBInstance",
            read: "DescribeDBInstances",
            names: ["alone", "us-east-1"],
            effect: vec![("/us-east-1/databases/alone/retention", json!(14))],
            repeatable: true,
        },
        Subject {
            kind: "RdsDeleteInstance",
            ron: r#"RdsDeleteInstance(instance: "alone", region: "us-east-1", final_snapshot: "last")"#.to_owned(),
            service: "rds",
            change: "DeleteDBInstance",
            logged: "DeleteDBInstance",
            read: "DescribeDBInstances",
            names: ["alone", "us-east-1"],
            effect: vec![("/us-east-1/databases/alone", json!(null)), ("/us-east-1/snapshots", json!(["last"]))],
            repeatable: false,
        },
        Subject {
            kind: "Route53Failover",
            ron: dns,
            service: "route53",
            change: "ChangeResourceRecordSets",
            logged: "POST /2013-04-01/hostedzone/",
            read: "ListHostedZonesByName",
            names: ["app.company.com", "company.com"],
            effect: vec![
                ("/records/app.company.com. A primary/AliasTarget/DNSName", json!(alb)),
                ("/records/app.company.com. A primary/AliasTarget/HostedZoneId", json!(zone)),
            ],
            repeatable: true,
        },
        Subject {
            kind: "SnsPublish",
            ron: r#"SnsPublish(topic: "production-dr-alerts", region: "us-west-2", subject: "DR failover started")"#.to_owned(),
            service: "sns",
            change: "Publish",
            logged: "Publish",
            read: "",
            names: ["production-dr-alerts", "us-west-2"],
            effect: vec![("/us-west-2/messages", json!(1))],
            repeatable: false,
        },
    ]
}
