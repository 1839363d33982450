//! `wf plan`: what it says is so, and it changes nothing.

use serde_json::Value;

use crate::sandbox::{Outcome, Sandbox};

const SCALE: &str = r#"(id: "scale", run: AutoScalingScale(group: "prod-app-dr-asg", region: "us-west-2", min: 3, desired: 6))"#;

fn calls(sandbox: &Sandbox) -> usize {
    let log = sandbox.json(&["sim", "log"]);
    log.as_array().unwrap().len()
}

fn step<'a>(plan: &'a Value, id: &str) -> &'a Value {
    plan["steps"].as_array().unwrap().iter().find(|step| step["step"] == id).unwrap_or_else(|| panic!("no {id} in {plan:#}"))
}

#[test]
fn a_plan_tells_each_change_and_makes_none() {
    let sandbox = Sandbox::new();
    let plan = Outcome::of(&mut sandbox.at_root(&["plan", "workflows/failover.ron", "--sim", "--sim-speed", "5", "--no-tty"]));
    plan.exits(0);
    for says in [
        "* fence ",
        "min 3 → 0, desired 6 → 0",
        "replicas 6 → 0",
        "invoice-run suspended false → true",
        "restored → production-backup-20260314020000 of 2026-03-14T02:00:00Z",
        "db:prod-db-primary → none: it takes writes",
        "cannot be looked at before promote",
        "not yet: there is no ingress production/web-app-ingress",
        "Point of no return: promote.",
        "no run of it has completed yet",
    ] {
        assert!(plan.stdout.contains(says), "no {says:?} in\n{}", plan.stdout);
    }
    assert!(!plan.stdout.contains("Look at these first"), "{}", plan.stdout);
    assert_eq!(calls(&sandbox), 0, "nothing was changed");
    assert_eq!(sandbox.json(&["list"]), serde_json::json!([]), "nothing was recorded");

    Outcome::of(&mut sandbox.at_root(&["run", "workflows/failover.ron", "--sim", "--yes", "--sim-speed", "300"])).exits(0);
    let made = calls(&sandbox);
    let after = Outcome::of(&mut sandbox.at_root(&["plan", "workflows/failover.ron", "--sim", "--sim-speed", "5", "--json"]));
    after.exits(0);
    let after: Value = serde_json::from_str(&after.stdout).unwrap();
    for id in ["fence", "fence_shop", "scale_app", "scale_eks", "dns"] {
        assert_eq!(step(&after, id)["verdict"], "as_desired", "{id}");
    }
    assert!(step(&after, "promote")["verdict"]["fails"]["message"].as_str().unwrap().contains("replicates nothing"));
    assert_eq!((&after["expected"]["runs"], &step(&after, "promote")["seen"]), (&1.into(), &1.into()));
    assert_eq!(calls(&sandbox), made, "nothing was changed");
}

#[test]
fn the_exit_code_tells_a_script() {
    let sandbox = Sandbox::new();
    sandbox.workflow("scale", SCALE);
    let plan = |more: &[&str]| sandbox.wf(&[&["plan", "scale.ron", "--sim"], more].concat());
    plan(&[]).exits(0);
    plan(&["--exit-code"]).exits(20);
    sandbox.wf(&["run", "scale.ron", "--sim", "--yes", "--sim-speed", "600"]).exits(0);
    plan(&["--exit-code"]).exits(0).tells("nothing, as things are");
    sandbox.workflow("scale", &SCALE.replace("prod-app-dr-asg", "prod-app-dr-asgs"));
    plan(&["--exit-code"]).exits(1).tells("prod-app-dr-asgs");
}

#[test]
fn a_run_of_a_plan_that_was_reviewed_is_that_or_none() {
    let sandbox = Sandbox::new();
    sandbox.workflow("scale", SCALE);
    let hash = || sandbox.json(&["plan", "scale.ron", "--sim"])["hash"].as_str().unwrap().to_owned();
    let reviewed = hash();
    assert_eq!(reviewed, hash(), "the same world makes the same plan");
    let run = |hash: &str| sandbox.wf(&["run", "scale.ron", "--sim", "--yes", "--sim-speed", "600", "--plan-hash", hash]);
    run("0123456789abcdef").exits(4).says("the plan is no longer 0123456789abcdef, it is").says("wf plan");
    assert_eq!(calls(&sandbox), 0);
    run(&reviewed).exits(0);
    // Now the world is another one.
    run(&reviewed).exits(4).says(&reviewed);
}

#[test]
fn a_plan_without_a_fence_or_a_question_is_warned_of() {
    let sandbox = Sandbox::new();
    let promote = r#"run: RdsPromoteReadReplica(instance: "prod-db-replica-west", region: "us-west-2", max_replica_lag: "5m")"#;
    sandbox.workflow("bare", &format!(r#"(id: "promote", {promote})"#));
    sandbox
        .wf(&["plan", "bare.ron", "--sim"])
        .exits(0)
        .tells("`promote` cannot be undone, and nobody is asked before it")
        .tells("`promote` makes a second database that takes writes, and no `Fence` before it stops the first")
        .tells("only with --accept-split-brain-risk");
    let fence = r#"Fence(group: "prod-app-asg", region: "us-east-1")"#;
    sandbox.workflow(
        "fenced",
        &format!(
            r#"(id: "fence", run: {fence}, on_unreachable: Continue), (id: "eks", run: EksScaleNodegroup(cluster: "production-primary", nodegroup: "general", region: "us-east-1", desired: 3)),
            (id: "go", needs: ["fence"], run: Approval(message: "now?", timeout: "1h")), (id: "promote", needs: ["go"], {promote})"#
        ),
    );
    let fenced = sandbox.wf(&["plan", "fenced.ron", "--sim"]);
    fenced.exits(0).tells("`eks` needs the API of us-east-1, the region that is being left");
    assert!(!fenced.stdout.contains("`promote`"), "{}", fenced.stdout);
}

/// The actions of a policy and of a role, as the simulator names calls.
fn allowed(rights: &Value, what: &str) -> String {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let each = |value: &Value| value.as_array().unwrap().clone();
    let statements = each(&rights["iam"][what]["Statement"]);
    let actions = statements.iter().flat_map(|statement| each(&statement["Action"]));
    let mut names: Vec<_> = actions.map(|action| text(&action).split_once(':').unwrap().1.to_owned()).collect();
    for rule in each(&rights["kubernetes"][what]["rules"]) {
        for verb in each(&rule["verbs"]) {
            names.push(format!("{}:{}", text(&verb), text(&rule["resources"][0])));
        }
    }
    names.join(",")
}

#[test]
fn the_rights_that_are_written_suffice_for_the_plan_and_for_the_run() {
    let sandbox = Sandbox::new();
    let rights = Outcome::of(&mut sandbox.at_root(&["iam", "workflows/failover.ron", "--account", "123456789012", "--json"]));
    rights.exits(0);
    let rights: Value = serde_json::from_str(&rights.stdout).unwrap();
    let (plan, run) = (allowed(&rights, "plan"), allowed(&rights, "run"));
    for changing in ["Promote", "UpdateNodegroup", "ChangeResource", "Publish", "patch:", "create:", "delete:"] {
        assert!(!plan.contains(changing) && run.contains(changing), "{plan}\n{run}");
    }
    let with = |sandbox: &Sandbox, verb: &str, speed: &str, allowed: &str, more: &[&str]| {
        let fault = format!("allow-only {allowed}");
        Outcome::of(
            &mut sandbox.at_root(&[&[verb, "workflows/failover.ron", "--sim", "--sim-speed", speed, "--sim-fault", &fault], more].concat()),
        )
    };
    // A look may take a minute of the world.
    let checked = |allowed: &str, more: &[&str]| {
        with(&Sandbox::new(), "check", "5", allowed, &[&["--live", "--sim-fault", "primary-alive"], more].concat())
    };
    checked(&run, &[]).exits(0).tells("ready: ");
    // Whoever may only read can look at everything, and is told that they may not run it.
    let json: Value = serde_json::from_str(&checked(&plan, &["--json"]).exits(14).stdout).unwrap();
    let bad = json["checks"].as_array().unwrap().iter().filter(|check| check["verdict"] == "failed" || check["verdict"] == "unknown");
    let names: std::collections::BTreeSet<_> = bad.map(|check| check["check"].as_str().unwrap()).collect();
    assert_eq!(names, ["cluster rights", "rights"].into());
    let planned = with(&sandbox, "plan", "300", &plan, &["--exit-code"]);
    planned.exits(20);
    assert!(!planned.stdout.contains("denied") && !planned.stdout.contains("Look at these first"), "{}", planned.stdout);
    with(&sandbox, "run", "300", &run, &["--yes"]).exits(0);
    let text = serde_json::to_string(&rights).unwrap();
    for resource in [
        "arn:aws:rds:us-west-2:123456789012:db:prod-db-replica-west",
        "arn:aws:eks:us-west-2:123456789012:nodegroup/production-dr/general/*",
        "arn:aws:autoscaling:us-east-1:123456789012:autoScalingGroup:*:autoScalingGroupName/prod-app-asg",
    ] {
        assert!(text.contains(resource), "{resource}");
    }
}
