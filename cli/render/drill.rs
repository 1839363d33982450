//! [`Drill`]: what an exercise proved. One that did not really fail anything, or did not really test anything, proves nothing, and says so.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use wf_engine::model::dsl::Stage;
use wf_engine::model::event::{Event, StepFailure};
use wf_engine::model::ids::{RunId, StepId};
use wf_engine::model::record::Record;
use wf_engine::model::run_state::RunPhase;
use wf_engine::runtime::Replayed;

use super::summary::{Objective, Summary, Verdict};
use super::{Ink, Look, clean, date_and_time, pad, span};

/// What an exercise proved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Drill {
    /// The environment that was exercised.
    pub environment: String,
    /// What it proved; `None` while it is not over.
    pub verdict: Option<DrillVerdict>,
    /// Why, a sentence each.
    pub why: Vec<String>,
}

/// What an exercise proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum DrillVerdict {
    /// The failover works, and keeps its objectives.
    Pass,
    /// It does not.
    Fail,
    /// Nobody can tell: the failure did not happen, or nothing was tested.
    Inconclusive,
}

impl std::fmt::Display for DrillVerdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
            Self::Inconclusive => "INCONCLUSIVE",
        })
    }
}

impl Drill {
    /// Judges a run that is a drill; `None` for one that is none.
    pub fn of(replayed: &Replayed, records: &[Record], measured: &Measured<'_>) -> Option<Self> {
        let environment = clean(replayed.header.drill.as_ref()?).into_owned();
        let over = matches!(replayed.state.phase(), RunPhase::Compensating | RunPhase::Finished(_));
        let (verdict, why) = if over { judged(&Facts::of(replayed, records), measured) } else { (None, Vec::new()) };
        Some(Self { environment, verdict, why })
    }
}

/// What was measured of what a drill is to prove.
pub struct Measured<'a> {
    pub rto: &'a Objective,
    pub rpo: &'a Objective,
    /// Where volumes were restored.
    pub volumes: Option<&'a Objective>,
}

/// A drill, as a history shows it.
#[derive(Debug, Serialize)]
pub struct Past {
    run: RunId,
    workflow: String,
    started_at: Timestamp,
    rto: Objective,
    rpo: Objective,
    /// What it proved.
    #[serde(flatten)]
    pub drill: Drill,
}

impl Past {
    /// Takes from a summary what a history shows; `None` of a run that is no drill.
    pub fn of(summary: Summary) -> Option<Self> {
        let Summary { run, workflow, started_at, rto, rpo, drill, .. } = summary;
        Some(Self { run, workflow, started_at, rto, rpo, drill: drill? })
    }

    fn cells(&self) -> [String; 7] {
        let figure = |objective: &Objective| {
            let figures = [objective.actual, objective.objective].map(|secs| secs.map_or_else(|| "?".to_owned(), shown));
            figures.join(" of ")
        };
        [
            self.run.to_string(),
            self.workflow.clone(),
            self.drill.environment.clone(),
            date_and_time(self.started_at),
            figure(&self.rto),
            figure(&self.rpo),
            self.drill.verdict.map_or_else(|| "not over".to_owned(), |verdict| verdict.to_string()),
        ]
    }
}

/// Writes drills as a table, in the order given.
pub fn history_table(drills: &[Past], look: &Look) -> String {
    let titles = ["RUN", "DRILL", "ENVIRONMENT", "STARTED (UTC)", "RTO", "RPO", "VERDICT"].map(str::to_owned);
    let rows: Vec<_> = drills.iter().map(Past::cells).collect();
    let width = |column: usize| rows.iter().chain([&titles]).map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<_> = (0..titles.len()).map(width).collect();
    let line = |cells: &[String; 7]| cells.iter().zip(&widths).map(|(cell, &width)| pad(cell, width)).collect::<Vec<_>>().join("  ");
    let mut text = format!("{}\n", look.paint(Ink::Dim, line(&titles).trim_end()));
    rows.iter().for_each(|row| text.push_str(&format!("{}\n", line(row).trim_end())));
    text
}

fn shown(secs: f64) -> String {
    span(Duration::try_from_secs_f64(secs).unwrap_or_default())
}

/// What the records say of the steps of a drill.
struct Facts<'a> {
    replayed: &'a Replayed,
    succeeded: BTreeSet<&'a StepId>,
    /// Those that found the world as they would have made it.
    satisfied: BTreeSet<&'a StepId>,
    failed: Option<(&'a StepId, &'a StepFailure)>,
    given_up: bool,
}

impl<'a> Facts<'a> {
    fn of(replayed: &'a Replayed, records: &'a [Record]) -> Self {
        let mut facts = Self { replayed, succeeded: BTreeSet::new(), satisfied: BTreeSet::new(), failed: None, given_up: false };
        for record in records {
            match &record.event {
                Event::StepSucceeded { step, .. } => drop(facts.succeeded.insert(step)),
                Event::StepObserved { step, satisfied: true, .. } => drop(facts.satisfied.insert(step)),
                Event::StepFailed { step, failure } | Event::StepUnreachable { step, failure } => {
                    facts.failed = facts.failed.or(Some((step, failure)));
                }
                Event::RollbackStarted { by: Some(_), .. } => facts.given_up = true,
                _ => {}
            }
        }
        facts
    }

    fn stage(&self, step: &StepId) -> Option<Stage> {
        self.replayed.workflow.find(step).and_then(|ix| self.replayed.workflow.step(ix).stage)
    }

    fn of_stage(&self, stage: Stage) -> impl Iterator<Item = &StepId> {
        let workflow = &self.replayed.workflow;
        (0..workflow.len()).filter(move |&ix| workflow.step(ix).stage == Some(stage)).map(|ix| workflow.id(ix))
    }
}

fn judged(facts: &Facts<'_>, measured: &Measured<'_>) -> (Option<DrillVerdict>, Vec<String>) {
    let unproved = unproved(facts);
    if !unproved.is_empty() {
        return (Some(DrillVerdict::Inconclusive), unproved);
    }
    if let Some((step, failure)) = facts.failed {
        return (Some(DrillVerdict::Fail), vec![format!("step `{step}` failed: {}", clean(&failure.message))]);
    }
    let Measured { rto, rpo, volumes } = *measured;
    let all = [("RTO", rto), ("RPO", rpo)].into_iter().chain(volumes.map(|volumes| ("RPO of the volumes", volumes)));
    let missed: Vec<_> = all.filter_map(|(name, objective)| missed(name, objective)).collect();
    if !missed.is_empty() {
        return (Some(DrillVerdict::Fail), missed);
    }
    let unmeasured = |(name, objective): (&str, &Objective)| match objective.verdict {
        Verdict::Met => None,
        Verdict::NoObjective => Some(format!("the workflow sets no {name}")),
        Verdict::Missed | Verdict::NotReached | Verdict::Unknown => Some(format!("nobody measured the {name}")),
    };
    let unmeasured: Vec<_> = [("RTO", rto), ("RPO", rpo)].into_iter().filter_map(unmeasured).collect();
    match unmeasured.is_empty() {
        true => (Some(DrillVerdict::Pass), vec!["users were served again, and both objectives were kept".to_owned()]),
        false => (Some(DrillVerdict::Inconclusive), unmeasured),
    }
}

/// Tells what keeps the drill from proving anything.
fn unproved(facts: &Facts<'_>) -> Vec<String> {
    let mut why = Vec::new();
    if facts.given_up {
        why.push("it was given up before its end".to_owned());
    }
    for (stage, without) in [
        (Stage::Fail, "it has no step of the stage `Fail`, so nothing was made to fail"),
        (Stage::Prove, "it has no step of the stage `Prove`, so nobody saw the failure"),
        (Stage::Check, "it has no step of the stage `Check`, so nothing was tested"),
    ] {
        if facts.of_stage(stage).next().is_none() {
            why.push(without.to_owned());
        }
    }
    if let Some((step, failure)) = facts.failed
        && let Some(stage @ (Stage::Prepare | Stage::Fail | Stage::Prove)) = facts.stage(step)
    {
        let what = match stage {
            Stage::Prepare => "what the drill needs could not be made ready",
            Stage::Fail => "the failure could not be brought about",
            Stage::Prove | Stage::Check => "the failure did not show",
        };
        why.push(format!("{what}: step `{step}` failed: {}", clean(&failure.message)));
    }
    if !why.is_empty() || facts.failed.is_some() {
        return why;
    }
    for step in facts.of_stage(Stage::Fail).filter(|step| facts.satisfied.contains(step)) {
        why.push(format!("step `{step}` found the world failed already: what was measured is not this drill's doing"));
    }
    for stage in [Stage::Fail, Stage::Prove, Stage::Check] {
        for step in facts.of_stage(stage).filter(|step| !facts.succeeded.contains(step)) {
            why.push(format!("step `{step}` was left out, or somebody's word stands for it"));
        }
    }
    why
}

fn missed(name: &str, objective: &Objective) -> Option<String> {
    match (objective.verdict, objective.actual, objective.objective) {
        (Verdict::Missed, Some(actual), Some(wanted)) => Some(format!("the {name} was {}, more than {}", shown(actual), shown(wanted))),
        _ => None,
    }
}
