//! What a shell and a log collector get: completions that know runs and steps, manual pages, a log in JSON.

use serde_json::Value;

use crate::sandbox::{Outcome, Sandbox};

const STEPS: &str = r#"(id: "first", run: Wait(duration: "0s")), (id: "second", needs: ["first"], run: Wait(duration: "0s"))"#;

/// Asks as fish does: the words, the last of which is being typed.
fn completed(sandbox: &Sandbox, words: &[&str]) -> Vec<String> {
    let mut command = sandbox.command([&["--", "wf"], words].concat());
    let answer = Outcome::of(command.env("COMPLETE", "fish"));
    let first = |line: &str| line.split('\t').next().unwrap_or_default().to_owned();
    answer.exits(0).stdout.lines().map(first).collect()
}

#[test]
fn a_shell_completes_verbs_runs_steps_and_workflow_files() {
    let sandbox = Sandbox::new();
    assert!(completed(&sandbox, &["esca"]).contains(&"escalate".to_owned()));
    assert_eq!(completed(&sandbox, &["status", "01"]), Vec::<String>::new(), "no runs yet");
    sandbox.workflow("short", STEPS);
    sandbox.file("notes.txt", "");
    sandbox.wf(&["run", "short.ron", "--yes"]).exits(0);
    let run = sandbox.latest();
    let runs = completed(&sandbox, &["status", ""]);
    assert!(runs.contains(&"@latest".to_owned()) && runs.contains(&run), "{runs:?}");
    assert_eq!(completed(&sandbox, &["skip", &run, "s"]), ["second"]);
    assert_eq!(completed(&sandbox, &["explain", "@latest", "f"]), ["first"]);
    let files = completed(&sandbox, &["check", ""]);
    assert!(files.contains(&"short.ron".to_owned()) && !files.contains(&"notes.txt".to_owned()), "{files:?}");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        sandbox.wf(&["completions", shell]).exits(0).tells("COMPLETE");
    }
}

#[test]
fn there_is_a_manual_page_for_each_verb() {
    let sandbox = Sandbox::new();
    sandbox.wf(&["man", "pages"]).exits(0).tells("wf.1");
    for page in ["wf.1", "wf-run.1", "wf-mark-done.1", "wf-journal-verify.1"] {
        let text = std::fs::read_to_string(sandbox.path("pages").join(page)).expect(page);
        assert!(text.contains(".TH"), "{page}");
    }
}

#[test]
fn a_log_in_json_has_the_spans_of_run_and_step() {
    let sandbox = Sandbox::new();
    sandbox.workflow("short", STEPS);
    let mut command = sandbox.command(["run", "short.ron", "--yes", "--log-format", "json"]);
    let run = Outcome::of(command.env("WF_LOG", "wf_engine=debug"));
    let lines = run.exits(0).stderr.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let done: Vec<Value> = lines.filter(|line| line["fields"]["message"] == "is as desired").collect();
    let spans: Vec<_> = done.iter().map(|line| (line["spans"][0]["run"].clone(), line["spans"][1].clone())).collect();
    assert_eq!(spans.len(), 2, "{}", run.stderr);
    assert!(spans.iter().all(|(run, _)| *run == sandbox.latest()), "{spans:?}");
    assert_eq!((&spans[1].1["step"], &spans[1].1["attempt"]), (&"second".into(), &1.into()));
}
