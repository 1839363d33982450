//! What a process did to its files: runs this test binary once more under the shim and reads what it wrote down.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::Arc;

use crate::load::{MARKS, ROLE};

/// One call that changed something, or a mark that the process set.
#[derive(Debug, Clone)]
pub enum Op {
    /// A process began: it has no files open.
    Began,
    Open {
        fd: i32,
        create: bool,
        truncate: bool,
        path: PathBuf,
    },
    Write {
        fd: i32,
        at: usize,
        data: Arc<[u8]>,
    },
    Truncate {
        fd: i32,
        len: usize,
    },
    Fsync {
        fd: i32,
    },
    Fdatasync {
        fd: i32,
    },
    Close {
        fd: i32,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    Unlink {
        path: PathBuf,
    },
    Mkdir {
        path: PathBuf,
    },
    Mark(String),
}

impl Op {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Began => "a start",
            Self::Open { .. } => "an open",
            Self::Write { .. } => "a write",
            Self::Truncate { .. } => "a truncate",
            Self::Fsync { .. } => "an fsync",
            Self::Fdatasync { .. } => "an fdatasync",
            Self::Close { .. } => "a close",
            Self::Rename { .. } => "a rename",
            Self::Unlink { .. } => "an unlink",
            Self::Mkdir { .. } => "a mkdir",
            Self::Mark(_) => "a mark",
        }
    }
}

/// A directory in memory if there is one: the rebuilt disks are small and many, and nobody needs them to survive.
pub fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir()).unwrap() } else { tempfile::tempdir().unwrap() }
}

/// A process under the shim, and where its files are.
pub struct Recorder {
    scratch: tempfile::TempDir,
}

impl Recorder {
    /// Compiles the shim.
    pub fn new() -> Self {
        let scratch = scratch();
        let source = scratch.path().join("shim.c");
        std::fs::write(&source, include_str!("shim.c")).unwrap();
        let compiled = Command::new("gcc")
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-pthread", "-o"])
            .arg(scratch.path().join("shim.so"))
            .arg(source)
            .status();
        assert!(compiled.expect("gcc is needed to compile tests/power/shim.c").success(), "tests/power/shim.c does not compile");
        std::fs::create_dir(scratch.path().join("root")).unwrap();
        Self { scratch }
    }

    /// The directory that is watched.
    pub fn root(&self) -> PathBuf {
        self.scratch.path().join("root")
    }

    /// The state directory of the roles, which makes it itself.
    pub fn state(&self) -> PathBuf {
        self.root().join("state")
    }

    /// Puts a process under the shim.
    pub fn watch<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let of = |name: &str| self.scratch.path().join(name);
        let command = command.env("LD_PRELOAD", of("shim.so")).env("WF_SHIM_ROOT", self.root());
        command.env("WF_SHIM_TRACE", of("trace")).env("WF_SHIM_MARKS", of("marks"))
    }

    /// Plays a role of [`crate::load`] and waits for its end.
    pub fn play(&self, role: &str) -> ExitStatus {
        let marks = self.scratch.path().join("marks");
        std::fs::write(&marks, "").unwrap();
        self.watch(&mut Command::new(std::env::current_exe().unwrap()))
            .args(["--exact", "child", "--nocapture", "--test-threads=1"])
            .env(MARKS, marks)
            .env(ROLE, role)
            .env("WF_POWER_STATE", self.state())
            .stdout(std::process::Stdio::null())
            .status()
            .unwrap()
    }

    /// Plays a role whose files cannot grow beyond a few MiB, and returns its marks. The shim's own file would be in the way of the limit.
    pub fn play_on_a_full_disk(&self, role: &str) -> String {
        let marks = self.scratch.path().join("marks");
        std::fs::write(&marks, "").unwrap();
        let status = Command::new("sh")
            .args(["-c", "trap '' XFSZ; ulimit -f 6144; exec \"$0\" \"$@\""])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture", "--test-threads=1"])
            .env(MARKS, &marks)
            .env(ROLE, role)
            .env("WF_POWER_STATE", self.state())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .status()
            .unwrap();
        assert!(status.success(), "{role}: {status}");
        std::fs::read_to_string(marks).unwrap()
    }

    /// Everything that was done so far, with paths as they are under the root.
    pub fn ops(&self) -> Vec<Op> {
        let bytes = std::fs::read(self.scratch.path().join("trace")).unwrap();
        let (mut rest, mut ops) = (bytes.as_slice(), Vec::new());
        while let Some((head, after)) = rest.split_first_chunk::<17>() {
            let (data, after) = after.split_at(u32::from_le_bytes(head[13..].try_into().unwrap()) as usize);
            let (fd, number) = (i32::from_le_bytes(head[1..5].try_into().unwrap()), u64::from_le_bytes(head[5..13].try_into().unwrap()));
            ops.push(self.op(head[0], fd, number as usize, data));
            rest = after;
        }
        assert!(rest.is_empty(), "the trace is cut off");
        ops
    }

    fn op(&self, kind: u8, fd: i32, number: usize, data: &[u8]) -> Op {
        let text = || std::str::from_utf8(data).unwrap();
        let under = |path: &str| Path::new(path).strip_prefix(self.root()).unwrap().to_owned();
        match kind {
            b'P' => Op::Began,
            b'O' => Op::Open { fd, create: number & 1 != 0, truncate: number & 2 != 0, path: under(text()) },
            b'W' => Op::Write { fd, at: number, data: data.into() },
            b'T' => Op::Truncate { fd, len: number },
            b'S' => Op::Fsync { fd },
            b'D' => Op::Fdatasync { fd },
            b'C' => Op::Close { fd },
            b'R' => {
                let (from, to) = text().split_once('\0').unwrap();
                Op::Rename { from: under(from), to: under(to) }
            }
            b'U' => Op::Unlink { path: under(text()) },
            b'M' => Op::Mkdir { path: under(text()) },
            b'A' => Op::Mark(text().to_owned()),
            kind => panic!("the shim wrote {kind}"),
        }
    }
}
