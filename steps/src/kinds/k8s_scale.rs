//! `K8sScale`: sets how many pods a Deployment or StatefulSet has, and moves the bounds of an autoscaler that would set it back.

use std::time::Duration;

use async_trait::async_trait;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::api::{Api, Patch, PatchParams};
use serde::{Deserialize, Serialize};
use serde_json::json;
use wf_engine::model::definition::Objectives;
use wf_engine::model::event::{Fields, StepFailure};
use wf_engine::readiness::Check;
use wf_engine::step::{Change, Field, FieldType, Iam, KindInfo, Observed, Rbac, Reversibility, StepContext, StepKind, fields};

use crate::aws::Cloud;
use crate::aws::poll::{self, Look};
use crate::k8s::workload::{Rollout, WorkloadKind, replicas, rollout};
use crate::k8s::{Cluster, Kubernetes, MANAGER, readiness};

/// Scales a workload.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct K8sScale {
    /// The cluster.
    pub cluster: Cluster,
    /// The workload's namespace.
    pub namespace: String,
    /// What it is.
    pub kind: WorkloadKind,
    /// The workload.
    pub name: String,
    /// How many pods it is to have.
    pub replicas: i32,
}

/// How many pods the workload had, and how many its autoscaler gives it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScaleBefore {
    /// Its replicas.
    pub replicas: i64,
    /// Its autoscaler, if it has one.
    pub autoscaler: Option<Bounds>,
}

/// The bounds of an autoscaler.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bounds {
    /// Its name.
    pub name: String,
    /// The fewest replicas.
    pub min: i32,
    /// The most replicas.
    pub max: i32,
}

impl Bounds {
    /// Moves the bounds so that an autoscaler leaves `replicas` alone, or gives more by load. With no replicas it does nothing by itself.
    fn letting(&self, replicas: i32) -> Self {
        if replicas == 0 { self.clone() } else { Self { min: replicas, max: self.max.max(replicas), name: self.name.clone() } }
    }
}

#[async_trait]
impl StepKind for K8sScale {
    type Env = Cloud;
    type Before = ScaleBefore;
    type Handle = ();

    const INFO: KindInfo = KindInfo {
        name: "K8sScale",
        summary: "sets the replicas of a Deployment or StatefulSet, with the bounds of its autoscaler",
        example: r#"(id: "scale_web", run: K8sScale(cluster: Eks(name: "production-dr", region: "us-west-2"), namespace: "production", kind: Deployment, name: "web-app", replicas: 8))"#,
        reversibility: Reversibility::Reversible,
        params: &[
            Field::new("cluster", FieldType::Json, Cluster::DOC),
            Field::new("namespace", FieldType::Text, "the workload's namespace"),
            Field::new("kind", FieldType::Text, "Deployment or StatefulSet"),
            Field::new("name", FieldType::Text, "the workload"),
            Field::new("replicas", FieldType::Integer, "how many pods it is to have"),
        ],
        outputs: &[Field::new("replicas", FieldType::Integer, "how many pods it is to have")],
        before: &[Field::new("replicas", FieldType::Integer, "how many pods it was to have before")],
        iam: Iam { read: &["eks:DescribeCluster", "eks:ListClusters"], apply: &[], compensate: &[], ready: &[] },
        rbac: Rbac {
            read: &["get deployments.apps,statefulsets.apps", "list horizontalpodautoscalers.autoscaling", readiness::GET_NAMESPACES],
            apply: &["patch deployments.apps/scale,statefulsets.apps/scale", "patch horizontalpodautoscalers.autoscaling"],
            compensate: &[],
        },
        facts: &[
            "an autoscaler would set the replicas back: its least becomes what is asked for, its most at least that, and both are restored by a rollback",
            "with no replicas an autoscaler does nothing, so its bounds stay",
            "a GitOps controller sets replicas back too, and is not looked for: suspend it first",
        ],
        typical: Duration::from_secs(60),
        timeout: Duration::from_secs(15 * 60),
    };

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.replicas < 0 {
            problems.push(format!("`replicas` is {}: it cannot be negative", self.replicas));
        }
        if self.kind == WorkloadKind::DaemonSet {
            problems.push("a DaemonSet has a pod a node, and cannot be scaled".to_owned());
        }
        problems
    }

    fn changes(&self, before: &ScaleBefore) -> Vec<Change> {
        Change::if_other("replicas", &before.replicas, Some(&self.replicas.into())).into_iter().collect()
    }

    async fn observe(&self, cx: &StepContext<Cloud>, intent: Option<&ScaleBefore>) -> Result<Observed<ScaleBefore>, StepFailure> {
        let kubernetes = Kubernetes::reach(cx, &self.cluster).await?;
        let now = ScaleBefore { replicas: self.replicas_now(&kubernetes).await?, autoscaler: self.autoscaler(&kubernetes).await? };
        let as_wished = now == self.wished(&now);
        let before = intent.cloned().unwrap_or(now);
        Ok(if as_wished { Observed::Satisfied(before) } else { Observed::Differs(before) })
    }

    async fn readiness(&self, cx: &StepContext<Cloud>, _objectives: &Objectives) -> Result<Vec<Check>, StepFailure> {
        readiness::namespace(cx, &self.cluster, &self.namespace).await
    }

    async fn apply(&self, cx: &StepContext<Cloud>, before: &ScaleBefore) -> Result<(), StepFailure> {
        self.set(&Kubernetes::reach(cx, &self.cluster).await?, &self.wished(before)).await
    }

    async fn settle(&self, cx: &StepContext<Cloud>, _before: &ScaleBefore, _handle: Option<&()>) -> Result<Fields, StepFailure> {
        poll::until(cx, Self::INFO.typical, |_| self.look(cx)).await?;
        Ok(fields([("replicas", json!(self.replicas))]))
    }

    async fn compensate(&self, cx: &StepContext<Cloud>, before: &ScaleBefore, _handle: Option<&()>) -> Result<(), StepFailure> {
        self.set(&Kubernetes::reach(cx, &self.cluster).await?, before).await
    }
}

impl std::fmt::Display for K8sScale {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

impl K8sScale {
    fn wished(&self, from: &ScaleBefore) -> ScaleBefore {
        let autoscaler = from.autoscaler.as_ref().map(|bounds| bounds.letting(self.replicas));
        ScaleBefore { replicas: self.replicas.into(), autoscaler }
    }

    async fn read(&self, kubernetes: &Kubernetes<'_>) -> Result<kube::api::DynamicObject, StepFailure> {
        let workloads = self.kind.api(kubernetes, &self.namespace);
        let found = kubernetes.find(&format!("read {self}"), workloads.get(&self.name)).await?;
        found.ok_or_else(|| {
            StepFailure::permanent(format!("there is no {self} in {}", self.cluster))
                .hint("check the name and the namespace; is it restored already?")
        })
    }

    async fn replicas_now(&self, kubernetes: &Kubernetes<'_>) -> Result<i64, StepFailure> {
        self.read(kubernetes).await.map(|object| replicas(&object))
    }

    /// Finds the autoscaler of the workload.
    async fn autoscaler(&self, kubernetes: &Kubernetes<'_>) -> Result<Option<Bounds>, StepFailure> {
        let all = kubernetes.list(&format!("list the autoscalers of {}", self.namespace), &self.autoscalers(kubernetes), None).await?;
        Ok(all.into_iter().find_map(|autoscaler| {
            let spec = autoscaler.spec?;
            let ours = spec.scale_target_ref.name == self.name && spec.scale_target_ref.kind.eq_ignore_ascii_case(&self.kind.to_string());
            let bounds = || Some(Bounds { name: autoscaler.metadata.name?, min: spec.min_replicas.unwrap_or(1), max: spec.max_replicas });
            ours.then(bounds)?
        }))
    }

    fn autoscalers(&self, kubernetes: &Kubernetes<'_>) -> Api<HorizontalPodAutoscaler> {
        kubernetes.namespaced(&self.namespace)
    }

    /// Sets the bounds first: between the two calls the autoscaler would set the replicas back otherwise.
    async fn set(&self, kubernetes: &Kubernetes<'_>, wished: &ScaleBefore) -> Result<(), StepFailure> {
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        if let Some(Bounds { name, min, max }) = &wished.autoscaler {
            let patch = Patch::Merge(json!({ "spec": { "minReplicas": min, "maxReplicas": max } }));
            let what = format!("move the bounds of autoscaler {}/{name} to {min} and {max}", self.namespace);
            kubernetes.change(&what, self.autoscalers(kubernetes).patch(name, &params, &patch)).await?;
        }
        let patch = Patch::Merge(json!({ "spec": { "replicas": wished.replicas } }));
        let what = format!("scale {self} to {}", wished.replicas);
        kubernetes.change(&what, self.kind.api(kubernetes, &self.namespace).patch_scale(&self.name, &params, &patch)).await.map(drop)
    }

    async fn look(&self, cx: &StepContext<Cloud>) -> Result<Look<()>, StepFailure> {
        let object = self.read(&Kubernetes::reach(cx, &self.cluster).await?).await?;
        Ok(match rollout(self.kind, &object) {
            Rollout::Done => Look::Done(()),
            Rollout::Going(said) => Look::Waiting(said),
            Rollout::Stuck(said) => Look::GiveUp(StepFailure::permanent(format!("{self} does not get its pods: {said}"))),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_autoscaler_is_kept_from_setting_the_replicas_back() {
        let bounds = Bounds { name: "web".to_owned(), min: 2, max: 4 };
        assert_eq!(bounds.letting(6), Bounds { min: 6, max: 6, ..bounds.clone() });
        assert_eq!(bounds.letting(3), Bounds { min: 3, max: 4, ..bounds.clone() });
        assert_eq!(bounds.letting(0), bounds);
    }
}
