//! The step kinds in front of a server, driven part by part as the engine drives them. The AWS SDK believes that it talks to AWS; its HTTP
//! connector goes to the servers, and counts the calls.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_smithy_http_client::tls;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use jiff::Timestamp;
use serde_json::Value;
use wf_engine::clock::{Clock, Sleep};
use wf_engine::model::event::{FailureKind, Fields, Mode, StepFailure};
use wf_engine::model::ids::RunId;
use wf_engine::model::workflow::Workflow;
use wf_engine::registry::{Imports, Registry, Step};
use wf_engine::step::{Observed, Reversibility, StepContext};
use wf_steps::aws::Cloud;

use crate::servers::Servers;

/// How much faster the kinds' time runs than ours: they pause seconds between two looks, and wait for the minutes of CloudWatch. Not more,
/// since the SDK's time limits run as fast.
const SPEED: u32 = 6;
/// How long a step may take: the servers do everything at once, nearly.
const LIMIT: Duration = Duration::from_secs(5 * 60);
/// When a wait is cut off: in the middle of its first calls.
const SOON: Duration = Duration::from_millis(60);
/// How often a step is tried that fails for now.
const ATTEMPTS: u32 = 4;

/// The kinds, with a server for AWS.
pub struct Stage {
    registry: Registry,
    clock: Arc<dyn Clock>,
    changes: Arc<Mutex<Vec<String>>>,
    reads: Arc<AtomicU32>,
    runs: AtomicU32,
}

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

impl Stage {
    /// Puts the kinds in front of one of the servers; CloudWatch is always ministack's.
    pub fn new(servers: &Servers, server: &str) -> Self {
        let main = if server == "moto" { &servers.moto } else { &servers.ministack };
        Self::at(main, &servers.ministack)
    }

    /// Puts the kinds in front of whatever answers at these addresses.
    pub fn at(main: &str, cloudwatch: &str) -> Self {
        let (changes, reads) = (Arc::default(), Arc::default());
        let live = aws_smithy_http_client::Builder::new().tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring));
        let wire = Wire {
            inner: live.build_https(),
            route: Arc::new(Route { main: main.to_owned(), cloudwatch: cloudwatch.to_owned() }),
            changes: Arc::clone(&changes),
            reads: Arc::clone(&reads),
        };
        let clock: Arc<dyn Clock> = Arc::new(Quick { began: Timestamp::now() });
        let registry = wf_steps::registry(Cloud::with_http_client(SharedHttpClient::new(wire), Arc::clone(&clock)));
        Self { registry, clock, changes, reads, runs: AtomicU32::new(0) }
    }

    /// Decodes a step of a new run.
    pub fn step(&self, ron: &str) -> Stepped {
        let text = format!("#![enable(implicit_some)]\nWorkflow(name: \"wire\", steps: [(id: \"one\", run: {ron})])");
        let workflow = Arc::new(Workflow::parse(&text).unwrap_or_else(|problems| panic!("{problems:?} in {text}")));
        let id = workflow.id(0).clone();
        let bound =
            self.registry.bind(workflow, &Default::default(), &Imports::None).unwrap_or_else(|problems| panic!("{problems:?} in {text}"));
        let step = bound.resolve(&self.registry, 0, |_| None).unwrap();
        let cx = StepContext {
            run: RunId::new(1_773_457_500_000, self.runs.fetch_add(1, Ordering::Relaxed).into()),
            step: id,
            attempt: 1,
            generation: 0,
            mode: Mode::Planned,
            clock: Arc::clone(&self.clock),
            signals: Arc::new(drop),
            env: (),
        };
        Stepped { step, cx }
    }

    /// Returns how many calls only read since the last time.
    pub fn take_reads(&self) -> u32 {
        self.reads.swap(0, Ordering::Relaxed)
    }

    /// Returns the time as the kinds see it.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Returns the calls that changed something since the last time.
    pub fn take_changes(&self) -> Vec<String> {
        std::mem::take(&mut self.changes.lock().unwrap())
    }
}

impl Stepped {
    pub fn is_irreversible(&self) -> bool {
        self.step.reversibility() == Reversibility::Irreversible
    }

    pub fn changes_something(&self) -> bool {
        !self.step.info().iam.apply.is_empty()
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
struct Quick {
    began: Timestamp,
}

impl Clock for Quick {
    fn now(&self) -> Timestamp {
        self.began + wf_engine::clock::between(self.began, Timestamp::now()) * SPEED
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        Box::pin(tokio::time::sleep(duration / SPEED))
    }
}

/// Leads the SDK's requests to the servers.
#[derive(Debug)]
struct Wire<C> {
    inner: C,
    route: Arc<Route>,
    changes: Arc<Mutex<Vec<String>>>,
    reads: Arc<AtomicU32>,
}

#[derive(Debug)]
struct Route {
    main: String,
    cloudwatch: String,
}

impl HttpClient for Wire<SharedHttpClient> {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        let inner = self.inner.http_connector(settings, components);
        let (route, changes, reads) = (Arc::clone(&self.route), Arc::clone(&self.changes), Arc::clone(&self.reads));
        SharedHttpConnector::new(Wire { inner, route, changes, reads })
    }
}

impl HttpConnector for Wire<SharedHttpConnector> {
    fn call(&self, mut request: HttpRequest) -> HttpConnectorFuture {
        let service = service_of(&request);
        let base = if service == "monitoring" { &self.route.cloudwatch } else { &self.route.main };
        let path = request.uri().split_once("://").and_then(|(_, rest)| rest.find('/').map(|at| rest[at..].to_owned())).unwrap_or_default();
        match change(&service, &request, &path) {
            Some(change) => self.changes.lock().unwrap().push(change),
            None => drop(self.reads.fetch_add(1, Ordering::Relaxed)),
        }
        request.set_uri(format!("{base}{path}")).unwrap();
        self.inner.call(request)
    }
}

fn service_of(request: &HttpRequest) -> String {
    let scope = request.headers().get("authorization").and_then(|header| header.split("Credential=").nth(1)).unwrap_or_default();
    scope.split('/').nth(3).unwrap_or_default().to_owned()
}

/// Names a request that changes something.
fn change(service: &str, request: &HttpRequest, path: &str) -> Option<String> {
    if matches!(service, "eks" | "route53") {
        return (request.method() != "GET").then(|| format!("{} {path}", request.method()));
    }
    let body = String::from_utf8_lossy(request.body().bytes()?).into_owned();
    let action = body.split('&').find_map(|pair| pair.strip_prefix("Action="))?.to_owned();
    (!action.starts_with("Describe") && !action.starts_with("Get")).then_some(action)
}
