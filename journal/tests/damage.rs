//! What is said about a journal that is not as it was left. Nothing of it is ever taken for a shorter journal, and no other run is harmed.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/journals.rs"]
mod journals;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use journals::claim;
use wf_engine::journal::{Journal as _, JournalError};
use wf_engine::model::record::RecordError;
use wf_engine::testkit::journal_suite::{largest_record, records, run_id};
use wf_journal::SledJournal;

/// Makes a run of `appends` times `each` records.
async fn fill(state: &Path, n: u64, appends: u64, each: u64) {
    let (journal, run) = (SledJournal::open(state).unwrap(), run_id(n));
    let (epoch, mut chain) = claim(&journal, &run).await;
    for _ in 0..appends {
        let next = chain.next_seq();
        journal.append(&run, epoch, next, records(&mut chain, epoch, each)).await.unwrap();
    }
    journal.release(&run).await.unwrap();
}

/// Does something to the stored values of run 1 behind the journal's back.
fn tamper(state: &Path, with: impl Fn(&sled::Db)) {
    let journal = SledJournal::open(state).unwrap();
    let dir = journal.layout().journal_dir(&run_id(1));
    let db = sled::Config::new().path(dir).segment_size(2 * 1024 * 1024).flush_every_ms(None).open().unwrap();
    with(&db);
    db.flush().unwrap();
}

fn change(db: &sled::Db, first_seq: u64, change: impl Fn(&mut Vec<u8>)) {
    let mut key = first_seq.to_be_bytes().to_vec();
    key.extend([0; 4]);
    let mut value = db.get(&key).unwrap().unwrap().to_vec();
    change(&mut value);
    db.insert(key, value).unwrap();
}

/// Every file and directory under a directory, with its mode and its bytes.
fn everything(dir: &Path) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let bytes = if path.is_dir() { Vec::new() } else { fs::read(&path).unwrap() };
        if path.is_dir() {
            all.append(&mut everything(&path));
        }
        let mode = path.metadata().unwrap().permissions().mode();
        all.insert(path, (mode, bytes));
    }
    all
}

async fn error_of(state: &Path) -> JournalError {
    let journal = SledJournal::open(state).unwrap();
    let evidence = everything(state);
    let (read, verified) = (journal.read(&run_id(1)).await.unwrap_err(), journal.verify(&run_id(1)).await.unwrap_err());
    let claimed = journal.claim(&run_id(1), false).await.unwrap_err();
    assert_eq!((read.to_string(), verified.to_string()), (claimed.to_string(), claimed.to_string()));
    assert!(everything(state) == evidence, "looking at it changed it");
    assert_eq!(journal.verify(&run_id(2)).await.unwrap().records, 2, "other runs work");
    claimed
}

async fn damage_found(with: impl Fn(&sled::Db)) -> RecordError {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), 1, 5, 2).await;
    fill(dir.path(), 2, 1, 2).await;
    tamper(dir.path(), with);
    match error_of(dir.path()).await {
        JournalError::Damaged { run, source } if run == run_id(1) => source,
        other => panic!("{other:?}"),
    }
}

fn replace(bytes: &mut Vec<u8>, from: &str, to: &str) {
    let at = bytes.windows(from.len()).position(|here| here == from.as_bytes()).unwrap();
    bytes.splice(at..at + from.len(), to.bytes());
}

#[tokio::test]
async fn an_altered_record_is_named() {
    let first = damage_found(|db| change(db, 4, |value| replace(value, "record 4", "record 7"))).await;
    assert!(matches!(first, RecordError::Chain { seq: 5 }), "{first:?}");
    let last_of_an_append = damage_found(|db| change(db, 4, |value| replace(value, "record 5", "record 7"))).await;
    assert!(matches!(last_of_an_append, RecordError::Unreadable { seq: 5, .. }), "{last_of_an_append:?}");
    let very_last = damage_found(|db| change(db, 8, |value| replace(value, "record 9", "record 7"))).await;
    assert!(matches!(very_last, RecordError::Unreadable { seq: 9, .. }), "{very_last:?}");
}

#[tokio::test]
async fn a_missing_record_is_named() {
    let in_the_middle = damage_found(|db| drop(db.remove([&4_u64.to_be_bytes()[..], &[0; 4]].concat()).unwrap())).await;
    assert!(matches!(in_the_middle, RecordError::Gap { expected: 4, found: 6 }), "{in_the_middle:?}");
    let at_the_end = damage_found(|db| drop(db.remove([&8_u64.to_be_bytes()[..], &[0; 4]].concat()).unwrap())).await;
    assert!(matches!(at_the_end, RecordError::Unreadable { seq: 8, .. }), "{at_the_end:?}");
    assert!(at_the_end.to_string().contains("records up to 9 were acknowledged"), "{at_the_end}");
    let all = damage_found(|db| db.clear().unwrap()).await;
    assert!(matches!(all, RecordError::Unreadable { seq: 0, .. }), "{all:?}");
}

#[tokio::test]
async fn a_newer_format_is_named() {
    let record = damage_found(|db| change(db, 6, |value| replace(value, r#"{"v":1,"#, r#"{"v":9,"#))).await;
    assert!(matches!(record, RecordError::Newer { seq: 6, found: 9 }), "{record:?}");
    let layout = damage_found(|db| change(db, 2, |value| value[0] = 9)).await;
    assert!(matches!(layout, RecordError::Newer { seq: 2, found: 9 }), "{layout:?}");
}

#[tokio::test]
async fn what_is_no_entry_is_named() {
    let spoils: [fn(&mut Vec<u8>); 5] = [
        |value| value.clear(),
        |value| value.truncate(3),
        |value| value[0] = 0,
        |value| value.extend(b"more"),
        |value| value[1..5].fill(0),
    ];
    for (nth, spoil) in spoils.into_iter().enumerate() {
        let found = damage_found(|db| change(db, 6, spoil)).await;
        assert!(matches!(found, RecordError::Unreadable { seq: 6, .. }), "{nth}: {found:?}");
    }
    let foreign_key = damage_found(|db| drop(db.insert(b"zzz", b"x").unwrap())).await;
    assert!(matches!(foreign_key, RecordError::Unreadable { seq: 10, .. }), "{foreign_key:?}");
}

#[tokio::test]
async fn an_entry_that_was_not_finished_never_was() {
    let (dir, run) = (tempfile::tempdir().unwrap(), run_id(1));
    fill(dir.path(), 1, 5, 2).await;
    let half = |db: &sled::Db| {
        for chunk in 0..3_u32 {
            let mut value = vec![b'x'; 8 * 1024];
            if chunk == 0 {
                value[..5].copy_from_slice(&[1, 0, 1, 0, 0]);
            }
            db.insert([&10_u64.to_be_bytes()[..], &chunk.to_be_bytes()].concat(), value).unwrap();
        }
    };
    tamper(dir.path(), half);
    let journal = SledJournal::open(dir.path()).unwrap();
    assert_eq!(journal.read(&run).await.unwrap().len(), 10);
    let (epoch, mut chain) = claim(&journal, &run).await;
    journal.append(&run, epoch, 10, records(&mut chain, epoch, 1)).await.unwrap();
    journal.append(&run, epoch, 11, records(&mut chain, epoch, 1)).await.unwrap();
    journal.release(&run).await.unwrap();
    assert_eq!(journal.read(&run).await.unwrap().len(), 12, "nothing of it is left to be mixed with what came later");
}

#[tokio::test]
async fn a_lost_journal_is_not_an_empty_one() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), 1, 5, 2).await;
    fill(dir.path(), 2, 1, 2).await;
    fs::remove_dir_all(SledJournal::open(dir.path()).unwrap().layout().journal_dir(&run_id(1))).unwrap();
    assert!(matches!(error_of(dir.path()).await, JournalError::Damaged { source: RecordError::Unreadable { seq: 0, .. }, .. }));
}

#[tokio::test]
async fn leftovers_of_crashes_do_no_harm() {
    let (dir, run) = (tempfile::tempdir().unwrap(), run_id(1));
    fill(dir.path(), 1, 5, 2).await;
    let journal = SledJournal::open(dir.path()).unwrap();
    let layout = journal.layout().clone();
    // sled takes the first for a snapshot, and would never open again.
    fs::write(layout.journal_dir(&run).join("snap.00000000000FFFFF.generating"), b"half a snap").unwrap();
    fs::write(layout.journal_dir(&run).join("snap.00000000000FFFFE"), b"").unwrap();
    fs::create_dir(layout.run_dir(&run).join("journal.new")).unwrap();
    fs::write(layout.run_dir(&run).join("journal.new").join("conf"), b"half a conf").unwrap();
    fs::write(layout.lock_file(&run), b"{\"pid\":1").unwrap();
    assert_eq!(journal.read(&run).await.unwrap().len(), 10);
    fs::write(layout.acked_file(&run), b"v1 000000").unwrap();
    assert_eq!(journal.claim(&run, false).await.unwrap().records.len(), 10, "a torn mark promises nothing");

    let unborn = run_id(3);
    fs::create_dir_all(layout.run_dir(&unborn).join("journal.new")).unwrap();
    assert_eq!(journal.read(&unborn).await.unwrap().len(), 0);
    fs::write(layout.run_dir(&unborn).join("journal.new").join("conf"), b"half a conf").unwrap();
    assert_eq!(journal.claim(&unborn, false).await.unwrap().records.len(), 0);
}

#[tokio::test]
async fn junk_among_the_runs_is_ignored() {
    let dir = tempfile::tempdir().unwrap();
    let journal = SledJournal::open(dir.path()).unwrap();
    assert!(journal.runs().await.unwrap().is_empty());
    fill(dir.path(), 1, 1, 1).await;
    let runs = journal.layout().runs_dir();
    for junk in ["lost+found", "..x", "01ARZ3NDEKTSV4RRFFQ69G5FA", "01arz3ndektsv4rrffq69g5fav", "é"] {
        fs::create_dir(runs.join(junk)).unwrap();
    }
    fs::write(runs.join(run_id(7).as_str()), b"a file").unwrap();
    assert_eq!(journal.runs().await.unwrap(), [run_id(1)]);
    assert!(matches!(journal.read(&run_id(7)).await, Err(JournalError::NoSuchRun { .. })));
    assert!(matches!(journal.claim(&run_id(7), true).await, Err(JournalError::Storage { doing: "created", .. })));
}

#[tokio::test]
async fn reading_makes_no_state_directory() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let journal = SledJournal::open(&state).unwrap();
    assert!(journal.runs().await.unwrap().is_empty());
    assert!(matches!(journal.read(&run_id(1)).await, Err(JournalError::NoSuchRun { .. })));
    assert!(matches!(journal.claim(&run_id(1), false).await, Err(JournalError::NoSuchRun { .. })));
    assert!(!state.exists());
    fs::write(&state, b"").unwrap();
    assert_eq!(SledJournal::open(&state).unwrap_err().to_string(), format!("{} is not a directory", state.display()));
}

#[tokio::test]
async fn a_summary_is_replaced_whole() {
    let (dir, run) = (tempfile::tempdir().unwrap(), run_id(1));
    let journal = SledJournal::open(dir.path()).unwrap();
    journal.claim(&run, true).await.unwrap();
    assert_eq!(journal.layout().read_summary(&run).unwrap(), None);
    for summary in [&b"a long summary"[..], b"short"] {
        journal.layout().write_summary(&run, summary).unwrap();
        assert_eq!(journal.layout().read_summary(&run).unwrap().as_deref(), Some(summary));
    }
}

/// Damages a copy of a journal at every 4 KiB, and asks for all of it or an error.
async fn all_or_error(damage: impl Fn(&Path, u64)) -> (usize, usize) {
    let dir = tempfile::tempdir().unwrap();
    let (run, appends) = (run_id(1), 120);
    fill(dir.path(), 1, appends, 3).await;
    let original = SledJournal::open(dir.path()).unwrap().layout().clone();
    let whole = fs::read(original.journal_dir(&run).join("db")).unwrap();
    let used = whole.iter().rposition(|byte| *byte != 0).unwrap();
    let (mut fine, mut refused) = (0, 0);
    for at in (0..used as u64).step_by(4096) {
        let copy = tempfile::tempdir().unwrap();
        let journal = SledJournal::open(copy.path()).unwrap();
        let to = journal.layout().journal_dir(&run);
        fs::create_dir_all(to.join("blobs")).unwrap();
        for file in ["conf", "db"] {
            fs::copy(original.journal_dir(&run).join(file), to.join(file)).unwrap();
        }
        fs::copy(original.acked_file(&run), journal.layout().acked_file(&run)).unwrap();
        damage(&to.join("db"), at);
        let evidence = fs::read(to.join("db")).unwrap();
        match journal.claim(&run, false).await {
            Ok(claim) => {
                assert_eq!(claim.records.len() as u64, 3 * appends, "damage at {at}: a shorter journal was taken for a whole one");
                fine += 1;
            }
            Err(JournalError::Damaged { .. } | JournalError::Storage { .. }) => {
                assert!(fs::read(to.join("db")).unwrap() == evidence, "damage at {at}: the evidence was altered");
                refused += 1;
            }
            Err(other) => panic!("damage at {at}: {other}"),
        }
    }
    (fine, refused)
}

#[tokio::test]
async fn a_flipped_bit_is_found_or_harmless() {
    let (_, refused) = all_or_error(|db, at| {
        let mut bytes = fs::read(db).unwrap();
        let at = usize::try_from(at).unwrap() + 1234;
        bytes[at] ^= 0x10;
        fs::write(db, bytes).unwrap();
    })
    .await;
    assert!(refused > 0);
}

#[tokio::test]
async fn a_truncated_file_is_found() {
    let (fine, refused) = all_or_error(|db, at| fs::OpenOptions::new().write(true).open(db).unwrap().set_len(at).unwrap()).await;
    assert!(refused > 0 && fine == 0, "{fine} fine, {refused} refused");
}

/// Damage before the last segment makes sled panic: how far the journal can be read without the rest is still told.
#[tokio::test]
async fn damage_that_sled_gives_up_on_is_placed_too() {
    const SEGMENT_LEN: usize = 2 * 1024 * 1024;
    let (dir, run) = (tempfile::tempdir().unwrap(), run_id(1));
    let journal = SledJournal::open(dir.path()).unwrap();
    let (epoch, mut chain) = claim(&journal, &run).await;
    for _ in 0..100 {
        let next = chain.next_seq();
        journal.append(&run, epoch, next, vec![largest_record(&mut chain, epoch)]).await.unwrap();
    }
    journal.release(&run).await.unwrap();
    let db = journal.layout().journal_dir(&run).join("db");
    let whole = fs::read(&db).unwrap();
    let (segments, mut found) = (whole.len() / SEGMENT_LEN, Vec::new());
    assert!(segments >= 3, "{segments} whole segments");
    for segment in 0..segments {
        let mut bytes = whole.clone();
        bytes[segment * SEGMENT_LEN + SEGMENT_LEN / 2] ^= 0x10;
        fs::write(&db, &bytes).unwrap();
        match journal.read(&run).await {
            Err(JournalError::Damaged { source: RecordError::Unreadable { seq, .. }, .. }) => found.push(seq),
            Err(other) => panic!("segment {segment}: {other}"),
            // Nothing lived there any more.
            Ok(records) => assert_eq!(records.len(), 100, "segment {segment}"),
        }
        assert!(fs::read(&db).unwrap() == bytes, "the evidence was altered");
    }
    assert!(found.len() > 2 && found.iter().all(|seq| *seq < 100) && found.iter().any(|seq| *seq > 0), "{found:?}");
}
