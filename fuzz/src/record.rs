//! The record decoder, and the fold over what it decodes.

use wf_engine::model::event::Event;
use wf_engine::model::record::{Chain, Record, RecordError};
use wf_engine::runtime::replay;

use crate::lines;

/// Checks that what decodes is encoded and decoded to the same, and that a journal of such events replays to one state or to none.
///
/// # Panics
/// When it does not.
pub fn check(input: &[u8]) {
    for line in input.split(|&byte| byte == b'\n') {
        round_trip(line);
    }
    let records: Vec<Record> = lines::records(input).into_iter().map(|(record, _)| record).collect();
    let Some(Event::RunStarted(header)) = records.first().map(|record| &record.event) else { return };
    let (once, twice) = (replay(&header.run, &records), replay(&header.run, &records));
    match (once, twice) {
        (Ok(once), Ok(twice)) => {
            assert_eq!(once.state.steps(), twice.state.steps(), "replayed twice, the steps are others");
            assert_eq!(once.state.phase(), twice.state.phase(), "replayed twice, the phase is another one");
        }
        (Err(once), Err(twice)) => assert_eq!(once.to_string(), twice.to_string()),
        (once, twice) => panic!("replayed once: {:?}, twice: {:?}", once.err(), twice.err()),
    }
}

/// Reads a line as a record and writes it again.
fn round_trip(line: &[u8]) {
    let followed = Chain::default().follow(0, line);
    let record = match Record::decode(0, line) {
        Ok(record) => record,
        Err(error) => {
            assert!(followed.is_err(), "what cannot be decoded follows nothing: {error}");
            return;
        }
    };
    if let Ok(followed) = followed {
        assert_eq!((followed.seq, followed.prev_hash.as_str()), (0, ""), "a journal begins at 0");
    }
    match record.seal() {
        Ok(sealed) => assert_eq!(Record::decode(record.seq, &sealed.bytes).ok(), Some(record), "decoded again, it is another record"),
        Err(RecordError::TooLarge { .. }) => {}
        Err(error) => panic!("what was decoded cannot be encoded: {error}"),
    }
}
