//! Starts a new run: what `wf run` and `wf failback` share.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::Value;
use wf_engine::clock::Clock as _;
use wf_engine::model::event::{Mode, clip};
use wf_engine::model::ids::RunId;
use wf_engine::model::workflow::Workflow;
use wf_engine::registry::{BoundWorkflow, Imports, Registry, resolve_inputs};
use wf_engine::runtime::{Replayed, StartPlan};
use wf_engine::step::Reversibility;

use crate::args::{RunOptions, Simulation};
use crate::console::Console;
use crate::diagnostics::Exit;
use crate::drive::{Drive, Way};
use crate::failure::Failure;
use crate::runs::Runs;
use crate::sim_world::{AWS, SIM, World, offline_registry};
use crate::source::Source;
use crate::{confirm, imports, operator, values, whoami};

/// The longest file name that is recorded: it is for the operator only.
const FILE_NAME_LEN_MAX: usize = 1024;

/// A run that is about to be started.
pub struct Launch<'a> {
    pub source: Source,
    pub workflow: Arc<Workflow>,
    pub options: &'a RunOptions,
    /// The run that it follows.
    pub follows: Option<Replayed>,
}

impl Launch<'_> {
    /// Checks everything that can be checked beforehand, asks for confirmation, and drives the run.
    pub async fn go(self, console: &mut Console, state_dir: &Path) -> Result<Exit, Failure> {
        if !self.options.sim && self.options.simulation != Simulation::default() {
            return Err(Failure::usage("--sim-speed and --sim-fault only have a place beside --sim"));
        }
        let given = values::inputs(self.options.inputs.as_deref(), &self.options.set)?;
        let inputs = resolve_inputs(&self.workflow, &given).map_err(|errors| {
            let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
            Failure::usage(errors.join("\n")).help(format!("the inputs are declared at the top of {}", self.source.path.display()))
        })?;
        let imports = match &self.follows {
            Some(followed) => imports::values(&self.source, &self.workflow, &inputs, followed)?,
            None => imports::none(&self.source, &self.workflow, &inputs)?,
        };
        let mode = self.options.mode.map_or(self.workflow.def().mode, Mode::from);
        let bound = self.bind(&offline_registry(), &inputs, &imports)?;
        let run = new_run_id();
        let mut by = operator::this();
        let plan = whoami::Plan { workflow: &self.workflow, inputs: &inputs, imports: &imports, mode };
        let (runs, world) = if self.options.sim {
            confirm::simulated(&bound, mode, self.options.sim_exec)?;
            let (runs, world) = (Runs::open(state_dir)?, World::sim(state_dir, &self.options.into(), &run)?);
            by.identity = whoami::ask(console, &world, &plan).await?;
            (runs, world)
        } else {
            confirm::possible(console, &bound, mode, self.options.yes)?;
            let world = World::aws(&run).await;
            by.identity = whoami::ask(console, &world, &plan).await?;
            confirm::run(console, &bound, mode, self.options.yes, by.identity.as_ref())?;
            (Runs::open(state_dir)?, world)
        };
        let bound = self.bind(&world.registry, &inputs, &imports)?;
        let plan = StartPlan {
            run: run.clone(),
            bound,
            file: clip(self.source.path.display().to_string(), FILE_NAME_LEN_MAX),
            inputs,
            imports,
            follows: self.follows.map(|followed| followed.header.run),
            mode,
            max_parallel: self.options.max_parallel,
            approve_all: self.options.yes,
            world: world.name.to_owned(),
            by,
        };
        let journal = Arc::clone(runs.journal());
        Drive { run, world, journal, workflow: self.workflow, earlier: Vec::new(), way: Way::Start(Box::new(plan)) }
            .go(console, &runs)
            .await
    }

    fn bind(
        &self,
        registry: &Registry,
        inputs: &IndexMap<String, Value>,
        imports: &IndexMap<String, Value>,
    ) -> Result<BoundWorkflow, Failure> {
        registry.bind(Arc::clone(&self.workflow), inputs, &Imports::Values(imports)).map_err(|problems| self.source.invalid(problems))
    }
}

/// Returns the world that the options choose.
pub fn world_name(options: &RunOptions) -> &'static str {
    if options.sim { SIM } else { AWS }
}

/// Ids sort by the time of the machine, not by that of the world: a simulated run started later is the later one.
fn new_run_id() -> RunId {
    let now = wf_engine::clock::SystemClock.now();
    RunId::new(now.as_millisecond().unsigned_abs(), fastrand::u128(..))
}

/// Returns the steps of a run in `mode` that change the world, and those of them that cannot be undone.
pub fn changes(bound: &BoundWorkflow, mode: Mode) -> (BTreeSet<usize>, BTreeSet<usize>) {
    let workflow = bound.workflow();
    let takes_part = |ix: &usize| workflow.step(*ix).only.is_none_or(|only| only == mode);
    let with = |wanted: &[Reversibility]| -> BTreeSet<usize> {
        (0..workflow.len()).filter(takes_part).filter(|&ix| wanted.contains(&bound.declared(ix).reversibility())).collect()
    };
    (with(&[Reversibility::Reversible, Reversibility::Irreversible]), with(&[Reversibility::Irreversible]))
}
