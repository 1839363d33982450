//! Stateful sets, whose pods have names and change one after another, and daemon sets, with a pod on every node.

use serde_json::{Map, Value, json};

use super::kinds::{DAEMON_SETS, Kind, NODES, PODS, STATEFUL_SETS};
use super::nodes::takes_pods;
use super::tick::Tick;
use super::value::{name, number, put, text};
use super::{Object, key_of, pods};
use crate::world::hash;

const HASH_LABEL: &str = "controller-revision-hash";

/// Brings the pods of every stateful and daemon set a step closer to what is wanted.
pub(super) fn run(tick: &mut Tick) {
    for key in tick.kube.keys(STATEFUL_SETS) {
        stateful(tick, &key);
    }
    for key in tick.kube.keys(DAEMON_SETS) {
        daemon(tick, &key);
    }
}

fn digest(set: &Value) -> String {
    let template = set.pointer("/spec/template").map(Value::to_string).unwrap_or_default();
    format!("{:010x}", hash(15, &template, 0) & 0xff_ffff_ffff)
}

/// The pods of a set: ready ones, ones of the present template, the keys of the others.
struct Pods {
    there: Vec<(String, Value)>,
    ready: i64,
    updated: i64,
    outdated: Vec<String>,
}

fn pods_of(tick: &Tick, set: &Value, digest: &str) -> Pods {
    let uid = text(set, "/metadata/uid");
    let active: Vec<&Object> = tick.kube.active_pods(uid).collect();
    let is_new = |o: &&&Object| o.json["metadata"]["labels"][HASH_LABEL] == digest;
    Pods {
        ready: active.iter().filter(|o| o.is_ready()).count() as i64,
        updated: active.iter().filter(is_new).count() as i64,
        outdated: active.iter().filter(|o| !is_new(o)).map(|o| key_of(&o.json)).collect(),
        there: active.iter().map(|o| (name(&o.json).to_owned(), o.json.clone())).collect(),
    }
}

fn make(tick: &mut Tick, kind: &'static Kind, set: &Value, pod: &str, digest: &str) {
    pods::create(tick, kind, set, pod, &[(HASH_LABEL, digest.to_owned())]);
}

fn stateful(tick: &mut Tick, key: &str) {
    let Some(set) = tick.kube.hidden(STATEFUL_SETS, key).map(|s| s.json.clone()) else {
        return;
    };
    let wanted = number(&set, "/spec/replicas").unwrap_or(1).max(0);
    let digest = digest(&set);
    let pods = pods_of(tick, &set, &digest);
    let ordinal = |pod: &str| pod.rsplit('-').next().and_then(|n| n.parse::<i64>().ok()).unwrap_or(i64::MAX);
    let all_ready = pods.ready == pods.there.len() as i64;
    let surplus = pods.there.iter().filter(|(pod, _)| ordinal(pod) >= wanted).max_by_key(|(pod, _)| ordinal(pod));
    let busy = tick.kube.all(PODS).any(|p| super::is_owned_by(&p.json, text(&set, "/metadata/uid")) && !p.is_active());
    if let Some((_, pod)) = surplus {
        pods::terminate(tick, &key_of(pod));
    } else if let Some(missing) = (0..wanted).map(|n| format!("{}-{n}", name(&set))).find(|n| !pods.there.iter().any(|(p, _)| p == n)) {
        if all_ready && !busy {
            make(tick, STATEFUL_SETS, &set, &missing, &digest);
        }
    } else if all_ready && let Some(last) = pods.outdated.iter().max_by_key(|k| ordinal(k)) {
        pods::terminate(tick, last);
    }
    let pods = pods_of(tick, &set, &digest);
    let revision = format!("{}-{digest}", name(&set));
    let mut status = Map::new();
    status.insert("observedGeneration".to_owned(), set["metadata"]["generation"].clone());
    status.insert("replicas".to_owned(), json!(pods.there.len()));
    status.insert("availableReplicas".to_owned(), json!(pods.ready));
    status.insert("updateRevision".to_owned(), json!(revision));
    let current = if pods.outdated.is_empty() && pods.ready == wanted { json!(revision) } else { set["status"]["currentRevision"].clone() };
    status.insert("currentRevision".to_owned(), if current.is_null() { json!(revision) } else { current });
    for (field, n) in [("readyReplicas", pods.ready), ("updatedReplicas", pods.updated), ("currentReplicas", pods.updated)] {
        if n > 0 {
            status.insert(field.to_owned(), json!(n));
        }
    }
    tick.kube.change(STATEFUL_SETS, key, |s| put(s, &["status"], Value::Object(status)));
}

fn daemon(tick: &mut Tick, key: &str) {
    let Some(set) = tick.kube.hidden(DAEMON_SETS, key).map(|s| s.json.clone()) else {
        return;
    };
    let digest = digest(&set);
    let nodes: Vec<String> = tick.kube.all(NODES).filter(|n| takes_pods(&n.json)).map(|n| name(&n.json).to_owned()).collect();
    let pods = pods_of(tick, &set, &digest);
    for node in &nodes {
        if !pods.there.iter().any(|(_, pod)| text(pod, "/spec/nodeName") == node) {
            let pod = format!("{}-{}", name(&set), tick.suffix());
            let mut pinned = set.clone();
            put(&mut pinned, &["spec", "template", "spec", "nodeName"], node.as_str().into());
            make(tick, DAEMON_SETS, &pinned, &pod, &digest);
        }
    }
    // One pod at a time makes way for its successor.
    if pods.ready == pods.there.len() as i64
        && let Some(outdated) = pods.outdated.first()
    {
        pods::terminate(tick, outdated);
    }
    let pods = pods_of(tick, &set, &digest);
    let mut status = json!({
        "observedGeneration": set["metadata"]["generation"], "desiredNumberScheduled": nodes.len(),
        "currentNumberScheduled": pods.there.len(), "numberReady": pods.ready, "numberMisscheduled": 0,
    });
    for (field, n) in [
        ("updatedNumberScheduled", pods.updated),
        ("numberAvailable", pods.ready),
        ("numberUnavailable", (nodes.len() as i64 - pods.ready).max(0)),
    ] {
        if n > 0 {
            put(&mut status, &[field], json!(n));
        }
    }
    tick.kube.change(DAEMON_SETS, key, |s| put(s, &["status"], status));
}
