//! What the suite asks of each kind, asked of a `Fence` with a write lease, which its EXAMPLE has not; and its outcomes.

use std::collections::BTreeSet;
use std::time::Duration;

use wf_engine::clock::between;
use wf_engine::model::definition::Objectives;
use wf_engine::model::event::FailureKind;
use wf_engine::readiness::{Check, Finding};
use wf_sim::DEFAULT_WORLD;

use crate::carry_on;
use crate::stage::{Cut, Known, Stage};

const STEP: &str = r#"(id: "fence", run: Fence(
    region: "us-east-1", group: "prod-app-asg", keep_empty: true,
    lease: (bucket: "production-dr-switch", key: "lease/production", region: "us-west-2", holder: "us-west-2"),
))"#;

/// The step with another setting.
fn with(setting: &str) -> String {
    STEP.replace("keep_empty: true,", &format!("{setting},"))
}

/// A world whose application keeps a lease, for so many seconds.
fn leased(ttl: u32, faults: &[&str]) -> Stage {
    let world = DEFAULT_WORLD.replace("// lease: (region:", "lease: (region:").replace("ttl: 60)", &format!("ttl: {ttl})"));
    assert_ne!(world, DEFAULT_WORLD);
    Stage::in_world(&world, faults)
}

fn holder(stage: &Stage) -> String {
    stage.sim.status()["lease_holder"].as_str().unwrap_or("nobody").to_owned()
}

fn max(stage: &Stage) -> serde_json::Value {
    stage.sim.status()["regions"]["us-east-1"]["groups"]["prod-app-asg"]["max"].clone()
}

#[tokio::test(start_paused = true)]
async fn cut_off_anywhere_both_are_told_once_and_both_are_restored() {
    for cut in [Some(Cut::Observed), Some(Cut::Called), Some(Cut::Applied), Some(Cut::Settled), None] {
        let stage = leased(60, &[]);
        let (step, before) = (stage.step(STEP), stage.world());
        let mut known = Known::default();
        if let Some(cut) = cut {
            assert!(matches!(step.drive(&mut known, Some(cut)).await, Err(None)));
        }
        carry_on(step.info(), &step, &mut known, cut.unwrap_or(Cut::Settled)).await;
        assert_eq!((stage.effects("PutObject"), stage.effects("UpdateAutoScalingGroup")), (1, 1), "cut off after {cut:?}");
        assert_eq!((holder(&stage).as_str(), max(&stage)), ("us-west-2", 0.into()));
        for _ in 0..2 {
            step.undo(&known).await.unwrap();
            stage.wait(600).await;
            assert_eq!(stage.world(), before, "cut off after {cut:?}");
        }
        assert_eq!(holder(&stage), "us-east-1");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_has_one_effect() {
    for fault in ["lost-response PutObject", "lost-response UpdateAutoScalingGroup"] {
        let stage = leased(60, &[fault]);
        let step = stage.step(STEP);
        let (known, outputs) = step.succeed().await;
        assert_eq!((stage.effects("PutObject"), stage.effects("UpdateAutoScalingGroup")), (1, 1), "{fault}");
        let before = known.before.unwrap();
        assert!(before["lease"].as_str().unwrap().contains("us-east-1") && before["desired"] == 6, "{fault}: {before}");
        assert_eq!(outputs["outcome"], "Confirmed", "{fault}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_region_that_does_not_answer_is_fenced_when_the_lease_has_lapsed() {
    for (setting, outcome) in
        [("keep_empty: true", Ok("LeaseExpired")), ("lease_expired: Ask", Ok("LeaseExpired")), ("lease_expired: Stop", Err(()))]
    {
        let stage = leased(60, &["region-outage us-east-1"]);
        let (step, began) = (stage.step(&with(setting)), stage.sim.clock().now());
        let (_, result) = step.run().await;
        assert!(between(began, stage.sim.clock().now()) >= Duration::from_secs(65), "{setting}: its time and the skew have passed");
        assert_eq!(holder(&stage), "us-west-2", "{setting}");
        match outcome {
            Ok(outcome) => assert_eq!(result.unwrap()["outcome"], outcome, "{setting}"),
            Err(()) => {
                let failure = result.unwrap_err();
                assert!(failure.kind == FailureKind::Permanent && failure.message.contains("does not go on from"), "{failure:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_region_that_goes_away_once_it_was_seen_is_fenced_by_the_lease() {
    let stage = leased(60, &[]);
    let (step, mut known) = (stage.step(STEP), Known::default());
    assert!(matches!(step.drive(&mut known, Some(Cut::Observed)).await, Err(None)));
    stage.set_faults(&["region-outage us-east-1"]);
    let outputs = step.drive(&mut known, None).await.unwrap();
    assert_eq!((outputs["outcome"].as_str(), holder(&stage).as_str()), (Some("LeaseExpired"), "us-west-2"));
    stage.set_faults(&[]);
    step.undo(&known).await.unwrap();
    assert_eq!((holder(&stage).as_str(), max(&stage)), ("us-east-1", 10.into()));
}

#[tokio::test(start_paused = true)]
async fn what_is_known_first_counts_only_where_the_plan_goes_on_from_it() {
    // Instances take longer to go than this lease to lapse.
    for (setting, outcome) in
        [("lease_expired: Continue, skew: \"1s\"", "LeaseExpired"), ("lease_expired: Stop, skew: \"1s\"", "Confirmed")]
    {
        let stage = leased(2, &[]);
        let (_, outputs) = stage.step(&with(setting)).succeed().await;
        assert_eq!(outputs["outcome"], outcome, "{setting}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_lease_a_region_that_does_not_answer_is_unreachable_or_a_question() {
    let stage = Stage::new(&["region-outage us-east-1"]);
    let failure = stage.step(STEP).run().await.1.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unreachable, "{failure:?}");
    assert!(failure.causes.iter().any(|cause| cause.contains("keeps no write lease there")), "{failure:?}");
    let (known, outputs) = stage.step(&with("unreachable: Ask")).succeed().await;
    assert_eq!(outputs["outcome"], "Unreachable");
    assert!(outputs["detail"].as_str().unwrap().ends_with("tester says to go on"), "{outputs:?}");
    assert!(!known.intent && stage.all_effects().is_empty(), "nothing was told to anybody");
}

#[tokio::test(start_paused = true)]
async fn an_object_that_is_no_lease_is_relied_on_by_nobody() {
    let world = DEFAULT_WORLD.replace("// lease: (region:", "lease: (region:").replace(", ttl: 60)", ", ttl: 0)");
    let stage = Stage::in_world(&world, &["region-outage us-east-1"]);
    let failure = stage.step(STEP).run().await.1.unwrap_err();
    assert!(failure.causes.iter().any(|cause| cause.contains("`ttl_seconds` is not 1 to 3600")), "{failure:?}");
    assert_eq!(stage.effects("PutObject"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_went_to_a_third_side_is_left_there() {
    let stage = leased(60, &[]);
    let step = stage.step(STEP);
    let (known, _) = step.succeed().await;
    stage.step(&STEP.replace(r#"holder: "us-west-2""#, r#"holder: "eu-west-1""#)).succeed().await;
    step.undo(&known).await.unwrap();
    assert_eq!(holder(&stage), "eu-west-1");
}

#[tokio::test(start_paused = true)]
async fn it_needs_exactly_the_rights_that_it_names() {
    let stage = leased(60, &[]);
    let step = stage.step(STEP);
    let iam = step.step.iam();
    let checks = step.step.readiness(&step.cx, &Objectives::default()).await.unwrap();
    assert!(checks.iter().all(|check| check.found == Finding::Passed), "{checks:?}");
    let names = |actions: &[&[&str]]| -> BTreeSet<String> { actions.concat().iter().map(|action| (*action).to_owned()).collect() };
    let mut used = stage.take_actions();
    assert!(used.is_subset(&names(&[iam.read])), "{used:?}");
    let (known, _) = step.succeed().await;
    step.undo(&known).await.unwrap();
    used.extend(stage.take_actions());
    // S3 asks for it when the object is not there; no call of ours shows it.
    used.insert("s3:ListBucket".to_owned());
    assert_eq!(used, names(&[iam.read, iam.apply, iam.compensate]));
}

#[tokio::test(start_paused = true)]
async fn a_missing_lease_is_warned_of_beforehand() {
    let stage = Stage::new(&[]);
    let step = stage.step(STEP);
    let checks = step.step.readiness(&step.cx, &Objectives::default()).await.unwrap();
    let warned: Vec<&Check> = checks.iter().filter(|check| check.found != Finding::Passed).collect();
    assert!(matches!(warned.as_slice(), [check] if check.name == "write lease" && check.is_good()), "{checks:?}");
}

#[test]
fn a_fence_that_would_stop_nothing_is_refused() {
    let problems = |params: &str| {
        let text = format!("#![enable(implicit_some)]\nWorkflow(name: \"w\", steps: [(id: \"f\", run: Fence({params}))])");
        let workflow = std::sync::Arc::new(wf_engine::model::workflow::Workflow::parse(&text).unwrap());
        let registry = wf_steps::registry(wf_steps::aws::Cloud::offline());
        let bound = registry.bind(workflow, &Default::default(), &wf_engine::registry::Imports::None);
        bound.err().unwrap_or_default().iter().map(|problem| problem.message.clone()).collect::<Vec<_>>().join("; ")
    };
    assert!(problems(r#"region: "a""#).contains("nothing would be stopped"));
    assert!(problems(r#"region: "a", lease: (bucket: "b-b", key: "k", region: "c", holder: "a")"#).contains("the other side"));
    assert!(problems(r#"region: "a", lease: (bucket: "B", key: "k", region: "c", holder: "c")"#).contains("`bucket`"));
    assert!(
        problems(r#"region: "a", keep_empty: true, lease: (bucket: "b-b", key: "k", region: "c", holder: "c")"#).contains("`keep_empty`")
    );
}
