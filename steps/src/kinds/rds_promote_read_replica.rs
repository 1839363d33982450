//! `RdsPromoteReadReplica`: makes a read replica a primary. The point of no return of a failover.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_rds::config::Config;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use wf_engine::clock::between;
use wf_engine::model::definition::Objectives;
use wf_engine::model::event::{Fields, StepFailure};
use wf_engine::readiness::Check;
use wf_engine::signal::Signal;
use wf_engine::step::{Change, Field, FieldType, Iam, KindInfo, Observed, Rbac, Reversibility, StepContext, StepKind, fields};
use wf_engine::units::Span;

use crate::aws::poll::{Look, SHOWS_WITHIN, until};
use crate::aws::rds::{self, Instance};
use crate::aws::shared::Since;
use crate::aws::{AskOnce, Cloud, errors, key, lag};

/// Makes a read replica a primary that takes writes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RdsPromoteReadReplica {
    /// The replica.
    pub instance: String,
    /// Its region.
    pub region: String,
    /// The most that it may be behind its source: rows lost, in time.
    #[serde(default)]
    pub max_replica_lag: Option<Span>,
    /// For how many days its backups are kept from now on.
    #[serde(default = "a_week")]
    pub backup_retention_days: i32,
}

const fn a_week() -> i32 {
    7
}

/// How long an instance may look untouched after the call, before the call is taken for lost.
const STALLED_AFTER: Duration = Duration::from_secs(300);

/// The replica before its promotion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Replica {
    /// The instance that it replicated.
    pub source: String,
    /// Its instance class.
    pub class: String,
    /// For how many days its backups were kept.
    pub backup_retention_days: i32,
    /// How far it was behind, in seconds, if that was known.
    pub lag_seconds: Option<f64>,
    /// When it was looked at.
    pub observed_at: Timestamp,
}

/// A promotion that RDS accepted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Accepted {
    /// When.
    pub at: Timestamp,
}

#[async_trait]
impl StepKind for RdsPromoteReadReplica {
    type Env = Cloud;
    type Before = Replica;
    type Handle = Accepted;

    const INFO: KindInfo = KindInfo {
        name: "RdsPromoteReadReplica",
        summary: "makes an RDS read replica a primary that takes writes, if it is not too far behind",
        example: r#"(id: "promote", run: RdsPromoteReadReplica(instance: "prod-db-replica-west", region: "us-west-2", max_replica_lag: "5m"), timeout: "20m")"#,
        reversibility: Reversibility::Irreversible,
        params: &[
            Field::new("instance", FieldType::Text, "the replica's identifier"),
            Field::new("region", FieldType::Text, "the replica's region"),
            Field::new(
                "max_replica_lag",
                FieldType::Text,
                "the most that it may be behind, such as \"5m\"; a lag that is larger or unknown stops the step. Default: no limit",
            ),
            Field::new(
                "backup_retention_days",
                FieldType::Integer,
                "for how many days its backups are kept from now on, 0 to 35; default 7",
            ),
        ],
        outputs: &[
            Field::new("endpoint", FieldType::Text, "the host name of the new primary"),
            Field::new("port", FieldType::Integer, "its port"),
            Field::new("arn", FieldType::Text, "its ARN"),
            Field::new("promoted_at", FieldType::Text, "when it was seen to be a primary"),
            Field::new(
                "replica_lag_at_promote",
                FieldType::Number,
                "how many seconds it was behind when it was promoted; absent when unknown",
            ),
        ],
        before: &[
            Field::new("source", FieldType::Text, "the instance that it replicated: its ARN, or its identifier in the same region"),
            Field::new("class", FieldType::Text, "its instance class"),
            Field::new("backup_retention_days", FieldType::Integer, "for how many days its backups were kept"),
            Field::new("lag_seconds", FieldType::Number, "how far it was behind, in seconds"),
            Field::new("observed_at", FieldType::Text, "when it was looked at"),
        ],
        iam: Iam { read: &[rds::DESCRIBE, lag::READ_LAG], apply: &["rds:PromoteReadReplica"], compensate: &[], ready: &[key::DESCRIBE] },
        rbac: Rbac::NONE,
        facts: &[
            "a promotion cannot be undone: failing back takes a new replica, so this step is a point of no return",
            "it stops replication and reboots the instance, which takes minutes; done means that the source is gone and the status is `available`, since right after the call the status is still `available`",
            "RDS takes no idempotency token for it: the intent is recorded first, and an interrupted step looks at the replication source before it asks again",
            "a replica without a source and without a recorded intent was promoted by someone else: the step stops and asks",
            "an instance in `backing-up`, or being changed, refuses it: the step waits up to ten minutes for the end of that, and is tried again",
            "replicas have no backups: the retention is set in the same call, so that the new primary has them from the start",
            "the source is not told: fence it first, or both take writes",
            "CloudWatch's ReplicaLag is a minute or two old; it grows while the source is dead, and an idle PostgreSQL replica in another region can report up to five minutes with nothing lost",
        ],
        typical: Duration::from_secs(7 * 60),
        timeout: Duration::from_secs(30 * 60),
    };

    fn problems(&self) -> Vec<String> {
        if (0..=35).contains(&self.backup_retention_days) {
            return Vec::new();
        }
        vec![format!("`backup_retention_days` is {}: RDS keeps backups for 0 to 35 days", self.backup_retention_days)]
    }

    fn changes(&self, before: &Replica) -> Vec<Change> {
        let retention = Change::if_other("backup retention days", &before.backup_retention_days, Some(&self.backup_retention_days));
        [Change::new("source", &before.source, "none: it takes writes")].into_iter().chain(retention).collect()
    }

    async fn environment(&self, cx: &StepContext<Cloud>) -> Result<Option<String>, StepFailure> {
        Ok(rds::find(cx, &self.region, &self.instance, cx.env.since_now()).await?.and_then(|instance| instance.environment()))
    }

    async fn observe(&self, cx: &StepContext<Cloud>, intent: Option<&Replica>) -> Result<Observed<Replica>, StepFailure> {
        if let Some(intent) = intent
            && self.is_under_way(cx).await?
        {
            return Ok(Observed::Satisfied(intent.clone()));
        }
        if rds::get(cx, &self.region, &self.instance, cx.env.since_now()).await?.source.is_none() {
            return Err(self.promoted_by_someone_else());
        }
        let instance = rds::get_available(cx, &self.region, &self.instance, "promote it").await?;
        let Some(source) = instance.source else { return Err(self.promoted_by_someone_else()) };
        let lag_seconds = self.lag_within_limit(cx).await?;
        Ok(Observed::Differs(Replica {
            source,
            class: instance.class,
            backup_retention_days: instance.backup_retention_days,
            lag_seconds,
            observed_at: cx.clock.now(),
        }))
    }

    async fn readiness(&self, cx: &StepContext<Cloud>, objectives: &Objectives) -> Result<Vec<Check>, StepFailure> {
        let there = Check::of("replica", self).as_observed().mended_by(&["RdsCreateReadReplica", "RdsModifyInstance"]);
        let Some(replica) = rds::find(cx, &self.region, &self.instance, cx.env.since_now()).await? else {
            return Ok(vec![there.fail_on::<()>(Err(rds::missing(cx, &self.region, &self.instance).await))]);
        };
        let Some(source) = &replica.source else {
            return Ok(vec![there.fail_on::<()>(Err(self.promoted_by_someone_else()))]);
        };
        let mut checks = vec![there, self.status(&replica), self.replication(&replica), self.lag(cx, objectives).await];
        checks.push(Check::of("backups after the promotion", self).fail_if(
            self.backup_retention_days == 0,
            format!("the new primary would have no backups: {self} is promoted with `backup_retention_days: 0`"),
            "`backup_retention_days: 7` in the step",
        ));
        if let Some(key) = &replica.key {
            checks.push(key::check(cx, &self.region, key, &self.to_string()).await);
        }
        checks.extend(self.beside_its_source(cx, &replica, source).await);
        Ok(checks)
    }

    fn signals(&self) -> Vec<Signal> {
        vec![Signal::ReplicaLag { instance: self.instance.clone(), region: self.region.clone() }]
    }

    async fn apply(&self, cx: &StepContext<Cloud>, _before: &Replica) -> Result<Accepted, StepFailure> {
        cx.env
            .rds(&self.region)
            .promote_read_replica()
            .db_instance_identifier(&self.instance)
            .backup_retention_period(self.backup_retention_days)
            .customize()
            .config_override(Config::builder().retry_classifier(AskOnce))
            .send()
            .await
            .map_err(errors::changing("rds:PromoteReadReplica", format!("promote {} in {}", self.instance, self.region)))?;
        Ok(Accepted { at: cx.clock.now() })
    }

    async fn settle(&self, cx: &StepContext<Cloud>, before: &Replica, handle: Option<&Accepted>) -> Result<Fields, StepFailure> {
        let since = handle.map_or_else(|| cx.clock.now(), |accepted| accepted.at);
        let instance = until(cx, Self::INFO.typical, |read| self.look(cx, since, read)).await?;
        let mut outputs = fields([
            ("endpoint", instance.endpoint.into()),
            ("port", instance.port.into()),
            ("arn", instance.arn.into()),
            ("promoted_at", cx.clock.now().to_string().into()),
        ]);
        if let Some(lag) = before.lag_seconds {
            outputs.insert("replica_lag_at_promote".to_owned(), lag.into());
        }
        Ok(outputs)
    }

    async fn compensate(&self, _cx: &StepContext<Cloud>, before: &Replica, _handle: Option<&Accepted>) -> Result<(), StepFailure> {
        let failure =
            StepFailure::permanent(format!("{} in {} cannot be made a replica of {} again", self.instance, self.region, before.source));
        Err(failure.hint("fail back instead (`wf failback`): a new replica in the old region, and then its promotion"))
    }
}

impl std::fmt::Display for RdsPromoteReadReplica {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} in {}", self.instance, self.region)
    }
}

/// What is checked beforehand, for `wf check --live`.
impl RdsPromoteReadReplica {
    fn status(&self, replica: &Instance) -> Check {
        let Self { instance, region, .. } = self;
        Check::of("status", self)
            .as_observed()
            .mended_by(&["RdsCreateReadReplica", "RdsModifyInstance"])
            .fail_on(replica.must_not_be_broken())
            .fail_if(
                !replica.is_available(),
                format!("{self} is `{}`, and only an `available` instance can be promoted: a run would wait for it", replica.status),
                format!("wait for it: `aws rds wait db-instance-available --db-instance-identifier {instance} --region {region}`"),
            )
    }

    fn replication(&self, replica: &Instance) -> Check {
        let Self { instance, region, .. } = self;
        let trouble = replica.replication_trouble.as_deref();
        Check::of("replication", self).fail_if(
            trouble.is_some(),
            format!("the replication of {self} is {}", trouble.unwrap_or_default()),
            format!("`aws rds describe-events --source-type db-instance --source-identifier {instance} --region {region}` tells why; a replica that does not recover is deleted and made anew"),
        )
    }

    /// Checks the lag against the limit of the step, or else of the workflow.
    async fn lag(&self, cx: &StepContext<Cloud>, objectives: &Objectives) -> Check {
        const LIMIT: &str = "`max_replica_lag: \"5m\"` in the step: then a larger lag stops it before anything is lost";
        let check = Check::of("lag", self).mended_by(&["RdsWaitReplicaLag"]);
        if self.max_replica_lag.is_some() {
            return check.as_observed().fail_on(self.lag_within_limit(cx).await);
        }
        match (lag::latest(cx, &self.region, &self.instance).await, objectives.rpo) {
            (Err(failure), _) => check.fail_on::<()>(Err(failure)),
            (Ok(None), _) => {
                check.warn_if(true, format!("the lag of {self} is unknown: CloudWatch has none of the last five minutes"), LIMIT)
            }
            (Ok(Some(seconds)), Some(Span(rpo))) => check.warn_if(
                seconds > rpo.as_secs_f64(),
                format!(
                    "{self} is {} behind its source, more than the RPO of {}, and the step would promote it",
                    lag::show(seconds),
                    Span(rpo)
                ),
                LIMIT,
            ),
            (Ok(Some(_)), None) => check,
        }
    }

    /// Checks what only its source tells: whether there is a way back, and whether the replica can carry what the source does.
    async fn beside_its_source(&self, cx: &StepContext<Cloud>, replica: &Instance, source: &str) -> Vec<Check> {
        let (region, id) = rds::split(source, &self.region);
        let backups = Check::of("backups of the source", format!("{id} in {region}"));
        let source = match rds::get(cx, &region, &id, cx.env.since_now()).await {
            Ok(source) => source,
            Err(failure) => return vec![backups.fail_on::<()>(Err(failure))],
        };
        let Instance { id: replica_id, class, .. } = replica;
        vec![
            backups.fail_if(
                source.backup_retention_days == 0,
                format!("{id} in {region} has no backups: what is lost before a failover cannot be had back, and RDS makes no replica of it"),
                format!("`aws rds modify-db-instance --db-instance-identifier {id} --backup-retention-period 7 --apply-immediately --region {region}`"),
            ),
            Check::of("instance class", self).warn_if(
                source.class != *class,
                format!("{self} is a {class}, and its source a {}: it may not carry the load", source.class),
                format!(
                    "`aws rds modify-db-instance --db-instance-identifier {replica_id} --db-instance-class {} --apply-immediately --region {}`, or RdsModifyInstance after the promotion",
                    source.class, self.region
                ),
            ),
        ]
    }
}

impl RdsPromoteReadReplica {
    /// Tells whether a promotion whose answer was lost was accepted. Looks for a while, because the status shows it late.
    async fn is_under_way(&self, cx: &StepContext<Cloud>) -> Result<bool, StepFailure> {
        let begun = cx.clock.now();
        let (mut pacer, since) = (cx.pacer(SHOWS_WITHIN), cx.env.since_now());
        loop {
            let instance = rds::get(cx, &self.region, &self.instance, since).await?;
            instance.must_not_be_broken()?;
            if instance.source.is_none() || matches!(instance.status.as_str(), "modifying" | "rebooting" | "promoting") {
                return Ok(true);
            }
            if between(begun, cx.clock.now()) >= SHOWS_WITHIN {
                return Ok(false);
            }
            cx.progress("looks whether it was promoted before the interruption");
            pacer.pause().await;
        }
    }

    async fn lag_within_limit(&self, cx: &StepContext<Cloud>) -> Result<Option<f64>, StepFailure> {
        let Some(Span(limit)) = self.max_replica_lag else {
            // For the record only, so a CloudWatch that does not answer is no reason to stop.
            return Ok(lag::latest(cx, &self.region, &self.instance).await.unwrap_or_default());
        };
        let place = format!("{} in {}", self.instance, self.region);
        match lag::latest(cx, &self.region, &self.instance).await? {
            Some(seconds) if seconds <= limit.as_secs_f64() => Ok(Some(seconds)),
            Some(seconds) => {
                let (lag, limit) = (lag::show(seconds), Span(limit));
                Err(StepFailure::permanent(format!("{place} is {lag} behind its source and max_replica_lag is {limit}: not promoted, nothing was changed")).hint(
                    "wait until it has caught up and try again (`wf run` after a rollback, `wf resume` after a pause), or raise `max_replica_lag` to accept the loss. While the source is dead the lag grows by itself: compare it with how long the source has been down",
                ))
            }
            None => Err(StepFailure::permanent(format!("the lag of {place} is unknown, and max_replica_lag is {}: not promoted, nothing was changed", Span(limit)))
                .hint("CloudWatch has no ReplicaLag of the last five minutes: replication may be broken. Look at the replica, and then try again; without `max_replica_lag` it is promoted as it is")),
        }
    }

    fn promoted_by_someone_else(&self) -> StepFailure {
        let message =
            format!("{} in {} replicates nothing: it was promoted by someone else, or never was a replica", self.instance, self.region);
        StepFailure::permanent(message).hint("if it is the primary that you want, `wf resume RUN --mark-done STEP`")
    }

    async fn look(&self, cx: &StepContext<Cloud>, since: Timestamp, read: Since) -> Result<Look<Instance>, StepFailure> {
        let instance = rds::get(cx, &self.region, &self.instance, read).await?;
        instance.must_not_be_broken()?;
        let waited = between(since, cx.clock.now());
        match (&instance.source, instance.is_available()) {
            (None, true) if instance.endpoint.is_some() => Ok(Look::Done(instance)),
            (Some(_), true) if waited >= STALLED_AFTER => {
                let message = format!(
                    "{} in {} shows no sign of its promotion after {}",
                    self.instance,
                    self.region,
                    Span(Duration::from_secs(waited.as_secs()))
                );
                Ok(Look::GiveUp(StepFailure::transient(message).hint("look at the events of the instance (`aws rds describe-events`)")))
            }
            (Some(_), _) => Ok(Look::Waiting(format!("{}, still replicating", instance.status))),
            (None, _) => Ok(Look::Waiting(format!("{}, no longer a replica", instance.status))),
        }
    }
}
