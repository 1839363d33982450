//! What this process knows of the run that it drives: [`Ledger`], filled by [`Recorder`], the reporter that keeps every record and
//! passes it on to the display and to whoever is notified. The control socket, the questions and the summary read from here, never from the dispatcher.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, watch};
use wf_engine::model::event::Event;
use wf_engine::model::ids::StepId;
use wf_engine::model::record::Record;
use wf_engine::model::run_state::RunState;
use wf_engine::report::{Notice, Reporter};

use crate::notify::Notifier;
use crate::render::live::LiveReporter;

/// The records of one run, from its first on.
#[derive(Debug)]
pub struct Ledger {
    records: Mutex<Vec<Record>>,
    progress: watch::Sender<Progress>,
}

/// How far the run is, for those who wait for more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// How many records there are.
    pub records: usize,
    /// Whether this process has recorded anything, so that it surely owns the run.
    pub owned: bool,
    /// Whether nothing more will come.
    pub ended: bool,
}

impl Ledger {
    /// Begins with what earlier owners recorded.
    pub fn new(earlier: Vec<Record>) -> Arc<Self> {
        let progress = Progress { records: earlier.len(), owned: false, ended: false };
        Arc::new(Self { records: Mutex::new(earlier), progress: watch::Sender::new(progress) })
    }

    /// Returns the records from place `from` on.
    pub fn since(&self, from: usize) -> Vec<Record> {
        self.lock().get(from..).unwrap_or_default().to_vec()
    }

    /// Watches how far the run is.
    pub fn watch(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Tells those who wait that nothing more will come.
    pub fn end(&self) {
        self.progress.send_modify(|progress| progress.ended = true);
    }

    fn add(&self, record: &Record) {
        let mut records = self.lock();
        records.push(record.clone());
        let len = records.len();
        drop(records);
        self.progress.send_modify(|progress| *progress = Progress { records: len, owned: true, ended: false });
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Record>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the one who asks on the terminal must know.
#[derive(Debug)]
pub enum Question {
    /// A step asks.
    Asked { step: StepId },
    /// A step's question is settled, by whomever.
    Settled { step: StepId },
}

/// Keeps every record, and passes it on.
pub struct Recorder {
    ledger: Arc<Ledger>,
    live: LiveReporter,
    notifier: Notifier,
    questions: mpsc::UnboundedSender<Question>,
}

impl Recorder {
    pub fn new(ledger: Arc<Ledger>, live: LiveReporter, notifier: Notifier) -> (Self, mpsc::UnboundedReceiver<Question>) {
        let (questions, asked) = mpsc::unbounded_channel();
        (Self { ledger, live, notifier, questions }, asked)
    }
}

impl Reporter for Recorder {
    fn recorded(&mut self, record: &Record, state: &RunState) {
        self.ledger.add(record);
        self.live.recorded(record, state);
        self.notifier.recorded(record, state);
        if let Some(question) = question(&record.event) {
            // Nobody asks on the terminal when there is none.
            let _ = self.questions.send(question);
        }
    }

    fn notice(&mut self, notice: &Notice, state: &RunState) {
        self.live.notice(notice, state);
        self.notifier.notice(notice, state);
    }
}

fn question(event: &Event) -> Option<Question> {
    match event {
        Event::ApprovalRequested { step, .. } => Some(Question::Asked { step: step.clone() }),
        Event::ApprovalDecided { step, .. }
        | Event::StepFailed { step, .. }
        | Event::StepUnreachable { step, .. }
        | Event::StepInterrupted { step }
        | Event::AttemptFailed { step, .. } => Some(Question::Settled { step: step.clone() }),
        Event::RunStarted(_)
        | Event::WorkflowText { .. }
        | Event::WorkflowChanged(_)
        | Event::StepStarted { .. }
        | Event::StepObserved { .. }
        | Event::PointOfNoReturnPassed { .. }
        | Event::StepApplied { .. }
        | Event::StepSucceeded { .. }
        | Event::StepSkipped { .. }
        | Event::StepRedone { .. }
        | Event::StepMarkedDone { .. }
        | Event::Ordered { .. }
        | Event::RunPaused { .. }
        | Event::RunInterrupted { .. }
        | Event::RunResumed { .. }
        | Event::RollbackStarted { .. }
        | Event::CompensationStarted { .. }
        | Event::CompensationAttemptFailed { .. }
        | Event::StepCompensated { .. }
        | Event::CompensationFailed { .. }
        | Event::RunFinished { .. } => None,
    }
}
