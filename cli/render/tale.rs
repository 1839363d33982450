//! Runs made up for tests: events at seconds after the start, folded as the engine folds them.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use wf_engine::model::event::{Event, Fields, Mode, Operator, RunHeader, RunOutcome, StepFailure};
use wf_engine::model::ids::{RunId, StepId};
use wf_engine::model::record::{Chain, Record, hash};
use wf_engine::runtime::{Replayed, replay};

use super::Look;

/// The workflow that tales are of.
pub const FAILOVER: &str = r#"#![enable(implicit_some)]
Workflow(
    name: "failover",
    objectives: (rto: "15m", rpo: "5m"),
    inputs: {"dr_region": "us-west-2", "replica": "prod-db-replica-west"},
    steps: [
        (id: "fence", run: AutoScalingScale(group: "prod-app-asg", min: 0, desired: 0)),
        (id: "go", needs: ["fence"], run: Approval(message: "Promote?")),
        (id: "promote", needs: ["go"], run: RdsPromoteReadReplica(instance: "${replica}")),
        (id: "scale_app", needs: ["fence"], run: AutoScalingScale(group: "prod-app-dr-asg", min: 3, desired: 6)),
        (id: "old_dns", only: Planned, run: Route53Failover(zone: "z")),
        (id: "dns", needs: ["promote", "scale_app"], run: Route53Failover(zone: "z")),
    ],
)"#;

/// A plain look.
pub const LOOK: Look = Look { color: false, tty: false, plain: false, width: 100 };

/// A run that is being made up.
pub struct Tale {
    chain: Chain,
    pub records: Vec<Record>,
}

/// Returns a moment, `secs` seconds after the tales begin.
pub fn at(secs: f64) -> Timestamp {
    let start: Timestamp = "2026-03-01T02:59:00Z".parse().expect("a time");
    start + SignedDuration::from_secs_f64(secs)
}

pub fn run() -> RunId {
    "01HZXW3V9K0000000000000042".parse().expect("a run id")
}

pub fn id(step: &str) -> StepId {
    step.parse().expect("a step id")
}

pub fn operator() -> Operator {
    Operator { user: "ops".into(), host: "bastion".into(), pid: 4711, wf: "0.1.0".into(), identity: None }
}

pub fn outputs(value: Value) -> Fields {
    serde_json::from_value(value).expect("an object")
}

pub fn header() -> RunHeader {
    let inputs = [("dr_region", "eu-west-1"), ("replica", "prod-db-replica-west")];
    RunHeader {
        run: run(),
        workflow: "failover".into(),
        workflow_hash: hash(FAILOVER.as_bytes()),
        text_parts: 1,
        file: "workflows/failover.ron".into(),
        inputs: inputs.into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect(),
        imports: Default::default(),
        follows: None,
        mode: Mode::Unplanned,
        drill: None,
        unfenced: Vec::new(),
        incident_at: None,
        max_parallel: 100,
        approve_all: false,
        world: "sim".into(),
        by: operator(),
    }
}

impl Tale {
    /// Begins a run of [`FAILOVER`].
    pub fn new() -> Self {
        let tale = Self { chain: Chain::default(), records: Vec::new() };
        let text = Event::WorkflowText { part: 0, text: FAILOVER.to_owned() };
        tale.then(0.0, Event::RunStarted(Box::new(header()))).then(0.0, text)
    }

    /// Adds an event.
    pub fn then(mut self, secs: f64, event: Event) -> Self {
        let (record, _) = self.chain.extend(at(secs), 1, event).expect("small");
        self.records.push(record);
        self
    }

    /// Adds a step that changes something, from its start to before its end.
    pub fn begun(self, from: f64, step: &str) -> Self {
        let observed = Event::StepObserved { step: id(step), before: json!({"min": 1, "desired": 2}), satisfied: false };
        let applied = Event::StepApplied { step: id(step), handle: Value::Null };
        let tale = self.then(from, Event::StepStarted { step: id(step), attempt: 1 }).then(from, observed);
        let tale = if step == "promote" { tale.then(from, Event::PointOfNoReturnPassed { step: id(step) }) } else { tale };
        tale.then(from, applied)
    }

    pub fn succeeded(self, secs: f64, step: &str, values: Value) -> Self {
        self.then(secs, Event::StepSucceeded { step: id(step), outputs: outputs(values) })
    }

    pub fn failed(self, secs: f64, step: &str) -> Self {
        let failure = StepFailure::permanent(format!("{step} cannot be scaled"))
            .because("InsufficientInstanceCapacity")
            .hint("choose another instance type");
        self.then(secs, Event::StepFailed { step: id(step), failure })
    }

    pub fn undone(self, from: f64, to: f64, step: &str) -> Self {
        self.then(from, Event::CompensationStarted { step: id(step), attempt: 1 }).then(to, Event::StepCompensated { step: id(step) })
    }

    pub fn finished(self, secs: f64, outcome: RunOutcome) -> Self {
        self.then(secs, Event::RunFinished { outcome })
    }

    /// A failover up to its approved question: fence 0–12 s, go 12–30 s.
    pub fn approved() -> Self {
        let asked = Event::ApprovalRequested { step: id("go"), message: "Promote prod-db-replica-west?".into(), expires_at: at(1_812.0) };
        let granted = Event::ApprovalDecided { step: id("go"), granted: true, by: operator(), reason: "east is gone".into() };
        let skipped = Event::StepSkipped { step: id("old_dns"), reason: "only part of planned runs".into() };
        let tale = Self::new().then(0.0, skipped).begun(0.0, "fence").succeeded(12.0, "fence", json!({"in_service": 0}));
        let looked = Event::StepObserved { step: id("go"), before: Value::Null, satisfied: true };
        let tale = tale.then(12.0, Event::StepStarted { step: id("go"), attempt: 1 }).then(12.0, looked).then(12.0, asked);
        tale.begun(12.0, "scale_app").then(30.0, granted).succeeded(30.0, "go", json!({}))
    }

    /// A failover that completes after 500 s.
    pub fn completed() -> Self {
        let tale = Self::approved().begun(30.0, "promote").succeeded(132.5, "scale_app", json!({"in_service": 6}));
        let promoted = json!({"endpoint": "prod-db.us-west-2.rds.amazonaws.com", "port": 5432, "replica_lag_at_promote": 12.5});
        let tale = tale.succeeded(450.0, "promote", promoted).begun(450.0, "dns").succeeded(500.0, "dns", json!({}));
        tale.finished(500.0, RunOutcome::Completed)
    }

    /// A failover whose scaling fails before anything irreversible: all is undone.
    pub fn rolled_back() -> Self {
        let interrupted = Event::StepInterrupted { step: id("go") };
        let asked = Event::ApprovalRequested { step: id("go"), message: "Promote?".into(), expires_at: at(1_812.0) };
        let skipped = Event::StepSkipped { step: id("old_dns"), reason: "only part of planned runs".into() };
        let tale = Self::new().then(0.0, skipped).begun(0.0, "fence").succeeded(12.0, "fence", json!({}));
        let tale = tale.then(12.0, Event::StepStarted { step: id("go"), attempt: 1 }).then(12.0, asked).begun(12.0, "scale_app");
        let rollback = Event::RollbackStarted { reason: "scale_app: cannot be scaled".into(), by: None };
        let tale = tale.failed(90.0, "scale_app").then(90.0, interrupted).then(90.0, rollback);
        tale.undone(90.0, 110.0, "scale_app").undone(110.0, 115.0, "fence").finished(115.0, RunOutcome::RolledBack)
    }

    /// A failover whose scaling fails while the promotion goes on: paused past the point of no return.
    pub fn paused() -> Self {
        let tale = Self::approved().begun(30.0, "promote").failed(90.0, "scale_app");
        let tale = tale.succeeded(450.0, "promote", json!({"replica_lag_at_promote": 400}));
        tale.then(450.0, Event::RunPaused { reason: "scale_app: scale_app cannot be scaled".into() })
    }

    /// Takes the tale up where its records were cut off.
    pub fn rechained(self) -> Self {
        let head = self.records.last().map(|record| record.seal().expect("small").hash).unwrap_or_default();
        Self { chain: Chain::resume(&self.records, head), records: self.records }
    }

    /// Folds the tale.
    pub fn replayed(&self) -> Replayed {
        replay(&run(), &self.records).expect("a run that can be")
    }
}

/// Paper to write on that can be read meanwhile.
#[derive(Debug, Clone, Default)]
pub struct Paper(Arc<Mutex<Vec<u8>>>);

impl Paper {
    /// Returns what was written since the last call.
    pub fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().expect("paper"))).expect("text")
    }
}

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("paper").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
