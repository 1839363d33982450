//! What can be typed: clap types, whose doc comments are the help text. Knows nothing of what the verbs do.

mod check;
mod diagnose;
mod drill;
mod listing;
mod metrics;
mod monitoring;
mod notify;
mod orders;
mod run_options;
mod tools;
mod watch;

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;
use clap_complete::engine::{ArgValueCandidates, ArgValueCompleter};

pub use check::Check;
pub use diagnose::{Diagnose, Lag};
pub use drill::Drill;
pub use listing::{List, StateArg, Status};
pub use metrics::Metrics;
pub use monitoring::{Alarms, Dashboard, Monitored};
pub use notify::{Notify, Secret};
pub use orders::{Adjust, Cancel, Escalate, MarkDone, OrderRun, OrderStep, Skip};
pub use run_options::{ModeArg, RunOptions, Simulation};
pub use tools::{Bench, CommitArg, Journal, Shape, Sim};
pub use watch::{AlarmName, Require, Watch};

use crate::complete::{runs, steps, workflows};
use crate::report::Format;
use crate::values::{Pair, pair, reason};

const EXIT_CODES: &str = "\
Exit codes:
  0 completed · 1 unexpected · 2 usage · 3 invalid workflow · 4 refused: locked by another process, or not confirmed
  10 rolled back · 11 stuck · 12 paused, needs the operator · 13 journal unusable · 14 `check --live`: not ready
  20 `plan --exit-code`: changes · 21 a drill failed · 22 a drill proved nothing · 130 interrupted, resumable

Start here:
  wf run workflows/failover.ron --sim     the whole failover on an embedded two-region AWS: no account needed
  wf failback --sim                       and the way back";

/// Moves a production system from one AWS region to another and back: durable workflows that run in parallel, resume exactly
/// where they stopped, and undo what can be undone.
#[derive(Debug, Parser)]
#[command(name = "wf", version, after_help = EXIT_CODES, max_term_width = 110, propagate_version = true)]
pub struct Args {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub verb: Verb,
}

#[derive(Debug, Clone, ClapArgs)]
#[command(next_help_heading = "Everywhere")]
pub struct Global {
    /// Where runs are kept
    #[arg(long, global = true, env = "WF_STATE_DIR", default_value = ".wf", value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub state_dir: PathBuf,
    /// Write data as JSON to stdout
    #[arg(long, global = true)]
    pub json: bool,
    /// When to colour; `auto` also honours NO_COLOR
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
    /// Write words only, one line after the other: no display that is drawn anew, no signs, no drawings, no colours. For screen readers
    /// and logs; so it is, too, where nothing is a terminal, with TERM=dumb, and in CI
    #[arg(long, global = true)]
    pub plain: bool,
    /// Take neither input nor output for a terminal: as --plain, and no questions. So it is in CI
    #[arg(long, global = true)]
    pub no_tty: bool,
    /// What WF_LOG writes: lines, or an object a line with the spans of run, step and attempt
    #[arg(long, global = true, env = "WF_LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Run a workflow
    #[command(after_help = "Example:\n  wf run workflows/failover.ron --sim\n  wf run workflows/failover.ron --set dr_region=eu-west-1")]
    Run(Run),
    /// Carry a run on: after a crash, an interruption, or a step that paused it
    #[command(
        after_help = "Example:\n  wf resume @latest\n  wf resume 01K2 --redo restart_app\n  wf resume 01K2 --mark-done promote --output endpoint=db.example.com\n  wf resume 01K2 --accept-changes"
    )]
    Resume(Resume),
    /// Undo everything that a run did and that can be undone
    #[command(after_help = "Example:\n  wf rollback @latest --reason 'the primary is back'")]
    Rollback(Rollback),
    /// Go back: run the workflow that follows the last completed failover, with the values that it recorded
    #[command(after_help = "Example:\n  wf failback --sim\n  wf failback workflows/failback.ron --from 01K2")]
    Failback(Failback),
    /// Tell what is wrong in the world, why, and what to do about it
    #[command(subcommand)]
    Diagnose(Diagnose),
    /// Write the newest run of each workflow, what drills proved and what was found ready as metrics: for Prometheus, or to CloudWatch
    #[command(after_help = "Example:\n  wf metrics --output /var/lib/node_exporter/wf.prom\n  wf metrics --publish --region us-west-2")]
    Metrics(Metrics),
    /// Write a CloudWatch dashboard of what a workflow's steps work on and of wf's own metrics, or put it there
    #[command(
        after_help = "Example:\n  wf dashboard workflows/failover.ron\n  wf dashboard workflows/failover.ron --put dr --region us-west-2"
    )]
    Dashboard(Dashboard),
    /// Show the CloudWatch alarms that a workflow calls for: is it ready, is the primary side well, do the replicas keep up; or put them
    #[command(
        after_help = "Example:\n  wf alarms workflows/failover.ron\n  wf alarms workflows/failover.ron --put --topic dr-alerts@us-east-1"
    )]
    Alarms(Alarms),
    /// Exercise a failover: bring a failure about, fail over, check, measure, and put everything back
    #[command(
        after_help = "Exit codes: 0 PASS · 21 FAIL · 22 INCONCLUSIVE · 11 something could not be put back\n\nExample:\n  wf drill pilot-light --env staging --sim --yes\n  wf drill history"
    )]
    Drill(Drill),
    /// Look at a page as a user would, or at alarms and health checks, and start a workflow when it stays bad
    #[command(
        after_help = "It ends with the run that it starts. Started again, it carries on a run that was cut off, and answers no incident twice.\n\nExample:\n  wf watch workflows/failover.ron --url https://app.company.com/health --sim --yes\n  wf watch workflows/failover.ron --url https://app.company.com/health --alarm wf-failover-health-app.company.com@us-east-1"
    )]
    Watch(Watch),
    /// Approve a step that asks
    #[command(after_help = "Example:\n  wf approve @latest go --reason 'replica lag is 2 s'")]
    Approve(OrderStep),
    /// Refuse a step that asks: the step fails
    #[command(after_help = "Example:\n  wf reject @latest go --reason 'the primary is back'")]
    Reject(OrderStep),
    /// Start nothing more in a live run until `wf resume`; what is under way goes on to its end
    #[command(after_help = "Example:\n  wf pause @latest --reason 'lag grows'\n  wf resume @latest")]
    Pause(OrderRun),
    /// Give a run up: leave what is under way at its next safe point, and undo what it did, or leave it as it is
    #[command(
        after_help = "Example:\n  wf cancel @latest --rollback --reason 'the primary is back'\n  wf cancel 01K2 --reason 'done by hand from here'"
    )]
    Cancel(Cancel),
    /// Try a step again that failed, or start the attempt that it waits for now
    #[command(after_help = "Example:\n  wf retry @latest scale_eks --reason 'quota raised'")]
    Retry(OrderStep),
    /// Leave a step out; one that is under way is left at its next safe point
    #[command(after_help = "Example:\n  wf skip @latest fence_cron --reason 'the region does not answer'")]
    Skip(Skip),
    /// Take a step for done that somebody did by hand
    #[command(after_help = "Example:\n  wf mark-done @latest promote --output endpoint=db.example.com --reason 'promoted in the console'")]
    MarkDone(MarkDone),
    /// Give a step more time or more attempts, or less, also while it runs
    #[command(after_help = "Example:\n  wf adjust @latest promote --timeout 40m --reason 'the instance is large'")]
    Adjust(Adjust),
    /// From planned to unplanned: the failing side no longer works with us
    #[command(after_help = "Example:\n  wf escalate @latest --reason 'us-east-1 stopped answering'")]
    Escalate(Escalate),
    /// Show what a run would do, by the live state of the world, and change nothing
    #[command(
        after_help = "Example:\n  wf plan workflows/failover.ron --sim\n  wf plan workflows/failover.ron --exit-code   (0: nothing to change, 20: something is, 1: a step would fail)"
    )]
    Plan(Plan),
    /// Find every mistake in a workflow file, offline; with --live, also what in the world is in the way of a run
    #[command(
        after_help = "Example:\n  wf check workflows/failover.ron\n  wf check workflows/failover.ron --live --json   (0: ready, 14: not ready; for cron and CI)\n  wf check workflows/failover.ron --live --sim --sim-fault primary-alive"
    )]
    Check(Check),
    /// List the runs, newest first
    #[command(
        after_help = "Example:\n  wf list --json | jq '.[0].run'\n  wf list --workflow failover --state paused,interrupted --since 2d",
        alias = "ls"
    )]
    List(List),
    /// Show where a run is
    #[command(after_help = "Example:\n  wf status\n  wf status 01K2 --follow\n  wf status 01K2 --json")]
    Status(Status),
    /// Tell why each step is where it is, and what a resume would do with it
    #[command(after_help = "Example:\n  wf explain\n  wf explain 01K2 promote")]
    Explain(Explain),
    /// Show what happened in a run, event by event
    #[command(after_help = "Example:\n  wf log --follow")]
    Log(Log),
    /// Write what a run was: for management, for auditors, for whoever puts back what is left changed
    #[command(
        after_help = "Example:\n  wf report @latest --format html --output report.html\n\nA run that ends, pauses or is interrupted leaves report.html, report.md and report.json in its directory by itself."
    )]
    Report(Report),
    /// Show the step kinds: params, outputs, IAM actions, an example
    #[command(after_help = "Example:\n  wf kinds RdsPromoteReadReplica")]
    Kinds(Kinds),
    /// Write the IAM policy, and the ClusterRole, that a workflow needs
    #[command(
        after_help = "Example:\n  wf iam workflows/failover.ron --account 123456789012 > run.json\n  wf iam workflows/failover.ron --for plan\n  wf iam workflows/failover.ron --kubernetes | kubectl apply -f -"
    )]
    Iam(Iam),
    /// Draw a workflow
    #[command(after_help = "Example:\n  wf graph workflows/failover.ron --format svg > failover.svg")]
    Graph(Graph),
    /// Look after journals
    #[command(subcommand)]
    Journal(Journal),
    /// The simulated AWS of `--sim`
    #[command(subcommand)]
    Sim(Sim),
    /// Write what a shell sources to complete verbs, flags, runs, steps and workflow files
    #[command(after_help = "Example:\n  wf completions bash > ~/.local/share/bash-completion/completions/wf")]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write the manual, a page for each verb
    #[command(after_help = "Example:\n  wf man ~/.local/share/man/man1")]
    Man {
        /// Where to
        #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
        dir: PathBuf,
    },
    /// Measure the engine and the journal on steps that do nothing
    #[command(
        hide = true,
        after_help = "Example:\n  wf bench chain 1000\n  wf bench fan 10000 --commit each-record\n  wf bench layers 1000x100 --intents --dir /var/lib/wf"
    )]
    Bench(Bench),
}

#[derive(Debug, ClapArgs)]
pub struct Run {
    /// The workflow file
    #[arg(value_name = "FILE", add = ArgValueCompleter::new(workflows))]
    pub file: PathBuf,
    #[command(flatten)]
    pub options: RunOptions,
    /// The run whose recorded values this one uses; `wf failback` finds it by itself
    #[arg(long, value_name = "RUN")]
    pub follows: Option<String>,
    #[command(flatten)]
    pub notify: Notify,
}

#[derive(Debug, ClapArgs)]
pub struct Plan {
    /// The workflow file
    #[arg(value_name = "FILE", add = ArgValueCompleter::new(workflows))]
    pub file: PathBuf,
    #[command(flatten)]
    pub options: RunOptions,
    /// The run whose recorded values this one would use
    #[arg(long, value_name = "RUN")]
    pub follows: Option<String>,
    /// Exit with 20 when something would be changed, and with 1 when a step would fail
    #[arg(long)]
    pub exit_code: bool,
}

const RUN_HELP: &str = "The run: its id, a unique beginning or end of it, or @latest";

#[derive(Debug, Default, ClapArgs)]
pub struct Resume {
    #[arg(value_name = "RUN", default_value = "@latest", help = RUN_HELP, add = ArgValueCandidates::new(runs))]
    pub run: String,
    /// Only tell what would be done with each step, as `wf explain` does
    #[arg(long)]
    pub dry_run: bool,
    /// Approve in advance whatever the steps ask
    #[arg(long, short = 'y')]
    pub yes: bool,
    /// Run an interrupted step again although nobody knows what it did
    #[arg(long, value_name = "STEP")]
    pub redo: Vec<String>,
    /// Take a step that was interrupted or failed for done
    #[arg(long, value_name = "STEP")]
    pub mark_done: Vec<String>,
    /// An output of the step that is marked done; with several such steps, write STEP.NAME=VALUE
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair, requires = "mark_done")]
    pub output: Vec<Pair>,
    /// Take over what was edited in the workflow's file since: new steps, and what has not begun; the rest is refused
    #[arg(long)]
    pub accept_changes: bool,
    /// The edited file, when it is not the one that the run was started from
    #[arg(long, value_name = "FILE", requires = "accept_changes", value_hint = ValueHint::FilePath)]
    pub file: Option<PathBuf>,
    /// Take an edit over that leaves an unplanned promotion without a `Fence` before it. It is recorded
    #[arg(long, requires = "accept_changes")]
    pub accept_split_brain_risk: bool,
    /// Go on although you are in another account than the run was started in
    #[arg(long)]
    pub other_account: bool,
    #[command(flatten)]
    pub notify: Notify,
    #[command(flatten)]
    pub simulation: Simulation,
}

#[derive(Debug, ClapArgs)]
pub struct Rollback {
    #[arg(value_name = "RUN", help = RUN_HELP, add = ArgValueCandidates::new(runs))]
    pub run: String,
    /// Confirm without being asked
    #[arg(long, short = 'y')]
    pub yes: bool,
    /// Undo the rest although something irreversible was done
    #[arg(long)]
    pub past_point_of_no_return: bool,
    /// Why, for the record
    #[arg(long, value_name = "TEXT", default_value = "asked for by the operator", value_parser = reason)]
    pub reason: String,
    /// Go on although you are in another account than the run was started in
    #[arg(long)]
    pub other_account: bool,
    #[command(flatten)]
    pub notify: Notify,
    #[command(flatten)]
    pub simulation: Simulation,
}

#[derive(Debug, ClapArgs)]
pub struct Failback {
    /// The workflow file
    #[arg(value_name = "FILE", default_value = "workflows/failback.ron", add = ArgValueCompleter::new(workflows))]
    pub file: PathBuf,
    /// The failover to go back from; default: the last one that completed
    #[arg(long, value_name = "RUN")]
    pub from: Option<String>,
    #[command(flatten)]
    pub options: RunOptions,
    #[command(flatten)]
    pub notify: Notify,
}

#[derive(Debug, ClapArgs)]
pub struct Explain {
    #[arg(value_name = "RUN", default_value = "@latest", help = RUN_HELP, add = ArgValueCandidates::new(runs))]
    pub run: String,
    /// One step, with all that led there
    #[arg(value_name = "STEP", add = ArgValueCandidates::new(steps))]
    pub step: Option<String>,
}

#[derive(Debug, ClapArgs)]
pub struct Log {
    #[arg(value_name = "RUN", default_value = "@latest", help = RUN_HELP, add = ArgValueCandidates::new(runs))]
    pub run: String,
    /// Stay until the run ends
    #[arg(long, short = 'f')]
    pub follow: bool,
}

#[derive(Debug, ClapArgs)]
pub struct Report {
    #[arg(value_name = "RUN", default_value = "@latest", help = RUN_HELP, add = ArgValueCandidates::new(runs))]
    pub run: String,
    /// What it is written in; default: Markdown
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<Format>,
    /// Where it is written to, instead of stdout
    #[arg(long, short = 'o', value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub struct Kinds {
    /// One kind in full
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
}

#[derive(Debug, ClapArgs)]
pub struct Iam {
    /// The workflow file
    #[arg(value_name = "FILE", add = ArgValueCompleter::new(workflows))]
    pub file: PathBuf,
    /// What the rights are for
    #[arg(long = "for", value_name = "WHAT", default_value = "run")]
    pub rights: Rights,
    /// Write the ClusterRole instead of the IAM policy; `--json` writes all of it
    #[arg(long)]
    pub kubernetes: bool,
    /// The account in the resources' names
    #[arg(long, value_name = "ID", default_value = "*")]
    pub account: String,
    /// Give an input another value
    #[arg(long = "set", value_name = "INPUT=VALUE", value_parser = pair)]
    pub set: Vec<Pair>,
    /// Take inputs from a RON file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub inputs: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Rights {
    /// `wf plan` and `wf check --live`: they only read
    Plan,
    /// `wf run`, with its rollback
    Run,
}

#[derive(Debug, ClapArgs)]
pub struct Graph {
    /// The workflow file
    #[arg(value_name = "FILE", add = ArgValueCompleter::new(workflows))]
    pub file: PathBuf,
    /// The language to draw in
    #[arg(long, value_name = "FORMAT", default_value = "mermaid")]
    pub format: GraphFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum GraphFormat {
    Mermaid,
    Dot,
    /// A picture by itself; red borders cannot be undone, dashed ones are only part of runs of one mode
    Svg,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn faults_are_refused_with_their_forms() {
        let error = Args::try_parse_from(["wf", "run", "f.ron", "--sim", "--sim-fault", "nonsense"]).expect_err("no such fault");
        assert_eq!(error.exit_code(), 2);
    }
}
