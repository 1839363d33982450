//! Plays what is missing around an API server: the kubelet, the controllers of workloads and Jobs, an ingress controller and Velero. Each does
//! nothing but to write the `status` that the real one would come to when all goes well.

use serde_json::{Value, json};

use crate::asks::Asks;

const WORKLOADS: [&str; 3] = ["deployments", "statefulsets", "daemonsets"];

/// Does what is to be done in a namespace, and to the nodes, and reports whether there was anything.
pub async fn pass(asks: &Asks, namespace: &str) -> bool {
    let mut busy = false;
    for resource in WORKLOADS {
        let base = format!("/apis/apps/v1/namespaces/{namespace}/{resource}");
        busy |= each(asks, &base, "/status", |object| workload(resource, object)).await;
    }
    busy |= each(asks, &format!("/apis/batch/v1/namespaces/{namespace}/jobs"), "/status", job).await;
    busy |= each(asks, &format!("/api/v1/namespaces/{namespace}/pods"), "/status", pod).await;
    busy |= each(asks, &format!("/apis/networking.k8s.io/v1/namespaces/{namespace}/ingresses"), "/status", ingress).await;
    busy |= each(asks, "/api/v1/nodes", "/status", node).await;
    for resource in ["backups", "restores"] {
        busy |= each(asks, &format!("/apis/velero.io/v1/namespaces/{namespace}/{resource}"), "", velero).await;
    }
    busy
}

/// Writes the status of each object of a list that needs one. An object that went or changed meanwhile is seen again in the next pass.
async fn each(asks: &Asks, base: &str, sub: &str, status: impl Fn(&Value) -> Option<Value>) -> bool {
    let mut busy = false;
    for object in asks.get(base).await["items"].as_array().unwrap() {
        if let Some(status) = status(object) {
            busy = true;
            let path = format!("{base}/{}{sub}", object["metadata"]["name"].as_str().unwrap());
            let version = &object["metadata"]["resourceVersion"];
            let patch = json!({ "metadata": { "resourceVersion": version }, "status": status });
            let (code, said) = asks.send("PATCH", &path, "application/merge-patch+json", patch.to_string().as_bytes()).await;
            assert!(code < 300 || code == 404 || code == 409, "{path}: {code} {said}");
        }
    }
    busy
}

fn workload(resource: &str, object: &Value) -> Option<Value> {
    let (generation, status) = (&object["metadata"]["generation"], &object["status"]);
    if &status["observedGeneration"] == generation {
        return None;
    }
    let replicas = &object["spec"]["replicas"];
    Some(match resource {
        "daemonsets" => json!({
            "observedGeneration": generation, "desiredNumberScheduled": 2, "currentNumberScheduled": 2, "updatedNumberScheduled": 2,
            "numberAvailable": 2, "numberReady": 2, "numberMisscheduled": 0,
        }),
        "statefulsets" => json!({
            "observedGeneration": generation, "replicas": replicas, "readyReplicas": replicas, "updatedReplicas": replicas,
            "currentReplicas": replicas, "currentRevision": format!("r{generation}"), "updateRevision": format!("r{generation}"),
        }),
        _ => json!({
            "observedGeneration": generation, "replicas": replicas, "readyReplicas": replicas, "updatedReplicas": replicas,
            "availableReplicas": replicas,
        }),
    })
}

fn job(object: &Value) -> Option<Value> {
    let name = object["metadata"]["name"].as_str().unwrap();
    let (kind, succeeded) = if name.starts_with("failing") { ("Failed", 0) } else { ("Complete", 1) };
    let done = json!([{ "type": kind, "status": "True", "message": "as the test says" }]);
    object["status"]["conditions"].is_null().then(|| json!({ "succeeded": succeeded, "failed": 1 - succeeded, "conditions": done }))
}

/// Marks a pod ready, whose name does not say otherwise.
fn pod(object: &Value) -> Option<Value> {
    let name = object["metadata"]["name"].as_str().unwrap();
    let condition = match name.starts_with("stuck") {
        true => json!([{ "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/2 nodes are available" }]),
        false => json!([{ "type": "Ready", "status": "True" }]),
    };
    object["status"]["conditions"].is_null().then(|| json!({ "conditions": condition }))
}

fn ingress(object: &Value) -> Option<Value> {
    let address = json!({ "loadBalancer": { "ingress": [{ "hostname": "k8s-web.us-west-2.elb.amazonaws.com" }] } });
    object["status"]["loadBalancer"]["ingress"].is_null().then_some(address)
}

fn node(object: &Value) -> Option<Value> {
    let ready = json!({ "conditions": [{ "type": "Ready", "status": "True", "reason": "KubeletReady", "message": "as the test says" }] });
    object["status"]["conditions"].is_null().then_some(ready)
}

fn velero(object: &Value) -> Option<Value> {
    let done = json!({ "phase": "Completed", "warnings": 1, "progress": { "totalItems": 7, "itemsRestored": 7, "itemsBackedUp": 7 } });
    object["status"]["phase"].is_null().then_some(done)
}

/// Makes Velero's types known, with the fields that Velero documents and the kinds use; what is not in a schema, the API server drops.
pub async fn install_velero(asks: &Asks) {
    let text = || json!({ "type": "string" });
    let texts = || json!({ "type": "array", "items": { "type": "string" } });
    let phases = |phases: &[&str]| json!({ "type": "string", "enum": phases });
    let progress = json!({ "type": "object", "properties": {
        "totalItems": { "type": "integer" }, "itemsBackedUp": { "type": "integer" }, "itemsRestored": { "type": "integer" },
    } });
    let counted = |phases: Value| {
        json!({ "type": "object", "properties": {
            "phase": phases, "progress": progress, "warnings": { "type": "integer" }, "errors": { "type": "integer" },
            "validationErrors": texts(), "failureReason": text(), "startTimestamp": { "type": "string", "format": "date-time", "nullable": true },
        } })
    };
    let backup = json!({ "type": "object", "properties": {
        "includedNamespaces": texts(), "excludedNamespaces": texts(), "includedResources": texts(), "excludedResources": texts(),
        "ttl": text(), "storageLocation": text(), "snapshotVolumes": { "type": "boolean", "nullable": true },
    } });
    let restore = json!({ "type": "object", "properties": {
        "backupName": text(), "scheduleName": text(), "includedNamespaces": texts(), "excludedResources": texts(),
    } });
    let schedule =
        json!({ "type": "object", "required": ["schedule", "template"], "properties": { "schedule": text(), "template": backup } });
    let location = json!({ "type": "object", "required": ["provider"], "properties": { "provider": text() } });
    let going = ["New", "FailedValidation", "InProgress", "Completed", "PartiallyFailed", "Failed"];
    let backing_up = [&going[..], &["Uploading", "Deleting"]].concat();
    for (kind, plural, spec, status) in [
        ("Backup", "backups", backup.clone(), counted(phases(&backing_up))),
        ("Restore", "restores", restore, counted(phases(&going))),
        ("Schedule", "schedules", schedule, json!({ "type": "object", "properties": { "phase": text() } })),
        ("BackupStorageLocation", "backupstoragelocations", location, json!({ "type": "object", "properties": { "phase": text() } })),
    ] {
        let schema = json!({ "openAPIV3Schema": { "type": "object", "properties": { "spec": spec, "status": status } } });
        let crd = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": { "name": format!("{plural}.velero.io") },
            "spec": {
                "group": "velero.io", "scope": "Namespaced",
                "names": { "kind": kind, "listKind": format!("{kind}List"), "plural": plural, "singular": kind.to_lowercase() },
                "versions": [{ "name": "v1", "served": true, "storage": true, "schema": schema }],
            },
        });
        let (code, said) = asks
            .send("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", "application/json", crd.to_string().as_bytes())
            .await;
        // Another test of this process may have been first.
        assert!(code < 300 || code == 409, "{kind}: {code} {said}");
        while asks.send("GET", &format!("/apis/velero.io/v1/{plural}"), "application/json", b"").await.0 != 200 {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
}
