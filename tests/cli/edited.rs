//! A workflow file that is edited while its run is paused: told, taken over when asked for, and refused where it is too late.

use crate::sandbox::Sandbox;

/// Nobody answers there.
const NOBODY: &str = r#"HttpCheck(url: "http://127.0.0.1:1/")"#;
const DONE: &str = r#"Wait(duration: "0s")"#;

fn steps(first: &str, second: &str) -> String {
    format!(
        r#"(id: "first", run: Wait(duration: "{first}")), (id: "second", needs: ["first"], run: {second}, timeout: "1s", retry: (attempts: 1))"#
    )
}

/// A run whose second step failed, and changed nothing.
fn paused(sandbox: &Sandbox) -> String {
    edit(sandbox, &steps("0s", NOBODY));
    sandbox.wf(&["run", "w.ron", "--yes", "--no-tty"]).exits(12);
    sandbox.latest()
}

fn edit(sandbox: &Sandbox, steps: &str) {
    sandbox.file("w.ron", &format!("Workflow(name: \"w\", on_failure: Pause, steps: [{steps}])"));
}

#[test]
fn an_edit_is_told_and_taken_over_only_when_asked_for() {
    let sandbox = Sandbox::new();
    let run = paused(&sandbox);
    let mended = format!("{}, (id: \"third\", needs: [\"second\"], run: Wait(duration: \"0s\"))", steps("0s", DONE));
    edit(&sandbox, &mended);
    let dry = sandbox.wf(&["resume", &run, "--dry-run"]);
    dry.exits(0).says("w.ron was edited since").says("second changed, not started").says("third added").says("1 step as before");
    sandbox
        .wf(&["resume", &run, "--no-tty"])
        .exits(12)
        .says(&format!("wf resume {run} --accept-changes"))
        .says("the run is still what it was");
    sandbox.wf(&["resume", &run, "--accept-changes", "--yes", "--no-tty"]).exits(0).says("edited workflow adopted by tester@");
    let status = sandbox.json(&["status", &run]);
    let ids: Vec<_> = status["steps"].as_array().expect("steps").iter().map(|step| step["id"].as_str().expect("an id")).collect();
    assert_eq!(ids, ["first", "second", "third"]);
    sandbox.wf(&["log", &run]).exits(0).tells("changed, not started: second; added: third");
    sandbox.wf(&["report", &run]).exits(0).tells("adopted the edited workflow");
    sandbox.wf(&["journal", "verify", &run]).exits(0);
    // The run is over: its file may be what it likes.
    edit(&sandbox, &steps("5s", DONE));
    sandbox.wf(&["resume", &run]).exits(4).says("there is nothing to resume");
}

#[test]
fn what_has_begun_is_not_taken_over() {
    let sandbox = Sandbox::new();
    let run = paused(&sandbox);
    edit(&sandbox, &steps("5s", DONE));
    let refused = sandbox.wf(&["resume", &run, "--accept-changes", "--no-tty"]);
    refused.exits(4).says("step `first`: it has begun: what it was told stays (`run`)").says("go on without the edit");
    edit(&sandbox, "(id: \"first\", run: Wiat(duration: \"0s\"))");
    sandbox.wf(&["resume", &run, "--accept-changes", "--no-tty"]).exits(3).says("did you mean `Wait`?");
    sandbox.wf(&["resume", &run, "--no-tty"]).exits(12).says("is no valid workflow any more");
    sandbox.file("other.ron", &format!("Workflow(name: \"w\", on_failure: Pause, steps: [{}])", steps("0s", DONE)));
    sandbox.wf(&["resume", &run, "--file", "other.ron"]).exits(2).says("--accept-changes");
    sandbox.wf(&["resume", &run, "--accept-changes", "--file", "other.ron", "--no-tty"]).exits(0);
    assert_eq!(sandbox.wf(&["log", &run, "--json"]).stdout.matches("WorkflowChanged").count(), 1);
}
