//! `wf completions`: what a shell sources to complete `wf`. The completions themselves come from `wf`, so that runs and steps are among them.

use clap::ValueEnum as _;
use clap_complete::Shell;
use clap_complete::env::Shells;

use crate::console::Console;
use crate::diagnostics::Exit;
use crate::failure::Failure;

/// The variable by which a shell asks.
pub const ASKED_BY: &str = "COMPLETE";

pub fn completions(console: &mut Console, shell: Shell) -> Result<Exit, Failure> {
    let name = shell.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
    let mut script = Vec::new();
    let shells = Shells::builtins();
    let written = shells.completer(&name).map(|shell| shell.write_registration(ASKED_BY, "wf", "wf", "wf", &mut script));
    if let Some(Err(source)) = written {
        return Err(Failure::System { doing: "writing completions", source });
    }
    console.data(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Completed)
}
