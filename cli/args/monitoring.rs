//! What `wf dashboard` and `wf alarms` can be told.

use std::path::PathBuf;

use clap::{Args as ClapArgs, ValueHint};
use clap_complete::engine::ArgValueCompleter;

use super::{RunOptions, Simulation};
use crate::complete::workflows;
use crate::values::{Pair, pair};

#[derive(Debug, ClapArgs)]
pub struct Dashboard {
    #[command(flatten)]
    pub of: Monitored,
    /// Put the dashboard to CloudWatch, in place of one of that name. It takes the right to cloudwatch:PutDashboard
    #[arg(long, value_name = "NAME")]
    pub put: Option<String>,
    /// Confirm it
    #[arg(long, short = 'y', requires = "put")]
    pub yes: bool,
}

#[derive(Debug, ClapArgs)]
pub struct Alarms {
    #[command(flatten)]
    pub of: Monitored,
    /// Put the alarms to CloudWatch, in place of those of the same names. It takes the rights to cloudwatch:PutMetricAlarm and, for topics by
    /// name, sts:GetCallerIdentity
    #[arg(long)]
    pub put: bool,
    /// Confirm it
    #[arg(long, short = 'y', requires = "put")]
    pub yes: bool,
    /// Who is told by the alarms of a region: TOPIC@REGION or its ARN; several after commas. Default: the topics that the workflow publishes to
    #[arg(long, value_name = "TOPIC", value_delimiter = ',')]
    pub topic: Vec<String>,
}

/// A workflow that is kept an eye on.
#[derive(Debug, ClapArgs)]
pub struct Monitored {
    /// The workflow file
    #[arg(value_name = "FILE", add = ArgValueCompleter::new(workflows))]
    pub file: PathBuf,
    /// Where wf's own metrics are, and where a dashboard is put; default: the input `dr_region` of the workflow
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,
    /// The namespace of wf's own metrics
    #[arg(long, value_name = "NAME", default_value = crate::monitoring::NAMESPACE)]
    pub namespace: String,
    /// Look at AWS for the names that only AWS knows, such as those of target groups and health checks; what is put always does. It takes
    /// the rights of `wf iam FILE --for plan`
    #[arg(long)]
    pub live: bool,
    /// Give an input another value
    #[arg(long = "set", value_name = "INPUT=VALUE", value_parser = pair)]
    pub set: Vec<Pair>,
    /// Take inputs from a RON file, such as `{ "dr_region": "eu-west-1" }`; `--set` wins over it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub inputs: Option<PathBuf>,
    /// The run whose recorded values a run would use
    #[arg(long, value_name = "RUN")]
    pub follows: Option<String>,
    /// Look at the simulated AWS in the state directory instead of the real one, and put it there
    #[arg(long, help_heading = "Simulation")]
    pub sim: bool,
    #[command(flatten)]
    pub simulation: Simulation,
}

impl From<&Monitored> for RunOptions {
    /// Returns what a run would be told of the same workflow.
    fn from(of: &Monitored) -> Self {
        Self {
            set: of.set.clone(),
            inputs: of.inputs.clone(),
            mode: None,
            plan_hash: None,
            incident_at: None,
            accept_split_brain_risk: false,
            max_parallel: None,
            yes: false,
            sim: of.sim,
            simulation: of.simulation.clone(),
            sim_seed: None,
            sim_exec: false,
            sim_world: None,
        }
    }
}
