//! The simulated cluster beside the real API server: the same requests, right and wrong, to both, and what they answer compared: the code, the
//! reason, the words, and the object but for what differs by time. Each difference that is left stands here, with the reason.

use serde_json::{Value, json};
use wf_sim::{DEFAULT_WORLD, Sim, SimOptions};

use crate::asks::{Answer, Asks};
use crate::stage::Stage;

const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const PATCH: &str = "application/json-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

const MAPS: &str = "/api/v1/namespaces/{ns}/configmaps";
const MAP: &str = "/api/v1/namespaces/{ns}/configmaps/a";
const SECRETS: &str = "/api/v1/namespaces/{ns}/secrets";
const WORKLOADS: &str = "/apis/apps/v1/namespaces/{ns}/deployments";
const WORKLOAD: &str = "/apis/apps/v1/namespaces/{ns}/deployments/w";
const SCHEDULES: &str = "/apis/velero.io/v1/namespaces/{ns}/schedules";
const SCHEDULE: &str = "/apis/velero.io/v1/namespaces/{ns}/schedules/s";

/// What differs and is left: the method, the end of the path, a part of what was sent, and why.
const LEFT: [(&str, &str, &str, &str); 8] = [
    ("POST", "/configmaps", "\"Secret\"", "words only: a name of Go's for the types"),
    (
        "PATCH",
        "/configmaps/a",
        "\"uid\"",
        "1.20 takes another uid for a change of it, 422; newer versions for a condition, 409, as the simulator",
    ),
    ("PATCH", "/configmaps/a", "{}", "words only: 1.20 lists no media types, newer versions do"),
    ("PATCH", "fieldManager=other", "\"7\"", "a mistake of 1.20: who lost all fields under `data` is left with `data` itself"),
    (
        "PATCH",
        "/secrets/x",
        "not base64",
        "1.20 takes it for an invalid patch, 422, and echoes the whole Secret; the simulator answers 400",
    ),
    ("PATCH", "/deployments/w", "\"other\"", "words only, of Go's types; and the simulator tells the first problem of two"),
    ("GET", "velero.io/v1/namespaces/{ns}/nothings", "", "plain text in the place of a Status"),
    ("GET", "nowhere.io/v1/namespaces/{ns}/nothings", "", "plain text in the place of a Status"),
];

type Asked = (&'static str, &'static str, &'static str, Value);

fn requests() -> Vec<Asked> {
    let map = |data: Value| json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "a" }, "data": data });
    let labels = json!({ "app": "w" });
    let container = |name: &str, image: &str| json!({ "name": name, "image": image });
    let workload = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "w" }, "spec": {
        "replicas": 0, "selector": { "matchLabels": labels }, "template": { "metadata": { "labels": labels }, "spec": {
            "containers": [container("one", "i:1"), container("two", "i:1")] } } } });
    let schedule = |cron: &str| {
        json!({ "apiVersion": "velero.io/v1", "kind": "Schedule", "metadata": { "name": "s" },
        "spec": { "schedule": cron, "template": { "includedNamespaces": ["production"] } } })
    };
    let template = |containers: Value| json!({ "spec": { "template": { "spec": { "containers": containers } } } });
    vec![
        ("GET", MAP, JSON, Value::Null),
        ("POST", MAPS, JSON, map(json!({ "k": "1" }))),
        ("POST", MAPS, JSON, map(json!({ "k": "1" }))),
        ("POST", MAPS, JSON, json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "Not_a_name" } })),
        ("POST", MAPS, JSON, json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "b" } })),
        ("POST", "/api/v1/namespaces/nowhere/configmaps", JSON, map(json!({}))),
        ("PATCH", MAP, MERGE, json!({ "data": { "k": "2", "l": "3" } })),
        ("PATCH", MAP, MERGE, json!({ "data": { "l": null } })),
        ("PATCH", MAP, MERGE, json!({ "metadata": { "resourceVersion": "1" }, "data": { "k": "4" } })),
        ("PATCH", MAP, MERGE, json!({ "metadata": { "uid": "00000000-0000-0000-0000-000000000000" } })),
        ("PATCH", "/api/v1/namespaces/{ns}/configmaps/none", MERGE, json!({ "data": { "k": "2" } })),
        (
            "PATCH",
            MAP,
            PATCH,
            json!([{ "op": "test", "path": "/data/k", "value": "2" }, { "op": "replace", "path": "/data/k", "value": "5" }]),
        ),
        ("PATCH", MAP, PATCH, json!([{ "op": "test", "path": "/data/k", "value": "2" }])),
        ("PATCH", MAP, "text/plain", json!({})),
        ("PATCH", "/api/v1/namespaces/{ns}/configmaps/a?fieldManager=wf", APPLY, map(json!({ "k": "5", "m": "1" }))),
        ("PATCH", "/api/v1/namespaces/{ns}/configmaps/a?fieldManager=wf", APPLY, map(json!({ "k": "6" }))),
        ("PATCH", "/api/v1/namespaces/{ns}/configmaps/a?fieldManager=wf&force=true", APPLY, map(json!({ "k": "6" }))),
        ("PATCH", "/api/v1/namespaces/{ns}/configmaps/a?fieldManager=other", APPLY, map(json!({ "k": "7" }))),
        ("PATCH", MAP, APPLY, map(json!({ "k": "7" }))),
        ("PUT", MAP, JSON, map(json!({ "only": "this" }))),
        ("PUT", MAP, JSON, json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "b" } })),
        (
            "PUT",
            "/api/v1/namespaces/{ns}/configmaps/none",
            JSON,
            json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "none", "resourceVersion": "1" } }),
        ),
        (
            "POST",
            SECRETS,
            JSON,
            json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "x" }, "stringData": { "p": "word" } }),
        ),
        ("PATCH", "/api/v1/namespaces/{ns}/secrets/x", MERGE, json!({ "data": { "p": "not base64!" } })),
        ("POST", WORKLOADS, JSON, workload),
        ("PATCH", WORKLOAD, STRATEGIC, template(json!([{ "name": "two", "image": "i:2" }]))),
        ("PATCH", WORKLOAD, STRATEGIC, template(json!([{ "name": "one", "$patch": "delete" }]))),
        ("PATCH", WORKLOAD, STRATEGIC, template(json!([{ "name": "three", "image": "i:3" }]))),
        ("PATCH", WORKLOAD, MERGE, template(json!([container("four", "i:4")]))),
        ("PATCH", WORKLOAD, MERGE, template(json!([]))),
        ("PATCH", WORKLOAD, MERGE, json!({ "spec": { "replicas": -1 } })),
        ("PATCH", WORKLOAD, MERGE, json!({ "spec": { "selector": { "matchLabels": { "app": "other" } } } })),
        ("PATCH", "/apis/apps/v1/namespaces/{ns}/deployments/w/scale", MERGE, json!({ "spec": { "replicas": 0 } })),
        ("PATCH", "/apis/apps/v1/namespaces/{ns}/deployments/w/scale", MERGE, json!({ "spec": { "replicas": -1 } })),
        ("POST", SCHEDULES, JSON, schedule("0 1 * * *")),
        ("PUT", SCHEDULE, JSON, schedule("0 2 * * *")),
        ("PATCH", SCHEDULE, MERGE, json!({ "spec": { "schedule": "0 3 * * *" } })),
        ("PATCH", SCHEDULE, STRATEGIC, json!({ "spec": { "schedule": "0 3 * * *" } })),
        ("GET", "/apis/velero.io/v1/namespaces/{ns}/schedules/none", JSON, Value::Null),
        ("GET", "/apis/velero.io/v1/namespaces/{ns}/nothings", JSON, Value::Null),
        ("GET", "/apis/apps/v1/namespaces/{ns}/nothings", JSON, Value::Null),
        ("GET", "/apis/nowhere.io/v1/namespaces/{ns}/nothings", JSON, Value::Null),
        ("DELETE", SCHEDULE, JSON, Value::Null),
        ("DELETE", SCHEDULE, JSON, Value::Null),
        (
            "DELETE",
            MAP,
            JSON,
            json!({ "kind": "DeleteOptions", "apiVersion": "v1", "preconditions": { "uid": "00000000-0000-0000-0000-000000000000" } }),
        ),
        ("DELETE", MAP, JSON, Value::Null),
        ("DELETE", WORKLOAD, JSON, json!({ "kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background" })),
    ]
}

/// Serves the simulator, and reaches one of its clusters.
async fn simulated() -> Asks {
    let options = SimOptions { world: DEFAULT_WORLD.parse().unwrap(), state_dir: None, speed: 1.0, seed: Some(7), faults: Vec::new() };
    let sim = Sim::open(options).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let kubeconfig: Value = serde_json::from_str(&sim.kubeconfig(&format!("http://{}", listener.local_addr().unwrap()))).unwrap();
    tokio::spawn(async move { drop(wf_sim::serve(sim, listener, std::future::pending()).await) });
    let mut kubeconfig = kubeconfig;
    let dr =
        kubeconfig["contexts"].as_array().unwrap().iter().find(|context| context["name"].as_str().unwrap().contains("us-west-2")).unwrap();
    kubeconfig["current-context"] = dr["name"].clone();
    Asks::of(&kubeconfig).await
}

/// What is compared of an answer. Of an object: its settings, without what a controller writes and the defaults that the simulator leaves out.
fn shown((code, body): Answer) -> Value {
    if body["kind"] == "Status" || body.is_string() {
        let causes = body.pointer("/details/causes").cloned().unwrap_or_default();
        let uids = regex_lite::Regex::new("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}").unwrap();
        let message = uids.replace_all(body["message"].as_str().unwrap_or_default(), "#").into_owned();
        return json!({ "code": code, "reason": body["reason"], "message": message, "causes": causes });
    }
    let containers = body.pointer("/spec/template/spec/containers").and_then(Value::as_array);
    let containers = containers.map(|all| all.iter().map(|c| json!([c["name"], c["image"]])).collect::<Vec<_>>());
    let replicas = body["spec"]["replicas"].as_i64().unwrap_or_default();
    let schedule = &body["spec"]["schedule"];
    json!({ "code": code, "kind": body["kind"], "data": body["data"], "replicas": replicas, "schedule": schedule, "containers": containers })
}

#[tokio::test]
#[ignore = "needs a kube-apiserver: tests/apiserver/build.sh makes one"]
async fn the_simulator_answers_as_a_real_api_server() {
    let (stage, sim) = (Stage::new("east").await, simulated().await);
    let real = &stage.admin;
    let ns = "differ";
    let mut different = Vec::new();
    for (server, asks) in [("real", real), ("sim", &sim)] {
        let (code, said) = asks
            .send(
                "POST",
                "/api/v1/namespaces",
                JSON,
                json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": ns } }).to_string().as_bytes(),
            )
            .await;
        assert_eq!(code, 201, "{server}: {said}");
    }
    let mut met = [false; LEFT.len()];
    for (method, pattern, content, body) in requests() {
        let path = pattern.replace("{ns}", ns);
        let bytes = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let (there, here) = (real.send(method, &path, content, &bytes).await, sim.send(method, &path, content, &bytes).await);
        let (there, here) = (shown(there), shown(here));
        if there == here {
            continue;
        }
        let sent = body.to_string();
        let is = |(m, end, part, _): &(&str, &str, &str, &str)| *m == method && pattern.ends_with(end) && sent.contains(part);
        match LEFT.iter().position(is) {
            Some(left) => met[left] = true,
            None => different.push(format!("{method} {path} {content} {body}\n  real {there}\n  sim  {here}")),
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
    let gone: Vec<_> = LEFT.iter().zip(met).filter(|(_, met)| !met).collect();
    assert!(gone.is_empty(), "these do not differ any more: {gone:?}");
}
