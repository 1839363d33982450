//! `wf`: parse, dispatch, exit. The crates below do the work; this one talks to the operator.

mod approvals;
mod args;
mod claimed;
mod commands;
mod complete;
mod confirm;
mod console;
mod control_client;
mod control_socket;
mod diagnostics;
mod drive;
mod edited;
mod failure;
mod hints;
mod imports;
mod interrupt;
mod launch;
mod ledger;
mod monitoring;
mod notify;
mod operator;
#[cfg(feature = "otlp")]
mod otlp;
mod plan;
mod readiness;
mod redact;
mod render;
mod report;
mod rights;
mod run_ids;
mod run_summary;
mod runs;
mod sim_world;
mod source;
mod split_brain;
mod tracing_to;
mod usual;
mod values;
mod watch;
mod whoami;
mod words;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
fn main() -> ExitCode {
    clap_complete::CompleteEnv::with_factory(args::Args::command).var(commands::completions::ASKED_BY).complete();
    let args = match args::Args::try_parse() {
        Ok(args) => args,
        Err(refused) => return refuse(&refused),
    };
    let traced = tracing_to::begin(args.global.log_format, args.verb.secrets());
    leave_sleds_panics_to_their_errors();
    let mut console = console::Console::new(&args.global, Box::new(std::io::stdout()), Box::new(std::io::stderr()));
    let exit = commands::dispatch(args, &mut console).unwrap_or_else(|failure| diagnostics::report(&failure, &mut console));
    traced.finish();
    ExitCode::from(exit as u8)
}

/// Writes help, or what is wrong with the command line. What was typed is repeated there, but never steers the terminal.
fn refuse(refused: &clap::Error) -> ExitCode {
    let text = refused.render().to_string();
    if render::harmless(&text, false) == text {
        // As it should look: with colours where they are understood.
        refused.exit();
    }
    let _ = std::io::stderr().write_all(render::harmless(&text, false).as_bytes());
    u8::try_from(refused.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
}

/// sled panics on some damage. That is caught where it is called, and reported as what it is.
fn leave_sleds_panics_to_their_errors() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.location().is_some_and(|at| at.file().contains("/sled-")) {
            tracing::debug!(%panic, "sled gave up");
        } else {
            report(panic);
        }
    }));
}
