//! How late the end of a wait is seen: the shipped failover and failback in many simulated worlds, on paused time. The world says when
//! each thing became as desired, the journal when the step that waited for it ended and the next one began.
//! `cargo test -p wf-steps --test polling -- --nocapture` prints the figures; `WF_POLLING_SEEDS=40` before it makes them finer.
//!
//! Beside them stands what the SDK's stock waiters would need in the same worlds: they look every 30 s (those of target groups every
//! 15 s), and at the status alone. The waits for a replica's lag are left out: it is known by the minute only.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod figures;
#[path = "../common/virtual_clock.rs"]
mod virtual_clock;
#[expect(dead_code, reason = "shared with the test of the shipped workflows, which uses all of it")]
#[path = "../shipped/world.rs"]
mod world;

use std::collections::BTreeMap;
use std::time::Duration;

use figures::{Figures, Wait};
use jiff::Timestamp;
use wf_engine::clock::between;
use wf_engine::model::event::RunOutcome;
use wf_engine::runtime::RunEnd;
use world::{Ended, Shipped};

const COMPLETED: RunEnd = RunEnd::Finished(RunOutcome::Completed);
const SEEDS: u64 = 10;

/// The steps that wait for AWS: their workflow, what they wait for, and for how many of it; all of it unless said.
const WAITS: [(&str, &str, &str, Option<usize>); 18] = [
    ("failover", "fence", "autoscaling/us-east-1/prod-app-asg", None),
    ("failover", "fence_eks", "eks/us-east-1/production-primary/general", None),
    ("failover", "promote", "rds/us-west-2/prod-db-replica-west", None),
    ("failover", "scale_app", "autoscaling/us-west-2/prod-app-dr-asg", None),
    ("failover", "scale_eks", "eks/us-west-2/production-dr/general", None),
    ("failover", "targets", "elasticloadbalancing/us-west-2/prod-app-dr-tg", Some(3)),
    ("failover", "shop_dns", "route53/", None),
    ("failback", "set_aside_east", "rds/us-east-1/prod-db-primary", None),
    ("failback", "replicate_east", "rds/us-east-1/prod-db-primary", None),
    ("failback", "fence_west", "autoscaling/us-west-2/prod-app-dr-asg", None),
    ("failback", "promote_east", "rds/us-east-1/prod-db-primary", None),
    ("failback", "scale_app_east", "autoscaling/us-east-1/prod-app-asg", None),
    ("failback", "scale_eks_east", "eks/us-east-1/production-primary/general", None),
    ("failback", "targets_east", "elasticloadbalancing/us-east-1/prod-app-tg", Some(3)),
    ("failback", "shop_dns", "route53/", None),
    ("failback", "set_aside_west", "rds/us-west-2/prod-db-replica-west", None),
    ("failback", "replicate_west", "rds/us-west-2/prod-db-replica-west", None),
    ("failback", "rest_eks_west", "eks/us-west-2/production-dr/general", None),
];

/// Calls by service and action.
type Calls = BTreeMap<String, u64>;

fn calls(world: &Shipped) -> Calls {
    let reads = |action: &str| action.starts_with("Describe") || action.starts_with("Get") || action.starts_with("List");
    let uses = world.sim.api_use();
    uses.iter().filter(|used| reads(&used.action)).fold(Calls::new(), |mut calls, used| {
        *calls.entry(format!("{} {}", used.service, used.action)).or_default() += used.calls;
        calls
    })
}

/// When what a step waits for became so, if that was while it waited.
fn became(transitions: &[(Timestamp, String)], what: &str, needed: Option<usize>, from: Timestamp, to: Timestamp) -> Option<Timestamp> {
    let mut seen: Vec<_> = transitions.iter().filter(|(at, name)| name.starts_with(what) && (from..=to).contains(at)).collect();
    seen.sort();
    match needed {
        Some(needed) => seen.get(needed - 1).map(|(at, _)| *at),
        None => seen.last().map(|(at, _)| *at),
    }
}

/// Returns the waits of a run that ended.
fn waits(world: &Shipped, workflow: &str, ended: &Ended) -> Vec<Wait> {
    let (state, transitions) = (ended.state(), world.sim.transitions());
    let mut waits = Vec::new();
    for (_, id, what, needed) in WAITS.iter().filter(|(of, ..)| *of == workflow) {
        let ix = state.workflow().find(&id.parse().unwrap()).unwrap();
        let (from, to) = (state.step(ix).started_at.unwrap(), state.step(ix).ended_at.unwrap());
        let Some(at) = became(&transitions, what, *needed, from, to) else { continue };
        // The first of those that this step was the last to hold up.
        let held_up =
            state.workflow().dependents(ix).filter(|next| state.workflow().needs(*next).all(|need| state.step(need).ended_at <= Some(to)));
        let next = held_up.filter_map(|next| state.step(next).started_at).min().unwrap_or(to);
        let kind = what.split('/').next().unwrap();
        let took = between(from, at);
        waits.push(Wait {
            kind: format!("{kind} ({})", figures::about(took)),
            lag: between(at, next),
            took,
            stock_pause: stock_pause(kind),
        });
    }
    waits
}

fn stock_pause(service: &str) -> Duration {
    Duration::from_secs(if service == "elasticloadbalancing" { 15 } else { 30 })
}

#[tokio::test(start_paused = true)]
async fn the_next_step_starts_within_seconds_of_the_change() {
    let seeds = std::env::var("WF_POLLING_SEEDS").map_or(SEEDS, |seeds| seeds.parse().unwrap());
    let (mut failovers, mut failbacks) = (Figures::default(), Figures::default());
    for seed in 0..seeds {
        let world = Shipped::seeded(Some(seed), &[]);
        let failover = world.run("failover.ron", |_| {}).await;
        assert_eq!(failover.end, COMPLETED, "{:#?}", failover.failures());
        let used = calls(&world);
        failovers.add(waits(&world, "failover", &failover), &used, &Calls::new());
        world.pass_minutes(30).await;
        let failback = world.follow("failback.ron", &failover).await;
        assert_eq!(failback.end, COMPLETED, "{:#?}", failback.failures());
        failbacks.add(waits(&world, "failback", &failback), &calls(&world), &used);
    }
    let report = format!("{}\n{}", failovers.report("failover", seeds), failbacks.report("failback", seeds));
    #[expect(clippy::print_stderr, reason = "the figures are what the test is for")]
    {
        eprintln!("{report}");
    }
    for (figures, waits, calls_max) in [(&failovers, 7, 400.0), (&failbacks, 11, 1500.0)] {
        assert!(figures.waits() >= waits * usize::try_from(seeds).unwrap() * 9 / 10, "waits are found: {report}");
        assert!(figures.lag(50) < Duration::from_secs(2), "{report}");
        assert!(figures.lag(95) < Duration::from_secs(10), "{report}");
        assert!(figures.calls() / seeds as f64 <= calls_max, "{report}");
    }
}
