//! What a new replica and a larger instance need beforehand, in the simulated world: a key of the region, and a class that it has.

use std::sync::Arc;

use wf_engine::clock::Clock;
use wf_engine::model::definition::Objectives;
use wf_engine::model::event::FailureKind;
use wf_engine::readiness::{Check, Finding};
use wf_engine::step::{Observed, StepContext};
use wf_sim::{DEFAULT_WORLD, Sim, SimOptions};
use wf_steps::aws::Cloud;

use crate::support::{context, step};
use crate::virtual_clock::Virtual;

const SOURCE: &str = "arn:aws:rds:us-east-1:123456789012:db:prod-db-primary";
const WEST_KEY: &str = r#"keys: [(id: "b81e4f27-3c95-4d60-8f1a-7e29d05c6a43", alias: "alias/prod-db")]"#;

/// A world at peace in which something is written otherwise.
fn world(from: &str, to: &str) -> Sim {
    assert!(DEFAULT_WORLD.contains(from), "there is no {from:?} to change");
    let world = DEFAULT_WORLD.replacen(from, to, 1).parse().unwrap();
    let faults = vec!["primary-alive".parse().unwrap()];
    Sim::open(SimOptions { world, state_dir: None, speed: 1.0, seed: Some(7), faults }).unwrap()
}

/// The way to it.
fn reach(sim: &Sim) -> (Cloud, StepContext<()>) {
    let clock: Arc<dyn Clock> = Arc::new(Virtual(sim.clock()));
    let (cx, _) = context(Arc::clone(&clock));
    (Cloud::with_http_client(sim.http_client(), clock), cx)
}

/// What is checked of a step beforehand and is not good, with what is said of it.
async fn bad(sim: &Sim, run: &str) -> Vec<(&'static str, String)> {
    let (cloud, cx) = reach(sim);
    let checks = step(&cloud, run).readiness(&cx, &Objectives::default()).await.unwrap();
    let told = |check: &Check| (check.name, format!("{} {}", check.why(), check.fix()));
    assert!(checks.iter().all(|check| !matches!(check.found, Finding::Unknown { .. })), "{checks:?}");
    checks.iter().filter(|check| !check.is_good()).map(told).collect()
}

fn replica(more: &str) -> String {
    format!(r#"RdsCreateReadReplica(instance: "new", region: "us-west-2", source: "{SOURCE}"{more})"#)
}

#[tokio::test(start_paused = true)]
async fn a_replica_elsewhere_needs_a_key_there_before_anything_is_changed() {
    let sim = world(WEST_KEY, WEST_KEY);
    assert_eq!(bad(&sim, &replica(r#", kms_key: "alias/prod-db""#)).await, []);
    assert_eq!(bad(&sim, &replica(r#", kms_key: "alias/aws/rds""#)).await, []);
    let told = bad(&sim, &replica(r#", kms_key: "alias/prod-bd""#)).await;
    assert!(matches!(&told[..], [("KMS key", said)] if said.contains("there is no key alias/prod-bd in us-west-2")), "{told:?}");

    let (cloud, cx) = reach(&sim);
    let failure = step(&cloud, &replica("")).observe(&cx, None).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Permanent);
    assert!(failure.message.contains("needs a key of that region: nothing was changed"), "{failure:?}");
    assert!(failure.hint.as_ref().is_some_and(|hint| hint.contains("aws kms list-aliases --region us-west-2")), "{failure:?}");
    // In its own region it has the source's.
    let beside = r#"RdsCreateReadReplica(instance: "new", region: "us-east-1", source: "prod-db-primary")"#;
    assert!(matches!(step(&cloud, beside).observe(&cx, None).await, Ok(Observed::Differs(_))));

    let disabled = world(WEST_KEY, &WEST_KEY.replace(r#"alias: "alias/prod-db""#, r#"alias: "alias/prod-db", state: "Disabled""#));
    let told = bad(&disabled, &replica(r#", kms_key: "alias/prod-db""#)).await;
    assert!(matches!(&told[..], [("KMS key", said)] if said.contains("aws kms enable-key --key-id alias/prod-db")), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_class_that_the_region_has_not_is_told_beforehand() {
    let sim = world(WEST_KEY, &format!(r#"{WEST_KEY}, lacks_classes: ["db.r6g.16xlarge", "db.r6g.xlarge"]"#));
    let key = r#", kms_key: "alias/prod-db""#;
    let told = bad(&sim, &replica(key)).await;
    assert!(
        matches!(&told[..], [("instance class", said)] if said.contains("us-west-2 has no db.r6g.xlarge for postgres 15.4: new in us-west-2")),
        "the class of the source: {told:?}"
    );
    assert_eq!(bad(&sim, &replica(&format!(r#"{key}, instance_class: "db.r6g.2xlarge""#))).await, []);

    let modify =
        |class: &str| format!(r#"RdsModifyInstance(instance: "prod-db-replica-west", region: "us-west-2", instance_class: "{class}")"#);
    let told = bad(&sim, &modify("db.r6g.16xlarge")).await;
    assert!(
        matches!(&told[..], [("instance class", said)] if said.contains("aws rds describe-orderable-db-instance-options --engine postgres")),
        "{told:?}"
    );
    assert_eq!(bad(&sim, &modify("db.r6g.2xlarge")).await, []);
    // What it has is not ordered.
    assert_eq!(bad(&sim, &modify("db.r6g.xlarge")).await, []);
    assert!(sim.calls().iter().all(|call| !call.effective), "a check only reads");
}
