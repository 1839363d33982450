//! [`Report`]: what a run was, for those who were not there: management, auditors, whoever puts back what was changed. Put together once
//! from the journal's records, and written down three ways: [`markdown`], [`html`], and JSON, which is the value itself.
//!
//! The value holds texts as the journal has them, so that it can be compared with it; whoever writes them down cleans them.

mod changes;
mod drill;
mod files;
mod followers;
mod gantt;
mod html;
mod markdown;
mod people;
#[cfg(test)]
mod tests;
mod trend;
mod troubles;

use std::time::Duration;

use indexmap::IndexMap;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use wf_engine::model::event::Event;
use wf_engine::model::ids::RunId;
use wf_engine::model::record::Record;
use wf_engine::runtime::Replayed;

use crate::render::summary::{Summary, Users};
use crate::render::{count, next, span, state_word, time_of_day};
use crate::split_brain;

pub use changes::{Altered, Changed, Fate, Restorer};
pub use drill::DrillReport;
pub use files::{Format, keep, users_kept};
pub use followers::{Follower, beside, runs_behind};
pub use people::{Approval, Deed};
pub use trend::{Measured, earlier_drills};
pub use troubles::Trouble;

/// The version of the report as data.
const FORMAT: u32 = 1;

/// What a run was.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The version of this document.
    pub v: u32,
    /// Steps with their times, the critical path, the objectives, what can be done next: as `wf run --json` writes it.
    pub summary: Summary,
    /// The file that the workflow was read from.
    pub file: String,
    /// The run that it follows.
    pub follows: Option<RunId>,
    /// Every input with the value that the run used.
    pub inputs: IndexMap<String, Value>,
    /// Every question to a human, in the order in which they were asked.
    pub approvals: Vec<Approval>,
    /// What people, signals and the run itself decided about its course.
    pub deeds: Vec<Deed>,
    /// What was changed, or may have been, in the order in which that was begun.
    pub changes: Vec<Changed>,
    /// Every failed attempt, in order.
    pub troubles: Vec<Trouble>,
    /// What proves that this is the run.
    pub audit: Audit,
    /// The drills of the same workflow and environment before it, for the drawing.
    #[serde(skip)]
    pub earlier: Vec<Measured>,
}

/// What proves that a report is of a journal, and of all of it.
#[derive(Debug, Clone, Serialize)]
pub struct Audit {
    /// SHA-256 of the workflow's text, in hexadecimal.
    pub workflow_hash: String,
    /// How many records the journal has.
    pub records: usize,
    /// The place of the last one, from 0.
    pub last_seq: u64,
    /// When it was made.
    pub last_at: Timestamp,
    /// SHA-256 of the last record, which names the one before it, and so on to the first; empty when it cannot be told.
    pub head: String,
    /// How many processes owned the run, one after the other.
    pub owners: u64,
    /// The versions of `wf` that started it or took it over.
    pub wf: Vec<String>,
    /// The command that proves that the journal is whole, and shows the same hash.
    pub verify: String,
}

/// What a report cannot learn from the run's own records.
#[derive(Debug, Default)]
pub struct Besides {
    /// Whether a process drives the run right now.
    pub live: bool,
    /// What the simulated users saw.
    pub users: Vec<Users>,
    /// Workflows and runs that take over what this one recorded.
    pub followers: Vec<Follower>,
    /// If it is a drill, those of the same workflow and environment before it.
    pub earlier: Vec<Measured>,
}

impl Report {
    /// Puts together what a run was.
    pub fn of(replayed: &Replayed, records: &[Record], besides: Besides) -> Self {
        let Replayed { header, state, .. } = replayed;
        let mut summary = Summary::of(replayed, records, &[]);
        let (word, ink) = state_word(state, besides.live);
        (summary.state, summary.ink, summary.users) = (word, ink, besides.users);
        if besides.live {
            summary.next = next::commands(&header.run, state, true);
        }
        Self {
            v: FORMAT,
            file: header.file.clone(),
            follows: header.follows.clone(),
            inputs: header.inputs.clone(),
            approvals: people::approvals(records),
            deeds: people::deeds(records),
            changes: changes::all(replayed, records, &besides.followers),
            troubles: troubles::all(records),
            audit: Audit::of(replayed, records),
            earlier: besides.earlier,
            summary,
        }
    }

    /// Returns what the run changed, or may have changed, and nobody is known to have put back.
    pub fn left(&self) -> impl Iterator<Item = &Changed> {
        self.changes.iter().filter(|changed| changed.fate.is_left())
    }

    /// Counts what people did to the run beside starting it and answering it.
    fn by_hand(&self) -> usize {
        self.deeds.iter().filter(|deed| deed.by.is_some() && !deed.starts).count()
    }

    /// Returns the ways to put back what is left, once each: its name and its command.
    fn ways_back(&self) -> Vec<(String, String)> {
        let mut ways = Vec::new();
        for restorer in self.left().flat_map(|changed| &changed.restorers) {
            let way = match restorer {
                Restorer::Rollback { command } => ("rollback".to_owned(), command.clone()),
                Restorer::Workflow { workflow, command, .. } => (workflow.clone(), command.clone()),
                Restorer::Run { .. } | Restorer::Hand | Restorer::Nothing => continue,
            };
            if !ways.contains(&way) {
                ways.push(way);
            }
        }
        ways
    }

    /// Counts the steps with one of the given outcomes.
    fn steps(&self, outcomes: &[&str]) -> usize {
        self.summary.steps.iter().filter(|row| outcomes.contains(&row.outcome)).count()
    }

    /// Tells what came of the run in a few sentences, for those who read no further.
    fn sentences(&self) -> Vec<String> {
        let summary = &self.summary;
        let place = if summary.world == "sim" { "the simulated AWS" } else { "AWS" };
        let time = secs(summary.makespan);
        let (all, done) = (summary.steps.len(), self.steps(&["succeeded", "done by hand"]));
        let skipped = self.steps(&["skipped"]);
        let mut told = vec![format!("The {} run of {} on {place}: {} after {time}.", summary.mode, summary.workflow, summary.state)];
        let part = if skipped == 0 { String::new() } else { format!(", {skipped} not part of this run") };
        told.push(format!("{done} of {} succeeded{part}.", count(all, "step")));
        let tier = summary.tier.map(|tier| format!("The service is {tier}"));
        let rules = (!summary.compliance.is_empty()).then(|| format!("under {}", summary.compliance.join(", ")));
        told.extend(match (tier, rules) {
            (Some(tier), Some(rules)) => Some(format!("{tier}, {rules}.")),
            (Some(tier), None) => Some(format!("{tier}.")),
            (None, Some(rules)) => Some(format!("The service is {rules}.")),
            (None, None) => None,
        });
        if !summary.compensations.is_empty() {
            let undone = summary.compensations.iter().filter(|row| row.outcome == "undone").count();
            told.push(format!("{undone} of {} succeeded.", count(summary.compensations.len(), "compensation")));
        }
        let granted = self.approvals.iter().filter(|approval| approval.granted == Some(true)).count();
        told.push(format!(
            "{} given; {}; {}.",
            count(granted, "approval"),
            count(self.by_hand(), "manual intervention"),
            count(self.troubles.len(), "failed attempt")
        ));
        told.extend(split_brain::taken(&summary.unfenced).map(|risk| format!("Risk taken: {risk}.")));
        if let Some(drill) = &summary.drill {
            let verdict = drill.verdict.map_or_else(|| "not over".to_owned(), |verdict| verdict.to_string());
            told.push(format!("Drill of {}: {verdict}: {}.", drill.environment, drill.why.join("; ")));
        }
        if summary.clocks.incident.is_some() {
            let moments: Vec<_> = summary.clocks.known().into_iter().map(|(name, at)| format!("{name} {}", time_of_day(at))).collect();
            told.push(format!("Clocks, UTC: {}.", moments.join(", ")));
        }
        let left = self.left().count();
        told.push(if left == 0 {
            "Nothing is left changed.".to_owned()
        } else {
            format!("{} left something changed: see “Left changed”.", count(left, "step"))
        });
        told
    }
}

impl Audit {
    fn of(replayed: &Replayed, records: &[Record]) -> Self {
        let last = records.last();
        let mut wf: Vec<String> = records
            .iter()
            .filter_map(|record| match &record.event {
                Event::RunStarted(header) => Some(&header.by),
                Event::RunResumed { by } => Some(by),
                _ => None,
            })
            .map(|by| by.wf.clone())
            .collect();
        wf.dedup();
        Self {
            workflow_hash: replayed.header.workflow_hash.clone(),
            records: records.len(),
            last_seq: last.map_or(0, |record| record.seq),
            last_at: last.map_or_else(Timestamp::default, |record| record.at),
            head: last.and_then(|record| record.seal().ok()).map(|sealed| sealed.hash).unwrap_or_default(),
            owners: replayed.state.epoch(),
            wf,
            verify: format!("wf journal verify {}", replayed.header.run),
        }
    }
}

fn secs(seconds: f64) -> String {
    span(Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or_default())
}
