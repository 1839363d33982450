//! `K8sWaitPodsReady`: waits until enough pods serve.

use std::time::Duration;

use async_trait::async_trait;
use k8s_openapi::api::core::v1::Pod;
use serde::Deserialize;
use serde_json::json;
use wf_engine::model::definition::Objectives;
use wf_engine::model::event::{Fields, StepFailure};
use wf_engine::readiness::Check;
use wf_engine::step::{Field, FieldType, Iam, KindInfo, Observed, Rbac, Reversibility, StepContext, StepKind, fields, nothing_to_apply};

use crate::aws::Cloud;
use crate::aws::poll::{self, Look};
use crate::k8s::workload::{is_ready, pods, why_not_ready};
use crate::k8s::{Cluster, Kubernetes, readiness};

/// Waits for pods.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct K8sWaitPodsReady {
    /// The cluster.
    pub cluster: Cluster,
    /// The pods' namespace.
    pub namespace: String,
    /// Which pods.
    pub selector: String,
    /// How many must be ready.
    pub min_ready: u32,
}

/// How many pods are named that are not ready.
const NAMED_MAX: usize = 2;

#[async_trait]
impl StepKind for K8sWaitPodsReady {
    type Env = Cloud;
    type Before = ();
    type Handle = ();

    const INFO: KindInfo = KindInfo {
        name: "K8sWaitPodsReady",
        summary: "waits until a number of pods are ready",
        example: r#"(id: "pods", run: K8sWaitPodsReady(cluster: Eks(name: "production-dr", region: "us-west-2"), namespace: "production", selector: "app=web-app", min_ready: 3))"#,
        reversibility: Reversibility::ReadOnly,
        params: &[
            Field::new("cluster", FieldType::Json, Cluster::DOC),
            Field::new("namespace", FieldType::Text, "the pods' namespace"),
            Field::new("selector", FieldType::Text, "a label selector: which pods"),
            Field::new("min_ready", FieldType::Integer, "how many of them must be ready, at least 1"),
        ],
        outputs: &[Field::new("ready", FieldType::Integer, "how many are ready")],
        before: &[],
        iam: Iam { read: &["eks:DescribeCluster", "eks:ListClusters"], apply: &[], compensate: &[], ready: &[] },
        rbac: Rbac { read: &["list pods", readiness::GET_NAMESPACES], apply: &[], compensate: &[] },
        facts: &["a pod that is being deleted does not count, ready or not", "no pods at all are not ready"],
        typical: Duration::from_secs(60),
        timeout: Duration::from_secs(15 * 60),
    };

    fn problems(&self) -> Vec<String> {
        match self.min_ready {
            0 => vec!["`min_ready` is 0: there is nothing to wait for".to_owned()],
            _ => Vec::new(),
        }
    }

    async fn observe(&self, cx: &StepContext<Cloud>, _intent: Option<&()>) -> Result<Observed<()>, StepFailure> {
        self.pods(cx).await.map(|_| Observed::Satisfied(()))
    }

    async fn readiness(&self, cx: &StepContext<Cloud>, _objectives: &Objectives) -> Result<Vec<Check>, StepFailure> {
        readiness::namespace(cx, &self.cluster, &self.namespace).await
    }

    async fn apply(&self, _cx: &StepContext<Cloud>, _before: &()) -> Result<(), StepFailure> {
        nothing_to_apply(&Self::INFO)
    }

    async fn settle(&self, cx: &StepContext<Cloud>, _before: &(), _handle: Option<&()>) -> Result<Fields, StepFailure> {
        let ready = poll::until(cx, Self::INFO.typical, |_| async move { Ok(judge(&self.pods(cx).await?, self.min_ready)) }).await?;
        Ok(fields([("ready", json!(ready))]))
    }

    async fn compensate(&self, _cx: &StepContext<Cloud>, _before: &(), _handle: Option<&()>) -> Result<(), StepFailure> {
        nothing_to_apply(&Self::INFO)
    }
}

impl K8sWaitPodsReady {
    async fn pods(&self, cx: &StepContext<Cloud>) -> Result<Vec<Pod>, StepFailure> {
        pods(&Kubernetes::reach(cx, &self.cluster).await?, &self.namespace, &self.selector).await
    }
}

fn judge(pods: &[Pod], min_ready: u32) -> Look<usize> {
    let ready = pods.iter().filter(|pod| is_ready(pod)).count();
    if ready >= usize::try_from(min_ready).unwrap_or(usize::MAX) {
        return Look::Done(ready);
    }
    let why: Vec<_> = pods.iter().filter_map(why_not_ready).take(NAMED_MAX).collect();
    let why = if why.is_empty() { String::new() } else { format!(": {}", why.join("; ")) };
    Look::Waiting(format!("{ready}/{min_ready} pods are ready{why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_pods_are_not_ready() {
        assert_eq!(judge(&[], 1), Look::Waiting("0/1 pods are ready".to_owned()));
    }
}
