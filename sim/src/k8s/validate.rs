//! What the API server refuses of an object: as much as a mistaken manifest or a stale client would meet.

use serde_json::Value;

use super::refused::Refused;
use crate::world::workloads::is_base64;
use crate::world::workloads::kinds::{DAEMON_SETS, DEPLOYMENTS, JOBS, Kind, RESTORES, SECRETS, STATEFUL_SETS};
use crate::world::workloads::value::{fields, list, name, namespace, number, text};

/// Checks that an object is what the path says.
pub(super) fn is_of_kind(kind: &Kind, object: &Value) -> Result<(), Refused> {
    let (version, own) = (text(object, "/apiVersion"), text(object, "/kind"));
    if own.is_empty() {
        return Err(Refused::bad_request("Object 'Kind' is missing"));
    }
    if version != kind.api_version() || own != kind.kind {
        let message = format!("the API version in the data ({version}) does not match the expected API version ({})", kind.api_version());
        return Err(Refused::bad_request(message));
    }
    Ok(())
}

/// Checks that an object's namespace, if it names one, is the path's.
pub(super) fn namespace_fits(object: &Value, space: &str) -> Result<(), Refused> {
    let own = namespace(object);
    if own.is_empty() || own == space {
        return Ok(());
    }
    Err(Refused::bad_request(format!(
        "the namespace of the provided object does not match the namespace sent on the request ({own} != {space})"
    )))
}

/// Checks an object by itself.
pub(super) fn object(kind: &Kind, object: &Value) -> Result<(), Refused> {
    let own = name(object);
    let invalid = |field: &str, problem: &str| Err(Refused::invalid(kind, own, field, problem));
    if own.is_empty() {
        return invalid("metadata.name", "Required value: name or generateName is required");
    }
    if !is_dns_name(own) {
        let rule = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an \
             alphanumeric character (e.g. 'example.com', regex used for validation is \
             '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
        return invalid("metadata.name", &format!("Invalid value: \"{own}\": {rule}"));
    }
    if kind == SECRETS
        && let Some((field, _)) = fields(object, "/data").find(|(_, v)| !v.as_str().is_some_and(is_base64))
    {
        let message = format!("Secret in version \"v1\" cannot be handled as a Secret: illegal base64 data at input byte 0 (data.{field})");
        return Err(Refused::bad_request(message));
    }
    if [DEPLOYMENTS, STATEFUL_SETS, DAEMON_SETS].contains(&kind) {
        let wanted = fields(object, "/spec/selector/matchLabels").collect::<Vec<_>>();
        let labels = object.pointer("/spec/template/metadata/labels");
        if wanted.is_empty() {
            return invalid("spec.selector", "Required value");
        }
        if wanted.iter().any(|(label, value)| labels.and_then(|l| l.get(*label)) != Some(value)) {
            return invalid("spec.template.metadata.labels", "Invalid value: `selector` does not match template `labels`");
        }
    }
    if [DEPLOYMENTS, STATEFUL_SETS, DAEMON_SETS, JOBS].contains(&kind) {
        if list(object, "/spec/template/spec/containers").is_empty() {
            return invalid("spec.template.spec.containers", "Required value");
        }
        if let Some(replicas) = number(object, "/spec/replicas").filter(|n| *n < 0) {
            return invalid("spec.replicas", &format!("Invalid value: {replicas}: must be greater than or equal to 0"));
        }
    }
    if kind == JOBS && text(object, "/spec/template/spec/restartPolicy") == "Always" {
        return invalid("spec.template.spec.restartPolicy", "Required value: valid values: \"OnFailure\", \"Never\"");
    }
    if kind == RESTORES && object.get("spec").is_none_or(|s| !s.is_object()) {
        return invalid("spec", "Required value");
    }
    Ok(())
}

/// Checks what of an object may not change.
pub(super) fn change(kind: &Kind, before: &Value, after: &Value) -> Result<(), Refused> {
    let changed = |pointer: &str| before.pointer(pointer) != after.pointer(pointer);
    let immutable = "Invalid value: field is immutable";
    let invalid = |field: &str| Err(Refused::invalid(kind, name(after), field, immutable));
    if [DEPLOYMENTS, STATEFUL_SETS, DAEMON_SETS].contains(&kind) && changed("/spec/selector") {
        return invalid("spec.selector");
    }
    if kind == JOBS && changed("/spec/template") {
        return invalid("spec.template");
    }
    if before["immutable"] == true && (changed("/data") || changed("/immutable")) {
        return Err(Refused::invalid(kind, name(after), "data", "Forbidden: field is immutable when `immutable` is set"));
    }
    Ok(())
}

fn is_dns_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= 253 && name.chars().all(|c| plain(c) || c == '-' || c == '.') && name.starts_with(plain) && name.ends_with(plain)
}
