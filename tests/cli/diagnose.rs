//! What is wrong with a replica: told with its cause, and with what to do.

use crate::sandbox::{Outcome, Sandbox};

fn diagnosed(sandbox: &Sandbox, more: &[&str]) -> Outcome {
    let lag = ["diagnose", "lag", "prod-db-replica-west", "--region", "us-west-2", "--sim", "--sim-speed", "1"];
    sandbox.wf(&[&lag, more].concat())
}

#[test]
fn the_cause_of_a_lag_is_told() {
    let told = diagnosed(&Sandbox::new(), &["--sim-fault", "primary-alive"]);
    told.exits(0)
        .tells("it keeps up")
        .tells("on average")
        .tells("source arn:aws:rds:us-east-1:123456789012:db:prod-db-primary, db.r6g.xlarge");
    let told = diagnosed(&Sandbox::new(), &["--sim-fault", "region-outage us-east-1", "--sim-fault", "lag prod-db-replica-west 10m"]);
    told.exits(14).tells("prod-db-primary, it does not answer").tells("lag 10m now");
    let told =
        diagnosed(&Sandbox::new(), &["--sim-fault", "primary-alive", "--sim-fault", "lag prod-db-replica-west 2h", "--period", "1d"]);
    told.exits(14).tells("lag 2h now, 2h on average and 2h at most in 1day").tells("more is written than the replica applies");
    // The source writes more than the replica can apply, for ten minutes.
    let sandbox = Sandbox::new();
    sandbox.workflow("pass", r#"(id: "time", run: Wait(duration: "10m"))"#);
    let load = ["--sim-fault", "primary-alive", "--sim-fault", "write-load prod-db-primary"];
    sandbox.wf(&[&["run", "pass.ron", "--sim", "--yes", "--sim-speed", "600"], &load[..]].concat()).exits(0);
    let told = diagnosed(&sandbox, &[&load[..], &["--period", "10m"]].concat());
    told.exits(14).tells("the replica's processors are busy to 9").tells("times a second, more than it applies");
    let sandbox = Sandbox::new();
    sandbox.wf(&["diagnose", "lag", "prod-db-replica", "--region", "us-west-2", "--sim"]).exits(4).says("prod-db-replica-west");
    assert_eq!(sandbox.json(&["diagnose", "lag", "prod-db-replica-west", "--region", "us-west-2", "--sim"])["class"], "db.r6g.xlarge");
    sandbox.wf(&["diagnose", "lag", "x", "--region", "y", "--period", "1s"]).exits(2).says("from 1m to 14d");
}
