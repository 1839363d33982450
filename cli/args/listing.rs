//! What the verbs that show runs can be told: `wf list`, `wf status`.

use clap::{Args as ClapArgs, ValueEnum};

use clap_complete::engine::ArgValueCandidates;

use super::RUN_HELP;
use crate::complete::runs;
use crate::values::{Since, since};

#[derive(Debug, ClapArgs)]
pub struct Status {
    #[arg(value_name = "RUN", default_value = "@latest", help = RUN_HELP, add = ArgValueCandidates::new(runs))]
    pub run: String,
    /// Show what happens, as the terminal of `wf run` does, until the run ends or leaves its process; then where it is
    #[arg(long, short = 'f')]
    pub follow: bool,
}

#[derive(Debug, Default, ClapArgs)]
pub struct List {
    /// Only runs of this workflow
    #[arg(long, value_name = "NAME")]
    pub workflow: Option<String>,
    /// Only runs in one of these states
    #[arg(long, value_name = "STATE", value_delimiter = ',')]
    pub state: Vec<StateArg>,
    /// Only runs that were started since then: a span such as `36h` or `2d`, a day or a moment in UTC such as `2026-11-01` or
    /// `2026-11-01T03:00:00Z`, by the clock of the machine that started them
    #[arg(long, value_name = "WHEN", value_parser = since)]
    pub since: Option<Since>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StateArg {
    /// A process drives it, forward or back
    Live,
    /// It waits for an operator
    Paused,
    /// No process drives it, and it is not over
    Interrupted,
    /// It reached its end, with or without exceptions
    Completed,
    /// All that could be undone is
    RolledBack,
    /// A step could not be undone
    Stuck,
    /// Somebody gave it up
    Abandoned,
    /// Its journal cannot be used
    Unreadable,
}
