//! `K8sWaitNodes`: waits until a cluster has its nodes: the expected number of them first, and then that they are ready.

use std::time::Duration;

use async_trait::async_trait;
use k8s_openapi::api::core::v1::Node;
use serde::Deserialize;
use serde_json::json;
use wf_engine::model::event::{Fields, StepFailure};
use wf_engine::step::{Field, FieldType, Iam, KindInfo, Observed, Rbac, Reversibility, StepContext, StepKind, fields, nothing_to_apply};

use crate::aws::Cloud;
use crate::aws::poll::{self, Look};
use crate::k8s::{Cluster, Kubernetes};

/// Waits for the nodes of a cluster.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct K8sWaitNodes {
    /// The cluster.
    pub cluster: Cluster,
    /// How many nodes there must be at least, all of them ready.
    pub expected: u32,
    /// Which nodes.
    #[serde(default)]
    pub selector: Option<String>,
}

/// How many nodes are named that are not ready.
const NAMED_MAX: usize = 3;

#[async_trait]
impl StepKind for K8sWaitNodes {
    type Env = Cloud;
    type Before = ();
    type Handle = ();

    const INFO: KindInfo = KindInfo {
        name: "K8sWaitNodes",
        summary: "waits until a cluster has a number of nodes, all of them ready",
        example: r#"(id: "nodes", run: K8sWaitNodes(cluster: Eks(name: "production-dr", region: "us-west-2"), expected: 3, selector: "eks.amazonaws.com/nodegroup=general"))"#,
        reversibility: Reversibility::ReadOnly,
        params: &[
            Field::new("cluster", FieldType::Json, Cluster::DOC),
            Field::new("expected", FieldType::Integer, "how many nodes there must be at least, all of them ready"),
            Field::new("selector", FieldType::Text, "a label selector: which nodes count; default: all"),
        ],
        outputs: &[Field::new("ready", FieldType::Integer, "how many nodes are ready")],
        before: &[],
        iam: Iam { read: &["eks:DescribeCluster", "eks:ListClusters"], apply: &[], compensate: &[], ready: &[] },
        rbac: Rbac { read: &["list nodes"], apply: &[], compensate: &[] },
        facts: &[
            "the number is waited for first: \"all nodes are ready\" is true of none at all",
            "a node that is cordoned counts as ready, as in `kubectl wait`, but is named",
            "an update of a node group that is successful does not mean that its nodes are ready",
        ],
        typical: Duration::from_secs(90),
        timeout: Duration::from_secs(15 * 60),
    };

    async fn observe(&self, cx: &StepContext<Cloud>, _intent: Option<&()>) -> Result<Observed<()>, StepFailure> {
        // Finds what is wrong for good, such as a cluster that is not there, before anything is waited for.
        self.nodes(cx).await.map(|_| Observed::Satisfied(()))
    }

    async fn apply(&self, _cx: &StepContext<Cloud>, _before: &()) -> Result<(), StepFailure> {
        nothing_to_apply(&Self::INFO)
    }

    async fn settle(&self, cx: &StepContext<Cloud>, _before: &(), _handle: Option<&()>) -> Result<Fields, StepFailure> {
        let ready = poll::until(cx, Self::INFO.typical, |_| async move { Ok(judge(&self.nodes(cx).await?, self.expected)) }).await?;
        Ok(fields([("ready", json!(ready))]))
    }

    async fn compensate(&self, _cx: &StepContext<Cloud>, _before: &(), _handle: Option<&()>) -> Result<(), StepFailure> {
        nothing_to_apply(&Self::INFO)
    }
}

impl K8sWaitNodes {
    async fn nodes(&self, cx: &StepContext<Cloud>) -> Result<Vec<Node>, StepFailure> {
        let kubernetes = Kubernetes::reach(cx, &self.cluster).await?;
        kubernetes.list("list nodes", &kubernetes.cluster_wide(), self.selector.as_deref()).await
    }
}

fn judge(nodes: &[Node], expected: u32) -> Look<usize> {
    let missing: Vec<_> = nodes.iter().filter_map(why_not_ready).collect();
    let (total, expected) = (nodes.len(), usize::try_from(expected).unwrap_or(usize::MAX));
    if total < expected {
        return Look::Waiting(format!("{total}/{expected} nodes have joined"));
    }
    if missing.is_empty() {
        return Look::Done(total);
    }
    let more = missing.len().saturating_sub(NAMED_MAX);
    let named = missing[..missing.len() - more].join("; ");
    let more = if more == 0 { String::new() } else { format!("; and {more} more") };
    Look::Waiting(format!("{}/{total} nodes are ready: {named}{more}", total - missing.len()))
}

/// Says why a node is not ready; `None` of one that is.
fn why_not_ready(node: &Node) -> Option<String> {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let ready = conditions.iter().find(|condition| condition.type_ == "Ready");
    if ready.is_some_and(|ready| ready.status == "True") {
        return None;
    }
    let name = node.metadata.name.as_deref().unwrap_or("a node without a name");
    let cordoned = node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or_default();
    let cordoned = if cordoned { ", and it is cordoned" } else { "" };
    let why = ready.map_or_else(
        || "it has not reported yet".to_owned(),
        |ready| format!("{}: {}", ready.reason.as_deref().unwrap_or("NotReady"), ready.message.as_deref().unwrap_or("no message")),
    );
    Some(format!("{name} ({why}{cordoned})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, ready: Option<bool>) -> Node {
        let conditions = ready.map(|ready| {
            json!([{ "type": "Ready", "status": if ready { "True" } else { "False" }, "reason": "KubeletNotReady", "message": "cni is not up" }])
        });
        let node = json!({ "metadata": { "name": name }, "status": { "conditions": conditions.unwrap_or_else(|| json!([])) } });
        serde_json::from_value(node).expect("a node")
    }

    #[test]
    fn no_nodes_at_all_are_not_ready() {
        assert_eq!(judge(&[], 3), Look::Waiting("0/3 nodes have joined".to_owned()));
        assert_eq!(judge(&[], 0), Look::Done(0));
    }

    #[test]
    fn nodes_that_are_not_ready_are_named_with_the_reason() {
        let nodes = [node("a", Some(true)), node("b", Some(false)), node("c", None)];
        let said = "1/3 nodes are ready: b (KubeletNotReady: cni is not up); c (it has not reported yet)";
        assert_eq!(judge(&nodes, 3), Look::Waiting(said.to_owned()));
        assert_eq!(judge(&nodes[..1], 1), Look::Done(1));
    }

    #[test]
    fn only_some_of_many_are_named() {
        let nodes: Vec<_> = (0..5).map(|number| node(&number.to_string(), None)).collect();
        assert!(matches!(judge(&nodes, 5), Look::Waiting(said) if said.ends_with("; and 2 more")));
    }
}
