//! `K8sSuspendCronJobs`: keeps CronJobs from starting, or lets them start again.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use k8s_openapi::api::batch::v1::CronJob;
use kube::api::{Api, Patch, PatchParams};
use serde::{Deserialize, Serialize};
use serde_json::json;
use wf_engine::model::definition::Objectives;
use wf_engine::model::event::{Fields, StepFailure};
use wf_engine::readiness::Check;
use wf_engine::step::{Change, Field, FieldType, Iam, KindInfo, Observed, Rbac, Reversibility, StepContext, StepKind, fields};

use crate::aws::Cloud;
use crate::k8s::{Cluster, Kubernetes, MANAGER, readiness};

/// Suspends CronJobs, or resumes them.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct K8sSuspendCronJobs {
    /// The cluster.
    pub cluster: Cluster,
    /// Their namespace.
    pub namespace: String,
    /// Which of them.
    #[serde(default)]
    pub selector: Option<String>,
    /// Whether they are suspended or resumed.
    #[serde(default = "yes")]
    pub suspend: bool,
}

fn yes() -> bool {
    true
}

/// The CronJobs that the step changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CronJobsBefore {
    /// Whether each was suspended.
    pub suspended: BTreeMap<String, bool>,
}

#[async_trait]
impl StepKind for K8sSuspendCronJobs {
    type Env = Cloud;
    type Before = CronJobsBefore;
    type Handle = ();

    const INFO: KindInfo = KindInfo {
        name: "K8sSuspendCronJobs",
        summary: "suspends the CronJobs of a namespace, or resumes them",
        example: r#"(id: "quiet", run: K8sSuspendCronJobs(cluster: Eks(name: "production-primary", region: "us-east-1"), namespace: "production"))"#,
        reversibility: Reversibility::Reversible,
        params: &[
            Field::new("cluster", FieldType::Json, Cluster::DOC),
            Field::new("namespace", FieldType::Text, "their namespace"),
            Field::new("selector", FieldType::Text, "a label selector: which of them; default: all"),
            Field::new("suspend", FieldType::Bool, "true suspends, false resumes; default true"),
        ],
        outputs: &[Field::new("changed", FieldType::Integer, "how many had to be changed")],
        before: &[],
        iam: Iam { read: &["eks:DescribeCluster", "eks:ListClusters"], apply: &[], compensate: &[], ready: &[] },
        rbac: Rbac {
            read: &["list cronjobs.batch", readiness::GET_NAMESPACES],
            apply: &["patch cronjobs.batch"],
            compensate: &["get cronjobs.batch"],
        },
        facts: &[
            "a Job that a CronJob has started already goes on",
            "when a CronJob is resumed, Kubernetes may start what it missed, within its startingDeadlineSeconds",
        ],
        typical: Duration::from_secs(2),
        timeout: Duration::from_secs(120),
    };

    fn changes(&self, before: &CronJobsBefore) -> Vec<Change> {
        before.suspended.iter().map(|(name, suspended)| Change::new(format!("{name} suspended"), suspended, self.suspend)).collect()
    }

    async fn observe(&self, cx: &StepContext<Cloud>, intent: Option<&CronJobsBefore>) -> Result<Observed<CronJobsBefore>, StepFailure> {
        let kubernetes = Kubernetes::reach(cx, &self.cluster).await?;
        let what = format!("list the cron jobs of {}", self.namespace);
        let all = kubernetes.list(&what, &self.api(&kubernetes), self.selector.as_deref()).await?;
        let differ = all.iter().filter(|job| is_suspended(job) != self.suspend);
        let suspended: BTreeMap<_, _> = differ.filter_map(|job| Some((job.metadata.name.clone()?, is_suspended(job)))).collect();
        let as_wished = suspended.is_empty();
        // What was found at first is what is restored, and what differs now is changed as well.
        let before =
            CronJobsBefore { suspended: suspended.into_iter().chain(intent.cloned().into_iter().flat_map(|b| b.suspended)).collect() };
        Ok(if as_wished { Observed::Satisfied(before) } else { Observed::Differs(before) })
    }

    async fn readiness(&self, cx: &StepContext<Cloud>, _objectives: &Objectives) -> Result<Vec<Check>, StepFailure> {
        readiness::namespace(cx, &self.cluster, &self.namespace).await
    }

    async fn apply(&self, cx: &StepContext<Cloud>, before: &CronJobsBefore) -> Result<(), StepFailure> {
        let kubernetes = Kubernetes::reach(cx, &self.cluster).await?;
        for name in before.suspended.keys() {
            self.set(&kubernetes, name, self.suspend).await?;
        }
        Ok(())
    }

    async fn settle(&self, _cx: &StepContext<Cloud>, before: &CronJobsBefore, _handle: Option<&()>) -> Result<Fields, StepFailure> {
        Ok(fields([("changed", json!(before.suspended.len()))]))
    }

    async fn compensate(&self, cx: &StepContext<Cloud>, before: &CronJobsBefore, _handle: Option<&()>) -> Result<(), StepFailure> {
        let kubernetes = Kubernetes::reach(cx, &self.cluster).await?;
        for (name, suspended) in &before.suspended {
            // One that was deleted meanwhile has nothing to be restored.
            let what = format!("read cron job {}/{name}", self.namespace);
            if kubernetes.find(&what, self.api(&kubernetes).get(name)).await?.is_some_and(|job| is_suspended(&job) != *suspended) {
                self.set(&kubernetes, name, *suspended).await?;
            }
        }
        Ok(())
    }
}

impl K8sSuspendCronJobs {
    fn api(&self, kubernetes: &Kubernetes<'_>) -> Api<CronJob> {
        kubernetes.namespaced(&self.namespace)
    }

    async fn set(&self, kubernetes: &Kubernetes<'_>, name: &str, suspend: bool) -> Result<(), StepFailure> {
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        let patch = Patch::Merge(json!({ "spec": { "suspend": suspend } }));
        let what = format!("{} cron job {}/{name}", if suspend { "suspend" } else { "resume" }, self.namespace);
        kubernetes.change(&what, self.api(kubernetes).patch(name, &params, &patch)).await.map(drop)
    }
}

fn is_suspended(job: &CronJob) -> bool {
    job.spec.as_ref().and_then(|spec| spec.suspend).unwrap_or_default()
}
