//! Objects: patches, conflicts, selectors, server-side apply, tables, and the form of every refusal.

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{Api, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::support::*;

#[tokio::test]
async fn a_secret_is_patched_in_every_way() {
    let served = Served::begin(&[]).await;
    let secrets: Api<Secret> = Api::namespaced(served.client(PRIMARY), "production");
    let host = |s: &Secret| String::from_utf8(s.data.clone().unwrap()["host"].0.clone()).unwrap();
    assert!(host(&secrets.get("db-credentials").await.unwrap()).starts_with("prod-db-primary."));
    let params = PatchParams::default();
    let merged = secrets.patch("db-credentials", &params, &Patch::Merge(json!({ "data": { "host": "YQ==" } }))).await.unwrap();
    assert_eq!(host(&merged), "a");
    let merged = secrets.patch("db-credentials", &params, &Patch::Strategic(json!({ "stringData": { "host": "b" } }))).await.unwrap();
    assert_eq!(host(&merged), "b");
    assert_eq!(merged.data.unwrap().len(), 3, "the other keys stay");
    let operations = json!([{ "op": "replace", "path": "/data/host", "value": "Yw==" }]);
    assert_eq!(ask(&served.sim, PRIMARY, "PATCH", SECRET, "application/json-patch+json", &operations).await.0, 200);
    assert_eq!(host(&secrets.get("db-credentials").await.unwrap()), "c");
    let log = serde_json::to_string(&served.sim.calls()).unwrap();
    assert!(log.contains("patch:secrets") && !log.contains("YQ==") && !log.contains("Yw=="), "the log shows no values: {log}");
}

#[tokio::test]
async fn a_stale_version_is_a_conflict_and_a_dry_run_changes_nothing() {
    let served = Served::begin(&[]).await;
    let maps: Api<ConfigMap> = Api::namespaced(served.client(PRIMARY), "production");
    let stale = maps.get("web-app-config").await.unwrap();
    let dry = PatchParams { dry_run: true, ..PatchParams::default() };
    let patch = Patch::Merge(json!({ "data": { "LOG_LEVEL": "debug" } }));
    assert_eq!(maps.patch("web-app-config", &dry, &patch).await.unwrap().data.unwrap()["LOG_LEVEL"], "debug");
    assert_eq!(maps.get("web-app-config").await.unwrap(), stale);
    maps.patch("web-app-config", &PatchParams::default(), &patch).await.unwrap();
    let kube::Error::Api(refused) = maps.replace("web-app-config", &PostParams::default(), &stale).await.unwrap_err() else {
        panic!("not an answer of the API")
    };
    assert_eq!((refused.code, refused.reason.as_str()), (409, "Conflict"));
    assert_eq!(
        refused.message,
        "Operation cannot be fulfilled on configmaps \"web-app-config\": the object has been modified; please apply your changes to the \
         latest version and try again"
    );
}

#[tokio::test]
async fn server_side_apply_knows_who_holds_a_field() {
    let served = Served::begin(&[]).await;
    let maps: Api<ConfigMap> = Api::namespaced(served.client(PRIMARY), "production");
    let map = |level: &str| {
        Patch::Apply(
            json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "fresh" }, "data": { "LEVEL": level, "A": "1" } }),
        )
    };
    maps.patch("fresh", &PatchParams::apply("one"), &map("info")).await.unwrap();
    maps.patch("fresh", &PatchParams::apply("two"), &map("info")).await.unwrap();
    let refused = maps.patch("fresh", &PatchParams::apply("two"), &map("debug")).await.unwrap_err();
    assert!(refused.to_string().contains("conflict with \"one\": .data.LEVEL"), "{refused}");
    let forced = maps.patch("fresh", &PatchParams::apply("two").force(), &map("debug")).await.unwrap();
    assert_eq!(forced.data.unwrap()["LEVEL"], "debug");
    let less = Patch::Apply(json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "fresh" }, "data": { "A": "1" } }));
    let left = maps.patch("fresh", &PatchParams::apply("two"), &less).await.unwrap();
    let was = left.clone();
    assert_eq!(left.data.unwrap().keys().collect::<Vec<_>>(), ["A"], "a field that its manager no longer wants goes");

    // Who replaces an object becomes the manager of what differs, until the fields are given back by name.
    let mut other = was.clone();
    other.data = Some([("A".to_owned(), "2".to_owned())].into());
    other.metadata.resource_version = None;
    let params = PostParams { field_manager: Some("three".to_owned()), ..PostParams::default() };
    maps.replace("fresh", &params, &other).await.unwrap();
    let refused = maps.patch("fresh", &PatchParams::apply("two"), &less).await.unwrap_err();
    assert!(refused.to_string().contains("conflict with \"three\" using v1: .data.A"), "{refused}");
    let given = ConfigMap { metadata: ObjectMeta { resource_version: None, ..was.metadata }, ..was };
    for _ in 0..2 {
        maps.replace("fresh", &params, &given).await.unwrap();
    }
    maps.patch("fresh", &PatchParams::apply("two"), &less).await.unwrap();
}

#[tokio::test]
async fn lists_come_in_pages_and_by_selector() {
    let served = Served::begin(&[]).await;
    let secrets: Api<Secret> = Api::all(served.client(PRIMARY));
    let named = secrets.list(&ListParams::default().fields("metadata.name=db-credentials")).await.unwrap();
    assert_eq!(named.items.len(), 1);
    let (_, first) = ask(&served.sim, PRIMARY, "GET", "/api/v1/pods?limit=4", JSON, &Value::Null).await;
    assert_eq!(first["items"].as_array().unwrap().len(), 4);
    let rest = format!("/api/v1/pods?limit=500&continue={}", first["metadata"]["continue"].as_str().unwrap());
    let (_, rest) = ask(&served.sim, PRIMARY, "GET", &rest, JSON, &Value::Null).await;
    assert_eq!(rest["items"].as_array().unwrap().len() as i64, first["metadata"]["remainingItemCount"].as_i64().unwrap());
    assert!(rest["items"][0].get("kind").is_none(), "elements of built-in lists do not say their kind");
}

#[tokio::test(start_paused = true)]
async fn refusals_have_the_form_of_kubernetes() {
    let sim = open(&[]);
    let restore = json!({ "apiVersion": "velero.io/v1", "kind": "Restore", "metadata": { "name": "Up" }, "spec": {} });
    for (method, path, kind, body, code, reason, part) in [
        ("GET", "/api/v1/namespaces/production/secrets/nope", JSON, json!(null), 404, "NotFound", "secrets \"nope\" not found"),
        ("GET", "/apis/apps/v1/widgets", JSON, json!(null), 404, "NotFound", "could not find the requested resource"),
        ("DELETE", "/version/x/y", JSON, json!(null), 404, "NotFound", "could not find"),
        ("POST", DEPLOYMENT, JSON, json!({}), 405, "MethodNotAllowed", "does not allow this method"),
        ("PATCH", SECRET, MERGE, json!({ "data": { "host": "not base64!" } }), 400, "BadRequest", "illegal base64 data"),
        ("PATCH", SECRET, "text/plain", json!({}), 415, "UnsupportedMediaType", "unknown format"),
        ("POST", RESTORES, JSON, restore.clone(), 422, "Invalid", "Restore.velero.io \"Up\" is invalid: metadata.name"),
        (
            "POST",
            "/apis/velero.io/v1/namespaces/nowhere/restores",
            JSON,
            json!({ "apiVersion": "velero.io/v1", "kind": "Restore", "metadata": { "name": "a" }, "spec": {} }),
            404,
            "NotFound",
            "namespaces \"nowhere\" not found",
        ),
        (
            "PATCH",
            "/apis/velero.io/v1/namespaces/velero/schedules/production-backup",
            STRATEGIC,
            json!({}),
            415,
            "UnsupportedMediaType",
            "merge-patch",
        ),
        (
            "PATCH",
            DEPLOYMENT,
            MERGE,
            json!({ "spec": { "selector": { "matchLabels": { "app": "x" } } } }),
            422,
            "Invalid",
            "does not match template",
        ),
        (
            "PUT",
            "/apis/velero.io/v1/namespaces/velero/schedules/production-backup",
            JSON,
            json!({ "apiVersion": "velero.io/v1", "kind": "Schedule", "metadata": { "name": "production-backup" }, "spec": {} }),
            422,
            "Invalid",
            "schedules.velero.io \"production-backup\" is invalid: metadata.resourceVersion: Invalid value: 0x0: must be specified for an update",
        ),
        ("PATCH", DEPLOYMENT, APPLY, json!({}), 422, "Invalid", "fieldManager"),
        ("POST", RESTORES, "application/vnd.kubernetes.protobuf", json!({}), 415, "UnsupportedMediaType", "application/json"),
    ] {
        let (status, answer) = ask(&sim, PRIMARY, method, path, kind, &body).await;
        assert_eq!(status, code, "{method} {path}: {answer}");
        assert_eq!((answer["kind"].as_str(), answer["reason"].as_str()), (Some("Status"), Some(reason)), "{answer}");
        assert!(answer["message"].as_str().unwrap().contains(part), "{answer}");
        assert_eq!(answer["code"], code);
    }
}

#[tokio::test(start_paused = true)]
async fn kubectls_tables_and_discovery_are_there() {
    let sim = open(&[]);
    let table = |path: &str| {
        let uri = format!("http://127.0.0.1/k8s/us-east-1/production-primary{path}");
        http::Request::get(uri).header("accept", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json").body(Vec::new()).unwrap()
    };
    let answer: Value = serde_json::from_slice(sim.handle(table(DEPLOYMENT)).await.unwrap().body()).unwrap();
    assert_eq!(answer["kind"], "Table");
    assert_eq!(
        answer["rows"][0]["cells"],
        json!(["web-app", "6/6", "6", "6", "26h", "123456789012.dkr.ecr.us-east-1.amazonaws.com/production-app:v1.0.0"])
    );
    let groups = get(&sim, PRIMARY, "/apis").await;
    let groups: Vec<&str> = groups["groups"].as_array().unwrap().iter().filter_map(|g| g["name"].as_str()).collect();
    assert_eq!(groups, ["apps", "batch", "networking.k8s.io", "autoscaling", "velero.io", "authorization.k8s.io"]);
    let apps = get(&sim, PRIMARY, "/apis/apps/v1").await;
    assert!(apps["resources"].as_array().unwrap().iter().any(|r| r["name"] == "deployments/scale" && r["group"] == "autoscaling"));
    assert_eq!(get(&sim, PRIMARY, "/version").await["gitVersion"], "v1.28.15-eks-5e0fdde");
    assert_eq!(get(&sim, PRIMARY, "/readyz").await, "ok");
    assert_eq!(get(&sim, PRIMARY, "/apis/velero.io/v1").await["groupVersion"], "velero.io/v1");
}
