//! Kills a real `wf` with SIGKILL at 25 moments of a failover, and resumes it: every run completes, the world was changed once,
//! and nothing that had succeeded ran again. `WF_KILLS=200 cargo test --test cli crash` is the longer run.
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use crate::sandbox::{Outcome, Sandbox};
use serde_json::Value;

const SPEED: &str = "600";

fn kills() -> usize {
    std::env::var("WF_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(25)
}

fn run(sandbox: &Sandbox) -> std::process::Child {
    let mut command = sandbox.at_root(&["run", "workflows/failover.ron", "--sim", "--yes", "--sim-speed", SPEED]);
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Effective mutating calls by action and resource.
fn effects(sandbox: &Sandbox) -> BTreeMap<String, usize> {
    let log = sandbox.json(&["sim", "log"]);
    let mut effects = BTreeMap::new();
    for call in log.as_array().unwrap().iter().filter(|call| call["effective"] == true) {
        let text = |field: &str| call[field].as_str().unwrap_or_default().to_owned();
        *effects.entry(format!("{} {}", text("action"), text("resource"))).or_default() += 1;
    }
    effects
}

/// The events of the newest run.
fn events(sandbox: &Sandbox) -> Vec<Value> {
    let log = sandbox.wf(&["log", "@latest", "--json"]);
    log.exits(0);
    log.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Asserts that no step was started after it had succeeded.
fn assert_nothing_repeated(events: &[Value]) {
    let mut succeeded = Vec::new();
    for record in events {
        let event = &record["event"];
        if let Some(step) = event["StepStarted"]["step"].as_str() {
            assert!(!succeeded.contains(&step.to_owned()), "`{step}` ran again");
        }
        if let Some(step) = event["StepSucceeded"]["step"].as_str() {
            succeeded.push(step.to_owned());
        }
    }
    assert_eq!(succeeded.len(), 11, "{succeeded:?}");
}

/// Starts a failover and kills it once it has said `lines` lines: each is said after its event is durable, so the kills hit the
/// run where it is, however fast the machine.
fn run_and_kill_after(sandbox: &Sandbox, lines: usize) {
    let mut child = run(sandbox);
    let said = BufReader::new(child.stderr.take().unwrap()).lines().take(lines).count();
    assert_eq!(said, lines, "it ended before it was killed");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_failover_that_is_killed_at_any_moment_completes_when_resumed() {
    let whole = Sandbox::new();
    let mut child = run(&whole);
    let lines = BufReader::new(child.stderr.take().unwrap()).lines().count();
    assert!(child.wait().unwrap().success());
    let expected = effects(&whole);
    assert_eq!(expected.iter().filter(|(call, _)| call.starts_with("PromoteReadReplica")).map(|(_, n)| n).sum::<usize>(), 1);

    let (kills, mut cut_off) = (kills(), 0);
    for kill in 0..kills {
        let sandbox = Sandbox::new();
        run_and_kill_after(&sandbox, 1 + kill * (lines - 6) / kills);
        let resumed = Outcome::of(&mut sandbox.at_root(&["resume", "@latest", "--yes", "--sim-speed", SPEED]));
        if resumed.code == Some(4) && resumed.stderr.contains("completed") {
            // Its last words came from the same commit as its end: there is nothing left to do.
            assert_eq!(effects(&sandbox).len(), expected.len(), "kill {kill}");
            continue;
        }
        cut_off += 1;
        assert_eq!(resumed.code, Some(0), "kill {kill}:\n{}\n{}", resumed.stdout, resumed.stderr);
        let effects = effects(&sandbox);
        for (call, times) in effects.iter().filter(|(call, _)| !call.starts_with("Publish")) {
            assert_eq!(*times, expected[call], "kill {kill}: {call}");
        }
        assert_eq!(effects.len(), expected.len(), "kill {kill}: {effects:?}");
        assert_nothing_repeated(&events(&sandbox));
        sandbox.wf(&["journal", "verify", "@latest"]).exits(0);
    }
    assert!(cut_off >= kills - 2, "only {cut_off} of {kills} runs were cut off");
}
