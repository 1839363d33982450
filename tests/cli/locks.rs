//! Who has a run: the lock itself counts, and nothing that is written in or beside it.
use std::fs;
use std::os::unix::net::UnixListener;
use std::process::Command;

use crate::sandbox::Sandbox;
use crate::{ASK, asking};

fn holder(pid: u32) -> String {
    format!(r#"{{"pid":{pid},"host":"{}","user":"ops","since":"2026-03-14T03:00:00Z","command":"wf run"}}"#, hostname())
}

fn hostname() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim().to_owned()
}

/// A process id that nobody has.
fn dead_pid() -> u32 {
    let mut child = Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    child.id()
}

#[test]
fn the_run_of_a_killed_process_is_free_at_once_whatever_its_lock_says() {
    // A process that is gone, one that has its number by now, one of another machine, and what is no name at all.
    let names =
        [holder(dead_pid()), holder(std::process::id()), holder(1), holder(1).replace(&hostname(), "elsewhere"), "{\"pi".to_owned()];
    for name in names {
        let sandbox = Sandbox::new();
        let (live, run) = asking(&sandbox, ASK);
        live.kill();
        let lock = sandbox.path(&format!(".wf/runs/{run}/lock"));
        fs::write(&lock, &name).unwrap();
        let listed = sandbox.json(&["list"]);
        assert_eq!((listed[0]["state"].as_str(), listed[0]["pid"].as_u64()), (Some("interrupted"), None), "{name}");
        sandbox.wf(&["journal", "verify", &run]).exits(0);
        assert_eq!(fs::read_to_string(&lock).unwrap(), name, "reading leaves it as it is");
        sandbox.wf(&["resume", &run, "--yes"]).exits(0);
    }
}

#[test]
fn what_is_left_of_a_control_socket_is_replaced() {
    let sandbox = Sandbox::new();
    let (live, run) = asking(&sandbox, ASK);
    let socket = sandbox.path(&format!(".wf/runs/{run}/control.sock"));
    sandbox.wf(&["approve", &run, "nope"]).exits(4).says("no step `nope`");
    live.kill();
    assert!(socket.exists(), "a killed process leaves it");
    sandbox.wf(&["approve", &run, "nope"]).exits(4).says("no step `nope`");
    // Even one that somebody listens at, who is not the owner of the run.
    fs::remove_file(&socket).unwrap();
    let _foreign = UnixListener::bind(&socket).unwrap();
    let mut live = sandbox.start(&["resume", &run]);
    live.until("Go on?");
    sandbox.wf(&["approve", &run, "go"]).exits(0).tells("approved");
    live.end().exits(0);
    assert!(!socket.exists());
}

#[test]
fn a_stopped_owner_keeps_its_run() {
    let sandbox = Sandbox::new();
    let (live, run) = asking(&sandbox, ASK);
    let before = sandbox.wf(&["log", &run, "--json"]).stdout;
    live.signal("STOP");
    let pid = live.pid().to_string();
    sandbox.wf(&["resume", &run, "--yes"]).exits(4).says(&format!("in the hands of process {pid}")).says(&format!("kill -INT {pid}"));
    // The order waits in the socket until whoever gave it has given up.
    sandbox.wf(&["rollback", &run, "--yes"]).exits(4).says(&pid).says("does not answer");
    sandbox.wf(&["journal", "verify", &run]).exits(4).says(&pid);
    live.signal("CONT");
    assert_eq!(sandbox.wf(&["log", &run, "--json"]).stdout, before, "nobody wrote to it meanwhile");
    live.signal("INT");
    live.end().exits(130);
    sandbox.wf(&["resume", &run, "--yes"]).exits(0);
}
