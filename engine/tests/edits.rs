//! Workflows that are edited between two owners of a run: what the run takes over, what it refuses, and that no edit breaks a law,
//! whatever the run had done before and wherever the process dies.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::Write as _;

use wf_engine::model::edit::Edit;
use wf_engine::model::event::{Event, FailureKind, RunOutcome};
use wf_engine::model::run_state::StepStatus;
use wf_engine::model::workflow::Workflow;
use wf_engine::runtime::{self, Refusal, RunEnd, RunError};
use wf_engine::testkit::{Part, TestRun, laws};

const COMPLETED: RunEnd = RunEnd::Finished(RunOutcome::Completed);

fn text(steps: &str) -> String {
    format!("Workflow(name: \"test\", on_failure: Pause, steps: [{steps}])")
}

/// A run whose second step failed after the first had succeeded, and which is paused.
async fn paused(at: Part) -> TestRun {
    let run = TestRun::of(&text(FIRST));
    run.world.fail("b", at, 100, FailureKind::Permanent);
    assert!(matches!(run.start().await.unwrap(), RunEnd::Paused { .. }));
    run
}

const FIRST: &str = r#"(id: "a", run: Set(key: "a", value: 1)), (id: "b", needs: ["a"], run: Set(key: "b", value: 1), retry: (attempts: 1)),
    (id: "c", needs: ["b"], run: Set(key: "c", value: 1))"#;

fn refused(end: Result<RunEnd, RunError>) -> Vec<String> {
    match end {
        Err(RunError::Refused(Refusal::Edit(why))) => why,
        other => panic!("{other:?}"),
    }
}

fn lawful(run: &TestRun) {
    assert_eq!(laws::broken(&run.journal, &run.run), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_step_that_changed_nothing_can_be_told_something_else() {
    let run = paused(Part::Observe).await;
    let edited = text(&FIRST.replace(r#"key: "b""#, r#"key: "other""#));
    assert_eq!(run.crashed().resume_edited(&edited).await.unwrap(), COMPLETED);
    let values: Vec<_> = run.world.values().into_keys().collect();
    assert_eq!(values, ["a", "c", "other"]);
    assert_eq!(run.state().workflow().text(), edited);
    assert_eq!(run.state().header().unwrap().file, "edited.ron");
    lawful(&run);
    let replayed = runtime::replay(&run.run, &run.journal.records(&run.run).unwrap()).unwrap();
    assert_eq!((replayed.workflow.text(), replayed.started_with.text()), (edited.as_str(), run.text.as_str()));
}

#[tokio::test(start_paused = true)]
async fn what_has_begun_stays_as_it_was_told() {
    let run = paused(Part::ApplyAnswer).await;
    for (from, to, why) in [
        (r#"key: "a", value: 1"#, r#"key: "a", value: 2"#, "step `a`: it has begun: what it was told stays (`run`)"),
        (r#"key: "b", value: 1"#, r#"key: "b", value: 2"#, "step `b`: it has begun: what it was told stays (`run`)"),
        (r#", needs: ["a"]"#, "", "step `b`: it has begun: what it was told stays (`needs`)"),
        (r#"(id: "a", run: Set(key: "a", value: 1)), (id: "b", needs: ["a"]"#, r#"(id: "b""#, "step `a`: it has begun: without it"),
        (
            r#"(id: "a""#,
            r#"(id: "new", run: Set(key: "n")), (id: "a", needs: ["new"]"#,
            "step `a`: it has begun: what it was told stays (`needs`)",
        ),
    ] {
        let edited = text(&FIRST.replacen(from, to, 1));
        let told = refused(run.resume_edited(&edited).await);
        assert!(told.iter().any(|told| told.starts_with(why)), "{to}: {told:?}");
    }
    assert_eq!(
        refused(run.resume_edited(&text(FIRST).replace("\"test\"", "\"tests\"")).await),
        ["name: it is the file of another workflow"]
    );
    assert_eq!(run.state().workflow().text(), run.text, "nothing of it is on record");
    lawful(&run);
}

#[tokio::test(start_paused = true)]
async fn limits_change_after_the_start_and_later_steps_come_and_go() {
    let run = paused(Part::ApplyAnswer).await;
    let edited = FIRST.replace("attempts: 1", "attempts: 9").replace(r#"(id: "c""#, r#"(id: "d""#).replace(r#"key: "c""#, r#"key: "d""#);
    let edited = text(&format!(r#"{edited}, (id: "e", run: Set(key: "e"))"#));
    let edit = Edit::of(&run.state(), &Workflow::parse(&edited).unwrap());
    assert_eq!(edit.summary(), "changed after its start: b; added: d, e; removed: c");
    run.world.fail("b", Part::ApplyAnswer, 5, FailureKind::Transient);
    assert_eq!(run.resume_edited(&edited).await.unwrap(), COMPLETED);
    assert_eq!(run.world.values().into_keys().collect::<Vec<_>>(), ["a", "b", "d", "e"]);
    let state = run.state();
    assert!((0..4).all(|ix| state.step(ix).status == StepStatus::Succeeded), "{:?}", state.steps());
    lawful(&run);
}

#[tokio::test(start_paused = true)]
async fn an_input_follows_the_file_where_nobody_gave_it() {
    let with = |to: u32| {
        let steps = FIRST.replacen(r#"key: "c", value: 1"#, r#"key: "c", value: "${to}""#, 1);
        format!("Workflow(name: \"test\", on_failure: Pause, inputs: {{ \"to\": {to} }}, steps: [{steps}])")
    };
    let run = TestRun::of(&with(1));
    run.world.fail("b", Part::Observe, 1, FailureKind::Permanent);
    assert!(matches!(run.start().await.unwrap(), RunEnd::Paused { .. }));
    assert_eq!(run.resume_edited(&with(7)).await.unwrap(), COMPLETED);
    assert_eq!(run.world.values().get("c"), Some(&7));
    assert_eq!(run.state().header().unwrap().inputs.get("to"), Some(&7.into()));
    lawful(&run);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_over_or_going_back_takes_nothing_over() {
    let run = TestRun::of(&text(FIRST));
    assert_eq!(run.start().await.unwrap(), COMPLETED);
    let edited = text(&format!(r#"{FIRST}, (id: "d", run: Set(key: "d"))"#));
    assert_eq!(refused(run.resume_edited(&edited).await), ["the run: it is completed"]);
    let run = paused(Part::Observe).await;
    run.world.fail("a", Part::Compensate, 100, FailureKind::Permanent);
    assert_eq!(run.rollback(false).await.unwrap(), RunEnd::Finished(RunOutcome::Stuck));
    assert_eq!(refused(run.resume_edited(&edited).await), ["the run: it is stuck"]);
}

/// A text that takes many records, of which only a part is on record when the process dies.
#[tokio::test(start_paused = true)]
async fn an_edit_that_is_not_whole_on_record_is_none() {
    let long = |to: u32| {
        let padding = "x".repeat(30_000);
        text(&FIRST.replacen(r#"key: "c", value: 1"#, &format!(r#"key: "c", value: {to} /* {padding} */"#), 1))
    };
    let run = paused(Part::Observe).await;
    assert_eq!(run.resume_edited(&long(7)).await.map(|end| matches!(end, RunEnd::Paused { .. })).ok(), Some(true));
    let records = run.journal.records(&run.run).unwrap();
    let first = records.iter().position(|record| matches!(record.event, Event::WorkflowChanged(_))).unwrap();
    let Event::WorkflowChanged(change) = &records[first].event else { panic!("it is one") };
    let parts = usize::try_from(change.text_parts).unwrap();
    assert!(parts > 3, "{parts}");
    for kept in 0..=parts + 1 {
        let state = runtime::replay(&run.run, &records[..first + kept]).unwrap().state;
        let whole = kept == parts + 1;
        assert_eq!(state.workflow().text() == long(7), whole, "{kept} records of it");
    }
    // The next owner of a run that was cut off there has the old workflow, and can take the edit over anew.
    let again = TestRun { journal: run.journal.prefix(&run.run, first + 3), ..run.clone() }.crashed();
    assert_eq!(again.state().workflow().text(), again.text);
    again.world.fail("b", Part::Observe, 0, FailureKind::Permanent);
    assert_eq!(again.resume_edited(&long(7)).await.unwrap(), COMPLETED);
    assert_eq!(again.world.values().get("c"), Some(&7));
    lawful(&again);
}

/// Random graphs, cut off anywhere, edited at random: what is refused changes nothing, what is taken over breaks no law, and the run ends.
#[tokio::test(start_paused = true)]
async fn no_edit_breaks_a_law() {
    let seed: u64 = std::env::var("WF_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut taken, mut refused) = (0, 0);
    for round in 0..120 {
        let steps: Vec<String> = (0..6).map(|ix| step(ix, 1, &mut random)).collect();
        let run = TestRun::of(&text(&steps.join(",")));
        let failing = format!("k{}", random.usize(..6));
        let part = [Part::Observe, Part::Apply, Part::ApplyAnswer, Part::Settle][random.usize(..4)];
        run.world.fail(&failing, part, 100, FailureKind::Permanent);
        drop(run.start().await.unwrap());
        run.world.fail(&failing, part, 0, FailureKind::Permanent);
        let mut edited = steps.clone();
        for _ in 0..random.usize(1..3) {
            let at = random.usize(..edited.len());
            match random.usize(..4) {
                0 => edited[at] = step(at, 2, &mut random),
                1 => edited.push(step(edited.len(), 1, &mut random)),
                2 if at == edited.len() - 1 => drop(edited.pop()),
                _ => edited[at] = edited[at].replace("attempts: 1", "attempts: 3"),
            }
        }
        let edited = text(&edited.join(","));
        if Workflow::parse(&edited).is_err() {
            continue;
        }
        let before = run.state();
        match run.crashed().resume_edited(&edited).await {
            Ok(end) => {
                assert!(
                    matches!(end, RunEnd::Finished(RunOutcome::Completed | RunOutcome::CompletedWithExceptions)),
                    "{seed} {round}: {end:?}"
                );
                taken += 1;
            }
            Err(RunError::Refused(Refusal::Edit(_))) => {
                assert_eq!(run.state().steps(), before.steps(), "{seed} {round}");
                refused += 1;
            }
            Err(error) => panic!("{seed} {round}: {error}"),
        }
        lawful(&run);
    }
    writeln!(std::io::stderr(), "seed {seed}: {taken} edits taken over, {refused} refused").unwrap();
    assert!(taken > 20 && refused > 20, "{taken} {refused}");
}

/// A step that waits for some of those before it.
fn step(ix: usize, to: u32, random: &mut fastrand::Rng) -> String {
    let needs: Vec<_> = (0..ix).filter(|_| random.u8(..3) == 0).map(|need| format!("\"s{need}\"")).collect();
    format!(r#"(id: "s{ix}", needs: [{}], run: Set(key: "k{ix}", value: {to}), retry: (attempts: 1))"#, needs.join(","))
}
