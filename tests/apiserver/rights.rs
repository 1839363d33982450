//! What a real API server says of the rights of a step before it runs: with all of its kind's nothing is missing, and of what a reader lacks, all is
//! told.

use std::path::Path;
use std::sync::Arc;

use wf_engine::model::event::{Mode, StepFailure};
use wf_engine::model::ids::RunId;
use wf_engine::step::{Rbac, StepContext};
use wf_steps::aws::Cloud;
use wf_steps::k8s::Cluster;
use wf_steps::k8s::rights::{Asked, Denied};
use wf_steps::k8s::workload::WorkloadKind;

use crate::servers::servers;
use crate::stage::{Stage, allow};
use crate::stepped::Quick;

/// Asks as the user of a kubeconfig.
async fn denied(file: &Path, namespace: Option<&str>, workload: Option<WorkloadKind>, rbac: Rbac) -> Result<Denied, StepFailure> {
    let cx = StepContext {
        run: RunId::new(1_773_457_500_000, 1),
        step: "rights".parse().unwrap(),
        attempt: 1,
        generation: 0,
        mode: Mode::Planned,
        clock: Quick::started(),
        signals: Arc::new(drop),
        env: Cloud::live().await,
    };
    let cluster = Cluster::Context { name: "rights".to_owned(), kubeconfig: Some(file.to_owned()) };
    Asked { cluster, namespace: namespace.map(str::to_owned), workload, rbac }.denied(&cx).await
}

#[tokio::test]
#[ignore = "needs a kube-apiserver: tests/apiserver/build.sh makes one"]
async fn what_is_missing_is_told_and_nothing_else() {
    let stage = Stage::new("east").await;
    let ns = stage.place().await;
    let (endpoint, authority) = (servers().endpoint("east"), servers().authority("east"));
    let file = |user: &str| servers().context("rights", &endpoint, Some(&authority), user);
    let registry = wf_steps::registry(Cloud::offline());
    let mut asked = 0;
    for kind in registry.kinds().filter(|kind| !kind.rbac.is_empty()) {
        let namespace = kind.params.iter().any(|param| param.name == "namespace").then_some(&*ns);
        let answer = denied(&file(kind.name), namespace, None, kind.rbac).await;
        assert_eq!(answer, Ok(Denied { rights: Vec::new(), is_there: true }), "{}", kind.name);
        asked += 1;
    }
    assert!(asked > 10, "{asked} kinds");

    allow(&stage.admin, "looker", &["get deployments.apps", "list horizontalpodautoscalers.autoscaling"].map(str::to_owned)).await;
    let scale = registry.kind("K8sScale").unwrap().rbac;
    let missing = ["get namespaces", "patch deployments.apps/scale", "patch horizontalpodautoscalers.autoscaling"].map(str::to_owned);
    let answer = denied(&file("looker"), Some(&ns), Some(WorkloadKind::Deployment), scale).await;
    // Who may not look at the namespace does not know whether it is there.
    assert_eq!(answer, Ok(Denied { rights: missing.to_vec(), is_there: true }));
    let nodes = registry.kind("K8sWaitNodes").unwrap().rbac;
    assert_eq!(denied(&file("looker"), None, None, nodes).await, Ok(Denied { rights: vec!["list nodes".to_owned()], is_there: true }));

    allow(&stage.admin, "namer", &["get namespaces".to_owned()]).await;
    let answer = denied(&file("namer"), Some("not-there"), Some(WorkloadKind::Deployment), scale).await.unwrap();
    assert!(!answer.is_there && answer.rights.contains(&"patch deployments.apps/scale".to_owned()), "{answer:?}");
}
