//! What only a real API server can show of the kinds' calls: who manages a field, what is refused, and what is left of an object in between.

use serde_json::{Value, json};
use wf_engine::model::event::FailureKind;

use crate::servers::servers;
use crate::stage::Stage;
use crate::stepped::Known;
use crate::world;

const APPLY_OLD: &str = r#"(cluster: {cluster}, namespace: "{ns}", manifests: ["{dir}/old.yaml"])"#;

/// Who manages which fields of the objects of a resource, but for when they began to.
async fn managers(stage: &Stage, path: &str) -> Value {
    let mut object = stage.admin.get(path).await;
    let mut fields = object["metadata"]["managedFields"].take();
    fields.as_array_mut().unwrap().sort_by_key(Value::to_string);
    fields
}

#[tokio::test]
#[ignore = "needs a kube-apiserver: tests/apiserver/build.sh makes one"]
async fn fields_of_other_managers_are_taken_over_on_demand_and_given_back() {
    let stage = Stage::new("east").await;
    let ns = stage.place().await;
    let refused = stage.step(&ns, "K8sApply", APPLY_OLD).parts(&mut Known::default()).await.unwrap_err();
    assert_eq!(refused.kind, FailureKind::Permanent, "{refused:?}");
    assert!(refused.message.contains("Apply failed with") && refused.message.contains("HTTP 409"), "{refused:?}");
    assert!(refused.hint.as_deref().unwrap_or_default().contains("`force: true`"), "{refused:?}");

    let paths = [
        format!("/api/v1/namespaces/{ns}/configmaps/web"),
        format!("/api/v1/namespaces/{ns}/services/web"),
        format!("/apis/velero.io/v1/namespaces/{ns}/schedules/nightly"),
    ];
    let mut before = Vec::new();
    for path in &paths {
        before.push(managers(&stage, path).await);
    }
    let (step, mut known) = (stage.step(&ns, "K8sApply", &APPLY_OLD.replace("])", "], force: true)")), Known::default());
    step.drive(&mut known).await.unwrap();
    for path in &paths {
        let fields = managers(&stage, path).await;
        assert!(fields.to_string().contains(r#""manager":"wf","operation":"Apply""#), "{path}: {fields:#}");
    }
    step.undo(&known).await.unwrap();
    for (path, before) in paths.iter().zip(before) {
        let now = managers(&stage, path).await;
        assert_eq!(now, before, "{path}: {now:#}\n{before:#}");
    }
}

#[tokio::test]
#[ignore = "needs a kube-apiserver: tests/apiserver/build.sh makes one"]
async fn what_was_applied_once_is_applied_again_after_a_rollback() {
    let stage = Stage::new("east").await;
    let ns = stage.place().await;
    let file = |text: &str| {
        servers().file(
            &format!("{ns}.yaml"),
            &format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: page }}\ndata: {{ text: {text} }}\n"),
        )
    };
    let ron = format!(r#"(cluster: {{cluster}}, namespace: "{{ns}}", manifests: ["{{dir}}/{ns}.yaml"])"#);
    file("one");
    stage.step(&ns, "K8sApply", &ron).drive(&mut Known::default()).await.unwrap();
    file("two");
    let (step, mut known) = (stage.step(&ns, "K8sApply", &ron), Known::default());
    step.drive(&mut known).await.unwrap();
    step.undo(&known).await.unwrap();
    assert_eq!(stage.admin.get(&format!("/api/v1/namespaces/{ns}/configmaps/page")).await["data"]["text"], "one");
    stage.step(&ns, "K8sApply", &ron).drive(&mut Known::default()).await.unwrap();
    assert_eq!(stage.admin.get(&format!("/api/v1/namespaces/{ns}/configmaps/page")).await["data"]["text"], "two");
}

#[tokio::test]
#[ignore = "needs a kube-apiserver: tests/apiserver/build.sh makes one"]
async fn manifests_that_the_server_cannot_take_fail_for_good() {
    let stage = Stage::new("east").await;
    let ns = stage.place().await;
    for (name, text, said, hint) in [
        (
            "field",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: page }\nspec: { text: one }\n",
            "field not declared in schema",
            "correct the manifest",
        ),
        ("kind", "apiVersion: v1\nkind: ConfigMip\nmetadata: { name: page }\n", "serves no such type", "kubectl api-resources"),
        ("group", "apiVersion: nowhere.io/v1\nkind: Page\nmetadata: { name: page }\n", "serves no such type", "kubectl api-resources"),
        ("name", "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: Page_ }\n", "Invalid value: \"Page_\"", "does not take"),
    ] {
        servers().file(&format!("{ns}-{name}.yaml"), text);
        let ron = format!(r#"(cluster: {{cluster}}, namespace: "{{ns}}", manifests: ["{{dir}}/{ns}-{name}.yaml"])"#);
        let failure = stage.step(&ns, "K8sApply", &ron).parts(&mut Known::default()).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Permanent, "{failure:?}");
        assert!(failure.message.contains(said), "{failure:?}");
        assert!(failure.hint.as_deref().unwrap_or_default().contains(hint), "{failure:?}");
    }
}

/// Somebody else changes the object between the reading and the writing of the step.
#[tokio::test]
#[ignore = "needs a kube-apiserver: tests/apiserver/build.sh makes one"]
async fn a_change_in_between_is_refused_by_its_version_and_not_overwritten() {
    let stage = Stage::new("east").await;
    let ns = stage.place().await;
    for (kind, path, params, theirs, ours) in [
        (
            "K8sPatchConfigMap",
            format!("/api/v1/namespaces/{ns}/configmaps/web"),
            r#"(cluster: {cluster}, namespace: "{ns}", name: "web", data: { "REGION": "us-west-2" })"#,
            json!({ "data": { "OTHER": "theirs" } }),
            json!({ "REGION": "us-west-2", "OTHER": "theirs" }),
        ),
        (
            "K8sPatchSecret",
            format!("/api/v1/namespaces/{ns}/secrets/db"),
            r#"(cluster: {cluster}, namespace: "{ns}", name: "db", data: { "host": "west.example" })"#,
            json!({ "data": { "user": "dGhlaXJz" } }),
            json!({ "host": "d2VzdC5leGFtcGxl", "password": "Y29ycmVjdCBob3JzZQ==", "user": "dGhlaXJz" }),
        ),
    ] {
        let file = servers().context("cluster", &stage.between, None, kind);
        let step = stage.step_by(&file, &ns, kind, params);
        *stage.meddling.lock().unwrap() = Some((path.clone(), theirs));
        let mut known = Known::default();
        let failure = step.parts(&mut known).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Transient, "{failure:?}");
        assert!(
            failure.message.contains("the object has been modified") && failure.message.contains("(Conflict, HTTP 409)"),
            "{failure:?}"
        );
        assert!(stage.meddling.lock().unwrap().is_none());
        step.drive(&mut known).await.unwrap();
        assert_eq!(stage.admin.get(&path).await["data"], ours);
    }
}

#[tokio::test]
#[ignore = "needs a kube-apiserver: tests/apiserver/build.sh makes one"]
async fn what_keeps_pods_and_jobs_is_told_from_what_the_server_has() {
    let stage = Stage::new("east").await;
    let ns = stage.place().await;
    // Its pod never runs, and there is no kubelet to ask for a log: the failure is told without one.
    let job = "apiVersion: batch/v1\nkind: Job\nmetadata: { name: failing }\nspec: { backoffLimit: 0, template: { metadata: { labels: { a: b } }, spec: { restartPolicy: Never, containers: [{ name: c, image: c }] } } }\n";
    servers().file(&format!("{ns}-job.yaml"), job);
    let step = stage.step(&ns, "K8sJob", &format!(r#"(cluster: {{cluster}}, namespace: "{{ns}}", manifest: "{{dir}}/{ns}-job.yaml")"#));
    let failure = step.drive(&mut Known::default()).await.unwrap_err();
    assert!(failure.message.contains("has failed: as the test says"), "{failure:?}");
    assert!(failure.hint.as_deref().unwrap_or_default().contains("kubectl logs job/failing-"), "{failure:?}");

    // A workload in the middle of its rollout is waited for, by the status of its newest generation only.
    world::make(&stage.admin, &format!("{ns}-alone")).await;
    let ron = r#"(cluster: {cluster}, namespace: "{ns}", kind: Deployment, name: "web")"#;
    let (step, mut known) = (stage.step(&format!("{ns}-alone"), "K8sRolloutRestart", ron), Known::default());
    step.begin(&mut known, crate::stepped::Cut::Settling).await.unwrap();
    let path = format!("/apis/apps/v1/namespaces/{ns}-alone/deployments/web");
    let deployment = stage.admin.get(&path).await;
    assert_eq!(deployment["metadata"]["generation"], 2, "{deployment:#}");
    let stuck = json!({ "status": { "observedGeneration": 2, "conditions": [{ "type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "timed out" }] } });
    stage.admin.merge(&format!("{path}/status"), stuck).await;
    let failure = step.parts(&mut known).await.unwrap_err();
    assert!(failure.message.contains("does not come to its end: timed out"), "{failure:?}");
}
