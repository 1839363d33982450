//! `wf check --live`: what it finds, what it says, what it exits with.

use serde_json::Value;

use crate::sandbox::{Outcome, Sandbox};

/// At five times the pace of life: a look may take a minute of the world, and that is to be long enough on a busy machine.
fn check(sandbox: &Sandbox, more: &[&str]) -> Outcome {
    let args = [&["check", "workflows/failover.ron", "--live", "--sim", "--sim-speed", "5", "--sim-fault", "primary-alive"], more].concat();
    Outcome::of(&mut sandbox.at_root(&args))
}

#[test]
fn a_world_that_is_ready_exits_with_0_and_is_not_changed() {
    let sandbox = Sandbox::new();
    let ready = check(&sandbox, &["--no-tty"]);
    ready.exits(0).tells("ready: 106 of 106 checks passed in ").tells("8 steps cannot be checked in full before others have run");
    // What does not keep the plan from working is told all the same.
    ready
        .tells("warning backup age: backup production-backup-20260314020000")
        .tells("warning write lease: there is no write lease s3://production-dr-switch/lease/production")
        .tells("warning image addresses: 5 images of production are asked of another registry")
        .tells("3 with a warning");
    ready.tells("`shop_dns` needs Route 53's control plane, which is in us-east-1").tells("shop_dns: after address");
    assert!(
        !ready.stdout.contains("not ready") && !ready.stdout.contains("failed") && !ready.stdout.contains("unknown"),
        "{}",
        ready.stdout
    );
    assert_eq!(sandbox.json(&["sim", "log"]), serde_json::json!([]), "nothing was changed");
    assert_eq!(sandbox.json(&["list"]), serde_json::json!([]), "nothing was recorded");
}

#[test]
fn a_world_that_is_not_exits_with_14_and_says_what_to_do() {
    let sandbox = Sandbox::new();
    let broken = ["--sim-fault", "lag prod-db-replica-west 2h", "--sim-fault", "service-outage route53"];
    let not_ready = check(&sandbox, &[&broken[..], &["--no-tty"]].concat());
    not_ready.exits(14).tells("not ready: ").tells("1 failed, 1 unknown");
    not_ready.tells("failed lag: prod-db-replica-west in us-west-2 is 2h behind its source").tells("fix: wait until it has caught up");
    not_ready.tells("unknown record: ");
    let json = check(&sandbox, &[&broken[..], &["--json"]].concat());
    let json: Value = serde_json::from_str(&json.exits(14).stdout).unwrap();
    let all = json["checks"].as_array().unwrap();
    let bad: Vec<_> = all.iter().filter(|one| one["verdict"] == "failed" || one["verdict"] == "unknown").collect();
    assert_eq!((&json["ready"], bad.len()), (&Value::Bool(false), 2), "{json:#}");
    assert_eq!((&bad[0]["step"], &bad[0]["check"], &bad[0]["kind"]), (&"promote".into(), &"lag".into(), &"RdsPromoteReadReplica".into()));
    assert_eq!(json["passed"].as_u64(), u64::try_from(all.len() - 2).ok());
    assert!(all.iter().any(|one| one["check"] == "zones" && one["verdict"] == "passed"), "{json:#}");
}

#[test]
fn what_only_a_look_at_the_world_takes_is_refused_without_one() {
    let sandbox = Sandbox::new();
    sandbox.workflow("wait", r#"(id: "wait", run: Wait(duration: "1s"))"#);
    sandbox.wf(&["check", "wait.ron"]).exits(0);
    sandbox.wf(&["check", "wait.ron", "--live", "--sim"]).exits(0).tells("ready: 1 of 1 check passed");
    sandbox.wf(&["check", "wait.ron", "--set", "a=b"]).exits(2).says("--live");
    sandbox.wf(&["check", "wait.ron", "--sim-fault", "primary-alive"]).exits(2).says("--live --sim");
    sandbox.workflow("bad", r#"(id: "wait", run: Wait(for: "1s"))"#);
    sandbox.wf(&["check", "bad.ron", "--live", "--sim"]).exits(3);
}
