//! [`MemoryJournal`]: the [`Journal`] of tests. It keeps the bytes that a real one would store, and the same rules of ownership.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::journal::{Claim, Journal, JournalError};
use crate::model::ids::RunId;
use crate::model::record::{Chain, Epoch, Record, RecordError, Sealed};

/// A journal in memory. It promises nothing about power; what it holds survives [`MemoryJournal::crash`].
///
/// A clone is the same process; [`MemoryJournal::another_process`] and [`MemoryJournal::crash`] give a handle of another process
/// on the same storage, so two of them fence each other as two `wf` would.
#[derive(Clone)]
pub struct MemoryJournal {
    storage: Arc<Mutex<Storage>>,
    process: u32,
}

/// What happens to one append, chosen with [`MemoryJournal::fail_append`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppendFault {
    /// The append fails and nothing is stored.
    Lost,
    /// The records are stored, but the append still fails: the process does not learn that they are durable.
    StoredUnacknowledged,
}

#[derive(Default)]
struct Storage {
    runs: BTreeMap<RunId, Run>,
    processes: u32,
    appends: u64,
    records: u64,
    fault: Option<(u64, AppendFault)>,
}

#[derive(Default)]
struct Run {
    records: Vec<Sealed>,
    owner: Option<Owner>,
}

#[derive(Clone, Copy)]
struct Owner {
    process: u32,
    epoch: Epoch,
    poisoned: bool,
}

/// The injected failure, as the storage would word it.
#[derive(Debug, thiserror::Error)]
#[error("a failure asked for by the test")]
struct Injected;

impl Default for MemoryJournal {
    fn default() -> Self {
        Self { storage: Arc::default(), process: 1 }
    }
}

impl MemoryJournal {
    /// Makes an empty journal.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns a handle of another process on the same storage. The runs that this one owns stay its own.
    #[must_use]
    pub fn another_process(&self) -> Self {
        let mut storage = self.lock();
        storage.processes += 1;
        Self { storage: Arc::clone(&self.storage), process: 1 + storage.processes }
    }

    /// Ends this process: its runs are free, and its remaining handles are fenced. Returns the handle of the process that comes after.
    #[must_use]
    pub fn crash(&self) -> Self {
        for run in self.lock().runs.values_mut() {
            run.owner = run.owner.filter(|owner| owner.process != self.process);
        }
        self.another_process()
    }

    /// Returns separate storage with the first `records` records of one run: what a crash after that record would leave.
    #[must_use]
    pub fn prefix(&self, run: &RunId, records: usize) -> Self {
        let kept: Vec<_> = self.sealed(run).into_iter().take(records).collect();
        let copy = Self::new();
        copy.lock().runs.insert(run.clone(), Run { records: kept, owner: None });
        copy
    }

    /// Makes the `nth` append from now fail, counting from 0. After it the run is poisoned for its owner.
    pub fn fail_append(&self, nth: u64, fault: AppendFault) {
        let mut storage = self.lock();
        storage.fault = Some((storage.appends + nth, fault));
    }

    /// Returns how many times `append` was asked to store records. On sled, each of a chain is one sync.
    pub fn appends(&self) -> u64 {
        self.lock().appends
    }

    /// Returns how many records were stored through `append`.
    pub fn appended_records(&self) -> u64 {
        self.lock().records
    }

    /// Returns the stored bytes of a run, whoever owns it; empty when there is no such run.
    pub fn sealed(&self, run: &RunId) -> Vec<Sealed> {
        self.lock().runs.get(run).map(|run| run.records.clone()).unwrap_or_default()
    }

    /// Returns the records of a run, whoever owns it.
    ///
    /// # Errors
    /// When the chain does not hold.
    pub fn records(&self, run: &RunId) -> Result<Vec<Record>, RecordError> {
        verified(&self.sealed(run))
    }

    fn lock(&self) -> MutexGuard<'_, Storage> {
        self.storage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn verified(sealed: &[Sealed]) -> Result<Vec<Record>, RecordError> {
    let mut chain = Chain::default();
    sealed.iter().map(|sealed| chain.follow(sealed.seq, &sealed.bytes)).collect()
}

impl Run {
    fn records_of(&self, run: &RunId) -> Result<Vec<Record>, JournalError> {
        verified(&self.records).map_err(|source| JournalError::Damaged { run: run.clone(), source })
    }

    fn check_not_owned(&self, run: &RunId) -> Result<(), JournalError> {
        self.owner.map_or(Ok(()), |owner| {
            Err(JournalError::Locked { run: run.clone(), holder: format!("test process {}", owner.process), pid: Some(owner.process) })
        })
    }

    fn check_may_append(&self, run: &RunId, process: u32, epoch: Epoch, expected: u64) -> Result<(), JournalError> {
        let owner = self.owner.filter(|owner| owner.process == process);
        let found = self.records.len() as u64;
        match owner {
            Some(owner) if owner.poisoned => Err(JournalError::Poisoned { run: run.clone() }),
            Some(owner) if owner.epoch == epoch && found == expected => Ok(()),
            Some(_) | None => {
                let owner = self.owner.map_or(0, |owner| owner.epoch);
                Err(JournalError::Fenced { run: run.clone(), expected, epoch, found, owner })
            }
        }
    }
}

fn check_contiguous(run: &RunId, expected_seq: u64, records: &[Sealed]) -> Result<(), JournalError> {
    match (expected_seq..).zip(records).find(|(expected, record)| *expected != record.seq) {
        None => Ok(()),
        Some((expected, record)) => {
            Err(JournalError::Damaged { run: run.clone(), source: RecordError::Gap { expected, found: record.seq } })
        }
    }
}

#[async_trait]
impl Journal for MemoryJournal {
    async fn claim(&self, run: &RunId, create: bool) -> Result<Claim, JournalError> {
        let mut storage = self.lock();
        if create {
            storage.runs.entry(run.clone()).or_default();
        }
        let entry = storage.runs.get_mut(run).ok_or_else(|| JournalError::NoSuchRun { run: run.clone() })?;
        entry.check_not_owned(run)?;
        let records = entry.records_of(run)?;
        let epoch = 1 + records.last().map_or(0, |record| record.epoch);
        entry.owner = Some(Owner { process: self.process, epoch, poisoned: false });
        let head = entry.records.last().map(|sealed| sealed.hash.clone()).unwrap_or_default();
        Ok(Claim { epoch, records, head })
    }

    async fn append(&self, run: &RunId, epoch: Epoch, expected_seq: u64, records: Vec<Sealed>) -> Result<(), JournalError> {
        let mut storage = self.lock();
        let entry = storage.runs.get(run).ok_or_else(|| JournalError::NoSuchRun { run: run.clone() })?;
        entry.check_may_append(run, self.process, epoch, expected_seq)?;
        check_contiguous(run, expected_seq, &records)?;
        if records.is_empty() {
            return Ok(());
        }
        let nth = storage.appends;
        let fault = storage.fault.take_if(|(at, _)| *at == nth).map(|(_, fault)| fault);
        storage.appends += 1;
        storage.records += records.len() as u64;
        let entry = storage.runs.entry(run.clone()).or_default();
        if fault != Some(AppendFault::Lost) {
            entry.records.extend(records);
        }
        if fault.is_some() {
            entry.owner = entry.owner.map(|owner| Owner { poisoned: true, ..owner });
            return Err(JournalError::Storage { run: run.clone(), doing: "written", source: Box::new(Injected) });
        }
        Ok(())
    }

    async fn release(&self, run: &RunId) -> Result<(), JournalError> {
        if let Some(entry) = self.lock().runs.get_mut(run) {
            entry.owner = entry.owner.filter(|owner| owner.process != self.process);
        }
        Ok(())
    }

    async fn read(&self, run: &RunId) -> Result<Vec<Record>, JournalError> {
        let storage = self.lock();
        let entry = storage.runs.get(run).ok_or_else(|| JournalError::NoSuchRun { run: run.clone() })?;
        if entry.owner.is_some_and(|owner| owner.process != self.process) {
            entry.check_not_owned(run)?;
        }
        entry.records_of(run)
    }

    async fn runs(&self) -> Result<Vec<RunId>, std::io::Error> {
        Ok(self.lock().runs.keys().cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::journal_suite::{records, run_id};

    crate::journal_suite!({
        let first = MemoryJournal::new();
        move || Arc::new(first.another_process()) as Arc<dyn Journal>
    });

    #[tokio::test]
    async fn a_crash_frees_the_run_and_fences_the_dead() {
        let (dead, run, mut chain) = (MemoryJournal::new(), run_id(1), Chain::default());
        let epoch = dead.claim(&run, true).await.unwrap().epoch;
        dead.append(&run, epoch, 0, records(&mut chain, epoch, 2)).await.unwrap();
        let next = dead.crash();
        let late = records(&mut chain, epoch, 1);
        assert!(matches!(dead.append(&run, epoch, 2, late).await, Err(JournalError::Fenced { found: 2, .. })));
        assert_eq!(next.claim(&run, false).await.unwrap().records.len(), 2);
        assert_eq!(next.prefix(&run, 1).records(&run).unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_failed_append_poisons_the_run() {
        for (fault, stored) in [(AppendFault::Lost, 1), (AppendFault::StoredUnacknowledged, 2)] {
            let (journal, run, mut chain) = (MemoryJournal::new(), run_id(1), Chain::default());
            let epoch = journal.claim(&run, true).await.unwrap().epoch;
            journal.fail_append(1, fault);
            journal.append(&run, epoch, 0, records(&mut chain, epoch, 1)).await.unwrap();
            let second = records(&mut chain, epoch, 1);
            assert!(matches!(journal.append(&run, epoch, 1, second.clone()).await, Err(JournalError::Storage { .. })));
            assert!(matches!(journal.append(&run, epoch, 1, second).await, Err(JournalError::Poisoned { .. })));
            assert_eq!(journal.crash().read(&run).await.unwrap().len(), stored);
        }
    }
}
