//! The floor, in layers: what the disk alone takes for the same number of durable writes, what sled adds, and what the journal adds.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use wf_engine::clock::{Clock as _, SystemClock};
use wf_engine::journal::Journal as _;
use wf_engine::model::event::Event;
use wf_engine::model::ids::RunId;
use wf_engine::model::record::Chain;
use wf_engine::runtime::RunError;
use wf_journal::SledJournal;

use crate::round::{BenchError, driven};

/// Appends `count` pieces of `len` bytes to a new file, each made durable before the next, and returns how long that took.
pub(crate) fn floor(dir: &Path, count: u64, len: usize) -> io::Result<Duration> {
    let path = dir.join("floor");
    let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
    let piece = vec![b'x'; len];
    let began = Instant::now();
    for _ in 0..count {
        file.write_all(&piece)?;
        file.sync_data()?;
    }
    let took = began.elapsed();
    std::fs::remove_file(&path)?;
    Ok(took)
}

/// The time that one durable write takes, in seconds, by how much of `wf` is on top of the disk.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Floors {
    /// A `write` and an `fdatasync`.
    pub disk: f64,
    /// An `insert` and a `flush` of sled, and an `fdatasync`, on one thread.
    pub sled: f64,
    /// An append to the journal: sealed into the chain, handed to the writer thread, acknowledged.
    pub journal: f64,
}

impl Floors {
    /// Measures each with `count` writes of `len` bytes, in a new directory below `dir`, which is removed afterwards.
    ///
    /// # Errors
    /// When the disk or the journal fails.
    pub async fn measure(dir: &Path, count: u64, len: usize) -> Result<Self, BenchError> {
        let dir = tempfile::Builder::new().prefix("wf-bench-").tempdir_in(dir)?;
        let each = |took: Duration| took.as_secs_f64() / count as f64;
        let disk = each(floor(dir.path(), count, len)?);
        let sled = each(sled_floor(&dir.path().join("sled"), count, len)?);
        let journal = each(journal_floor(dir.path(), count, len).await?);
        Ok(Self { disk, sled, journal })
    }
}

fn sled_floor(dir: &Path, count: u64, len: usize) -> Result<Duration, BenchError> {
    let db = sled::Config::new().path(dir).segment_size(2 * 1024 * 1024).flush_every_ms(None).open()?;
    let file = File::open(dir.join("db"))?;
    let value = vec![b'x'; len];
    let began = Instant::now();
    for place in 0..count {
        db.insert(place.to_be_bytes(), value.as_slice())?;
        db.flush()?;
        file.sync_data()?;
    }
    Ok(began.elapsed())
}

async fn journal_floor(dir: &Path, count: u64, len: usize) -> Result<Duration, BenchError> {
    let journal = Arc::new(SledJournal::open(dir)?);
    let run = RunId::new(1, fastrand::u128(..));
    let epoch = journal.claim(&run, true).await?.epoch;
    let reason = "x".repeat(len);
    driven(async move {
        let mut chain = Chain::default();
        let began = Instant::now();
        for place in 0..count {
            let event = Event::RunPaused { reason: reason.clone() };
            let (_, sealed) = chain.extend(SystemClock.now(), epoch, event).map_err(RunError::Record)?;
            journal.append(&run, epoch, place, vec![sealed]).await?;
        }
        let took = began.elapsed();
        journal.release(&run).await?;
        Ok(took)
    })
    .await
}
