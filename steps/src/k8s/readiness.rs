//! What the kinds of Kubernetes check beforehand, for `wf check --live`: that the cluster answers, and has the namespace.

use k8s_openapi::api::core::v1::Namespace;
use wf_engine::model::event::StepFailure;
use wf_engine::readiness::Check;
use wf_engine::step::StepContext;

use super::{Cluster, Kubernetes};
use crate::aws::Cloud;

/// The right in Kubernetes that [`namespace`] needs.
pub(crate) const GET_NAMESPACES: &str = "get namespaces";

/// Checks that a namespace is there. One that is not has no objects, and some lists are content with that.
pub(crate) async fn namespace(cx: &StepContext<Cloud>, cluster: &Cluster, name: &str) -> Result<Vec<Check>, StepFailure> {
    let kubernetes = Kubernetes::reach(cx, cluster).await?;
    let found = kubernetes.find(&format!("read namespace {name}"), kubernetes.cluster_wide::<Namespace>().get(name)).await?;
    let check = Check::of("namespace", format!("{name} of {cluster}")).as_observed().mended_by(&["VeleroRestore", "K8sApply"]);
    Ok(vec![check.fail_if(
        found.is_none(),
        format!("there is no namespace {name} in {cluster}"),
        format!("check the name (`kubectl get namespaces`), or `kubectl create namespace {name}`"),
    )])
}
