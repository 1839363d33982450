//! One pass of the controllers over a cluster, and what they all need for it.

use serde_json::{Value, json};

use super::kinds::{
    AUTOSCALERS, BACKUPS, CLAIMS, CRON_JOBS, DAEMON_SETS, DEPLOYMENTS, INGRESSES, JOBS, Kind, LOCATIONS, NODES, PODS, REPLICA_SETS,
    RESTORES, SCHEDULES, STATEFUL_SETS,
};
use super::value::{default, put};
use super::{Kube, key_of, rfc3339};
use super::{autoscaler, ingress, jobs, nodes, pods, replicas, rollout, sets, velero};
use crate::def::{Span, WorkloadTimings};
use crate::world::eks::Cluster;
use crate::world::{Ms, World};

/// A pass over one cluster at one instant.
pub(super) struct Tick<'a> {
    pub(super) world: &'a mut World,
    pub(super) kube: &'a mut Kube,
    pub(super) region: &'a str,
    pub(super) cluster: &'a str,
    pub(super) now: Ms,
    /// Whose turn it is.
    pub(super) controller: &'static str,
}

/// A controller: its name, what it does, and the kinds whose changes concern it.
type Controller = (&'static str, fn(&mut Tick), &'static [&'static Kind]);

const CONTROLLERS: [Controller; 10] = [
    ("nodes", nodes::run, &[NODES]),
    ("velero", velero::run, &[BACKUPS, RESTORES, SCHEDULES, LOCATIONS, DEPLOYMENTS]),
    ("cron", jobs::schedule, &[CRON_JOBS]),
    ("autoscaler", autoscaler::run, &[AUTOSCALERS, DEPLOYMENTS, STATEFUL_SETS]),
    ("rollout", rollout::run, &[DEPLOYMENTS, REPLICA_SETS, PODS]),
    ("sets", sets::run, &[STATEFUL_SETS, DAEMON_SETS, PODS, NODES]),
    ("jobs", jobs::run, &[JOBS, PODS]),
    ("replicas", replicas::run, &[REPLICA_SETS, PODS]),
    ("pods", pods::run, &[PODS, NODES, CLAIMS]),
    ("ingress", ingress::run, &[INGRESSES, NODES]),
];

impl Tick<'_> {
    /// Runs every controller once that has something to do, in the order in which one's work is another's cause.
    fn run(&mut self) {
        let changed = std::mem::take(&mut self.kube.changed);
        for (name, run, kinds) in CONTROLLERS {
            let concerned = kinds.iter().any(|k| changed.contains(&k.qualified()));
            if concerned || self.kube.wakes.get(name).is_some_and(|at| *at <= self.now) || self.now_changed(kinds) {
                self.kube.wakes.remove(name);
                self.controller = name;
                run(self);
            }
        }
    }

    /// Reports whether an earlier controller of this pass has changed one of these kinds.
    fn now_changed(&self, kinds: &[&'static Kind]) -> bool {
        kinds.iter().any(|k| self.kube.changed.contains(&k.qualified()))
    }

    /// Draws how long something takes.
    pub(super) fn draw(&mut self, what: &str, span: impl FnOnce(&WorkloadTimings) -> Span) -> Ms {
        let span = span(&self.world.timings.workloads);
        self.world.draw_ms(&format!("k8s/{what}/{}/{}", self.region, self.cluster), span)
    }

    /// Draws the random end of a generated name.
    pub(super) fn suffix(&mut self) -> String {
        self.world.draw_hex(&format!("k8s/name/{}/{}", self.region, self.cluster), 5)
    }

    /// Asks for another run of the controller at an instant.
    pub(super) fn wake_at(&mut self, at: Ms) {
        let known = self.kube.wakes.entry(self.controller.to_owned()).or_insert(at);
        *known = at.min(*known);
    }

    /// The instant as the API writes it.
    pub(super) fn stamp(&self) -> String {
        rfc3339(self.now)
    }

    /// Makes an object, with the metadata that the API server gives it; returns its key.
    pub(super) fn create(&mut self, kind: &'static Kind, mut object: Value) -> String {
        super::fill_in(kind, &mut object);
        stamp_new(self.world, kind, &mut object, self.now);
        let key = key_of(&object);
        self.kube.keep(kind, object);
        key
    }
}

/// Gives a new object its identity.
pub(crate) fn stamp_new(world: &mut World, kind: &Kind, object: &mut Value, now: Ms) {
    put(object, &["apiVersion"], kind.api_version().into());
    put(object, &["kind"], kind.kind.into());
    let uid = world.draw_uuid("k8s/uid");
    put(object, &["metadata", "uid"], uid.as_str().into());
    if kind == JOBS {
        // A job selects the pods that carry its own identity.
        let owner = json!({ "batch.kubernetes.io/controller-uid": uid });
        put(object, &["spec", "selector", "matchLabels"], owner);
        put(object, &["spec", "template", "metadata", "labels", "batch.kubernetes.io/controller-uid"], uid.into());
    }
    put(object, &["metadata", "creationTimestamp"], rfc3339(now).into());
    if kind.namespaced {
        default(object, &["metadata", "namespace"], "default".into());
    }
}

/// An owner reference to an object.
pub(super) fn owner(kind: &Kind, object: &Value) -> Value {
    json!([{
        "apiVersion": kind.api_version(), "kind": kind.kind, "name": object["metadata"]["name"], "uid": object["metadata"]["uid"],
        "controller": true, "blockOwnerDeletion": true,
    }])
}

/// Reports whether a cluster's nodes are not as many as its node groups have instances.
fn lacks_nodes(cluster: &Cluster) -> bool {
    let instances: i64 = cluster.nodegroups.values().map(|g| g.nodes.max(0)).sum();
    instances != cluster.kube.count(NODES) as i64
}

impl World {
    /// Lets the controllers of each cluster work that have something to do.
    pub(in crate::world) fn workloads_become_due(&mut self) {
        let now = self.now;
        let due: Vec<(String, String)> = self
            .regions
            .iter()
            .flat_map(|(region, r)| r.clusters.values().map(move |c| (region, c)))
            .filter(|(_, c)| c.kube.has_work(now) || lacks_nodes(c))
            .map(|(region, c)| (region.clone(), c.name.clone()))
            .collect();
        for (region, cluster) in due {
            self.run_controllers(&region, &cluster, now);
        }
    }

    /// Runs the controllers of a cluster once, as if at `now`.
    pub(super) fn run_controllers(&mut self, region: &str, cluster: &str, now: Ms) {
        let Some(found) = self.region_mut(region).clusters.get_mut(cluster) else {
            return;
        };
        if lacks_nodes(found) {
            found.kube.wakes.insert("nodes".to_owned(), Ms::MIN);
        }
        let mut kube = std::mem::take(&mut found.kube);
        Tick { world: self, kube: &mut kube, region, cluster, now, controller: "" }.run();
        if let Some(found) = self.region_mut(region).clusters.get_mut(cluster) {
            found.kube = kube;
        }
    }

    /// Lets the controllers of every cluster look at everything again.
    pub(in crate::world) fn wake_clusters(&mut self) {
        self.regions.values_mut().flat_map(|r| r.clusters.values_mut()).for_each(|c| c.kube.wake_up());
    }
}
