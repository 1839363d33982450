//! An unplanned promotion without a fence: refused at every way into it, or let through at the operator's risk.

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

#[test]
fn a_run_that_becomes_unplanned_is_refused_the_promotion_that_is_not_fenced() {
    let sandbox = Sandbox::new();
    let steps = |fence: &str, needs: &str| {
        format!(
            r#"{fence}(id: "go", needs: [{needs}], run: Approval(message: "now?", timeout: "1h")), (id: "promote", needs: ["go"], {PROMOTE})"#
        )
    };
    sandbox.workflow("bare", &steps("", ""));
    sandbox.workflow("fenced", &steps(&format!(r#"(id: "fence", {FENCE}), "#), r#""fence""#));
    let begin = |file: &str| {
        let mut wf = sandbox.start(&["run", file, "--sim", "--mode", "planned", "--sim-speed", "60", "--no-tty"]);
        wf.until("asks: now?");
        wf
    };
    let owner = begin("bare.ron");
    sandbox.wf(&["escalate", "@latest"]).exits(4).says("step `promote` makes a second database").says("takes the risk, and is recorded");
    assert_eq!(sandbox.json(&["status"])["mode"], "Planned", "nothing was ordered");
    sandbox.wf(&["escalate", "@latest", "--accept-split-brain-risk", "--reason", "it burns"]).exits(0);
    assert_eq!(sandbox.json(&["status"])["mode"], "Unplanned");
    sandbox.wf(&["log"]).exits(0).tells("it burns; split brain: `promote` without a fence");
    owner.kill();
    assert_eq!(sandbox.json(&["report"])["summary"]["unfenced"], serde_json::json!(["promote"]));

    let owner = begin("fenced.ron");
    sandbox.wf(&["escalate", "@latest"]).exits(0);
    owner.kill();
    assert_eq!(sandbox.json(&["report"])["summary"]["unfenced"], serde_json::json!([]));
}

#[test]
fn an_edit_that_takes_the_fence_away_is_refused() {
    let sandbox = sandbox();
    sandbox.workflow(
        "edited",
        &format!(
            r#"(id: "fence", {FENCE}), (id: "later", run: Wait(duration: "1h")), (id: "promote", needs: ["fence", "later"], {PROMOTE})"#
        ),
    );
    let mut owner = sandbox.start(&["run", "edited.ron", "--sim", "--yes", "--sim-speed", "60", "--no-tty"]);
    owner.until("now: until");
    owner.kill();
    sandbox.workflow(
        "edited",
        &format!(r#"(id: "fence", {FENCE}), (id: "later", run: Wait(duration: "1h")), (id: "promote", needs: ["later"], {PROMOTE})"#),
    );
    let resume = ["resume", "--dry-run", "--accept-changes"];
    sandbox.wf(&resume).exits(4).says("step `promote` makes a second database").says("takes the risk, and is recorded");
    sandbox.wf(&[&resume[..], &["--accept-split-brain-risk"]].concat()).exits(0).says("split brain: `promote` without a fence");
}
