//! What the API server says about itself: version, health, groups, resources, and as much of OpenAPI as `kubectl apply` asks for.

use serde_json::{Map, Value, json};

use super::refused::Refused;
use super::{Body, Reply, access};
use crate::world::workloads::kinds::{KINDS, Kind};

const OPENAPI_V2: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// Answers what is no resource. `prefix` is what comes before the API's own paths.
pub(super) fn answer(parts: &[String], cluster_version: &str, prefix: &str) -> Result<Reply, Refused> {
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let value = match parts.as_slice() {
        ["version"] => version(cluster_version),
        ["readyz" | "livez" | "healthz", ..] => return Ok(Reply::text("ok")),
        [] => json!({ "paths": ["/api", "/api/v1", "/apis", "/healthz", "/livez", "/openapi/v3", "/readyz", "/version"] }),
        ["api"] => json!({
            "kind": "APIVersions", "versions": ["v1"],
            "serverAddressByClientCIDRs": [{ "clientCIDR": "0.0.0.0/0", "serverAddress": "10.0.0.1:443" }],
        }),
        ["api", "v1"] => resources("", "v1")?,
        ["apis"] => {
            json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups().into_iter().map(|(g, v)| group(g, v)).collect::<Vec<_>>() })
        }
        ["apis", name] => {
            let (name, version) = groups().into_iter().find(|(g, _)| g == name).ok_or_else(Refused::no_such_path)?;
            let mut found = group(name, version);
            found["kind"] = "APIGroup".into();
            found["apiVersion"] = "v1".into();
            found
        }
        ["apis", "authorization.k8s.io", "v1"] => access::resources(),
        ["apis", name, version] => resources(name, version)?,
        // An empty document of OpenAPI 2, in protobuf: clients that look for it go on to version 3.
        ["openapi", "v2"] => return Ok(Reply { body: Body::Bytes(OPENAPI_V2, Vec::new()), ..Reply::text("") }),
        ["openapi", "v3"] => schemas(prefix),
        ["openapi", "v3", "api", "v1"] => schema("", "v1"),
        ["openapi", "v3", "apis", name, version] => schema(name, version),
        _ => return Err(Refused::no_such_path()),
    };
    Ok(Reply::json(value))
}

fn version(cluster: &str) -> Value {
    let minor = cluster.split('.').nth(1).unwrap_or_default();
    json!({
        "major": "1", "minor": format!("{minor}+"), "gitVersion": format!("v{cluster}.15-eks-5e0fdde"), "gitCommit": "simulated",
        "gitTreeState": "clean", "buildDate": "2024-10-30T00:00:00Z", "goVersion": "go1.22.8", "compiler": "gc", "platform": "linux/amd64",
    })
}

/// The named groups, with their versions.
fn groups() -> Vec<(&'static str, &'static str)> {
    let mut found: Vec<(&str, &str)> = Vec::new();
    for kind in KINDS.iter().filter(|k| !k.group.is_empty()) {
        if !found.contains(&(kind.group, kind.version)) {
            found.push((kind.group, kind.version));
        }
    }
    found.push(("authorization.k8s.io", "v1"));
    found
}

fn group(name: &str, version: &str) -> Value {
    let only = json!({ "groupVersion": format!("{name}/{version}"), "version": version });
    json!({ "name": name, "versions": [only], "preferredVersion": only })
}

fn within(group: &str, version: &str) -> Vec<&'static Kind> {
    KINDS.into_iter().filter(|k| k.group == group && k.version == version).collect()
}

fn resources(group: &str, version: &str) -> Result<Value, Refused> {
    const VERBS: [&str; 8] = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
    let kinds = within(group, version);
    let group_version = kinds.first().map(|k| k.api_version()).ok_or_else(Refused::no_such_path)?;
    let mut found = Vec::new();
    for kind in kinds {
        let entry = |name: String, of: &str, verbs: &[&str]| json!({ "name": name, "singularName": "", "namespaced": kind.namespaced, "kind": of, "verbs": verbs });
        let mut main = entry(kind.plural.to_owned(), kind.kind, &VERBS);
        main["singularName"] = kind.kind.to_lowercase().into();
        if !kind.short.is_empty() {
            main["shortNames"] = json!(kind.short);
        }
        if kind.group == "velero.io" {
            main["categories"] = json!(["velero"]);
        }
        found.push(main);
        if kind.status {
            found.push(entry(format!("{}/status", kind.plural), kind.kind, &["get", "patch", "update"]));
        }
        if kind.scale {
            let mut scale = entry(format!("{}/scale", kind.plural), "Scale", &["get", "patch", "update"]);
            scale["group"] = "autoscaling".into();
            scale["version"] = "v1".into();
            found.push(scale);
        }
        if kind.plural == "pods" {
            found.push(entry("pods/log".to_owned(), "Pod", &["get"]));
        }
    }
    Ok(json!({ "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": found }))
}

fn schemas(prefix: &str) -> Value {
    let all = groups().into_iter().map(|(g, v)| format!("apis/{g}/{v}")).chain(["api/v1".to_owned()]);
    let paths: Map<String, Value> = all.map(|p| (p.clone(), json!({ "serverRelativeURL": format!("{prefix}/openapi/v3/{p}") }))).collect();
    json!({ "paths": paths })
}

/// Says of each kind that a patch may ask the server to validate its fields, so that clients leave that to the server.
fn schema(group: &str, version: &str) -> Value {
    let parameter = json!({ "name": "fieldValidation", "in": "query", "schema": { "type": "string" } });
    let mut paths = Map::new();
    for kind in within(group, version) {
        let root = if group.is_empty() { "/api/v1".to_owned() } else { format!("/apis/{group}/{version}") };
        let space = if kind.namespaced { "/namespaces/{namespace}" } else { "" };
        let patch = json!({
            "parameters": [parameter], "responses": { "200": { "description": "OK" } },
            "x-kubernetes-group-version-kind": { "group": group, "version": version, "kind": kind.kind },
        });
        paths.insert(format!("{root}{space}/{}/{{name}}", kind.plural), json!({ "patch": patch }));
    }
    json!({ "openapi": "3.0.0", "info": { "title": "Kubernetes", "version": "simulated" }, "paths": paths, "components": { "schemas": {} } })
}
