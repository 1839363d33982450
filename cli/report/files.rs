//! Where reports are kept: `report.html`, `.md` and `.json` in the run's directory. They can be made anew from the journal at any time.

use std::fmt;
use std::io;

use serde::Deserialize;
use wf_engine::model::ids::RunId;
use wf_journal::Layout;

use super::Report;
use crate::render::harmless_json;
use crate::render::summary::Users;

/// What a report is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Markdown
    Md,
    /// The data itself
    Json,
    /// One file that needs neither network nor script
    Html,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Html, Self::Md, Self::Json];
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Md => "md",
            Self::Json => "json",
            Self::Html => "html",
        })
    }
}

impl Report {
    /// Writes the report down.
    ///
    /// # Errors
    /// When it cannot be written as JSON, which needs a value that JSON does not have.
    pub fn written(&self, format: Format) -> io::Result<String> {
        Ok(match format {
            Format::Md => self.markdown(),
            Format::Html => self.html(),
            Format::Json => harmless_json(serde_json::to_string_pretty(self)? + "\n"),
        })
    }
}

/// Keeps a report in all formats in the run's directory.
///
/// # Errors
/// The first that cannot be written.
pub fn keep(report: &Report, layout: &Layout) -> io::Result<()> {
    for format in Format::ALL {
        layout.write_report(&report.summary.run, &format.to_string(), report.written(format)?.as_bytes())?;
    }
    Ok(())
}

/// Returns what the simulated users of a run saw, as its kept report has it. It is in no record, so only the process that drove the run
/// knew; a report of fewer or other records is not believed.
pub fn users_kept(layout: &Layout, run: &RunId, head: &str) -> Vec<Users> {
    #[derive(Deserialize)]
    struct Kept {
        summary: Seen,
        audit: Of,
    }
    #[derive(Deserialize)]
    struct Seen {
        users: Vec<Users>,
    }
    #[derive(Deserialize)]
    struct Of {
        head: String,
    }
    let json = layout.read_report(run, &Format::Json.to_string()).ok().flatten();
    let kept: Option<Kept> = json.and_then(|json| serde_json::from_slice(&json).ok());
    kept.filter(|kept| !head.is_empty() && kept.audit.head == head).map(|kept| kept.summary.users).unwrap_or_default()
}
