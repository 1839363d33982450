//! The shipped workflows, on the simulated world, through the real SDK and on paused time: a failover of minutes takes
//! milliseconds here. What is asserted is what the operator is promised.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod arc;
mod cluster_faults;
mod dns;
mod fence;
mod readiness;
mod rights;
#[path = "../common/routing_controls.rs"]
mod routing_controls;
#[path = "../common/sizes.rs"]
mod sizes;
#[path = "../common/virtual_clock.rs"]
mod virtual_clock;
mod world;

use sizes::sizes;
use wf_engine::model::event::RunOutcome;
use wf_engine::model::run_state::StepStatus;
use wf_engine::runtime::RunEnd;
use world::{Shipped, critical_path, makespan};

const COMPLETED: RunEnd = RunEnd::Finished(RunOutcome::Completed);

#[tokio::test(start_paused = true)]
async fn failover_completes_and_overlaps_what_is_independent() {
    let world = Shipped::burning(&[]);
    let run = world.run("failover.ron", |_| {}).await;
    assert_eq!(run.end, COMPLETED, "{:#?}", run.failures());
    let state = run.state();
    let (promote, app, eks) = (run.step("promote"), run.step("scale_app"), run.step("scale_eks"));
    assert!(app.started_at < promote.ended_at && promote.started_at < app.ended_at, "promote and scale_app overlap");
    assert!(eks.started_at < promote.ended_at && promote.started_at < eks.ended_at, "promote and scale_eks overlap");
    let (restore, restart) = (run.step("restore"), run.step("restart"));
    assert!(restore.started_at < promote.ended_at && promote.started_at < restore.ended_at, "promote and restore overlap");
    assert!(restart.started_at > promote.ended_at, "pods start anew when the database takes writes");
    let (makespan, path) = (makespan(&state), critical_path(&state));
    assert!(makespan.as_secs_f64() <= path.as_secs_f64() * 1.02, "{makespan:?} over {path:?}");

    assert_eq!(world.effective("PromoteReadReplica"), 1);
    // Resolvers keep the old address for a minute.
    world.pass_minutes(2).await;
    // The site of the clusters by its record, the other one by the object that its health check watches.
    assert_eq!((world.effective("ChangeResourceRecordSets"), world.effective("PutObject")), (1, 1));
    assert_eq!((world.effective("create:restores"), world.effective("create:jobs")), (1, 0));
    let traffic = world.sim.traffic();
    assert_eq!(traffic.serving_region.as_deref(), Some("us-west-2"));
    assert_eq!(traffic.split_brain_rows, 0);
    assert_eq!((&world.shop()["serving_region"], &world.shop()["split_brain_rows"]), (&"us-west-2".into(), &0.into()));

    let slow = Shipped::burning(&[]);
    let one_by_one = slow.run("failover.ron", |plan| plan.max_parallel = Some(1)).await;
    assert_eq!(one_by_one.end, COMPLETED);
    let ratio = world::makespan(&one_by_one.state()).as_secs_f64() / makespan.as_secs_f64();
    assert!(ratio >= 1.5, "one after another takes only {ratio:.2} times as long");
}

#[tokio::test(start_paused = true)]
async fn failback_goes_home_with_the_recorded_capacities_and_loses_no_row() {
    let world = Shipped::burning(&[]);
    let before = world.sim.status();
    let failover = world.run("failover.ron", |_| {}).await;
    assert_eq!(failover.end, COMPLETED);
    let lost = world.sim.traffic().rows_lost;
    world.pass_minutes(30).await;
    let failback = world.follow("failback.ron", &failover).await;
    assert_eq!(failback.end, COMPLETED, "{:#?}", failback.failures());
    world.pass_minutes(5).await;
    let (after, traffic) = (world.sim.status(), world.sim.traffic());
    assert_eq!(traffic.serving_region.as_deref(), Some("us-east-1"));
    assert_eq!(traffic.rows_lost, lost, "the planned way home loses no row");
    assert_eq!(traffic.split_brain_rows, 0);
    assert_eq!((&world.shop()["serving_region"], &world.shop()["split_brain_rows"]), (&"us-east-1".into(), &0.into()));
    for path in [
        "/regions/us-east-1/groups",
        "/regions/us-west-2/groups",
        "/regions/us-east-1/nodegroups",
        "/regions/us-west-2/nodegroups",
        "/regions/us-east-1/workloads/production-primary/production~1web-app",
        "/regions/us-east-1/workloads/production-primary/production~1session-store",
    ] {
        assert!(before.pointer(path).is_some(), "{path} in {before:#}");
        assert_eq!(before.pointer(path).map(sizes), after.pointer(path).map(sizes), "{path}");
    }
    let retire = world.follow("retire.ron", &failback).await;
    assert_eq!(retire.end, COMPLETED, "{:#?}", retire.failures());
}

#[tokio::test(start_paused = true)]
async fn a_cluster_alone_follows_a_database_that_somebody_else_promoted() {
    let world = Shipped::burning(&[]);
    let failover = world.run("../tests/fixtures/dns-first.ron", |_| {}).await;
    assert_eq!(failover.end, COMPLETED, "{:#?}", failover.failures());
    assert_ne!(world.shop()["serving_region"], "us-west-2");
    let endpoint = failover.step("promote").outputs["endpoint"].clone();
    let run = world.run_with("failover-eks.ron", &[("database_endpoint".to_owned(), endpoint)]).await;
    assert_eq!(run.end, COMPLETED, "{:#?}", run.failures());
    // Resolvers keep the old address for a minute.
    world.pass_minutes(2).await;
    assert_eq!((&world.shop()["serving_region"], &world.shop()["split_brain_rows"]), (&"us-west-2".into(), &0.into()));
    // One restore, one restart.
    assert_eq!(world.effective("create:restores"), 1);
    let (restart, address) = (run.step("restart"), run.step("address"));
    assert!(restart.started_at < address.ended_at && address.started_at < restart.ended_at, "restart and address overlap");
}

#[tokio::test(start_paused = true)]
async fn a_backup_that_failed_in_part_is_passed_over_and_an_old_one_refused() {
    let world = Shipped::burning(&["backup-partial"]);
    let given = [("database_endpoint".to_owned(), "db.example".into()), ("max_backup_age".to_owned(), "3h".into())];
    let run = world.run_with("failover-eks.ron", &given).await;
    assert_eq!(run.end, RunEnd::Finished(RunOutcome::RolledBack));
    let failure = run.step("restore").failure.unwrap();
    // That of an hour ago failed in part; the one before is a day older.
    assert!(failure.message.contains("backup production-backup-20260313020000, the newest that is complete"), "{failure:?}");
    assert!(failure.message.contains("max_age is 3h: nothing was restored"), "{failure:?}");
    assert_eq!(world.effective("create:restores"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_node_group_that_fails_before_the_promotion_rolls_everything_back() {
    let world = Shipped::burning(&["fail EksScaleNodegroup"]);
    let before = world.sim.status();
    let run = world.run("failover.ron", |_| {}).await;
    assert_eq!(run.end, RunEnd::Finished(RunOutcome::RolledBack));
    assert_eq!(world.effective("PromoteReadReplica"), 0);
    let after = world.sim.status();
    for path in
        ["/regions/us-east-1/groups", "/regions/us-west-2/groups", "/regions/us-east-1/nodegroups", "/regions/us-west-2/nodegroups", "/dns"]
    {
        assert_eq!(before.pointer(path).map(sizes), after.pointer(path).map(sizes), "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_after_the_promotion_pauses_and_resume_completes() {
    let world = Shipped::burning(&["fail Route53Failover"]);
    let run = world.run("failover.ron", |_| {}).await;
    assert!(matches!(&run.end, RunEnd::Paused { reason } if reason.contains("dns")), "{:?}", run.end);
    world.sim.set_faults(Vec::new());
    let resumed = world.resume("failover.ron", &run).await;
    assert_eq!(resumed.end, COMPLETED, "{:#?}", resumed.failures());
    assert_eq!(world.effective("PromoteReadReplica"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_promotion_whose_answer_is_lost_happens_once() {
    let world = Shipped::burning(&["lost-response PromoteReadReplica"]);
    let run = world.run("failover.ron", |_| {}).await;
    assert_eq!(run.end, COMPLETED, "{:#?}", run.failures());
    assert_eq!(world.effective("PromoteReadReplica"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_replica_two_hours_behind_is_not_promoted() {
    let world = Shipped::burning(&["lag prod-db-replica-west 2h"]);
    let run = world.run("failover.ron", |_| {}).await;
    assert_eq!(run.end, RunEnd::Finished(RunOutcome::RolledBack));
    let failure = run.step("promote").failure.unwrap();
    assert!(failure.message.contains("2h"), "{failure:?}");
    assert_eq!(world.effective("PromoteReadReplica"), 0);
    assert_eq!(run.state().point_of_no_return(), None);
}

#[tokio::test(start_paused = true)]
async fn a_region_that_is_gone_is_passed_over() {
    let world = Shipped::burning(&["region-outage us-east-1"]);
    let run = world.run("failover.ron", |_| {}).await;
    assert_eq!(run.end, RunEnd::Finished(RunOutcome::CompletedWithExceptions), "{:#?}", run.failures());
    assert_eq!(run.step("fence").status, StepStatus::Unreachable);
    assert_eq!(world.sim.traffic().serving_region.as_deref(), Some("us-west-2"));
}

/// By the world file's `stampede` assumption alone: with it switched off, DNS first costs the users no more.
#[tokio::test(start_paused = true)]
async fn traffic_before_the_promotion_hurts_the_users() {
    let outage = async |workflow: &str| {
        let world = Shipped::burning(&[]);
        let run = world.run(workflow, |_| {}).await;
        assert_eq!(run.end, COMPLETED, "{workflow}: {:#?}", run.failures());
        world.pass_minutes(10).await;
        world.sim.traffic().outage
    };
    let (right, wrong) = (outage("failover.ron").await, outage("../tests/fixtures/dns-first.ron").await);
    assert!(wrong > right, "wrong {wrong:?}, right {right:?}");
}
