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
mod notify;
mod operator;
mod plan;
mod redact;
mod render;
mod report;
mod run_ids;
mod run_summary;
mod runs;
mod sim_world;
mod source;
mod usual;
mod values;
mod watch;
mod whoami;
mod words;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use tracing_subscriber::EnvFilter;

use crate::args::LogFormat;

fn main() -> ExitCode {
    clap_complete::CompleteEnv::with_factory(args::Args::command).var(commands::completions::ASKED_BY).complete();
    let args = match args::Args::try_parse() {
        Ok(args) => args,
        Err(refused) => return refuse(&refused),
    };
    start_tracing(args.global.log_format, &args.verb.secrets());
    leave_sleds_panics_to_their_errors();
    let mut console = console::Console::new(&args.global, Box::new(std::io::stdout()), Box::new(std::io::stderr()));
    let exit = commands::dispatch(args, &mut console).unwrap_or_else(|failure| diagnostics::report(&failure, &mut console));
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

/// Writes what the libraries trace to stderr, if `WF_LOG` asks for it: `WF_LOG=debug`, `WF_LOG=wf_engine=trace`. Secrets are masked
/// at every level.
fn start_tracing(format: LogFormat, secrets: &[String]) {
    let filter = std::env::var("WF_LOG").ok().filter(|filter| !filter.is_empty());
    if let Some(filter) = filter.and_then(|filter| EnvFilter::try_new(filter).ok()) {
        let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(redact::Masked::stderr(secrets));
        match format {
            LogFormat::Text => subscriber.init(),
            LogFormat::Json => subscriber.json().init(),
        }
    }
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
