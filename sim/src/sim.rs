//! The simulator as a whole: one world, one clock, one lock, and the one entry for requests.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aws_smithy_runtime_api::client::http::SharedHttpClient;
use jiff::Timestamp;

use crate::calls::{ApiUse, CallRecord};
use crate::clock::SimClock;
use crate::connector::SimConnector;
use crate::def::WorldDef;
use crate::error::{ConnectionError, SimError};
use crate::faults::Fault;
use crate::services::Limits;
use crate::store::{Store, read_world};
use crate::traffic::TrafficReport;
use crate::world::{Conditions, World};

/// The clock is kept at least this often (real time) while there are requests.
const KEEP_EVERY: Duration = Duration::from_millis(250);

/// How to open a simulated world.
#[derive(Debug, Clone)]
pub struct SimOptions {
    /// What a new world looks like; ignored if the state directory already holds one.
    pub world: WorldDef,
    /// Where the world is kept; none keeps it in memory.
    pub state_dir: Option<PathBuf>,
    /// Virtual seconds per real one.
    pub speed: f64,
    /// Replaces the world file's own seed, for a new world.
    pub seed: Option<u64>,
    /// What goes wrong on purpose, while this process has the world open.
    pub faults: Vec<Fault>,
}

/// A simulated AWS. Clones share one world.
#[derive(Clone)]
pub struct Sim {
    inner: Arc<Inner>,
}

struct Inner {
    clock: SimClock,
    state: Mutex<State>,
}

/// What a request may change, under one lock that is never held across an `.await`.
pub(crate) struct State {
    pub(crate) world: World,
    pub(crate) faults: Vec<Fault>,
    /// Earlier versions of the world, for describes that lag behind.
    pub(crate) past: Vec<World>,
    pub(crate) limits: Limits,
    uses: BTreeMap<(&'static str, String, String), ApiUse>,
    calls: Vec<CallRecord>,
    store: Option<Store>,
    kept: Instant,
}

impl std::fmt::Debug for Sim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sim").field("now", &self.inner.clock.now()).finish_non_exhaustive()
    }
}

impl Sim {
    /// Opens the world of `options.state_dir`, or begins a new one.
    ///
    /// Its clock carries on from the instant at which the world was last kept. Holds a lock on the state directory until
    /// the last clone is dropped; a second process gets [`SimError::Locked`], which names the holder.
    pub fn open(options: SimOptions) -> Result<Sim, SimError> {
        Self::open_not_before(options, Timestamp::MIN)
    }

    /// As [`Sim::open`], with a clock that shows `earliest` or later. A process that is killed leaves a clock that was kept a moment before; one
    /// that carries its work on has seen a later time, and time does not go back.
    pub fn open_not_before(options: SimOptions, earliest: Timestamp) -> Result<Sim, SimError> {
        let (store, kept) = match &options.state_dir {
            Some(dir) => {
                let (store, kept) = Store::open(dir)?;
                (Some(store), kept)
            }
            None => (None, None),
        };
        let conditions = Conditions::new(&options.faults);
        let (world, calls) = match kept {
            Some((mut world, calls)) => {
                world.set_conditions(conditions);
                (world, calls)
            }
            None => (World::begin(&options.world, options.seed, conditions), Vec::new()),
        };
        let clock = SimClock::scaled(crate::world::timestamp(world.now).max(earliest), options.speed);
        if let Some(store) = &store {
            store.save(&world)?;
        }
        let state = State {
            world,
            faults: options.faults,
            past: Vec::new(),
            limits: Limits::default(),
            uses: BTreeMap::new(),
            calls,
            store,
            kept: Instant::now(),
        };
        Ok(Sim { inner: Arc::new(Inner { clock, state: Mutex::new(state) }) })
    }

    /// Returns the virtual clock.
    pub fn clock(&self) -> SimClock {
        self.inner.clock.clone()
    }

    /// Returns the HTTP client to give to `aws_config`, whose every connection leads here.
    pub fn http_client(&self) -> SharedHttpClient {
        SharedHttpClient::new(SimConnector::new(self.clone()))
    }

    /// Answers one HTTP request: to an AWS service, or to the application that the simulated cloud runs.
    pub async fn handle(&self, request: http::Request<Vec<u8>>) -> Result<http::Response<Vec<u8>>, ConnectionError> {
        crate::services::handle(self, request).await
    }

    /// Returns the world as an operator reads it.
    pub fn status(&self) -> serde_json::Value {
        self.with(|state| state.world.status())
    }

    /// Returns what the traffic client of the application measured.
    pub fn traffic(&self) -> TrafficReport {
        self.with(|state| state.world.app_traffic())
    }

    /// Returns what the traffic clients of all sites measured, the application's first.
    pub fn sites(&self) -> Vec<TrafficReport> {
        self.with(|state| [state.world.app_traffic()].into_iter().chain(state.world.shop_traffic()).collect())
    }

    /// Returns every mutating call so far.
    pub fn calls(&self) -> Vec<CallRecord> {
        self.with(|state| state.calls.clone())
    }

    /// Returns how often each action was called since this process opened the world, those that only read included.
    pub fn api_use(&self) -> Vec<ApiUse> {
        self.with(|state| state.uses.values().cloned().collect())
    }

    /// Returns when things became what they were to become, since this process opened the world: each with its service, region and name,
    /// such as `rds/us-west-2/prod-db-replica-west`, the latest ten thousand of them.
    pub fn transitions(&self) -> Vec<(Timestamp, String)> {
        self.with(|state| state.world.transitions.iter().map(|(at, what)| (crate::world::timestamp(*at), what.clone())).collect())
    }

    /// Replaces what goes wrong on purpose, from now on.
    pub fn set_faults(&self, faults: Vec<Fault>) {
        self.with(|state| {
            state.world.set_conditions(Conditions::new(&faults));
            state.faults = faults;
        });
    }

    /// Returns what goes wrong on purpose.
    pub fn faults(&self) -> Vec<Fault> {
        self.with(|state| state.faults.clone())
    }

    /// Keeps the world and its clock now.
    pub fn flush(&self) -> Result<(), SimError> {
        self.with(State::keep)
    }

    /// Brings the world up to the clock and hands it out.
    pub(crate) fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        let now = self.inner.clock.now();
        let mut state = self.inner.lock();
        state.world.advance(now.as_millisecond());
        f(&mut state)
    }
}

impl Inner {
    /// A poisoned lock still guards a whole world: every change is a single assignment or is kept after it is done.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let now = self.clock.now();
        let mut state = self.lock();
        state.world.advance(now.as_millisecond());
        if let Err(error) = state.keep() {
            tracing::warn!(%error, "the simulated clock was not kept");
        }
    }
}

impl State {
    /// Keeps the world, if it is kept anywhere.
    pub(crate) fn keep(&mut self) -> Result<(), SimError> {
        self.kept = Instant::now();
        self.store.as_ref().map_or(Ok(()), |store| store.save(&self.world))
    }

    /// Keeps the world if that is due.
    pub(crate) fn keep_if_due(&mut self) -> Result<(), SimError> {
        if self.kept.elapsed() >= KEEP_EVERY { self.keep() } else { Ok(()) }
    }

    /// Counts a call that was answered, with the error code if it was refused.
    pub(crate) fn count(&mut self, service: &'static str, region: &str, action: &str, error: Option<&str>) {
        let entry = self.uses.entry((service, region.to_owned(), action.to_owned()));
        let counted = entry.or_insert_with(|| ApiUse {
            service: service.to_owned(),
            region: region.to_owned(),
            action: action.to_owned(),
            calls: 0,
            throttled: 0,
        });
        counted.calls += 1;
        counted.throttled += u64::from(matches!(error, Some("Throttling" | "ThrottlingException")));
    }

    /// Logs a mutating call and then keeps the world that it led to: both or, after a crash, neither.
    pub(crate) fn log(&mut self, mut call: CallRecord) -> Result<(), SimError> {
        call.seq = self.world.entries + 1;
        if let Some(store) = &mut self.store {
            store.append(&call)?;
        }
        self.world.entries += 1;
        self.calls.push(call);
        self.keep()
    }
}

/// Returns the status of a kept world, whether or not a process has it open.
pub fn read_status(state_dir: &Path) -> Result<serde_json::Value, SimError> {
    read_world(state_dir).map(|world| world.status())
}

/// Returns what the traffic client of a kept world measured, whether or not a process has it open.
pub fn read_traffic(state_dir: &Path) -> Result<TrafficReport, SimError> {
    read_world(state_dir).map(|world| world.app_traffic())
}
