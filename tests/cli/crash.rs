//! Kills a real `wf` with SIGKILL at 25 moments of a failover, and resumes it: every run completes, the world was changed once,
//! and nothing that had succeeded ran again.
use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::sandbox::Sandbox;
use serde_json::Value;

const KILLS: u32 = 25;
const SPEED: &str = "600";

fn run(sandbox: &Sandbox) -> std::process::Child {
    let mut command = sandbox.at_root(&["run", "workflows/failover.ron", "--sim", "--yes", "--sim-speed", SPEED]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
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

#[test]
fn a_failover_that_is_killed_at_any_moment_completes_when_resumed() {
    let whole = Sandbox::new();
    let began = Instant::now();
    assert!(run(&whole).wait().unwrap().success());
    let length = began.elapsed();
    let expected = effects(&whole);
    assert_eq!(expected.iter().filter(|(call, _)| call.starts_with("PromoteReadReplica")).map(|(_, n)| n).sum::<usize>(), 1);

    let mut cut_off = 0;
    for kill in 0..KILLS {
        let sandbox = Sandbox::new();
        let mut child = run(&sandbox);
        // The moment is what is tested: the kills spread over the length of a whole run.
        std::thread::sleep(length.mul_f64(f64::from(kill + 1) / f64::from(KILLS + 1)).max(Duration::from_millis(1)));
        child.kill().unwrap();
        let finished_before = child.wait().unwrap().success();
        let listed = sandbox.json(&["list"]);
        if listed.as_array().unwrap().is_empty() || finished_before {
            continue;
        }
        let resumed = sandbox.wf(&["resume", "@latest", "--yes", "--sim-speed", SPEED]);
        if resumed.code == Some(13) && resumed.stderr.contains("did nothing") {
            // Killed before the run's first record was durable: there is no run to resume, and no effect either.
            assert!(effects(&sandbox).is_empty(), "kill {kill}: an effect without a record");
            continue;
        }
        if resumed.code == Some(4) && resumed.stderr.contains("completed") {
            // Killed after the end was recorded, before the process was gone: there is nothing left to do.
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
    assert!(cut_off >= KILLS - 5, "only {cut_off} of {KILLS} runs were cut off: the kills came too late or too early to test anything");
}
