//! Orders from another terminal: what each does to a live run, to one that nobody drives, and what is refused.

use serde_json::Value;

use crate::sandbox::Sandbox;

/// A step that says when it began, and ends once told to.
pub fn gate(sandbox: &Sandbox, name: &str) -> String {
    let begun = sandbox.pipe(&format!("{name}.begun"));
    let go = sandbox.pipe(&format!("{name}.go"));
    format!(r#"Exec(command: ["sh", "-c", "echo x > {}; cat {}"])"#, begun.display(), go.display())
}

fn events(sandbox: &Sandbox, run: &str) -> Vec<Value> {
    let log = sandbox.wf(&["log", run, "--json"]);
    log.stdout.lines().map(|line| serde_json::from_str::<Value>(line).expect("a record")["event"].clone()).collect()
}

fn ordered(sandbox: &Sandbox, run: &str) -> Vec<Value> {
    events(sandbox, run).into_iter().filter_map(|event| event.get("Ordered").cloned()).collect()
}

#[test]
fn a_live_run_is_paused_steered_and_resumed_from_another_terminal() {
    let sandbox = Sandbox::new();
    let first = gate(&sandbox, "first");
    let steps = format!(
        r#"(id: "first", run: {first}),
        (id: "second", needs: ["first"], run: Wait(duration: "10h"), timeout: "20h"),
        (id: "third", needs: ["second"], run: Wait(duration: "1s")),
        (id: "fourth", needs: ["third"], run: Wait(duration: "1s"))"#
    );
    sandbox.workflow("steered", &steps);
    let mut live = sandbox.start(&["run", "steered.ron", "--yes", "--no-tty"]);
    std::fs::read(sandbox.path("first.begun")).expect("it begins");
    sandbox.wf(&["pause", "@latest", "--reason", "lag grows"]).exits(0).tells("paused: run").tells("wf resume");
    sandbox.wf(&["pause", "@latest"]).exits(4).says("paused already");
    sandbox.wf(&["status"]).exits(0).tells("paused by tester@").tells("lag grows");
    sandbox.wf(&["skip", "@latest", "third"]).exits(2).says("--reason");
    sandbox.wf(&["skip", "@latest", "third", "--reason", "not needed"]).exits(0).tells("to be left out: step `third`");
    sandbox.wf(&["skip", "@latest", "thrid", "--reason", "x"]).exits(4).says("did you mean `third`?");
    sandbox.wf(&["cancel", "@latest", "--rollback", "--yes", "--past-point-of-no-return"]).exits(2).says("--reason");
    sandbox.wf(&["retry", "@latest", "third"]).exits(4).says("is pending: only a step that failed").says("wf status");
    sandbox.wf(&["adjust", "@latest", "second", "--timeout", "30h", "--attempts", "7"]).exits(0).tells("adjusted");
    std::fs::write(sandbox.path("first.go"), "x").expect("it goes on");
    live.until("succeeded");
    sandbox.wf(&["resume", "@latest"]).exits(0).tells("goes on: run");
    live.until("second              started");
    sandbox.wf(&["mark-done", "@latest", "second", "--reason", "waited long enough"]).exits(0).tells("taken for done");
    assert_eq!(live.end().code, Some(0));
    let run = sandbox.latest();
    let orders = ordered(&sandbox, &run);
    let verbs: Vec<_> = orders.iter().map(|order| order["order"]["verb"].as_str().expect("a verb")).collect();
    assert_eq!(verbs, ["pause", "skip", "adjust", "resume", "mark-done"]);
    assert!(orders.iter().all(|order| order["by"]["user"] == "tester"), "{orders:?}");
    assert_eq!(orders[0]["reason"], "lag grows");
    let status = sandbox.json(&["status", &run]);
    let statuses: Vec<_> = status["steps"].as_array().expect("steps").iter().map(|step| step["status"].as_str().expect("a word")).collect();
    assert_eq!(statuses, ["Succeeded", "Succeeded", "Skipped", "Succeeded"]);
    assert_eq!(status["outcome"], "CompletedWithExceptions");
    sandbox.wf(&["report", &run]).exits(0).tells("ordered: paused").tells("lag grows").tells("waited long enough");
}

#[test]
fn a_live_run_is_cancelled_and_what_it_did_undone_or_not() {
    for (flags, code, outcome) in [(&["--rollback"][..], 10, "RolledBack"), (&[][..], 11, "Abandoned")] {
        let sandbox = Sandbox::new();
        let first = gate(&sandbox, "first");
        sandbox
            .workflow("given_up", &format!(r#"(id: "first", run: {first}), (id: "second", needs: ["first"], run: Wait(duration: "1s"))"#));
        let live = sandbox.start(&["run", "given_up.ron", "--yes", "--no-tty"]);
        std::fs::read(sandbox.path("first.begun")).expect("it begins");
        sandbox.wf(&["cancel", "@latest"]).exits(2).says("--reason");
        let args = [&["cancel", "@latest", "--yes", "--reason", "a test"], flags].concat();
        sandbox.wf(&args).exits(0).tells("cancelled: run");
        std::fs::write(sandbox.path("first.go"), "x").expect("it goes on");
        let end = live.end().code;
        assert_eq!(sandbox.json(&["status"])["outcome"], outcome);
        assert_eq!(end, Some(code), "{outcome}");
        sandbox.wf(&["resume", "@latest"]).exits(4);
    }
}

#[test]
fn a_run_that_nobody_drives_is_steered_through_its_journal() {
    let sandbox = Sandbox::new();
    sandbox.workflow(
        "left",
        r#"(id: "go", run: Approval(message: "on?", timeout: "10m")), (id: "slow", needs: ["go"], run: Wait(duration: "10h"), timeout: "20h")"#,
    );
    let mut live = sandbox.start(&["run", "left.ron", "--no-tty"]);
    live.until("asks: on?");
    live.kill();
    let run = sandbox.latest();
    for verb in ["pause", "escalate"] {
        sandbox.wf(&[verb, &run]).exits(4);
    }
    sandbox.wf(&["cancel", &run, "--rollback", "--reason", "x"]).exits(4).says("wf rollback");
    sandbox.wf(&["approve", &run, "go", "--reason", "lag is 2 s"]).exits(0).tells("recorded; nobody drives the run: wf resume");
    sandbox.wf(&["skip", &run, "slow", "--reason", "no time"]).exits(0).tells("wf resume");
    sandbox.wf(&["resume", &run]).exits(0).says("go succeeded").says("skipped: by order of tester@");
    sandbox.wf(&["log", &run]).exits(0).tells("approved by tester@").tells("lag is 2 s");
    let left = Sandbox::new();
    left.workflow("left", r#"(id: "go", run: Approval(message: "on?", timeout: "10m"))"#);
    let mut live = left.start(&["run", "left.ron", "--no-tty"]);
    live.until("asks: on?");
    live.kill();
    left.wf(&["cancel", "@latest", "--reason", "by hand from here"]).exits(0).tells("abandoned: run");
    left.wf(&["list"]).exits(0).tells("abandoned");
    left.wf(&["resume", &left.latest()]).exits(4).says("the run is abandoned");
}
