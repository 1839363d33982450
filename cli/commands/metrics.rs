//! `wf metrics`: the newest runs as a text that Prometheus reads, for the textfile collector of its node exporter.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use crate::console::Console;
use crate::diagnostics::Exit;
use crate::failure::Failure;
use crate::render::metrics::metrics;
use crate::render::state_word;
use crate::render::summary::Summary;
use crate::runs::Runs;

pub async fn write(console: &mut Console, state_dir: &Path, output: Option<&Path>) -> Result<Exit, Failure> {
    let runs = Runs::open(state_dir)?;
    let mut summaries = Vec::new();
    for run in runs.ids().await? {
        // One that cannot be read is shown by `wf list`.
        let Ok((replayed, found)) = runs.replayed(&run).await else { continue };
        let (state, ink) = state_word(&replayed.state, found.live_at.is_some());
        summaries.push(Summary { state, ink, ..Summary::of(&replayed, &found.records, &[]) });
    }
    let text = metrics(summaries);
    match output {
        None => console.data(&text)?,
        Some(path) => {
            replace(path, text.as_bytes()).map_err(|source| Failure::Files { path: path.to_owned(), doing: "written", source })?
        }
    }
    Ok(Exit::Completed)
}

/// Replaces a file as a whole, so that a collector reads the old one or the new one. Collectors run as other users, so that anybody may read it.
fn replace(path: &Path, text: &[u8]) -> std::io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).open(&new)?;
    file.write_all(text)?;
    fs::rename(&new, path)
}
