//! Reading and writing JSON objects by pointer, as short as the controllers need it.

use serde_json::{Map, Value};

/// The text at a pointer; empty if there is none.
pub(crate) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The number at a pointer.
pub(crate) fn number(object: &Value, pointer: &str) -> Option<i64> {
    object.pointer(pointer).and_then(Value::as_i64)
}

/// The elements at a pointer; none if there is no array.
pub(crate) fn list<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The fields at a pointer.
pub(crate) fn fields<'a>(object: &'a Value, pointer: &str) -> impl Iterator<Item = (&'a str, &'a Value)> {
    object.pointer(pointer).and_then(Value::as_object).into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

/// Writes a value at a path of field names, making the objects on the way.
pub(crate) fn put(object: &mut Value, path: &[&str], value: Value) {
    let Some((last, parents)) = path.split_last() else {
        *object = value;
        return;
    };
    let mut at = object;
    for name in parents {
        at = child(at, name);
    }
    *child(at, last) = value;
}

/// Writes a value at a path unless there is one.
pub(crate) fn default(object: &mut Value, path: &[&str], value: Value) {
    let pointer: String = path.iter().map(|name| format!("/{}", name.replace('~', "~0").replace('/', "~1"))).collect();
    if object.pointer(&pointer).is_none_or(Value::is_null) {
        put(object, path, value);
    }
}

/// Removes the field at a path; reports whether it was there.
pub(crate) fn remove(object: &mut Value, path: &[&str]) -> bool {
    let Some((last, parents)) = path.split_last() else {
        return false;
    };
    let mut at = object;
    for name in parents {
        let Some(next) = at.get_mut(*name) else {
            return false;
        };
        at = next;
    }
    at.as_object_mut().is_some_and(|fields| fields.remove(*last).is_some())
}

fn child<'a>(object: &'a mut Value, name: &str) -> &'a mut Value {
    if !object.is_object() {
        *object = Value::Object(Map::new());
    }
    match object {
        Value::Object(fields) => fields.entry(name.to_owned()).or_insert(Value::Null),
        other => other,
    }
}

/// The name of an object.
pub(crate) fn name(object: &Value) -> &str {
    text(object, "/metadata/name")
}

/// The namespace of an object; empty for what belongs to the whole cluster.
pub(crate) fn namespace(object: &Value) -> &str {
    text(object, "/metadata/namespace")
}

/// Reports whether the labels at a pointer hold all of `wanted`.
pub(crate) fn has_labels<'a>(object: &Value, wanted: impl IntoIterator<Item = (&'a str, &'a Value)>) -> bool {
    let labels = object.pointer("/metadata/labels");
    wanted.into_iter().all(|(name, value)| labels.and_then(|l| l.get(name)) == Some(value))
}

/// Reports whether an object is owned by the one with this uid.
pub(crate) fn is_owned_by(object: &Value, uid: &str) -> bool {
    list(object, "/metadata/ownerReferences").iter().any(|o| text(o, "/uid") == uid)
}

/// Sets a condition; its `lastTransitionTime` changes only with its status.
pub(crate) fn set_condition(status: &mut Value, kind: &str, holds: &str, reason: &str, message: &str, at: &str) {
    if !status.get("conditions").is_some_and(Value::is_array) {
        put(status, &["conditions"], Value::Array(Vec::new()));
    }
    let Some(conditions) = status.get_mut("conditions").and_then(Value::as_array_mut) else {
        return;
    };
    let found = conditions.iter().position(|c| text(c, "/type") == kind);
    let since = found
        .and_then(|i| conditions.get(i))
        .filter(|c| text(c, "/status") == holds)
        .map_or_else(|| at.to_owned(), |c| text(c, "/lastTransitionTime").to_owned());
    let mut condition = serde_json::json!({ "type": kind, "status": holds, "lastTransitionTime": since });
    if !reason.is_empty() {
        put(&mut condition, &["reason"], reason.into());
    }
    if !message.is_empty() {
        put(&mut condition, &["message"], message.into());
    }
    match found.and_then(|i| conditions.get_mut(i)) {
        Some(slot) => *slot = condition,
        None => conditions.push(condition),
    }
}

/// Returns the status of a condition: `True`, `False`, `Unknown`, or nothing.
pub(crate) fn condition<'a>(object: &'a Value, kind: &str) -> &'a str {
    let found = list(object, "/status/conditions").iter().find(|c| text(c, "/type") == kind);
    found.map_or("", |c| text(c, "/status"))
}
