//! IAM, query protocol of 2010-05-08: a role by its name, and the policy simulator, which knows what the faults deny. There are no policies:
//! whoever is no stranger may do everything that no fault denies.

use super::{Answer, Call, ServiceError, gate};
use crate::sim::State;
use crate::world::World;
use crate::xml::Element;

/// The most that a call of the simulator answers at once, if it does not say.
const ITEMS_MAX: usize = 100;

/// Answers a call of IAM.
pub(super) fn answer(state: &State, call: &Call) -> Result<Answer, ServiceError> {
    match call.action.name {
        "GetRole" => role(&state.world, call),
        _ => simulate(state, call),
    }
}

/// Any role is there, as it can be taken on; the operator's own has the path that its ARN tells.
fn role(world: &World, call: &Call) -> Result<Answer, ServiceError> {
    let name = call.params.require("RoleName", "ValidationError")?;
    if !is_name(name) {
        let message =
            "The specified value for roleName is invalid. It must contain only alphanumeric characters and/or the following: +=,.@_-";
        return Err(ServiceError::new("ValidationError", message));
    }
    let role = Element::new("Role")
        .with("Path", "/")
        .with("RoleName", name)
        .with("RoleId", "AROASIMULATED")
        .with("Arn", format!("arn:aws:iam::{}:role/{name}", world.account))
        .with("CreateDate", "2024-01-01T00:00:00Z");
    Ok(Answer::xml(Element::new("GetRoleResult").with_child(role)))
}

fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.chars().all(|c| c.is_ascii_alphanumeric() || "+=,.@_-".contains(c))
}

fn simulate(state: &State, call: &Call) -> Result<Answer, ServiceError> {
    let source = call.params.require("PolicySourceArn", "ValidationError")?;
    let resource = source.strip_prefix("arn:aws:iam::").and_then(|rest| rest.split_once(':')).map_or("", |(_, resource)| resource);
    if !["user/", "role/", "group/"].iter().any(|kind| resource.starts_with(kind)) {
        return Err(ServiceError::new(
            "InvalidInput",
            format!("Invalid Entity Arn: {source} does not clearly define entity type and name."),
        ));
    }
    if !resource.starts_with("role/") && *source != state.world.principal {
        let name = resource.rsplit('/').next().unwrap_or_default();
        return Err(ServiceError::new("NoSuchEntity", format!("The user with name {name} cannot be found.")).status(404));
    }
    let actions = call.params.list("ActionNames.member");
    let resources = Some(call.params.list("ResourceArns.member")).filter(|given| !given.is_empty()).unwrap_or_else(|| vec!["*"]);
    if let Some(action) = actions.iter().find(|action| !action.contains(':')) {
        return Err(ServiceError::new("InvalidInput", format!("Invalid Input Action: {action} has no service.")));
    }
    let begin = call.params.number("Marker", "ValidationError")?.and_then(|marker| usize::try_from(marker).ok()).unwrap_or(0);
    let max = call.params.number("MaxItems", "ValidationError")?.and_then(|max| usize::try_from(max).ok()).unwrap_or(ITEMS_MAX);
    let pairs: Vec<_> = actions.iter().flat_map(|action| resources.iter().map(move |resource| (*action, *resource))).collect();
    let shown = pairs.iter().skip(begin).take(max);
    let end = begin + shown.len();
    let results = shown.map(|(action, resource)| result(state, action, resource));
    let page = Element::new("SimulatePrincipalPolicyResult").with_list("EvaluationResults", results).with("IsTruncated", end < pairs.len());
    Ok(Answer::xml(page.with_some("Marker", (end < pairs.len()).then_some(end))))
}

fn result(state: &State, action: &str, resource: &str) -> Element {
    let name = action.split_once(':').map_or(action, |(_, name)| name);
    let denied = state.faults.iter().any(|fault| gate::denies(fault, name));
    Element::new("member")
        .with("EvalActionName", action)
        .with("EvalResourceName", resource)
        .with("EvalDecision", if denied { "implicitDeny" } else { "allowed" })
        .with_list("MatchedStatements", [])
        .with_list("MissingContextValues", [])
}
