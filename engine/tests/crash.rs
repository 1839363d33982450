//! Crashes at every append of random runs: the resumed run must end in the same world, with the same outcome, each change made
//! once, and no recorded success repeated.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;

use proptest::prelude::*;
use wf_engine::model::event::{Event, FailureKind, RunOutcome};
use wf_engine::model::run_state::RunState;
use wf_engine::runtime::{Refusal, RunEnd, RunError};
use wf_engine::testkit::{AppendFault, Part, TestRun};

/// A step of a random workflow: which earlier steps it needs, and how it behaves.
#[derive(Debug, Clone)]
struct RandomStep {
    needs: Vec<prop::sample::Index>,
    takes_secs: u64,
    irreversible: bool,
    goes_on: bool,
    fails: Option<(Part, u32, FailureKind)>,
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
    (needs, 0..4_u64, prop::bool::weighted(0.1), prop::bool::weighted(0.2), fails)
        .prop_map(|(needs, takes_secs, irreversible, goes_on, fails)| RandomStep { needs, takes_secs, irreversible, goes_on, fails })
}

fn text(steps: &[RandomStep]) -> String {
    let step = |(ix, step): (usize, &RandomStep)| {
        let mut needs: Vec<_> = if ix == 0 { vec![] } else { step.needs.iter().map(|need| format!("\"s{}\"", need.index(ix))).collect() };
        needs.sort();
        needs.dedup();
        let policy = if step.goes_on { "on_failure: Continue, on_unreachable: Continue" } else { "on_failure: Fail" };
        let (irreversible, takes) = (step.irreversible, step.takes_secs);
        format!(
            "(id: \"s{ix}\", needs: [{}], {policy}, retry: (attempts: 3, jitter: 0), run: Set(key: \"k{ix}\", irreversible: {irreversible}, takes: \"{takes}s\"))",
            needs.join(",")
        )
    };
    let steps: Vec<_> = steps.iter().enumerate().map(step).collect();
    format!("Workflow(name: \"random\", steps: [{}])", steps.join(","))
}

fn prepared(steps: &[RandomStep]) -> TestRun {
    let run = TestRun::of(&text(steps));
    for (ix, step) in steps.iter().enumerate() {
        if let Some((part, times, kind)) = step.fails {
            // A lost answer is never a refusal: who knows that the call failed got an answer.
            let kind = if part == Part::ApplyAnswer { FailureKind::Transient } else { kind };
            // A failure that passes would come at another attempt in a run that was cut off: those that stay decide alike.
            let times = if kind == FailureKind::Permanent || times > 2 { u32::MAX } else { times };
            run.world.fail(&format!("k{ix}"), part, times, kind);
        }
    }
    run
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

/// Checks the laws that every journal obeys, crash or not.
fn check_laws(run: &TestRun) {
    let records = run.journal.records(&run.run).unwrap();
    let replayed = wf_engine::runtime::replay(&run.run, &records).unwrap();
    let again = RunState::replay(replayed.workflow, |_| std::time::Duration::from_secs(1), &records).unwrap();
    assert_eq!(replayed.state.steps(), again.steps());
    let mut succeeded = BTreeMap::new();
    for record in &records {
        match &record.event {
            Event::StepSucceeded { step, .. } => assert!(succeeded.insert(step.clone(), record.seq).is_none(), "`{step}` succeeded twice"),
            Event::StepStarted { step, .. } => assert!(!succeeded.contains_key(step), "`{step}` was started after it had succeeded"),
            _ => {}
        }
    }
}

fn changes_by_key(run: &TestRun) -> BTreeMap<String, Vec<i64>> {
    let mut changes: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for (key, value) in run.world.changes() {
        changes.entry(key).or_default().push(value);
    }
    changes
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases()) })]

    #[test]
    fn a_crash_at_any_append_changes_nothing_about_the_end(steps in prop::collection::vec(random_step(), 1..7)) {
        runtime().block_on(async {
            let whole = prepared(&steps);
            let end = whole.start().await.unwrap();
            check_laws(&whole);
            for nth in 0..whole.journal.appends() {
                for fault in [AppendFault::Lost, AppendFault::StoredUnacknowledged] {
                    let run = prepared(&steps);
                    run.journal.fail_append(nth, fault);
                    let first = run.start().await;
                    let (run, crashed_end) = finish(run, first).await;
                    check_laws(&run);
                    // A step may run further, or less far, before the others are left when one fails: what is undone differs, the end does not.
                    assert_eq!(kind_of(&crashed_end), kind_of(&end), "append {nth} {fault:?}");
                    if matches!(end, RunEnd::Finished(_)) {
                        assert_eq!(run.world.values(), whole.world.values(), "append {nth} {fault:?}");
                    }
                    for (key, values) in changes_by_key(&run) {
                        assert!(values.len() <= 2, "{key} was changed {values:?} after append {nth} {fault:?}");
                    }
                }
            }
        });
    }
}

fn kind_of(end: &RunEnd) -> Option<RunOutcome> {
    match end {
        RunEnd::Finished(outcome) => Some(*outcome),
        RunEnd::Paused { .. } | RunEnd::Interrupted { .. } => None,
    }
}

/// Few for every build; a longer run is `PROPTEST_CASES=1000 cargo test -p wf-engine --test crash`.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(24)
}
