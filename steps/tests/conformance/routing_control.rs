//! What the suite asks of each kind, asked of `Route53Failover` by routing controls: on the cluster of ARC that the world has in comments.

use std::collections::BTreeSet;

use wf_engine::clock::between;
use wf_engine::model::definition::Objectives;
use wf_engine::model::event::FailureKind;
use wf_engine::readiness::{Check, Finding};

use crate::carry_on;
use crate::routing_controls::{ENDPOINTS, east, rule, via, west, world};
use crate::stage::{Cut, Known, Stage, Stepped};

const UPDATE: &str = "UpdateRoutingControlStates";
const WEST: &str = "dns_name: \"prod-app-dr-alb-2071366924.us-west-2.elb.amazonaws.com\", zone_id: \"Z1H1FL5HABSF5\"";
const EAST: &str = "dns_name: \"prod-app-alb-1190425811.us-east-1.elb.amazonaws.com\", zone_id: \"Z35SXDOTRQ7X7K\"";

fn text(to: &str, via: &str) -> String {
    format!(
        r#"(id: "dns", run: Route53Failover(zone: "company.com", record: "app.company.com", type: "A", set_identifier: "primary", to: Alias({to}), {via}))"#
    )
}

/// The step that moves the users to the west.
fn to_the_west() -> String {
    text(WEST, &via(&[west()], &[east()], &[]))
}

fn ready(faults: &[&str]) -> (Stage, Stepped) {
    let stage = Stage::in_world(&world(), faults);
    let step = stage.step(&to_the_west());
    (stage, step)
}

fn resolves_to(stage: &Stage) -> String {
    stage.sim.status()["dns"]["resolves_to"].as_str().unwrap().to_owned()
}

/// Whether the controls of east and west are On.
fn controls(stage: &Stage) -> (bool, bool) {
    let controls = &stage.sim.status()["routing_controls"];
    (controls[east()].as_bool().unwrap(), controls[west()].as_bool().unwrap())
}

/// Takes down the endpoints in these regions, and nothing else there.
fn away(regions: &[&str]) -> Vec<String> {
    regions.iter().map(|region| format!("service-outage arc {region}")).collect()
}

fn set(stage: &Stage, faults: &[String]) {
    stage.set_faults(&faults.iter().map(String::as_str).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn cut_off_anywhere_it_is_carried_on_with_one_effect_and_undone() {
    for cut in [Some(Cut::Observed), Some(Cut::Called), Some(Cut::Applied), Some(Cut::Settled), None] {
        let (stage, step) = ready(&[]);
        let before = stage.world();
        assert!(controls(&stage) == (true, false) && resolves_to(&stage).contains("us-east-1"));
        let mut known = Known::default();
        if let Some(cut) = cut {
            assert!(matches!(step.drive(&mut known, Some(cut)).await, Err(None)));
        }
        carry_on(step.info(), &step, &mut known, cut.unwrap_or(Cut::Settled)).await;
        assert_eq!(stage.all_effects().len(), 1, "cut off after {cut:?}: {:?}", stage.all_effects());
        assert_eq!(controls(&stage), (false, true));
        assert!(resolves_to(&stage).contains("us-west-2"), "it is done when the users are led there");
        for _ in 0..2 {
            step.undo(&known).await.unwrap();
            stage.wait(30).await;
            assert_eq!(stage.world(), before, "cut off after {cut:?}");
        }
        assert!(resolves_to(&stage).contains("us-east-1"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_has_one_effect_and_what_was_before_is_known() {
    let (stage, step) = ready(&["lost-response UpdateRoutingControlStates"]);
    let (known, _) = step.succeed().await;
    assert_eq!(stage.effects(UPDATE), 1, "the next endpoint is asked for the same states");
    assert_eq!(known.before.unwrap()["controls"][east()], true, "before the step's own doing");
}

#[tokio::test(start_paused = true)]
async fn it_needs_exactly_the_rights_that_it_names() {
    let (stage, step) = ready(&[]);
    let names = |actions: &[&[&str]]| actions.concat().iter().map(|action| (*action).to_owned()).collect::<BTreeSet<_>>();
    let iam = step.step.iam();
    let checks = step.step.readiness(&step.cx, &Objectives::default()).await.unwrap();
    assert!(checks.iter().all(|check| check.found == Finding::Passed) && checks.len() == 9, "{checks:?}");
    let mut used = stage.take_actions();
    assert!(used.is_subset(&names(&[iam.read])), "{used:?}");
    let mut known = Known::default();
    step.drive(&mut known, None).await.unwrap();
    used.extend(stage.take_actions());
    assert!(used.is_subset(&names(&[iam.read, iam.apply])), "{used:?}");
    assert_eq!(used, names(&[iam.read, iam.apply]));
    step.undo(&known).await.unwrap();
    assert_eq!(stage.take_actions(), names(&[iam.compensate]));
}

#[tokio::test(start_paused = true)]
async fn it_tells_what_is_in_the_way() {
    let cases = [
        ("deny UpdateRoutingControlStates", FailureKind::Permanent, "allow route53-recovery-cluster:UpdateRoutingControlStates"),
        ("deny GetRoutingControlState", FailureKind::Permanent, "allow route53-recovery-cluster:GetRoutingControlState"),
        ("fail UpdateRoutingControlStates", FailureKind::Permanent, "correct the step"),
        ("throttle arc 100%", FailureKind::Transient, "fewer calls"),
        ("service-outage arc", FailureKind::Unreachable, "describe-cluster"),
        ("timeout GetRoutingControlState", FailureKind::Unreachable, "describe-cluster"),
        ("timeout UpdateRoutingControlStates", FailureKind::Transient, "describe-cluster"),
    ];
    for (fault, kind, hint) in cases {
        let (stage, step) = ready(&[fault]);
        let failure = step.drive(&mut Known::default(), None).await.expect_err(fault).unwrap();
        assert_eq!(failure.kind, kind, "{fault}: {failure:?}");
        assert!(failure.hint.as_deref().unwrap_or_default().contains(hint), "{fault}: {failure:?}");
        assert!(failure.message.starts_with("failed to "), "{fault}: {failure:?}");
        assert_eq!(stage.all_effects().len(), 0, "{fault}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_endpoint_is_enough_and_five_that_hang_cost_five_seconds_each() {
    for left in ENDPOINTS {
        let (stage, step) = ready(&[]);
        let others: Vec<_> = ENDPOINTS.into_iter().filter(|region| *region != left).collect();
        set(&stage, &away(&others));
        let (known, _) = step.succeed().await;
        assert_eq!(known.handle.unwrap()["endpoint"], left);
        assert_eq!((stage.effects(UPDATE), controls(&stage)), (1, (false, true)));
        let asked = stage.sim.api_use().into_iter().filter(|one| one.service == "route53-recovery-cluster");
        assert!(asked.clone().all(|one| ENDPOINTS.contains(&one.region.as_str())) && asked.count() >= 2);
    }
    // A whole region that is gone takes its endpoint along; one that hangs costs no more than its five seconds.
    let (stage, step) = ready(&[]);
    set(&stage, &ENDPOINTS.map(|region| format!("region-hang {region}")));
    let began = stage.clock.now();
    let failure = step.drive(&mut Known::default(), None).await.unwrap_err().unwrap();
    let waited = between(began, stage.clock.now()).as_secs();
    assert_eq!((failure.kind, failure.causes.len()), (FailureKind::Unreachable, 5), "{failure:?}");
    assert!((25..30).contains(&waited), "{waited} s");
    for region in ENDPOINTS {
        assert!(failure.causes.iter().any(|cause| cause.contains(region)), "{region}: {failure:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_safety_rule_is_named_and_overridden_by_name_only() {
    let (stage, _) = ready(&[]);
    let both_off = |overridden: &[String]| stage.step(&text(EAST, &via(&[], &[east(), west()], overridden)));
    let failure = both_off(&[]).drive(&mut Known::default(), None).await.unwrap_err().unwrap();
    assert_eq!(failure.kind, FailureKind::Permanent, "{failure:?}");
    assert!(failure.message.contains("ConflictException"), "{failure:?}");
    let hint = failure.hint.unwrap();
    assert!(hint.contains(&rule()) && hint.contains("override_safety_rules"), "{hint}");
    let of_another = [rule().replace("0a1b", "ffff")];
    assert!(both_off(&of_another).drive(&mut Known::default(), None).await.is_err(), "another rule is overridden");
    assert_eq!((controls(&stage), stage.effects(UPDATE)), ((true, false), 0));

    let overriding = both_off(&[rule()]);
    let (known, _) = overriding.succeed().await;
    assert_eq!(controls(&stage), (false, false));
    overriding.undo(&known).await.unwrap();
    assert_eq!(controls(&stage), (true, false));
}

#[tokio::test(start_paused = true)]
async fn controls_that_the_record_does_not_follow_are_refused_while_route_53_says_so() {
    let (stage, _) = ready(&[]);
    let (unknown, other) = (east().replace("ea57ea57ea57", "0"), west());
    let failure = stage.step(&text(WEST, &via(&[other], &[], &[]))).drive(&mut Known::default(), None).await.unwrap_err().unwrap();
    assert!(failure.kind == FailureKind::Permanent && failure.message.contains("which the step does not set"), "{failure:?}");
    let failure = stage.step(&text(WEST, &via(&[unknown], &[east()], &[]))).drive(&mut Known::default(), None).await.unwrap_err().unwrap();
    assert!(failure.kind == FailureKind::Permanent && failure.message.contains("ResourceNotFoundException"), "{failure:?}");
    // A world without a cluster: whoever answers there is another one's.
    let failure = Stage::new(&[]).step(&to_the_west()).drive(&mut Known::default(), None).await.unwrap_err().unwrap();
    assert!(failure.kind == FailureKind::Permanent && failure.message.contains("The cluster has no endpoint in"), "{failure:?}");
    assert_eq!(stage.all_effects().len(), 0);
    // Who may not ask Route 53, or gets no answer, can still move the users.
    for fault in ["deny ListHostedZonesByName", "deny GetHealthCheck", "service-outage route53", "timeout ListHostedZonesByName"] {
        let (stage, step) = ready(&[fault]);
        step.succeed().await;
        assert!(resolves_to(&stage).contains("us-west-2"), "{fault}");
    }
}

#[tokio::test(start_paused = true)]
async fn readiness_reads_every_endpoint_and_names_those_that_do_not_answer() {
    let (stage, step) = ready(&[]);
    let checks = async |faults: &[String]| {
        set(&stage, faults);
        step.step.readiness(&step.cx, &Objectives::default()).await.unwrap()
    };
    let wrong = |checks: &[Check]| -> Vec<(String, String)> {
        let wrong = checks.iter().filter(|check| check.found != Finding::Passed);
        wrong.map(|check| (check.name.to_owned(), check.why().to_owned())).collect()
    };
    assert_eq!(wrong(&checks(&[]).await), []);
    let two = checks(&away(&["eu-west-1", "ap-southeast-2"])).await;
    assert!(two.iter().all(Check::is_good), "{two:?}");
    let told = wrong(&two);
    assert!(told.len() == 2 && told[0].1.contains("eu-west-1") && told[1].1.contains("ap-southeast-2"), "{told:?}");
    assert_eq!(told[0].0, "ARC endpoint");
    let all = checks(&away(&ENDPOINTS)).await;
    assert_eq!(all.iter().filter(|check| !check.is_good()).count(), 5, "{all:?}");
    let control_plane = checks(&["service-outage route53".to_owned()]).await;
    assert!(!control_plane.iter().all(Check::is_good), "{control_plane:?}");
    set(&stage, &[]);
    let other = stage.step(&text(WEST, &via(&[west()], &[], &[])));
    let checks = other.step.readiness(&other.cx, &Objectives::default()).await.unwrap();
    assert!(wrong(&checks).iter().any(|(name, why)| name == "routing control" && why.contains("does not set")), "{checks:?}");
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_the_plan_has_wrong_keeps_nobody_from_asking_the_others() {
    let wrong = to_the_west().replace(ENDPOINTS[0], "ap-south-1");
    let mut asked_the_wrong_one = 0;
    for seed in 1..=8 {
        fastrand::seed(seed);
        let (stage, _) = ready(&[]);
        stage.step(&wrong).succeed().await;
        let asked = stage.sim.api_use();
        asked_the_wrong_one += asked.iter().filter(|one| one.region == "ap-south-1").map(|one| one.calls).sum::<u64>();
    }
    assert!(asked_the_wrong_one > 0, "no run asked it, so this shows nothing");
}
