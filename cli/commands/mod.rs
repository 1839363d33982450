//! The verbs, one file each: what is typed → what the libraries do → what is said.

mod bench;
mod check;
pub mod completions;
mod diagnose;
mod drill;
mod explain;
mod failback;
mod follow;
mod graph;
mod iam;
mod journal;
mod kinds;
mod list;
mod log;
mod man;
mod metrics;
mod monitor;
mod order;
mod plan;
mod report;
mod resume;
mod rollback;
mod run;
mod sim;
mod status;
mod watch;

use std::future::Future;
use std::time::Duration;

use tokio::runtime::Builder;
use wf_engine::runtime::Order;

use crate::args::{Args, Verb};
use crate::console::Console;
use crate::diagnostics::Exit;
use crate::failure::Failure;

/// The dispatcher is one loop, and the SDK mostly waits: more threads than this would only wait too.
const THREADS: usize = 2;

/// Does what was typed.
pub fn dispatch(args: Args, console: &mut Console) -> Result<Exit, Failure> {
    let Args { global, verb } = args;
    let state_dir = global.state_dir.as_path();
    match verb {
        Verb::Run(args) => block_on(run::run(console, state_dir, &args)),
        Verb::Resume(args) if args.dry_run => block_on(resume::dry_run(console, state_dir, &args)),
        Verb::Explain(args) => block_on(explain::explain(console, state_dir, &args.run, args.step.as_deref())),
        Verb::Resume(args) => block_on(resume::resume(console, state_dir, &args)),
        Verb::Rollback(args) => block_on(rollback::rollback(console, state_dir, &args)),
        Verb::Diagnose(args) => block_on(diagnose::diagnose(console, state_dir, &args)),
        Verb::Metrics(args) => block_on(metrics::metrics(console, state_dir, &args)),
        Verb::Dashboard(args) => block_on(monitor::dashboard(console, state_dir, &args)),
        Verb::Alarms(args) => block_on(monitor::alarms(console, state_dir, &args)),
        Verb::Watch(args) => block_on(watch::watch(console, state_dir, args)),
        Verb::Drill(args) => block_on(drill::drill(console, state_dir, args)),
        Verb::Failback(args) => block_on(failback::failback(console, state_dir, &args)),
        Verb::Approve(args) => block_on(order::step(console, state_dir, args, |step| Order::Approve { step })),
        Verb::Reject(args) => block_on(order::step(console, state_dir, args, |step| Order::Reject { step })),
        Verb::Pause(args) => block_on(order::run(console, state_dir, args, Order::Pause)),
        Verb::Cancel(args) => block_on(order::cancel(console, state_dir, args)),
        Verb::Retry(args) => block_on(order::step(console, state_dir, args, |step| Order::Retry { step })),
        Verb::Skip(args) => block_on(order::skip(console, state_dir, args)),
        Verb::MarkDone(args) => block_on(order::mark_done(console, state_dir, args)),
        Verb::Adjust(args) => block_on(order::adjust(console, state_dir, args)),
        Verb::Escalate(args) => block_on(order::escalate(console, state_dir, args)),
        Verb::Plan(args) => block_on(plan::plan(console, state_dir, &args)),
        Verb::Check(args) => block_on(check::check(console, state_dir, &args)),
        Verb::List(args) => block_on(list::list(console, state_dir, &args)),
        Verb::Status(args) => block_on(status::status(console, state_dir, &args)),
        Verb::Log(args) => block_on(log::log(console, state_dir, &args)),
        Verb::Report(args) => block_on(report::report(console, state_dir, &args)),
        Verb::Kinds(args) => kinds::kinds(console, args.name.as_deref()),
        Verb::Iam(args) => iam::iam(console, &args),
        Verb::Graph(args) => graph::graph(console, &args),
        Verb::Journal(args) => block_on(journal::journal(console, state_dir, &args)),
        Verb::Sim(args) => sim::sim(console, state_dir, &args),
        Verb::Completions { shell } => completions::completions(console, shell),
        Verb::Man { dir } => man::man(console, &dir),
        Verb::Bench(args) => block_on(bench::bench(console, &args)),
    }
}

fn block_on(verb: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    let runtime = Builder::new_multi_thread().worker_threads(THREADS).enable_all().build();
    let runtime = runtime.map_err(|source| Failure::System { doing: "starting threads", source })?;
    let end = runtime.block_on(verb);
    // A thread that reads the terminal, or a call that nobody waits for, must not hold the process up.
    runtime.shutdown_timeout(Duration::from_millis(100));
    end
}
