//! Starts a new run: what `wf run` and `wf failback` share.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::Value;
use wf_engine::clock::Clock as _;
use wf_engine::model::event::{Identity, Mode, clip};
use wf_engine::model::ids::RunId;
use wf_engine::model::occasion::Occasion;
use wf_engine::model::workflow::Workflow;
use wf_engine::plan::Looking;
use wf_engine::registry::{BoundWorkflow, Imports, Registry, resolve_inputs};
use wf_engine::runtime::{Replayed, StartPlan};
use wf_engine::step::Reversibility;

use crate::args::{Notify, RunOptions, Simulation};
use crate::console::Console;
use crate::diagnostics::Exit;
use crate::drive::{Drive, Way};
use crate::failure::Failure;
use crate::notify::Targets;
use crate::plan::{History, Place, Plan};
use crate::readiness::Readiness;
use crate::runs::Runs;
use crate::sim_world::{AWS, Opening, SIM, World, offline_registry};
use crate::source::Source;
use crate::{confirm, imports, operator, split_brain, values, whoami};

/// The longest file name that is recorded: it is for the operator only.
const FILE_NAME_LEN_MAX: usize = 1024;

/// A run that is about to be started.
pub struct Launch<'a> {
    pub source: Source,
    pub workflow: Arc<Workflow>,
    pub options: &'a RunOptions,
    /// The run that it follows.
    pub follows: Option<Replayed>,
    /// What is exercised, if it is a drill.
    pub drill: Option<Exercise>,
    /// What a watch has settled beforehand, if one starts it.
    pub watched: Option<Watched>,
}

/// What a watch settles before the run that it starts: it was confirmed when the watch began.
pub struct Watched {
    /// The run's id, under which the watch remembers it.
    pub run: RunId,
    /// Whether approvals are given in advance.
    pub approve: bool,
}

/// What a drill exercises.
pub struct Exercise {
    /// The environment's name.
    pub environment: String,
    /// Whether it may be production.
    pub production: bool,
}

impl Launch<'_> {
    /// Checks everything that can be checked beforehand, asks for confirmation, and drives the run.
    pub async fn go(self, console: &mut Console, state_dir: &Path, notify: &Notify) -> Result<Exit, Failure> {
        let notify = Targets::of(notify)?;
        let values = self.values()?;
        let bound = self.bind(&offline_registry(), &values)?;
        let unfenced = split_brain::risked(&self.workflow, values.occasion, self.options.accept_split_brain_risk)?;
        let run = self.watched.as_ref().map_or_else(new_run_id, |watched| watched.run.clone());
        let confirmed = self.options.yes || self.watched.is_some();
        let approve_all = self.watched.as_ref().map_or(self.options.yes, |watched| watched.approve);
        let mut by = operator::this();
        let (runs, world) = if self.options.sim {
            confirm::simulated(&bound, values.occasion, self.options.sim_exec)?;
            let (runs, world) = (Runs::open(state_dir)?, World::sim(state_dir, &self.opening(), &run)?);
            by.identity = whoami::ask(console, &world, &self.who(&values)).await?;
            (runs, world)
        } else {
            confirm::possible(console, &bound, values.occasion, confirmed)?;
            let world = World::aws(&run).await;
            by.identity = whoami::ask(console, &world, &self.who(&values)).await?;
            confirm::run(console, &bound, values.occasion, confirmed, by.identity.as_ref())?;
            (Runs::open(state_dir)?, world)
        };
        let bound = self.bind(&world.registry, &values)?;
        if let Some(exercise) = self.drill.as_ref().filter(|exercise| !exercise.production) {
            let looking = looking(&world, self.bind(&world.registry, &values)?, values.occasion);
            confirm::not_production(&looking, &exercise.environment).await?;
        }
        if let Some(reviewed) = &self.options.plan_hash {
            let place = Place { world: world.name, identity: by.identity.clone(), run: self.who(&values) };
            let looking = looking(&world, self.bind(&world.registry, &values)?, values.occasion);
            still(reviewed, &Plan::make(&looking, &History::default(), place).await)?;
        }
        let incident_at = self.options.incident_at.map(|since| since.before(world.clock.now()));
        let Values { inputs, imports, occasion } = values;
        let plan = StartPlan {
            run: run.clone(),
            bound,
            file: clip(self.source.path.display().to_string(), FILE_NAME_LEN_MAX),
            inputs,
            imports,
            follows: self.follows.map(|followed| followed.header.run),
            mode: occasion.mode,
            drill: self.drill.map(|exercise| exercise.environment),
            unfenced,
            incident_at,
            max_parallel: self.options.max_parallel,
            approve_all,
            world: world.name.to_owned(),
            by,
        };
        let journal = Arc::clone(runs.journal());
        Drive { run, world, journal, workflow: self.workflow, earlier: Vec::new(), way: Way::Start(Box::new(plan)), notify }
            .go(console, &runs)
            .await
    }

    /// Has the run confirmed that a watch is going to start, once `check` finds nothing against it.
    pub async fn confirm(
        &self,
        console: &mut Console,
        check: impl FnOnce(&BoundWorkflow, Occasion) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let values = self.values()?;
        let bound = self.bind(&offline_registry(), &values)?;
        split_brain::risked(&self.workflow, values.occasion, self.options.accept_split_brain_risk)?;
        check(&bound, values.occasion)?;
        if self.options.sim {
            return confirm::simulated(&bound, values.occasion, self.options.sim_exec);
        }
        confirm::possible(console, &bound, values.occasion, self.options.yes)?;
        let world = World::aws(&new_run_id()).await;
        let who = whoami::ask(console, &world, &self.who(&values)).await?;
        confirm::run(console, &bound, values.occasion, self.options.yes, who.as_ref())
    }

    /// Binds the workflow without a look at anything; returns its inputs, too.
    pub fn bound(&self) -> Result<(BoundWorkflow, IndexMap<String, Value>), Failure> {
        let values = self.values()?;
        let bound = self.bind(&offline_registry(), &values)?;
        Ok((bound, values.inputs))
    }

    /// Looks at the world, and says what the run would do there.
    pub async fn plan(&self, console: &mut Console, state_dir: &Path, history: &History) -> Result<Plan, Failure> {
        let (world, identity, values, bound) = self.opened(console, state_dir).await?;
        let place = Place { world: world.name, identity, run: self.who(&values) };
        Ok(Plan::make(&looking(&world, bound, values.occasion), history, place).await)
    }

    /// Looks at the world, and says whether the run would work there.
    pub async fn readiness(&self, console: &mut Console, state_dir: &Path, rights_of: Option<&str>) -> Result<Readiness, Failure> {
        let (world, identity, values, bound) = self.opened(console, state_dir).await?;
        let place = Place { world: world.name, identity, run: self.who(&values) };
        Readiness::make(self.source.path.clone(), &looking(&world, bound, values.occasion), place, &world, rights_of).await
    }

    /// Opens the world only to look at it. Whatever is wrong with the file is told before.
    async fn opened(&self, console: &mut Console, state_dir: &Path) -> Result<(World, Option<Identity>, Values, BoundWorkflow), Failure> {
        let values = self.values()?;
        self.bind(&offline_registry(), &values)?;
        let run = new_run_id();
        let world = if self.options.sim { World::sim(state_dir, &self.opening(), &run)? } else { World::aws(&run).await };
        let identity = whoami::ask(console, &world, &self.who(&values)).await?;
        let bound = self.bind(&world.registry, &values)?;
        Ok((world, identity, values, bound))
    }

    /// A drill begins in a quiet world, in which the environment has its name.
    fn opening(&self) -> Opening {
        Opening::from(self.options).of_environment(self.drill.as_ref().map(|exercise| exercise.environment.clone()))
    }

    /// Puts together the values that the run would have.
    fn values(&self) -> Result<Values, Failure> {
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
        let def = self.workflow.def();
        let occasion = def.occasion(self.options.mode.map_or(def.mode, Mode::from), self.drill.is_some());
        Ok(Values { inputs, imports, occasion })
    }

    fn who<'a>(&'a self, values: &'a Values) -> whoami::Plan<'a> {
        whoami::Plan { workflow: &self.workflow, inputs: &values.inputs, imports: &values.imports, occasion: values.occasion }
    }

    fn bind(&self, registry: &Registry, values: &Values) -> Result<BoundWorkflow, Failure> {
        let bound = registry.bind(Arc::clone(&self.workflow), &values.inputs, &Imports::Values(&values.imports));
        bound.map_err(|problems| self.source.invalid(problems))
    }
}

/// The values of a run to be.
struct Values {
    inputs: IndexMap<String, Value>,
    imports: IndexMap<String, Value>,
    occasion: Occasion,
}

fn looking(world: &World, bound: BoundWorkflow, occasion: Occasion) -> Looking {
    Looking { bound: Arc::new(bound), registry: Arc::clone(&world.registry), clock: Arc::clone(&world.clock), occasion, run: new_run_id() }
}

/// Refuses a run that is no longer the one that was reviewed.
fn still(reviewed: &str, plan: &Plan) -> Result<(), Failure> {
    if plan.hash == reviewed {
        return Ok(());
    }
    Err(Failure::refused(format!("nothing was done: the plan is no longer {}, it is {} now", reviewed.escape_debug(), plan.hash))
        .help("the file, the inputs or the world have changed since: look at `wf plan` again"))
}

/// Returns the world that the options choose.
pub fn world_name(options: &RunOptions) -> &'static str {
    if options.sim { SIM } else { AWS }
}

/// Ids sort by the time of the machine, not by that of the world: a simulated run started later is the later one.
pub fn new_run_id() -> RunId {
    let now = wf_engine::clock::SystemClock.now();
    RunId::new(now.as_millisecond().unsigned_abs(), fastrand::u128(..))
}

/// Returns the steps of such a run that change the world, and those of them that cannot be undone.
pub fn changes(bound: &BoundWorkflow, occasion: Occasion) -> (BTreeSet<usize>, BTreeSet<usize>) {
    let workflow = bound.workflow();
    let takes_part = |ix: &usize| workflow.step(*ix).takes_part(occasion);
    let with = |wanted: &[Reversibility]| -> BTreeSet<usize> {
        (0..workflow.len()).filter(takes_part).filter(|&ix| wanted.contains(&bound.declared(ix).reversibility())).collect()
    };
    (with(&[Reversibility::Reversible, Reversibility::Irreversible]), with(&[Reversibility::Irreversible]))
}
