//! [`Memory`]: which incident a watch answered, and by which run. On disk before the run is started, so that whoever restarts the watch, or
//! the machine, does not answer one incident twice.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use wf_engine::model::ids::RunId;

/// The version of the file.
const FORMAT: u32 = 1;

/// An incident that is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    v: u32,
    /// When it began: the first bad look.
    pub began_at: Timestamp,
    /// The run that answers it, which may not have begun yet.
    pub run: RunId,
}

impl Incident {
    /// Makes the record of an incident.
    pub fn new(began_at: Timestamp, run: RunId) -> Self {
        Self { v: FORMAT, began_at, run }
    }
}

/// The memory of the one watch of a workflow in a state directory.
#[derive(Debug)]
pub struct Memory {
    path: PathBuf,
    /// Held for as long as this watch goes on.
    _lock: File,
}

impl Memory {
    /// Opens the memory of a workflow's watch; `None` when another process watches.
    ///
    /// # Errors
    /// When the files cannot be made.
    pub fn open(state_dir: &Path, workflow: &str) -> io::Result<Option<Self>> {
        let name: String = workflow.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect();
        DirBuilder::new().recursive(true).mode(0o700).create(state_dir)?;
        let lock =
            OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(state_dir.join(format!("watch-{name}.lock")))?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(Self { path: state_dir.join(format!("watch-{name}.json")), _lock: lock })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Returns where it is kept.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the incident that was answered last.
    ///
    /// # Errors
    /// When there is one, and it cannot be read: then nobody knows what was answered.
    pub fn last(&self) -> io::Result<Option<Incident>> {
        let json = match fs::read(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            json => json?,
        };
        let incident: Incident = serde_json::from_slice(&json)?;
        if incident.v != FORMAT {
            return Err(io::Error::other(format!("it has format {}, this wf reads {FORMAT}", incident.v)));
        }
        Ok(Some(incident))
    }

    /// Keeps an incident. When this returns, it survives a power cut.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep(&self, incident: &Incident) -> io::Result<()> {
        let new = self.path.with_extension("new");
        let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(&serde_json::to_vec_pretty(incident)?)?;
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        self.sync_dir()
    }

    /// Forgets the incident.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn forget(&self) -> io::Result<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.sync_dir()
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_watch_at_a_time_remembers_what_it_answered() {
        let dir = tempfile::tempdir().expect("a directory");
        let memory = Memory::open(dir.path(), "fail/over").expect("writable").expect("nobody watches");
        assert_eq!(memory.last().expect("readable"), None);
        let incident = Incident::new(Timestamp::UNIX_EPOCH, RunId::new(1, 2));
        memory.keep(&incident).expect("writable");
        assert!(Memory::open(dir.path(), "fail/over").expect("writable").is_none());
        drop(memory);
        let memory = Memory::open(dir.path(), "fail/over").expect("writable").expect("nobody watches any more");
        assert_eq!(memory.last().expect("readable"), Some(incident));
        fs::write(memory.path(), "{").expect("writable");
        assert!(memory.last().is_err(), "what cannot be read is not taken for nothing");
        memory.forget().expect("there");
        assert_eq!(memory.last().expect("readable"), None);
    }
}
