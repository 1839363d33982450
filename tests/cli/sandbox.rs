//! A sandbox for tests of the `wf` binary: an own directory, an own environment, no account, no network.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};

use serde_json::Value;

/// A directory with workflow files and the runs made from them.
pub struct Sandbox {
    dir: tempfile::TempDir,
}

/// What a finished `wf` left.
pub struct Outcome {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Sandbox {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    /// Another sandbox with the same files in it.
    pub fn copy(&self) -> Self {
        let copy = Self::new();
        let from = self.path(".");
        assert!(Command::new("cp").arg("-a").arg(from).arg(copy.path("")).status().unwrap().success());
        copy
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a workflow file with the given steps.
    pub fn workflow(&self, name: &str, steps: &str) {
        self.file(&format!("{name}.ron"), &format!("Workflow(name: \"{name}\", steps: [{steps}])"));
    }

    pub fn file(&self, name: &str, text: &str) {
        File::create(self.path(name)).unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// Makes a named pipe, by which a test and a step wait for each other.
    pub fn pipe(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        path
    }

    pub fn command(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wf"));
        let path = std::env::var_os("PATH").unwrap_or_default();
        command
            .env_clear()
            .env("PATH", path)
            .env("HOME", self.dir.path())
            .env("USER", "tester")
            .current_dir(self.dir.path())
            .args(args)
            .stdin(Stdio::null());
        command
    }

    /// As [`Sandbox::command`], at the root of the checkout, where the shipped workflows are.
    pub fn at_root(&self, args: &[&str]) -> Command {
        let mut command = self.command(args);
        command.current_dir(env!("CARGO_MANIFEST_DIR")).env("WF_STATE_DIR", self.path(".wf"));
        command
    }

    /// Runs `wf` to its end.
    pub fn wf(&self, args: &[&str]) -> Outcome {
        Outcome::of(&mut self.command(args))
    }

    /// Runs `wf` and reads what it writes to stdout as JSON.
    pub fn json(&self, args: &[&str]) -> Value {
        let outcome = self.wf(&[args, &["--json"]].concat());
        serde_json::from_str(&outcome.stdout).unwrap_or_else(|error| panic!("no JSON ({error}) of {args:?}: {outcome:?}"))
    }

    /// Starts `wf`, to be watched by its lines on stderr.
    pub fn start(&self, args: &[&str]) -> Live {
        let mut child = self.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap());
        Live { child, lines, seen: String::new() }
    }

    /// Returns the id of the newest run.
    pub fn latest(&self) -> String {
        self.json(&["list"])[0]["run"].as_str().unwrap().to_owned()
    }
}

impl Outcome {
    /// Runs a command to its end.
    pub fn of(command: &mut Command) -> Self {
        let output = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Checks the exit code; shows everything when it is another one.
    #[track_caller]
    pub fn exits(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Checks that the words were said on stderr, line breaks aside.
    #[track_caller]
    pub fn says(&self, words: &str) -> &Self {
        assert!(flat(&self.stderr).contains(words), "`{words}` not said on stderr:\n{}", self.stderr);
        self
    }

    /// Checks that the words were written to stdout, line breaks aside.
    #[track_caller]
    pub fn tells(&self, words: &str) -> &Self {
        assert!(flat(&self.stdout).contains(words), "`{words}` not told on stdout:\n{}", self.stdout);
        self
    }
}

impl std::fmt::Debug for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exit {:?}\nstdout:\n{}\nstderr:\n{}", self.code, self.stdout, self.stderr)
    }
}

/// Long messages are wrapped, with a rule at the left.
fn flat(text: &str) -> String {
    text.split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ")
}

/// A `wf` that is alive.
pub struct Live {
    child: Child,
    lines: BufReader<ChildStderr>,
    seen: String,
}

impl Live {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Reads its stderr until a line has `words`.
    #[track_caller]
    pub fn until(&mut self, words: &str) -> &mut Self {
        assert!(self.says_before_it_ends(words), "it ended before it said `{words}`:\n{}", self.seen);
        self
    }

    /// Returns what it said on stderr so far.
    pub fn said(&self) -> &str {
        &self.seen
    }

    /// Reads its stderr until a line has `words`, or there are no more.
    pub fn says_before_it_ends(&mut self, words: &str) -> bool {
        loop {
            let mut line = String::new();
            let read = self.lines.read_line(&mut line).unwrap();
            self.seen.push_str(&line);
            if line.contains(words) {
                return true;
            }
            if read == 0 {
                return false;
            }
        }
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    pub fn kill(mut self) -> ExitStatus {
        self.child.kill().unwrap();
        self.child.wait().unwrap()
    }

    /// Waits for its end.
    pub fn end(mut self) -> Outcome {
        self.lines.read_to_string(&mut self.seen).unwrap();
        let mut stdout = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
        let code = self.child.wait().unwrap().code();
        Outcome { code, stdout, stderr: std::mem::take(&mut self.seen) }
    }
}
