//! What no compiler checks: the model stays pure, every kind and workflow is registered and tested, and the README's commands exist.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn names(folder: &str, ending: &str) -> Vec<String> {
    let entries = std::fs::read_dir(root().join(folder)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter_map(|name| name.strip_suffix(ending).map(ToOwned::to_owned)).collect()
}

#[test]
fn the_model_is_pure() {
    for name in names("engine/src/model", ".rs") {
        let text = read(format!("engine/src/model/{name}.rs"));
        for word in ["tokio", "async ", ".await", "std::fs", "std::net", "Timestamp::now", "Instant", "SystemTime", "fastrand", "tracing"] {
            assert!(!text.contains(word), "engine/src/model/{name}.rs knows of `{word}`");
        }
    }
}

#[test]
fn every_kind_is_registered() {
    let registry = read("steps/src/lib.rs");
    for name in names("steps/src/kinds", ".rs").into_iter().filter(|name| name != "mod") {
        let kind: String = name.split('_').map(|word| word[..1].to_uppercase() + &word[1..]).collect();
        assert!(registry.contains(&format!("{kind}>")), "steps/src/lib.rs does not register {kind}");
    }
}

#[test]
fn every_workflow_is_tested() {
    let tests = read("steps/tests/shipped/main.rs")
        + &read("steps/tests/shipped/dns.rs")
        + &read("tests/cli/bad_files.rs")
        + &read("tests/cli/drill.rs");
    for name in names("workflows", ".ron").into_iter().filter(|name| name != "world") {
        assert!(tests.contains(&name), "no test runs workflows/{name}.ron");
    }
}

#[test]
fn nothing_is_switched_off() {
    let folders = [
        "cli",
        "cli/commands",
        "cli/render",
        "cli/report",
        "engine/src/model",
        "engine/src/runtime",
        "journal/src",
        "steps/src/kinds",
        "steps/src/aws",
        "sim/src",
        "tests",
        "tests/cli",
        "tests/wire",
        "tests/wire/differ",
    ];
    for folder in folders {
        for name in names(folder, ".rs").into_iter().filter(|name| name != "tidy") {
            let text = read(format!("{folder}/{name}.rs"));
            for word in ["#[ignore", "todo!(", "unimplemented!(", "#[allow("] {
                assert!(!text.contains(word), "{folder}/{name}.rs has {word}");
            }
        }
    }
}

#[test]
fn the_commands_of_the_readme_exist() {
    let readme = read("README.md");
    let args = read("cli/args.rs").to_lowercase();
    let commands = readme.lines().filter_map(|line| line.trim().trim_start_matches("$ ").strip_prefix("wf "));
    let verbs: Vec<_> =
        commands.filter_map(|rest| rest.split_whitespace().next()).filter(|verb| verb.chars().all(|c| c.is_ascii_lowercase())).collect();
    assert!(verbs.len() >= 5, "{verbs:?}");
    for verb in verbs {
        assert!(args.contains(verb), "the README shows `wf {verb}`, the command line does not know it");
    }
}
