//! Velero: backups that every cluster sees, restores that bring back what is missing.

use kube::api::{Api, DynamicObject, ListParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use crate::support::*;

fn api(served: &Served, place: (&str, &str), kind: &str) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("velero.io", "v1", kind));
    Api::namespaced_with(served.client(place), "velero", &resource)
}

fn object(kind: &str, name: &str, spec: Value) -> DynamicObject {
    serde_json::from_value(json!({ "apiVersion": "velero.io/v1", "kind": kind, "metadata": { "name": name }, "spec": spec })).unwrap()
}

#[tokio::test]
async fn the_workloads_come_back_in_the_other_region() {
    let served = Served::begin(&[]).await;
    let backups = api(&served, STANDBY, "Backup");
    let known = backups.list(&ListParams::default().labels("velero.io/schedule-name=production-backup")).await.unwrap();
    let phases: Vec<&str> = known.items.iter().filter_map(|b| b.data["status"]["phase"].as_str()).collect();
    assert_eq!(phases, ["Completed"; 3], "the bucket is seen in the standby region too");
    let restores = api(&served, STANDBY, "Restore");
    let spec = json!({ "backupName": "production-backup-20260314020000" });
    restores.create(&PostParams::default(), &object("Restore", "dr", spec.clone())).await.unwrap();
    pass(&served.sim, 300).await;
    let waiting = restores.get("dr").await.unwrap();
    assert!(waiting.data["status"]["phase"].is_null(), "without a node Velero does not run: {waiting:?}");
    scale_nodes(&served.sim, STANDBY, 6).await;
    let path = format!("{RESTORES}/dr");
    let done = until(&served.sim, STANDBY, &path, |r| r["status"]["phase"] == "Completed").await;
    assert_eq!(done["status"]["progress"]["itemsRestored"], done["status"]["progress"]["totalItems"]);
    until(&served.sim, STANDBY, DEPLOYMENT, has_rolled_out).await;
    let secret = get(&served.sim, STANDBY, SECRET).await;
    assert_eq!(secret["metadata"]["labels"]["velero.io/restore-name"], "dr");
    // A second restore leaves what is there alone, and warns of what differs.
    let patch = json!({ "data": { "host": "YQ==" } });
    assert_eq!(ask(&served.sim, STANDBY, "PATCH", SECRET, MERGE, &patch).await.0, 200);
    restores.create(&PostParams::default(), &object("Restore", "again", spec)).await.unwrap();
    let again = until(&served.sim, STANDBY, &format!("{RESTORES}/again"), |r| r["status"]["phase"] == "Completed").await;
    assert_eq!(again["status"]["warnings"], 1, "{again}");
    assert_eq!(get(&served.sim, STANDBY, SECRET).await["data"]["host"], "YQ==");
}

#[tokio::test]
async fn a_fresh_backup_holds_the_namespace_as_it_is() {
    let served = Served::begin(&[]).await;
    let patch = json!({ "data": { "LOG_LEVEL": "trace" } });
    let map = "/api/v1/namespaces/production/configmaps/web-app-config";
    assert_eq!(ask(&served.sim, PRIMARY, "PATCH", map, MERGE, &patch).await.0, 200);
    let spec = json!({ "includedNamespaces": ["production"], "storageLocation": "aws-s3" });
    api(&served, PRIMARY, "Backup").create(&PostParams::default(), &object("Backup", "fresh", spec)).await.unwrap();
    let path = "/apis/velero.io/v1/namespaces/velero/backups/fresh";
    let done = until(&served.sim, PRIMARY, path, |b| b["status"]["phase"] == "Completed").await;
    assert!(done["status"]["completionTimestamp"].as_str() > done["status"]["startTimestamp"].as_str(), "{done}");
    scale_nodes(&served.sim, STANDBY, 3).await;
    pass(&served.sim, 10).await;
    api(&served, STANDBY, "Restore")
        .create(&PostParams::default(), &object("Restore", "dr", json!({ "backupName": "fresh" })))
        .await
        .unwrap();
    until(&served.sim, STANDBY, &format!("{RESTORES}/dr"), |r| r["status"]["phase"] == "Completed").await;
    assert_eq!(get(&served.sim, STANDBY, map).await["data"]["LOG_LEVEL"], "trace");
}

#[tokio::test]
async fn what_cannot_be_restored_fails_validation() {
    let served = Served::begin(&[]).await;
    let restores = api(&served, PRIMARY, "Restore");
    restores.create(&PostParams::default(), &object("Restore", "wrong", json!({ "backupName": "nothing" }))).await.unwrap();
    let failed = until(&served.sim, PRIMARY, &format!("{RESTORES}/wrong"), |r| r["status"]["phase"] == "FailedValidation").await;
    assert_eq!(failed["status"]["validationErrors"][0], "Error retrieving backup: backups.velero.io \"nothing\" not found");
}
