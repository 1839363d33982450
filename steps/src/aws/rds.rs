//! RDS instances as the kinds look at them: what a describe says, without the Options, and which states mean what.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_rds::types::{DbInstance, DbInstanceStatusInfo};
use wf_engine::clock::between;
use wf_engine::model::event::{FailureKind, StepFailure};
use wf_engine::step::StepContext;

use super::missing::{Missing, names};
use super::shared::Since;
use super::{Cloud, errors};

/// The IAM action of every look at an instance.
pub const DESCRIBE: &str = "rds:DescribeDBInstances";

/// The tag that names an environment, in any case of its letters.
pub const ENVIRONMENT: &str = "environment";

/// How long it usually takes until a deleted instance is gone.
pub const DELETED_TYPICALLY: Duration = Duration::from_secs(3 * 60);

/// How long a backup, or somebody else's change, is waited for.
const AVAILABLE_WITHIN: Duration = Duration::from_secs(600);
/// How long that usually takes.
const AVAILABLE_TYPICALLY: Duration = Duration::from_secs(120);

/// An RDS instance, as described.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Its name, unique in its region.
    pub id: String,
    /// Its region.
    pub region: String,
    /// Its ARN.
    pub arn: String,
    /// Its status, such as `available`. Right after a change it may still be the one from before.
    pub status: String,
    /// The instance that it replicates: an ARN when that is in another region, a name otherwise. `None` for a primary.
    pub source: Option<String>,
    /// What is wrong with its replication, such as `error`, in RDS's words; `None` while it goes on, and for a primary.
    pub replication_trouble: Option<String>,
    /// The names of its replicas, or their ARNs when they are in other regions.
    pub replicas: Vec<String>,
    /// Its host name; it has none while it is created.
    pub endpoint: Option<String>,
    /// Its port.
    pub port: Option<i32>,
    /// Its engine, such as `postgres`.
    pub engine: String,
    /// The version of that.
    pub engine_version: String,
    /// Its instance class, such as `db.r6g.xlarge`.
    pub class: String,
    /// For how many days backups are kept; 0 means that there are none.
    pub backup_retention_days: i32,
    /// Whether its storage is encrypted.
    pub encrypted: bool,
    /// The ARN of the KMS key that it is encrypted with.
    pub key: Option<String>,
    /// Whether it is protected from deletion.
    pub deletion_protection: bool,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// The name that it is about to get.
    pub pending_id: Option<String>,
    /// The instance class that it is about to get.
    pub pending_class: Option<String>,
    /// The retention that it is about to get.
    pub pending_backup_retention_days: Option<i32>,
}

impl Instance {
    fn new(region: &str, described: &DbInstance) -> Self {
        let text = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
        let endpoint = described.endpoint();
        let pending = described.pending_modified_values();
        Self {
            id: described.db_instance_identifier().unwrap_or_default().to_owned(),
            region: region.to_owned(),
            arn: described.db_instance_arn().unwrap_or_default().to_owned(),
            status: described.db_instance_status().unwrap_or("unknown").to_owned(),
            source: text(described.read_replica_source_db_instance_identifier()),
            replication_trouble: described.status_infos().iter().find_map(replication_trouble),
            replicas: described.read_replica_db_instance_identifiers().to_vec(),
            endpoint: text(endpoint.and_then(|endpoint| endpoint.address())),
            port: endpoint.and_then(|endpoint| endpoint.port()),
            engine: described.engine().unwrap_or_default().to_owned(),
            engine_version: described.engine_version().unwrap_or_default().to_owned(),
            class: described.db_instance_class().unwrap_or_default().to_owned(),
            backup_retention_days: described.backup_retention_period().unwrap_or_default(),
            encrypted: described.storage_encrypted().unwrap_or_default(),
            key: text(described.kms_key_id()),
            deletion_protection: described.deletion_protection().unwrap_or_default(),
            tags: described.tag_list().iter().filter_map(|tag| Some((tag.key()?.to_owned(), tag.value()?.to_owned()))).collect(),
            pending_id: text(pending.and_then(|pending| pending.db_instance_identifier())),
            pending_class: text(pending.and_then(|pending| pending.db_instance_class())),
            pending_backup_retention_days: pending.and_then(|pending| pending.backup_retention_period()),
        }
    }

    /// Returns the environment that its tags name.
    pub fn environment(&self) -> Option<String> {
        self.tags.iter().find(|(key, _)| key.eq_ignore_ascii_case(ENVIRONMENT)).map(|(_, value)| value.clone())
    }

    /// Tells whether it serves and takes changes.
    pub fn is_available(&self) -> bool {
        self.status == "available"
    }

    /// Tells whether it is in a state that it does not leave without an operator.
    pub fn is_broken(&self) -> bool {
        const BROKEN: [&str; 6] = [
            "failed",
            "inaccessible-encryption-credentials",
            "insufficient-capacity",
            "restore-error",
            "storage-full",
            "unsupported-configuration",
        ];
        BROKEN.contains(&self.status.as_str()) || self.status.starts_with("incompatible-")
    }

    /// Fails for good when it is in a state that it does not leave by itself, rather than let a wait run into its limit.
    pub fn must_not_be_broken(&self) -> Result<(), StepFailure> {
        if self.is_broken() {
            let failure = StepFailure::permanent(format!(
                "{} in {} is `{}`, a state that it does not leave by itself",
                self.id, self.region, self.status
            ));
            return Err(failure.hint("look at the events of the instance (`aws rds describe-events`), repair it, and then try again: `wf resume`, or `wf run` after a rollback"));
        }
        Ok(())
    }

    /// Fails for now when it does not take changes: a backup is taken, another change is under way.
    fn must_be_available(&self, to: &str) -> Result<(), StepFailure> {
        self.must_not_be_broken()?;
        if self.is_available() {
            return Ok(());
        }
        let failure = StepFailure::transient(format!("cannot {to}: {} in {} is `{}`, not `available`", self.id, self.region, self.status));
        Err(failure.hint("it should pass by itself: a backup, or a change that someone else makes. The step is tried again"))
    }

    /// Tells whether it replicates `source`, which may be an ARN or, in the same region, a name.
    pub fn replicates(&self, source: &str) -> bool {
        self.source.as_deref().is_some_and(|found| same_instance(found, source, &self.region))
    }
}

fn replication_trouble(info: &DbInstanceStatusInfo) -> Option<String> {
    let status = info.status().unwrap_or_default();
    let is_over = matches!(status, "error" | "stopped" | "terminated");
    if info.status_type() != Some("read replication") || !(is_over || info.normal() == Some(false)) {
        return None;
    }
    Some(match info.message().filter(|message| !message.is_empty()) {
        Some(message) => format!("`{status}`: {message}"),
        None => format!("`{status}`"),
    })
}

/// Tells whether two texts, ARNs or names in `region`, mean the same instance.
fn same_instance(one: &str, other: &str, region: &str) -> bool {
    let (one, other) = (split(one, region), split(other, region));
    one == other
}

/// Returns the region and name of an instance from an ARN or a name in `region`. RDS keeps names in lower case.
pub fn split(instance: &str, region: &str) -> (String, String) {
    let mut parts = instance.split(':');
    match (parts.next(), parts.nth(2), parts.next_back()) {
        (Some("arn"), Some(region), Some(id)) => (region.to_owned(), id.to_ascii_lowercase()),
        _ => (region.to_owned(), instance.to_ascii_lowercase()),
    }
}

/// Describes an instance, as it was after `since`; `None` when the region has none of that name.
pub async fn find(cx: &StepContext<Cloud>, region: &str, id: &str, since: Since) -> Result<Option<Instance>, StepFailure> {
    let found = cx.env.read_instance(region, id, since).await;
    let found = found.map_err(errors::reading_shared(DESCRIBE, format!("look at {id} in {region}")))?;
    Ok(found.map(|described| Instance::new(region, &described)))
}

/// Describes an instance that must be there, as it was after `since`.
pub async fn get(cx: &StepContext<Cloud>, region: &str, id: &str, since: Since) -> Result<Instance, StepFailure> {
    match find(cx, region, id, since).await? {
        Some(instance) => Ok(instance),
        None => Err(missing(cx, region, id).await),
    }
}

/// Waits until an instance takes changes again: until a backup, or somebody else's change, has ended. That takes minutes, far
/// longer than the attempts of a step reach, and to roll a failover back for it would be wrong. Gives up after ten of them.
pub async fn get_available(cx: &StepContext<Cloud>, region: &str, id: &str, to: &str) -> Result<Instance, StepFailure> {
    until_available(cx, to, |since| get(cx, region, id, since)).await
}

/// As [`get_available`], of an instance that is looked for anew each time: it may get another name meanwhile.
pub async fn until_available<F, L>(cx: &StepContext<Cloud>, to: &str, mut look: F) -> Result<Instance, StepFailure>
where
    F: FnMut(Since) -> L + Send,
    L: Future<Output = Result<Instance, StepFailure>> + Send,
{
    let begun = cx.clock.now();
    let (mut pacer, since) = (cx.pacer(AVAILABLE_TYPICALLY), cx.env.since_now());
    loop {
        let instance = look(since).await?;
        match instance.must_be_available(to) {
            Ok(()) => return Ok(instance),
            Err(failure) if failure.kind == FailureKind::Permanent || between(begun, cx.clock.now()) >= AVAILABLE_WITHIN => {
                return Err(failure);
            }
            Err(_) => cx.progress(format!("{}: waits to {to}", instance.status)),
        }
        pacer.pause().await;
    }
}

/// Returns the failure of an instance that is not there.
pub async fn missing(cx: &StepContext<Cloud>, region: &str, id: &str) -> StepFailure {
    let all = cx.env.rds(region).describe_db_instances().into_paginator().items().send();
    let names = names(all, |instance| instance.db_instance_identifier).await;
    Missing { what: "RDS instance", name: id, place: region, region: Some(region) }.failure(cx, names).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arns_and_names_of_one_instance_are_the_same() {
        let arn = "arn:aws:rds:us-east-1:123456789012:db:prod-db-primary";
        assert_eq!(split(arn, "us-west-2"), ("us-east-1".to_owned(), "prod-db-primary".to_owned()));
        assert!(same_instance(arn, "Prod-DB-primary", "us-east-1"));
        assert!(!same_instance(arn, "prod-db-primary", "us-west-2"));
        assert!(!same_instance(arn, "arn:aws:rds:us-east-1:123456789012:db:prod-db", "us-west-2"));
    }
}
