//! An unplanned promotion without a fence: refused, or let through at the operator's risk.

use crate::sandbox::Sandbox;

const PROMOTE: &str = r#"run: RdsPromoteReadReplica(instance: "prod-db-replica-west", region: "us-west-2", max_replica_lag: "5m")"#;
const FENCE: &str = r#"run: Fence(group: "prod-app-asg", region: "us-east-1")"#;

/// A sandbox with workflows that promote.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.workflow("bare", &format!(r#"(id: "promote", {PROMOTE})"#));
    sandbox.workflow("beside", &format!(r#"(id: "fence", {FENCE}), (id: "promote", {PROMOTE})"#));
    sandbox.workflow("passed", &format!(r#"(id: "fence", {FENCE}, on_failure: Continue), (id: "promote", needs: ["fence"], {PROMOTE})"#));
    sandbox.workflow("other", &format!(r#"(id: "fence", {FENCE}, only: Planned), (id: "promote", needs: ["fence"], {PROMOTE})"#));
    sandbox.workflow(
        "fenced",
        &format!(
            r#"(id: "fence", {FENCE}), (id: "go", needs: ["fence"], run: Approval(message: "now?", timeout: "1h")), (id: "promote", needs: ["go"], {PROMOTE})"#
        ),
    );
    sandbox
}

#[test]
fn a_promotion_that_no_fence_comes_before_is_refused_by_check_and_run() {
    let sandbox = sandbox();
    for file in ["bare.ron", "beside.ron", "passed.ron", "other.ron"] {
        for verb in [&["check", file][..], &["check", file, "--live", "--sim"], &["run", file, "--sim", "--yes"]] {
            let refused = sandbox.wf(verb);
            refused.exits(4).says("step `promote` makes a second database that takes writes").says("takes the risk, and is recorded");
        }
    }
    assert!(sandbox.json(&["list"]).as_array().is_none_or(Vec::is_empty), "no run was begun");
    sandbox.wf(&["check", "fenced.ron"]).exits(0);
    sandbox.wf(&["check", "bare.ron", "--mode", "planned"]).exits(0);
    sandbox.wf(&["check", "bare.ron", "--accept-split-brain-risk"]).exits(0);
}

#[test]
fn a_risk_that_is_taken_is_recorded_and_told() {
    let sandbox = sandbox();
    let run = |file: &str| sandbox.wf(&["run", file, "--sim", "--yes", "--sim-speed", "300", "--accept-split-brain-risk"]);
    run("bare.ron").exits(0).says("split brain: `promote` without a fence");
    assert_eq!(sandbox.json(&["report"])["summary"]["unfenced"], serde_json::json!(["promote"]));
    sandbox.wf(&["report", "@latest", "--format", "md"]).exits(0).tells("Risk taken: split brain: ");
}

#[test]
fn a_risk_that_is_none_is_not_recorded() {
    let sandbox = sandbox();
    sandbox.wf(&["run", "fenced.ron", "--sim", "--yes", "--sim-speed", "300", "--accept-split-brain-risk"]).exits(0);
    assert_eq!(sandbox.json(&["report"])["summary"]["unfenced"], serde_json::json!([]));
}
