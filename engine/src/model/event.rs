//! What is journaled: the [`Event`]s of a run. This is the format of the journal's records, so a change here
//! needs a new [`super::record::FORMAT`] and a fixture of the old bytes. A field that older records lack and that an older `wf` may pass over
//! needs only the fixture.

use indexmap::IndexMap;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::ids::{RunId, StepId};
use super::order::Order;

/// The outputs of a step, or one of its images: field name → value.
pub type Fields = Map<String, Value>;

/// Why an attempt did not succeed. Data, not an error: it is journaled, retried, shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepFailure {
    /// Whether trying again can help.
    pub kind: FailureKind,
    /// What happened to what; a sentence for the operator.
    pub message: String,
    /// The underlying causes, outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    /// What the operator can do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// Whether trying again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureKind {
    /// The same attempt may succeed later: throttling, a wrong state that passes, a lost answer.
    Transient,
    /// Trying again changes nothing: a bad parameter, a missing permission, a refused gate.
    Permanent,
    /// The world that the step works on did not answer: neither success nor failure.
    Unreachable,
}

impl StepFailure {
    /// The longest message kept, in bytes; what is longer is cut, so that a record stays under its limit.
    pub const MESSAGE_LEN_MAX: usize = 4096;
    const CAUSES_MAX: usize = 6;

    /// Makes a failure that a later attempt may not meet.
    pub fn transient(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Transient, message)
    }

    /// Makes a failure that stays.
    pub fn permanent(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Permanent, message)
    }

    /// Makes the failure to reach the world at all.
    pub fn unreachable(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Unreachable, message)
    }

    fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: clip(message.into(), Self::MESSAGE_LEN_MAX), causes: Vec::new(), hint: None }
    }

    /// Adds an underlying cause.
    #[must_use]
    pub fn because(mut self, cause: impl Into<String>) -> Self {
        if self.causes.len() < Self::CAUSES_MAX {
            self.causes.push(clip(cause.into(), Self::MESSAGE_LEN_MAX));
        }
        self
    }

    /// Says what the operator can do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(clip(hint.into(), Self::MESSAGE_LEN_MAX));
        self
    }
}

/// Cuts a text to at most `max` bytes, at a character's border.
pub fn clip(mut text: String, max: usize) -> String {
    if text.len() > max {
        let mut end = max.saturating_sub('…'.len_utf8());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push('…');
    }
    text
}

/// Whether the failing side still works with us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Mode {
    /// Both regions answer: an exercise, a migration, the way home.
    Planned,
    /// The primary is failing.
    Unplanned,
}

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Planned => "planned",
            Self::Unplanned => "unplanned",
        })
    }
}

/// Who does something to a run: taken from the operating system by the command line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operator {
    /// The login name.
    pub user: String,
    /// The machine.
    pub host: String,
    /// The process.
    pub pid: u32,
    /// The version of `wf`.
    pub wf: String,
    /// Whom the world takes them for, as far as that was asked and answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
}

/// Whom the world takes an operator for. Never a key or a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The account that they belong to.
    pub account: String,
    /// Their name in it.
    pub arn: String,
}

/// What a run is of: the first fact of every journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunHeader {
    /// The run's own id, so that a journal moved to another directory is recognised.
    pub run: RunId,
    /// The workflow's name.
    pub workflow: String,
    /// SHA-256 of the workflow's text, in hexadecimal.
    pub workflow_hash: String,
    /// How many [`Event::WorkflowText`] records follow.
    pub text_parts: u32,
    /// The file that the text was read from, for the operator only.
    pub file: String,
    /// Every input with the value that this run uses.
    pub inputs: IndexMap<String, Value>,
    /// Values taken over from the run that this one follows: reference → value.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub imports: IndexMap<String, Value>,
    /// The run that this one follows, such as the failover of a failback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follows: Option<RunId>,
    /// Whether the failing side still works with us.
    pub mode: Mode,
    /// The environment that is exercised, if the run is a drill.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drill: Option<String>,
    /// Promotions that no `Fence` comes before, let through by whoever started the run: the risk of two databases that take writes is theirs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unfenced: Vec<StepId>,
    /// When the incident began, as far as whoever started the run knew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident_at: Option<Timestamp>,
    /// The most steps that may run at once.
    pub max_parallel: u32,
    /// Whether approvals were given in advance (`--yes`).
    pub approve_all: bool,
    /// Where the run acts: `aws`, or `sim`.
    pub world: String,
    /// Who started it.
    pub by: Operator,
}

/// What a run is of from here on, after its file was edited.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkflowChange {
    /// SHA-256 of the new text, in hexadecimal.
    pub workflow_hash: String,
    /// How many [`Event::WorkflowText`] records follow.
    pub text_parts: u32,
    /// The file that the text was read from, for the operator only.
    pub file: String,
    /// Every input with the value that the run uses from here on.
    pub inputs: IndexMap<String, Value>,
    /// What is different, in a line.
    pub summary: String,
    /// Who adopted it.
    pub by: Operator,
}

/// A fact of a run, in the past tense.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// The run was started.
    RunStarted(Box<RunHeader>),
    /// A part of the workflow's text, so that a resume needs no file.
    WorkflowText {
        /// Counts from 0.
        part: u32,
        /// The part itself.
        text: String,
    },
    /// Between two owners, an operator adopted an edited workflow. Its text follows, and counts once it is whole.
    WorkflowChanged(Box<WorkflowChange>),
    /// A step's attempt began. It has not touched the world yet.
    StepStarted {
        /// The step.
        step: StepId,
        /// Counts from 1; an interrupted attempt that is carried on keeps its number.
        attempt: u32,
    },
    /// The world before the step: durable before anything is changed, so that it can be restored.
    /// With `satisfied: false` it is also the intent to change it.
    StepObserved {
        /// The step.
        step: StepId,
        /// The before-image.
        before: Value,
        /// Whether the world already was as desired, so that nothing was changed.
        satisfied: bool,
    },
    /// An irreversible step is about to change the world: from here the run pauses instead of rolling back.
    PointOfNoReturnPassed {
        /// The step.
        step: StepId,
    },
    /// The mutating call was accepted.
    StepApplied {
        /// The step.
        step: StepId,
        /// What is needed to follow it up: an update id, a change id.
        handle: Value,
    },
    /// A human is asked.
    ApprovalRequested {
        /// The step that asks.
        step: StepId,
        /// The question.
        message: String,
        /// When the question lapses.
        expires_at: Timestamp,
    },
    /// A human decided.
    ApprovalDecided {
        /// The step that asked.
        step: StepId,
        /// Whether it may go on.
        granted: bool,
        /// Who decided.
        by: Operator,
        /// Why, in their words.
        reason: String,
    },
    /// An attempt failed and will be followed by another.
    AttemptFailed {
        /// The step.
        step: StepId,
        /// The attempt that failed.
        attempt: u32,
        /// Why.
        failure: StepFailure,
        /// When the next attempt starts.
        retry_at: Timestamp,
    },
    /// The step brought the world to the desired state.
    StepSucceeded {
        /// The step.
        step: StepId,
        /// What later steps can refer to.
        #[serde(default, skip_serializing_if = "Map::is_empty")]
        outputs: Fields,
    },
    /// The step failed for good.
    StepFailed {
        /// The step.
        step: StepId,
        /// Why.
        failure: StepFailure,
    },
    /// The step's world could not be reached.
    StepUnreachable {
        /// The step.
        step: StepId,
        /// What did not answer.
        failure: StepFailure,
    },
    /// The step is not part of this run.
    StepSkipped {
        /// The step.
        step: StepId,
        /// Why.
        reason: String,
    },
    /// The step was left before its result was known; it will be observed again.
    StepInterrupted {
        /// The step.
        step: StepId,
    },
    /// An operator says that an interrupted step may run again.
    StepRedone {
        /// The step.
        step: StepId,
        /// Who says so.
        by: Operator,
    },
    /// An operator says that the step is done, and with which outputs.
    StepMarkedDone {
        /// The step.
        step: StepId,
        /// What later steps can refer to.
        outputs: Fields,
        /// Who says so.
        by: Operator,
        /// Why, in their words.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        reason: String,
    },
    /// An operator's order was accepted; what follows from it is on record when it happens.
    Ordered {
        /// The order.
        order: Order,
        /// Who gave it.
        by: Operator,
        /// Why, in their words.
        reason: String,
    },
    /// Nothing more is started until an operator resumes the run or rolls it back.
    RunPaused {
        /// Why.
        reason: String,
    },
    /// The process was told to stop and left the run resumable.
    RunInterrupted {
        /// What told it.
        reason: String,
    },
    /// A process took the run over. Whatever ran when the last one ended is interrupted.
    RunResumed {
        /// Who resumed it.
        by: Operator,
    },
    /// Everything attempted will be compensated.
    RollbackStarted {
        /// Why.
        reason: String,
        /// Who asked for it; `None` when the workflow did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<Operator>,
    },
    /// Restoring a step's before-image began.
    CompensationStarted {
        /// The step.
        step: StepId,
        /// Counts from 1.
        attempt: u32,
    },
    /// Restoring failed and will be tried again.
    CompensationAttemptFailed {
        /// The step.
        step: StepId,
        /// The attempt that failed.
        attempt: u32,
        /// Why.
        failure: StepFailure,
        /// When the next attempt starts.
        retry_at: Timestamp,
    },
    /// The step's before-image is restored.
    StepCompensated {
        /// The step.
        step: StepId,
    },
    /// Restoring failed for good: a human decides.
    CompensationFailed {
        /// The step.
        step: StepId,
        /// Why.
        failure: StepFailure,
    },
    /// The run ended.
    RunFinished {
        /// How.
        outcome: RunOutcome,
    },
}

impl Event {
    /// Returns the oldest format of a record that has it: an older `wf` reads a run as long as nothing newer is in it.
    pub fn format(&self) -> u32 {
        match self {
            Self::WorkflowChanged(_) => 3,
            Self::Ordered { .. } => 2,
            _ => 1,
        }
    }

    /// Returns the step that the event is about, if it is about one.
    pub fn step(&self) -> Option<&StepId> {
        match self {
            Self::StepStarted { step, .. }
            | Self::StepObserved { step, .. }
            | Self::PointOfNoReturnPassed { step }
            | Self::StepApplied { step, .. }
            | Self::ApprovalRequested { step, .. }
            | Self::ApprovalDecided { step, .. }
            | Self::AttemptFailed { step, .. }
            | Self::StepSucceeded { step, .. }
            | Self::StepFailed { step, .. }
            | Self::StepUnreachable { step, .. }
            | Self::StepSkipped { step, .. }
            | Self::StepInterrupted { step }
            | Self::StepRedone { step, .. }
            | Self::StepMarkedDone { step, .. }
            | Self::CompensationStarted { step, .. }
            | Self::CompensationAttemptFailed { step, .. }
            | Self::StepCompensated { step }
            | Self::CompensationFailed { step, .. } => Some(step),
            Self::Ordered { order, .. } => order.step(),
            Self::RunStarted(_)
            | Self::WorkflowText { .. }
            | Self::WorkflowChanged(_)
            | Self::RunPaused { .. }
            | Self::RunInterrupted { .. }
            | Self::RunResumed { .. }
            | Self::RollbackStarted { .. }
            | Self::RunFinished { .. } => None,
        }
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RunOutcome {
    /// Every step that was to run succeeded.
    Completed,
    /// The run reached its end, but steps failed or could not be reached that the plan allows to.
    CompletedWithExceptions,
    /// Everything attempted was compensated.
    RolledBack,
    /// A compensation failed: the world is between two states, and a human decides. Can be resumed.
    Stuck,
    /// An operator gave the run up.
    Abandoned,
}

impl std::fmt::Display for RunOutcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Completed => "completed",
            Self::CompletedWithExceptions => "completed with exceptions",
            Self::RolledBack => "rolled back",
            Self::Stuck => "stuck",
            Self::Abandoned => "abandoned",
        })
    }
}
