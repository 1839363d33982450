//! Other processes: this test binary once more.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

const ROLE: &str = "WF_JOURNAL_TEST_ROLE";
const STATE: &str = "WF_JOURNAL_TEST_STATE";

/// This test binary once more, as another process: it runs the test `child` in a role, under a umask.
pub struct Other {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Other {
    pub fn start(role: &str, state: &Path, umask: &str) -> Self {
        let mut child = Command::new("sh")
            .args(["-c", &format!("umask {umask}; exec \"$0\" \"$@\"")])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture", "--test-threads=1"])
            .env(ROLE, role)
            .env(STATE, state)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the next line that the role has said.
    pub fn heard(&mut self) -> String {
        loop {
            let mut line = String::new();
            assert_ne!(self.lines.read_line(&mut line).unwrap(), 0, "the other process ended too early");
            // The test harness says things too, some of them on the same line.
            if let Some((_, said)) = line.rsplit_once("child says ") {
                return said.trim().to_owned();
            }
        }
    }

    /// Kills the process, as `kill -9` does, and returns what it had said until then.
    pub fn kill(mut self) -> Vec<String> {
        self.child.kill().unwrap();
        let mut rest = Vec::new();
        let mut line = String::new();
        while self.lines.read_line(&mut line).unwrap() > 0 {
            rest.extend(line.strip_suffix('\n').and_then(|line| line.rsplit_once("child says ")).map(|(_, said)| said.to_owned()));
            line.clear();
        }
        self.child.wait().unwrap();
        rest
    }

    /// Lets the process end by itself.
    pub fn finish(mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().unwrap().success());
    }
}

/// The role and the state directory, in the other process.
pub fn role() -> Option<(String, std::path::PathBuf)> {
    Some((std::env::var(ROLE).ok()?, std::env::var_os(STATE)?.into()))
}

/// Says something to the process that started this one.
pub fn say(what: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "child says {what}").unwrap();
    out.flush().unwrap();
}

/// Waits until the process that started this one has enough of it.
pub fn wait_for_the_end() {
    std::io::stdin().lock().read_line(&mut String::new()).unwrap();
}
