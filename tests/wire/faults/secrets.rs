//! Credentials that can be recognised go through `wf` at its most talkative, through success and each kind of failure. Then every byte that it
//! wrote is searched for them: stdout, stderr, and the files of its journal as they are on disk.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::{Value, json};

use super::shell::Shell;

const KEY: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const TOKEN: &str = "FwoGZXIvYXdzEBYaDExampleSessionToken//////////wEaDJ7";
/// What a `credential_process` is given, and what one says when it fails.
const ARGUMENT: &str = "argument-5ecret-of-the-process";
const SAID: &str = "complaint-5ecret-of-the-process";
/// What stands before a signature, and before the token of a presigned URL.
const TELLING: [&str; 2] = ["Signature=", "X-Amz-Security-Token="];

const SCALE: &str = r#"AutoScalingScale(group: "prod-app-dr-asg", region: "us-west-2", min: 0, desired: 0)"#;
/// Needs a presigned URL, as its source is encrypted and in another region.
const REPLICA: &str = r#"RdsCreateReadReplica(instance: "new", region: "us-west-2", source: "arn:aws:rds:us-east-1:123456789012:db:alone", kms_key: "alias/dr")"#;

/// Returns what no file may contain; a secret is also looked for as it stands in a URL.
fn secrets() -> Vec<String> {
    let whole = [SECRET, TOKEN, ARGUMENT, SAID].map(str::to_owned).to_vec();
    let escaped = [SECRET, TOKEN].map(|secret| secret.replace('/', "%2F"));
    [whole, escaped.into()].concat()
}

/// Returns the places of a text.
fn places<'a>(bytes: &'a [u8], text: &'a str) -> impl Iterator<Item = usize> + 'a {
    bytes.windows(text.len()).enumerate().filter(|(_, part)| *part == text.as_bytes()).map(|(at, _)| at)
}

#[track_caller]
fn nothing_in(bytes: &[u8], place: &str, case: &str) {
    let around = |at: usize| String::from_utf8_lossy(&bytes[at.saturating_sub(200)..(at + 20).min(bytes.len())]).into_owned();
    for secret in secrets() {
        if let Some(at) = places(bytes, &secret).next() {
            panic!("{case}: {place} has {secret:?}: ...{}", around(at));
        }
    }
    for name in TELLING {
        for at in places(bytes, name) {
            assert!(bytes[at + name.len()..].starts_with(b"[secret]"), "{case}: {place} has a signature: ...{}", around(at));
        }
    }
}

/// Searches all files below a directory, and returns how many bytes those were.
#[track_caller]
fn search(dir: &Path, case: &str) -> usize {
    let mut searched = 0;
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            searched += search(&entry.path(), case);
        } else if kind.is_file() {
            let bytes = std::fs::read(entry.path()).unwrap();
            nothing_in(&bytes, &entry.path().display().to_string(), case);
            searched += bytes.len();
        }
    }
    searched
}

/// Makes programs and profiles that give out credentials, or fail to.
fn make_profiles(shell: &Shell) {
    let good =
        json!({ "Version": 1, "AccessKeyId": KEY, "SecretAccessKey": SECRET, "SessionToken": TOKEN, "Expiration": "2099-01-01T00:00:00Z" });
    let mut old = good.clone();
    old["Expiration"] = json!("2001-01-01T00:00:00Z");
    let broken = good.to_string().replace("\"SessionToken\":", "SessionToken:");
    let mut profiles = String::new();
    for (name, script) in [
        ("process", format!("echo '{good}'")),
        ("old-process", format!("echo '{old}'")),
        ("broken-process", format!("echo '{broken}'")),
        ("failing-process", format!("echo '{SAID}' >&2; echo '{good}'; exit 3")),
    ] {
        let path = shell.write(&format!("bin/{name}"), &format!("#!/bin/sh\n{script}\n"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        profiles += &format!("[profile {name}]\ncredential_process = {} --key {ARGUMENT}\n", path.display());
    }
    let keys = format!("aws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\naws_session_token = {TOKEN}\n");
    profiles +=
        &format!("[profile keys]\n{keys}{keys}[profile no-role]\nrole_arn = arn:aws:iam::123456789012:role/dr\nsource_profile = nobody\n");
    shell.write(".aws/config", &profiles);
}

fn error(code: &str, status: u16, message: &str) -> Value {
    json!([{ "error": { "code": code, "status": status, "message": message } }])
}

#[test]
#[expect(clippy::print_stdout, reason = "the figures of a test are read by people")]
fn no_secret_is_written_anywhere_at_any_level() {
    let shell = Shell::new();
    make_profiles(&shell);
    let keys = vec![("AWS_ACCESS_KEY_ID", KEY), ("AWS_SECRET_ACCESS_KEY", SECRET), ("AWS_SESSION_TOKEN", TOKEN)];
    let profile = |name: &'static str| vec![("AWS_PROFILE", name)];
    let expired = error("ExpiredToken", 403, "The security token included in the request is expired");
    let cases = [
        ("keys, success", SCALE, &keys, json!([])),
        ("keys, throttled", SCALE, &keys, error("Throttling", 400, "Rate exceeded")),
        ("keys, denied", SCALE, &keys, error("AccessDenied", 403, "not authorized")),
        ("keys, expired", SCALE, &keys, expired.clone()),
        ("keys, reset", SCALE, &keys, json!([{ "reset": true }])),
        ("keys, answer cut short", SCALE, &keys, json!([{ "response": { "abort_frac": 0.5 } }])),
        ("keys, garbled answer", SCALE, &keys, json!([{ "response": { "truncate_frac": 0.5 } }])),
        ("keys, presigned URL", REPLICA, &keys, json!([])),
        ("keys, presigned URL, failed", REPLICA, &keys, error("KMSKeyNotAccessibleFault", 400, "no key")),
        ("process, success", SCALE, &profile("process"), json!([])),
        ("process, expired", SCALE, &profile("process"), expired),
        ("old process", SCALE, &profile("old-process"), json!([])),
        ("broken process", SCALE, &profile("broken-process"), json!([])),
        ("failing process", SCALE, &profile("failing-process"), json!([])),
        ("keys in a file, twice", SCALE, &profile("keys"), json!([])),
        ("a role without a source", SCALE, &profile("no-role"), json!([])),
    ];
    let (mut written, count) = (0, cases.len());
    for (case, step, env, faults) in cases {
        shell.servers.faults(&faults);
        let mut env = env.clone();
        env.push(("WF_LOG", "trace"));
        // A run that is refused before it begins makes none.
        std::fs::create_dir_all(shell.path("state")).unwrap();
        let said = shell.run(step, &env);
        assert!(said.stderr.contains("TRACE"), "{case}: {}", said.stderr);
        nothing_in(said.stdout.as_bytes(), "stdout", case);
        nothing_in(said.stderr.as_bytes(), "stderr", case);
        written += said.stdout.len() + said.stderr.len() + search(&shell.path("state"), case);
        // `wf` knows no secret that it would show when asked.
        for command in ["status", "log"] {
            let output = shell.wf(&[command, "@latest", "--json"]).output().unwrap();
            nothing_in(&output.stdout, command, case);
        }
        std::fs::remove_dir_all(shell.path("state")).unwrap();
    }
    println!("{count} runs, {written} bytes searched, no secret found");
}
