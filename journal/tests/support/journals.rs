//! Journals with records in them.

use wf_engine::journal::Journal as _;
use wf_engine::model::ids::RunId;
use wf_engine::model::record::{Chain, Epoch};
use wf_journal::SledJournal;

/// Claims a run and returns its epoch and the chain to continue.
pub async fn claim(journal: &SledJournal, run: &RunId) -> (Epoch, Chain) {
    let claim = journal.claim(run, true).await.unwrap();
    let mut chain = Chain::default();
    for record in &claim.records {
        let sealed = record.seal().unwrap();
        chain.follow(sealed.seq, &sealed.bytes).unwrap();
    }
    assert_eq!(chain.head(), claim.head);
    (claim.epoch, chain)
}
