//! What becomes of the rows when a primary that was given up comes back.

use wf_engine::model::event::RunOutcome;
use wf_engine::model::run_state::StepStatus;
use wf_engine::runtime::RunEnd;
use wf_sim::{DEFAULT_WORLD, TrafficReport};

use crate::COMPLETED;
use crate::world::{Ended, Shipped, text_of, with_a_lease};

/// How far into the failover the region is back: after the promotion was asked for, and long before the users are moved.
const BACK_AFTER_MINUTES: u64 = 4;

/// Runs a failover while us-east-1 is gone, has that come back in the middle, and lets users go on for a while.
async fn primary_comes_back(world: &str, plan: &str) -> (Shipped, Ended, TrafficReport) {
    let world = Shipped::in_world(world, None, &["primary-alive", "region-outage us-east-1"]);
    let began = world.now();
    let comes_back = async {
        world.pass_until(began, BACK_AFTER_MINUTES).await;
        world.sim.set_faults(vec!["primary-alive".parse().unwrap()]);
    };
    let (run, ()) = tokio::join!(world.run_text(plan), comes_back);
    world.pass_until(began, 30).await;
    let traffic = world.sim.traffic();
    (world, run, traffic)
}

#[tokio::test(start_paused = true)]
async fn a_primary_that_comes_back_writes_on_unless_its_lease_was_given_away() {
    let plan = text_of("failover-stop.ron");
    let (world, run, leased) = primary_comes_back(&with_a_lease(), &plan).await;
    assert_eq!(run.end, COMPLETED, "{:#?}", run.failures());
    assert_eq!(run.step("fence").outputs["outcome"], "LeaseExpired");
    assert_eq!((leased.split_brain_rows, leased.serving_region.as_deref()), (0, Some("us-west-2")), "{leased:#?}");
    // The region was gone before the first command: the last rows had no time to cross.
    assert!(leased.rows_lost <= 5, "{leased:#?}");
    assert_eq!(world.effective("PutObject"), 2, "the lease, and the object that moves the users");

    // The same night, but that the application keeps no lease: nothing fences a region that does not answer.
    let (_, run, without) = primary_comes_back(DEFAULT_WORLD, &plan).await;
    assert_eq!(run.end, RunEnd::Finished(RunOutcome::CompletedWithExceptions), "{:#?}", run.failures());
    assert_eq!(run.step("fence").status, StepStatus::Unreachable);
    let failure = run.step("fence").failure.unwrap();
    assert!(failure.causes.iter().any(|cause| cause.contains("the application keeps no write lease there")), "{failure:?}");
    assert!(without.split_brain_rows > 60, "{without:#?}");
    #[expect(clippy::print_stderr, reason = "the figures are what the test is for")]
    {
        eprintln!(
            "rows in split brain: {} with a lease, {} without; rows lost: {} and {}; outage: {} s and {} s",
            leased.split_brain_rows, without.split_brain_rows, leased.rows_lost, without.rows_lost, leased.outage, without.outage
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_primary_whose_api_answers_is_seen_to_be_empty_and_stays_so_when_it_is_repaired() {
    for world in [DEFAULT_WORLD, &with_a_lease()] {
        let world = Shipped::in_world(world, None, &[]);
        let began = world.now();
        let run = world.run("failover.ron", |_| {}).await;
        assert_eq!(run.end, COMPLETED, "{:#?}", run.failures());
        assert_eq!(run.step("fence").outputs["outcome"], "Confirmed");
        world.pass_until(began, 30).await;
        let traffic = world.sim.traffic();
        assert_eq!((traffic.split_brain_rows, traffic.serving_region.as_deref()), (0, Some("us-west-2")));
    }
}

#[tokio::test(start_paused = true)]
async fn the_lease_goes_over_with_a_failover_and_comes_home_with_a_failback() {
    let world = Shipped::in_world(&with_a_lease(), None, &[]);
    let failover = world.run("failover.ron", |_| {}).await;
    assert_eq!(failover.end, COMPLETED, "{:#?}", failover.failures());
    world.pass_minutes(30).await;
    let failback = world.follow("failback.ron", &failover).await;
    assert_eq!(failback.end, COMPLETED, "{:#?}", failback.failures());
    world.pass_minutes(5).await;
    let traffic = world.sim.traffic();
    assert_eq!((traffic.split_brain_rows, traffic.serving_region.as_deref()), (0, Some("us-east-1")));
    assert_eq!(world.shop()["split_brain_rows"], 0);
}

#[tokio::test(start_paused = true)]
async fn a_failover_that_is_rolled_back_gives_the_lease_back() {
    let world = Shipped::in_world(&with_a_lease(), None, &["primary-alive", "fail EksScaleNodegroup"]);
    let run = world.run("failover.ron", |_| {}).await;
    assert_eq!(run.end, RunEnd::Finished(RunOutcome::RolledBack), "{:#?}", run.failures());
    world.pass_minutes(10).await;
    let traffic = world.sim.traffic();
    assert!(traffic.outages.iter().all(|outage| outage.until.is_some()), "{traffic:#?}");
    assert_eq!((traffic.rows_lost, traffic.serving_region.as_deref()), (0, Some("us-east-1")));
}
