//! How long it takes to take a long run over: opening its journal, verifying the chain, folding the records, binding its workflow.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use wf_engine::clock::SystemClock;
use wf_engine::model::event::RunOutcome;
use wf_engine::model::ids::RunId;
use wf_engine::model::workflow::Workflow;
use wf_engine::report::Silent;
use wf_engine::runtime::{ResumePlan, RunEnd, Runtime, channel, resume as resume_run, start};
use wf_journal::SledJournal;

use crate::kinds::{self, Gate};
use crate::meter::{Readings, peak_rss_mib};
use crate::round::{BenchError, driven, operator, plan};
use crate::shape::{Effect, Links, Shape};

/// The records that a step which claims to change the world leaves.
const RECORDS_PER_STEP: usize = 4;
const WIDTH: usize = 100;

/// What a resume cost.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Resumed {
    /// How many records the run had.
    pub records: u64,
    /// How long the resume took, from the claim to the end of the run, which has one step left.
    pub wall_seconds: f64,
    /// The CPU time of all threads meanwhile.
    pub cpu_seconds: f64,
    /// The most memory that was resident, in MiB.
    pub peak_rss_mib: u64,
}

/// Leaves a run of about so many records before its last step, in a new state directory below `dir`, and resumes it as a new process would.
///
/// # Errors
/// When the disk, the journal or the run fails.
pub async fn resume(dir: &Path, records: usize) -> Result<Resumed, BenchError> {
    let state_dir = tempfile::Builder::new().prefix("wf-bench-").tempdir_in(dir)?;
    let run = RunId::new(1, fastrand::u128(..));
    let gate = Gate::default();
    let registry = Arc::new(kinds::registry(&gate));
    let runtime = || -> Result<Runtime, BenchError> {
        let journal = Arc::new(SledJournal::open(state_dir.path())?);
        let (_, control) = channel();
        Ok(Runtime {
            journal,
            registry: Arc::clone(&registry),
            clock: Arc::new(SystemClock),
            reporter: Box::new(Silent),
            control,
            workflow: None,
        })
    };
    let workflow = Arc::new(Workflow::parse(&text(records)).map_err(BenchError::Workflow)?);
    let (first, plan) = (runtime()?, plan(&run, &registry, workflow)?);
    match driven(async { Ok(start(first, plan).await?) }).await? {
        RunEnd::Paused { .. } => {}
        other => return Err(BenchError::Ended(other)),
    }
    let records = SledJournal::open(state_dir.path())?.verify(&run).await?.records;
    gate.open();
    let runtime = runtime()?;
    let readings = Readings::begin();
    let began = Instant::now();
    let by = ResumePlan { by: operator(), approve_all: false, redo: Vec::new(), mark_done: Vec::new(), adopt: None };
    match driven(async move { Ok(resume_run(runtime, &run, by).await?) }).await? {
        RunEnd::Finished(RunOutcome::Completed) => {}
        other => return Err(BenchError::Ended(other)),
    }
    let wall_seconds = began.elapsed().as_secs_f64();
    Ok(Resumed { records, wall_seconds, cpu_seconds: readings.cpu_seconds(), peak_rss_mib: peak_rss_mib() })
}

/// Returns layers of steps, and one more that needs a gate to be open.
fn text(records: usize) -> String {
    let depth = (records / RECORDS_PER_STEP / WIDTH).max(1);
    let layers = Shape::Layers { depth, width: WIDTH, links: Links::Two }.text(Effect::Intent);
    let needs: Vec<_> = (0..WIDTH).map(|place| format!("\"s{}_{place}\"", depth - 1)).collect();
    let last = format!("(id: \"last\", needs: [{}], run: Pass()),\n])\n", needs.join(","));
    layers.replacen("name:", "on_failure: Pause, name:", 1).replacen("\n])\n", &format!("\n{last}"), 1)
}
