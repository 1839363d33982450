//! Ways to move the users, and what each costs them when something is gone that it needs.

use wf_engine::model::event::{Mode, RunOutcome};
use wf_engine::model::run_state::StepStatus;
use wf_engine::runtime::RunEnd;
use wf_sim::DEFAULT_WORLD;

use crate::COMPLETED;
use crate::sizes::sizes;
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

/// What a failover and the way home from it have to leave as it was: sizes of the groups, records, objects.
const AS_BEFORE: [&str; 5] =
    ["/regions/us-east-1/groups", "/regions/us-west-2/groups", "/regions/us-east-1/objects", "/regions/us-west-2/objects", "/dns"];

#[tokio::test(start_paused = true)]
async fn the_way_home_takes_the_object_away_and_changes_no_record() {
    let world = Shipped::in_world(&by_hand_only(), None, &[]);
    let before = world.sim.status();
    let failover = world.run("failover-stop.ron", |_| {}).await;
    assert_eq!(failover.end, COMPLETED, "{:#?}", failover.failures());
    assert_ne!(before.pointer("/regions/us-west-2/objects"), world.sim.status().pointer("/regions/us-west-2/objects"));
    world.pass_minutes(30).await;
    let (lost, outage) = (world.sim.traffic().rows_lost, world.sim.traffic().outage);

    let failback = world.follow("failback-stop.ron", &failover).await;
    assert_eq!(failback.end, COMPLETED, "{:#?}", failback.failures());
    world.pass_minutes(5).await;
    let (after, traffic) = (world.sim.status(), world.sim.traffic());
    assert_eq!((traffic.serving_region.as_deref(), traffic.split_brain_rows), (Some("us-east-1"), 0));
    assert_eq!(traffic.rows_lost, lost, "the planned way home loses no row");
    for path in AS_BEFORE {
        assert!(before.pointer(path).is_some(), "{path} in {before:#}");
        assert_eq!(before.pointer(path).map(sizes), after.pointer(path).map(sizes), "{path}");
    }
    let of = |action| world.effective(action);
    assert_eq!((of("PutObject"), of("DeleteObject"), of("ChangeResourceRecordSets")), (1, 1, 0));
    #[expect(clippy::print_stderr, reason = "the figures are what the test is for")]
    {
        eprintln!("user-visible outage of a failover by StopObject: {outage} s; of the way home: {} s", traffic.outage - outage);
    }
}

/// Each mode has its own way to move the users of the application, and the way home undoes whichever it was.
#[tokio::test(start_paused = true)]
async fn the_failover_edits_the_record_if_planned_and_puts_the_object_if_not_and_the_failback_undoes_either() {
    // How often an object is put, and a record changed: that of the shop in both, and in both directions.
    for (mode, moved, skipped, objects, records) in [(Mode::Unplanned, "dns", "dns_edit", 1, 1), (Mode::Planned, "dns_edit", "dns", 0, 2)] {
        let world = Shipped::in_world(&by_hand_only(), None, &[]);
        let before = world.sim.status();
        let failover = world.run("failover.ron", |plan| plan.mode = mode).await;
        assert_eq!(failover.end, COMPLETED, "{:#?}", failover.failures());
        assert_eq!((failover.step(moved).status, failover.step(skipped).status), (StepStatus::Succeeded, StepStatus::Skipped));
        let of = |action| world.effective(action);
        assert_eq!((of("PutObject"), of("ChangeResourceRecordSets")), (objects, records), "{mode:?}");
        world.pass_minutes(30).await;
        assert_eq!(world.sim.traffic().serving_region.as_deref(), Some("us-west-2"));
        let failback = world.follow("failback.ron", &failover).await;
        assert_eq!(failback.end, COMPLETED, "{:#?}", failback.failures());
        assert_eq!((of("DeleteObject"), of("ChangeResourceRecordSets")), (objects, 2 * records), "{mode:?}");
        world.pass_minutes(5).await;
        let after = world.sim.status();
        for path in AS_BEFORE {
            assert_eq!(before.pointer(path).map(sizes), after.pointer(path).map(sizes), "{mode:?}: {path}");
        }
        assert_eq!(world.sim.traffic().serving_region.as_deref(), Some("us-east-1"));
    }
}

#[tokio::test(start_paused = true)]
async fn the_failover_moves_the_application_while_the_control_plane_of_route_53_is_gone_and_asks_about_the_shop() {
    let (world, run, outage) = outage(&text_of("failover.ron")).await;
    assert!(matches!(&run.end, RunEnd::Paused { reason } if reason.contains("shop_dns")), "{:?}", run.end);
    assert_eq!((run.step("verify").status, run.step("shop_dns").status), (StepStatus::Succeeded, StepStatus::Failed));
    assert_eq!(world.sim.traffic().serving_region.as_deref(), Some("us-west-2"));
    assert!(world.sim.traffic().outages.last().unwrap().until.is_some(), "the users of the application are served again");
    #[expect(clippy::print_stderr, reason = "the figures are what the test is for")]
    {
        eprintln!("user-visible outage of the application in failover.ron, us-east-1 and the control plane of Route 53 gone: {outage} s");
    }
    world.sim.set_faults(vec!["region-outage us-east-1".parse().unwrap()]);
    let resumed = world.resume("failover.ron", &run).await;
    assert_eq!(resumed.end, RunEnd::Finished(RunOutcome::CompletedWithExceptions), "{:#?}", resumed.failures());
    // Resolvers keep the old address for a minute.
    world.pass_minutes(2).await;
    assert_eq!(world.shop()["serving_region"], "us-west-2");
}

/// The failover could not reach the region, so it has not recorded what was there.
#[tokio::test(start_paused = true)]
async fn the_way_home_from_a_region_that_was_gone_takes_the_capacities_from_the_operator() {
    let world = Shipped::in_world(&by_hand_only(), None, &GONE);
    let before = world.sim.status();
    let failover = world.run("failover-stop.ron", |_| {}).await;
    assert_eq!(failover.end, RunEnd::Finished(RunOutcome::CompletedWithExceptions), "{:#?}", failover.failures());
    world.sim.set_faults(Vec::new());
    world.pass_minutes(30).await;
    let given = [("app_min", 3), ("app_desired", 6), ("app_max", 10)].map(|(input, value)| (input.to_owned(), value.into()));
    let failback = world.follow_with("failback-stop.ron", &failover, &given).await;
    assert_eq!(failback.end, COMPLETED, "{:#?}", failback.failures());
    world.pass_minutes(5).await;
    let after = world.sim.status();
    for path in AS_BEFORE {
        assert_eq!(before.pointer(path).map(sizes), after.pointer(path).map(sizes), "{path}");
    }
    assert_eq!(world.sim.traffic().serving_region.as_deref(), Some("us-east-1"));
}

/// The default world, but that the health check of the record is the ordinary one of the application.
fn by_itself() -> String {
    DEFAULT_WORLD
        .replace("health_check: \"c8d5e2b7-1f40-4a6d-9e83-72b6a0c94d15\"", "health_check: \"5f4c7a1e-2b0d-4c53-9d0e-7a6f1c2b3d4e\"")
}

#[tokio::test(start_paused = true)]
async fn a_health_check_that_turns_by_itself_is_waited_for_and_nothing_is_changed() {
    let plan = text_of("failover-stop.ron").replace(STOP, "\n                via: HealthCheck,");
    for (faults, outcome) in [(&[][..], RunOutcome::Completed), (&GONE[..], RunOutcome::CompletedWithExceptions)] {
        let world = Shipped::in_world(&by_itself(), None, faults);
        let run = world.run_text(&plan).await;
        assert_eq!(run.end, RunEnd::Finished(outcome), "{faults:?}: {:#?}", run.failures());
        assert_eq!(run.step("dns").status, StepStatus::Succeeded);
        assert_eq!((world.effective("PutObject"), world.effective("ChangeResourceRecordSets")), (0, 0));
        // Resolvers keep the old address for a minute.
        world.pass_minutes(2).await;
        assert_eq!(world.sim.traffic().serving_region.as_deref(), Some("us-west-2"));
    }
    let (head, rest) = plan.split_once("            id: \"announce\"").unwrap();
    let (_, dns) = rest.split_once("id: \"dns\", needs: [\"targets\"],").unwrap();
    let (dns, _) = dns.split_once("(\n            id: \"verify\"").unwrap();
    let alone = format!("{head}id: \"dns\",{dns}],\n)");
    let run = Shipped::in_world(&by_itself(), None, &["primary-alive"]).run_text(&alone).await;
    let failure = run.step("dns").failure.unwrap();
    assert!(failure.message.contains("timed out after 10m"), "a primary that is well keeps its users: {failure:?}");
    assert!(format!("{failure:?}").contains("it counts as healthy"), "{failure:?}");
    let nothing_watches = DEFAULT_WORLD.replace("                health_check: \"c8d5e2b7-1f40-4a6d-9e83-72b6a0c94d15\",\n", "");
    let run = Shipped::in_world(&nothing_watches, None, &["primary-alive"]).run_text(&alone).await;
    assert!(run.step("dns").failure.unwrap().message.contains("has no health check, so nothing moves its users"));
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

/// The default world at peace, but that the application's users go to the site whose records have weights.
fn by_weight(seed: u64) -> Shipped {
    let world = DEFAULT_WORLD.replace("        host: \"app.company.com\",", "        host: \"api.company.com\",");
    Shipped::in_world(&world, Some(seed), &["primary-alive"])
}

/// Worlds in which a bad standby is tried.
const SEEDS: u64 = 20;

fn weights(world: &Shipped) -> Vec<(String, String)> {
    let status = world.sim.status();
    let records = status["dns"]["records"].as_array().unwrap().iter().filter(|record| record["name"] == "api.company.com.");
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    records.map(|record| (text(&record["set_identifier"]), text(&record["weight"]))).collect()
}

fn pair(east: &str, west: &str) -> Vec<(String, String)> {
    [("east", east), ("west", west)].map(|(side, weight)| (side.to_owned(), weight.to_owned())).to_vec()
}

#[tokio::test(start_paused = true)]
async fn a_gradual_shift_to_a_bad_standby_returns_by_itself_at_a_tenth() {
    let plan = text_of("shift-gradual.ron");
    let (mut by_stages, mut all_at_once, mut requests) = (0, 0, 0);
    // The one user of a world is at one side for a whole minute, as resolvers keep an answer: many worlds make the share.
    for seed in 1..=SEEDS {
        // Nothing runs in the west, and no health check keeps users from it.
        let world = by_weight(seed);
        let run = world.run_text(&plan).await;
        assert_eq!(run.end, RunEnd::Finished(RunOutcome::RolledBack), "{:#?}", run.failures());
        assert_eq!((run.step("shift_50").status, run.step("gate_10").status), (StepStatus::Pending, StepStatus::Failed));
        assert_eq!((world.effective("ChangeResourceRecordSets"), weights(&world)), (2, pair("100", "0")));
        world.pass_minutes(10).await;
        let traffic = world.sim.traffic();
        assert_eq!(traffic.serving_region.as_deref(), Some("us-east-1"));
        assert!(traffic.outages.iter().all(|outage| outage.until.is_some()));
        (by_stages, requests) = (by_stages + traffic.failed, requests + traffic.requests);

        let world = by_weight(seed);
        let run = world.run_text(&plan.replace("percent: 10)", "percent: 100)")).await;
        assert_eq!(run.end, RunEnd::Finished(RunOutcome::RolledBack), "{:#?}", run.failures());
        world.pass_minutes(10).await;
        all_at_once += world.sim.traffic().failed;
    }
    #[expect(clippy::print_stderr, reason = "the figures are what the test is for")]
    {
        eprintln!(
            "requests lost to a bad standby, of {requests} in {SEEDS} worlds: {by_stages} by stages, {all_at_once} with all users at once"
        );
    }
    assert!(by_stages > 0 && by_stages * 4 < all_at_once, "{by_stages} and {all_at_once}");
}

#[tokio::test(start_paused = true)]
async fn a_gradual_shift_to_a_good_standby_loses_nobody() {
    let world = by_weight(42);
    let ready = text_of("failover-stop.ron");
    let (head, _) = ready.split_once("        (\n            id: \"dns\"").unwrap();
    // The west serves first; a database that takes writes on both sides is what this plan is not for.
    let head = head.replace("id: \"fence\",", "id: \"fence\", only: Planned,");
    let run = world.run_text(&format!("{head}],\n)")).await;
    assert_eq!(run.end, RunEnd::Finished(RunOutcome::Completed), "{:#?}", run.failures());
    world.pass_minutes(2).await;
    let run = world.run("shift-gradual.ron", |_| {}).await;
    assert_eq!(run.end, RunEnd::Finished(RunOutcome::Completed), "{:#?}", run.failures());
    assert_eq!((world.effective("ChangeResourceRecordSets"), weights(&world)), (3, pair("0", "100")));
    world.pass_minutes(2).await;
    assert_eq!((world.sim.traffic().failed, world.sim.traffic().serving_region.as_deref()), (0, Some("us-west-2")));
}
