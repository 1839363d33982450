//! `VeleroRestore`: brings the workloads of a backup into a cluster.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use kube::api::{Api, DynamicObject, PostParams};
use serde::{Deserialize, Serialize};
use serde_json::json;
use wf_engine::clock::between;
use wf_engine::model::definition::Objectives;
use wf_engine::model::event::{Fields, StepFailure};
use wf_engine::readiness::Check;
use wf_engine::step::{Change, Field, FieldType, Iam, KindInfo, Observed, Rbac, Reversibility, StepContext, StepKind, fields};
use wf_engine::units::Span;

use crate::aws::Cloud;
use crate::aws::poll::{self, Look};
use crate::k8s::velero::{self, Progress, count, instant, phase};
use crate::k8s::{Cluster, Kubernetes, MANAGER};

/// Restores a backup of Velero's.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VeleroRestore {
    /// The cluster to restore into.
    pub cluster: Cluster,
    /// Velero's own namespace.
    #[serde(default = "default_namespace")]
    pub namespace: String,
    /// Which backup.
    pub backup: Choice,
    /// How old the backup may be.
    #[serde(default)]
    pub max_age: Option<Span>,
    /// The namespaces to restore; all of the backup's by default.
    #[serde(default)]
    pub included_namespaces: Vec<String>,
    /// Whether a backup, or a restore, that failed in part will do.
    #[serde(default)]
    pub allow_partially_failed: bool,
}

fn default_namespace() -> String {
    velero::NAMESPACE.to_owned()
}

/// Which backup is restored.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Choice {
    /// The newest of a schedule that is complete.
    Newest {
        /// The schedule's name.
        schedule: String,
    },
    /// The one of this name.
    Named {
        /// The backup's name.
        name: String,
    },
}

/// The backup that was chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Chosen {
    /// Its name.
    pub backup: String,
    /// When it was taken.
    pub taken_at: Timestamp,
    /// How old it was then, in seconds: what the volumes lose.
    pub age: f64,
}

/// The restore that Velero works on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Restoring {
    /// Its name.
    pub restore: String,
}

/// What Velero's own client leaves out of every restore.
const EXCLUDED: [&str; 6] =
    ["nodes", "events", "events.events.k8s.io", "backups.velero.io", "restores.velero.io", "resticrepositories.velero.io"];

#[async_trait]
impl StepKind for VeleroRestore {
    type Env = Cloud;
    type Before = Chosen;
    type Handle = Restoring;

    const INFO: KindInfo = KindInfo {
        name: "VeleroRestore",
        summary: "restores the newest complete Velero backup of a schedule, or one by name",
        example: r#"(id: "restore", run: VeleroRestore(cluster: Eks(name: "production-dr", region: "us-west-2"), backup: Newest(schedule: "production-backup"), max_age: "26h"))"#,
        reversibility: Reversibility::Reversible,
        params: &[
            Field::new("cluster", FieldType::Json, Cluster::DOC),
            Field::new("namespace", FieldType::Text, "Velero's own namespace; default \"velero\""),
            Field::new("backup", FieldType::Json, "Newest(schedule: \"…\"), which is complete, or Named(name: \"…\")"),
            Field::new(
                "max_age",
                FieldType::Text,
                "how old the backup may be, such as \"26h\": what the volumes may lose; default: any age",
            ),
            Field::new("included_namespaces", FieldType::Json, "the namespaces to restore; default: all of the backup"),
            Field::new(
                "allow_partially_failed",
                FieldType::Bool,
                "whether a backup or a restore that failed in part will do; default false",
            ),
        ],
        outputs: &[
            Field::new("backup", FieldType::Text, "the backup's name"),
            Field::new("restore", FieldType::Text, "the restore's name"),
            Field::new("backup_age", FieldType::Number, "how old the backup was, in seconds: the RPO of the volumes"),
            Field::new("warnings", FieldType::Integer, "how many warnings Velero counted"),
            Field::new("errors", FieldType::Integer, "how many errors Velero counted"),
        ],
        before: &[Field::new("backup", FieldType::Text, "the backup's name")],
        iam: Iam { read: &["eks:DescribeCluster", "eks:ListClusters"], apply: &[], compensate: &[], ready: &[] },
        rbac: Rbac {
            read: &["get,list backups.velero.io", "get restores.velero.io", velero::LIST_LOCATIONS],
            apply: &["create restores.velero.io"],
            compensate: &[],
        },
        facts: &[
            "the newest backup by time can be a failed one: only `Completed` counts, and newer ones that are not are named",
            "the restore is named after run and step, so that a repeated call finds it and there is one",
            "objects that are there already are skipped by Velero, not changed: a Secret keeps its values",
            "`PartiallyFailed` is no success: `velero restore describe NAME --details` tells what is missing",
            "what was restored stays when the step is rolled back: without nodes it does not run",
        ],
        typical: Duration::from_secs(5 * 60),
        timeout: Duration::from_secs(30 * 60),
    };

    fn changes(&self, before: &Chosen) -> Vec<Change> {
        vec![Change::new("restored", "", format!("{} of {}", before.backup, before.taken_at))]
    }

    async fn observe(&self, cx: &StepContext<Cloud>, intent: Option<&Chosen>) -> Result<Observed<Chosen>, StepFailure> {
        let kubernetes = Kubernetes::reach(cx, &self.cluster).await?;
        let Some(chosen) = intent else {
            return self.choose(cx, &kubernetes).await.map(Observed::Differs);
        };
        let name = cx.token();
        let found = kubernetes.find(&format!("read restore {name}"), self.restores(&kubernetes).get(&name)).await?;
        let chosen = chosen.clone();
        Ok(if found.is_some() { Observed::Satisfied(chosen) } else { Observed::Differs(chosen) })
    }

    async fn readiness(&self, cx: &StepContext<Cloud>, objectives: &Objectives) -> Result<Vec<Check>, StepFailure> {
        let kubernetes = Kubernetes::reach(cx, &self.cluster).await?;
        let location = velero::location(&kubernetes, &self.cluster, &self.namespace, None).await;
        let backup = Check::of("backup", format!("Velero of {}", self.cluster)).as_observed().mended_by(&["VeleroBackup"]);
        let chosen = match self.choose(cx, &kubernetes).await {
            Ok(chosen) => chosen,
            Err(failure) => return Ok(vec![location, backup.fail_on::<()>(Err(failure))]),
        };
        Ok(vec![location, backup, self.age(&chosen, objectives)])
    }

    async fn apply(&self, cx: &StepContext<Cloud>, before: &Chosen) -> Result<Restoring, StepFailure> {
        let kubernetes = Kubernetes::reach(cx, &self.cluster).await?;
        let mut restore = DynamicObject::new(&cx.token(), &velero::velero("Restore", "restores"));
        restore.metadata.labels = Some([("app.kubernetes.io/managed-by".to_owned(), MANAGER.to_owned())].into());
        restore.metadata.annotations =
            Some([("wf.dr/run".to_owned(), cx.run.to_string()), ("wf.dr/step".to_owned(), cx.step.to_string())].into());
        let namespaces = if self.included_namespaces.is_empty() { vec!["*".to_owned()] } else { self.included_namespaces.clone() };
        restore.data = json!({ "spec": { "backupName": before.backup, "includedNamespaces": namespaces, "excludedResources": EXCLUDED } });
        let what = format!("restore backup {}", before.backup);
        // One of that name is ours, from an attempt whose answer was lost.
        kubernetes.create(&what, self.restores(&kubernetes).create(&PostParams::default(), &restore)).await?;
        Ok(Restoring { restore: cx.token() })
    }

    async fn settle(&self, cx: &StepContext<Cloud>, before: &Chosen, _handle: Option<&Restoring>) -> Result<Fields, StepFailure> {
        let name = cx.token();
        let restore = poll::until(cx, Self::INFO.typical, |_| self.look(cx, &name, before)).await?;
        Ok(fields([
            ("backup", json!(before.backup)),
            ("restore", json!(name)),
            ("backup_age", json!(before.age)),
            ("warnings", json!(count(&restore, "/status/warnings"))),
            ("errors", json!(count(&restore, "/status/errors"))),
        ]))
    }

    async fn compensate(&self, _cx: &StepContext<Cloud>, _before: &Chosen, _handle: Option<&Restoring>) -> Result<(), StepFailure> {
        Ok(())
    }
}

impl VeleroRestore {
    fn restores(&self, kubernetes: &Kubernetes<'_>) -> Api<DynamicObject> {
        kubernetes.custom(&self.namespace, &velero::velero("Restore", "restores"))
    }

    async fn choose(&self, cx: &StepContext<Cloud>, kubernetes: &Kubernetes<'_>) -> Result<Chosen, StepFailure> {
        let backups = kubernetes.custom(&self.namespace, &velero::velero("Backup", "backups"));
        let chosen = match &self.backup {
            Choice::Named { name } => {
                let found = kubernetes.find(&format!("read backup {name}"), backups.get(name)).await?;
                let backup = found.ok_or_else(|| self.none(&format!("there is no backup {name}")))?;
                self.must_do(&backup, name)?;
                backup
            }
            Choice::Newest { schedule } => {
                let selector = format!("{}={schedule}", velero::SCHEDULE_LABEL);
                let all = kubernetes.list(&format!("list the backups of schedule {schedule}"), &backups, Some(&selector)).await?;
                self.newest(all, schedule)?
            }
        };
        self.must_be_young(cx, &chosen)
    }

    fn must_do(&self, backup: &DynamicObject, name: &str) -> Result<(), StepFailure> {
        match phase(backup) {
            "Completed" => Ok(()),
            "PartiallyFailed" if self.allow_partially_failed => Ok(()),
            phase => Err(self.none(&format!("backup {name} is `{phase}`, not `Completed`"))),
        }
    }

    fn newest(&self, mut all: Vec<DynamicObject>, schedule: &str) -> Result<DynamicObject, StepFailure> {
        all.sort_by_key(|backup| std::cmp::Reverse(taken_at(backup)));
        let usable = all.iter().position(|backup| self.must_do(backup, "").is_ok());
        let newer: Vec<_> = all.iter().take(usable.unwrap_or(all.len())).map(named).collect();
        match usable {
            Some(at) => {
                if !newer.is_empty() {
                    tracing::warn!(schedule, newer = newer.join(", "), "newer backups are not complete");
                }
                Ok(all.swap_remove(at))
            }
            None if newer.is_empty() => Err(self.none(&format!("there is no backup of schedule {schedule}"))),
            None => Err(self.none(&format!("no backup of schedule {schedule} is complete: {}", newer.join(", ")))),
        }
    }

    fn must_be_young(&self, cx: &StepContext<Cloud>, backup: &DynamicObject) -> Result<Chosen, StepFailure> {
        let name = backup.metadata.name.clone().unwrap_or_default();
        let taken_at = taken_at(backup).ok_or_else(|| self.none(&format!("backup {name} does not say when it was taken")))?;
        let age = between(taken_at, cx.clock.now());
        match self.max_age {
            Some(max) if age > max.0 => {
                let age = Span(Duration::from_secs(age.as_secs()));
                Err(self
                    .none(&format!("backup {name}, the newest that is complete, is {age} old and max_age is {max}: nothing was restored")))
            }
            _ => Ok(Chosen { backup: name, taken_at, age: age.as_secs_f64() }),
        }
    }

    /// Checks how much the volumes would lose. A `max_age` says that so much is meant; without one the workflow's RPO decides.
    fn age(&self, chosen: &Chosen, objectives: &Objectives) -> Check {
        let age = Span(Duration::from_secs(chosen.age as u64));
        let check = Check::of("backup age", &chosen.backup).mended_by(&["VeleroBackup"]);
        let Some(rpo) = objectives.rpo.filter(|rpo| chosen.age > rpo.0.as_secs_f64()) else { return check };
        let why = format!(
            "backup {}, the newest that is complete, is {age} old, and the RPO is {rpo}: the volumes would lose more",
            chosen.backup
        );
        let fix = "take backups more often (`spec.schedule` of the Velero schedule), or replicate what must not be lost in another way";
        match self.max_age {
            Some(_) => check.warn_if(true, why, fix),
            None => check.fail_if(true, why, format!("{fix}; `max_age` in the step says how much may be lost")),
        }
    }

    fn none(&self, why: &str) -> StepFailure {
        StepFailure::permanent(format!("{why} (in namespace {} of {})", self.namespace, self.cluster)).hint(
            "`kubectl get backups.velero.io -n velero` lists them; a backup by name, a longer max_age or allow_partially_failed takes another, in a new run",
        )
    }

    async fn look(&self, cx: &StepContext<Cloud>, name: &str, before: &Chosen) -> Result<Look<DynamicObject>, StepFailure> {
        let kubernetes = Kubernetes::reach(cx, &self.cluster).await?;
        let found = kubernetes.find(&format!("read restore {name}"), self.restores(&kubernetes).get(name)).await?;
        let Some(restore) = found else {
            return Ok(Look::GiveUp(StepFailure::permanent(format!("restore {name} is not there any more")).hint("somebody deleted it")));
        };
        let (warnings, errors) = (count(&restore, "/status/warnings"), count(&restore, "/status/errors"));
        let details = format!("velero restore describe {name} --details -n {}", self.namespace);
        Ok(match velero::progress(&restore, "itemsRestored") {
            Progress::Completed => Look::Done(restore),
            Progress::Partial if self.allow_partially_failed => Look::Done(restore),
            Progress::Partial => Look::GiveUp(
                StepFailure::permanent(format!(
                    "the restore of backup {} failed in part: {errors} errors, {warnings} warnings",
                    before.backup
                ))
                .hint(format!("`{details}` tells what is missing; when that will do: `wf resume RUN --mark-done {}`", cx.step)),
            ),
            Progress::Failed(reasons) => {
                let failure = StepFailure::permanent(format!("the restore of backup {} is `{}`", before.backup, phase(&restore)));
                Look::GiveUp(reasons.into_iter().fold(failure, StepFailure::because).hint(format!("`{details}` tells more")))
            }
            Progress::Going(said) if said == velero::UNSEEN => {
                Look::Waiting(format!("Velero to take restore {name} up: does its pod run? kubectl get pods -n {}", self.namespace))
            }
            Progress::Going(said) => Look::Waiting(format!("restore {said}")),
        })
    }
}

/// When a backup was taken: what was written after it began may be missing in it.
fn taken_at(backup: &DynamicObject) -> Option<Timestamp> {
    instant(backup, "/status/startTimestamp").or_else(|| backup.metadata.creation_timestamp.as_ref().map(|at| at.0))
}

fn named(backup: &DynamicObject) -> String {
    format!("{} ({})", backup.metadata.name.as_deref().unwrap_or_default(), phase(backup))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind() -> VeleroRestore {
        let cluster = json!({ "Eks": { "name": "dr", "region": "us-west-2" } });
        serde_json::from_value(json!({ "cluster": cluster, "backup": { "Newest": { "schedule": "nightly" } } })).expect("params")
    }

    fn backup(name: &str, phase: &str, taken_at: &str) -> DynamicObject {
        let mut backup = DynamicObject::new(name, &velero::velero("Backup", "backups"));
        backup.data = json!({ "status": { "phase": phase, "startTimestamp": taken_at } });
        backup
    }

    #[test]
    fn the_newest_complete_backup_is_chosen_and_no_newer_failed_one() {
        let all = vec![
            backup("old", "Completed", "2026-03-11T02:00:00Z"),
            backup("new", "PartiallyFailed", "2026-03-13T02:00:00Z"),
            backup("middle", "Completed", "2026-03-12T02:00:00Z"),
            backup("running", "InProgress", "2026-03-14T02:00:00Z"),
        ];
        let name = |kind: &VeleroRestore| kind.newest(all.clone(), "nightly").expect("one").metadata.name;
        assert_eq!(name(&kind()).as_deref(), Some("middle"));
        assert_eq!(name(&VeleroRestore { allow_partially_failed: true, ..kind() }).as_deref(), Some("new"));
    }

    #[test]
    fn a_schedule_without_a_complete_backup_is_refused_with_what_there_is() {
        let failure = kind().newest(vec![backup("new", "Failed", "2026-03-13T02:00:00Z")], "nightly").expect_err("none");
        assert!(failure.message.contains("no backup of schedule nightly is complete: new (Failed)"), "{failure:?}");
        let failure = kind().newest(Vec::new(), "nightly").expect_err("none");
        assert!(failure.message.contains("there is no backup of schedule nightly"), "{failure:?}");
    }
}
