//! The wire protocols: who is asked, for what, and how the answer is written. One file per service.
//!
//! A request becomes a [`Call`], a service's `answer` reads or changes the world and returns an [`Answer`] or a
//! [`ServiceError`], and `wire` writes either in the protocol in which it was asked.

mod acm;
mod app;
mod autoscaling;
mod cloudwatch;
mod cloudwatch_kept;
mod cloudwatch_read;
mod cloudwatch_write;
mod ec2;
mod ecr;
mod eks;
mod elb;
pub(crate) mod gate;
mod iam;
mod kms;
mod limits;
mod name_servers;
mod params;
mod quotas;
mod rds;
mod rds_changes;
mod rds_render;
mod recovery_cluster;
mod route53;
mod route53_changes;
mod route53_checks;
mod s3;
mod sns;
mod sns_web;
mod sts;
mod wire;

use std::time::Duration;

use http::{Request, Response};
use serde_json::{Value, json};

pub(crate) use limits::Limits;
pub(crate) use params::{Params, decode};
pub(crate) use wire::response;

use crate::Sim;
use crate::calls::CallRecord;
use crate::error::ConnectionError;
use crate::sim::State;
use crate::world::{World, timestamp};
use crate::xml::Element;

/// An API action that the simulator understands.
#[derive(Debug)]
pub(crate) struct Action {
    pub(crate) name: &'static str,
    pub(crate) service: &'static str,
    pub(crate) mutates: bool,
}

const fn reads(service: &'static str, name: &'static str) -> Action {
    Action { name, service, mutates: false }
}

const fn mutates(service: &'static str, name: &'static str) -> Action {
    Action { name, service, mutates: true }
}

/// Every action; `HttpGet` stands for a request to the application itself.
pub(crate) const ACTIONS: &[Action] = &[
    reads("rds", "DescribeDBInstances"),
    reads("rds", "DescribeDBSnapshots"),
    reads("rds", "DescribeOrderableDBInstanceOptions"),
    reads("rds", "ListTagsForResource"),
    mutates("rds", "AddTagsToResource"),
    mutates("rds", "PromoteReadReplica"),
    mutates("rds", "CreateDBInstanceReadReplica"),
    mutates("rds", "ModifyDBInstance"),
    mutates("rds", "DeleteDBInstance"),
    reads("autoscaling", "DescribeAutoScalingGroups"),
    reads("autoscaling", "DescribeLaunchConfigurations"),
    reads("autoscaling", "DescribeScalingActivities"),
    mutates("autoscaling", "UpdateAutoScalingGroup"),
    mutates("autoscaling", "SetDesiredCapacity"),
    reads("eks", "ListClusters"),
    reads("eks", "DescribeCluster"),
    reads("eks", "ListAddons"),
    reads("eks", "ListNodegroups"),
    reads("eks", "DescribeNodegroup"),
    reads("eks", "DescribeUpdate"),
    mutates("eks", "UpdateNodegroupConfig"),
    reads("route53", "ListHostedZones"),
    reads("route53", "ListHostedZonesByName"),
    reads("route53", "GetHostedZone"),
    reads("route53", "ListResourceRecordSets"),
    mutates("route53", "ChangeResourceRecordSets"),
    reads("route53", "GetChange"),
    reads("route53", "ListHealthChecks"),
    reads("route53", "GetHealthCheck"),
    reads("route53", "GetHealthCheckStatus"),
    mutates("route53", "UpdateHealthCheck"),
    reads("route53-recovery-cluster", "GetRoutingControlState"),
    mutates("route53-recovery-cluster", "UpdateRoutingControlState"),
    mutates("route53-recovery-cluster", "UpdateRoutingControlStates"),
    reads("s3", "GetObject"),
    // No call of its own here: whoever may not list a bucket is not told that an object is not there.
    reads("s3", "ListBucket"),
    reads("s3", "GetBucketVersioning"),
    // The action that GetBucketReplication wants a right for.
    reads("s3", "GetReplicationConfiguration"),
    mutates("s3", "PutObject"),
    mutates("s3", "DeleteObject"),
    reads("sns", "ListTopics"),
    reads("sns", "GetTopicAttributes"),
    reads("sns", "ListSubscriptionsByTopic"),
    mutates("sns", "CreateTopic"),
    mutates("sns", "Publish"),
    reads("sts", "GetCallerIdentity"),
    reads("sts", "AssumeRole"),
    reads("iam", "GetRole"),
    reads("iam", "SimulatePrincipalPolicy"),
    reads("kms", "DescribeKey"),
    reads("elasticloadbalancing", "DescribeLoadBalancers"),
    reads("elasticloadbalancing", "DescribeTargetGroups"),
    reads("elasticloadbalancing", "DescribeTargetHealth"),
    reads("elasticloadbalancing", "DescribeListeners"),
    reads("elasticloadbalancing", "DescribeListenerCertificates"),
    reads("acm", "DescribeCertificate"),
    reads("ecr", "DescribeImages"),
    reads("ecr", "DescribeRegistry"),
    reads("ec2", "DescribeLaunchTemplateVersions"),
    reads("ec2", "DescribeImages"),
    reads("ec2", "DescribeSubnets"),
    reads("ec2", "DescribeInstanceTypes"),
    reads("ec2", "DescribeVpcPeeringConnections"),
    reads("ec2", "DescribeRouteTables"),
    reads("servicequotas", "GetServiceQuota"),
    reads("servicequotas", "GetAWSDefaultServiceQuota"),
    reads("monitoring", "GetMetricStatistics"),
    reads("monitoring", "GetMetricData"),
    mutates("monitoring", "PutMetricData"),
    mutates("monitoring", "PutDashboard"),
    reads("monitoring", "GetDashboard"),
    mutates("monitoring", "PutMetricAlarm"),
    reads("monitoring", "DescribeAlarms"),
    mutates("monitoring", "DeleteAlarms"),
    reads("app", "HttpGet"),
];

/// In which protocol a call came, and is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Query,
    /// As `Query`, but that answers and errors have a form of EC2's own.
    Ec2,
    RestXml,
    RestJson,
    Cbor,
    /// Objects of S3: REST, whose bodies are the objects themselves.
    Object,
    /// AWS JSON 1.0, which ARC speaks, and boto3 and the AWS CLI to CloudWatch.
    Json,
    /// AWS JSON 1.1.
    Json11,
}

/// A request to an AWS service.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) action: &'static Action,
    pub(crate) region: String,
    pub(crate) protocol: Protocol,
    pub(crate) params: Params,
    /// What the path names: a zone, a cluster and its node group.
    pub(crate) labels: Vec<String>,
    pub(crate) document: Document,
    /// The body as it came, where it is an object.
    pub(crate) object: Vec<u8>,
    /// The address at which the simulator is served, if the call came that way.
    pub(crate) served_at: Option<String>,
}

/// The body of a request, as far as it is more than parameters.
#[derive(Debug)]
pub(crate) enum Document {
    None,
    Xml(Element),
    Json(Value),
    Cbor(ciborium::Value),
}

/// What a service answers.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) body: Body,
    /// Whether the call changed the world.
    pub(crate) effective: bool,
}

/// The body of an answer.
#[derive(Debug)]
pub(crate) enum Body {
    Xml(Element),
    Json(Value),
    Cbor(ciborium::Value),
    /// A status and what the object holds.
    Object(u16, Vec<u8>),
}

impl Answer {
    /// Answers with XML; nothing has changed.
    pub(crate) fn xml(element: Element) -> Answer {
        Answer { body: Body::Xml(element), effective: false }
    }

    /// Answers with JSON; nothing has changed.
    pub(crate) fn json(value: Value) -> Answer {
        Answer { body: Body::Json(value), effective: false }
    }

    /// Says whether the world has changed.
    pub(crate) fn effective(mut self, effective: bool) -> Answer {
        self.effective = effective;
        self
    }
}

/// What a service answers instead, in its own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServiceError {
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) message: String,
    /// What it is about, by id and type, where an error tells that.
    pub(crate) about: Option<(String, &'static str)>,
}

impl ServiceError {
    /// Refuses with HTTP 400.
    pub(crate) fn new(code: &str, message: impl Into<String>) -> ServiceError {
        ServiceError { status: 400, code: code.to_owned(), message: message.into(), about: None }
    }

    /// Names what it is about.
    pub(crate) fn about(mut self, id: &str, kind: &'static str) -> ServiceError {
        self.about = Some((id.to_owned(), kind));
        self
    }

    /// Sets the HTTP status.
    pub(crate) fn status(mut self, status: u16) -> ServiceError {
        self.status = status;
        self
    }
}

/// What becomes of a request.
enum Outcome {
    Reply(Response<Vec<u8>>),
    NoReply(ConnectionError),
    /// No answer for longer than anybody waits.
    Hang(ConnectionError),
}

/// How long a request that hangs is kept (virtual).
const HANG: Duration = Duration::from_secs(3600);

/// Answers a request: to an AWS service, or to a web host.
pub(crate) async fn handle(sim: &Sim, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, ConnectionError> {
    let destination = wire::destination(&request);
    if let wire::Destination::Web { host } = &destination
        && let Some(place) = sim.with(|state| crate::k8s::place(&state.world, host, request.uri().path()))
    {
        return crate::k8s::handle(sim, &place, request).await;
    }
    let outcome = match destination {
        wire::Destination::Service { service, region } => {
            let call = wire::parse(service, region, request);
            let label = format!("latency/{service}");
            let latency = sim.with(|s| s.world.draw(&label, s.world.timings.api_latency));
            sim.clock().sleep(Duration::from_secs_f64(latency)).await;
            sim.with(|state| match &call {
                Ok(call) => respond(state, call),
                Err(refused) => Outcome::Reply(wire::refusal(&mut state.world, refused)),
            })
        }
        wire::Destination::UnknownService { service } => Outcome::Reply(wire::unknown_service(&service)),
        wire::Destination::Web { host } => {
            let latency = sim.with(|s| s.world.draw("latency/app", s.world.timings.api_latency));
            sim.clock().sleep(Duration::from_secs_f64(latency)).await;
            sim.with(|state| app::respond(state, &host, &request))
        }
    };
    match outcome {
        Outcome::Reply(response) => Ok(response),
        Outcome::NoReply(error) => Err(error),
        Outcome::Hang(error) => {
            sim.clock().sleep(HANG).await;
            Err(error)
        }
    }
}

/// Carries out a call, unless a fault has other plans for it.
fn respond(state: &mut State, call: &Call) -> Outcome {
    let refused = match gate::before(state, call) {
        gate::Verdict::Proceed => None,
        gate::Verdict::Refuse(error) => Some(error),
        gate::Verdict::NoReply(error) => return Outcome::NoReply(error),
        gate::Verdict::Hang(error) => return Outcome::Hang(error),
    };
    let answer = match refused {
        Some(error) => Err(error),
        None if call.action.service == "iam" => iam::answer(state, call),
        None if call.action.mutates => change(state, call),
        None => gate::read(state, |world| dispatch(world, call)),
    };
    let answer = gate::conceal(state, call, answer);
    let kept = if call.action.mutates { log(state, call, &answer) } else { state.keep_if_due() };
    let answer = match kept {
        Ok(()) => answer,
        Err(error) => Err(ServiceError::new("InternalFailure", error.to_string()).status(500)),
    };
    state.count(call.action.service, &call.region, call.action.name, answer.as_ref().err().map(|refused| refused.code.as_str()));
    let response = wire::render(&mut state.world, call, &answer);
    match gate::after(state, call, answer.is_ok()) {
        Some(error) => Outcome::NoReply(error),
        None => Outcome::Reply(response),
    }
}

fn change(state: &mut State, call: &Call) -> Result<Answer, ServiceError> {
    gate::remember(state);
    dispatch(&mut state.world, call)
}

fn dispatch(world: &mut World, call: &Call) -> Result<Answer, ServiceError> {
    match call.action.service {
        "rds" => rds::answer(world, call),
        "autoscaling" => autoscaling::answer(world, call),
        "acm" => acm::answer(world, call),
        "ec2" => ec2::answer(world, call),
        "ecr" => ecr::answer(world, call),
        "eks" => eks::answer(world, call),
        "kms" => kms::answer(world, call),
        "route53" => route53::answer(world, call),
        recovery_cluster::SERVICE => recovery_cluster::answer(world, call),
        "s3" => s3::answer(world, call),
        "servicequotas" => quotas::answer(world, call),
        "sns" => sns::answer(world, call),
        "sts" => sts::answer(world, call),
        "elasticloadbalancing" => elb::answer(world, call),
        _ => cloudwatch::answer(world, call),
    }
}

fn log(state: &mut State, call: &Call, answer: &Result<Answer, ServiceError>) -> Result<(), crate::SimError> {
    let record = CallRecord {
        seq: 0,
        at: timestamp(state.world.now),
        region: call.region.clone(),
        service: call.action.service.to_owned(),
        action: call.action.name.to_owned(),
        resource: resource(call),
        effective: answer.as_ref().is_ok_and(|a| a.effective),
        error: answer.as_ref().err().map(|e| e.code.clone()),
        params: summary(call),
    };
    state.log(record)
}

/// Names what a call is about.
fn resource(call: &Call) -> String {
    let params = &call.params;
    let by = |name: &str| params.get(name).unwrap_or_default().to_owned();
    match call.action.service {
        "rds" => params.get("DBInstanceIdentifier").or(params.get("ResourceName")).unwrap_or_default().to_owned(),
        "autoscaling" => by("AutoScalingGroupName"),
        "sns" => params.get("TopicArn").or(params.get("TargetArn")).or(params.get("Name")).unwrap_or_default().to_owned(),
        "monitoring" => cloudwatch_kept::resource(call),
        recovery_cluster::SERVICE => recovery_cluster::resource(call),
        _ => call.labels.join("/"),
    }
}

/// Shortens a call's parameters for the log.
fn summary(call: &Call) -> Value {
    match &call.document {
        Document::Json(value) => value.clone(),
        Document::Xml(element) => route53_changes::summary(element),
        Document::None | Document::Cbor(_) => {
            let shown = call.params.iter().filter(|(name, _)| !matches!(*name, "Action" | "Version" | "PreSignedUrl"));
            let short = |text: &str| match text.char_indices().nth(200) {
                Some((end, _)) => format!("{}…", &text[..end]),
                None => text.to_owned(),
            };
            Value::Object(shown.map(|(name, value)| (name.to_owned(), json!(short(value)))).collect())
        }
    }
}
