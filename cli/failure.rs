//! [`Failure`]: why a verb could not do what it was asked for. Says what happened to what; what to type next, and which exit
//! code that is, is decided in [`crate::diagnostics`].

use std::io;
use std::path::PathBuf;

use wf_engine::journal::JournalError;
use wf_engine::model::event::StepFailure;
use wf_engine::model::ids::RunId;
use wf_engine::model::problem::Problem;
use wf_engine::runtime::RunError;
use wf_journal::OpenError;
use wf_sim::SimError;

/// Why a verb could not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// What was typed makes no sense here.
    #[error("{message}")]
    Usage { message: String, help: Option<String> },
    /// What was asked for is not done, to be safe.
    #[error("{message}")]
    Refused { message: String, help: Option<String> },
    /// A file has mistakes.
    #[error("{} has {}", path.display(), count(problems.len()))]
    Invalid { path: PathBuf, text: String, problems: Vec<Problem> },
    /// A file that was named cannot be read.
    #[error("{} cannot be read", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    /// A run could not be driven.
    #[error("{source}")]
    Run { run: RunId, source: RunError },
    /// A journal could not be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The state directory cannot be used.
    #[error(transparent)]
    State(#[from] OpenError),
    /// Something under the state directory cannot be used.
    #[error("{} could not be {doing}", path.display())]
    Files { path: PathBuf, doing: &'static str, source: io::Error },
    /// The simulated world cannot be used.
    #[error(transparent)]
    Sim(#[from] SimError),
    /// Nobody reads the output, or it cannot be written.
    #[error("the output could not be written")]
    Output(#[from] io::Error),
    /// The operating system refuses something that it never should.
    #[error("{doing} failed")]
    System { doing: &'static str, source: io::Error },
}

impl Failure {
    pub fn usage(message: impl Into<String>) -> Self {
        Self::Usage { message: message.into(), help: None }
    }

    pub fn refused(message: impl Into<String>) -> Self {
        Self::Refused { message: message.into(), help: None }
    }

    /// Refuses with what AWS said to something that is no step.
    pub fn of_step(failure: StepFailure) -> Self {
        let causes: String = failure.causes.iter().map(|cause| format!("; {cause}")).collect();
        let refused = Self::refused(format!("{}{causes}", failure.message));
        match failure.hint {
            Some(hint) => refused.help(hint),
            None => refused,
        }
    }

    /// Says what to type instead.
    pub fn help(mut self, text: impl Into<String>) -> Self {
        match &mut self {
            Self::Usage { help, .. } | Self::Refused { help, .. } => *help = Some(text.into()),
            Self::Invalid { .. }
            | Self::Unreadable { .. }
            | Self::Run { .. }
            | Self::Journal(_)
            | Self::State(_)
            | Self::Files { .. }
            | Self::Sim(_)
            | Self::Output(_)
            | Self::System { .. } => {}
        }
        self
    }
}

/// Counts mistakes in words.
pub fn count(mistakes: usize) -> String {
    if mistakes == 1 { "1 mistake".to_owned() } else { format!("{mistakes} mistakes") }
}
