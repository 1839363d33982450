//! What goes wrong on the way to a real API server, told apart: nobody answers, somebody else does, it does not know us, it does not let us.

use wf_engine::model::event::{FailureKind, StepFailure};

use crate::servers::{servers, user};
use crate::stage::{Stage, allow};
use crate::stepped::Known;

/// A step of each sort: one that reads, one that changes, and one that looks types up first.
const STEPS: [(&str, &str); 3] = [
    ("K8sWaitNodes", "(cluster: {cluster}, expected: 2)"),
    ("K8sPatchSecret", r#"(cluster: {cluster}, namespace: "{ns}", name: "db", data: { "host": "west.example" })"#),
    ("K8sApply", r#"(cluster: {cluster}, namespace: "{ns}", manifests: ["{dir}/new.yaml"])"#),
];

async fn failure(stage: &Stage, ns: &str, file: &std::path::Path, (kind, ron): (&str, &str)) -> StepFailure {
    stage.step_by(file, ns, kind, ron).parts(&mut Known::default()).await.unwrap_err()
}

#[tokio::test]
#[ignore = "needs a kube-apiserver: tests/apiserver/build.sh makes one"]
async fn nobody_there_somebody_else_an_unknown_caller_and_a_denial_are_told_apart() {
    let stage = Stage::new("east").await;
    let ns = stage.place().await;
    let (endpoint, authority) = (servers().endpoint("east"), servers().authority("east"));
    // Nobody listens on a port that was given back.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let others = servers().authority("west");
    let trouble = [
        ("closed", format!("https://{closed}"), &authority, "nobody", FailureKind::Unreachable, "does not answer", "reaches that address"),
        (
            "other",
            endpoint.clone(),
            &others,
            "nobody",
            FailureKind::Permanent,
            "does not prove to be that cluster",
            "authority's certificate",
        ),
        ("unknown", endpoint.clone(), &authority, "stranger", FailureKind::Permanent, "(Unauthorized, HTTP 401)", "does not know who asks"),
        (
            "denied",
            endpoint.clone(),
            &authority,
            "nobody",
            FailureKind::Permanent,
            "(Forbidden, HTTP 403)",
            "to dr:nobody: a Role and its binding",
        ),
    ];
    for (name, server, authority, who, expected, said, hint) in trouble {
        let file = servers().context("cluster", &server, Some(authority), who);
        let file = std::fs::copy(&file, file.with_extension(name)).map(|_| file.with_extension(name)).unwrap();
        for step in STEPS {
            let failure = failure(&stage, &ns, &file, step).await;
            assert_eq!(failure.kind, expected, "{name}, {}: {failure:?}", step.0);
            assert!(failure.message.starts_with("failed to ") && failure.message.contains(said), "{name}, {}: {failure:?}", step.0);
            assert!(failure.hint.as_deref().unwrap_or_default().contains(hint), "{name}, {}: {failure:?}", step.0);
            assert!(!format!("{failure:?}").contains("token-of"), "no token is told: {failure:?}");
            #[expect(clippy::print_stderr, reason = "what an operator reads, for who looks")]
            {
                eprintln!(
                    "{name:<8} {:<15} {:?}: {}\n         {}",
                    step.0,
                    failure.kind,
                    failure.message,
                    failure.hint.unwrap_or_default()
                );
            }
        }
    }
}

/// Who may look and not touch is told what is missing, by the server's own words, and has changed nothing.
#[tokio::test]
#[ignore = "needs a kube-apiserver: tests/apiserver/build.sh makes one"]
async fn a_denial_of_the_change_names_the_right_that_is_missing() {
    let stage = Stage::new("west").await;
    let ns = stage.place().await;
    let rights = ["get secrets,configmaps,deployments.apps", "list secrets,horizontalpodautoscalers.autoscaling,cronjobs.batch"];
    allow(&stage.admin, "reader", &rights.map(str::to_owned)).await;
    for (kind, ron, hint) in [
        (
            "K8sPatchSecret",
            r#"(cluster: {cluster}, namespace: "{ns}", name: "db", data: { "host": "west.example" })"#,
            "allow `create` on `secrets` in namespace",
        ),
        (
            "K8sPatchConfigMap",
            r#"(cluster: {cluster}, namespace: "{ns}", name: "web", data: { "REGION": "us-west-2" })"#,
            "allow `patch` on `configmaps` in namespace",
        ),
        (
            "K8sScale",
            r#"(cluster: {cluster}, namespace: "{ns}", kind: Deployment, name: "web", replicas: 6)"#,
            "allow `patch` on `horizontalpodautoscalers.autoscaling` in namespace",
        ),
        ("K8sSuspendCronJobs", r#"(cluster: {cluster}, namespace: "{ns}")"#, "allow `patch` on `cronjobs.batch` in namespace"),
        (
            "K8sRolloutRestart",
            r#"(cluster: {cluster}, namespace: "{ns}", kind: Deployment, name: "web")"#,
            "allow `patch` on `deployments.apps` in namespace",
        ),
    ] {
        let before = crate::world::at_rest(&stage.admin, &ns).await;
        let file = servers().context("cluster", &stage.between, None, "reader");
        let failure = failure(&stage, &ns, &file, (kind, ron)).await;
        assert_eq!(failure.kind, FailureKind::Permanent, "{failure:?}");
        let said = failure.hint.clone().unwrap_or_default();
        assert!(said.starts_with(hint) && said.contains(&format!("{ns} to {}", user("reader"))), "{failure:?}");
        assert_eq!(crate::world::at_rest(&stage.admin, &ns).await, before, "{kind}");
    }
}

/// A cluster without Velero is not one without backups.
#[tokio::test]
#[ignore = "needs a kube-apiserver: tests/apiserver/build.sh makes one"]
async fn a_type_that_the_cluster_does_not_serve_is_told_from_an_object_that_is_not_there() {
    let stage = Stage::new("east").await;
    let ns = stage.place().await;
    let restore = |name: &str| format!(r#"(cluster: {{cluster}}, namespace: "{{ns}}", backup: Named(name: "{name}"))"#);
    let missing = stage.step(&ns, "VeleroRestore", &restore("none")).parts(&mut Known::default()).await.unwrap_err();
    assert!(missing.message.contains("there is no backup none"), "{missing:?}");
    // 1.20 serves no autoscaling/v2 under that name, when nobody stands in between.
    let (server, authority) = (servers().endpoint("east"), servers().authority("east"));
    let file = servers().context("cluster", &server, Some(&authority), "K8sScale");
    let ron = r#"(cluster: {cluster}, namespace: "{ns}", kind: Deployment, name: "web", replicas: 6)"#;
    let unserved = failure(&stage, &ns, &file, ("K8sScale", ron)).await;
    assert_eq!(unserved.kind, FailureKind::Permanent, "{unserved:?}");
    assert!(unserved.message.contains("serves no such type of object"), "{unserved:?}");
}
