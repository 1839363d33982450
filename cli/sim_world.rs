//! Where a run acts: the real AWS, or the simulated one in the state directory. Both come with the clock and the step kinds that go with them.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use wf_engine::clock::{Clock, Sleep, SystemClock};
use wf_engine::model::event::Mode;
use wf_engine::model::ids::{IdError, RunId};
use wf_engine::registry::Registry;
use wf_engine::runtime::Replayed;
use wf_engine::step::StepContext;
use wf_sim::{DEFAULT_WORLD, Sim, SimClock, SimOptions, WorldDef};
use wf_steps::aws::Cloud;

use crate::args::{RunOptions, Simulation};
use crate::failure::Failure;
use crate::source::Source;

/// What a run header calls the two worlds.
pub const AWS: &str = "aws";
pub const SIM: &str = "sim";

/// How much faster than life a simulated world runs when nobody says.
const SPEED_DEFAULT: f64 = 60.0;
/// The file that remembers it.
const SPEED_FILE: &str = "speed";

/// A world that a run can act on.
pub struct World {
    pub name: &'static str,
    pub cloud: Cloud,
    pub registry: Arc<Registry>,
    pub clock: Arc<dyn Clock>,
    pub sim: Option<Sim>,
}

/// How a simulated world is opened.
#[derive(Default)]
pub struct Opening {
    simulation: Simulation,
    seed: Option<u64>,
    world: Option<PathBuf>,
    /// The environment that a drill exercises.
    environment: Option<String>,
    /// What a run has seen of its time.
    earliest: Option<Timestamp>,
}

impl Opening {
    /// Begins a new world as a drill of an environment needs it.
    pub fn of_environment(self, environment: Option<String>) -> Self {
        Self { environment, ..self }
    }
}

impl From<&Simulation> for Opening {
    fn from(simulation: &Simulation) -> Self {
        Self { simulation: simulation.clone(), ..Self::default() }
    }
}

impl From<&RunOptions> for Opening {
    fn from(options: &RunOptions) -> Self {
        Self { simulation: options.simulation.clone(), seed: options.sim_seed, world: options.sim_world.clone(), ..Self::default() }
    }
}

impl World {
    /// Reaches the real AWS, for a run.
    pub async fn aws(run: &RunId) -> Self {
        let cloud = Cloud::live().await.with_session_name(&session_name(run));
        Self { name: AWS, registry: Arc::new(wf_steps::registry(cloud.clone())), cloud, clock: Arc::new(SystemClock), sim: None }
    }

    /// Opens the simulated AWS of a state directory, beginning it if there is none.
    pub fn sim(state_dir: &Path, opening: &Opening, run: &RunId) -> Result<Self, Failure> {
        let sim = open(state_dir, opening)?;
        let clock: Arc<dyn Clock> = Arc::new(VirtualClock(sim.clock()));
        let cloud = Cloud::with_http_client(sim.http_client(), Arc::clone(&clock)).with_session_name(&session_name(run));
        Ok(Self { name: SIM, registry: Arc::new(wf_steps::registry(cloud.clone())), cloud, clock, sim: Some(sim) })
    }

    /// Makes what a look at the world takes that belongs to no run's step.
    pub fn context(&self, run: RunId, name: &str) -> Result<StepContext<Cloud>, Failure> {
        Ok(StepContext {
            run,
            step: name.parse().map_err(|error: IdError| Failure::usage(error.to_string()))?,
            attempt: 1,
            generation: 0,
            mode: Mode::Planned,
            clock: Arc::clone(&self.clock),
            signals: Arc::new(drop),
            env: self.cloud.clone(),
        })
    }

    /// Opens the world that a run acts on, by the name in its header. In a simulated one it is no earlier than in the run's last record.
    pub async fn of_run(replayed: &Replayed, state_dir: &Path, simulation: &Simulation) -> Result<Self, Failure> {
        let run = &replayed.header.run;
        match replayed.header.world.as_str() {
            SIM => Self::sim(state_dir, &Opening { earliest: replayed.state.last_at(), ..simulation.into() }, run),
            AWS if *simulation != Simulation::default() => {
                Err(Failure::usage("this run acts on the real AWS: --sim-speed and --sim-fault have no place there"))
            }
            AWS => Ok(Self::aws(run).await),
            other => Err(Failure::refused(format!("the run acts on `{}`, which this wf does not know", other.escape_debug()))
                .help("resume it with the wf that started it")),
        }
    }
}

/// Names the sessions of the roles that a run takes on.
fn session_name(run: &RunId) -> String {
    format!("wf-{run}")
}

/// Returns the step kinds without a way to anywhere: for looking at files and kinds.
pub fn offline_registry() -> Registry {
    wf_steps::registry(Cloud::offline())
}

/// Returns where the simulated world is kept.
pub fn dir(state_dir: &Path) -> PathBuf {
    state_dir.join("sim")
}

/// Returns the speed at which the simulated world of a state directory ran last, or runs.
pub fn speed(state_dir: &Path) -> f64 {
    let remembered = fs::read_to_string(dir(state_dir).join(SPEED_FILE)).ok();
    remembered.and_then(|text| crate::values::speed(text.trim()).ok()).unwrap_or(SPEED_DEFAULT)
}

/// Returns a clock that shows the time of a run that another process drives: it was `now` there just now.
pub fn clock_of(world: &str, now: Timestamp, state_dir: &Path) -> Arc<dyn Clock> {
    if world == SIM { Arc::new(VirtualClock(SimClock::scaled(now, speed(state_dir)))) } else { Arc::new(SystemClock) }
}

/// Opens the simulated AWS of a state directory. Its speed is remembered for whoever opens it next and does not say.
pub fn open(state_dir: &Path, opening: &Opening) -> Result<Sim, Failure> {
    let dir = dir(state_dir);
    let world = match &opening.world {
        Some(file) => Source::read(file)?.text,
        None => opening.environment.as_deref().map_or_else(|| DEFAULT_WORLD.to_owned(), quiet_world),
    };
    let world: WorldDef = world.parse().map_err(wf_sim::SimError::from)?;
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&dir);
    made.map_err(|source| Failure::Files { path: dir.clone(), doing: "made", source })?;
    let speed_file = dir.join(SPEED_FILE);
    let speed = opening.simulation.sim_speed.unwrap_or_else(|| speed(state_dir));
    let options = SimOptions { world, state_dir: Some(dir), speed, seed: opening.seed, faults: opening.simulation.sim_fault.clone() };
    let sim = Sim::open_not_before(options, opening.earliest.unwrap_or(Timestamp::MIN))?;
    if let Err(error) = fs::write(&speed_file, format!("{speed}\n")) {
        tracing::warn!(%error, "the speed of the simulated world was not kept");
    }
    Ok(sim)
}

/// Returns the default world without its incident, in which what is called after production there is called after an environment.
fn quiet_world(environment: &str) -> String {
    let lines = DEFAULT_WORLD.lines().filter(|line| !line.trim_start().starts_with("incident:"));
    let quiet = lines.collect::<Vec<_>>().join("\n");
    if environment.starts_with("prod") {
        return quiet;
    }
    let domain = format!("{environment}.company.com");
    quiet.replace("company.com", &domain).replace("production", environment).replace("prod-", &format!("{environment}-"))
}

/// The simulator's clock, as the engine knows clocks.
struct VirtualClock(SimClock);

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        let clock = self.0.clone();
        Box::pin(async move { clock.sleep(duration).await })
    }
}
