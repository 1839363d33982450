//! The runs of a state directory, as this process can read them: from the journal, or from the process that has it.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use wf_engine::journal::{Journal as _, JournalError};
use wf_engine::model::ids::RunId;
use wf_engine::model::record::Record;
use wf_engine::runtime::{Replayed, RunError, replay};
use wf_journal::{Holder, Layout, SledJournal};

use crate::control_client::connect;
use crate::failure::Failure;
use crate::run_ids;

/// How often a run is tried again that is neither free nor answers: its owner is just coming or going.
const TRIES_MAX: u32 = 4;

/// The runs of a state directory.
#[derive(Clone)]
pub struct Runs {
    journal: Arc<SledJournal>,
}

/// What is known of a run.
pub struct Found {
    /// Everything on record so far.
    pub records: Vec<Record>,
    /// The time by the run's clock, if a process drives it.
    pub live_at: Option<Timestamp>,
}

impl Runs {
    pub fn open(state_dir: &Path) -> Result<Self, Failure> {
        Ok(Self { journal: Arc::new(SledJournal::open(state_dir)?) })
    }

    pub fn journal(&self) -> &Arc<SledJournal> {
        &self.journal
    }

    pub fn layout(&self) -> &Layout {
        self.journal.layout()
    }

    /// Lists the runs, oldest first. A process that died while it made a run leaves a directory without a record: that is no run.
    pub async fn ids(&self) -> Result<Vec<RunId>, Failure> {
        let listed = self.layout().runs().map_err(|source| Failure::Files { path: self.layout().runs_dir(), doing: "read", source })?;
        let mut runs = Vec::with_capacity(listed.len());
        for run in listed {
            // The mark of what was acknowledged is not synced, so that its absence alone proves nothing.
            let marked = std::fs::metadata(self.layout().acked_file(&run)).is_ok_and(|mark| mark.len() > 0);
            if marked || self.journal.read(&run).await.map_or(true, |records| !records.is_empty()) {
                runs.push(run);
            }
        }
        Ok(runs)
    }

    /// Finds the run that a text means.
    pub async fn find(&self, text: &str) -> Result<RunId, Failure> {
        self.pick(&self.ids().await?, text)
    }

    /// Finds the run that a text means among those that were listed.
    pub fn pick(&self, ids: &[RunId], text: &str) -> Result<RunId, Failure> {
        if ids.is_empty() {
            let dir = self.layout().runs_dir();
            let there = if dir.exists() { "holds none" } else { "does not exist" };
            return Err(Failure::usage(format!("there are no runs here yet: {} {there}", dir.display()))
                .help("`wf run FILE` starts one; --state-dir or WF_STATE_DIR names another state directory"));
        }
        run_ids::find(ids, text)
    }

    /// Reads a run, whether or not another process drives it.
    pub async fn read(&self, run: &RunId) -> Result<Found, Failure> {
        let mut tries = 0;
        loop {
            let locked = match self.journal.read(run).await {
                Ok(records) => return Ok(Found { records, live_at: None }),
                Err(locked @ JournalError::Locked { .. }) => locked,
                Err(error) => return Err(error.into()),
            };
            tries += 1;
            match self.ask_owner(run).await {
                Ok(found) => return Ok(found),
                Err(error) if tries >= TRIES_MAX => {
                    tracing::warn!(%run, %error, "the owner of the run does not answer");
                    return Err(locked.into());
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// As [`Runs::read`], with the run's state.
    pub async fn replayed(&self, run: &RunId) -> Result<(Replayed, Found), Failure> {
        let found = self.read(run).await?;
        let replayed = replay(run, &found.records).map_err(|source| failed(run, source))?;
        Ok((replayed, found))
    }

    async fn ask_owner(&self, run: &RunId) -> io::Result<Found> {
        let mut records = Vec::new();
        let now = connect(&self.layout().control_socket(run)).await?.records(false, |record| records.push(record)).await?;
        Ok(Found { records, live_at: Some(now) })
    }

    /// Returns the process that drives a run, if one does.
    pub fn owner(&self, run: &RunId) -> Option<Holder> {
        let path = self.layout().lock_file(run);
        let file = File::open(&path).ok()?;
        // The lock itself is what counts: a name is left behind when a process is killed.
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => {}
            Ok(()) | Err(TryLockError::Error(_)) => return None,
        }
        std::fs::read(&path).ok().and_then(|json| serde_json::from_slice(&json).ok())
    }
}

/// Says that a run could not be driven or understood.
pub fn failed(run: &RunId, source: RunError) -> Failure {
    Failure::Run { run: run.clone(), source }
}
