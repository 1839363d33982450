//! The [`Journal`] trait: where events become durable. The engine owns the trait; sled, and later a table in the standby region,
//! plug in from outside.

use async_trait::async_trait;

use crate::model::ids::RunId;
use crate::model::record::{Epoch, Record, RecordError, Sealed};

/// Says what went wrong with a journal. After any of them the caller stops acting on the run.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// There is no such run.
    #[error("there is no run {run}")]
    NoSuchRun {
        /// The run.
        run: RunId,
    },
    /// Another process owns the run.
    #[error("run {run} is in the hands of {holder}")]
    Locked {
        /// The run.
        run: RunId,
        /// The other process, as it described itself.
        holder: String,
        /// Its process id, when it is known.
        pid: Option<u32>,
    },
    /// Somebody else has appended since: this owner is no longer the owner.
    #[error("run {run}: record {expected} cannot be appended with epoch {epoch}, the journal is at record {found} of epoch {owner}")]
    Fenced {
        /// The run.
        run: RunId,
        /// Where the caller wanted to append.
        expected: u64,
        /// The caller's epoch.
        epoch: Epoch,
        /// Where the journal is.
        found: u64,
        /// The epoch of the owner.
        owner: Epoch,
    },
    /// A record is damaged: the run is quarantined.
    #[error("the journal of run {run} is damaged")]
    Damaged {
        /// The run.
        run: RunId,
        /// The first thing that is wrong.
        source: RecordError,
    },
    /// The storage failed.
    #[error("the journal of run {run} could not be {doing}")]
    Storage {
        /// The run.
        run: RunId,
        /// What was being done: `written`, `read`, `opened`…
        doing: &'static str,
        /// What the storage says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An earlier write failed, so nothing can be promised any more.
    #[error("the journal of run {run} failed earlier and takes nothing more from this process")]
    Poisoned {
        /// The run.
        run: RunId,
    },
}

/// What the owner of a run gets when it takes the run over.
#[derive(Debug)]
pub struct Claim {
    /// The owner's number, higher than that of every owner before.
    pub epoch: Epoch,
    /// Everything on record, verified.
    pub records: Vec<Record>,
    /// The hash of the last record; empty for a new run.
    pub head: String,
}

/// A durable, append-only store of runs.
#[async_trait]
pub trait Journal: Send + Sync {
    /// Makes this process the owner of a run, creating the run if `create` says so.
    ///
    /// # Errors
    /// [`JournalError::Locked`] when another process owns it, [`JournalError::NoSuchRun`], or what is wrong with the storage.
    async fn claim(&self, run: &RunId, create: bool) -> Result<Claim, JournalError>;

    /// Appends records, all or none. `Ok` means that they survive a power failure.
    ///
    /// # Errors
    /// [`JournalError::Fenced`] when `epoch` is not the owner's or `expected_seq` is not the next place. After any error nothing
    /// more is acknowledged for this run.
    async fn append(&self, run: &RunId, epoch: Epoch, expected_seq: u64, records: Vec<Sealed>) -> Result<(), JournalError>;

    /// Gives the run back, so that another process can claim it.
    ///
    /// # Errors
    /// When the storage cannot be closed.
    async fn release(&self, run: &RunId) -> Result<(), JournalError>;

    /// Reads a run that nobody owns, and verifies it, without becoming its owner.
    ///
    /// # Errors
    /// As [`Journal::claim`]; a damaged run names its first bad record.
    async fn read(&self, run: &RunId) -> Result<Vec<Record>, JournalError>;

    /// Lists the runs there are, oldest first.
    ///
    /// # Errors
    /// When the storage cannot be listed; the run of the error is then meaningless, so the cause says what.
    async fn runs(&self) -> Result<Vec<RunId>, std::io::Error>;
}
