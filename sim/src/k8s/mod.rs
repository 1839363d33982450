//! The Kubernetes API of the simulated EKS clusters: from HTTP to the objects of a cluster and back.
//!
//! A cluster answers at its endpoint's host name, which `DescribeCluster` tells, and through `wf sim serve` also under a path,
//! `/k8s/REGION/CLUSTER/…`, for `kubectl`. A request is let in by the faults and by its token, becomes a verb on a resource, and is
//! answered with an object, a list, a table or a `Status`. Nothing here knows what the objects mean: that is `world::workloads`.

mod access;
mod auth;
mod discovery;
mod gate;
mod kubeconfig;
mod managed;
mod patch;
mod read;
mod refused;
mod route;
mod select;
mod stream;
mod table;
mod validate;
mod watch;
mod write;

use std::time::Duration;

use http::{HeaderMap, Method, Request, Response};
use refused::Refused;
pub(crate) use route::is_action;
use route::{Route, Target};
use serde_json::{Value, json};
pub(crate) use stream::Stream;
use write::{Change, Form};

use crate::Sim;
use crate::calls::CallRecord;
use crate::error::ConnectionError;
use crate::services::Params;
use crate::sim::State;
use crate::world::{World, hash, timestamp};

/// How `wf sim serve` tells the clusters apart.
const PATH: &str = "/k8s/";
/// How long a request that hangs is kept (virtual).
const HANG: Duration = Duration::from_secs(3600);

/// A cluster, as a request addresses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    region: String,
    cluster: String,
    /// The host name of the endpoint.
    host: String,
    /// What precedes the API's own paths; empty at the endpoint's host name.
    prefix: String,
}

/// A request, as the log and the faults know it.
#[derive(Debug)]
struct Asked {
    verb: &'static str,
    /// `patch:secrets`, `update:deployments/scale`.
    action: String,
    applies: bool,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq)]
struct Reply {
    status: u16,
    body: Body,
    /// Whether the world has changed.
    effective: bool,
}

#[derive(Debug, Clone, PartialEq)]
enum Body {
    Json(Value),
    Text(String),
    Bytes(&'static str, Vec<u8>),
}

impl Reply {
    fn json(value: Value) -> Reply {
        Reply { status: 200, body: Body::Json(value), effective: false }
    }

    fn text(text: &str) -> Reply {
        Reply { status: 200, body: Body::Text(text.to_owned()), effective: false }
    }

    fn effective(self, effective: bool) -> Reply {
        Reply { effective, ..self }
    }

    fn value(&self) -> Option<&Value> {
        match &self.body {
            Body::Json(value) => Some(value),
            Body::Text(_) | Body::Bytes(..) => None,
        }
    }
}

/// The host name of a cluster's endpoint, as EKS makes them.
pub(crate) fn endpoint_host(region: &str, cluster: &str) -> String {
    let half = |salt: u64| hash(salt, &format!("{region}/{cluster}"), 0);
    format!("{:016X}{:016X}.gr7.{region}.eks.amazonaws.com", half(8), half(11))
}

/// The certificate of the authority that every cluster says it has, in base64: nobody speaks TLS to the simulator, so no key exists.
pub(crate) fn certificate_authority() -> String {
    crate::world::workloads::encode(include_str!("ca.pem"))
}

/// Finds the cluster that a request is for, if it is for one.
pub(crate) fn place(world: &World, host: &str, path: &str) -> Option<Place> {
    let clusters = || world.regions.iter().flat_map(|(region, r)| r.clusters.keys().map(move |cluster| (region, cluster)));
    let found = |region: &str, cluster: &str, prefix: String| Place {
        region: region.to_owned(),
        cluster: cluster.to_owned(),
        host: endpoint_host(region, cluster),
        prefix,
    };
    if let Some(rest) = path.strip_prefix(PATH) {
        let mut parts = rest.split('/');
        let (region, cluster) = (parts.next()?, parts.next()?);
        clusters().find(|(r, c)| *r == region && *c == cluster)?;
        return Some(found(region, cluster, format!("{PATH}{region}/{cluster}")));
    }
    let (region, cluster) = clusters().find(|(region, cluster)| endpoint_host(region, cluster).eq_ignore_ascii_case(host))?;
    Some(found(region, cluster, String::new()))
}

/// What becomes of a request.
enum Outcome {
    Reply(Response<Vec<u8>>),
    NoReply(ConnectionError),
    Hang(ConnectionError),
}

/// Answers a request to a cluster. A watch is answered with what has happened so far.
pub(crate) async fn handle(sim: &Sim, place: &Place, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, ConnectionError> {
    let latency = sim.with(|s| s.world.draw("latency/kubernetes", s.world.timings.api_latency));
    sim.clock().sleep(Duration::from_secs_f64(latency)).await;
    match sim.with(|state| respond(state, place, &request)) {
        Outcome::Reply(response) => Ok(response),
        Outcome::NoReply(error) => Err(error),
        Outcome::Hang(error) => {
            sim.clock().sleep(HANG).await;
            Err(error)
        }
    }
}

/// Opens a watch that goes on, if a request asks for one that is let in. Whatever else it asks for is left to [`handle`].
pub(crate) fn follow(sim: &Sim, request: &Request<Vec<u8>>) -> Option<Stream> {
    let query = Params::parse(request.uri().query().unwrap_or_default());
    if request.method() != Method::GET || !route::is_watch(&query) {
        return None;
    }
    let as_table = header(request.headers(), "accept").contains("as=Table");
    let (place, watch) = sim.with(|state| {
        let place = place(&state.world, "", request.uri().path())?;
        admit(state, &place, request.headers()).ok()?;
        let Some(Route::Resource(target)) = route::parse(request.uri().path().strip_prefix(place.prefix.as_str())?) else {
            return None;
        };
        let asked = Asked { verb: "watch", action: format!("watch:{}", target.resource()), applies: false };
        gate::before(state, &place, &asked, &target).ok()?;
        state.count("kubernetes", &place.region, &asked.action, None);
        Some((place, watch::Watch::new(&target, &query, as_table).ok()?))
    })?;
    Some(Stream::new(sim.clone(), place, watch, query.get("timeoutSeconds").and_then(|t| t.parse().ok())))
}

fn respond(state: &mut State, place: &Place, request: &Request<Vec<u8>>) -> Outcome {
    let answer = match admit(state, place, request.headers()) {
        Ok(()) => ask(state, place, request),
        Err(verdict) => verdict,
    };
    match answer {
        gate::Verdict::NoReply(error) => Outcome::NoReply(error),
        gate::Verdict::Hang(error) => Outcome::Hang(error),
        gate::Verdict::Refuse(refused) => Outcome::Reply(render(&Err(refused))),
        gate::Verdict::Reply(reply) => Outcome::Reply(render(&Ok(reply))),
    }
}

/// Lets a connection in, or says what becomes of it.
fn admit(state: &mut State, place: &Place, headers: &HeaderMap) -> Result<(), gate::Verdict> {
    gate::connect(state, place)?;
    let lenient = !place.prefix.is_empty();
    let authentic = auth::is_authentic(headers, &place.cluster, state.world.now, lenient);
    if authentic && gate::knows_anybody(state, place) { Ok(()) } else { Err(gate::Verdict::Refuse(Refused::unauthorized())) }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
}

/// Carries out a request that has been let in.
fn ask(state: &mut State, place: &Place, request: &Request<Vec<u8>>) -> gate::Verdict {
    let path = request.uri().path().strip_prefix(place.prefix.as_str()).unwrap_or_default();
    let query = Params::parse(request.uri().query().unwrap_or_default());
    let accepts = header(request.headers(), "accept");
    let is_openapi = path.starts_with("/openapi/v2");
    if !accepts.is_empty() && !["json", "*/*", "text"].iter().any(|kind| accepts.contains(kind)) && !is_openapi {
        return Refused::not_acceptable().into();
    }
    if path == access::REVIEWS {
        return access::review(state, request.body()).into();
    }
    let target = match route::parse(path) {
        None => return Refused::no_such_path().into(),
        Some(Route::Meta(parts)) => {
            let version = state.world.region(&place.region).and_then(|r| r.clusters.get(&place.cluster)).map(|c| c.version.clone());
            return discovery::answer(&parts, &version.unwrap_or_default(), &place.prefix).into();
        }
        Some(Route::Resource(target)) => target,
    };
    let Some(verb) = route::verb(request.method().as_str(), &target, &query) else {
        return Refused::method_not_allowed().into();
    };
    let applies = verb == "patch" && header(request.headers(), "content-type").starts_with("application/apply-patch");
    let asked = Asked { verb, action: format!("{verb}:{}", target.resource()), applies };
    let answer = match gate::before(state, place, &asked, &target) {
        Ok(()) => carry_out(state, place, &asked, &target, &query, request),
        Err(gate::Verdict::Refuse(refused)) => Err(refused),
        Err(no_reply) => return no_reply,
    };
    conclude(state, place, &asked, &target, request, answer)
}

/// Reads or changes the cluster.
fn carry_out(
    state: &mut State,
    place: &Place,
    asked: &Asked,
    target: &Target,
    query: &Params,
    request: &Request<Vec<u8>>,
) -> Result<Reply, Refused> {
    let as_table = header(request.headers(), "accept").contains("as=Table");
    let now = state.world.now;
    if request.method() == Method::GET {
        return crate::services::gate::read(state, |world| {
            let cluster = world.region(&place.region).and_then(|r| r.clusters.get(&place.cluster));
            let kube = &cluster.ok_or_else(|| Refused::internal("the cluster is gone"))?.kube;
            match asked.verb {
                "get" => read::get(kube, target, query, as_table, now),
                "list" => read::list(kube, target, query, as_table, now),
                _ => watch::Watch::new(target, query, as_table).map(|mut watch| Reply::text(&watch.events(kube, now))),
            }
        });
    }
    let content_type = header(request.headers(), "content-type");
    if content_type.contains("protobuf") || content_type.contains("cbor") {
        return Err(Refused::unsupported_body("application/json"));
    }
    let body = body(request.body(), asked)?;
    let manager = query.get("fieldManager").map_or_else(|| product(request.headers()), str::to_owned);
    crate::services::gate::remember(state);
    let change = Change { place, target, query, manager };
    let world = &mut state.world;
    match asked.verb {
        "create" => change.create(world, body),
        "update" => change.update(world, body),
        "patch" => change.patch(world, Form::parse(content_type, target.kind)?, &body),
        "delete" => change.delete(world, &body),
        _ => change.delete_all(world, &body),
    }
}

fn body(bytes: &[u8], asked: &Asked) -> Result<Value, Refused> {
    if bytes.is_empty() && asked.verb.starts_with("delete") {
        return Ok(json!({}));
    }
    serde_json::from_slice(bytes).map_err(|e| Refused::bad_request(format!("couldn't get version/kind; json parse error: {e}")))
}

/// The first part of the user agent, which is the field manager of those who name none.
fn product(headers: &HeaderMap) -> String {
    let agent = header(headers, "user-agent").split(['/', ' ']).next().unwrap_or_default();
    if agent.is_empty() { "unknown".to_owned() } else { agent.to_owned() }
}

/// Logs, keeps and counts what was asked, and lets the faults lose the answer.
fn conclude(
    state: &mut State,
    place: &Place,
    asked: &Asked,
    target: &Target,
    request: &Request<Vec<u8>>,
    answer: Result<Reply, Refused>,
) -> gate::Verdict {
    let dry = request.uri().query().is_some_and(|q| q.contains("dryRun="));
    let kept = if request.method() == Method::GET || dry {
        state.keep_if_due()
    } else {
        let space = if target.namespace.is_empty() { String::new() } else { format!("{}/", target.namespace) };
        let record = CallRecord {
            seq: 0,
            at: timestamp(state.world.now),
            region: place.region.clone(),
            service: "kubernetes".to_owned(),
            action: asked.action.clone(),
            resource: format!("{}/{space}{}", place.cluster, named(target, answer.as_ref().ok())),
            effective: answer.as_ref().is_ok_and(|reply| reply.effective),
            error: answer.as_ref().err().map(|refused| refused.reason.to_owned()),
            params: summary(target, request.body()),
        };
        state.log(record)
    };
    if let Err(error) = kept {
        return Refused::internal(error.to_string()).into();
    }
    let error = answer.as_ref().err().map(|refused| if refused.code == 429 { "Throttling" } else { refused.reason });
    state.count("kubernetes", &place.region, &asked.action, error);
    let lost = if answer.is_ok() { gate::loses_answer(state, asked) } else { None };
    lost.map_or_else(|| answer.into(), gate::Verdict::NoReply)
}

/// The name that a request is about; one that was made in the cluster comes with the answer.
fn named(target: &Target, reply: Option<&Reply>) -> String {
    let made = || reply?.value()?.pointer("/metadata/name")?.as_str().map(str::to_owned);
    if target.name.is_empty() { made().unwrap_or_default() } else { target.name.clone() }
}

/// Shortens a request's body for the log. The values of a secret are not written down.
fn summary(target: &Target, body: &[u8]) -> Value {
    let Ok(mut value) = serde_json::from_slice::<Value>(body) else {
        return Value::Null;
    };
    if target.kind.plural == "secrets" {
        value = json!({ "secret": "not shown" });
    }
    match value.to_string() {
        text if text.len() > 2000 => json!({ "bytes": text.len() }),
        _ => value,
    }
}

fn render(answer: &Result<Reply, Refused>) -> Response<Vec<u8>> {
    let (status, kind, body) = match answer {
        Ok(Reply { status, body: Body::Json(value), .. }) => (*status, "application/json", value.to_string()),
        Ok(Reply { status, body: Body::Text(text), .. }) if text.starts_with('{') => (*status, "application/json", text.clone()),
        Ok(Reply { status, body: Body::Text(text), .. }) => (*status, "text/plain; charset=utf-8", text.clone()),
        Ok(Reply { body: Body::Bytes(kind, bytes), .. }) => return crate::services::response(200, kind, bytes.clone(), &[]),
        Err(refused) => (refused.code, "application/json", refused.status().to_string()),
    };
    crate::services::response(status, kind, body.into_bytes(), &[])
}
