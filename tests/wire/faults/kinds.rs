//! Each kind that changes something, and each fault: once, and the step has its one effect all the same; for ever, and the attempt fails with the
//! right kind and words. What the world became is asked of moto through boto3.

use std::time::Duration;

use serde_json::{Value, json};
use wf_engine::model::event::FailureKind::{self, Transient, Unreachable};
use wf_engine::model::event::StepFailure;

use super::subjects::{Subject, seed, subjects};
use super::table::{Row, print};
use crate::servers::Servers;
use crate::stage::{Known, Stage};

/// What happens to requests.
struct Fault {
    name: &'static str,
    /// What microburst does.
    does: fn() -> Value,
    /// Whether the server heard the request all the same.
    heard: bool,
    /// What an attempt says that meets it each time.
    says: &'static str,
    /// Whether nobody answered, so that a step that only looks calls its region unreachable.
    silent: bool,
}

const FAULTS: [Fault; 8] = [
    Fault {
        name: "throttled",
        does: || json!({ "error": { "code": "Throttling", "status": 400, "message": "Rate exceeded" } }),
        heard: false,
        says: "Rate exceeded (Throttling, HTTP 400)",
        silent: false,
    },
    Fault {
        name: "500",
        does: || json!({ "error": { "code": "InternalFailure", "status": 500, "message": "oops" } }),
        heard: false,
        says: "oops (InternalFailure, HTTP 500)",
        silent: false,
    },
    Fault {
        name: "503",
        does: || json!({ "error": { "code": "ServiceUnavailable", "status": 503, "message": "down" } }),
        heard: false,
        says: "down (ServiceUnavailable, HTTP 503)",
        silent: false,
    },
    Fault { name: "reset", does: || json!({ "reset": true }), heard: false, says: "the connection was lost", silent: true },
    Fault { name: "no answer", does: || json!({ "timeout_ms": 600_000 }), heard: false, says: "no answer in time", silent: true },
    Fault {
        name: "effect, answer lost",
        does: || json!({ "response": { "abort_bytes": 0 } }),
        heard: true,
        says: "the connection was lost",
        silent: true,
    },
    Fault {
        name: "effect, answer cut short",
        does: || json!({ "response": { "abort_frac": 0.5 } }),
        heard: true,
        says: "the connection was lost",
        silent: true,
    },
    Fault {
        name: "effect, answer hangs",
        does: || json!({ "response": { "bandwidth_kbps": 0.0001 } }),
        heard: true,
        says: "no answer in time",
        silent: true,
    },
];

/// What a service says of itself when it is busy: the kind, microburst's rule, and what the attempt says.
const BUSY: [(&str, &str, u16, &str); 6] = [
    ("Route53Failover", "PriorRequestNotComplete", 400, "a request is still being processed"),
    ("EksScaleNodegroup", "ResourceInUseException", 409, "Nodegroup cannot be updated as it is currently not in Active State"),
    ("EksScaleNodegroup", "TooManyRequestsException", 429, "Too many requests"),
    ("AutoScalingScale", "ScalingActivityInProgress", 400, "an activity is in progress"),
    ("AutoScalingScale", "ResourceContention", 500, "you already have a pending update"),
    ("RdsPromoteReadReplica", "InvalidDBInstanceState", 400, "instance is not in available state"),
];

/// The servers, and what was found there.
struct Bench {
    servers: Servers,
    stage: Stage,
    rows: Vec<Row>,
}

impl Bench {
    fn start() -> Self {
        let servers = Servers::start();
        let proxies = servers.proxies();
        let stage = Stage::at(proxies["moto"].as_str().unwrap(), proxies["ministack"].as_str().unwrap());
        Self { servers, stage, rows: Vec::new() }
    }

    /// Makes the world anew, and returns the steps for it. Each changes a part of its own.
    fn fresh(&self) -> Vec<Subject> {
        subjects(&seed(&self.servers))
    }

    /// Returns the world when nothing changes by itself any more.
    fn at_rest(&self) -> Value {
        let limit = std::time::Instant::now() + Duration::from_secs(30);
        loop {
            let world = self.servers.look("moto");
            let said = world.to_string();
            if !said.contains("modifying") && !said.contains("creating") {
                return world;
            }
            assert!(std::time::Instant::now() < limit, "it does not come to rest: {world}");
        }
    }

    /// One thing goes wrong, once: the step succeeds, with one effect.
    async fn once(&mut self, subject: &Subject, wrong: &Wrong<'_>, operation: &str) {
        let Wrong { name, heard, .. } = *wrong;
        let (before, earlier) = (self.at_rest(), self.servers.calls(subject.logged));
        self.servers.faults(&json!([rule(subject, operation, 1, (wrong.does)())]));
        let (outcome, time) = self.timed(subject, async |step, known| step.drive(known).await).await;
        let shown = format!("{name} once at {operation} for {}", subject.kind);
        self.fired(&shown, &outcome);
        outcome.unwrap_or_else(|failure| panic!("{shown}: {failure:?}"));
        let asked = self.servers.calls(subject.logged) - earlier;
        // A message has no token: it is sent at least once.
        let again = usize::from(heard && operation == subject.change && subject.kind == "SnsPublish");
        let mut wanted = subject.after(&before);
        if again > 0 {
            wanted["us-west-2"]["messages"] = json!(2);
        }
        assert_eq!(gone(self.at_rest()), gone(wanted), "{shown}");
        let most = 1 + again + usize::from(heard && subject.repeatable);
        assert!((1..=most).contains(&asked), "{shown}: moto was asked {asked} times");
        self.row(name, format!("{} {operation}", subject.kind), "succeeds".to_owned(), effects(1 + again, asked), time, String::new());
    }

    /// One thing goes wrong each time: the attempt fails, and says so.
    async fn always(&mut self, subject: &Subject, wrong: &Wrong<'_>, operation: &str, kind: FailureKind) {
        let (before, earlier) = (self.at_rest(), self.servers.calls(subject.logged));
        self.servers.faults(&json!([rule(subject, operation, u32::MAX, (wrong.does)())]));
        let (outcome, time) = self.timed(subject, async |step, known| step.parts(known).await).await;
        let shown = format!("{} always at {operation} for {}", wrong.name, subject.kind);
        self.fired(&shown, &outcome);
        let failure = outcome.err().unwrap_or_else(|| panic!("{shown}: it succeeded"));
        assert_eq!(failure.kind, kind, "{shown}: {failure:?}");
        says_enough(&failure, subject, wrong.says, &shown);
        let asked = self.servers.calls(subject.logged) - earlier;
        if !wrong.heard || operation != subject.change {
            assert_eq!((self.at_rest(), asked), (before, 0), "{shown}");
        }
        // A change of a zone waits by itself for the one before it; nobody else waits for longer than for two answers.
        let most = if subject.service == "route53" { 180 } else { 60 };
        assert!(time < Duration::from_secs(most), "{shown}: {time:?}");
        let message = format!("{} [{}]", failure.message, failure.hint.as_deref().unwrap_or_default());
        self.row(wrong.name, format!("{} {operation}", subject.kind), format!("{kind:?}"), effects(asked.min(1), asked), time, message);
    }

    /// Checks that the fault happened at all.
    #[track_caller]
    fn fired(&self, shown: &str, outcome: &Result<(), StepFailure>) {
        let seen = self.servers.seen();
        assert!(seen.iter().any(|request| request["action"] != "match"), "{shown}: it never happened: {outcome:?} {seen:?}");
    }

    async fn timed<F>(&self, subject: &Subject, run: F) -> (Result<(), StepFailure>, Duration)
    where
        F: AsyncFnOnce(&crate::stage::Stepped, &mut Known) -> Result<wf_engine::model::event::Fields, StepFailure>,
    {
        let step = self.stage.step(&subject.ron);
        let began = self.stage.now();
        let outcome = run(&step, &mut Known::default()).await.map(drop);
        (outcome, wf_engine::clock::between(began, self.stage.now()))
    }

    fn row(&mut self, fault: &str, what: String, outcome: String, effects: String, time: Duration, message: String) {
        let fault = fault.to_owned();
        self.rows.push(Row { fault, what, outcome, effects, calls: self.servers.seen().len(), time, message });
    }
}

/// A fault, as an attempt meets it.
struct Wrong<'a> {
    name: &'a str,
    does: &'a dyn Fn() -> Value,
    heard: bool,
    says: &'a str,
}

/// Says what became of the world, and how often the server was asked for it.
fn effects(number: usize, asked: usize) -> String {
    format!("{number} (asked {asked} times)")
}

fn rule(subject: &Subject, operation: &str, times: u32, mut does: Value) -> Value {
    does["service"] = json!(subject.service);
    match operation {
        // The SDK leaves out a slash at the end of its path, by which microburst would know it.
        "ChangeResourceRecordSets" => does["body"] = json!("ChangeResourceRecordSetsRequest"),
        _ => does["operation"] = json!(operation),
    }
    does["times"] = json!(times);
    does
}

/// Leaves out what is null: a place where there is nothing is no place.
fn gone(mut world: Value) -> Value {
    for region in ["us-east-1", "us-west-2"] {
        world[region]["databases"].as_object_mut().unwrap().retain(|_, database| !database.is_null());
    }
    world
}

/// Checks that a failure says what happened, to what, why, and what next.
#[track_caller]
fn says_enough(failure: &StepFailure, subject: &Subject, why: &str, shown: &str) {
    assert!(failure.message.starts_with("failed to "), "{shown}: {failure:?}");
    assert!(subject.names.iter().any(|name| failure.message.contains(name)), "{shown}, to what? {failure:?}");
    assert!(failure.message.contains(why), "{shown}, why? {failure:?}");
    assert!(failure.hint.as_deref().is_some_and(|hint| !hint.is_empty()), "{shown}, what next? {failure:?}");
}

impl Fault {
    fn wrong(&self) -> Wrong<'_> {
        Wrong { name: self.name, does: &self.does, heard: self.heard, says: self.says }
    }
}

#[tokio::test]
async fn a_change_that_goes_wrong_once_has_one_effect() {
    let mut bench = Bench::start();
    for fault in &FAULTS {
        for subject in bench.fresh() {
            bench.once(&subject, &fault.wrong(), subject.change).await;
        }
    }
    print("Once, at the call that changes something (time as the step counts it)", &bench.rows);
}

#[tokio::test]
async fn a_change_that_goes_wrong_each_time_is_transient_and_says_why() {
    let mut bench = Bench::start();
    let mut subjects = bench.fresh();
    for fault in &FAULTS {
        for subject in &subjects {
            // A message has no state that a further attempt could look at, so nobody there is nobody there.
            let lost = if subject.kind == "SnsPublish" { Unreachable } else { Transient };
            bench.always(subject, &fault.wrong(), subject.change, if fault.silent { lost } else { Transient }).await;
        }
        if fault.heard {
            subjects = bench.fresh();
        }
    }
    print("Each time, at the call that changes something, in one attempt", &bench.rows);
}

#[tokio::test]
async fn a_look_that_goes_wrong_each_time_is_unreachable_only_when_nobody_answers() {
    let mut bench = Bench::start();
    let subjects = bench.fresh();
    for fault in FAULTS.iter().filter(|fault| !fault.heard) {
        for subject in subjects.iter().filter(|subject| !subject.read.is_empty()) {
            bench.always(subject, &fault.wrong(), subject.read, if fault.silent { Unreachable } else { Transient }).await;
        }
    }
    print("Each time, at the first look, in one attempt", &bench.rows);
}

#[tokio::test]
async fn what_is_busy_is_tried_again() {
    let mut bench = Bench::start();
    for (kind, code, status, message) in BUSY {
        let subjects = bench.fresh();
        let subject = subjects.iter().find(|subject| subject.kind == kind).unwrap();
        let does = || json!({ "error": { "code": code, "status": status, "message": message } });
        let says = format!("{message} ({code}, HTTP {status})");
        let wrong = Wrong { name: code, does: &does, heard: false, says: &says };
        bench.always(subject, &wrong, subject.change, Transient).await;
        bench.once(subject, &wrong, subject.change).await;
    }
    print("Busy, in each service's own words: each time, and once", &bench.rows);
}
