//! Input that means harm, or is only too large: text of others never steers the terminal, ids never leave the state directory, and every
//! limit is told with what was found.
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use crate::sandbox::{Outcome, Sandbox};

/// What a foreign text may contain: a colour, a window title, the one-character form of `ESC [`, a carriage return, right-to-left.
const HOSTILE: &str = "a\u{1b}[41mb\u{1b}]0;owned\u{7}c\u{9b}31md\r\u{8}e\u{202e}f\u{7f}";
/// The same for `printf`.
const HOSTILE_PRINTF: &str = r"a\\033[41mb\\033]0;owned\\007c\\302\\23331md\\r\\010e\\342\\200\\256f\\177\\n";

/// Checks that nothing in a text steers a terminal but line ends, and the colours that `wf` itself uses.
#[track_caller]
fn harmless(what: &str, text: &str, colors: bool) {
    let mut rest = text.to_owned();
    for color in
        ["0", "1", "2", "3", "4", "31", "32", "33", "35", "36", "1;31", "36;1;4", "38;2;", "35;1", "32;1", "33;1", "31;1", "36;1", "36;4"]
    {
        rest = if colors { rest.replace(&format!("\u{1b}[{color}m"), "") } else { rest };
    }
    let steers = |c: char| (c.is_control() && !matches!(c, '\n' | '\t')) || ('\u{202a}'..='\u{202e}').contains(&c);
    if let Some(at) = rest.find(steers) {
        panic!("{what} writes {:?}", rest[at..].chars().take(40).collect::<String>());
    }
}

/// Runs `wf` plain, with colours, and for machines; nothing that it writes may steer.
fn all_ways(sandbox: &Sandbox, args: &[&str]) -> Outcome {
    let plain = sandbox.wf(args);
    for (more, colors) in [(&[][..], false), (&["--color", "always"], true), (&["--json"], false)] {
        let args = [args, more].concat();
        let outcome = sandbox.wf(&args);
        harmless(&format!("{args:?}"), &outcome.stdout, colors);
        harmless(&format!("{args:?}"), &outcome.stderr, colors);
    }
    plain
}

#[test]
fn what_others_wrote_never_steers_the_terminal() {
    let sandbox = Sandbox::new();
    let quoted = format!("{HOSTILE:?}");
    let file = "b\u{1b}[41m\u{202e}.ron";
    sandbox.file(
        file,
        &format!(
            r#"Workflow(name: "hostile", inputs: {{ "word": {quoted} }}, on_failure: Pause, steps: [ // {HOSTILE}
                (id: "say", run: Exec(command: ["printf", "{HOSTILE_PRINTF}"])),
                (id: "go", needs: ["say"], run: Approval(message: "${{word}} go on? {raw}")),
                (id: "fail", needs: ["go"], run: Exec(command: ["sh", "-c", "printf '{HOSTILE_PRINTF}' >&2; exit 3"]), retry: (attempts: 2, initial: "1s")),
            ])"#,
            raw = HOSTILE.replace('\r', ""),
        ),
    );
    let mut run = sandbox.command(["run", file, "--sim", "--sim-exec", "--yes", "--set", &format!("word={HOSTILE}")]);
    let outcome = Outcome::of(run.env("USER", HOSTILE).env("LOGNAME", HOSTILE));
    outcome.exits(12).says("fail").tells("paused");
    harmless("run", &outcome.stdout, false);
    harmless("run", &outcome.stderr, false);
    for args in [
        &["list"][..],
        &["status"],
        &["log"],
        &["journal", "verify"],
        &["journal", "verify", "--all"],
        &["graph", file],
        &["graph", file, "--format", "dot"],
        &["check", file],
        &["sim", "status"],
        &["sim", "log"],
        &["resume", "@latest", "--mark-done", HOSTILE],
        &["rollback", "@latest", "--reason", HOSTILE],
        &["approve", "@latest", HOSTILE, "--reason", HOSTILE],
    ] {
        all_ways(&sandbox, args);
    }
}

#[test]
fn mistakes_never_steer_the_terminal() {
    let sandbox = Sandbox::new();
    let raw = HOSTILE.replace('\r', "");
    for (name, text) in [
        (
            "kind",
            format!(
                "Workflow(name: \"w\", steps: [(id: \"a\", run: Wait(dur\u{202e}ation: \"{raw}\")), /* {raw} */ (id: \"{raw}\", run: Exec())])"
            ),
        ),
        (
            "reference",
            format!("Workflow(name: \"{raw}\", inputs: {{\"{raw}\": 1}}, steps: [(id: \"a\", run: Wait(duration: \"${{{raw}}}\"))])"),
        ),
        ("follows", format!("Workflow(name: \"w\", follows: \"{raw}.ron\", steps: [(id: \"a\", run: Wait(duration: \"1s\"))])")),
        ("syntax", format!("Workflow(name: \"w\", steps: [{raw}])")),
        ("map", format!("{{\"{raw}\": {raw}}}")),
    ] {
        sandbox.file(name, &text);
        assert_eq!(all_ways(&sandbox, &["check", name]).code, Some(3), "{name}");
        all_ways(&sandbox, &["run", name, "--sim"]);
        all_ways(&sandbox, &["run", name, "--sim", "--sim-world", name]);
    }
    sandbox.workflow("good", r#"(id: "a", run: Wait(duration: "0s"))"#);
    for args in [
        &["check", HOSTILE][..],
        &["status", HOSTILE],
        &["log", HOSTILE],
        &["kinds", HOSTILE],
        &[HOSTILE],
        &["list", "--color", HOSTILE],
        &["list", "--state-dir", HOSTILE],
        &["run", "good.ron", "--set", HOSTILE],
        &["run", "good.ron", "--set", &format!("{HOSTILE}=1")],
        &["run", "good.ron", "--inputs", HOSTILE],
        &["run", "good.ron", "--follows", HOSTILE],
        &["run", "good.ron", "--sim", "--sim-fault", HOSTILE],
        &["run", "good.ron", "--sim", "--sim-fault", &format!("lag {HOSTILE} 2h")],
    ] {
        all_ways(&sandbox, args);
    }
}

#[test]
fn a_hostile_cloud_never_steers_the_terminal() {
    let sandbox = Sandbox::new();
    let world = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/workflows/world.ron")).unwrap();
    let evil = r"\u{1b}[41m\u{9b}31m\u{202e}\u{7}";
    let world = world.replace("principal: \"", &format!("principal: \"{evil}")).replace("username: \"", &format!("username: \"{evil}"));
    assert!(world.contains(evil));
    sandbox.file("world.ron", &world);
    sandbox.workflow(
        "cloud",
        r#"(id: "scale", run: AutoScalingScale(group: "prod-app-dr-asg", region: "us-west-2", min: 1, desired: 1), retry: (attempts: 1))"#,
    );
    let args =
        ["run", "cloud.ron", "--sim", "--yes", "--sim-speed", "6000", "--sim-world", "world.ron", "--sim-fault", "deny AutoScalingScale"];
    let outcome = sandbox.wf(&args);
    outcome.exits(11).tells("not authorized");
    harmless("run", &outcome.stdout, false);
    harmless("run", &outcome.stderr, false);
    for args in [&["list"][..], &["status"], &["log"], &["sim", "status"], &["sim", "log"]] {
        all_ways(&sandbox, args);
    }
}

/// Every file and directory below a path, with its length.
fn tree(path: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(path).unwrap() {
        let entry = entry.unwrap();
        found.push(format!("{} {}", entry.path().display(), entry.metadata().unwrap().len()));
        if entry.file_type().unwrap().is_dir() {
            tree(&entry.path(), found);
        }
    }
    found.sort();
}

#[test]
fn a_run_id_that_is_none_leads_nowhere() {
    let sandbox = Sandbox::new();
    sandbox.workflow("wait", r#"(id: "wait", run: Wait(duration: "0s"))"#);
    sandbox.wf(&["run", "wait.ron"]).exits(0);
    let run = sandbox.latest();
    // A journal that is not ours to read.
    std::fs::create_dir_all(sandbox.path("outside/journal")).unwrap();
    let listed = || {
        let mut found = Vec::new();
        tree(&sandbox.path(""), &mut found);
        found
    };
    let before = listed();
    let (long, inside) = ("A".repeat(100_000), format!("../runs/{run}"));
    for id in ["../../outside", "a/b", "/etc", "..", ".", "", "*", "%", "a\nb", "\u{1b}[2J", "@newest", &long, &inside, "É"] {
        for verb in
            [&["status"][..], &["log"], &["resume"], &["rollback", "--yes"], &["journal", "verify"], &["run", "wait.ron", "--follows"]]
        {
            let outcome = sandbox.wf(&[verb, &["--", id][usize::from(verb.ends_with(&["--follows"]))..]].concat());
            outcome.exits(2);
            assert!(outcome.stderr.len() < 4096, "{verb:?} repeats all of a long id");
        }
        sandbox.wf(&["approve", id, "wait"]).exits(2);
    }
    assert_eq!(listed(), before, "something was made or changed");
}

#[test]
fn files_are_read_up_to_a_limit() {
    let sandbox = Sandbox::new();
    File::create(sandbox.path("huge.ron")).unwrap().set_len(40 << 20).unwrap();
    sandbox.wf(&["check", "huge.ron"]).exits(2).says("it is 41943040 bytes long, more than the 33554432 allowed");
    sandbox.wf(&["check", "/dev/zero"]).exits(2).says("it is longer than the 33554432 bytes allowed");
    sandbox.workflow("wait", r#"(id: "wait", run: Wait(duration: "0s"))"#);
    sandbox.wf(&["run", "wait.ron", "--inputs", "/dev/zero"]).exits(2).says("it is longer than");
    sandbox.wf(&["run", "wait.ron", "--sim", "--sim-world", "/dev/zero"]).exits(2).says("it is longer than");
    sandbox.file("follows.ron", r#"Workflow(name: "f", follows: "huge.ron", steps: [(id: "a", run: Wait(duration: "0s"))])"#);
    sandbox.wf(&["check", "follows.ron"]).exits(3).says("cannot be read");
    let pipe = sandbox.pipe("pipe");
    let check = sandbox.command(["check", "pipe"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut endless = File::options().write(true).open(pipe).unwrap();
    // Until the reader has had enough.
    while endless.write_all(&[b' '; 65536]).is_ok() {}
    let output = check.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn nesting_is_limited() {
    let sandbox = Sandbox::new();
    let million = |text: &str| text.repeat(1_000_000);
    for (name, text) in [
        ("lists", million("[")),
        ("tuples", format!("Workflow(name: \"w\", steps: {}", million("("))),
        ("maps", million("{\"a\":")),
        ("options", format!("Workflow(name: {}", million("Some("))),
        ("comments", million("/*")),
        ("params", format!("Workflow(name: \"w\", steps: [(id: \"a\", run: Wait(duration: {}", million("["))),
        ("structs", million("A(a:")),
    ] {
        sandbox.file(name, &text);
        let outcome = sandbox.wf(&["check", name]);
        outcome.exits(3);
        assert!(outcome.stderr.len() < 10_000, "{name}: {} bytes", outcome.stderr.len());
        sandbox.workflow("wait", r#"(id: "wait", run: Wait(duration: "0s"))"#);
        assert_eq!(sandbox.wf(&["run", "wait.ron", "--inputs", name]).code, Some(3), "{name}");
        assert_eq!(sandbox.wf(&["run", "wait.ron", "--sim", "--sim-world", name]).code, Some(2), "{name}");
    }
}

#[test]
fn values_that_fit_into_no_record_are_refused_beforehand() {
    let sandbox = Sandbox::new();
    sandbox.file(
        "in.ron",
        r#"Workflow(name: "in", inputs: {"word": "x", "other": "y"}, steps: [(id: "go", run: Approval(message: "${word}"))])"#,
    );
    let long = "x".repeat(30_000);
    let refused = sandbox.wf(&["run", "in.ron", "--set", &format!("word={long}")]);
    refused.exits(2).says("more than the 24576 allowed; the longest is `word`");
    sandbox.file("values.ron", &format!("{{ \"other\": \"{long}\" }}"));
    sandbox.wf(&["run", "in.ron", "--inputs", "values.ron"]).exits(2).says("the longest is `other`");
    sandbox.wf(&["run", "in.ron", "--set", &format!("word={}", "x".repeat(5000))]).exits(3).says("more than the 4096");
    assert!(!sandbox.path(".wf").exists());
    sandbox.wf(&["rollback", "@latest", "--reason", &long]).exits(2).says("the reason is 30000 bytes long, more than the 4096 allowed");
    sandbox.wf(&["approve", "@latest", "go", "--reason", &long]).exits(2).says("more than the 4096 allowed");
}

#[test]
fn lines_of_the_log_have_an_end() {
    let sandbox = Sandbox::new();
    let noise = "head -c 3000000 /dev/zero | tr '\\\\0' x";
    sandbox.workflow(
        "noise",
        &format!(r#"(id: "a", run: Exec(command: ["sh", "-c", "{noise} >&2; {noise}; exit 1"]), retry: (attempts: 1))"#),
    );
    let run = sandbox.wf(&["run", "noise.ron", "--yes"]);
    let log = sandbox.wf(&["log"]);
    for text in [&run.stdout, &run.stderr, &log.exits(0).stdout] {
        assert!(text.lines().all(|line| line.len() < 8192), "a line of {:?} bytes", text.lines().map(str::len).max());
    }
}
