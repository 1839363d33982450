//! A step kind driven part by part as the engine drives it, in front of a server that answers in real time. Knows nothing of which server.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use wf_engine::clock::{Clock, Sleep};
use wf_engine::model::event::{FailureKind, Fields, Mode, StepFailure};
use wf_engine::model::ids::RunId;
use wf_engine::model::workflow::Workflow;
use wf_engine::registry::{Imports, Registry, Step};
use wf_engine::step::{Observed, Reversibility, StepContext};

/// How much faster the kinds' time runs than ours: they pause seconds between two looks, and wait for the minutes of CloudWatch. Not more,
/// since the SDK's time limits run as fast.
const SPEED: u32 = 6;
/// How long a step may take: the servers do everything at once, nearly.
const LIMIT: Duration = Duration::from_secs(5 * 60);
/// When a wait is cut off: in the middle of its first calls.
const SOON: Duration = Duration::from_millis(60);
/// How often a step is tried that fails for now.
const ATTEMPTS: u32 = 4;

/// Where a step is cut off, as by a killed process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// After the intent is on record, before anything is changed.
    Intended,
    /// After the change, whose answer is lost.
    AnswerLost,
    /// After the answer to the change is on record.
    Answered,
    /// While it waits for the world.
    Settling,
}

/// A step with its context.
pub struct Stepped {
    step: Arc<dyn Step>,
    cx: StepContext<()>,
}

/// What the journal would know of a step.
#[derive(Debug, Default, Clone)]
pub struct Known {
    pub before: Option<Value>,
    pub intent: bool,
    pub handle: Option<Value>,
}

impl Stepped {
    /// Decodes a step of the run of this number.
    pub fn decode(registry: &Registry, clock: &Arc<dyn Clock>, run: u32, ron: &str) -> Self {
        let text = format!("#![enable(implicit_some)]\nWorkflow(name: \"driven\", steps: [(id: \"one\", run: {ron})])");
        let workflow = Arc::new(Workflow::parse(&text).unwrap_or_else(|problems| panic!("{problems:?} in {text}")));
        let id = workflow.id(0).clone();
        let bound =
            registry.bind(workflow, &Default::default(), &Imports::None).unwrap_or_else(|problems| panic!("{problems:?} in {text}"));
        let step = bound.resolve(registry, 0, |_| None).unwrap();
        let cx = StepContext {
            run: RunId::new(1_773_457_500_000, run.into()),
            step: id,
            attempt: 1,
            generation: 0,
            mode: Mode::Planned,
            clock: Arc::clone(clock),
            signals: Arc::new(drop),
            env: (),
        };
        Self { step, cx }
    }

    pub fn is_irreversible(&self) -> bool {
        self.step.reversibility() == Reversibility::Irreversible
    }

    pub fn changes_something(&self) -> bool {
        !(self.step.info().iam.apply.is_empty() && self.step.info().rbac.apply.is_empty())
    }

    /// Carries the step on from what is known of it to its end, trying again what failed for now.
    pub async fn drive(&self, known: &mut Known) -> Result<Fields, StepFailure> {
        tokio::select! {
            result = self.attempts(known) => result,
            () = self.cx.sleep(LIMIT) => panic!("{} does not end within {LIMIT:?}", self.step.info().name),
        }
    }

    async fn attempts(&self, known: &mut Known) -> Result<Fields, StepFailure> {
        let mut attempt = 1;
        loop {
            match self.parts(known).await {
                Err(failure) if failure.kind != FailureKind::Permanent && attempt < ATTEMPTS => attempt += 1,
                result => return result,
            }
            self.cx.sleep(Duration::from_secs(5)).await;
        }
    }

    /// Makes one attempt.
    pub async fn parts(&self, known: &mut Known) -> Result<Fields, StepFailure> {
        let (step, cx) = (&self.step, &self.cx);
        if known.handle.is_none() {
            let intent = known.before.clone().filter(|_| known.intent);
            match step.observe(cx, intent.as_ref()).await? {
                Observed::Satisfied(seen) => known.before = intent.or(Some(seen)),
                Observed::Differs(seen) => {
                    known.before = intent.or(Some(seen));
                    known.intent = true;
                    known.handle = Some(step.apply(cx, known.before.as_ref().unwrap()).await?);
                }
            }
        }
        step.settle(cx, known.before.as_ref().unwrap(), known.handle.as_ref()).await
    }

    /// Begins the step and cuts it off. What the journal knows then is in `known`.
    pub async fn begin(&self, known: &mut Known, cut: Cut) -> Result<(), StepFailure> {
        let (step, cx) = (&self.step, &self.cx);
        match step.observe(cx, None).await? {
            Observed::Satisfied(seen) => known.before = Some(seen),
            Observed::Differs(seen) => {
                known.before = Some(seen);
                known.intent = true;
                if cut != Cut::Intended {
                    let handle = step.apply(cx, known.before.as_ref().unwrap()).await?;
                    known.handle = (cut != Cut::AnswerLost).then_some(handle);
                }
            }
        }
        if cut == Cut::Settling {
            tokio::select! {
                biased;
                settled = step.settle(cx, known.before.as_ref().unwrap(), known.handle.as_ref()) => drop(settled?),
                () = cx.sleep(SOON) => {}
            }
        }
        Ok(())
    }

    /// Rolls the step back, but not to the end, unless it comes very soon.
    pub async fn begin_undo(&self, known: &Known) -> Result<(), StepFailure> {
        tokio::select! {
            biased;
            undone = self.undo(known) => undone,
            () = self.cx.sleep(SOON) => Ok(()),
        }
    }

    /// Rolls the step back from what is known of it.
    pub async fn undo(&self, known: &Known) -> Result<(), StepFailure> {
        self.step.compensate(&self.cx, known.before.as_ref().unwrap(), known.handle.as_ref()).await
    }
}

/// A clock that runs faster than ours.
pub struct Quick {
    began: Timestamp,
}

impl Quick {
    /// Starts one, at the time that it is.
    pub fn started() -> Arc<dyn Clock> {
        Arc::new(Self { began: Timestamp::now() })
    }
}

impl Clock for Quick {
    fn now(&self) -> Timestamp {
        self.began + wf_engine::clock::between(self.began, Timestamp::now()) * SPEED
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        Box::pin(tokio::time::sleep(duration / SPEED))
    }
}
