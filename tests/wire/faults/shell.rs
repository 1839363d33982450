//! A `wf` in a shell of its own before the proxies: one step a run, with whatever credentials, and all that it writes.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::subjects::seed;
use crate::servers::Servers;

/// Where `wf` runs.
pub struct Shell {
    pub servers: Servers,
    endpoints: [String; 2],
    home: tempfile::TempDir,
}

/// What a run left.
pub struct Said {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
}

impl Shell {
    pub fn new() -> Self {
        let servers = Servers::start();
        let proxies = servers.proxies();
        let endpoints = ["moto", "ministack"].map(|server| proxies[server].as_str().unwrap().to_owned());
        seed(&servers);
        Self { servers, endpoints, home: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// A command without credentials.
    pub fn wf(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wf"));
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home.path())
            .env("USER", "tester")
            .env("WF_STATE_DIR", self.path("state"))
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_ENDPOINT_URL", &self.endpoints[0])
            .env("AWS_ENDPOINT_URL_CLOUDWATCH", &self.endpoints[1])
            .current_dir(self.home.path())
            .args(args)
            .stdin(Stdio::null());
        command
    }

    /// Runs one step, once.
    pub fn run(&self, step: &str, env: &[(&str, &str)]) -> Said {
        let text =
            format!("#![enable(implicit_some)]\nWorkflow(name: \"one\", steps: [(id: \"step\", run: {step}, retry: (attempts: 1))])");
        self.write("one.ron", &text);
        let began = Instant::now();
        let output = self.wf(&["run", "one.ron", "--yes", "--accept-split-brain-risk"]).envs(env.iter().copied()).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Said { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr), took: began.elapsed() }
    }

    /// Returns how the step of the latest run failed, as its journal says.
    #[track_caller]
    pub fn failure(&self) -> Value {
        let log = self.wf(&["log", "@latest", "--json"]).output().unwrap();
        let log = String::from_utf8(log.stdout).unwrap();
        let events: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let failed = events.iter().find_map(|record| {
            ["StepFailed", "StepUnreachable"].iter().map(|event| &record["event"][event]["failure"]).find(|failure| !failure.is_null())
        });
        failed.unwrap_or_else(|| panic!("it did not fail: {log}")).clone()
    }
}
