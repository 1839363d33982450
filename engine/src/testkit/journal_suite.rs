//! The suite that every [`Journal`] passes. [`journal_suite!`](crate::journal_suite) makes a test of each case.
//!
//! A case gets a function that opens the *same* storage once more, as another process would.

use std::sync::Arc;

use jiff::Timestamp;

use crate::journal::{Journal, JournalError};
use crate::model::event::{Event, RunOutcome};
use crate::model::ids::RunId;
use crate::model::record::{Chain, Epoch, RECORD_LEN_MAX, Record, RecordError, Sealed};

/// Opens the storage under test once more.
pub type Open<'a> = &'a dyn Fn() -> Arc<dyn Journal>;

/// Makes one `#[tokio::test]` of every case of the suite. `$storage` is an expression that makes fresh storage and yields an
/// `impl Fn() -> Arc<dyn Journal>` on it; it may be evaluated in a multi-threaded runtime.
#[macro_export]
macro_rules! journal_suite {
    ($storage:expr) => {
        $crate::journal_suite!($storage;
            what_was_appended_reads_back, an_empty_run_exists, an_unknown_run_is_refused, a_run_has_one_owner_at_a_time,
            an_append_needs_the_owners_epoch, an_append_needs_the_next_place, an_append_is_all_or_none,
            an_append_without_claim_is_refused, a_claim_raises_the_epoch, a_claim_returns_the_head, runs_are_listed_oldest_first,
            runs_do_not_disturb_each_other, the_largest_record_fits, an_owner_may_read_its_own_run, a_broken_chain_is_found);
    };
    ($storage:expr; $($case:ident),+) => {
        $(
            #[tokio::test]
            async fn $case() {
                let open = $storage;
                $crate::testkit::journal_suite::$case(&open).await;
            }
        )+
    };
}

/// Returns the id of the `n`th run of a test.
pub fn run_id(n: u64) -> RunId {
    RunId::new(1_700_000_000_000 + n, u128::from(n))
}

/// Makes the next `n` records of a chain, small ones.
pub fn records(chain: &mut Chain, epoch: Epoch, n: u64) -> Vec<Sealed> {
    (0..n).map(|_| record(chain, epoch, &format!("record {}", chain.next_seq()))).collect()
}

/// Makes the next record of a chain, with a text of the caller's.
pub fn record(chain: &mut Chain, epoch: Epoch, text: &str) -> Sealed {
    let event = Event::RunPaused { reason: text.to_owned() };
    chain.extend(Timestamp::UNIX_EPOCH, epoch, event).unwrap().1
}

/// Makes the next record of a chain, exactly as long as a record may be.
pub fn largest_record(chain: &mut Chain, epoch: Epoch) -> Sealed {
    let overhead = record(&mut chain.clone(), epoch, "").bytes.len();
    let sealed = record(chain, epoch, &"x".repeat(RECORD_LEN_MAX - overhead));
    assert_eq!(sealed.bytes.len(), RECORD_LEN_MAX);
    sealed
}

fn resealed(records: &[Record]) -> Vec<Sealed> {
    records.iter().map(|record| record.seal().unwrap()).collect()
}

/// Records come back as they were appended, to another process too.
pub async fn what_was_appended_reads_back(open: Open<'_>) {
    let (journal, run, mut chain) = (open(), run_id(1), Chain::default());
    let claim = journal.claim(&run, true).await.unwrap();
    assert!(claim.records.is_empty() && claim.head.is_empty());
    let mut all = records(&mut chain, claim.epoch, 3);
    journal.append(&run, claim.epoch, 0, all.clone()).await.unwrap();
    let more = records(&mut chain, claim.epoch, 300);
    journal.append(&run, claim.epoch, 3, more.clone()).await.unwrap();
    all.extend(more);
    journal.release(&run).await.unwrap();

    let other = open();
    assert_eq!(resealed(&other.read(&run).await.unwrap()), all);
    assert_eq!(resealed(&other.claim(&run, false).await.unwrap().records), all);
}

/// A run that was claimed but never written is a run without records.
pub async fn an_empty_run_exists(open: Open<'_>) {
    let (journal, run) = (open(), run_id(1));
    let claim = journal.claim(&run, true).await.unwrap();
    journal.append(&run, claim.epoch, 0, Vec::new()).await.unwrap();
    journal.release(&run).await.unwrap();
    let other = open();
    assert_eq!(other.runs().await.unwrap(), vec![run.clone()]);
    assert!(other.read(&run).await.unwrap().is_empty());
    assert!(other.claim(&run, false).await.unwrap().records.is_empty());
}

/// A run that is not there is named as such, and looking for it does not make it.
pub async fn an_unknown_run_is_refused(open: Open<'_>) {
    let (journal, run) = (open(), run_id(1));
    assert!(journal.runs().await.unwrap().is_empty());
    assert!(matches!(journal.claim(&run, false).await, Err(JournalError::NoSuchRun { run: named }) if named == run));
    assert!(matches!(journal.read(&run).await, Err(JournalError::NoSuchRun { .. })));
    assert!(journal.runs().await.unwrap().is_empty());
}

/// While a run is claimed nobody else can claim or read it; after its release anybody can.
pub async fn a_run_has_one_owner_at_a_time(open: Open<'_>) {
    let (journal, other, run) = (open(), open(), run_id(1));
    journal.claim(&run, true).await.unwrap();
    assert!(matches!(other.claim(&run, true).await, Err(JournalError::Locked { pid: Some(_), .. })));
    assert!(matches!(other.claim(&run, false).await, Err(JournalError::Locked { .. })));
    assert!(matches!(other.read(&run).await, Err(JournalError::Locked { .. })));
    assert!(matches!(journal.claim(&run, false).await, Err(JournalError::Locked { .. })), "not twice in one process either");
    assert_eq!(other.runs().await.unwrap(), vec![run.clone()], "an owned run is listed all the same");
    journal.release(&run).await.unwrap();
    other.read(&run).await.unwrap();
    other.claim(&run, false).await.unwrap();
    assert!(matches!(journal.claim(&run, false).await, Err(JournalError::Locked { .. })));
}

/// An older or a made-up epoch cannot append.
pub async fn an_append_needs_the_owners_epoch(open: Open<'_>) {
    let (journal, run, mut chain) = (open(), run_id(1), Chain::default());
    let claim = journal.claim(&run, true).await.unwrap();
    let one = records(&mut chain, claim.epoch, 1);
    for wrong in [claim.epoch - 1, claim.epoch + 1] {
        let refused = journal.append(&run, wrong, 0, one.clone()).await;
        assert!(matches!(refused, Err(JournalError::Fenced { owner, .. }) if owner == claim.epoch));
    }
    journal.release(&run).await.unwrap();
    assert!(open().read(&run).await.unwrap().is_empty());
}

/// A record goes where the journal ends and nowhere else.
pub async fn an_append_needs_the_next_place(open: Open<'_>) {
    let (journal, run, mut chain) = (open(), run_id(1), Chain::default());
    let claim = journal.claim(&run, true).await.unwrap();
    let first = records(&mut chain, claim.epoch, 2);
    let second = records(&mut chain, claim.epoch, 1);
    let early = journal.append(&run, claim.epoch, 2, second.clone()).await;
    assert!(matches!(early, Err(JournalError::Fenced { expected: 2, found: 0, .. })));
    journal.append(&run, claim.epoch, 0, first.clone()).await.unwrap();
    let again = journal.append(&run, claim.epoch, 0, first.clone()).await;
    assert!(matches!(again, Err(JournalError::Fenced { expected: 0, found: 2, .. })));
    journal.append(&run, claim.epoch, 2, second.clone()).await.unwrap();
    journal.release(&run).await.unwrap();
    assert_eq!(open().read(&run).await.unwrap().len(), 3);
}

/// Of an append that is refused, nothing is stored, not even the records before the bad one.
pub async fn an_append_is_all_or_none(open: Open<'_>) {
    let (journal, run, mut chain) = (open(), run_id(1), Chain::default());
    let claim = journal.claim(&run, true).await.unwrap();
    let mut gap = records(&mut chain, claim.epoch, 3);
    let good = gap.clone();
    gap.remove(1);
    let refused = journal.append(&run, claim.epoch, 0, gap).await;
    assert!(matches!(refused, Err(JournalError::Damaged { source: RecordError::Gap { expected: 1, found: 2 }, .. })));
    journal.append(&run, claim.epoch, 0, good.clone()).await.unwrap();
    journal.release(&run).await.unwrap();
    assert_eq!(resealed(&open().read(&run).await.unwrap()), good);
}

/// Who has not claimed a run, or has given it back, cannot append to it.
pub async fn an_append_without_claim_is_refused(open: Open<'_>) {
    let (journal, other, run, mut chain) = (open(), open(), run_id(1), Chain::default());
    let claim = journal.claim(&run, true).await.unwrap();
    let one = records(&mut chain, claim.epoch, 1);
    assert!(matches!(other.append(&run, claim.epoch, 0, one.clone()).await, Err(JournalError::Fenced { .. })));
    journal.release(&run).await.unwrap();
    assert!(matches!(journal.append(&run, claim.epoch, 0, one).await, Err(JournalError::Fenced { .. })));
    assert!(open().read(&run).await.unwrap().is_empty());
}

/// Every owner that wrote something is followed by one with a higher epoch; the old one stays locked out.
pub async fn a_claim_raises_the_epoch(open: Open<'_>) {
    let (run, mut chain, mut last) = (run_id(1), Chain::default(), 0);
    for _ in 0..4 {
        let journal = open();
        let claim = journal.claim(&run, true).await.unwrap();
        assert!(claim.epoch > last);
        let next = chain.next_seq();
        if last > 0 {
            let stale = records(&mut chain.clone(), last, 1);
            assert!(matches!(journal.append(&run, last, next, stale).await, Err(JournalError::Fenced { .. })));
        }
        last = claim.epoch;
        journal.append(&run, last, next, records(&mut chain, last, 2)).await.unwrap();
        journal.release(&run).await.unwrap();
    }
    assert_eq!(open().read(&run).await.unwrap().len(), 8);
}

/// A claim returns the hash that the next record must name, so that a resumed chain holds.
pub async fn a_claim_returns_the_head(open: Open<'_>) {
    let (run, mut chain) = (run_id(1), Chain::default());
    for n in [1, 5, 300] {
        let journal = open();
        let claim = journal.claim(&run, true).await.unwrap();
        assert_eq!(claim.head, chain.head());
        assert_eq!(claim.records.len() as u64, chain.next_seq());
        let next = chain.next_seq();
        journal.append(&run, claim.epoch, next, records(&mut chain, claim.epoch, n)).await.unwrap();
        journal.release(&run).await.unwrap();
    }
}

/// Runs are listed by age, whatever the order they were made in.
pub async fn runs_are_listed_oldest_first(open: Open<'_>) {
    let journal = open();
    for n in [3, 1, 2] {
        journal.claim(&run_id(n), true).await.unwrap();
    }
    assert_eq!(journal.runs().await.unwrap(), vec![run_id(1), run_id(2), run_id(3)]);
}

/// Several runs of one process are appended to at the same time, and each keeps its own records in their order.
pub async fn runs_do_not_disturb_each_other(open: Open<'_>) {
    let journal = open();
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..8 {
        let journal = Arc::clone(&journal);
        tasks.spawn(async move {
            let (run, mut chain) = (run_id(n), Chain::default());
            let epoch = journal.claim(&run, true).await.unwrap().epoch;
            for _ in 0..20 {
                let (next, sealed) = (chain.next_seq(), record(&mut chain, epoch, &format!("of run {n}")));
                journal.append(&run, epoch, next, vec![sealed]).await.unwrap();
            }
            journal.release(&run).await.unwrap();
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    for n in 0..8 {
        let found = open().read(&run_id(n)).await.unwrap();
        let own = Event::RunPaused { reason: format!("of run {n}") };
        assert_eq!((found.len(), found.iter().all(|record| record.event == own)), (20, true));
    }
}

/// A record of exactly the largest size is stored, alone and among others.
pub async fn the_largest_record_fits(open: Open<'_>) {
    let (journal, run, mut chain) = (open(), run_id(1), Chain::default());
    let epoch = journal.claim(&run, true).await.unwrap().epoch;
    let all: Vec<_> =
        (0..12).map(|n| if n % 3 == 0 { record(&mut chain, epoch, "small") } else { largest_record(&mut chain, epoch) }).collect();
    journal.append(&run, epoch, 0, all[..1].to_vec()).await.unwrap();
    journal.append(&run, epoch, 1, all[1..2].to_vec()).await.unwrap();
    journal.append(&run, epoch, 2, all[2..].to_vec()).await.unwrap();
    journal.release(&run).await.unwrap();
    assert_eq!(resealed(&open().read(&run).await.unwrap()), all);
}

/// The owner reads what it has appended so far.
pub async fn an_owner_may_read_its_own_run(open: Open<'_>) {
    let (journal, run, mut chain) = (open(), run_id(1), Chain::default());
    let epoch = journal.claim(&run, true).await.unwrap().epoch;
    assert!(journal.read(&run).await.unwrap().is_empty());
    journal.append(&run, epoch, 0, records(&mut chain, epoch, 2)).await.unwrap();
    assert_eq!(journal.read(&run).await.unwrap().len(), 2);
}

/// Records that do not follow each other are found when the run is read, and the first of them is named.
pub async fn a_broken_chain_is_found(open: Open<'_>) {
    let (journal, run, mut chain) = (open(), run_id(1), Chain::default());
    let epoch = journal.claim(&run, true).await.unwrap().epoch;
    journal.append(&run, epoch, 0, records(&mut chain, epoch, 2)).await.unwrap();
    let mut forged = Chain::default();
    records(&mut forged, epoch, 1);
    record(&mut forged, epoch, "another past");
    journal.append(&run, epoch, 2, records(&mut forged, epoch, 1)).await.unwrap();
    journal.release(&run).await.unwrap();
    let broken = |error| matches!(error, JournalError::Damaged { source: RecordError::Chain { seq: 2 }, .. });
    assert!(open().read(&run).await.is_err_and(broken));
    assert!(open().claim(&run, false).await.is_err_and(broken));
    assert!(open().claim(&run, false).await.is_err_and(broken), "a failed claim leaves the run free");
}

/// Says how a run ends, for tests that need an end.
pub fn finished(chain: &mut Chain, epoch: Epoch) -> Sealed {
    chain.extend(Timestamp::UNIX_EPOCH, epoch, Event::RunFinished { outcome: RunOutcome::Completed }).unwrap().1
}
