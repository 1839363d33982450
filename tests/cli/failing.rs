//! Disks that fail while a run is under way, or that nothing can be written to: the process says so with the run's id and exit 13, has
//! acted on nothing that is not on record, and whoever carries the run on finds it whole.
use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::sandbox::{Outcome, Sandbox};
use crate::{ASK, asking};

/// A user that may write nothing of ours.
const NOBODY: u32 = 65_534;

/// A chain of steps that write their names to a file, and say so much that the journal grows.
fn chain(sandbox: &Sandbox, steps: usize, said: usize) {
    let step = |n: usize| {
        let needs = n.checked_sub(1).map_or_else(String::new, |before| format!(r#"needs: ["s{before}"], "#));
        let script = format!("echo s{n} >> calls; head -c {said} /dev/zero | tr '\\\\0' x");
        format!(r#"(id: "s{n}", {needs}run: Exec(command: ["sh", "-c", "{script}"], idempotent: true))"#)
    };
    sandbox.workflow("chain", &(0..steps).map(step).collect::<Vec<_>>().join(", "));
}

fn calls(sandbox: &Sandbox) -> Vec<String> {
    fs::read_to_string(sandbox.path("calls")).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// The run's records, those that were acknowledged apart from those that may be left of a refused append.
fn records(sandbox: &Sandbox, run: &str) -> (Vec<Value>, Vec<Value>) {
    let log = sandbox.wf(&["log", run, "--json"]);
    let mut acknowledged: Vec<Value> = log.exits(0).stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mark = fs::read_to_string(sandbox.path(&format!(".wf/runs/{run}/acked"))).unwrap();
    let next = mark.split(' ').nth(1).map_or(0, |next| next.parse().unwrap());
    let refused = acknowledged.split_off(next);
    (acknowledged, refused)
}

fn steps(records: &[Value], event: &str) -> BTreeSet<String> {
    records.iter().filter_map(|record| record["event"][event]["step"].as_str()).map(str::to_owned).collect()
}

/// Demands that what was done is what was on record to be done, and what was said is what was on record to be so.
fn assert_acted_on_record_alone(sandbox: &Sandbox, run: &str, failed: &Outcome) {
    let (acknowledged, _) = records(sandbox, run);
    let (meant, succeeded) = (steps(&acknowledged, "StepObserved"), steps(&acknowledged, "StepSucceeded"));
    let called: BTreeSet<_> = calls(sandbox).into_iter().collect();
    assert!(called.is_subset(&meant), "called {called:?}, on record to be called {meant:?}");
    assert!(succeeded.is_subset(&called));
    for line in failed.stderr.lines().filter(|line| line.contains("succeeded")) {
        assert!(succeeded.iter().any(|step| line.contains(&format!(" {step} "))), "said and not on record: {line}");
    }
}

/// The only run of a sandbox, whatever can be read of it.
fn only_run(sandbox: &Sandbox) -> String {
    fs::read_dir(sandbox.path(".wf/runs")).unwrap().next().unwrap().unwrap().file_name().into_string().unwrap()
}

/// Compiles what stands between a process and its files in the journal's own tests.
fn shim(sandbox: &Sandbox) -> PathBuf {
    let shim = sandbox.path("shim.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("journal/tests/power/shim.c");
    let compiled = Command::new("gcc").args(["-shared", "-fPIC", "-O1", "-pthread", "-o"]).arg(&shim).arg(source).status();
    assert!(compiled.expect("gcc is needed to compile shim.c").success());
    shim
}

#[test]
fn after_a_sync_that_failed_nothing_is_done_and_nothing_is_said() {
    let mut in_the_middle = 0;
    for nth in 1..=12 {
        let sandbox = Sandbox::new();
        chain(&sandbox, 4, 10);
        let mut command = sandbox.command(["run", "chain.ron", "--yes"]);
        command.env("LD_PRELOAD", shim(&sandbox)).env("WF_SHIM_ROOT", sandbox.path(".wf")).env("WF_SHIM_FAIL", nth.to_string());
        let failed = Outcome::of(&mut command);
        let run = only_run(&sandbox);
        if failed.code == Some(0) {
            assert!(nth > 6, "a run of four steps needs more than {nth} syncs");
            continue;
        }
        failed.exits(13).says(&run).says("Input/output error").says(&format!("wf resume {run}"));
        if sandbox.json(&["list"]) == serde_json::json!([]) {
            assert!(calls(&sandbox).is_empty(), "nothing is done before it is on record that the run began");
            continue;
        }
        assert_acted_on_record_alone(&sandbox, &run, &failed);
        in_the_middle += usize::from(!calls(&sandbox).is_empty());
        let (acknowledged, refused) = records(&sandbox, &run);
        let done = steps(&acknowledged, "StepSucceeded");
        let resumed = sandbox.wf(&["resume", &run, "--yes"]);
        // What was refused was written all the same, and may be found: the end of the run, for instance.
        if refused.iter().any(|record| record["event"]["RunFinished"].is_object()) {
            resumed.exits(4).says("is completed");
        } else {
            resumed.exits(0);
        }
        for step in ["s0", "s1", "s2", "s3"] {
            let times = calls(&sandbox).iter().filter(|call| *call == step).count();
            assert!(times == 1 || times == 2 && !done.contains(step), "sync {nth}: `{step}` was called {times} times");
        }
        sandbox.wf(&["journal", "verify", &run]).exits(0);
    }
    assert!(in_the_middle >= 3, "only {in_the_middle} failed in the middle");
}

#[test]
fn a_failover_whose_sync_fails_stops_and_is_carried_on() {
    let sandbox = Sandbox::new();
    let shim = shim(&sandbox);
    let mut command = sandbox.at_root(&["run", "workflows/failover.ron", "--sim", "--yes", "--sim-speed", "600"]);
    command.env("LD_PRELOAD", shim).env("WF_SHIM_ROOT", sandbox.path(".wf")).env("WF_SHIM_FAIL", "9");
    let failed = Outcome::of(&mut command);
    let run = only_run(&sandbox);
    failed.exits(13).says(&run).says("Input/output error");
    let (acknowledged, _) = records(&sandbox, &run);
    let log = sandbox.json(&["sim", "log"]);
    let calls = log.as_array().unwrap().iter().filter(|call| call["effective"] == true);
    // A step that is about all cron jobs of a namespace calls once for each, and a workload's autoscaler goes with it.
    let calls = calls.filter(|call| call["action"] != "patch:horizontalpodautoscalers");
    let group = |call: &Value| call["resource"].as_str().unwrap().rsplit_once('/').map(|(group, _)| group.to_owned());
    let done: std::collections::BTreeSet<_> =
        calls.map(|call| (call["action"].to_string(), group(call).unwrap_or_else(|| call["resource"].to_string()))).collect();
    assert!(done.len() <= steps(&acknowledged, "StepObserved").len(), "{done:?}");
    Outcome::of(&mut sandbox.at_root(&["resume", &run, "--yes", "--sim-speed", "600"])).exits(0);
    let log = sandbox.json(&["sim", "log"]);
    let promotions = log.as_array().unwrap().iter().filter(|call| call["action"] == "PromoteReadReplica" && call["effective"] == true);
    assert_eq!(promotions.count(), 1);
}

/// `wf` with a limit on the size of the files that it writes, which every file system has.
fn on_a_full_disk(sandbox: &Sandbox, blocks: u32, args: &[&str]) -> Outcome {
    let wf = sandbox.command(args);
    let mut limited = Command::new("sh");
    limited.args(["-c", &format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"")]).arg(wf.get_program()).args(wf.get_args());
    limited.env_clear().envs(wf.get_envs().filter_map(|(name, value)| Some((name, value?)))).current_dir(wf.get_current_dir().unwrap());
    Outcome::of(limited.stdin(std::process::Stdio::null()))
}

#[test]
fn on_a_full_disk_a_run_stops_and_is_carried_on_when_there_is_space() {
    let sandbox = Sandbox::new();
    chain(&sandbox, 250, 20_000);
    let failed = on_a_full_disk(&sandbox, 4096, &["run", "chain.ron", "--yes"]);
    let run = only_run(&sandbox);
    failed.exits(13).says(&run).says("File too large").says("free space").says(&format!("wf resume {run}"));
    let done = calls(&sandbox);
    assert!(!done.is_empty() && done.len() < 250, "{} steps", done.len());
    assert_acted_on_record_alone(&sandbox, &run, &failed);
    // The disk is still full: nothing more is done, and it is told again.
    on_a_full_disk(&sandbox, 64, &["resume", &run, "--yes"]).exits(13).says(&run);
    assert_eq!(calls(&sandbox), done);
    sandbox.workflow("beside", r#"(id: "wait", run: Wait(duration: "0s"))"#);
    sandbox.wf(&["run", "beside.ron"]).exits(0);
    sandbox.wf(&["resume", &run, "--yes"]).exits(0);
    assert_eq!(calls(&sandbox).iter().collect::<BTreeSet<_>>().len(), 250);
    sandbox.wf(&["journal", "verify", "--all"]).exits(0);
}

#[test]
fn on_a_full_disk_no_run_begins() {
    let sandbox = Sandbox::new();
    chain(&sandbox, 1, 10);
    let failed = on_a_full_disk(&sandbox, 0, &["run", "chain.ron", "--yes"]);
    failed.exits(13).says(&only_run(&sandbox)).says("File too large").says("start it again");
    assert!(calls(&sandbox).is_empty());
    sandbox.wf(&["run", "chain.ron", "--yes"]).exits(0);
}

#[test]
fn a_state_directory_that_is_deleted_under_a_run_stops_it() {
    let sandbox = Sandbox::new();
    let (begun, block) = (sandbox.pipe("begun"), sandbox.pipe("block"));
    sandbox.workflow(
        "two",
        r#"(id: "one", run: Exec(command: ["sh", "-c", "echo x > begun; cat block"])),
           (id: "two", needs: ["one"], run: Exec(command: ["touch", "made"]))"#,
    );
    let live = sandbox.start(&["run", "two.ron", "--yes"]);
    assert_eq!(fs::read_to_string(begun).unwrap(), "x\n");
    let run = sandbox.latest();
    fs::remove_dir_all(sandbox.path(".wf")).unwrap();
    fs::write(block, "").unwrap();
    live.end().exits(13).says(&run).says("is not there any more").says("deleted or moved").says("by hand");
    assert!(!sandbox.path("made").exists(), "it acted on what is not on record");
    assert!(!sandbox.path(".wf").exists());
}

/// Makes everything under a directory somebody else's, or ours again, and takes the right to write away or gives it back.
fn make_over(dir: &Path, uid: u32, writable: bool) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            make_over(&path, uid, writable);
        } else {
            let mode = path.metadata().unwrap().permissions().mode() & 0o777;
            fs::set_permissions(&path, Permissions::from_mode(if writable { mode | 0o200 } else { mode & !0o222 })).unwrap();
            chown(&path, Some(uid), None).unwrap();
        }
    }
    fs::set_permissions(dir, Permissions::from_mode(if writable { 0o700 } else { 0o500 })).unwrap();
    chown(dir, Some(uid), None).unwrap();
}

/// A state directory that its owner may read and not write. Modes mean nothing to root, so as root it is another user's, and `wf` runs as that
/// user, from a copy that that user can reach.
struct ReadOnly<'a> {
    sandbox: &'a Sandbox,
    wf: PathBuf,
    us: u32,
    user: u32,
}

impl<'a> ReadOnly<'a> {
    fn of(sandbox: &'a Sandbox) -> Self {
        let us = sandbox.path(".wf").metadata().unwrap().uid();
        let (wf, user) = (sandbox.path("wf"), if us == 0 { NOBODY } else { us });
        fs::copy(env!("CARGO_BIN_EXE_wf"), &wf).unwrap();
        fs::set_permissions(&wf, Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(sandbox.path(""), Permissions::from_mode(0o755)).unwrap();
        make_over(&sandbox.path(".wf"), user, false);
        Self { sandbox, wf, us, user }
    }

    fn wf(&self, args: &[&str]) -> Outcome {
        let mut command = Command::new(&self.wf);
        command.args(args).env_clear().env("PATH", std::env::var_os("PATH").unwrap()).current_dir(self.sandbox.path(""));
        if self.user != self.us {
            command.uid(self.user).gid(self.user);
        }
        Outcome::of(command.stdin(std::process::Stdio::null()))
    }
}

impl Drop for ReadOnly<'_> {
    fn drop(&mut self) {
        make_over(&self.sandbox.path(".wf"), self.us, true);
    }
}

#[test]
fn a_state_directory_that_is_read_only_can_be_read_and_nothing_else() {
    let sandbox = Sandbox::new();
    sandbox.workflow("wait", r#"(id: "wait", run: Wait(duration: "0s"))"#);
    sandbox.wf(&["run", "wait.ron"]).exits(0);
    let (live, run) = asking(&sandbox, ASK);
    live.kill();
    let summary = sandbox.path(&format!(".wf/runs/{run}/summary.json"));
    assert!(!summary.exists(), "it is to be read from the journal");
    {
        let read_only = ReadOnly::of(&sandbox);
        read_only.wf(&["list"]).exits(0).tells(&run).tells("interrupted").tells("completed");
        read_only.wf(&["status", &run]).exits(0).tells("waits for go");
        read_only.wf(&["log", &run]).exits(0).tells("Go on?");
        read_only.wf(&["journal", "verify", "--all"]).exits(0).tells(&format!("{run} ok"));
        let refused = read_only.wf(&["resume", &run, "--yes"]);
        refused.exits(13).says(&run).says("Permission denied").says("permissions").says(&format!("wf resume {run}"));
        read_only.wf(&["rollback", &run, "--yes"]).exits(13).says(&run);
        read_only.wf(&["run", "wait.ron"]).exits(13).says("Permission denied");
    }
    assert!(!summary.exists());
    sandbox.wf(&["resume", &run, "--yes"]).exits(0);
}
