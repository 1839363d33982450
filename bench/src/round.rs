//! One run of a shape, measured.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use indexmap::IndexMap;
use wf_engine::clock::SystemClock;
use wf_engine::journal::{Journal, JournalError};
use wf_engine::model::event::{Operator, RunOutcome};
use wf_engine::model::ids::RunId;
use wf_engine::model::problem::Problem;
use wf_engine::model::workflow::Workflow;
use wf_engine::registry::{Imports, Registry};
use wf_engine::report::Silent;
use wf_engine::runtime::{RunEnd, RunError, Runtime, StartPlan, channel, start};
use wf_journal::{OpenError, SledJournal};

use crate::durability::{Commit, Cut};
use crate::figures::Figures;
use crate::floor::floor;
use crate::kinds::{self, Gate};
use crate::meter::{Readings, peak_rss_mib};
use crate::shape::{Effect, Shape};

/// The raw writes that the floor is measured with: enough to be steady, few enough not to double the time.
const FLOOR_WRITES_MAX: u64 = 1_000;
const FLOOR_WRITES_MIN: u64 = 100;

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub struct Round {
    /// How the steps depend on each other.
    pub shape: Shape,
    /// What each does.
    pub effect: Effect,
    /// What is made durable together.
    pub commit: Commit,
}

/// Says why nothing could be measured.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The operating system refused.
    #[error("the operating system refused")]
    System(#[from] io::Error),
    /// sled alone failed.
    #[error(transparent)]
    Sled(#[from] sled::Error),
    /// The journal cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The journal failed.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The run failed.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The workflow that was made is none.
    #[error("the workflow is not valid: {}", .0.first().map_or("", |problem| problem.message.as_str()))]
    Workflow(Vec<Problem>),
    /// The run did not complete.
    #[error("the run did not complete: {0:?}")]
    Ended(RunEnd),
}

impl Round {
    /// Runs the shape in a new state directory below `dir`, which is removed afterwards.
    ///
    /// # Errors
    /// When the disk, the journal or the run fails.
    pub async fn measure(&self, dir: &Path) -> Result<Figures, BenchError> {
        let state_dir = tempfile::Builder::new().prefix("wf-bench-").tempdir_in(dir)?;
        let run = RunId::new(1, fastrand::u128(..));
        let journal = Arc::new(SledJournal::open(state_dir.path())?);
        let readings = Readings::begin();
        let began = Instant::now();
        driven(complete(*self, run.clone(), Arc::clone(&journal))).await?;
        let wall = began.elapsed();
        let (cpu_seconds, bytes_written, peak_rss_mib, syncs) =
            (readings.cpu_seconds(), readings.bytes_written(), peak_rss_mib(), journal.syncs());
        let records = journal.verify(&run).await?.records;
        let writes = syncs.clamp(FLOOR_WRITES_MIN, FLOOR_WRITES_MAX);
        let len = usize::try_from(bytes_written / syncs.max(1)).unwrap_or(usize::MAX);
        let floor = floor(state_dir.path(), writes, len)?;
        Ok(Figures {
            steps: self.shape.steps(),
            records,
            wall_seconds: wall.as_secs_f64(),
            cpu_seconds,
            peak_rss_mib,
            syncs,
            bytes_written,
            floor_sync_seconds: floor.as_secs_f64() / writes as f64,
        })
    }
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let effect = match self.effect {
            Effect::None => "",
            Effect::Intent => ", with intents",
        };
        let commit = match self.commit {
            Commit::Together => "",
            Commit::TwiceAStep => ", 2 syncs a step",
            Commit::EachRecord => ", a sync a record",
        };
        f.pad(&format!("{}{effect}{commit}", self.shape))
    }
}

/// Parses, binds and runs the shape's workflow to its end.
async fn complete(round: Round, run: RunId, journal: Arc<SledJournal>) -> Result<(), BenchError> {
    let workflow = Arc::new(Workflow::parse(&round.shape.text(round.effect)).map_err(BenchError::Workflow)?);
    let registry = Arc::new(kinds::registry(&Gate::default()));
    let plan = plan(&run, &registry, workflow)?;
    let (_controller, control) = channel();
    let journal: Arc<dyn Journal> = match round.commit {
        Commit::Together => journal,
        commit => Arc::new(Cut { journal, commit }),
    };
    match start(Runtime { journal, registry, clock: Arc::new(SystemClock), reporter: Box::new(Silent), control, workflow: None }, plan)
        .await?
    {
        RunEnd::Finished(RunOutcome::Completed) => Ok(()),
        other => Err(BenchError::Ended(other)),
    }
}

/// Drives a run in a task, as `wf` does.
pub(crate) async fn driven<T: Send + 'static>(run: impl Future<Output = Result<T, BenchError>> + Send + 'static) -> Result<T, BenchError> {
    tokio::spawn(run).await.map_err(|gone| BenchError::System(io::Error::other(gone)))?
}

/// Returns the plan of a new run of a workflow.
pub(crate) fn plan(run: &RunId, registry: &Registry, workflow: Arc<Workflow>) -> Result<StartPlan, BenchError> {
    let bound = registry.bind(Arc::clone(&workflow), &IndexMap::new(), &Imports::None).map_err(BenchError::Workflow)?;
    Ok(StartPlan {
        run: run.clone(),
        bound,
        file: "bench".to_owned(),
        inputs: IndexMap::new(),
        imports: IndexMap::new(),
        follows: None,
        mode: workflow.def().mode,
        drill: None,
        unfenced: Vec::new(),
        incident_at: None,
        max_parallel: None,
        approve_all: false,
        world: "bench".to_owned(),
        by: operator(),
    })
}

pub(crate) fn operator() -> Operator {
    Operator {
        user: "bench".to_owned(),
        host: "localhost".to_owned(),
        pid: std::process::id(),
        wf: env!("CARGO_PKG_VERSION").to_owned(),
        identity: None,
    }
}
