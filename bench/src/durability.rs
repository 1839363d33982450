//! How appends reach the journal: as the engine makes them, or cut up to show what its group commit saves.

use std::sync::Arc;

use async_trait::async_trait;
use wf_engine::journal::{Claim, Journal, JournalError};
use wf_engine::model::event::Event;
use wf_engine::model::ids::RunId;
use wf_engine::model::record::{Epoch, Record, Sealed};
use wf_journal::SledJournal;

/// What is made durable together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commit {
    /// All that happened since the last sync, of all steps: what `wf` does.
    Together,
    /// Ablation: the start of each step by itself, and the end of each step by itself.
    TwiceAStep,
    /// Ablation: each record by itself.
    EachRecord,
}

/// A journal whose appends are cut up.
pub(crate) struct Cut {
    pub(crate) journal: Arc<SledJournal>,
    pub(crate) commit: Commit,
}

impl Cut {
    /// Tells whether what was appended up to `record` is made durable before what follows.
    fn ends_after(&self, record: &Sealed) -> bool {
        match self.commit {
            Commit::Together => false,
            Commit::EachRecord => true,
            Commit::TwiceAStep => {
                let record = Record::decode(record.seq, &record.bytes);
                // What was sealed a moment ago can be read.
                record.is_ok_and(|record| matches!(record.event, Event::StepStarted { .. } | Event::StepSucceeded { .. }))
            }
        }
    }
}

#[async_trait]
impl Journal for Cut {
    async fn claim(&self, run: &RunId, create: bool) -> Result<Claim, JournalError> {
        self.journal.claim(run, create).await
    }

    async fn append(&self, run: &RunId, epoch: Epoch, expected_seq: u64, records: Vec<Sealed>) -> Result<(), JournalError> {
        let mut part = Vec::new();
        let mut first = expected_seq;
        for record in records {
            let ends = self.ends_after(&record);
            part.push(record);
            if ends {
                let len = part.len() as u64;
                self.journal.append(run, epoch, first, std::mem::take(&mut part)).await?;
                first += len;
            }
        }
        if part.is_empty() { Ok(()) } else { self.journal.append(run, epoch, first, part).await }
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
