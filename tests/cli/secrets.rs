//! No value of a Secret is anywhere in what `wf` keeps or says: runs that read, restore, change and fail to change Secrets, with all logs on.

use std::fs;
use std::path::Path;

use crate::sandbox::{Outcome, Sandbox};

/// What is in the simulated cluster's Secret from the start.
const OLD: &str = "not-a-real-password";
/// What the workflow sets, from the environment and from a file.
const FROM_ENV: &str = "swordfish-from-the-environment";
const FROM_FILE: &str = "swordfish-from-a-file";

const WORKFLOW: &str = r#"Workflow(
    name: "secrets",
    steps: [
        (
            id: "patch",
            run: K8sPatchSecret(
                cluster: Eks(name: "production-primary", region: "us-east-1"), namespace: "production", name: "db-credentials",
                data_from_env: { "password": "NEW_PASSWORD" }, data_from_file: { "certificate": "FILE" },
            ),
        ),
        (
            id: "config", needs: ["patch"],
            run: K8sPatchConfigMap(
                cluster: Eks(name: "production-primary", region: "us-east-1"), namespace: "production", name: "web-app-config",
                data: { "LOG_LEVEL": "debug" },
            ),
        ),
    ],
)"#;

/// A secret in the forms in which it could get out.
fn forms(secret: &str) -> Vec<Vec<u8>> {
    let base64 = |bytes: &[u8]| {
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = Vec::new();
        // Without the end, which depends on what follows.
        for three in bytes.chunks_exact(3) {
            let bits = u32::from(three[0]) << 16 | u32::from(three[1]) << 8 | u32::from(three[2]);
            text.extend([18, 12, 6, 0].map(|shift| alphabet[(bits >> shift & 63) as usize]));
        }
        text
    };
    let hex = secret.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    // Within longer texts it may begin at any of three places.
    let shifted = (0..3).map(|from| base64(&secret.as_bytes()[from..]));
    [secret.as_bytes().to_vec(), hex.into_bytes()].into_iter().chain(shifted).collect()
}

fn holds(text: &[u8], secret: &str) -> bool {
    forms(secret).iter().any(|form| text.windows(form.len()).any(|window| window == form))
}

fn look_through(dir: &Path, secrets: &[&str], files: &mut usize) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            // The simulated world: it stands for the cluster, where the values belong.
            if path.file_name().unwrap() != "sim" {
                look_through(&path, secrets, files);
            }
            continue;
        }
        let Ok(text) = fs::read(&path) else { continue };
        *files += 1;
        for secret in secrets {
            assert!(!holds(&text, secret), "{secret} is in {}", path.display());
        }
    }
}

fn silent(said: &Outcome, secrets: &[&str]) {
    for secret in secrets {
        assert!(!holds(said.stdout.as_bytes(), secret), "{secret} is on stdout");
        assert!(!holds(said.stderr.as_bytes(), secret), "{secret} is on stderr");
    }
}

#[test]
fn the_values_of_secrets_are_nowhere() {
    let secrets = [OLD, FROM_ENV, FROM_FILE];
    let sandbox = Sandbox::new();
    sandbox.file("secret.txt", FROM_FILE);
    sandbox.file("secrets.ron", &WORKFLOW.replace("FILE", sandbox.path("secret.txt").to_str().unwrap()));
    let loud = |args: &[&str]| {
        let mut command = sandbox.command([args, &["--sim-speed", "20"]].concat());
        command.env("WF_LOG", "trace").env("NEW_PASSWORD", FROM_ENV);
        let said = Outcome::of(&mut command);
        silent(&said, &secrets);
        said
    };
    // Refused, then without an answer, then as it should be; undone, and done again.
    loud(&["run", "secrets.ron", "--sim", "--yes", "--sim-fault", "deny patch:secrets"]).exits(10).says("db-credentials");
    loud(&["run", "secrets.ron", "--sim", "--yes", "--sim-fault", "fail patch:configmaps"]).exits(10);
    loud(&["run", "secrets.ron", "--sim", "--yes", "--sim-fault", "lost-response patch:secrets"]).exits(0);
    let world = fs::read(sandbox.path(".wf/sim/world.json")).unwrap();
    assert!(holds(&world, FROM_ENV) && holds(&world, FROM_FILE) && holds(&world, OLD), "the cluster has them, the old ones too");

    // The whole way there and back, which restores Secrets from a backup.
    let at_root = |args: &[&str]| {
        let mut command = sandbox.at_root(&[args, &["--yes", "--sim-speed", "20"]].concat());
        let said = Outcome::of(command.env("WF_LOG", "wf=trace,wf_engine=trace,wf_steps=trace,kube=trace,kube_client=trace,hyper=debug"));
        said.exits(0);
        silent(&said, &secrets);
    };
    at_root(&["run", "workflows/failover.ron", "--sim"]);
    at_root(&["failback", "workflows/failback.ron", "--sim"]);

    for run in sandbox.json(&["list"]).as_array().unwrap() {
        let run = run["run"].as_str().unwrap();
        for verb in ["log", "status"] {
            silent(&sandbox.wf(&[verb, run]), &secrets);
            silent(&sandbox.wf(&[verb, run, "--json"]), &secrets);
        }
    }
    let mut files = 0;
    look_through(&sandbox.path(".wf"), &secrets, &mut files);
    assert!(files >= 5 * 3, "only {files} files of five runs");
}
