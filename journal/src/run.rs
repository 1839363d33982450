//! One run that this process has locked: its sled, its files, and the order in which they are written.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use wf_engine::journal::JournalError;
use wf_engine::model::ids::RunId;
use wf_engine::model::record::{Epoch, RecordError, Sealed};

use crate::codec::{self, Acked, ENTRY_LEN_MAX, Replay};
use crate::layout::{self, Layout};
use crate::lock::{LockError, RunLock};
use crate::verify;

/// How many bytes are given to sled between two `fdatasync` at most. sled writes about six times as much, and must not write two segments
/// without a barrier: see the crate's documentation.
pub const SYNC_WINDOW: usize = 512 * 1024;

/// sled's segments. A page of more than a quarter of one would become a file of its own.
pub(crate) const SEGMENT_LEN: usize = 2 * 1024 * 1024;
const CACHE_LEN: u64 = 8 * 1024 * 1024;

/// sled's own threads may hold its lock a moment longer than the journal that was closed.
const SLED_LOCK_WAIT_MAX: Duration = Duration::from_secs(5);

/// A run in the hands of this process.
///
/// Promises: when [`OpenRun::append`] returns `Ok`, the records survive a power failure. When it returns `Err` once, it never returns
/// `Ok` again: a sync that failed cannot be repeated, as the kernel may have dropped what it could not write.
#[derive(Debug)]
pub(crate) struct OpenRun {
    id: RunId,
    db: Option<sled::Db>,
    /// Where sled's file is, as long as nobody takes it away.
    path: PathBuf,
    /// The same file that sled writes, through a descriptor that was opened before the first write.
    data: File,
    acked: File,
    state: Mutex<State>,
    /// Last, so that the run is unlocked after all else is closed.
    _lock: RunLock,
}

/// Where the run's journal is. Only the writer changes it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct State {
    pub(crate) epoch: Epoch,
    pub(crate) next_seq: u64,
    pub(crate) poisoned: bool,
}

impl OpenRun {
    /// Locks, verifies and opens a run. `create` makes what is missing.
    ///
    /// What the last owner wrote and died before syncing is found and counts from here on, so it is synced before it is returned: sled
    /// does so only when it cuts a segment short.
    pub(crate) fn open(layout: &Layout, id: &RunId, create: bool) -> Result<(Self, Replay), JournalError> {
        let storage = |doing| move |source: io::Error| storage_error(id, doing, source);
        require_run_dir(layout, id, create)?;
        layout.create_run_dir(id).map_err(storage("created"))?;
        let lock = RunLock::own(&layout.lock_file(id)).map_err(|error| lock_error(id, error))?;
        let acked = layout::create_file(&layout.acked_file(id)).map_err(storage("opened"))?;
        let dir = layout.journal_dir(id);
        let verified = if dir.exists() {
            verify::before_opening(layout, id, &acked)?
        } else {
            never_acked(id, Some(&acked))?;
            create_journal(&dir).map_err(|error| sled_error(id, "created", error))?;
            None
        };
        layout::sync_dir(&layout.run_dir(id)).map_err(storage("created"))?;
        let path = dir.join("db");
        let data = OpenOptions::new().read(true).open(&path).map_err(storage("opened"))?;
        let db = open_sled(&dir).map_err(|error| sled_error(id, "opened", error))?;
        layout::restrict(&dir).map_err(storage("opened"))?;
        let replay = match verified {
            Some(verified) => verified.of(id, &db)?,
            None => replay(id, &db, Some(&acked))?,
        };
        data.sync_data().map_err(storage("opened"))?;
        remove_unfinished(&db, &replay).map_err(|error| sled_error(id, "opened", error))?;
        let state = State { epoch: replay.epoch + 1, next_seq: replay.chain.next_seq(), poisoned: false };
        Ok((Self { id: id.clone(), db: Some(db), path, data, acked, state: Mutex::new(state), _lock: lock }, replay))
    }

    /// Reads and verifies a run that nobody has, and leaves every byte of it as it is: it need not even be writable.
    pub(crate) fn read(layout: &Layout, id: &RunId) -> Result<Replay, JournalError> {
        let storage = |source: io::Error| storage_error(id, "read", source);
        require_run_dir(layout, id, false)?;
        loop {
            let lock = RunLock::share(&layout.lock_file(id)).map_err(|error| lock_error(id, error))?;
            let acked = layout::open_file(&layout.acked_file(id)).map_err(storage)?;
            let dir = layout.journal_dir(id);
            let found = if dir.exists() { verify::copied(layout, id, acked.as_ref()) } else { never_acked(id, acked.as_ref()) };
            if lock.is_none() && layout.lock_file(id).exists() {
                // The first owner came meanwhile, and may have written what was being copied.
                continue;
            }
            return found;
        }
    }

    /// Returns which run this is.
    pub(crate) fn id(&self) -> &RunId {
        &self.id
    }

    /// Returns where the journal is.
    pub(crate) fn state(&self) -> State {
        *self.lock_state()
    }

    /// Has the run take nothing more: an append may be on the disk or not.
    pub(crate) fn poison(&self) {
        self.lock_state().poisoned = true;
    }

    /// Reads what has been acknowledged so far.
    pub(crate) fn replay(&self) -> Result<Replay, JournalError> {
        let mut replay = Replay::default();
        let end = codec::key(self.state().next_seq, 0);
        read_chunks(&self.id, self.db().range(..end), &mut replay)?;
        Ok(replay)
    }

    /// Writes records and makes them durable. After an error the run is poisoned.
    pub(crate) fn append(&self, records: &[Sealed], syncs: &AtomicU64) -> Result<(), JournalError> {
        let state = self.state();
        let written = catch_unwind(AssertUnwindSafe(|| self.write(state, records, syncs).and_then(|()| self.check_there())));
        let written = written.unwrap_or_else(|_| Err(WriteError::Panicked));
        let mut state = self.lock_state();
        match written {
            Ok(()) => state.next_seq += records.len() as u64,
            Err(_) => state.poisoned = true,
        }
        drop(state);
        written.map_err(|error| {
            let source: Box<dyn std::error::Error + Send + Sync> = match error {
                WriteError::Gone(gone) => Box::new(gone),
                error => Box::new(error),
            };
            JournalError::Storage { run: self.id.clone(), doing: "written", source }
        })
    }

    fn write(&self, state: State, records: &[Sealed], syncs: &AtomicU64) -> Result<(), WriteError> {
        let len = records.iter().map(|record| record.bytes.len()).sum();
        if len > ENTRY_LEN_MAX {
            return Err(WriteError::TooLarge { len });
        }
        let entry = codec::encode(state.epoch, records);
        let mut unsynced = 0;
        for (key, chunk) in codec::chunks(state.next_seq, &entry) {
            if unsynced + chunk.len() > SYNC_WINDOW {
                self.sync(syncs)?;
                unsynced = 0;
            }
            self.db().insert(key, chunk)?;
            unsynced += chunk.len();
        }
        self.sync(syncs)?;
        self.note_acked(state.next_seq + records.len() as u64, records)
    }

    /// The barrier: what sled has so far is on the disk when this returns.
    fn sync(&self, syncs: &AtomicU64) -> Result<(), WriteError> {
        self.db().flush()?;
        self.data.sync_data().map_err(WriteError::Sync)?;
        syncs.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// A file whose name is gone takes everything and keeps nothing.
    fn check_there(&self) -> Result<(), WriteError> {
        let place = |file: fs::Metadata| (file.dev(), file.ino());
        let ours = self.data.metadata().map(place);
        match (ours, fs::metadata(&self.path).map(place)) {
            (Ok(ours), Ok(there)) if ours == there => Ok(()),
            _ => Err(WriteError::Gone(Gone { path: self.path.clone() })),
        }
    }

    fn note_acked(&self, next_seq: u64, records: &[Sealed]) -> Result<(), WriteError> {
        let hash = records.last().map(|last| last.hash.clone()).unwrap_or_default();
        self.acked.write_all_at(Acked { next_seq, hash }.encode().as_bytes(), 0).map_err(WriteError::Acked)
    }

    fn lock_state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn db(&self) -> &sled::Db {
        // Taken only by `drop`.
        self.db.as_ref().unwrap_or_else(|| unreachable!("a run is not used after it was closed"))
    }
}

impl Drop for OpenRun {
    fn drop(&mut self) {
        if let Some(db) = self.db.take() {
            close(db);
        }
    }
}

/// The file of a journal was taken away from the process that writes it: what is written there is found by nobody.
#[derive(Debug, thiserror::Error)]
#[error("{} is not there any more, or is another file: it was deleted or moved while the run was under way", path.display())]
pub struct Gone {
    /// Where it was.
    pub path: PathBuf,
}

/// Says why records could not be written.
#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error("{len} bytes are more than the {ENTRY_LEN_MAX} that can be appended at once")]
    TooLarge { len: usize },
    #[error(transparent)]
    Sled(#[from] sled::Error),
    #[error("the disk did not confirm")]
    Sync(#[source] io::Error),
    #[error("the mark of what is acknowledged could not be set")]
    Acked(#[source] io::Error),
    #[error(transparent)]
    Gone(Gone),
    #[error("sled gave up in the middle of it")]
    Panicked,
}

/// Says why sled could not be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SledError {
    #[error(transparent)]
    Sled(#[from] sled::Error),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("sled cannot make sense of it")]
    Panicked,
    #[error("what was verified is not what was opened: somebody writes to it without the run's lock")]
    Another,
}

impl SledError {
    /// Tells whether the bytes are at fault, and not the machine.
    pub(crate) fn is_damage(&self) -> bool {
        match self {
            Self::Panicked | Self::Sled(sled::Error::Corruption { .. } | sled::Error::ReportableBug(_)) => true,
            Self::Io(_) | Self::Another | Self::Sled(_) => false,
        }
    }
}

fn require_run_dir(layout: &Layout, id: &RunId, create: bool) -> Result<(), JournalError> {
    if create || layout.run_dir(id).is_dir() { Ok(()) } else { Err(JournalError::NoSuchRun { run: id.clone() }) }
}

fn lock_error(id: &RunId, error: LockError) -> JournalError {
    match error {
        LockError::Held(Some(holder)) => JournalError::Locked { run: id.clone(), pid: Some(holder.pid), holder: holder.to_string() },
        LockError::Held(None) => JournalError::Locked { run: id.clone(), pid: None, holder: "another process".to_owned() },
        LockError::Io(error) => storage_error(id, "locked", error),
    }
}

/// Makes a sled that is durable as a whole before it gets its name.
fn create_journal(dir: &Path) -> Result<(), SledError> {
    let new = dir.with_extension("new");
    match fs::remove_dir_all(&new) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
        Ok(()) | Err(_) => {}
    }
    layout::create_dir(&new)?;
    close(open_sled(&new)?);
    layout::restrict(&new)?;
    layout::sync_tree(&new)?;
    fs::rename(&new, dir).map_err(SledError::Io)
}

pub(crate) fn open_sled(dir: &Path) -> Result<sled::Db, SledError> {
    let started = Instant::now();
    loop {
        remove_snapshots(dir)?;
        let config = sled::Config::new().path(dir).cache_capacity(CACHE_LEN).segment_size(SEGMENT_LEN).flush_every_ms(None);
        match catch_unwind(AssertUnwindSafe(|| config.open())) {
            Err(_) => return Err(SledError::Panicked),
            Ok(Err(error)) if is_sleds_lock(&error) && started.elapsed() < SLED_LOCK_WAIT_MAX => {
                std::thread::sleep(Duration::from_millis(2))
            }
            Ok(opened) => return opened.map_err(SledError::Sled),
        }
    }
}

/// sled has no error of its own for this.
fn is_sleds_lock(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(io) if io.to_string().starts_with("could not acquire lock"))
}

fn remove_snapshots(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("snap.") {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// sled writes and syncs when it is dropped, and panics when that fails. Nothing that was acknowledged depends on it.
pub(crate) fn close(db: sled::Db) {
    if catch_unwind(AssertUnwindSafe(move || drop(db))).is_err() {
        tracing::warn!("sled could not be closed; all that was acknowledged is safe");
    }
}

pub(crate) fn replay(id: &RunId, db: &sled::Db, acked: Option<&File>) -> Result<Replay, JournalError> {
    let mut replay = Replay::default();
    read_chunks(id, db.iter(), &mut replay)?;
    let damaged = |source| JournalError::Damaged { run: id.clone(), source };
    match read_acked(id, acked)? {
        Some(acked) => replay.check_acked(&acked).map_err(damaged)?,
        None => tracing::debug!(run = %id, "no mark of what was acknowledged"),
    }
    Ok(replay)
}

fn read_chunks(id: &RunId, chunks: sled::Iter, replay: &mut Replay) -> Result<(), JournalError> {
    let read = catch_unwind(AssertUnwindSafe(|| {
        for chunk in chunks {
            let (key, value) = chunk.map_err(|error| sled_error(id, "read", error.into()))?;
            replay.chunk(&key, &value).map_err(|source| JournalError::Damaged { run: id.clone(), source })?;
        }
        replay.end();
        Ok(())
    }));
    read.unwrap_or_else(|_| Err(sled_error(id, "read", SledError::Panicked)))
}

fn read_acked(id: &RunId, acked: Option<&File>) -> Result<Option<Acked>, JournalError> {
    let Some(acked) = acked else {
        return Ok(None);
    };
    let mut line = vec![0; 128];
    let len = acked.read_at(&mut line, 0).map_err(|error| storage_error(id, "read", error))?;
    Ok(std::str::from_utf8(&line[..len]).ok().and_then(Acked::decode))
}

/// A run without a journal has no records, unless some were acknowledged.
fn never_acked(id: &RunId, acked: Option<&File>) -> Result<Replay, JournalError> {
    let none = Replay::default();
    if let Some(acked) = read_acked(id, acked)? {
        none.check_acked(&acked).map_err(|source| JournalError::Damaged { run: id.clone(), source })?;
    }
    Ok(none)
}

/// What a crash left of an entry would mix with the entry that takes its place.
fn remove_unfinished(db: &sled::Db, replay: &Replay) -> Result<(), SledError> {
    let Some(first_seq) = replay.unfinished else {
        return Ok(());
    };
    for key in db.range(codec::key(first_seq, 0)..).keys() {
        db.remove(key?)?;
    }
    Ok(())
}

pub(crate) fn storage_error(run: &RunId, doing: &'static str, source: io::Error) -> JournalError {
    JournalError::Storage { run: run.clone(), doing, source: Box::new(source) }
}

pub(crate) fn sled_error(run: &RunId, doing: &'static str, source: SledError) -> JournalError {
    match source {
        SledError::Sled(error) if is_sleds_lock(&error) => JournalError::Locked {
            run: run.clone(),
            holder: "a process that has its sled open without the run's lock".to_owned(),
            pid: None,
        },
        source => JournalError::Storage { run: run.clone(), doing, source: Box::new(source) },
    }
}

/// Refuses records that do not follow each other.
pub(crate) fn check_contiguous(run: &RunId, expected_seq: u64, records: &[Sealed]) -> Result<(), JournalError> {
    match (expected_seq..).zip(records).find(|(expected, record)| *expected != record.seq) {
        None => Ok(()),
        Some((expected, record)) => {
            Err(JournalError::Damaged { run: run.clone(), source: RecordError::Gap { expected, found: record.seq } })
        }
    }
}
