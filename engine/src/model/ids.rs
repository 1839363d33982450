//! The names of things: runs and steps. Parsing is the only way to make one, so an id that exists is safe in a path and on a terminal.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Says why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text is no step id.
    #[error("`{}` is not a step id: 1 to {max} of letters, digits, `_` and `-`, not starting with a digit or `-`", text.escape_debug(), max = StepId::LEN_MAX)]
    Step {
        /// What was given.
        text: String,
    },
    /// The text is no run id.
    #[error("`{}` is not a run id: 26 characters of Crockford's base 32, as `wf list` shows them", text.escape_debug())]
    Run {
        /// What was given.
        text: String,
    },
}

/// Names one execution of a workflow: a ULID, so that ids sort by the time they were made.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunId(Arc<str>);

impl RunId {
    /// Makes the id of a run that starts `at_ms` milliseconds after the Unix epoch, from 80 random bits.
    pub fn new(at_ms: u64, random: u128) -> Self {
        Self(ulid::Ulid::from_parts(at_ms, random).to_string().into())
    }

    /// Returns the id as it is shown and stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns when it was made, in milliseconds after the Unix epoch, by the clock of the machine that made it.
    pub fn made_at_ms(&self) -> u64 {
        // What is in there was parsed or made as one.
        ulid::Ulid::from_string(&self.0).map_or(0, |ulid| ulid.timestamp_ms())
    }

    /// Returns the last characters, enough to tell the runs of one day apart: ULIDs of one hour share their first ones.
    pub fn short(&self) -> &str {
        &self.0[self.0.len() - 6..]
    }
}

impl FromStr for RunId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        match ulid::Ulid::from_string(text) {
            Ok(ulid) if ulid.to_string() == text => Ok(Self(text.into())),
            Ok(_) | Err(_) => Err(IdError::Run { text: clip(text) }),
        }
    }
}

/// Names a step of a workflow, as its author wrote it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StepId(Arc<str>);

impl StepId {
    /// The longest step id, in bytes.
    pub const LEN_MAX: usize = 64;

    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for StepId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        if is_name(text) { Ok(Self(text.into())) } else { Err(IdError::Step { text: clip(text) }) }
    }
}

/// Tells whether a text can name a step, an input, an output or a workflow.
pub fn is_name(text: &str) -> bool {
    let mut chars = text.chars();
    let first = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    first && text.len() <= StepId::LEN_MAX && chars.all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

fn clip(text: &str) -> String {
    text.chars().take(80).collect()
}

macro_rules! text_id {
    ($id:ident) => {
        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
        impl fmt::Debug for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl TryFrom<String> for $id {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }
        impl From<$id> for String {
            fn from(id: $id) -> String {
                id.0.as_ref().to_owned()
            }
        }
    };
}
text_id!(RunId);
text_id!(StepId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn step_ids_are_safe_in_paths_and_terminals() {
        for good in ["promote", "scale_app", "_x", "A-1"] {
            assert_eq!(good.parse::<StepId>().map(|id| id.to_string()), Ok(good.to_owned()));
        }
        let long = "x".repeat(65);
        for bad in ["", "1st", "-x", "a b", "a/b", "..", "\u{1b}[31m", "é", long.as_str()] {
            assert!(bad.parse::<StepId>().is_err(), "{bad:?} must be refused");
        }
    }

    #[test]
    fn run_ids_sort_by_time_and_survive_a_round_trip() {
        let (early, late) = (RunId::new(1, u128::MAX), RunId::new(2, 0));
        assert!(early < late);
        assert_eq!(early.as_str().parse(), Ok(early.clone()));
        assert!("../../etc/passwd/aaaaaaaaa".parse::<RunId>().is_err());
    }
}
