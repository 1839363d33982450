//! Lines of JSON as the events of a run.

use jiff::{SignedDuration, Timestamp};
use wf_engine::model::event::Event;
use wf_engine::model::record::{Chain, Record, Sealed};

/// The most records that are made of one input.
const RECORDS_MAX: usize = 200;

/// Makes a journal's records of what lines say; lines that are no event are left out.
pub(crate) fn records(text: &[u8]) -> Vec<(Record, Sealed)> {
    let mut chain = Chain::default();
    let events = text.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice::<Event>(line).ok());
    let records = (0..).zip(events.take(RECORDS_MAX)).filter_map(|(second, event): (i64, Event)| {
        let at = Timestamp::UNIX_EPOCH + SignedDuration::from_secs(second);
        chain.extend(at, 1, event).ok()
    });
    records.collect()
}
