//! What looks after journals and the simulated world, and measures.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand, ValueEnum, ValueHint};
use clap_complete::engine::ArgValueCandidates;
use wf_sim::Fault;

use super::RUN_HELP;
use crate::complete::runs;
use crate::values::speed;

#[derive(Debug, Subcommand)]
pub enum Journal {
    /// Prove that a run's journal is whole and unaltered
    #[command(after_help = "Example:\n  wf journal verify --all")]
    Verify {
        #[arg(value_name = "RUN", default_value = "@latest", help = RUN_HELP, add = ArgValueCandidates::new(runs))]
        run: String,
        /// Every run
        #[arg(long, conflicts_with = "run")]
        all: bool,
    },
}

#[derive(Debug, Subcommand)]
pub enum Sim {
    /// Put the simulated AWS and its clusters on a loopback port, for `aws --endpoint-url` and `kubectl`
    #[command(
        after_help = "Example:\n  wf sim serve --port 4566 --kubeconfig sim.kubeconfig\n  aws --endpoint-url http://127.0.0.1:4566 rds describe-db-instances --region us-west-2\n  kubectl --kubeconfig sim.kubeconfig get nodes"
    )]
    Serve {
        /// The port; 0 takes a free one
        #[arg(long, value_name = "N")]
        port: u16,
        /// Write a kubeconfig with the simulated EKS clusters, a context for each
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        kubeconfig: Option<PathBuf>,
        /// Virtual seconds per second; default: as the world last ran
        #[arg(long, value_name = "N", value_parser = speed)]
        speed: Option<f64>,
        /// Let something go wrong; see `wf run --help`
        #[arg(long, value_name = "FAULT")]
        sim_fault: Vec<Fault>,
    },
    /// Show the simulated world
    #[command(after_help = "Example:\n  wf sim status --json")]
    Status,
    /// Show every mutating call that the simulated AWS received
    #[command(after_help = "Example:\n  wf sim log")]
    Log,
    /// Forget the simulated world: the next `--sim` starts anew
    #[command(after_help = "Example:\n  wf sim reset && wf run workflows/failover.ron --sim")]
    Reset,
    /// Print the default world file
    #[command(after_help = "Example:\n  wf sim world > my.ron && wf run workflows/failover.ron --sim --sim-world my.ron")]
    World,
}

#[derive(Debug, ClapArgs)]
pub struct Bench {
    /// How the steps depend on each other
    pub shape: Shape,
    /// How many: N, or for layers and diamonds DEPTHxWIDTH
    pub size: String,
    /// Steps that claim to change the world, so that each intent is made durable before
    #[arg(long)]
    pub intents: bool,
    /// What is made durable together
    #[arg(long, value_name = "WHAT", default_value = "all")]
    pub commit: CommitArg,
    /// Where the journal is kept while it is measured, to measure that disk; default: the temporary directory
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub dir: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shape {
    /// Each after the one before
    Chain,
    /// One, then N at once, then one
    Fan,
    /// Each after two of the layer before
    Layers,
    /// Each after all of the layer before
    Diamonds,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CommitArg {
    /// All that happened since the last sync: what wf does
    All,
    /// The start of each step by itself, and its end by itself
    TwiceAStep,
    /// Each record by itself
    EachRecord,
}
