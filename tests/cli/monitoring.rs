//! What CloudWatch is told and asked: the figures of runs, dashboards, alarms.

use serde_json::Value;

use crate::sandbox::{Outcome, Sandbox};

fn at_root(sandbox: &Sandbox, args: &[&str]) -> Outcome {
    Outcome::of(&mut sandbox.at_root(args))
}

/// The calls that changed the simulated CloudWatch, as `action resource region`.
fn calls(sandbox: &Sandbox) -> Vec<String> {
    let log = sandbox.json(&["sim", "log"]);
    let of = |call: &Value| ["action", "resource", "region"].map(|field| call[field].as_str().unwrap_or_default().to_owned()).join(" ");
    log.as_array().expect("calls").iter().filter(|call| call["service"] == "monitoring").map(of).collect()
}

#[test]
fn the_figures_of_runs_are_put_to_the_standby_region() {
    let sandbox = Sandbox::new();
    sandbox.wf(&["metrics", "--publish", "--sim"]).exits(0).says("nothing to put");
    let inputs = r#"inputs: { "dr_region": "us-west-2" }, objectives: (rto: "15m")"#;
    sandbox.file("w.ron", &format!(r#"Workflow(name: "w", {inputs}, steps: [(id: "a", run: Wait(duration: "1s"))])"#));
    sandbox.wf(&["run", "w.ron", "--sim", "--yes"]).exits(0);
    sandbox.wf(&["check", "w.ron", "--live", "--sim"]).exits(0);
    let text = sandbox.wf(&["metrics"]);
    text.exits(0).tells(r#"wf_run_rto_objective_seconds{workflow="w",world="sim"} 900"#).tells(r#"wf_ready{workflow="w",world="sim"} 1"#);
    let told = text.stdout.lines().filter(|line| !line.starts_with('#')).count();
    let put = sandbox.wf(&["metrics", "--publish", "--sim"]);
    put.exits(0).says(&format!("{told} values put into wf in us-west-2"));
    assert_eq!(put.stdout, "");
    sandbox.wf(&["metrics", "--publish", "--sim", "--region", "eu-west-1", "--namespace", "dr"]).exits(0).says("put into dr in eu-west-1");
    assert_eq!(calls(&sandbox), ["PutMetricData wf us-west-2", "PutMetricData dr eu-west-1"]);
    // CloudWatch refuses its own namespaces, and nobody says where figures of a workflow without a standby region belong.
    let refused = sandbox.wf(&["metrics", "--publish", "--sim", "--namespace", "AWS/wf"]);
    refused.exits(4).says("put");
    sandbox.workflow("n", r#"(id: "a", run: Wait(duration: "0s"))"#);
    sandbox.wf(&["run", "n.ron", "--sim", "--yes"]).exits(0);
    sandbox.wf(&["metrics", "--publish", "--sim"]).exits(2).says("`n` has no input `dr_region`").says("--region REGION");
    sandbox.wf(&["metrics", "--sim"]).exits(2);
}

/// Offline: no region is asked, and what only AWS knows is looked up when it is put.
#[test]
fn the_alarms_of_a_workflow_follow_from_its_steps() {
    let sandbox = Sandbox::new();
    let shown = at_root(&sandbox, &["alarms", "workflows/failover.ron"]);
    shown.exits(0);
    for words in [
        "wf-failover-lag-prod-db-replica-west in us-west-2 metric AWS/RDS ReplicaLag, DBInstanceIdentifier=prod-db-replica-west threshold the most is above 300 period 3 in a row of 60 s each tells production-dr-alerts",
        "wf-failover-health-app.company.com in us-east-1 metric AWS/Route53 HealthCheckStatus",
        "looked up when it is put: the health check of the PRIMARY record",
        "wf-failover-targets-prod-app-dr-tg in us-west-2 metric AWS/ApplicationELB HealthyHostCount",
        "wf-failover-ready in us-west-2 metric wf Ready, Workflow=failover threshold the least is below 1, or no data period 86400 s",
        "no topic is in the same region; `--topic NAME@us-east-1`",
    ] {
        shown.tells(words);
    }
    let told = at_root(&sandbox, &["alarms", "workflows/failover.ron", "--json", "--topic", "oncall@us-east-1,dr@us-west-2"]);
    let told: Value = serde_json::from_str(&told.exits(0).stdout).expect("JSON");
    let topics =
        |name: &str| told["alarms"].as_array().expect("alarms").iter().find(|alarm| alarm["name"] == name).expect(name)["topics"].clone();
    assert_eq!(topics("wf-failover-health-app.company.com"), serde_json::json!(["oncall"]));
    assert_eq!(topics("wf-failover-ready"), serde_json::json!(["dr"]));
    // A workflow without a standby region and without objectives has none of its own.
    sandbox.workflow("w", r#"(id: "p", run: RdsPromoteReadReplica(instance: "i", region: "us-west-2"))"#);
    sandbox.wf(&["alarms", "w.ron"]).exits(0).tells("the workflow has no objective `rpo`").tells("`--region REGION`");
    assert!(!sandbox.path(".wf/sim").exists(), "nobody was asked");
}

#[test]
fn alarms_and_the_dashboard_are_put_with_the_names_that_aws_gives_and_replaced() {
    let sandbox = Sandbox::new();
    let put = ["alarms", "workflows/failover.ron", "--put", "--sim", "--sim-speed", "5"];
    for _ in 0..2 {
        let done = at_root(&sandbox, &put);
        done.exits(0).says("alarm wf-failover-health-app.company.com put in us-east-1").tells("HealthCheckId=c8d5e2b7");
        done.tells("the targets of prod-app-dr-tg: it has none now").tells("its PRIMARY record has no health check");
    }
    let names = ["lag-prod-db-replica-west us-west-2", "health-app.company.com us-east-1", "ready us-west-2"];
    let once = names.map(|name| format!("PutMetricAlarm wf-failover-{name}"));
    assert_eq!(calls(&sandbox), [once.clone(), once].concat());
    let dashboard = at_root(&sandbox, &["dashboard", "workflows/failover.ron"]);
    dashboard.exits(0).says("`--live` looks");
    let body: Value = serde_json::from_str(&dashboard.stdout).expect("JSON");
    let titles: Vec<_> = body["widgets"].as_array().expect("widgets").iter().map(|widget| &widget["properties"]["title"]).collect();
    assert_eq!(
        titles,
        ["Healthy targets", "Replica lag", "Databases", "Servers", "wf: ready to fail over", "wf: RTO and RPO"],
        "the health check is not known"
    );
    assert!(dashboard.stdout.contains("SEARCH("), "{}", dashboard.stdout);
    let live = at_root(&sandbox, &["dashboard", "workflows/failover.ron", "--live", "--sim"]);
    assert!(live.stdout.contains("HealthCheckStatus") && !live.stdout.contains("SEARCH("), "{}", live.stdout);
    at_root(&sandbox, &["dashboard", "workflows/failover.ron", "--put", "dr", "--sim"]).exits(0).says("dashboard dr put in us-west-2");
    assert_eq!(calls(&sandbox).last().map(String::as_str), Some("PutDashboard dr us-west-2"));
}
