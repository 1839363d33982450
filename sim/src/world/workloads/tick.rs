//! One pass of the controllers over a cluster, and what they all need for it.

use serde_json::{Value, json};

use super::kinds::{Kind, NODES};
use super::value::{default, put};
use super::{Kube, key_of, rfc3339};
use super::{autoscaler, ingress, jobs, nodes, pods, replicas, rollout, sets, velero};
use crate::def::{Span, WorkloadTimings};
use crate::world::{Ms, World};

/// A pass over one cluster at one instant.
pub(super) struct Tick<'a> {
    pub(super) world: &'a mut World,
    pub(super) kube: &'a mut Kube,
    pub(super) region: &'a str,
    pub(super) cluster: &'a str,
    pub(super) now: Ms,
}

impl Tick<'_> {
    /// Runs every controller once, in the order in which one's work is another's cause.
    fn run(&mut self) {
        self.kube.wake = Ms::MAX;
        nodes::run(self);
        velero::run(self);
        jobs::schedule(self);
        autoscaler::run(self);
        rollout::run(self);
        sets::run(self);
        jobs::run(self);
        replicas::run(self);
        pods::run(self);
        ingress::run(self);
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

    /// Asks for another pass at an instant.
    pub(super) fn wake_at(&mut self, at: Ms) {
        self.kube.wake = self.kube.wake.min(at);
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
        self.kube.keep(kind, object, self.now);
        key
    }
}

/// Gives a new object its identity.
pub(crate) fn stamp_new(world: &mut World, kind: &Kind, object: &mut Value, now: Ms) {
    put(object, &["apiVersion"], kind.api_version().into());
    put(object, &["kind"], kind.kind.into());
    let uid = world.draw_uuid("k8s/uid");
    put(object, &["metadata", "uid"], uid.into());
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

impl World {
    /// Lets the controllers of each cluster work that have something to do.
    pub(in crate::world) fn workloads_become_due(&mut self) {
        let now = self.now;
        let due: Vec<(String, String)> = self
            .regions
            .iter()
            .flat_map(|(region, r)| r.clusters.values().map(move |c| (region, c)))
            .filter(|(_, c)| {
                now >= c.kube.wake || c.nodegroups.values().map(|g| g.nodes.max(0) as usize).sum::<usize>() != c.kube.count(NODES)
            })
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
        let mut kube = std::mem::take(&mut found.kube);
        Tick { world: self, kube: &mut kube, region, cluster, now }.run();
        if let Some(found) = self.region_mut(region).clusters.get_mut(cluster) {
            found.kube = kube;
        }
    }

    /// Lets the controllers of every cluster look at everything again.
    pub(in crate::world) fn wake_clusters(&mut self) {
        self.regions.values_mut().flat_map(|r| r.clusters.values_mut()).for_each(|c| c.kube.wake_up());
    }
}
