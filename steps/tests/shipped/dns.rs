//! Ways to move the users, and what each costs them when something is gone that it needs.

use wf_engine::model::event::RunOutcome;
use wf_engine::model::run_state::StepStatus;
use wf_engine::runtime::RunEnd;
use wf_sim::DEFAULT_WORLD;

use crate::world::{Ended, Shipped, text_of};

/// The region is gone, and with it the control plane of Route 53.
const GONE: [&str; 2] = ["region-outage us-east-1", "service-outage route53"];

/// How the shipped plan moves the users.
const STOP: &str = r#"
                via: StopObject(bucket: "${switch_bucket}", key: "${switch_key}", region: "${dr_region}"),"#;

/// The default world, but that nothing except a human moves the users: the record's health check is the one that watches the object,
/// and no load balancer's health counts.
fn by_hand_only() -> String {
    let world = DEFAULT_WORLD
        .replace("health_check: \"c8d5e2b7-1f40-4a6d-9e83-72b6a0c94d15\"", "health_check: \"a3b1f0d2-6c7e-4f19-8b25-0d9c4e7f5a61\"");
    let (head, tail) = world.split_once("hosted_zones").unwrap();
    let shop = tail.find("shop.company.com").unwrap();
    let (of_app, rest) = tail.split_at(shop);
    format!("{head}hosted_zones{}{rest}", of_app.replace("evaluate_target_health: true", "evaluate_target_health: false"))
}

/// Runs a plan, and returns it with how long the users were without the application half an hour after it began.
async fn outage(plan: &str) -> (Shipped, Ended, f64) {
    let world = Shipped::in_world(&by_hand_only(), None, &GONE);
    let began = world.now();
    let run = world.run_text(plan).await;
    world.pass_until(began, 30).await;
    let outage = world.sim.traffic().outage;
    (world, run, outage)
}

#[tokio::test(start_paused = true)]
async fn an_object_moves_the_users_while_the_control_plane_of_route_53_is_gone_and_an_edit_does_not() {
    let plan = text_of("failover-stop.ron");
    let (world, stop, with_stop) = outage(&plan).await;
    assert_eq!(stop.end, RunEnd::Finished(RunOutcome::CompletedWithExceptions), "{:#?}", stop.failures());
    assert_eq!(stop.step("fence").status, StepStatus::Unreachable);
    assert_eq!((world.effective("PutObject"), world.effective("ChangeResourceRecordSets")), (1, 0));
    assert_eq!(world.sim.traffic().serving_region.as_deref(), Some("us-west-2"));
    assert!(world.sim.traffic().outages.last().unwrap().until.is_some(), "the users are served again");

    let (world, edit, with_edit) = outage(&plan.replace(STOP, "")).await;
    assert!(matches!(&edit.end, RunEnd::Paused { reason } if reason.contains("dns")), "{:?}", edit.end);
    let failure = edit.step("dns").failure.unwrap();
    assert!(failure.message.contains("(ServiceUnavailable, HTTP 503)"), "{failure:?}");
    assert!(world.sim.traffic().outages.last().unwrap().until.is_none(), "nobody is served");
    #[expect(clippy::print_stderr, reason = "the figures are what the test is for")]
    {
        eprintln!("user-visible outage, half an hour into the run: StopObject {with_stop} s, RecordEdit {with_edit} s and not over");
    }
    assert!(with_stop + 600.0 < with_edit, "StopObject {with_stop}, RecordEdit {with_edit}");
}

#[tokio::test(start_paused = true)]
async fn a_standby_region_that_is_gone_moves_nobody() {
    let world = Shipped::in_world(&by_hand_only(), None, &["primary-alive", "region-outage us-west-2"]);
    let plan = text_of("failover-stop.ron");
    let (head, rest) = plan.split_once("            id: \"announce\"").unwrap();
    let (_, dns) = rest.split_once("id: \"dns\", needs: [\"targets\"],").unwrap();
    let (dns, _) = dns.split_once("(\n            id: \"verify\"").unwrap();
    let run = world.run_text(&format!("{head}id: \"dns\",{dns}],\n)")).await;
    assert_eq!(run.step("dns").status, StepStatus::Unreachable, "{:#?}", run.failures());
    world.pass_minutes(10).await;
    let traffic = world.sim.traffic();
    assert_eq!((traffic.serving_region.as_deref(), traffic.outage), (Some("us-east-1"), 0.0));
}
