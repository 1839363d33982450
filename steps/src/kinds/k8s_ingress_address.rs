//! `K8sIngressAddress`: waits until an Ingress has the address of its load balancer, and tells it to the steps behind.

use std::time::Duration;

use async_trait::async_trait;
use k8s_openapi::api::networking::v1::Ingress;
use kube::api::Api;
use serde::Deserialize;
use serde_json::json;
use wf_engine::model::definition::Objectives;
use wf_engine::model::event::{Fields, StepFailure};
use wf_engine::model::problem::nearest;
use wf_engine::readiness::Check;
use wf_engine::step::{Field, FieldType, Iam, KindInfo, Observed, Rbac, Reversibility, StepContext, StepKind, fields, nothing_to_apply};

use crate::aws::Cloud;
use crate::aws::poll::{self, Look};
use crate::k8s::{Cluster, Kubernetes, readiness};

/// Waits for the address of an Ingress.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct K8sIngressAddress {
    /// The cluster.
    pub cluster: Cluster,
    /// The Ingress' namespace.
    pub namespace: String,
    /// The Ingress.
    pub name: String,
}

#[async_trait]
impl StepKind for K8sIngressAddress {
    type Env = Cloud;
    type Before = ();
    type Handle = ();

    const INFO: KindInfo = KindInfo {
        name: "K8sIngressAddress",
        summary: "waits until an Ingress has the host name of its load balancer",
        example: r#"(id: "ingress", run: K8sIngressAddress(cluster: Eks(name: "production-dr", region: "us-west-2"), namespace: "production", name: "web-app-ingress"))"#,
        reversibility: Reversibility::ReadOnly,
        params: &[
            Field::new("cluster", FieldType::Json, Cluster::DOC),
            Field::new("namespace", FieldType::Text, "the Ingress' namespace"),
            Field::new("name", FieldType::Text, "the Ingress"),
        ],
        outputs: &[Field::new("hostname", FieldType::Text, "the load balancer's host name, or its address where it has none")],
        before: &[],
        iam: Iam { read: &["eks:DescribeCluster", "eks:ListClusters"], apply: &[], compensate: &[], ready: &[] },
        rbac: Rbac { read: &["get,list ingresses.networking.k8s.io", readiness::GET_NAMESPACES], apply: &[], compensate: &[] },
        facts: &[
            "the address comes from the ingress controller: without one there will never be any, and the step's timeout says so",
            "the load balancer's certificate is for the application's name: check it with HttpCheck's connect_to",
        ],
        typical: Duration::from_secs(60),
        timeout: Duration::from_secs(10 * 60),
    };

    async fn observe(&self, cx: &StepContext<Cloud>, _intent: Option<&()>) -> Result<Observed<()>, StepFailure> {
        self.address(cx).await.map(|_| Observed::Satisfied(()))
    }

    async fn readiness(&self, cx: &StepContext<Cloud>, _objectives: &Objectives) -> Result<Vec<Check>, StepFailure> {
        readiness::namespace(cx, &self.cluster, &self.namespace).await
    }

    async fn apply(&self, _cx: &StepContext<Cloud>, _before: &()) -> Result<(), StepFailure> {
        nothing_to_apply(&Self::INFO)
    }

    async fn settle(&self, cx: &StepContext<Cloud>, _before: &(), _handle: Option<&()>) -> Result<Fields, StepFailure> {
        let hostname = poll::until(cx, Self::INFO.typical, |_| async move {
            Ok(match self.address(cx).await? {
                Some(hostname) => Look::Done(hostname),
                None => Look::Waiting(format!(
                    "ingress {}/{} to have an address: its controller gives it one, does it run? kubectl describe ingress {} -n {}",
                    self.namespace, self.name, self.name, self.namespace
                )),
            })
        })
        .await?;
        Ok(fields([("hostname", json!(hostname))]))
    }

    async fn compensate(&self, _cx: &StepContext<Cloud>, _before: &(), _handle: Option<&()>) -> Result<(), StepFailure> {
        nothing_to_apply(&Self::INFO)
    }
}

impl K8sIngressAddress {
    async fn address(&self, cx: &StepContext<Cloud>) -> Result<Option<String>, StepFailure> {
        let kubernetes = Kubernetes::reach(cx, &self.cluster).await?;
        let ingresses: Api<Ingress> = kubernetes.namespaced(&self.namespace);
        let what = format!("read ingress {}/{}", self.namespace, self.name);
        if let Some(ingress) = kubernetes.find(&what, ingresses.get(&self.name)).await? {
            return Ok(address_of(&ingress));
        }
        let all = kubernetes.list(&format!("list the ingresses of {}", self.namespace), &ingresses, None).await.unwrap_or_default();
        let near = nearest(&self.name, all.iter().filter_map(|ingress| ingress.metadata.name.as_deref()));
        let hint = near.map_or_else(|| "check the namespace; is it restored already?".to_owned(), |near| format!("did you mean {near}?"));
        Err(StepFailure::permanent(format!("there is no ingress {}/{} in {}", self.namespace, self.name, self.cluster)).hint(hint))
    }
}

fn address_of(ingress: &Ingress) -> Option<String> {
    let balancer = ingress.status.as_ref()?.load_balancer.as_ref()?;
    let first = balancer.ingress.as_ref()?.first()?;
    first.hostname.clone().or_else(|| first.ip.clone()).filter(|address| !address.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_name_or_a_number() {
        let ingress =
            |status: serde_json::Value| serde_json::from_value::<Ingress>(json!({ "metadata": {}, "status": status })).expect("one");
        let with = |entry: serde_json::Value| address_of(&ingress(json!({ "loadBalancer": { "ingress": [entry] } })));
        assert_eq!(with(json!({ "hostname": "k8s-1.elb.amazonaws.com" })).as_deref(), Some("k8s-1.elb.amazonaws.com"));
        assert_eq!(with(json!({ "ip": "192.0.2.1" })).as_deref(), Some("192.0.2.1"));
        assert_eq!(address_of(&ingress(json!({ "loadBalancer": {} }))), None);
    }
}
