//! A simulated world with the kinds on it, driven the way the engine drives them: part by part, with all that is carried from
//! one part to the next going through JSON. Records every AWS call that is made, for the check of the IAM actions.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use serde_json::Value;
use wf_engine::clock::Clock;
use wf_engine::model::event::{Fields, Mode, StepFailure};
use wf_engine::model::ids::RunId;
use wf_engine::model::workflow::Workflow;
use wf_engine::registry::{Imports, Registry, Step};
use wf_engine::step::{Decision, KindInfo, Observed, Reversibility, StepContext, StepSignal};
use wf_sim::{CallRecord, DEFAULT_WORLD, Fault, Sim, SimOptions};
use wf_steps::aws::Cloud;

use crate::virtual_clock::Virtual;

/// A simulated world with the kinds on it.
pub struct Stage {
    pub sim: Sim,
    pub registry: Registry,
    pub clock: Arc<dyn Clock>,
    calls: Arc<Mutex<BTreeSet<String>>>,
    rights: Arc<Mutex<BTreeSet<String>>>,
}

/// What is known of a step's attempt, as the journal would know it.
#[derive(Debug, Default, Clone)]
pub struct Known {
    pub before: Option<Value>,
    pub intent: bool,
    pub handle: Option<Value>,
}

/// After which part a step is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The before-image is recorded; nothing was called.
    Observed,
    /// The call took effect; its handle was not recorded.
    Called,
    /// The handle is recorded.
    Applied,
    /// The world is as desired; that was not recorded.
    Settled,
}

impl Stage {
    /// Opens the default world at peace, with these faults on top.
    pub fn new(faults: &[&str]) -> Self {
        Self::in_world(DEFAULT_WORLD, faults)
    }

    /// Opens another world at peace.
    pub fn in_world(world: &str, faults: &[&str]) -> Self {
        let faults = ["primary-alive"].iter().chain(faults).map(|fault| fault.parse::<Fault>().unwrap()).collect();
        let options = SimOptions { world: world.parse().unwrap(), state_dir: None, speed: 1.0, seed: Some(7), faults };
        let sim = Sim::open(options).unwrap();
        let clock: Arc<dyn Clock> = Arc::new(Virtual(sim.clock()));
        let (calls, rights) = (Arc::default(), Arc::default());
        let http = SharedHttpClient::new(Recorder { inner: sim.http_client(), calls: Arc::clone(&calls), rights: Arc::clone(&rights) });
        let registry = wf_steps::registry(Cloud::with_http_client(http, Arc::clone(&clock)));
        Self { sim, registry, clock, calls, rights }
    }

    /// Replaces the faults; the world stays at peace.
    pub fn set_faults(&self, faults: &[&str]) {
        self.sim.set_faults(["primary-alive"].iter().chain(faults).map(|fault| fault.parse().unwrap()).collect());
    }

    /// Decodes a step from RON, such as a kind's EXAMPLE.
    pub fn step(&self, ron: &str) -> Stepped {
        let text = format!("#![enable(implicit_some)]\nWorkflow(name: \"conformance\", steps: [{ron}])");
        let workflow = Arc::new(Workflow::parse(&text).unwrap_or_else(|problems| panic!("{problems:?} in {text}")));
        let id = workflow.id(0).clone();
        let bound =
            self.registry.bind(workflow, &Default::default(), &Imports::None).unwrap_or_else(|problems| panic!("{problems:?} in {text}"));
        let step = bound.resolve(&self.registry, 0, |_| None).unwrap();
        let (run, answer) = (RunId::new(1_773_457_500_000, 42), |signal| {
            if let StepSignal::Ask { answer, .. } = signal {
                let _ = answer.send(Decision { granted: true, by: "tester".to_owned(), reason: "a test".to_owned() });
            }
        });
        let cx = StepContext {
            run,
            step: id,
            attempt: 1,
            generation: 0,
            mode: Mode::Planned,
            clock: Arc::clone(&self.clock),
            signals: Arc::new(answer),
            env: (),
        };
        Stepped { step, cx }
    }

    /// Makes a topic, which no kind does.
    pub async fn make_topic(&self, region: &str, name: &str) {
        let cloud = Cloud::with_http_client(self.sim.http_client(), Arc::clone(&self.clock));
        cloud.sns(region).create_topic().name(name).attributes("FifoTopic", "true").send().await.unwrap();
    }

    /// Lets the world's time pass.
    pub async fn wait(&self, secs: u64) {
        self.clock.sleep(Duration::from_secs(secs)).await;
    }

    /// Returns the effective calls of an action.
    pub fn effects(&self, action: &str) -> usize {
        self.sim.calls().iter().filter(|call| call.effective && call.action == action).count()
    }

    /// Returns all effective calls.
    pub fn all_effects(&self) -> Vec<CallRecord> {
        self.sim.calls().into_iter().filter(|call| call.effective).collect()
    }

    /// Returns an instance as the simulator's status shows it.
    pub fn database(&self, region: &str, id: &str) -> Value {
        self.sim.status()["regions"][region]["databases"][id].clone()
    }

    /// Returns what a step can change, without what changes by itself.
    pub fn world(&self) -> Value {
        let mut status = self.sim.status();
        for (_, region) in status["regions"].as_object_mut().unwrap() {
            for (_, database) in region["databases"].as_object_mut().unwrap() {
                database.as_object_mut().unwrap().remove("lag_seconds");
            }
            // Health follows from the rest, a minute later.
            for (_, group) in region["groups"].as_object_mut().unwrap() {
                group.as_object_mut().unwrap().remove("healthy");
            }
        }
        for record in status["dns"]["records"].as_array_mut().unwrap() {
            record.as_object_mut().unwrap().remove("healthy");
        }
        serde_json::json!({
            "regions": status["regions"], "records": status["dns"]["records"], "lease_holder": status["lease_holder"],
            "routing_controls": status["routing_controls"],
        })
    }

    /// Returns the IAM actions that were used since the last time, and forgets them.
    pub fn take_actions(&self) -> BTreeSet<String> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }

    /// Returns the rights in Kubernetes that were used since the last time, such as "patch deployments.apps", and forgets them.
    pub fn take_rights(&self) -> BTreeSet<String> {
        std::mem::take(&mut self.rights.lock().unwrap())
    }
}

/// A step with its context.
pub struct Stepped {
    pub step: Arc<dyn Step>,
    pub cx: StepContext<()>,
}

impl Stepped {
    pub fn info(&self) -> &'static KindInfo {
        self.step.info()
    }

    /// Runs the step to its end, from what is known of it, as the engine's executor does. `Err(None)` where it is cut off.
    pub async fn drive(&self, known: &mut Known, cut: Option<Cut>) -> Result<Fields, Option<StepFailure>> {
        tokio::select! {
            result = self.parts(known, cut) => result,
            () = self.cx.sleep(self.step.timeout()) => panic!("{} does not end within {:?}", self.info().name, self.step.timeout()),
        }
    }

    async fn parts(&self, known: &mut Known, cut: Option<Cut>) -> Result<Fields, Option<StepFailure>> {
        let (step, cx) = (&self.step, &self.cx);
        if known.handle.is_none() {
            let intent = known.before.clone().filter(|_| known.intent);
            match step.observe(cx, intent.as_ref()).await? {
                Observed::Satisfied(seen) if known.intent => drop(seen),
                Observed::Satisfied(seen) => known.before = Some(seen),
                Observed::Differs(seen) => {
                    if !known.intent {
                        (known.before, known.intent) = (Some(seen), true);
                    }
                    stop(cut, Cut::Observed)?;
                    let handle = step.apply(cx, known.before.as_ref().unwrap()).await?;
                    stop(cut, Cut::Called)?;
                    known.handle = Some(handle);
                }
            }
        }
        stop(cut, Cut::Applied)?;
        let outputs = step.settle(cx, known.before.as_ref().unwrap(), known.handle.as_ref()).await?;
        stop(cut, Cut::Settled)?;
        Ok(outputs)
    }

    /// Runs the step from the beginning, trying transient failures again as the engine would.
    pub async fn run(&self) -> (Known, Result<Fields, StepFailure>) {
        let mut known = Known::default();
        let mut result = self.drive(&mut known, None).await;
        for _ in 0..3 {
            if !matches!(&result, Err(Some(failure)) if failure.kind == wf_engine::model::event::FailureKind::Transient) {
                break;
            }
            self.cx.sleep(Duration::from_secs(5)).await;
            result = self.drive(&mut known, None).await;
        }
        (known, result.map_err(|failure| failure.unwrap()))
    }

    /// Runs the step, which succeeds.
    pub async fn succeed(&self) -> (Known, Fields) {
        let (known, result) = self.run().await;
        (known, result.unwrap_or_else(|failure| panic!("{}: {failure:?}", self.info().name)))
    }

    /// Runs the step, which fails.
    pub async fn fail(&self) -> (Known, StepFailure) {
        let (known, result) = self.run().await;
        (known, result.expect_err(self.info().name))
    }

    /// Rolls the step back from what is known of it.
    pub async fn undo(&self, known: &Known) -> Result<(), StepFailure> {
        self.step.compensate(&self.cx, known.before.as_ref().unwrap(), known.handle.as_ref()).await
    }

    pub fn is_reversible(&self) -> bool {
        self.step.reversibility() == Reversibility::Reversible
    }
}

fn stop(cut: Option<Cut>, here: Cut) -> Result<(), Option<StepFailure>> {
    if cut == Some(here) { Err(None) } else { Ok(()) }
}

/// Writes down which IAM action each request needs.
#[derive(Debug)]
struct Recorder<C> {
    inner: C,
    calls: Arc<Mutex<BTreeSet<String>>>,
    rights: Arc<Mutex<BTreeSet<String>>>,
}

impl HttpClient for Recorder<SharedHttpClient> {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        let (calls, rights) = (Arc::clone(&self.calls), Arc::clone(&self.rights));
        SharedHttpConnector::new(Recorder { inner: self.inner.http_connector(settings, components), calls, rights })
    }
}

impl HttpConnector for Recorder<SharedHttpConnector> {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        if let Some(action) = action(&request) {
            self.calls.lock().unwrap().insert(action);
        }
        self.rights.lock().unwrap().extend(crate::kubernetes::right(request.method(), request.uri()));
        self.inner.call(request)
    }
}

/// Returns the IAM action that an AWS request needs; `None` for other requests.
fn action(request: &HttpRequest) -> Option<String> {
    let scope = request.headers().get("authorization")?.split("Credential=").nth(1)?.split(',').next()?;
    let service = scope.split('/').nth(3)?;
    let path = request.uri().split_once("://").map_or(request.uri(), |(_, rest)| rest.split_once('/').map_or("", |(_, path)| path));
    let segments: Vec<_> = path.split('?').next()?.split('/').filter(|segment| !segment.is_empty()).collect();
    let action = match service {
        "eks" => match (request.method(), segments.as_slice()) {
            ("GET", ["clusters"]) => "ListClusters".to_owned(),
            ("GET", ["clusters", _]) => "DescribeCluster".to_owned(),
            ("GET", ["clusters", _, "addons"]) => "ListAddons".to_owned(),
            ("GET", ["clusters", _, "node-groups", _]) => "DescribeNodegroup".to_owned(),
            ("GET", ["clusters", _, "updates", _]) => "DescribeUpdate".to_owned(),
            ("POST", ["clusters", _, "node-groups", _, "update-config"]) => "UpdateNodegroupConfig".to_owned(),
            (method, segments) => format!("{method} {}", segments.join("/")),
        },
        "route53" => match (request.method(), segments.as_slice()) {
            ("GET", [_, "hostedzonesbyname"]) => "ListHostedZonesByName".to_owned(),
            ("GET", [_, "hostedzone"]) => "ListHostedZones".to_owned(),
            ("GET", [_, "hostedzone", _]) => "GetHostedZone".to_owned(),
            ("GET", [_, "hostedzone", _, "rrset"]) => "ListResourceRecordSets".to_owned(),
            ("POST", [_, "hostedzone", _, "rrset"]) => "ChangeResourceRecordSets".to_owned(),
            ("GET", [_, "change", _]) => "GetChange".to_owned(),
            ("GET", [_, "healthcheck", _]) => "GetHealthCheck".to_owned(),
            ("GET", [_, "healthcheck", _, "status"]) => "GetHealthCheckStatus".to_owned(),
            (method, segments) => format!("{method} {}", segments.join("/")),
        },
        "route53-recovery-cluster" => request.headers().get("x-amz-target")?.rsplit('.').next()?.to_owned(),
        "s3" => match request.method() {
            "GET" if request.uri().ends_with("?versioning") => "GetBucketVersioning".to_owned(),
            "GET" if request.uri().ends_with("?replication") => "GetReplicationConfiguration".to_owned(),
            "GET" => "GetObject".to_owned(),
            "PUT" => "PutObject".to_owned(),
            "DELETE" => "DeleteObject".to_owned(),
            method => method.to_owned(),
        },
        "acm" | "ecr" | "servicequotas" => request.headers().get("x-amz-target")?.rsplit('.').next()?.to_owned(),
        _ => match segments.last() {
            Some(operation) => (*operation).to_owned(),
            None => {
                let body = String::from_utf8_lossy(request.body().bytes()?).into_owned();
                body.split('&').find_map(|pair| pair.strip_prefix("Action=").map(str::to_owned))?
            }
        },
    };
    let prefix = if service == "monitoring" { "cloudwatch" } else { service };
    Some(format!("{prefix}:{action}"))
}
