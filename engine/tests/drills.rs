//! Workflows that put everything back when they are done: what a drill is built on.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use wf_engine::model::event::{Event, FailureKind, RunOutcome};
use wf_engine::runtime::RunEnd;
use wf_engine::testkit::crash::Cut;
use wf_engine::testkit::{Part, TestRun, laws};

const ROLLED_BACK: RunEnd = RunEnd::Finished(RunOutcome::RolledBack);

fn drill(steps: &str) -> TestRun {
    TestRun::of(&format!("Workflow(name: \"test\", at_end: Undo, steps: [{steps}])"))
}

const STEPS: &str = r#"(id: "down", stage: Fail, run: Set(key: "down")), (id: "promote", needs: ["down"], run: Set(key: "db", irreversible: true)),
    (id: "serve", needs: ["promote"], run: Set(key: "app")), (id: "look", stage: Check, needs: ["serve"], run: Set(key: "look"))"#;

#[tokio::test(start_paused = true)]
async fn what_a_drill_changed_is_put_back_when_it_is_done_past_the_point_of_no_return_too() {
    let run = drill(STEPS);
    assert_eq!(run.start().await.unwrap(), ROLLED_BACK);
    assert_eq!(run.world.values().into_keys().collect::<Vec<_>>(), ["db"], "only what nothing can undo is left");
    let began = |event: &Event| matches!(event, Event::RollbackStarted { reason, by: None } if reason.starts_with("every step is done"));
    assert_eq!(run.events().iter().filter(|event| began(event)).count(), 1);
    assert_eq!(laws::broken(&run.journal, &run.run), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_failure_past_the_point_of_no_return_is_put_back_too() {
    let run = drill(STEPS);
    run.world.fail("look", Part::Observe, 100, FailureKind::Permanent);
    assert_eq!(run.start().await.unwrap(), ROLLED_BACK);
    assert_eq!(run.world.values().into_keys().collect::<Vec<_>>(), ["db"]);
}

#[tokio::test(start_paused = true)]
async fn a_drill_that_was_cut_off_anywhere_ends_the_same() {
    let points = drill(STEPS).stage().live(&[]).await.lives[0].moments;
    assert!(points > 20, "{points}");
    for at in 0..points {
        let run = drill(STEPS);
        let story = run.stage().live(&[Cut::Crash(at)]).await;
        assert_eq!((story.end, story.broken), (ROLLED_BACK, Vec::new()), "crash at {at}");
        assert_eq!(run.world.values().into_keys().collect::<Vec<_>>(), ["db"], "crash at {at}");
    }
}
