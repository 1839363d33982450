//! Terminals and pipes that nobody reads, or that are gone: the run goes on, a signal is obeyed, and the record is whole. A terminal is full
//! once its few KiB are; here it is filled before the run begins.
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::Value;

use crate::sandbox::Sandbox;

/// Says when the first step is done, and then waits for longer than any test.
const STEPS: &str =
    r#"(id: "first", run: Exec(command: ["sh", "-c", "echo x > begun"])), (id: "long", needs: ["first"], run: Wait(duration: "10h"))"#;
/// A process that is not gone by then hangs.
const END_MAX: Duration = Duration::from_secs(60);

/// Two ends: what is written to the second one waits in the first until somebody reads it, and nobody does.
struct Unread {
    reader: Option<OwnedFd>,
    writer: File,
}

impl Unread {
    fn terminal() -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let writer = OpenOptions::new().read(true).write(true).custom_flags(OFlags::NOCTTY.bits().cast_signed()).open(name).unwrap();
        Self { reader: Some(master), writer }.filled()
    }

    fn pipe() -> Self {
        let (reader, writer) = std::io::pipe().unwrap();
        Self { reader: Some(reader.into()), writer: File::from(OwnedFd::from(writer)) }.filled()
    }

    /// Writes until it takes no more.
    fn filled(self) -> Self {
        let path = Path::new("/proc/self/fd").join(self.writer.as_raw_fd().to_string());
        let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
        let mut impatient = OpenOptions::new().write(true).custom_flags(flags).open(path).unwrap();
        for block in [&[b'.'; 512][..], b"."] {
            while impatient.write(block).map_err(|error| assert_eq!(error.kind(), ErrorKind::WouldBlock)).is_ok() {}
        }
        self
    }

    /// Starts `wf` with both outputs going there.
    fn start(&self, mut command: Command) -> Child {
        let output = || Stdio::from(self.writer.try_clone().unwrap());
        command.stdout(output()).stderr(output()).spawn().unwrap()
    }
}

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().unwrap().success());
}

/// Waits for the end of a process that must end by itself.
fn ended(mut child: Child) -> ExitStatus {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if started.elapsed() > END_MAX {
            child.kill().unwrap();
            panic!("it hangs");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until the newest run is listed in a state, in the hands of a process or not.
fn listed(sandbox: &Sandbox, state: &str, held: bool) -> Value {
    let started = Instant::now();
    loop {
        let newest = sandbox.json(&["list"])[0].clone();
        if newest["state"] == state && newest["pid"].is_u64() == held {
            return newest;
        }
        assert!(started.elapsed() < END_MAX, "it never was {state}: {newest}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn interrupted_unread(unread: &Unread, name: &str) {
    let sandbox = Sandbox::new();
    let begun = sandbox.pipe("begun");
    sandbox.workflow("long", STEPS);
    let live = unread.start(sandbox.command(["run", "long.ron", "--yes"]));
    assert_eq!(std::fs::read_to_string(begun).unwrap(), "x\n");
    listed(&sandbox, "running", true);
    signal(&live, name);
    assert_eq!(ended(live).code(), Some(130));
    listed(&sandbox, "interrupted", false);
    let log = sandbox.wf(&["log", "--json"]).stdout;
    assert!(log.lines().last().unwrap().contains("RunInterrupted"), "{log}");
    sandbox.wf(&["journal", "verify"]).exits(0);
}

#[test]
fn a_run_is_interrupted_though_nobody_reads_what_it_says() {
    std::thread::scope(|scope| {
        for (unread, name) in [(Unread::terminal(), "TERM"), (Unread::terminal(), "INT"), (Unread::pipe(), "TERM"), (Unread::pipe(), "HUP")]
        {
            scope.spawn(move || interrupted_unread(&unread, name));
        }
    });
}

#[test]
fn a_second_signal_leaves_though_nobody_reads_what_it_says() {
    let (sandbox, unread) = (Sandbox::new(), Unread::terminal());
    let begun = sandbox.pipe("begun");
    // A program is a call that is under way: it is waited for.
    sandbox.workflow("busy", r#"(id: "busy", run: Exec(command: ["sh", "-c", "echo x > begun; sleep 600"]))"#);
    let live = unread.start(sandbox.command(["run", "busy.ron", "--yes"]));
    assert_eq!(std::fs::read_to_string(begun).unwrap(), "x\n");
    signal(&live, "TERM");
    signal(&live, "INT");
    assert_eq!(ended(live).code(), Some(130));
    sandbox.wf(&["journal", "verify"]).exits(0);
    listed(&sandbox, "interrupted", false);
}

#[test]
fn a_run_completes_though_nobody_reads_what_it_says() {
    for unread in [Unread::terminal(), Unread::pipe()] {
        let sandbox = Sandbox::new();
        sandbox.workflow("two", r#"(id: "one", run: Wait(duration: "0s")), (id: "two", run: Wait(duration: "0s"))"#);
        let live = unread.start(sandbox.command(["run", "two.ron"]));
        // It is over and given back while its last words still wait for somebody to read them.
        assert_eq!(listed(&sandbox, "finished", false)["outcome"], "Completed");
        signal(&live, "TERM");
        let status = ended(live);
        // Either the signal came before its thread knew of the end, or after.
        assert!(matches!(status.code(), Some(0 | 130)), "{status}");
        sandbox.wf(&["journal", "verify"]).exits(0);
    }
}

#[test]
fn a_terminal_that_goes_away_under_a_run_does_not_matter() {
    for mut unread in [Unread::terminal(), Unread::pipe()] {
        let sandbox = Sandbox::new();
        let begun = sandbox.pipe("begun");
        sandbox.workflow("long", STEPS);
        let live = unread.start(sandbox.command(["run", "long.ron", "--yes"]));
        assert_eq!(std::fs::read_to_string(begun).unwrap(), "x\n");
        drop(unread.reader.take());
        listed(&sandbox, "running", true);
        signal(&live, "TERM");
        assert_eq!(ended(live).code(), Some(130));
        listed(&sandbox, "interrupted", false);
    }
}

#[test]
fn how_a_run_went_does_not_depend_on_who_reads_about_it() {
    let failing = r#"(id: "made", run: Exec(command: ["true"], undo: ["touch", "undone"])), (id: "fails", needs: ["made"], run: Exec(command: ["false"]))"#;
    for (steps, code) in [(r#"(id: "one", run: Wait(duration: "0s"))"#, 0), (failing, 10)] {
        let sandbox = Sandbox::new();
        sandbox.workflow("flow", steps);
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = || Stdio::from(writer.try_clone().unwrap());
        let live = sandbox.command(["run", "flow.ron", "--yes"]).stdout(output()).stderr(output()).spawn().unwrap();
        assert_eq!(ended(live).code(), Some(code));
        listed(&sandbox, "finished", false);
        assert_eq!(sandbox.path("undone").exists(), code == 10);
    }
}
