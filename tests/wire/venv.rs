//! The Python environment that the servers run in: made by whoever needs it first, in a cache directory outside of the checkout, and
//! used again for as long as its pins stay the same.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Overrides where environments are kept.
const DIR_VARIABLE: &str = "WF_WIRE_CACHE";
const REQUIREMENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/wire/servers/requirements.txt");
/// Written last: an environment without it is a broken one.
const STAMP: &str = "complete";
const NEEDED: &str = "the wire tests need Python 3.10 or newer with venv and pip (Debian: apt-get install python3 python3-venv)";

/// Returns the Python interpreter of the environment with the pinned servers in it. Two tests, or two `cargo test`, that need it at once
/// make it once: the lock is the file system's, so that it goes away with its holder.
pub fn python() -> PathBuf {
    let pins = fs::read(REQUIREMENTS).unwrap();
    let version = text(run(Command::new("python3").arg("--version"), NEEDED));
    let key = wf_engine::model::record::hash(&[pins.as_slice(), version.as_bytes()].concat());
    let cache = cache_dir();
    let dir = cache.join(format!("venv-{}", &key[..16]));
    fs::create_dir_all(&cache)
        .unwrap_or_else(|error| panic!("cannot make {}: {error}; {DIR_VARIABLE} names another place", cache.display()));
    let lock = File::create(cache.join(format!("venv-{}.lock", &key[..16]))).unwrap();
    lock.lock().unwrap();
    if !dir.join(STAMP).exists() {
        make(&dir);
    }
    dir.join("bin/python")
}

fn cache_dir() -> PathBuf {
    if let Some(dir) = std::env::var_os(DIR_VARIABLE) {
        return dir.into();
    }
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
    cache.or_else(home).unwrap_or_else(std::env::temp_dir).join("wf-wire")
}

fn make(dir: &Path) {
    let _ = fs::remove_dir_all(dir);
    run(Command::new("python3").args(["-m", "venv"]).arg(dir), NEEDED);
    let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--no-deps", "-r", REQUIREMENTS];
    run(
        Command::new(dir.join("bin/python")).args(install),
        "the wire tests need a package index that pip can reach, once (PIP_INDEX_URL names another one)",
    );
    fs::write(dir.join(STAMP), "").unwrap();
}

/// Runs a command, or says what is needed for it.
fn run(command: &mut Command, needed: &str) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{needed}: {command:?}: {error}"));
    assert!(output.status.success(), "{needed}: {command:?}:\n{}", String::from_utf8_lossy(&output.stderr));
    output
}

fn text(output: Output) -> String {
    String::from_utf8(output.stdout).unwrap()
}
