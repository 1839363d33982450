//! The loop that owns a run: decide → append → report → act.

mod orders;
mod reports;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tracing::Instrument as _;
use tracing::field::Empty;

use super::control::{Control, ControlReceiver};
use super::executor::{Attempt, Message};
use super::{RunEnd, RunError};
use crate::clock::{Clock, between};
use crate::journal::Journal;
use crate::model::event::{Event, Operator, StepFailure};
use crate::model::ids::{RunId, StepId};
use crate::model::order::Refusal;
use crate::model::record::{Chain, Epoch, Record, Sealed};
use crate::model::run_state::{RunPhase, RunState, StepStatus};
use crate::model::schedule::{Command, Limits, PauseCause, next_command};
use crate::model::workflow::StepIx;
use crate::registry::{BoundWorkflow, Registry};
use crate::report::{Notice, Reporter};
use crate::step::{Decision, SignalSink, StepContext, StepSignal};

/// The most records in one append. A larger batch is appended in several, each whole.
const APPEND_MAX: usize = 2_000;
/// How many messages of executors can wait. An executor whose message does not fit waits itself.
const REPORTS_MAX: usize = 4_096;
/// How many words for the screen can wait.
const PROGRESS_MAX: usize = 1_024;
/// The most bytes of a step's outputs, as JSON.
const OUTPUTS_LEN_MAX: usize = 32 * 1024;
/// The most bytes of what a step said last that it waits for, in the failure of one that timed out.
const WORDS_LEN_MAX: usize = 512;
/// How long the journal's disk may take before the operator is told.
const SLOW_DISK: Duration = Duration::from_secs(5);
/// How long a process stays with a run that is paused by hand. Then it leaves, and the run can be resumed as after any interruption.
const HELD_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// The limit of one compensation attempt, when the step's own limit is shorter.
const UNDO_TIME_MIN: Duration = Duration::from_secs(600);

/// A question or progress of a step, on its way to the dispatcher.
struct Signalled {
    ix: StepIx,
    serial: u64,
    signal: StepSignal,
}

/// Something to do once the batch is durable.
enum Action {
    Run(Box<Attempt>),
    Undo(Box<Attempt>),
    Retry { ix: StepIx, serial: u64, at: Timestamp },
    Go(oneshot::Sender<()>),
    Answer(oneshot::Sender<Decision>, Decision),
    Deadline(StepIx, Timestamp),
    Reply(oneshot::Sender<Result<(), Refusal>>),
}

/// What is known of a step's executor, or of its timer.
struct Executing {
    serial: u64,
    leave: watch::Sender<bool>,
    deadline: watch::Sender<Timestamp>,
    /// The step's question, while nobody answered it.
    question: Option<oneshot::Sender<Decision>>,
    /// What it said last that it waits for.
    words: Option<String>,
}

/// What a run needs while it is driven.
pub(super) struct Dispatcher {
    pub(super) run: RunId,
    pub(super) journal: Arc<dyn Journal>,
    pub(super) registry: Arc<Registry>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) reporter: Box<dyn Reporter>,
    pub(super) bound: Arc<BoundWorkflow>,
    pub(super) state: RunState,
    pub(super) chain: Chain,
    pub(super) epoch: Epoch,
    pub(super) by: Operator,
    pub(super) approve_all: bool,
    batch: Vec<(Record, Sealed)>,
    actions: Vec<Action>,
    executing: BTreeMap<StepIx, Executing>,
    serial: u64,
    leaving: Option<String>,
    reports: (mpsc::Sender<Message>, mpsc::Receiver<Message>),
    /// Words for the screen; those that find no room are lost.
    progress: (mpsc::Sender<Signalled>, mpsc::Receiver<Signalled>),
    /// Has room for a question of every step: each asks one at a time.
    questions: (mpsc::Sender<Signalled>, mpsc::Receiver<Signalled>),
    tasks: JoinSet<(StepIx, u64)>,
    task_steps: BTreeMap<tokio::task::Id, (StepIx, u64)>,
}

/// What a dispatcher starts from.
pub(super) struct Parts {
    pub run: RunId,
    pub journal: Arc<dyn Journal>,
    pub registry: Arc<Registry>,
    pub clock: Arc<dyn Clock>,
    pub reporter: Box<dyn Reporter>,
    pub bound: Arc<BoundWorkflow>,
    pub state: RunState,
    pub chain: Chain,
    pub epoch: Epoch,
    pub by: Operator,
    pub approve_all: bool,
}

impl Limits for (&BoundWorkflow, &RunState) {
    fn max_parallel(&self) -> usize {
        self.1.header().map_or(1, |header| usize::try_from(header.max_parallel).unwrap_or(1)).max(1)
    }

    fn halts(&self, ix: StepIx) -> bool {
        self.0.halts(ix)
    }
}

impl Dispatcher {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts { run, journal, registry, clock, reporter, bound, state, chain, epoch, by, approve_all } = parts;
        let questions_max = bound.workflow().len() + 1;
        Self {
            run,
            journal,
            registry,
            clock,
            reporter,
            bound,
            state,
            chain,
            epoch,
            by,
            approve_all,
            batch: Vec::new(),
            actions: Vec::new(),
            executing: BTreeMap::new(),
            serial: 0,
            leaving: None,
            reports: mpsc::channel(REPORTS_MAX),
            progress: mpsc::channel(PROGRESS_MAX),
            questions: mpsc::channel(questions_max),
            tasks: JoinSet::new(),
            task_steps: BTreeMap::new(),
        }
    }

    /// Drives the run until it ends, pauses or is interrupted.
    pub(super) async fn drive(mut self, mut control: ControlReceiver) -> Result<RunEnd, RunError> {
        let span = tracing::info_span!("run", run = %self.run, workflow = self.state.workflow().name());
        let end = self.turn(&mut control).instrument(span).await;
        // Whatever still runs must not outlive the run: waits are dropped, calls that are under way were waited for.
        self.tasks.abort_all();
        end
    }

    async fn turn(&mut self, control: &mut ControlReceiver) -> Result<RunEnd, RunError> {
        loop {
            self.decide()?;
            self.commit().await?;
            if let Some(end) = self.ended()? {
                self.commit().await?;
                return Ok(end);
            }
            self.listen(control).await?;
        }
    }

    /// Records an event in memory: the state moves on, the batch grows.
    pub(super) fn emit(&mut self, event: Event) -> Result<(), RunError> {
        let (record, sealed) = self.chain.extend(self.clock.now(), self.epoch, event)?;
        self.state.apply(&record)?;
        self.batch.push((record, sealed));
        Ok(())
    }

    /// Asks the scheduler until there is nothing more to do now.
    fn decide(&mut self) -> Result<(), RunError> {
        while self.leaving.is_none() {
            let Some(command) = next_command(&self.state, &(self.bound.as_ref(), &self.state)) else { break };
            match command {
                Command::Start(ix) => self.start(ix)?,
                Command::Skip(ix) => {
                    let reason = self.state.workflow().step(ix).only.map_or_else(String::new, |only| format!("only {}", only.meaning()));
                    self.emit(Event::StepSkipped { step: self.id(ix), reason })?;
                }
                Command::EndAsWished(ix) => self.end_as_wished(ix)?,
                Command::InterruptActive => {
                    self.interrupt_active()?;
                    if !self.state.active().is_empty() {
                        break;
                    }
                }
                Command::BeginRollback => self.begin_rollback()?,
                Command::Compensate(ix) => self.compensate(ix)?,
                Command::Pause(cause) => self.emit(Event::RunPaused { reason: self.pause_reason(&cause) })?,
                Command::Finish(outcome) => self.emit(Event::RunFinished { outcome })?,
            }
        }
        Ok(())
    }

    /// Makes the batch durable, then tells and does what follows from it.
    async fn commit(&mut self) -> Result<(), RunError> {
        let batch = std::mem::take(&mut self.batch);
        let mut records = Vec::with_capacity(batch.len());
        let mut sealed = Vec::with_capacity(batch.len().min(APPEND_MAX));
        for (record, bytes) in batch {
            records.push(record);
            sealed.push(bytes);
            if sealed.len() == APPEND_MAX {
                self.append(std::mem::take(&mut sealed)).await?;
            }
        }
        self.append(sealed).await?;
        for record in &records {
            self.reporter.recorded(record, &self.state);
        }
        for action in std::mem::take(&mut self.actions) {
            self.act(action);
        }
        Ok(())
    }

    async fn append(&mut self, sealed: Vec<Sealed>) -> Result<(), RunError> {
        let Some(first) = sealed.first().map(|first| first.seq) else { return Ok(()) };
        let mut append = self.journal.append(&self.run, self.epoch, first, sealed);
        // A disk takes the machine's time, whatever clock the run goes by.
        match tokio::time::timeout(SLOW_DISK, &mut append).await {
            Ok(appended) => Ok(appended?),
            Err(_) => {
                self.reporter.notice(&Notice::SlowDisk { waited: SLOW_DISK }, &self.state);
                Ok(append.await?)
            }
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Run(attempt) => {
                let span = tracing::info_span!("step", step = %attempt.cx.step, attempt = attempt.cx.attempt, outcome = Empty, otel.status_code = Empty);
                self.spawn((attempt.ix, attempt.serial), attempt.run().instrument(span));
            }
            Action::Undo(attempt) => {
                let span = tracing::info_span!("compensation", step = %attempt.cx.step, attempt = attempt.cx.attempt, outcome = Empty, otel.status_code = Empty);
                self.spawn((attempt.ix, attempt.serial), attempt.compensate().instrument(span));
            }
            Action::Retry { ix, serial, at } => {
                let sleep = self.clock.sleep(between(self.clock.now(), at));
                self.spawn((ix, serial), sleep);
            }
            // The other end is gone when the step timed out meanwhile, or the operator's connection broke: nobody is waiting then.
            Action::Go(go) => drop(go.send(())),
            Action::Answer(answer, decision) => drop(answer.send(decision)),
            Action::Deadline(ix, at) => {
                if let Some(executing) = self.executing.get(&ix) {
                    executing.deadline.send_replace(at);
                }
            }
            Action::Reply(reply) => drop(reply.send(Ok(()))),
        }
    }

    fn spawn(&mut self, key: (StepIx, u64), task: impl Future<Output = ()> + Send + 'static) {
        let task = self.tasks.spawn(async move {
            task.await;
            key
        });
        self.task_steps.insert(task.id(), key);
    }

    /// Returns how the run ended, if it did: for good, for now, or because it was told to leave.
    fn ended(&mut self) -> Result<Option<RunEnd>, RunError> {
        match self.state.phase() {
            RunPhase::Finished(outcome) => return Ok(Some(RunEnd::Finished(outcome))),
            RunPhase::Paused => return Ok(Some(RunEnd::Paused { reason: self.state.pause_reason().unwrap_or_default().to_owned() })),
            RunPhase::Forward | RunPhase::Compensating => {}
        }
        match &self.leaving {
            Some(reason) if self.executing.is_empty() => {
                let reason = reason.clone();
                self.emit(Event::RunInterrupted { reason: reason.clone() })?;
                Ok(Some(RunEnd::Interrupted { reason }))
            }
            Some(_) | None => Ok(None),
        }
    }

    /// Waits for news, then takes all there is, so that it goes into one commit.
    async fn listen(&mut self, control: &mut ControlReceiver) -> Result<(), RunError> {
        let held = self.state.held().map(|word| between(self.clock.now(), word.at + HELD_MAX));
        if self.executing.is_empty() && held.is_none() {
            return Err(RunError::Stalled { run: self.run.clone() });
        }
        let held_too_long = self.clock.sleep(held.unwrap_or(HELD_MAX));
        tokio::select! {
            biased;
            order = control.recv(), if !control.is_closed() || !control.is_empty() => if let Some(order) = order { self.ordered(order)? },
            Some(question) = self.questions.1.recv() => self.signalled(question)?,
            Some(words) = self.progress.1.recv() => self.signalled(words)?,
            Some(message) = self.reports.1.recv() => self.reported(message)?,
            Some(ended) = self.tasks.join_next_with_id() => self.task_ended(ended)?,
            () = held_too_long, if held.is_some() => {
                self.ordered(Control::Interrupt { reason: "paused by hand for a day, and nobody resumed it".to_owned() })?;
            }
        }
        while let Ok(question) = self.questions.1.try_recv() {
            self.signalled(question)?;
        }
        // Lets the others get a word in as long as each turn brings some: steps that end together then share a sync.
        loop {
            tokio::task::yield_now().await;
            let before = self.batch.len();
            while self.batch.len() < APPEND_MAX {
                let Ok(message) = self.reports.1.try_recv() else { break };
                self.reported(message)?;
            }
            while let Some(ended) = self.tasks.try_join_next_with_id() {
                self.task_ended(ended)?;
            }
            if self.batch.len() == before || self.batch.len() >= APPEND_MAX {
                return Ok(());
            }
        }
    }

    fn start(&mut self, ix: StepIx) -> Result<(), RunError> {
        let step = self.state.step(ix);
        let carried_on = step.status == StepStatus::Interrupted && step.attempt > 0;
        let attempt = if carried_on { step.attempt } else { step.attempt + 1 };
        self.emit(Event::StepStarted { step: self.id(ix), attempt })?;
        match self.bound.resolve(&self.registry, ix, |source| self.state.value_of(source)) {
            Ok(step) => {
                let attempt = self.attempt(ix, step, attempt, self.deadline(ix));
                self.actions.push(Action::Run(Box::new(attempt)));
                Ok(())
            }
            Err(failure) => self.emit(Event::StepFailed { step: self.id(ix), failure }),
        }
    }

    fn compensate(&mut self, ix: StepIx) -> Result<(), RunError> {
        // An attempt that was cut off is carried on with its number, so that no crash uses an attempt up. One that failed is
        // not: kinds make tokens of the number.
        let undo = &self.state.step(ix).undo;
        let attempt = if undo.cut_off { undo.attempt } else { undo.attempt + 1 };
        self.emit(Event::CompensationStarted { step: self.id(ix), attempt })?;
        match self.bound.resolve(&self.registry, ix, |source| self.state.value_of(source)) {
            Ok(step) => {
                let deadline = later(self.clock.now(), self.timeout(ix).max(UNDO_TIME_MIN));
                let attempt = self.attempt(ix, step, attempt, deadline);
                self.actions.push(Action::Undo(Box::new(attempt)));
                Ok(())
            }
            Err(failure) => self.emit(Event::CompensationFailed { step: self.id(ix), failure }),
        }
    }

    fn attempt(&mut self, ix: StepIx, step: Arc<dyn crate::registry::Step>, attempt: u32, deadline: Timestamp) -> Attempt {
        self.serial += 1;
        let serial = self.serial;
        let (leave, leaving) = watch::channel(false);
        let (sets_deadline, deadline) = watch::channel(deadline);
        self.executing.insert(ix, Executing { serial, leave, deadline: sets_deadline, question: None, words: None });
        let (progress, questions) = (self.progress.0.clone(), self.questions.0.clone());
        let signals: SignalSink = Arc::new(move |signal| {
            let channel = if matches!(signal, StepSignal::Progress(_)) { &progress } else { &questions };
            // Words for the screen may be lost; a question always finds room, see the channel's size.
            drop(channel.try_send(Signalled { ix, serial, signal }));
        });
        let state = self.state.step(ix);
        let cx = StepContext {
            run: self.run.clone(),
            step: self.id(ix),
            attempt,
            generation: state.generation,
            mode: self.state.mode(),
            clock: Arc::clone(&self.clock),
            signals,
            env: (),
        };
        Attempt {
            ix,
            serial,
            step,
            cx,
            intent: state.before.clone().filter(|_| state.intent),
            handle: state.handle.clone(),
            before: state.before.clone(),
            deadline,
            leave: leaving,
            reports: self.reports.0.clone(),
        }
    }

    /// Tells every executor to leave; a step that only waits for its next attempt is left at once.
    fn interrupt_active(&mut self) -> Result<(), RunError> {
        for ix in self.state.active().clone() {
            if self.state.step(ix).retry_at.is_some() {
                self.executing.remove(&ix);
                let undoing_no_more = self.state.cancelled().is_some() && self.leaving.is_none();
                if self.state.step(ix).status == StepStatus::Retrying || undoing_no_more {
                    self.emit(Event::StepInterrupted { step: self.id(ix) })?;
                }
            } else if let Some(executing) = self.executing.get(&ix) {
                executing.leave.send_replace(true);
            }
        }
        Ok(())
    }

    /// Returns how long a step may take.
    fn timeout(&self, ix: StepIx) -> Duration {
        self.state.step(ix).timeout.map_or_else(|| self.bound.timeout(ix), |timeout| timeout.0)
    }

    /// Returns when a step's time is up.
    fn deadline(&self, ix: StepIx) -> Timestamp {
        later(self.state.step(ix).alive_since.unwrap_or_else(|| self.clock.now()), self.timeout(ix))
    }

    fn id(&self, ix: StepIx) -> StepId {
        self.state.workflow().id(ix).clone()
    }

    fn failed_steps(&self) -> String {
        let failed = |&ix: &StepIx| {
            let message = self.state.step(ix).failure.as_ref().map_or("it failed", |failure| failure.message.as_str());
            format!("{}: {message}", self.state.workflow().id(ix))
        };
        let all: Vec<_> = self.state.blocking().iter().take(5).map(failed).collect();
        crate::model::event::clip(all.join("; "), StepFailure::MESSAGE_LEN_MAX)
    }

    fn pause_reason(&self, cause: &PauseCause) -> String {
        match cause {
            PauseCause::Failed => self.failed_steps(),
            PauseCause::Undecided(ix) => {
                format!(
                    "nobody can tell whether `{}` took effect before it was interrupted: look, then resume with --redo or --mark-done",
                    self.state.workflow().id(*ix)
                )
            }
        }
    }
}

/// Adds to a time, up to the end of time.
fn later(at: Timestamp, span: Duration) -> Timestamp {
    at.checked_add(span).unwrap_or(Timestamp::MAX)
}
