//! A large fleet against the API budgets: 500 records over 5 zones, 50 Auto Scaling groups and 50 node groups, on the simulator
//! with its API limits on and on paused time. Nothing may be throttled, and the run may take at most 1.2 times what the budgets
//! and the world allow. `cargo test -p wf-steps --test fleet -- --nocapture` prints the figures.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../common/virtual_clock.rs"]
mod virtual_clock;
mod world;

use wf_engine::model::event::RunOutcome;
use wf_engine::runtime::RunEnd;
use world::{Fleet, Size, table};

const COMPLETED: RunEnd = RunEnd::Finished(RunOutcome::Completed);

async fn fits(size: Size) {
    let free = Fleet::open(size, &[]).run().await;
    assert_eq!(free.end, COMPLETED, "{:?}", free.failures);
    let run = Fleet::open(size, &["api-limits"]).run().await;
    assert_eq!(run.end, COMPLETED, "{:?}", run.failures);
    let throttled: u64 = run.uses.iter().map(|used| used.throttled).sum();
    let (allowed, by) = run.allowed();
    let floor = run.floor.max(allowed);
    let report = format!(
        "{size:?}\n{}took {:.1?} ({:.1?} with the limits of the simulator off); budgets and world allow {:.1?}; the calls that were made need {allowed:.1?} ({by}); {:.2} times; {throttled} throttled",
        table(&run.uses),
        run.makespan,
        free.makespan,
        run.floor,
        run.makespan.as_secs_f64() / floor.as_secs_f64(),
    );
    #[expect(clippy::print_stderr, reason = "the figures are what the test is for")]
    {
        eprintln!("{report}");
    }
    assert_eq!(throttled, 0, "{report}");
    assert!(run.told.iter().any(|text| text.contains("s for the API budget of ")), "waiting is shown: {report}");
    assert!(run.makespan.as_secs_f64() <= floor.as_secs_f64() * 1.2, "{report}");
}

#[tokio::test(start_paused = true)]
async fn groups_and_node_groups_fit_into_the_budgets() {
    fits(Size { zones: 0, records: 0, groups: 50, nodegroups: 50 }).await;
}

#[tokio::test(start_paused = true)]
async fn records_fit_into_the_budgets() {
    fits(Size { zones: 5, records: 500, groups: 0, nodegroups: 0 }).await;
}

#[tokio::test(start_paused = true)]
async fn the_whole_fleet_fits_into_the_budgets() {
    fits(Size { zones: 5, records: 500, groups: 50, nodegroups: 50 }).await;
}

#[tokio::test(start_paused = true)]
async fn of_a_batch_with_a_bad_record_only_that_one_fails() {
    let size = Size { zones: 1, records: 20, groups: 0, nodegroups: 0 };
    let fleet = Fleet::open(size, &["api-limits"]);
    let step = |to: &str, more: &str| format!("record: \"r10.fleet0.example\", type: \"A\", to: {to}){more}),");
    let good = step("Values(values: [\"198.51.100.1\"])", "");
    let bad = step("Alias(dns_name: \"nowhere.example\", zone_id: \"Z0NOWHERE\")", ", on_failure: Continue");
    let text = size.workflow();
    assert!(text.contains(&good), "{text}");
    let run = fleet.run_text(&text.replace(&good, &bad)).await;
    assert_eq!(run.end, RunEnd::Finished(RunOutcome::CompletedWithExceptions), "{:?}", run.failures);
    assert_eq!(run.failures.len(), 1, "{:?}", run.failures);
    assert!(run.failures[0].message.contains("change record r10.fleet0.example A"), "{:?}", run.failures);
    assert!(fleet.effective("ChangeResourceRecordSets") < 10, "the others went together");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_turns_requests_away_is_asked_more_slowly_and_the_run_completes() {
    let size = Size { zones: 0, records: 0, groups: 10, nodegroups: 0 };
    let free = Fleet::open(size, &[]).run().await;
    let run = Fleet::open(size, &["throttle autoscaling 30%"]).run().await;
    assert_eq!(run.end, COMPLETED, "{:?}", run.failures);
    let waits = |told: &[String]| told.iter().filter(|text| text.contains("for the API budget of autoscaling")).count();
    assert_eq!(waits(&free.told), 0);
    assert!(waits(&run.told) > 5, "{:?} after {:?}: {}", run.makespan, free.makespan, waits(&run.told));
}
