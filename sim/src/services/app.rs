//! Requests to the application itself, and to anything else on the simulated web.

use serde_json::json;

use super::{Outcome, gate, wire};
use crate::error::ConnectionError;
use crate::sim::State;
use crate::world::app::{Refusal, Served};

/// Answers a web request to a host: a load balancer by its own name, or a name that resolves to one.
pub(super) fn respond(state: &mut State, host: &str, path: &str) -> Outcome {
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
