//! `Route53Failover`: points a DNS record to another place, and keeps everything else of it. Either the record itself is edited, which
//! the control plane in us-east-1 has to take, or an object in the standby region turns a health check over (`stop_object`), or routing controls
//! of ARC do (`routing_control`), or the health check of the primary is expected to turn by itself, and only waited for (`health_check`).

mod health_check;
mod routing_control;
mod stop_object;
#[cfg(test)]
mod tests;
mod via;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_route53::types::{ChangeAction, RrType};
use serde::{Deserialize, Serialize};
use serde_json::json;
use wf_engine::model::definition::Objectives;
use wf_engine::model::event::{Fields, StepFailure};
use wf_engine::readiness::Check;
use wf_engine::signal::Signal;
use wf_engine::step::{
    Change, Field, FieldType, Iam, KindInfo, Observed, Rbac, Reversibility, StepContext, StepKind, fields, nothing_to_apply,
};
use wf_engine::units::Span;

use crate::aws::Cloud;
use crate::named_record::{ChangeHandle, NamedRecord};
use crate::record_readiness;
use crate::record_set::{Alias, RecordSet, canonical};

pub use self::via::Via;

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
    /// How it is brought to point there.
    #[serde(default)]
    pub via: Via,
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
    /// Whether the object that a health check watches was there; `None` where the record itself is edited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    object: Option<bool>,
    /// The states of the routing controls; none where others move the users.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    controls: BTreeMap<String, bool>,
    /// The name servers of the zone, where nothing but their answers is waited for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    servers: Vec<String>,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Followed {
    /// Route 53 was given a change.
    Change(ChangeHandle),
    /// An object was put or taken away.
    Object {
        /// Which one.
        object: String,
    },
    /// Routing controls were set.
    Controls {
        /// The region of the endpoint that took it.
        endpoint: String,
    },
}

#[async_trait]
impl StepKind for Route53Failover {
    type Env = Cloud;
    type Before = RecordBefore;
    type Handle = Followed;

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
            Field::new(
                "via",
                FieldType::Json,
                "RecordEdit, the default, or StopObject(bucket: \"…\", key: \"…\", region: \"us-west-2\"): puts an object that the inverted health check of the primary record watches; with `present: false` takes it away; or RoutingControl(endpoints: [(url: \"…\", region: \"us-east-1\"), …], on: [\"arn:…\"], off: [\"arn:…\"], override_safety_rules: []): sets routing controls of ARC that the record's health check follows; or HealthCheck: changes nothing, and waits until the ordinary health check of the primary record has moved the users by itself",
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
        iam: via::EVERY,
        rbac: Rbac::NONE,
        facts: &[
            "the control plane of Route 53 is in us-east-1: where that region may be gone, let a StopObject or a RoutingControl move the users, which need no change of a record",
            "StopObject: the health check of the PRIMARY record, or one that it is calculated from, is inverted and watches the object in the standby region; that it does is looked up while Route 53's control plane answers, and the step goes on without it when it does not",
            "StopObject: a standby region that cannot be reached leaves the object out of sight, and everybody with the primary; Route 53 answers with the SECONDARY record only if that one counts as healthy",
            "StopObject: health checkers ask as anybody does, so the bucket allows everybody to read the object; the step asks that way too",
            "StopObject is done when this machine's resolver answers for the record with an address of `to`; of the answers that are still kept elsewhere the oldest is as old as the time to live",
            "StopObject is undone by taking the object away; where the users then go is Route 53's to say, by the health of the primary record",
            "RoutingControl: the health check of the record, or one that it is calculated from, is of type RECOVERY_CONTROL and follows a control that `on` or `off` names; that it does is looked up while Route 53's control plane answers, and the step goes on without it when it does not",
            "RoutingControl: all controls are set in one call, 10 at most, to the data plane of their cluster: its endpoints, in five regions, are asked in random order for 5 s each until one answers; give them and the ARNs as literals, as nothing can be looked up when us-west-2 is gone. None answering a look is unreachable, to a change unknown: the next attempt looks, and sets the same states",
            "RoutingControl: safety rules are overridden by name only, which IAM allows or denies by the key route53-recovery-cluster:AllowSafetyRulesOverrides; undoing sets the states that were read before the change, with the same overrides",
            "RoutingControl is done when the controls are read as they were set, and the zone's own name servers, or else this machine's resolver, answer with an address of `to`",
            "HealthCheck is done when the health check counts as unhealthy, as far as Route 53 can be asked, and the zone's own name servers, or else this machine's resolver, answer with an address of `to`; there is nothing to undo",
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
        problems.extend(self.via.problems(self.create));
        if self.create && self.set_identifier.is_some() {
            problems.push("`create` makes simple records only, so it cannot go with `set_identifier`".to_owned());
        }
        problems
    }

    fn iam(&self) -> Iam {
        self.via.iam()
    }

    fn reversibility(&self) -> Reversibility {
        self.via.reversibility()
    }

    fn changes(&self, before: &RecordBefore) -> Vec<Change> {
        if self.via == Via::HealthCheck {
            return Vec::new();
        }
        if let Some(controls) = self.controls() {
            return controls.changes(before);
        }
        if let Some((object, present)) = self.object() {
            let word = |there: bool| if there { "there" } else { "not there" };
            return vec![Change::new(object.to_string(), word(before.object.unwrap_or_default()), word(present))];
        }
        let now = before.alias_dns_name.clone().or_else(|| before.record.as_ref().map(RecordSet::targets)).unwrap_or_default();
        vec![Change::new(self.named().to_string(), now, self.desired(before).targets())]
    }

    async fn observe(&self, cx: &StepContext<Cloud>, intent: Option<&RecordBefore>) -> Result<Observed<RecordBefore>, StepFailure> {
        if let Some((object, present)) = self.object() {
            return self.observe_object(cx, object, present, intent).await;
        }
        if let Some(controls) = self.controls() {
            return self.observe_controls(cx, controls, intent).await;
        }
        if self.via == Via::HealthCheck {
            return self.observe_check(cx, intent).await;
        }
        let hosted_zone_id = match intent {
            Some(earlier) => earlier.hosted_zone_id.clone(),
            None => self.named().zone(cx).await?,
        };
        let record = self.named().find(cx, &hosted_zone_id, self.create).await?;
        let before = match intent {
            Some(earlier) => earlier.clone(),
            None => RecordBefore::new(hosted_zone_id, record.clone()),
        };
        let desired = self.desired(&before);
        let as_desired = record.is_some_and(|record| record.says_the_same_as(&desired));
        Ok(if as_desired { Observed::Satisfied(before) } else { Observed::Differs(before) })
    }

    async fn readiness(&self, cx: &StepContext<Cloud>, _objectives: &Objectives) -> Result<Vec<Check>, StepFailure> {
        let record_readiness::Found { check, records } = record_readiness::find(cx, self.named(), self.create).await;
        let mut checks = vec![check];
        if records.is_empty() {
            return Ok(checks);
        }
        checks.push(record_readiness::ttl(self.named(), &records));
        if let Some(controls) = self.controls() {
            checks.extend(self.controls_readiness(cx, self.named(), controls, &records).await);
            return Ok(checks);
        }
        if let Some((object, _)) = self.object() {
            let watched = self.record_of_object(cx, object).await;
            let watched = watched
                .and_then(|seen| seen.ok_or_else(|| StepFailure::unreachable(format!("Route 53 does not say what watches {object}"))));
            checks.push(Check::of("stop object", object).as_observed().fail_on(watched));
            if checks.iter().any(|check| !check.is_good()) {
                return Ok(checks);
            }
        }
        checks.extend(record_readiness::pair(cx, self.named(), &records).await);
        Ok(checks)
    }

    fn signals(&self) -> Vec<Signal> {
        let Self { zone, zone_id, private, record, r#type, .. } = self.clone();
        vec![Signal::RecordHealth { zone, zone_id, private, record, kind: r#type }]
    }

    async fn apply(&self, cx: &StepContext<Cloud>, before: &RecordBefore) -> Result<Followed, StepFailure> {
        if let Some((object, present)) = self.object() {
            stop_object::switch(cx, object, present).await?;
            return Ok(Followed::Object { object: object.to_string() });
        }
        if let Some(controls) = self.controls() {
            return Ok(Followed::Controls { endpoint: controls.set(cx).await? });
        }
        if self.via == Via::HealthCheck {
            return nothing_to_apply(&Self::INFO);
        }
        self.named().change(cx, &before.hosted_zone_id, ChangeAction::Upsert, &self.desired(before)).await.map(Followed::Change)
    }

    async fn settle(&self, cx: &StepContext<Cloud>, before: &RecordBefore, handle: Option<&Followed>) -> Result<Fields, StepFailure> {
        if let Some((object, present)) = self.object() {
            self.moved(cx, Some(object).filter(|_| present)).await?;
            return Ok(fields([("change_id", json!("")), ("zone_id", json!(before.hosted_zone_id))]));
        }
        if let Some(controls) = self.controls() {
            self.controlled(cx, controls, &before.servers).await?;
            return Ok(fields([("change_id", json!("")), ("zone_id", json!(before.hosted_zone_id))]));
        }
        if self.via == Via::HealthCheck {
            self.turned(cx, before).await?;
            return Ok(fields([("change_id", json!("")), ("zone_id", json!(before.hosted_zone_id))]));
        }
        let handle = handle.and_then(Followed::change);
        self.named().wait(cx, &before.hosted_zone_id, handle, Some(&self.desired(before))).await?;
        Ok(fields([("change_id", json!(handle.map_or("", |handle| &handle.change_id))), ("zone_id", json!(before.hosted_zone_id))]))
    }

    async fn compensate(&self, cx: &StepContext<Cloud>, before: &RecordBefore, _handle: Option<&Followed>) -> Result<(), StepFailure> {
        if let Some((object, _)) = self.object() {
            // Not compared first, as with a record.
            return stop_object::switch(cx, object, before.object.unwrap_or_default()).await;
        }
        if let Some(controls) = self.controls() {
            return controls.restore(cx, before).await;
        }
        if self.via == Via::HealthCheck {
            return Ok(());
        }
        let zone_id = &before.hosted_zone_id;
        let handle = match &before.record {
            // Not compared first: a view of the zone from before the step would show nothing to restore.
            Some(record) => self.named().change(cx, zone_id, ChangeAction::Upsert, record).await?,
            None => match self.named().read(cx, zone_id).await? {
                Some(now) => self.named().change(cx, zone_id, ChangeAction::Delete, &now).await?,
                None => return Ok(()),
            },
        };
        self.named().wait(cx, zone_id, Some(&handle), before.record.as_ref()).await
    }
}

impl RecordBefore {
    fn new(hosted_zone_id: String, record: Option<RecordSet>) -> Self {
        let alias = record.as_ref().and_then(|record| record.alias.clone());
        let (alias_dns_name, alias_zone_id) = alias.map(|alias| (alias.dns_name, alias.zone_id)).unzip();
        Self { hosted_zone_id, record, alias_dns_name, alias_zone_id, object: None, controls: BTreeMap::new(), servers: Vec::new() }
    }
}

impl Followed {
    fn change(&self) -> Option<&ChangeHandle> {
        match self {
            Self::Change(change) => Some(change),
            Self::Object { .. } | Self::Controls { .. } => None,
        }
    }
}

impl Route53Failover {
    /// Returns which record it is about.
    fn named(&self) -> NamedRecord<'_> {
        let Self { zone, zone_id, private, record, r#type, set_identifier, .. } = self;
        NamedRecord {
            zone,
            zone_id: zone_id.as_deref(),
            private: *private,
            record,
            kind: r#type,
            set_identifier: set_identifier.as_deref(),
        }
    }

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
}
