//! What the suite asks of each kind, asked of the way of `Route53Failover` that its EXAMPLE does not take.

use std::collections::BTreeSet;

use wf_engine::model::definition::Objectives;
use wf_engine::model::event::FailureKind;
use wf_engine::readiness::Check;

use crate::carry_on;
use crate::stage::{Cut, Known, Stage, Stepped};

const STEP: &str = r#"(id: "dns", run: Route53Failover(
    zone: "company.com", record: "app.company.com", type: "A", set_identifier: "primary",
    to: Alias(dns_name: "prod-app-dr-alb-2071366924.us-west-2.elb.amazonaws.com", zone_id: "Z1H1FL5HABSF5"),
    via: StopObject(bucket: "production-dr-switch", key: "failover/app.company.com", region: "us-west-2"),
))"#;

/// A world in which the standby region can serve: Route 53 does not answer with a secondary record that is not healthy.
async fn ready(faults: &[&str]) -> (Stage, Stepped) {
    let stage = Stage::new(faults);
    for first in ["RdsPromoteReadReplica", "AutoScalingScale"] {
        stage.step(stage.registry.kind(first).unwrap().example).succeed().await;
    }
    stage.wait(120).await;
    stage.take_actions();
    let step = stage.step(STEP);
    (stage, step)
}

fn resolves_to(stage: &Stage) -> String {
    stage.sim.status()["dns"]["resolves_to"].as_str().unwrap().to_owned()
}

fn names(actions: &[&[&str]]) -> BTreeSet<String> {
    actions.concat().iter().map(|action| (*action).to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn cut_off_anywhere_it_is_carried_on_with_one_effect_and_undone() {
    for cut in [Some(Cut::Observed), Some(Cut::Called), Some(Cut::Applied), Some(Cut::Settled), None] {
        let (stage, step) = ready(&[]).await;
        let (before, prepared) = (stage.world(), stage.all_effects().len());
        let mut known = Known::default();
        if let Some(cut) = cut {
            assert!(matches!(step.drive(&mut known, Some(cut)).await, Err(None)));
        }
        carry_on(step.info(), &step, &mut known, cut.unwrap_or(Cut::Settled)).await;
        assert_eq!(stage.all_effects().len() - prepared, 1, "cut off after {cut:?}: {:?}", stage.all_effects());
        assert!(resolves_to(&stage).contains("us-west-2"));
        for _ in 0..2 {
            step.undo(&known).await.unwrap();
            assert_eq!(stage.world(), before, "cut off after {cut:?}");
        }
        stage.wait(60).await;
        assert!(resolves_to(&stage).contains("us-east-1"), "the primary is healthy and has the users again");
    }
}

#[tokio::test(start_paused = true)]
async fn it_is_taken_back_by_a_step_of_its_own() {
    let (stage, step) = ready(&[]).await;
    step.succeed().await;
    let back = STEP.replace(r#"region: "us-west-2")"#, r#"region: "us-west-2", present: false)"#);
    let back = back.replace("prod-app-dr-alb-2071366924.us-west-2", "prod-app-alb-1190425811.us-east-1");
    let (known, _) = stage.step(&back).succeed().await;
    assert!(resolves_to(&stage).contains("us-east-1"));
    assert_eq!((stage.effects("PutObject"), stage.effects("DeleteObject")), (1, 1));
    stage.step(&back).undo(&known).await.unwrap();
    assert_eq!(stage.effects("PutObject"), 2, "what was taken away is put again");
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_has_one_effect() {
    let (stage, step) = ready(&["lost-response PutObject"]).await;
    let (known, _) = step.succeed().await;
    assert_eq!(stage.effects("PutObject"), 1);
    assert_eq!(known.before.unwrap()["object"], false, "what was there before the step's own doing");
}

#[tokio::test(start_paused = true)]
async fn it_needs_exactly_the_rights_that_it_names() {
    let (stage, step) = ready(&[]).await;
    let iam = step.step.iam();
    let checks = step.step.readiness(&step.cx, &Objectives::default()).await.unwrap();
    assert!(checks.iter().all(Check::is_good), "{checks:?}");
    let mut used = stage.take_actions();
    assert!(used.is_subset(&names(&[iam.read])), "{used:?}");
    let mut known = Known::default();
    step.drive(&mut known, None).await.unwrap();
    used.extend(stage.take_actions());
    assert!(used.is_subset(&names(&[iam.read, iam.apply])), "{used:?}");
    step.undo(&known).await.unwrap();
    used.extend(stage.take_actions());
    // S3 asks for it when the object is not there; no call of ours shows it.
    used.insert("s3:ListBucket".to_owned());
    assert_eq!(used, names(&[iam.read, iam.apply, iam.compensate]));
}

#[tokio::test(start_paused = true)]
async fn it_tells_what_is_in_the_way() {
    let cases = [
        ("deny PutObject", FailureKind::Permanent, "allow s3:PutObject"),
        ("deny GetObject", FailureKind::Permanent, "s3:ListBucket"),
        ("deny ListBucket", FailureKind::Permanent, "s3:ListBucket"),
        ("region-outage us-west-2", FailureKind::Unreachable, "the region's health"),
        ("throttle s3 100%", FailureKind::Transient, "fewer calls"),
        ("service-outage s3", FailureKind::Transient, "the service failed"),
    ];
    for (fault, kind, hint) in cases {
        let (stage, step) = ready(&[]).await;
        stage.set_faults(&[fault]);
        let failure = step.drive(&mut Known::default(), None).await.expect_err(fault).unwrap();
        assert_eq!(failure.kind, kind, "{fault}: {failure:?}");
        assert!(failure.hint.as_deref().unwrap_or_default().contains(hint), "{fault}: {failure:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_object_that_no_health_check_watches_is_refused_while_route_53_says_so() {
    let wrong = STEP.replace("failover/app.company.com", "failover/ap.company.com");
    let (stage, _) = ready(&[]).await;
    let failure = stage.step(&wrong).drive(&mut Known::default(), None).await.unwrap_err().unwrap();
    assert!(failure.kind == FailureKind::Permanent && failure.message.contains("does not watch"), "{failure:?}");
    let no_check =
        STEP.replace(r#"record: "app.company.com", type: "A", set_identifier: "primary""#, r#"record: "www.company.com", type: "CNAME""#);
    let failure = stage.step(&no_check).drive(&mut Known::default(), None).await.unwrap_err().unwrap();
    assert!(failure.message.contains("has no health check"), "{failure:?}");
    assert_eq!(stage.effects("PutObject"), 0);
    // Who may not ask Route 53 can still move the users.
    for fault in ["deny ListHostedZonesByName", "deny GetHealthCheck", "service-outage route53"] {
        let (stage, step) = ready(&[]).await;
        stage.set_faults(&[fault]);
        step.succeed().await;
        assert!(resolves_to(&stage).contains("us-west-2"), "{fault}");
    }
}
