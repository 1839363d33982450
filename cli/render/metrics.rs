//! Runs as metrics, in the text that Prometheus reads: the newest run of each workflow in each world, and what drills proved.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;

use super::drill::{Drill, DrillVerdict};
use super::summary::{Objective, Summary, Verdict};

/// Where a run can be, as its state says it.
const STATES: [&str; 8] = ["running", "rolling back", "paused", "interrupted", "completed", "rolled back", "stuck", "abandoned"];

/// A metric, with a value for each of its labels.
struct Metric {
    name: &'static str,
    help: &'static str,
    values: Vec<(String, f64)>,
}

/// Writes the newest run of each workflow and world. `runs` come oldest first.
pub fn metrics(runs: impl IntoIterator<Item = Summary>) -> String {
    let mut newest: BTreeMap<(String, String), Summary> = BTreeMap::new();
    for summary in runs {
        newest.insert((summary.workflow.clone(), summary.world.clone()), summary);
    }
    let all = || newest.values();
    let of = |summary: &Summary, more: &[(&str, &str)]| {
        let own = [("workflow", summary.workflow.as_str()), ("world", summary.world.as_str())];
        labels(own.iter().chain(more))
    };
    let state = |summary: &Summary| {
        let word = summary.state.strip_suffix(" with exceptions").unwrap_or(summary.state).to_owned();
        let of = &of;
        STATES.map(|state| (of(summary, &[("state", state)]), f64::from(u8::from(state == word)))).to_vec()
    };
    let figure = |figure: fn(&Summary) -> Option<f64>| all().filter_map(|summary| Some((of(summary, &[]), figure(summary)?))).collect();
    let verdict = |summary: &Summary| {
        let Some(Drill { environment, verdict: Some(found), .. }) = &summary.drill else { return Vec::new() };
        let verdicts = [DrillVerdict::Pass, DrillVerdict::Fail, DrillVerdict::Inconclusive];
        let value = |verdict: DrillVerdict| {
            let labels = of(summary, &[("environment", environment), ("verdict", &verdict.to_string())]);
            (labels, f64::from(u8::from(verdict == *found)))
        };
        verdicts.map(value).to_vec()
    };
    let metrics = [
        Metric {
            name: "wf_run_state",
            help: "Where the newest run is: 1 for its state, 0 for the others.",
            values: all().flat_map(state).collect(),
        },
        Metric {
            name: "wf_run_started_timestamp_seconds",
            help: "When it was started.",
            values: figure(|summary| Some(unix(summary.started_at))),
        },
        Metric {
            name: "wf_run_last_record_timestamp_seconds",
            help: "When its last record was made.",
            values: figure(|summary| Some(unix(summary.last_at))),
        },
        Metric { name: "wf_run_rto_seconds", help: "How long the service was away.", values: figure(|summary| measured(&summary.rto)) },
        Metric { name: "wf_run_rto_objective_seconds", help: "How long it may be.", values: figure(|summary| summary.rto.objective) },
        Metric {
            name: "wf_run_rpo_seconds",
            help: "How much of the latest data was lost, in time.",
            values: figure(|summary| measured(&summary.rpo)),
        },
        Metric { name: "wf_run_rpo_objective_seconds", help: "How much may be.", values: figure(|summary| summary.rpo.objective) },
        Metric {
            name: "wf_drill_verdict",
            help: "What the newest drill proved: 1 for its verdict, 0 for the others.",
            values: all().flat_map(verdict).collect(),
        },
    ];
    metrics.iter().filter(|metric| !metric.values.is_empty()).map(Metric::text).collect()
}

impl Metric {
    fn text(&self) -> String {
        let Self { name, help, values } = self;
        let mut text = format!("# HELP {name} {help}\n# TYPE {name} gauge\n");
        for (labels, value) in values {
            // A text takes everything.
            let _ = writeln!(text, "{name}{{{labels}}} {value}");
        }
        text
    }
}

/// Returns what was achieved, where the run came so far.
fn measured(objective: &Objective) -> Option<f64> {
    match objective.verdict {
        Verdict::Met | Verdict::Missed | Verdict::NoObjective => objective.actual,
        Verdict::NotReached | Verdict::Unknown => None,
    }
}

fn unix(at: Timestamp) -> f64 {
    at.as_millisecond() as f64 / 1e3
}

fn labels<'a>(labels: impl IntoIterator<Item = &'a (&'a str, &'a str)>) -> String {
    let escaped = |value: &str| value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
    let label = |&(name, value): &(&str, &str)| format!("{name}=\"{}\"", escaped(value));
    labels.into_iter().map(label).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::tale::Tale;

    #[test]
    fn the_newest_run_of_a_workflow_is_told() {
        let summary = |tale: &Tale| Summary::of(&tale.replayed(), &tale.records, &[]);
        let text = metrics([summary(&Tale::new()), summary(&Tale::rolled_back())]);
        assert!(text.contains("wf_run_state{workflow=\"failover\",world=\"sim\",state=\"rolled back\"} 1\n"), "{text}");
        assert!(text.contains("wf_run_state{workflow=\"failover\",world=\"sim\",state=\"completed\"} 0\n"), "{text}");
        assert!(text.contains("wf_run_rto_objective_seconds{workflow=\"failover\",world=\"sim\"} 900\n"), "{text}");
        assert_eq!(text.matches("# TYPE ").count(), text.lines().filter(|line| line.starts_with("# HELP ")).count());
        assert!(!text.contains("wf_drill_verdict"), "{text}");
        assert_eq!(labels(&[("a", "x\"y\\z\n")]), r#"a="x\"y\\z\n""#);
    }
}
