//! `wf check`: what can be typed behind it. With `--live` it needs what a run needs, except for what only changes take.

use std::path::PathBuf;

use clap::{Args as ClapArgs, ValueHint};
use clap_complete::engine::ArgValueCompleter;

use super::{ModeArg, RunOptions, Simulation};
use crate::complete::workflows;
use crate::values::{Pair, pair};

#[derive(Debug, ClapArgs)]
pub struct Check {
    /// The workflow file
    #[arg(value_name = "FILE", add = ArgValueCompleter::new(workflows))]
    pub file: PathBuf,
    /// Look at the world, too: would this workflow work if it were run now? Only reads, and exits with 14 if it would not
    #[arg(long)]
    pub live: bool,
    /// Give an input another value
    #[arg(long = "set", value_name = "INPUT=VALUE", value_parser = pair, requires = "live")]
    pub set: Vec<Pair>,
    /// Take inputs from a RON file, such as `{ "dr_region": "eu-west-1" }`; `--set` wins over it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "live")]
    pub inputs: Option<PathBuf>,
    /// Whether the failing side still works with us; default: as the workflow says
    #[arg(long, value_name = "MODE")]
    pub mode: Option<ModeArg>,
    /// Let an unplanned promotion through that no `Fence` comes before, as `wf run` would with it
    #[arg(long)]
    pub accept_split_brain_risk: bool,
    /// The run whose recorded values this one would use
    #[arg(long, value_name = "RUN", requires = "live")]
    pub follows: Option<String>,
    /// Ask IAM what this user or role may do, instead of who checks: a check by a timer has who is on call looked at. Clusters tell everybody of
    /// themselves only, and are not asked then
    #[arg(long, value_name = "ARN", requires = "live", value_parser = principal)]
    pub rights_of: Option<String>,
    /// Look at the simulated AWS in the state directory instead of the real one
    #[arg(long, requires = "live", help_heading = "Simulation")]
    pub sim: bool,
    #[command(flatten)]
    pub simulation: Simulation,
    /// The seed of a new simulated world
    #[arg(long, value_name = "N", requires = "sim", help_heading = "Simulation")]
    pub sim_seed: Option<u64>,
    /// What a new simulated world looks like; `wf sim world` prints the default
    #[arg(long, value_name = "FILE", requires = "sim", value_hint = ValueHint::FilePath, help_heading = "Simulation")]
    pub sim_world: Option<PathBuf>,
}

impl From<&Check> for RunOptions {
    /// Returns what a run would be told that is as this check.
    fn from(check: &Check) -> Self {
        Self {
            set: check.set.clone(),
            inputs: check.inputs.clone(),
            mode: check.mode,
            plan_hash: None,
            incident_at: None,
            accept_split_brain_risk: check.accept_split_brain_risk,
            max_parallel: None,
            yes: false,
            sim: check.sim,
            simulation: check.simulation.clone(),
            sim_seed: check.sim_seed,
            sim_exec: false,
            sim_world: check.sim_world.clone(),
        }
    }
}

/// Takes the ARN of somebody whose rights IAM knows.
fn principal(text: &str) -> Result<String, String> {
    let parts: Vec<_> = text.splitn(6, ':').collect();
    let is_one = matches!(parts[..], ["arn", _, "iam", "", account, resource]
        if account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit()) && (resource.starts_with("user/") || resource.starts_with("role/")));
    let such = "it is the ARN of a user or a role, such as arn:aws:iam::123456789012:role/on-call";
    if is_one { Ok(text.to_owned()) } else { Err(such.to_owned()) }
}
