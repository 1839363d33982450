//! [`Kept`]: what the last `wf check --live` of each workflow found, beside the runs, for `wf metrics`. A cache: who cannot write it says so to the
//! log, and checks all the same.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Readiness;

/// The version of the file.
const FORMAT: u32 = 1;
/// How their names begin and end.
const NAME: (&str, &str) = ("ready-", ".json");
/// A longer file is none of them.
const LEN_MAX: u64 = 64 * 1024;

/// What a check of a workflow found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    v: u32,
    pub workflow: String,
    pub world: String,
    /// The standby region, as far as the workflow says.
    pub standby: Option<String>,
    pub at: Timestamp,
    pub ready: bool,
    pub checks: usize,
    pub passed: usize,
}

impl Kept {
    /// Takes what is kept of a check.
    pub fn of(readiness: &Readiness) -> Self {
        Self {
            v: FORMAT,
            workflow: readiness.workflow.clone(),
            world: readiness.world.clone(),
            standby: readiness.standby.clone(),
            at: readiness.at,
            ready: readiness.ready,
            checks: readiness.checks.len(),
            passed: readiness.passed,
        }
    }

    /// Keeps it in place of the last one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep(&self, state_dir: &Path) -> io::Result<()> {
        let plain = |name: &str| name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect::<String>();
        DirBuilder::new().recursive(true).mode(0o700).create(state_dir)?;
        let path = state_dir.join(format!("{}{}-{}{}", NAME.0, plain(&self.workflow), plain(&self.world), NAME.1));
        let new = path.with_extension("new");
        let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        fs::rename(&new, &path)
    }

    /// Returns what is kept in a state directory. What cannot be read is left out: the next check replaces it.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn all(state_dir: &Path) -> io::Result<Vec<Self>> {
        let entries = match fs::read_dir(state_dir) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut all = Vec::new();
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_one = name.starts_with(NAME.0) && name.ends_with(NAME.1) && entry.metadata().is_ok_and(|meta| meta.len() <= LEN_MAX);
            let kept = if is_one { fs::read(entry.path()).ok() } else { None };
            all.extend(kept.and_then(|json| serde_json::from_slice::<Self>(&json).ok()).filter(|kept| kept.v == FORMAT));
        }
        all.sort_by(|a, b| (&a.workflow, &a.world).cmp(&(&b.workflow, &b.world)));
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_check_of_each_workflow_and_world_is_kept() {
        let dir = tempfile::tempdir().expect("a directory");
        let state = dir.path().join("state");
        assert_eq!(Kept::all(&state).expect("readable"), []);
        let kept = |world: &str, ready| Kept {
            v: FORMAT,
            workflow: "fail/over".into(),
            world: world.into(),
            standby: None,
            at: Timestamp::UNIX_EPOCH,
            ready,
            checks: 2,
            passed: 1,
        };
        for one in [kept("sim", false), kept("aws", true), kept("sim", true)] {
            one.keep(&state).expect("writable");
        }
        fs::write(state.join("ready-x.json"), "{").expect("writable");
        assert_eq!(Kept::all(&state).expect("readable"), [kept("aws", true), kept("sim", true)]);
    }
}
