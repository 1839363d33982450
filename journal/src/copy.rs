//! Private copies of journals. sled repairs what it opens: it cuts a damaged log off and writes over its end, so what is only looked at, and
//! what may be evidence, is opened as a copy. Knows which files a journal has, and nothing of what is in them.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::layout;

/// Says why a journal could not be copied. Its directory may be full, or not ours to write to: `TMPDIR` names another one.
#[derive(Debug, thiserror::Error)]
#[error("no private copy of it could be made in {}", dir.display())]
pub struct CopyError {
    /// Where copies are made.
    pub dir: PathBuf,
    /// What the operating system says.
    pub source: io::Error,
}

/// A copy for this process's eyes only. It goes away when it is dropped; that of a process that is killed stays behind.
#[derive(Debug)]
pub(crate) struct PrivateCopy {
    dir: TempDir,
}

impl PrivateCopy {
    /// Copies the first `len_max` bytes of a journal to a directory under `above`. Others have to be kept away from the journal
    /// meanwhile. sled's snapshots are not copied: they are shortcuts into the log, and the log is to be read.
    pub(crate) fn of(journal: &Path, above: &Path, len_max: u64) -> Result<Self, CopyFailed> {
        let conf = layout::open_file(&journal.join("conf")).map_err(CopyFailed::Original)?;
        let db = File::open(journal.join("db")).map_err(CopyFailed::Original)?;
        // What is read is durable before anybody acts on it. What cannot be written is not waiting to be.
        match db.sync_data() {
            Err(error) if error.kind() != ErrorKind::ReadOnlyFilesystem => return Err(CopyFailed::Original(error)),
            Ok(()) | Err(_) => {}
        }
        let made = tempfile::Builder::new().prefix("wf-").tempdir_in(above);
        let copied = made.and_then(|dir| {
            conf.map_or(Ok(()), |conf| copy(conf, u64::MAX, &dir.path().join("conf")))?;
            copy(db, len_max, &dir.path().join("db"))?;
            Ok(Self { dir })
        });
        copied.map_err(|source| CopyFailed::Copy(CopyError { dir: above.to_owned(), source }))
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }
}

/// Which of the two sides failed.
#[derive(Debug)]
pub(crate) enum CopyFailed {
    Original(io::Error),
    Copy(CopyError),
}

/// Unlike [`std::fs::copy`] it does not copy the mode: the copy of a file that must not be written is written to.
fn copy(from: File, len_max: u64, to: &Path) -> io::Result<()> {
    let mut to = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    io::copy(&mut from.take(len_max), &mut to).map(drop)
}
