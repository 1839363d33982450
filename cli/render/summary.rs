//! What a run came to: every step with its times, the critical path, the objectives, and what can be done next.
//!
//! Owns the figures; [`super::summary_text`] writes them down. All of it comes from the run's own records, and under `--sim` from what
//! the synthetic users saw, so it is the same whenever it is made.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use wf_engine::clock::between;
use wf_engine::model::definition::Tier;
use wf_engine::model::event::{Event, Identity, Mode, RunOutcome, StepFailure};
use wf_engine::model::ids::{RunId, StepId};
use wf_engine::model::occasion::Only;
use wf_engine::model::order::Order;
use wf_engine::model::record::Record;
use wf_engine::model::run_state::{RunPhase, RunState, StepStatus};
use wf_engine::model::workflow::StepIx;
use wf_engine::runtime::Replayed;
use wf_engine::units::Span;
use wf_sim::{Outage, TrafficReport};

use super::clocks::Clocks;
use super::drill::{Drill, Measured};
use super::next::{self, Next, Undoing};
use super::timeline::{CriticalPath, Ending, Lap, Timeline};
use super::{Ink, clean, state_word};
use crate::split_brain;

/// The output that tells how much a promotion lost.
pub(super) const LAG_OUTPUT: &str = "replica_lag_at_promote";
/// The output that tells how old a restored backup was, in seconds.
const BACKUP_AGE_OUTPUT: &str = "backup_age";
/// What the RPO of the volumes is measured by.
pub const OF_VOLUMES: &str = "age of the backup that volumes were restored from";

/// What a run came to.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// The run.
    pub run: RunId,
    /// The workflow's name.
    pub workflow: String,
    /// Whether the failing side still works with us.
    pub mode: Mode,
    /// Where it acted: `aws`, or `sim`.
    pub world: String,
    /// Whom it acted as, as far as that is known.
    pub identity: Option<Identity>,
    /// Where it is, in a word.
    pub state: &'static str,
    #[serde(skip)]
    pub ink: Ink,
    /// Why it is paused.
    pub reason: Option<String>,
    /// When it began.
    pub started_at: Timestamp,
    /// When its last record was made.
    pub last_at: Timestamp,
    /// From its start to the end of its last step or compensation, in seconds.
    pub makespan: f64,
    /// The longest way through the steps.
    pub critical_path: PathFigures,
    /// How many steps ran at once, on average.
    pub parallelism: f64,
    /// Every step, in the order in which they began.
    pub steps: Vec<Row>,
    /// Every compensation, in the order in which they began.
    pub compensations: Vec<Row>,
    /// What it proved, if it is a drill.
    pub drill: Option<Drill>,
    /// Promotions that were let through without a fence, at the risk of whoever started, escalated or edited the run.
    pub unfenced: Vec<StepId>,
    /// The moments that its objectives are about.
    pub clocks: Clocks,
    /// How long the service was away, by the run's own times: from the incident to the last good answer where both are known, from the run's
    /// start to the end of its last step otherwise.
    pub rto: Objective,
    /// How much of the latest data was lost, in time.
    pub rpo: Objective,
    /// How much of the volumes was lost, in time: the age of the backup that they were restored from, where one was restored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rpo_volumes: Option<Objective>,
    /// How much depends on the service, if the workflow says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tier: Option<Tier>,
    /// The rules that the service is under.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub compliance: Vec<String>,
    /// What the simulated users of each site saw.
    pub users: Vec<Users>,
    /// What failed and stayed so.
    pub failures: Vec<Failed>,
    /// What can still be undone and what cannot, when the run is not over.
    pub undo: Undoing,
    /// The commands to type next.
    pub next: Vec<Next>,
}

/// The longest way through a run's steps.
#[derive(Debug, Clone, Serialize)]
pub struct PathFigures {
    /// Its steps.
    pub steps: Vec<StepId>,
    /// Its compensations.
    pub compensations: Vec<StepId>,
    /// The sum of their durations, in seconds.
    pub seconds: f64,
    /// The run's makespan over it: 1 is the best that any schedule could do.
    pub ratio: Option<f64>,
}

/// A step, or a compensation.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// The step.
    pub step: StepId,
    /// Its kind.
    pub kind: String,
    /// Seconds from the run's start to its own; `None` when it never began.
    pub start: Option<f64>,
    /// How many seconds it took.
    pub duration: Option<f64>,
    /// How many attempts it took.
    pub attempts: u32,
    /// How it ended.
    pub outcome: &'static str,
    #[serde(skip)]
    pub ink: Ink,
    /// Whether it is on the critical path.
    pub critical: bool,
}

/// Whether an objective was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Kept.
    Met,
    /// Not kept.
    Missed,
    /// The run did not get there.
    NotReached,
    /// Nobody measured it.
    Unknown,
    /// The workflow sets none.
    NoObjective,
}

/// An objective and what was achieved, in seconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Objective {
    /// What the workflow asks for.
    pub objective: Option<f64>,
    /// What was achieved; so far, when the run did not get there.
    pub actual: Option<f64>,
    /// Whether that is good enough.
    pub verdict: Verdict,
}

/// What the simulated users of a site saw.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Users {
    /// The site's host name.
    pub site: String,
    /// For how many seconds their requests failed: the outages that this run met, each from its beginning.
    pub outage: f64,
    /// Those outages.
    pub outages: Vec<Outage>,
    /// Whether their requests still fail.
    pub still_out: bool,
    /// Rows that they were told are safe, since the world began.
    pub rows_written: u64,
    /// Rows that promotions of this run lost.
    pub rows_lost: u64,
    /// Those of them that were written to a database that another one had replaced.
    pub split_brain_rows: u64,
}

/// A step that failed, or whose compensation did.
#[derive(Debug, Clone, Serialize)]
pub struct Failed {
    /// The step.
    pub step: StepId,
    /// Whether undoing it is what failed.
    pub undoing: bool,
    /// Why.
    pub failure: StepFailure,
}

impl Summary {
    /// Puts together what a run that no process drives any more came to, from its records and, under `--sim`, what the users saw.
    pub fn of(replayed: &Replayed, records: &[Record], traffic: &[TrafficReport]) -> Self {
        let Replayed { header, workflow, state, .. } = replayed;
        let last_at = state.last_at().unwrap_or_default();
        let timeline = Timeline::of(replayed, records, last_at);
        let path = timeline.critical_path(workflow);
        let makespan = timeline.makespan();
        let (word, ink) = state_word(state, false);
        let over = matches!(state.phase(), RunPhase::Finished(outcome) if outcome != RunOutcome::Stuck);
        let clocks = Clocks::of(replayed, records);
        let objectives = &workflow.def().objectives;
        let (rto, rpo) = (rto(state, objectives.rto, makespan, &clocks), rpo(state, objectives.rpo));
        let rpo_volumes = rpo_volumes(state, objectives.rpo);
        Self {
            run: header.run.clone(),
            workflow: clean(&header.workflow).into_owned(),
            mode: header.mode,
            world: clean(&header.world).into_owned(),
            identity: header.by.identity.clone(),
            state: word,
            ink,
            reason: state.pause_reason().map(|reason| clean(reason).into_owned()),
            started_at: timeline.start,
            last_at,
            makespan: seconds(makespan),
            parallelism: ratio(timeline.work(), makespan).unwrap_or_default(),
            steps: rows(replayed, &timeline, &timeline.forward, &path.forward, step_outcome),
            compensations: rows(replayed, &timeline, &timeline.undo, &path.undo, undo_outcome),
            drill: Drill::of(replayed, records, &Measured { rto: &rto, rpo: &rpo, volumes: rpo_volumes.as_ref() }),
            unfenced: split_brain::let_through(replayed, records),
            clocks,
            rto,
            rpo,
            rpo_volumes,
            tier: objectives.tier,
            compliance: objectives.compliance.iter().map(|rule| clean(rule).into_owned()).collect(),
            users: traffic.iter().map(|report| Users::during(report, timeline.start, last_at)).collect(),
            failures: failures(records),
            undo: if over { Undoing::default() } else { Undoing::of(state) },
            next: next::commands(&header.run, state, false),
            critical_path: figures(replayed, &path, makespan),
        }
    }
}

impl Summary {
    /// Says from when to when the RTO is.
    pub fn rto_of(&self) -> &'static str {
        match self.clocks.incident {
            Some(_) => "incident to users served again",
            None => "run start to the end of its last step",
        }
    }
}

impl Users {
    fn during(report: &TrafficReport, start: Timestamp, end: Timestamp) -> Self {
        let met = |outage: &&Outage| outage.from <= end && outage.until.is_none_or(|until| until > start);
        let outages: Vec<_> = report.outages.iter().filter(met).cloned().collect();
        let lasted = |outage: &Outage| between(outage.from, outage.until.unwrap_or(end));
        Self {
            site: report.site.clone(),
            outage: seconds(outages.iter().map(lasted).sum()),
            still_out: outages.last().is_some_and(|outage| outage.until.is_none()),
            outages,
            rows_written: report.rows_written,
            rows_lost: report.losses.iter().filter(|loss| (start..=end).contains(&loss.at)).map(|loss| loss.rows).sum(),
            split_brain_rows: report.split_brain_rows,
        }
    }
}

fn figures(replayed: &Replayed, path: &CriticalPath, makespan: Duration) -> PathFigures {
    let ids = |steps: &[StepIx]| steps.iter().map(|&ix| replayed.workflow.id(ix).clone()).collect();
    PathFigures {
        steps: ids(&path.forward),
        compensations: ids(&path.undo),
        seconds: seconds(path.length),
        ratio: ratio(makespan, path.length),
    }
}

type OutcomeOf = fn(StepStatus, Option<&Lap>) -> Option<(&'static str, Ink)>;

/// Makes the rows of the steps that have an outcome, those that began first.
fn rows(replayed: &Replayed, timeline: &Timeline, laps: &[Option<Lap>], critical: &[StepIx], outcome_of: OutcomeOf) -> Vec<Row> {
    let workflow = &replayed.workflow;
    // What is only looked at beforehand is no step of the run.
    let mut order: Vec<StepIx> = (0..workflow.len()).filter(|&ix| workflow.step(ix).only != Some(Only::Check)).collect();
    order.sort_by_key(|&ix| (laps[ix].is_none(), laps[ix].map(|lap| lap.start), ix));
    let mut on_path = vec![false; workflow.len()];
    critical.iter().for_each(|&ix| on_path[ix] = true);
    let row = |ix: StepIx| {
        let lap = laps[ix].as_ref();
        let (outcome, ink) = outcome_of(replayed.state.step(ix).status, lap)?;
        Some(Row {
            step: workflow.id(ix).clone(),
            kind: clean(&workflow.step(ix).kind.value).into_owned(),
            start: lap.map(|lap| seconds(between(timeline.start, lap.start))),
            duration: lap.map(|lap| seconds(timeline.duration(lap))),
            attempts: lap.map_or(0, |lap| lap.attempts),
            outcome,
            ink,
            critical: on_path[ix],
        })
    };
    order.into_iter().filter_map(row).collect()
}

fn step_outcome(status: StepStatus, lap: Option<&Lap>) -> Option<(&'static str, Ink)> {
    Some(match (lap.and_then(|lap| lap.ending), status) {
        (Some(Ending::Well), _) => ("succeeded", Ink::Good),
        (Some(Ending::Badly), _) => ("failed", Ink::Bad),
        (Some(Ending::Unreachable), _) => ("unreachable", Ink::Bad),
        (Some(Ending::Left), _) => ("interrupted", Ink::Warn),
        (Some(Ending::ByHand), _) => ("done by hand", Ink::Warn),
        (None, StepStatus::Skipped) => ("skipped", Ink::Dim),
        (None, StepStatus::Waiting) => ("asks", Ink::Warn),
        (None, StepStatus::Retrying) => ("retrying", Ink::Warn),
        (None, _) if lap.is_some() => ("running", Ink::Busy),
        (None, _) => ("not started", Ink::Dim),
    })
}

fn undo_outcome(_: StepStatus, lap: Option<&Lap>) -> Option<(&'static str, Ink)> {
    Some(match lap?.ending {
        Some(Ending::Well | Ending::ByHand) => ("undone", Ink::Good),
        Some(Ending::Badly | Ending::Unreachable) => ("NOT UNDONE", Ink::Bad),
        Some(Ending::Left) => ("interrupted", Ink::Warn),
        None => ("undoing", Ink::Busy),
    })
}

fn rto(state: &RunState, objective: Option<Span>, makespan: Duration, clocks: &Clocks) -> Objective {
    let over = matches!(state.phase(), RunPhase::Finished(RunOutcome::Completed | RunOutcome::CompletedWithExceptions));
    let (makespan, reached) = match (clocks.incident, clocks.healthy) {
        (Some(incident), Some(healthy)) if healthy > incident => (between(incident, healthy), true),
        (Some(incident), _) => (between(incident, state.last_at().unwrap_or(incident)), false),
        (None, _) => (makespan, over),
    };
    let verdict = match objective {
        None => Verdict::NoObjective,
        Some(objective) if makespan > objective.0 => Verdict::Missed,
        Some(_) if reached => Verdict::Met,
        Some(_) => Verdict::NotReached,
    };
    Objective { objective: objective.map(|span| seconds(span.0)), actual: Some(seconds(makespan)), verdict }
}

/// Returns the most that steps gave under a name.
fn most(state: &RunState, output: &str) -> Option<f64> {
    state.steps().iter().filter_map(|step| step.outputs.get(output)?.as_f64()).reduce(f64::max)
}

/// Judges the age of the backup that volumes were restored from; `None` when none were.
fn rpo_volumes(state: &RunState, objective: Option<Span>) -> Option<Objective> {
    let (actual, objective) = (most(state, BACKUP_AGE_OUTPUT)?, objective.map(|span| seconds(span.0)));
    let verdict = match objective {
        None => Verdict::NoObjective,
        Some(objective) if actual > objective => Verdict::Missed,
        Some(_) => Verdict::Met,
    };
    Some(Objective { objective, actual: Some(actual), verdict })
}

fn rpo(state: &RunState, objective: Option<Span>) -> Objective {
    let actual = most(state, LAG_OUTPUT);
    let over = matches!(state.phase(), RunPhase::Finished(_));
    let objective = objective.map(|span| seconds(span.0));
    let verdict = match (objective, actual) {
        (None, _) => Verdict::NoObjective,
        (Some(objective), Some(lag)) if lag > objective => Verdict::Missed,
        (Some(_), Some(_)) => Verdict::Met,
        (Some(_), None) if over && state.point_of_no_return().is_some() => Verdict::Unknown,
        (Some(_), None) => Verdict::NotReached,
    };
    Objective { objective, actual, verdict }
}

/// Returns the failures that nothing made good since.
fn failures(records: &[Record]) -> Vec<Failed> {
    let mut open: BTreeMap<(&StepId, bool), (u64, &StepFailure)> = BTreeMap::new();
    for record in records {
        match &record.event {
            Event::StepFailed { step, failure } | Event::StepUnreachable { step, failure } => {
                open.insert((step, false), (record.seq, failure));
            }
            Event::CompensationFailed { step, failure } => {
                open.insert((step, true), (record.seq, failure));
            }
            Event::StepSucceeded { step, .. } | Event::StepMarkedDone { step, .. } => {
                open.remove(&(step, false));
            }
            Event::StepCompensated { step } | Event::Ordered { order: Order::MarkDone { step, .. }, .. } => {
                open.remove(&(step, true));
            }
            Event::RunStarted(_)
            | Event::WorkflowText { .. }
            | Event::WorkflowChanged(_)
            | Event::StepStarted { .. }
            | Event::StepObserved { .. }
            | Event::PointOfNoReturnPassed { .. }
            | Event::StepApplied { .. }
            | Event::ApprovalRequested { .. }
            | Event::ApprovalDecided { .. }
            | Event::AttemptFailed { .. }
            | Event::StepSkipped { .. }
            | Event::StepInterrupted { .. }
            | Event::StepRedone { .. }
            | Event::Ordered { .. }
            | Event::RunPaused { .. }
            | Event::RunInterrupted { .. }
            | Event::RunResumed { .. }
            | Event::RollbackStarted { .. }
            | Event::CompensationStarted { .. }
            | Event::CompensationAttemptFailed { .. }
            | Event::RunFinished { .. } => {}
        }
    }
    let mut failed: Vec<_> = open.into_iter().collect();
    failed.sort_by_key(|(_, (seq, _))| *seq);
    let failed = failed.into_iter();
    failed.map(|((step, undoing), (_, failure))| Failed { step: step.clone(), undoing, failure: failure.clone() }).collect()
}

/// Returns a span in seconds, to the millisecond.
fn seconds(span: Duration) -> f64 {
    (span.as_secs_f64() * 1e3).round() / 1e3
}

fn ratio(of: Duration, to: Duration) -> Option<f64> {
    (!to.is_zero()).then(|| (of.as_secs_f64() / to.as_secs_f64() * 1e3).round() / 1e3)
}
