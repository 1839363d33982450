//! What a run would do, before it does anything: each step's `observe`, and when it would run. Nothing is applied, nothing is journaled.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::clock::Clock;
use crate::model::definition::StepDef;
use crate::model::event::{FailureKind, StepFailure};
use crate::model::ids::RunId;
use crate::model::occasion::Occasion;
use crate::model::template::Reference;
use crate::model::workflow::{Source, StepIx, Workflow, source_of};
use crate::registry::{BoundWorkflow, Registry, Step};
use crate::step::{Change, Observed, Reversibility, StepContext};

/// How many steps are looked at at once.
const AT_ONCE: usize = 32;

/// What a step would meet and do if the run began now.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It is not part of such a run.
    LeftOut,
    /// It changes the world.
    Changes {
        /// The values, as far as the kind names them.
        changes: Vec<Change>,
        /// The before-image.
        before: Value,
    },
    /// The world already is as desired.
    AsDesired,
    /// It changes nothing: it waits, asks or checks.
    Waits,
    /// It cannot be looked at before these steps have run: it uses what they give.
    After(Vec<StepIx>),
    /// What it found now is no obstacle yet: steps before it change the world first.
    NotYet(StepFailure),
    /// Its world did not answer.
    Unreachable(StepFailure),
    /// It would fail.
    Fails(StepFailure),
}

/// What is needed to look.
pub struct Looking {
    /// The workflow with its params.
    pub bound: Arc<BoundWorkflow>,
    /// The step kinds, with a way to the world.
    pub registry: Arc<Registry>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// What kind of run it would be.
    pub occasion: Occasion,
    /// An id that no run has.
    pub run: RunId,
}

impl Looking {
    /// Looks at the world of every step of the run, side by side, and returns what each would do. Only `observe` is called, which reads.
    pub async fn look(&self) -> Vec<Verdict> {
        let part = |step: &StepDef| step.takes_part(self.occasion);
        let looked = self.each(part, |step, cx| async move { look_at(step.as_ref(), &cx).await }).await;
        let mut verdicts: Vec<_> = looked.into_iter().map(|looked| looked.unwrap_or_else(|verdict| verdict)).collect();
        soften(self.bound.workflow(), &mut verdicts);
        verdicts
    }

    /// Looks at every step that is `part` of it and can be looked at, side by side; the others have their verdict at once.
    pub(crate) async fn each<T, F>(
        &self,
        part: impl Fn(&StepDef) -> bool,
        look: impl Fn(Arc<dyn Step>, StepContext<()>) -> F,
    ) -> Vec<Result<T, Verdict>>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let workflow = self.bound.workflow();
        let mut all: Vec<_> = (0..workflow.len()).map(|_| Err(Verdict::LeftOut)).collect();
        let (mut tasks, room) = (JoinSet::new(), Arc::new(Semaphore::new(AT_ONCE)));
        for (ix, one) in all.iter_mut().enumerate().filter(|(ix, _)| part(workflow.step(*ix))) {
            match self.bound.resolve(&self.registry, ix, |_| None) {
                Ok(step) => {
                    let (look, room) = (look(step, self.context(ix)), Arc::clone(&room));
                    tasks.spawn(async move {
                        // Closed never, so that a place is always had.
                        let _place = room.acquire_owned().await;
                        (ix, look.await)
                    });
                }
                Err(failure) => {
                    let needed = steps_referred_to(workflow, ix);
                    *one = Err(if needed.is_empty() { Verdict::Fails(failure) } else { Verdict::After(needed) });
                }
            }
        }
        while let Some(looked) = tasks.join_next().await {
            // A look that panicked leaves its step without a verdict of its own.
            if let Ok((ix, looked)) = looked {
                all[ix] = Ok(looked);
            }
        }
        all
    }

    /// Asks what each step works on for the environment that its tags name. Steps whose params are not known yet are left out.
    pub async fn environments(&self) -> Vec<(StepIx, Result<Option<String>, StepFailure>)> {
        let workflow = self.bound.workflow();
        let mut found = Vec::new();
        for ix in (0..workflow.len()).filter(|&ix| workflow.step(ix).takes_part(self.occasion)) {
            let Ok(step) = self.bound.resolve(&self.registry, ix, |_| None) else { continue };
            let cx = self.context(ix);
            let told = tokio::select! {
                told = step.environment(&cx) => told,
                () = cx.sleep(overdue::AFTER) => Err(overdue::failure()),
            };
            found.push((ix, told));
        }
        found
    }

    fn context(&self, ix: StepIx) -> StepContext<()> {
        StepContext {
            run: self.run.clone(),
            step: self.bound.workflow().id(ix).clone(),
            attempt: 1,
            generation: 0,
            mode: self.occasion.mode,
            clock: Arc::clone(&self.clock),
            signals: Arc::new(drop),
            env: (),
        }
    }
}

/// A look that takes too long.
pub(crate) mod overdue {
    use std::time::Duration;

    use crate::model::event::StepFailure;

    /// How long the look at one step may take, in the run's time. Longer than a region that hangs takes to be given up.
    pub(crate) const AFTER: Duration = Duration::from_secs(60);

    /// Makes its failure.
    pub(crate) fn failure() -> StepFailure {
        StepFailure::unreachable(format!("nothing was found out within {} s", AFTER.as_secs()))
    }
}

/// Asks a step's `observe`.
pub(crate) async fn look_at(step: &dyn Step, cx: &StepContext<()>) -> Verdict {
    let observed = tokio::select! {
        observed = step.observe(cx, None) => observed,
        () = cx.sleep(overdue::AFTER) => Err(overdue::failure()),
    };
    match observed {
        // What it waits for, it looks at later.
        Ok(_) if step.reversibility() == Reversibility::ReadOnly => Verdict::Waits,
        Ok(Observed::Satisfied(_)) => Verdict::AsDesired,
        Ok(Observed::Differs(before)) => Verdict::Changes { changes: step.changes(&before), before },
        Err(failure) if failure.kind == FailureKind::Unreachable => Verdict::Unreachable(failure),
        Err(failure) => Verdict::Fails(failure),
    }
}

/// A step whose world is changed by others first cannot be said to fail.
pub(crate) fn soften(workflow: &Workflow, verdicts: &mut [Verdict]) {
    let changed = after_a_change(workflow, verdicts);
    for (verdict, changed) in verdicts.iter_mut().zip(changed) {
        if let (true, Verdict::Fails(failure)) = (changed, &*verdict) {
            *verdict = Verdict::NotYet(failure.clone());
        }
    }
}

/// Tells for each step whether one that it comes after changes the world.
fn after_a_change(workflow: &Workflow, verdicts: &[Verdict]) -> Vec<bool> {
    let mut after = vec![false; workflow.len()];
    for &ix in workflow.order() {
        after[ix] = workflow.needs(ix).any(|need| after[need] || matches!(verdicts[need], Verdict::Changes { .. } | Verdict::After(_)));
    }
    after
}

fn steps_referred_to(workflow: &Workflow, ix: StepIx) -> Vec<StepIx> {
    let step = |reference: &Reference| match source_of(&reference.path)? {
        Source::Step { step, .. } => workflow.find(&step.parse().ok()?),
        Source::Input(_) | Source::Import { .. } => None,
    };
    let mut steps: Vec<_> = workflow.step(ix).params.references().filter_map(step).collect();
    steps.sort_unstable();
    steps.dedup();
    steps
}

/// When each step would run, if all have room to run as soon as they can.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forecast {
    /// Per step, how long after the run's start it begins.
    pub starts: Vec<Duration>,
    /// How long the run takes.
    pub makespan: Duration,
    /// The longest way, in order: what decides that.
    pub path: Vec<StepIx>,
}

/// Lays the steps out in time by how long each takes.
pub fn forecast(workflow: &Workflow, duration: impl Fn(StepIx) -> Duration) -> Forecast {
    let mut starts = vec![Duration::ZERO; workflow.len()];
    for &ix in workflow.order() {
        starts[ix] = workflow.needs(ix).map(|need| starts[need] + duration(need)).max().unwrap_or_default();
    }
    let end = |ix: &StepIx| starts[*ix] + duration(*ix);
    let mut path: Vec<StepIx> = (0..workflow.len()).max_by_key(end).into_iter().collect();
    while let Some(need) = path.last().and_then(|&last| workflow.needs(last).max_by_key(end)) {
        path.push(need);
    }
    path.reverse();
    let makespan = path.last().map(end).unwrap_or_default();
    Forecast { starts, makespan, path }
}
