//! `RdsCreateReadReplica`: makes a read replica, in another region too. The first step of the way back.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_rds::config::Config;
use aws_sdk_rds::types::Tag;
use serde::{Deserialize, Serialize};
use wf_engine::clock::between;
use wf_engine::model::definition::Objectives;
use wf_engine::model::event::{Fields, StepFailure};
use wf_engine::readiness::Check;
use wf_engine::step::{Change, Field, FieldType, Iam, KindInfo, Observed, Rbac, Reversibility, StepContext, StepKind, fields};

use crate::aws::poll::{Look, SHOWS_WITHIN, until};
use crate::aws::rds::{self, Instance};
use crate::aws::shared::Since;
use crate::aws::{AskOnce, Cloud, errors, instance_class, key, lag, presign};

/// The tag of a replica that was made for a drill: the run that made it.
const THROWAWAY: &str = "wf:throwaway";

/// Makes a read replica.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RdsCreateReadReplica {
    /// The new replica.
    pub instance: String,
    /// Its region.
    pub region: String,
    /// What it replicates.
    pub source: String,
    /// Its instance class.
    #[serde(default)]
    pub instance_class: Option<String>,
    /// The subnets that it may be in.
    #[serde(default)]
    pub subnet_group: Option<String>,
    /// Its security groups.
    #[serde(default)]
    pub security_groups: Vec<String>,
    /// The key of its own region that encrypts it.
    #[serde(default)]
    pub kms_key: Option<String>,
    /// Whether it has a standby in another zone.
    #[serde(default)]
    pub multi_az: bool,
    /// Whether it is for a drill, and is deleted by a rollback in any case.
    #[serde(default)]
    pub throwaway: bool,
}

/// Whether the replica was there before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Presence {
    /// Whether there was such a replica already, which was adopted.
    pub existed: bool,
}

#[async_trait]
impl StepKind for RdsCreateReadReplica {
    type Env = Cloud;
    type Before = Presence;
    type Handle = ();

    const INFO: KindInfo = KindInfo {
        name: "RdsCreateReadReplica",
        summary: "makes an RDS read replica of an instance in this or another region, or adopts the one that is there",
        example: r#"(id: "replicate", run: RdsCreateReadReplica(instance: "prod-db-replica-west-2", region: "us-west-2", source: "arn:aws:rds:us-east-1:123456789012:db:prod-db-primary", instance_class: "db.r6g.xlarge", kms_key: "alias/prod-db"), timeout: "3h")"#,
        reversibility: Reversibility::Reversible,
        params: &[
            Field::new("instance", FieldType::Text, "the new replica's identifier"),
            Field::new("region", FieldType::Text, "the new replica's region"),
            Field::new("source", FieldType::Text, "what it replicates: an ARN, or an identifier in the same region"),
            Field::new("instance_class", FieldType::Text, "such as \"db.r6g.xlarge\"; default: that of the source"),
            Field::new("subnet_group", FieldType::Text, "the DB subnet group; default: that of the default VPC"),
            Field::new("security_groups", FieldType::Json, "the ids of its VPC security groups; default: that of the VPC"),
            Field::new(
                "kms_key",
                FieldType::Text,
                "the key in its own region that encrypts it, by its alias, id or ARN; an encrypted source in another region needs one, and any other replica has none of its own",
            ),
            Field::new("multi_az", FieldType::Bool, "whether it has a standby in another zone; default false"),
            Field::new(
                "throwaway",
                FieldType::Bool,
                "whether it is made for a drill: tagged with the run, adopted from nobody else, and deleted by a rollback even once promoted; default false",
            ),
        ],
        outputs: &[
            Field::new("endpoint", FieldType::Text, "its host name"),
            Field::new("arn", FieldType::Text, "its ARN"),
            Field::new("lag", FieldType::Number, "how many seconds it was behind at the end; absent when CloudWatch does not know yet"),
        ],
        before: &[Field::new("existed", FieldType::Bool, "whether the replica was there already")],
        iam: Iam {
            read: &[rds::DESCRIBE, lag::READ_LAG],
            apply: &["rds:CreateDBInstanceReadReplica", "rds:AddTagsToResource", "kms:CreateGrant", key::DESCRIBE],
            compensate: &["rds:DeleteDBInstance"],
            ready: &[key::DESCRIBE, instance_class::OFFERED],
        },
        rbac: Rbac::NONE,
        facts: &[
            "RDS takes no idempotency token for it, but an identifier exists once: a replica of that name is adopted when it replicates the same source, and refused otherwise",
            "the source must have backups: without them the step fails before it changes anything",
            "in another region it starts from a copied snapshot and can take hours; the source must be given by its ARN",
            "an encrypted source in another region needs a key of the new region, without which the step fails before it changes anything, and a request presigned for the source's region, which wf makes",
            "a source that is not encrypted has no encrypted replicas: then the key is not used",
            "rollback deletes the replica only if it was absent before and is still a replica: once promoted, it holds data; one that is `throwaway` is told by its tag, and goes in any case",
            "RequestedRegion conditions of an SCP can deny it, because RDS calls the source's region on your behalf",
        ],
        typical: Duration::from_secs(30 * 60),
        timeout: Duration::from_secs(4 * 3600),
    };

    fn problems(&self) -> Vec<String> {
        if rds::split(&self.source, &self.region) == (self.region.clone(), self.instance.to_ascii_lowercase()) {
            return vec![format!("`source` is `{}` itself", self.instance)];
        }
        Vec::new()
    }

    fn changes(&self, _before: &Presence) -> Vec<Change> {
        vec![Change::new(&self.instance, "", format!("a replica of {}", self.source))]
    }

    async fn environment(&self, cx: &StepContext<Cloud>) -> Result<Option<String>, StepFailure> {
        let (region, id) = rds::split(&self.source, &self.region);
        Ok(rds::find(cx, &region, &id, cx.env.since_now()).await?.and_then(|instance| instance.environment()))
    }

    async fn observe(&self, cx: &StepContext<Cloud>, intent: Option<&Presence>) -> Result<Observed<Presence>, StepFailure> {
        let existed = intent.map(|intent| intent.existed);
        if let Some(instance) = rds::find(cx, &self.region, &self.instance, cx.env.since_now()).await? {
            self.must_be_ours(cx, &instance)?;
            if instance.status == "deleting" {
                return Err(StepFailure::transient(format!("an older {} in {} is still being deleted", self.instance, self.region)));
            }
            return Ok(Observed::Satisfied(Presence { existed: existed.unwrap_or(true) }));
        }
        let source = self.source(cx).await?;
        source_must_have_backups(&source)?;
        self.key_for(&source)?;
        Ok(Observed::Differs(Presence { existed: false }))
    }

    async fn readiness(&self, cx: &StepContext<Cloud>, _objectives: &Objectives) -> Result<Vec<Check>, StepFailure> {
        if rds::find(cx, &self.region, &self.instance, cx.env.since_now()).await?.is_some() {
            return Ok(Vec::new());
        }
        let source = self.source(cx).await?;
        let subject = format!("{} in {}", self.instance, self.region);
        let class = self.instance_class.as_ref().unwrap_or(&source.class);
        let mut checks = vec![instance_class::check(cx, &self.region, class, &source, &subject).await];
        // That there is no key where one is needed, `observe` says.
        if let Ok(Some(key)) = self.key_for(&source) {
            checks.push(key::check(cx, &self.region, key, &subject).await);
        }
        Ok(checks)
    }

    async fn apply(&self, cx: &StepContext<Cloud>, _before: &Presence) -> Result<(), StepFailure> {
        let source = self.source(cx).await?;
        let key = self.key_for(&source)?;
        let presigned = match key {
            Some(key) => {
                Some(presign::create_read_replica(&cx.env, &source.region, &self.region, &self.source, &self.instance, key).await?)
            }
            None => None,
        };
        let groups = (!self.security_groups.is_empty()).then(|| self.security_groups.clone());
        let answer = cx
            .env
            .rds(&self.region)
            .create_db_instance_read_replica()
            .db_instance_identifier(&self.instance)
            .source_db_instance_identifier(&self.source)
            .set_db_instance_class(self.instance_class.clone())
            .set_db_subnet_group_name(self.subnet_group.clone())
            .set_vpc_security_group_ids(groups)
            .set_kms_key_id(key.map(str::to_owned))
            .set_pre_signed_url(presigned)
            .multi_az(self.multi_az)
            .publicly_accessible(false)
            .auto_minor_version_upgrade(false)
            .copy_tags_to_snapshot(true)
            .set_tags(self.throwaway.then(|| vec![Tag::builder().key(THROWAWAY).value(cx.run.to_string()).build()]))
            .customize()
            .config_override(Config::builder().retry_classifier(AskOnce))
            .send()
            .await;
        match answer {
            Ok(_) => Ok(()),
            Err(error) if errors::has_code(&error, "DBInstanceAlreadyExists") => {
                let message = format!("there already is an instance {} in {}", self.instance, self.region);
                Err(StepFailure::transient(message).hint("the next attempt adopts it if it replicates the same source"))
            }
            Err(error) => Err(errors::changing(
                "rds:CreateDBInstanceReadReplica",
                format!("create {} in {} as a replica of {}", self.instance, self.region, self.source),
            )(error)),
        }
    }

    async fn settle(&self, cx: &StepContext<Cloud>, _before: &Presence, _handle: Option<&()>) -> Result<Fields, StepFailure> {
        let instance = until(cx, Self::INFO.typical, |since| self.look(cx, since)).await?;
        let mut outputs = fields([("endpoint", instance.endpoint.into()), ("arn", instance.arn.into())]);
        // For the record: a CloudWatch that does not answer is no reason to stop.
        if let Ok(Some(lag)) = lag::latest(cx, &self.region, &self.instance).await {
            outputs.insert("lag".to_owned(), lag.into());
        }
        Ok(outputs)
    }

    async fn compensate(&self, cx: &StepContext<Cloud>, before: &Presence, handle: Option<&()>) -> Result<(), StepFailure> {
        if before.existed {
            return Ok(());
        }
        let Some(instance) = self.find_patiently(cx, handle.is_none()).await? else { return Ok(()) };
        self.must_be_ours(cx, &instance)?;
        if instance.status != "deleting" {
            // RDS makes no final snapshot of a replica; its data is the source's. A throwaway's is nobody's.
            let request = cx.env.rds(&self.region).delete_db_instance().db_instance_identifier(&self.instance).skip_final_snapshot(true);
            let answer = request.customize().config_override(Config::builder().retry_classifier(AskOnce)).send().await;
            match answer {
                Err(error) if errors::has_code(&error, "DBInstanceNotFound") => return Ok(()),
                answer => answer.map_err(errors::changing(
                    "rds:DeleteDBInstance",
                    format!("delete the new replica {} in {}", self.instance, self.region),
                ))?,
            };
        }
        until(cx, rds::DELETED_TYPICALLY, |since| async move {
            Ok(match rds::find(cx, &self.region, &self.instance, since).await? {
                None => Look::Done(()),
                Some(instance) => Look::Waiting(format!("{}, until it is gone", instance.status)),
            })
        })
        .await
    }
}

impl RdsCreateReadReplica {
    /// Fails when the instance of that name is another one than we would make, or would have made.
    fn must_be_ours(&self, cx: &StepContext<Cloud>, instance: &Instance) -> Result<(), StepFailure> {
        instance.must_not_be_broken()?;
        let place = format!("{} in {}", self.instance, self.region);
        if self.throwaway {
            let made_by = instance.tags.get(THROWAWAY);
            if made_by.is_some_and(|run| *run == cx.run.to_string()) {
                return Ok(());
            }
            let whose = made_by.map_or_else(|| "is no throwaway".to_owned(), |run| format!("belongs to the drill of run {run}"));
            return Err(StepFailure::permanent(format!("{place} exists and {whose}: it is left as it is"))
                .hint("choose another name, or let that drill clean up: `wf rollback` or `wf resume` of its run"));
        }
        if instance.replicates(&self.source) {
            return Ok(());
        }
        let failure = match &instance.source {
            None => StepFailure::permanent(format!("{place} exists and is no replica: it is left as it is")),
            Some(source) => {
                StepFailure::permanent(format!("{place} exists and replicates {source}, not {}: it is left as it is", self.source))
            }
        };
        Err(failure.hint("choose another name, or rename or delete that instance once you are sure that nobody needs it"))
    }

    /// Finds the replica. One that may have been asked for, which nobody knows, is given time to show.
    async fn find_patiently(&self, cx: &StepContext<Cloud>, doubtful: bool) -> Result<Option<Instance>, StepFailure> {
        let begun = cx.clock.now();
        let (mut pacer, since) = (cx.pacer(SHOWS_WITHIN), cx.env.since_now());
        loop {
            let found = rds::find(cx, &self.region, &self.instance, since).await?;
            if found.is_some() || !doubtful || between(begun, cx.clock.now()) >= SHOWS_WITHIN {
                return Ok(found);
            }
            cx.progress("looks whether it was created before the interruption");
            pacer.pause().await;
        }
    }

    async fn source(&self, cx: &StepContext<Cloud>) -> Result<Instance, StepFailure> {
        let (region, id) = rds::split(&self.source, &self.region);
        rds::get(cx, &region, &id, cx.env.since_now()).await
    }

    /// Returns the key that the request names: a replica has its source's encryption, and a key does not leave its region.
    fn key_for(&self, source: &Instance) -> Result<Option<&str>, StepFailure> {
        if !source.encrypted || source.region == self.region {
            return Ok(None);
        }
        self.kms_key.as_deref().map(Some).ok_or_else(|| {
            StepFailure::permanent(format!(
                "{} in {} is encrypted, and its replica in {} needs a key of that region: nothing was changed",
                source.id, source.region, self.region
            ))
            .hint(format!(
                "`kms_key: \"alias/…\"` in the step: `aws kms list-aliases --region {}` shows them, and `alias/aws/rds` is the one that AWS keeps",
                self.region
            ))
        })
    }

    async fn look(&self, cx: &StepContext<Cloud>, since: Since) -> Result<Look<Instance>, StepFailure> {
        let Some(instance) = rds::find(cx, &self.region, &self.instance, since).await? else {
            return Ok(Look::Waiting("not to be seen yet".to_owned()));
        };
        self.must_be_ours(cx, &instance)?;
        if instance.is_available() && instance.endpoint.is_some() {
            return Ok(Look::Done(instance));
        }
        Ok(Look::Waiting(instance.status))
    }
}

fn source_must_have_backups(source: &Instance) -> Result<(), StepFailure> {
    if source.backup_retention_days > 0 {
        return Ok(());
    }
    let message = format!("{} in {} has no backups, and RDS makes replicas only of instances that have", source.id, source.region);
    Err(StepFailure::permanent(message).hint("give it some first: RdsModifyInstance(…, backup_retention_days: 7)"))
}
