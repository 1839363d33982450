//! How records lie in sled. Pure: bytes in, bytes out.
//!
//! What was appended together is one *entry*: a header and the records, cut into chunks that are sled's values. A chunk's key is the place
//! of the entry's first record and the number of the chunk, both big-endian, so sled's order is the journal's order.
//! An entry counts when its last chunk is there: an entry is written whole or not at all, whatever of its chunks a crash has left.
//!
//! ```text
//! key    seq of the first record: u64 │ chunk: u32
//! entry  layout: u8 = 1 │ length of all that follows: u32 │ epoch: u64 │ hash of the last record: 64 hex digits │ (length: u32 │ record)*
//! acked  "v1" next place (20 digits) hash of the record before it │ check (16 hex digits)
//! ```

use serde::de::Error as _;
use wf_engine::model::record::{Chain, Epoch, Record, RecordError, Sealed, hash};

/// The largest value that is given to sled. 17 of them, which is the most that it puts into a page, stay far under a quarter of a segment.
pub const CHUNK_LEN_MAX: usize = 8 * 1024;

/// The most that can be appended at once, in bytes.
pub(crate) const ENTRY_LEN_MAX: usize = 256 * 1024 * 1024;

/// The layout of entries that this code writes.
const ENTRY_LAYOUT: u8 = 1;
const LEN_END: usize = 5;
const EPOCH_END: usize = LEN_END + 8;
const HASH_LEN: usize = 64;
const HEADER_LEN: usize = EPOCH_END + HASH_LEN;

pub(crate) const KEY_LEN: usize = 12;

/// The key of a chunk.
pub(crate) fn key(first_seq: u64, chunk: u32) -> [u8; KEY_LEN] {
    let mut key = [0; KEY_LEN];
    key[..8].copy_from_slice(&first_seq.to_be_bytes());
    key[8..].copy_from_slice(&chunk.to_be_bytes());
    key
}

fn parse_key(key: &[u8]) -> Option<(u64, u32)> {
    let (first_seq, chunk) = key.split_first_chunk()?;
    Some((u64::from_be_bytes(*first_seq), u32::from_be_bytes(chunk.try_into().ok()?)))
}

/// Makes an entry of records. There is at least one.
pub(crate) fn encode(epoch: Epoch, records: &[Sealed]) -> Vec<u8> {
    let len: usize = records.iter().map(|record| 4 + record.bytes.len()).sum();
    let mut entry = Vec::with_capacity(HEADER_LEN + len);
    entry.push(ENTRY_LAYOUT);
    entry.extend(length(HEADER_LEN - LEN_END + len));
    entry.extend(epoch.to_be_bytes());
    entry.extend(records.last().map(|last| last.hash.as_bytes()).unwrap_or_default());
    for record in records {
        entry.extend(length(record.bytes.len()));
        entry.extend(&record.bytes);
    }
    entry
}

/// Lengths are far below 4 GiB: [`ENTRY_LEN_MAX`] sees to that.
fn length(len: usize) -> [u8; 4] {
    u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes()
}

/// Cuts an entry into what sled gets.
pub(crate) fn chunks(first_seq: u64, entry: &[u8]) -> impl Iterator<Item = ([u8; KEY_LEN], &[u8])> {
    (0..).zip(entry.chunks(CHUNK_LEN_MAX)).map(move |(chunk, bytes)| (key(first_seq, chunk), bytes))
}

/// A journal as it was read: verified as far as it goes.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    pub(crate) records: Vec<Record>,
    pub(crate) chain: Chain,
    pub(crate) epoch: Epoch,
    /// An entry that was not finished, which therefore nobody was promised.
    pub(crate) unfinished: Option<u64>,
    open: Option<OpenEntry>,
}

#[derive(Debug)]
struct OpenEntry {
    first_seq: u64,
    chunks: u32,
    bytes: Vec<u8>,
}

impl Replay {
    /// Takes the next key and value in sled's order.
    pub(crate) fn chunk(&mut self, key: &[u8], value: &[u8]) -> Result<(), RecordError> {
        let next = self.chain.next_seq();
        let (first_seq, chunk) = parse_key(key).ok_or_else(|| unreadable(next, "a key of another layout stands in its place"))?;
        if self.open.is_none() && first_seq != next {
            return Err(RecordError::Gap { expected: next, found: first_seq });
        }
        let entry = self.open.get_or_insert(OpenEntry { first_seq, chunks: 0, bytes: Vec::new() });
        if (first_seq, chunk) != (entry.first_seq, entry.chunks) {
            return Err(unreadable(next, "a part of it is missing"));
        }
        entry.chunks += 1;
        entry.bytes.extend_from_slice(value);
        if is_whole(next, &entry.bytes)? {
            self.entry()?;
        }
        Ok(())
    }

    /// Takes note that there are no more.
    pub(crate) fn end(&mut self) {
        self.unfinished = self.open.take().map(|entry| entry.first_seq);
    }

    fn entry(&mut self) -> Result<(), RecordError> {
        let Some(entry) = self.open.take() else {
            return Ok(());
        };
        let mut rest = &entry.bytes[HEADER_LEN..];
        while !rest.is_empty() {
            let next = self.chain.next_seq();
            let (record, after) = split_record(rest).ok_or_else(|| unreadable(next, "its length is wrong"))?;
            self.records.push(self.chain.follow(next, record)?);
            rest = after;
        }
        if self.chain.head().as_bytes() != &entry.bytes[EPOCH_END..HEADER_LEN] {
            return Err(unreadable(self.chain.next_seq().saturating_sub(1), "it is not what was acknowledged: its hash is another one"));
        }
        let epoch = entry.bytes[LEN_END..EPOCH_END].try_into().map(u64::from_be_bytes);
        self.epoch = epoch.unwrap_or_default().max(self.records.last().map_or(0, |last| last.epoch));
        Ok(())
    }

    /// Checks that the journal reaches as far as it was acknowledged.
    pub(crate) fn check_acked(&self, acked: &Acked) -> Result<(), RecordError> {
        let there = self.chain.next_seq();
        if acked.next_seq > there {
            let last = acked.next_seq - 1;
            return Err(unreadable(there, &format!("the journal ends before it, but records up to {last} were acknowledged")));
        }
        let following = usize::try_from(acked.next_seq).ok().and_then(|at| self.records.get(at));
        let hash = following.map_or(self.chain.head(), |record| &record.prev_hash);
        if hash == acked.hash {
            Ok(())
        } else {
            Err(unreadable(acked.next_seq.saturating_sub(1), "another one was acknowledged in its place"))
        }
    }
}

fn is_whole(seq: u64, entry: &[u8]) -> Result<bool, RecordError> {
    let Some((&layout, rest)) = entry.split_first() else {
        return Err(unreadable(seq, "it is empty"));
    };
    if layout > ENTRY_LAYOUT {
        return Err(RecordError::Newer { seq, found: layout.into() });
    }
    let Some((len, rest)) = rest.split_first_chunk() else {
        return Err(unreadable(seq, "it is cut off"));
    };
    let len = u32::from_be_bytes(*len) as usize;
    if layout == 0 || len < HEADER_LEN - LEN_END || rest.len() > len {
        return Err(unreadable(seq, "the length of what was appended with it is wrong"));
    }
    Ok(rest.len() == len)
}

fn split_record(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(u32::from_be_bytes(*len) as usize)
}

pub(crate) fn unreadable(seq: u64, what: &str) -> RecordError {
    RecordError::Unreadable { seq, source: serde_json::Error::custom(what) }
}

/// How far a run was acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Acked {
    pub(crate) next_seq: u64,
    pub(crate) hash: String,
}

impl Acked {
    /// Returns a line of the same length for every state, so that it can be overwritten in place.
    pub(crate) fn encode(&self) -> String {
        let Self { next_seq, hash: head } = self;
        let line = format!("v1 {next_seq:020} {head:-<64}");
        let check = hash(line.as_bytes());
        format!("{line} {}\n", &check[..16])
    }

    /// Reads the line. `None` when it is not whole, which a power cut may cause: it is written without a sync.
    pub(crate) fn decode(line: &str) -> Option<Self> {
        let (said, check) = line.strip_suffix('\n')?.rsplit_once(' ')?;
        let (next_seq, head) = said.strip_prefix("v1 ")?.split_once(' ')?;
        let acked = Self { next_seq: next_seq.parse().ok()?, hash: head.trim_end_matches('-').to_owned() };
        (hash(said.as_bytes())[..16] == *check).then_some(acked)
    }
}
