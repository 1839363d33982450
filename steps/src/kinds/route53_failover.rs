//! `Route53Failover`: points a DNS record to another place, and keeps everything else of it.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_route53::types::{ChangeAction, ChangeStatus, RrType};
use serde::{Deserialize, Serialize};
use serde_json::json;
use wf_engine::clock::between;
use wf_engine::model::event::{Fields, StepFailure};
use wf_engine::step::{Change, Field, FieldType, Iam, KindInfo, Observed, Rbac, Reversibility, StepContext, StepKind, fields};
use wf_engine::units::Span;

use crate::aws::missing::{Missing, names};
use crate::aws::poll::{self, Look};
use crate::aws::{Cloud, errors};
use crate::hosted_zone;
use crate::record_set::{Alias, RecordSet, canonical};

/// Points a DNS record to another place.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route53Failover {
    /// The hosted zone's name.
    pub zone: String,
    /// The hosted zone's id.
    #[serde(default)]
    pub zone_id: Option<String>,
    /// Whether the hosted zone is a private one.
    #[serde(default)]
    pub private: bool,
    /// The record's name.
    pub record: String,
    /// The record's type.
    pub r#type: String,
    /// Which of the records of that name and type.
    #[serde(default)]
    pub set_identifier: Option<String>,
    /// Where the record is to point.
    pub to: Destination,
    /// Whether a record that does not exist is made.
    #[serde(default)]
    pub create: bool,
}

/// Where a record points.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Destination {
    /// To an AWS resource, such as a load balancer.
    Alias {
        /// The resource's DNS name.
        dns_name: String,
        /// The id of the zone that the resource's name is in: a load balancer's canonical hosted zone id.
        zone_id: String,
        /// Whether the resource's own health counts; as before when not given.
        #[serde(default)]
        evaluate_target_health: Option<bool>,
    },
    /// To addresses, names or whatever the type holds.
    Values {
        /// The values.
        values: Vec<String>,
        /// How long resolvers keep them; as before when not given.
        #[serde(default)]
        ttl: Option<Span>,
    },
}

/// The record before the step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecordBefore {
    hosted_zone_id: String,
    /// The record with all its fields; `None` when there was none.
    record: Option<RecordSet>,
    alias_dns_name: Option<String>,
    alias_zone_id: Option<String>,
}

/// The change that Route 53 spreads to its servers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChangeHandle {
    /// The change's id.
    pub change_id: String,
    /// The hosted zone's id.
    pub zone_id: String,
}

/// The largest record that is kept in the journal, in bytes of JSON.
const RECORD_LEN_MAX: usize = 32 * 1024;
/// How long a change normally takes to be in sync, at the most: so long is one waited for that Route 53 does not know.
const USUALLY_IN_SYNC: Duration = Duration::from_secs(60);

#[async_trait]
impl StepKind for Route53Failover {
    type Env = Cloud;
    type Before = RecordBefore;
    type Handle = ChangeHandle;

    const INFO: KindInfo = KindInfo {
        name: "Route53Failover",
        summary: "points a DNS record to another place, keeping everything else of it",
        example: r#"(
    id: "dns",
    run: Route53Failover(
        zone: "company.com",
        record: "app.company.com",
        type: "A",
        set_identifier: "primary",
        to: Alias(dns_name: "prod-app-dr-alb-2071366924.us-west-2.elb.amazonaws.com", zone_id: "Z1H1FL5HABSF5"),
    ),
)"#,
        reversibility: Reversibility::Reversible,
        params: &[
            Field::new("zone", FieldType::Text, "the hosted zone's name, matched exactly"),
            Field::new("zone_id", FieldType::Text, "the hosted zone's id; default: looked up by name and type"),
            Field::new("private", FieldType::Bool, "whether it is a private zone; default false"),
            Field::new("record", FieldType::Text, "the record's name"),
            Field::new("type", FieldType::Text, "the record's type, such as \"A\""),
            Field::new("set_identifier", FieldType::Text, "which of several records of that name and type; default: the one that has none"),
            Field::new(
                "to",
                FieldType::Json,
                "Alias(dns_name: \"…\", zone_id: \"…\", evaluate_target_health: true) or Values(values: [\"…\"], ttl: \"60s\"); what is left out stays as it is",
            ),
            Field::new("create", FieldType::Bool, "whether a record that does not exist is made; default false"),
        ],
        outputs: &[
            Field::new("change_id", FieldType::Text, "the id of the change; empty when nothing had to be changed"),
            Field::new("zone_id", FieldType::Text, "the hosted zone's id"),
        ],
        before: &[
            Field::new("hosted_zone_id", FieldType::Text, "the hosted zone's id"),
            Field::new("record", FieldType::Json, "the record, complete"),
            Field::new("alias_dns_name", FieldType::Text, "where the record pointed before, when it was an alias"),
            Field::new("alias_zone_id", FieldType::Text, "the zone id that goes with `alias_dns_name`"),
        ],
        iam: Iam {
            read: &["route53:ListHostedZonesByName", "route53:ListResourceRecordSets", "route53:GetChange"],
            apply: &["route53:ChangeResourceRecordSets"],
            compensate: &[],
        },
        rbac: Rbac::NONE,
        facts: &[
            "the control plane of Route 53 is in us-east-1: where that region may be gone, prefer failover that needs no change of a record",
            "ListHostedZonesByName begins at a name and goes on with others: name and type of the zone are matched exactly, two that match are refused",
            "an UPSERT replaces the whole record: every field that the step does not change is kept, HealthCheckId too",
            "an UPSERT, safe to repeat; changes of a zone that are ready together go in one atomic batch, which is halved when Route 53 refuses it; GetChange is followed until INSYNC, normally within a minute",
            "Route 53 takes one change of a zone at a time: PriorRequestNotComplete is tried again",
            "a record of a traffic policy belongs to the policy and is refused",
            "a PRIMARY record pointed to the standby side keeps its health check, which watches the old side: while that fails, Route 53 answers with the SECONDARY record, the standby side as well",
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
        if let Destination::Values { values, .. } = &self.to
            && values.is_empty()
        {
            problems.push("`to` has no values".to_owned());
        }
        if self.create && self.set_identifier.is_some() {
            problems.push("`create` makes simple records only, so it cannot go with `set_identifier`".to_owned());
        }
        problems
    }

    fn changes(&self, before: &RecordBefore) -> Vec<Change> {
        let now = before.alias_dns_name.clone().or_else(|| before.record.as_ref().map(RecordSet::targets)).unwrap_or_default();
        vec![Change::new(self.to_string(), now, self.desired(before).targets())]
    }

    async fn observe(&self, cx: &StepContext<Cloud>, intent: Option<&RecordBefore>) -> Result<Observed<RecordBefore>, StepFailure> {
        let hosted_zone_id = match intent {
            Some(earlier) => earlier.hosted_zone_id.clone(),
            None => self.find_zone(cx).await?,
        };
        let record = self.find_record(cx, &hosted_zone_id).await?;
        let before = match intent {
            Some(earlier) => earlier.clone(),
            None => RecordBefore::new(hosted_zone_id, record.clone()),
        };
        let desired = self.desired(&before);
        let as_desired = record.is_some_and(|record| record.says_the_same_as(&desired));
        Ok(if as_desired { Observed::Satisfied(before) } else { Observed::Differs(before) })
    }

    async fn apply(&self, cx: &StepContext<Cloud>, before: &RecordBefore) -> Result<ChangeHandle, StepFailure> {
        self.change(cx, &before.hosted_zone_id, ChangeAction::Upsert, &self.desired(before)).await
    }

    async fn settle(&self, cx: &StepContext<Cloud>, before: &RecordBefore, handle: Option<&ChangeHandle>) -> Result<Fields, StepFailure> {
        self.wait(cx, &before.hosted_zone_id, handle, Some(&self.desired(before))).await?;
        Ok(fields([("change_id", json!(handle.map_or("", |handle| &handle.change_id))), ("zone_id", json!(before.hosted_zone_id))]))
    }

    async fn compensate(&self, cx: &StepContext<Cloud>, before: &RecordBefore, _handle: Option<&ChangeHandle>) -> Result<(), StepFailure> {
        let zone_id = &before.hosted_zone_id;
        let handle = match &before.record {
            // Not compared first: a view of the zone from before the step would show nothing to restore.
            Some(record) => self.change(cx, zone_id, ChangeAction::Upsert, record).await?,
            None => match self.read(cx, zone_id).await? {
                Some(now) => self.change(cx, zone_id, ChangeAction::Delete, &now).await?,
                None => return Ok(()),
            },
        };
        self.wait(cx, zone_id, Some(&handle), before.record.as_ref()).await
    }
}

impl std::fmt::Display for Route53Failover {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "record {} {}", self.record, self.r#type)?;
        self.set_identifier.as_ref().map_or(Ok(()), |id| write!(f, " ({id})"))
    }
}

impl RecordBefore {
    fn new(hosted_zone_id: String, record: Option<RecordSet>) -> Self {
        let alias = record.as_ref().and_then(|record| record.alias.clone());
        let (alias_dns_name, alias_zone_id) = alias.map(|alias| (alias.dns_name, alias.zone_id)).unzip();
        Self { hosted_zone_id, record, alias_dns_name, alias_zone_id }
    }
}

impl Route53Failover {
    /// Returns the record as it is to be: as before, but for where it points.
    fn desired(&self, before: &RecordBefore) -> RecordSet {
        let new = || RecordSet { name: self.record.clone(), kind: self.r#type.clone(), ..RecordSet::default() };
        let mut record = before.record.clone().unwrap_or_else(new);
        let earlier = record.alias.take();
        match &self.to {
            Destination::Alias { dns_name, zone_id, evaluate_target_health } => {
                let evaluate_target_health =
                    evaluate_target_health.unwrap_or_else(|| earlier.is_none_or(|alias| alias.evaluate_target_health));
                record.alias = Some(Alias { dns_name: dns_name.clone(), zone_id: zone_id.clone(), evaluate_target_health });
                record.ttl = None;
                record.values = Vec::new();
            }
            Destination::Values { values, ttl } => {
                let ttl = ttl.map(|ttl| i64::try_from(ttl.0.as_secs()).unwrap_or(i64::MAX));
                record.ttl = ttl.or(record.ttl).or(Some(60));
                record.values = values.clone();
            }
        }
        record
    }

    /// Finds the one hosted zone with the name and of the type.
    async fn find_zone(&self, cx: &StepContext<Cloud>) -> Result<String, StepFailure> {
        if let Some(id) = &self.zone_id {
            return Ok(id.trim_start_matches("/hostedzone/").to_owned());
        }
        let sort = |private| if private { "private" } else { "public" };
        let same_name = hosted_zone::named(cx, &self.zone).await?;
        let of_type: Vec<_> = same_name.iter().filter(|(_, private)| *private == self.private).map(|(id, _)| id.as_str()).collect();
        match of_type.as_slice() {
            [id] => Ok((*id).to_owned()),
            [] => {
                let what = format!("{} hosted zone", sort(self.private));
                let zones = cx.env.route53().list_hosted_zones().into_paginator().items().send();
                let names = names(zones, |zone| Some(zone.name.trim_end_matches('.').to_owned())).await;
                let failure = Missing { what: &what, name: &self.zone, place: "Route 53", region: None }.failure(cx, names).await;
                Err(match same_name.is_empty() {
                    true => failure,
                    false => failure.hint(format!("there is a {} one: set `private: {}`", sort(!self.private), !self.private)),
                })
            }
            several => {
                Err(StepFailure::permanent(format!("{} {} hosted zones are named {}", several.len(), sort(self.private), self.zone))
                    .hint(format!("say which with `zone_id`: {}", several.join(", "))))
            }
        }
    }

    /// Reads the record, and refuses one that must not be changed here.
    async fn find_record(&self, cx: &StepContext<Cloud>, zone_id: &str) -> Result<Option<RecordSet>, StepFailure> {
        let records = hosted_zone::records(cx, zone_id, &self.record, &self.r#type).await?;
        let others: Vec<_> = records.iter().map(|record| record.set_identifier.as_deref().unwrap_or("(none)").to_owned()).collect();
        match records.into_iter().find(|record| record.set_identifier == self.set_identifier) {
            Some(record) if record.traffic_policy_instance_id.is_some() => {
                Err(StepFailure::permanent(format!("{self} belongs to a traffic policy")).hint("change the traffic policy instead"))
            }
            Some(record) if json!(record).to_string().len() > RECORD_LEN_MAX => {
                Err(StepFailure::permanent(format!("{self} is too large to be recorded, so it could not be restored")))
            }
            Some(record) => Ok(Some(record)),
            None if self.create && others.is_empty() => Ok(None),
            None if others.is_empty() => {
                Err(StepFailure::permanent(format!("there is no {self} in hosted zone {} ({zone_id})", self.zone))
                    .hint("check its name and type; `create: true` makes a new record"))
            }
            None => Err(StepFailure::permanent(format!("there is no {self} in hosted zone {} ({zone_id})", self.zone)).hint(format!(
                "the set identifiers of {} {} are {}: say which with `set_identifier`",
                self.record,
                self.r#type,
                others.join(", ")
            ))),
        }
    }

    async fn read(&self, cx: &StepContext<Cloud>, zone_id: &str) -> Result<Option<RecordSet>, StepFailure> {
        let records = hosted_zone::records(cx, zone_id, &self.record, &self.r#type).await?;
        Ok(records.into_iter().find(|record| record.set_identifier == self.set_identifier))
    }

    async fn change(
        &self,
        cx: &StepContext<Cloud>,
        zone_id: &str,
        action: ChangeAction,
        record: &RecordSet,
    ) -> Result<ChangeHandle, StepFailure> {
        let change_id = hosted_zone::change(cx, zone_id, action, record, &self.to_string()).await?;
        Ok(ChangeHandle { change_id, zone_id: zone_id.to_owned() })
    }

    /// Waits until all servers of Route 53 have the change. Without a handle, or when Route 53 does not know the change, the
    /// record itself must show it.
    async fn wait(
        &self,
        cx: &StepContext<Cloud>,
        zone_id: &str,
        handle: Option<&ChangeHandle>,
        desired: Option<&RecordSet>,
    ) -> Result<(), StepFailure> {
        let began = cx.clock.now();
        poll::until(cx, Self::INFO.typical, |since| async move {
            if let Some(handle) = handle {
                // Records that were changed together are in sync together, and asked for together.
                let status = cx.env.read_change(&handle.change_id, since).await;
                match status.map_err(errors::reading_shared("route53:GetChange", format!("follow the change of {self}")))? {
                    Some(ChangeStatus::Insync) => return Ok(Look::Done(())),
                    Some(_) => return Ok(Look::Waiting("DNS change to be in sync".to_owned())),
                    None if between(began, cx.clock.now()) < USUALLY_IN_SYNC => {
                        return Ok(Look::Waiting("DNS change to be known".to_owned()));
                    }
                    None => {}
                }
            }
            let as_desired = match (self.read(cx, zone_id).await?, desired) {
                (Some(now), Some(desired)) => now.says_the_same_as(desired),
                (now, desired) => now.is_none() && desired.is_none(),
            };
            Ok(if as_desired { Look::Done(()) } else { Look::Waiting("DNS record to show the change".to_owned()) })
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(to: Destination) -> Route53Failover {
        Route53Failover {
            zone: "company.com".into(),
            zone_id: None,
            private: false,
            record: "app.company.com".into(),
            r#type: "A".into(),
            set_identifier: Some("primary".into()),
            to,
            create: false,
        }
    }

    fn east() -> RecordSet {
        RecordSet {
            name: "app.company.com.".into(),
            kind: "A".into(),
            set_identifier: Some("primary".into()),
            failover: Some("PRIMARY".into()),
            alias: Some(Alias { dns_name: "east.".into(), zone_id: "ZE".into(), evaluate_target_health: false }),
            health_check_id: Some("watches-east".into()),
            ..RecordSet::default()
        }
    }

    #[test]
    fn only_the_destination_changes() {
        let before = RecordBefore::new("Z".into(), Some(east()));
        assert_eq!((before.alias_dns_name.as_deref(), before.alias_zone_id.as_deref()), (Some("east."), Some("ZE")));
        let west = Destination::Alias { dns_name: "west".into(), zone_id: "ZW".into(), evaluate_target_health: None };
        let alias = Some(Alias { dns_name: "west".into(), zone_id: "ZW".into(), evaluate_target_health: false });
        assert_eq!(step(west).desired(&before), RecordSet { alias, ..east() });
    }

    #[test]
    fn an_alias_can_become_values_and_the_other_way_round() {
        let values = Destination::Values { values: vec!["192.0.2.1".into()], ttl: Some(Span::secs(30)) };
        let as_values = step(values).desired(&RecordBefore::new("Z".into(), Some(east())));
        assert_eq!((as_values.alias.clone(), as_values.ttl, as_values.values.len()), (None, Some(30), 1));
        let west = Destination::Alias { dns_name: "west".into(), zone_id: "ZW".into(), evaluate_target_health: None };
        let as_alias = step(west).desired(&RecordBefore::new("Z".into(), Some(as_values)));
        assert_eq!((as_alias.ttl, as_alias.values.len(), as_alias.alias.map(|alias| alias.evaluate_target_health)), (None, 0, Some(true)));
    }

    #[test]
    fn nonsense_is_named() {
        let mut bad = step(Destination::Values { values: vec![], ttl: None });
        bad.r#type = "a".into();
        bad.record = "app.companyx.com".into();
        bad.create = true;
        assert_eq!(bad.problems().len(), 4);
    }
}
