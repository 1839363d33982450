//! How records lie in sled: entries and their chunks, whole, damaged, and made up.

use wf_engine::model::record::{Record, Sealed, hash};
use wf_journal::testkit::{self, Read};

use crate::lines;

/// A key of the journal: a place and the number of a chunk.
const KEY_LEN: usize = 12;
/// Layout, length, epoch and hash stand before an entry's records.
const HEADER_LEN: usize = 1 + 4 + 8 + 64;

/// Checks an input twice: as events that are stored, read, damaged as the first six bytes say, and read again; and as keys and values.
///
/// # Panics
/// When something is accepted that is no chain, or that was not written.
pub fn check(input: &[u8]) {
    if let Some((damage, events)) = input.split_first_chunk::<6>() {
        written(*damage, events);
    }
    made_up(input);
}

/// Stores events in groups, and reads them with and without damage.
fn written(damage: [u8; 6], events: &[u8]) {
    let (records, sealed): (Vec<Record>, Vec<Sealed>) = lines::records(events).into_iter().unzip();
    if records.is_empty() {
        return;
    }
    let [group, way, place @ .., bits] = damage;
    let group = usize::from(group % 16) + 1;
    let mut stored: Vec<_> = sealed.chunks(group).flat_map(|records| testkit::stored(1, records)).collect();
    let whole = read(&stored).unwrap_or_else(|error| panic!("what was written cannot be read: {error}"));
    assert_eq!((&whole.records, whole.unfinished), (&records, None), "what was written is not what is read");
    assert_eq!(whole.head, sealed[sealed.len() - 1].hash);

    let place = place.iter().fold(0, |place, &byte| place << 8 | usize::from(byte));
    let chunk = place % stored.len();
    match way % 5 {
        0 => drop(stored.remove(chunk)),
        1 => stored.swap(chunk, 0),
        2 => stored.truncate(chunk),
        3 => {
            let key = &mut stored[chunk].0;
            let at = place % key.len();
            key[at] ^= bits;
        }
        _ => {
            let value = &mut stored[chunk].1;
            let at = place % value.len();
            value[at] ^= bits;
        }
    }
    if let Ok(damaged) = read(&stored) {
        assert!(records.starts_with(&damaged.records), "a damaged journal reads as one that nobody wrote");
    }
}

fn read(stored: &[(Vec<u8>, Vec<u8>)]) -> Result<Read, wf_engine::model::record::RecordError> {
    testkit::read(stored.iter().map(|(key, value)| (key.as_slice(), value.as_slice())))
}

/// Reads an input as chunks (a length in two bytes, a key, a value), and checks what is accepted against the stored bytes.
fn made_up(input: &[u8]) {
    let mut stored = Vec::new();
    let mut rest = input;
    while let Some((len, after)) = rest.split_first_chunk::<2>() {
        let (chunk, after) = after.split_at(usize::from(u16::from_be_bytes(*len)).min(after.len()));
        stored.push(chunk.split_at(KEY_LEN.min(chunk.len())));
        rest = after;
    }
    let Ok(read) = testkit::read(stored.iter().copied()) else { return };
    let mut bytes: Vec<u8> = stored.iter().flat_map(|(_, value)| value.iter().copied()).collect();
    let (mut last_hash, mut seen) = (String::new(), 0);
    while read.records.len() > seen {
        let len = u32::from_be_bytes(bytes[1..5].try_into().unwrap_or_default()) as usize + 5;
        let entry: Vec<u8> = bytes.drain(..len).collect();
        let mut records = &entry[HEADER_LEN..];
        while let Some((len, after)) = records.split_first_chunk::<4>() {
            let (raw, after) = after.split_at(u32::from_be_bytes(*len) as usize);
            let record = &read.records[seen];
            assert_eq!((record.seq, record.prev_hash.as_str()), (seen as u64, last_hash.as_str()), "the chain is broken");
            assert!(seen == 0 || record.at >= read.records[seen - 1].at, "time goes back");
            last_hash = hash(raw);
            seen += 1;
            records = after;
        }
        assert_eq!(entry[13..HEADER_LEN], *last_hash.as_bytes(), "the last record is not the one that was acknowledged");
    }
    assert_eq!(read.head, last_hash);
}
