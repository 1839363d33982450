//! Drills on the simulated AWS: each verdict, what is put back however they end, and that production is not exercised by accident.

use serde_json::{Value, json};

use crate::sandbox::{Outcome, Sandbox};

const SPEED: &str = "300";

/// A sandbox with a shipped drill in it.
fn sandbox(drill: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    let path = format!("{}/{drill}", env!("CARGO_MANIFEST_DIR"));
    sandbox.file("drill.ron", &std::fs::read_to_string(path).expect("a shipped drill"));
    sandbox
}

fn args<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["drill", "drill.ron", "--env", "staging", "--sim", "--yes", "--sim-speed", SPEED, "--no-tty"], more].concat()
}

/// Checks that the world is what it was before the drill: nothing is made, stopped, scaled or led elsewhere.
fn is_put_back(sandbox: &Sandbox) {
    let world = sandbox.json(&["sim", "status"]);
    let region = |name: &str| world["regions"][name].clone();
    let names = |databases: &Value| databases.as_object().expect("databases").keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&region("us-east-1")["databases"]), ["staging-db-primary"]);
    assert_eq!(names(&region("us-west-2")["databases"]), ["staging-db-replica-west"]);
    assert_eq!(region("us-west-2")["databases"]["staging-db-replica-west"]["source"], "us-east-1/staging-db-primary");
    let size =
        |region: &Value, group: &str| [&region["groups"][group]["min"], &region["groups"][group]["desired"]].map(|size| size.as_i64());
    assert_eq!(size(&region("us-east-1"), "staging-app-asg"), [Some(3), Some(6)]);
    assert_eq!(size(&region("us-west-2"), "staging-app-dr-asg"), [Some(0), Some(0)]);
    let records = world["dns"]["records"].as_array().expect("records");
    let primary = |record: &&Value| record["name"] == "app.staging.company.com." && record["set_identifier"] == "primary";
    let alias = records.iter().find(primary).expect("the record")["alias"].as_str().expect("an alias");
    assert!(alias.starts_with("staging-app-alb-") && alias.contains("us-east-1"), "{alias}");
}

/// The drill's report, in the fields that scripts read.
fn report(sandbox: &Sandbox) -> Value {
    let dir = sandbox.path(".wf/runs").join(sandbox.latest());
    let is_report = |name: &str| name.starts_with("dr-test-report-") && name.ends_with(".json");
    let files = std::fs::read_dir(&dir).expect("a run").map(|entry| entry.expect("a file").path());
    let found: Vec<_> = files.filter(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(is_report)).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    serde_json::from_slice(&std::fs::read(&found[0]).expect("readable")).expect("JSON")
}

fn verdict(sandbox: &Sandbox) -> Value {
    sandbox.json(&["drill", "history"])[0]["verdict"].clone()
}

#[test]
fn a_drill_that_keeps_its_objectives_passes_and_leaves_nothing() {
    let sandbox = sandbox("workflows/drill-pilot-light.ron");
    let outcome = sandbox.wf(&args(&[]));
    outcome.exits(0).tells("drill PASS in staging").tells("incident → users served again");
    is_put_back(&sandbox);
    let report = report(&sandbox);
    let (recovery, lost) =
        (report["recovery_time_seconds"].as_f64().expect("seconds"), report["rpo_actual_seconds"].as_f64().expect("seconds"));
    assert!((60.0..1800.0).contains(&recovery) && lost <= 300.0, "{report}");
    let told = ["test_type", "environment", "rto_target_seconds", "rto_met", "rpo_target_seconds", "rpo_met", "test_status", "leftovers"];
    assert_eq!(
        told.map(|field| report[field].clone()),
        [json!("pilot-light"), json!("staging"), json!(1800.0), json!(true), json!(300.0), json!(true), json!("PASSED"), json!([]),]
    );
    let clocks = ["incident", "writable", "traffic", "healthy"].map(|clock| report["clocks"][clock].as_str().expect("a moment").to_owned());
    assert!(clocks.is_sorted(), "{clocks:?}");
    sandbox.wf(&["drill", "history"]).exits(0).tells("drill-pilot-light staging").tells("of 30m 00s").tells("PASS");
    let verdict = r#"wf_drill_verdict{workflow="drill-pilot-light",world="sim",environment="staging",verdict="PASS"} 1"#;
    sandbox.wf(&["metrics"]).exits(0).tells(verdict).tells("wf_run_rto_objective_seconds");
    sandbox.wf(&["metrics", "--output", "wf.prom"]).exits(0);
    assert!(std::fs::read_to_string(sandbox.path("wf.prom")).expect("written").contains(verdict));
    sandbox.wf(&["drill", "history", "--env", "other"]).exits(0).says("no drill yet");
}

#[test]
fn a_drill_that_misses_an_objective_fails() {
    let sandbox = sandbox("workflows/drill-full-failover.ron");
    sandbox.wf(&args(&[])).exits(21).tells("drill FAIL in staging").tells("the RTO was").tells("more than 1m 00s");
    is_put_back(&sandbox);
    assert_eq!(report(&sandbox)["rto_met"], false);
    assert_eq!(verdict(&sandbox), "FAIL");
}

#[test]
fn a_replica_that_lags_fails_the_drill_by_its_rpo() {
    let sandbox = sandbox("workflows/drill-pilot-light.ron");
    let lag = ["--sim-fault", "lag staging-db-replica-west-drill 10m", "--set", "ready_lag=30m"];
    sandbox.wf(&args(&lag)).exits(21).tells("drill FAIL in staging").tells("the RPO was 10m");
    is_put_back(&sandbox);
    let report = report(&sandbox);
    assert_eq!((&report["rto_met"], &report["rpo_met"], &report["test_status"]), (&json!(true), &json!(false), &json!("FAILED")));
}

/// The group that is stopped is not the one that serves: the users notice nothing, and so nothing is proved.
#[test]
fn a_failure_that_did_not_happen_proves_nothing() {
    let sandbox = sandbox("workflows/drill-warm-standby.ron");
    let text = std::fs::read_to_string(sandbox.path("drill.ron")).expect("a drill");
    sandbox.file(
        "drill.ron",
        &text.replace(
            r#"group: "${env}-app-asg", region: "${primary_region}", min: 0, desired: 0"#,
            r#"group: "${env}-app-asg", region: "${primary_region}", min: 2, desired: 5"#,
        ),
    );
    let outcome = sandbox.wf(&args(&[]));
    outcome.exits(22).tells("drill INCONCLUSIVE in staging").tells("the failure did not show: step `is_down` failed");
    is_put_back(&sandbox);
    assert_eq!(report(&sandbox)["test_status"], "INCONCLUSIVE");
    // Neither does one that could not be prepared.
    let outcome = sandbox.wf(&args(&["--set", "url=https://nobody.staging.company.com/health"]));
    outcome.exits(22).tells("what the drill needs could not be made ready: step `served_before` failed");
    is_put_back(&sandbox);
}

#[test]
fn ctrl_c_and_a_crash_leave_nothing_behind() {
    let sandbox = sandbox("workflows/drill-warm-standby.ron");
    let mut live = sandbox.start(&args(&[]));
    live.until("is_down             succeeded");
    live.signal("INT");
    live.until("rolling back");
    // In the middle of the cleaning up the process dies.
    live.until("undone");
    live.kill();
    let run = sandbox.latest();
    sandbox.wf(&["resume", &run, "--sim-speed", SPEED, "--no-tty"]).exits(22).tells("it was given up before its end");
    is_put_back(&sandbox);
    assert_eq!(report(&sandbox)["leftovers"], json!([]));
}

#[test]
fn production_is_not_exercised_by_accident() {
    let sandbox = sandbox("workflows/drill-pilot-light.ron");
    let refused = |more: &[&str]| -> Outcome { sandbox.wf(&[&["drill", "drill.ron", "--yes", "--no-tty"], more].concat()) };
    refused(&["--env", "prod"]).exits(4).says("is production by its name").says("`--production` exercises this one");
    refused(&["--env", "prod", "--sim"]).exits(4).says("is production by its name");
    refused(&["--env", "Production-EU", "--production", "--confirm", "staging"]).exits(4).says("`--confirm` names another environment");
    refused(&["--env", "prod", "--production"]).exits(4).says("not confirmed: the drill takes `prod` down");
    refused(&["--confirm", "prod"]).exits(2).says("--production");
    // By its tags, whatever it is called.
    let world = sandbox.wf(&["sim", "world"]).stdout.replace("prod-", "staging-").replace("company.com", "staging.company.com");
    sandbox.file("world.ron", &world);
    refused(&["--env", "staging", "--sim", "--sim-world", "world.ron"])
        .exits(4)
        .says("step `replica` works on what is tagged as production");
    sandbox.workflow("plain", r#"(id: "a", run: Wait(duration: "0s"))"#);
    sandbox.wf(&["drill", "plain.ron", "--sim", "--yes"]).exits(2).says("is no drill").says("at_end: Undo");
    sandbox.wf(&["drill", "no-such"]).exits(2).says("workflows/drill-no-such.ron");
    assert_eq!(sandbox.json(&["list"]), json!([]), "nothing was started");
}

#[test]
fn a_drill_s_report_shows_those_before_it() {
    let sandbox = Sandbox::new();
    sandbox.file("small.ron", r#"Workflow(name: "small", at_end: Undo, steps: [(id: "a", run: Wait(duration: "5s"))])"#);
    let drill = |environment| sandbox.wf(&["drill", "small.ron", "--env", environment, "--sim", "--yes", "--no-tty"]);
    let html = || sandbox.wf(&["report", "@latest", "--format", "html"]).stdout;
    drill("staging").exits(22);
    assert!(!html().contains("The drills before it"));
    drill("test").exits(22);
    drill("staging").exits(22);
    assert!(html().contains("0 of the last 2 drills of staging passed"), "the one of another environment does not count");
    assert_eq!(html().matches("<circle").count(), 2);
}

/// The world that a drill of staging begins in, whose application keeps a write lease.
fn world_with_a_lease() -> String {
    let world = include_str!("../../workflows/world.ron");
    let lease = "// lease: (region:";
    assert!(world.contains(lease), "the world's lease has moved");
    let quiet = world.lines().filter(|line| !line.trim_start().starts_with("incident:")).collect::<Vec<_>>().join("\n");
    let staging = quiet.replace("company.com", "staging.company.com").replace("production", "staging").replace("prod-", "staging-");
    staging.replace(lease, "lease: (region:")
}

#[test]
fn an_application_that_keeps_a_write_lease_is_drilled_with_it() {
    let sandbox = sandbox("workflows/drill-pilot-light.ron");
    sandbox.file("world.ron", &world_with_a_lease());
    sandbox.wf(&args(&["--sim-world", "world.ron"])).exits(0).tells("drill PASS in staging");
    is_put_back(&sandbox);
    let status = sandbox.json(&["sim", "status"]);
    assert_eq!(status["lease_holder"], "us-east-1", "{status}");
    sandbox.wf(&["log"]).exits(0).tells(r#"lease={"holder":"us-east-1""#);
}

/// A workflow that is the real thing, and a drill when `wf drill` runs it.
const BOTH: &str = r#"#![enable(implicit_some)]
Workflow(
    name: "both", at_end: UndoDrill, objectives: (rto: "30m"),
    steps: [
        (id: "down", only: Drill, stage: Fail, run: AutoScalingScale(group: "staging-app-asg", region: "us-east-1", min: 0, desired: 0)),
        (id: "up", needs: ["down"], run: AutoScalingScale(group: "staging-app-dr-asg", region: "us-west-2", min: 1, desired: 1)),
        (id: "told", only: Real, run: SnsPublish(topic: "staging-dr-alerts", region: "us-west-2", subject: "for real")),
        (id: "replica", only: Check, run: RdsWaitReplicaLag(instance: "staging-db-replica-west", region: "us-west-2", max_lag: "5m")),
    ],
)
"#;

#[test]
fn one_file_is_a_drill_and_the_real_thing() {
    let sandbox = Sandbox::new();
    sandbox.file("drill.ron", BOTH);
    sandbox.file("world.ron", &world_with_a_lease());
    sandbox.wf(&["check", "drill.ron"]).exits(0).tells("1 only drill, 1 only real, 1 only check");
    let live = ["check", "drill.ron", "--live", "--sim", "--sim-world", "world.ron", "--sim-speed", "5"];
    let steps = |checked: &Value| {
        let of = |check: &Value| check["step"].as_str().expect("a step").to_owned();
        checked["checks"].as_array().expect("checks").iter().map(of).collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(steps(&sandbox.json(&live)), ["replica", "told", "up"].map(str::to_owned).into());

    sandbox.wf(&args(&[])).says("told skipped: only part of runs that are no drill");
    let steps = sandbox.json(&["report"])["summary"]["steps"].to_string();
    assert!(steps.contains("\"told\"") && !steps.contains("\"replica\""), "no step of the run: {steps}");
    is_put_back(&sandbox);
    assert_eq!(sandbox.json(&["status"])["outcome"], "RolledBack");

    sandbox
        .wf(&["run", "drill.ron", "--sim", "--yes", "--sim-speed", SPEED, "--no-tty"])
        .exits(0)
        .says("down skipped: only part of drills");
    assert_eq!(sandbox.json(&["status"])["outcome"], "Completed");
    let groups = |region: &str, group: &str| sandbox.json(&["sim", "status"])["regions"][region]["groups"][group]["desired"].as_i64();
    assert_eq!([groups("us-east-1", "staging-app-asg"), groups("us-west-2", "staging-app-dr-asg")], [Some(6), Some(1)]);
}

#[test]
fn what_can_never_run_is_told() {
    let sandbox = Sandbox::new();
    sandbox.workflow("never", r#"(id: "a", only: Drill, run: Wait(duration: "1s"))"#);
    sandbox.wf(&["check", "never.ron"]).exits(3).says("step `a` can never run: it is only part of drills").says("at_end: UndoDrill");
    sandbox.wf(&["drill", "never.ron", "--sim"]).exits(3);
}
