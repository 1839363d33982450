//! What runs in a simulated EKS cluster: the objects of its Kubernetes API and the controllers that work on them.
//!
//! An object is the JSON that the API shows, and beside it the little that only the simulation knows: when something
//! next happens to it, what a pod read when it started. A controller is a function of the objects and the instant; it runs
//! when something has changed or has become due, so a quiet cluster costs nothing.
//!
//! Simplified: pods fit on any ready node up to a number, whatever they request; nothing crashes by itself; a rollback to an
//! older revision is a rollout like any other; Velero captures whole namespaces without their pods, replica sets and jobs, and
//! keeps no volume contents; access is not checked beyond the faults.

mod autoscaler;
mod defaults;
mod ingress;
mod jobs;
pub(crate) mod kinds;
mod nodes;
mod pods;
mod replicas;
mod rollout;
mod schedule;
mod seed;
mod sets;
mod status;
mod tick;
mod users;
pub(crate) mod value;
mod velero;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

pub(crate) use defaults::{encode, fill_in, is_base64};
pub(crate) use ingress::{Backend, host_name, zone_id};
use kinds::{KINDS, Kind, NAMESPACES};
use serde::{Deserialize, Serialize};
use serde_json::Value;
pub(crate) use tick::stamp_new;
pub(crate) use users::ShopTraffic;
use value::{is_owned_by, name, namespace, number, put, text};
pub(crate) use velero::Bucket;

use super::{Ms, timestamp};

/// Changes that a watch can go back to.
const CHANGES_MAX: usize = 2000;

/// The objects of a cluster.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Kube {
    /// By qualified plural, then by `namespace/name`.
    objects: BTreeMap<String, BTreeMap<String, Object>>,
    /// The resource version of the latest change.
    pub(crate) version: u64,
    /// When each controller has something to do; one that is not mentioned has nothing.
    wakes: BTreeMap<String, Ms>,
    /// The kinds that have changed since the last pass of the controllers.
    changed: BTreeSet<String>,
    /// The latest changes, for watches. They are forgotten with the process.
    #[serde(skip)]
    changes: VecDeque<Change>,
}

/// An object, and what only the simulation knows of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Object {
    pub(crate) json: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) due: Option<Ms>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pod: Option<pods::Pod>,
}

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Added,
    Modified,
    Deleted,
}

/// A change of an object, as a watch tells it.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) version: u64,
    pub(crate) kind: &'static Kind,
    pub(crate) verb: Verb,
    pub(crate) object: Arc<Value>,
    /// The object before, for watches that select by label.
    pub(crate) before: Option<Arc<Value>>,
}

/// The key of an object within its kind.
pub(crate) fn key(namespace: &str, name: &str) -> String {
    format!("{namespace}/{name}")
}

fn key_of(object: &Value) -> String {
    key(namespace(object), name(object))
}

/// Writes an instant as the API does.
pub(crate) fn rfc3339(at: Ms) -> String {
    timestamp(at).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

impl Kube {
    /// Lists the objects of a kind, by namespace and name.
    pub(crate) fn all(&self, kind: &Kind) -> impl Iterator<Item = &Object> {
        self.objects.get(&kind.qualified()).into_iter().flat_map(BTreeMap::values)
    }

    /// Lists the objects of a kind in one namespace.
    pub(crate) fn within<'a>(&'a self, kind: &Kind, space: &'a str) -> impl Iterator<Item = &'a Object> {
        self.all(kind).filter(move |o| namespace(&o.json) == space)
    }

    /// Counts the objects of a kind.
    pub(crate) fn count(&self, kind: &Kind) -> usize {
        self.objects.get(&kind.qualified()).map_or(0, BTreeMap::len)
    }

    /// Finds an object.
    pub(crate) fn get(&self, kind: &Kind, namespace: &str, name: &str) -> Option<&Object> {
        self.objects.get(&kind.qualified())?.get(&key(namespace, name))
    }

    /// Finds what only the simulation knows of an object, to change it.
    pub(crate) fn hidden(&mut self, kind: &Kind, key: &str) -> Option<&mut Object> {
        self.objects.get_mut(&kind.qualified())?.get_mut(key)
    }

    /// Lists the keys of a kind.
    pub(crate) fn keys(&self, kind: &Kind) -> Vec<String> {
        self.objects.get(&kind.qualified()).map(|all| all.keys().cloned().collect()).unwrap_or_default()
    }

    /// Keeps an object, new or changed: gives it its versions, and tells the watches. Reports whether anything changed.
    pub(crate) fn keep(&mut self, kind: &'static Kind, mut object: Value) -> bool {
        let known = self.objects.entry(kind.qualified()).or_default();
        let slot = known.get_mut(&key_of(&object));
        let generation = match &slot {
            None => 1,
            Some(old) => {
                let version = old.json.pointer("/metadata/resourceVersion").cloned().unwrap_or_default();
                put(&mut object, &["metadata", "resourceVersion"], version);
                let generation = number(&old.json, "/metadata/generation").unwrap_or(1);
                generation + i64::from(old.json.get("spec") != object.get("spec"))
            }
        };
        if object.get("spec").is_some() {
            put(&mut object, &["metadata", "generation"], generation.into());
        }
        if slot.as_ref().is_some_and(|old| old.json == object) {
            return false;
        }
        self.version += 1;
        put(&mut object, &["metadata", "resourceVersion"], self.version.to_string().into());
        let told = Arc::new(object.clone());
        let before = match slot {
            Some(old) => Some(Arc::new(std::mem::replace(&mut old.json, object))),
            None => {
                known.insert(key_of(&object), Object { json: object, due: None, pod: None });
                None
            }
        };
        let verb = if before.is_some() { Verb::Modified } else { Verb::Added };
        self.tell(Change { version: self.version, kind, verb, object: told, before });
        true
    }

    /// Changes an object in place; reports whether anything changed.
    pub(crate) fn change(&mut self, kind: &'static Kind, key: &str, change: impl FnOnce(&mut Value)) -> bool {
        let Some(object) = self.objects.get(&kind.qualified()).and_then(|all| all.get(key)) else {
            return false;
        };
        let mut json = object.json.clone();
        change(&mut json);
        self.keep(kind, json)
    }

    /// Removes an object and what it owns.
    pub(crate) fn remove(&mut self, kind: &'static Kind, key: &str) -> Option<Value> {
        let removed = self.objects.get_mut(&kind.qualified())?.remove(key)?;
        self.version += 1;
        let mut object = removed.json;
        let before = Arc::new(object.clone());
        put(&mut object, &["metadata", "resourceVersion"], self.version.to_string().into());
        let told = Arc::new(object.clone());
        self.tell(Change { version: self.version, kind, verb: Verb::Deleted, object: told, before: Some(before) });
        let uid = text(&object, "/metadata/uid").to_owned();
        let space = name(&object).to_owned();
        for owned in KINDS {
            let gone = self
                .all(owned)
                .filter(|o| is_owned_by(&o.json, &uid) || (kind == NAMESPACES && owned.namespaced && namespace(&o.json) == space));
            let gone: Vec<String> = gone.map(|o| key_of(&o.json)).collect();
            gone.iter().for_each(|key| drop(self.remove(owned, key)));
        }
        Some(object)
    }

    /// Lets the controllers look at everything at the next opportunity.
    pub(crate) fn wake_up(&mut self) {
        self.changed.extend(KINDS.into_iter().map(Kind::qualified));
    }

    /// Reports whether a controller has something to do.
    fn has_work(&self, now: Ms) -> bool {
        !self.changed.is_empty() || self.wakes.values().any(|at| *at <= now)
    }

    /// Lists the changes after a resource version; `None` if they are no longer known.
    pub(crate) fn changes_since(&self, version: u64) -> Option<impl Iterator<Item = &Change>> {
        let oldest = self.changes.front().map_or(self.version + 1, |c| c.version);
        (version + 1 >= oldest).then(|| self.changes.iter().filter(move |c| c.version > version))
    }

    fn tell(&mut self, change: Change) {
        self.changed.insert(change.kind.qualified());
        self.changes.push_back(change);
        if self.changes.len() > CHANGES_MAX {
            self.changes.pop_front();
        }
    }
}
