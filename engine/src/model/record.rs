//! How an [`Event`] becomes bytes of a journal and back: one JSON object per record, each with the hash of the one before it,
//! so that nothing can be altered, removed or put between without it showing.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::event::Event;

/// The newest version of the journal's format that this code knows. Version 2 has operators' orders, version 3 edited workflows; each
/// record carries the oldest version that has its event.
pub const FORMAT: u32 = 3;

/// The largest record, in bytes.
pub const RECORD_LEN_MAX: usize = 64 * 1024;

/// Counts the owners of a run. A process that lost a run to another one has an older epoch and can no longer append.
pub type Epoch = u64;

/// One entry of a run's journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The format, see [`FORMAT`].
    pub v: u32,
    /// The record's place in the run, from 0 and without gaps.
    pub seq: u64,
    /// When it was made; never earlier than the record before.
    pub at: Timestamp,
    /// Which owner of the run made it.
    pub epoch: Epoch,
    /// The hash of the record before, in hexadecimal; empty for the first.
    pub prev_hash: String,
    /// What happened.
    pub event: Event,
}

/// A record in the bytes that are stored, and their hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The record's place in the run.
    pub seq: u64,
    /// JSON.
    pub bytes: Vec<u8>,
    /// SHA-256 of `bytes`, in hexadecimal: the next record's `prev_hash`.
    pub hash: String,
}

/// Says what is wrong with a record.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The record is larger than [`RECORD_LEN_MAX`].
    #[error("record {seq} would be {len} bytes long, more than the {RECORD_LEN_MAX} allowed")]
    TooLarge {
        /// Its place.
        seq: u64,
        /// Its length in bytes.
        len: usize,
    },
    /// The record was written by a newer `wf`.
    #[error("record {seq} has format {found}, this wf reads up to {FORMAT}: use the wf that wrote it, or a newer one")]
    Newer {
        /// Its place.
        seq: u64,
        /// The format found.
        found: u32,
    },
    /// The bytes are no record.
    #[error("record {seq} cannot be read: {source}")]
    Unreadable {
        /// Its place.
        seq: u64,
        /// What the JSON reader says.
        source: serde_json::Error,
    },
    /// A record is missing, or out of its place.
    #[error("record {expected} is missing: {found} stands in its place")]
    Gap {
        /// The place.
        expected: u64,
        /// What stands there.
        found: u64,
    },
    /// The record does not follow the one before it.
    #[error("the hash chain breaks at record {seq}: it was not written after the record that stands before it")]
    Chain {
        /// Its place.
        seq: u64,
    },
}

impl Record {
    /// Turns the record into the bytes that are stored.
    ///
    /// # Errors
    /// When it would be larger than [`RECORD_LEN_MAX`].
    pub fn seal(&self) -> Result<Sealed, RecordError> {
        let bytes = serde_json::to_vec(self).map_err(|source| RecordError::Unreadable { seq: self.seq, source })?;
        if bytes.len() > RECORD_LEN_MAX {
            return Err(RecordError::TooLarge { seq: self.seq, len: bytes.len() });
        }
        let hash = hash(&bytes);
        Ok(Sealed { seq: self.seq, bytes, hash })
    }

    /// Reads one record. Its place in the chain is not checked: see [`Chain`].
    ///
    /// # Errors
    /// When the bytes are no record of a format that this code knows.
    pub fn decode(seq: u64, bytes: &[u8]) -> Result<Self, RecordError> {
        #[derive(Deserialize)]
        struct Version {
            v: u32,
        }
        let unreadable = |source| RecordError::Unreadable { seq, source };
        match serde_json::from_slice(bytes) {
            Ok(record) => Ok(record),
            Err(error) => {
                let Version { v } = serde_json::from_slice(bytes).map_err(unreadable)?;
                Err(if v > FORMAT { RecordError::Newer { seq, found: v } } else { unreadable(error) })
            }
        }
        .and_then(|record: Self| if record.v > FORMAT { Err(RecordError::Newer { seq, found: record.v }) } else { Ok(record) })
    }
}

/// Returns the SHA-256 of some bytes, in hexadecimal.
pub fn hash(bytes: &[u8]) -> String {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    let mut hex = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        hex.extend([byte >> 4, byte & 15].map(|digit| char::from(DIGITS[usize::from(digit)])));
    }
    hex
}

/// The end of a run's chain: where the next record goes and what it must name as its predecessor.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chain {
    next_seq: u64,
    last_hash: String,
    last_at: Option<Timestamp>,
}

impl Chain {
    /// Returns the place of the next record, which is also the number of records so far.
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Returns the hash of the last record; empty before the first.
    pub fn head(&self) -> &str {
        &self.last_hash
    }

    /// Returns when the last record was made.
    pub fn last_at(&self) -> Option<Timestamp> {
        self.last_at
    }

    /// Returns the end of a chain that was read and verified, whose last record has the hash `head`.
    pub fn resume(records: &[Record], head: String) -> Self {
        let last = records.last();
        Self { next_seq: last.map_or(0, |record| record.seq + 1), last_hash: head, last_at: last.map(|record| record.at) }
    }

    /// Makes the record of `event` that follows, and moves on. Time does not go back in a journal, even when the clock does.
    ///
    /// # Errors
    /// When the record would be too large; the chain then stays where it was.
    pub fn extend(&mut self, at: Timestamp, epoch: Epoch, event: Event) -> Result<(Record, Sealed), RecordError> {
        let at = self.last_at.map_or(at, |last| last.max(at));
        let record = Record { v: event.format(), seq: self.next_seq, at, epoch, prev_hash: self.last_hash.clone(), event };
        let sealed = record.seal()?;
        self.moved_past(&record, sealed.hash.clone());
        Ok((record, sealed))
    }

    /// Reads the record that follows and checks that it really does.
    ///
    /// # Errors
    /// Names the first thing that is wrong with it.
    pub fn follow(&mut self, seq: u64, bytes: &[u8]) -> Result<Record, RecordError> {
        if seq != self.next_seq {
            return Err(RecordError::Gap { expected: self.next_seq, found: seq });
        }
        let record = Record::decode(seq, bytes)?;
        if record.seq != seq {
            return Err(RecordError::Gap { expected: seq, found: record.seq });
        }
        if record.prev_hash != self.last_hash || self.last_at.is_some_and(|last| record.at < last) {
            return Err(RecordError::Chain { seq });
        }
        self.moved_past(&record, hash(bytes));
        Ok(record)
    }

    fn moved_past(&mut self, record: &Record, hash: String) {
        self.next_seq = record.seq + 1;
        self.last_at = Some(record.at);
        self.last_hash = hash;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::RunOutcome;

    fn chain_of(n: u64) -> Vec<Sealed> {
        let mut chain = Chain::default();
        let event = |i| {
            if i % 2 == 0 { Event::RunPaused { reason: format!("{i}") } } else { Event::RunFinished { outcome: RunOutcome::Completed } }
        };
        (0..n).map(|i| chain.extend(Timestamp::UNIX_EPOCH, 1, event(i)).expect("small").1).collect()
    }

    fn follow_all(records: &[Sealed]) -> Result<Chain, RecordError> {
        let mut chain = Chain::default();
        for sealed in records {
            chain.follow(sealed.seq, &sealed.bytes)?;
        }
        Ok(chain)
    }

    #[test]
    fn a_chain_reads_back_as_it_was_written() {
        let records = chain_of(5);
        let chain = follow_all(&records).expect("intact");
        assert_eq!((chain.next_seq(), chain.head()), (5, records[4].hash.as_str()));
    }

    /// What a process knew and what the next one reads must be the same number: a lag of seconds was off in its last digit.
    #[test]
    fn a_fraction_reads_back_to_the_last_digit() {
        let mut chain = Chain::default();
        let outputs = [("lag".to_owned(), serde_json::json!(126.932_790_283_470_96))].into_iter().collect();
        let event = Event::StepSucceeded { step: "caught_up".parse().expect("an id"), outputs };
        let (record, sealed) = chain.extend(Timestamp::UNIX_EPOCH, 1, event).expect("small");
        assert_eq!(Record::decode(0, &sealed.bytes).expect("intact"), record);
    }

    /// The first record of a run as `wf` wrote it before it recorded whom the world takes the operator for.
    #[test]
    fn a_record_without_an_identity_is_read() {
        let bytes = br#"{"v":1,"seq":0,"at":"2026-03-01T02:59:00Z","epoch":1,"prev_hash":"","event":{"RunStarted":{"run":"01HZXW3V9K0000000000000042","workflow":"failover","workflow_hash":"00","text_parts":1,"file":"failover.ron","inputs":{},"mode":"Unplanned","max_parallel":100,"approve_all":false,"world":"aws","by":{"user":"ops","host":"bastion","pid":4711,"wf":"0.1.0"}}}}"#;
        let record = Record::decode(0, bytes).expect("an old record");
        let Event::RunStarted(header) = &record.event else { panic!("{record:?}") };
        assert_eq!((header.by.user.as_str(), &header.by.identity), ("ops", &None));
        assert_eq!(record.seal().expect("small").bytes, bytes, "nothing is added to it");
    }

    /// The records of an edited workflow, as the first `wf` that had them wrote them.
    #[test]
    fn an_edited_workflow_is_read() {
        let bytes = br#"{"v":3,"seq":9,"at":"2026-03-01T02:59:00Z","epoch":2,"prev_hash":"00","event":{"WorkflowChanged":{"workflow_hash":"11","text_parts":1,"file":"failover.ron","inputs":{"dr_region":"us-west-2"},"summary":"added: notify","by":{"user":"ops","host":"bastion","pid":4711,"wf":"0.1.0"}}}}"#;
        let record = Record::decode(9, bytes).expect("a record");
        let Event::WorkflowChanged(change) = &record.event else { panic!("{record:?}") };
        assert_eq!((change.summary.as_str(), record.event.format()), ("added: notify", 3));
        assert_eq!(record.seal().expect("small").bytes, bytes);
    }

    #[test]
    fn an_altered_record_shows_at_its_successor() {
        let mut records = chain_of(5);
        let text = String::from_utf8(records[2].bytes.clone()).expect("JSON");
        records[2].bytes = text.replace("\"2\"", "\"7\"").into_bytes();
        assert!(matches!(follow_all(&records), Err(RecordError::Chain { seq: 3 })));
    }

    #[test]
    fn a_removed_record_shows() {
        let mut records = chain_of(5);
        records.remove(2);
        assert!(matches!(follow_all(&records), Err(RecordError::Gap { expected: 2, found: 3 })));
    }

    #[test]
    fn a_newer_format_is_named_as_such() {
        let bytes = br#"{"v":99,"seq":0,"what":"ever"}"#;
        assert!(matches!(Record::decode(0, bytes), Err(RecordError::Newer { seq: 0, found: 99 })));
        assert!(matches!(Record::decode(0, b"{"), Err(RecordError::Unreadable { .. })));
    }

    #[test]
    fn a_record_over_the_limit_is_refused_and_the_chain_stays() {
        let mut chain = Chain::default();
        let event = Event::RunPaused { reason: "x".repeat(RECORD_LEN_MAX) };
        assert!(matches!(chain.extend(Timestamp::UNIX_EPOCH, 1, event), Err(RecordError::TooLarge { .. })));
        assert_eq!(chain, Chain::default());
    }

    #[test]
    fn time_does_not_go_back() {
        let mut chain = Chain::default();
        let later = Timestamp::from_second(10).expect("in range");
        chain.extend(later, 1, Event::RunPaused { reason: String::new() }).expect("small");
        let (record, _) = chain.extend(Timestamp::UNIX_EPOCH, 1, Event::RunPaused { reason: String::new() }).expect("small");
        assert_eq!(record.at, later);
    }
}
