//! `RdsDeleteInstance`: deletes an instance, after a last snapshot. The very end of a failback, behind an approval.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_rds::config::Config;
use serde::{Deserialize, Serialize};
use wf_engine::model::event::{Fields, StepFailure};
use wf_engine::step::{Field, FieldType, Iam, KindInfo, Observed, Rbac, Reversibility, StepContext, StepKind, fields};

use crate::aws::poll::{Look, until};
use crate::aws::rds::{self, Instance};
use crate::aws::{AskOnce, Cloud, errors};

/// Deletes an instance.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RdsDeleteInstance {
    /// The instance.
    pub instance: String,
    /// Its region.
    pub region: String,
    /// What the last snapshot is called.
    #[serde(default)]
    pub final_snapshot: Option<String>,
    /// Whether to do without a last snapshot.
    #[serde(default)]
    pub skip_final_snapshot: bool,
}

/// How long it usually takes to see the last snapshot of an instance that is gone.
const SNAPSHOT_TYPICALLY: Duration = Duration::from_secs(10);
/// The states in which RDS deletes an instance.
const DELETABLE: [&str; 3] = ["available", "stopped", "failed"];

/// The instance before it was deleted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Deleted {
    /// Its ARN.
    pub arn: String,
    /// Its instance class.
    pub class: String,
    /// Its status.
    pub status: String,
    /// The name of the last snapshot, empty without one.
    pub final_snapshot: String,
}

#[async_trait]
impl StepKind for RdsDeleteInstance {
    type Env = Cloud;
    type Before = Deleted;
    type Handle = ();

    const INFO: KindInfo = KindInfo {
        name: "RdsDeleteInstance",
        summary: "deletes an RDS instance, after a last snapshot unless told otherwise",
        example: r#"(id: "clean_up", run: RdsDeleteInstance(instance: "prod-db-replica-west", region: "us-west-2", skip_final_snapshot: true), timeout: "1h")"#,
        reversibility: Reversibility::Irreversible,
        params: &[
            Field::new("instance", FieldType::Text, "the instance's identifier"),
            Field::new("region", FieldType::Text, "its region"),
            Field::new(
                "final_snapshot",
                FieldType::Text,
                "what the last snapshot is called; default: a name made of the instance, the run and the step",
            ),
            Field::new(
                "skip_final_snapshot",
                FieldType::Bool,
                "whether to do without a last snapshot, as one must for a replica; default false",
            ),
        ],
        outputs: &[
            Field::new("final_snapshot", FieldType::Text, "the name of the last snapshot, empty without one"),
            Field::new("arn", FieldType::Text, "the ARN of the instance that was deleted"),
        ],
        before: &[
            Field::new("arn", FieldType::Text, "its ARN"),
            Field::new("class", FieldType::Text, "its instance class"),
            Field::new("status", FieldType::Text, "its status"),
            Field::new("final_snapshot", FieldType::Text, "the name of the last snapshot, empty without one"),
        ],
        iam: Iam {
            read: &[rds::DESCRIBE, "rds:DescribeDBSnapshots"],
            apply: &["rds:DeleteDBInstance", "rds:CreateDBSnapshot"],
            compensate: &[],
            ready: &[],
        },
        rbac: Rbac::NONE,
        facts: &[
            "a deletion cannot be undone: this step is a point of no return",
            "RDS takes no idempotency token for it: an instance that is gone, or going, counts as done only with a recorded intent; without one the step stops and asks, since the name may be wrong",
            "the last snapshot is seen to be there before the step succeeds; its name is the same for every attempt",
            "RDS makes no last snapshot of a replica: it takes an explicit `skip_final_snapshot: true`",
            "an instance that has replicas is not deleted: those of PostgreSQL in other regions would stop replicating, and none is promoted by it",
            "automated backups are kept until they expire",
        ],
        typical: Duration::from_secs(5 * 60),
        timeout: Duration::from_secs(2 * 3600),
    };

    fn problems(&self) -> Vec<String> {
        match (&self.final_snapshot, self.skip_final_snapshot) {
            (Some(_), true) => vec!["`final_snapshot` and `skip_final_snapshot: true` contradict each other".to_owned()],
            (Some(name), false) if !is_identifier(name) => {
                vec![format!(
                    "`{}` cannot name a snapshot: a letter, and then letters, digits and single hyphens, 255 characters at most",
                    name.escape_debug()
                )]
            }
            _ => Vec::new(),
        }
    }

    async fn environment(&self, cx: &StepContext<Cloud>) -> Result<Option<String>, StepFailure> {
        Ok(rds::find(cx, &self.region, &self.instance, cx.env.since_now()).await?.and_then(|instance| instance.environment()))
    }

    async fn observe(&self, cx: &StepContext<Cloud>, intent: Option<&Deleted>) -> Result<Observed<Deleted>, StepFailure> {
        let found = rds::find(cx, &self.region, &self.instance, cx.env.since_now()).await?;
        match (found, intent) {
            (None, Some(intent)) => Ok(Observed::Satisfied(intent.clone())),
            (Some(instance), Some(intent)) if instance.status == "deleting" => Ok(Observed::Satisfied(intent.clone())),
            (None, None) => Err(rds::missing(cx, &self.region, &self.instance)
                .await
                .hint("if it was deleted by someone else and that is fine, `wf resume RUN --mark-done STEP`")),
            (Some(instance), None) if instance.status == "deleting" => {
                let failure = StepFailure::permanent(format!("{} in {} is being deleted by someone else", self.instance, self.region));
                Err(failure.hint("see to it that there is a last snapshot, and then `wf resume RUN --mark-done STEP`"))
            }
            (Some(instance), _) => {
                self.must_be_deletable(&instance)?;
                if !DELETABLE.contains(&instance.status.as_str()) && !instance.is_broken() {
                    rds::get_available(cx, &self.region, &self.instance, "delete it").await?;
                }
                Ok(Observed::Differs(Deleted {
                    final_snapshot: self.snapshot_name(cx),
                    arn: instance.arn,
                    class: instance.class,
                    status: instance.status,
                }))
            }
        }
    }

    async fn apply(&self, cx: &StepContext<Cloud>, before: &Deleted) -> Result<(), StepFailure> {
        let snapshot = (!before.final_snapshot.is_empty()).then(|| before.final_snapshot.clone());
        cx.env
            .rds(&self.region)
            .delete_db_instance()
            .db_instance_identifier(&self.instance)
            .skip_final_snapshot(snapshot.is_none())
            .set_final_db_snapshot_identifier(snapshot)
            .delete_automated_backups(false)
            .customize()
            .config_override(Config::builder().retry_classifier(AskOnce))
            .send()
            .await
            .map_err(errors::changing("rds:DeleteDBInstance", format!("delete {} in {}", self.instance, self.region)))?;
        Ok(())
    }

    async fn settle(&self, cx: &StepContext<Cloud>, before: &Deleted, _handle: Option<&()>) -> Result<Fields, StepFailure> {
        until(cx, rds::DELETED_TYPICALLY, |since| async move {
            Ok(match rds::find(cx, &self.region, &self.instance, since).await? {
                None => Look::Done(()),
                Some(instance) if instance.status == "deleting" && !before.final_snapshot.is_empty() => {
                    Look::Waiting("deleting, with a last snapshot".to_owned())
                }
                Some(instance) => Look::Waiting(instance.status),
            })
        })
        .await?;
        self.snapshot_must_be_there(cx, before).await?;
        Ok(fields([("final_snapshot", before.final_snapshot.clone().into()), ("arn", before.arn.clone().into())]))
    }

    async fn compensate(&self, _cx: &StepContext<Cloud>, before: &Deleted, _handle: Option<&()>) -> Result<(), StepFailure> {
        let failure = StepFailure::permanent(format!("{} in {} was deleted, and that cannot be undone", self.instance, self.region));
        Err(match before.final_snapshot.as_str() {
            "" => failure,
            snapshot => failure.hint(format!("its data can be restored from the snapshot {snapshot}")),
        })
    }
}

impl RdsDeleteInstance {
    fn snapshot_name(&self, cx: &StepContext<Cloud>) -> String {
        if self.skip_final_snapshot {
            return String::new();
        }
        let token = cx.token();
        let (_, tail) = token.split_at(token.len().saturating_sub(8));
        self.final_snapshot.clone().unwrap_or_else(|| format!("{}-final-{}-{tail}", self.instance, cx.run.short().to_ascii_lowercase()))
    }

    fn must_be_deletable(&self, instance: &Instance) -> Result<(), StepFailure> {
        let place = format!("{} in {}", self.instance, self.region);
        if instance.deletion_protection {
            return Err(StepFailure::permanent(format!("{place} is protected from deletion"))
                .hint("switch the protection off by hand, if you are sure"));
        }
        if !instance.replicas.is_empty() {
            let failure =
                StepFailure::permanent(format!("{place} has replicas, and they would lose their source: {}", instance.replicas.join(", ")));
            return Err(failure.hint("promote or delete them first"));
        }
        if instance.source.is_some() && !self.skip_final_snapshot {
            let failure = StepFailure::permanent(format!("{place} is a read replica, of which RDS makes no last snapshot"));
            return Err(failure.hint("its data is the source's: `skip_final_snapshot: true`"));
        }
        Ok(())
    }

    async fn snapshot_must_be_there(&self, cx: &StepContext<Cloud>, before: &Deleted) -> Result<(), StepFailure> {
        if before.final_snapshot.is_empty() {
            return Ok(());
        }
        let name = &before.final_snapshot;
        until(cx, SNAPSHOT_TYPICALLY, |_| async {
            let answer = cx.env.rds(&self.region).describe_db_snapshots().db_snapshot_identifier(name).send().await;
            let answer = answer
                .map_err(errors::reading("rds:DescribeDBSnapshots", format!("look at the last snapshot {name} in {}", self.region)))?;
            let status = answer.db_snapshots().first().and_then(|snapshot| snapshot.status()).unwrap_or("not to be seen yet");
            Ok(if status == "available" { Look::Done(()) } else { Look::Waiting(format!("last snapshot: {status}")) })
        })
        .await
    }
}

/// Tells whether RDS takes a text as the name of a snapshot.
fn is_identifier(name: &str) -> bool {
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic());
    let holds_well = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    starts_well && holds_well && name.len() <= 255 && !name.contains("--") && !name.ends_with('-')
}
