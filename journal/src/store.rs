//! [`SledJournal`]: which runs this process owns, and the way from async callers to blocking storage.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;
use wf_engine::journal::{Claim, Journal, JournalError};
use wf_engine::model::ids::RunId;
use wf_engine::model::record::{Epoch, Record, Sealed};

use crate::codec::Replay;
use crate::layout::Layout;
use crate::run::OpenRun;
use crate::writer::{DISK_TIME_MAX, Writer};

/// Says why a state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Something else has its name.
    #[error("{} is not a directory", path.display())]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// There is no thread for writing.
    #[error("the thread that writes the journal cannot be started")]
    NoThread {
        /// What the operating system says.
        #[source]
        source: io::Error,
    },
}

/// The runs of a state directory, each in a sled of its own.
///
/// Promises:
/// - When `append` returns `Ok`, the records survive a power failure, and so does all that was appended before.
/// - An append is stored whole or not at all, and a reader sees nothing that was not acknowledged or that another process may still take back.
/// - When an append to a run fails, all later ones fail too, until the run is claimed anew.
/// - A run has one owner among all processes of the machine; when the owner dies, however it dies, the run is free.
///
/// It makes no promise against a process that writes to the files without the lock.
#[derive(Debug)]
pub struct SledJournal {
    layout: Layout,
    owned: Arc<Mutex<HashMap<RunId, Owned>>>,
    writer: Writer,
}

#[derive(Debug)]
enum Owned {
    Opening,
    Open(Arc<OpenRun>),
}

/// What [`SledJournal::verify`] found: a journal whose records are all there, unaltered and in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// How many records there are.
    pub records: u64,
    /// The hash of the last one, empty when there is none: whoever has noted it elsewhere can tell that nothing was rewritten since.
    pub head: String,
    /// When the last one was made.
    pub last_at: Option<Timestamp>,
}

impl SledJournal {
    /// Uses a state directory, which is made with its first run.
    ///
    /// # Errors
    /// When the path is taken by something else, or there is no thread for writing.
    pub fn open(state_dir: &Path) -> Result<Self, OpenError> {
        if state_dir.exists() && !state_dir.is_dir() {
            return Err(OpenError::NotADirectory { path: state_dir.to_owned() });
        }
        let writer = Writer::start(DISK_TIME_MAX).map_err(|source| OpenError::NoThread { source })?;
        Ok(Self { layout: Layout::new(state_dir), owned: Arc::default(), writer })
    }

    /// Makes copies to read from in another directory than that of all temporary files.
    #[must_use]
    pub fn with_copies_in(self, dir: &Path) -> Self {
        Self { layout: self.layout.with_copies_in(dir), ..self }
    }

    /// Returns where things are.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Returns how many times appends have waited for the disk since [`SledJournal::open`].
    pub fn syncs(&self) -> u64 {
        self.writer.syncs().load(Ordering::Relaxed)
    }

    /// Reads a run as [`Journal::read`] does, and reports what was verified.
    ///
    /// # Errors
    /// As [`Journal::read`]: [`JournalError::Damaged`] names the first bad record.
    pub async fn verify(&self, run: &RunId) -> Result<Verified, JournalError> {
        let replay = self.replay(run).await?;
        Ok(Verified { records: replay.chain.next_seq(), head: replay.chain.head().to_owned(), last_at: replay.chain.last_at() })
    }

    async fn replay(&self, run: &RunId) -> Result<Replay, JournalError> {
        let (layout, id) = (self.layout.clone(), run.clone());
        let own = self.own(run);
        blocking(run, move || own.map_or_else(|| OpenRun::read(&layout, &id), |open| open.replay())).await
    }

    fn own(&self, run: &RunId) -> Option<Arc<OpenRun>> {
        match lock(&self.owned).get(run) {
            Some(Owned::Open(open)) => Some(Arc::clone(open)),
            Some(Owned::Opening) | None => None,
        }
    }

    /// Keeps a second claim of this process out. The run's lock would do so too, but later and with the same words.
    fn reserve(&self, run: &RunId) -> Result<(), JournalError> {
        let mut owned = lock(&self.owned);
        if owned.contains_key(run) {
            let holder = "this process itself".to_owned();
            return Err(JournalError::Locked { run: run.clone(), holder, pid: Some(std::process::id()) });
        }
        owned.insert(run.clone(), Owned::Opening);
        Ok(())
    }
}

#[async_trait]
impl Journal for SledJournal {
    async fn claim(&self, run: &RunId, create: bool) -> Result<Claim, JournalError> {
        self.reserve(run)?;
        let (layout, owned, id) = (self.layout.clone(), Arc::clone(&self.owned), run.clone());
        // The outcome is noted where it cannot be lost, even if the caller stops waiting for it.
        let claimed = blocking(run, move || {
            let opened = OpenRun::open(&layout, &id, create);
            let mut owned = lock(&owned);
            match opened {
                Err(error) => {
                    owned.remove(&id);
                    Err(error)
                }
                Ok((open, replay)) => {
                    let epoch = open.state().epoch;
                    owned.insert(id, Owned::Open(Arc::new(open)));
                    Ok(Claim { epoch, head: replay.chain.head().to_owned(), records: replay.records })
                }
            }
        });
        claimed.await
    }

    async fn append(&self, run: &RunId, epoch: Epoch, expected_seq: u64, records: Vec<Sealed>) -> Result<(), JournalError> {
        match self.own(run) {
            Some(open) => self.writer.append(open, epoch, expected_seq, records).await,
            None => Err(JournalError::Fenced { run: run.clone(), expected: expected_seq, epoch, found: 0, owner: 0 }),
        }
    }

    async fn release(&self, run: &RunId) -> Result<(), JournalError> {
        let Some(released) = self.own(run) else {
            return Ok(());
        };
        lock(&self.owned).remove(run);
        blocking(run, move || {
            drop(released);
            Ok(())
        })
        .await
    }

    async fn read(&self, run: &RunId) -> Result<Vec<Record>, JournalError> {
        Ok(self.replay(run).await?.records)
    }

    async fn runs(&self) -> Result<Vec<RunId>, io::Error> {
        let layout = self.layout.clone();
        tokio::task::spawn_blocking(move || layout.runs()).await.map_err(io::Error::other)?
    }
}

async fn blocking<T: Send + 'static>(
    run: &RunId,
    work: impl FnOnce() -> Result<T, JournalError> + Send + 'static,
) -> Result<T, JournalError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(gone) => Err(JournalError::Storage { run: run.clone(), doing: "used", source: Box::new(gone) }),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
