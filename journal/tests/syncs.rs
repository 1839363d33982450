//! How often the disk is waited for, and that everything written is waited for.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/journals.rs"]
mod journals;

use std::path::Path;
use std::sync::Arc;

use journals::claim;
use wf_engine::journal::{Journal as _, JournalError};
use wf_engine::model::record::Sealed;
use wf_engine::testkit::journal_suite::{largest_record, records, run_id};
use wf_journal::SledJournal;

fn files(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = dir.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_chain_costs_one_sync_an_append() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, run) = (SledJournal::open(dir.path()).unwrap(), run_id(1));
    let (epoch, mut chain) = claim(&journal, &run).await;
    for seq in 0..1000 {
        journal.append(&run, epoch, seq, records(&mut chain, epoch, 1)).await.unwrap();
    }
    assert_eq!(journal.syncs(), 1000);
    journal.release(&run).await.unwrap();
    assert_eq!(journal.read(&run).await.unwrap().len(), 1000);
}

#[tokio::test]
async fn appends_at_the_same_time_share_their_syncs() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Arc::new(SledJournal::open(dir.path()).unwrap());
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..10 {
        let (epoch, mut chain) = claim(&journal, &run_id(n)).await;
        // On this runtime tasks start in the order in which they were spawned, so a run's appends queue up in theirs.
        for seq in 0..100 {
            let (journal, one) = (Arc::clone(&journal), records(&mut chain, epoch, 1));
            tasks.spawn(async move { journal.append(&run_id(n), epoch, seq, one).await });
        }
    }
    while let Some(appended) = tasks.join_next().await {
        appended.unwrap().unwrap();
    }
    assert!(journal.syncs() <= 50, "1000 appends to 10 runs took {} syncs", journal.syncs());
    for n in 0..10 {
        assert_eq!(journal.read(&run_id(n)).await.unwrap().len(), 100);
    }
}

#[tokio::test]
async fn ten_thousand_records_cost_a_handful_of_syncs() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, run) = (SledJournal::open(dir.path()).unwrap(), run_id(1));
    let (epoch, mut chain) = claim(&journal, &run).await;
    journal.append(&run, epoch, 0, records(&mut chain, epoch, 10_000)).await.unwrap();
    assert!(journal.syncs() <= 8, "{} syncs", journal.syncs());
    journal.release(&run).await.unwrap();
    assert_eq!(journal.read(&run).await.unwrap().len(), 10_000);
}

#[tokio::test]
async fn nothing_is_written_to_files_that_are_not_synced() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, run) = (SledJournal::open(dir.path()).unwrap(), run_id(1));
    for round in 0..3_u64 {
        let (epoch, mut chain) = claim(&journal, &run).await;
        for _ in 0..40 {
            let next = chain.next_seq();
            journal.append(&run, epoch, next, vec![largest_record(&mut chain, epoch)]).await.unwrap();
        }
        let next = chain.next_seq();
        let many = (0..60).map(|_| largest_record(&mut chain, epoch)).collect();
        journal.append(&run, epoch, next, many).await.unwrap();
        journal.release(&run).await.unwrap();
        assert_eq!(journal.verify(&run).await.unwrap().records, (round + 1) * 100);
        let journal_dir = journal.layout().journal_dir(&run);
        assert_eq!(files(&journal_dir.join("blobs")), Vec::<String>::new());
        let besides: Vec<_> = files(&journal_dir).into_iter().filter(|name| !name.starts_with("snap.")).collect();
        assert_eq!(besides, ["blobs", "conf", "db"]);
        assert_eq!(files(&journal.layout().run_dir(&run)), ["acked", "journal", "lock"]);
    }
}

#[tokio::test]
async fn after_a_failed_append_nothing_is_taken_until_a_new_claim() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, run) = (SledJournal::open(dir.path()).unwrap(), run_id(1));
    let (epoch, mut chain) = claim(&journal, &run).await;
    journal.append(&run, epoch, 0, records(&mut chain, epoch, 2)).await.unwrap();
    let too_large = Sealed { seq: 2, bytes: vec![0; 300 * 1024 * 1024], hash: "0".repeat(64) };
    let next = records(&mut chain, epoch, 1);
    let failed = tokio::join!(journal.append(&run, epoch, 2, vec![too_large]), journal.append(&run, epoch, 2, next.clone()),);
    assert!(matches!(failed, (Err(JournalError::Storage { doing: "written", .. }), Err(_))), "{failed:?}");
    let later = journal.append(&run, epoch, 2, next.clone()).await;
    assert!(matches!(later, Err(JournalError::Poisoned { .. })));
    journal.release(&run).await.unwrap();
    let (epoch, mut chain) = claim(&journal, &run).await;
    journal.append(&run, epoch, 2, records(&mut chain, epoch, 1)).await.unwrap();
    assert_eq!(journal.read(&run).await.unwrap().len(), 3);
}
