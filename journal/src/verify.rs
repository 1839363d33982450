//! What a journal holds, told from a private copy of it: whole, or up to its first bad record. The original stays as it is.

use std::fs::File;

use wf_engine::journal::JournalError;
use wf_engine::model::ids::RunId;

use crate::codec::{Replay, unreadable};
use crate::copy::{CopyFailed, PrivateCopy};
use crate::layout::Layout;
use crate::run::{SEGMENT_LEN, SledError, close, open_sled, replay, sled_error, storage_error};

/// In how many places a log is cut at most to read its beginning.
const CUTS_MAX: usize = 64;

/// What a copy of a journal holds.
pub(crate) struct Verified {
    replay: Replay,
    last_key: Option<sled::IVec>,
}

impl Verified {
    /// Takes it for what the original holds, which sled opens from the same bytes.
    pub(crate) fn of(self, id: &RunId, original: &sled::Db) -> Result<Replay, JournalError> {
        let last = original.last().map_err(|error| sled_error(id, "read", error.into()))?;
        if last.map(|(key, _)| key) == self.last_key { Ok(self.replay) } else { Err(sled_error(id, "opened", SledError::Another)) }
    }
}

/// Verifies a journal that nobody else has before sled opens it, and repairs it in its own way. `None` when there is no place for a copy: then the
/// journal is opened as it is, as carrying a run on is worth more than the traces of a damage that there hardly is.
pub(crate) fn before_opening(layout: &Layout, id: &RunId, acked: &File) -> Result<Option<Verified>, JournalError> {
    match PrivateCopy::of(&layout.journal_dir(id), layout.copies_dir(), u64::MAX) {
        Ok(copy) => whole_or_damaged(layout, id, &copy, Some(acked)).map(Some),
        Err(CopyFailed::Original(error)) => Err(storage_error(id, "opened", error)),
        Err(CopyFailed::Copy(error)) => {
            tracing::warn!(run = %id, %error, "the journal is opened unverified");
            Ok(None)
        }
    }
}

/// Reads and verifies a journal that nobody has.
pub(crate) fn copied(layout: &Layout, id: &RunId, acked: Option<&File>) -> Result<Replay, JournalError> {
    let copy = PrivateCopy::of(&layout.journal_dir(id), layout.copies_dir(), u64::MAX).map_err(|error| match error {
        CopyFailed::Original(error) => storage_error(id, "read", error),
        CopyFailed::Copy(error) => JournalError::Storage { run: id.clone(), doing: "read", source: Box::new(error) },
    })?;
    Ok(whole_or_damaged(layout, id, &copy, acked)?.replay)
}

fn whole_or_damaged(layout: &Layout, id: &RunId, copy: &PrivateCopy, acked: Option<&File>) -> Result<Verified, JournalError> {
    let verified = verified(id, copy, acked);
    match &verified {
        Err(JournalError::Storage { source, .. }) if source.downcast_ref().is_some_and(SledError::is_damage) => Err(cut_short(layout, id)),
        Ok(_) | Err(_) => verified,
    }
}

/// Finds how far a journal can still be read that sled gives up on as a whole: as far as its log can be opened when it is cut off before some
/// segment. Once sled has used segments again that may be less than what is left of it, but never more.
fn cut_short(layout: &Layout, id: &RunId) -> JournalError {
    let dir = layout.journal_dir(id);
    let segments = dir.join("db").metadata().map_or(0, |log| log.len() / SEGMENT_LEN as u64);
    let readable = (1..=segments).rev().take(CUTS_MAX).find_map(|segments| {
        let copy = PrivateCopy::of(&dir, layout.copies_dir(), segments * SEGMENT_LEN as u64).ok()?;
        verified(id, &copy, None).ok().map(|verified| verified.replay.chain.next_seq())
    });
    let source =
        unreadable(readable.unwrap_or(0), "sled cannot make sense of the log, and what can be read without the rest ends before it");
    JournalError::Damaged { run: id.clone(), source }
}

fn verified(id: &RunId, copy: &PrivateCopy, acked: Option<&File>) -> Result<Verified, JournalError> {
    let db = open_sled(copy.path()).map_err(|error| sled_error(id, "opened", error))?;
    let verified = replay(id, &db, acked).and_then(|replay| {
        let last = db.last().map_err(|error| sled_error(id, "read", error.into()))?;
        Ok(Verified { replay, last_key: last.map(|(key, _)| key) })
    });
    close(db);
    verified
}
