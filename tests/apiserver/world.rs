//! The world that a step changes: a namespace of its own with workloads, settings and Velero in it, made and read in raw JSON.

use serde_json::{Value, json};

use crate::asks::Asks;
use crate::controllers;

/// All that a step may change in a namespace.
const RESOURCES: [&str; 14] = [
    "/api/v1/namespaces/{ns}/configmaps",
    "/api/v1/namespaces/{ns}/pods",
    "/api/v1/namespaces/{ns}/secrets",
    "/api/v1/namespaces/{ns}/services",
    "/apis/apps/v1/namespaces/{ns}/daemonsets",
    "/apis/apps/v1/namespaces/{ns}/deployments",
    "/apis/apps/v1/namespaces/{ns}/statefulsets",
    "/apis/autoscaling/v2beta2/namespaces/{ns}/horizontalpodautoscalers",
    "/apis/batch/v1/namespaces/{ns}/jobs",
    "/apis/batch/v1beta1/namespaces/{ns}/cronjobs",
    "/apis/networking.k8s.io/v1/namespaces/{ns}/ingresses",
    "/apis/velero.io/v1/namespaces/{ns}/backups",
    "/apis/velero.io/v1/namespaces/{ns}/restores",
    "/apis/velero.io/v1/namespaces/{ns}/schedules",
];

/// Manifests for `K8sApply`: of objects that are not there, and of such as are.
pub const NEW: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata: { name: maintenance }
data: { message: "back in minutes" }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: page, labels: { app: page } }
spec:
  replicas: 2
  selector: { matchLabels: { app: page } }
  template:
    metadata: { labels: { app: page } }
    spec: { containers: [{ name: page, image: "page:1", ports: [{ containerPort: 80 }] }] }
---
apiVersion: velero.io/v1
kind: Schedule
metadata: { name: hourly }
spec: { schedule: "0 * * * *", template: { includedNamespaces: [production] } }
"#;
pub const OLD: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata: { name: web, labels: { by: wf } }
data: { REGION: "us-west-2", MODE: "dr" }
---
apiVersion: v1
kind: Service
metadata: { name: web }
spec: { selector: { app: web, region: west }, ports: [{ name: http, port: 80, protocol: TCP, targetPort: 8080 }] }
---
apiVersion: velero.io/v1
kind: Schedule
metadata: { name: nightly }
spec: { schedule: "0 5 * * *", template: { includedNamespaces: [production] } }
"#;

fn pod_spec(image: &str) -> Value {
    let container = |name: &str| json!({ "name": name, "image": image, "env": [{ "name": "MODE", "value": "active" }] });
    json!({ "containers": [container("web"), container("side")] })
}

fn workload(kind: &str, name: &str, more: &Value) -> Value {
    let labels = json!({ "app": name });
    let mut spec =
        json!({ "selector": { "matchLabels": labels }, "template": { "metadata": { "labels": labels }, "spec": pod_spec("web:1") } });
    for (field, value) in more.as_object().unwrap() {
        spec[field] = value.clone();
    }
    json!({ "apiVersion": "apps/v1", "kind": kind, "metadata": { "name": name, "labels": labels }, "spec": spec })
}

/// Makes a namespace with all that the kinds need.
pub async fn make(asks: &Asks, ns: &str) {
    asks.create("/api/v1/namespaces", json!({ "metadata": { "name": ns } })).await;
    let named = |name: &str| json!({ "name": name });
    let cron = |suspend: bool| {
        json!({ "schedule": "0 * * * *", "suspend": suspend, "jobTemplate": { "spec": { "template": { "spec": {
        "restartPolicy": "Never", "containers": [{ "name": "c", "image": "c" }] } } } } })
    };
    let backup =
        |phase: &str, at: &str| json!({ "spec": { "includedNamespaces": ["*"] }, "status": { "phase": phase, "startTimestamp": at } });
    let labelled = |name: &str| json!({ "name": name, "labels": { "velero.io/schedule-name": "nightly" } });
    let mut objects = vec![
        ("configmaps", json!({ "metadata": named("web"), "data": { "REGION": "us-east-1", "OTHER": "stays" } })),
        ("secrets", json!({ "metadata": named("db"), "stringData": { "host": "east.example", "password": "correct horse" } })),
        (
            "services",
            json!({ "metadata": named("web"), "spec": { "selector": { "app": "web" }, "ports": [{ "name": "http", "port": 80, "targetPort": 8080 }] } }),
        ),
        ("deployments", workload("Deployment", "web", &json!({ "replicas": 3 }))),
        ("statefulsets", workload("StatefulSet", "db", &json!({ "replicas": 2, "serviceName": "db" }))),
        ("daemonsets", workload("DaemonSet", "log", &json!({}))),
        (
            "horizontalpodautoscalers",
            json!({ "metadata": named("web"), "spec": {
            "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "web" }, "minReplicas": 2, "maxReplicas": 4 } }),
        ),
        ("cronjobs", json!({ "metadata": named("report"), "spec": cron(false) })),
        ("cronjobs", json!({ "metadata": named("off"), "spec": cron(true) })),
        (
            "ingresses",
            json!({ "metadata": named("web"), "spec": { "defaultBackend": { "service": { "name": "web", "port": { "number": 80 } } } } }),
        ),
        (
            "schedules",
            json!({ "metadata": named("nightly"), "spec": { "schedule": "0 2 * * *", "template": { "includedNamespaces": ["production"], "ttl": "240h" } } }),
        ),
    ];
    for (name, phase, at) in [
        ("old", "Completed", "2026-03-11T02:00:00Z"),
        ("new", "Completed", "2026-03-12T02:00:00Z"),
        ("broken", "Failed", "2026-03-13T02:00:00Z"),
    ] {
        let mut object = backup(phase, at);
        object["metadata"] = labelled(name);
        objects.push(("backups", object));
    }
    for pod in 0..2 {
        objects
            .push(("pods", json!({ "metadata": { "name": format!("web-{pod}"), "labels": { "app": "web" } }, "spec": pod_spec("web:1") })));
    }
    for (resource, mut object) in objects {
        let path = RESOURCES.iter().find(|path| path.ends_with(&format!("/{resource}"))).unwrap().replace("{ns}", ns);
        if resource.ends_with("backups") || resource == "schedules" {
            object["apiVersion"] = json!("velero.io/v1");
            object["kind"] = json!(if resource == "backups" { "Backup" } else { "Schedule" });
        }
        asks.create(&path, object).await;
    }
}

/// Makes nodes, which belong to no namespace.
pub async fn make_nodes(asks: &Asks) {
    for name in ["general-1", "general-2"] {
        let node = json!({ "metadata": { "name": name, "labels": { "pool": "general" } } });
        let (code, said) = asks.send("POST", "/api/v1/nodes", "application/json", node.to_string().as_bytes()).await;
        assert!(code < 300 || code == 409, "{name}: {code} {said}");
    }
}

/// Waits until the controllers have nothing to do in a namespace, and returns all that is in it, as it is.
pub async fn at_rest(asks: &Asks, ns: &str) -> Value {
    while controllers::pass(asks, ns).await {}
    let mut world = serde_json::Map::new();
    for path in RESOURCES {
        let mut list = asks.get(&path.replace("{ns}", ns)).await;
        world.insert(path.rsplit('/').next().unwrap().to_owned(), list["items"].take());
    }
    world.into()
}

/// What a world is without what differs from one namespace and one run to the next: versions, times, who wrote which field, and the part of
/// names and marks that comes of the run.
pub fn plain(world: &Value) -> Value {
    match world {
        Value::Array(elements) => elements.iter().map(plain).collect(),
        Value::Object(fields) => {
            fields.iter().filter(|(name, _)| !VOLATILE.contains(&name.as_str())).map(|(n, v)| (n.clone(), plain(v))).collect()
        }
        Value::String(text) => Value::String(without_runs(text)),
        other => other.clone(),
    }
}

const VOLATILE: [&str; 18] = [
    "resourceVersion",
    "generation",
    "observedGeneration",
    "uid",
    "creationTimestamp",
    "managedFields",
    "namespace",
    "selfLink",
    "clusterIP",
    "clusterIPs",
    "kubectl.kubernetes.io/restartedAt",
    "wf.dr/run",
    "wf.dr/changed-by",
    "controller-uid",
    "currentRevision",
    "updateRevision",
    "job-name",
    "deprecated.daemonset.template.generation",
];

/// Puts `#` for what names a run.
fn without_runs(text: &str) -> String {
    let words: Vec<_> =
        text.split('-').map(|word| if word.len() >= 20 && word.chars().all(|c| c.is_ascii_alphanumeric()) { "#" } else { word }).collect();
    words.join("-")
}
