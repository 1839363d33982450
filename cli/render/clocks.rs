//! [`Clocks`]: when the moments of a failover were that its objectives are about, by the run's own records. What a step's outputs say tells
//! what it was: a promotion says how far behind the replica was, a change of DNS names the change, a check of a page when it was asked.

use jiff::Timestamp;
use serde::Serialize;
use wf_engine::model::dsl::Stage;
use wf_engine::model::event::{Event, Fields};
use wf_engine::model::record::Record;
use wf_engine::model::workflow::StepIx;
use wf_engine::runtime::Replayed;

use super::summary::LAG_OUTPUT;

/// The moments of a failover. `None`: the run did not get there, or nobody knows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Clocks {
    /// When the incident began: as whoever started the run said, or when a drill's failure was brought about.
    pub incident: Option<Timestamp>,
    /// When the run started.
    pub start: Option<Timestamp>,
    /// When a human first said that it may go on.
    pub decision: Option<Timestamp>,
    /// When the promoted database was seen to take writes.
    pub writable: Option<Timestamp>,
    /// When the last change of DNS was on all name servers.
    pub traffic: Option<Timestamp>,
    /// When the last page had answered well often enough in a row.
    pub healthy: Option<Timestamp>,
}

impl Clocks {
    /// Reads the moments out of a run's records.
    pub fn of(replayed: &Replayed, records: &[Record]) -> Self {
        let mut clocks = Self { incident: replayed.header.incident_at, ..Self::default() };
        let stage = |ix: StepIx| replayed.workflow.step(ix).stage;
        for record in records {
            let at = Some(record.at);
            let ix = record.event.step().and_then(|step| replayed.workflow.find(step));
            match (&record.event, ix) {
                (Event::RunStarted(_), _) => clocks.start = at,
                (Event::ApprovalDecided { granted: true, .. }, _) => clocks.decision = clocks.decision.or(at),
                // The intent: the failure comes at any moment from here on.
                (Event::StepObserved { satisfied: false, .. }, Some(ix)) if stage(ix) == Some(Stage::Fail) => {
                    clocks.incident = clocks.incident.or(at);
                }
                (Event::StepSucceeded { outputs, .. }, Some(ix)) => clocks.succeeded(outputs, stage(ix), record.at),
                (_, _) => {}
            }
        }
        clocks
    }

    fn succeeded(&mut self, outputs: &Fields, stage: Option<Stage>, at: Timestamp) {
        // What prepares a failure, brings it about or proves it is not the way out of it.
        if matches!(stage, Some(Stage::Prepare | Stage::Fail | Stage::Prove)) {
            return;
        }
        if outputs.contains_key(LAG_OUTPUT) {
            self.writable = Some(at);
        } else if outputs.contains_key("change_id") {
            self.traffic = Some(at);
        } else if outputs.contains_key("checked_at") {
            self.healthy = Some(at);
        }
    }

    /// Returns the moments that are known, by name, in the order of time.
    pub fn known(&self) -> Vec<(&'static str, Timestamp)> {
        let Self { incident, start, decision, writable, traffic, healthy } = *self;
        let all = [
            ("incident", incident),
            ("start", start),
            ("decision", decision),
            ("writable", writable),
            ("traffic", traffic),
            ("healthy", healthy),
        ];
        let mut known: Vec<_> = all.into_iter().filter_map(|(name, at)| Some((name, at?))).collect();
        known.sort_by_key(|(_, at)| *at);
        known
    }
}
