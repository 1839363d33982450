//! Drives runs in tests: on a [`MemoryJournal`], in a [`FakeWorld`], on tokio's paused clock.

use std::sync::Arc;

use indexmap::IndexMap;

use super::crash::Stage;
use super::{FakeWorld, MemoryJournal, fake_world};
use crate::clock::{Clock as _, SystemClock};
use crate::model::event::{Event, Mode, Operator};
use crate::model::ids::RunId;
use crate::model::run_state::RunState;
use crate::model::workflow::Workflow;
use crate::registry::{Imports, Registry, resolve_inputs};
use crate::report::Silent;
use crate::runtime::{self, Adoption, Controller, Order, ResumePlan, RollbackRequest, RunEnd, RunError, Runtime, StartPlan, channel};

/// One run of a workflow text, and what it needs.
#[derive(Clone)]
pub struct TestRun {
    /// Its id.
    pub run: RunId,
    /// Its workflow.
    pub text: String,
    /// Where it is recorded; survives a crash.
    pub journal: MemoryJournal,
    /// What it acts on; survives a crash.
    pub world: FakeWorld,
    /// Whether its approvals are given in advance.
    pub approve_all: bool,
    /// Whether the failing side still works with us.
    pub mode: Mode,
    /// Whether it is an exercise.
    pub drill: bool,
}

/// Returns somebody.
pub fn somebody() -> Operator {
    Operator { user: "tester".to_owned(), host: "localhost".to_owned(), pid: 1, wf: "test".to_owned(), identity: None }
}

impl TestRun {
    /// Prepares a run of the given steps, in a new world.
    pub fn of_steps(steps: &str) -> Self {
        Self::of(&format!("Workflow(name: \"test\", steps: [{steps}])"))
    }

    /// Prepares a run of the given workflow, in a new world.
    pub fn of(text: &str) -> Self {
        Self {
            run: RunId::new(1, 1),
            text: text.to_owned(),
            journal: MemoryJournal::new(),
            world: FakeWorld::default(),
            approve_all: true,
            mode: Mode::Unplanned,
            drill: false,
        }
    }

    fn runtime(&self) -> (Runtime, Controller) {
        let (controller, control) = channel();
        let registry = Arc::new(fake_world::registry(&self.world));
        (
            Runtime {
                journal: Arc::new(self.journal.clone()),
                registry,
                clock: Arc::new(SystemClock),
                reporter: Box::new(Silent),
                control,
                workflow: None,
            },
            controller,
        )
    }

    /// Starts the run.
    ///
    /// # Errors
    /// As [`runtime::start`].
    pub async fn start(&self) -> Result<RunEnd, RunError> {
        let (future, _controller) = self.starting();
        future.await
    }

    /// Starts the run, and returns the means to order it about.
    pub fn starting(&self) -> (impl Future<Output = Result<RunEnd, RunError>> + Send + 'static, Controller) {
        let (runtime, controller) = self.runtime();
        let plan = self.plan(&runtime.registry);
        (runtime::start(runtime, plan), controller)
    }

    fn plan(&self, registry: &Registry) -> StartPlan {
        let workflow = Arc::new(Workflow::parse(&self.text).expect("a valid workflow"));
        let inputs = resolve_inputs(&workflow, &[]).expect("no inputs are needed");
        let bound = registry.bind(workflow, &inputs, &Imports::None).expect("known kinds");
        StartPlan {
            run: self.run.clone(),
            bound,
            file: "test.ron".to_owned(),
            inputs,
            imports: IndexMap::new(),
            follows: None,
            mode: self.mode,
            drill: self.drill.then(|| "a test".to_owned()),
            unfenced: Vec::new(),
            incident_at: None,
            max_parallel: None,
            approve_all: self.approve_all,
            world: "test".to_owned(),
            by: somebody(),
        }
    }

    /// Returns the run as something that is to die and live again: its journal is then its own.
    pub fn stage(&self) -> Stage<'_> {
        let (registry, plan) = (|| fake_world::registry(&self.world), |registry: &Registry| self.plan(registry));
        Stage { run: self.run.clone(), clock: Arc::new(SystemClock), registry: Box::new(registry), plan: Box::new(plan) }
    }

    /// Resumes the run as a new process would.
    ///
    /// # Errors
    /// As [`runtime::resume`].
    pub async fn resume(&self) -> Result<RunEnd, RunError> {
        self.resume_with(Vec::new(), Vec::new()).await
    }

    /// Resumes the run with decisions about its steps.
    ///
    /// # Errors
    /// As [`runtime::resume`].
    pub async fn resume_with(&self, redo: Vec<&str>, mark_done: Vec<&str>) -> Result<RunEnd, RunError> {
        let (runtime, _controller) = self.runtime();
        let redo = redo.into_iter().map(|id| id.parse().expect("an id")).collect();
        let mark_done = mark_done.into_iter().map(|id| (id.parse().expect("an id"), serde_json::Map::new())).collect();
        let plan = ResumePlan { by: somebody(), approve_all: self.approve_all, redo, mark_done, adopt: None };
        runtime::resume(runtime, &self.run, plan).await
    }

    /// Resumes the run with an edited workflow.
    ///
    /// # Errors
    /// As [`runtime::resume`].
    pub async fn resume_edited(&self, text: &str) -> Result<RunEnd, RunError> {
        let (runtime, _controller) = self.runtime();
        let workflow = Arc::new(Workflow::parse(text).expect("a valid workflow"));
        let adopt = Some(Adoption { workflow, file: "edited.ron".to_owned() });
        let plan = ResumePlan { by: somebody(), approve_all: self.approve_all, redo: Vec::new(), mark_done: Vec::new(), adopt };
        runtime::resume(runtime, &self.run, plan).await
    }

    /// Rolls the run back.
    ///
    /// # Errors
    /// As [`runtime::rollback`].
    pub async fn rollback(&self, past_point_of_no_return: bool) -> Result<RunEnd, RunError> {
        let (runtime, _controller) = self.runtime();
        runtime::rollback(runtime, &self.run, RollbackRequest { by: somebody(), reason: "a test".to_owned(), past_point_of_no_return })
            .await
    }

    /// Orders something of the run that no process drives.
    ///
    /// # Errors
    /// As [`runtime::order`].
    pub async fn order(&self, order: Order) -> Result<(), RunError> {
        runtime::order(&self.journal, SystemClock.now(), &self.run, (order, somebody(), "a test".to_owned())).await
    }

    /// Returns the run as another process finds it after this one died.
    #[must_use]
    pub fn crashed(&self) -> Self {
        Self { journal: self.journal.crash(), ..self.clone() }
    }

    /// Returns every event on record.
    pub fn events(&self) -> Vec<Event> {
        self.journal.records(&self.run).expect("an intact journal").into_iter().map(|record| record.event).collect()
    }

    /// Returns the fold of the journal.
    pub fn state(&self) -> RunState {
        let records = self.journal.records(&self.run).expect("an intact journal");
        runtime::replay(&self.run, &records).expect("a whole run").state
    }
}
