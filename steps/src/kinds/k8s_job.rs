//! `K8sJob`: runs a Job from a manifest file once, such as a migration or a smoke test, and waits for its end.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, LogParams, PostParams};
use serde::{Deserialize, Serialize};
use serde_json::json;
use wf_engine::model::definition::Objectives;
use wf_engine::model::event::{Fields, StepFailure};
use wf_engine::readiness::Check;
use wf_engine::step::{Field, FieldType, Iam, KindInfo, Observed, Rbac, Reversibility, StepContext, StepKind, fields};

use crate::aws::Cloud;
use crate::aws::poll::{self, Look};
use crate::k8s::manifest::Manifest;
use crate::k8s::workload::{pods, why_not_ready};
use crate::k8s::{Cluster, Kubernetes, MANAGER, readiness};

/// Runs a Job.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct K8sJob {
    /// The cluster.
    pub cluster: Cluster,
    /// The file that holds the Job.
    pub manifest: PathBuf,
    /// The Job's namespace.
    pub namespace: String,
}

/// The Job to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobPlanned {
    /// Its name.
    pub job: String,
    /// The hash of its manifest.
    pub manifest: String,
}

/// How much of a failed Job's log is told.
const LOG_LINES: i64 = 15;
const LOG_LEN_MAX: usize = 2000;
/// Names of Kubernetes' Jobs are at most 63 characters; this many are left to the name in the manifest.
const NAME_LEN_MAX: usize = 36;

#[async_trait]
impl StepKind for K8sJob {
    type Env = Cloud;
    type Before = JobPlanned;
    type Handle = ();

    const INFO: KindInfo = KindInfo {
        name: "K8sJob",
        summary: "runs a Kubernetes Job from a manifest file and waits for its end",
        example: r#"(id: "smoke", run: K8sJob(cluster: Eks(name: "production-dr", region: "us-west-2"), namespace: "production", manifest: "workflows/k8s/smoke-test.yaml"))"#,
        reversibility: Reversibility::Reversible,
        params: &[
            Field::new("cluster", FieldType::Json, Cluster::DOC),
            Field::new("manifest", FieldType::Text, "a YAML file with one Job; its name gets an ending that names run and step"),
            Field::new("namespace", FieldType::Text, "the Job's namespace"),
        ],
        outputs: &[Field::new("job", FieldType::Text, "the Job's name")],
        before: &[Field::new("job", FieldType::Text, "the Job's name")],
        iam: Iam { read: &["eks:DescribeCluster", "eks:ListClusters"], apply: &[], compensate: &[], ready: &[] },
        rbac: Rbac {
            read: &["get jobs.batch", "list pods", "get pods/log", readiness::GET_NAMESPACES],
            apply: &["create jobs.batch"],
            compensate: &["delete jobs.batch"],
        },
        facts: &[
            "the Job is named after run and step, so that a repeated call finds it and it runs once; its own backoffLimit is its business",
            "a Job that fails tells the end of its log",
            "a rollback deletes the Job and its pods; what it did to the world stays",
        ],
        typical: Duration::from_secs(60),
        timeout: Duration::from_secs(30 * 60),
    };

    async fn observe(&self, cx: &StepContext<Cloud>, intent: Option<&JobPlanned>) -> Result<Observed<JobPlanned>, StepFailure> {
        let planned = match intent {
            Some(planned) => planned.clone(),
            None => self.planned(cx)?,
        };
        let kubernetes = Kubernetes::reach(cx, &self.cluster).await?;
        let found = kubernetes.find(&self.doing("read", &planned.job), self.jobs(&kubernetes).get(&planned.job)).await?;
        Ok(if found.is_some() { Observed::Satisfied(planned) } else { Observed::Differs(planned) })
    }

    async fn readiness(&self, cx: &StepContext<Cloud>, _objectives: &Objectives) -> Result<Vec<Check>, StepFailure> {
        readiness::namespace(cx, &self.cluster, &self.namespace).await
    }

    async fn apply(&self, cx: &StepContext<Cloud>, before: &JobPlanned) -> Result<(), StepFailure> {
        let (mut job, manifest) = self.read()?;
        manifest.must_be(&before.manifest, &self.manifest)?;
        job.metadata.name = Some(before.job.clone());
        job.metadata.namespace = Some(self.namespace.clone());
        job.metadata.labels.get_or_insert_default().insert("app.kubernetes.io/managed-by".to_owned(), MANAGER.to_owned());
        let annotations = job.metadata.annotations.get_or_insert_default();
        annotations.insert("wf.dr/run".to_owned(), cx.run.to_string());
        annotations.insert("wf.dr/step".to_owned(), cx.step.to_string());
        let kubernetes = Kubernetes::reach(cx, &self.cluster).await?;
        // One of that name is ours, from an attempt whose answer was lost.
        kubernetes.create(&self.doing("start", &before.job), self.jobs(&kubernetes).create(&PostParams::default(), &job)).await.map(drop)
    }

    async fn settle(&self, cx: &StepContext<Cloud>, before: &JobPlanned, _handle: Option<&()>) -> Result<Fields, StepFailure> {
        poll::until(cx, Self::INFO.typical, |_| self.look(cx, &before.job)).await?;
        Ok(fields([("job", json!(before.job))]))
    }

    async fn compensate(&self, cx: &StepContext<Cloud>, before: &JobPlanned, _handle: Option<&()>) -> Result<(), StepFailure> {
        let kubernetes = Kubernetes::reach(cx, &self.cluster).await?;
        let (jobs, params) = (self.jobs(&kubernetes), DeleteParams::background());
        kubernetes.delete(&self.doing("delete", &before.job), jobs.delete(&before.job, &params)).await.map(drop)
    }
}

impl K8sJob {
    fn jobs(&self, kubernetes: &Kubernetes<'_>) -> Api<Job> {
        kubernetes.namespaced(&self.namespace)
    }

    fn doing(&self, doing: &str, job: &str) -> String {
        format!("{doing} job {}/{job}", self.namespace)
    }

    /// Names the Job after run and step.
    fn planned(&self, cx: &StepContext<Cloud>) -> Result<JobPlanned, StepFailure> {
        let (job, Manifest { hash: manifest, .. }) = self.read()?;
        let name: String = job.metadata.name.unwrap_or_default().chars().take(NAME_LEN_MAX).collect();
        let token = cx.token();
        Ok(JobPlanned { job: format!("{}-{}", name.trim_end_matches(['-', '.']), &token[token.len() - 24..]), manifest })
    }

    /// Reads the one Job of the manifest.
    fn read(&self) -> Result<(Job, Manifest), StepFailure> {
        let manifest = Manifest::read(&self.manifest)?;
        let no_job = |why: String| StepFailure::permanent(format!("the manifest {} is not one Job", self.manifest.display())).because(why);
        let [object] = manifest.objects.as_slice() else {
            return Err(no_job(format!("it holds {} objects", manifest.objects.len())));
        };
        let types = object.types.as_ref().map(|types| (types.api_version.as_str(), types.kind.as_str()));
        if types != Some(("batch/v1", "Job")) {
            return Err(no_job(format!("it holds {}", crate::k8s::manifest::named(object))));
        }
        let job = serde_json::to_value(object).and_then(serde_json::from_value).map_err(|error| no_job(error.to_string()))?;
        Ok((job, manifest))
    }

    async fn look(&self, cx: &StepContext<Cloud>, name: &str) -> Result<Look<()>, StepFailure> {
        let kubernetes = Kubernetes::reach(cx, &self.cluster).await?;
        let Some(job) = kubernetes.find(&self.doing("read", name), self.jobs(&kubernetes).get(name)).await? else {
            let failure = StepFailure::permanent(format!("job {}/{name} is not there any more: nobody knows how it ended", self.namespace));
            return Ok(Look::GiveUp(failure.hint("a Job with ttlSecondsAfterFinished may be gone before it is looked at")));
        };
        let status = job.status.unwrap_or_default();
        let is = |wanted: &str| {
            let conditions = status.conditions.as_deref().unwrap_or_default();
            conditions.iter().find(|condition| condition.type_ == wanted && condition.status == "True")
        };
        if is("Complete").is_some() {
            return Ok(Look::Done(()));
        }
        if let Some(failed) = is("Failed") {
            let why = failed.message.as_deref().or(failed.reason.as_deref()).unwrap_or("no reason given");
            let failure = StepFailure::permanent(format!("job {}/{name} has failed: {why}", self.namespace));
            return Ok(Look::GiveUp(self.with_log(&kubernetes, failure, name).await));
        }
        let all = pods(&kubernetes, &self.namespace, &format!("job-name={name}")).await?;
        let why = all.iter().find_map(why_not_ready).unwrap_or_else(|| "runs".to_owned());
        Ok(Look::Waiting(format!("{why}, {} failed so far", status.failed.unwrap_or_default())))
    }

    /// Adds the end of the log of the Job's last pod to a failure.
    async fn with_log(&self, kubernetes: &Kubernetes<'_>, failure: StepFailure, name: &str) -> StepFailure {
        let hint = format!("`kubectl logs job/{name} -n {}` tells the rest", self.namespace);
        let mut all = pods(kubernetes, &self.namespace, &format!("job-name={name}")).await.unwrap_or_default();
        all.sort_by_key(|pod| pod.metadata.creation_timestamp.as_ref().map(|at| at.0));
        let Some(pod) = all.last().and_then(|pod| pod.metadata.name.as_deref()) else {
            return failure.hint(hint);
        };
        let logs: Api<Pod> = kubernetes.namespaced(&self.namespace);
        let params = LogParams { tail_lines: Some(LOG_LINES), ..LogParams::default() };
        match kubernetes.find(&format!("read the log of pod {}/{pod}", self.namespace), logs.logs(pod, &params)).await {
            Ok(Some(log)) => failure.because(tail(&log)).hint(hint),
            Ok(None) | Err(_) => failure.hint(hint),
        }
    }
}

/// Returns the end of a log, at a character's border.
fn tail(log: &str) -> String {
    let log = log.trim_end();
    let mut from = log.len().saturating_sub(LOG_LEN_MAX);
    while !log.is_char_boundary(from) {
        from += 1;
    }
    log[from..].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_log_is_cut_at_a_character() {
        assert_eq!(tail("ok\n"), "ok");
        let long = format!("{}é", "ä".repeat(LOG_LEN_MAX));
        assert!(tail(&long).len() <= LOG_LEN_MAX && tail(&long).ends_with('é'));
    }
}
