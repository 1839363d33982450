//! A new world from a world file.

use std::collections::{BTreeMap, VecDeque};

use super::app::{Certificate, LoadBalancer, TargetGroup};
use super::autoscaling::{CHECK_INTERVAL, Group, Instance, Lifecycle, TargetHealth};
use super::database::{Changes, Database, Source};
use super::dns::{Dns, HealthCheck, Record, Zone, normal};
use super::eks::{Cluster, Nodegroup};
use super::objects::DataBucket;
use super::recovery::Recovery;
use super::rows::Rows;
use super::users::Traffic;
use super::workloads::Kube;
use super::{Conditions, Incident, Ms, Region, Subscription, World, hash};
use crate::def::{DatabaseDef, GroupDef, HealthCheckDef, RecordDef, RegionDef, SubscriptionDef, WorldDef, ZoneDef};
use crate::xml::Element;

/// Resources are this much older than the world.
const AGE: Ms = 200 * 24 * 3600 * 1000;

impl World {
    /// Begins a world and lets its preroll pass.
    pub(crate) fn begin(def: &WorldDef, seed: Option<u64>, conditions: Conditions) -> World {
        let started = def.start.as_millisecond();
        let seed = seed.unwrap_or(def.seed);
        let incident = def.incident.as_ref().map(|i| {
            let from = started + Ms::from(i.at) * 1000;
            Incident { region: i.region.clone(), from, until: i.heals_after.map(|s| from + Ms::from(s) * 1000) }
        });
        let mut world = World {
            version: World::VERSION,
            account: def.account.clone(),
            principal: def.principal.clone(),
            seed,
            draws: BTreeMap::new(),
            started,
            now: started,
            entries: 0,
            timings: def.timings.clone(),
            application: def.application.clone(),
            incident,
            regions: BTreeMap::new(),
            peerings: def.peerings.clone(),
            dns: dns(def, started),
            recovery: Recovery::begin(&def.recovery),
            traffic: Traffic { started, next: started.div_euclid(1000) + 1, ..Traffic::default() },
            shop: Traffic { started, next: started.div_euclid(1000) + 1, ..Traffic::default() },
            leases: BTreeMap::new(),
            buckets: BTreeMap::new(),
            faults_used: BTreeMap::new(),
            published: BTreeMap::new(),
            conditions: Conditions::default(),
            transitions: Vec::new(),
        };
        for (name, region) in &def.regions {
            let region = world.seed_region(name, region);
            world.regions.insert(name.clone(), region);
        }
        world.seed_lease();
        world.read_lease();
        world.seed_workloads(def);
        let region_faults_begin_later = conditions.without_region_outages();
        world.set_conditions(region_faults_begin_later);
        world.advance(started + Ms::from(def.preroll) * 1000);
        world.set_conditions(conditions);
        world
    }

    fn seed_region(&mut self, name: &str, def: &RegionDef) -> Region {
        let created = self.started - AGE;
        let databases = def.databases.iter().map(|d| (d.id.clone(), self.seed_database(name, d))).collect();
        let groups = def.groups.iter().map(|g| (g.name.clone(), self.seed_group(name, g))).collect();
        let load_balancers = def.load_balancers.iter().map(|l| {
            let arn = self.arn("elasticloadbalancing", name, &format!("loadbalancer/app/{}/{:016x}", l.name, hash(1, &l.name, 0)));
            let balancer = LoadBalancer {
                name: l.name.clone(),
                arn,
                dns_name: l.dns_name.clone(),
                zone_id: l.zone_id.clone(),
                target_groups: l.target_groups.clone(),
                created,
                backend: None,
                certificate: l.certificate.as_ref().map(|shown| Certificate {
                    arn: self.arn("acm", name, &format!("certificate/{:08x}-0000-4000-8000-000000000000", hash(9, &l.name, 0) >> 32)),
                    status: shown.status.clone(),
                    until: self.started + shown.days * 86_400_000,
                    gone: shown.gone,
                }),
            };
            (l.name.clone(), balancer)
        });
        let target_groups = def.target_groups.iter().map(|t| {
            let arn = self.arn("elasticloadbalancing", name, &format!("targetgroup/{t}/{:016x}", hash(2, t, 0)));
            (t.clone(), TargetGroup { name: t.clone(), arn })
        });
        let clusters = def.clusters.iter().map(|c| {
            let nodegroups = c.nodegroups.iter().map(|n| {
                let group = Nodegroup {
                    name: n.name.clone(),
                    min: n.min,
                    max: n.max,
                    desired: n.desired,
                    instance_type: n.instance_type.clone(),
                    created,
                    modified: created,
                    nodes: n.desired,
                    updates: Vec::new(),
                    launch_failure: false,
                    issues: n.issues.clone(),
                };
                (n.name.clone(), group)
            });
            let cluster = Cluster {
                name: c.name.clone(),
                version: c.version.clone(),
                addons: c.addons.clone(),
                created,
                nodegroups: nodegroups.collect(),
                kube: Kube::default(),
            };
            (c.name.clone(), cluster)
        });
        let data_buckets = def
            .data_buckets
            .iter()
            .map(|bucket| (bucket.name.clone(), DataBucket { suspended: bucket.suspended, copied: bucket.copied.clone() }));
        let buckets = def.buckets.iter().chain(def.data_buckets.iter().map(|bucket| &bucket.name));
        let objects = buckets.map(|bucket| (bucket.clone(), BTreeMap::new()));
        let subscription = |one: &SubscriptionDef| Subscription {
            topic: one.topic.clone(),
            arn: (!one.pending).then(|| {
                let hash = hash(8, &format!("{}/{}", one.protocol, one.endpoint), 0);
                self.arn("sns", name, &format!("{}:{:08x}-0000-4000-8000-{:012x}", one.topic, hash >> 32, hash & 0xffff_ffff_ffff))
            }),
            protocol: one.protocol.clone(),
            endpoint: one.endpoint.clone(),
        };
        let subscriptions = def.subscriptions.iter().map(subscription).collect();
        let topics = def.topics.iter().map(|t| (t.clone(), self.arn("sns", name, t)));
        Region {
            load_balancers: load_balancers.collect(),
            target_groups: target_groups.collect(),
            clusters: clusters.collect(),
            topics: topics.collect(),
            subscriptions,
            objects: objects.collect(),
            data_buckets: data_buckets.collect(),
            registry: def.registry.clone(),
            keys: def.keys.clone(),
            lacks_classes: def.lacks_classes.clone(),
            databases,
            snapshots: BTreeMap::new(),
            groups,
            monitoring: Default::default(),
            ec2: def.ec2.clone(),
        }
    }

    fn seed_database(&self, region: &str, def: &DatabaseDef) -> Database {
        let source = def.replica_of.as_ref().map(|s| Source {
            region: s.region.clone(),
            resource_id: resource_id(&s.region, &s.id),
            id: s.id.clone(),
            replicated_to: self.started,
            catching_up: None,
            falling_behind: None,
            lag_by_minute: VecDeque::new(),
            detached: false,
            shown: def.replication.clone(),
        });
        Database {
            id: def.id.clone(),
            resource_id: resource_id(region, &def.id),
            engine: def.engine.clone(),
            engine_version: def.engine_version.clone(),
            class: def.class.clone(),
            allocated_storage: def.allocated_storage,
            key: def.key.as_ref().map(|id| self.arn("kms", region, &format!("key/{id}"))),
            multi_az: def.multi_az,
            retention: def.backup_retention,
            database: def.database.clone(),
            username: def.username.clone(),
            deletion_protection: def.deletion_protection,
            tags: def.tags.clone(),
            created: self.started - AGE,
            work: None,
            deferred: Changes::default(),
            source,
            promoted_from: None,
            promoted_at: None,
            rows: Rows::default(),
        }
    }

    fn seed_group(&self, region: &str, def: &GroupDef) -> Group {
        let instances = (0..def.desired).map(|n| Instance {
            id: format!("i-0{:016x}", hash(3, &def.name, n.unsigned_abs())),
            zone: format!("{region}{}", ["a", "b", "c"][n.unsigned_abs() as usize % def.zones]),
            state: Lifecycle::InService,
            health: TargetHealth {
                healthy: Some(true),
                streak: 0,
                next_check: self.started + CHECK_INTERVAL * (n + 1) / (def.desired + 1),
            },
            activity: String::new(),
        });
        Group {
            name: def.name.clone(),
            min: def.min,
            max: def.max,
            desired: def.desired,
            instance_type: def.instance_type.clone(),
            target_groups: def.target_groups.clone(),
            created: self.started - AGE,
            instances: instances.collect(),
            activities: VecDeque::new(),
            next_launch: 0,
            launch_template: def.launch_template.clone(),
            launch_template_version: def.launch_template_version.clone(),
            zones: def.zones,
            suspended: def.suspended.clone(),
        }
    }
}

/// The immutable id of an instance that a world file describes.
fn resource_id(region: &str, id: &str) -> String {
    format!("db-{:016X}", hash(4, &format!("{region}/{id}"), 0))
}

fn dns(def: &WorldDef, started: Ms) -> Dns {
    let zones = def.hosted_zones.iter().map(|z| (z.id.clone(), zone(def, z)));
    let health_checks = def.health_checks.iter().map(|h| (h.id.clone(), health_check(h, started)));
    Dns { zones: zones.collect(), health_checks: health_checks.collect(), changes: BTreeMap::new(), kept: BTreeMap::new() }
}

fn zone(def: &WorldDef, zone: &ZoneDef) -> Zone {
    let mut records: Vec<Record> = zone.records.iter().map(|r| record(def, r)).collect();
    records.push(apex(
        &zone.name,
        "NS",
        172_800,
        &["ns-1.awsdns-01.org.", "ns-2.awsdns-02.com.", "ns-3.awsdns-03.net.", "ns-4.awsdns-04.co.uk."],
    ));
    records.push(apex(&zone.name, "SOA", 900, &["ns-1.awsdns-01.org. awsdns-hostmaster.amazon.com. 1 7200 900 1209600 86400"]));
    records.sort_by_key(Record::key);
    Zone { id: zone.id.clone(), name: normal(&zone.name), private: zone.private, serving: records.clone(), records, busy_until: 0 }
}

fn apex(name: &str, kind: &str, ttl: u32, values: &[&str]) -> Record {
    let values = values.iter().map(|v| Element::new("ResourceRecord").with("Value", v));
    Record(
        Element::new("ResourceRecordSet")
            .with("Name", normal(name))
            .with("Type", kind)
            .with("TTL", ttl)
            .with_list("ResourceRecords", values),
    )
}

fn record(def: &WorldDef, record: &RecordDef) -> Record {
    let mut element = Element::new("ResourceRecordSet")
        .with("Name", normal(&record.name))
        .with("Type", &record.kind)
        .with_some("SetIdentifier", record.set_identifier.as_ref())
        .with_some("Weight", record.weight)
        .with_some("Failover", record.failover.as_ref())
        .with_some("TTL", record.ttl);
    if !record.values.is_empty() {
        let values = record.values.iter().map(|v| Element::new("ResourceRecord").with("Value", v));
        element = element.with_list("ResourceRecords", values);
    }
    let target = record.alias.as_ref().and_then(|a| def.alias_target(a).map(|t| (a, t)));
    if let Some((alias, (host, zone_id))) = target {
        let target = Element::new("AliasTarget")
            .with("HostedZoneId", &zone_id)
            .with("DNSName", normal(&host))
            .with("EvaluateTargetHealth", alias.evaluate_target_health);
        element = element.with_child(target);
    }
    Record(element.with_some("HealthCheckId", record.health_check.as_ref()))
}

fn health_check(def: &HealthCheckDef, started: Ms) -> HealthCheck {
    HealthCheck {
        id: def.id.clone(),
        name: def.name.clone(),
        fqdn: def.fqdn.clone(),
        port: def.port,
        path: def.path.clone(),
        interval: def.interval,
        threshold: def.failure_threshold,
        inverted: def.inverted,
        disabled: false,
        routing_control: def.routing_control.clone(),
        children: def.children.clone(),
        health_threshold: def.health_threshold,
        version: 1,
        healthy: true,
        streak: 0,
        next_check: started + 10_000,
        checked: started,
        last: "Success: HTTP Status Code 200, OK".to_owned(),
        history: vec![(started.div_euclid(60_000), true)],
    }
}
