//! The kinds that need no cloud.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use wf_engine::clock::SystemClock;
use wf_engine::model::event::{FailureKind, StepFailure};
use wf_engine::registry::Step;
use wf_engine::step::{Decision, Interruption, Observed, Reversibility, StepContext, StepSignal};
use wf_steps::aws::Cloud;

use crate::support::{PausedClock, Ran, Told, before, context, progress, run, step};

fn local(text: &str) -> Arc<dyn Step> {
    step(&Cloud::offline(), text)
}

#[tokio::test(start_paused = true)]
async fn wait_lets_its_time_pass_and_zero_ends_at_once() {
    let (cx, told) = context(PausedClock::start());
    let began = tokio::time::Instant::now();
    run(&local(r#"Wait(duration: "0s")"#), &cx).await.unwrap();
    assert_eq!((began.elapsed(), progress(&told).len()), (Duration::ZERO, 0));
    run(&local(r#"Wait(duration: "30s")"#), &cx).await.unwrap();
    assert_eq!(began.elapsed(), Duration::from_secs(30));
    assert_eq!(progress(&told), ["until 03:00:30 UTC"]);
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_wait_waits_for_the_rest_only() {
    let (cx, _) = context(PausedClock::start());
    let wait = local(r#"Wait(duration: "10m")"#);
    let began_with = before(wait.observe(&cx, None).await.unwrap());
    tokio::time::sleep(Duration::from_secs(420)).await;
    let resumed = tokio::time::Instant::now();
    // The engine carries a read-only step on from what it began with.
    wait.settle(&cx, &began_with, None).await.unwrap();
    assert_eq!(resumed.elapsed(), Duration::from_secs(180));
}

/// Answers the question that was asked, if it was, after a minute.
async fn answer(told: &Told, decision: Option<(bool, &str)>) {
    tokio::time::sleep(Duration::from_secs(60)).await;
    let asked = told.lock().unwrap().pop();
    let Some(StepSignal::Ask { message, timeout, answer }) = asked else { panic!("no question: {asked:?}") };
    assert_eq!((message.as_str(), timeout), ("Promote?", Duration::from_secs(600)));
    if let Some((granted, reason)) = decision {
        answer.send(Decision { granted, by: "alice@laptop".to_owned(), reason: reason.to_owned() }).unwrap();
    }
}

async fn ask(decision: Option<(bool, &str)>) -> Result<Ran, StepFailure> {
    let (cx, told) = context(PausedClock::start());
    let approval = local(r#"Approval(message: "Promote?", timeout: "10m")"#);
    tokio::join!(run(&approval, &cx), answer(&told, decision)).0
}

#[tokio::test(start_paused = true)]
async fn an_approval_says_who_agreed_when_and_why() {
    let ran = ask(Some((true, "the region is gone"))).await.unwrap();
    let outputs = json!({ "approved_by": "alice@laptop", "approved_at": "2026-03-14T03:01:00Z", "reason": "the region is gone" });
    assert_eq!(json!(ran.outputs), outputs);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_fails_for_good_with_name_and_reason() {
    let failure = ask(Some((false, "east is back"))).await.err().unwrap();
    assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::Permanent, "alice@laptop refused: east is back"));
    let failure = ask(Some((false, " "))).await.err().unwrap();
    assert_eq!(failure.message, "alice@laptop refused: no reason given");
}

#[tokio::test(start_paused = true)]
async fn a_question_that_nobody_answers_lapses() {
    let (cx, told) = context(PausedClock::start());
    let began = tokio::time::Instant::now();
    let failure = run(&local(r#"Approval(message: "Promote?")"#), &cx).await.err().unwrap();
    assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::Permanent, "nobody answered within 30m"));
    assert_eq!((began.elapsed(), told.lock().unwrap().len()), (Duration::from_secs(1800), 2));
}

#[tokio::test(start_paused = true)]
async fn a_question_that_is_withdrawn_may_be_asked_again() {
    let failure = ask(None).await.err().unwrap();
    assert_eq!(failure.kind, FailureKind::Transient);
}

fn real() -> StepContext<()> {
    context(Arc::new(SystemClock)).0
}

#[tokio::test]
async fn exec_returns_output_and_exit_code() {
    let ran = run(&local(r#"Exec(command: ["sh", "-c", "echo ' hello '; cat; exit 3"], success_codes: [0, 3])"#), &real()).await.unwrap();
    assert_eq!(json!(ran.outputs), json!({ "stdout": "hello", "exit_code": 3 }));
}

#[tokio::test]
async fn exec_keeps_the_end_of_a_long_output() {
    let text = r#"Exec(command: ["sh", "-c", "i=0; while [ $i -lt 5000 ]; do echo line $i; i=$((i+1)); done"], max_output: "1KiB")"#;
    let ran = run(&local(text), &real()).await.unwrap();
    let stdout = ran.outputs["stdout"].as_str().unwrap();
    assert!(stdout.len() <= 1024 && stdout.ends_with("line 4999"), "{stdout}");
}

#[tokio::test]
async fn exec_that_fails_shows_the_end_of_its_errors() {
    let failure = run(&local(r#"Exec(command: ["sh", "-c", "echo no disk >&2; exit 7"])"#), &real()).await.err().unwrap();
    assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::Permanent, "`sh` ended with exit code 7"));
    assert_eq!(failure.causes, ["no disk"]);
    let failure = run(&local(r#"Exec(command: ["sh", "-c", "kill -9 $$"])"#), &real()).await.err().unwrap();
    assert!(failure.message.contains("signal: 9"), "{}", failure.message);
}

#[tokio::test]
async fn exec_finds_out_early_that_there_is_no_such_program() {
    for text in [
        r#"Exec(command: ["no-such-program", "x"])"#,
        r#"Exec(command: ["/bin/no/such"])"#,
        r#"Exec(command: ["true"], undo: ["echo thawed"])"#,
    ] {
        let failure = local(text).observe(&real(), None).await.unwrap_err();
        assert!(failure.kind == FailureKind::Permanent && failure.hint.unwrap().contains("without a shell"), "{text}");
    }
    let failure = local(r#"Exec(command: ["/etc/passwd"])"#).apply(&real(), &json!(null)).await.unwrap_err();
    assert!(failure.message.contains("cannot start `/etc/passwd`"), "{}", failure.message);
}

#[tokio::test]
async fn exec_passes_on_only_what_it_is_told_to() {
    let cx = real();
    let ran = run(&local(r#"Exec(command: ["env"], env: { "COLOUR": "blue" }, env_from: ["CARGO_PKG_NAME"])"#), &cx).await.unwrap();
    let stdout = ran.outputs["stdout"].as_str().unwrap();
    let mut names: Vec<_> =
        stdout.lines().map(|line| line.split('=').next().unwrap()).filter(|name| !["HOME", "LANG", "TZ"].contains(name)).collect();
    names.sort_unstable();
    assert_eq!(names, ["CARGO_PKG_NAME", "COLOUR", "PATH", "WF_RUN", "WF_STEP", "WF_TOKEN"]);
    assert!(stdout.contains("CARGO_PKG_NAME=[CARGO_PKG_NAME]"), "the value must not be recorded: {stdout}");
    assert!(stdout.contains(&format!("WF_TOKEN={}", cx.token())) && stdout.contains("WF_STEP=step") && stdout.contains("COLOUR=blue"));
    let failure = run(&local(r#"Exec(command: ["true"], env_from: ["WF_NOT_SET"])"#), &cx).await.err().unwrap();
    assert!(failure.message.starts_with("WF_NOT_SET is not set"), "{}", failure.message);
}

#[tokio::test]
async fn exec_is_undone_by_its_own_program() {
    let dir = tempfile::tempdir().unwrap();
    let cx = real();
    let text = format!(r#"Exec(command: ["touch", "frozen"], undo: ["rm", "-f", "frozen"], dir: "{}")"#, dir.path().display());
    let freeze = local(&text);
    let ran = run(&freeze, &cx).await.unwrap();
    assert!(dir.path().join("frozen").exists());
    for _ in 0..2 {
        freeze.compensate(&cx, &ran.before, ran.handle.as_ref()).await.unwrap();
        assert!(!dir.path().join("frozen").exists());
    }
    local(r#"Exec(command: ["true"])"#).compensate(&cx, &json!(null), None).await.unwrap();
}

#[tokio::test]
async fn exec_that_takes_too_long_is_killed() {
    let began = std::time::Instant::now();
    let failure = run(&local(r#"Exec(command: ["sleep", "60"], time_limit: "200ms")"#), &real()).await.err().unwrap();
    assert!(failure.message.contains("did not end within 200ms"), "{}", failure.message);
    assert!(began.elapsed() < Duration::from_secs(30));
}

#[tokio::test(start_paused = true)]
async fn a_paused_clock_does_not_outrun_a_real_process() {
    let (cx, _) = context(PausedClock::start());
    run(&local(r#"Exec(command: ["sleep", "0.2"])"#), &cx).await.unwrap();
}

#[tokio::test]
async fn exec_says_what_cannot_be_told_or_undone() {
    let freeze = local(r#"Exec(command: ["true"])"#);
    assert_eq!((freeze.interruption(), freeze.reversibility()), (Interruption::Halt, Reversibility::Reversible));
    let repeatable = local(r#"Exec(command: ["true"], idempotent: true, irreversible: true, time_limit: "1h")"#);
    assert_eq!((repeatable.interruption(), repeatable.reversibility()), (Interruption::Observe, Reversibility::Irreversible));
    assert_eq!(repeatable.timeout(), Duration::from_secs(3660));
    assert_eq!(repeatable.observe(&real(), Some(&json!(null))).await.unwrap(), Observed::Differs(json!(null)));
}

#[test]
fn nonsense_is_named_before_anything_runs() {
    let problems = |run: &str| {
        let (kind, params) = run.split_at(run.find('(').unwrap());
        wf_steps::registry(Cloud::offline()).step(kind, params).unwrap().problems()
    };
    let bad = r#"Exec(command: [], undo: [""], env: { "A=B": "" }, success_codes: [], max_output: "1MiB", irreversible: true)"#;
    assert_eq!(problems(bad).len(), 6, "{:?}", problems(bad));
    assert_eq!(problems(r#"Approval(message: " ", timeout: "0s")"#).len(), 2);
}

#[test]
fn every_kind_shows_itself() {
    let registry = wf_steps::registry(Cloud::offline());
    for info in registry.kinds() {
        let documented: Vec<_> = info.params.iter().map(|field| field.name).collect();
        assert_eq!(documented, registry.param_names(info.name), "{}", info.name);
        let workflow = format!("#![enable(implicit_some)]\nWorkflow(name: \"w\", steps: [{}])", info.example);
        let parsed =
            wf_engine::model::workflow::Workflow::parse(&workflow).unwrap_or_else(|problems| panic!("{}: {problems:?}", info.name));
        let bound = registry.bind(Arc::new(parsed), &Default::default(), &wf_engine::registry::Imports::None);
        assert!(bound.is_ok(), "{}: {:?}", info.name, bound.err());
    }
}
