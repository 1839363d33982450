//! Velero: backups of namespaces in a bucket that every cluster sees, schedules that take them, restores that bring them back.
//!
//! A backup holds the objects of its namespaces except pods, replica sets, events and what a cron job made. A restore makes the
//! objects that are missing and leaves alone those that are there. Both need a running Velero: a pod of it that is ready.
//! The list of backups is kept in step with the bucket without one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::kinds::{BACKUPS, CLAIMS, DEPLOYMENTS, EVENTS, KINDS, Kind, LOCATIONS, NAMESPACES, PODS, REPLICA_SETS, RESTORES, SCHEDULES};
use super::tick::Tick;
use super::value::{list, name, namespace, number, put, remove, text};
use super::{key_of, rfc3339, schedule};
use crate::world::{Ms, timestamp};

pub(super) const NAMESPACE: &str = "velero";
pub(super) const SCHEDULE_LABEL: &str = "velero.io/schedule-name";
/// The phase of a location that a world file says cannot be reached.
pub(super) const UNAVAILABLE: &str = "Unavailable";
const LOCATION_LABEL: &str = "velero.io/storage-location";

/// The backups in an S3 bucket, by name.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Bucket {
    pub(crate) backups: BTreeMap<String, Stored>,
}

/// A backup in a bucket.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Stored {
    /// The Backup resource that clusters show for it.
    pub(crate) resource: Value,
    pub(crate) began: Ms,
    pub(crate) items: Vec<Value>,
}

/// Carries on what Velero does in this cluster.
pub(super) fn run(tick: &mut Tick) {
    synchronise(tick);
    if !tick.kube.within(DEPLOYMENTS, NAMESPACE).any(|d| number(&d.json, "/status/readyReplicas").unwrap_or(0) > 0) {
        return;
    }
    take_scheduled(tick);
    for key in tick.kube.keys(BACKUPS) {
        back_up(tick, &key);
    }
    for key in tick.kube.keys(RESTORES) {
        restore(tick, &key);
    }
}

/// Shows the backups of the bucket, whichever cluster took them.
fn synchronise(tick: &mut Tick) {
    for location in tick.kube.all(LOCATIONS).map(|l| l.json.clone()).collect::<Vec<_>>() {
        let partial = tick.world.conditions.backups_fail_partially();
        let stored = tick.world.buckets.get(bucket_of(&location)).into_iter().flat_map(|b| b.backups.values());
        let newest = stored.clone().map(|s| s.began).max();
        let unlike = stored.map(|s| shown(s, partial && Some(s.began) == newest)).filter(|(resource, _)| {
            tick.kube.get(BACKUPS, NAMESPACE, name(resource)).is_none_or(|known| known.json["status"] != resource["status"])
        });
        for (resource, began) in unlike.collect::<Vec<_>>() {
            let key = key_of(&resource);
            if tick.kube.get(BACKUPS, NAMESPACE, name(&resource)).is_none() {
                tick.create(BACKUPS, resource.clone());
                tick.kube.change(BACKUPS, &key, |b| put(b, &["metadata", "creationTimestamp"], rfc3339(began).into()));
            }
            tick.kube.change(BACKUPS, &key, |b| put(b, &["status"], resource["status"].clone()));
        }
        let stamp = tick.stamp();
        if !["Available", UNAVAILABLE].contains(&text(&location, "/status/phase")) {
            let status = json!({ "phase": "Available", "lastSyncedTime": stamp, "lastValidationTime": stamp });
            tick.kube.change(LOCATIONS, &key_of(&location), |l| put(l, &["status"], status));
        }
    }
}

/// The resource that stands for a stored backup, and when it began.
fn shown(stored: &Stored, partial: bool) -> (Value, Ms) {
    let mut resource = stored.resource.clone();
    if partial {
        for (field, value) in [("phase", json!("PartiallyFailed")), ("errors", json!(2)), ("warnings", json!(1))] {
            put(&mut resource, &["status", field], value);
        }
    }
    (resource, stored.began)
}

fn bucket_of(location: &Value) -> &str {
    text(location, "/spec/objectStorage/bucket")
}

/// The bucket of the storage location that a backup names, or of the only one.
fn bucket(tick: &Tick, location: &str) -> Option<String> {
    let found = tick.kube.within(LOCATIONS, NAMESPACE).find(|l| location.is_empty() || name(&l.json) == location)?;
    Some(bucket_of(&found.json).to_owned())
}

fn take_scheduled(tick: &mut Tick) {
    for key in tick.kube.keys(SCHEDULES) {
        let Some(json) = tick.kube.hidden(SCHEDULES, &key).map(|s| s.json.clone()) else {
            continue;
        };
        if text(&json, "/status/phase") != "Enabled" {
            tick.kube.change(SCHEDULES, &key, |s| put(s, &["status", "phase"], "Enabled".into()));
        }
        if json["spec"]["paused"] == true {
            continue;
        }
        if let Some(next) = schedule::next(text(&json, "/spec/schedule"), tick.now) {
            tick.wake_at(next);
        }
        let minute = rfc3339(tick.now.div_euclid(60_000) * 60_000);
        if !schedule::is_due(text(&json, "/spec/schedule"), tick.now) || text(&json, "/status/lastBackup") >= minute.as_str() {
            continue;
        }
        tick.create(BACKUPS, scheduled_backup(&json, tick.now));
        tick.kube.change(SCHEDULES, &key, |s| put(s, &["status", "lastBackup"], minute.into()));
    }
}

/// The backup that a schedule takes at an instant.
pub(super) fn scheduled_backup(schedule: &Value, at: Ms) -> Value {
    let of = name(schedule);
    let location = text(schedule, "/spec/template/storageLocation");
    json!({
        "metadata": {
            "name": format!("{of}-{}", timestamp(at).strftime("%Y%m%d%H%M%S")), "namespace": namespace(schedule),
            "labels": { SCHEDULE_LABEL: of, LOCATION_LABEL: location },
        },
        "spec": schedule["spec"]["template"],
    })
}

/// The thirty days after which Velero forgets a backup that does not say otherwise.
const TTL: Ms = 30 * 24 * 3_600_000;

/// The status of a backup that has begun at an instant.
pub(super) fn begun(at: Ms) -> Value {
    json!({
        "phase": "InProgress", "startTimestamp": rfc3339(at), "expiration": rfc3339(at + TTL), "version": 1, "formatVersion": "1.1.0",
    })
}

fn back_up(tick: &mut Tick, key: &str) {
    let Some(object) = tick.kube.hidden(BACKUPS, key) else {
        return;
    };
    let (json, due) = (object.json.clone(), object.due);
    match (text(&json, "/status/phase"), due) {
        ("" | "New", _) => {
            let Some(_) = bucket(tick, text(&json, "/spec/storageLocation")) else {
                let status =
                    json!({ "phase": "FailedValidation", "validationErrors": ["an existing backup storage location wasn't specified"] });
                tick.kube.change(BACKUPS, key, |b| put(b, &["status"], status));
                return;
            };
            let due = tick.now + tick.draw("backup", |t| t.backup);
            let status = begun(tick.now);
            tick.kube.change(BACKUPS, key, |b| put(b, &["status"], status));
            if let Some(backup) = tick.kube.hidden(BACKUPS, key) {
                backup.due = Some(due);
            }
            tick.wake_at(due);
        }
        ("InProgress", Some(due)) if due > tick.now => tick.wake_at(due),
        ("InProgress", Some(_)) => {
            let items = capture(tick, &json["spec"]);
            store(tick, json, items);
            if let Some(backup) = tick.kube.hidden(BACKUPS, key) {
                backup.due = None;
            }
        }
        _ => {}
    }
}

/// Writes a finished backup to its bucket; the clusters learn of it from there.
pub(super) fn store(tick: &mut Tick, mut backup: Value, items: Vec<Value>) {
    let Some(bucket) = bucket(tick, text(&backup, "/spec/storageLocation")) else {
        return;
    };
    put(&mut backup, &["status", "phase"], "Completed".into());
    put(&mut backup, &["status", "completionTimestamp"], rfc3339(tick.now).into());
    put(&mut backup, &["status", "progress"], json!({ "itemsBackedUp": items.len(), "totalItems": items.len() }));
    for field in ["uid", "resourceVersion", "creationTimestamp", "managedFields"] {
        remove(&mut backup, &["metadata", field]);
    }
    let began = text(&backup, "/status/startTimestamp").parse().map_or(tick.now, |t: jiff::Timestamp| t.as_millisecond());
    let stored = Stored { resource: backup.clone(), began, items };
    tick.world.buckets.entry(bucket).or_default().backups.insert(name(&backup).to_owned(), stored);
    tick.world.wake_clusters();
    tick.kube.wake_up();
}

/// Takes the objects that a backup's specification asks for, as they are.
pub(super) fn capture(tick: &Tick, spec: &Value) -> Vec<Value> {
    let is_in = |space: &str| selects(spec, "Namespaces", space) && space != NAMESPACE && !space.starts_with("kube-");
    let spaces = tick.kube.all(NAMESPACES).map(|n| &n.json).filter(|n| is_in(name(n))).map(plain);
    let kinds = KINDS.into_iter().filter(|k| k.namespaced && ![PODS, REPLICA_SETS, EVENTS].contains(k) && k.group != "velero.io");
    let kinds = kinds.filter(|k| selects(spec, "Resources", k.plural));
    let objects = kinds.flat_map(|k| tick.kube.all(k)).map(|o| &o.json);
    let objects = objects.filter(|o| is_in(namespace(o)) && o["metadata"]["ownerReferences"].is_null());
    spaces.chain(objects.map(plain)).collect()
}

/// Reports whether `included…` and `excluded…` of a specification let something through.
fn selects(spec: &Value, what: &str, name: &str) -> bool {
    let names = |field: &str| list(spec, &format!("/{field}{what}")).iter().filter_map(Value::as_str).collect::<Vec<_>>();
    let stands_for = |listed: &&str| *listed == "*" || *listed == name || listed.split('.').next() == Some(name);
    let included = names("included");
    (included.is_empty() || included.iter().any(stands_for)) && !names("excluded").iter().any(stands_for)
}

/// An object without what only its own cluster gave it.
fn plain(object: &Value) -> Value {
    let mut object = object.clone();
    remove(&mut object, &["status"]);
    for field in ["uid", "resourceVersion", "generation", "creationTimestamp", "managedFields"] {
        remove(&mut object, &["metadata", field]);
    }
    object
}

fn restore(tick: &mut Tick, key: &str) {
    let Some(object) = tick.kube.hidden(RESTORES, key) else {
        return;
    };
    let (json, due) = (object.json.clone(), object.due);
    match (text(&json, "/status/phase"), due) {
        ("" | "New", _) => {
            let stamp = tick.stamp();
            let status = match stored(tick, &json) {
                Ok(_) => json!({ "phase": "InProgress", "startTimestamp": stamp }),
                Err(message) => json!({ "phase": "FailedValidation", "validationErrors": [message] }),
            };
            if status["phase"] == "InProgress" {
                let due = tick.now + tick.draw("restore", |t| t.restore);
                if let Some(restore) = tick.kube.hidden(RESTORES, key) {
                    restore.due = Some(due);
                }
                tick.wake_at(due);
            }
            tick.kube.change(RESTORES, key, |r| put(r, &["status"], status));
        }
        ("InProgress", Some(due)) if due > tick.now => tick.wake_at(due),
        ("InProgress", Some(_)) => bring_back(tick, key, &json),
        _ => {}
    }
}

/// Finds what a restore is to bring back, or says why it cannot, in Velero's words.
fn stored(tick: &Tick, restore: &Value) -> Result<Stored, String> {
    let wanted = text(restore, "/spec/backupName");
    if wanted.is_empty() {
        return Err("Either a backup or schedule must be specified as a source for the restore, but not both".to_owned());
    }
    let missing = || format!("Error retrieving backup: backups.velero.io \"{wanted}\" not found");
    let backup = tick.kube.get(BACKUPS, NAMESPACE, wanted).ok_or_else(missing)?;
    let phase = text(&backup.json, "/status/phase");
    if !matches!(phase, "Completed" | "PartiallyFailed") {
        return Err(format!("backup \"{wanted}\" is in phase {phase}: only Completed or PartiallyFailed backups can be restored"));
    }
    let bucket = bucket(tick, text(&backup.json, "/spec/storageLocation")).ok_or_else(missing)?;
    tick.world.buckets.get(&bucket).and_then(|b| b.backups.get(wanted)).cloned().ok_or_else(missing)
}

fn bring_back(tick: &mut Tick, key: &str, restore: &Value) {
    let Ok(stored) = stored(tick, restore) else {
        tick.kube.change(RESTORES, key, |r| put(r, &["status", "phase"], "Failed".into()));
        return;
    };
    let fails = tick.world.conditions.restores_fail_partially();
    let (mut warnings, mut errors, mut restored) = (0, 0, 0);
    let spec = &restore["spec"];
    for item in &stored.items {
        let Some(kind) = Kind::of_object(item) else {
            continue;
        };
        let space = if kind.namespaced { namespace(item) } else { name(item) };
        if !selects(spec, "Namespaces", space) || (kind.namespaced && !selects(spec, "Resources", kind.plural)) {
            continue;
        }
        // The volume behind a claim is what a restore fails on most.
        if fails && kind == CLAIMS {
            errors += 1;
            continue;
        }
        restored += 1;
        warnings += i64::from(!bring_back_one(tick, kind, item, restore));
    }
    let phase = if errors > 0 { "PartiallyFailed" } else { "Completed" };
    let progress = json!({ "itemsRestored": restored, "totalItems": restored + errors });
    let stamp = tick.stamp();
    tick.kube.change(RESTORES, key, |r| {
        put(r, &["status", "phase"], phase.into());
        put(r, &["status", "completionTimestamp"], stamp.into());
        put(r, &["status", "progress"], progress);
        for (field, count) in [("warnings", warnings), ("errors", errors)] {
            if count > 0 {
                put(r, &["status", field], count.into());
            }
        }
    });
    if let Some(restore) = tick.kube.hidden(RESTORES, key) {
        restore.due = None;
    }
}

/// Makes one object unless it is there; false if a different one is there, which Velero warns of.
fn bring_back_one(tick: &mut Tick, kind: &'static Kind, item: &Value, restore: &Value) -> bool {
    let mut item = item.clone();
    if let Some(space) = restore["spec"]["namespaceMapping"][namespace(&item)].as_str() {
        put(&mut item, &["metadata", "namespace"], space.into());
    }
    let known = tick.kube.get(kind, namespace(&item), name(&item)).map(|o| o.json.clone());
    let label = |item: &mut Value| {
        put(item, &["metadata", "labels", "velero.io/backup-name"], restore["spec"]["backupName"].clone());
        put(item, &["metadata", "labels", "velero.io/restore-name"], name(restore).into());
    };
    match known {
        None => {
            label(&mut item);
            tick.create(kind, item);
            true
        }
        Some(_) if kind == NAMESPACES => true,
        Some(known) if restore["spec"]["existingResourcePolicy"] == "update" => {
            label(&mut item);
            tick.kube.change(kind, &key_of(&known), |o| {
                for (field, value) in item.as_object().into_iter().flatten().filter(|(field, _)| *field != "metadata") {
                    put(o, &[field], value.clone());
                }
                put(o, &["metadata", "labels"], item["metadata"]["labels"].clone());
            });
            true
        }
        Some(known) => {
            let same = |field: &str| known.get(field) == item.get(field);
            ["spec", "data"].into_iter().all(same)
        }
    }
}
