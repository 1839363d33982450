//! What `wf metrics` can be told.

use std::path::PathBuf;

use clap::{Args as ClapArgs, ValueHint};

use super::Simulation;

#[derive(Debug, ClapArgs)]
pub struct Metrics {
    /// Where they are written to, instead of stdout
    #[arg(long, short = 'o', value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
    /// Put them to CloudWatch instead, each with the dimension Workflow and the moment when it was so: what is older than two weeks is left
    /// out. It takes the right to cloudwatch:PutMetricData
    #[arg(long)]
    pub publish: bool,
    /// Where they are put to; default: the input `dr_region` of the workflow, as metrics in a region that burns are of no use
    #[arg(long, value_name = "REGION", requires = "publish")]
    pub region: Option<String>,
    /// The namespace that they are put into
    #[arg(long, value_name = "NAME", default_value = crate::monitoring::NAMESPACE, requires = "publish")]
    pub namespace: String,
    /// Put what the runs on the simulated AWS came to, to the simulated AWS in the state directory
    #[arg(long, requires = "publish", help_heading = "Simulation")]
    pub sim: bool,
    #[command(flatten)]
    pub simulation: Simulation,
}
