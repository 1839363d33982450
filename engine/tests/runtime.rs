//! The runtime on a journal in memory and a world of numbers: what happens, in which order, and what is on record.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::time::Duration;

use wf_engine::journal::JournalError;
use wf_engine::model::event::{Event, FailureKind, RunOutcome};
use wf_engine::model::run_state::{RunPhase, StepStatus};
use wf_engine::runtime::{Control, Order, Refusal, RunEnd, RunError};
use wf_engine::testkit::crash::{Cut, Life, Moment};
use wf_engine::testkit::{AppendFault, FakeWorld, Part, TestRun, somebody};

const COMPLETED: RunEnd = RunEnd::Finished(RunOutcome::Completed);
const ROLLED_BACK: RunEnd = RunEnd::Finished(RunOutcome::RolledBack);

fn names(events: &[Event]) -> Vec<String> {
    let name = |event: &Event| {
        let debug = format!("{event:?}");
        let name: String = debug.chars().take_while(char::is_ascii_alphanumeric).collect();
        event.step().map_or(name.clone(), |step| format!("{name} {step}"))
    };
    events.iter().map(name).collect()
}

fn position(events: &[Event], wanted: &str) -> usize {
    let names = names(events);
    names.iter().position(|name| name == wanted).unwrap_or_else(|| panic!("no {wanted} in {names:?}"))
}

fn keys(world: &FakeWorld) -> Vec<String> {
    world.values().into_keys().collect()
}

#[tokio::test(start_paused = true)]
async fn a_mutating_step_records_intent_before_effect_and_handle_after() {
    let run = TestRun::of_steps(r#"(id: "a", run: Set(key: "x"))"#);
    assert_eq!(run.start().await.unwrap(), COMPLETED);
    assert_eq!(
        names(&run.events()),
        ["RunStarted", "WorkflowText", "StepStarted a", "StepObserved a", "StepApplied a", "StepSucceeded a", "RunFinished"]
    );
    assert_eq!(run.world.changes(), [("x".to_owned(), 1)]);
}

#[tokio::test(start_paused = true)]
async fn independent_steps_overlap_and_dependents_wait() {
    let run = TestRun::of_steps(
        r#"(id: "a", run: Set(key: "a", takes: "10s")), (id: "b", run: Set(key: "b", takes: "10s")), (id: "c", needs: ["a", "b"], run: Set(key: "c", takes: "1s"))"#,
    );
    let before = tokio::time::Instant::now();
    assert_eq!(run.start().await.unwrap(), COMPLETED);
    assert_eq!(before.elapsed().as_secs(), 11);
    let events = run.events();
    assert!(position(&events, "StepStarted b") < position(&events, "StepSucceeded a"));
    assert!(position(&events, "StepStarted c") > position(&events, "StepSucceeded b"));
}

#[tokio::test(start_paused = true)]
async fn max_parallel_is_kept_and_the_longest_way_goes_first() {
    let text = r#"Workflow(name: "test", max_parallel: 1, steps: [
        (id: "short", run: Set(key: "s")), (id: "long", run: Set(key: "l")), (id: "behind", needs: ["long"], run: Set(key: "b"))])"#;
    let run = TestRun::of(text);
    assert_eq!(run.start().await.unwrap(), COMPLETED);
    let keys: Vec<_> = run.world.changes().into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["l", "s", "b"]);
}

#[tokio::test(start_paused = true)]
async fn a_transient_failure_is_retried_and_a_lost_answer_has_one_effect() {
    let run = TestRun::of_steps(r#"(id: "a", run: Set(key: "x"))"#);
    run.world.fail("x", Part::Observe, 1, FailureKind::Transient);
    run.world.fail("x", Part::ApplyAnswer, 1, FailureKind::Transient);
    assert_eq!(run.start().await.unwrap(), COMPLETED);
    assert_eq!(run.world.changes(), [("x".to_owned(), 1)]);
    assert_eq!(run.world.calls("x", Part::Apply), 1);
    assert_eq!(run.state().step(0).attempt, 3);
}

#[tokio::test(start_paused = true)]
async fn a_failure_before_the_point_of_no_return_undoes_everything_attempted_in_reverse() {
    let run = TestRun::of_steps(
        r#"(id: "a", run: Set(key: "a")), (id: "b", needs: ["a"], run: Set(key: "b")), (id: "c", needs: ["b"], run: Set(key: "c")), (id: "long", run: Set(key: "l", takes: "10m"))"#,
    );
    run.world.fail("c", Part::ApplyAnswer, 9, FailureKind::Permanent);
    assert_eq!(run.start().await.unwrap(), ROLLED_BACK);
    assert_eq!(keys(&run.world), Vec::<String>::new());
    let events = run.events();
    // The failed step too: its call had taken effect.
    assert!(position(&events, "StepCompensated c") < position(&events, "CompensationStarted b"));
    assert!(position(&events, "StepCompensated b") < position(&events, "CompensationStarted a"));
    // The step that was under way was left at once, and undone.
    assert!(position(&events, "StepInterrupted long") < position(&events, "RollbackStarted"));
    assert!(names(&events).contains(&"StepCompensated long".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_failure_after_the_point_of_no_return_pauses_and_resume_tries_again() {
    let run = TestRun::of_steps(
        r#"(id: "a", run: Set(key: "a")), (id: "promote", needs: ["a"], run: Set(key: "p", irreversible: true)), (id: "c", needs: ["promote"], run: Set(key: "c"))"#,
    );
    run.world.fail("c", Part::Apply, 1, FailureKind::Permanent);
    let end = run.start().await.unwrap();
    assert!(matches!(&end, RunEnd::Paused { reason } if reason.contains("Apply of c failed")), "{end:?}");
    let state = run.state();
    assert_eq!(state.phase(), RunPhase::Paused);
    assert_eq!((state.can_undo(0), state.can_undo(1), state.can_undo(2)), (true, false, true));
    assert!(matches!(run.rollback(false).await, Err(RunError::Refused(Refusal::PastPointOfNoReturn { .. }))));
    assert_eq!(run.resume().await.unwrap(), COMPLETED);
    assert_eq!(run.world.changes().len(), 3, "no succeeded step ran again");
}

#[tokio::test(start_paused = true)]
async fn rollback_past_the_point_of_no_return_undoes_the_rest() {
    let run = TestRun::of_steps(
        r#"(id: "a", run: Set(key: "a")), (id: "promote", needs: ["a"], run: Set(key: "p", irreversible: true)), (id: "c", needs: ["promote"], run: Set(key: "c"))"#,
    );
    assert_eq!(run.start().await.unwrap(), COMPLETED);
    assert_eq!(run.rollback(true).await.unwrap(), ROLLED_BACK);
    assert_eq!(keys(&run.world), ["p"]);
    assert!(matches!(run.resume().await, Err(RunError::Refused(Refusal::Finished { .. }))));
}

#[tokio::test(start_paused = true)]
async fn nothing_irreversible_begins_after_a_failure() {
    // `promote` is still looking at the world when `bad` fails: it must not be applied, although the run only pauses.
    let text = r#"Workflow(name: "test", on_failure: Pause, steps: [(id: "bad", run: Set(key: "b")), (id: "promote", run: Set(key: "p", irreversible: true), retry: (initial: "5s", jitter: 0))])"#;
    let run = TestRun::of(text);
    run.world.fail("b", Part::Apply, 1, FailureKind::Permanent);
    run.world.fail("p", Part::Observe, 1, FailureKind::Transient);
    assert!(matches!(run.start().await.unwrap(), RunEnd::Paused { .. }));
    assert_eq!(run.world.changes(), []);
    assert_eq!(run.state().point_of_no_return(), None);
    assert_eq!(run.resume().await.unwrap(), COMPLETED);
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_step_goes_on_or_fails_as_the_plan_says() {
    let steps = |policy: &str| {
        format!(r#"(id: "fence", run: Set(key: "f"), on_unreachable: {policy}), (id: "b", needs: ["fence"], run: Set(key: "b"))"#)
    };
    let run = TestRun::of_steps(&steps("Continue"));
    run.world.fail("f", Part::Observe, 99, FailureKind::Unreachable);
    assert_eq!(run.start().await.unwrap(), RunEnd::Finished(RunOutcome::CompletedWithExceptions));
    assert_eq!((run.state().step(0).status, keys(&run.world)), (StepStatus::Unreachable, vec!["b".to_owned()]));

    let run = TestRun::of_steps(&steps("Fail"));
    run.world.fail("f", Part::Observe, 99, FailureKind::Unreachable);
    assert_eq!(run.start().await.unwrap(), ROLLED_BACK);
}

#[tokio::test(start_paused = true)]
async fn a_failed_step_may_be_passed_over_and_is_still_undone() {
    let run = TestRun::of_steps(r#"(id: "a", run: Set(key: "a"), on_failure: Continue), (id: "b", needs: ["a"], run: Set(key: "b"))"#);
    run.world.fail("a", Part::Settle, 1, FailureKind::Permanent);
    assert_eq!(run.start().await.unwrap(), RunEnd::Finished(RunOutcome::CompletedWithExceptions));
    assert_eq!(run.rollback(false).await.unwrap(), ROLLED_BACK);
    assert_eq!(keys(&run.world), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn compensate_none_leaves_what_was_changed() {
    let run = TestRun::of_steps(r#"(id: "a", run: Set(key: "a"), compensate: None), (id: "b", needs: ["a"], run: Set(key: "b"))"#);
    run.world.fail("b", Part::Apply, 9, FailureKind::Permanent);
    assert_eq!(run.start().await.unwrap(), ROLLED_BACK);
    assert_eq!(keys(&run.world), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn a_compensation_that_fails_for_good_is_stuck_and_can_be_resumed() {
    let run = TestRun::of_steps(
        r#"(id: "a", run: Set(key: "a")), (id: "b", needs: ["a"], run: Set(key: "b")), (id: "c", needs: ["b"], run: Set(key: "c"))"#,
    );
    run.world.fail("c", Part::Apply, 1, FailureKind::Permanent);
    run.world.fail("b", Part::Compensate, 1, FailureKind::Permanent);
    assert_eq!(run.start().await.unwrap(), RunEnd::Finished(RunOutcome::Stuck));
    assert_eq!(keys(&run.world), ["a", "b"], "what stands under a change that could not be undone is left");
    assert_eq!(run.resume().await.unwrap(), ROLLED_BACK);
    assert_eq!(keys(&run.world), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_compensation_is_retried() {
    let run = TestRun::of_steps(r#"(id: "a", run: Set(key: "a")), (id: "b", needs: ["a"], run: Set(key: "b"))"#);
    run.world.fail("b", Part::Apply, 1, FailureKind::Permanent);
    run.world.fail("a", Part::Compensate, 2, FailureKind::Transient);
    assert_eq!(run.start().await.unwrap(), ROLLED_BACK);
    assert_eq!(run.state().step(0).undo.attempt, 3);
}

/// A compensation has three attempts. Crashes are none: two of them and a failure that passes left the run stuck.
#[tokio::test(start_paused = true)]
async fn a_crash_uses_no_attempt_of_a_compensation_up() {
    let mut cut_off = 0;
    for at in 0..40 {
        let run = TestRun::of_steps(r#"(id: "a", run: Set(key: "a")), (id: "b", needs: ["a"], run: Set(key: "b"))"#);
        run.world.fail("b", Part::Observe, 1, FailureKind::Permanent);
        run.world.fail("a", Part::Compensate, 2, FailureKind::Transient);
        // The moments of a life that begins there: before and after the append of its start, and restoring.
        let story = run.stage().live(&[Cut::Crash(at), Cut::Crash(2)]).await;
        let restoring = |life: &Life| matches!(life.cut_at, Some(Moment::BeforeCompensate(_)));
        if restoring(&story.lives[0]) {
            assert!(restoring(&story.lives[1]), "{:?}", story.lives);
            assert_eq!(story.end, ROLLED_BACK, "after {:?}", story.lives);
            cut_off += 1;
        }
    }
    assert_eq!(cut_off, 3, "each of the three attempts was cut off");
}

#[tokio::test(start_paused = true)]
async fn a_step_times_out_with_its_limit_and_what_it_waited_for() {
    let run = TestRun::of_steps(r#"(id: "a", run: Set(key: "a", takes: "10m"), timeout: "1m")"#);
    let before = tokio::time::Instant::now();
    assert_eq!(run.start().await.unwrap(), ROLLED_BACK);
    assert_eq!(before.elapsed().as_secs(), 60);
    let failure = run.state().step(0).failure.clone().unwrap();
    assert_eq!(failure.message, "timed out after 1m, waiting for the world to become as desired");
}

#[tokio::test(start_paused = true)]
async fn steps_of_the_other_mode_are_left_out() {
    let run = TestRun::of_steps(
        r#"(id: "a", only: Planned, run: Set(key: "a")), (id: "b", needs: ["a"], run: Set(key: "b")), (id: "c", only: Unplanned, run: Set(key: "c"))"#,
    );
    assert_eq!(run.start().await.unwrap(), COMPLETED);
    assert_eq!(keys(&run.world), ["b", "c"]);
    assert_eq!(run.state().step(0).status, StepStatus::Skipped);
}

#[tokio::test(start_paused = true)]
async fn outputs_reach_the_steps_that_refer_to_them() {
    let run = TestRun::of_steps(
        r#"(id: "a", run: Set(key: "a", value: 7)), (id: "b", run: Set(key: "k${a.before.value}", value: "${a.value}"))"#,
    );
    assert_eq!(run.start().await.unwrap(), COMPLETED);
    assert_eq!(run.world.values()["k0"], 7);
}

#[tokio::test(start_paused = true)]
async fn a_value_that_a_failed_step_did_not_give_fails_the_step_that_needs_it() {
    let run =
        TestRun::of_steps(r#"(id: "a", run: Set(key: "a"), on_failure: Continue), (id: "b", run: Set(key: "b", value: "${a.value}"))"#);
    run.world.fail("a", Part::Apply, 9, FailureKind::Permanent);
    assert_eq!(run.start().await.unwrap(), ROLLED_BACK);
    assert!(run.state().step(1).failure.clone().unwrap().message.contains("`${a.value}` has no value"));
}

#[tokio::test(start_paused = true)]
async fn an_interrupt_leaves_waits_records_and_can_be_resumed() {
    let run = TestRun::of_steps(r#"(id: "a", run: Set(key: "a", takes: "10m")), (id: "b", needs: ["a"], run: Set(key: "b"))"#);
    let (running, controller) = run.starting();
    let running = tokio::spawn(running);
    tokio::time::sleep(Duration::from_secs(5)).await;
    controller.send(Control::Interrupt { reason: "Ctrl-C".to_owned() }).await.unwrap();
    assert_eq!(running.await.unwrap().unwrap(), RunEnd::Interrupted { reason: "Ctrl-C".to_owned() });
    assert_eq!(run.state().step(0).status, StepStatus::Interrupted);
    assert_eq!(run.crashed().resume().await.unwrap(), COMPLETED);
    assert_eq!(run.world.calls("a", Part::Apply), 1);
}

#[tokio::test(start_paused = true)]
async fn an_approval_waits_for_a_decision_and_its_refusal_rolls_back() {
    for granted in [true, false] {
        let run =
            TestRun { approve_all: false, ..TestRun::of_steps(r#"(id: "go", run: Ask()), (id: "b", needs: ["go"], run: Set(key: "b"))"#) };
        let (running, controller) = run.starting();
        let running = tokio::spawn(running);
        tokio::time::sleep(Duration::from_secs(5)).await;
        let (reply, answered) = tokio::sync::oneshot::channel();
        let step = "go".parse().unwrap();
        let order = if granted { Order::Approve { step } } else { Order::Reject { step } };
        controller.send(Control::Order { order, by: somebody(), reason: "because".to_owned(), reply }).await.unwrap();
        assert_eq!(answered.await.unwrap(), Ok(()));
        assert_eq!(running.await.unwrap().unwrap(), if granted { COMPLETED } else { ROLLED_BACK });
        assert_eq!(keys(&run.world).len(), usize::from(granted));
    }
}

#[tokio::test(start_paused = true)]
async fn orders_that_make_no_sense_are_refused_with_the_reason() {
    let run =
        TestRun { approve_all: false, ..TestRun::of_steps(r#"(id: "go", run: Ask()), (id: "b", needs: ["go"], run: Set(key: "b"))"#) };
    let (running, controller) = run.starting();
    let running = tokio::spawn(running);
    tokio::time::sleep(Duration::from_secs(5)).await;
    for (step, said) in [("b", "is pending"), ("gone", "did you mean `go`?")] {
        let (reply, answered) = tokio::sync::oneshot::channel();
        controller
            .send(Control::Order { order: Order::Approve { step: step.parse().unwrap() }, by: somebody(), reason: String::new(), reply })
            .await
            .unwrap();
        let refusal = answered.await.unwrap().unwrap_err().to_string();
        assert!(refusal.contains(said), "{refusal}");
    }
    controller.send(Control::Interrupt { reason: "enough".to_owned() }).await.unwrap();
    assert!(matches!(running.await.unwrap().unwrap(), RunEnd::Interrupted { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_blind_step_that_was_cut_off_asks_a_human() {
    for mark_done in [true, false] {
        let run = TestRun::of_steps(r#"(id: "a", run: Set(key: "a", blind: true)), (id: "b", needs: ["a"], run: Set(key: "b"))"#);
        // The intent is on record, its consequence is not: the process dies at the append of the handle.
        run.journal.fail_append(2, AppendFault::Lost);
        assert!(matches!(run.start().await, Err(RunError::Journal(JournalError::Storage { .. }))));
        let run = run.crashed();
        let end = run.resume().await.unwrap();
        assert!(matches!(&end, RunEnd::Paused { reason } if reason.contains("nobody can tell whether `a`")), "{end:?}");
        assert_eq!(run.world.calls("a", Part::Apply), 1, "it is not blindly repeated");
        let (redo, done) = if mark_done { (vec![], vec!["a"]) } else { (vec!["a"], vec![]) };
        assert_eq!(run.resume_with(redo, done).await.unwrap(), COMPLETED);
        assert_eq!(run.world.calls("a", Part::Apply), if mark_done { 1 } else { 2 });
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_done_that_could_not_be_recorded() {
    // Appends: start; intent; …
    let run = TestRun::of_steps(r#"(id: "a", run: Set(key: "a"))"#);
    run.journal.fail_append(1, AppendFault::Lost);
    assert!(matches!(run.start().await, Err(RunError::Journal(_))));
    assert_eq!(run.world.calls("a", Part::Apply), 0);
    assert_eq!(run.crashed().resume().await.unwrap(), COMPLETED);
    assert_eq!(run.world.changes().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_chain_needs_one_append_a_step_and_a_fan_few_in_all() {
    let chain: Vec<String> = (0..100)
        .map(|i| {
            if i == 0 {
                r#"(id: "s0", run: Nothing())"#.to_owned()
            } else {
                format!(r#"(id: "s{i}", needs: ["s{}"], run: Nothing())"#, i - 1)
            }
        })
        .collect();
    let run = TestRun::of_steps(&chain.join(","));
    assert_eq!(run.start().await.unwrap(), COMPLETED);
    assert!(run.journal.appends() <= 102, "{} appends", run.journal.appends());

    let fan: Vec<String> = (0..5000).map(|i| format!(r#"(id: "s{i}", run: Nothing())"#)).collect();
    let run = TestRun::of_steps(&fan.join(","));
    assert_eq!(run.start().await.unwrap(), COMPLETED);
    assert!(run.journal.appends() <= 50, "{} appends", run.journal.appends());
}

#[tokio::test(start_paused = true)]
async fn a_run_of_another_process_is_refused_and_unharmed() {
    let run = TestRun { approve_all: false, ..TestRun::of_steps(r#"(id: "go", run: Ask())"#) };
    let (running, controller) = run.starting();
    let running = tokio::spawn(running);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let other = TestRun { journal: run.journal.another_process(), ..run.clone() };
    assert!(matches!(other.resume().await, Err(RunError::Journal(JournalError::Locked { .. }))));
    controller.send(Control::Interrupt { reason: "enough".to_owned() }).await.unwrap();
    assert!(matches!(running.await.unwrap().unwrap(), RunEnd::Interrupted { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_read_only_step_carries_on_from_what_it_began_with() {
    let run = TestRun::of_steps(r#"(id: "a", run: Linger(secs: 100))"#);
    let before = tokio::time::Instant::now();
    let (running, controller) = run.starting();
    let running = tokio::spawn(running);
    tokio::time::sleep(Duration::from_secs(60)).await;
    controller.send(Control::Interrupt { reason: "Ctrl-C".to_owned() }).await.unwrap();
    assert!(matches!(running.await.unwrap().unwrap(), RunEnd::Interrupted { .. }));
    assert_eq!(run.crashed().resume().await.unwrap(), COMPLETED);
    assert_eq!(before.elapsed().as_secs(), 100, "a resume waits for the rest only");
}
