//! What the API server says instead of an answer: a `Status` with a reason, in its own words.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::world::workloads::kinds::Kind;

/// A refusal.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Refused {
    pub(super) code: u16,
    pub(super) reason: &'static str,
    pub(super) message: String,
    details: Value,
}

impl Refused {
    fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Refused {
        Refused { code, reason, message: message.into(), details: Value::Null }
    }

    fn about(mut self, kind: &Kind, name: &str) -> Refused {
        self.details = json!({ "name": name, "group": kind.group, "kind": kind.plural });
        self
    }

    fn caused_by(mut self, causes: Value) -> Refused {
        self.details["causes"] = causes;
        self
    }

    /// The object that the client reads.
    pub(super) fn status(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": self.message, "reason": self.reason,
            "code": self.code,
        });
        if !self.details.is_null() {
            let mut details = self.details.clone();
            if let Some(fields) = details.as_object_mut() {
                fields.retain(|_, value| value != "");
            }
            status["details"] = details;
        }
        status
    }

    pub(super) fn unauthorized() -> Refused {
        Refused::new(401, "Unauthorized", "Unauthorized")
    }

    /// RBAC's denial. `resource` may name a subresource.
    pub(super) fn forbidden(user: &str, verb: &str, kind: &Kind, resource: &str, namespace: &str, name: &str) -> Refused {
        let place = if namespace.is_empty() { "at the cluster scope".to_owned() } else { format!("in the namespace \"{namespace}\"") };
        let what = if name.is_empty() { kind.qualified() } else { format!("{} \"{name}\"", kind.qualified()) };
        let message =
            format!("{what} is forbidden: User \"{user}\" cannot {verb} resource \"{resource}\" in API group \"{}\" {place}", kind.group);
        Refused::new(403, "Forbidden", message).about(kind, name)
    }

    pub(super) fn not_found(kind: &Kind, name: &str) -> Refused {
        Refused::new(404, "NotFound", format!("{} \"{name}\" not found", kind.qualified())).about(kind, name)
    }

    pub(super) fn no_such_path() -> Refused {
        Refused::new(404, "NotFound", "the server could not find the requested resource")
    }

    pub(super) fn method_not_allowed() -> Refused {
        Refused::new(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
    }

    pub(super) fn not_acceptable() -> Refused {
        Refused::new(406, "NotAcceptable", "only the following media types are accepted: application/json")
    }

    pub(super) fn unsupported_body(accepted: &str) -> Refused {
        let message = format!("the body of the request was in an unknown format - accepted media types include: {accepted}");
        Refused::new(415, "UnsupportedMediaType", message)
    }

    pub(super) fn already_exists(kind: &Kind, name: &str) -> Refused {
        Refused::new(409, "AlreadyExists", format!("{} \"{name}\" already exists", kind.qualified())).about(kind, name)
    }

    pub(super) fn conflict(kind: &Kind, name: &str) -> Refused {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict_because(kind, name, why)
    }

    pub(super) fn conflict_because(kind: &Kind, name: &str, why: &str) -> Refused {
        let message = format!("Operation cannot be fulfilled on {} \"{name}\": {why}", kind.qualified());
        Refused::new(409, "Conflict", message).about(kind, name)
    }

    /// Server-side apply's conflicts: who holds which field. Who is told as `"kubectl" using v1`.
    pub(super) fn apply_conflict(conflicts: &[(String, String)]) -> Refused {
        let cause = |(whose, field): &(String, String)| json!({ "reason": "FieldManagerConflict", "message": format!("conflict with {whose}"), "field": field });
        let message = match conflicts {
            [(whose, field)] => format!("Apply failed with 1 conflict: conflict with {whose}: {field}"),
            _ => {
                let mut by_manager: BTreeMap<&str, String> = BTreeMap::new();
                for (whose, field) in conflicts {
                    by_manager.entry(whose).or_default().push_str(&format!("\n- {field}"));
                }
                let each: Vec<_> = by_manager.iter().map(|(whose, fields)| format!("conflicts with {whose}:{fields}")).collect();
                format!("Apply failed with {} conflicts: {}", conflicts.len(), each.join("\n"))
            }
        };
        let mut refused = Refused::new(409, "Conflict", message);
        refused.details = json!({});
        refused.caused_by(conflicts.iter().map(cause).collect::<Vec<_>>().into())
    }

    /// A condition on what is to be deleted that does not hold.
    pub(super) fn another(kind: &Kind, name: &str, wanted: &str, found: &str) -> Refused {
        let why = format!(
            "the UID in the precondition ({wanted}) does not match the UID in record ({found}). The object might have been deleted and then recreated"
        );
        Refused::new(409, "Conflict", format!("Operation cannot be fulfilled on {} \"{name}\": {why}", kind.kind)).about(kind, name)
    }

    /// Options of a request that are not allowed.
    pub(super) fn invalid_options(field: &str, problem: &str) -> Refused {
        let mut refused = Refused::new(422, "Invalid", format!("PatchOptions.meta.k8s.io \"\" is invalid: {field}: {problem}"));
        refused.details = json!({ "group": "meta.k8s.io", "kind": "PatchOptions" });
        refused.caused_by(json!([{ "reason": "FieldValueRequired", "message": problem, "field": field }]))
    }

    /// A JSON patch that does not fit the object. Why is not told.
    pub(super) fn unfit_patch() -> Refused {
        Refused::new(422, "Invalid", "the server rejected our request due to an error in our request")
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Refused {
        Refused::new(400, "BadRequest", message)
    }

    /// The object is well-formed and still not allowed.
    pub(super) fn invalid(kind: &Kind, name: &str, field: &str, problem: &str) -> Refused {
        let reason = if problem.starts_with("Required") { "FieldValueRequired" } else { "FieldValueInvalid" };
        // Of a custom type the resource is named where the store refuses, and not the schema.
        let full = match field {
            "metadata.resourceVersion" => kind.qualified(),
            _ if kind.group.is_empty() => kind.kind.to_owned(),
            _ => format!("{}.{}", kind.kind, kind.group),
        };
        let message = format!("{full} \"{name}\" is invalid: {field}: {problem}");
        let mut refused = Refused::new(422, "Invalid", message);
        refused.details = json!({ "name": name, "group": kind.group, "kind": kind.kind });
        refused.caused_by(json!([{ "reason": reason, "message": problem, "field": field }]))
    }

    /// A `Scale`, which is an object of its own to those who check it.
    pub(super) fn invalid_scale(name: &str, field: &str, problem: &str) -> Refused {
        let mut refused = Refused::new(422, "Invalid", format!("Scale.autoscaling \"{name}\" is invalid: {field}: {problem}"));
        refused.details = json!({ "name": name, "group": "autoscaling", "kind": "Scale" });
        refused.caused_by(json!([{ "reason": "FieldValueInvalid", "message": problem, "field": field }]))
    }

    pub(super) fn expired(version: u64, latest: u64) -> Refused {
        Refused::new(410, "Expired", format!("too old resource version: {version} ({latest})"))
    }

    pub(super) fn too_many_requests() -> Refused {
        Refused::new(429, "TooManyRequests", "Too many requests, please try again later.")
    }

    pub(super) fn internal(message: impl Into<String>) -> Refused {
        Refused::new(500, "InternalError", format!("Internal error occurred: {}", message.into()))
    }
}
