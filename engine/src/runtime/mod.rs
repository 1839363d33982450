//! The thin async shell around the pure model: starts, resumes and drives one run.
//!
//! One owner, one loop (`dispatcher`): decide → append → report → act. Deciding applies events to the state in memory, so that
//! a completion and the starts that it allows go in one commit; nothing leaves the process, neither a call nor a word on the
//! screen, before the append is durable. Each attempt runs in a task of its own (`executor`) that talks to the loop.

mod adoption;
mod control;
mod dispatcher;
mod executor;
mod start;

pub use crate::model::order::{Order, Refusal, may_roll_back};
pub use adoption::Adoption;
pub use control::{Control, ControlReceiver, Controller, channel};
pub use start::{Replayed, ResumePlan, RollbackRequest, StartPlan, order, replay, resume, rollback, start};

use std::sync::Arc;

use crate::clock::Clock;
use crate::journal::{Journal, JournalError};
use crate::model::event::RunOutcome;
use crate::model::problem::Problem;
use crate::model::record::RecordError;
use crate::model::run_state::IllegalTransition;
use crate::model::workflow::Workflow;
use crate::registry::Registry;
use crate::report::Reporter;

/// What a run needs from outside.
pub struct Runtime {
    /// Where events become durable.
    pub journal: Arc<dyn Journal>,
    /// The step kinds.
    pub registry: Arc<Registry>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Who is told.
    pub reporter: Box<dyn Reporter>,
    /// Where operators' orders come from.
    pub control: control::ControlReceiver,
    /// The run's workflow, if the caller has read it from the journal already: a long one is not read twice. One that is not what the
    /// journal holds is not used.
    pub workflow: Option<Arc<Workflow>>,
}

/// How a call of [`start()`], [`resume`] or [`rollback`] ended. A rolled-back failover is not an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunEnd {
    /// The run is over, or stuck.
    Finished(RunOutcome),
    /// The run waits for an operator.
    Paused {
        /// Why.
        reason: String,
    },
    /// The run was left, resumable.
    Interrupted {
        /// What told it to.
        reason: String,
    },
}

/// The engine could not do its job.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The journal failed. Nothing was acted on that is not on record.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// An event could not be recorded.
    #[error("an event of the run cannot be recorded")]
    Record(#[from] RecordError),
    /// The journal's events do not fit together.
    #[error("the journal does not fit its workflow")]
    Illegal(#[from] IllegalTransition),
    /// The journal holds no run.
    #[error(
        "the journal of run {run} does not begin with a whole workflow: the run was cut off while it was being created, and did nothing"
    )]
    NotARun {
        /// The run.
        run: crate::model::ids::RunId,
    },
    /// The stored workflow is no longer understood, by a newer wf for instance.
    #[error("the stored workflow cannot be bound: {}", problems.iter().map(|p| p.message.as_str()).collect::<Vec<_>>().join("; "))]
    Workflow {
        /// The mistakes.
        problems: Vec<Problem>,
        /// The stored text.
        text: String,
    },
    /// The scheduler found nothing to do although the run is not over: a bug, told instead of waiting for ever.
    #[error("run {run} has nothing to wait for and is not over: this is a bug of wf, the run is resumable")]
    Stalled {
        /// The run.
        run: crate::model::ids::RunId,
    },
    /// What was asked for cannot be done with the run as it is.
    #[error("{0}")]
    Refused(Refusal),
}
