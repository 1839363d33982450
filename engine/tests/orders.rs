//! What operators order of a run, live and not: what follows, what is refused, and that no order breaks a law, whenever it comes.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::Write as _;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use wf_engine::model::event::{Event, FailureKind, Fields, Mode, RunOutcome};
use wf_engine::model::run_state::{RunPhase, StepStatus};
use wf_engine::model::schedule::{Limits, next_command};
use wf_engine::runtime::{self, Control, Controller, Order, Refusal, RunEnd, RunError};
use wf_engine::testkit::{Part, TestRun, laws, somebody};

const COMPLETED: RunEnd = RunEnd::Finished(RunOutcome::Completed);
const WITH_EXCEPTIONS: RunEnd = RunEnd::Finished(RunOutcome::CompletedWithExceptions);
const ROLLED_BACK: RunEnd = RunEnd::Finished(RunOutcome::RolledBack);
const ABANDONED: RunEnd = RunEnd::Finished(RunOutcome::Abandoned);

/// A run that is under way.
struct Live {
    run: TestRun,
    controller: Controller,
    end: JoinHandle<Result<RunEnd, RunError>>,
}

impl Live {
    fn of_steps(steps: &str) -> Self {
        Self::of(TestRun { approve_all: false, ..TestRun::of_steps(steps) })
    }

    fn of(run: TestRun) -> Self {
        let (running, controller) = run.starting();
        Self { run, controller, end: tokio::spawn(running) }
    }

    async fn after(&self, secs: u64) -> &Self {
        tokio::time::sleep(Duration::from_secs(secs)).await;
        self
    }

    async fn order(&self, order: Order) -> Result<(), Refusal> {
        let (reply, answered) = oneshot::channel();
        let order = Control::Order { order, by: somebody(), reason: "because".to_owned(), reply };
        self.controller.send(order).await.map_err(|_| Refusal::Leaving)?;
        answered.await.unwrap_or(Err(Refusal::Leaving))
    }

    async fn end(self) -> (RunEnd, TestRun) {
        let end = self.end.await.unwrap().unwrap();
        assert_eq!(laws::broken(&self.run.journal, &self.run.run), Vec::<String>::new());
        (end, self.run)
    }

    fn status(&self, ix: usize) -> StepStatus {
        self.run.state().step(ix).status
    }
}

fn skip(step: &str) -> Order {
    Order::Skip { step: step.parse().unwrap() }
}

fn retry(step: &str) -> Order {
    Order::Retry { step: step.parse().unwrap() }
}

fn mark_done(step: &str, outputs: &[(&str, i64)]) -> Order {
    let outputs: Fields = outputs.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
    Order::MarkDone { step: step.parse().unwrap(), outputs }
}

fn adjust(step: &str, timeout: Option<&str>, attempts: Option<u32>) -> Order {
    Order::Adjust { step: step.parse().unwrap(), timeout: timeout.map(|timeout| timeout.parse().unwrap()), attempts }
}

const CANCEL: Order = Order::Cancel { rollback: false, past_point_of_no_return: false };
const ROLL_BACK: Order = Order::Cancel { rollback: true, past_point_of_no_return: false };

const A_THEN_B: &str = r#"(id: "a", run: Set(key: "a", takes: "10s")), (id: "b", needs: ["a"], run: Set(key: "b"))"#;

#[tokio::test(start_paused = true)]
async fn a_paused_run_ends_what_is_under_way_and_starts_nothing_until_it_is_resumed() {
    let live = Live::of_steps(A_THEN_B);
    live.after(5).await.order(Order::Pause).await.unwrap();
    assert_eq!(live.order(Order::Pause).await, Err(Refusal::AlreadyPaused));
    live.after(3600).await;
    assert_eq!((live.status(0), live.status(1)), (StepStatus::Succeeded, StepStatus::Pending));
    live.order(Order::Resume).await.unwrap();
    assert_eq!(live.end().await.0, COMPLETED);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_came_due_during_a_pause_starts_after_it() {
    let live = Live::of_steps(r#"(id: "a", run: Set(key: "a"), retry: (initial: "10s", jitter: 0))"#);
    live.run.world.fail("a", Part::Observe, 1, FailureKind::Transient);
    live.after(5).await.order(Order::Pause).await.unwrap();
    assert!(matches!(live.order(retry("a")).await, Err(Refusal::Status { .. })), "nothing begins during a pause");
    live.after(60).await;
    assert_eq!(live.run.world.calls("a", Part::Observe), 1);
    live.order(Order::Resume).await.unwrap();
    assert_eq!(live.end().await.0, COMPLETED);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_ever_for_a_resume_and_a_crash_during_a_pause_is_resumed() {
    let live = Live::of_steps(A_THEN_B);
    live.after(5).await.order(Order::Pause).await.unwrap();
    assert_eq!(live.after(25 * 3600).await.order(Order::Resume).await, Err(Refusal::Leaving));
    let (end, run) = live.end().await;
    assert!(matches!(&end, RunEnd::Interrupted { reason } if reason.contains("paused by hand")), "{end:?}");
    let ordered = run.events().iter().position(|event| matches!(event, Event::Ordered { .. })).unwrap();
    let crashed = TestRun { journal: run.journal.prefix(&run.run, ordered + 1), ..run.clone() };
    assert!(crashed.state().held().is_some());
    assert_eq!(crashed.resume().await.unwrap(), COMPLETED);
    assert_eq!(run.crashed().resume().await.unwrap(), COMPLETED);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_run_undoes_everything_or_nothing() {
    let steps = r#"(id: "a", run: Set(key: "a")), (id: "b", needs: ["a"], run: Set(key: "b", takes: "10m")), (id: "c", needs: ["b"], run: Set(key: "c"))"#;
    for (order, end, left) in [(ROLL_BACK, ROLLED_BACK, 0), (CANCEL, ABANDONED, 2)] {
        let live = Live::of_steps(steps);
        live.after(5).await.order(order).await.unwrap();
        let (found, run) = live.end().await;
        assert_eq!((found, run.world.values().len()), (end, left));
        assert!(matches!(run.resume().await, Err(RunError::Refused(Refusal::Finished { .. }))));
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancel_that_a_crash_cut_off_is_carried_on() {
    for (order, end) in [(ROLL_BACK, ROLLED_BACK), (CANCEL, ABANDONED)] {
        let live = Live::of_steps(r#"(id: "a", run: Set(key: "a", takes: "10m"))"#);
        live.after(5).await.order(order).await.unwrap();
        let (_, run) = live.end().await;
        let records = run.events().iter().position(|event| matches!(event, Event::Ordered { .. })).unwrap();
        let cut = TestRun { journal: run.journal.prefix(&run.run, records + 1), ..run.clone() };
        assert_eq!(cut.resume().await.unwrap(), end);
    }
}

#[tokio::test(start_paused = true)]
async fn a_rollback_can_be_given_up_and_an_irreversible_run_is_not_rolled_back_unasked() {
    let live = Live::of_steps(r#"(id: "a", run: Set(key: "a")), (id: "b", needs: ["a"], run: Set(key: "b"))"#);
    live.run.world.fail("b", Part::Apply, 1, FailureKind::Permanent);
    live.run.world.fail("a", Part::Compensate, 3, FailureKind::Transient);
    live.after(1).await;
    assert_eq!(live.order(ROLL_BACK).await, Err(Refusal::RollingBack));
    live.order(CANCEL).await.unwrap();
    let (end, run) = live.end().await;
    assert_eq!((end, run.state().step(0).status), (ABANDONED, StepStatus::CompensationInterrupted));

    let live = Live::of_steps(r#"(id: "p", run: Set(key: "p", irreversible: true, takes: "1m"))"#);
    assert!(matches!(live.after(5).await.order(ROLL_BACK).await, Err(Refusal::PastPointOfNoReturn { .. })));
    assert_eq!(live.end().await.0, COMPLETED);
}

#[tokio::test(start_paused = true)]
async fn a_retry_does_not_wait_and_a_failed_step_is_tried_anew() {
    let live = Live::of_steps(r#"(id: "a", run: Set(key: "a"), retry: (initial: "1h", max: "1h", jitter: 0))"#);
    live.run.world.fail("a", Part::Observe, 1, FailureKind::Transient);
    live.after(5).await.order(retry("a")).await.unwrap();
    let before = tokio::time::Instant::now();
    assert_eq!(live.end().await.0, COMPLETED);
    assert!(before.elapsed() < Duration::from_secs(60));

    let text = r#"Workflow(name: "test", on_failure: Pause, steps: [(id: "a", run: Set(key: "a")), (id: "long", run: Set(key: "l", takes: "1m"))])"#;
    let live = Live::of(TestRun::of(text));
    live.run.world.fail("a", Part::Apply, 1, FailureKind::Permanent);
    live.after(5).await.order(retry("a")).await.unwrap();
    assert_eq!(live.end().await.0, COMPLETED);
}

#[tokio::test(start_paused = true)]
async fn a_skipped_step_is_left_out_wherever_it_is() {
    // Not started: left out when it is its turn, not before.
    let live = Live::of_steps(
        r#"(id: "a", run: Set(key: "a", takes: "10s")), (id: "b", needs: ["a"], run: Set(key: "b")), (id: "c", needs: ["b"], run: Set(key: "c"))"#,
    );
    live.after(5).await.order(skip("b")).await.unwrap();
    assert_eq!(live.status(1), StepStatus::Pending);
    let (end, run) = live.end().await;
    assert_eq!((end, run.world.values().into_keys().collect::<Vec<_>>()), (WITH_EXCEPTIONS, vec!["a".to_owned(), "c".to_owned()]));
    // Under way: left at its next safe point; what it changed is undone with the rest.
    let live =
        Live::of_steps(r#"(id: "a", run: Set(key: "a", takes: "10h"), timeout: "20h"), (id: "b", needs: ["a"], run: Set(key: "b"))"#);
    live.after(5).await.order(skip("a")).await.unwrap();
    let (end, run) = live.end().await;
    assert_eq!((end, run.world.values().len()), (WITH_EXCEPTIONS, 2));
    assert_eq!(run.rollback(false).await.unwrap(), ROLLED_BACK);
    assert_eq!(run.world.values().len(), 0);
    // Waiting for its next attempt, and for an answer.
    let live = Live::of_steps(r#"(id: "a", run: Set(key: "a"), retry: (initial: "1h", max: "1h")), (id: "go", run: Ask())"#);
    live.run.world.fail("a", Part::Observe, 1, FailureKind::Transient);
    live.after(5).await.order(skip("a")).await.unwrap();
    live.order(skip("go")).await.unwrap();
    let (end, run) = live.end().await;
    assert_eq!((end, run.world.values().len()), (WITH_EXCEPTIONS, 0));
}

#[tokio::test(start_paused = true)]
async fn a_step_whose_value_is_used_is_not_skipped_but_can_be_marked_done_with_it() {
    let live = Live::of_steps(
        r#"(id: "a", run: Set(key: "a", takes: "10h"), timeout: "20h"), (id: "b", run: Set(key: "b", value: "${a.value}"))"#,
    );
    let refused = live.after(5).await.order(skip("a")).await.unwrap_err();
    assert_eq!(refused.to_string(), "step `b` uses `${a.value}`, which `a` would then not give");
    assert_eq!(live.order(mark_done("a", &[])).await, Err(refused));
    live.order(mark_done("a", &[("value", 7)])).await.unwrap();
    let (end, run) = live.end().await;
    assert_eq!((end, run.world.values().get("b").copied()), (COMPLETED, Some(7)));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_escalated_does_what_is_only_unplanned_from_then_on() {
    let steps = r#"(id: "a", run: Set(key: "a", takes: "10s")), (id: "calm", needs: ["a"], only: Planned, run: Set(key: "calm")), (id: "hard", needs: ["a"], only: Unplanned, run: Set(key: "hard"))"#;
    let live = Live::of(TestRun { mode: Mode::Planned, ..TestRun::of_steps(steps) });
    live.after(5).await.order(Order::Escalate).await.unwrap();
    assert_eq!(live.order(Order::Escalate).await, Err(Refusal::AlreadyUnplanned));
    let (end, run) = live.end().await;
    assert_eq!((end, run.world.values().into_keys().collect::<Vec<_>>()), (COMPLETED, vec!["a".to_owned(), "hard".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn a_running_step_is_given_more_time_and_more_attempts() {
    let live = Live::of_steps(r#"(id: "a", run: Set(key: "a", takes: "10m"), timeout: "1m")"#);
    live.after(5).await.order(adjust("a", Some("1h"), None)).await.unwrap();
    assert_eq!(live.end().await.0, COMPLETED);
    let live = Live::of_steps(r#"(id: "a", run: Set(key: "a"), retry: (attempts: 2, initial: "10s", jitter: 0))"#);
    live.run.world.fail("a", Part::Observe, 3, FailureKind::Transient);
    live.after(5).await.order(adjust("a", None, Some(4))).await.unwrap();
    assert_eq!(live.end().await.0, COMPLETED);
    let live = Live::of_steps(r#"(id: "a", run: Set(key: "a", takes: "10m"), timeout: "1h")"#);
    for (order, said) in
        [(adjust("a", None, None), "neither"), (adjust("a", None, Some(0)), "from 1 to"), (adjust("a", Some("0s"), None), "no time")]
    {
        let refused = live.order(order).await.unwrap_err().to_string();
        assert!(refused.contains(said), "{refused}");
    }
    live.after(5).await.order(adjust("a", Some("1m"), None)).await.unwrap();
    assert_eq!(live.end().await.0, ROLLED_BACK);
}

#[tokio::test(start_paused = true)]
async fn orders_that_make_no_sense_are_refused_with_the_reason() {
    let live = Live::of_steps(r#"(id: "go", run: Ask()), (id: "b", needs: ["go"], run: Set(key: "b")), (id: "done", run: Nothing())"#);
    live.after(5).await;
    let approve = |step: &str| Order::Approve { step: step.parse().unwrap() };
    for (order, said) in [
        (approve("b"), "is pending: only a step that waits for an approval"),
        (approve("gone"), "did you mean `go`?"),
        (retry("go"), "is waiting for an approval: only a step that failed"),
        (skip("done"), "is succeeded: only a step that is not over"),
        (adjust("done", Some("1m"), None), "is succeeded"),
        (Order::Resume, "is not paused"),
        (Order::Escalate, "unplanned already"),
    ] {
        let refused = live.order(order).await.unwrap_err().to_string();
        assert!(refused.contains(said), "{refused}");
    }
    live.order(approve("go")).await.unwrap();
    let (end, run) = live.end().await;
    assert_eq!(end, COMPLETED);
    assert!(matches!(run.order(CANCEL).await, Err(RunError::Refused(Refusal::Finished { .. }))));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_nobody_drives_takes_the_same_orders() {
    let steps = r#"(id: "go", run: Ask()), (id: "a", run: Set(key: "a", takes: "1h")), (id: "b", needs: ["go", "a"], run: Set(key: "b")), (id: "c", needs: ["b"], run: Set(key: "c"))"#;
    let live = Live::of_steps(steps);
    live.after(5).await;
    // The process dies: its journal says that both run.
    let run = live.run.crashed();
    live.end.abort();
    for order in [Order::Pause, Order::Resume, ROLL_BACK] {
        let refused = run.order(order).await;
        assert!(matches!(refused, Err(RunError::Refused(Refusal::NotUnderWay { .. } | Refusal::NotPaused))), "{refused:?}");
    }
    assert!(matches!(run.order(retry("a")).await, Err(RunError::Refused(Refusal::Status { .. }))));
    run.order(Order::Approve { step: "go".parse().unwrap() }).await.unwrap();
    run.order(mark_done("a", &[])).await.unwrap();
    run.order(skip("b")).await.unwrap();
    run.order(adjust("c", Some("1h"), Some(9))).await.unwrap();
    assert_eq!(run.state().step(0).approval.as_ref().map(|approval| approval.0), Some(true));
    assert_eq!(run.resume().await.unwrap(), WITH_EXCEPTIONS);
    assert_eq!(laws::broken(&run.journal, &run.run), Vec::<String>::new());
    let statuses: Vec<_> = run.state().steps().iter().map(|step| step.status).collect();
    assert_eq!(statuses, [StepStatus::Succeeded, StepStatus::Succeeded, StepStatus::Skipped, StepStatus::Succeeded]);

    let run = TestRun::of(r#"Workflow(name: "test", on_failure: Pause, steps: [(id: "a", run: Set(key: "a"))])"#);
    run.world.fail("a", Part::Apply, 9, FailureKind::Permanent);
    assert!(matches!(run.start().await.unwrap(), RunEnd::Paused { .. }));
    run.order(retry("a")).await.unwrap();
    assert_eq!(run.state().step(0).status, StepStatus::Interrupted, "its intent stays on record");
    run.order(CANCEL).await.unwrap();
    assert_eq!(run.state().phase(), RunPhase::Finished(RunOutcome::Abandoned));
}

struct Any;

impl Limits for Any {
    fn max_parallel(&self) -> usize {
        8
    }

    fn halts(&self, _: usize) -> bool {
        false
    }
}

/// Orders at random moments, and a crash behind every record: no law is broken, every beginning of the journal can be read, and whoever
/// resumes it has something to do, or is told that the run is over.
#[tokio::test(start_paused = true)]
async fn no_order_breaks_a_law_whenever_it_comes() {
    let seed = std::env::var("ORDERS_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7);
    let mut rng = fastrand::Rng::with_seed(seed);
    let (mut accepted, mut refused, mut prefixes) = (0, 0, 0);
    for _ in 0..60 {
        let steps: Vec<String> = (0..6)
            .map(|ix| {
                let needs: Vec<String> = (0..ix).filter(|_| rng.u8(0..3) == 0).map(|need| format!("\"s{need}\"")).collect();
                let what = if rng.u8(0..5) == 0 {
                    "Ask()".to_owned()
                } else {
                    format!("Set(key: \"k{ix}\", takes: \"{}s\", irreversible: {})", rng.u8(0..40), rng.u8(0..12) == 0)
                };
                format!("(id: \"s{ix}\", needs: [{}], retry: (attempts: 3, jitter: 0), run: {what})", needs.join(", "))
            })
            .collect();
        let on_failure = if rng.bool() { "Rollback" } else { "Pause" };
        let text = format!("Workflow(name: \"test\", on_failure: {on_failure}, steps: [{}])", steps.join(", "));
        let run = TestRun { approve_all: rng.bool(), mode: Mode::Planned, ..TestRun::of(&text) };
        for key in 0..6 {
            let kind = if rng.bool() { FailureKind::Transient } else { FailureKind::Permanent };
            let part = *rng.choice(&[Part::Observe, Part::Apply, Part::ApplyAnswer, Part::Compensate]).unwrap();
            run.world.fail(&format!("k{key}"), part, rng.u32(0..3), kind);
        }
        let live = Live::of(run);
        for _ in 0..rng.u8(1..6) {
            live.after(rng.u64(0..30)).await;
            if live.end.is_finished() {
                break;
            }
            let step = format!("s{}", rng.u8(0..6));
            let order = match rng.u8(0..11) {
                0 | 1 => Order::Pause,
                2 | 3 => Order::Resume,
                4 => CANCEL,
                5 => ROLL_BACK,
                6 => retry(&step),
                7 => skip(&step),
                8 => mark_done(&step, &[("value", 1)]),
                9 => Order::Approve { step: step.parse().unwrap() },
                _ => adjust(&step, Some("2m"), Some(5)),
            };
            match live.order(order).await {
                Ok(()) => accepted += 1,
                Err(_) => refused += 1,
            }
        }
        if !live.end.is_finished() {
            let _ = live.order(Order::Resume).await;
        }
        let (_, run) = live.end().await;
        let records = run.journal.records(&run.run).unwrap();
        for len in 2..=records.len() {
            prefixes += 1;
            let prefix = run.journal.prefix(&run.run, len).records(&run.run).unwrap();
            let mut state = runtime::replay(&run.run, &prefix).unwrap_or_else(|error| panic!("seed {seed}, {len} records: {error}")).state;
            let last = prefix.last().unwrap();
            let resumed = Event::RunResumed { by: somebody() };
            let record = wf_engine::model::record::Record { seq: last.seq + 1, epoch: last.epoch + 1, event: resumed, ..last.clone() };
            if matches!(state.phase(), RunPhase::Finished(_)) {
                continue;
            }
            state.apply(&record).unwrap();
            assert!(next_command(&state, &Any).is_some(), "seed {seed}: nothing to do after {len} records: {:#?}", records);
        }
    }
    assert!(accepted > 30 && refused > 10, "{accepted} accepted, {refused} refused");
    let figures = format!("orders: {accepted} accepted, {refused} refused, {prefixes} beginnings of journals read (seed {seed})\n");
    std::io::stderr().write_all(figures.as_bytes()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_undone_can_be_undone_by_hand() {
    let steps =
        r#"(id: "a", run: Set(key: "a")), (id: "b", needs: ["a"], run: Set(key: "b")), (id: "c", needs: ["b"], run: Set(key: "c"))"#;
    let run = TestRun::of_steps(steps);
    run.world.fail("c", Part::Observe, 100, FailureKind::Permanent);
    run.world.fail("b", Part::Compensate, 1000, FailureKind::Permanent);
    assert_eq!(run.start().await.unwrap(), RunEnd::Finished(RunOutcome::Stuck));
    for step in ["a", "c"] {
        assert!(matches!(run.order(mark_done(step, &[])).await, Err(RunError::Refused(Refusal::Status { .. }))), "{step}");
    }
    run.order(mark_done("b", &[])).await.unwrap();
    assert_eq!(run.state().step(1).status, StepStatus::Compensated);
    // Nobody undoes it again, and what it was built on is undone now.
    let tried = run.world.calls("b", Part::Compensate);
    assert_eq!(run.crashed().resume().await.unwrap(), ROLLED_BACK);
    assert_eq!((run.world.calls("b", Part::Compensate), run.world.values().get("a")), (tried, None));
    assert_eq!(laws::broken(&run.journal, &run.run), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn what_a_drill_changed_is_put_back_and_what_the_same_file_changed_in_earnest_stays() {
    let text = r#"Workflow(name: "test", at_end: UndoDrill, steps: [
        (id: "both", run: Set(key: "both")),
        (id: "drill", only: Drill, run: Set(key: "drill")),
        (id: "real", only: Real, run: Set(key: "real")),
        (id: "check", only: Check, run: Set(key: "check")),
    ])"#;
    for (drill, applied, end) in [(true, ["both", "drill"], RunOutcome::RolledBack), (false, ["both", "real"], RunOutcome::Completed)] {
        let run = TestRun { drill, ..TestRun::of(text) };
        run.start().await.unwrap();
        assert_eq!(run.state().phase(), RunPhase::Finished(end));
        let left: Vec<_> = run.world.values().into_keys().collect();
        assert_eq!(left, if drill { Vec::new() } else { applied.map(str::to_owned).to_vec() });
        let changed = |key: &&str| run.state().step(run.state().workflow().find(&key.parse().unwrap()).unwrap()).intent;
        assert_eq!(["both", "drill", "real", "check"].iter().filter(|key| changed(key)).copied().collect::<Vec<_>>(), applied);
    }
}
