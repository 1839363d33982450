//! The users moved by routing controls of ARC, while what the other ways need is gone.

use wf_engine::clock::between;
use wf_engine::model::event::RunOutcome;
use wf_engine::model::run_state::StepStatus;
use wf_engine::runtime::RunEnd;

use crate::COMPLETED;
use crate::routing_controls::{ENDPOINTS, east, rule, via, west, world};
use crate::world::{Shipped, text_of};

/// How the plan that is changed moves the users.
const STOP: &str = r#"via: StopObject(bucket: "${switch_bucket}", key: "${switch_key}", region: "${dr_region}")"#;
/// The region is gone, and with it the control plane of Route 53.
const GONE: [&str; 2] = ["region-outage us-east-1", "service-outage route53"];

fn plan(via: &str) -> String {
    let text = text_of("failover-stop.ron");
    assert!(text.contains(STOP));
    text.replace(STOP, via)
}

/// The plan, but with no more steps than that one and what comes after it.
fn alone(via: &str, after: &str) -> String {
    let plan = plan(via);
    let (head, rest) = plan.split_once("            id: \"announce\"").unwrap();
    let (_, dns) = rest.split_once("id: \"dns\", needs: [\"targets\"],").unwrap();
    let (dns, _) = dns.split_once("(\n            id: \"verify\"").unwrap();
    format!("{head}id: \"dns\",{dns}{after}],\n)")
}

/// The plan, but that the record is to lead to the primary.
fn to_the_east(plan: &str) -> String {
    plan.replace("${dr_alb_dns_name}", "prod-app-alb-1190425811.us-east-1.elb.amazonaws.com").replace("${dr_alb_zone_id}", "Z35SXDOTRQ7X7K")
}

/// Whether the controls of east and west are On.
fn controls(world: &Shipped) -> (bool, bool) {
    let controls = &world.sim.status()["routing_controls"];
    (controls[east()].as_bool().unwrap(), controls[west()].as_bool().unwrap())
}

/// What the waits between looks take at the most, in seconds.
const WAITS: f64 = 15.0;

#[tokio::test(start_paused = true)]
async fn routing_controls_move_the_users_while_us_east_1_and_the_control_plane_of_route_53_are_gone() {
    let mut figures = Vec::new();
    // With us-east-1 its endpoint is gone; then another one, that answers no more; then two more that hang.
    for more in [&[][..], &["service-outage arc eu-west-1"], &["region-hang eu-west-1", "region-hang ap-northeast-1"]] {
        let faults = [&GONE[..], more].concat();
        let world = Shipped::in_world(&world(), None, &faults);
        let began = world.now();
        let run = world.run_text(&plan(&via(&[west()], &[east()], &[]))).await;
        assert_eq!(run.end, RunEnd::Finished(RunOutcome::CompletedWithExceptions), "{faults:?}: {:#?}", run.failures());
        assert_eq!((run.step("fence").status, run.step("dns").status), (StepStatus::Unreachable, StepStatus::Succeeded));
        let of = |action| world.effective(action);
        assert_eq!((of("UpdateRoutingControlStates"), of("PutObject"), of("ChangeResourceRecordSets")), (1, 0, 0));
        assert_eq!(controls(&world), (false, true));
        world.pass_until(began, 30).await;
        let traffic = world.sim.traffic();
        assert_eq!(traffic.serving_region.as_deref(), Some("us-west-2"));
        assert!(traffic.outages.last().unwrap().until.is_some(), "the users are served again");
        let dns = run.step("dns");
        figures.push((traffic.outage, between(dns.started_at.unwrap(), dns.ended_at.unwrap()).as_secs_f64()));
    }
    #[expect(clippy::print_stderr, reason = "the figures are what the test is for")]
    {
        eprintln!(
            "us-east-1 and Route 53's control plane gone; user-visible outage by RoutingControl, and the step's own time, with one of the five endpoints gone, two gone, and one gone and two hanging: {figures:?} s"
        );
    }
    // A resolver keeps what it was told for a minute, so the outage ends with one. An endpoint that refuses costs nothing, and each that hangs five
    // seconds at most, in each of the look, the call and the look after it; the rest are the waits between looks, which begin at two seconds.
    let [(outage, alone), (_, refused), (_, hanging)] = figures[..] else { panic!("{figures:?}") };
    assert!(alone.max(refused) <= WAITS && hanging <= WAITS + 3.0 * 10.0, "{figures:?}");
    assert!(figures.iter().all(|(other, _)| (other - outage).abs() <= 60.0), "{figures:?}");
}

#[tokio::test(start_paused = true)]
async fn without_any_endpoint_the_step_is_unreachable_and_nobody_is_moved() {
    let faults = ENDPOINTS.map(|region| format!("service-outage arc {region}"));
    let faults: Vec<_> = ["primary-alive"].into_iter().chain(faults.iter().map(String::as_str)).collect();
    let world = Shipped::in_world(&world(), None, &faults);
    let run = world.run_text(&alone(&via(&[west()], &[east()], &[]), "")).await;
    assert_eq!(run.step("dns").status, StepStatus::Unreachable, "{:#?}", run.failures());
    let failure = run.step("dns").failure.unwrap();
    assert!(failure.message.contains("none of the 5 endpoints of the ARC cluster answered"), "{failure:?}");
    world.pass_minutes(10).await;
    assert_eq!((world.sim.traffic().outage, controls(&world)), (0.0, (true, false)));
}

#[tokio::test(start_paused = true)]
async fn a_safety_rule_keeps_both_from_going_off_until_it_is_overridden_by_name() {
    let both_off = |overridden: &[String]| to_the_east(&alone(&via(&[], &[east(), west()], overridden), ""));
    let world = Shipped::in_world(&world(), None, &["primary-alive"]);
    let run = world.run_text(&both_off(&[])).await;
    assert_eq!(run.end, RunEnd::Finished(RunOutcome::RolledBack), "{:#?}", run.failures());
    let failure = run.step("dns").failure.unwrap();
    assert!(failure.hint.as_deref().unwrap_or_default().contains(&rule()), "{failure:?}");
    assert_eq!(controls(&world), (true, false));

    let run = world.run_text(&both_off(&[rule()])).await;
    assert_eq!(run.end, COMPLETED, "{:#?}", run.failures());
    assert_eq!(controls(&world), (false, false));
}

#[tokio::test(start_paused = true)]
async fn a_rollback_sets_the_controls_as_they_were() {
    let world = Shipped::in_world(&world(), None, &["primary-alive"]);
    let fails =
        r#"(id: "check", needs: ["dns"], run: HttpCheck(url: "https://nowhere.company.com/"), timeout: "1m", retry: (attempts: 1)),"#;
    let run = world.run_text(&alone(&via(&[west()], &[east()], &[]), fails)).await;
    assert_eq!(run.end, RunEnd::Finished(RunOutcome::RolledBack), "{:#?}", run.failures());
    assert_eq!((run.step("dns").status, run.step("check").status), (StepStatus::Compensated, StepStatus::Failed));
    assert_eq!((world.effective("UpdateRoutingControlStates"), controls(&world)), (2, (true, false)));
    world.pass_minutes(3).await;
    assert_eq!(world.sim.traffic().serving_region.as_deref(), Some("us-east-1"));
}

#[tokio::test(start_paused = true)]
async fn the_way_home_is_the_same_step_with_on_and_off_exchanged() {
    let world = Shipped::in_world(&world(), None, &["primary-alive"]);
    let run = world.run_text(&alone(&via(&[west()], &[east()], &[]), "")).await;
    assert_eq!((run.end, controls(&world)), (COMPLETED, (false, true)));
    let home = to_the_east(&alone(&via(&[east()], &[west()], &[]), ""));
    let run = world.run_text(&home).await;
    assert_eq!(run.end, COMPLETED, "{:#?}", run.failures());
    assert_eq!((world.effective("UpdateRoutingControlStates"), controls(&world)), (2, (true, false)));
    let again = world.run_text(&home).await;
    assert_eq!((again.end, world.effective("UpdateRoutingControlStates")), (COMPLETED, 2), "nothing is left to do");
    world.pass_minutes(3).await;
    assert_eq!(world.sim.traffic().serving_region.as_deref(), Some("us-east-1"));
}
