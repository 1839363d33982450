//! Who holds which field: `metadata.managedFields`, and server-side apply on top of it.
//!
//! A set of fields is kept as the API shows it (`fieldsV1`): a tree whose keys are `f:name` for a field and `k:{"name":"x"}` for the
//! element of a list with a merge key. Lists without one are held whole.

use serde_json::{Map, Value, json};

use super::patch::merge_key;

/// A tree of fields.
type Fields = Map<String, Value>;

/// Fields that nobody holds: the server gives them.
const SERVERS: [&str; 6] = ["uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "selfLink"];

/// The fields that an object mentions.
fn fields_of(object: &Value) -> Fields {
    let Some(object) = object.as_object() else {
        return Fields::new();
    };
    let told = object.iter().filter(|(name, _)| !matches!(name.as_str(), "apiVersion" | "kind"));
    let told = told.map(|(name, value)| (name, format!("f:{name}"), below(name, value)));
    told.filter(|(name, _, below)| *name != "metadata" || !below.is_empty())
        .map(|(_, field, below)| (field, Value::Object(below)))
        .collect()
}

fn below(name: &str, value: &Value) -> Fields {
    match value {
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(inner, _)| {
                name != "metadata" || !(SERVERS.contains(&inner.as_str()) || matches!(inner.as_str(), "name" | "namespace"))
            });
            kept.map(|(inner, value)| (format!("f:{inner}"), Value::Object(below(inner, value)))).collect()
        }
        Value::Array(elements) => {
            let Some(key) = merge_key(name, elements) else {
                return Fields::new();
            };
            let named = elements.iter().filter_map(|e| Some((e, e.get(key)?)));
            named.map(|(element, value)| (format!("k:{}", json!({ key: value })), Value::Object(below("", element)))).collect()
        }
        _ => Fields::new(),
    }
}

/// The value of a field in an object.
fn value_at<'a>(object: &'a Value, path: &[String]) -> Option<&'a Value> {
    let mut at = object;
    for part in path {
        at = match part.split_at_checked(2)? {
            ("f:", name) => at.get(name)?,
            (_, key) => at.as_array()?.iter().find(|e| is_element(e, key))?,
        };
    }
    Some(at)
}

fn is_element(element: &Value, key: &str) -> bool {
    let key: Value = serde_json::from_str(key).unwrap_or_default();
    key.as_object().is_some_and(|fields| fields.iter().all(|(name, value)| element.get(name) == Some(value)))
}

/// The paths of a tree's leaves.
fn leaves(fields: &Fields) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (name, below) in fields {
        match below.as_object().filter(|b| !b.is_empty()) {
            None => found.push(vec![name.clone()]),
            Some(below) => found.extend(leaves(below).into_iter().map(|mut path| {
                path.insert(0, name.clone());
                path
            })),
        }
    }
    found
}

fn holds(fields: &Fields, path: &[String]) -> bool {
    let Some((first, rest)) = path.split_first() else {
        return true;
    };
    match fields.get(first).and_then(Value::as_object) {
        Some(below) => rest.is_empty() || holds(below, rest),
        None => false,
    }
}

fn release(fields: &mut Fields, path: &[String]) {
    let Some((first, rest)) = path.split_first() else { return };
    let empty = match fields.get_mut(first).and_then(Value::as_object_mut) {
        Some(below) if !rest.is_empty() => {
            release(below, rest);
            below.is_empty()
        }
        Some(_) => true,
        None => false,
    };
    if empty {
        fields.remove(first);
    }
}

fn hold(fields: &mut Fields, path: &[String]) {
    let Some((first, rest)) = path.split_first() else { return };
    let below = fields.entry(first.clone()).or_insert_with(|| json!({}));
    if let Some(below) = below.as_object_mut() {
        hold(below, rest);
    }
}

/// Writes a path as messages do: `.spec.template.spec.containers[name="web"].image`.
fn spoken(path: &[String]) -> String {
    path.iter()
        .map(|part| match part.split_at_checked(2) {
            Some(("f:", name)) => format!(".{name}"),
            _ => {
                let key: Value = serde_json::from_str(part.get(2..).unwrap_or_default()).unwrap_or_default();
                let pairs = key.as_object().into_iter().flatten().map(|(name, value)| format!("{name}={value}"));
                format!("[{}]", pairs.collect::<Vec<_>>().join(","))
            }
        })
        .collect()
}

/// What is said of a manager.
fn entry(manager: &str, operation: &str, api_version: &str, subresource: &str, fields: Fields, at: &str) -> Value {
    let mut entry = json!({
        "manager": manager, "operation": operation, "apiVersion": api_version, "time": at, "fieldsType": "FieldsV1", "fieldsV1": fields,
    });
    if !subresource.is_empty() {
        entry["subresource"] = subresource.into();
    }
    entry
}

fn entries(object: &Value) -> Vec<Value> {
    object.pointer("/metadata/managedFields").and_then(Value::as_array).cloned().unwrap_or_default()
}

fn fields_in(entry: &Value) -> Fields {
    entry.get("fieldsV1").and_then(Value::as_object).cloned().unwrap_or_default()
}

fn is_of(entry: &Value, manager: &str, operation: &str) -> bool {
    entry.get("manager").is_some_and(|m| m == manager) && entry.get("operation").is_some_and(|o| o == operation)
}

fn set_entries(object: &mut Value, entries: Vec<Value>) {
    let kept = entries.into_iter().filter(|e| !fields_in(e).is_empty()).collect::<Vec<_>>();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("managedFields".to_owned(), kept.into());
    }
}

/// Notes that a manager has changed what differs between two versions of an object.
pub(super) fn updated(before: Option<&Value>, after: &mut Value, manager: &str, subresource: &str, at: &str) {
    let mut all = fields_of(after);
    if subresource.is_empty() {
        all.remove("f:status");
    }
    let changed: Vec<Vec<String>> =
        leaves(&all).into_iter().filter(|path| before.is_none_or(|b| value_at(b, path) != value_at(after, path))).collect();
    // Who writes may say who manages what, beside what the writing itself changes.
    let mut known = entries(after);
    if let Some(before) = before.filter(|_| known.is_empty()) {
        known = entries(before);
    }
    if changed.is_empty() {
        return set_entries(after, known);
    }
    let mut own = known.iter().find(|e| is_of(e, manager, "Update")).map(fields_in).unwrap_or_default();
    known.retain(|e| !is_of(e, manager, "Update"));
    for path in &changed {
        for other in &mut known {
            if let Some(fields) = other.get_mut("fieldsV1").and_then(Value::as_object_mut) {
                release(fields, path);
            }
        }
        hold(&mut own, path);
    }
    let api_version = after.get("apiVersion").and_then(Value::as_str).unwrap_or_default().to_owned();
    known.push(entry(manager, "Update", &api_version, subresource, own, at));
    set_entries(after, known);
}

/// Applies what a manager wants of an object; the fields it wanted before and no longer does are removed. Without `force`, fields
/// that others hold at another value are conflicts: who holds what.
pub(super) fn apply(object: Option<&Value>, wanted: &Value, manager: &str, force: bool, at: &str) -> Result<Value, Vec<(String, String)>> {
    let empty = json!({ "metadata": {} });
    let before = object.unwrap_or(&empty);
    let fields = fields_of(wanted);
    let mut known = entries(before);
    if let Some(unmanaged) = object.filter(|_| known.is_empty()) {
        // Whoever made an object without saying who they are still holds all of it.
        let mut all = fields_of(unmanaged);
        all.remove("f:status");
        let api_version = unmanaged.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
        known.push(entry("before-first-apply", "Update", api_version, "", all, at));
    }
    let mut conflicts = Vec::new();
    for path in leaves(&fields) {
        if value_at(before, &path) == value_at(wanted, &path) {
            continue;
        }
        for other in known.iter_mut().filter(|e| !is_of(e, manager, "Apply")) {
            if !holds(&fields_in(other), &path) {
                continue;
            }
            if force {
                if let Some(held) = other.get_mut("fieldsV1").and_then(Value::as_object_mut) {
                    release(held, &path);
                }
            } else {
                let name = other.get("manager").and_then(Value::as_str).unwrap_or_default();
                let other = if is_of(other, name, "Update") { told_updater(name, other) } else { format!("\"{name}\"") };
                conflicts.push((other, spoken(&path)));
            }
        }
    }
    if !conflicts.is_empty() {
        return Err(conflicts);
    }
    let mut after = before.clone();
    let own = known.iter().find(|e| is_of(e, manager, "Apply")).map(fields_in).unwrap_or_default();
    known.retain(|e| !is_of(e, manager, "Apply"));
    for path in leaves(&own) {
        if !holds(&fields, &path) && !known.iter().any(|e| holds(&fields_in(e), &path)) {
            remove(&mut after, &path);
        }
    }
    super::patch::strategic(&mut after, wanted);
    let api_version = wanted.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
    known.push(entry(manager, "Apply", api_version, "", fields, at));
    set_entries(&mut after, known);
    Ok(after)
}

/// How a conflict names a manager that did not apply but update.
fn told_updater(name: &str, entry: &Value) -> String {
    let text = |field: &str| entry.get(field).and_then(Value::as_str).unwrap_or_default();
    format!("\"{name}\" using {}", text("apiVersion"))
}

fn remove(object: &mut Value, path: &[String]) {
    let Some((last, parents)) = path.split_last() else { return };
    let mut at = object;
    for part in parents {
        let next = match part.split_at_checked(2) {
            Some(("f:", name)) => at.get_mut(name),
            Some((_, key)) => at.as_array_mut().and_then(|list| list.iter_mut().find(|e| is_element(e, key))),
            None => None,
        };
        let Some(next) = next else { return };
        at = next;
    }
    match (last.split_at_checked(2), at) {
        (Some(("f:", name)), Value::Object(fields)) => drop(fields.remove(name)),
        (Some((_, key)), Value::Array(elements)) => elements.retain(|e| !is_element(e, key)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;

    const AT: &str = "2026-03-14T03:00:00Z";

    fn deployment(image: &str, replicas: i64) -> Value {
        let containers = json!([{ "name": "web", "image": image }]);
        json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web" }, "spec": { "replicas": replicas, "containers": containers } })
    }

    #[test]
    fn a_manager_that_stops_wanting_a_field_gives_it_up() {
        let first = apply(None, &deployment("a", 3), "one", false, AT).unwrap();
        let mut without = deployment("b", 3);
        without["spec"].as_object_mut().unwrap().remove("replicas");
        let second = apply(Some(&first), &without, "one", false, AT).unwrap();
        assert_eq!(second["spec"], json!({ "containers": [{ "name": "web", "image": "b" }] }));
        assert_eq!(second["metadata"]["managedFields"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn two_managers_conflict_unless_forced_or_agreed() {
        let first = apply(None, &deployment("a", 3), "one", false, AT).unwrap();
        apply(Some(&first), &deployment("a", 3), "two", false, AT).unwrap();
        let conflicts = apply(Some(&first), &deployment("b", 3), "two", false, AT).unwrap_err();
        assert_eq!(conflicts, [("\"one\"".to_owned(), ".spec.containers[name=\"web\"].image".to_owned())]);
        let forced = apply(Some(&first), &deployment("b", 3), "two", true, AT).unwrap();
        assert_eq!(forced["spec"]["containers"][0]["image"], "b");
        let back = apply(Some(&forced), &deployment("a", 3), "one", false, AT).unwrap_err();
        assert_eq!(back[0].0, "\"two\"");
    }

    #[test]
    fn an_update_takes_the_fields_that_it_changes() {
        let first = apply(None, &deployment("a", 3), "one", false, AT).unwrap();
        let mut scaled = first.clone();
        scaled["spec"]["replicas"] = json!(5);
        updated(Some(&first), &mut scaled, "kubectl", "", AT);
        let conflicts = apply(Some(&scaled), &deployment("a", 3), "one", false, AT).unwrap_err();
        assert_eq!(conflicts, [("\"kubectl\" using apps/v1".to_owned(), ".spec.replicas".to_owned())]);
    }
}
