//! What `wf drill` can be told.

use clap::Args as ClapArgs;

use super::{Notify, RunOptions};

#[derive(Debug, ClapArgs)]
pub struct Drill {
    /// The exercise: `pilot-light`, `warm-standby` and `full-failover` are workflows/drill-….ron, anything else is a workflow file; `history`
    /// lists what earlier drills proved
    #[arg(value_name = "DRILL")]
    pub drill: String,
    /// The environment that is exercised; a workflow that declares the input `env` is given it
    #[arg(long, value_name = "NAME")]
    pub env: Option<String>,
    /// Exercise production, which has to be confirmed by typing the environment's name
    #[arg(long)]
    pub production: bool,
    /// The environment's name, for whom nobody can type it
    #[arg(long, value_name = "NAME", requires = "production")]
    pub confirm: Option<String>,
    #[command(flatten)]
    pub options: RunOptions,
    #[command(flatten)]
    pub notify: Notify,
}
