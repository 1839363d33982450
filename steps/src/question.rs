//! A question that a step puts to a human: it goes on only when they agree.

use wf_engine::model::event::StepFailure;
use wf_engine::step::{Decision, StepContext};
use wf_engine::units::Span;

/// Puts a question that stands for `timeout`, and returns who agreed. A refusal and a question that lapses are failures for good: no answer
/// is not a yes.
pub(crate) async fn put<E>(cx: &StepContext<E>, message: String, timeout: Span) -> Result<Decision, StepFailure> {
    cx.progress("waits for an answer");
    let lapses_at = cx.clock.now().checked_add(timeout.0).unwrap_or(jiff::Timestamp::MAX);
    let decision = tokio::select! {
        biased;
        decision = cx.ask(message, timeout.0) => decision,
        () = cx.sleep(timeout.0) => None,
    };
    match decision {
        Some(decision) if decision.granted => Ok(decision),
        Some(decision) => Err(StepFailure::permanent(format!("{} refused: {}", decision.by, said(&decision.reason)))),
        None if cx.clock.now() >= lapses_at => {
            Err(StepFailure::permanent(format!("nobody answered within {timeout}")).hint(format!("`wf resume {}` asks again", cx.run)))
        }
        None => Err(StepFailure::transient("the question was withdrawn before anyone answered")),
    }
}

fn said(reason: &str) -> &str {
    if reason.trim().is_empty() { "no reason given" } else { reason.trim() }
}
