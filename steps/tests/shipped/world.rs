//! One simulated world and the runs on it.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_eks::types::NodegroupScalingConfig;
use serde_json::Value;
use wf_engine::clock::{Clock, between};
use wf_engine::model::event::{Mode, StepFailure};
use wf_engine::model::ids::RunId;
use wf_engine::model::run_state::{RunState, StepState};
use wf_engine::model::workflow::Workflow;
use wf_engine::plan::Looking;
use wf_engine::readiness::StepReadiness;
use wf_engine::registry::{Imports, Registry, collect_imports, resolve_inputs};
use wf_engine::report::Silent;
use wf_engine::runtime::{self, ResumePlan, RunEnd, Runtime, StartPlan, channel};
use wf_engine::testkit::{MemoryJournal, somebody};
use wf_sim::{DEFAULT_WORLD, Sim, SimOptions};
use wf_steps::aws::Cloud;

use crate::virtual_clock::Virtual;

/// The default world on its bad night, and what acts on it.
pub struct Shipped {
    pub sim: Sim,
    clock: Arc<dyn Clock>,
    registry: Arc<Registry>,
    journal: MemoryJournal,
    /// Tells the runs of one world from those of another, where that matters.
    seed: u64,
}

/// A run that ended, for now.
pub struct Ended {
    pub run: RunId,
    pub end: RunEnd,
    journal: MemoryJournal,
}

impl Ended {
    pub fn state(&self) -> RunState {
        runtime::replay(&self.run, &self.journal.records(&self.run).unwrap()).unwrap().state
    }

    pub fn step(&self, id: &str) -> StepState {
        let state = self.state();
        state.step(state.workflow().find(&id.parse().unwrap()).unwrap()).clone()
    }

    pub fn failures(&self) -> Vec<(String, StepFailure)> {
        let state = self.state();
        let failure = |ix: usize| Some((state.workflow().id(ix).to_string(), state.step(ix).failure.clone()?));
        (0..state.workflow().len()).filter_map(failure).collect()
    }
}

impl Shipped {
    pub fn burning(faults: &[&str]) -> Self {
        Self::seeded(None, faults)
    }

    pub fn seeded(seed: Option<u64>, faults: &[&str]) -> Self {
        Self::in_world(DEFAULT_WORLD, seed, faults)
    }

    /// A world of another text than the default one.
    pub fn in_world(world: &str, seed: Option<u64>, faults: &[&str]) -> Self {
        let faults = faults.iter().map(|fault| fault.parse().unwrap()).collect();
        let options = SimOptions { world: world.parse().unwrap(), state_dir: None, speed: 1.0, seed, faults };
        let sim = Sim::open(options).unwrap();
        let clock: Arc<dyn Clock> = Arc::new(Virtual(sim.clock()));
        let registry = Arc::new(wf_steps::registry(Cloud::with_http_client(sim.http_client(), Arc::clone(&clock))));
        Self { sim, clock, registry, journal: MemoryJournal::new(), seed: seed.unwrap_or(1) }
    }

    fn runtime(&self) -> (Runtime, runtime::Controller) {
        let (controller, control) = channel();
        let (journal, registry, clock) = (Arc::new(self.journal.clone()), Arc::clone(&self.registry), Arc::clone(&self.clock));
        (Runtime { journal, registry, clock, reporter: Box::new(Silent), control, workflow: None }, controller)
    }

    pub async fn run(&self, file: &str, adjust: impl FnOnce(&mut StartPlan)) -> Ended {
        self.start(file, None, &[], adjust).await
    }

    /// Runs a workflow with these inputs.
    pub async fn run_with(&self, file: &str, given: &[(String, Value)]) -> Ended {
        self.start(file, None, given, |_| {}).await
    }

    pub async fn follow(&self, file: &str, followed: &Ended) -> Ended {
        self.start(file, Some(followed), &[], |_| {}).await
    }

    /// Runs a workflow that follows a run, with values given by hand.
    pub async fn follow_with(&self, file: &str, followed: &Ended, given: &[(String, Value)]) -> Ended {
        self.start(file, Some(followed), given, |_| {}).await
    }

    async fn start(&self, file: &str, followed: Option<&Ended>, given: &[(String, Value)], adjust: impl FnOnce(&mut StartPlan)) -> Ended {
        self.start_text(&text_of(file), file, followed, given, adjust).await
    }

    /// Runs a workflow that is no file.
    pub async fn run_text(&self, text: &str) -> Ended {
        self.start_text(text, "changed.ron", None, &[], |_| {}).await
    }

    async fn start_text(
        &self,
        text: &str,
        file: &str,
        followed: Option<&Ended>,
        given: &[(String, Value)],
        adjust: impl FnOnce(&mut StartPlan),
    ) -> Ended {
        let workflow = Arc::new(Workflow::parse(text).unwrap());
        let inputs = resolve_inputs(&workflow, given).unwrap();
        let imports = followed.map(|ended| collect_imports(&workflow, &inputs, &ended.state()).unwrap()).unwrap_or_default();
        let bound = self.registry.bind(Arc::clone(&workflow), &inputs, &Imports::Values(&imports)).unwrap();
        let run = RunId::new(u64::try_from(self.clock.now().as_millisecond()).unwrap(), self.seed.into());
        let mut plan = StartPlan {
            run: run.clone(),
            bound,
            file: file.to_owned(),
            inputs,
            imports,
            follows: followed.map(|ended| ended.run.clone()),
            mode: Mode::Unplanned,
            drill: None,
            unfenced: Vec::new(),
            incident_at: None,
            max_parallel: None,
            approve_all: true,
            world: "sim".to_owned(),
            by: somebody(),
        };
        adjust(&mut plan);
        let (runtime, _controller) = self.runtime();
        let end = runtime::start(runtime, plan).await.unwrap();
        Ended { run, end, journal: self.journal.clone() }
    }

    pub async fn resume(&self, _file: &str, ended: &Ended) -> Ended {
        let (runtime, _controller) = self.runtime();
        let plan = ResumePlan { by: somebody(), approve_all: true, redo: Vec::new(), mark_done: Vec::new(), adopt: None };
        let end = runtime::resume(runtime, &ended.run, plan).await.unwrap();
        Ended { run: ended.run.clone(), end, journal: self.journal.clone() }
    }

    /// Checks a workflow, as `wf check --live` does. By step.
    pub async fn readiness(&self, text: &str, mode: Mode) -> Vec<(String, StepReadiness)> {
        let workflow = Arc::new(Workflow::parse(text).unwrap());
        let inputs = resolve_inputs(&workflow, &[]).unwrap();
        let bound = self.registry.bind(Arc::clone(&workflow), &inputs, &Imports::None).unwrap();
        let run = RunId::new(1, self.seed.into());
        let (registry, clock) = (Arc::clone(&self.registry), Arc::clone(&self.clock));
        let looking = Looking { bound: Arc::new(bound), registry, clock, occasion: workflow.def().occasion(mode, false), run };
        looking.readiness().await.into_iter().map(|readiness| (workflow.id(readiness.step).to_string(), readiness)).collect()
    }

    fn cloud(&self) -> Cloud {
        Cloud::with_http_client(self.sim.http_client(), Arc::clone(&self.clock))
    }

    /// Has somebody else change the replica: it does not take another change for a minute.
    pub async fn change_the_replica(&self) {
        let call = self.cloud().rds("us-west-2").modify_db_instance().db_instance_identifier("prod-db-replica-west");
        call.multi_az(true).apply_immediately(true).send().await.unwrap();
        self.clock.sleep(Duration::from_secs(20)).await;
    }

    /// Has somebody else scale the standby nodes: EKS does not take another change for two minutes.
    pub async fn change_the_nodes(&self) {
        let sizes = NodegroupScalingConfig::builder().min_size(0).desired_size(1).max_size(20).build();
        let call = self.cloud().eks("us-west-2").update_nodegroup_config().cluster_name("production-dr").nodegroup_name("general");
        call.scaling_config(sizes).send().await.unwrap();
    }

    /// How many calls of an action took effect.
    pub fn effective(&self, action: &str) -> usize {
        self.sim.calls().iter().filter(|call| call.effective && call.action == action).count()
    }

    /// What the user of the site in the clusters saw.
    pub fn shop(&self) -> Value {
        self.sim.status()["shop_traffic"].take()
    }

    pub fn now(&self) -> jiff::Timestamp {
        self.clock.now()
    }

    /// Lets time pass until so many minutes after a moment.
    pub async fn pass_until(&self, began: jiff::Timestamp, minutes: u64) {
        let passed = between(began, self.clock.now());
        self.clock.sleep(Duration::from_secs(60 * minutes).saturating_sub(passed)).await;
    }

    pub async fn pass_minutes(&self, minutes: u64) {
        self.clock.sleep(Duration::from_secs(60 * minutes)).await;
    }
}

/// The default world, but that its application keeps a write lease.
pub fn with_a_lease() -> String {
    let world = DEFAULT_WORLD.replace("// lease: (region:", "lease: (region:");
    assert_ne!(world, DEFAULT_WORLD, "the world file tells how the application keeps a lease");
    world
}

/// Reads a shipped workflow.
pub fn text_of(file: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../workflows").join(file);
    std::fs::read_to_string(&path).unwrap()
}

/// From the first start to the last end.
pub fn makespan(state: &RunState) -> Duration {
    let starts = state.steps().iter().filter_map(|step| step.started_at).min().unwrap();
    let ends = state.steps().iter().filter_map(|step| step.ended_at).max().unwrap();
    between(starts, ends)
}

/// The longest way through the workflow, by the steps' own durations.
pub fn critical_path(state: &RunState) -> Duration {
    let duration = |ix: usize| match (state.step(ix).started_at, state.step(ix).ended_at) {
        (Some(start), Some(end)) => between(start, end),
        _ => Duration::ZERO,
    };
    state.workflow().remaining(duration).into_iter().max().unwrap()
}
