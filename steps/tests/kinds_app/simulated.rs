//! The same kinds in the simulated world: how long things take, what the world looks like afterwards, and what is called.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use wf_engine::clock::Clock;
use wf_engine::model::event::FailureKind;
use wf_engine::registry::Step;
use wf_engine::step::{Observed, StepContext};
use wf_sim::{DEFAULT_WORLD, Sim, SimOptions};
use wf_steps::aws::Cloud;

use crate::support::{Told, before, context, progress, run, step};
use crate::virtual_clock::Virtual;

const SCALE: &str = r#"AutoScalingScale(group: "prod-app-dr-asg", region: "us-west-2", min: 3, desired: 6)"#;
const FENCE: &str = r#"AutoScalingScale(group: "prod-app-asg", region: "us-east-1", min: 0, desired: 0)"#;
const NODES: &str =
    r#"EksScaleNodegroup(cluster: "production-dr", nodegroup: "general", region: "us-west-2", min: 3, desired: 6, max: 20)"#;
const TARGETS: &str = r#"ElbWaitTargetsHealthy(target_group: "prod-app-dr-tg", region: "us-west-2", min_healthy: 6)"#;
const DNS: &str = r#"Route53Failover(zone: "company.com", record: "app.company.com", type: "A", set_identifier: "primary",
    to: Alias(dns_name: "prod-app-dr-alb-2071366924.us-west-2.elb.amazonaws.com", zone_id: "Z1H1FL5HABSF5"))"#;

struct World {
    sim: Sim,
    cloud: Cloud,
    cx: StepContext<()>,
    told: Told,
}

/// Opens the default world on tokio's paused clock. Without a dead primary unless the faults leave it to die.
fn world(faults: &[&str]) -> World {
    let faults = faults.iter().map(|fault| fault.parse().unwrap()).collect();
    let options = SimOptions { world: DEFAULT_WORLD.parse().unwrap(), state_dir: None, speed: 1.0, seed: Some(7), faults };
    let sim = Sim::open(options).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(Virtual(sim.clock()));
    let (cx, told) = context(Arc::clone(&clock));
    World { cloud: Cloud::with_http_client(sim.http_client(), clock), sim, cx, told }
}

impl World {
    fn step(&self, run: &str) -> Arc<dyn Step> {
        step(&self.cloud, run)
    }

    fn effective(&self, action: &str) -> usize {
        self.sim.calls().iter().filter(|call| call.action == action && call.effective).count()
    }

    fn called(&self, action: &str) -> usize {
        self.sim.calls().iter().filter(|call| call.action == action).count()
    }

    /// Returns what the steps can change of the world.
    fn changeable(&self) -> Value {
        let status = self.sim.status();
        let part = |region: &str, part: &str| status["regions"][region][part].clone();
        let target = |record: &Value| {
            json!([record["set_identifier"], record["alias"], record["values"], record["ttl"], record["health_check"], record["failover"]])
        };
        let records: Vec<_> = status["dns"]["records"].as_array().unwrap().iter().map(target).collect();
        json!([
            part("us-east-1", "groups"),
            part("us-west-2", "groups"),
            part("us-east-1", "nodegroups"),
            part("us-west-2", "nodegroups"),
            records
        ])
    }
}

#[tokio::test(start_paused = true)]
async fn every_change_has_one_effect_and_is_undone_to_the_last_figure() {
    for (text, action) in [
        (SCALE, "UpdateAutoScalingGroup"),
        (FENCE, "UpdateAutoScalingGroup"),
        (NODES, "UpdateNodegroupConfig"),
        (DNS, "ChangeResourceRecordSets"),
    ] {
        let world = world(&["primary-alive"]);
        let (step, as_it_was) = (world.step(text), world.changeable());
        let ran = run(&step, &world.cx).await.unwrap();
        assert_ne!(world.changeable(), as_it_was, "{text}");
        let again = run(&step, &world.cx).await.unwrap();
        assert!(again.handle.is_none(), "{text}");
        assert_eq!((world.called(action), world.effective(action)), (1, 1), "{text}");
        for _ in 0..2 {
            step.compensate(&world.cx, &ran.before, ran.handle.as_ref()).await.unwrap();
        }
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(world.changeable(), as_it_was, "{text}");
        assert_eq!(world.effective(action), 2, "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_leads_to_no_second_change() {
    for (text, action) in [(SCALE, "UpdateAutoScalingGroup"), (NODES, "UpdateNodegroupConfig"), (DNS, "ChangeResourceRecordSets")] {
        let world = world(&["primary-alive", &format!("lost-response {action} 9")]);
        let step = world.step(text);
        let intent = before(step.observe(&world.cx, None).await.unwrap());
        let failure = step.apply(&world.cx, &intent).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Transient, "{text}");
        let observed = step.observe(&world.cx, Some(&intent)).await.unwrap();
        assert!(matches!(observed, Observed::Satisfied(_)), "{text}: {observed:?}");
        step.settle(&world.cx, &before(observed), None).await.unwrap();
        assert_eq!(world.effective(action), 1, "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_whole_application_side_of_a_failover() {
    let world = world(&[]);
    // The health of the servers in the west depends on their database.
    let promote = world.step(r#"RdsPromoteReadReplica(instance: "prod-db-replica-west", region: "us-west-2")"#);
    let scale = world.step(SCALE);
    let (promoted, scaled) = tokio::join!(run(&promote, &world.cx), run(&scale, &world.cx));
    let (_, scaled) = (promoted.unwrap(), scaled.unwrap());
    assert_eq!(json!(scaled.outputs), json!({ "in_service": 6, "min": 3, "desired": 6, "max": 10 }));
    assert_eq!(scaled.before["desired"], json!(0));
    assert!(progress(&world.told).iter().any(|text| text.ends_with("/6 in service")), "{:?}", progress(&world.told));
    let targets = run(&world.step(TARGETS), &world.cx).await.unwrap();
    assert_eq!(json!(targets.outputs), json!({ "healthy": 6, "registered": 6 }));
    let nodes = run(&world.step(NODES), &world.cx).await.unwrap();
    assert_eq!(json!([nodes.outputs["min"], nodes.outputs["desired"], nodes.outputs["max"]]), json!([3, 6, 20]));

    let dns = run(&world.step(DNS), &world.cx).await.unwrap();
    assert_eq!(dns.outputs["zone_id"], json!("Z0COMPANYPUBLIC00"));
    let status = world.sim.status();
    let primary = status["dns"]["records"].as_array().unwrap().iter().find(|record| record["set_identifier"] == "primary").unwrap().clone();
    assert_eq!(primary["health_check"], json!("c8d5e2b7-1f40-4a6d-9e83-72b6a0c94d15"), "the health check must be kept");
    assert_eq!((&primary["failover"], &primary["in_sync"]), (&json!("PRIMARY"), &json!(true)));
    assert!(status["dns"]["resolves_to"].as_str().unwrap().contains("us-west-2"));
}

#[tokio::test(start_paused = true)]
async fn fencing_waits_until_the_last_instance_is_gone() {
    let world = world(&["primary-alive"]);
    run(&world.step(FENCE), &world.cx).await.unwrap();
    assert_eq!(world.sim.status()["regions"]["us-east-1"]["groups"]["prod-app-asg"]["instances"], json!(0));
    assert!(progress(&world.told).iter().any(|text| text.ends_with("still to terminate")), "{:?}", progress(&world.told));
}

#[tokio::test(start_paused = true)]
async fn a_lack_of_capacity_fails_the_step_in_minutes_with_awss_own_words() {
    let world = world(&["no-capacity prod-app-dr-asg"]);
    let (step, as_it_was) = (world.step(SCALE), world.changeable());
    let began = tokio::time::Instant::now();
    let intent = before(step.observe(&world.cx, None).await.unwrap());
    step.apply(&world.cx, &intent).await.unwrap();
    let failure = step.settle(&world.cx, &intent, None).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Permanent);
    assert!(failure.message.to_lowercase().contains("capacity"), "{}", failure.message);
    assert!(began.elapsed() < Duration::from_secs(300), "{:?}", began.elapsed());
    step.compensate(&world.cx, &intent, None).await.unwrap();
    assert_eq!(world.changeable(), as_it_was);
}

#[tokio::test(start_paused = true)]
async fn a_node_group_without_capacity_fails_with_ekss_own_words() {
    let world = world(&["no-capacity production-dr/general"]);
    let (step, as_it_was) = (world.step(NODES), world.changeable());
    let intent = before(step.observe(&world.cx, None).await.unwrap());
    let handle = step.apply(&world.cx, &intent).await.unwrap();
    let failure = step.settle(&world.cx, &intent, Some(&handle)).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Permanent);
    assert!(failure.message.contains("InsufficientInstanceCapacity"), "{}", failure.message);
    step.compensate(&world.cx, &intent, Some(&handle)).await.unwrap();
    assert_eq!(world.changeable(), as_it_was);
}

#[tokio::test(start_paused = true)]
async fn a_step_that_failed_for_capacity_can_be_tried_anew() {
    for (text, fault) in [(SCALE, "no-capacity prod-app-dr-asg"), (NODES, "no-capacity production-dr/general")] {
        let world = world(&[fault]);
        let step = world.step(text);
        let intent = before(step.observe(&world.cx, None).await.unwrap());
        let handle = step.apply(&world.cx, &intent).await.unwrap();
        step.settle(&world.cx, &intent, Some(&handle)).await.unwrap_err();
        // The engine keeps the first before-image, and forgets the handle.
        let anew = StepContext { generation: 1, ..world.cx.clone() };
        let retry = || async {
            let handle = match step.observe(&anew, Some(&intent)).await? {
                Observed::Satisfied(_) => None,
                Observed::Differs(_) => Some(step.apply(&anew, &intent).await?),
            };
            step.settle(&anew, &intent, handle.as_ref()).await
        };
        let still = tokio::time::timeout(Duration::from_secs(600), retry()).await;
        assert!(!matches!(still, Ok(Ok(_))), "{text}: there is no capacity yet");
        world.sim.set_faults(Vec::new());
        tokio::time::timeout(Duration::from_secs(900), retry()).await.unwrap().unwrap();
        let status = world.sim.status();
        let west = &status["regions"]["us-west-2"];
        let count = if text == SCALE {
            &west["groups"]["prod-app-dr-asg"]["in_service"]
        } else {
            &west["nodegroups"]["production-dr/general"]["nodes"]
        };
        assert_eq!(count, &json!(6), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn half_of_the_instances_can_be_enough() {
    let (all, half) = (world(&[]), world(&[]));
    let began = tokio::time::Instant::now();
    run(&all.step(SCALE), &all.cx).await.unwrap();
    let took_all = began.elapsed();
    let began = tokio::time::Instant::now();
    let ran = run(&half.step(&SCALE.replace("desired: 6", "desired: 6, min_percent: 50")), &half.cx).await.unwrap();
    assert!(began.elapsed() <= took_all && ran.outputs["in_service"].as_i64() >= Some(3));
}

#[tokio::test(start_paused = true)]
async fn a_stale_view_of_the_world_is_not_taken_for_success() {
    for text in [SCALE, NODES, DNS] {
        let world = world(&["eventual-consistency 45s"]);
        run(&world.step(text), &world.cx).await.unwrap();
        let status = world.sim.status();
        if text == DNS {
            assert!(status["dns"]["records"].as_array().unwrap().iter().all(|record| record["in_sync"] == json!(true)), "{status}");
            continue;
        }
        let (app, nodes) = (
            &status["regions"]["us-west-2"]["groups"]["prod-app-dr-asg"],
            &status["regions"]["us-west-2"]["nodegroups"]["production-dr/general"],
        );
        assert!(app["in_service"] == json!(6) || nodes["nodes"] == json!(6), "{text}: {app} {nodes}");
    }
}

#[tokio::test(start_paused = true)]
async fn throttling_is_waited_out() {
    let world = world(&["throttle autoscaling 30%", "throttle eks 30%", "throttle route53 30%"]);
    for text in [SCALE, NODES, DNS] {
        run(&world.step(text), &world.cx).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_region_that_does_not_answer_is_unreachable_and_a_missing_permission_is_named() {
    for fault in ["region-outage us-east-1", "region-hang us-east-1"] {
        let world = world(&[fault]);
        let began = tokio::time::Instant::now();
        let failure = world.step(FENCE).observe(&world.cx, None).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Unreachable, "{}", failure.message);
        assert!(began.elapsed() < Duration::from_secs(120), "{fault}: {:?}", began.elapsed());
    }
    for (text, action) in
        [(SCALE, "autoscaling:UpdateAutoScalingGroup"), (NODES, "eks:UpdateNodegroupConfig"), (DNS, "route53:ChangeResourceRecordSets")]
    {
        let world = world(&["primary-alive", &format!("deny {}", action.split(':').nth(1).unwrap())]);
        let failure = run(&world.step(text), &world.cx).await.err().unwrap();
        assert_eq!(failure.kind, FailureKind::Permanent);
        assert!(failure.hint.unwrap().contains(action));
    }
}

#[tokio::test(start_paused = true)]
async fn what_does_not_exist_is_told_with_what_does() {
    let world = world(&[]);
    for (text, message, hint) in [
        (
            SCALE.replace("dr-asg", "dr"),
            "there is no Auto Scaling group prod-app-dr in us-west-2 of account 123456789012",
            "did you mean prod-app-dr-asg?",
        ),
        (
            NODES.replace("\"general\"", "\"spot\""),
            "there is no node group spot in cluster production-dr in us-west-2 of account",
            "what is there: general",
        ),
        (NODES.replace("production-dr", "nowhere"), "there is no cluster nowhere in us-west-2 of account", "what is there: production-dr"),
        (TARGETS.replace("dr-tg", "dr"), "there is no target group prod-app-dr in us-west-2 of account", "did you mean prod-app-dr-tg?"),
        (
            DNS.replace("\"primary\"", "\"first\""),
            "there is no record app.company.com A (first) in hosted zone company.com (Z0COMPANYPUBLIC00)",
            "primary, secondary",
        ),
        (
            SCALE.replace("desired: 6", "desired: 11"),
            "Auto Scaling group prod-app-dr-asg in us-west-2 cannot have the sizes asked for",
            "it has min 0, desired 0, max 10",
        ),
    ] {
        let failure = world.step(&text).observe(&world.cx, None).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Permanent);
        assert!(failure.message.starts_with(message), "{}", failure.message);
        assert!(failure.hint.as_ref().unwrap().contains(hint), "{failure:?}");
    }
    assert_eq!(world.sim.calls().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn empty_target_groups_are_waited_for() {
    let world = world(&[]);
    let waits = world.step(r#"ElbWaitTargetsHealthy(target_group: "prod-app-dr-tg", region: "us-west-2")"#);
    let waited = tokio::time::timeout(Duration::from_secs(600), run(&waits, &world.cx)).await;
    assert!(waited.is_err(), "no target is no success");
    assert_eq!(progress(&world.told).last().unwrap(), "0/1 healthy: no target is registered");
}

#[tokio::test(start_paused = true)]
async fn the_application_is_asked_as_its_users_do() {
    let alive = world(&["primary-alive"]);
    let ran = run(&alive.step(r#"HttpCheck(url: "https://app.company.com/health", body_contains: "us-east-1")"#), &alive.cx).await.unwrap();
    assert_eq!((ran.outputs["status"].as_u64(), progress(&alive.told)), (Some(200), vec!["1/3 ok".to_owned(), "2/3 ok".to_owned()]));
    assert!(ran.outputs["response_ms"].as_u64() < Some(5000) && ran.outputs["checked_at"].is_string());
    let east = r#"HttpCheck(url: "https://app.company.com/health", successes: 1, connect_to: "prod-app-alb-1190425811.us-east-1.elb.amazonaws.com")"#;
    run(&alive.step(east), &alive.cx).await.unwrap();

    let dead = world(&[]);
    let check = dead.step(r#"HttpCheck(url: "https://app.company.com/health")"#);
    assert!(tokio::time::timeout(Duration::from_secs(120), run(&check, &dead.cx)).await.is_err());
    assert!(progress(&dead.told).iter().all(|text| text.starts_with("0/3 ok: ")), "{:?}", progress(&dead.told));
}

#[tokio::test(start_paused = true)]
async fn a_rollback_right_after_the_change_waits_its_turn_and_trusts_no_stale_view() {
    for (text, delay) in [NODES, DNS, SCALE].into_iter().flat_map(|text| [(text, "0s"), (text, "20s")]) {
        let world = world(&["primary-alive", &format!("eventual-consistency {delay}")]);
        let (step, as_it_was) = (world.step(text), world.changeable());
        let intent = before(step.observe(&world.cx, None).await.unwrap());
        let handle = step.apply(&world.cx, &intent).await.unwrap();
        step.compensate(&world.cx, &intent, Some(&handle)).await.unwrap();
        tokio::time::sleep(Duration::from_secs(120)).await;
        assert_eq!(world.changeable(), as_it_was, "{text}");
    }
}
