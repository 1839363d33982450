//! A region that is gone: everything in us-east-1 is reset, or hangs, while the shipped failover leaves it from the command line. The proxy's log
//! tells who touched it.

use std::collections::BTreeSet;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Value, json};
use wf_engine::model::event::FailureKind;

use super::table::{Row, print};
use crate::servers::Servers;
use crate::shipped::{EAST, Operator, WEST, completes, page};
use crate::stage::{Known, Stage};

/// Long enough to outlast any test.
const FOR_EVER_MS: u32 = 600_000;

/// What happens to all requests to the failing region. Route 53 is signed for it, and is global: it lives.
fn gone(how: Value) -> Value {
    let mut east = how;
    east["region"] = json!(EAST);
    json!([{ "service": "route53" }, east])
}

/// A failover that is over, with what its journal says.
struct Over {
    operator: Operator,
    before: Value,
    events: Vec<Value>,
    took: Duration,
}

impl Over {
    fn with(how: Value) -> Self {
        let operator = Operator::behind_proxies();
        let before = operator.servers.look("moto");
        operator.servers.faults(&gone(how));
        let began = Instant::now();
        let output = operator.failover().output().unwrap();
        let took = began.elapsed();
        let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(0), "stdout:\n{stdout}\nstderr:\n{stderr}");
        assert!(stderr.contains("completed with exceptions"), "{stderr}");
        let log = operator.wf(&["log", "@latest", "--json"]).output().unwrap();
        let events = String::from_utf8(log.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        Self { operator, before, events, took }
    }

    /// Returns the time from the start of the run to the first such event.
    #[track_caller]
    fn at(&self, event: &str, step: &str) -> Duration {
        let time = |record: &Value| record["at"].as_str().unwrap().parse::<Timestamp>().unwrap();
        let is = |record: &&Value| record["event"][event]["step"] == step;
        let found = self.events.iter().find(is).unwrap_or_else(|| panic!("no {event} of {step} in {:?}", self.events));
        wf_engine::clock::between(time(&self.events[0]), time(found))
    }

    /// Checks that only the steps that say so called the dead region, and that all is well in the other one.
    fn check(&self) {
        let seen = self.operator.servers.seen();
        let there = |request: &&Value| request["region"] == EAST && request["service"] != "route53";
        let touched: BTreeSet<_> = seen
            .iter()
            .filter(there)
            .map(|request| [&request["service"], &request["operation"]].map(|part| part.as_str().unwrap()))
            .collect();
        // `fence`, `fence_shop` with `fence_cron`, and `fence_eks`.
        let allowed = [["autoscaling", "DescribeAutoScalingGroups"], ["eks", "DescribeCluster"], ["eks", "DescribeNodegroup"]];
        assert_eq!(touched, BTreeSet::from(allowed), "{seen:?}");

        let now = self.operator.servers.look("moto");
        assert_eq!([page(&self.operator.servers.site), page(&self.operator.shop_site())], [WEST, WEST]);
        for part in ["groups", "nodegroups"] {
            assert_eq!(now[EAST][part], self.before[EAST][part], "{part}: nothing reached {EAST}");
        }
        assert_eq!(now[WEST]["groups"]["prod-app-dr-asg"], json!({ "min": 3, "desired": 6, "max": 10, "instances": 6 }));
        assert_eq!(now[WEST]["nodegroups"]["production-dr"], json!({ "min": 3, "desired": 6, "max": 20 }));
        assert_eq!(now[WEST]["databases"]["prod-db-replica-west"]["source"], json!(null));
        assert_eq!(self.operator.servers.calls("PromoteReadReplica"), 1);
        assert_eq!(self.operator.subjects(WEST), json!(["DR failover completed", "DR failover started"]));
    }

    fn row(&self, fault: &str) -> Row {
        let east =
            self.operator.servers.seen().iter().filter(|request| request["region"] == EAST && request["service"] != "route53").count();
        let seconds = |event, step| format!("{:.1} s", self.at(event, step).as_secs_f64());
        Row {
            fault: fault.to_owned(),
            what: "failover.ron".to_owned(),
            outcome: "exit 0".to_owned(),
            effects: "all of us-west-2, nothing in us-east-1".to_owned(),
            calls: east,
            time: self.took,
            message: format!(
                "fence unreachable after {}, fence_eks after {}, promotion begun after {}, scale_app done after {}, dns after {}",
                seconds("StepUnreachable", "fence"),
                seconds("StepUnreachable", "fence_eks"),
                seconds("StepStarted", "promote"),
                seconds("StepSucceeded", "scale_app"),
                seconds("StepSucceeded", "dns_edit"),
            ),
        }
    }
}

#[test]
fn a_failover_leaves_a_region_that_cuts_every_connection() {
    let over = Over::with(json!({ "reset": true }));
    over.check();
    assert!(over.at("StepUnreachable", "fence") < Duration::from_secs(15), "{:?}", over.events);
    print("us-east-1 is gone (calls: those to us-east-1)", &[over.row("every connection reset")]);
}

#[test]
fn a_failover_leaves_a_region_that_hangs_without_waiting_for_it_elsewhere() {
    let over = Over::with(json!({ "timeout_ms": FOR_EVER_MS }));
    over.check();
    let fence = over.at("StepUnreachable", "fence");
    // Two attempts of 20 s each, and a pause.
    assert!(fence < Duration::from_secs(55), "{fence:?}");
    for step in ["scale_app", "scale_eks"] {
        assert!(over.at("StepSucceeded", step) < fence, "{step} is in the living region and needs nothing of the other one");
    }
    // Nothing waits for the dead node group but the end of the run.
    let (started, eks) = (over.at("StepStarted", "promote"), over.at("StepUnreachable", "fence_eks"));
    assert!(started < fence + Duration::from_secs(10) && eks < Duration::from_secs(55), "{started:?} {eks:?}");
    print("us-east-1 is gone (calls: those to us-east-1)", &[over.row("every request hangs")]);
}

/// A `wf` that is killed when this value goes.
struct Live(Child);

impl Live {
    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([&format!("-{name}"), &self.0.id().to_string()]).status().unwrap().success());
    }

    /// Waits for its end, and returns its exit code and how long that took.
    fn leaves(&mut self, within: Duration) -> (Option<i32>, Duration) {
        let began = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return (status.code(), began.elapsed());
            }
            assert!(began.elapsed() < within, "it is still there after {within:?}");
            std::thread::yield_now();
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn ctrl_c_does_not_wait_for_a_region_that_hangs() {
    let operator = Operator::behind_proxies();
    let before = operator.servers.look("moto");
    operator.servers.faults(&gone(json!({ "timeout_ms": FOR_EVER_MS })));
    let mut live = Live(operator.failover().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let limit = Instant::now() + Duration::from_secs(60);
    while operator.servers.seen().iter().filter(|request| request["region"] == EAST).count() < 2 {
        assert!(live.0.try_wait().unwrap().is_none(), "it ended");
        assert!(Instant::now() < limit, "it never asks {EAST}");
    }
    live.signal("INT");
    let (code, took) = live.leaves(Duration::from_secs(15));
    assert_eq!(code, Some(130));
    // The region is back: what was interrupted is looked at again, and done.
    operator.servers.faults(&json!([]));
    completes(operator.wf(&["resume", "@latest", "--yes"]));
    operator.is_in_the_west(&before);
    let row = Row {
        fault: "every request hangs".to_owned(),
        what: "failover.ron, Ctrl-C".to_owned(),
        outcome: "exit 130, then resumed: exit 0".to_owned(),
        effects: "all of it, once".to_owned(),
        calls: 2,
        time: took,
        message: String::new(),
    };
    print("Ctrl-C while us-east-1 hangs (time: from the signal to the end)", &[row]);
}

#[tokio::test]
async fn a_region_without_a_network_is_unreachable_and_told_from_one_that_refuses() {
    let servers = Servers::start();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let hole = servers.ask(&json!({ "do": "black_hole" }));
    let mut rows = Vec::new();
    for (fault, url, says) in [
        ("nobody listens", format!("http://{closed}"), "the connection was refused"),
        ("packets are dropped", hole.as_str().unwrap().to_owned(), "no connection in time"),
    ] {
        let stage = Stage::at(&url, &url);
        let step = stage.step(r#"AutoScalingScale(group: "prod-app-asg", region: "us-east-1", min: 0, desired: 0)"#);
        let began = stage.now();
        let failure = step.parts(&mut Known::default()).await.unwrap_err();
        let time = wf_engine::clock::between(began, stage.now());
        assert_eq!(failure.kind, FailureKind::Unreachable, "{failure:?}");
        assert!(failure.message.contains("prod-app-asg in us-east-1") && failure.message.contains(says), "{failure:?}");
        // Three attempts of 3 s each to connect, and two pauses.
        assert!(time < Duration::from_secs(20), "{time:?}");
        rows.push(Row {
            fault: fault.to_owned(),
            what: "AutoScalingScale DescribeAutoScalingGroups".to_owned(),
            outcome: "Unreachable".to_owned(),
            effects: "none".to_owned(),
            calls: 0,
            time,
            message: format!("{} [{}]", failure.message, failure.hint.unwrap()),
        });
    }
    print("No connection, in one attempt", &rows);
}
