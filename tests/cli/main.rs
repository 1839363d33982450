//! Black box: what an operator types, reads, and gets as an exit code. The steps here wait and run programs; `crash` alone runs
//! the shipped failover.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bad_files;
mod crash;
mod damage;
mod diagnose;
mod display;
mod drill;
mod edited;
mod explain;
mod failing;
mod hostile;
mod locks;
mod monitoring;
mod notify;
mod orders;
#[cfg(feature = "otlp")]
mod otlp;
mod plan;
mod ready;
mod report;
mod rights;
mod sandbox;
mod secrets;
mod shell;
mod sns_signing;
mod split_brain;
mod terminal;
mod watch;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use sandbox::{Live, Sandbox};
use serde_json::Value;

/// A step that touches a file, and takes it away when it is undone.
const TOUCH: &str = r#"(id: "touch", run: Exec(command: ["touch", "made"], undo: ["rm", "-f", "made"], idempotent: true))"#;
/// A question, and a step behind it.
const ASK: &str = r#"(id: "go", run: Approval(message: "Go on?")), (id: "after", needs: ["go"], run: Wait(duration: "0s"))"#;

/// Starts a run that waits for an answer, and returns it with its id.
fn asking(sandbox: &Sandbox, steps: &str) -> (Live, String) {
    sandbox.workflow("ask", steps);
    let mut live = sandbox.start(&["run", "ask.ron", "--sim", "--sim-exec"]);
    live.until("Go on?");
    let run = sandbox.latest();
    (live, run)
}

#[test]
fn a_run_completes_and_can_be_read() {
    let sandbox = Sandbox::new();
    sandbox
        .workflow("two", r#"(id: "say", run: Exec(command: ["echo", "hello"])), (id: "wait", run: Wait(duration: "0s"), needs: ["say"])"#);
    sandbox.wf(&["run", "two.ron", "--yes"]).exits(0).says("say").tells("completed");
    let list = sandbox.json(&["list"]);
    assert_eq!(
        (list[0]["workflow"].as_str(), list[0]["outcome"].as_str(), list[0]["steps_done"].as_u64()),
        (Some("two"), Some("Completed"), Some(2))
    );
    let run = sandbox.latest();
    let status = sandbox.json(&["status", &run[20..].to_lowercase()]);
    assert_eq!((status["state"].as_str(), status["steps"][0]["outputs"]["stdout"].as_str()), (Some("finished"), Some("hello")));
    let log = sandbox.wf(&["log", &run[..20], "--json"]);
    let records: Vec<Value> = log.exits(0).stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(records.iter().zip(0..).all(|(record, seq)| record["seq"] == seq));
    assert_eq!(records.last().unwrap()["event"]["RunFinished"]["outcome"], "Completed");
    for verb in ["list", "status", "log"] {
        sandbox.wf(&[verb]).exits(0).tells("two");
    }
    sandbox.wf(&["journal", "verify"]).exits(0).tells("ok");
    sandbox.wf(&["resume", &run]).exits(4).says("completed").says("nothing to resume");
}

#[test]
fn a_failed_step_rolls_the_run_back() {
    let sandbox = Sandbox::new();
    sandbox.workflow("fails", &format!(r#"{TOUCH}, (id: "fail", needs: ["touch"], run: Exec(command: ["ls", "made", "missing"]))"#));
    sandbox.wf(&["run", "fails.ron", "--yes"]).exits(10).tells("rolled back");
    assert!(!sandbox.path("made").exists(), "what was made is undone");
    let status = sandbox.json(&["status"]);
    assert_eq!(status["outcome"], "RolledBack");
    sandbox.wf(&["resume", "@latest"]).exits(4);
    sandbox.wf(&["rollback", "@latest", "--yes"]).exits(4).says("nothing to roll back");
}

#[test]
fn a_completed_run_can_be_rolled_back_by_hand() {
    let sandbox = Sandbox::new();
    sandbox.workflow("touch", TOUCH);
    sandbox.wf(&["run", "touch.ron", "--yes"]).exits(0);
    assert!(sandbox.path("made").exists());
    sandbox.wf(&["rollback", "@latest"]).exits(4).says("not confirmed");
    assert!(sandbox.path("made").exists());
    sandbox.wf(&["rollback", "@latest", "--yes", "--reason", "a test"]).exits(10);
    assert!(!sandbox.path("made").exists());
    sandbox.wf(&["log"]).tells("a test");
}

#[test]
fn the_real_world_is_not_changed_unconfirmed() {
    let sandbox = Sandbox::new();
    sandbox.workflow("touch", TOUCH);
    sandbox.wf(&["run", "touch.ron"]).exits(4).says("not confirmed").says("--yes");
    assert!(!sandbox.path("made").exists() && !sandbox.path(".wf").exists());
    sandbox.workflow("look", r#"(id: "wait", run: Wait(duration: "0s"))"#);
    sandbox.wf(&["run", "look.ron"]).exits(0);
}

#[test]
fn mistakes_of_a_file_are_told_all_at_once() {
    let sandbox = Sandbox::new();
    sandbox.workflow("bad", r#"(id: "a", needs: ["b"], run: Wait(duraton: "1s")), (id: "c", run: Exce())"#);
    sandbox
        .wf(&["check", "bad.ron"])
        .exits(3)
        .says("there is no step `b`")
        .says("did you mean `duration`?")
        .says("bad.ron:1:")
        .says("did you mean `Exec`?");
    let checked = sandbox.json(&["check", "bad.ron"]);
    assert_eq!(checked["ok"], false);
    assert!(checked["problems"].as_array().unwrap().iter().all(|problem| problem["line"] == 1 && problem["column"].is_u64()));
    sandbox.wf(&["run", "bad.ron", "--yes"]).exits(3).says("there is no step `b`");
    sandbox.wf(&["graph", "bad.ron"]).exits(3);
    sandbox.wf(&["check", "missing.ron"]).exits(2).says("missing.ron cannot be read");
    let bad = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/bad")).unwrap();
    for file in bad.map(|entry| entry.unwrap().path()) {
        let outcome = sandbox.wf(&["check", file.to_str().unwrap()]);
        assert_eq!(outcome.code, Some(3), "{}: {outcome:?}", file.display());
    }
}

#[test]
fn inputs_are_given_by_hand_or_by_file() {
    let sandbox = Sandbox::new();
    sandbox.file("in.ron", r#"Workflow(name: "in", inputs: {"word": "default", "times": 1, "must": Required}, steps: [(id: "say", run: Exec(command: ["echo", "${word}", "${must}"]))])"#);
    sandbox.file("values.ron", r#"{ "word": "file", "must": "have" }"#);
    sandbox.wf(&["run", "in.ron", "--yes"]).exits(2).says("--set must=");
    sandbox
        .wf(&["run", "in.ron", "--yes", "--set", "wrod=x", "--set", "times=many"])
        .exits(2)
        .says("no input `wrod`")
        .says("`times` must be a number");
    sandbox.wf(&["run", "in.ron", "--yes", "--inputs", "values.ron"]).exits(0);
    assert_eq!(sandbox.json(&["status"])["steps"][0]["outputs"]["stdout"], "file have");
    sandbox.wf(&["run", "in.ron", "--yes", "--inputs", "values.ron", "--set", "word=set"]).exits(0);
    assert_eq!(sandbox.json(&["status"])["steps"][0]["outputs"]["stdout"], "set have");
}

#[test]
fn runs_are_found_by_what_is_unique_of_them() {
    let sandbox = Sandbox::new();
    sandbox.wf(&["status"]).exits(2).says("there are no runs here yet");
    sandbox.workflow("wait", r#"(id: "wait", run: Wait(duration: "0s"))"#);
    sandbox.wf(&["run", "wait.ron"]).exits(0);
    let first = sandbox.latest();
    sandbox.wf(&["run", "wait.ron"]).exits(0);
    let second = sandbox.latest();
    assert_ne!(first, second);
    sandbox.wf(&["status", &first[..2]]).exits(2).says("fits 2 runs").says(&first).says(&second);
    sandbox.wf(&["status", "nope"]).exits(2).says("there is no run `nope`");
    assert_eq!(sandbox.json(&["status", "@latest"])["run"], second.as_str());
}

#[test]
fn a_live_run_is_in_one_hand_and_is_reached_through_it() {
    let sandbox = Sandbox::new();
    let (live, run) = asking(&sandbox, ASK);
    let pid = live.pid().to_string();
    sandbox.wf(&["resume", &run]).exits(4).says(&format!("process {pid}"));
    sandbox.wf(&["resume"]).exits(4).says(&pid);
    let list = sandbox.json(&["list"]);
    assert_eq!((list[0]["state"].as_str(), list[0]["pid"].as_u64()), (Some("running"), Some(u64::from(live.pid()))));
    assert_eq!(sandbox.json(&["status"])["steps"][0]["status"], "Waiting");
    sandbox.wf(&["log"]).exits(0).tells("Go on?");
    sandbox.wf(&["journal", "verify", "--all"]).exits(0).tells("not verified").tells(&pid);
    let socket = sandbox.path(&format!(".wf/runs/{run}/control.sock"));
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    sandbox.wf(&["approve", &run, "nope"]).exits(4).says("no step `nope`");
    sandbox.wf(&["approve", &run, "after"]).exits(4).says("is pending: only a step that waits for an approval");
    let follower = sandbox.start(&["log", &run, "--follow"]);
    sandbox.wf(&["approve", &run, "go", "--reason", "looks good"]).exits(0).tells("approved");
    live.end().exits(0).says("looks good");
    follower.end().exits(0).tells("looks good").tells("completed");
    assert!(!socket.exists(), "the socket goes with its process");
    let approval = &sandbox.json(&["status"])["steps"][0]["approval"];
    assert_eq!((approval["granted"].as_bool(), approval["reason"].as_str()), (Some(true), Some("looks good")));
    sandbox.wf(&["approve", &run, "go"]).exits(4).says("completed");
}

#[test]
fn a_rejected_step_fails() {
    let sandbox = Sandbox::new();
    let (live, run) = asking(&sandbox, ASK);
    sandbox.wf(&["reject", &run, "go", "--reason", "not today"]).exits(0).tells("rejected");
    live.end().exits(10).says("not today");
}

#[test]
fn an_interrupted_run_is_left_resumable() {
    for signal in ["INT", "TERM", "HUP"] {
        let sandbox = Sandbox::new();
        let (live, run) = asking(&sandbox, ASK);
        live.signal(signal);
        live.end().exits(130).says(&format!("wf resume {run}"));
        assert_eq!(sandbox.json(&["list"])[0]["state"], "interrupted");
        sandbox.wf(&["approve", &run, "go"]).exits(0).tells("nobody drives the run").tells(&format!("wf resume {run}"));
        sandbox.wf(&["resume"]).exits(0).tells("completed");
        sandbox.wf(&["journal", "verify", "--all"]).exits(0);
    }
}

#[test]
fn a_second_signal_leaves_at_once() {
    let sandbox = Sandbox::new();
    let (started, block) = (sandbox.pipe("started"), sandbox.pipe("block"));
    sandbox.workflow("busy", r#"(id: "busy", run: Exec(command: ["sh", "-c", "echo x > started; cat block"]))"#);
    let mut live = sandbox.start(&["run", "busy.ron", "--yes"]);
    assert_eq!(fs::read_to_string(started).unwrap(), "x\n");
    // The program is under way, so the first signal waits for it.
    live.signal("INT");
    live.until("wf resume");
    live.signal("INT");
    live.end().exits(130).says("left at once");
    fs::write(block, "").unwrap();
    assert_eq!(sandbox.json(&["list"])[0]["state"], "interrupted");
}

#[test]
fn a_killed_run_is_carried_on() {
    let sandbox = Sandbox::new();
    let (live, run) = asking(&sandbox, &format!("{TOUCH}, {ASK}"));
    live.kill();
    assert_eq!(sandbox.json(&["list"])[0]["state"], "interrupted");
    sandbox.wf(&["status"]).exits(0).tells(&format!("wf resume {run}"));
    sandbox.wf(&["resume", "--yes"]).exits(0);
    let log = sandbox.wf(&["log", "--json"]).stdout;
    assert_eq!(log.matches(r#"{"StepSucceeded":{"step":"touch""#).count(), 1, "no succeeded step runs again");
}

#[test]
fn what_never_began_is_no_run() {
    let sandbox = Sandbox::new();
    fs::create_dir_all(sandbox.path(".wf/runs/01K2AAAAAAAAAAAAAAAAAAAAAA")).unwrap();
    assert_eq!(sandbox.json(&["list"]), serde_json::json!([]));
    sandbox.wf(&["resume"]).exits(2).says("there are no runs here yet");
}

/// Kills a run in the middle of a program that nobody can tell the effect of.
fn killed_in_doubt(sandbox: &Sandbox) -> String {
    let (started, block) = (sandbox.pipe("started"), sandbox.pipe("block"));
    let script = "echo x >> count; if [ ! -e unblocked ]; then echo x > started; cat block; fi";
    sandbox.workflow(
        "doubt",
        &format!(
            r#"(id: "once", run: Exec(command: ["sh", "-c", "{script}"])), (id: "say", run: Exec(command: ["echo", "${{once.stdout}}"]))"#
        ),
    );
    let live = sandbox.start(&["run", "doubt.ron", "--yes"]);
    assert_eq!(fs::read_to_string(started).unwrap(), "x\n");
    live.kill();
    fs::write(sandbox.path("unblocked"), "").unwrap();
    fs::write(block, "").unwrap();
    sandbox.latest()
}

#[test]
fn what_nobody_can_tell_is_asked() {
    let sandbox = Sandbox::new();
    let run = killed_in_doubt(&sandbox);
    let paused = sandbox.wf(&["resume"]);
    paused.exits(12).tells(&format!("wf resume {run} --redo once")).tells(&format!("wf resume {run} --mark-done once"));
    assert_eq!(fs::read_to_string(sandbox.path("count")).unwrap().lines().count(), 1, "it is not blindly repeated");
    assert_eq!(sandbox.json(&["list"])[0]["state"], "paused");
    sandbox.wf(&["resume", "--redo", "nope"]).exits(4).says("no step `nope`");
    sandbox.wf(&["resume", "--redo", "once"]).exits(0);
    assert_eq!(fs::read_to_string(sandbox.path("count")).unwrap().lines().count(), 2);
}

#[test]
fn what_is_done_by_the_operators_word_has_the_outputs_that_they_say() {
    let sandbox = Sandbox::new();
    killed_in_doubt(&sandbox);
    sandbox.wf(&["resume", "--mark-done", "once", "--output", "stduot=x"]).exits(2).says("no output `stduot`").says("stdout");
    sandbox.wf(&["resume", "--mark-done", "once", "--output", "exit_code=zero"]).exits(2).says("a whole number");
    sandbox.wf(&["resume", "--mark-done", "once", "--output", "stdout=by hand"]).exits(0);
    assert_eq!(fs::read_to_string(sandbox.path("count")).unwrap().lines().count(), 1);
    assert_eq!(sandbox.json(&["status"])["steps"][1]["outputs"]["stdout"], "by hand");
}

#[test]
fn past_the_point_of_no_return_a_failure_pauses() {
    let sandbox = Sandbox::new();
    let steps = format!(
        r#"{TOUCH}, (id: "cut", needs: ["touch"], run: Exec(command: ["echo", "gone"], irreversible: true)), (id: "fail", needs: ["cut"], run: Exec(command: ["ls", "fixed"]))"#
    );
    sandbox.workflow("cut", &steps);
    let paused = sandbox.wf(&["run", "cut.ron", "--yes"]);
    let run = sandbox.latest();
    paused
        .exits(12)
        .tells("touch")
        .tells("cut")
        .tells(&format!("wf resume {run}"))
        .tells(&format!("wf rollback {run} --past-point-of-no-return"));
    let status = sandbox.json(&["status"]);
    assert_eq!((status["can_be_undone"][0].as_str(), status["cannot_be_undone"][0].as_str()), (Some("touch"), Some("cut")));
    sandbox.wf(&["rollback", &run, "--yes"]).exits(4).says("--past-point-of-no-return");
    fs::write(sandbox.path("fixed"), "").unwrap();
    sandbox.wf(&["resume"]).exits(0);
    assert!(sandbox.path("made").exists());
    sandbox.wf(&["rollback", &run, "--yes", "--past-point-of-no-return"]).exits(10);
    assert!(!sandbox.path("made").exists());
}

#[test]
fn a_compensation_that_fails_leaves_the_run_stuck_and_resumable() {
    let sandbox = Sandbox::new();
    let steps =
        r#"(id: "make", run: Exec(command: ["true"], undo: ["ls", "key"])), (id: "fail", needs: ["make"], run: Exec(command: ["false"]))"#;
    sandbox.workflow("stuck", steps);
    let stuck = sandbox.wf(&["run", "stuck.ron", "--yes"]);
    stuck.exits(11).tells("make").tells("wf resume");
    fs::write(sandbox.path("key"), "").unwrap();
    sandbox.wf(&["resume"]).exits(10);
}

#[test]
fn what_cannot_be_undone_is_undone_by_hand() {
    let sandbox = Sandbox::new();
    let steps =
        r#"(id: "make", run: Exec(command: ["true"], undo: ["ls", "key"])), (id: "fail", needs: ["make"], run: Exec(command: ["false"]))"#;
    sandbox.workflow("stuck", steps);
    sandbox.wf(&["run", "stuck.ron", "--yes"]).exits(11).tells("wf mark-done").tells("if you undid make by hand");
    sandbox.wf(&["mark-done", "@latest", "fail", "--reason", "x"]).exits(4).says("in a rollback only a step that could not be undone");
    sandbox.wf(&["mark-done", "@latest", "make", "--reason", "undone in the console"]).exits(0);
    sandbox.wf(&["status"]).exits(0).tells("carries the rollback to its end");
    sandbox.wf(&["resume"]).exits(10).tells("undone");
    sandbox.wf(&["report"]).exits(0).tells("undone in the console").tells("Nothing is left changed.");
}

#[test]
fn a_failback_takes_what_the_failover_recorded() {
    let sandbox = Sandbox::new();
    sandbox.workflow("failover", r#"(id: "scale", run: Exec(command: ["echo", "6"]))"#);
    let steps = r#"(id: "scale_back", run: Exec(command: ["echo", "${failover.scale.stdout}", "${count}"]))"#;
    let back =
        |name: &str, inputs: &str| format!(r#"Workflow(name: "{name}", follows: "failover.ron", inputs: {{{inputs}}}, steps: [{steps}])"#);
    sandbox.file("failback.ron", &back("failback", r#""count": "${failover.scale.stdout}""#));
    sandbox.wf(&["check", "failback.ron"]).exits(0);
    sandbox.wf(&["failback", "failback.ron", "--yes"]).exits(4).says("there is no completed run of `failover`");
    // A program is no part of the simulated AWS: it runs for real, so that must be said.
    sandbox.wf(&["run", "failover.ron", "--sim", "--yes"]).exits(4).says("`scale`").says("--sim-exec");
    sandbox.wf(&["run", "failover.ron", "--sim", "--sim-exec"]).exits(0);
    sandbox.wf(&["failback", "failback.ron", "--yes"]).exits(4).says("the real AWS");
    let simulated = sandbox.latest();
    sandbox.wf(&["failback", "failback.ron", "--yes", "--from", &simulated]).exits(4).says("acted on the simulated AWS");
    sandbox.wf(&["run", "failover.ron", "--yes"]).exits(0);
    let failover = sandbox.latest();
    sandbox.wf(&["run", "failback.ron", "--yes"]).exits(2).says("wf failback failback.ron");
    sandbox.wf(&["failback", "failback.ron", "--yes"]).exits(0).says(&failover);
    let status = sandbox.json(&["status"]);
    assert_eq!((status["follows"].as_str(), status["steps"][0]["outputs"]["stdout"].as_str()), (Some(failover.as_str()), Some("6 6")));
    sandbox.file("failback.ron", &back("failback", r#""count": "${failover.scale.nothing}""#));
    sandbox.wf(&["check", "failback.ron"]).exits(3).says("has no output `nothing`");
    sandbox.wf(&["run", "failover.ron", "--yes", "--follows", &failover]).exits(2);
}

#[test]
fn damaged_journals_are_told_and_harm_no_other_run() {
    let sandbox = Sandbox::new();
    sandbox.workflow("wait", r#"(id: "wait", run: Wait(duration: "0s"))"#);
    sandbox.wf(&["run", "wait.ron"]).exits(0);
    let damaged = sandbox.latest();
    sandbox.wf(&["run", "wait.ron"]).exits(0);
    let whole = sandbox.latest();
    let run_dir = sandbox.path(&format!(".wf/runs/{damaged}"));
    fs::write(run_dir.join("journal/db"), b"this is no journal").unwrap();
    fs::remove_file(run_dir.join("summary.json")).unwrap();
    sandbox.wf(&["journal", "verify", &damaged]).exits(13).says(&damaged);
    sandbox.wf(&["status", &damaged]).exits(13);
    sandbox.wf(&["journal", "verify", "--all"]).exits(13).tells("UNUSABLE").tells("ok, ");
    let list = sandbox.json(&["list"]);
    assert_eq!((list[0]["run"].as_str(), list[1]["state"].as_str()), (Some(whole.as_str()), Some("unreadable")));
    sandbox.wf(&["list"]).exits(0).tells("unreadable");
}

#[test]
fn the_simulated_world_is_kept_and_forgotten() {
    let sandbox = Sandbox::new();
    sandbox.wf(&["sim", "status"]).exits(2).says("there is no simulated world");
    sandbox.workflow("wait", r#"(id: "wait", run: Wait(duration: "1s"))"#);
    sandbox.wf(&["run", "wait.ron", "--sim-speed", "9"]).exits(2);
    sandbox.wf(&["run", "wait.ron", "--sim", "--sim-speed", "600"]).exits(0);
    assert!(sandbox.json(&["sim", "status"])["clock"].is_string());
    assert_eq!(sandbox.json(&["sim", "log"]), serde_json::json!([]));
    assert_eq!(fs::read_to_string(sandbox.path(".wf/sim/speed")).unwrap(), "600\n");
    sandbox.wf(&["sim", "reset"]).exits(0);
    sandbox.wf(&["sim", "status"]).exits(2);
    sandbox.wf(&["sim", "world"]).exits(0).tells("us-west-2");
}

#[test]
fn a_served_world_answers_and_is_one_process_own() {
    let sandbox = Sandbox::new();
    let mut live = sandbox.start(&["sim", "serve", "--port", "0"]);
    live.until("--endpoint-url");
    sandbox.workflow("wait", r#"(id: "wait", run: Wait(duration: "0s"))"#);
    sandbox.wf(&["run", "wait.ron", "--sim"]).exits(4).says(&format!("process {}", live.pid()));
    live.signal("INT");
    live.end().exits(0).tells("http://127.0.0.1:");
}

#[test]
fn what_wf_knows_can_be_asked() {
    let sandbox = Sandbox::new();
    sandbox.wf(&["--help"]).exits(0).tells("failback").tells("130 interrupted");
    sandbox.wf(&["run", "--help"]).exits(0).tells("wf run workflows/failover.ron --sim");
    sandbox.wf(&["nonsense"]).exits(2);
    sandbox.wf(&["kinds"]).exits(0).tells("RdsPromoteReadReplica");
    sandbox.wf(&["kinds", "rdspromotereadreplica"]).exits(0).tells("irreversible").tells("rds:PromoteReadReplica");
    sandbox.wf(&["kinds", "RdsPromote"]).exits(2).says("did you mean");
    assert!(sandbox.json(&["kinds"]).as_array().unwrap().len() >= 14);
    sandbox.workflow("graph", ASK);
    sandbox.wf(&["graph", "graph.ron"]).exits(0).tells("flowchart").tells("after");
    sandbox.wf(&["graph", "graph.ron", "--format", "dot"]).exits(0).tells("digraph");
    sandbox.wf(&["graph", "graph.ron", "--format", "svg"]).exits(0).tells("<svg").tells("after");
}

#[test]
fn durability_costs_a_sync_a_step_and_no_more() {
    let sandbox = Sandbox::new();
    let figures = |round: &[&str]| sandbox.json(&[&["bench"], round].concat())["figures"].clone();
    let chain = figures(&["chain", "100"]);
    assert!(chain["syncs"].as_u64().unwrap() <= 105, "{chain}");
    for (round, syncs_max) in [(["fan", "10000"], 50), (["layers", "10x100"], 40), (["diamonds", "10x100"], 40)] {
        let found = figures(&round);
        assert!(found["syncs"].as_u64().unwrap() <= syncs_max, "{round:?}: {found}");
    }
    let each_by_itself = figures(&["layers", "3x4", "--commit", "each-record"]);
    assert!(each_by_itself["syncs"].as_u64().unwrap() >= 24, "{each_by_itself}");
    sandbox.wf(&["bench", "layers", "3"]).exits(2);
    sandbox.wf(&["bench", "chain", "3", "--dir", "nowhere"]).exits(2).says("nowhere is not a directory").says("--dir");
}

#[test]
fn of_two_resumes_at_once_exactly_one_proceeds() {
    let sandbox = Sandbox::new();
    let (live, run) = asking(&sandbox, ASK);
    live.kill();
    for round in 0..100 {
        let two = [(), ()].map(|()| sandbox.start(&["resume", &run]));
        let two = two.map(|mut live| std::thread::spawn(move || (live.says_before_it_ends("Go on?"), live)));
        let two = two.map(|thread| thread.join().unwrap());
        assert_eq!(two.iter().filter(|(proceeds, _)| *proceeds).count(), 1, "round {round}");
        for (proceeds, live) in two {
            if proceeds {
                live.signal("INT");
                live.end().exits(130);
            } else {
                live.end().exits(4).says("is in the hands of process");
            }
        }
    }
    sandbox.wf(&["resume", &run, "--yes"]).exits(0);
}
