//! Requests to the application itself, and to anything else on the simulated web.

use serde_json::json;

use super::{Outcome, Params, gate, name_servers, s3, sns_web, wire};
use crate::error::ConnectionError;
use crate::sim::State;
use crate::world::app::{Refusal, Served};

/// Where the simulated name servers are asked, over HTTP: `/?name=app.company.com` stands for the resolver of the machine; a DNS message that
/// is posted to `/ns-1.awsdns-01.org` goes to that server.
const NAME_SERVERS: &str = "dns.wf.invalid";

/// Answers a web request to a host: a load balancer by its own name, or a name that resolves to one.
pub(super) fn respond(state: &mut State, host: &str, request: &http::Request<Vec<u8>>) -> Outcome {
    let (uri, path) = (request.uri(), request.uri().path());
    if host == NAME_SERVERS && request.method() == http::Method::POST {
        return message(state, path.trim_start_matches('/'), request.body());
    }
    if host == NAME_SERVERS {
        return resolve(state, uri.query().unwrap_or_default());
    }
    if let Some(outcome) = sns_web::respond(state, host, uri) {
        return outcome;
    }
    if s3::is_host(host) {
        return object(state, host, path);
    }
    let answer = match state.world.load_balancer(host).map(|_| host.to_owned()).or_else(|| state.world.resolve(host).map(|r| r.host)) {
        Some(balancer) => state.world.ask(&balancer),
        None => Err(Refusal::UnknownHost(host.to_owned())),
    };
    let answer = match answer {
        Ok(_) if gate::fails_http(state) => reply(503, json!({ "status": "error", "error": "told to fail by a simulated fault" })),
        Ok(served) => success(state, path, served),
        Err(refusal) => match refusal.status() {
            Some(status) => reply(status, json!({ "status": "error", "region": refusal.region(), "error": refusal.to_string() })),
            None => no_reply(refusal),
        },
    };
    if let Err(error) = state.keep_if_due() {
        tracing::warn!(%error, "the simulated clock was not kept");
    }
    answer
}

/// Answers for the name servers: the addresses of a name, and how long they may be kept.
fn resolve(state: &State, query: &str) -> Outcome {
    let asked = Params::parse(query);
    let found = asked.get("name").and_then(|name| state.world.addresses(name));
    reply(200, json!({ "addresses": found.as_ref().map(|found| &found.0), "ttl": found.as_ref().map(|found| found.1) }))
}

/// Hands a DNS message to a name server, and its answer back.
fn message(state: &mut State, server: &str, question: &[u8]) -> Outcome {
    match name_servers::answer(&mut state.world, server, question) {
        Some(answer) => Outcome::Reply(wire::response(200, "application/dns-message", answer, &[])),
        None => no_reply(Refusal::Unreachable(server.to_owned())),
    }
}

/// Answers a request for an object that nobody signed, such as those of health checkers.
fn object(state: &State, host: &str, path: &str) -> Outcome {
    let Some((region, found)) = state.world.public_object(host, path) else {
        return reply(403, json!({ "error": "AccessDenied" }));
    };
    if state.world.conditions.region_is_out(&region) {
        return no_reply(Refusal::Unreachable(host.to_owned()));
    }
    match found {
        Some(held) => Outcome::Reply(wire::response(200, "binary/octet-stream", held.content.into_bytes(), &[])),
        None => reply(403, json!({ "error": "AccessDenied" })),
    }
}

fn success(state: &State, path: &str, served: Served) -> Outcome {
    if path != state.world.application.health_path && path != "/" && !path.is_empty() {
        return reply(404, json!({ "status": "error", "error": "not found" }));
    }
    reply(200, json!({ "status": "ok", "region": served.region, "database": served.database }))
}

fn reply(status: u16, body: serde_json::Value) -> Outcome {
    Outcome::Reply(wire::response(status, "application/json", body.to_string().into_bytes(), &[]))
}

fn no_reply(refusal: Refusal) -> Outcome {
    Outcome::NoReply(match refusal {
        Refusal::UnknownHost(host) => ConnectionError::UnknownHost(host),
        other => ConnectionError::TimedOut(other.to_string()),
    })
}
