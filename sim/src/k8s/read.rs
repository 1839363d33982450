//! Reading: one object, a list, a scale, a log.

use serde_json::{Value, json};

use super::refused::Refused;
use super::route::Target;
use super::select::Selector;
use super::{Reply, table};
use crate::services::Params;
use crate::world::Ms;
use crate::world::workloads::value::{namespace, number, text};
use crate::world::workloads::{Kube, Object};

/// Reads one object, or a subresource of it.
pub(super) fn get(kube: &Kube, target: &Target, query: &Params, as_table: bool, now: Ms) -> Result<Reply, Refused> {
    let object = find(kube, target)?;
    match target.sub.as_str() {
        "scale" => Ok(Reply::json(scale(&object.json))),
        "log" => log(object, query),
        _ if as_table => Ok(Reply::json(table::table(target.kind, &[&object.json], kube.version, now))),
        _ => Ok(Reply::json(object.json.clone())),
    }
}

/// Finds the object that a target names.
pub(super) fn find<'a>(kube: &'a Kube, target: &Target) -> Result<&'a Object, Refused> {
    kube.get(target.kind, &target.namespace, &target.name).ok_or_else(|| Refused::not_found(target.kind, &target.name))
}

/// Lists the objects of a kind, a page at a time if that is asked for.
pub(super) fn list(kube: &Kube, target: &Target, query: &Params, as_table: bool, now: Ms) -> Result<Reply, Refused> {
    let selector = Selector::parse(query)?;
    let all = kube.all(target.kind).map(|o| &o.json);
    let selected: Vec<&Value> = all.filter(|o| is_within(o, target)).filter(|o| selector.selects(o)).collect();
    let from = query.get("continue").and_then(|c| c.parse::<usize>().ok()).unwrap_or(0).min(selected.len());
    let limit = query.get("limit").and_then(|l| l.parse().ok()).filter(|l| *l > 0).unwrap_or(usize::MAX);
    let page: Vec<&Value> = selected.iter().skip(from).take(limit).copied().collect();
    let rest = selected.len() - from - page.len();
    let mut metadata = json!({ "resourceVersion": kube.version.to_string() });
    if rest > 0 {
        metadata["continue"] = (from + page.len()).to_string().into();
        metadata["remainingItemCount"] = rest.into();
    }
    if as_table {
        let mut table = table::table(target.kind, &page, kube.version, now);
        table["metadata"] = metadata;
        return Ok(Reply::json(table));
    }
    let items: Vec<Value> = page.into_iter().map(|o| listed(target, o)).collect();
    let kind = format!("{}List", target.kind.kind);
    Ok(Reply::json(json!({ "kind": kind, "apiVersion": target.kind.api_version(), "metadata": metadata, "items": items })))
}

/// Built-in kinds are listed without saying of each element what it is.
fn listed(target: &Target, object: &Value) -> Value {
    let mut object = object.clone();
    if target.kind.is_built_in()
        && let Some(fields) = object.as_object_mut()
    {
        fields.remove("kind");
        fields.remove("apiVersion");
    }
    object
}

/// Reports whether an object is in the target's namespace, if it names one.
pub(super) fn is_within(object: &Value, target: &Target) -> bool {
    target.namespace.is_empty() || namespace(object) == target.namespace
}

/// The scale of a workload.
pub(super) fn scale(object: &Value) -> Value {
    let metadata = &object["metadata"];
    let labels = object.pointer("/spec/selector/matchLabels").and_then(Value::as_object).into_iter().flatten();
    let selector: Vec<String> = labels.map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default())).collect();
    json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"], "creationTimestamp": metadata["creationTimestamp"],
        },
        "spec": { "replicas": number(object, "/spec/replicas").unwrap_or(1) },
        "status": { "replicas": number(object, "/status/replicas").unwrap_or(0), "selector": selector.join(",") },
    })
}

fn log(object: &Object, query: &Params) -> Result<Reply, Refused> {
    let waiting = object.json.pointer("/status/containerStatuses/0/state/waiting");
    if let Some(reason) = waiting.map(|w| text(w, "/reason")) {
        let container = text(&object.json, "/spec/containers/0/name");
        let pod = text(&object.json, "/metadata/name");
        return Err(Refused::bad_request(format!("container \"{container}\" in pod \"{pod}\" is waiting to start: {reason}")));
    }
    let log = object.pod.as_ref().map(|p| p.log.as_str()).unwrap_or_default();
    let tail = query.get("tailLines").and_then(|n| n.parse().ok()).unwrap_or(usize::MAX);
    let lines: Vec<&str> = log.lines().collect();
    let shown = lines.iter().skip(lines.len().saturating_sub(tail));
    Ok(Reply::text(&shown.map(|line| format!("{line}\n")).collect::<String>()))
}
