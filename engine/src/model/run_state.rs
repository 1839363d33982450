//! [`RunState`]: the fold of a run's journal. Live execution and resume share the one [`RunState::apply`], and applying an event
//! does nothing to the world. The ready sets and the counters behind them are part of the fold, so there is no second truth to
//! keep in step, and scheduling costs O(edges) over a whole run.

mod edited;
mod ordered;

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::dsl::{Compensate, OnFailure, StepPolicy};
use super::event::{Event, Mode, RunHeader, RunOutcome};
use super::record::{Epoch, Record};
pub use super::step_state::{StepState, UndoState};
pub use super::transition::{IllegalTransition, RunPhase, StepStatus, is_active, next_status};
use super::workflow::{Source, StepIx, Workflow};
use edited::Incoming;
pub use ordered::{Cancelled, Wish, Word};

/// The state of a run: nothing but its journal's events applied in order.
#[derive(Debug, Clone)]
pub struct RunState {
    workflow: Arc<Workflow>,
    header: Option<Arc<RunHeader>>,
    steps: Vec<StepState>,
    phase: RunPhase,
    /// Longest remaining path per step, by which ready steps are ordered.
    priority: Vec<Duration>,
    ready: BTreeSet<(Reverse<Duration>, StepIx)>,
    undo_ready: BTreeSet<(Reverse<Duration>, StepIx)>,
    /// Steps with an executor: running, waiting, retrying or compensating.
    active: BTreeSet<StepIx>,
    /// Steps that failed or are unreachable, and hold the run up.
    blocking: BTreeSet<StepIx>,
    /// Steps that are not done going forward.
    left: usize,
    /// Steps that are to be compensated and are not.
    undo_left: usize,
    exceptions: bool,
    point_of_no_return: Option<StepIx>,
    /// Whether the last owner left on purpose.
    interrupted: bool,
    pause_reason: Option<String>,
    held: Option<Word>,
    cancelled: Option<Cancelled>,
    /// The mode, where an order changed it.
    mode: Option<Mode>,
    /// An edited workflow whose text is not whole yet.
    incoming: Option<Box<Incoming>>,
    epoch: Epoch,
    started_at: Option<Timestamp>,
    last_at: Option<Timestamp>,
}

impl RunState {
    /// Makes the state of a run of which nothing is on record yet.
    pub fn new(workflow: Arc<Workflow>, duration: impl Fn(StepIx) -> Duration) -> Self {
        let steps: Vec<_> = (0..workflow.len()).map(|ix| StepState::new(count(workflow.needs(ix)))).collect();
        let priority = workflow.remaining(duration);
        let ready = (0..steps.len()).filter(|&ix| steps[ix].waits_for == 0).map(|ix| (Reverse(priority[ix]), ix)).collect();
        Self {
            left: steps.len(),
            header: None,
            steps,
            phase: RunPhase::Forward,
            priority,
            ready,
            undo_ready: BTreeSet::new(),
            active: BTreeSet::new(),
            blocking: BTreeSet::new(),
            undo_left: 0,
            exceptions: false,
            point_of_no_return: None,
            interrupted: false,
            pause_reason: None,
            held: None,
            cancelled: None,
            mode: None,
            incoming: None,
            epoch: 0,
            started_at: None,
            last_at: None,
            workflow,
        }
    }

    /// Rebuilds the state from a journal.
    ///
    /// # Errors
    /// When a record cannot follow the ones before it.
    pub fn replay<'a>(
        workflow: Arc<Workflow>,
        duration: impl Fn(StepIx) -> Duration,
        records: impl IntoIterator<Item = &'a Record>,
    ) -> Result<Self, IllegalTransition> {
        let mut state = Self::new(workflow, duration);
        for record in records {
            state.apply(record)?;
        }
        Ok(state)
    }

    /// Applies one record. Does nothing to the world.
    ///
    /// # Errors
    /// When the event cannot follow; the state is then as before.
    pub fn apply(&mut self, record: &Record) -> Result<(), IllegalTransition> {
        match record.event.step() {
            _ if matches!(record.event, Event::Ordered { .. }) => self.apply_order(record)?,
            None if matches!(record.event, Event::WorkflowChanged(_)) || self.incoming.is_some() => self.apply_edit(record)?,
            Some(step) => {
                let ix = self.workflow.find(step).ok_or_else(|| IllegalTransition::NoSuchStep { seq: record.seq, step: step.clone() })?;
                let status = self.steps[ix].status;
                let next =
                    next_status(status, &record.event).filter(|_| self.phase_allows(&record.event) && self.turn_allows(ix, &record.event));
                let next = next.ok_or_else(|| IllegalTransition::Step { seq: record.seq, step: step.clone(), status })?;
                self.apply_to_step(ix, next, record);
            }
            None => self.apply_to_run(record)?,
        }
        self.epoch = record.epoch;
        self.last_at = Some(record.at);
        Ok(())
    }

    fn phase_allows(&self, event: &Event) -> bool {
        let undoing = matches!(
            event,
            Event::CompensationStarted { .. }
                | Event::CompensationAttemptFailed { .. }
                | Event::StepCompensated { .. }
                | Event::CompensationFailed { .. }
        );
        let by_hand = matches!(event, Event::ApprovalDecided { .. } | Event::StepRedone { .. } | Event::StepMarkedDone { .. });
        match self.phase {
            RunPhase::Forward => !undoing,
            // A rollback that is given up leaves its steps as a process that leaves does.
            RunPhase::Compensating => undoing || (self.cancelled.is_some() && matches!(event, Event::StepInterrupted { .. })),
            RunPhase::Paused => by_hand,
            RunPhase::Finished(_) => false,
        }
    }

    /// The laws of order: no step starts before its needs are done, none is compensated before what depended on it.
    fn turn_allows(&self, ix: StepIx, event: &Event) -> bool {
        match event {
            Event::StepStarted { .. } | Event::StepSkipped { .. } => self.steps[ix].waits_for == 0,
            Event::CompensationStarted { .. } => self.steps[ix].undo.waits_for == 0 && self.can_undo(ix),
            Event::StepMarkedDone { .. } => match self.steps[ix].status {
                StepStatus::Pending => self.steps[ix].wish.is_some() && self.steps[ix].waits_for == 0,
                status => status == StepStatus::Interrupted || self.blocking.contains(&ix),
            },
            _ => true,
        }
    }

    fn apply_to_run(&mut self, record: &Record) -> Result<(), IllegalTransition> {
        let legal = match (&record.event, self.phase) {
            (Event::RunStarted(_), RunPhase::Forward) => self.header.is_none(),
            (Event::WorkflowText { .. }, RunPhase::Forward) => true,
            (Event::WorkflowChanged(_), RunPhase::Forward | RunPhase::Paused) => self.active.is_empty() && self.cancelled.is_none(),
            (Event::RunPaused { .. }, RunPhase::Forward) => self.active.is_empty(),
            (Event::RunInterrupted { .. }, RunPhase::Forward | RunPhase::Compensating) => true,
            (
                Event::RunResumed { .. },
                RunPhase::Forward | RunPhase::Paused | RunPhase::Compensating | RunPhase::Finished(RunOutcome::Stuck),
            ) => true,
            (Event::RollbackStarted { .. }, RunPhase::Forward | RunPhase::Paused) => self.active.is_empty(),
            (Event::RollbackStarted { .. }, RunPhase::Finished(outcome)) => {
                matches!(outcome, RunOutcome::Completed | RunOutcome::CompletedWithExceptions)
            }
            (Event::RunFinished { .. }, RunPhase::Forward | RunPhase::Compensating | RunPhase::Paused) => self.active.is_empty(),
            (Event::RunFinished { outcome: RunOutcome::Abandoned }, RunPhase::Finished(RunOutcome::Stuck)) => true,
            _ => false,
        };
        if !legal {
            return Err(IllegalTransition::Run { seq: record.seq, phase: self.phase });
        }
        match &record.event {
            Event::RunStarted(header) => {
                self.header = Some(Arc::new((**header).clone()));
                self.started_at = Some(record.at);
            }
            Event::RunPaused { reason } => {
                self.phase = RunPhase::Paused;
                self.pause_reason = Some(reason.clone());
            }
            Event::RunInterrupted { .. } => {
                self.interrupted = true;
                self.interrupt_all();
            }
            Event::RunResumed { .. } => self.resumed(),
            Event::RollbackStarted { .. } => self.begin_rollback(),
            Event::RunFinished { outcome } => self.phase = RunPhase::Finished(*outcome),
            _ => {}
        }
        Ok(())
    }

    fn apply_to_step(&mut self, ix: StepIx, next: StepStatus, record: &Record) {
        self.ready.remove(&self.key(ix));
        self.undo_ready.remove(&self.key(ix));
        let step = &mut self.steps[ix];
        let previous = std::mem::replace(&mut step.status, next);
        step.record(&record.event, previous, record.at);
        if matches!(record.event, Event::PointOfNoReturnPassed { .. }) {
            self.point_of_no_return.get_or_insert(ix);
        }
        // Left out by somebody's word: the run is not what its file says.
        self.exceptions |= matches!(record.event, Event::StepSkipped { .. }) && self.steps[ix].wish.is_some();
        self.moved(ix, previous);
        if self.steps[ix].wish.is_some() {
            self.blocks_no_more(ix);
        }
    }

    /// Keeps the counters and ready sets in step with a status that changed.
    fn moved(&mut self, ix: StepIx, previous: StepStatus) {
        let status = self.steps[ix].status;
        if is_active(status) {
            self.active.insert(ix);
        } else {
            self.active.remove(&ix);
        }
        self.blocking.remove(&ix);
        match status {
            StepStatus::Succeeded | StepStatus::Skipped => self.done(ix),
            StepStatus::Failed | StepStatus::Unreachable if self.goes_on(ix) => {
                self.exceptions = true;
                self.done(ix);
            }
            StepStatus::Failed | StepStatus::Unreachable => {
                self.blocking.insert(ix);
            }
            StepStatus::Interrupted => {
                self.ready.insert(self.key(ix));
            }
            StepStatus::CompensationInterrupted => {
                self.undo_ready.insert(self.key(ix));
            }
            StepStatus::Compensated => {
                self.undo_left -= 1;
                self.undone(ix);
            }
            StepStatus::Pending if previous != StepStatus::Pending => {
                self.ready.insert(self.key(ix));
            }
            StepStatus::Pending
            | StepStatus::Waiting
            | StepStatus::Running
            | StepStatus::Retrying
            | StepStatus::Compensating
            | StepStatus::CompensationFailed => {}
        }
    }

    fn set_status(&mut self, ix: StepIx, status: StepStatus) {
        let previous = std::mem::replace(&mut self.steps[ix].status, status);
        self.moved(ix, previous);
    }

    fn key(&self, ix: StepIx) -> (Reverse<Duration>, StepIx) {
        (Reverse(self.priority[ix]), ix)
    }

    /// Tells whether the plan lets the steps behind a failed or unreachable one go on.
    fn goes_on(&self, ix: StepIx) -> bool {
        let step = self.workflow.step(ix);
        let policy = if self.steps[ix].status == StepStatus::Unreachable { step.on_unreachable } else { step.on_failure };
        policy == StepPolicy::Continue
    }

    fn done(&mut self, ix: StepIx) {
        self.left -= 1;
        let workflow = Arc::clone(&self.workflow);
        for next in workflow.dependents(ix) {
            let step = &mut self.steps[next];
            step.waits_for -= 1;
            if step.waits_for == 0 && step.status == StepStatus::Pending {
                self.ready.insert(self.key(next));
            }
        }
    }

    fn interrupt_all(&mut self) {
        for ix in std::mem::take(&mut self.active) {
            let step = &mut self.steps[ix];
            let undoing = step.status == StepStatus::Compensating;
            step.undo.cut_off = undoing && step.retry_at.is_none();
            step.retry_at = None;
            step.unknown = step.left_unknown(step.status);
            self.set_status(ix, if undoing { StepStatus::CompensationInterrupted } else { StepStatus::Interrupted });
        }
    }

    /// A new owner: whatever ran is interrupted; what a pause waited for, or a stuck rollback failed at, is tried anew.
    fn resumed(&mut self) {
        self.interrupted = false;
        self.pause_reason = None;
        self.held = None;
        self.interrupt_all();
        match self.phase {
            // Cut off: what had failed before still has the consequence that it would have had.
            RunPhase::Forward => {}
            RunPhase::Paused => {
                self.phase = RunPhase::Forward;
                for ix in std::mem::take(&mut self.blocking) {
                    self.anew(ix);
                }
            }
            RunPhase::Compensating | RunPhase::Finished(_) => {
                self.phase = RunPhase::Compensating;
                for ix in 0..self.steps.len() {
                    if self.steps[ix].status == StepStatus::CompensationFailed {
                        self.steps[ix].undo.attempt = 0;
                        self.set_status(ix, StepStatus::CompensationInterrupted);
                    }
                }
            }
        }
    }

    fn begin_rollback(&mut self) {
        self.phase = RunPhase::Compensating;
        self.pause_reason = None;
        self.held = None;
        self.cancelled = None;
        self.ready.clear();
        self.undo_left = (0..self.steps.len()).filter(|&ix| self.can_undo(ix)).count();
        for ix in 0..self.steps.len() {
            self.steps[ix].undo.waits_for = count(self.workflow.dependents(ix));
        }
        for ix in 0..self.steps.len() {
            if self.workflow.dependents(ix).next().is_none() {
                self.may_undo(ix);
            }
        }
    }

    /// Every dependent of a step is undone: so is the step, or it is its turn.
    fn may_undo(&mut self, ix: StepIx) {
        let mut turn = vec![ix];
        while let Some(ix) = turn.pop() {
            if self.can_undo(ix) {
                self.undo_ready.insert(self.key(ix));
            } else {
                self.count_undone(ix, &mut turn);
            }
        }
    }

    fn undone(&mut self, ix: StepIx) {
        let mut turn = Vec::new();
        self.count_undone(ix, &mut turn);
        turn.into_iter().for_each(|ix| self.may_undo(ix));
    }

    fn count_undone(&mut self, ix: StepIx, turn: &mut Vec<StepIx>) {
        if std::mem::replace(&mut self.steps[ix].undo.done, true) {
            return;
        }
        let workflow = Arc::clone(&self.workflow);
        for need in workflow.needs(ix) {
            let undo = &mut self.steps[need].undo;
            undo.waits_for -= 1;
            if undo.waits_for == 0 {
                turn.push(need);
            }
        }
    }

    /// Tells whether a step changed, or may have changed, something that can be restored.
    pub fn can_undo(&self, ix: StepIx) -> bool {
        let step = &self.steps[ix];
        step.intent && !step.irreversible && self.workflow.step(ix).compensate == Compensate::Default
    }

    /// Returns the workflow.
    pub fn workflow(&self) -> &Arc<Workflow> {
        &self.workflow
    }

    /// Returns what the run is of, once it is on record.
    pub fn header(&self) -> Option<&RunHeader> {
        self.header.as_deref()
    }

    /// Returns where the run is.
    pub fn phase(&self) -> RunPhase {
        self.phase
    }

    /// Returns a step.
    pub fn step(&self, ix: StepIx) -> &StepState {
        &self.steps[ix]
    }

    /// Returns every step, in the order of the file.
    pub fn steps(&self) -> &[StepState] {
        &self.steps
    }

    /// Returns the most urgent step that can start, or be carried on.
    pub fn next_ready(&self) -> Option<StepIx> {
        self.ready.first().map(|&(_, ix)| ix)
    }

    /// Returns the steps that can start or be carried on, the most urgent first.
    pub fn ready(&self) -> impl Iterator<Item = StepIx> {
        self.ready.iter().map(|&(_, ix)| ix)
    }

    /// Returns the most urgent step that can be compensated.
    pub fn next_undo(&self) -> Option<StepIx> {
        self.undo_ready.first().map(|&(_, ix)| ix)
    }

    /// Returns the steps with an attempt or compensation under way, or due again.
    pub fn active(&self) -> &BTreeSet<StepIx> {
        &self.active
    }

    /// Returns the steps that failed and hold the run up.
    pub fn blocking(&self) -> &BTreeSet<StepIx> {
        &self.blocking
    }

    /// Returns how many steps are not done going forward.
    pub fn left(&self) -> usize {
        self.left
    }

    /// Returns how many steps are still to be compensated.
    pub fn undo_left(&self) -> usize {
        self.undo_left
    }

    /// Tells whether steps failed, or were unreachable, that the plan allows to.
    pub fn exceptions(&self) -> bool {
        self.exceptions
    }

    /// Returns the irreversible step that was applied first, if any was.
    pub fn point_of_no_return(&self) -> Option<StepIx> {
        self.point_of_no_return
    }

    /// Tells whether the last owner recorded that it left.
    pub fn interrupted(&self) -> bool {
        self.interrupted
    }

    /// Returns why the run is paused.
    pub fn pause_reason(&self) -> Option<&str> {
        self.pause_reason.as_deref()
    }

    /// Returns the epoch of the last record.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Returns when the run was started.
    pub fn started_at(&self) -> Option<Timestamp> {
        self.started_at
    }

    /// Returns when the last record was made.
    pub fn last_at(&self) -> Option<Timestamp> {
        self.last_at
    }

    /// Tells whether a failure is to be answered by compensating: before anything irreversible, or in any case if everything is
    /// compensated at the end anyway.
    pub fn rolls_back(&self) -> bool {
        (self.point_of_no_return.is_none() || self.undoes()) && self.workflow.def().on_failure == OnFailure::Rollback
    }

    /// Tells whether what was changed is put back when every step is done.
    pub fn undoes(&self) -> bool {
        self.workflow.def().undoes(self.occasion())
    }

    /// Returns the value of a reference to a step of this run, if there is one yet.
    pub fn value_of(&self, source: &Source<'_>) -> Option<Value> {
        let Source::Step { step, before, field } = source else { return None };
        let state = &self.steps[self.workflow.find(&step.parse().ok()?)?];
        if *before { state.before.as_ref()?.get(field).cloned() } else { state.outputs.get(*field).cloned() }
    }
}

fn count(steps: impl Iterator<Item = StepIx>) -> u32 {
    u32::try_from(steps.count()).unwrap_or(u32::MAX)
}
