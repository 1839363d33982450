//! The lock on a run. The kernel releases it when the process ends, however it ends, so there are no stale locks to break and a process id
//! that is used again fools nobody: what the file *says* is only for the message.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::layout;

/// How long a claim waits for somebody who only reads.
const READER_WAIT_MAX: Duration = Duration::from_secs(5);
/// How long a new holder may take to write its name.
const NAME_WAIT_MAX: Duration = Duration::from_millis(100);
const POLL: Duration = Duration::from_millis(5);

/// Who has a run, as the file `lock` says it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The process.
    pub pid: u32,
    /// The machine it runs on.
    pub host: String,
    /// Who started it.
    pub user: String,
    /// Since when it has the run.
    pub since: Timestamp,
    /// What it does: the program and its verb. Other arguments may be secret.
    pub command: String,
    /// Whether it only reads, which takes a moment.
    #[serde(default)]
    pub reading: bool,
}

impl Holder {
    fn this_process(reading: bool) -> Self {
        let mut words = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
        let program = words.next().unwrap_or_default();
        let program = program.rsplit('/').next().unwrap_or_default().to_owned();
        let command = words.next().filter(|verb| !verb.starts_with('-')).map_or(program.clone(), |verb| format!("{program} {verb}"));
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned();
        Self { pid: std::process::id(), host, user: user(), since: Timestamp::now(), command, reading }
    }
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { pid, host, user, since, command, reading: _ } = self;
        // The file may have been written by anyone with access: nothing of it reaches the terminal raw.
        write!(f, "process {pid} (`{}` of {} on {}, since {since:.0})", command.escape_debug(), user.escape_debug(), host.escape_debug())
    }
}

fn user() -> String {
    let named = ["USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty()));
    named.unwrap_or_else(|| fs::metadata("/proc/self").map_or_else(|_| "unknown".to_owned(), |process| format!("uid {}", process.uid())))
}

/// Says why a run could not be locked.
#[derive(Debug)]
pub(crate) enum LockError {
    /// Somebody has it; `None` when it did not get to write its name.
    Held(Option<Box<Holder>>),
    /// The file cannot be used.
    Io(io::Error),
}

/// A locked run. Dropping it unlocks.
#[derive(Debug)]
pub(crate) struct RunLock {
    file: File,
}

impl RunLock {
    /// Locks a run. Does not wait for an owner, but for somebody who only reads.
    pub(crate) fn acquire(path: &Path, reading: bool) -> Result<Self, LockError> {
        let file = layout::create_file(path).map_err(LockError::Io)?;
        let started = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(error)) => return Err(LockError::Io(error)),
                Err(TryLockError::WouldBlock) => {}
            }
            let holder = holder(path);
            let patience = match &holder {
                Some(holder) if holder.reading => READER_WAIT_MAX,
                Some(holder) if alive(holder) => Duration::ZERO,
                Some(_) | None => NAME_WAIT_MAX,
            };
            if started.elapsed() >= patience {
                return Err(LockError::Held(holder.map(Box::new)));
            }
            std::thread::sleep(POLL);
        }
        write_name(&file, &Holder::this_process(reading)).map_err(LockError::Io)?;
        Ok(Self { file })
    }
}

impl Drop for RunLock {
    fn drop(&mut self) {
        // A name left behind is harmless: only a locked file's is believed.
        let _ = self.file.set_len(0);
        let _ = self.file.unlock();
    }
}

fn write_name(file: &File, holder: &Holder) -> io::Result<()> {
    file.set_len(0)?;
    file.write_all_at(&serde_json::to_vec(holder)?, 0)
}

fn holder(path: &Path) -> Option<Holder> {
    fs::read(path).ok().and_then(|json| serde_json::from_slice(&json).ok())
}

/// Tells whether the name can be that of the process that has the lock, and not that of one that died with it. Of other machines one cannot tell.
fn alive(holder: &Holder) -> bool {
    let here = fs::read_to_string("/proc/sys/kernel/hostname").is_ok_and(|host| host.trim() == holder.host);
    !here || Path::new(&format!("/proc/{}", holder.pid)).exists()
}
