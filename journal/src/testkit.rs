//! The journal's format without a journal, so that fuzz targets can hand it any bytes.

use wf_engine::model::record::{Epoch, Record, RecordError, Sealed};

use crate::codec::{self, Replay};

/// What bytes read as.
#[derive(Debug)]
pub struct Read {
    /// The records that are accepted.
    pub records: Vec<Record>,
    /// The hash of the last one.
    pub head: String,
    /// The owner of what was appended last.
    pub epoch: Epoch,
    /// The place of an entry that was begun and not finished.
    pub unfinished: Option<u64>,
}

/// Returns keys and values as they are stored for records that are appended at once.
pub fn stored(epoch: Epoch, records: &[Sealed]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let first_seq = records.first().map_or(0, |first| first.seq);
    let entry = codec::encode(epoch, records);
    codec::chunks(first_seq, &entry).map(|(key, value)| (key.to_vec(), value.to_vec())).collect()
}

/// Reads keys and values as a journal.
///
/// # Errors
/// When they are none.
pub fn read<'a>(stored: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> Result<Read, RecordError> {
    let mut replay = Replay::default();
    for (key, value) in stored {
        replay.chunk(key, value)?;
    }
    replay.end();
    let head = replay.chain.head().to_owned();
    Ok(Read { records: replay.records, head, epoch: replay.epoch, unfinished: replay.unfinished })
}
