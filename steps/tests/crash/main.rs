//! The shipped workflows under crashes at every point: before and after each append, each change of the world and each
//! restoration, and in the middle of each wait. The resumed run must end as the one that nobody disturbed: same outcome, same
//! world, each change made once. Resumed runs are crashed again, at a sample of their points.
//!
//! A longer run: `CRASH_SECOND_LEVEL=5000 CRASH_SEED=1 cargo test -p wf-steps --test crash`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../common/routing_controls.rs"]
mod routing_controls;
#[path = "../common/sizes.rs"]
mod sizes;
#[path = "../common/virtual_clock.rs"]
mod virtual_clock;
mod world;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use wf_engine::model::event::RunOutcome;
use wf_engine::model::workflow::Workflow;
use wf_engine::registry::{collect_imports, resolve_inputs};
use wf_engine::runtime::{self, RunEnd};
use wf_engine::testkit::crash::{Cut, Life};
use world::{Call, Origin, Result, Trial, shipped};

/// A workflow, the world that it meets, and the end that it must come to.
struct Scenario {
    name: &'static str,
    workflow: Arc<Workflow>,
    origin: Origin,
    outcome: RunOutcome,
    /// How many pairs of crashes are tried, of all that there are.
    pairs: usize,
    /// The fewest points there can be; fewer mean that the driver has become blind.
    points_min: u64,
}

/// What one run through its cuts came to.
struct Told {
    end: RunEnd,
    lives: Vec<Life>,
    broken: Vec<String>,
    result: Result,
    effects: BTreeMap<Call, usize>,
}

fn on_paused_time<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(future)
}

impl Scenario {
    fn run(&self, cuts: &[Cut]) -> Told {
        // Pauses of polls and retries are drawn: alike in all trials up to the first crash.
        fastrand::seed(7);
        on_paused_time(async {
            let trial = Trial::begin(&self.origin);
            let story = trial.stage(&self.workflow).live(cuts).await;
            Told { end: story.end, lives: story.lives, broken: story.broken, result: trial.result().await, effects: trial.effects() }
        })
    }

    /// Runs through the cuts and returns what is wrong, and the points of the life after the first crash.
    fn trial(&self, whole: &Told, cuts: &[Cut]) -> (Vec<String>, u64) {
        let told = self.run(cuts);
        let mut wrong = told.broken.clone();
        if told.end != whole.end {
            wrong.push(format!("it ended with {:?}", told.end));
        }
        if told.result != whole.result {
            wrong.push(format!("the world is another:\n{:#?}\nand not\n{:#?}", told.result, whole.result));
        }
        for (call, times) in &told.effects {
            // A run that is rolled back may have come further, or less far, before it was left: what it did then is undone.
            let allowed = whole.effects.get(call).copied().unwrap_or(usize::from(self.outcome == RunOutcome::RolledBack));
            if *times > allowed {
                wrong.push(format!("{call:?} took effect {times} times, not {allowed}"));
            }
        }
        let places: Vec<_> = told.lives.iter().filter_map(|life| life.cut_at.clone()).collect();
        let wrong = wrong.into_iter().map(|wrong| format!("{} after {cuts:?} at {places:?}: {wrong}", self.name)).collect();
        (wrong, told.lives.get(1).map_or(0, |life| life.moments))
    }

    fn crash_everywhere(&self) {
        let began = std::time::Instant::now();
        let whole = self.run(&[]);
        assert_eq!(whole.end, RunEnd::Finished(self.outcome), "{}: {:#?}", self.name, whole.broken);
        assert!(whole.broken.is_empty(), "{:#?}", whole.broken);
        let points = whole.lives[0].moments;
        assert!(points >= self.points_min, "{} has only {points} points", self.name);
        let (mut wrong, mut second) = (Vec::new(), Vec::new());
        for first in 0..points {
            let (found, again) = self.trial(&whole, &[Cut::Crash(first)]);
            wrong.extend(found);
            second.extend((0..again).map(|then| (first, then)));
        }
        let seed = number("CRASH_SEED").unwrap_or(20_261_123);
        let pairs = number("CRASH_SECOND_LEVEL").and_then(|pairs| usize::try_from(pairs).ok()).unwrap_or(self.pairs).min(second.len());
        let all_pairs = second.len();
        fastrand::Rng::with_seed(seed).shuffle(&mut second);
        for &(first, then) in &second[..pairs] {
            wrong.extend(self.trial(&whole, &[Cut::Crash(first), Cut::Crash(then)]).0);
        }
        let (name, took) = (self.name, began.elapsed());
        let figures =
            format!("{name}: {points} crash points, {pairs} of {all_pairs} second crashes (seed {seed}), {:.1} s\n", took.as_secs_f64());
        std::io::stderr().write_all(figures.as_bytes()).unwrap();
        assert!(wrong.is_empty(), "{} things are wrong, first:\n{}", wrong.len(), wrong[..wrong.len().min(12)].join("\n"));
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// The world half an hour after a failover, kept in `dir`, and what a failback takes over.
fn after_failover(dir: &std::path::Path, faults: Vec<&'static str>) -> Origin {
    after(dir, &shipped("failover.ron"), &shipped("failback.ron"), faults)
}

/// As [`after_failover`], for another pair of workflows.
fn after(dir: &std::path::Path, failover: &Arc<Workflow>, failback: &Arc<Workflow>, faults: Vec<&'static str>) -> Origin {
    let imports = on_paused_time(async {
        let trial = Trial::kept_in(dir);
        let stage = trial.stage(failover);
        let story = stage.live(&[]).await;
        assert_eq!(story.end, RunEnd::Finished(RunOutcome::Completed));
        trial.clock.sleep(Duration::from_secs(30 * 60)).await;
        trial.sim.flush().unwrap();
        let ended = runtime::replay(&stage.run, &story.journal.records(&stage.run).unwrap()).unwrap().state;
        collect_imports(failback, &resolve_inputs(failback, &[]).unwrap(), &ended).unwrap()
    });
    Origin { kept: Some(dir.to_owned()), faults, imports, ..Origin::default() }
}

#[test]
fn failover_completes() {
    let (workflow, outcome) = (shipped("failover.ron"), RunOutcome::Completed);
    Scenario { name: "failover", workflow, origin: Origin::default(), outcome, pairs: 40, points_min: 60 }.crash_everywhere();
}

#[test]
fn failover_rolls_back() {
    let (workflow, outcome) = (shipped("failover.ron"), RunOutcome::RolledBack);
    let origin = Origin { faults: vec!["fail EksScaleNodegroup"], ..Origin::default() };
    Scenario { name: "failover rolled back", workflow, origin, outcome, pairs: 40, points_min: 30 }.crash_everywhere();
}

#[test]
fn failback_completes() {
    let dir = tempfile::tempdir().unwrap();
    let (workflow, outcome) = (shipped("failback.ron"), RunOutcome::Completed);
    let origin = after_failover(dir.path(), vec![]);
    Scenario { name: "failback", workflow, origin, outcome, pairs: 20, points_min: 60 }.crash_everywhere();
}

#[test]
fn failback_rolls_back() {
    let dir = tempfile::tempdir().unwrap();
    let (workflow, outcome) = (shipped("failback.ron"), RunOutcome::RolledBack);
    let origin = after_failover(dir.path(), vec!["fail EksScaleNodegroup"]);
    Scenario { name: "failback rolled back", workflow, origin, outcome, pairs: 20, points_min: 30 }.crash_everywhere();
}

#[test]
fn failover_by_an_object_completes() {
    let (workflow, outcome) = (shipped("failover-stop.ron"), RunOutcome::Completed);
    Scenario { name: "failover-stop", workflow, origin: Origin::default(), outcome, pairs: 20, points_min: 25 }.crash_everywhere();
}

/// The object is put first, so a rollback has it to take away.
#[test]
fn failover_by_an_object_rolls_back() {
    let text = std::fs::read_to_string(world::path_of("failover-stop.ron")).unwrap();
    let (head, dns) = text.split_once(r#"id: "dns", needs: ["targets"],"#).unwrap();
    // Nobody is there yet to whom users could be moved: the step gives up before the primary region is repaired.
    let first = format!(r#"{head}id: "dns",{}"#, dns.replacen(r#"timeout: "10m""#, r#"timeout: "2m""#, 1));
    let workflow = Arc::new(Workflow::parse(&first).unwrap());
    let origin = Origin { faults: vec!["lag prod-db-replica-west 2h"], ..Origin::default() };
    let outcome = RunOutcome::RolledBack;
    Scenario { name: "failover-stop rolled back", workflow, origin, outcome, pairs: 20, points_min: 20 }.crash_everywhere();
}

#[test]
fn failback_by_an_object_completes() {
    let dir = tempfile::tempdir().unwrap();
    let (workflow, outcome) = (shipped("failback-stop.ron"), RunOutcome::Completed);
    let origin = after(dir.path(), &shipped("failover-stop.ron"), &workflow, vec![]);
    Scenario { name: "failback-stop", workflow, origin, outcome, pairs: 20, points_min: 40 }.crash_everywhere();
}

/// The plan that moves the users by an object, but by routing controls. They are set first: a rollback has them to set back.
fn by_routing_controls() -> (String, String) {
    use routing_controls::{east, rule, via, west};
    let object = r#"via: StopObject(bucket: "${switch_bucket}", key: "${switch_key}", region: "${dr_region}")"#;
    let text = std::fs::read_to_string(world::path_of("failover-stop.ron")).unwrap();
    assert!(text.contains(object));
    let text = text.replace(object, &via(&[west()], &[east()], &[rule()]));
    let first = text.replace(r#"id: "dns", needs: ["targets"],"#, r#"id: "dns","#);
    (text, first)
}

#[test]
fn failover_by_routing_controls_completes() {
    let workflow = Arc::new(Workflow::parse(&by_routing_controls().0).unwrap());
    let origin = Origin { routing_controls: true, ..Origin::default() };
    let outcome = RunOutcome::Completed;
    Scenario { name: "failover by routing controls", workflow, origin, outcome, pairs: 20, points_min: 25 }.crash_everywhere();
}

#[test]
fn failover_by_routing_controls_rolls_back() {
    let workflow = Arc::new(Workflow::parse(&by_routing_controls().1).unwrap());
    let origin = Origin { faults: vec!["lag prod-db-replica-west 2h"], routing_controls: true, ..Origin::default() };
    let outcome = RunOutcome::RolledBack;
    Scenario { name: "failover by routing controls rolled back", workflow, origin, outcome, pairs: 20, points_min: 20 }.crash_everywhere();
}

/// Where the checks between the stages look is an input: here at the side that serves.
#[test]
fn a_gradual_shift_completes() {
    let (workflow, outcome) = (shipped("shift-gradual.ron"), RunOutcome::Completed);
    let inputs = [("standby_balancer", "prod-app-alb-1190425811.us-east-1.elb.amazonaws.com"), ("url", "https://app.company.com/health")];
    let inputs = inputs.map(|(name, value)| (name.to_owned(), value.into())).to_vec();
    let origin = Origin { faults: vec!["primary-alive"], inputs, ..Origin::default() };
    Scenario { name: "shift-gradual", workflow, origin, outcome, pairs: 20, points_min: 20 }.crash_everywhere();
}

#[test]
fn a_gradual_shift_to_a_bad_standby_returns() {
    let (workflow, outcome) = (shipped("shift-gradual.ron"), RunOutcome::RolledBack);
    let origin = Origin { faults: vec!["primary-alive"], ..Origin::default() };
    Scenario { name: "shift-gradual returned", workflow, origin, outcome, pairs: 20, points_min: 8 }.crash_everywhere();
}

/// A drill ends rolled back, and its throwaway replica is deleted although it was promoted, wherever the process dies.
#[test]
fn drill_is_put_back() {
    let (workflow, outcome) = (shipped("drill-pilot-light.ron"), RunOutcome::RolledBack);
    let inputs = [
        ("env", "prod"),
        ("zone", "company.com"),
        ("url", "https://app.company.com/health"),
        ("primary_balancer", "prod-app-alb-1190425811.us-east-1.elb.amazonaws.com"),
        ("dr_alb_dns_name", "prod-app-dr-alb-2071366924.us-west-2.elb.amazonaws.com"),
        ("kms_key", "alias/prod-db"),
    ];
    let inputs = inputs.map(|(name, value)| (name.to_owned(), value.into())).to_vec();
    let origin = Origin { faults: vec!["primary-alive"], inputs, ..Origin::default() };
    Scenario { name: "drill", workflow, origin, outcome, pairs: 20, points_min: 40 }.crash_everywhere();
}

#[test]
fn what_no_shipped_plan_does_in_a_cluster_completes() {
    let (workflow, outcome) = (shipped("../tests/fixtures/cluster.ron"), RunOutcome::Completed);
    Scenario { name: "cluster", workflow, origin: Origin::default(), outcome, pairs: 40, points_min: 30 }.crash_everywhere();
}

#[test]
fn what_no_shipped_plan_does_in_a_cluster_rolls_back() {
    let (workflow, outcome) = (shipped("../tests/fixtures/cluster.ron"), RunOutcome::RolledBack);
    let origin = Origin { faults: vec!["fail EksScaleNodegroup"], ..Origin::default() };
    Scenario { name: "cluster rolled back", workflow, origin, outcome, pairs: 40, points_min: 30 }.crash_everywhere();
}
