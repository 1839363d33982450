//! When each step and each compensation ran, and the way through them that decided how long the run took.
//!
//! The critical path is the longest way through the graph, measured by the durations that were recorded: no schedule of the same
//! steps can be shorter. (Walking back from the step that ended last, to the need that ended last, was rejected: with few steps at
//! once it follows whoever stood in the queue.)

use std::time::Duration;

use jiff::Timestamp;
use wf_engine::clock::between;
use wf_engine::model::event::Event;
use wf_engine::model::order::Order;
use wf_engine::model::record::Record;
use wf_engine::model::workflow::{StepIx, Workflow};
use wf_engine::runtime::Replayed;

/// The time that a step, or its compensation, took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lap {
    /// When it began first.
    pub start: Timestamp,
    /// When it ended or was left; `None` while it goes on.
    pub end: Option<Timestamp>,
    /// How it ended, or that it was left.
    pub ending: Option<Ending>,
    /// How many attempts began; one that was carried on after an interruption counts once.
    pub attempts: u32,
    /// The number of the attempt that has no result yet.
    open: Option<u32>,
}

/// How a lap ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The step succeeded, or its compensation did.
    Well,
    /// The step failed for good, or its compensation did.
    Badly,
    /// The step's world could not be reached.
    Unreachable,
    /// It was left before its result was known.
    Left,
    /// An operator said that the step is done.
    ByHand,
}

/// The laps of a run.
#[derive(Debug)]
pub struct Timeline {
    /// When the run began.
    pub start: Timestamp,
    /// The end of laps that go on.
    now: Timestamp,
    /// Per step, what it took to do it.
    pub forward: Vec<Option<Lap>>,
    /// Per step, what it took to undo it.
    pub undo: Vec<Option<Lap>>,
}

/// The longest way through a run's steps.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct CriticalPath {
    /// The steps, in the order in which they were done.
    pub forward: Vec<StepIx>,
    /// The compensations, in the order in which they were done.
    pub undo: Vec<StepIx>,
    /// The sum of their durations.
    pub length: Duration,
}

impl Lap {
    /// Returns how long it took, or has taken by now.
    pub fn duration(&self, now: Timestamp) -> Duration {
        between(self.start, self.end.unwrap_or(now))
    }
}

impl Timeline {
    /// Reads the laps out of a run's records. Laps that go on end `now`, as far as durations go.
    pub fn of(replayed: &Replayed, records: &[Record], now: Timestamp) -> Self {
        let steps = replayed.workflow.len();
        let start = records.first().map_or(now, |record| record.at);
        let mut timeline = Self { start, now, forward: vec![None; steps], undo: vec![None; steps] };
        for record in records {
            timeline.read(record, &replayed.workflow);
        }
        timeline
    }

    fn read(&mut self, record: &Record, workflow: &Workflow) {
        let at = record.at;
        let find = |step| workflow.find(step);
        match &record.event {
            Event::StepStarted { step, attempt } => began(find(step).map(|ix| &mut self.forward[ix]), *attempt, at),
            Event::CompensationStarted { step, attempt } => began(find(step).map(|ix| &mut self.undo[ix]), *attempt, at),
            Event::AttemptFailed { step, .. } => failed(find(step).and_then(|ix| self.forward[ix].as_mut())),
            Event::CompensationAttemptFailed { step, .. } => failed(find(step).and_then(|ix| self.undo[ix].as_mut())),
            Event::StepSucceeded { step, .. } => ended(find(step).and_then(|ix| self.forward[ix].as_mut()), at, Ending::Well),
            Event::StepFailed { step, .. } => ended(find(step).and_then(|ix| self.forward[ix].as_mut()), at, Ending::Badly),
            Event::StepUnreachable { step, .. } => ended(find(step).and_then(|ix| self.forward[ix].as_mut()), at, Ending::Unreachable),
            Event::StepMarkedDone { step, .. } => ended(find(step).and_then(|ix| self.forward[ix].as_mut()), at, Ending::ByHand),
            Event::StepCompensated { step } => ended(find(step).and_then(|ix| self.undo[ix].as_mut()), at, Ending::Well),
            Event::CompensationFailed { step, .. } => ended(find(step).and_then(|ix| self.undo[ix].as_mut()), at, Ending::Badly),
            Event::Ordered { order: Order::MarkDone { step, .. }, .. } => {
                undone_by_hand(find(step).and_then(|ix| self.undo[ix].as_mut()));
            }
            Event::StepInterrupted { step } => left(find(step).and_then(|ix| self.forward[ix].as_mut()), at),
            Event::RunInterrupted { .. } | Event::RunResumed { .. } => {
                for lap in self.forward.iter_mut().chain(&mut self.undo).flatten().filter(|lap| lap.end.is_none()) {
                    left(Some(lap), at);
                }
            }
            Event::RunStarted(_)
            | Event::WorkflowText { .. }
            | Event::WorkflowChanged(_)
            | Event::StepObserved { .. }
            | Event::PointOfNoReturnPassed { .. }
            | Event::StepApplied { .. }
            | Event::ApprovalRequested { .. }
            | Event::ApprovalDecided { .. }
            | Event::StepSkipped { .. }
            | Event::StepRedone { .. }
            | Event::Ordered { .. }
            | Event::RunPaused { .. }
            | Event::RollbackStarted { .. }
            | Event::RunFinished { .. } => {}
        }
    }

    /// Returns the time from the run's start to the end of its last lap.
    pub fn makespan(&self) -> Duration {
        let ends = self.laps().map(|lap| lap.end.unwrap_or(self.now));
        ends.max().map_or(Duration::ZERO, |end| between(self.start, end))
    }

    /// Returns the sum of all durations: what the run would take with one step at a time.
    pub fn work(&self) -> Duration {
        self.laps().map(|lap| lap.duration(self.now)).sum()
    }

    /// Returns how long a lap took.
    pub fn duration(&self, lap: &Lap) -> Duration {
        lap.duration(self.now)
    }

    fn laps(&self) -> impl Iterator<Item = &Lap> {
        self.forward.iter().chain(&self.undo).flatten()
    }

    /// Finds the longest way through the steps that were done, and the longest one back.
    pub fn critical_path(&self, workflow: &Workflow) -> CriticalPath {
        let (forward, there) = self.longest(workflow, &self.forward);
        let (mut undo, back) = self.longest(workflow, &self.undo);
        // What was done last is undone first.
        undo.reverse();
        CriticalPath { forward, undo, length: there + back }
    }

    fn longest(&self, workflow: &Workflow, laps: &[Option<Lap>]) -> (Vec<StepIx>, Duration) {
        let duration = |ix: StepIx| laps[ix].map_or(Duration::ZERO, |lap| lap.duration(self.now));
        let remaining = workflow.remaining(duration);
        // Of two ways of the same length the one that failed is the one to look at.
        let badly = |ix: StepIx| laps[ix].is_some_and(|lap| lap.ending == Some(Ending::Badly));
        let longest = |steps: &mut dyn Iterator<Item = StepIx>| {
            steps.filter(|&ix| !remaining[ix].is_zero()).max_by_key(|&ix| (remaining[ix], badly(ix)))
        };
        let mut path = Vec::new();
        let mut here = longest(&mut (0..workflow.len()));
        let length = here.map_or(Duration::ZERO, |ix| remaining[ix]);
        while let Some(ix) = here {
            if laps[ix].is_some() {
                path.push(ix);
            }
            here = longest(&mut workflow.dependents(ix));
        }
        (path, length)
    }
}

fn began(lap: Option<&mut Option<Lap>>, attempt: u32, at: Timestamp) {
    let Some(lap) = lap else { return };
    let lap = lap.get_or_insert(Lap { start: at, end: None, ending: None, attempts: 0, open: None });
    (lap.end, lap.ending) = (None, None);
    if lap.open.replace(attempt) != Some(attempt) {
        lap.attempts += 1;
    }
}

fn failed(lap: Option<&mut Lap>) {
    if let Some(lap) = lap {
        lap.open = None;
    }
}

/// The attempt keeps its number, so that it is known when it is carried on.
/// Somebody did what a compensation could not.
fn undone_by_hand(lap: Option<&mut Lap>) {
    if let Some(lap) = lap.filter(|lap| lap.ending == Some(Ending::Badly)) {
        lap.ending = Some(Ending::ByHand);
    }
}

fn left(lap: Option<&mut Lap>, at: Timestamp) {
    if let Some(lap) = lap {
        (lap.end, lap.ending) = (Some(at), Some(Ending::Left));
    }
}

fn ended(lap: Option<&mut Lap>, at: Timestamp, ending: Ending) {
    if let Some(lap) = lap {
        lap.open = None;
        (lap.end, lap.ending) = (Some(at), Some(ending));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::tale::{Tale, at, id, operator};

    fn ids(path: &[StepIx], replayed: &Replayed) -> Vec<String> {
        path.iter().map(|&ix| replayed.workflow.id(ix).to_string()).collect()
    }

    #[test]
    fn the_longest_way_is_found_by_recorded_durations() {
        let tale = Tale::completed();
        let replayed = tale.replayed();
        let timeline = Timeline::of(&replayed, &tale.records, at(500.0));
        let path = timeline.critical_path(&replayed.workflow);
        assert_eq!(ids(&path.forward, &replayed), ["fence", "go", "promote", "dns"]);
        assert_eq!((path.undo.len(), path.length, timeline.makespan()), (0, Duration::from_secs(500), Duration::from_secs(500)));
        assert_eq!(timeline.work(), Duration::from_millis(620_500));
    }

    #[test]
    fn a_rollback_has_a_way_there_and_a_way_back() {
        let tale = Tale::rolled_back();
        let replayed = tale.replayed();
        let timeline = Timeline::of(&replayed, &tale.records, at(115.0));
        let path = timeline.critical_path(&replayed.workflow);
        assert_eq!(ids(&path.forward, &replayed), ["fence", "scale_app"]);
        assert_eq!(ids(&path.undo, &replayed), ["scale_app", "fence"]);
        assert_eq!((path.length, timeline.makespan()), (Duration::from_secs(115), Duration::from_secs(115)));
    }

    #[test]
    fn an_attempt_that_is_carried_on_counts_once_and_one_that_failed_counts() {
        let retry = |attempt, secs| Event::AttemptFailed {
            step: id("fence"),
            attempt,
            failure: wf_engine::model::event::StepFailure::transient("throttled"),
            retry_at: at(secs),
        };
        let start = |attempt| Event::StepStarted { step: id("fence"), attempt };
        let tale = Tale::new().then(1.0, start(1)).then(2.0, retry(1, 3.0)).then(3.0, start(2));
        let tale = tale.then(60.0, Event::RunResumed { by: operator() }).then(60.0, start(2));
        let timeline = Timeline::of(&tale.replayed(), &tale.records, at(70.0));
        let lap = timeline.forward[0].expect("begun");
        assert_eq!((lap.start, lap.end, lap.attempts), (at(1.0), None, 2));
        assert_eq!(timeline.duration(&lap), Duration::from_secs(69));
        assert!(timeline.critical_path(&tale.replayed().workflow).forward == [0]);
    }
}
