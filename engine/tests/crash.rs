//! Random runs under crashes at every point, failed appends and interruptions: the resumed run must end in the same world, with
//! the same outcome, each change made once, and no recorded success repeated.
//!
//! A longer run: `PROPTEST_CASES=2000 cargo test -p wf-engine --test crash`, with another `CRASH_SEED` each time.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::io::Write as _;

use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use wf_engine::model::event::{FailureKind, RunOutcome};
use wf_engine::runtime::{Refusal, RunEnd, RunError};
use wf_engine::testkit::crash::Cut;
use wf_engine::testkit::{AppendFault, FakeWorld, Part, TestRun, laws};

/// What is drawn when nobody asks for anything else.
const SEED: u64 = 20_261_123;
/// How many random sequences of cuts each workflow meets, beside a crash at each of its points.
const SEQUENCES: usize = 12;

/// A step of a random workflow: which earlier steps it needs, and how it behaves.
#[derive(Debug, Clone)]
struct RandomStep {
    needs: Vec<prop::sample::Index>,
    takes_secs: u64,
    asks: bool,
    irreversible: bool,
    goes_on: bool,
    goes_on_unreachable: bool,
    fails: Option<(Part, u32, FailureKind)>,
    /// How often restoring fails before it works.
    undo_fails: u32,
}

#[derive(Debug, Clone)]
struct RandomRun {
    steps: Vec<RandomStep>,
    pauses: bool,
    /// Whether everything is put back at the end.
    undoes: bool,
    max_parallel: u32,
}

fn part() -> impl Strategy<Value = Part> {
    prop_oneof![Just(Part::Observe), Just(Part::Apply), Just(Part::ApplyAnswer), Just(Part::Settle)]
}

fn kind() -> impl Strategy<Value = FailureKind> {
    prop_oneof![Just(FailureKind::Transient), Just(FailureKind::Permanent), Just(FailureKind::Unreachable)]
}

fn random_step() -> impl Strategy<Value = RandomStep> {
    let needs = prop::collection::vec(any::<prop::sample::Index>(), 0..3);
    let fails = prop::option::weighted(0.3, (part(), 1..6_u32, kind()));
    let policies = (prop::bool::weighted(0.15), prop::bool::weighted(0.1), prop::bool::weighted(0.2), prop::bool::weighted(0.4));
    (needs, 0..4_u64, policies, fails, 0..3_u32).prop_map(|(needs, takes_secs, policies, fails, undo_fails)| {
        let (asks, irreversible, goes_on, goes_on_unreachable) = policies;
        RandomStep { needs, takes_secs, asks, irreversible, goes_on, goes_on_unreachable, fails: fails.filter(|_| !asks), undo_fails }
    })
}

fn random_run() -> impl Strategy<Value = RandomRun> {
    let steps = prop::collection::vec(random_step(), 1..7);
    let whole = (steps, prop::bool::weighted(0.2), prop::bool::weighted(0.2), 1..5_u32);
    whole.prop_map(|(steps, pauses, undoes, max_parallel)| RandomRun { steps, pauses, undoes, max_parallel })
}

impl RandomRun {
    fn text(&self) -> String {
        let steps: Vec<_> = self.steps.iter().enumerate().map(|(ix, step)| step.text(ix)).collect();
        let on_failure = if self.pauses { "Pause" } else { "Rollback" };
        let max_parallel = self.max_parallel;
        let at_end = if self.undoes { "Undo" } else { "Stay" };
        format!(
            "Workflow(name: \"random\", on_failure: {on_failure}, at_end: {at_end}, max_parallel: {max_parallel}, steps: [{}])",
            steps.join(",")
        )
    }

    fn prepared(&self) -> TestRun {
        let run = TestRun::of(&self.text());
        for (ix, step) in self.steps.iter().enumerate() {
            step.prepare(&run.world, &format!("k{ix}"));
        }
        run
    }

    /// Whether the outcome is the same whatever takes how long. It is not when something irreversible races with a failure.
    fn is_certain(&self) -> bool {
        !self.steps.iter().any(|step| step.irreversible) || !self.steps.iter().any(|step| step.fails.is_some())
    }
}

impl RandomStep {
    fn text(&self, ix: usize) -> String {
        let mut needs: Vec<_> = if ix == 0 { vec![] } else { self.needs.iter().map(|need| format!("\"s{}\"", need.index(ix))).collect() };
        needs.sort();
        needs.dedup();
        let policy = |goes_on| if goes_on { "Continue" } else { "Fail" };
        let (irreversible, takes) = (self.irreversible, self.takes_secs);
        let what =
            if self.asks { "Ask()".to_owned() } else { format!("Set(key: \"k{ix}\", irreversible: {irreversible}, takes: \"{takes}s\")") };
        format!(
            "(id: \"s{ix}\", needs: [{}], on_failure: {}, on_unreachable: {}, retry: (attempts: 3, jitter: 0), run: {what})",
            needs.join(","),
            policy(self.goes_on),
            policy(self.goes_on_unreachable),
        )
    }

    fn prepare(&self, world: &FakeWorld, key: &str) {
        world.fail(key, Part::Compensate, self.undo_fails, FailureKind::Transient);
        if let Some((part, times, kind)) = self.fails {
            // A lost answer is never a refusal: who knows that the call failed got an answer.
            let kind = if part == Part::ApplyAnswer { FailureKind::Transient } else { kind };
            // A failure that passes would come at another attempt in a run that was cut off: those that stay decide alike.
            let times = if kind == FailureKind::Permanent || times > 2 { u32::MAX } else { times };
            world.fail(key, part, times, kind);
        }
    }
}

/// Compares an end with the one of the run that nobody disturbed.
fn wrong(random: &RandomRun, whole: (&RunEnd, &FakeWorld), found: (&RunEnd, &FakeWorld)) -> Vec<String> {
    let mut wrong = Vec::new();
    let ((end, world), (found_end, found_world)) = (whole, found);
    let outcome = outcome_of(found_end);
    if random.is_certain() && outcome != outcome_of(end) {
        wrong.push(format!("it ended with {found_end:?}, not {end:?}"));
    }
    if outcome == Some(RunOutcome::Stuck) {
        wrong.push("it is stuck".to_owned());
    }
    let expected = match outcome {
        // What nothing can undo stays, and how far that came is left to chance.
        Some(RunOutcome::RolledBack) if random.undoes && random.steps.iter().any(|step| step.irreversible) => None,
        Some(RunOutcome::RolledBack) => Some(BTreeMap::new()),
        // A step may run further, or less far, before the others wait for the operator.
        None => None,
        Some(_) => (outcome == outcome_of(end)).then(|| world.values()),
    };
    if expected.is_some_and(|expected| expected != found_world.values()) {
        wrong.push(format!("the world is {:?}", found_world.values()));
    }
    let mut changes: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for (key, value) in found_world.changes() {
        changes.entry(key).or_default().push(value);
    }
    let there_and_back = if outcome == Some(RunOutcome::RolledBack) { 2 } else { 1 };
    wrong.extend(
        changes.iter().filter(|(_, values)| values.len() > there_and_back).map(|(key, values)| format!("{key} was changed {values:?}")),
    );
    wrong
}

fn outcome_of(end: &RunEnd) -> Option<RunOutcome> {
    match end {
        RunEnd::Finished(outcome) => Some(*outcome),
        RunEnd::Paused { .. } | RunEnd::Interrupted { .. } => None,
    }
}

fn on_paused_time<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(future)
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Draws runs and tries each; the seed is printed with the figures.
fn for_random_runs(name: &str, trial: impl Fn(&RandomRun, &mut fastrand::Rng) -> Result<u64, TestCaseError>) {
    let seed = number("CRASH_SEED").unwrap_or(SEED);
    let cases = number("PROPTEST_CASES").and_then(|cases| u32::try_from(cases).ok()).unwrap_or(16);
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases) };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let lives = std::cell::Cell::new(0);
    let began = std::time::Instant::now();
    let result = runner.run(&random_run(), |random| {
        lives.set(lives.get() + trial(&random, &mut fastrand::Rng::with_seed(seed))?);
        Ok(())
    });
    let figures =
        format!("{name}: {} runs cut off, of {cases} workflows (seed {seed}), {:.1} s\n", lives.get(), began.elapsed().as_secs_f64());
    std::io::stderr().write_all(figures.as_bytes()).unwrap();
    assert!(result.is_ok(), "seed {seed}: {}", result.unwrap_err());
}

async fn cut_off(random: &RandomRun, whole: (&RunEnd, &FakeWorld), cuts: &[Cut]) -> Result<Vec<u64>, TestCaseError> {
    let run = random.prepared();
    let story = run.stage().live(cuts).await;
    let mut found = story.broken;
    found.extend(wrong(random, whole, (&story.end, &run.world)));
    let places: Vec<_> = story.lives.iter().filter_map(|life| life.cut_at.as_ref()).collect();
    prop_assert!(found.is_empty(), "after {:?} at {:?}: {:#?}", cuts, places, found);
    Ok(story.lives.iter().map(|life| life.moments).collect())
}

#[test]
fn no_crash_and_no_interruption_changes_the_end() {
    for_random_runs("crashes and interruptions", |random, rng| {
        on_paused_time(async {
            let run = random.prepared();
            let story = run.stage().live(&[]).await;
            prop_assert!(story.broken.is_empty(), "{:#?}", story.broken);
            let (whole, points) = ((&story.end, &run.world), story.lives[0].moments);
            for at in 0..points {
                let moments = cut_off(random, whole, &[Cut::Crash(at)]).await?;
                let then = rng.u64(0..moments.get(1).copied().unwrap_or(1).max(1));
                cut_off(random, whole, &[Cut::Crash(at), Cut::Crash(then)]).await?;
            }
            for _ in 0..SEQUENCES {
                let cut =
                    |rng: &mut fastrand::Rng| if rng.bool() { Cut::Crash(rng.u64(0..points)) } else { Cut::Interrupt(rng.u64(0..points)) };
                let cuts: Vec<_> = (0..rng.usize(1..5)).map(|_| cut(rng)).collect();
                cut_off(random, whole, &cuts).await?;
            }
            Ok(2 * points + SEQUENCES as u64)
        })
    });
}

/// Here the process lives on after its journal failed, and must not act any more.
#[test]
fn no_failed_append_changes_the_end() {
    for_random_runs("failed appends", |random, _| {
        on_paused_time(async {
            let whole = random.prepared();
            let end = whole.start().await.unwrap();
            let appends = whole.journal.appends();
            for nth in 0..appends {
                for fault in [AppendFault::Lost, AppendFault::StoredUnacknowledged] {
                    let run = random.prepared();
                    run.journal.fail_append(nth, fault);
                    let first = run.start().await;
                    let (run, found_end) = finish(run, first).await;
                    let mut found = laws::broken(&run.journal, &run.run);
                    found.extend(wrong(random, (&end, &whole.world), (&found_end, &run.world)));
                    prop_assert!(found.is_empty(), "append {} {:?}: {:#?}", nth, fault, found);
                }
            }
            Ok(2 * appends)
        })
    });
}

/// Resumes until the run ends or asks; no run needs more lives than it has crashes.
async fn finish(run: TestRun, first: Result<RunEnd, RunError>) -> (TestRun, RunEnd) {
    match first {
        Ok(end) => (run, end),
        Err(RunError::Journal(_)) => {
            let run = run.crashed();
            // Before the first append nothing is there to resume.
            let end = match run.resume().await {
                Err(RunError::NotARun { .. } | RunError::Journal(_)) => run.start().await,
                // The end was stored, only the process did not learn it.
                Err(RunError::Refused(Refusal::Finished { outcome, .. })) => Ok(RunEnd::Finished(outcome)),
                end => end,
            };
            (run, end.unwrap())
        }
        Err(error) => panic!("{error:?}"),
    }
}
