//! The clusters of a new world: their objects, and the time that let these get going.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::defaults::encode;
use super::kinds::{
    AUTOSCALERS, CLAIMS, CONFIG_MAPS, CRON_JOBS, DAEMON_SETS, DEPLOYMENTS, INGRESSES, Kind, LOCATIONS, NAMESPACES, SCHEDULES, SECRETS,
    SERVICES, STATEFUL_SETS,
};
use super::tick::Tick;
use super::value::put;
use super::{key, rfc3339, schedule, velero};
use crate::def::{NamespaceDef, VeleroDef, WorkloadDef, WorldDef};
use crate::world::{Ms, World};

/// How long before the world begins its clusters got going, and for how long that is simulated.
const BEFORE: Ms = 26 * 3_600_000;
const GETTING_GOING: Ms = 15 * 60_000;
/// How far back a schedule's backups may lie, in minutes.
const BACKUPS_WITHIN: i64 = 40 * 24 * 60;

/// One object to make.
type Made = (&'static Kind, Value);

impl World {
    /// Fills the clusters with what the world file says runs in them.
    pub(in crate::world) fn seed_workloads(&mut self, def: &WorldDef) {
        let clusters = || def.regions.iter().flat_map(|(region, r)| r.clusters.iter().map(move |c| (region.as_str(), c)));
        let begin = self.started - BEFORE;
        for (region, cluster) in clusters() {
            let mut objects = Vec::new();
            for space in ["default", "kube-system"] {
                objects.push((NAMESPACES, named("", space, json!({}))));
            }
            for (space, def) in &cluster.workloads.namespaces {
                objects.push((NAMESPACES, named("", space, json!({}))));
                self.namespace_objects(space, def, &mut objects);
            }
            if let Some(def) = &cluster.workloads.velero {
                velero_objects(def, &mut objects);
            }
            self.with_cluster(region, &cluster.name, begin, |tick| objects.into_iter().for_each(|(kind, o)| drop(tick.create(kind, o))));
        }
        for second in 0..GETTING_GOING / 1000 {
            for (region, cluster) in clusters() {
                let now = begin + second * 1000;
                if self.region(region).and_then(|r| r.clusters.get(&cluster.name)).is_some_and(|c| c.kube.has_work(now) || second == 0) {
                    self.run_controllers(region, &cluster.name, now);
                }
            }
        }
        for (region, cluster) in clusters() {
            for schedule in cluster.workloads.velero.iter().flat_map(|v| &v.schedules) {
                self.seed_backups(region, &cluster.name, &schedule.name, schedule.taken);
            }
        }
        for (region, cluster) in clusters() {
            self.run_controllers(region, &cluster.name, self.started);
        }
    }

    /// Works on a cluster as its controllers do.
    fn with_cluster(&mut self, region: &str, cluster: &str, now: Ms, work: impl FnOnce(&mut Tick)) {
        let Some(found) = self.region_mut(region).clusters.get_mut(cluster) else {
            return;
        };
        let mut kube = std::mem::take(&mut found.kube);
        work(&mut Tick { world: self, kube: &mut kube, region, cluster, now, controller: "pods" });
        if let Some(found) = self.region_mut(region).clusters.get_mut(cluster) {
            found.kube = kube;
        }
    }

    /// Begins to end a pod, as a client asked.
    pub(crate) fn terminate_pod(&mut self, region: &str, cluster: &str, key: &str) {
        let now = self.now;
        self.with_cluster(region, cluster, now, |tick| super::pods::terminate(tick, key));
    }

    /// Stores the latest backups that a schedule has taken before the world begins.
    fn seed_backups(&mut self, region: &str, cluster: &str, schedule: &str, taken: u32) {
        let Some(schedule) = self.region(region).and_then(|r| r.clusters.get(cluster)?.kube.get(SCHEDULES, velero::NAMESPACE, schedule))
        else {
            return;
        };
        let schedule = schedule.json.clone();
        let cron = schedule["spec"]["schedule"].as_str().unwrap_or_default().to_owned();
        let minute = self.started.div_euclid(60_000);
        let instants =
            (0..BACKUPS_WITHIN).map(|back| (minute - back) * 60_000).filter(|at| *at < self.started && schedule::is_due(&cron, *at));
        let instants: Vec<Ms> = instants.take(taken as usize).collect();
        for at in &instants {
            let took = self.draw_ms("k8s/seed-backup", self.timings.workloads.backup);
            self.with_cluster(region, cluster, at + took, |tick| {
                let mut backup = velero::scheduled_backup(&schedule, *at);
                put(&mut backup, &["apiVersion"], "velero.io/v1".into());
                put(&mut backup, &["kind"], "Backup".into());
                put(&mut backup, &["status"], velero::begun(*at));
                let items = velero::capture(tick, &backup["spec"]);
                velero::store(tick, backup, items);
            });
        }
        if let Some(latest) = instants.first() {
            let of = key(velero::NAMESPACE, super::value::name(&schedule));
            let latest = *latest;
            self.with_cluster(region, cluster, latest, |tick| {
                tick.kube.change(SCHEDULES, &of, |s| put(s, &["status", "lastBackup"], rfc3339(latest).into()));
            });
        }
    }

    /// Replaces `{endpoint REGION/DATABASE}` by the host name of a database.
    fn expand(&self, text: &str) -> String {
        let database = text.strip_prefix("{endpoint ").and_then(|rest| rest.strip_suffix('}')).and_then(|d| d.split_once('/'));
        database.map_or_else(|| text.to_owned(), |(region, id)| self.endpoint(region, id))
    }

    fn namespace_objects(&self, space: &str, def: &NamespaceDef, objects: &mut Vec<Made>) {
        for (name, data) in &def.secrets {
            let data: BTreeMap<_, _> = data.iter().map(|(field, value)| (field, encode(&self.expand(value)))).collect();
            objects.push((SECRETS, named(space, name, json!({ "data": data }))));
        }
        objects.extend(def.config_maps.iter().map(|(name, data)| (CONFIG_MAPS, named(space, name, json!({ "data": data })))));
        for (name, size) in &def.claims {
            let spec =
                json!({ "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": size } }, "storageClassName": "gp3" });
            objects.push((CLAIMS, named(space, name, json!({ "spec": spec }))));
        }
        for (kind, workloads) in [(DEPLOYMENTS, &def.deployments), (STATEFUL_SETS, &def.stateful_sets), (DAEMON_SETS, &def.daemon_sets)] {
            objects.extend(workloads.iter().map(|w| (kind, workload(kind, space, w, def))));
        }
        for (name, service) in &def.services {
            let ports = json!([{ "port": service.port, "targetPort": service.target_port, "protocol": "TCP" }]);
            objects.push((SERVICES, named(space, name, json!({ "spec": { "selector": { "app": service.app }, "ports": ports } }))));
        }
        objects.extend(def.ingresses.iter().map(|i| (INGRESSES, ingress(space, &i.name, &i.host, &i.service))));
        for cron in &def.cron_jobs {
            let template = template(&cron.name, &cron.image, &cron.env, None, def, "Never");
            let spec = json!({ "schedule": cron.schedule, "jobTemplate": { "spec": { "template": template, "backoffLimit": 2 } } });
            objects.push((CRON_JOBS, named(space, &cron.name, json!({ "spec": spec }))));
        }
        for scaler in &def.autoscalers {
            let spec = json!({
                "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": scaler.deployment },
                "minReplicas": scaler.min, "maxReplicas": scaler.max,
                "metrics": [{ "type": "Resource", "resource": { "name": "cpu", "target": { "type": "Utilization", "averageUtilization": 70 } } }],
            });
            objects.push((AUTOSCALERS, named(space, &scaler.name, json!({ "spec": spec }))));
        }
    }
}

fn named(space: &str, name: &str, mut object: Value) -> Value {
    put(&mut object, &["metadata", "name"], name.into());
    if !space.is_empty() {
        put(&mut object, &["metadata", "namespace"], space.into());
    }
    object
}

fn workload(kind: &Kind, space: &str, def: &WorkloadDef, within: &NamespaceDef) -> Value {
    let template = template(&def.name, &def.image, &def.env, def.claim.as_deref(), within, "Always");
    let mut object = json!({
        "metadata": { "labels": { "app": def.name } },
        "spec": { "selector": { "matchLabels": { "app": def.name } }, "template": template },
    });
    if kind != DAEMON_SETS {
        put(&mut object, &["spec", "replicas"], def.replicas.into());
    }
    if kind == STATEFUL_SETS {
        put(&mut object, &["spec", "serviceName"], def.name.as_str().into());
    }
    named(space, &def.name, object)
}

fn template(app: &str, image: &str, env: &BTreeMap<String, String>, claim: Option<&str>, within: &NamespaceDef, restarts: &str) -> Value {
    let env: Vec<Value> = env.iter().map(|(name, value)| variable(name, value, within)).collect();
    let mut container = json!({ "name": app, "image": image });
    if !env.is_empty() {
        put(&mut container, &["env"], env.into());
    }
    let mut spec = Map::new();
    if let Some(claim) = claim {
        put(&mut container, &["volumeMounts"], json!([{ "name": "data", "mountPath": "/data" }]));
        spec.insert("volumes".to_owned(), json!([{ "name": "data", "persistentVolumeClaim": { "claimName": claim } }]));
    }
    spec.insert("containers".to_owned(), json!([container]));
    spec.insert("restartPolicy".to_owned(), json!(restarts));
    json!({ "metadata": { "labels": { "app": app } }, "spec": spec })
}

fn variable(name: &str, value: &str, within: &NamespaceDef) -> Value {
    match value.split_once('/').filter(|(secret, _)| within.secrets.contains_key(*secret)) {
        Some((secret, key)) => json!({ "name": name, "valueFrom": { "secretKeyRef": { "name": secret, "key": key } } }),
        None => json!({ "name": name, "value": value }),
    }
}

fn ingress(space: &str, name: &str, host: &str, service: &str) -> Value {
    let path = json!({ "path": "/", "pathType": "Prefix", "backend": { "service": { "name": service, "port": { "number": 80 } } } });
    let annotations = json!({
        "alb.ingress.kubernetes.io/scheme": "internet-facing", "alb.ingress.kubernetes.io/target-type": "ip",
        "alb.ingress.kubernetes.io/healthcheck-path": "/health",
    });
    let spec = json!({ "ingressClassName": "alb", "rules": [{ "host": host, "http": { "paths": [path] } }] });
    named(space, name, json!({ "metadata": { "annotations": annotations }, "spec": spec }))
}

fn velero_objects(def: &VeleroDef, objects: &mut Vec<Made>) {
    let space = velero::NAMESPACE;
    objects.push((NAMESPACES, named("", space, json!({}))));
    let labels = json!({ "deploy": "velero" });
    let container = json!({ "name": "velero", "image": "velero/velero:v1.14.1" });
    let spec = json!({
        "replicas": 1, "selector": { "matchLabels": labels },
        "template": { "metadata": { "labels": labels }, "spec": { "containers": [container] } },
    });
    objects.push((DEPLOYMENTS, named(space, "velero", json!({ "spec": spec }))));
    let spec = json!({ "provider": "aws", "default": true, "objectStorage": { "bucket": def.bucket } });
    let mut location = json!({ "spec": spec });
    if def.unavailable {
        location["status"] = json!({ "phase": velero::UNAVAILABLE, "message": "AccessDenied: Access Denied" });
    }
    objects.push((LOCATIONS, named(space, &def.location, location)));
    for schedule in &def.schedules {
        let template = json!({
            "includedNamespaces": schedule.namespaces, "storageLocation": def.location, "volumeSnapshotLocations": ["aws-ebs"],
            "ttl": "720h0m0s",
        });
        objects.push((SCHEDULES, named(space, &schedule.name, json!({ "spec": { "schedule": schedule.cron, "template": template } }))));
    }
}
