//! The simulated world on disk: one snapshot, one append-only log of calls, one lock.
//!
//! Promise: what was answered survives a killed process (not a power failure; it is a simulator). A mutating call is
//! logged first and the snapshot, which says how many log entries belong to it, replaces the old one by rename after;
//! log entries beyond that count are a call that never took effect and are cut off when the world is opened.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::calls::CallRecord;
use crate::error::SimError;
use crate::world::World;

const WORLD: &str = "world.json";
const CALLS: &str = "calls.jsonl";
const LOCK: &str = "lock";

/// A world that was kept, and its calls.
pub(crate) type Kept = (World, Vec<CallRecord>);

/// An open, locked state directory.
#[derive(Debug)]
pub(crate) struct Store {
    dir: PathBuf,
    calls: File,
    _lock: File,
}

fn io<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(std::io::Error) -> SimError + use<'a> {
    move |source| SimError::Io { doing, path: path.to_owned(), source }
}

impl Store {
    /// Opens and locks `dir`; returns the world kept there, if there is one, and its calls.
    pub(crate) fn open(dir: &Path) -> Result<(Store, Option<Kept>), SimError> {
        std::fs::create_dir_all(dir).map_err(io("create", dir))?;
        let lock = lock(dir)?;
        let path = dir.join(CALLS);
        let calls = OpenOptions::new().read(true).append(true).create(true).open(&path).map_err(io("open", &path))?;
        let mut store = Store { dir: dir.to_owned(), calls, _lock: lock };
        let kept = match read_world(dir) {
            Ok(world) => {
                let calls = store.cut_off(world.entries)?;
                Some((world, calls))
            }
            Err(SimError::Missing { .. }) => {
                store.cut_off(0)?;
                None
            }
            Err(other) => return Err(other),
        };
        Ok((store, kept))
    }

    /// Keeps the first `count` log entries and removes what was written beyond them.
    fn cut_off(&mut self, count: u64) -> Result<Vec<CallRecord>, SimError> {
        let path = self.dir.join(CALLS);
        let mut text = String::new();
        self.calls.seek(SeekFrom::Start(0)).map_err(io("read", &path))?;
        self.calls.read_to_string(&mut text).map_err(io("read", &path))?;
        let (calls, bytes) = parse_calls(&path, &text, count)?;
        if (calls.len() as u64) < count {
            let message = format!("it holds {} calls where the world knows {count}", calls.len());
            return Err(SimError::Corrupt { path, message });
        }
        self.calls.set_len(bytes as u64).map_err(io("write", &path))?;
        Ok(calls)
    }

    /// Appends one entry; it counts only once a world that includes it is saved.
    pub(crate) fn append(&mut self, call: &CallRecord) -> Result<(), SimError> {
        let path = self.dir.join(CALLS);
        let mut line = serde_json::to_vec(call).map_err(|e| io("write", &path)(e.into()))?;
        line.push(b'\n');
        self.calls.write_all(&line).map_err(io("write", &path))
    }

    /// Replaces the kept world.
    pub(crate) fn save(&self, world: &World) -> Result<(), SimError> {
        let path = self.dir.join(WORLD);
        let temporary = self.dir.join("world.json.new");
        let text = serde_json::to_vec(world).map_err(|e| io("write", &path)(e.into()))?;
        std::fs::write(&temporary, text).map_err(io("write", &temporary))?;
        std::fs::rename(&temporary, &path).map_err(io("write", &path))
    }
}

fn lock(dir: &Path) -> Result<File, SimError> {
    let path = dir.join(LOCK);
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(io("open", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let pid = std::fs::read_to_string(&path).map(|t| t.trim().to_owned()).unwrap_or_default();
            let pid = if pid.is_empty() { "unknown".to_owned() } else { pid };
            return Err(SimError::Locked { path: dir.to_owned(), pid });
        }
        Err(TryLockError::Error(source)) => {
            return Err(SimError::Io { doing: "lock", path, source });
        }
    }
    file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(io("write", &path))?;
    Ok(file)
}

/// Reads at most `count` entries; a torn last line is left out. Returns the bytes that they take.
fn parse_calls(path: &Path, text: &str, count: u64) -> Result<(Vec<CallRecord>, usize), SimError> {
    let mut calls = Vec::new();
    let mut bytes = 0;
    for line in text.split_inclusive('\n') {
        if calls.len() as u64 == count || !line.ends_with('\n') {
            break;
        }
        let call = serde_json::from_str(line)
            .map_err(|e| SimError::Corrupt { path: path.to_owned(), message: format!("line {}: {e}", calls.len() + 1) })?;
        calls.push(call);
        bytes += line.len();
    }
    Ok((calls, bytes))
}

/// Reads the kept world without a lock: rename makes every version whole.
pub(crate) fn read_world(dir: &Path) -> Result<World, SimError> {
    let path = dir.join(WORLD);
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Err(SimError::Missing { path: dir.to_owned() });
        }
        Err(e) => return Err(io("read", &path)(e)),
    };
    let corrupt = |message| SimError::Corrupt { path: path.clone(), message };
    let world: World = serde_json::from_slice(&text).map_err(|e| corrupt(e.to_string()))?;
    if world.version != World::VERSION {
        return Err(corrupt(format!("its version is {}, not {}", world.version, World::VERSION)));
    }
    Ok(world)
}

/// Returns the calls of the kept world, without a lock.
pub fn read_calls(state_dir: &Path) -> Result<Vec<CallRecord>, SimError> {
    let world = read_world(state_dir)?;
    let path = state_dir.join(CALLS);
    let text = std::fs::read_to_string(&path).map_err(io("read", &path))?;
    Ok(parse_calls(&path, &text, world.entries)?.0)
}

/// Forgets the kept world, so that the next open starts anew. Refuses while a process has it open.
pub fn reset(state_dir: &Path) -> Result<(), SimError> {
    if !state_dir.exists() {
        return Ok(());
    }
    let _lock = lock(state_dir)?;
    for name in [WORLD, CALLS] {
        let path = state_dir.join(name);
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(io("remove", &path)(e));
            }
            _ => {}
        }
    }
    Ok(())
}
