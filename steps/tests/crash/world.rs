//! One simulated world for each trial, and what can be said of it at the end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use serde_json::Value;
use wf_engine::clock::Clock;
use wf_engine::model::ids::RunId;
use wf_engine::model::workflow::Workflow;
use wf_engine::registry::{Imports, Registry, resolve_inputs};
use wf_engine::runtime::StartPlan;
use wf_engine::testkit::crash::Stage;
use wf_engine::testkit::somebody;
use wf_sim::{DEFAULT_WORLD, Sim, SimOptions, WorldDef};
use wf_steps::aws::Cloud;

use crate::routing_controls;
use crate::sizes::sizes;
use crate::virtual_clock::Virtual;

/// Where every trial of a scenario begins.
#[derive(Clone, Default)]
pub struct Origin {
    /// A kept world to begin in; none means the night of the fire.
    pub kept: Option<PathBuf>,
    /// What goes wrong there on purpose.
    pub faults: Vec<&'static str>,
    /// What the run takes over from the one it follows.
    pub imports: IndexMap<String, Value>,
    /// What the run is given.
    pub inputs: Vec<(String, Value)>,
    /// Whether the records follow routing controls of ARC.
    pub routing_controls: bool,
}

/// A world of a trial's own.
pub struct Trial {
    pub sim: Sim,
    pub clock: Arc<dyn Clock>,
    imports: IndexMap<String, Value>,
    inputs: Vec<(String, Value)>,
    calls_before: usize,
    _dir: Option<tempfile::TempDir>,
}

/// What is compared: the world without its measurements.
#[derive(Debug, PartialEq)]
pub struct Result {
    pub world: Value,
    pub split_brain_rows: u64,
    pub serving_region: Option<String>,
}

/// Which call, about what, with which parameters.
pub type Call = (String, String, String);

impl Trial {
    pub fn begin(origin: &Origin) -> Self {
        let dir = origin.kept.as_ref().map(|kept| copied(kept));
        let faults = origin.faults.iter().map(|fault| fault.parse().unwrap()).collect();
        let state_dir = dir.as_ref().map(|dir| dir.path().to_owned());
        let world = if origin.routing_controls { brisk_world(&routing_controls::world()) } else { brisk_world(DEFAULT_WORLD) };
        let sim = Sim::open(SimOptions { world, state_dir, speed: 1.0, seed: None, faults }).unwrap();
        let clock = Arc::new(Virtual(sim.clock()));
        let calls_before = sim.calls().len();
        Self { sim, clock, imports: origin.imports.clone(), inputs: origin.inputs.clone(), calls_before, _dir: dir }
    }

    /// Begins in the night of the fire, in a directory in which the world stays.
    pub fn kept_in(dir: &Path) -> Self {
        let options =
            SimOptions { world: brisk_world(DEFAULT_WORLD), state_dir: Some(dir.to_owned()), speed: 1.0, seed: None, faults: vec![] };
        let sim = Sim::open(options).unwrap();
        let clock = Arc::new(Virtual(sim.clock()));
        Self { sim, clock, imports: IndexMap::new(), inputs: Vec::new(), calls_before: 0, _dir: None }
    }

    /// Puts a shipped workflow on the stage.
    pub fn stage<'a>(&'a self, workflow: &'a Arc<Workflow>) -> Stage<'a> {
        let run = RunId::new(1, 1);
        let of_run = run.clone();
        let plan = move |registry: &Registry| {
            let inputs = resolve_inputs(workflow, &self.inputs).unwrap();
            let bound = registry.bind(Arc::clone(workflow), &inputs, &Imports::Values(&self.imports)).unwrap();
            StartPlan {
                run: of_run.clone(),
                bound,
                file: "shipped.ron".to_owned(),
                inputs,
                imports: self.imports.clone(),
                follows: None,
                mode: workflow.def().mode,
                drill: None,
                unfenced: Vec::new(),
                incident_at: None,
                max_parallel: None,
                approve_all: true,
                world: "sim".to_owned(),
                by: somebody(),
            }
        };
        let registry = || wf_steps::registry(Cloud::with_http_client(self.sim.http_client(), Arc::clone(&self.clock)));
        Stage { run, clock: Arc::clone(&self.clock), registry: Box::new(registry), plan: Box::new(plan) }
    }

    /// Lets what the run began come to rest, so that worlds of different pasts can be compared.
    pub async fn result(&self) -> Result {
        self.clock.sleep(Duration::from_secs(5 * 60)).await;
        let (status, traffic) = (self.sim.status(), self.sim.traffic());
        let world = ["regions", "dns", "routing_controls"].iter().map(|part| sizes(&status[part])).collect();
        Result { world, split_brain_rows: traffic.split_brain_rows, serving_region: traffic.serving_region }
    }

    /// Counts the calls of this run that changed the world. Messages are left out: they are delivered at least once.
    pub fn effects(&self) -> BTreeMap<Call, usize> {
        let mut effects = BTreeMap::new();
        for mut call in self.sim.calls().into_iter().skip(self.calls_before).filter(|call| call.effective && call.action != "Publish") {
            // When a rollout was asked for is another moment in each trial; that there is one is what counts.
            if let Some(at) = call.params.pointer_mut("/spec/template/metadata/annotations/kubectl.kubernetes.io~1restartedAt") {
                *at = "some time".into();
            }
            *effects.entry((call.action, call.resource, call.params.to_string())).or_default() += 1;
        }
        effects
    }
}

pub fn path_of(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../workflows").join(file)
}

pub fn shipped(file: &str) -> Arc<Workflow> {
    Arc::new(Workflow::parse(&std::fs::read_to_string(path_of(file)).unwrap()).unwrap())
}

fn copied(kept: &Path) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for file in ["world.json", "calls.jsonl"] {
        std::fs::copy(kept.join(file), dir.path().join(file)).unwrap();
    }
    dir
}

/// A world like the default one, in which everything takes a fraction of its time: most of a trial would go into asking whether it is done.
fn brisk_world(world: &str) -> WorldDef {
    let brisk = [
        ("promote: (min: 300, max: 480)", "promote: (min: 30, max: 45)"),
        ("create_replica: (min: 1200, max: 2400)", "create_replica: (min: 30, max: 45)"),
        ("replica_catch_up: (min: 60, max: 180)", "replica_catch_up: (min: 5, max: 15)"),
        ("modify: (min: 60, max: 180)", "modify: (min: 15, max: 45)"),
        ("delete: (min: 120, max: 240)", "delete: (min: 30, max: 60)"),
        ("instance_launch: (min: 60, max: 120)", "instance_launch: (min: 20, max: 40)"),
        ("instance_terminate: (min: 20, max: 45)", "instance_terminate: (min: 15, max: 30)"),
        ("dns_insync: (min: 20, max: 60)", "dns_insync: (min: 5, max: 15)"),
        ("nodegroup_update: (min: 120, max: 180)", "nodegroup_update: (min: 20, max: 30)"),
        ("ingress_address: (min: 60, max: 150)", "ingress_address: (min: 10, max: 20)"),
        ("backup: (min: 40, max: 90)", "backup: (min: 10, max: 20)"),
        ("restore: (min: 60, max: 120)", "restore: (min: 10, max: 20)"),
    ];
    let shorten = |world: String, (long, short): (&str, &str)| {
        assert!(world.contains(long), "the world file has no `{long}`");
        world.replace(long, short)
    };
    brisk.into_iter().fold(world.to_owned(), shorten).parse().unwrap()
}
