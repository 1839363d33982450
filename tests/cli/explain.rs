//! `wf explain` and `wf resume --dry-run`: what they say of a resume is what a resume does.

use serde_json::Value;

use crate::sandbox::{Outcome, Sandbox};

fn steps(explained: &Value, what: &str) -> Vec<String> {
    let of = explained.as_array().unwrap().iter().filter(|step| step["on_resume"] == what);
    of.map(|step| step["step"].as_str().unwrap().to_owned()).collect()
}

/// The steps whose attempts began in the records from `from` on.
fn started(sandbox: &Sandbox, from: usize) -> Vec<String> {
    let log = sandbox.wf(&["log", "@latest", "--json"]);
    let records = log.stdout.lines().skip(from).map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut started: Vec<_> = records.filter_map(|record| Some(record["event"]["StepStarted"]["step"].as_str()?.to_owned())).collect();
    started.sort();
    started.dedup();
    started
}

#[test]
fn a_resume_does_with_each_step_what_was_explained() {
    let sandbox = Sandbox::new();
    let run = ["run", "workflows/failover.ron", "--sim", "--yes", "--sim-speed", "300", "--sim-fault", "fail Route53Failover"];
    Outcome::of(&mut sandbox.at_root(&run)).exits(12);
    sandbox.wf(&["explain", "@latest", "dns"]).exits(0).tells("dns (Route53Failover): failed").tells("was told to fail");
    sandbox.wf(&["explain", "@latest", "dnss"]).exits(2).says("did you mean `dns`");
    sandbox.wf(&["resume", "--dry-run"]).exits(0).tells("ON RESUME").tells("it starts after dns").tells("REPLAY");

    let explained = sandbox.json(&["explain"]);
    assert!(steps(&explained, "REPLAY").contains(&"promote".to_owned()), "{explained:#}");
    assert!(steps(&explained, "OBSERVE").contains(&"dns".to_owned()), "{explained:#}");
    let before = sandbox.wf(&["log", "@latest", "--json"]).stdout.lines().count();
    Outcome::of(&mut sandbox.at_root(&["resume", "@latest", "--yes", "--sim-speed", "300"])).exits(0);
    let mut expected: Vec<_> = ["OBSERVE", "RERUN", "RUN"].iter().flat_map(|what| steps(&explained, what)).collect();
    expected.sort();
    assert_eq!(started(&sandbox, before), expected);
    let over = sandbox.json(&["explain"]);
    assert_eq!(steps(&over, "LEAVE").len(), over.as_array().unwrap().len(), "{over:#}");
}
