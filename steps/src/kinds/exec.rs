//! `Exec`: runs a program of the operator's own, without a shell.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::process::{Child, Command};
use wf_engine::model::event::{Fields, StepFailure};
use wf_engine::step::{Field, FieldType, Iam, Interruption, KindInfo, Observed, Rbac, Reversibility, StepContext, StepKind, fields};
use wf_engine::units::{Size, Span};

use crate::output::{Secret, tail};

/// Runs a program.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exec {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Variables set for the program.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Variables passed on from the environment of `wf`.
    #[serde(default)]
    pub env_from: Vec<String>,
    /// The directory to run in.
    #[serde(default)]
    pub dir: Option<String>,
    /// Whether running it again is harmless.
    #[serde(default)]
    pub idempotent: bool,
    /// Whether it passes the point of no return.
    #[serde(default)]
    pub irreversible: bool,
    /// The program that undoes it.
    #[serde(default)]
    pub undo: Option<Vec<String>>,
    /// The exit codes that mean success.
    #[serde(default = "zero_only")]
    pub success_codes: Vec<i32>,
    /// How much of the end of each output stream is kept.
    #[serde(default = "sixteen_kib")]
    pub max_output: Size,
    /// When the program is killed.
    #[serde(default = "ten_minutes")]
    pub time_limit: Span,
}

fn zero_only() -> Vec<i32> {
    vec![0]
}

const fn sixteen_kib() -> Size {
    Size(16 * 1024)
}

const fn ten_minutes() -> Span {
    Span::secs(600)
}

/// Quotes and line ends take two bytes in a record of at most 64 KiB.
const MAX_OUTPUT: u64 = 24 * 1024;

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// The end of what it wrote to its standard output.
    pub stdout: String,
    /// Its exit code.
    pub exit_code: i32,
}

#[async_trait]
impl StepKind for Exec {
    type Env = ();
    type Before = ();
    type Handle = Ended;

    const INFO: KindInfo = KindInfo {
        name: "Exec",
        summary: "runs a program of your own, without a shell",
        example: r#"(id: "freeze", run: Exec(command: ["/bin/echo", "deployments frozen"], undo: ["/bin/echo", "deployments thawed"], idempotent: true))"#,
        reversibility: Reversibility::Reversible,
        params: &[
            Field::new("command", FieldType::Json, "the program and its arguments, a list; no shell reads it"),
            Field::new("env", FieldType::Json, "variables for the program; recorded with the workflow, so no secrets"),
            Field::new(
                "env_from",
                FieldType::Json,
                "names of variables passed on from wf's own environment; their values are never recorded",
            ),
            Field::new("dir", FieldType::Text, "the directory to run in; default: that of wf"),
            Field::new("idempotent", FieldType::Bool, "whether running it again is harmless; default false: an interrupted run asks"),
            Field::new("irreversible", FieldType::Bool, "whether it passes the point of no return; default false"),
            Field::new("undo", FieldType::Json, "the program that undoes it, harmless when `command` never ran; default: nothing to undo"),
            Field::new("success_codes", FieldType::Json, "the exit codes that mean success; default [0]"),
            Field::new("max_output", FieldType::Text, "how much of the end of each output is kept; default \"16KiB\", at most \"24KiB\""),
            Field::new("time_limit", FieldType::Text, "when the program is killed; default \"10m\""),
        ],
        outputs: &[
            Field::new("stdout", FieldType::Text, "the end of its standard output, trimmed"),
            Field::new("exit_code", FieldType::Integer, "its exit code"),
        ],
        before: &[],
        iam: Iam { read: &[], apply: &[], compensate: &[], ready: &[] },
        rbac: Rbac::NONE,
        facts: &[
            "the program sees PATH, HOME, LANG and TZ, the variables of `env` and `env_from`, and no others: AWS_* only when `env_from` names them",
            "WF_RUN, WF_STEP and WF_TOKEN tell it where it runs; WF_TOKEN is the same each time it is carried on",
            "values of `env_from` are masked in what is recorded of its outputs",
        ],
        typical: Duration::from_secs(10),
        timeout: Duration::from_secs(11 * 60),
    };

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for (name, argv) in [("command", Some(&self.command)), ("undo", self.undo.as_ref())] {
            if argv.is_some_and(|argv| argv.first().is_none_or(String::is_empty)) {
                problems.push(format!("`{name}` names no program"));
            }
        }
        for name in self.env.keys().chain(&self.env_from) {
            if name.is_empty() || name.contains(['=', '\0']) {
                problems.push(format!("`{}` cannot name a variable", name.escape_debug()));
            }
        }
        if self.success_codes.is_empty() {
            problems.push("`success_codes` is empty: the step could never succeed".to_owned());
        }
        if self.max_output.0 > MAX_OUTPUT {
            problems.push(format!("`max_output` is more than {} KiB, which a record cannot hold", MAX_OUTPUT / 1024));
        }
        if self.irreversible && self.undo.is_some() {
            problems.push("`irreversible: true` and `undo` contradict each other".to_owned());
        }
        problems
    }

    fn reversibility(&self) -> Reversibility {
        if self.irreversible { Reversibility::Irreversible } else { Reversibility::Reversible }
    }

    fn interruption(&self) -> Interruption {
        if self.idempotent { Interruption::Observe } else { Interruption::Halt }
    }

    fn timeout(&self) -> Duration {
        self.time_limit.0 + Duration::from_secs(60)
    }

    async fn observe(&self, _cx: &StepContext<()>, _intent: Option<&()>) -> Result<Observed<()>, StepFailure> {
        self.secrets()?;
        for argv in std::iter::once(&self.command).chain(&self.undo) {
            let program = argv.first().map_or("", String::as_str);
            if !can_be_found(program, self.dir.as_deref()) {
                return Err(not_found(program));
            }
        }
        Ok(Observed::Differs(()))
    }

    async fn apply(&self, cx: &StepContext<()>, _before: &()) -> Result<Ended, StepFailure> {
        self.run(cx, &self.command).await
    }

    async fn settle(&self, _cx: &StepContext<()>, _before: &(), handle: Option<&Ended>) -> Result<Fields, StepFailure> {
        let ended = handle.ok_or_else(|| StepFailure::permanent("it is not known how the program ended"))?;
        Ok(fields([("stdout", json!(ended.stdout)), ("exit_code", json!(ended.exit_code))]))
    }

    async fn compensate(&self, cx: &StepContext<()>, _before: &(), _handle: Option<&Ended>) -> Result<(), StepFailure> {
        match &self.undo {
            Some(undo) => self.run(cx, undo).await.map(drop),
            None => Ok(()),
        }
    }
}

impl Exec {
    async fn run(&self, cx: &StepContext<()>, argv: &[String]) -> Result<Ended, StepFailure> {
        let secrets = self.secrets()?;
        let mut child = self.spawn(cx, argv, &secrets)?;
        let _hold = hold_virtual_time();
        let finished = tokio::select! {
            finished = self.finish(&mut child, &secrets) => finished,
            () = cx.sleep(self.time_limit.0) => {
                return Err(StepFailure::permanent(format!("{} did not end within {} and was killed", shown(argv), self.time_limit)));
            }
        };
        let (status, stdout, stderr) =
            finished.map_err(|error| StepFailure::permanent(format!("cannot follow {}: {error}", shown(argv))))?;
        match status.code() {
            Some(exit_code) if self.success_codes.contains(&exit_code) => Ok(Ended { stdout, exit_code }),
            _ => Err(ended_badly(argv, status, &stderr)),
        }
    }

    fn spawn(&self, cx: &StepContext<()>, argv: &[String], secrets: &[Secret]) -> Result<Child, StepFailure> {
        let (program, arguments) = argv.split_first().ok_or_else(|| StepFailure::permanent("there is no program to run"))?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).env_clear();
        let inherited = ["PATH", "HOME", "LANG", "TZ"].into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
        command.envs(inherited).envs(&self.env).envs(secrets.iter().map(|(name, value)| (name, value)));
        command.env("WF_RUN", cx.run.as_str()).env("WF_STEP", cx.step.as_str()).env("WF_TOKEN", cx.token());
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        command.spawn().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => not_found(program),
            _ => StepFailure::permanent(format!("cannot start `{program}`: {error}"))
                .hint("check that the file is executable and `dir` a directory, for the user who runs wf"),
        })
    }

    async fn finish(&self, child: &mut Child, secrets: &[Secret]) -> std::io::Result<(ExitStatus, String, String)> {
        let max = usize::try_from(self.max_output.0).unwrap_or(usize::MAX);
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let (stdout, stderr, status) = tokio::try_join!(tail(stdout, max, secrets), tail(stderr, max, secrets), child.wait())?;
        Ok((status, stdout, stderr))
    }

    fn secrets(&self) -> Result<Vec<Secret>, StepFailure> {
        let value = |name: &String| match std::env::var_os(name) {
            Some(value) => Ok((name.clone(), value)),
            None => Err(StepFailure::permanent(format!("{name} is not set in the environment of wf, and `env_from` names it"))
                .hint(format!("export {name} and resume, or take it out of `env_from`"))),
        };
        self.env_from.iter().map(value).collect()
    }
}

/// Keeps tokio's paused clock, where a test uses it, from running ahead while a real process works.
fn hold_virtual_time() -> std::sync::mpsc::Sender<()> {
    let (hold, released) = std::sync::mpsc::channel::<()>();
    tokio::task::spawn_blocking(move || released.recv().is_err());
    hold
}

fn ended_badly(argv: &[String], status: ExitStatus, stderr: &str) -> StepFailure {
    let how = status.code().map_or_else(|| status.to_string(), |code| format!("exit code {code}"));
    let failure = StepFailure::permanent(format!("{} ended with {how}", shown(argv)));
    let last: Vec<&str> = stderr.lines().rev().take(20).collect();
    if last.is_empty() { failure } else { failure.because(last.into_iter().rev().collect::<Vec<_>>().join("\n")) }
}

fn not_found(program: &str) -> StepFailure {
    StepFailure::permanent(format!("there is no program `{program}`"))
        .hint("Exec starts programs without a shell: give the path of a file or a name found on PATH, and each argument apart")
}

fn can_be_found(program: &str, dir: Option<&str>) -> bool {
    if program.contains('/') {
        return dir.map_or_else(|| PathBuf::from(program), |dir| Path::new(dir).join(program)).is_file();
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| OsString::from("/bin:/usr/bin"));
    std::env::split_paths(&path).any(|folder| folder.join(OsStr::new(program)).is_file())
}

/// Shows the program without its arguments, which may be long or hold what is no one's business.
fn shown(argv: &[String]) -> String {
    format!("`{}`", argv.first().map_or("", String::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_looked_up_without_a_shell() {
        assert!(can_be_found("sh", None));
        assert!(can_be_found("/bin/sh", None));
        assert!(can_be_found("./sh", Some("/bin")));
        assert!(!can_be_found("sh -c true", None));
    }
}
