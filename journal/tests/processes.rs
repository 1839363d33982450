//! What other processes see and what is left when they are killed. The other process is this test binary, see [`child`].
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/journals.rs"]
mod journals;
#[path = "support/processes.rs"]
mod others;

use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use journals::claim;
use others::{Other, role, say, wait_for_the_end};
use wf_engine::journal::{Journal as _, JournalError};
use wf_engine::testkit::journal_suite::{largest_record, records, run_id};
use wf_journal::SledJournal;

/// What the other processes do.
#[tokio::test]
async fn child() {
    let Some((role, state)) = role() else { return };
    let (journal, run) = (SledJournal::open(&state).unwrap(), run_id(1));
    let (epoch, mut chain) = claim(&journal, &run).await;
    say("claimed");
    match role.as_str() {
        "hold" => wait_for_the_end(),
        "append for ever" => loop {
            let next = chain.next_seq();
            // Small ones, then one of a few chunks, then one of several syncs.
            let batch = match next % 7 {
                0 => (0..9).map(|_| largest_record(&mut chain, epoch)).collect(),
                1 => records(&mut chain, epoch, 50),
                _ => records(&mut chain, epoch, 1),
            };
            journal.append(&run, epoch, next, batch).await.unwrap();
            say(&chain.next_seq().to_string());
        },
        "append and release" => {
            journal.append(&run, epoch, chain.next_seq(), records(&mut chain.clone(), epoch, 5)).await.unwrap();
            journal.layout().write_summary(&run, b"{}").unwrap();
            journal.release(&run).await.unwrap();
            journal.read(&run).await.unwrap();
        }
        role => panic!("no such role: {role}"),
    }
}

#[tokio::test]
async fn what_was_acknowledged_survives_kill_9() {
    let (dir, run) = (tempfile::tempdir().unwrap(), run_id(1));
    let mut last_epoch = 0;
    for acks in [1, 2, 3, 5, 8, 13, 4] {
        let mut other = Other::start("append for ever", dir.path(), "077");
        assert_eq!(other.heard(), "claimed");
        let mut acknowledged: u64 = 0;
        for _ in 0..acks {
            acknowledged = other.heard().parse().unwrap();
        }
        acknowledged = other.kill().last().map_or(acknowledged, |said| said.parse().unwrap());
        let journal = SledJournal::open(dir.path()).unwrap();
        let found = journal.claim(&run, false).await.unwrap();
        assert!(found.records.len() as u64 >= acknowledged, "{} records left of {acknowledged}", found.records.len());
        assert!(found.epoch > last_epoch);
        last_epoch = found.epoch;
        journal.release(&run).await.unwrap();
    }
}

#[tokio::test]
async fn a_run_of_another_process_is_refused_with_its_pid() {
    let (dir, run) = (tempfile::tempdir().unwrap(), run_id(1));
    let journal = SledJournal::open(dir.path()).unwrap();
    let mut other = Other::start("hold", dir.path(), "077");
    assert_eq!(other.heard(), "claimed");
    for refused in [journal.claim(&run, true).await.err(), journal.read(&run).await.err()] {
        let Some(JournalError::Locked { holder, pid, .. }) = refused else { panic!("{refused:?}") };
        assert_eq!(pid, Some(other.pid()));
        assert!(holder.starts_with(&format!("process {} (`processes-", other.pid())), "{holder}");
    }
    other.finish();
    journal.claim(&run, false).await.unwrap();
}

/// Readers share the lock and leave no name in it.
#[tokio::test]
async fn a_claim_waits_for_those_who_only_read() {
    let (dir, run) = (tempfile::tempdir().unwrap(), run_id(1));
    let journal = SledJournal::open(dir.path()).unwrap();
    let path = journal.layout().lock_file(&run);
    let (epoch, mut chain) = claim(&journal, &run).await;
    journal.append(&run, epoch, 0, records(&mut chain, epoch, 3)).await.unwrap();
    journal.release(&run).await.unwrap();
    let readers = [File::open(&path).unwrap(), File::open(&path).unwrap()];
    readers.iter().for_each(|reader| reader.lock_shared().unwrap());
    assert_eq!(journal.read(&run).await.unwrap().len(), 3, "one more reader has a place among them");
    let claiming = tokio::spawn(async move { journal.claim(&run_id(1), false).await.map(|claim| claim.records.len()) });
    tokio::task::yield_now().await;
    let readers = tokio::task::spawn_blocking(move || drop(readers));
    readers.await.unwrap();
    assert_eq!(claiming.await.unwrap().unwrap(), 3);
    std::fs::remove_file(&path).unwrap();
    let journal = SledJournal::open(dir.path()).unwrap();
    assert_eq!(journal.read(&run).await.unwrap().len(), 3);
    assert!(!path.exists(), "a reader makes no lock");
    // Whoever has it alone owns the run, with or without a name.
    let owner = File::create(&path).unwrap();
    owner.lock().unwrap();
    for refused in [journal.claim(&run, false).await.err(), journal.read(&run).await.err()] {
        assert!(matches!(&refused, Some(JournalError::Locked { pid: None, .. })), "{refused:?}");
    }
}

#[tokio::test]
async fn the_run_of_a_killed_process_is_free_at_once() {
    let (dir, run) = (tempfile::tempdir().unwrap(), run_id(1));
    for _ in 0..5 {
        let mut other = Other::start("hold", dir.path(), "077");
        assert_eq!(other.heard(), "claimed");
        other.kill();
        let journal = SledJournal::open(dir.path()).unwrap();
        journal.claim(&run, false).await.unwrap();
    }
}

#[test]
fn of_many_that_claim_at_once_one_gets_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(8).build().unwrap();
    runtime.block_on(SledJournal::open(dir.path()).unwrap().claim(&run_id(1), true)).unwrap();
    for _ in 0..20 {
        let claimers: Vec<_> = (0..8)
            .map(|_| {
                let journal = SledJournal::open(dir.path()).unwrap();
                runtime.spawn(async move {
                    let claimed = journal.claim(&run_id(1), false).await;
                    (journal, claimed)
                })
            })
            .collect();
        let claims: Vec<_> = claimers.into_iter().map(|claimer| runtime.block_on(claimer).unwrap()).collect();
        assert_eq!(claims.iter().filter(|(_, claim)| claim.is_ok()).count(), 1);
        let locked = |claim: &Result<_, _>| matches!(claim, Err(JournalError::Locked { .. }));
        assert_eq!(claims.iter().filter(|(_, claim)| locked(claim)).count(), 7);
    }
}

#[test]
fn nobody_else_can_read_it_whatever_the_umask() {
    for umask in ["000", "077", "027", "0177"] {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("not").join("there");
        // With 0177 a directory could not be entered by the process that made it, if it kept the mode.
        Other::start("append and release", &state, umask).finish();
        check_modes(&dir.path().join("not"));
    }
}

fn check_modes(path: &Path) {
    let mode = path.metadata().unwrap().permissions().mode() & 0o7777;
    if path.is_dir() {
        assert_eq!(mode, 0o700, "{}", path.display());
        path.read_dir().unwrap().for_each(|entry| check_modes(&entry.unwrap().path()));
    } else {
        assert_eq!(mode, 0o600, "{}", path.display());
    }
}
