//! The poll loop that `settle` and `compensate` wait in.

use std::future::Future;
use std::time::Duration;

use jiff::Timestamp;
use wf_engine::clock::between;
use wf_engine::model::event::{FailureKind, StepFailure};
use wf_engine::step::StepContext;

use super::Cloud;
use super::shared::Since;

/// How long a poll loop puts up with a world that does not answer, before it gives the failure to the engine.
const PATIENCE: Duration = Duration::from_secs(120);

/// For how long a change whose answer was lost may take to show in what AWS describes. Whoever finds the world untouched, and
/// does not know whether the call was accepted, looks for that long before believing it.
pub const SHOWS_WITHIN: Duration = Duration::from_secs(30);

/// What one look at the world showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look<T> {
    /// It is as desired.
    Done(T),
    /// Not yet; this is what is missing, for the operator: "4/6 in service".
    Waiting(String),
    /// It will not become so by waiting: the loop ends with this failure, even a transient one.
    GiveUp(StepFailure),
}

/// Looks at the world until it is as desired, which usually takes `typical`, with the engine's pacing. Has no limit of its own: the
/// step's timeout ends it. Each look is told since when: what is read from then on is the world after what the step did before.
/// A look that fails for good ends the loop at once; one that was throttled or got no answer is repeated for up to two minutes,
/// since the change that is waited for goes on whether or not we can see it.
pub async fn until<T, F, L>(cx: &StepContext<Cloud>, typical: Duration, look: F) -> Result<T, StepFailure>
where
    F: FnMut(Since) -> L,
    L: Future<Output = Result<Look<T>, StepFailure>>,
{
    wait(cx, typical, Some(cx.clock.now()), look).await
}

/// As [`until`], for a wait before anything of ours is under way: a first look that gets no answer ends it, so that a region that is gone is
/// told from one that has to be waited for.
pub async fn until_if_seen<T, F, L>(cx: &StepContext<Cloud>, typical: Duration, look: F) -> Result<T, StepFailure>
where
    F: FnMut(Since) -> L,
    L: Future<Output = Result<Look<T>, StepFailure>>,
{
    wait(cx, typical, None, look).await
}

async fn wait<T, F, L>(
    cx: &StepContext<Cloud>,
    typical: Duration,
    mut last_answer: Option<Timestamp>,
    mut look: F,
) -> Result<T, StepFailure>
where
    F: FnMut(Since) -> L,
    L: Future<Output = Result<Look<T>, StepFailure>>,
{
    let (mut pacer, since) = (cx.pacer(typical), cx.env.since_now());
    loop {
        match look(since).await {
            Ok(Look::Done(value)) => return Ok(value),
            Ok(Look::GiveUp(failure)) => return Err(failure),
            Ok(Look::Waiting(text)) => {
                last_answer = Some(cx.clock.now());
                cx.progress(text);
            }
            Err(failure)
                if failure.kind == FailureKind::Permanent || last_answer.is_none_or(|at| between(at, cx.clock.now()) >= PATIENCE) =>
            {
                return Err(failure);
            }
            Err(failure) => cx.progress(format!("cannot see: {}", failure.message)),
        }
        pacer.pause().await;
    }
}
