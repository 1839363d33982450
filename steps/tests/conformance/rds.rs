//! The RDS kinds, fact by fact: one test for each row of the AWS facts that binds them.

use serde_json::{Value, json};
use wf_engine::model::event::{FailureKind, Fields, StepFailure};
use wf_engine::step::Observed;

use crate::stage::{Cut, Known, Stage, Stepped};

const WEST: &str = "us-west-2";
const REPLICA: &str = "prod-db-replica-west";

fn promote(params: &str) -> String {
    format!(r#"(id: "promote", run: RdsPromoteReadReplica(instance: "{REPLICA}", region: "{WEST}", {params}))"#)
}

fn modify(region: &str, instance: &str, params: &str) -> String {
    format!(r#"(id: "modify", run: RdsModifyInstance(instance: "{instance}", region: "{region}", {params}))"#)
}

fn create(instance: &str, source: &str) -> String {
    format!(
        r#"(id: "replicate", run: RdsCreateReadReplica(instance: "{instance}", region: "{WEST}", source: "{source}", kms_key: "alias/prod-db"))"#
    )
}

fn delete(region: &str, instance: &str, params: &str) -> String {
    format!(r#"(id: "delete", run: RdsDeleteInstance(instance: "{instance}", region: "{region}", {params}))"#)
}

const PRIMARY_ARN: &str = "arn:aws:rds:us-east-1:123456789012:db:prod-db-primary";

/// Carries a step on from what is known, as after a crash.
async fn carry_on(step: &Stepped, known: &mut Known) -> Result<Fields, StepFailure> {
    step.drive(known, None).await.map_err(|failure| failure.expect("not cut off"))
}

#[tokio::test(start_paused = true)]
async fn available_right_after_the_call_is_not_taken_for_promoted() {
    let stage = Stage::new(&[]);
    let step = stage.step(&promote(r#"max_replica_lag: "5m""#));
    let mut known = Known::default();
    assert!(matches!(step.drive(&mut known, Some(Cut::Applied)).await, Err(None)));
    assert_eq!(stage.database(WEST, REPLICA)["status"], "available", "the status from before is still shown");
    let begun = stage.clock.now();
    let outputs = carry_on(&step, &mut known).await.expect("promoted");
    assert!(stage.clock.now().duration_since(begun).as_secs() > 240);
    let database = stage.database(WEST, REPLICA);
    assert_eq!((&database["status"], &database["source"], &database["writable"]), (&json!("available"), &Value::Null, &json!(true)));
    assert!(outputs["endpoint"].as_str().is_some_and(|host| host.starts_with(REPLICA)), "{outputs:?}");
    assert_eq!(outputs["port"], 5432);
    assert!(outputs["arn"].as_str().is_some_and(|arn| arn.ends_with(":db:prod-db-replica-west")), "{outputs:?}");
    assert!(outputs["replica_lag_at_promote"].as_f64().is_some_and(|lag| lag < 300.0), "{outputs:?}");
    assert!(outputs["promoted_at"].is_string(), "{outputs:?}");
}

#[tokio::test(start_paused = true)]
async fn the_retention_is_set_in_the_promoting_call() {
    let stage = Stage::new(&[]);
    stage.step(&promote("backup_retention_days: 12")).succeed().await;
    assert_eq!(stage.database(WEST, REPLICA)["backup_retention_days"], 12);
    assert_eq!(stage.effects("ModifyDBInstance"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_promotion_whose_answer_was_lost_is_not_asked_for_again() {
    let stage = Stage::new(&["lost-response PromoteReadReplica"]);
    let step = stage.step(&promote(r#"max_replica_lag: "5m""#));
    let mut known = Known::default();
    let lost = carry_on(&step, &mut known).await.expect_err("the answer is lost");
    assert_eq!(lost.kind, FailureKind::Transient, "{lost:?}");
    assert!(known.intent && known.handle.is_none());
    let outputs = carry_on(&step, &mut known).await.expect("promoted");
    assert!(outputs.contains_key("replica_lag_at_promote"), "the lag of the before-image: {outputs:?}");
    let calls: Vec<_> = stage.sim.calls().into_iter().filter(|call| call.action == "PromoteReadReplica").collect();
    assert_eq!(calls.len(), 1, "the SDK does not repeat it either: {calls:?}");
}

#[tokio::test(start_paused = true)]
async fn a_promotion_that_was_never_asked_for_is_asked_for_after_a_crash() {
    let stage = Stage::new(&[]);
    let step = stage.step(&promote(r#"max_replica_lag: "5m""#));
    let mut known = Known::default();
    assert!(matches!(step.drive(&mut known, Some(Cut::Observed)).await, Err(None)));
    carry_on(&step, &mut known).await.expect("promoted");
    assert_eq!(stage.effects("PromoteReadReplica"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_someone_else_promoted_stops_the_step_and_asks() {
    let stage = Stage::new(&[]);
    stage.step(&promote("backup_retention_days: 7")).succeed().await;
    let (_, failure) = stage.step(&promote("backup_retention_days: 7")).fail().await;
    assert_eq!(failure.kind, FailureKind::Permanent);
    assert!(failure.message.contains("promoted by someone else"), "{failure:?}");
    assert!(failure.hint.is_some_and(|hint| hint.contains("--mark-done")));
    assert_eq!(stage.effects("PromoteReadReplica"), 1);
}

#[tokio::test(start_paused = true)]
async fn too_large_a_lag_is_refused_with_both_figures_before_anything_is_changed() {
    let stage = Stage::new(&["lag prod-db-replica-west 2h"]);
    stage.wait(120).await;
    let (known, failure) = stage.step(&promote(r#"max_replica_lag: "5m""#)).fail().await;
    assert_eq!(failure.kind, FailureKind::Permanent);
    assert!(failure.message.contains("2h behind") && failure.message.contains("max_replica_lag is 5m"), "{failure:?}");
    assert!(!known.intent && stage.sim.calls().is_empty());
    let (_, outputs) = stage.step(&promote("backup_retention_days: 7")).succeed().await;
    assert_eq!(outputs["replica_lag_at_promote"], 7200.0, "without a limit it is only recorded");
}

#[tokio::test(start_paused = true)]
async fn a_lag_that_cannot_be_read_stops_the_step_only_when_there_is_a_limit() {
    let stage = Stage::new(&["deny GetMetricStatistics"]);
    let failure = stage.step(&promote(r#"max_replica_lag: "5m""#)).fail().await.1;
    assert!(failure.hint.is_some_and(|hint| hint.contains("cloudwatch:GetMetricStatistics")));
    assert!(stage.sim.calls().is_empty());
    let (_, outputs) = stage.step(&promote("backup_retention_days: 7")).succeed().await;
    assert!(!outputs.contains_key("replica_lag_at_promote"), "{outputs:?}");
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_is_being_changed_is_waited_for_and_then_promoted() {
    let stage = Stage::new(&[]);
    let change = stage.step(&modify(WEST, REPLICA, r#"instance_class: "db.r6g.2xlarge""#));
    assert!(matches!(change.drive(&mut Known::default(), Some(Cut::Applied)).await, Err(None)));
    stage.wait(15).await;
    assert_eq!(stage.database(WEST, REPLICA)["status"], "modifying");
    stage.step(&promote("backup_retention_days: 7")).succeed().await;
    assert_eq!(stage.database(WEST, REPLICA)["class"], "db.r6g.2xlarge");
    assert_eq!(stage.sim.calls().iter().filter(|call| call.error.is_some()).count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_promotion_goes_on_while_the_api_is_out_of_sight() {
    let stage = Stage::new(&[]);
    let step = stage.step(&promote("backup_retention_days: 7"));
    let mut known = Known::default();
    assert!(matches!(step.drive(&mut known, Some(Cut::Applied)).await, Err(None)));
    stage.set_faults(&["region-outage us-west-2"]);
    let (result, ()) = tokio::join!(carry_on(&step, &mut known), async {
        stage.wait(60).await;
        stage.set_faults(&[]);
    });
    result.expect("a minute without an answer is put up with");
    stage.set_faults(&["region-outage us-west-2"]);
    let failure = carry_on(&step, &mut known).await.expect_err("more than that is not");
    assert_eq!(failure.kind, FailureKind::Unreachable);
}

#[tokio::test(start_paused = true)]
async fn a_promotion_cannot_be_undone_and_says_what_to_do_instead() {
    let stage = Stage::new(&[]);
    let step = stage.step(&promote("backup_retention_days: 7"));
    let (known, _) = step.succeed().await;
    let failure = step.undo(&known).await.expect_err("irreversible");
    assert!(failure.hint.is_some_and(|hint| hint.contains("wf failback")));
    let problems = stage
        .registry
        .step("RdsPromoteReadReplica", r#"(instance: "i", region: "r", backup_retention_days: 36)"#)
        .map(|step| step.problems());
    assert_eq!(problems.unwrap_or_default().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_existing_replica_of_the_same_source_is_adopted_and_survives_a_rollback() {
    let stage = Stage::new(&[]);
    let step = stage.step(&create(REPLICA, PRIMARY_ARN));
    let (known, outputs) = step.succeed().await;
    assert!(outputs["arn"].as_str().is_some_and(|arn| arn.ends_with(REPLICA)));
    assert_eq!(known.before, Some(json!({ "existed": true })));
    step.undo(&known).await.expect("nothing to undo");
    assert!(stage.sim.calls().is_empty());
    assert_eq!(stage.database(WEST, REPLICA)["status"], "available");
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_is_no_replica_of_the_source_is_left_alone() {
    let stage = Stage::new(&[]);
    stage.step(&promote("backup_retention_days: 7")).succeed().await;
    let calls = stage.sim.calls().len();
    let failure = stage.step(&create(REPLICA, PRIMARY_ARN)).fail().await.1;
    assert!(failure.message.contains("is no replica"), "{failure:?}");
    stage.step(&create("other", REPLICA)).succeed().await;
    let failure = stage.step(&create("other", PRIMARY_ARN)).fail().await.1;
    assert!(failure.message.contains("replicates prod-db-replica-west, not arn:"), "{failure:?}");
    assert_eq!(stage.sim.calls().len(), calls + 1);
}

#[tokio::test(start_paused = true)]
async fn a_creation_whose_answer_was_lost_is_carried_on_and_can_be_rolled_back() {
    let stage = Stage::new(&["lost-response CreateDBInstanceReadReplica"]);
    let step = stage.step(&create("new-west", PRIMARY_ARN));
    let mut known = Known::default();
    let lost = carry_on(&step, &mut known).await.expect_err("the answer is lost");
    assert_eq!(lost.kind, FailureKind::Transient);
    assert!(known.handle.is_none());
    carry_on(&step, &mut known).await.expect("created");
    assert_eq!(stage.sim.calls().len(), 1);
    step.undo(&known).await.expect("deleted again");
    assert_eq!(stage.database(WEST, "new-west"), Value::Null);
    step.undo(&known).await.expect("deleted once");
    assert_eq!(stage.effects("DeleteDBInstance"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_new_replica_that_was_promoted_since_is_not_deleted_by_a_rollback() {
    let stage = Stage::new(&[]);
    let step = stage.step(&create("new-west", PRIMARY_ARN));
    let (known, _) = step.succeed().await;
    stage.step(&format!(r#"(id: "promote", run: RdsPromoteReadReplica(instance: "new-west", region: "{WEST}"))"#)).succeed().await;
    let failure = step.undo(&known).await.expect_err("it holds data");
    assert_eq!(failure.kind, FailureKind::Permanent, "{failure:?}");
    assert_eq!(stage.effects("DeleteDBInstance"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_source_without_backups_is_found_before_anything_is_changed() {
    let stage = Stage::new(&[]);
    let failure = stage.step(&create("second", REPLICA)).fail().await.1;
    assert!(failure.message.contains("has no backups") && failure.hint.is_some_and(|hint| hint.contains("RdsModifyInstance")));
    assert!(stage.sim.calls().is_empty());
}

#[tokio::test(start_paused = true)]
async fn only_samples_of_minutes_after_the_step_began_count() {
    let stage = Stage::new(&[]);
    stage.wait(300).await;
    let step = stage.step(&format!(
        r#"(id: "caught_up", run: RdsWaitReplicaLag(instance: "{REPLICA}", region: "{WEST}", max_lag: "10s", samples: 2))"#
    ));
    let begun = stage.clock.now();
    let (_, outputs) = step.succeed().await;
    let took = stage.clock.now().duration_since(begun).as_secs();
    assert!((60..=200).contains(&took), "{took} s");
    assert!(outputs["lag"].as_f64().is_some_and(|lag| lag <= 10.0), "{outputs:?}");
}

#[tokio::test(start_paused = true)]
async fn a_large_lag_is_waited_for_and_a_promoted_instance_is_not() {
    let stage = Stage::new(&["lag prod-db-replica-west 2h"]);
    let wait = format!(r#"(id: "caught_up", run: RdsWaitReplicaLag(instance: "{REPLICA}", region: "{WEST}", max_lag: "10s"))"#);
    let step = stage.step(&wait);
    let (result, ()) = tokio::join!(step.run(), async {
        stage.wait(600).await;
        stage.set_faults(&[]);
    });
    result.1.expect("caught up");
    stage.step(&promote("backup_retention_days: 7")).succeed().await;
    let failure = stage.step(&wait).fail().await.1;
    assert!(failure.message.contains("replicates nothing"), "{failure:?}");
}

#[tokio::test(start_paused = true)]
async fn a_deletion_leaves_a_last_snapshot_under_the_same_name_for_every_attempt() {
    let stage = Stage::new(&["lost-response DeleteDBInstance"]);
    stage.step(&promote("backup_retention_days: 7")).succeed().await;
    let step = stage.step(&delete(WEST, REPLICA, ""));
    let mut known = Known::default();
    let lost = carry_on(&step, &mut known).await.expect_err("the answer is lost");
    assert_eq!(lost.kind, FailureKind::Transient);
    let outputs = carry_on(&step, &mut known).await.expect("deleted");
    let name = outputs["final_snapshot"].as_str().unwrap_or_default().to_owned();
    assert!(name.starts_with("prod-db-replica-west-final-"), "{name}");
    assert_eq!(stage.sim.status()["regions"][WEST]["snapshots"], json!([name]));
    assert_eq!(stage.database(WEST, REPLICA), Value::Null);
    assert_eq!(stage.effects("DeleteDBInstance"), 1);
    known.handle = None;
    carry_on(&step, &mut known).await.expect("gone, and our own doing");
    let failure = step.undo(&known).await.expect_err("irreversible");
    assert!(failure.hint.is_some_and(|hint| hint.contains(&name)));
}

#[tokio::test(start_paused = true)]
async fn what_must_not_be_deleted_is_refused() {
    let stage = Stage::new(&[]);
    let refused = async |ron: String| stage.step(&ron).fail().await.1.message;
    assert!(refused(delete("us-east-1", "prod-db-primary", "")).await.contains("has replicas"));
    assert!(refused(delete(WEST, REPLICA, "")).await.contains("is a read replica"));
    assert!(refused(delete(WEST, "prod-db-replica-wset", "")).await.contains("there is no RDS instance"));
    assert!(stage.sim.calls().is_empty());
    let problems = |params: &str| stage.registry.step("RdsDeleteInstance", params).map(|step| step.problems()).unwrap_or_default();
    assert_eq!(problems(r#"(instance: "i", region: "r", final_snapshot: "s", skip_final_snapshot: true)"#).len(), 1);
    assert_eq!(problems(r#"(instance: "i", region: "r", final_snapshot: "two--hyphens")"#).len(), 1);
    assert_eq!(problems(r#"(instance: "i", region: "r", final_snapshot: "good-name")"#).len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_renaming_is_done_when_the_new_name_is_available_and_the_old_one_is_gone() {
    let stage = Stage::new(&[]);
    let before = stage.world();
    let step = stage.step(&modify("us-east-1", "prod-db-primary", r#"new_identifier: "prod-db-old""#));
    let (known, outputs) = step.succeed().await;
    assert!(outputs["endpoint"].as_str().is_some_and(|host| host.starts_with("prod-db-old.")), "{outputs:?}");
    assert_eq!(stage.database("us-east-1", "prod-db-primary"), Value::Null);
    assert_eq!(known.before.as_ref().map(|before| before["identifier"].clone()), Some(json!("prod-db-primary")));
    let (again, _) = step.succeed().await;
    assert!(!again.intent, "it has that name already");
    step.undo(&known).await.expect("renamed back");
    step.undo(&known).await.expect("only once");
    assert_eq!(stage.world(), before);
    assert_eq!(stage.effects("ModifyDBInstance"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_change_whose_answer_was_lost_is_taken_back_although_it_did_not_show_yet() {
    let stage = Stage::new(&["lost-response ModifyDBInstance"]);
    let before = stage.world();
    let step = stage.step(&modify("us-east-1", "prod-db-primary", r#"instance_class: "db.r6g.4xlarge", backup_retention_days: 3"#));
    let mut known = Known::default();
    // The SDK repeats a declarative call by itself, and is refused because the first one is at work.
    let failure = carry_on(&step, &mut known).await.expect_err("refused");
    assert_eq!(failure.kind, FailureKind::Transient, "{failure:?}");
    step.undo(&known).await.expect("changed back");
    assert_eq!(stage.world(), before);
    assert_eq!(stage.effects("ModifyDBInstance"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_taken_name_and_a_change_of_nothing_are_refused() {
    let stage = Stage::new(&[]);
    stage.step(&create("second", PRIMARY_ARN)).succeed().await;
    let failure = stage.step(&modify(WEST, REPLICA, r#"new_identifier: "second""#)).fail().await.1;
    assert!(failure.message.contains("the name is taken"), "{failure:?}");
    let problems = |params: &str| stage.registry.step("RdsModifyInstance", params).map(|step| step.problems()).unwrap_or_default();
    assert_eq!(problems(r#"(instance: "i", region: "r")"#).len(), 1);
    assert_eq!(problems(r#"(instance: "i", region: "r", new_identifier: "I", backup_retention_days: 99)"#).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_observed_for_a_plan_changes_nothing() {
    let stage = Stage::new(&[]);
    let before = stage.world();
    for ron in [
        promote(r#"max_replica_lag: "5m""#),
        create("new-west", PRIMARY_ARN),
        modify(WEST, REPLICA, "backup_retention_days: 7"),
        delete(WEST, REPLICA, "skip_final_snapshot: true"),
    ] {
        let step = stage.step(&ron);
        let observed = step.step.observe(&step.cx, None).await;
        assert!(matches!(observed, Ok(Observed::Differs(_))), "{ron}: {observed:?}");
    }
    assert_eq!(stage.world(), before);
    assert!(stage.sim.calls().is_empty());
}
