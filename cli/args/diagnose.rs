//! What `wf diagnose` can be told.

use clap::{Args as ClapArgs, Subcommand};
use wf_engine::units::Span;

use super::Simulation;

#[derive(Debug, Subcommand)]
pub enum Diagnose {
    /// Tell why a replica is behind, and what to do about it; changes nothing
    #[command(
        after_help = "Exit codes: 0 it keeps up · 14 it does not\n\nExample:\n  wf diagnose lag prod-db-replica-west --region us-west-2 --sim"
    )]
    Lag(Lag),
}

#[derive(Debug, ClapArgs)]
pub struct Lag {
    /// The replica
    #[arg(value_name = "INSTANCE")]
    pub instance: String,
    /// Its region
    #[arg(long, value_name = "REGION")]
    pub region: String,
    /// How far back to look
    #[arg(long, value_name = "SPAN", default_value = "1h")]
    pub period: Span,
    /// Look at the simulated AWS in the state directory instead of the real one
    #[arg(long, help_heading = "Simulation")]
    pub sim: bool,
    #[command(flatten)]
    pub simulation: Simulation,
}
