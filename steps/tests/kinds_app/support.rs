//! What the tests share: a context that remembers what a step tells, a clock on tokio's paused time, and a driver of the parts.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use wf_engine::clock::{Clock, Sleep};
use wf_engine::model::event::{Fields, Mode, StepFailure};
use wf_engine::model::ids::RunId;
use wf_engine::registry::Step;
use wf_engine::step::{Observed, StepContext, StepSignal};
use wf_steps::aws::Cloud;

/// Tokio's clock, which tests pause, from a fixed moment.
pub struct PausedClock {
    began: tokio::time::Instant,
}

impl PausedClock {
    pub fn start() -> Arc<dyn Clock> {
        Arc::new(Self { began: tokio::time::Instant::now() })
    }
}

impl Clock for PausedClock {
    fn now(&self) -> Timestamp {
        "2026-03-14T03:00:00Z".parse::<Timestamp>().unwrap().checked_add(self.began.elapsed()).unwrap()
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// What the steps told the engine.
pub type Told = Arc<Mutex<Vec<StepSignal>>>;

/// Makes a context for a step, and the record of what it tells.
pub fn context(clock: Arc<dyn Clock>) -> (StepContext<()>, Told) {
    let told = Told::default();
    let sink = Arc::clone(&told);
    let cx = StepContext {
        run: RunId::new(1_773_457_200_000, 7),
        step: "step".parse().unwrap(),
        attempt: 1,
        generation: 0,
        mode: Mode::Unplanned,
        clock,
        signals: Arc::new(move |signal| sink.lock().unwrap().push(signal)),
        env: (),
    };
    (cx, told)
}

/// Returns the progress that was told.
pub fn progress(told: &Told) -> Vec<String> {
    let text = |signal: &StepSignal| match signal {
        StepSignal::Progress(text) => Some(text.clone()),
        StepSignal::Ask { .. } => None,
    };
    told.lock().unwrap().iter().filter_map(text).collect()
}

/// Decodes a step as it stands in a workflow, such as `Wait(duration: "30s")`.
pub fn step(cloud: &Cloud, run: &str) -> Arc<dyn Step> {
    let (kind, params) = run.split_at(run.find('(').unwrap());
    let step = wf_steps::registry(cloud.clone()).step(kind, params).unwrap_or_else(|problems| panic!("{run}: {problems:?}"));
    assert_eq!(step.problems(), Vec::<String>::new(), "{run}");
    step
}

/// What became of a step.
pub struct Ran {
    pub before: Value,
    pub handle: Option<Value>,
    pub outputs: Fields,
}

/// Drives a step through its parts, as the engine does. On a paused clock, which runs ahead, a wait without end is cut off.
pub async fn run(step: &Arc<dyn Step>, cx: &StepContext<()>) -> Result<Ran, StepFailure> {
    let limit = Duration::from_secs(2 * 3600);
    tokio::time::timeout(limit, parts(step, cx)).await.expect("the step to end within two hours")
}

async fn parts(step: &Arc<dyn Step>, cx: &StepContext<()>) -> Result<Ran, StepFailure> {
    let (before, handle) = match step.observe(cx, None).await? {
        Observed::Satisfied(before) => (before, None),
        Observed::Differs(before) => {
            let handle = step.apply(cx, &before).await?;
            (before, Some(handle))
        }
    };
    let outputs = step.settle(cx, &before, handle.as_ref()).await?;
    Ok(Ran { before, handle, outputs })
}

/// Returns the before-image, whichever way the world is.
pub fn before(observed: Observed<Value>) -> Value {
    match observed {
        Observed::Satisfied(before) | Observed::Differs(before) => before,
    }
}
