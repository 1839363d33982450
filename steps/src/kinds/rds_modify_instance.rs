//! `RdsModifyInstance`: changes backups, class or name of an instance, at once.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use wf_engine::clock::between;
use wf_engine::model::definition::Objectives;
use wf_engine::model::event::{FailureKind, Fields, StepFailure};
use wf_engine::readiness::Check;
use wf_engine::step::{Change, Field, FieldType, Iam, KindInfo, Observed, Rbac, Reversibility, StepContext, StepKind, fields};
use wf_engine::units::Span;

use crate::aws::poll::{Look, SHOWS_WITHIN, until};
use crate::aws::rds::{self, Instance};
use crate::aws::shared::Since;
use crate::aws::{Cloud, errors, instance_class};

/// Changes an instance.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RdsModifyInstance {
    /// The instance.
    pub instance: String,
    /// Its region.
    pub region: String,
    /// For how many days its backups are to be kept.
    #[serde(default)]
    pub backup_retention_days: Option<i32>,
    /// Its class from now on.
    #[serde(default)]
    pub instance_class: Option<String>,
    /// Its name from now on.
    #[serde(default)]
    pub new_identifier: Option<String>,
}

/// How long one change usually takes; a new instance class takes longer.
const TYPICALLY: Duration = Duration::from_secs(2 * 60);
/// How long an instance may look untouched after the call, before the call is taken for lost.
const STALLED_AFTER: Duration = Duration::from_secs(300);

/// What can be changed, as it was before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// The name.
    pub identifier: String,
    /// For how many days backups were kept.
    pub backup_retention_days: i32,
    /// The instance class.
    pub instance_class: String,
}

#[async_trait]
impl StepKind for RdsModifyInstance {
    type Env = Cloud;
    type Before = Settings;
    type Handle = ();

    const INFO: KindInfo = KindInfo {
        name: "RdsModifyInstance",
        summary: "changes backup retention, class or name of an RDS instance, at once",
        example: r#"(id: "backups", run: RdsModifyInstance(instance: "prod-db-primary", region: "us-east-1", backup_retention_days: 14), timeout: "20m")"#,
        reversibility: Reversibility::Reversible,
        params: &[
            Field::new("instance", FieldType::Text, "the instance's identifier"),
            Field::new("region", FieldType::Text, "its region"),
            Field::new("backup_retention_days", FieldType::Integer, "for how many days backups are kept, 0 (none) to 35"),
            Field::new("instance_class", FieldType::Text, "its class, such as \"db.r6g.xlarge\"; the instance restarts for it"),
            Field::new("new_identifier", FieldType::Text, "its name from now on; its endpoint changes with it"),
        ],
        outputs: &[
            Field::new("identifier", FieldType::Text, "its name, a new one after a renaming"),
            Field::new("endpoint", FieldType::Text, "its host name, a new one after a renaming"),
            Field::new("arn", FieldType::Text, "its ARN, a new one after a renaming"),
        ],
        before: &[
            Field::new("identifier", FieldType::Text, "its name"),
            Field::new("backup_retention_days", FieldType::Integer, "for how many days backups were kept"),
            Field::new("instance_class", FieldType::Text, "its class"),
        ],
        iam: Iam { read: &[rds::DESCRIBE], apply: &["rds:ModifyDBInstance"], compensate: &[], ready: &[instance_class::OFFERED] },
        rbac: Rbac::NONE,
        facts: &[
            "changes are made at once, not in the maintenance window; a class or a retention from or to 0 can interrupt service",
            "right after the call the status may still be `available`: done means that the values are the new ones and none is pending",
            "RDS takes no idempotency token for it, but the call is declarative: repeating it is harmless",
            "an instance in `backing-up`, or being changed, may refuse it: the step waits up to ten minutes for the end of that, and is tried again",
            "a renaming is done when the new name is available and the old one is gone; clients that know the old endpoint do not find it any more",
            "rollback restores what this step changes, and nothing else",
        ],
        typical: Duration::from_secs(3 * 60),
        timeout: Duration::from_secs(40 * 60),
    };

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.backup_retention_days.is_none() && self.instance_class.is_none() && self.new_identifier.is_none() {
            problems.push("nothing to change: give `backup_retention_days`, `instance_class` or `new_identifier`".to_owned());
        }
        if let Some(days) = self.backup_retention_days.filter(|days| !(0..=35).contains(days)) {
            problems.push(format!("`backup_retention_days` is {days}: RDS keeps backups for 0 to 35 days"));
        }
        if self.new_identifier.as_ref().is_some_and(|new| new.eq_ignore_ascii_case(&self.instance)) {
            problems.push("`new_identifier` is the name that it has".to_owned());
        }
        problems
    }

    fn iam(&self) -> Iam {
        if self.instance_class.is_none() { Iam { ready: &[], ..Self::INFO.iam } } else { Self::INFO.iam }
    }

    fn changes(&self, before: &Settings) -> Vec<Change> {
        let text = |what: &str, from: &String, to: &Option<String>| Change::if_other(what, from, to.as_ref());
        let retention = Change::if_other("backup retention days", &before.backup_retention_days, self.backup_retention_days.as_ref());
        let class = text("class", &before.instance_class, &self.instance_class);
        [text("identifier", &before.identifier, &self.new_identifier), retention, class].into_iter().flatten().collect()
    }

    async fn environment(&self, cx: &StepContext<Cloud>) -> Result<Option<String>, StepFailure> {
        Ok(rds::find(cx, &self.region, &self.instance, cx.env.since_now()).await?.and_then(|instance| instance.environment()))
    }

    async fn readiness(&self, cx: &StepContext<Cloud>, _objectives: &Objectives) -> Result<Vec<Check>, StepFailure> {
        let instance = self.find(cx, cx.env.since_now()).await?;
        let Some(class) = self.instance_class.as_ref().filter(|class| **class != instance.class) else { return Ok(Vec::new()) };
        let subject = format!("{} in {}", instance.id, self.region);
        Ok(vec![instance_class::check(cx, &self.region, class, &instance, &subject).await])
    }

    async fn observe(&self, cx: &StepContext<Cloud>, intent: Option<&Settings>) -> Result<Observed<Settings>, StepFailure> {
        let instance = self.find(cx, cx.env.since_now()).await?;
        let before = |instance| intent.cloned().unwrap_or_else(|| self.settings_of(instance));
        if self.wanted(&instance).is_none() {
            return Ok(Observed::Satisfied(before(&instance)));
        }
        if intent.is_some() && !instance.is_available() && !instance.is_broken() {
            // Probably our own change at work; `settle` finds out.
            return Ok(Observed::Satisfied(before(&instance)));
        }
        // It may look available although our own change is accepted: then it is changed, and perhaps renamed, when the wait is over.
        let instance = rds::until_available(cx, "change it", |since| self.find(cx, since)).await?;
        let before = before(&instance);
        Ok(if self.wanted(&instance).is_none() { Observed::Satisfied(before) } else { Observed::Differs(before) })
    }

    async fn apply(&self, cx: &StepContext<Cloud>, before: &Settings) -> Result<(), StepFailure> {
        let change = Modification {
            backup_retention_days: self.backup_retention_days,
            instance_class: self.instance_class.clone(),
            identifier: self.new_identifier.clone(),
        };
        change.ask_for(cx, &self.region, &before.identifier).await
    }

    async fn settle(&self, cx: &StepContext<Cloud>, _before: &Settings, _handle: Option<&()>) -> Result<Fields, StepFailure> {
        let began = cx.clock.now();
        let instance = until(cx, TYPICALLY, |since| self.look(cx, began, since)).await?;
        Ok(fields([("identifier", instance.id.into()), ("endpoint", instance.endpoint.into()), ("arn", instance.arn.into())]))
    }

    async fn compensate(&self, cx: &StepContext<Cloud>, before: &Settings, handle: Option<&()>) -> Result<(), StepFailure> {
        let doubtful_until = match handle {
            Some(()) => None,
            None => cx.clock.now().checked_add(SHOWS_WITHIN).ok(),
        };
        let instance = until(cx, TYPICALLY, |since| self.look_idle(cx, before, doubtful_until, since)).await?;
        let Some(change) = self.back_to(before, &instance) else { return Ok(()) };
        change.ask_for(cx, &self.region, &instance.id).await?;
        until(cx, TYPICALLY, |since| self.look_restored(cx, before, since)).await
    }
}

/// One call to change an instance.
#[derive(Debug, Clone, PartialEq)]
struct Modification {
    backup_retention_days: Option<i32>,
    instance_class: Option<String>,
    identifier: Option<String>,
}

impl Modification {
    /// Returns what must still be changed for an instance to be as wanted, pending changes not counted; `None` for nothing.
    fn from(instance: &Instance, days: Option<i32>, class: Option<&str>, identifier: Option<&str>) -> Option<Self> {
        let change = Self {
            backup_retention_days: days.filter(|days| *days != instance.backup_retention_days),
            instance_class: class.filter(|class| *class != instance.class).map(str::to_owned),
            identifier: identifier.filter(|identifier| !identifier.eq_ignore_ascii_case(&instance.id)).map(str::to_owned),
        };
        let nothing = Self { backup_retention_days: None, instance_class: None, identifier: None };
        (change != nothing).then_some(change)
    }

    async fn ask_for(&self, cx: &StepContext<Cloud>, region: &str, id: &str) -> Result<(), StepFailure> {
        cx.env
            .rds(region)
            .modify_db_instance()
            .db_instance_identifier(id)
            .set_backup_retention_period(self.backup_retention_days)
            .set_db_instance_class(self.instance_class.clone())
            .set_new_db_instance_identifier(self.identifier.clone())
            .apply_immediately(true)
            .send()
            .await
            .map_err(|error| {
                let gone = errors::has_code(&error, "DBInstanceNotFoundFault");
                let failure = errors::changing("rds:ModifyDBInstance", format!("change {id} in {region}"))(error);
                // An earlier call, whose answer was lost, may have renamed it just now: the next attempt looks.
                if gone && self.identifier.is_some() { StepFailure { kind: FailureKind::Transient, ..failure } } else { failure }
            })?;
        Ok(())
    }
}

impl RdsModifyInstance {
    /// Finds the instance under its old name or, once renamed, under its new one.
    async fn find(&self, cx: &StepContext<Cloud>, since: Since) -> Result<Instance, StepFailure> {
        let old = rds::find(cx, &self.region, &self.instance, since).await?;
        let Some(new_identifier) = &self.new_identifier else {
            return match old {
                Some(instance) => Ok(instance),
                None => Err(rds::missing(cx, &self.region, &self.instance).await),
            };
        };
        let new = rds::find(cx, &self.region, new_identifier, since).await?;
        match (old, new) {
            // Both while RDS renames it; two different instances otherwise.
            (Some(old), Some(new)) if old.arn != new.arn && old.status != "renaming" && new.status != "renaming" => {
                let failure = StepFailure::permanent(format!("{} and {} both exist in {}: the name is taken", old.id, new.id, self.region));
                Err(failure.hint("rename or delete the other one first, or choose another `new_identifier`"))
            }
            (Some(old), _) => Ok(old),
            (None, Some(new)) => Ok(new),
            // Renamed back between the two looks, unless it really is gone.
            (None, None) => rds::get(cx, &self.region, &self.instance, cx.env.since_now()).await,
        }
    }

    fn settings_of(&self, instance: &Instance) -> Settings {
        Settings {
            identifier: instance.id.clone(),
            backup_retention_days: instance.backup_retention_days,
            instance_class: instance.class.clone(),
        }
    }

    /// Returns what this step still has to change.
    fn wanted(&self, instance: &Instance) -> Option<Modification> {
        Modification::from(instance, self.backup_retention_days, self.instance_class.as_deref(), self.new_identifier.as_deref())
    }

    /// Returns what a rollback still has to change: only what this step is about.
    fn back_to(&self, before: &Settings, instance: &Instance) -> Option<Modification> {
        let days = self.backup_retention_days.map(|_| before.backup_retention_days);
        let class = self.instance_class.as_ref().map(|_| before.instance_class.as_str());
        let identifier = self.new_identifier.as_ref().map(|_| before.identifier.as_str());
        Modification::from(instance, days, class, identifier)
    }

    async fn look(&self, cx: &StepContext<Cloud>, began: Timestamp, since: Since) -> Result<Look<Instance>, StepFailure> {
        let instance = self.find(cx, since).await?;
        instance.must_not_be_broken()?;
        let pending = instance.pending_id.is_some() || instance.pending_class.is_some() || instance.pending_backup_retention_days.is_some();
        let waited = between(began, cx.clock.now());
        match self.wanted(&instance) {
            None if instance.is_available() && !pending => Ok(Look::Done(instance)),
            Some(_) if instance.is_available() && !pending && waited >= STALLED_AFTER => {
                let message = format!(
                    "{} in {} shows no sign of the change after {}",
                    instance.id,
                    self.region,
                    Span(Duration::from_secs(waited.as_secs()))
                );
                Ok(Look::GiveUp(StepFailure::transient(message).hint("look at the events of the instance (`aws rds describe-events`)")))
            }
            Some(_) => Ok(Look::Waiting(format!("{}, not changed yet", instance.status))),
            None => Ok(Look::Waiting(instance.status)),
        }
    }

    /// Looks whether a change that is under way has ended, so that it can be taken back. An instance that looks untouched may
    /// still be about to change, when the answer to the call was lost.
    async fn look_idle(
        &self,
        cx: &StepContext<Cloud>,
        before: &Settings,
        doubtful_until: Option<Timestamp>,
        since: Since,
    ) -> Result<Look<Instance>, StepFailure> {
        let instance = self.find(cx, since).await?;
        instance.must_not_be_broken()?;
        let pending = instance.pending_id.is_some() || instance.pending_class.is_some() || instance.pending_backup_retention_days.is_some();
        let doubtful = self.back_to(before, &instance).is_none() && doubtful_until.is_some_and(|end| cx.clock.now() < end);
        if instance.is_available() && !pending && !doubtful {
            return Ok(Look::Done(instance));
        }
        Ok(Look::Waiting(format!("{}, until it can be changed back", instance.status)))
    }

    async fn look_restored(&self, cx: &StepContext<Cloud>, before: &Settings, since: Since) -> Result<Look<()>, StepFailure> {
        let instance = self.find(cx, since).await?;
        instance.must_not_be_broken()?;
        if self.back_to(before, &instance).is_none() && instance.is_available() {
            return Ok(Look::Done(()));
        }
        Ok(Look::Waiting(format!("{}, not as before yet", instance.status)))
    }
}
