//! Who is told: a [`Reporter`] sees every recorded event, after it is durable, and notices that are never recorded.

use std::time::Duration;

use crate::model::ids::StepId;
use crate::model::record::Record;
use crate::model::run_state::RunState;

/// Something worth showing that is not worth recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// What a step waits for, such as "4/6 in service".
    Progress {
        /// The step.
        step: StepId,
        /// The words.
        text: String,
    },
    /// The engine is leaving; it waits for calls that are under way.
    Leaving {
        /// What told it to.
        reason: String,
    },
    /// The journal's disk takes long. Nothing is started or told until it answers; what runs goes on.
    SlowDisk {
        /// For how long it has not answered, by the machine's clock.
        waited: Duration,
    },
}

/// Is told what happens in a run. Called from the dispatcher's loop, so it must not block for long.
pub trait Reporter: Send {
    /// An event is on record.
    fn recorded(&mut self, record: &Record, state: &RunState);
    /// Something is to be shown.
    fn notice(&mut self, notice: &Notice, state: &RunState);
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Reporter for Silent {
    fn recorded(&mut self, _: &Record, _: &RunState) {}
    fn notice(&mut self, _: &Notice, _: &RunState) {}
}
