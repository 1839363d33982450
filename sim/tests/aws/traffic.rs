//! What users see of a good plan, a bad plan, and no plan at all.

use aws_sdk_route53::types::{AliasTarget, Change, ChangeAction, ChangeBatch};
use wf_sim::{Sim, TrafficReport};

use crate::route53::towards_west;
use crate::support::*;

async fn fence(sim: &Sim) {
    let client = autoscaling(sim, EAST).await;
    let update = client.update_auto_scaling_group().auto_scaling_group_name("prod-app-asg");
    update.min_size(0).desired_capacity(0).send().await.unwrap();
    pass(sim, 46).await;
}

async fn promote(sim: &Sim) {
    let client = rds(sim, WEST).await;
    let promote = client.promote_read_replica().db_instance_identifier("prod-db-replica-west");
    promote.backup_retention_period(7).send().await.unwrap();
    while status(sim, "/regions/us-west-2/databases/prod-db-replica-west/writable") == false {
        pass(sim, 2).await;
    }
}

async fn scale_west(sim: &Sim) {
    let client = autoscaling(sim, WEST).await;
    let update = client.update_auto_scaling_group().auto_scaling_group_name("prod-app-dr-asg");
    update.min_size(3).desired_capacity(6).send().await.unwrap();
}

async fn targets_healthy(sim: &Sim) {
    while status(sim, "/regions/us-west-2/groups/prod-app-dr-asg/healthy") != 6 {
        pass(sim, 2).await;
    }
}

async fn dns(sim: &Sim) {
    let client = route53(sim).await;
    let records = client.list_resource_record_sets().hosted_zone_id(ZONE).send().await.unwrap().resource_record_sets;
    let primary = records.iter().find(|r| r.set_identifier() == Some("primary")).unwrap();
    let change = Change::builder().action(ChangeAction::Upsert).resource_record_set(towards_west(primary)).build().unwrap();
    let batch = ChangeBatch::builder().changes(change).build().unwrap();
    client.change_resource_record_sets().hosted_zone_id(ZONE).change_batch(batch).send().await.unwrap();
    while status(sim, "/dns/resolves_to") != WEST_ALB {
        pass(sim, 2).await;
    }
}

async fn right_plan(texts: &[&str]) -> TrafficReport {
    let sim = open(texts);
    fence(&sim).await;
    scale_west(&sim).await;
    promote(&sim).await;
    targets_healthy(&sim).await;
    dns(&sim).await;
    pass(&sim, 600).await;
    sim.traffic()
}

async fn dns_first(texts: &[&str]) -> TrafficReport {
    let sim = open(texts);
    fence(&sim).await;
    dns(&sim).await;
    scale_west(&sim).await;
    promote(&sim).await;
    targets_healthy(&sim).await;
    pass(&sim, 900).await;
    sim.traffic()
}

fn outage_is_one_and_over(report: &TrafficReport) {
    assert_eq!(report.outages.len(), 1, "{report:#?}");
    assert!(report.outages[0].until.is_some());
    assert_eq!(report.serving_region.as_deref(), Some(WEST));
    assert_eq!(report.requests, report.failed + report.rows_written);
}

#[tokio::test(start_paused = true)]
async fn the_right_plan_ends_the_outage_and_the_wrong_one_makes_it_longer() {
    let (right, wrong) = (right_plan(&[]).await, dns_first(&[]).await);
    outage_is_one_and_over(&right);
    outage_is_one_and_over(&wrong);
    assert!(right.outage > 400.0 && right.outage < 750.0, "{right:#?}");
    assert!(wrong.outage > right.outage * 1.25, "right {} s, wrong {} s", right.outage, wrong.outage);
    assert_eq!((right.rows_lost, right.split_brain_rows), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_planned_failover_loses_nothing_when_it_is_fenced() {
    let (right, wrong) = (right_plan(&["primary-alive"]).await, dns_first(&["primary-alive"]).await);
    outage_is_one_and_over(&right);
    assert_eq!((right.rows_lost, right.split_brain_rows), (0, 0));
    assert!(wrong.outage > right.outage * 1.2, "right {} s, wrong {} s", right.outage, wrong.outage);
}

#[tokio::test(start_paused = true)]
async fn without_a_fence_two_databases_take_writes() {
    let sim = open(&["primary-alive"]);
    scale_west(&sim).await;
    promote(&sim).await;
    let report = sim.traffic();
    assert!(report.split_brain_rows >= 290, "{report:#?}");
    assert!((0..=3).contains(&report.rows_lost), "{report:#?}");
    assert_eq!(report.outage, 0.0);
}

#[tokio::test(start_paused = true)]
async fn promoting_a_replica_that_is_far_behind_loses_rows() {
    let sim = open(&["lag prod-db-replica-west 2h"]);
    promote(&sim).await;
    let report = sim.traffic();
    assert_eq!(report.rows_lost, report.rows_written, "{report:#?}");
    assert!(report.rows_lost > 200);
}

#[tokio::test(start_paused = true)]
async fn a_lost_region_takes_its_last_rows_with_it_and_the_lag_grows() {
    let sim = open(&["primary-alive"]);
    pass(&sim, 60).await;
    sim.set_faults(faults(&["region-outage us-east-1"]));
    pass(&sim, 100).await;
    let lag = status(&sim, "/regions/us-west-2/databases/prod-db-replica-west/lag_seconds").as_f64().unwrap();
    assert!((100.0..=104.0).contains(&lag), "{lag}");
    promote(&sim).await;
    let report = sim.traffic();
    assert!((1..=3).contains(&report.rows_lost), "{report:#?}");
    assert_eq!(report.split_brain_rows, 0);
    assert!(report.last_error.unwrap().contains("does not answer"));
}

#[tokio::test(start_paused = true)]
async fn route_53_goes_back_to_the_stale_database_when_nobody_changed_the_record_or_fenced() {
    let sim = open(&[]);
    scale_west(&sim).await;
    promote(&sim).await;
    targets_healthy(&sim).await;
    pass(&sim, 120).await;
    assert_eq!(sim.traffic().serving_region.as_deref(), Some(WEST), "failover records move users by themselves");
    assert_eq!(sim.traffic().split_brain_rows, 0);
    pass(&sim, 1200).await;
    let report = sim.traffic();
    assert_eq!(report.serving_region.as_deref(), Some(EAST));
    assert!(report.split_brain_rows > 0, "{report:#?}");
}

#[tokio::test(start_paused = true)]
async fn without_any_plan_the_outage_lasts_until_the_region_is_repaired() {
    let sim = open(&[]);
    let before = sim.traffic();
    assert_eq!(before.outage, 91.0, "{before:#?}");
    assert_eq!(before.outages[0].reason, "the application servers in us-east-1 do not answer");
    pass(&sim, 1400).await;
    let report = sim.traffic();
    assert!((1190.0..=1300.0).contains(&report.outage), "{report:#?}");
    assert_eq!(report.serving_region.as_deref(), Some(EAST));
    assert_eq!(report.rows_lost, 0);
}

#[tokio::test(start_paused = true)]
async fn days_of_virtual_time_are_counted_in_full() {
    let sim = open(&["primary-alive"]);
    let before = sim.traffic().requests;
    pass(&sim, 3 * 24 * 3600).await;
    let report = sim.traffic();
    assert_eq!(report.requests - before, 3 * 24 * 3600);
    assert_eq!(report.rows_written, report.requests);
}

async fn wait_for(sim: &Sim, pointer: &str, wanted: serde_json::Value) {
    for _ in 0..3600 {
        if status(sim, pointer) == wanted {
            return;
        }
        pass(sim, 2).await;
    }
    panic!("{pointer} never became {wanted}: {:#}", sim.status());
}

async fn scale(sim: &Sim, region: &'static str, group: &str, min: i32, desired: i32) {
    let client = autoscaling(sim, region).await;
    let update = client.update_auto_scaling_group().auto_scaling_group_name(group);
    update.min_size(min).desired_capacity(desired).send().await.unwrap();
}

async fn point_dns_at(sim: &Sim, balancer: &str, zone: &str) {
    let client = route53(sim).await;
    let records = client.list_resource_record_sets().hosted_zone_id(ZONE).send().await.unwrap().resource_record_sets;
    let mut record = records.into_iter().find(|r| r.set_identifier() == Some("primary")).unwrap();
    let alias = AliasTarget::builder().hosted_zone_id(zone).dns_name(balancer).evaluate_target_health(true);
    record.alias_target = Some(alias.build().unwrap());
    let change = Change::builder().action(ChangeAction::Upsert).resource_record_set(record).build().unwrap();
    let batch = ChangeBatch::builder().changes(change).build().unwrap();
    client.change_resource_record_sets().hosted_zone_id(ZONE).change_batch(batch).send().await.unwrap();
    wait_for(sim, "/dns/resolves_to", balancer.into()).await;
}

#[tokio::test(start_paused = true)]
async fn the_same_world_fails_over_and_back_and_loses_nothing() {
    let sim = open(&[]);
    fence(&sim).await;
    scale_west(&sim).await;
    promote(&sim).await;
    targets_healthy(&sim).await;
    dns(&sim).await;

    let east = rds(&sim, EAST).await;
    let source = "arn:aws:rds:us-west-2:123456789012:db:prod-db-replica-west";
    let create = east.create_db_instance_read_replica().db_instance_identifier("prod-db-primary-new");
    create.source_db_instance_identifier(source).kms_key_id("alias/prod-db").send().await.unwrap();
    let replica = "/regions/us-east-1/databases/prod-db-primary-new";
    wait_for(&sim, &format!("{replica}/status"), "available".into()).await;
    assert!(status(&sim, &format!("{replica}/lag_seconds")).as_f64().unwrap() > 10.0, "it has yet to catch up");
    pass(&sim, 60).await;
    assert!(status(&sim, &format!("{replica}/lag_seconds")).as_f64().unwrap() <= 3.0);
    let before = sim.traffic();
    scale(&sim, WEST, "prod-app-dr-asg", 0, 0).await;
    wait_for(&sim, "/regions/us-west-2/groups/prod-app-dr-asg/instances", 0.into()).await;
    wait_for(&sim, &format!("{replica}/lag_seconds"), 0.0.into()).await;
    east.promote_read_replica().db_instance_identifier("prod-db-primary-new").send().await.unwrap();
    wait_for(&sim, &format!("{replica}/writable"), true.into()).await;
    scale(&sim, EAST, "prod-app-asg", 3, 6).await;
    wait_for(&sim, "/regions/us-east-1/groups/prod-app-asg/healthy", 6.into()).await;
    point_dns_at(&sim, EAST_ALB, "Z35SXDOTRQ7X7K").await;
    pass(&sim, 600).await;

    let report = sim.traffic();
    assert_eq!(report.serving_region.as_deref(), Some(EAST));
    assert_eq!((report.rows_lost, report.split_brain_rows), (0, 0));
    assert_eq!(report.outages.len(), 2, "{report:#?}");
    let outage = report.outage - before.outage;
    assert!((400.0..=900.0).contains(&outage), "{outage}");
    let (_, body) = raw(&sim, "GET", "https://app.company.com/health", b"").await;
    assert!(body.contains("prod-db-primary-new"), "{body}");
}
