//! `K8sRolloutRestart`: starts the pods of workloads anew, a few at a time, and waits until the new ones serve.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use kube::api::{DynamicObject, Patch, PatchParams};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use wf_engine::model::definition::Objectives;
use wf_engine::model::event::{Fields, StepFailure};
use wf_engine::readiness::Check;
use wf_engine::step::{Change, Field, FieldType, Iam, KindInfo, Observed, Rbac, Reversibility, StepContext, StepKind, fields};

use crate::aws::Cloud;
use crate::aws::poll::{self, Look};
use crate::k8s::workload::{Rollout, WorkloadKind, pod_selector, pods, rollout, why_not_ready};
use crate::k8s::{Cluster, Kubernetes, MANAGER, readiness};

/// Restarts workloads.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct K8sRolloutRestart {
    /// The cluster.
    pub cluster: Cluster,
    /// The workloads' namespace.
    pub namespace: String,
    /// What they are.
    pub kind: WorkloadKind,
    /// The one to restart.
    #[serde(default)]
    pub name: Option<String>,
    /// Those to restart.
    #[serde(default)]
    pub selector: Option<String>,
}

/// Which workloads are restarted, and by which mark.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Restart {
    /// The instant that goes into their templates.
    pub at: Timestamp,
    /// Their names.
    pub names: Vec<String>,
}

/// Where `kubectl rollout restart` puts its mark, too.
const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";
/// How many pods are named that keep a rollout from its end.
const PODS_MAX: usize = 4;

#[async_trait]
impl StepKind for K8sRolloutRestart {
    type Env = Cloud;
    type Before = Restart;
    type Handle = ();

    const INFO: KindInfo = KindInfo {
        name: "K8sRolloutRestart",
        summary: "restarts workloads as `kubectl rollout restart` does, and waits for the rollout",
        example: r#"(id: "restart", run: K8sRolloutRestart(cluster: Eks(name: "production-dr", region: "us-west-2"), namespace: "production", kind: Deployment, name: "web-app"))"#,
        reversibility: Reversibility::Reversible,
        params: &[
            Field::new("cluster", FieldType::Json, Cluster::DOC),
            Field::new("namespace", FieldType::Text, "the workloads' namespace"),
            Field::new("kind", FieldType::Text, "Deployment, StatefulSet or DaemonSet"),
            Field::new("name", FieldType::Text, "the one to restart"),
            Field::new("selector", FieldType::Text, "a label selector, instead of `name`: all that match, at least one"),
        ],
        outputs: &[Field::new("restarted", FieldType::Integer, "how many workloads were restarted")],
        before: &[Field::new("at", FieldType::Text, "the instant that marks the restart")],
        iam: Iam { read: &["eks:DescribeCluster", "eks:ListClusters"], apply: &[], compensate: &[], ready: &[] },
        rbac: Rbac {
            read: &["get,list deployments.apps,statefulsets.apps,daemonsets.apps", "list pods", readiness::GET_NAMESPACES],
            apply: &["patch deployments.apps,statefulsets.apps,daemonsets.apps"],
            compensate: &[],
        },
        facts: &[
            "the mark in the pods' template is one of the run's, so that a repeated call starts no second rollout",
            "done is what `kubectl rollout status` calls done, of the generation that the step made",
            "a rollout that exceeds its progress deadline fails at once, with the pods that are not ready and why",
            "a restart cannot be undone and needs not be: what the pods read when they start is set back by the steps that set it, followed by a restart",
        ],
        typical: Duration::from_secs(90),
        timeout: Duration::from_secs(15 * 60),
    };

    fn problems(&self) -> Vec<String> {
        match (&self.name, &self.selector) {
            (Some(_), None) | (None, Some(_)) => Vec::new(),
            (None, None) => vec!["neither `name` nor `selector` says what to restart".to_owned()],
            (Some(_), Some(_)) => vec!["`name` and `selector` exclude each other".to_owned()],
        }
    }

    fn changes(&self, before: &Restart) -> Vec<Change> {
        before.names.iter().map(|name| Change::new(name, "running", "restarted")).collect()
    }

    async fn observe(&self, cx: &StepContext<Cloud>, intent: Option<&Restart>) -> Result<Observed<Restart>, StepFailure> {
        let kubernetes = Kubernetes::reach(cx, &self.cluster).await?;
        let Some(intent) = intent else {
            let found = self.find(&kubernetes).await?;
            let names = found.into_iter().filter_map(|object| object.metadata.name).collect();
            return Ok(Observed::Differs(Restart { at: cx.clock.now(), names }));
        };
        let found = self.named(&kubernetes, &intent.names).await?;
        let marked = found.values().all(|object| mark(object) == Some(&intent.at.to_string()));
        Ok(if marked { Observed::Satisfied(intent.clone()) } else { Observed::Differs(intent.clone()) })
    }

    async fn readiness(&self, cx: &StepContext<Cloud>, _objectives: &Objectives) -> Result<Vec<Check>, StepFailure> {
        readiness::namespace(cx, &self.cluster, &self.namespace).await
    }

    async fn apply(&self, cx: &StepContext<Cloud>, before: &Restart) -> Result<(), StepFailure> {
        let kubernetes = Kubernetes::reach(cx, &self.cluster).await?;
        let workloads = self.kind.api(&kubernetes, &self.namespace);
        let annotations = json!({ RESTARTED_AT: before.at.to_string() });
        let patch = Patch::Merge(json!({ "spec": { "template": { "metadata": { "annotations": annotations } } } }));
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        for name in &before.names {
            kubernetes.change(&format!("restart {}", self.called(name)), workloads.patch(name, &params, &patch)).await?;
        }
        Ok(())
    }

    async fn settle(&self, cx: &StepContext<Cloud>, before: &Restart, _handle: Option<&()>) -> Result<Fields, StepFailure> {
        poll::until(cx, Self::INFO.typical, |_| self.look(cx, &before.names)).await?;
        Ok(fields([("restarted", json!(before.names.len()))]))
    }

    async fn compensate(&self, _cx: &StepContext<Cloud>, _before: &Restart, _handle: Option<&()>) -> Result<(), StepFailure> {
        Ok(())
    }
}

impl K8sRolloutRestart {
    fn called(&self, name: &str) -> String {
        format!("{} {}/{name}", self.kind, self.namespace)
    }

    /// Finds what is to be restarted, at least one.
    async fn find(&self, kubernetes: &Kubernetes<'_>) -> Result<Vec<DynamicObject>, StepFailure> {
        let found = match &self.name {
            Some(name) => self.named(kubernetes, std::slice::from_ref(name)).await?.into_values().collect(),
            None => {
                let what = format!("list the {}s of {}", self.kind, self.namespace);
                kubernetes.list(&what, &self.kind.api(kubernetes, &self.namespace), self.selector.as_deref()).await?
            }
        };
        let paused = found.iter().find(|object| object.data.pointer("/spec/paused") == Some(&Value::Bool(true)));
        if let Some(name) = paused.and_then(|object| object.metadata.name.as_deref()) {
            return Err(StepFailure::permanent(format!("{} is paused: it would not restart", self.called(name)))
                .hint(format!("kubectl rollout resume {}/{name} -n {}", self.kind, self.namespace)));
        }
        if found.is_empty() {
            let selector = self.selector.as_deref().unwrap_or_default();
            return Err(StepFailure::permanent(format!("no {} of {} matches `{selector}` in {}", self.kind, self.namespace, self.cluster))
                .hint("check the selector and the namespace; are the workloads restored already?"));
        }
        Ok(found)
    }

    async fn named(&self, kubernetes: &Kubernetes<'_>, names: &[String]) -> Result<BTreeMap<String, DynamicObject>, StepFailure> {
        let workloads = self.kind.api(kubernetes, &self.namespace);
        let mut found = BTreeMap::new();
        for name in names {
            match kubernetes.find(&format!("read {}", self.called(name)), workloads.get(name)).await? {
                Some(object) => _ = found.insert(name.clone(), object),
                None => {
                    return Err(StepFailure::permanent(format!("there is no {} in {}", self.called(name), self.cluster))
                        .hint("check the name and the namespace; is it restored already?"));
                }
            }
        }
        Ok(found)
    }

    async fn look(&self, cx: &StepContext<Cloud>, names: &[String]) -> Result<Look<()>, StepFailure> {
        let kubernetes = Kubernetes::reach(cx, &self.cluster).await?;
        let mut going = Vec::new();
        for (name, object) in self.named(&kubernetes, names).await? {
            match rollout(self.kind, &object) {
                Rollout::Done => {}
                Rollout::Going(said) => going.push(format!("{name}: {said}")),
                Rollout::Stuck(said) => {
                    let failure = StepFailure::permanent(format!("the rollout of {} does not come to its end: {said}", self.called(&name)));
                    let failure = failure.hint("what keeps the pods stands above; mend it, and then `wf resume` goes on waiting");
                    return Ok(Look::GiveUp(self.with_pods(&kubernetes, failure, &object).await));
                }
            }
        }
        Ok(if going.is_empty() { Look::Done(()) } else { Look::Waiting(going.join("; ")) })
    }

    /// Adds the pods that are not ready, and why, to a failure.
    async fn with_pods(&self, kubernetes: &Kubernetes<'_>, failure: StepFailure, object: &DynamicObject) -> StepFailure {
        match pods(kubernetes, &self.namespace, &pod_selector(object)).await {
            Ok(pods) => pods.iter().filter_map(why_not_ready).take(PODS_MAX).fold(failure, StepFailure::because),
            Err(_) => failure,
        }
    }
}

fn mark(object: &DynamicObject) -> Option<&String> {
    match object.data.pointer("/spec/template/metadata/annotations")?.get(RESTARTED_AT)? {
        Value::String(mark) => Some(mark),
        _ => None,
    }
}
