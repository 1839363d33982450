//! `wf man`: the manual, a page for `wf` and one for each verb.

use std::path::Path;

use clap::CommandFactory as _;

use crate::args::Args;
use crate::console::Console;
use crate::diagnostics::Exit;
use crate::failure::Failure;

pub fn man(console: &mut Console, dir: &Path) -> Result<Exit, Failure> {
    let failed = |source| Failure::Files { path: dir.to_owned(), doing: "write", source };
    std::fs::create_dir_all(dir).map_err(failed)?;
    clap_mangen::generate_to(Args::command(), dir).map_err(failed)?;
    console.data(&format!("written to {}: man -l {}", dir.display(), dir.join("wf.1").display()))?;
    Ok(Exit::Completed)
}
