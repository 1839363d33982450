//! What kinds share that only look: a check that is not good ends their step as it would be told beforehand.

use wf_engine::model::event::StepFailure;
use wf_engine::readiness::{Check, Finding};

/// Fails with the first check that is not good.
///
/// # Errors
/// What is wrong fails for good; what could not be found out does not.
pub(crate) fn as_failure(checks: &[Check]) -> Result<(), StepFailure> {
    let Some(bad) = checks.iter().find(|check| !check.is_good()) else { return Ok(()) };
    let failure = match bad.found {
        Finding::Unknown { .. } => StepFailure::unreachable(bad.why()),
        Finding::Passed | Finding::Warned { .. } | Finding::Failed { .. } => StepFailure::permanent(bad.why()),
    };
    Err(failure.hint(bad.fix()))
}
