//! What is on a terminal while a run goes on, and what is there instead where words are wanted.
use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::sandbox::Sandbox;

/// A question, and more steps than a terminal has lines.
fn steps() -> String {
    let question = r#"(id: "go", run: Approval(message: "Promote the replica in us-west-2? This cannot be undone.", timeout: "30m"))"#;
    let end = r#"(id: "after_a_step_with_a_name_that_is_rather_long_for_a_name", needs: ["go"], run: Wait(duration: "10h"))"#;
    let waits = (0..40).map(|ix| format!("(id: \"wait_{ix:02}\", run: Wait(duration: \"10h\"))"));
    [question.to_owned(), end.to_owned()].into_iter().chain(waits).collect::<Vec<_>>().join(", ")
}

/// What a test waits for comes in less.
const TIME_MAX: Duration = Duration::from_secs(20);

/// A terminal, and what was written to it.
struct Terminal {
    name: String,
    said: Receiver<String>,
    writer: File,
    seen: String,
}

impl Terminal {
    fn of(columns: u32, lines: u32) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let writer = OpenOptions::new().read(true).write(true).custom_flags(OFlags::NOCTTY.bits().cast_signed()).open(&name).unwrap();
        let (sender, said) = channel();
        std::thread::spawn(move || {
            let (mut reader, mut bytes) = (File::from(master), [0; 4096]);
            while let Ok(read @ 1..) = reader.read(&mut bytes) {
                let _ = sender.send(String::from_utf8_lossy(&bytes[..read]).into_owned());
            }
        });
        let terminal = Self { name, said, writer, seen: String::new() };
        terminal.resize(columns, lines);
        terminal
    }

    fn resize(&self, columns: u32, lines: u32) {
        let size = [columns.to_string(), lines.to_string()];
        let set = Command::new("stty").args(["-F", &self.name, "cols", &size[0], "rows", &size[1]]).status().unwrap();
        assert!(set.success());
    }

    fn start(&self, mut command: Command) -> Started {
        let output = || Stdio::from(self.writer.try_clone().unwrap());
        Started(command.stdout(output()).stderr(output()).spawn().unwrap())
    }

    /// Reads until `words` are written, and returns what was written up to there.
    #[track_caller]
    fn until(&mut self, words: &str) -> String {
        let started = Instant::now();
        loop {
            if let Some(at) = self.seen.find(words) {
                let rest = self.seen.split_off(at + words.len());
                return std::mem::replace(&mut self.seen, rest);
            }
            // A display ticks for ever.
            assert!(started.elapsed() < TIME_MAX, "never `{words}`: {:?}", self.seen);
            match self.said.recv_timeout(TIME_MAX) {
                Ok(said) => self.seen.push_str(&said),
                Err(error) => panic!("never `{words}` ({error}): {:?}", self.seen),
            }
        }
    }
}

/// A process that does not outlive its test.
struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Returns the lines of what is written in one go, without colours.
fn lines(written: &str) -> Vec<String> {
    let plain = |line: &str| {
        let parts = line.split("\x1b[").enumerate();
        parts
            .map(|(ix, part)| if ix == 0 { part } else { part.split_once(|c: char| c.is_ascii_alphabetic()).map_or("", |(_, rest)| rest) })
            .collect()
    };
    // The terminal makes two characters of each line's end.
    written.split("\r\n").map(plain).collect()
}

fn uncoloured(mut command: Command) -> Command {
    command.env("NO_COLOR", "1");
    command
}

/// Checks that a block that was written whole fits its terminal.
#[track_caller]
fn fits(block: &str, columns: u32, rows: u32) {
    let lines = lines(block);
    assert!(lines.iter().any(|line| line.contains("critical path: ")), "{lines:#?}");
    assert!(lines.len() < rows as usize, "{} lines on {rows}: {lines:#?}", lines.len());
    for line in lines {
        assert!(line.chars().count() < columns as usize, "{line:?} on {columns} columns");
    }
}

#[test]
fn the_block_fits_the_terminal_whatever_its_size() {
    let (sandbox, mut terminal) = (Sandbox::new(), Terminal::of(80, 24));
    sandbox.file("ask.ron", &format!("Workflow(name: \"ask\", objectives: (rto: \"15m\"), steps: [{}])", steps()));
    let _live = terminal.start(uncoloured(sandbox.command(["run", "ask.ron"])));
    // By then all steps have begun, so that only the time changes.
    let written = terminal.until("lapses in 29m 5") + &terminal.until(" + ≈ 10h 02m, over the RTO of 15m");
    for shown in [" · wf approve ", "/ ~10h", "… and ", "critical path: go → after_a_step_with"] {
        assert!(written.contains(shown), "no `{shown}` in {written:?}");
    }
    for (columns, rows) in [(50, 12), (200, 50), (30, 8), (80, 24)] {
        terminal.resize(columns, rows);
        terminal.until("\x1b[J");
        fits(&terminal.until("\x1b7"), columns, rows);
    }
    sandbox.wf(&["approve", "@latest", "go"]).exits(0);
    terminal.until("approved by");
    terminal.until("» ▶ after_a_step_with_a_name…");
    fits(&terminal.until("\x1b7"), 80, 24);
    sandbox.wf(&["pause", "@latest"]).exits(0);
    terminal.until("1/42 steps done · paused by tester@");
}

#[test]
fn words_alone_are_written_where_they_are_wanted() {
    for (flag, variable) in [(Some("--plain"), None), (None, Some(("CI", "true"))), (None, Some(("TERM", "dumb")))] {
        let (sandbox, mut terminal) = (Sandbox::new(), Terminal::of(80, 24));
        sandbox.workflow("two", r#"(id: "one", run: Wait(duration: "0s")), (id: "two", needs: ["one"], run: Wait(duration: "0s"))"#);
        let mut command = sandbox.command(["run", "two.ron"].into_iter().chain(flag));
        let _live = terminal.start({
            command.envs(variable);
            command
        });
        let written = terminal.until("report: ");
        for said in ["started by", "two                 succeeded", "completed after", "OUTCOME"] {
            assert!(written.contains(said), "no `{said}` in {written:?}");
        }
        assert!(!written.contains('\x1b') && !written.contains(['▶', '✓', '▇', '·', '…']), "{written:?}");
    }
}

#[test]
fn a_run_of_another_process_is_followed_to_its_end() {
    let (sandbox, mut terminal) = (Sandbox::new(), Terminal::of(80, 24));
    let gate = sandbox.pipe("gate");
    sandbox.workflow(
        "gated",
        r#"(id: "held", run: Exec(command: ["sh", "-c", "read x < gate"])), (id: "last", needs: ["held"], run: Wait(duration: "1s"))"#,
    );
    sandbox.wf(&["status", "-f"]).exits(2);
    let mut live = sandbox.start(&["run", "gated.ron", "--yes"]);
    live.until("started");
    let _follower = terminal.start(uncoloured(sandbox.command(["status", "--follow"])));
    let block = terminal.until("critical path: held → last");
    assert!(block.contains("▶ held"), "{block:?}");
    std::fs::write(gate, "x\n").unwrap();
    // What happens scrolls by; then there is where it is.
    terminal.until("✓ last");
    terminal.until("completed");
    terminal.until("2 of 2 steps done");
    live.end().exits(0);
    sandbox.wf(&["status", "-f"]).exits(0).says("nothing to follow").tells("completed");
    sandbox.wf(&["list", "--state", "live"]).exits(0).says("none of the 1 run is like that");
    assert_eq!(sandbox.json(&["list", "--workflow", "gated", "--state", "completed,paused", "--since", "1h"]).as_array().unwrap().len(), 1);
    for none in [["--workflow", "other"], ["--state", "stuck"], ["--since", "2099-01-01"]] {
        assert_eq!(sandbox.json(&[&["list"], &none[..]].concat()).as_array().unwrap().len(), 0, "{none:?}");
    }
    sandbox.wf(&["list", "--since", "yesterday"]).exits(2);
}
