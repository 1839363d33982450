//! The world file: its shape in RON, and nothing about how the world behaves.

mod application;
mod balancers;
mod buckets;
mod dns;
mod ec2;
mod recovery;
mod workloads;

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub(crate) use application::{ApplicationDef, LeaseDef};
pub(crate) use balancers::LoadBalancerDef;
pub(crate) use buckets::{CopyRule, DataBucketDef};
pub(crate) use dns::{AliasDef, HealthCheckDef, RecordDef, ZoneDef};
pub(crate) use ec2::{
    Ec2Def, GroupDef, ImageDef, LaunchTemplateDef, PeerDef, PeeringDef, RouteDef, RouteTableDef, SubnetDef, a_template, latest, three,
};
pub(crate) use recovery::{RecoveryDef, RuleDef};
pub(crate) use workloads::{NamespaceDef, VeleroDef, WorkloadDef, WorkloadTimings, WorkloadsDef};

use crate::error::WorldError;
use crate::world::keys::Key;
use crate::world::registry::Registry;

/// The world file that `--sim` uses when no other is named: the reference guide's architecture during an incident.
pub const DEFAULT_WORLD: &str = include_str!("../../workflows/world.ron");

/// The end of the year 2999: there is time enough behind it for every wait, and no sum of instants overflows.
const START_SECOND_MAX: i64 = 32_503_680_000;

/// The simulated world as written in a world file, before any time has passed.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename = "World", deny_unknown_fields)]
pub struct WorldDef {
    pub(crate) account: String,
    pub(crate) principal: String,
    #[serde(default)]
    pub(crate) seed: u64,
    pub(crate) start: jiff::Timestamp,
    #[serde(default)]
    pub(crate) preroll: u32,
    #[serde(default)]
    pub(crate) incident: Option<IncidentDef>,
    pub(crate) timings: Timings,
    pub(crate) application: ApplicationDef,
    pub(crate) regions: BTreeMap<String, RegionDef>,
    /// The routing controls of ARC.
    #[serde(default)]
    pub(crate) recovery: RecoveryDef,
    /// The peering connections of VPCs.
    #[serde(default)]
    pub(crate) peerings: Vec<PeeringDef>,
    #[serde(default)]
    pub(crate) health_checks: Vec<HealthCheckDef>,
    #[serde(default)]
    pub(crate) hosted_zones: Vec<ZoneDef>,
}

/// When a region's servers and databases stop answering, and when they are repaired (seconds).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct IncidentDef {
    pub(crate) region: String,
    pub(crate) at: u32,
    #[serde(default)]
    pub(crate) heals_after: Option<u32>,
}

/// An even distribution, in seconds.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Span {
    pub(crate) min: f64,
    pub(crate) max: f64,
}

/// How long things take.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Timings {
    pub(crate) api_latency: Span,
    pub(crate) promote: Span,
    pub(crate) promote_unseen: Span,
    pub(crate) create_replica: Span,
    pub(crate) replica_catch_up: Span,
    pub(crate) modify: Span,
    pub(crate) delete: Span,
    pub(crate) replica_lag: Span,
    pub(crate) instance_launch: Span,
    pub(crate) instance_terminate: Span,
    pub(crate) nodegroup_update: Span,
    pub(crate) dns_insync: Span,
    #[serde(default)]
    pub(crate) workloads: WorkloadTimings,
}

/// What a region holds.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RegionDef {
    #[serde(default)]
    pub(crate) databases: Vec<DatabaseDef>,
    #[serde(default)]
    pub(crate) load_balancers: Vec<LoadBalancerDef>,
    #[serde(default)]
    pub(crate) target_groups: Vec<String>,
    #[serde(default)]
    pub(crate) groups: Vec<GroupDef>,
    #[serde(default)]
    pub(crate) clusters: Vec<ClusterDef>,
    #[serde(default)]
    pub(crate) topics: Vec<String>,
    /// Who is told what is published to the topics.
    #[serde(default)]
    pub(crate) subscriptions: Vec<SubscriptionDef>,
    /// Buckets of S3, empty.
    #[serde(default)]
    pub(crate) buckets: Vec<String>,
    #[serde(default)]
    pub(crate) ec2: Ec2Def,
    /// Buckets of S3 that keep versions, and may be copied.
    #[serde(default)]
    pub(crate) data_buckets: Vec<DataBucketDef>,
    /// The images of its registry.
    #[serde(default)]
    pub(crate) registry: Registry,
    /// The keys of its databases, beside the one that AWS keeps.
    #[serde(default)]
    pub(crate) keys: Vec<Key>,
    /// The instance classes of RDS that it has not.
    #[serde(default)]
    pub(crate) lacks_classes: Vec<String>,
}

/// A subscription of a topic of its region.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SubscriptionDef {
    pub(crate) topic: String,
    pub(crate) protocol: String,
    pub(crate) endpoint: String,
    /// Whether it waits to be confirmed.
    #[serde(default)]
    pub(crate) pending: bool,
}

/// A database instance.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DatabaseDef {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) replica_of: Option<SourceDef>,
    /// What is shown of its replication, such as "error", in place of how it goes.
    #[serde(default)]
    pub(crate) replication: Option<String>,
    pub(crate) engine: String,
    pub(crate) engine_version: String,
    pub(crate) class: String,
    pub(crate) allocated_storage: u32,
    /// The id of the key that encrypts it.
    #[serde(default)]
    pub(crate) key: Option<String>,
    #[serde(default)]
    pub(crate) multi_az: bool,
    pub(crate) backup_retention: u32,
    pub(crate) database: String,
    pub(crate) username: String,
    #[serde(default)]
    pub(crate) deletion_protection: bool,
    #[serde(default)]
    pub(crate) tags: BTreeMap<String, String>,
}

/// Where a replica replicates from.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SourceDef {
    pub(crate) region: String,
    pub(crate) id: String,
}

/// An EKS cluster.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClusterDef {
    pub(crate) name: String,
    pub(crate) version: String,
    /// The names of its add-ons.
    #[serde(default)]
    pub(crate) addons: Vec<String>,
    #[serde(default)]
    pub(crate) nodegroups: Vec<NodegroupDef>,
    #[serde(default)]
    pub(crate) workloads: WorkloadsDef,
}

/// An EKS node group.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NodegroupDef {
    pub(crate) name: String,
    pub(crate) min: i64,
    pub(crate) max: i64,
    pub(crate) desired: i64,
    pub(crate) instance_type: String,
    /// Its health issues, in EKS's codes.
    #[serde(default)]
    pub(crate) issues: Vec<String>,
}

impl FromStr for WorldDef {
    type Err = WorldError;

    fn from_str(text: &str) -> Result<WorldDef, WorldError> {
        let options = ron::Options::default().with_default_extension(ron::extensions::Extensions::IMPLICIT_SOME);
        let world: WorldDef = options.from_str(text).map_err(|e| WorldError::Syntax {
            line: e.span.start.line,
            column: e.span.start.col,
            message: e.code.to_string(),
        })?;
        world.check()?;
        Ok(world)
    }
}

impl WorldDef {
    /// Refuses what has the right shape but cannot be: dangling references, spans that run backwards.
    fn check(&self) -> Result<(), WorldError> {
        let impossible = |message: String| Err(WorldError::Impossible(message));
        for (name, span) in self.timings.named().into_iter().chain(self.timings.workloads.named()) {
            if !(span.min >= 0.0 && span.max >= span.min && span.max <= 1e9) {
                return impossible(format!("timings.{name}: min {} and max {} are no span of seconds", span.min, span.max));
            }
        }
        if !(0..START_SECOND_MAX).contains(&self.start.as_second()) {
            return impossible(format!("start: {} is not from 1970 to 2999", self.start));
        }
        if self.preroll > 86_400 {
            return impossible(format!("preroll: {} s is more than a day", self.preroll));
        }
        let stampede = &self.application.stampede;
        if !(stampede.factor >= 0.0 && stampede.max >= 0.0 && stampede.factor.is_finite() && stampede.max.is_finite()) {
            return impossible("application.stampede: factor and max must not be negative".to_owned());
        }
        if let Some(incident) = &self.incident
            && !self.regions.contains_key(&incident.region)
        {
            return impossible(format!("incident: there is no region '{}'", incident.region));
        }
        for (region, def) in &self.regions {
            self.check_region(region, def)?;
        }
        self.recovery.check()?;
        self.check_health_checks()?;
        self.check_records()
    }

    fn check_region(&self, region: &str, def: &RegionDef) -> Result<(), WorldError> {
        for database in &def.databases {
            let Some(source) = &database.replica_of else {
                continue;
            };
            let found = self.regions.get(&source.region).is_some_and(|r| r.databases.iter().any(|d| d.id == source.id));
            if !found {
                let message = format!("{region}: '{}' replicates '{}' of {}, which is not there", database.id, source.id, source.region);
                return Err(WorldError::Impossible(message));
            }
        }
        let groups = def.groups.iter().flat_map(|g| g.target_groups.iter().map(move |t| (&g.name, t)));
        let balancers = def.load_balancers.iter().flat_map(|l| l.target_groups.iter().map(move |t| (&l.name, t)));
        for (user, target_group) in groups.chain(balancers) {
            if !def.target_groups.contains(target_group) {
                return Err(WorldError::Impossible(format!("{region}: '{user}' uses target group '{target_group}', which is not there")));
            }
        }
        if let Some(lost) = def.subscriptions.iter().find(|one| !def.topics.contains(&one.topic)) {
            return Err(WorldError::Impossible(format!("{region}: there is no topic '{}' to subscribe to", lost.topic)));
        }
        for group in &def.groups {
            if !(1..=3).contains(&group.zones) {
                return Err(WorldError::Impossible(format!("{region}: '{}' needs 1 to 3 zones", group.name)));
            }
            if !(0 <= group.min && group.min <= group.desired && group.desired <= group.max && group.max <= 1000) {
                return Err(WorldError::Impossible(format!("{region}: '{}' needs 0 <= min <= desired <= max <= 1000", group.name)));
            }
        }
        Ok(())
    }

    fn check_health_checks(&self) -> Result<(), WorldError> {
        for check in &self.health_checks {
            let is_endpoint = |id: &String| self.health_checks.iter().any(|c| c.id == *id && c.children.is_empty());
            if let Some(child) = check.children.iter().find(|id| !is_endpoint(id)) {
                return Err(WorldError::Impossible(format!("health check '{}': '{child}' is none of an endpoint", check.name)));
            }
            if let Some(control) = &check.routing_control {
                if !self.recovery.controls.contains_key(control) {
                    let message = format!("health check '{}': there is no routing control '{control}'", check.name);
                    return Err(WorldError::Impossible(message));
                }
                continue;
            }
            if check.children.is_empty() && (check.fqdn.is_empty() || check.interval == 0 || check.failure_threshold == 0) {
                let message =
                    format!("health check '{}' needs fqdn, interval and failure_threshold, or children, or routing_control", check.name);
                return Err(WorldError::Impossible(message));
            }
        }
        Ok(())
    }

    fn check_records(&self) -> Result<(), WorldError> {
        for record in self.hosted_zones.iter().flat_map(|z| &z.records) {
            if let Some(alias) = &record.alias
                && self.alias_target(alias).is_none()
            {
                let message = format!("record '{}': there is no load balancer '{}' in {}", record.name, alias.load_balancer, alias.region);
                return Err(WorldError::Impossible(message));
            }
            if let Some(id) = &record.health_check
                && !self.health_checks.iter().any(|h| h.id == *id)
            {
                return Err(WorldError::Impossible(format!("record '{}': there is no health check '{id}'", record.name)));
            }
        }
        Ok(())
    }

    /// Finds the host name and the hosted zone of the load balancer that an alias leads to.
    pub(crate) fn alias_target(&self, alias: &AliasDef) -> Option<(String, String)> {
        let region = self.regions.get(&alias.region)?;
        if let Some(found) = region.load_balancers.iter().find(|l| l.name == alias.load_balancer) {
            return Some((found.dns_name.clone(), found.zone_id.clone()));
        }
        let mut parts = alias.load_balancer.splitn(3, '/');
        let (cluster, namespace, ingress) = (parts.next()?, parts.next()?, parts.next()?);
        let found = region.clusters.iter().find(|c| c.name == cluster)?.workloads.namespaces.get(namespace)?;
        found.ingresses.iter().find(|i| i.name == ingress)?;
        let host = crate::world::workloads::host_name(&alias.region, cluster, namespace, ingress);
        Some((host, crate::world::workloads::zone_id(&alias.region).to_owned()))
    }
}

impl Timings {
    fn named(&self) -> [(&'static str, Span); 12] {
        [
            ("api_latency", self.api_latency),
            ("promote", self.promote),
            ("promote_unseen", self.promote_unseen),
            ("create_replica", self.create_replica),
            ("replica_catch_up", self.replica_catch_up),
            ("modify", self.modify),
            ("delete", self.delete),
            ("replica_lag", self.replica_lag),
            ("instance_launch", self.instance_launch),
            ("instance_terminate", self.instance_terminate),
            ("nodegroup_update", self.nodegroup_update),
            ("dns_insync", self.dns_insync),
        ]
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;

    #[test]
    fn the_shipped_world_is_possible() {
        let world: WorldDef = DEFAULT_WORLD.parse().unwrap();
        assert_eq!(world.regions.len(), 2);
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        let text = DEFAULT_WORLD.replace("multi_az: true", "multi_zone: true");
        let message = text.parse::<WorldDef>().unwrap_err().to_string();
        assert!(message.contains("line ") && message.contains("multi_zone"), "{message}");
    }

    #[test]
    fn impossible_worlds_are_refused() {
        for (from, to, part) in [
            ("promote: (min: 300, max: 480)", "promote: (min: 300, max: 48)", "timings.promote"),
            ("id: \"prod-db-primary\", engine", "id: \"prod-db-other\", engine", "which is not there"),
            ("min: 3, max: 10, desired: 6", "min: 3, max: 10, desired: 60", "min <= desired"),
            ("incident: (region: \"us-east-1\"", "incident: (region: \"us-east-9\"", "us-east-9"),
            ("start: \"2026", "start: \"9999", "start: 9999"),
            ("children: [\"5f4c7a1e", "children: [\"ffff", "is none of an endpoint"),
            ("interval: 30, failure_threshold: 3", "interval: 30", "needs fqdn, interval"),
            ("topics: [\"production-dr-alerts\"]", "topics: []", "no topic 'production-dr-alerts'"),
            ("max: 10, desired: 6,", "max: 10, desired: 6, zones: 4,", "1 to 3 zones"),
            ("interval: 30, failure_threshold: 3", "routing_control: \"arn:x\"", "no routing control 'arn:x'"),
        ] {
            let message = DEFAULT_WORLD.replace(from, to).parse::<WorldDef>().unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
    }
}
