//! `wf approve` and `wf reject`: answer a step that asks, through the process that drives the run.

use std::path::Path;

use wf_engine::model::ids::IdError;
use wf_engine::model::run_state::RunPhase;
use wf_engine::runtime::{Refusal, RunError};

use crate::args::Decide;
use crate::console::Console;
use crate::control_client::connect;
use crate::control_socket::Request;
use crate::diagnostics::Exit;
use crate::failure::Failure;
use crate::operator;
use crate::runs::{Runs, failed};

pub async fn decide(console: &mut Console, state_dir: &Path, args: Decide, granted: bool) -> Result<Exit, Failure> {
    let runs = Runs::open(state_dir)?;
    let run = runs.find(&args.run).await?;
    let step = args.step.parse().map_err(|error: IdError| Failure::usage(error.to_string()))?;
    let (verb, done) = if granted { ("approve", "approved") } else { ("reject", "rejected") };
    let Some(owner) = runs.owner(&run) else {
        let (replayed, _) = runs.replayed(&run).await?;
        if let RunPhase::Finished(outcome) = replayed.state.phase() {
            return Err(failed(&run, RunError::Refused(Refusal::Finished { outcome, verb })));
        }
        return Err(Failure::refused(format!("no process drives run {run}, so step `{step}` waits for nothing"))
            .help(format!("`wf resume {run}` carries it on and asks again; then: wf {verb} {run} {step}")));
    };
    let (reason, by) = (args.reason, operator::this());
    let request = if granted { Request::Approve { step, reason, by } } else { Request::Reject { step, reason, by } };
    let answered = async { connect(&runs.layout().control_socket(&run)).await?.order(&request).await };
    match answered.await {
        Ok(Ok(())) => {
            if console.json() {
                console.document(&serde_json::json!({ "run": run, "step": args.step, "granted": granted }))?;
            } else {
                console.data(&format!("{done}: step `{}` of run {run}", args.step))?;
            }
            Ok(Exit::Completed)
        }
        Ok(Err(refusal)) => Err(Failure::refused(refusal).help(format!("`wf status {run}` shows every step"))),
        Err(error) => Err(Failure::refused(format!("run {run} is in the hands of {owner}, which does not answer: {error}"))
            .help(format!("try again; if it stays so, end it (kill -INT {}) and `wf resume {run}`", owner.pid))),
    }
}
