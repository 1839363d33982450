//! `VeleroBackup`: takes a fresh backup, before the way home for instance.

use std::time::Duration;

use async_trait::async_trait;
use kube::api::{Api, DynamicObject, PostParams};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use wf_engine::model::definition::Objectives;
use wf_engine::model::event::{Fields, StepFailure};
use wf_engine::readiness::Check;
use wf_engine::step::{Change, Field, FieldType, Iam, KindInfo, Observed, Rbac, Reversibility, StepContext, StepKind, fields};
use wf_engine::units::Span;

use crate::aws::Cloud;
use crate::aws::poll::{self, Look};
use crate::k8s::velero::{self, Progress, count, phase};
use crate::k8s::{Cluster, Kubernetes, MANAGER};

/// Takes a backup with Velero.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VeleroBackup {
    /// The cluster.
    pub cluster: Cluster,
    /// Velero's own namespace.
    #[serde(default = "default_namespace")]
    pub namespace: String,
    /// The schedule whose settings it takes over, and to whose backups it counts.
    #[serde(default)]
    pub schedule: Option<String>,
    /// The namespaces to back up, without a schedule.
    #[serde(default)]
    pub included_namespaces: Vec<String>,
    /// How long it is kept.
    #[serde(default)]
    pub ttl: Option<Span>,
}

fn default_namespace() -> String {
    velero::NAMESPACE.to_owned()
}

/// The backup to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Planned {
    /// Its name.
    pub backup: String,
}

#[async_trait]
impl StepKind for VeleroBackup {
    type Env = Cloud;
    type Before = Planned;
    type Handle = ();

    const INFO: KindInfo = KindInfo {
        name: "VeleroBackup",
        summary: "takes a Velero backup by the settings of a schedule, or of namespaces",
        example: r#"(id: "backup", run: VeleroBackup(cluster: Eks(name: "production-primary", region: "us-east-1"), schedule: "production-backup"))"#,
        reversibility: Reversibility::Reversible,
        params: &[
            Field::new("cluster", FieldType::Json, Cluster::DOC),
            Field::new("namespace", FieldType::Text, "Velero's own namespace; default \"velero\""),
            Field::new("schedule", FieldType::Text, "the schedule whose settings it takes over, and to whose backups it counts"),
            Field::new("included_namespaces", FieldType::Json, "the namespaces to back up, instead of a schedule's"),
            Field::new("ttl", FieldType::Text, "how long it is kept, such as \"720h\"; default: as the schedule says"),
        ],
        outputs: &[
            Field::new("backup", FieldType::Text, "the backup's name"),
            Field::new("warnings", FieldType::Integer, "how many warnings Velero counted"),
        ],
        before: &[Field::new("backup", FieldType::Text, "the backup's name")],
        iam: Iam { read: &["eks:DescribeCluster", "eks:ListClusters"], apply: &[], compensate: &[], ready: &[] },
        rbac: Rbac {
            read: &["get backups.velero.io,schedules.velero.io", velero::LIST_LOCATIONS],
            apply: &["create backups.velero.io"],
            compensate: &[],
        },
        facts: &[
            "the backup is named after run and step, so that a repeated call finds it and there is one",
            "`PartiallyFailed` is no success: what is missing would be missed after a restore",
            "another cluster sees the backup when its Velero has looked into the shared bucket again, a minute later by default",
            "a backup harms nobody: it stays when the step is rolled back, for as long as its ttl says",
        ],
        typical: Duration::from_secs(4 * 60),
        timeout: Duration::from_secs(60 * 60),
    };

    fn problems(&self) -> Vec<String> {
        match (&self.schedule, self.included_namespaces.is_empty()) {
            (None, true) => vec!["neither `schedule` nor `included_namespaces` says what to back up".to_owned()],
            (Some(_), false) => vec!["`schedule` and `included_namespaces` exclude each other".to_owned()],
            (Some(_), true) | (None, false) => Vec::new(),
        }
    }

    fn changes(&self, _before: &Planned) -> Vec<Change> {
        let of = self.schedule.clone().unwrap_or_else(|| self.included_namespaces.join(", "));
        vec![Change::new("a backup", "", format!("of {of}"))]
    }

    async fn observe(&self, cx: &StepContext<Cloud>, intent: Option<&Planned>) -> Result<Observed<Planned>, StepFailure> {
        let kubernetes = Kubernetes::reach(cx, &self.cluster).await?;
        let Some(planned) = intent else {
            self.spec(&kubernetes).await?;
            return Ok(Observed::Differs(Planned { backup: cx.token() }));
        };
        let found = self.find(&kubernetes, &planned.backup).await?;
        Ok(if found.is_some() { Observed::Satisfied(planned.clone()) } else { Observed::Differs(planned.clone()) })
    }

    async fn readiness(&self, cx: &StepContext<Cloud>, _objectives: &Objectives) -> Result<Vec<Check>, StepFailure> {
        let kubernetes = Kubernetes::reach(cx, &self.cluster).await?;
        let spec = self.spec(&kubernetes).await?;
        let name = spec["storageLocation"].as_str().filter(|name| !name.is_empty());
        Ok(vec![velero::location(&kubernetes, &self.cluster, &self.namespace, name).await])
    }

    async fn apply(&self, cx: &StepContext<Cloud>, before: &Planned) -> Result<(), StepFailure> {
        let kubernetes = Kubernetes::reach(cx, &self.cluster).await?;
        let mut backup = DynamicObject::new(&before.backup, &velero::velero("Backup", "backups"));
        let mut labels = vec![("app.kubernetes.io/managed-by".to_owned(), MANAGER.to_owned())];
        labels.extend(self.schedule.iter().map(|schedule| (velero::SCHEDULE_LABEL.to_owned(), schedule.clone())));
        backup.metadata.labels = Some(labels.into_iter().collect());
        backup.metadata.annotations =
            Some([("wf.dr/run".to_owned(), cx.run.to_string()), ("wf.dr/step".to_owned(), cx.step.to_string())].into());
        backup.data = json!({ "spec": self.spec(&kubernetes).await? });
        let what = format!("start backup {}", before.backup);
        // One of that name is ours, from an attempt whose answer was lost.
        kubernetes.create(&what, self.backups(&kubernetes).create(&PostParams::default(), &backup)).await.map(drop)
    }

    async fn settle(&self, cx: &StepContext<Cloud>, before: &Planned, _handle: Option<&()>) -> Result<Fields, StepFailure> {
        let backup = poll::until(cx, Self::INFO.typical, |_| self.look(cx, &before.backup)).await?;
        Ok(fields([("backup", json!(before.backup)), ("warnings", json!(count(&backup, "/status/warnings")))]))
    }

    async fn compensate(&self, _cx: &StepContext<Cloud>, _before: &Planned, _handle: Option<&()>) -> Result<(), StepFailure> {
        Ok(())
    }
}

impl VeleroBackup {
    fn backups(&self, kubernetes: &Kubernetes<'_>) -> Api<DynamicObject> {
        kubernetes.custom(&self.namespace, &velero::velero("Backup", "backups"))
    }

    async fn find(&self, kubernetes: &Kubernetes<'_>, name: &str) -> Result<Option<DynamicObject>, StepFailure> {
        kubernetes.find(&format!("read backup {name}"), self.backups(kubernetes).get(name)).await
    }

    /// Returns what is backed up: the template of the schedule, or the namespaces.
    async fn spec(&self, kubernetes: &Kubernetes<'_>) -> Result<Value, StepFailure> {
        let mut spec = match &self.schedule {
            None => json!({ "includedNamespaces": self.included_namespaces }),
            Some(name) => {
                let schedules = kubernetes.custom(&self.namespace, &velero::velero("Schedule", "schedules"));
                let found = kubernetes.find(&format!("read schedule {name}"), schedules.get(name)).await?;
                let found = found.and_then(|schedule| velero::at(&schedule, "/spec/template").cloned());
                found.ok_or_else(|| {
                    StepFailure::permanent(format!("there is no schedule {name} in namespace {} of {}", self.namespace, self.cluster))
                        .hint(format!("`kubectl get schedules.velero.io -n {}` lists them", self.namespace))
                })?
            }
        };
        if let Some(ttl) = self.ttl {
            spec["ttl"] = json!(format!("{}s", ttl.0.as_secs()));
        }
        Ok(spec)
    }

    async fn look(&self, cx: &StepContext<Cloud>, name: &str) -> Result<Look<DynamicObject>, StepFailure> {
        let kubernetes = Kubernetes::reach(cx, &self.cluster).await?;
        let Some(backup) = self.find(&kubernetes, name).await? else {
            return Ok(Look::GiveUp(StepFailure::permanent(format!("backup {name} is not there any more")).hint("somebody deleted it")));
        };
        let failed = |reasons: Vec<String>| {
            let errors = count(&backup, "/status/errors");
            let failure = StepFailure::permanent(format!("backup {name} is `{}`, with {errors} errors", phase(&backup)));
            let hint = format!("`velero backup describe {name} --details -n {}` tells more", self.namespace);
            Look::GiveUp(reasons.into_iter().fold(failure, StepFailure::because).hint(hint))
        };
        Ok(match velero::progress(&backup, "itemsBackedUp") {
            Progress::Partial => failed(Vec::new()),
            Progress::Failed(reasons) => failed(reasons),
            Progress::Going(said) => Look::Waiting(format!("backup {said}")),
            Progress::Completed => Look::Done(backup),
        })
    }
}
