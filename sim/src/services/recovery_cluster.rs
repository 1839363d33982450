//! The data plane of ARC: routing controls, read and set at each endpoint of the cluster.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Answer, Call, Document, ServiceError};
use crate::world::World;

/// The service's name in signatures.
pub(super) const SERVICE: &str = "route53-recovery-cluster";
/// The most controls of one call.
const CONTROLS_MAX: usize = 10;

/// Answers a call.
pub(super) fn answer(world: &mut World, call: &Call) -> Result<Answer, ServiceError> {
    if !world.recovery.endpoints.contains(&call.region) {
        // There is no such endpoint: whoever answers in that region is another cluster's.
        return Err(ServiceError::new("AccessDeniedException", format!("The cluster has no endpoint in {}", call.region)).status(403));
    }
    let none = Value::Null;
    let asked = match &call.document {
        Document::Json(value) => value,
        Document::None | Document::Xml(_) | Document::Cbor(_) => &none,
    };
    match call.action.name {
        "GetRoutingControlState" => {
            let control = text(asked, "RoutingControlArn")?;
            let on = state_of(world, control)?;
            Ok(Answer::json(json!({ "RoutingControlArn": control, "RoutingControlState": if on { "On" } else { "Off" } })))
        }
        "UpdateRoutingControlState" => set(world, asked, std::slice::from_ref(asked)),
        _ => {
            let entries = asked["UpdateRoutingControlStateEntries"].as_array().map(Vec::as_slice).unwrap_or_default();
            set(world, asked, entries)
        }
    }
}

fn set(world: &mut World, asked: &Value, entries: &[Value]) -> Result<Answer, ServiceError> {
    if entries.is_empty() {
        return Err(invalid("UpdateRoutingControlStateEntries must not be empty"));
    }
    if entries.len() > CONTROLS_MAX {
        let message = format!("{} routing controls are more than the {CONTROLS_MAX} that can be updated at once", entries.len());
        return Err(ServiceError::new("ServiceLimitExceededException", message));
    }
    let mut states = BTreeMap::new();
    for entry in entries {
        let on = match text(entry, "RoutingControlState")? {
            "On" => true,
            "Off" => false,
            other => return Err(invalid(&format!("RoutingControlState '{other}' is none of On, Off"))),
        };
        let control = text(entry, "RoutingControlArn")?;
        state_of(world, control)?;
        states.insert(control.to_owned(), on);
    }
    let overridden = asked["SafetyRulesToOverride"].as_array().into_iter().flatten();
    let overridden: Vec<String> = overridden.filter_map(|rule| Some(rule.as_str()?.to_owned())).collect();
    if let Some(rule) = world.recovery.broken_by(&states, &overridden) {
        let message = "The update would break a safety rule of the control panel.";
        return Err(ServiceError::new("ConflictException", message).status(409).about(rule, "SafetyRule"));
    }
    let effective = states.iter().any(|(control, on)| world.recovery.controls.get(control) != Some(on));
    world.recovery.controls.extend(states);
    Ok(Answer::json(json!({})).effective(effective))
}

fn state_of(world: &World, control: &str) -> Result<bool, ServiceError> {
    let missing = || {
        let message = format!("Routing control {control} was not found.");
        ServiceError::new("ResourceNotFoundException", message).status(404).about(control, "RoutingControl")
    };
    world.recovery.controls.get(control).copied().ok_or_else(missing)
}

fn text<'a>(value: &'a Value, name: &str) -> Result<&'a str, ServiceError> {
    value[name].as_str().filter(|text| !text.is_empty()).ok_or_else(|| invalid(&format!("{name} is required")))
}

fn invalid(message: &str) -> ServiceError {
    ServiceError::new("ValidationException", message)
}

/// Names the controls that a call is about.
pub(super) fn resource(call: &Call) -> String {
    let Document::Json(asked) = &call.document else { return String::new() };
    let entries = asked["UpdateRoutingControlStateEntries"].as_array().map_or(std::slice::from_ref(asked), Vec::as_slice);
    entries.iter().filter_map(|entry| entry["RoutingControlArn"].as_str()).collect::<Vec<_>>().join(" ")
}
