//! What `wf watch` can be told.

use std::path::PathBuf;

use clap::Args as ClapArgs;
use clap_complete::engine::ArgValueCompleter;
use wf_engine::units::Span;

use super::{Notify, RunOptions};
use crate::complete::workflows;

#[derive(Debug, ClapArgs)]
pub struct Watch {
    /// The workflow that is started when the page stays bad
    #[arg(value_name = "FILE", add = ArgValueCompleter::new(workflows))]
    pub file: PathBuf,
    /// The page that users ask for; an answer with the status 200 is a good one
    #[arg(long, value_name = "URL")]
    pub url: String,
    /// The pause between two looks, and the limit of one
    #[arg(long, value_name = "SPAN", default_value = "10s")]
    pub interval: Span,
    /// How many looks must be bad
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub failures: u32,
    /// Of how many looks; default: of as many, so that all of them in a row must be bad
    #[arg(long, value_name = "M", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub of: Option<u32>,
    /// Start nothing so soon after the last run of the workflow was started
    #[arg(long, value_name = "SPAN", default_value = "1h")]
    pub min_delay: Span,
    /// Approve in advance whatever the steps ask, the promotion too; otherwise the run does what can be undone, and asks
    #[arg(long)]
    pub auto: bool,
    /// Watch again although the last incident was answered by a run
    #[arg(long)]
    pub rearm: bool,
    #[command(flatten)]
    pub options: RunOptions,
    #[command(flatten)]
    pub notify: Notify,
}
