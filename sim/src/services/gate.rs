//! The faults at the gate of every call: who gets no answer, who gets an error, whose answer is lost, who sees the past.

use super::recovery_cluster::SERVICE as ARC;
use super::{Answer, Call, ServiceError};
use crate::error::ConnectionError;
use crate::faults::{Fault, FaultKind, names_action};
use crate::sim::State;
use crate::world::World;

/// Earlier worlds that are remembered while describes lag behind.
const PAST_MAX: usize = 64;

/// What a fault makes of a call.
pub(super) enum Verdict {
    Proceed,
    Refuse(ServiceError),
    NoReply(ConnectionError),
    Hang(ConnectionError),
}

/// Asks every fault about a call that has arrived.
pub(super) fn before(state: &mut State, call: &Call) -> Verdict {
    // Later faults may draw or count, so the first that strikes decides.
    for fault in state.faults.clone() {
        match strike(state, call, &fault) {
            Verdict::Proceed => {}
            other => return other,
        }
    }
    Verdict::Proceed
}

fn strike(state: &mut State, call: &Call, fault: &Fault) -> Verdict {
    let action = call.action;
    // Route 53 has one endpoint for the world, and its own fault.
    let in_region = |region: &String| *region == call.region && action.service != "route53";
    let endpoint = || format!("{}.{}.amazonaws.com:443", action.service, call.region);
    match &fault.kind {
        FaultKind::RegionOutage { region } if in_region(region) => Verdict::NoReply(ConnectionError::Refused(endpoint())),
        FaultKind::RegionHang { region } if in_region(region) => Verdict::Hang(ConnectionError::TimedOut(endpoint())),
        FaultKind::ServiceOutage { service, region }
            if service == action.service && region.as_ref().is_none_or(|region| *region == call.region) =>
        {
            Verdict::Refuse(unavailable(action.service))
        }
        FaultKind::Throttle { service, percent } if service == action.service => throttle(state, call, *percent),
        FaultKind::ApiLimits if !state.limits.allow(call, state.world.now) => Verdict::Refuse(throttled(action.service)),
        _ if denies(fault, action.name) => Verdict::Refuse(denied(&state.world, call)),
        FaultKind::Timeout { name } if names_action(name, action.name) => Verdict::Hang(ConnectionError::TimedOut(endpoint())),
        FaultKind::Fail { name, times } if names_action(name, action.name) && count(state, fault, *times) => {
            Verdict::Refuse(told_to_fail(call, fault))
        }
        _ => Verdict::Proceed,
    }
}

/// Tells whether a fault denies whoever it is an action.
pub(super) fn denies(fault: &Fault, action: &str) -> bool {
    match &fault.kind {
        FaultKind::Deny { name } => names_action(name, action),
        FaultKind::AllowOnly { names } => !names.iter().any(|name| names_action(name, action)),
        _ => false,
    }
}

fn throttle(state: &mut State, call: &Call, percent: f64) -> Verdict {
    let label = format!("throttle/{}", call.action.service);
    if state.world.draw(&label, crate::def::Span { min: 0.0, max: 100.0 }) >= percent {
        return Verdict::Proceed;
    }
    Verdict::Refuse(throttled(call.action.service))
}

/// Says "not now" in a service's own form.
fn unavailable(service: &str) -> ServiceError {
    match service {
        ARC => ServiceError::new("EndpointTemporarilyUnavailableException", "The cluster endpoint isn't available.").status(503),
        _ => ServiceError::new("ServiceUnavailable", "The service is temporarily unavailable.").status(503),
    }
}

/// Says "too many requests" in a service's own form.
fn throttled(service: &str) -> ServiceError {
    match service {
        "eks" | "monitoring" | ARC => ServiceError::new("ThrottlingException", "Rate exceeded").status(429),
        "acm" | "ecr" | "kms" => ServiceError::new("ThrottlingException", "Rate exceeded"),
        "ec2" => ServiceError::new("RequestLimitExceeded", "Request limit exceeded.").status(503),
        "servicequotas" => ServiceError::new("TooManyRequestsException", "Rate exceeded"),
        _ => ServiceError::new("Throttling", "Rate exceeded"),
    }
}

fn denied(world: &World, call: &Call) -> ServiceError {
    let (service, code) = match call.action.service {
        "ec2" => ("ec2", "UnauthorizedOperation"),
        service @ ("acm" | "ecr" | "eks" | "kms" | "servicequotas" | ARC) => (service, "AccessDeniedException"),
        "monitoring" => ("cloudwatch", "AccessDenied"),
        "sns" => ("sns", "AuthorizationError"),
        other => (other, "AccessDenied"),
    };
    let action = format!("{service}:{}", call.action.name);
    let lead = if service == "ec2" { "You are not authorized to perform this operation. " } else { "" };
    let message = format!(
        "{lead}User: {} is not authorized to perform: {action} because no identity-based policy allows the {action} action",
        world.principal
    );
    ServiceError::new(code, message).status(if matches!(service, "acm" | "ecr" | "kms" | "servicequotas") { 400 } else { 403 })
}

fn told_to_fail(call: &Call, fault: &Fault) -> ServiceError {
    let code = match call.action.service {
        "eks" => "InvalidRequestException",
        ARC => "ValidationException",
        "route53" => "InvalidInput",
        "autoscaling" | "elasticloadbalancing" => "ValidationError",
        "ec2" => "InvalidParameterValue",
        "acm" | "kms" => "InvalidArnException",
        "iam" => "InvalidInput",
        "ecr" => "InvalidParameterException",
        "servicequotas" => "IllegalArgumentException",
        "sns" => "InvalidParameter",
        _ => "InvalidParameterCombination",
    };
    ServiceError::new(code, format!("{} was told to fail by the simulated fault '{fault}'", call.action.name))
}

/// Counts a strike; false once the fault has struck as often as it should.
pub(crate) fn count(state: &mut State, fault: &Fault, times: Option<u64>) -> bool {
    let Some(times) = times else { return true };
    let used = state.world.faults_used.entry(fault.to_string()).or_insert(0);
    let strikes = *used < times;
    if strikes {
        *used += 1;
    }
    strikes
}

/// Asks the faults whether an application request is to fail.
pub(super) fn fails_http(state: &mut State) -> bool {
    let mut fails = false;
    for fault in state.faults.clone() {
        if let FaultKind::Fail { name, times } = &fault.kind
            && names_action(name, "HttpGet")
        {
            fails |= count(state, &fault, *times);
        }
    }
    fails
}

/// Asks the faults whether the answer to a call that took effect is lost on its way.
pub(super) fn after(state: &mut State, call: &Call, succeeded: bool) -> Option<ConnectionError> {
    let lost = succeeded
        && state.faults.clone().iter().any(|fault| match &fault.kind {
            FaultKind::LostResponse { name, times } => names_action(name, call.action.name) && count(state, fault, *times),
            _ => false,
        });
    if !lost {
        return None;
    }
    if let Err(error) = state.keep() {
        tracing::warn!(%error, "the count of a fault was not kept");
    }
    Some(ConnectionError::Broken(format!("the answer to {} was lost", call.action.name)))
}

/// Hides from whoever may not list a bucket of S3 that an object is not in it.
pub(super) fn conceal(state: &State, call: &Call, answer: Result<Answer, ServiceError>) -> Result<Answer, ServiceError> {
    let may_not_list = |fault: &Fault| denies(fault, "ListBucket");
    answer.map_err(|refused| match refused.code.as_str() {
        "NoSuchKey" if state.faults.iter().any(may_not_list) => denied(&state.world, call),
        _ => refused,
    })
}

fn consistency_delay(state: &State) -> Option<i64> {
    state.faults.iter().find_map(|f| match f.kind {
        FaultKind::EventualConsistency { delay } => i64::try_from(delay.as_millis()).ok(),
        _ => None,
    })
}

/// Remembers the world before a change, while describes lag behind.
pub(crate) fn remember(state: &mut State) {
    if consistency_delay(state).is_none() {
        state.past.clear();
        return;
    }
    if state.past.len() == PAST_MAX {
        state.past.remove(0);
    }
    state.past.push(state.world.clone());
}

/// Reads the world, or what it would be without the changes that have not spread yet.
pub(crate) fn read<T>(state: &mut State, f: impl FnOnce(&mut World) -> T) -> T {
    let now = state.world.now;
    let unspread = consistency_delay(state).map(|delay| now - delay);
    let stale = unspread.and_then(|since| state.past.iter().find(|w| w.now > since)).cloned();
    match stale {
        Some(mut world) => {
            world.advance(now);
            f(&mut world)
        }
        None => f(&mut state.world),
    }
}
