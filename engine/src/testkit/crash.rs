//! Crashes at every point: lives a run through deaths at chosen moments, until it ends.
//!
//! A moment is a place at which a process can die and leave the world and the journal in a state of its own: before and after
//! each append, before and after each `apply` (after it, the world has changed and its handle is not on record), in the middle
//! of a wait, before, during and after each `compensate`. Moments are counted; at the chosen one whoever reached it never goes
//! on, and the whole process, which is a future here, is dropped. The next life begins from what is durable.
//!
//! ```text
//!   Stage::live(cuts) ── life 0: start ──► moment 17: Crash ──► life 1: resume ──► moment 3: Crash ──► life 2: resume ──► Story
//!                              │ journal: BeforeAppend, AfterAppend
//!                              └ every step: BeforeApply, AfterApply, Settling, BeforeCompensate, …
//! ```
//!
//! Knows nothing of the world that the steps act on: whoever calls compares it.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use tokio::sync::Notify;

use super::{MemoryJournal, laws, somebody};
use crate::clock::Clock;
use crate::journal::{Claim, Journal, JournalError};
use crate::model::definition::Objectives;
use crate::model::event::{Event, Fields, StepFailure};
use crate::model::ids::{RunId, StepId};
use crate::model::record::{Epoch, Record, Sealed};
use crate::model::run_state::{RunPhase, RunState, StepState};
use crate::readiness::Check;
use crate::registry::{Registry, Step, Wrapping};
use crate::report::{Notice, Reporter};
use crate::runtime::{self, Control, Controller, Refusal, ResumePlan, RunEnd, RunError, Runtime, StartPlan, channel};
use crate::signal::Signal;
use crate::step::{Change, Interruption, KindInfo, Observed, Reversibility, StepContext};

/// How far into a wait a process dies in the middle of it.
const INTO_A_WAIT: Duration = Duration::from_secs(1);

/// A place at which a process can die.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Moment {
    /// About to append from this record on; nothing is stored.
    BeforeAppend(u64),
    /// The records from this one on are stored; the process does not know.
    AfterAppend(u64),
    /// About to change the world.
    BeforeApply(StepId),
    /// The world has changed; what `apply` returned is not on record.
    AfterApply(StepId),
    /// Waiting for the world.
    Settling(StepId),
    /// About to restore.
    BeforeCompensate(StepId),
    /// Waiting for the world to be restored.
    Compensating(StepId),
    /// The world is restored; that is not on record.
    AfterCompensate(StepId),
}

/// What ends a life early, at the moment of that number, counted from 0 in each life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The process dies.
    Crash(u64),
    /// The process is told to leave, and does so in good order.
    Interrupt(u64),
}

/// One life of a run: from a start or resume to its end, or to the end of the process.
#[derive(Debug, Clone)]
pub struct Life {
    /// How many moments it reached.
    pub moments: u64,
    /// Where it was cut, if it was.
    pub cut_at: Option<Moment>,
}

/// How a run came to its end.
pub struct Story {
    /// How it ended.
    pub end: RunEnd,
    /// Its lives, the last one uncut.
    pub lives: Vec<Life>,
    /// Everything on record.
    pub journal: MemoryJournal,
    /// Laws that were broken on the way, a sentence each. See also [`laws::broken`].
    pub broken: Vec<String>,
}

/// A run, and what each process that works on it has.
pub struct Stage<'a> {
    /// The run's id.
    pub run: RunId,
    /// The time of the world and of the run.
    pub clock: Arc<dyn Clock>,
    /// Makes the step kinds, once for each life.
    pub registry: Box<dyn Fn() -> Registry + 'a>,
    /// Says what the run is of.
    pub plan: Box<dyn Fn(&Registry) -> StartPlan + 'a>,
}

impl Stage<'_> {
    /// Lives the run through the cuts, one in each life, until it ends or asks the operator. A cut beyond the end of a life does nothing.
    ///
    /// # Panics
    /// When a life ends in an error that no crash explains.
    pub async fn live(&self, cuts: &[Cut]) -> Story {
        let mut journal = MemoryJournal::new();
        let (mut lives, mut broken) = (Vec::new(), Vec::new());
        loop {
            let points = Points::new(journal.clone(), self.run.clone(), cuts.get(lives.len()).copied());
            let end = tokio::select! {
                biased;
                () = points.0.died.notified() => None,
                end = self.one_life(&points, lives.is_empty()) => Some(end),
            };
            lives.push(points.life());
            broken.extend(points.broken());
            match end {
                None | Some(Ok(RunEnd::Interrupted { .. })) => journal = journal.crash(),
                Some(Ok(end)) => {
                    broken.extend(laws::broken(&journal, &self.run));
                    return Story { end, lives, journal, broken };
                }
                Some(Err(error)) => panic!("life {} of {cuts:?} ended with {error:?}", lives.len()),
            }
            assert!(lives.len() <= cuts.len() + 1, "the run does not come to an end: {cuts:?}");
        }
    }

    async fn one_life(&self, points: &Points, first: bool) -> Result<RunEnd, RunError> {
        if first {
            return self.start(points).await;
        }
        let plan = ResumePlan { by: somebody(), approve_all: false, redo: Vec::new(), mark_done: Vec::new(), adopt: None };
        match runtime::resume(self.runtime(points), &self.run, plan).await {
            // The first process died before the first append: there is nothing to resume.
            Err(RunError::NotARun { .. } | RunError::Journal(JournalError::NoSuchRun { .. })) => self.start(points).await,
            // The end was stored, only the process did not learn it.
            Err(RunError::Refused(Refusal::Finished { outcome, .. })) => Ok(RunEnd::Finished(outcome)),
            end => end,
        }
    }

    async fn start(&self, points: &Points) -> Result<RunEnd, RunError> {
        let runtime = self.runtime(points);
        let plan = (self.plan)(&runtime.registry);
        runtime::start(runtime, plan).await
    }

    fn runtime(&self, points: &Points) -> Runtime {
        let (controller, control) = channel();
        points.lock().controller = Some(controller);
        let of_steps = points.clone();
        let wrapping: Wrapping = Arc::new(move |step| Arc::new(Mortal { step, points: of_steps.clone() }));
        Runtime {
            journal: Arc::new(points.clone()),
            registry: Arc::new((self.registry)().wrapped(&wrapping)),
            clock: Arc::clone(&self.clock),
            reporter: Box::new(points.clone()),
            control,
            workflow: None,
        }
    }
}

/// Counts the moments of one life, ends it at the chosen one, and watches what the process was promised until then.
#[derive(Clone)]
struct Points(Arc<Inner>);

struct Inner {
    journal: MemoryJournal,
    run: RunId,
    died: Notify,
    watched: Mutex<Watched>,
}

struct Watched {
    cut: Option<Cut>,
    moments: u64,
    cut_at: Option<Moment>,
    dead: bool,
    controller: Option<Controller>,
    /// What the journal said is durable.
    acknowledged: Vec<Sealed>,
    /// The last record that the process told about, and its state then.
    told: Option<(u64, RunPhase, Vec<StepState>)>,
    broken: Vec<String>,
}

impl Points {
    fn new(journal: MemoryJournal, run: RunId, cut: Option<Cut>) -> Self {
        let watched = Watched {
            cut,
            moments: 0,
            cut_at: None,
            dead: false,
            controller: None,
            acknowledged: Vec::new(),
            told: None,
            broken: Vec::new(),
        };
        Self(Arc::new(Inner { journal, run, died: Notify::new(), watched: Mutex::new(watched) }))
    }

    fn lock(&self) -> MutexGuard<'_, Watched> {
        self.0.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a moment. Whoever reaches the last one, or any after it, never goes on.
    async fn reach(&self, moment: Moment) {
        if self.is_survived(moment) {
            return;
        }
        self.0.died.notify_one();
        std::future::pending::<()>().await;
    }

    fn is_survived(&self, moment: Moment) -> bool {
        let mut watched = self.lock();
        if watched.dead {
            return false;
        }
        let now = watched.moments;
        watched.moments += 1;
        match watched.cut {
            Some(Cut::Crash(at)) if at == now => {
                watched.dead = true;
                watched.cut_at = Some(moment);
            }
            Some(Cut::Interrupt(at)) if at == now => {
                let order = Control::Interrupt { reason: "a test".to_owned() };
                let told = watched.controller.as_ref().is_some_and(|controller| controller.try_send(order).is_ok());
                watched.cut_at = told.then_some(moment);
            }
            Some(_) | None => {}
        }
        !watched.dead
    }

    fn life(&self) -> Life {
        let watched = self.lock();
        Life { moments: watched.moments, cut_at: watched.cut_at.clone() }
    }

    /// Returns what this life was promised and did not get.
    fn broken(&self) -> Vec<String> {
        let watched = self.lock();
        let mut broken = watched.broken.clone();
        let stored = self.0.journal.sealed(&self.0.run);
        let kept = |sealed: &Sealed| usize::try_from(sealed.seq).ok().and_then(|seq| stored.get(seq)) == Some(sealed);
        broken.extend(
            watched
                .acknowledged
                .iter()
                .filter(|sealed| !kept(sealed))
                .map(|lost| format!("record {} was acknowledged and is gone", lost.seq)),
        );
        if let Some((seq, phase, steps)) = &watched.told {
            let until = |records: Vec<Record>| records.into_iter().take_while(|record| record.seq <= *seq).collect::<Vec<_>>();
            let folded = self.0.journal.records(&self.0.run).ok().and_then(|records| runtime::replay(&self.0.run, &until(records)).ok());
            if !folded.is_some_and(|folded| folded.state.steps() == steps && folded.state.phase() == *phase) {
                broken.push(format!("at record {seq} the state of the process was not the fold of its journal"));
            }
        }
        broken
    }

    /// Checks that an event is durable before what follows from it is done.
    fn demand_on_record(&self, what: &str, step: &StepId, wanted: impl Fn(&Event) -> bool) {
        let records = self.0.journal.records(&self.0.run).unwrap_or_default();
        if !records.iter().any(|record| record.event.step() == Some(step) && wanted(&record.event)) {
            self.lock().broken.push(format!("step `{step}`: {what} before that was on record"));
        }
    }
}

#[async_trait]
impl Journal for Points {
    async fn claim(&self, run: &RunId, create: bool) -> Result<Claim, JournalError> {
        self.0.journal.claim(run, create).await
    }

    async fn append(&self, run: &RunId, epoch: Epoch, expected_seq: u64, records: Vec<Sealed>) -> Result<(), JournalError> {
        self.reach(Moment::BeforeAppend(expected_seq)).await;
        self.0.journal.append(run, epoch, expected_seq, records.clone()).await?;
        self.reach(Moment::AfterAppend(expected_seq)).await;
        self.lock().acknowledged.extend(records);
        Ok(())
    }

    async fn release(&self, run: &RunId) -> Result<(), JournalError> {
        self.0.journal.release(run).await
    }

    async fn read(&self, run: &RunId) -> Result<Vec<Record>, JournalError> {
        self.0.journal.read(run).await
    }

    async fn runs(&self) -> Result<Vec<RunId>, std::io::Error> {
        self.0.journal.runs().await
    }
}

impl Reporter for Points {
    fn recorded(&mut self, record: &Record, state: &RunState) {
        self.lock().told = Some((record.seq, state.phase(), state.steps().to_vec()));
    }

    fn notice(&mut self, _: &Notice, _: &RunState) {}
}

/// A step whose process can die around each of its changes.
struct Mortal {
    step: Arc<dyn Step>,
    points: Points,
}

impl Mortal {
    /// Lets a part run, and reaches `moment` when it has waited for a while.
    async fn waiting<T>(&self, cx: &StepContext<()>, moment: Moment, part: impl Future<Output = T>) -> T {
        let mut part = std::pin::pin!(part);
        tokio::select! {
            biased;
            result = part.as_mut() => return result,
            () = cx.sleep(INTO_A_WAIT) => {}
        }
        self.points.reach(moment).await;
        part.await
    }
}

#[async_trait]
impl Step for Mortal {
    fn info(&self) -> &'static KindInfo {
        self.step.info()
    }

    fn problems(&self) -> Vec<String> {
        self.step.problems()
    }

    fn iam(&self) -> crate::step::Iam {
        self.step.iam()
    }

    fn reversibility(&self) -> Reversibility {
        self.step.reversibility()
    }

    fn interruption(&self) -> Interruption {
        self.step.interruption()
    }

    fn typical(&self) -> Duration {
        self.step.typical()
    }

    fn timeout(&self) -> Duration {
        self.step.timeout()
    }

    async fn environment(&self, cx: &StepContext<()>) -> Result<Option<String>, StepFailure> {
        self.step.environment(cx).await
    }

    async fn observe(&self, cx: &StepContext<()>, intent: Option<&Value>) -> Result<Observed<Value>, StepFailure> {
        self.step.observe(cx, intent).await
    }

    fn changes(&self, before: &Value) -> Vec<Change> {
        self.step.changes(before)
    }

    async fn readiness(&self, cx: &StepContext<()>, objectives: &Objectives) -> Result<Vec<Check>, StepFailure> {
        self.step.readiness(cx, objectives).await
    }

    fn signals(&self) -> Vec<Signal> {
        self.step.signals()
    }

    async fn apply(&self, cx: &StepContext<()>, before: &Value) -> Result<Value, StepFailure> {
        self.points
            .demand_on_record("the world was changed", &cx.step, |event| matches!(event, Event::StepObserved { satisfied: false, .. }));
        self.points.reach(Moment::BeforeApply(cx.step.clone())).await;
        let handle = self.step.apply(cx, before).await;
        self.points.reach(Moment::AfterApply(cx.step.clone())).await;
        handle
    }

    async fn settle(&self, cx: &StepContext<()>, before: &Value, handle: Option<&Value>) -> Result<Fields, StepFailure> {
        self.waiting(cx, Moment::Settling(cx.step.clone()), self.step.settle(cx, before, handle)).await
    }

    async fn compensate(&self, cx: &StepContext<()>, before: &Value, handle: Option<&Value>) -> Result<(), StepFailure> {
        self.points.demand_on_record("the world was restored", &cx.step, |event| matches!(event, Event::CompensationStarted { .. }));
        self.points.reach(Moment::BeforeCompensate(cx.step.clone())).await;
        let restored = self.waiting(cx, Moment::Compensating(cx.step.clone()), self.step.compensate(cx, before, handle)).await;
        self.points.reach(Moment::AfterCompensate(cx.step.clone())).await;
        restored
    }
}
