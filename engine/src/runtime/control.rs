//! Operators' orders to a live run, and the refusals that they can meet.

use tokio::sync::{mpsc, oneshot};

use crate::model::event::Operator;
use crate::model::ids::StepId;

/// An order to a live run.
#[derive(Debug)]
pub enum Control {
    /// Start nothing more, leave waits, record the interruption.
    Interrupt {
        /// What asks for it, such as `Ctrl-C`.
        reason: String,
    },
    /// Answer a step's question.
    Decide {
        /// The step that asks.
        step: StepId,
        /// Whether it may go on.
        granted: bool,
        /// Who decides.
        by: Operator,
        /// Why, in their words.
        reason: String,
        /// Told when the decision is on record, or why it cannot be.
        reply: oneshot::Sender<Result<(), Refusal>>,
    },
}

/// Why an order cannot be carried out; reads well after "refused: ".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The workflow has no such step.
    #[error("the run has no step `{step}`{hint}")]
    NoSuchStep {
        /// As given.
        step: String,
        /// The nearest name, as a sentence.
        hint: String,
    },
    /// The step asks nothing now.
    #[error("step `{step}` is not waiting for an approval: it is {status}")]
    NotWaiting {
        /// The step.
        step: StepId,
        /// Where it is.
        status: String,
    },
    /// The step's result is not in question.
    #[error("step `{step}` is {status}: only a step that was interrupted or failed can be decided by hand")]
    NotUndecided {
        /// The step.
        step: StepId,
        /// Where it is.
        status: String,
    },
    /// The run is over.
    #[error("the run has {outcome}: there is nothing to {verb}")]
    Finished {
        /// How it ended.
        outcome: crate::model::event::RunOutcome,
        /// What was asked for.
        verb: &'static str,
    },
    /// An irreversible step was applied.
    #[error("step `{step}` cannot be undone any more; the rest can: confirm with --past-point-of-no-return")]
    PastPointOfNoReturn {
        /// The step.
        step: StepId,
    },
    /// The run is being rolled back already.
    #[error("the run is being rolled back already: `wf resume` carries that on")]
    RollingBack,
    /// The run is leaving.
    #[error("the run is leaving")]
    Leaving,
}

/// How many orders can wait to be read.
const ORDERS_MAX: usize = 64;

/// Sends orders to a run.
pub type Controller = mpsc::Sender<Control>;
/// The run's end of it.
pub type ControlReceiver = mpsc::Receiver<Control>;

/// Makes a way to order a run about.
pub fn channel() -> (Controller, ControlReceiver) {
    mpsc::channel(ORDERS_MAX)
}
