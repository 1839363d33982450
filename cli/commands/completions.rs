//! `wf completions`: the completions of a shell.

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::args::Args;
use crate::console::Console;
use crate::diagnostics::Exit;
use crate::failure::Failure;

pub fn completions(console: &mut Console, shell: Shell) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "wf", &mut script);
    console.data(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Completed)
}
