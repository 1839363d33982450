//! [`Progress`]: up to which record each target was told, kept beside the journal, so that a process that is killed with something left to
//! tell does not take it along. A cache: without it nothing old is told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use wf_engine::model::ids::RunId;
use wf_engine::model::record::Record;
use wf_engine::model::run_state::RunState;
use wf_engine::model::workflow::Workflow;
use wf_journal::Layout;

use super::message::Notification;

/// Up to which record each target was told.
pub struct Progress {
    layout: Layout,
    run: RunId,
    /// What was kept when this process began.
    earlier: Kept,
    kept: Mutex<Kept>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Kept {
    /// By target, the first record that it was not told of, and that nobody gave up on. A webhook's URL is not here.
    from: BTreeMap<String, u64>,
}

impl Progress {
    pub fn read(layout: &Layout, run: &RunId) -> Self {
        let json = layout.read_told(run).ok().flatten();
        let earlier: Kept = json.and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default();
        Self { layout: layout.clone(), run: run.clone(), kept: Mutex::new(earlier.clone()), earlier }
    }

    /// Tells whether an earlier process was to tell a target of a record, and did not come to it.
    pub fn lacks(&self, target: &str, seq: u64) -> bool {
        self.earlier.from.get(target).is_some_and(|from| seq >= *from)
    }

    /// Puts together what earlier processes were to tell and did not.
    pub fn untold(&self, workflow: &Arc<Workflow>, records: &[Record]) -> Vec<Arc<Notification>> {
        let Some(from) = self.earlier.from.values().min() else { return Vec::new() };
        if records.last().is_none_or(|last| last.seq < *from) {
            return Vec::new();
        }
        let Ok(state) = RunState::replay(Arc::clone(workflow), |_| Duration::from_secs(1), records) else { return Vec::new() };
        let untold = records.iter().filter(|record| record.seq >= *from);
        untold.filter_map(|record| Notification::of(record, &state)).map(|notification| Arc::new(notification.late())).collect()
    }

    /// Keeps that a target is to be told from a record on, and was told all before. May wait for the disk.
    pub fn keep(&self, target: &str, from: u64) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.from.insert(target.to_owned(), from);
        let written = serde_json::to_vec(&*kept).map_err(std::io::Error::from).and_then(|json| self.layout.write_told(&self.run, &json));
        if let Err(error) = written {
            tracing::warn!(run = %self.run, %error, "how far it was told was not kept");
        }
    }
}
