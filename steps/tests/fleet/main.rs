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
    // No run is shorter than the slowest change of the world: a wait for launches, updates or DNS.
    let floor = allowed.max(run.slowest_change);
    let report = format!(
        "{size:?}\n{}took {:.1?}; the budgets allow {allowed:.1?} ({by}) for these calls; the slowest change of the world takes {:.1?}; {:.2} times; {throttled} throttled",
        table(&run.uses),
        run.makespan,
        run.slowest_change,
        run.makespan.as_secs_f64() / floor.as_secs_f64(),
    );
    #[expect(clippy::print_stderr, reason = "the figures are what the test is for")]
    {
        eprintln!("{report}");
    }
    assert_eq!(throttled, 0, "{report}");
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
