//! Every malformed workflow file under `tests/fixtures/bad/` is refused with all of its mistakes, each at its place.
//! The expected messages are the snapshots beside this file; `INSTA_UPDATE=always cargo test --test cli` writes them anew.
use crate::sandbox::{Outcome, Sandbox};

#[test]
fn every_malformed_file_is_refused_with_all_of_its_mistakes() {
    let sandbox = Sandbox::new();
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/bad");
    let mut names: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert!(names.len() >= 30, "{} files", names.len());
    for name in names {
        let called = Outcome::of(&mut sandbox.at_root(&["check", &format!("tests/fixtures/bad/{name}")]));
        called.exits(3);
        assert!(!called.stderr.contains("panicked"), "{name}: {}", called.stderr);
        assert!(!called.stderr.contains(['\u{1b}', '\u{7}']), "{name}: control characters reach the terminal");
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true, snapshot_path => "snapshots" }, {
            insta::assert_snapshot!(name.trim_end_matches(".ron"), called.stderr);
        });
    }
}

#[test]
fn the_shipped_workflows_are_valid() {
    let sandbox = Sandbox::new();
    for name in ["failover", "failback", "retire"] {
        Outcome::of(&mut sandbox.at_root(&["check", &format!("workflows/{name}.ron")])).exits(0);
    }
}
