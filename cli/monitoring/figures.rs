//! [`figures`]: what is told of runs and workflows, once for all who are told: the newest run of each workflow in each world, what drills
//! proved, and whether the workflow was found ready. Knows nothing of how it is written.

use std::collections::BTreeMap;

use jiff::Timestamp;
use wf_engine::clock::between;
use wf_steps::aws::monitoring::Unit;

use super::READY;
use crate::readiness::Kept;
use crate::render::drill::{Drill, DrillVerdict};
use crate::render::summary::{Objective, Summary, Verdict};

/// Where a run can be, as its state says it.
const STATES: [&str; 8] = ["running", "rolling back", "paused", "interrupted", "completed", "rolled back", "stuck", "abandoned"];

/// What is known of workflows.
#[derive(Default)]
pub struct Told {
    /// Their runs, oldest first.
    pub runs: Vec<ToldRun>,
    /// What `wf check --live` found.
    pub checks: Vec<Kept>,
}

/// What is known of a run.
pub struct ToldRun {
    pub summary: Summary,
    /// How far behind replicas were, in seconds, as far as its steps measured it: by step.
    pub lags: Vec<(String, f64)>,
}

/// A figure, with a value for each workflow, world and whatever else it is told apart by.
#[derive(Debug)]
pub struct Figure {
    /// Its name for Prometheus.
    pub name: &'static str,
    /// Its name for CloudWatch.
    pub metric: &'static str,
    pub unit: Unit,
    pub help: &'static str,
    pub values: Vec<Value>,
}

/// A value of a figure.
#[derive(Debug)]
pub struct Value {
    pub workflow: String,
    pub world: String,
    /// What else it is told apart by, by name.
    pub more: Vec<(&'static str, String)>,
    pub value: f64,
    /// When it was so.
    pub at: Timestamp,
}

/// Makes the figures that have a value.
pub fn figures(told: Told) -> Vec<Figure> {
    let mut newest: BTreeMap<(String, String), ToldRun> = BTreeMap::new();
    for run in told.runs {
        newest.insert((run.summary.workflow.clone(), run.summary.world.clone()), run);
    }
    let mut figures = of_runs(&newest.into_values().collect::<Vec<_>>());
    figures.extend(of_checks(&told.checks));
    figures.retain(|figure| !figure.values.is_empty());
    figures
}

fn of_runs(runs: &[ToldRun]) -> Vec<Figure> {
    let figure = |name, metric, unit, help, values: fn(&ToldRun) -> Vec<Value>| Figure {
        name,
        metric,
        unit,
        help,
        values: runs.iter().flat_map(values).collect(),
    };
    vec![
        figure("wf_run_state", "RunState", Unit::None, "Where the newest run is: 1 for its state, 0 for the others.", states),
        figure("wf_run_started_timestamp_seconds", "RunStarted", Unit::Seconds, "When it was started.", |run| {
            of(run, Some(unix(run.summary.started_at)))
        }),
        figure("wf_run_last_record_timestamp_seconds", "RunLastRecord", Unit::Seconds, "When its last record was made.", |run| {
            of(run, Some(unix(run.summary.last_at)))
        }),
        figure("wf_run_rto_seconds", "RTO", Unit::Seconds, "How long the service was away.", |run| of(run, measured(&run.summary.rto))),
        figure("wf_run_rto_objective_seconds", "RTOObjective", Unit::Seconds, "How long it may be.", |run| {
            of(run, run.summary.rto.objective)
        }),
        figure("wf_run_rpo_seconds", "RPO", Unit::Seconds, "How much of the latest data was lost, in time.", |run| {
            of(run, measured(&run.summary.rpo))
        }),
        figure("wf_run_rpo_objective_seconds", "RPOObjective", Unit::Seconds, "How much may be.", |run| of(run, run.summary.rpo.objective)),
        figure(
            "wf_run_phase_seconds",
            "RunPhase",
            Unit::Seconds,
            "How long it took to each moment of the failover: from the incident where that is known, from the run's start otherwise.",
            phases,
        ),
        figure(
            "wf_run_replica_lag_seconds",
            "ReplicaLag",
            Unit::Seconds,
            "How far behind a replica was when a step of it looked.",
            |run| run.lags.iter().map(|(step, lag)| one(run, vec![("step", step.clone())], *lag)).collect(),
        ),
        figure(
            "wf_drill_verdict",
            "DrillVerdict",
            Unit::None,
            "What the newest drill proved: 1 for its verdict, 0 for the others.",
            verdicts,
        ),
    ]
}

fn of_checks(checks: &[Kept]) -> Vec<Figure> {
    let figure = |name, metric, unit, help, figure: fn(&Kept) -> f64| {
        let value = |kept: &Kept| Value {
            workflow: kept.workflow.clone(),
            world: kept.world.clone(),
            more: Vec::new(),
            value: figure(kept),
            at: kept.at,
        };
        Figure { name, metric, unit, help, values: checks.iter().map(value).collect() }
    };
    vec![
        figure("wf_ready", READY, Unit::None, "Whether the last `wf check --live` found nothing in the way of a run.", |kept| {
            f64::from(u8::from(kept.ready))
        }),
        figure("wf_ready_checks_not_passed", "ChecksNotPassed", Unit::Count, "How many of its checks did not pass.", |kept| {
            kept.checks.saturating_sub(kept.passed) as f64
        }),
        figure("wf_ready_checked_timestamp_seconds", "Checked", Unit::Seconds, "When it looked.", |kept| unix(kept.at)),
    ]
}

fn one(run: &ToldRun, more: Vec<(&'static str, String)>, value: f64) -> Value {
    let Summary { workflow, world, last_at, .. } = &run.summary;
    Value { workflow: workflow.clone(), world: world.clone(), more, value, at: *last_at }
}

fn of(run: &ToldRun, value: Option<f64>) -> Vec<Value> {
    value.map(|value| one(run, Vec::new(), value)).into_iter().collect()
}

fn states(run: &ToldRun) -> Vec<Value> {
    let word = run.summary.state.strip_suffix(" with exceptions").unwrap_or(run.summary.state);
    STATES.map(|state| one(run, vec![("state", state.to_owned())], f64::from(u8::from(state == word)))).into()
}

fn phases(run: &ToldRun) -> Vec<Value> {
    let clocks = &run.summary.clocks;
    let Some(begin) = clocks.incident.or(clocks.start) else { return Vec::new() };
    let moments = [
        ("start", clocks.start),
        ("decision", clocks.decision),
        ("writable", clocks.writable),
        ("traffic", clocks.traffic),
        ("healthy", clocks.healthy),
    ];
    let reached = moments.into_iter().filter_map(|(phase, at)| Some((phase, at.filter(|at| *at >= begin)?)));
    reached.map(|(phase, at)| one(run, vec![("phase", phase.to_owned())], between(begin, at).as_secs_f64())).collect()
}

fn verdicts(run: &ToldRun) -> Vec<Value> {
    let Some(Drill { environment, verdict: Some(found), .. }) = &run.summary.drill else { return Vec::new() };
    let value = |verdict: DrillVerdict| {
        let more = vec![("environment", environment.clone()), ("verdict", verdict.to_string())];
        one(run, more, f64::from(u8::from(verdict == *found)))
    };
    [DrillVerdict::Pass, DrillVerdict::Fail, DrillVerdict::Inconclusive].map(value).into()
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
