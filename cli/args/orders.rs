//! What can be ordered of a run that is under way, or that nobody drives.

use clap::Args as ClapArgs;
use clap_complete::engine::ArgValueCandidates;
use wf_engine::units::Span;

use super::RUN_HELP;
use crate::complete::{runs, steps};
use crate::values::{Pair, pair, reason};

/// Why, for the record.
#[derive(Debug, ClapArgs)]
pub struct Why {
    /// Why, for the record
    #[arg(long, value_name = "TEXT", default_value = "", value_parser = reason)]
    pub reason: String,
}

#[derive(Debug, ClapArgs)]
pub struct OrderRun {
    #[arg(value_name = "RUN", help = RUN_HELP, add = ArgValueCandidates::new(runs))]
    pub run: String,
    #[command(flatten)]
    pub why: Why,
}

#[derive(Debug, ClapArgs)]
pub struct Escalate {
    #[command(flatten)]
    pub of: OrderRun,
    /// Let promotions through that no `Fence` comes before, and that would be refused in an unplanned run. It is recorded
    #[arg(long)]
    pub accept_split_brain_risk: bool,
}

#[derive(Debug, ClapArgs)]
pub struct OrderStep {
    #[arg(value_name = "RUN", help = RUN_HELP, add = ArgValueCandidates::new(runs))]
    pub run: String,
    /// The step
    #[arg(value_name = "STEP", add = ArgValueCandidates::new(steps))]
    pub step: String,
    #[command(flatten)]
    pub why: Why,
}

#[derive(Debug, ClapArgs)]
pub struct Skip {
    #[arg(value_name = "RUN", help = RUN_HELP, add = ArgValueCandidates::new(runs))]
    pub run: String,
    /// The step
    #[arg(value_name = "STEP", add = ArgValueCandidates::new(steps))]
    pub step: String,
    /// Why, for the record
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub reason: String,
}

#[derive(Debug, ClapArgs)]
pub struct MarkDone {
    #[arg(value_name = "RUN", help = RUN_HELP, add = ArgValueCandidates::new(runs))]
    pub run: String,
    /// The step
    #[arg(value_name = "STEP", add = ArgValueCandidates::new(steps))]
    pub step: String,
    /// An output of the step, for the steps that use it
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    pub output: Vec<Pair>,
    /// Why, for the record
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub reason: String,
}

#[derive(Debug, ClapArgs)]
pub struct Adjust {
    #[arg(value_name = "RUN", help = RUN_HELP, add = ArgValueCandidates::new(runs))]
    pub run: String,
    /// The step
    #[arg(value_name = "STEP", add = ArgValueCandidates::new(steps))]
    pub step: String,
    /// How long it may take, counted from when it began, such as 40m
    #[arg(long, value_name = "TIME", required_unless_present = "attempts")]
    pub timeout: Option<Span>,
    /// How many attempts it has in all
    #[arg(long, value_name = "N")]
    pub attempts: Option<u32>,
    #[command(flatten)]
    pub why: Why,
}

#[derive(Debug, ClapArgs)]
pub struct Cancel {
    #[arg(value_name = "RUN", help = RUN_HELP, add = ArgValueCandidates::new(runs))]
    pub run: String,
    /// Undo everything that can be undone, as `wf rollback` does
    #[arg(long)]
    pub rollback: bool,
    /// Undo the rest although something irreversible was done
    #[arg(long, requires = "rollback")]
    pub past_point_of_no_return: bool,
    /// Confirm without being asked
    #[arg(long, short = 'y')]
    pub yes: bool,
    /// Why, for the record
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub reason: String,
}
