//! What is demanded of a journal after a power cut.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use wf_engine::journal::{Claim, Journal as _};
use wf_engine::model::record::Chain;
use wf_journal::SledJournal;

use crate::disk::Files;
use crate::load::{Promise, failover_len, next_record};

const OPENING_MAX: Duration = Duration::from_secs(60);

/// What a disk did not keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Broken {
    /// Fewer records than were acknowledged.
    Lost(String),
    /// Anything else: it cannot be opened, shows what nobody wrote, or takes nothing more.
    Other(String),
}

/// Puts the files on a real file system.
pub fn write(files: &Files, dir: &Path) {
    for (path, image) in files {
        let path = dir.join(path);
        match image {
            None => std::fs::create_dir_all(path).unwrap(),
            Some(image) => std::fs::write(path, image.bytes()).unwrap(),
        }
    }
}

/// Opens the run, compares it with what was promised, and uses it.
pub async fn check(state: &Path, promise: &Promise, extra: u64) -> Result<(), Broken> {
    match tokio::time::timeout(OPENING_MAX, check_now(state, promise, extra)).await {
        Ok(checked) => checked,
        Err(_) => Err(Broken::Other(format!("it hangs: not opened after {OPENING_MAX:?}"))),
    }
}

async fn check_now(state: &Path, promise: &Promise, extra: u64) -> Result<(), Broken> {
    let run = &promise.run;
    let above = state.parent().unwrap_or(state);
    let journal = SledJournal::open(state).map_err(|error| other("not opened", &error))?.with_copies_in(above);
    if extra.is_multiple_of(4) && journal.layout().run_dir(run).exists() {
        let verified = journal.verify(run).await.map_err(|error| refused("not read", promise, &error))?;
        compare(promise, verified.records as usize, &verified.head)?;
    }
    let Claim { epoch, records, head } = journal.claim(run, true).await.map_err(|error| refused("not claimed", promise, &error))?;
    compare(promise, records.len(), &head)?;
    let mut chain = Chain::resume(&records, head);
    for n in [2, 1] {
        let (next, more) = (chain.next_seq(), (0..n).map(|_| next_record(&mut chain, promise.number, epoch, failover_len)).collect());
        journal.append(run, epoch, next, more).await.map_err(|error| other("not appended to", &error))?;
    }
    journal.release(run).await.map_err(|error| other("not released", &error))?;
    if extra % 4 != 1 {
        return Ok(());
    }
    let again = journal.verify(run).await.map_err(|error| other("not read again", &error))?;
    if (again.records, again.head.as_str()) == (chain.next_seq(), chain.head()) {
        Ok(())
    } else {
        Err(Broken::Other("what was appended after the power cut is not there".to_owned()))
    }
}

/// The head is the hash of the last record, which has the hash of the one before it, and so on: the same head means the same bytes.
fn compare(promise: &Promise, found: usize, head: &str) -> Result<(), Broken> {
    if found < promise.acked {
        return Err(Broken::Lost(format!("{found} records are left of {} that were acknowledged", promise.acked)));
    }
    let expected = found.checked_sub(1).map_or("", |last| promise.records.get(last).map_or("none", |record| &record.hash));
    if head == expected { Ok(()) } else { Err(Broken::Other(format!("its {found} records are not those that were written"))) }
}

/// A journal that notices the loss refuses to open, which is better than to hide it, but a loss all the same.
fn refused(what: &str, promise: &Promise, error: &dyn Error) -> Broken {
    let Broken::Other(text) = other(what, error) else { unreachable!() };
    if text.contains("were acknowledged") { Broken::Lost(format!("{text} ({} acknowledged)", promise.acked)) } else { Broken::Other(text) }
}

fn other(what: &str, error: &dyn Error) -> Broken {
    let mut text = format!("{what}: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    Broken::Other(text)
}
