//! Each AWS step kind in front of each server that serves it: it succeeds, is repeated with one effect, is cut off between any two of its parts
//! and in the middle of its waits and carried on, compensates, and compensates twice. What it changed is asked of the server through boto3; how
//! often it called is counted on the wire. `cargo test --test wire kinds -- --nocapture` prints the table, with the calls.
//!
//! | kind                    | moto 5.2.5 | ministack 1.5.33 |
//! |-------------------------|------------|------------------|
//! | `AutoScalingScale`      | served     | served |
//! | `DnsPropagated`         | served: the zone's name servers, whose answers are the test's | served, likewise |
//! | `EksScaleNodegroup`     | served, with DescribeUpdate and its token by our patch | no: UpdateNodegroupConfig is not implemented |
//! | `ElbWaitTargetsHealthy` | served: instances register themselves | served: the test registers them |
//! | `Fence`                 | served: its group, and the lease by itself | served, likewise |
//! | `RdsCreateReadReplica`  | served, across regions; the deletion of the replica by our patch | in one region only: an ARN is "longer than 63" |
//! | `RdsDeleteInstance`     | served     | served |
//! | `RdsModifyInstance`     | served     | all but the renaming: `NewDBInstanceIdentifier` is ignored |
//! | `RdsPromoteReadReplica` | served by our patch: moto keeps the source and takes a second promotion | no: PromoteReadReplica is not implemented |
//! | `RdsWaitReplicaLag`     | served, with the CloudWatch of ministack: moto answers the SDK's CBOR with 404 | served |
//! | `Route53Failover`       | served: a change is in sync at once | served: PENDING first |
//! | its `StopObject`        | served; nothing watches the object, so no name server turns over | served, likewise |
//! | its `RoutingControl`    | no: neither knows ARC, so the simulator and the API's model are our only witnesses | no, likewise |
//! | `Route53Weighted`       | served     | served |
//! | `S3Replicated`          | served: the rules are kept, nothing is copied | served, likewise |
//! | `SnsPublish`            | served     | served |
//! | `VpcPeering`            | served     | served, without the addresses of the sides |
//!
//! Neither serves encrypted replicas as AWS does, an instance in `backing-up`, a scaling activity or an EKS update that fails, a change that is
//! refused with `PriorRequestNotComplete`, nor the lag of a real replication: the lag is what the test tells CloudWatch. `Approval`, `Exec`,
//! `HttpCheck` and `Wait` call no AWS; `Approval` and `HttpCheck` are part of the shipped workflows, in `shipped.rs`.
//!
//! A publication cannot be taken back and has no token: `SnsPublish` is sent once, and stays when it is rolled back. A promotion and a deletion
//! cannot be undone either: their `compensate` says so, twice, and changes nothing.

use serde_json::{Value, json};
use wf_engine::step::KindInfo;
use wf_steps::aws::Cloud;

use crate::servers::Servers;
use crate::stage::{ADDRESS, Cut, Known, Stage};

/// Kinds that call no AWS.
const NO_AWS: [&str; 4] = ["Approval", "Exec", "HttpCheck", "Wait"];

/// What a server cannot serve, and what its answer shows of it: when it serves that one day, this test says so.
const NOT_SERVED: [(&str, &str, &str, &str); 2] = [
    (
        "ministack",
        "RdsPromoteReadReplica",
        r#"RdsPromoteReadReplica(instance: "prod-db-replica-west", region: "us-east-1")"#,
        "PromoteReadReplica",
    ),
    (
        "ministack",
        "EksScaleNodegroup",
        r#"EksScaleNodegroup(cluster: "production-dr", nodegroup: "general", region: "us-west-2", min: 3, desired: 6)"#,
        "set node group production-dr/general",
    ),
];

/// The steps that are tried on both servers, by their kinds.
const STEPS: [(&str, &str); 9] = [
    ("AutoScalingScale", r#"AutoScalingScale(group: "prod-app-dr-asg", region: "us-west-2", min: 3, desired: 6, max: 12)"#),
    ("ElbWaitTargetsHealthy", r#"ElbWaitTargetsHealthy(target_group: "prod-app-tg", region: "us-east-1", min_healthy: 3)"#),
    ("Fence", r#"Fence(region: "us-east-1", group: "prod-app-asg", keep_empty: true)"#),
    (
        "Fence",
        r#"Fence(region: "us-east-1", lease: (bucket: "production-dr-switch", key: "lease/tried", region: "us-west-2", holder: "us-west-2"), skew: "0s")"#,
    ),
    ("RdsDeleteInstance", r#"RdsDeleteInstance(instance: "alone", region: "us-east-1", final_snapshot: "last")"#),
    (
        "RdsModifyInstance",
        r#"RdsModifyInstance(instance: "alone", region: "us-east-1", backup_retention_days: 14, instance_class: "db.r6g.2xlarge")"#,
    ),
    ("Route53Weighted", r#"Route53Weighted(zone: "company.com", record: "api.company.com", type: "A", to: "west", percent: 10)"#),
    (
        "S3Replicated",
        r#"S3Replicated(bucket: "production-app-data-primary", region: "us-east-1", to: "production-app-data-dr", to_region: "us-west-2")"#,
    ),
    ("SnsPublish", r#"SnsPublish(topic: "production-dr-alerts", region: "us-west-2", subject: "DR failover started")"#),
];

/// A step in front of a server.
struct Case {
    server: &'static str,
    kind: &'static str,
    ron: String,
}

fn cases(server: &'static str, seeded: &Value) -> Vec<Case> {
    let case = |kind, ron: String| Case { server, kind, ron };
    let mut cases: Vec<_> = STEPS.iter().map(|(kind, ron)| case(kind, (*ron).to_owned())).collect();
    let west = |field: &str| seeded["us-west-2"][field].as_str().unwrap();
    cases.push(case(
        "Route53Failover",
        format!(
            r#"Route53Failover(zone: "company.com", record: "app.company.com", type: "A", set_identifier: "primary", to: Alias(dns_name: "{}", zone_id: "{}"))"#,
            west("alb_dns_name"),
            west("alb_zone_id")
        ),
    ));
    let here = std::net::Ipv4Addr::from(ADDRESS);
    let switch = r#"StopObject(bucket: "production-dr-switch", key: "failover/app.company.com", region: "us-west-2")"#;
    cases.push(case(
        "Route53Failover",
        format!(
            r#"Route53Failover(zone: "company.com", record: "app.company.com", type: "A", set_identifier: "primary", to: Values(values: ["{here}"]), via: {switch})"#
        ),
    ));
    cases.push(case(
        "DnsPropagated",
        format!(r#"DnsPropagated(zone: "company.com", record: "app.company.com", expect: Values(["{here}"]))"#),
    ));
    cases.push(case(
        "Route53Failover",
        r#"Route53Failover(zone: "company.com", record: "new.company.com", type: "A", to: Values(values: ["192.0.2.1", "192.0.2.2"], ttl: "60s"), create: true)"#.to_owned(),
    ));
    let peering = seeded["peering"].as_str().unwrap();
    cases.push(case("VpcPeering", format!(r#"VpcPeering(connection: "{peering}", region: "us-west-2")"#)));
    // Only moto makes replicas in another region.
    let (region, source) = match server {
        "moto" => ("us-west-2", r#""arn:aws:rds:us-east-1:123456789012:db:alone", kms_key: "alias/dr""#),
        _ => ("us-east-1", r#""alone""#),
    };
    cases.push(case("RdsCreateReadReplica", format!(r#"RdsCreateReadReplica(instance: "new", region: "{region}", source: {source})"#)));
    cases.push(case(
        "RdsWaitReplicaLag",
        format!(r#"RdsWaitReplicaLag(instance: "prod-db-replica-west", region: "{region}", max_lag: "10s")"#),
    ));
    if server == "moto" {
        let rename = r#"RdsModifyInstance(instance: "alone", region: "us-east-1", new_identifier: "aside")"#;
        cases.push(case("RdsModifyInstance", rename.to_owned()));
        let promote = r#"RdsPromoteReadReplica(instance: "prod-db-replica-west", region: "us-west-2", max_replica_lag: "5m")"#;
        cases.push(case("RdsPromoteReadReplica", promote.to_owned()));
        let scale = r#"EksScaleNodegroup(cluster: "production-dr", nodegroup: "general", region: "us-west-2", min: 3, desired: 6)"#;
        cases.push(case("EksScaleNodegroup", scale.to_owned()));
    }
    cases
}

/// Makes the world of the guide, and an instance that has no replicas and is none.
fn seed(servers: &Servers, server: &str) -> Value {
    let seeded = servers.seed(server);
    servers.ask(&json!({
        "do": "call", "at": server, "region": "us-east-1", "service": "rds", "operation": "create_db_instance", "params": {
            "DBInstanceIdentifier": "alone", "DBInstanceClass": "db.r6g.xlarge", "Engine": "postgres", "AllocatedStorage": 20,
            "MasterUsername": "dbadmin", "MasterUserPassword": "not-a-secret", "BackupRetentionPeriod": 7, "StorageEncrypted": true,
        },
    }));
    seeded
}

impl Case {
    /// Tries everything that the kind must do, and returns its line of the table.
    async fn check(&self, servers: &Servers, stage: &Stage) -> String {
        let (server, shown) = (self.server, format!("{} on {}", self.kind, self.server));
        let at_rest = at_rest(servers, server).await;
        let step = stage.step(&self.ron);
        let changes = usize::from(step.changes_something());

        let mut known = Known::default();
        stage.take_changes();
        stage.take_reads();
        step.drive(&mut known).await.unwrap_or_else(|failure| panic!("{shown}: {failure:?}"));
        let (called, reads) = (stage.take_changes(), stage.take_reads());
        assert_eq!(called.len(), changes, "{shown}: {called:?}");
        let changed = servers.look(server);
        assert_eq!(changed == at_rest, changes == 0, "{shown}: {changed}");

        if changes == 0 {
            for cut in [Cut::Intended, Cut::Settling] {
                self.carry_on(servers, stage, cut, &changed).await;
            }
            return self.line(reads, changes, ["reads", "2 of 2", "-", "-"]);
        }
        if self.kind == "SnsPublish" {
            // At least once, and not to be taken back.
            assert_eq!(changed["us-west-2"]["messages"], 1, "{shown}");
        } else {
            self.repeat(stage, &known).await;
            let called = stage.take_changes();
            assert!(called.is_empty(), "{shown}, repeated: {called:?}");
        }
        self.undo(servers, stage, &known, &at_rest, &changed).await;
        let undone_by = stage.take_changes().len();
        for cut in [Cut::Intended, Cut::AnswerLost, Cut::Answered, Cut::Settling] {
            if step.is_irreversible() {
                seed(servers, self.server);
                self::at_rest(servers, self.server).await;
            }
            self.cut_off(servers, stage, cut, &at_rest, &changed).await;
        }
        let undone_by = format!("{undone_by} calls");
        match (self.kind, step.is_irreversible()) {
            ("SnsPublish", _) => self.line(reads, changes, ["sent again", "4 of 4", "-", "stays"]),
            (_, true) => self.line(reads, changes, ["refused", "4 of 4", "-", "refused"]),
            (_, false) => self.line(reads, changes, ["one effect", "4 of 4", "4 of 4", &undone_by]),
        }
    }

    fn line(&self, reads: u32, changes: usize, [repeated, cut, way_back, undone]: [&str; 4]) -> String {
        let Self { kind, server, .. } = self;
        format!("{kind:<22} {server:<10} {reads:>5} {changes:>7}  {repeated:<11} {cut:<8} {way_back:<11} {undone}")
    }

    /// Cuts the step off, carries it on from what the journal knows, and compares the world with that of the step that was not cut off.
    async fn carry_on(&self, servers: &Servers, stage: &Stage, cut: Cut, changed: &Value) -> Known {
        let (step, mut known, shown) = (stage.step(&self.ron), Known::default(), format!("{} cut off: {cut:?}", self.ron));
        step.begin(&mut known, cut).await.unwrap_or_else(|failure| panic!("{shown}: {failure:?}"));
        step.drive(&mut known).await.unwrap_or_else(|failure| panic!("{shown}: {failure:?}"));
        let (now, changed) = (servers.look(self.server), changed.clone());
        match step.is_irreversible() {
            // That was in another world.
            true => assert_eq!(apart_from_names(now), apart_from_names(changed), "{shown}"),
            false => assert_eq!(now, changed, "{shown}"),
        }
        known
    }

    /// As [`Case::carry_on`], with one effect; and then cuts off the way back, and carries that on too.
    async fn cut_off(&self, servers: &Servers, stage: &Stage, cut: Cut, at_rest: &Value, changed: &Value) {
        let shown = format!("{} cut off: {cut:?}", self.ron);
        if self.kind == "SnsPublish" {
            let before = servers.look(self.server)["us-west-2"]["messages"].as_u64().unwrap();
            let (step, mut known) = (stage.step(&self.ron), Known::default());
            step.begin(&mut known, cut).await.unwrap_or_else(|failure| panic!("{shown}: {failure:?}"));
            step.drive(&mut known).await.unwrap_or_else(|failure| panic!("{shown}: {failure:?}"));
            let sent = servers.look(self.server)["us-west-2"]["messages"].as_u64().unwrap() - before;
            assert_eq!(sent, if cut == Cut::AnswerLost { 2 } else { 1 }, "{shown}: at least once, and once where that is known");
            return;
        }
        stage.take_changes();
        let known = self.carry_on(servers, stage, cut, changed).await;
        let called = stage.take_changes();
        assert_eq!(called.len(), 1, "{shown}: {called:?}");
        let step = stage.step(&self.ron);
        if step.is_irreversible() {
            return;
        }
        step.begin_undo(&known).await.unwrap_or_else(|failure| panic!("{shown}, undone: {failure:?}"));
        step.undo(&known).await.unwrap_or_else(|failure| panic!("{shown}, undone: {failure:?}"));
        assert_eq!(&self::at_rest(servers, self.server).await, at_rest, "{shown}, undone");
    }

    /// Carries the step on as if its handle had been lost, and starts one that finds its work done, but for those that cannot tell it from
    /// somebody else's.
    async fn repeat(&self, stage: &Stage, known: &Known) {
        let step = stage.step(&self.ron);
        step.drive(&mut Known { handle: None, ..known.clone() }).await.unwrap_or_else(|failure| panic!("{}: {failure:?}", self.ron));
        let again = stage.step(&self.ron).drive(&mut Known::default()).await;
        assert_eq!(again.is_err(), step.is_irreversible(), "{}: {again:?}", self.ron);
    }

    async fn undo(&self, servers: &Servers, stage: &Stage, known: &Known, at_rest: &Value, changed: &Value) {
        let step = stage.step(&self.ron);
        for time in ["once", "twice"] {
            let undone = step.undo(known).await;
            let stays = step.is_irreversible() || self.kind == "SnsPublish";
            assert_eq!(undone.is_err(), step.is_irreversible(), "{} undone {time}: {undone:?}", self.ron);
            assert_eq!(&servers.look(self.server), if stays { changed } else { at_rest }, "{} undone {time}", self.ron);
        }
    }
}

/// The servers name their load balancers anew each time, so where the records of another world lead says nothing.
fn apart_from_names(mut world: Value) -> Value {
    world["records"].take();
    world
}

/// Waits until nothing changes by itself any more, and returns the world.
async fn at_rest(servers: &Servers, server: &str) -> Value {
    loop {
        let world = servers.look(server);
        if !world.to_string().contains("modifying") && !world.to_string().contains("creating") {
            return world;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

/// The steps wait for their servers most of the time, so the cases are dealt out to so many threads, each with servers of its own.
const SIDE_BY_SIDE: usize = 3;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn conform(server: &'static str) {
    let head = ["kind", "server", "reads", "changes", "repeated", "cut off", "way back", "undone twice"];
    let [kind, at, reads, changes, repeated, cut, way_back, undone] = head;
    let mut table = vec![format!("{kind:<22} {at:<10} {reads:>5} {changes:>7}  {repeated:<11} {cut:<8} {way_back:<11} {undone}")];
    let lines = std::thread::scope(|scope| {
        let deal = |nth| scope.spawn(move || runtime().block_on(conform_in_part(server, nth)));
        let parts: Vec<_> = (0..SIDE_BY_SIDE).map(deal).collect();
        let lines = parts.into_iter().map(|part| part.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        lines.collect::<Vec<_>>().concat()
    });
    table.extend(lines);
    #[expect(clippy::print_stderr, reason = "the table is what the test is for")]
    {
        eprintln!("{}", table.join("\n"));
    }
}

/// Tries a part of the cases; the first one has also those that are not served.
async fn conform_in_part(server: &'static str, nth: usize) -> Vec<String> {
    let servers = Servers::start();
    let stage = Stage::new(&servers, server);
    let all = cases(server, &seed(&servers, server));
    every_kind_is_here(server, &all);
    let mut lines = Vec::new();
    for number in (nth..all.len()).step_by(SIDE_BY_SIDE) {
        // The servers name their load balancers anew.
        let case = cases(server, &seed(&servers, server)).swap_remove(number);
        lines.push(case.check(&servers, &stage).await);
    }
    seed(&servers, server);
    for (_, kind, ron, why) in NOT_SERVED.into_iter().filter(|(at, ..)| *at == server && nth == 0) {
        let failure = stage.step(ron).drive(&mut Known::default()).await.expect_err(kind);
        assert!(failure.message.contains(why), "{kind} on {server}: {failure:?}");
        lines.push(format!("{kind:<22} {server:<10} not served: {why}"));
    }
    lines
}

fn every_kind_is_here(server: &str, cases: &[Case]) {
    let registry = wf_steps::registry(Cloud::offline());
    // Neither server has a Kubernetes API: those kinds are tried on the simulated clusters, and on a real API server in tests/apiserver.
    for KindInfo { name, .. } in registry.kinds().filter(|kind| kind.rbac.read.is_empty()) {
        let served = cases.iter().any(|case| case.kind == *name);
        let not_served = NOT_SERVED.iter().any(|(at, kind, ..)| *at == server && kind == name);
        let times = [served, not_served, NO_AWS.contains(name)].into_iter().filter(|is| *is).count();
        assert_eq!(times, 1, "{name} on {server} must be a case, or not served, or no AWS kind");
    }
}

#[test]
fn the_kinds_on_moto() {
    conform("moto");
}

#[test]
fn the_kinds_on_ministack() {
    conform("ministack");
}

/// A drill's replica is told by its tag: nobody else adopts it, and it is deleted although it was promoted.
#[tokio::test]
async fn a_throwaway_replica_is_one_runs_own_and_goes_once_promoted_too() {
    let servers = Servers::start();
    let stage = Stage::new(&servers, "moto");
    seed(&servers, "moto");
    let at_rest = at_rest(&servers, "moto").await;
    let ron = r#"RdsCreateReadReplica(instance: "new", region: "us-west-2", source: "arn:aws:rds:us-east-1:123456789012:db:alone", kms_key: "alias/dr", throwaway: true)"#;
    let (step, mut known) = (stage.step(ron), Known::default());
    step.drive(&mut known).await.unwrap();
    step.drive(&mut Known { handle: None, ..known.clone() }).await.unwrap();
    let other = stage.step(ron).drive(&mut Known::default()).await.expect_err("it is another run's");
    assert!(other.message.contains("belongs to the drill of run"), "{other:?}");
    servers.ask(&json!({
        "do": "call", "at": "moto", "region": "us-west-2", "service": "rds", "operation": "promote_read_replica",
        "params": { "DBInstanceIdentifier": "new" },
    }));
    assert!(self::at_rest(&servers, "moto").await["us-west-2"]["databases"]["new"]["source"].is_null(), "it is promoted");
    for time in ["once", "twice"] {
        step.undo(&known).await.unwrap_or_else(|failure| panic!("{time}: {failure:?}"));
        assert_eq!(self::at_rest(&servers, "moto").await, at_rest, "undone {time}");
    }
}
