//! Deployments: a replica set for each pod template, and the pods moved from the old ones to the newest a few at a time.

use serde_json::{Map, Value, json};

use super::kinds::{DEPLOYMENTS, REPLICA_SETS};
use super::tick::{Tick, owner};
use super::value::{is_owned_by, name, namespace, number, put, set_condition, text};
use super::{Kube, key_of};
use crate::world::{Ms, hash};

const REVISION: &str = "deployment.kubernetes.io/revision";
const HASH_LABEL: &str = "pod-template-hash";

/// The pods of a deployment's replica sets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Count {
    total: i64,
    ready: i64,
}

/// Moves every deployment a step closer to what its specification asks for.
pub(super) fn run(tick: &mut Tick) {
    for key in tick.kube.keys(DEPLOYMENTS) {
        let Some(object) = tick.kube.hidden(DEPLOYMENTS, &key) else {
            continue;
        };
        let deployment = object.json.clone();
        let new = newest(tick, &deployment);
        if let Some(new) = &new {
            shift(tick, &deployment, new);
        }
        tell(tick, &key, &deployment, new.as_deref());
    }
}

/// The pods of a replica set.
fn count(kube: &Kube, set: &Value) -> Count {
    let uid = text(set, "/metadata/uid");
    let pods = || kube.active_pods(uid);
    Count { total: pods().count() as i64, ready: pods().filter(|p| p.is_ready()).count() as i64 }
}

fn sets(tick: &Tick, deployment: &Value) -> Vec<Value> {
    let uid = text(deployment, "/metadata/uid");
    tick.kube.all(REPLICA_SETS).map(|s| &s.json).filter(|s| is_owned_by(s, uid)).cloned().collect()
}

fn revision(set: &Value) -> i64 {
    set["metadata"]["annotations"][REVISION].as_str().and_then(|r| r.parse().ok()).unwrap_or(0)
}

/// Finds or makes the replica set of the deployment's pod template; returns its key. A paused deployment makes none.
fn newest(tick: &mut Tick, deployment: &Value) -> Option<String> {
    let template = deployment.pointer("/spec/template")?;
    let digest = format!("{:010x}", hash(14, &template.to_string(), 0) & 0xff_ffff_ffff);
    let known = sets(tick, deployment);
    let latest = known.iter().map(revision).max().unwrap_or(0);
    let found = known.iter().find(|s| text(s, "/metadata/labels/pod-template-hash") == digest);
    if deployment["spec"]["paused"] == true {
        return found.map(key_of);
    }
    let key = match found {
        Some(set) if revision(set) == latest => return Some(key_of(set)),
        // An older template is wanted again: its replica set becomes the newest.
        Some(set) => {
            let key = key_of(set);
            let next = (latest + 1).to_string();
            tick.kube.change(REPLICA_SETS, &key, |s| put(s, &["metadata", "annotations", REVISION], next.into()));
            key
        }
        None => {
            let set = replica_set(deployment, template, &digest, latest + 1);
            tick.create(REPLICA_SETS, set)
        }
    };
    let next = (latest + 1).to_string();
    let of = key_of(deployment);
    tick.kube.change(DEPLOYMENTS, &of, |d| put(d, &["metadata", "annotations", REVISION], next.into()));
    restart_deadline(tick, &of, deployment);
    forget_old(tick, deployment);
    Some(key)
}

fn replica_set(deployment: &Value, template: &Value, digest: &str, revision: i64) -> Value {
    let mut selector = deployment["spec"]["selector"].clone();
    put(&mut selector, &["matchLabels", HASH_LABEL], digest.into());
    let mut template = template.clone();
    put(&mut template, &["metadata", "labels", HASH_LABEL], digest.into());
    json!({
        "metadata": {
            "name": format!("{}-{digest}", name(deployment)), "namespace": namespace(deployment),
            "labels": template["metadata"]["labels"],
            "annotations": { REVISION: revision.to_string() },
            "ownerReferences": owner(DEPLOYMENTS, deployment),
        },
        "spec": { "replicas": 0, "selector": selector, "template": template },
    })
}

/// Removes the empty replica sets beyond the history limit.
fn forget_old(tick: &mut Tick, deployment: &Value) {
    let limit = number(deployment, "/spec/revisionHistoryLimit").unwrap_or(10).max(0) as usize;
    let mut empty: Vec<Value> =
        sets(tick, deployment).into_iter().filter(|s| number(s, "/spec/replicas") == Some(0) && count(tick.kube, s).total == 0).collect();
    empty.sort_by_key(revision);
    let surplus = empty.len().saturating_sub(limit + 1);
    for set in empty.iter().take(surplus) {
        tick.kube.remove(REPLICA_SETS, &key_of(set));
    }
}

/// A number or a percentage of the replicas, rounded up or down.
fn share(value: Option<&Value>, replicas: i64, up: bool) -> i64 {
    let percent = match value {
        Some(Value::Number(n)) => return n.as_i64().unwrap_or(0),
        Some(Value::String(text)) => text.trim_end_matches('%').parse().unwrap_or(25),
        _ => 25,
    };
    let hundredths = replicas * percent;
    if up { (hundredths + 99) / 100 } else { hundredths / 100 }
}

/// How many pods may be too many, and how many may be missing, during a rollout.
fn tolerance(deployment: &Value, replicas: i64) -> (i64, i64) {
    let surge = share(deployment.pointer("/spec/strategy/rollingUpdate/maxSurge"), replicas, true);
    let missing = share(deployment.pointer("/spec/strategy/rollingUpdate/maxUnavailable"), replicas, false);
    if surge == 0 && missing == 0 { (0, 1) } else { (surge, missing) }
}

/// Takes pods from the old replica sets and gives them to the newest, as far as the strategy allows now.
fn shift(tick: &mut Tick, deployment: &Value, new: &str) {
    let replicas = number(deployment, "/spec/replicas").unwrap_or(1).max(0);
    let recreate = text(deployment, "/spec/strategy/type") == "Recreate";
    let (surge, missing) = if recreate { (0, replicas) } else { tolerance(deployment, replicas) };
    let (newest, old): (Vec<Value>, Vec<Value>) = sets(tick, deployment).into_iter().partition(|s| key_of(s) == new);
    let newest = newest.iter().map(|s| count(tick.kube, s)).next().unwrap_or_default();
    let wanted = newest_size(tick, new);
    let old_total: i64 = old.iter().map(|s| count(tick.kube, s).total.max(number(s, "/spec/replicas").unwrap_or(0))).sum();
    let target = if recreate && old_total > 0 { 0 } else { (replicas + surge - old_total).clamp(0, replicas).max(wanted.min(replicas)) };
    resize(tick, new, target);
    // Old pods that are not ready go at once; ready ones only as new ones take their place.
    let ready = newest.ready + old.iter().map(|s| count(tick.kube, s).ready).sum::<i64>();
    let mut spare = (ready - (replicas - missing)).max(0);
    for set in &old {
        let there = count(tick.kube, set);
        let goes = spare.min(there.ready);
        spare -= goes;
        resize(tick, &key_of(set), there.ready - goes);
    }
}

fn newest_size(tick: &mut Tick, key: &str) -> i64 {
    tick.kube.hidden(REPLICA_SETS, key).and_then(|s| number(&s.json, "/spec/replicas")).unwrap_or(0)
}

fn resize(tick: &mut Tick, set: &str, replicas: i64) {
    tick.kube.change(REPLICA_SETS, set, |s| put(s, &["spec", "replicas"], replicas.into()));
}

/// Begins the time anew within which a rollout has to make progress.
fn restart_deadline(tick: &mut Tick, key: &str, deployment: &Value) {
    let patience: Ms = number(deployment, "/spec/progressDeadlineSeconds").unwrap_or(600).clamp(1, 1_000_000) * 1000;
    let due = tick.now + patience;
    if let Some(object) = tick.kube.hidden(DEPLOYMENTS, key) {
        object.due = Some(due);
    }
    tick.wake_at(due);
}

/// Writes a deployment's status: what `kubectl rollout status` goes by.
fn tell(tick: &mut Tick, key: &str, deployment: &Value, new: Option<&str>) {
    let replicas = number(deployment, "/spec/replicas").unwrap_or(1).max(0);
    let all = sets(tick, deployment);
    let of = |counted: &dyn Fn(&&Value) -> bool| all.iter().filter(counted).map(|s| count(tick.kube, s)).collect::<Vec<_>>();
    let every = of(&|_| true);
    let updated = of(&|s| Some(key_of(s).as_str()) == new).first().copied().unwrap_or_default();
    let total: i64 = every.iter().map(|c| c.total).sum();
    let ready: i64 = every.iter().map(|c| c.ready).sum();
    let before = (status(deployment, "updatedReplicas"), status(deployment, "readyReplicas"), status(deployment, "replicas"));
    let progressed = (updated.total, ready, total) != before;
    let complete = updated.total == replicas && total == updated.total && ready >= replicas;
    if progressed && !complete {
        restart_deadline(tick, key, deployment);
    }
    let due = tick.kube.hidden(DEPLOYMENTS, key).and_then(|d| d.due);
    let exceeded = !complete && due.is_some_and(|due| due <= tick.now);
    match tick.kube.hidden(DEPLOYMENTS, key) {
        Some(object) if complete => object.due = None,
        _ if due.is_some_and(|due| due > tick.now) => tick.wake_at(due.unwrap_or(Ms::MAX)),
        _ => {}
    }
    let mut fields = Map::new();
    fields.insert("observedGeneration".to_owned(), deployment["metadata"]["generation"].clone());
    let counts = [
        ("replicas", total),
        ("updatedReplicas", updated.total),
        ("readyReplicas", ready),
        ("availableReplicas", ready),
        ("unavailableReplicas", (replicas.max(total) - ready).max(0)),
    ];
    fields.extend(counts.into_iter().filter(|(_, n)| *n > 0).map(|(field, n)| (field.to_owned(), json!(n))));
    let mut next = Value::Object(fields);
    if let Some(conditions) = deployment.pointer("/status/conditions") {
        put(&mut next, &["conditions"], conditions.clone());
    }
    let set = new.and_then(|n| n.split('/').nth(1)).unwrap_or_default();
    let stamp = tick.stamp();
    let enough = ready >= replicas - tolerance(deployment, replicas).1;
    match enough {
        true => set_condition(&mut next, "Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability.", &stamp),
        false => set_condition(
            &mut next,
            "Available",
            "False",
            "MinimumReplicasUnavailable",
            "Deployment does not have minimum availability.",
            &stamp,
        ),
    }
    let (holds, reason, message) = match (complete, exceeded) {
        (true, _) => ("True", "NewReplicaSetAvailable", format!("ReplicaSet \"{set}\" has successfully progressed.")),
        (false, true) => ("False", "ProgressDeadlineExceeded", format!("ReplicaSet \"{set}\" has timed out progressing.")),
        (false, false) => ("True", "ReplicaSetUpdated", format!("ReplicaSet \"{set}\" is progressing.")),
    };
    set_condition(&mut next, "Progressing", holds, reason, &message, &stamp);
    tick.kube.change(DEPLOYMENTS, key, |d| put(d, &["status"], next));
}

fn status(deployment: &Value, field: &str) -> i64 {
    deployment["status"][field].as_i64().unwrap_or(0)
}
