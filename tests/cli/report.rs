//! `wf report`: what a run leaves behind for those who were not there, in three formats that agree with the journal.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Instant;

use quick_xml::Reader;
use quick_xml::events::Event;
use serde_json::Value;

use crate::sandbox::{Outcome, Sandbox};

/// Checks that an HTML file needs nothing but itself, runs nothing, and that its elements are closed in order.
#[track_caller]
fn stands_alone(page: &str) {
    for what in ["<script", "src=", "href=", "url(", "@import", "<link", "<img", "<iframe"] {
        assert!(!page.contains(what), "{what} in {page}");
    }
    // Elements without content are written as HTML has them.
    let body = page[page.find("<body>").unwrap()..].replace("<br>", "<br/>").replace("</html>\n", "");
    let mut reader = Reader::from_str(&body);
    reader.config_mut().check_end_names = true;
    let mut depth = 0;
    loop {
        match reader.read_event().unwrap_or_else(|error| panic!("{error} at {}", reader.error_position())) {
            Event::Start(_) => depth += 1,
            Event::End(_) => depth -= 1,
            Event::Eof => break,
            _ => {}
        }
    }
    assert_eq!(depth, 0, "elements are left open");
}

fn records(sandbox: &Sandbox, run: &str) -> Vec<Value> {
    sandbox.wf(&["log", run, "--json"]).stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn changes<'a>(report: &'a Value, step: &str) -> &'a Value {
    report["changes"].as_array().unwrap().iter().find(|changed| changed["step"] == step).unwrap_or_else(|| panic!("{step} in {report:#}"))
}

#[test]
fn a_failover_and_its_failback_are_reported() {
    let sandbox = Sandbox::new();
    let at_root = |args: &[&str]| Outcome::of(&mut sandbox.at_root(args));
    at_root(&["run", "workflows/failover.ron", "--sim", "--yes", "--sim-speed", "300"])
        .exits(0)
        .says("report.html (.md and .json beside it)");
    let run = sandbox.latest();
    for name in ["report.html", "report.md", "report.json"] {
        let mode = std::fs::metadata(sandbox.path(".wf/runs").join(&run).join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let kept = |name: &str| std::fs::read_to_string(sandbox.path(".wf/runs").join(&run).join(name)).unwrap();
    // Made anew it says the same, the users included, whom no record holds.
    for (format, name) in [("md", "report.md"), ("html", "report.html"), ("json", "report.json")] {
        assert!(at_root(&["report", "@latest", "--format", format]).exits(0).stdout == kept(name), "another {name}");
    }
    let json = at_root(&["report", "--json"]).exits(0).stdout.clone();
    assert!(json == kept("report.json"), "--json is another format than json");
    stands_alone(&kept("report.html"));

    let report: Value = serde_json::from_str(&json).unwrap();
    let records = records(&sandbox, &run);
    let last = records.last().unwrap();
    assert_eq!((&report["audit"]["last_seq"], &report["audit"]["last_at"]), (&last["seq"], &last["at"]));
    assert_eq!(report["audit"]["records"], records.len());
    assert_eq!(report["audit"]["head"], sandbox.json(&["journal", "verify"])["head"]);
    let count = |event: &str| records.iter().filter(|record| !record["event"][event].is_null()).count();
    assert_eq!(report["approvals"].as_array().unwrap().len(), count("ApprovalDecided"));
    let intents = records.iter().filter(|record| record["event"]["StepObserved"]["satisfied"] == false).count();
    assert_eq!(report["changes"].as_array().unwrap().len(), intents);
    for record in records.iter().filter(|record| record["event"]["StepObserved"]["satisfied"] == false) {
        let observed = &record["event"]["StepObserved"];
        assert_eq!(changes(&report, observed["step"].as_str().unwrap())["before"], observed["before"]);
    }
    let fence = changes(&report, "fence");
    assert_eq!(fence["values"][1], serde_json::json!({ "what": "desired", "from": "6", "to": "0" }));
    assert_eq!((&fence["restorers"][0]["by"], &fence["restorers"][0]["workflow"]), (&"workflow".into(), &"failback".into()));
    assert_eq!(changes(&report, "db_host")["values"][0]["to"], "(secret)");
    assert_eq!(changes(&report, "promote")["restorers"][0]["by"], "hand");
    let summary = &report["summary"];
    assert_eq!((&summary["rpo"]["verdict"], &summary["rpo_volumes"]["verdict"]), (&"met".into(), &"missed".into()));
    assert!(summary["rpo_volumes"]["actual"].as_f64().unwrap() > 3600.0, "the backup is an hour old: {summary}");
    assert_eq!((&summary["tier"], summary["compliance"].as_array().unwrap().len()), (&"Critical".into(), 3));
    assert!(kept("report.md").contains("The service is critical, under pci"), "{}", kept("report.md"));

    at_root(&["failback", "--sim", "--yes", "--sim-speed", "300"]).exits(0);
    let back = sandbox.latest();
    let report: Value = serde_json::from_str(&at_root(&["report", &run, "--json"]).exits(0).stdout).unwrap();
    let first = &changes(&report, "fence")["restorers"][0];
    assert_eq!((first["by"].as_str(), first["state"].as_str()), (Some("run"), Some("completed")), "{first:#}");
    assert_eq!(first["run"], format!("failback {back}"));
    assert!(report["summary"]["users"].as_array().unwrap().len() == 2, "they are still known");
}

#[test]
fn people_and_failures_stand_in_a_report() {
    let sandbox = Sandbox::new();
    let steps = r#"(id: "go", run: Approval(message: "Go on, <script>alert(1)</script>?")),
        (id: "touch", needs: ["go"], run: Exec(command: ["touch", "made"], undo: ["rm", "-f", "made"], idempotent: true)),
        (id: "fail", needs: ["touch"], run: Exec(command: ["ls", "<script>missing"]))"#;
    sandbox.workflow("ask", steps);
    let mut live = sandbox.start(&["run", "ask.ron", "--sim", "--sim-exec"]);
    live.until("Go on");
    // A live run can be reported too.
    sandbox.wf(&["report"]).exits(0).tells("# ask: running").tells("no answer");
    sandbox.wf(&["approve", "@latest", "go", "--reason", "<b>why not</b>"]).exits(0);
    live.end().exits(10).says("report.html");
    let run = sandbox.latest();
    let page = std::fs::read_to_string(sandbox.path(".wf/runs").join(&run).join("report.html")).unwrap();
    stands_alone(&page);
    for text in ["Go on, &lt;script&gt;alert(1)&lt;/script&gt;?", "&lt;b&gt;why not&lt;/b&gt;", "&lt;script&gt;missing", "rolled back"] {
        assert!(page.contains(text), "{text} is not in {page}");
    }
    let report = sandbox.json(&["report"]);
    assert_eq!(report["approvals"][0]["reason"], "<b>why not</b>");
    assert_eq!(report["approvals"][0]["by"]["user"], "tester");
    assert_eq!((&report["troubles"][0]["step"], &report["troubles"][0]["made_good"]), (&"fail".into(), &false.into()));
    assert_eq!(
        (&changes(&report, "touch")["fate"], &changes(&report, "touch")["restorers"]),
        (&"undone".into(), &Value::Array(Vec::new()))
    );
}

#[test]
fn a_report_goes_where_it_is_told() {
    let sandbox = Sandbox::new();
    sandbox.workflow("wait", r#"(id: "wait", run: Wait(duration: "0s"))"#);
    sandbox.wf(&["run", "wait.ron", "--yes"]).exits(0);
    sandbox.file("out.html", "an older and much longer text");
    sandbox.wf(&["report", "--format", "html", "--output", "out.html"]).exits(0).says("report: out.html");
    let page = std::fs::read_to_string(sandbox.path("out.html")).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n"), "{page}");
    sandbox.wf(&["report", "--output", "no/such/dir.md"]).exits(2).says("no/such/dir.md cannot be written");
    sandbox.wf(&["report", "nope"]).exits(2).says("there is no run `nope`");
}

/// The run ends as it does whether or not its report can be written.
#[test]
fn a_report_that_cannot_be_kept_fails_no_run() {
    let sandbox = Sandbox::new();
    sandbox.workflow("pipe", r#"(id: "wait", run: Exec(command: ["cat", "pipe"]))"#);
    let pipe = sandbox.pipe("pipe");
    let mut live = sandbox.start(&["run", "pipe.ron", "--yes"]);
    live.until("started");
    let run = sandbox.latest();
    std::fs::create_dir(sandbox.path(".wf/runs").join(&run).join("report.html")).unwrap();
    std::fs::write(pipe, "on").unwrap();
    live.end().exits(0).says("the report could not be kept").says(&format!("wf report {run}"));
}

#[test]
fn a_run_of_2000_steps_is_reported() {
    let sandbox = Sandbox::new();
    let step = |n: usize| {
        let needs = if n.is_multiple_of(100) { String::new() } else { format!("needs: [\"step_{}\"], ", n - 1) };
        format!("(id: \"step_{n}\", {needs}run: Wait(duration: \"0s\"))")
    };
    sandbox.workflow("many", &(0..2_000).map(step).collect::<Vec<_>>().join(", "));
    sandbox.wf(&["run", "many.ron", "--yes"]).exits(0);
    let begun = Instant::now();
    let page = sandbox.wf(&["report", "--format", "html"]).exits(0).stdout.clone();
    let _ = writeln!(std::io::stderr(), "2,000 steps: {} bytes of HTML in {:?}", page.len(), begun.elapsed());
    stands_alone(&page);
    assert_eq!((0..2_000).filter(|n| page.contains(&format!("<code>step_{n}</code>"))).count(), 2_000);
    assert!(page.len() < 2_000_000, "{} bytes", page.len());
}
