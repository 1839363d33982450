//! The lock on a run: alone for its owner, shared among those who only read. The kernel releases it when the process ends, however it ends, so
//! there are no stale locks to break and a process id that is used again fools nobody: what the file *says* is only for the message.
//! Readers leave the file as it is, so that a run can be read where nothing can be written.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::layout;

/// How long a claim waits for those who only read.
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
}

impl Holder {
    fn this_process() -> Self {
        let mut words = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
        let program = words.next().unwrap_or_default();
        let program = program.rsplit('/').next().unwrap_or_default().to_owned();
        let command = words.next().filter(|verb| !verb.starts_with('-')).map_or(program.clone(), |verb| format!("{program} {verb}"));
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned();
        Self { pid: std::process::id(), host, user: user(), since: Timestamp::now(), command }
    }
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { pid, host, user, since, command } = self;
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

/// A run that no other process can own. Dropping it unlocks.
#[derive(Debug)]
pub(crate) struct RunLock {
    file: File,
    owner: bool,
}

impl RunLock {
    /// Makes this process the owner of a run. Does not wait for another owner, but for those who only read.
    pub(crate) fn own(path: &Path) -> Result<Self, LockError> {
        let file = layout::create_file(path).map_err(LockError::Io)?;
        wait(path, || file.try_lock(), || only_read(&file))?;
        write_name(&file, &Holder::this_process()).map_err(LockError::Io)?;
        Ok(Self { file, owner: true })
    }

    /// Keeps owners away while this process reads, without a trace. `None` when there is no lock, because nobody has ever owned the run.
    pub(crate) fn share(path: &Path) -> Result<Option<Self>, LockError> {
        let file = match File::open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            file => file.map_err(LockError::Io)?,
        };
        wait(path, || file.try_lock_shared(), || Ok(false))?;
        Ok(Some(Self { file, owner: false }))
    }
}

impl Drop for RunLock {
    fn drop(&mut self) {
        if self.owner {
            // A name left behind is harmless: only a locked file's is believed.
            let _ = self.file.set_len(0);
        }
        let _ = self.file.unlock();
    }
}

/// Tries until the file is locked, or it is clear that an owner has it.
fn wait(path: &Path, try_lock: impl Fn() -> Result<(), TryLockError>, only_read: impl Fn() -> io::Result<bool>) -> Result<(), LockError> {
    let started = Instant::now();
    loop {
        match try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(LockError::Io(error)),
            Err(TryLockError::WouldBlock) => {}
        }
        // A name in a file that is only read is that of a former owner.
        let (holder, patience) = match only_read().map_err(LockError::Io)? {
            true => (None, READER_WAIT_MAX),
            false => named(path),
        };
        if started.elapsed() >= patience {
            return Err(LockError::Held(holder.map(Box::new)));
        }
        std::thread::sleep(POLL);
    }
}

/// Tells whether those who have a file locked only read: then one more reader has a place among them.
fn only_read(file: &File) -> io::Result<bool> {
    match file.try_lock_shared() {
        Ok(()) => file.unlock().map(|()| true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Returns who owns a run as its file says it, and how long to wait for another name.
fn named(path: &Path) -> (Option<Holder>, Duration) {
    let holder = holder(path);
    let patience = if holder.as_ref().is_some_and(alive) { Duration::ZERO } else { NAME_WAIT_MAX };
    (holder, patience)
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
