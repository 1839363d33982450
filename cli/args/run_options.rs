//! What a new run can be told, and how the simulated world behaves.

use std::path::PathBuf;

use clap::{Args as ClapArgs, ValueEnum, ValueHint};
use wf_engine::model::event::Mode;
use wf_sim::Fault;

use crate::values::{Pair, Since, pair, since, speed};

/// What a new run can be told.
#[derive(Debug, Clone, ClapArgs)]
pub struct RunOptions {
    /// Give an input another value
    #[arg(long = "set", value_name = "INPUT=VALUE", value_parser = pair)]
    pub set: Vec<Pair>,
    /// Take inputs from a RON file, such as `{ "dr_region": "eu-west-1" }`; `--set` wins over it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub inputs: Option<PathBuf>,
    /// Whether the failing side still works with us; default: as the workflow says
    #[arg(long, value_name = "MODE")]
    pub mode: Option<ModeArg>,
    /// Run only if `wf plan` would still show the plan of this name
    #[arg(long, value_name = "HASH")]
    pub plan_hash: Option<String>,
    /// When the incident began: a moment in UTC such as `2026-11-01T03:00:00Z`, or a span before now such as `5m`; the RTO counts from it
    #[arg(long, value_name = "WHEN", value_parser = since)]
    pub incident_at: Option<Since>,
    /// Let an unplanned promotion through that no `Fence` comes before: two databases may take writes. It is recorded
    #[arg(long)]
    pub accept_split_brain_risk: bool,
    /// How many steps may run at once; default: as the workflow says
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub max_parallel: Option<u32>,
    /// Confirm the run, and approve in advance whatever its steps ask
    #[arg(long, short = 'y')]
    pub yes: bool,
    /// Act on the simulated AWS in the state directory instead of the real one
    #[arg(long, help_heading = "Simulation")]
    pub sim: bool,
    #[command(flatten)]
    pub simulation: Simulation,
    /// The seed of a new simulated world
    #[arg(long, value_name = "N", requires = "sim", help_heading = "Simulation")]
    pub sim_seed: Option<u64>,
    /// Let programs of the workflow (`Exec`) run for real beside the simulated AWS
    #[arg(long, requires = "sim", help_heading = "Simulation")]
    pub sim_exec: bool,
    /// What a new simulated world looks like; `wf sim world` prints the default
    #[arg(long, value_name = "FILE", requires = "sim", value_hint = ValueHint::FilePath, help_heading = "Simulation")]
    pub sim_world: Option<PathBuf>,
}

/// How the simulated world behaves while this process has it open.
#[derive(Debug, Clone, Default, PartialEq, ClapArgs)]
#[command(next_help_heading = "Simulation")]
pub struct Simulation {
    /// Virtual seconds per second; default: 60, or as the world last ran
    #[arg(long, value_name = "N", value_parser = speed)]
    pub sim_speed: Option<f64>,
    /// Let something go wrong, such as 'region-outage us-east-1', 'throttle rds 20%', 'lag prod-db-replica-west 2h',
    /// 'no-capacity prod-app-dr-asg', 'fail EksScaleNodegroup', 'lost-response PromoteReadReplica'
    #[arg(long, value_name = "FAULT")]
    pub sim_fault: Vec<Fault>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ModeArg {
    /// Both sides answer: an exercise, a migration, the way home
    Planned,
    /// The primary is failing
    Unplanned,
}

impl From<ModeArg> for Mode {
    fn from(mode: ModeArg) -> Self {
        match mode {
            ModeArg::Planned => Self::Planned,
            ModeArg::Unplanned => Self::Unplanned,
        }
    }
}
