//! `Route53Weighted`: gives one of several weighted DNS records its share of the users, and the others the rest. A gradual shift is a step
//! for each stage, with a check in between: what fails gives back the shares that were there.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_route53::types::{ChangeAction, RrType};
use serde::{Deserialize, Serialize};
use serde_json::json;
use wf_engine::model::definition::Objectives;
use wf_engine::model::event::{Fields, StepFailure};
use wf_engine::readiness::Check;
use wf_engine::step::{Change, Field, FieldType, Iam, KindInfo, Observed, Rbac, Reversibility, StepContext, StepKind, fields};

use crate::aws::Cloud;
use crate::hosted_zone;
use crate::named_record::{ChangeHandle, NamedRecord, RECORD_LEN_MAX};
use crate::record_readiness;
use crate::record_set::{RecordSet, canonical};

/// Gives a weighted record its share of the users.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route53Weighted {
    /// The hosted zone's name.
    pub zone: String,
    /// The hosted zone's id.
    #[serde(default)]
    pub zone_id: Option<String>,
    /// Whether the hosted zone is a private one.
    #[serde(default)]
    pub private: bool,
    /// The records' name.
    pub record: String,
    /// The records' type.
    pub r#type: String,
    /// The set identifier of the record that is given the share.
    pub to: String,
    /// Its share, of a hundred.
    pub percent: u8,
}

/// The records before the step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WeightsBefore {
    hosted_zone_id: String,
    /// All records of the name and type, complete.
    records: Vec<RecordSet>,
}

#[async_trait]
impl StepKind for Route53Weighted {
    type Env = Cloud;
    type Before = WeightsBefore;
    type Handle = ChangeHandle;

    const INFO: KindInfo = KindInfo {
        name: "Route53Weighted",
        summary: "gives one of several weighted DNS records its share of the users, and the others the rest",
        example: r#"(
    id: "shift_10",
    run: Route53Weighted(zone: "company.com", record: "api.company.com", type: "A", to: "west", percent: 10),
)"#,
        reversibility: Reversibility::Reversible,
        params: &[
            Field::new("zone", FieldType::Text, "the hosted zone's name, matched exactly"),
            Field::new("zone_id", FieldType::Text, "the hosted zone's id; default: looked up by name and type"),
            Field::new("private", FieldType::Bool, "whether it is a private zone; default false"),
            Field::new("record", FieldType::Text, "the records' name"),
            Field::new("type", FieldType::Text, "the records' type, such as \"A\""),
            Field::new("to", FieldType::Text, "the set identifier of the record that gets the share"),
            Field::new("percent", FieldType::Integer, "its share, 0 to 100; the others share the rest as they did before"),
        ],
        outputs: &[
            Field::new("change_id", FieldType::Text, "the id of the change; empty when nothing had to be changed"),
            Field::new("zone_id", FieldType::Text, "the hosted zone's id"),
        ],
        before: &[
            Field::new("hosted_zone_id", FieldType::Text, "the hosted zone's id"),
            Field::new("records", FieldType::Json, "the records, complete"),
        ],
        iam: Iam {
            read: &["route53:ListHostedZonesByName", "route53:ListResourceRecordSets", "route53:GetChange"],
            apply: &["route53:ChangeResourceRecordSets"],
            compensate: &[],
            ready: &[],
        },
        rbac: Rbac::NONE,
        facts: &[
            "the control plane of Route 53 is in us-east-1: a gradual shift is for a planned failover",
            "all weights change in one atomic batch; the change is followed until INSYNC, normally within a minute",
            "resolvers keep the old answer for the records' time to live, so that a share is the users' only after it",
            "Route 53 leaves out a record whose health check fails, so that users may be fewer than the share there",
            "it is one stage, and does not look whether the users are served: let an HttpCheck that has to succeed many times in a row follow; when that fails, a rollback restores the weights",
        ],
        typical: Duration::from_secs(45),
        timeout: Duration::from_secs(10 * 60),
    };

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if !RrType::values().contains(&self.r#type.as_str()) {
            problems.push(format!("`type` \"{}\" is none of {}", self.r#type.escape_debug(), RrType::values().join(", ")));
        }
        let (zone, record) = (canonical(&self.zone), canonical(&self.record));
        if record != zone && !record.ends_with(&format!(".{zone}")) {
            problems.push(format!("`record` {record} does not belong to `zone` {zone}"));
        }
        if self.percent > 100 {
            problems.push(format!("`percent` {} is more than 100", self.percent));
        }
        problems
    }

    fn changes(&self, before: &WeightsBefore) -> Vec<Change> {
        let what = |now: &RecordSet| format!("weight of {} {}", self.record, now.set_identifier.as_deref().unwrap_or_default());
        let desired = self.desired(&before.records);
        let pairs = before.records.iter().zip(&desired).filter(|(now, then)| now.weight != then.weight);
        pairs.map(|(now, then)| Change::new(what(now), now.weight.unwrap_or_default(), then.weight.unwrap_or_default())).collect()
    }

    async fn observe(&self, cx: &StepContext<Cloud>, intent: Option<&WeightsBefore>) -> Result<Observed<WeightsBefore>, StepFailure> {
        let hosted_zone_id = match intent {
            Some(earlier) => earlier.hosted_zone_id.clone(),
            None => self.named(None).zone(cx).await?,
        };
        let records = hosted_zone::records(cx, &hosted_zone_id, &self.record, &self.r#type).await?;
        let before = match intent {
            Some(earlier) => earlier.clone(),
            None => {
                self.check(&records)?;
                WeightsBefore { hosted_zone_id, records: records.clone() }
            }
        };
        let as_desired = self.desired(&before.records).iter().all(|then| records.iter().any(|now| now.says_the_same_as(then)));
        Ok(if as_desired { Observed::Satisfied(before) } else { Observed::Differs(before) })
    }

    async fn readiness(&self, cx: &StepContext<Cloud>, _objectives: &Objectives) -> Result<Vec<Check>, StepFailure> {
        let named = self.named(Some(&self.to));
        let record_readiness::Found { check, records } = record_readiness::find(cx, named, false).await;
        Ok(vec![check, record_readiness::ttl(named, &records)])
    }

    async fn apply(&self, cx: &StepContext<Cloud>, before: &WeightsBefore) -> Result<ChangeHandle, StepFailure> {
        self.write(cx, &before.hosted_zone_id, &self.desired(&before.records)).await
    }

    async fn settle(&self, cx: &StepContext<Cloud>, before: &WeightsBefore, handle: Option<&ChangeHandle>) -> Result<Fields, StepFailure> {
        self.wait(cx, &before.hosted_zone_id, handle, &self.desired(&before.records)).await?;
        Ok(fields([("change_id", json!(handle.map_or("", |handle| &handle.change_id))), ("zone_id", json!(before.hosted_zone_id))]))
    }

    async fn compensate(&self, cx: &StepContext<Cloud>, before: &WeightsBefore, _handle: Option<&ChangeHandle>) -> Result<(), StepFailure> {
        // Not compared first: a view of the zone from before the step would show nothing to restore.
        let handle = self.write(cx, &before.hosted_zone_id, &before.records).await?;
        self.wait(cx, &before.hosted_zone_id, Some(&handle), &before.records).await
    }
}

impl Route53Weighted {
    fn named<'a>(&'a self, set_identifier: Option<&'a str>) -> NamedRecord<'a> {
        let Self { zone, zone_id, private, record, r#type, .. } = self;
        NamedRecord { zone, zone_id: zone_id.as_deref(), private: *private, record, kind: r#type, set_identifier }
    }

    /// Refuses records whose shares cannot be set, or could not be restored.
    fn check(&self, records: &[RecordSet]) -> Result<(), StepFailure> {
        let what = self.named(None);
        let ids: Vec<_> = records.iter().filter_map(|record| record.set_identifier.as_deref()).collect();
        if records.iter().any(|record| record.weight.is_none()) || records.is_empty() {
            return Err(StepFailure::permanent(format!("{what} is no set of weighted records"))
                .hint("a record of another routing policy is moved by Route53Failover"));
        }
        if !ids.contains(&self.to.as_str()) {
            return Err(StepFailure::permanent(format!("{what} has no record {}", self.to)).hint(format!("there are {}", ids.join(", "))));
        }
        if records.len() == 1 {
            return Err(StepFailure::permanent(format!("{what} has one record only: it has all users whatever its weight")));
        }
        if json!(records).to_string().len() > RECORD_LEN_MAX {
            return Err(StepFailure::permanent(format!("{what} is too large to be recorded, so it could not be restored")));
        }
        Ok(())
    }

    /// Returns the records with their new weights. The others keep their proportions; if they had no share at all, they have equal ones.
    fn desired(&self, records: &[RecordSet]) -> Vec<RecordSet> {
        let is_to = |record: &RecordSet| record.set_identifier.as_deref() == Some(self.to.as_str());
        let (percent, mut rest) = (i64::from(self.percent), 100 - i64::from(self.percent));
        let weight = |record: &RecordSet| record.weight.unwrap_or_default().max(0);
        let mut total: i64 = records.iter().filter(|record| !is_to(record)).map(weight).sum();
        let equal = total == 0;
        if equal {
            total = i64::try_from(records.iter().filter(|record| !is_to(record)).count()).unwrap_or(i64::MAX);
        }
        let share = |record: &RecordSet| {
            if is_to(record) {
                return RecordSet { weight: Some(percent), ..record.clone() };
            }
            // What is left is divided anew each time, so that rounding loses nothing.
            let own = if equal { 1 } else { weight(record) };
            let given = if total == 0 { 0 } else { (rest * own + total / 2) / total };
            (rest, total) = (rest - given, total - own);
            RecordSet { weight: Some(given), ..record.clone() }
        };
        records.iter().map(share).collect()
    }

    async fn write(&self, cx: &StepContext<Cloud>, zone_id: &str, records: &[RecordSet]) -> Result<ChangeHandle, StepFailure> {
        let shown = format!("the weights of {} {}", self.record, self.r#type);
        let change_id = hosted_zone::change_all(cx, zone_id, ChangeAction::Upsert, records, &shown).await?;
        Ok(ChangeHandle { change_id, zone_id: zone_id.to_owned() })
    }

    async fn wait(
        &self,
        cx: &StepContext<Cloud>,
        zone_id: &str,
        handle: Option<&ChangeHandle>,
        records: &[RecordSet],
    ) -> Result<(), StepFailure> {
        for record in records {
            self.named(record.set_identifier.as_deref()).wait(cx, zone_id, handle, Some(record)).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(percent: u8) -> Route53Weighted {
        let text = json!({ "zone": "company.com", "record": "api.company.com", "type": "A", "to": "west", "percent": percent });
        serde_json::from_value(text).expect("valid")
    }

    fn weights(of: &[(&str, i64)]) -> Vec<RecordSet> {
        let record = |(id, weight): &(&str, i64)| RecordSet {
            set_identifier: Some((*id).into()),
            weight: Some(*weight),
            ttl: Some(60),
            ..RecordSet::default()
        };
        of.iter().map(record).collect()
    }

    #[test]
    fn the_others_share_the_rest_as_they_did() {
        for (before, percent, then) in [
            (vec![("east", 100), ("west", 0)], 10, vec![("east", 90), ("west", 10)]),
            (vec![("east", 90), ("west", 10)], 100, vec![("east", 0), ("west", 100)]),
            (vec![("east", 0), ("west", 100)], 0, vec![("east", 100), ("west", 0)]),
            (vec![("a", 200), ("b", 100), ("west", 0)], 10, vec![("a", 60), ("b", 30), ("west", 10)]),
            (vec![("a", 1), ("b", 1), ("c", 1), ("west", 7)], 0, vec![("a", 33), ("b", 34), ("c", 33), ("west", 0)]),
            (vec![("a", 0), ("b", 0), ("west", 1)], 50, vec![("a", 25), ("b", 25), ("west", 50)]),
        ] {
            assert_eq!(step(percent).desired(&weights(&before)), weights(&then));
        }
    }

    #[test]
    fn records_without_shares_are_refused() {
        let told = |records: &[RecordSet]| step(10).check(records).map_err(|failure| failure.message);
        assert_eq!(told(&weights(&[("east", 1), ("west", 0)])), Ok(()));
        assert!(told(&weights(&[("east", 1), ("south", 0)])).is_err_and(|said| said.ends_with("has no record west")));
        assert!(told(&weights(&[("west", 1)])).is_err_and(|said| said.contains("one record only")));
        assert!(told(&[RecordSet::default()]).is_err_and(|said| said.contains("no set of weighted records")));
        assert_eq!(step(101).problems().len(), 1);
    }
}
