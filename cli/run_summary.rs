//! [`RunSummary`]: the few facts of a run that `wf list` shows, kept in `summary.json` so that a thousand runs list at once. A cache: it
//! is believed only when it says that the run had come to rest, or while a process drives the run, and is rebuilt from the journal otherwise.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use wf_engine::model::event::RunOutcome;
use wf_engine::model::ids::RunId;
use wf_engine::model::run_state::{RunPhase, RunState, StepStatus};
use wf_engine::runtime::Replayed;
use wf_journal::Layout;

use crate::failure::Failure;
use crate::runs::Runs;

/// The version of the file.
const FORMAT: u32 = 1;

/// The few facts of a run that a list shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunSummary {
    v: u32,
    pub run: RunId,
    pub workflow: String,
    /// The file that it was read from.
    pub file: String,
    /// Where it acts: `aws`, or `sim`.
    pub world: String,
    pub state: State,
    /// How it ended, if it did.
    pub outcome: Option<RunOutcome>,
    /// The process that drives it, if one does. Never kept.
    #[serde(default, skip_deserializing)]
    pub pid: Option<u32>,
    pub started_at: Option<Timestamp>,
    /// When its last record was made.
    pub last_at: Option<Timestamp>,
    pub steps_done: usize,
    pub steps: usize,
    /// The run that it follows.
    pub follows: Option<RunId>,
}

/// Where a run is, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// A process drives it forward.
    Running,
    /// A process drives it back.
    RollingBack,
    /// No process drives it, and it is not over.
    Interrupted,
    /// It waits for an operator.
    Paused,
    /// It is over, or stuck.
    Finished,
}

impl State {
    pub fn of(state: &RunState, live: bool) -> Self {
        match state.phase() {
            RunPhase::Forward | RunPhase::Compensating if live && state.held().is_some() => Self::Paused,
            RunPhase::Forward if live => Self::Running,
            RunPhase::Compensating if live => Self::RollingBack,
            RunPhase::Forward | RunPhase::Compensating => Self::Interrupted,
            RunPhase::Paused => Self::Paused,
            RunPhase::Finished(_) => Self::Finished,
        }
    }

    /// Tells whether nothing changes without somebody's order.
    fn rests(self) -> bool {
        match self {
            Self::Interrupted | Self::Paused | Self::Finished => true,
            Self::Running | Self::RollingBack => false,
        }
    }
}

impl RunSummary {
    pub fn of(replayed: &Replayed, live: bool) -> Self {
        let Replayed { header, state, .. } = replayed;
        let done = |status: StepStatus| matches!(status, StepStatus::Succeeded | StepStatus::Skipped);
        Self {
            v: FORMAT,
            run: header.run.clone(),
            workflow: header.workflow.clone(),
            file: header.file.clone(),
            world: header.world.clone(),
            state: State::of(state, live),
            outcome: match state.phase() {
                RunPhase::Finished(outcome) => Some(outcome),
                RunPhase::Forward | RunPhase::Paused | RunPhase::Compensating => None,
            },
            pid: None,
            started_at: state.started_at(),
            last_at: state.last_at(),
            steps_done: state.steps().iter().filter(|step| done(step.status)).count(),
            steps: state.steps().len(),
            follows: header.follows.clone(),
        }
    }

    /// Keeps the summary. It is a cache, so a failure only costs time later.
    pub fn keep(&self, layout: &Layout) {
        let kept = serde_json::to_vec_pretty(self).map_err(std::io::Error::from).and_then(|json| layout.write_summary(&self.run, &json));
        if let Err(error) = kept {
            tracing::warn!(run = %self.run, %error, "the summary was not kept");
        }
    }

    /// Tells whether the run can be carried on.
    pub fn is_resumable(&self) -> bool {
        self.state != State::Finished || self.outcome == Some(RunOutcome::Stuck)
    }

    /// Tells whether the run reached its end.
    pub fn is_completed(&self) -> bool {
        matches!(self.outcome, Some(RunOutcome::Completed | RunOutcome::CompletedWithExceptions))
    }
}

/// Returns the summary that was kept of a run, if it can be believed: the run came to rest, and nobody drives it.
pub fn kept(runs: &Runs, run: &RunId) -> Option<RunSummary> {
    let json = runs.layout().read_summary(run).ok().flatten()?;
    let kept: RunSummary = serde_json::from_slice(&json).ok()?;
    let believed = kept.v == FORMAT && kept.run == *run && kept.state.rests() && runs.owner(run).is_none();
    believed.then_some(kept)
}

/// Returns the summary of a run: the one that was kept if it can be believed, a new one from the journal otherwise.
pub async fn summary(runs: &Runs, run: &RunId) -> Result<RunSummary, Failure> {
    if let Some(kept) = kept(runs, run) {
        return Ok(kept);
    }
    let (replayed, found) = runs.replayed(run).await?;
    let mut summary = RunSummary::of(&replayed, found.live_at.is_some());
    match found.live_at {
        Some(now) => {
            summary.pid = runs.owner(run).map(|owner| owner.pid);
            summary.last_at = Some(now);
        }
        None => summary.keep(runs.layout()),
    }
    Ok(summary)
}
