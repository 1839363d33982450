//! Where everything is under the state directory, and how directories and files get their modes. Knows nothing of sled.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use wf_engine::model::ids::RunId;

const DIR_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// The paths of a state directory:
///
/// ```text
/// <state>/runs/<run-id>/journal/        sled
///                       acked           how far the journal was acknowledged
///                       lock            locked by the process that owns the run, and says who that is
///                       control.sock    while a process owns the run
///                       summary.json    a cache
///                       report.html     for people, and report.md and report.json; made when the run comes to rest
/// ```
#[derive(Debug, Clone)]
pub struct Layout {
    state_dir: PathBuf,
    copies_dir: PathBuf,
}

impl Layout {
    /// Describes a state directory, which need not exist.
    pub fn new(state_dir: &Path) -> Self {
        Self { state_dir: state_dir.to_owned(), copies_dir: std::env::temp_dir() }
    }

    /// The same, with another directory for the copies that are made to read from.
    #[must_use]
    pub fn with_copies_in(self, copies_dir: &Path) -> Self {
        Self { copies_dir: copies_dir.to_owned(), ..self }
    }

    /// Returns the directory in which private copies are made: that of all temporary files, if nothing else was said.
    pub fn copies_dir(&self) -> &Path {
        &self.copies_dir
    }

    /// Returns the state directory.
    pub fn state_dir(&self) -> &Path {
        &self.state_dir
    }

    /// Returns the directory of all runs.
    pub fn runs_dir(&self) -> PathBuf {
        self.state_dir.join("runs")
    }

    /// Returns the directory of one run.
    pub fn run_dir(&self, run: &RunId) -> PathBuf {
        self.runs_dir().join(run.as_str())
    }

    /// Returns the directory of a run's sled.
    pub fn journal_dir(&self, run: &RunId) -> PathBuf {
        self.run_dir(run).join("journal")
    }

    /// Returns the file that says how far a run was acknowledged.
    pub fn acked_file(&self, run: &RunId) -> PathBuf {
        self.run_dir(run).join("acked")
    }

    /// Returns the file that the owner of a run locks.
    pub fn lock_file(&self, run: &RunId) -> PathBuf {
        self.run_dir(run).join("lock")
    }

    /// Returns the socket through which the owner of a run can be reached.
    pub fn control_socket(&self, run: &RunId) -> PathBuf {
        self.run_dir(run).join("control.sock")
    }

    /// Returns the file with a run's summary.
    pub fn summary_file(&self, run: &RunId) -> PathBuf {
        self.run_dir(run).join("summary.json")
    }

    /// Lists the runs, oldest first. What is no run is ignored, and so is a state directory that does not exist.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn runs(&self) -> io::Result<Vec<RunId>> {
        let entries = match fs::read_dir(self.runs_dir()) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut runs = Vec::new();
        for entry in entries {
            let entry = entry?;
            let id = entry.file_name().to_str().and_then(|name| name.parse().ok());
            if let Some(id) = id.filter(|_| entry.path().is_dir()) {
                runs.push(id);
            }
        }
        runs.sort();
        Ok(runs)
    }

    /// Replaces the summary of a run. Readers see the old one or the new one; after a power cut perhaps none, as it is only a cache.
    ///
    /// # Errors
    /// When it cannot be written; the run needs to exist.
    pub fn write_summary(&self, run: &RunId, json: &[u8]) -> io::Result<()> {
        replace(&self.summary_file(run), json)
    }

    /// Reads the summary of a run; `None` when there is none.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn read_summary(&self, run: &RunId) -> io::Result<Option<Vec<u8>>> {
        read_if_there(&self.summary_file(run))
    }

    /// Returns the file with a run's report in a format, such as `html`.
    pub fn report_file(&self, run: &RunId, format: &str) -> PathBuf {
        self.run_dir(run).join(format!("report.{format}"))
    }

    /// Replaces the report of a run in a format. Readers see the old one or the new one; after a power cut perhaps none: it can be made anew.
    ///
    /// # Errors
    /// When it cannot be written; the run needs to exist.
    pub fn write_report(&self, run: &RunId, format: &str, text: &[u8]) -> io::Result<()> {
        replace(&self.report_file(run, format), text)
    }

    /// Replaces a file of this name beside the reports of a run, and returns where it is.
    ///
    /// # Errors
    /// When it cannot be written; the run needs to exist.
    pub fn write_beside_reports(&self, run: &RunId, name: &str, text: &[u8]) -> io::Result<PathBuf> {
        let path = self.run_dir(run).join(name);
        replace(&path, text)?;
        Ok(path)
    }

    /// Reads the report of a run in a format; `None` when there is none.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn read_report(&self, run: &RunId, format: &str) -> io::Result<Option<Vec<u8>>> {
        read_if_there(&self.report_file(run, format))
    }

    /// Returns the file that says how far a run was told to whom.
    pub fn told_file(&self, run: &RunId) -> PathBuf {
        self.run_dir(run).join("told.json")
    }

    /// Replaces what is kept of how far a run was told. Readers see the old one or the new one; after a power cut perhaps none.
    ///
    /// # Errors
    /// When it cannot be written; the run needs to exist.
    pub fn write_told(&self, run: &RunId, json: &[u8]) -> io::Result<()> {
        replace(&self.told_file(run), json)
    }

    /// Reads how far a run was told; `None` when nothing is kept.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn read_told(&self, run: &RunId) -> io::Result<Option<Vec<u8>>> {
        read_if_there(&self.told_file(run))
    }

    /// Makes the directory of a run and those above it durable, making them if they are missing.
    pub(crate) fn create_run_dir(&self, run: &RunId) -> io::Result<()> {
        create_dirs_above(&self.state_dir)?;
        create_dir(&self.state_dir)?;
        create_dir(&self.runs_dir())?;
        create_dir(&self.run_dir(run))
    }
}

/// Replaces a file by a new one for its owner's eyes only.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let mut file = create_file(Path::new(&new))?;
    file.set_len(0)?;
    file.write_all(bytes)?;
    fs::rename(&new, path)
}

fn read_if_there(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        bytes => bytes.map(Some),
    }
}

/// Makes the missing directories above `path`, the outermost first.
fn create_dirs_above(path: &Path) -> io::Result<()> {
    let missing: Vec<_> = path.ancestors().skip(1).take_while(|above| !above.as_os_str().is_empty() && !above.exists()).collect();
    missing.into_iter().rev().try_for_each(create_dir)
}

/// Makes a directory for its owner's eyes only, whatever the umask, and makes its entry durable. One that exists keeps its mode, but its
/// entry is made durable all the same: the process that made it may have died before it came to that.
pub(crate) fn create_dir(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(DIR_MODE).create(path) {
        Ok(()) => fs::set_permissions(path, Permissions::from_mode(DIR_MODE))?,
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => {}
        Err(error) => return Err(error),
    }
    match path.parent().map(|parent| if parent.as_os_str().is_empty() { Path::new(".") } else { parent }) {
        Some(parent) => sync_dir(parent),
        None => Ok(()),
    }
}

/// Makes the entries of a directory durable. A directory above ours that may not be read is left to the operating system.
pub(crate) fn sync_dir(path: &Path) -> io::Result<()> {
    match File::open(path) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(()),
        directory => directory?.sync_all(),
    }
}

/// Opens a file for reading and writing, making it if it is missing, for its owner's eyes only, whatever the umask.
pub(crate) fn create_file(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(FILE_MODE).open(path)?;
    file.set_permissions(Permissions::from_mode(FILE_MODE))?;
    Ok(file)
}

/// Opens a file for reading; `None` when it is not there.
pub(crate) fn open_file(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        file => file.map(Some),
    }
}

/// Gives everything under a directory, and the directory itself, the modes of a journal. sled makes files as the umask has it.
pub(crate) fn restrict(dir: &Path) -> io::Result<()> {
    walk(dir, &mut |path, mode| fs::set_permissions(path, Permissions::from_mode(mode)))
}

/// Makes everything under a directory durable, and the directory itself.
pub(crate) fn sync_tree(dir: &Path) -> io::Result<()> {
    walk(dir, &mut |path, _| File::open(path)?.sync_all())
}

fn walk(dir: &Path, visit: &mut dyn FnMut(&Path, u32) -> io::Result<()>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            walk(&entry.path(), visit)?;
        } else {
            visit(&entry.path(), FILE_MODE)?;
        }
    }
    visit(dir, DIR_MODE)
}
