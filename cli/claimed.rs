//! [`Claimed`]: a run that this process has taken over, handed to the engine as its journal. The engine claims a run itself, but the
//! command line must know before that which world the run acts on. This way a long journal is read once, and nobody comes between.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use wf_engine::journal::{Claim, Journal, JournalError};
use wf_engine::model::ids::RunId;
use wf_engine::model::record::{Epoch, Record, Sealed};
use wf_journal::SledJournal;

/// A claimed run.
pub struct Claimed {
    journal: Arc<SledJournal>,
    claim: Mutex<Option<Claim>>,
    /// Everything that earlier owners recorded.
    pub earlier: Vec<Record>,
}

impl Claimed {
    /// Takes a run over. It is given back by the engine, or when this process ends.
    pub async fn claim(journal: &Arc<SledJournal>, run: &RunId) -> Result<Self, JournalError> {
        let claim = journal.claim(run, false).await?;
        let earlier = claim.records.clone();
        Ok(Self { journal: Arc::clone(journal), claim: Mutex::new(Some(claim)), earlier })
    }
}

#[async_trait]
impl Journal for Claimed {
    async fn claim(&self, run: &RunId, create: bool) -> Result<Claim, JournalError> {
        let claim = self.claim.lock().unwrap_or_else(PoisonError::into_inner).take();
        match claim {
            Some(claim) => Ok(claim),
            None => self.journal.claim(run, create).await,
        }
    }

    async fn append(&self, run: &RunId, epoch: Epoch, expected_seq: u64, records: Vec<Sealed>) -> Result<(), JournalError> {
        self.journal.append(run, epoch, expected_seq, records).await
    }

    async fn release(&self, run: &RunId) -> Result<(), JournalError> {
        self.journal.release(run).await
    }

    async fn read(&self, run: &RunId) -> Result<Vec<Record>, JournalError> {
        self.journal.read(run).await
    }

    async fn runs(&self) -> Result<Vec<RunId>, std::io::Error> {
        self.journal.runs().await
    }
}
