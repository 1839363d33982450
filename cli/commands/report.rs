//! `wf report`: what a run was, for those who were not there.

use std::fs::{OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use crate::args::Report as Args;
use crate::console::Console;
use crate::diagnostics::Exit;
use crate::failure::Failure;
use crate::report::{self, Besides, Format, Report};
use crate::runs::Runs;

/// Reports are for their owner's eyes only until they are handed on.
const FILE_MODE: u32 = 0o600;

pub async fn report(console: &mut Console, state_dir: &Path, args: &Args) -> Result<Exit, Failure> {
    let runs = Runs::open(state_dir)?;
    let run = runs.find(&args.run).await?;
    let (replayed, found) = runs.replayed(&run).await?;
    let mut followers = report::runs_behind(&runs, &replayed).await;
    followers.extend(report::beside(&replayed));
    let earlier = report::earlier_drills(&runs, &replayed).await;
    let besides = Besides { live: found.live_at.is_some(), users: Vec::new(), followers, earlier };
    let mut report = Report::of(&replayed, &found.records, besides);
    report.summary.users = report::users_kept(runs.layout(), &run, &report.audit.head);
    let format = match args.format {
        Some(format) => format,
        None if console.json() => Format::Json,
        None => Format::Md,
    };
    let text = report.written(format)?;
    match &args.output {
        None => console.data(&text)?,
        Some(file) => {
            write(file, &text).map_err(|error| Failure::usage(format!("{} cannot be written: {error}", file.display())))?;
            console.say(&format!("report: {}", file.display()));
        }
    }
    Ok(Exit::Completed)
}

fn write(file: &Path, text: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(FILE_MODE).open(file)?;
    // What is no regular file, such as a pipe, keeps its mode.
    if file.metadata()?.is_file() {
        file.set_permissions(Permissions::from_mode(FILE_MODE))?;
    }
    file.write_all(text.as_bytes())
}
