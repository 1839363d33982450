//! JSON merge patches, strategic merge patches and JSON patches.

use serde_json::{Map, Value};

/// Merges a JSON merge patch (RFC 7386) into an object.
pub(super) fn merge(object: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *object = patch.clone();
        return;
    };
    if !object.is_object() {
        *object = Value::Object(Map::new());
    }
    let Some(fields) = object.as_object_mut() else { return };
    for (name, change) in changes {
        match change {
            Value::Null => drop(fields.remove(name)),
            change => merge(fields.entry(name.clone()).or_insert(Value::Null), change),
        }
    }
}

/// By which field the elements of a list are told apart, as the types of the API say; `None` for a list that is replaced whole.
pub(super) fn merge_key(list: &str, elements: &[Value]) -> Option<&'static str> {
    match list {
        "containers" | "initContainers" | "ephemeralContainers" | "env" | "volumes" | "imagePullSecrets" => Some("name"),
        "volumeMounts" => Some("mountPath"),
        "ports" if elements.iter().any(|e| e.get("containerPort").is_some()) => Some("containerPort"),
        "ports" => Some("port"),
        "conditions" | "addresses" => Some("type"),
        "ownerReferences" => Some("uid"),
        "taints" => Some("key"),
        _ => None,
    }
}

/// Merges a strategic merge patch: lists with a merge key are merged by it.
pub(super) fn strategic(object: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *object = patch.clone();
        return;
    };
    if changes.get("$patch").is_some_and(|p| p == "replace") {
        *object = Value::Object(changes.iter().filter(|(name, _)| *name != "$patch").map(|(n, v)| (n.clone(), v.clone())).collect());
        return;
    }
    if !object.is_object() {
        *object = Value::Object(Map::new());
    }
    let Some(fields) = object.as_object_mut() else { return };
    for (name, change) in changes {
        if let Some(list) = name.strip_prefix("$deleteFromPrimitiveList/") {
            let gone = change.as_array().cloned().unwrap_or_default();
            if let Some(elements) = fields.get_mut(list).and_then(Value::as_array_mut) {
                elements.retain(|e| !gone.contains(e));
            }
        } else if name == "$retainKeys" {
            let kept = change.as_array().cloned().unwrap_or_default();
            fields.retain(|field, _| kept.iter().any(|k| k == field));
        } else if !name.starts_with('$') {
            strategic_field(fields, name, change);
        }
    }
}

fn strategic_field(fields: &mut Map<String, Value>, name: &str, change: &Value) {
    match change {
        Value::Null => drop(fields.remove(name)),
        Value::Object(inner) if inner.get("$patch").is_some_and(|p| p == "delete") => drop(fields.remove(name)),
        Value::Array(changes) => match merge_key(name, changes) {
            Some(key) => merge_list(fields.entry(name.to_owned()).or_insert(Value::Null), changes, key),
            None if name == "finalizers" => {
                let list = fields.entry(name.to_owned()).or_insert_with(|| Value::Array(Vec::new()));
                if let Some(elements) = list.as_array_mut() {
                    changes.iter().for_each(|c| {
                        if !elements.contains(c) {
                            elements.push(c.clone())
                        }
                    });
                }
            }
            None => drop(fields.insert(name.to_owned(), change.clone())),
        },
        change => strategic(fields.entry(name.to_owned()).or_insert(Value::Null), change),
    }
}

fn merge_list(list: &mut Value, changes: &[Value], key: &str) {
    let server = list.as_array().cloned().unwrap_or_default();
    let mut elements = server.clone();
    if changes.iter().any(|c| c.get("$patch").is_some_and(|p| p == "replace")) {
        elements.clear();
    }
    for change in changes {
        let place = elements.iter().position(|e| e.get(key) == change.get(key));
        match (change.get("$patch").and_then(Value::as_str), place) {
            (Some("delete"), Some(place)) => drop(elements.remove(place)),
            (Some(_), _) => {}
            (None, Some(place)) => {
                if let Some(element) = elements.get_mut(place) {
                    strategic(element, change);
                }
            }
            (None, None) => {
                let mut new = Value::Null;
                strategic(&mut new, change);
                elements.push(new);
            }
        }
    }
    *list = Value::Array(in_order(elements, changes, &server, key));
}

/// Puts merged elements in the API server's order: those of the patch in its order, those of the server in theirs, and what is new to the server
/// before what it has alone.
fn in_order(elements: Vec<Value>, changes: &[Value], server: &[Value], key: &str) -> Vec<Value> {
    let place = |list: &[Value], element: &Value| list.iter().position(|e| e.get(key) == element.get(key));
    let (mut patched, kept): (Vec<Value>, Vec<Value>) = elements.into_iter().partition(|e| place(changes, e).is_some());
    patched.sort_by_key(|e| place(changes, e));
    let (mut patched, mut kept) = (patched.into_iter().peekable(), kept.into_iter().peekable());
    let mut all = Vec::new();
    while let (Some(new), Some(old)) = (patched.peek(), kept.peek()) {
        let kept_first = matches!((place(server, old), place(server, new)), (Some(old), Some(new)) if old < new);
        all.extend(if kept_first { kept.next() } else { patched.next() });
    }
    all.extend(patched.chain(kept));
    all
}

/// Applies a JSON patch (RFC 6902), or says what does not fit.
pub(super) fn json_patch(object: &mut Value, operations: &[Value]) -> Result<(), String> {
    for operation in operations {
        let field = |name: &str| operation.get(name).and_then(Value::as_str).unwrap_or_default();
        let (path, value) = (field("path"), operation.get("value").cloned().unwrap_or_default());
        match field("op") {
            "add" => add(object, path, value)?,
            "remove" => drop(take(object, path)?),
            "replace" => *at(object, path)? = value,
            "move" => {
                let moved = take(object, field("from"))?;
                add(object, path, moved)?;
            }
            "copy" => {
                let copied = at(object, field("from"))?.clone();
                add(object, path, copied)?;
            }
            "test" if *at(object, path)? == value => {}
            "test" => return Err(format!("testing path {path} failed")),
            other => return Err(format!("unexpected kind: {other}")),
        }
    }
    Ok(())
}

fn missing(path: &str) -> String {
    format!("unable to find path {path}: missing value")
}

fn at<'a>(object: &'a mut Value, path: &str) -> Result<&'a mut Value, String> {
    object.pointer_mut(path).ok_or_else(|| missing(path))
}

/// The value that holds the last part of a path, and that part.
fn parent<'a>(object: &'a mut Value, path: &str) -> Result<(&'a mut Value, String), String> {
    let (parent, last) = path.rsplit_once('/').ok_or_else(|| missing(path))?;
    Ok((at(object, parent)?, last.replace("~1", "/").replace("~0", "~")))
}

fn add(object: &mut Value, path: &str, value: Value) -> Result<(), String> {
    if path.is_empty() {
        *object = value;
        return Ok(());
    }
    match parent(object, path)? {
        (Value::Object(fields), last) => drop(fields.insert(last, value)),
        (Value::Array(elements), last) => {
            let place = if last == "-" { Ok(elements.len()) } else { last.parse::<usize>() };
            match place {
                Ok(place) if place <= elements.len() => elements.insert(place, value),
                _ => return Err(missing(path)),
            }
        }
        _ => return Err(missing(path)),
    }
    Ok(())
}

fn take(object: &mut Value, path: &str) -> Result<Value, String> {
    let (holder, last) = parent(object, path)?;
    let taken = match holder {
        Value::Object(fields) => fields.remove(&last),
        Value::Array(elements) => last.parse::<usize>().ok().filter(|i| *i < elements.len()).map(|i| elements.remove(i)),
        _ => None,
    };
    taken.ok_or_else(|| missing(path))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use serde_json::json;

    use super::*;

    #[test]
    fn a_merge_patch_replaces_lists_and_removes_nulls() {
        let mut object = json!({ "a": { "b": 1, "c": [1, 2] }, "d": 1 });
        merge(&mut object, &json!({ "a": { "c": [3], "e": { "f": 1 } }, "d": null }));
        assert_eq!(object, json!({ "a": { "b": 1, "c": [3], "e": { "f": 1 } } }));
    }

    #[test]
    fn a_strategic_patch_merges_lists_by_their_key() {
        let mut object = json!({ "containers": [
            { "name": "web", "image": "a", "env": [{ "name": "X", "value": "1" }, { "name": "Y", "value": "2" }] }, { "name": "log" },
        ] });
        let patch = json!({ "$setElementOrder/containers": [{ "name": "web" }], "containers": [
            { "name": "web", "image": "b", "env": [{ "name": "X", "value": "3" }, { "name": "Y", "$patch": "delete" }] },
            { "name": "log", "$patch": "delete" }, { "name": "new" },
        ] });
        strategic(&mut object, &patch);
        assert_eq!(
            object,
            json!({ "containers": [{ "name": "web", "image": "b", "env": [{ "name": "X", "value": "3" }] }, { "name": "new" }] })
        );
    }

    #[test]
    fn what_is_new_comes_before_what_the_server_has_alone() {
        let mut object = json!({ "containers": [{ "name": "one" }, { "name": "two" }] });
        strategic(&mut object, &json!({ "containers": [{ "name": "three" }] }));
        strategic(&mut object, &json!({ "containers": [{ "name": "two", "image": "b" }] }));
        assert_eq!(object, json!({ "containers": [{ "name": "three" }, { "name": "one" }, { "name": "two", "image": "b" }] }));
    }

    #[test]
    fn a_json_patch_is_carried_out_in_order_or_refused() {
        let mut object = json!({ "a": [1, 2], "b": { "x/y": 1 } });
        let patch = json!([
            { "op": "test", "path": "/a/0", "value": 1 }, { "op": "add", "path": "/a/-", "value": 3 },
            { "op": "remove", "path": "/a/0" }, { "op": "replace", "path": "/b/x~1y", "value": 2 },
            { "op": "move", "from": "/a/0", "path": "/c" },
        ]);
        json_patch(&mut object, patch.as_array().unwrap()).unwrap();
        assert_eq!(object, json!({ "a": [3], "b": { "x/y": 2 }, "c": 2 }));
        let wrong = json!([{ "op": "remove", "path": "/nothing" }]);
        assert!(json_patch(&mut object, wrong.as_array().unwrap()).unwrap_err().contains("/nothing"));
    }
}
