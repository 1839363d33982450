//! What can be broken, each with the checks that find it.

use wf_engine::model::event::Mode;

pub const FAILOVER: &str = "failover.ron";
pub const STOP: &str = "failover-stop.ron";

/// Something that is broken, and the checks that find it.
pub struct Break {
    /// In which workflow.
    pub file: &'static str,
    /// What is written otherwise in the workflow.
    pub plan: &'static [(&'static str, &'static str)],
    /// What is written otherwise in the world file.
    pub world: &'static [(&'static str, &'static str)],
    pub fault: &'static str,
    pub mode: Mode,
    /// What is under way.
    pub busy: Busy,
    /// The checks that are not passed, beyond [`ALWAYS`].
    pub found: &'static [&'static str],
    /// What the first of them says, or advises.
    pub says: &'static str,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Busy {
    Nothing,
    Replica,
    Nodes,
}

pub const WHOLE: Break = Break {
    file: FAILOVER,
    plan: &[],
    world: &[],
    fault: "primary-alive",
    mode: Mode::Unplanned,
    busy: Busy::Nothing,
    found: &[],
    says: "",
};

/// A break of the world file.
const fn world(edits: &'static [(&'static str, &'static str)], found: &'static [&'static str], says: &'static str) -> Break {
    Break { world: edits, found, says, ..WHOLE }
}

/// A break of the workflow.
const fn plan(edits: &'static [(&'static str, &'static str)], found: &'static [&'static str], says: &'static str) -> Break {
    Break { plan: edits, found, says, ..WHOLE }
}

/// A break by a fault.
const fn fault(fault: &'static str, found: &'static [&'static str], says: &'static str) -> Break {
    Break { fault, found, says, ..WHOLE }
}

/// A break of what only a planned failover does.
const fn planned(edits: &'static [(&'static str, &'static str)], found: &'static [&'static str], says: &'static str) -> Break {
    Break { mode: Mode::Planned, ..world(edits, found, says) }
}

const REPLICA: &str = r#"replica_of: (region: "us-east-1", id: "prod-db-primary"),"#;
const DR_KEY: &str = r#"keys: [(id: "b81e4f27-3c95-4d60-8f1a-7e29d05c6a43", alias: "alias/prod-db")]"#;
const DR_GROUP: &str = r#"name: "prod-app-dr-asg", min: 0, max: 10,"#;
const DR_TEMPLATE: &str = r#"launch_template: "prod-app-dr""#;
const DR_IMAGE: &str = r#"images: [(id: "ami-0d4c8b2a6e1f97531")]"#;
const DR_QUOTA: &str = r#"quotas: { "L-1216C47A": 128 }"#;
const DR_SUBNET_A: &str = r#"cidr: "10.1.1.0/24", free: 244"#;
const DR_SUBNET_B: &str = r#"cidr: "10.1.2.0/24", free: 245"#;
const DR_SUBNET_C: &str = r#"cidr: "10.1.3.0/24", free: 244"#;
const EAST_ROUTE: &str = r#"(to: "10.1.0.0/16", peering: "pcx-0c3d7f1a9b2e46580")"#;
const WEST_ROUTE: &str = r#"(to: "10.0.0.0/16", peering: "pcx-0c3d7f1a9b2e46580")"#;
const LOOK: &str = r#"VpcPeering(connection: "${peering}", region: "${dr_region}")"#;
const PEERING: &str = r#"id: "pcx-0c3d7f1a9b2e46580","#;
const DR_NODES: &str = r#"name: "general", min: 0, max: 20,"#;
const DR_VELERO: &str = r#"(velero: (location: "aws-s3", bucket: "production-velero-backups"))"#;
const PRIMARY_ALIAS: &str = r#"alias: (region: "us-east-1", load_balancer: "prod-app-alb", evaluate_target_health: true)"#;
const WATCHED: &str = r#"health_check: "c8d5e2b7-1f40-4a6d-9e83-72b6a0c94d15","#;
const DR_TOPIC: &str = r#"endpoint: "oncall@company.com")],
            buckets"#;

const DATA: &str = r#"(name: "production-app-data-primary", copied: (rule: "replicate-to-dr", to: "production-app-data-dr"))"#;
const RULE: &str = r#"rule: "replicate-to-dr","#;
const DR_DATA: &str = r#"(name: "production-app-data-dr")"#;

const DR_IMAGES: &str = r#""reports:v1.0.0": "1" },
            ),"#;
const COPIES: &str = r#"copies: [(region: "us-west-2")],"#;
const DR_BALANCER: &str = r#"zone_id: "Z1H1FL5HABSF5", target_groups: ["prod-app-dr-tg"],"#;

pub const BREAKS: &[Break] = &[
    // The database.
    plan(&[("\"prod-db-replica-west\"", "\"prod-db-replica-wets\"")], &["promote/replica failed"], "did you mean prod-db-replica-west?"),
    world(&[(REPLICA, "")], &["promote/replica failed"], "replicates nothing"),
    Break { busy: Busy::Replica, ..world(&[], &["promote/status failed"], "aws rds wait db-instance-available") },
    world(
        &[(REPLICA, r#"replica_of: (region: "us-east-1", id: "prod-db-primary"), replication: "error","#)],
        &["promote/replication failed"],
        "`error`",
    ),
    fault("lag prod-db-replica-west 2h", &["promote/lag failed"], "2h behind its source"),
    world(&[("backup_retention: 30", "backup_retention: 0")], &["promote/backups of the source failed"], "--backup-retention-period 7"),
    plan(
        &[("backup_retention_days: 7", "backup_retention_days: 0")],
        &["promote/backups after the promotion failed"],
        "backup_retention_days: 7",
    ),
    world(
        &[(
            "engine_version: \"15.4\", class: \"db.r6g.xlarge\",\n                    allocated_storage: 500, multi_az: false",
            "engine_version: \"15.4\", class: \"db.t3.medium\",\n                    allocated_storage: 500, multi_az: false",
        )],
        &["promote/instance class warned"],
        "--db-instance-class db.r6g.xlarge",
    ),
    world(
        &[(DR_KEY, r#"keys: [(id: "b81e4f27-3c95-4d60-8f1a-7e29d05c6a43", state: "Disabled")]"#)],
        &["promote/KMS key failed"],
        "aws kms enable-key --key-id arn:aws:kms:us-west-2:123456789012:key/b81e4f27-3c95-4d60-8f1a-7e29d05c6a43",
    ),
    world(
        &[(DR_KEY, r#"keys: [(id: "b81e4f27-3c95-4d60-8f1a-7e29d05c6a43", state: "PendingDeletion")]"#)],
        &["promote/KMS key failed"],
        "aws kms cancel-key-deletion",
    ),
    world(&[(DR_KEY, "keys: []")], &["promote/KMS key failed"], "there is no key"),
    world(&[("key: \"b81e4f27-3c95-4d60-8f1a-7e29d05c6a43\",", "")], &[], ""),
    fault("deny DescribeKey", &["promote/KMS key unknown"], "allow kms:DescribeKey"),
    plan(&[("max_replica_lag: \"${max_replica_lag}\", ", "")], &[], ""),
    Break {
        plan: &[("max_replica_lag: \"${max_replica_lag}\", ", "")],
        ..fault("lag prod-db-replica-west 2h", &["promote/lag warned"], "more than the RPO of 5m")
    },
    // The application's servers.
    plan(&[("\"prod-app-dr-asg\"", "\"prod-app-dr-asgs\"")], &["scale_app/observe failed"], "did you mean prod-app-dr-asg?"),
    world(&[(DR_GROUP, r#"name: "prod-app-dr-asg", min: 0, max: 4,"#)], &["scale_app/sizes failed"], "it has"),
    world(&[(DR_TEMPLATE, "launch_template: None")], &["scale_app/launch template failed"], "--launch-template"),
    world(
        &[(DR_GROUP, r#"name: "prod-app-dr-asg", min: 0, max: 10, zones: 1,"#)],
        &["scale_app/zones failed"],
        "one zone only (us-west-2a)",
    ),
    world(
        &[(DR_GROUP, r#"name: "prod-app-dr-asg", min: 0, max: 10, suspended: ["Launch"],"#)],
        &["scale_app/processes failed"],
        "resume-processes",
    ),
    world(
        &[("launch_templates: [(name: \"prod-app-dr\"", "launch_templates: [(name: \"prod-app-d\"")],
        &["scale_app/launch template failed"],
        "version $Latest of launch template prod-app-dr, which is not there",
    ),
    world(
        &[(DR_TEMPLATE, r#"launch_template: "prod-app-dr", launch_template_version: "3""#)],
        &["scale_app/launch template failed"],
        "version 3 of launch template prod-app-dr",
    ),
    world(&[(DR_TEMPLATE, r#"launch_template: "prod-app-dr", launch_template_version: "2""#)], &[], ""),
    world(&[(DR_IMAGE, "images: []")], &["scale_app/image failed"], "aws ec2 copy-image"),
    world(
        &[(DR_IMAGE, r#"images: [(id: "ami-0d4c8b2a6e1f97531", state: "pending")]"#)],
        &["scale_app/image failed"],
        "which is pending: it has to be available",
    ),
    // Six instances and six nodes are to come; each step knows of its own.
    world(
        &[
            (DR_SUBNET_A, "cidr: \"10.1.1.0/24\", free: 0"),
            (DR_SUBNET_B, "cidr: \"10.1.2.0/24\", free: 3"),
            (DR_SUBNET_C, "cidr: \"10.1.3.0/24\", free: 2"),
        ],
        &["scale_app/addresses failed", "scale_eks/addresses failed"],
        "is to have 6 more, and its subnets have 5 free addresses",
    ),
    world(
        &[
            (DR_SUBNET_A, "cidr: \"10.1.1.0/24\", free: 0"),
            (DR_SUBNET_B, "cidr: \"10.1.2.0/24\", free: 3"),
            (DR_SUBNET_C, "cidr: \"10.1.3.0/24\", free: 3"),
        ],
        &[],
        "",
    ),
    // 6 × m5.large are 12 vCPUs, 6 × m5.xlarge 24.
    world(
        &[(DR_QUOTA, r#"quotas: { "L-1216C47A": 23 }"#)],
        &["scale_eks/vCPU quota failed"],
        "--service-code ec2 --quota-code L-1216C47A --desired-value 24 --region us-west-2",
    ),
    world(&[(DR_QUOTA, r#"quotas: { "L-1216C47A": 24 }"#)], &[], ""),
    // Nobody ever had it raised: AWS's default.
    world(
        &[(DR_QUOTA, r#"quotas: { "L-1216C47A": None }"#)],
        &["scale_app/vCPU quota failed", "scale_eks/vCPU quota failed"],
        "the quota of us-west-2 is 5",
    ),
    world(&[(DR_QUOTA, "quotas: {}")], &[], ""),
    // Who may not look does not know.
    fault("deny DescribeLaunchTemplateVersions", &["scale_app/launch template unknown"], "allow ec2:DescribeLaunchTemplateVersions"),
    // EC2 and ECR both call an action so.
    fault("deny DescribeImages", &["images_copied/observe failed", "scale_app/image unknown"], "allow ec2:DescribeImages"),
    fault("deny DescribeSubnets", &["scale_app/addresses unknown", "scale_eks/addresses unknown"], "allow ec2:DescribeSubnets"),
    fault(
        "deny DescribeInstanceTypes",
        &["scale_app/vCPU quota unknown", "scale_eks/vCPU quota unknown"],
        "allow ec2:DescribeInstanceTypes",
    ),
    fault("deny GetServiceQuota", &["scale_app/vCPU quota unknown", "scale_eks/vCPU quota unknown"], "allow servicequotas:GetServiceQuota"),
    Break {
        world: &[(DR_QUOTA, r#"quotas: { "L-1216C47A": None }"#)],
        ..fault(
            "deny GetAWSDefaultServiceQuota",
            &["scale_app/vCPU quota unknown", "scale_eks/vCPU quota unknown"],
            "allow servicequotas:GetAWSDefaultServiceQuota",
        )
    },
    // A fence launches nothing: what it would need for that is no matter.
    world(
        &[
            ("min: 3, max: 10, desired: 6,", "min: 3, max: 10, desired: 6, suspended: [\"Launch\"], zones: 1,"),
            ("launch_template: \"prod-app\"", "launch_template: None"),
        ],
        &[],
        "",
    ),
    world(
        &[("min: 3, max: 10, desired: 6,", "min: 3, max: 10, desired: 6, suspended: [\"Terminate\"],")],
        &["fence/observe failed"],
        "Terminate",
    ),
    world(&[("lease: (region:", "// lease: (region:")], &["fence/write lease warned"], "`wf kinds Fence`"),
    plan(
        &[("key: \"${lease_key}\", region: \"${dr_region}\"", "key: \"${lease_key}\", region: \"${primary_region}\"")],
        &["fence/place of the lease warned", "fence/write lease warned"],
        "in a third one",
    ),
    // The cluster's nodes.
    Break {
        plan: &[("desired: \"${dr_desired}\", max: 20)", "desired: \"${dr_desired}\")")],
        ..world(&[(DR_NODES, r#"name: "general", min: 0, max: 4,"#)], &["scale_eks/sizes failed"], "it has")
    },
    world(
        &[(DR_NODES, r#"name: "general", min: 0, max: 20, issues: ["InsufficientFreeAddresses"],"#)],
        &["scale_eks/health failed"],
        "InsufficientFreeAddresses",
    ),
    Break { busy: Busy::Nodes, ..world(&[], &["scale_eks/status failed"], "aws eks wait nodegroup-active") },
    world(
        &[("name: \"production-dr\", version: \"1.28\"", "name: \"production-dr\", version: \"1.27\"")],
        &["scale_eks/cluster version failed"],
        "has 1.27, and cluster production-primary in us-east-1 has 1.28",
    ),
    world(
        &[(
            "name: \"production-dr\", version: \"1.28\", addons: [\"coredns\", \"kube-proxy\", \"vpc-cni\"]",
            "name: \"production-dr\", version: \"1.28\", addons: [\"coredns\"]",
        )],
        &["scale_eks/add-ons failed"],
        "has coredns, and cluster production-primary in us-east-1 has coredns, kube-proxy, vpc-cni",
    ),
    fault("deny ListAddons", &["fence_eks/add-ons unknown", "scale_eks/add-ons unknown"], "allow eks:ListAddons"),
    // The load balancer.
    plan(&[("\"prod-app-dr-tg\"", "\"prod-app-dr-gt\"")], &["targets/target group failed"], "did you mean prod-app-dr-tg?"),
    world(
        &[("zone_id: \"Z1H1FL5HABSF5\", target_groups: [\"prod-app-dr-tg\"]", "zone_id: \"Z1H1FL5HABSF5\", target_groups: []")],
        &["targets/load balancer failed"],
        "modify-listener",
    ),
    // The networks.
    world(
        &[(PEERING, r#"id: "pcx-0c3d7f1a9b2e46580", status: "pending-acceptance","#)],
        &["peering/peering failed"],
        "accept-vpc-peering-connection --vpc-peering-connection-id pcx-0c3d7f1a9b2e46580 --region us-west-2",
    ),
    world(&[(PEERING, r#"id: "pcx-0c3d7f1a9b2e46580", status: "deleted","#)], &["peering/peering failed"], "create-vpc-peering-connection"),
    world(&[(PEERING, r#"id: "pcx-0c3d7f1a9b2e46580", status: "failed","#)], &["peering/peering failed"], "is failed"),
    world(&[(PEERING, r#"id: "pcx-0c3d7f1a9b2e46580", status: "provisioning","#)], &["peering/observe failed"], "look again"),
    world(&[(PEERING, r#"id: "pcx-0c3d7f1a9b2e46581","#)], &["peering/observe failed"], "did you mean pcx-0c3d7f1a9b2e46581?"),
    world(
        &[(EAST_ROUTE, "")],
        &["peering/routes failed"],
        "aws ec2 create-route --route-table-id rtb-0ea57a --destination-cidr-block 10.1.0.0/16",
    ),
    world(&[(WEST_ROUTE, "")], &["peering/routes failed"], "--region us-west-2"),
    world(
        &[(WEST_ROUTE, r#"(to: "10.9.0.0/16", peering: "pcx-0c3d7f1a9b2e46580")"#)],
        &["peering/routes failed"],
        "no route leads from vpc-0d25b4c3a2918f7e6 in us-west-2 to 10.0.0.0/16",
    ),
    world(
        &[(WEST_ROUTE, r#"(to: "10.0.0.0/16", peering: "pcx-0c3d7f1a9b2e46580", blackhole: true)"#)],
        &["peering/routes failed"],
        "but for a blackhole",
    ),
    world(&[(WEST_ROUTE, r#"(to: "10.0.0.0/16", peering: "pcx-0123")"#)], &["peering/routes failed"], "create-route"),
    world(&[(WEST_ROUTE, r#"(to: "10.0.1.0/24", peering: "pcx-0c3d7f1a9b2e46580")"#)], &[], ""),
    Break {
        plan: &[(LOOK, r#"VpcPeering(connection: "${peering}", region: "${dr_region}", route_tables: ["rtb-0d25bb"])"#)],
        ..world(&[], &["peering/routes failed"], "looked at rtb-0d25bb")
    },
    Break {
        plan: &[(LOOK, r#"VpcPeering(connection: "${peering}", region: "${dr_region}", route_tables: ["rtb-0d25bc"])"#)],
        ..world(&[], &["peering/routes failed"], "neither side of peering connection pcx-0c3d7f1a9b2e46580 has a route table rtb-0d25bc")
    },
    Break { fault: "deny DescribeRouteTables", ..world(&[], &["peering/observe failed"], "allow ec2:DescribeRouteTables") },
    // DNS.
    plan(
        &[
            ("\"company.com\"", "\"company.net\""),
            ("\"app.company.com\"", "\"app.company.net\""),
            ("\"shop.company.com\"", "\"shop.company.net\""),
        ],
        &["dns/record failed"],
        "no public hosted zone company.net",
    ),
    plan(&[("\"app.company.com\"", "\"ap.company.com\"")], &["dns/record failed"], "no record ap.company.com A (primary)"),
    planned(
        &[(
            "name: \"app.company.com\", type: \"A\", set_identifier: \"secondary\"",
            "name: \"old.company.com\", type: \"A\", set_identifier: \"secondary\"",
        )],
        &["dns_edit/failover pair failed"],
        "\"Failover\": \"SECONDARY\"",
    ),
    planned(&[(WATCHED, "")], &["dns_edit/health check warned"], "HealthCheckId"),
    planned(
        &[(WATCHED, ""), (PRIMARY_ALIAS, r#"alias: (region: "us-east-1", load_balancer: "prod-app-alb")"#)],
        &["dns_edit/health check failed"],
        "healthy for ever",
    ),
    planned(
        &[("fqdn: \"prod-app-alb-1190425811", "fqdn: \"prod-app-alb-0000000000")],
        &["dns_edit/health failed"],
        "already answers with the SECONDARY",
    ),
    planned(&[(PRIMARY_ALIAS, "ttl: 300, values: [\"192.0.2.1\"]")], &["dns_edit/time to live failed"], "\"TTL\": 60"),
    fault("service-outage route53", &["dns/record unknown"], "the service failed"),
    world(&[(WATCHED, "")], &["dns/stop object failed"], "has no health check"),
    Break {
        file: STOP,
        ..plan(&[("\"failover/app.company.com\"", "\"failover/ap.company.com\"")], &["dns/stop object failed"], "does not watch")
    },
    // Who is told.
    plan(&[("\"production-dr-alerts\"", "\"production-dr-alert\"")], &["announce/topic failed"], "production-dr-alerts"),
    world(
        &[(DR_TOPIC, "endpoint: \"oncall@company.com\", pending: true)],\n            buckets")],
        &["announce/subscriptions failed"],
        "not confirmed yet: email oncall@company.com",
    ),
    world(
        &[(
            DR_TOPIC,
            "endpoint: \"oncall@company.com\"), (topic: \"production-dr-alerts\", protocol: \"sms\", endpoint: \"+15550100\", pending: true)],\n            buckets",
        )],
        &["announce/subscriptions warned"],
        "not confirmed yet: sms +15550100",
    ),
    fault("deny ListSubscriptionsByTopic", &["announce/topic failed"], "sns:ListSubscriptionsByTopic"),
    // What is restored.
    world(
        &[(DR_VELERO, r#"(velero: (location: "aws-s3", bucket: "production-velero-backups", unavailable: true))"#)],
        &["restore/storage location failed"],
        "Access Denied",
    ),
    Break { plan: &[("\"26h\"", "\"3h\"")], ..fault("backup-partial", &["restore/backup failed"], "max_age is 3h") },
    plan(&[("max_age: \"${max_backup_age}\", ", "")], &["restore/backup age failed"], "the RPO is 5m"),
    // The clusters.
    plan(
        &[("\"namespace\": \"production\"", "\"namespace\": \"producton\"")],
        &["fence_cron/namespace failed", "fence_shop/namespace failed", "images_copied/namespace failed"],
        "there is no namespace producton",
    ),
    fault(
        "k8s-down production-primary",
        &["fence_cron/observe failed", "fence_shop/observe failed", "images_copied/observe failed"],
        "production-primary",
    ),
    // What is copied.
    plan(
        &[("\"production-app-data-dr\"", "\"production-app-data-rd\"")],
        &["data_copied/versioning failed", "data_copied/replication rule failed"],
        "no rule that copies to production-app-data-rd",
    ),
    world(
        &[(DR_DATA, r#"(name: "production-app-data-dr", suspended: true)"#)],
        &["data_copied/versioning failed"],
        "put-bucket-versioning --bucket production-app-data-dr",
    ),
    world(&[(DATA, r#"(name: "production-app-data-primary")"#)], &["data_copied/replication rule failed"], "no rule that copies"),
    world(&[(RULE, r#"rule: "replicate-to-dr", disabled: true,"#)], &["data_copied/replication rule failed"], "is disabled"),
    world(&[(RULE, r#"rule: "replicate-to-dr", prefix: "images/","#)], &["data_copied/replication rule failed"], "begins with \"images/\""),
    world(
        &[(DR_IMAGES, "\"reports:v1.0.0\": \"2\" },\n            ),")],
        &["images_copied/images failed"],
        "1 of 5 images of production is not there in us-west-2: reports:v1.0.0 is another image there",
    ),
    world(
        &[(DR_IMAGES, "\"reports:v0.9.0\": \"1\" },\n            ),")],
        &["images_copied/images failed"],
        "1 of 5 images of production is not there in us-west-2: reports:v1.0.0 push",
    ),
    world(&[(COPIES, "")], &["images_copied/replication rule failed"], "put-replication-configuration"),
    world(
        &[(COPIES, r#"copies: [(region: "us-west-2", prefixes: ["production-"])],"#)],
        &["images_copied/replication rule failed"],
        "copies fluent-bit, invoices, reports, valkey to us-west-2",
    ),
    // What is shown to browsers.
    world(
        &[(DR_BALANCER, r#"zone_id: "Z1H1FL5HABSF5", target_groups: ["prod-app-dr-tg"], certificate: (days: -3),"#)],
        &["targets/certificate failed"],
        "is over since 3 d",
    ),
    world(
        &[(DR_BALANCER, r#"zone_id: "Z1H1FL5HABSF5", target_groups: ["prod-app-dr-tg"], certificate: (days: 20),"#)],
        &["targets/certificate warned"],
        "ends in 19 d",
    ),
    world(
        &[(DR_BALANCER, r#"zone_id: "Z1H1FL5HABSF5", target_groups: ["prod-app-dr-tg"], certificate: (status: "PENDING_VALIDATION"),"#)],
        &["targets/certificate failed"],
        "PENDING_VALIDATION",
    ),
    world(
        &[(DR_BALANCER, r#"zone_id: "Z1H1FL5HABSF5", target_groups: ["prod-app-dr-tg"], certificate: (gone: true),"#)],
        &["targets/certificate failed"],
        "not there any more",
    ),
    world(&[(DR_BALANCER, r#"zone_id: "Z1H1FL5HABSF5", target_groups: ["prod-app-dr-tg"], certificate: None,"#)], &[], ""),
    fault("deny DescribeCertificate", &["targets/certificate unknown"], "acm:DescribeCertificate"),
    // A region that is gone.
    fault(
        "region-outage us-east-1",
        &[
            "data_copied/observe failed",
            "images_copied/observe failed",
            "fence/group unknown",
            "fence_cron/observe failed",
            "fence_eks/observe failed",
            "fence_shop/observe failed",
            "peering/observe failed",
            "promote/backups of the source unknown",
        ],
        "the region's health",
    ),
];
