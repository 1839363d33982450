//! The world as an operator reads it: one JSON document with what matters during a failover.

use serde_json::{Value, json};

use super::database::Database;
use super::{Region, World, timestamp};
use crate::traffic::TrafficReport;

impl World {
    /// Describes the whole world.
    pub(crate) fn status(&self) -> Value {
        let regions: serde_json::Map<String, Value> =
            self.regions.iter().map(|(name, region)| (name.clone(), self.region_status(name, region))).collect();
        json!({
            "clock": timestamp(self.now).to_string(),
            "faults": self.conditions.texts,
            "incident": self.incident.as_ref().map(|i| json!({
                "region": i.region,
                "from": timestamp(i.from).to_string(),
                "until": i.until.map(|u| timestamp(u).to_string()),
                "active": self.now >= i.from && i.until.is_none_or(|u| self.now < u),
            })),
            "regions": regions,
            "dns": self.dns_status(),
            "mutating_calls": self.entries,
            "traffic": self.app_traffic(),
            "shop_traffic": self.shop_traffic(),
            "lease_holder": self.lease_holder(),
            "routing_controls": self.recovery.controls.iter().map(|(arn, on)| (arn.clone(), json!(on))).collect::<serde_json::Map<_, _>>(),
        })
    }

    pub(crate) fn app_traffic(&self) -> TrafficReport {
        self.traffic.report(&self.application.host)
    }

    /// The site in the clusters, if there is one.
    pub(crate) fn shop_traffic(&self) -> Option<TrafficReport> {
        self.application.shop.as_ref().map(|site| self.shop.report(site))
    }

    fn region_status(&self, name: &str, region: &Region) -> Value {
        let databases: serde_json::Map<String, Value> =
            region.databases.values().map(|d| (d.id.clone(), self.database_status(name, d))).collect();
        let groups: serde_json::Map<String, Value> = region
            .groups
            .values()
            .map(|g| {
                let healthy = g
                    .instances
                    .iter()
                    .filter(|i| i.health.healthy == Some(true) && i.state == super::autoscaling::Lifecycle::InService)
                    .count();
                (
                    g.name.clone(),
                    json!({
                        "min": g.min, "desired": g.desired, "max": g.max,
                        "in_service": g.in_service(), "instances": g.instances.len(), "healthy": healthy,
                    }),
                )
            })
            .collect();
        let nodegroups: serde_json::Map<String, Value> = region
            .clusters
            .values()
            .flat_map(|c| {
                c.nodegroups.values().map(|n| {
                    (
                        format!("{}/{}", c.name, n.name),
                        json!({
                            "status": n.status(), "min": n.min, "desired": n.desired, "max": n.max, "nodes": n.nodes,
                        }),
                    )
                })
            })
            .collect();
        let workloads: serde_json::Map<String, Value> = region.clusters.values().map(|c| (c.name.clone(), c.kube.status())).collect();
        let objects: Vec<String> = region.objects.iter().flat_map(|(b, held)| held.keys().map(move |key| format!("{b}/{key}"))).collect();
        let snapshots: Vec<&String> = region.snapshots.keys().collect();
        json!({
            "data_plane": if self.data_plane_is_up(name) { "up" } else { "down" },
            "databases": databases, "groups": groups, "nodegroups": nodegroups, "workloads": workloads, "snapshots": snapshots, "objects": objects,
        })
    }

    fn database_status(&self, region: &str, database: &Database) -> Value {
        let replicas: Vec<String> = self.replicas_of(&database.resource_id).map(|(r, d)| format!("{r}/{}", d.id)).collect();
        json!({
            "status": database.status(self.now),
            "class": database.class,
            "backup_retention_days": database.retention,
            "multi_az": database.multi_az,
            "endpoint": format!("{}:5432", self.endpoint(region, &database.id)),
            "source": database.source.as_ref().map(|s| format!("{}/{}", s.region, s.id)),
            "lag_seconds": database.source.as_ref().and_then(|s| s.lag_by_minute.back()).map(|l| (l.1 * 1000.0).round() / 1000.0),
            "replicas": replicas,
            "writable": database.is_writable(),
        })
    }

    fn dns_status(&self) -> Value {
        let records: Vec<Value> = self
            .dns
            .zones
            .values()
            .filter(|z| !z.private)
            .flat_map(|z| {
                z.records.iter().filter(|r| !matches!(r.kind(), "NS" | "SOA")).map(|r| {
                    json!({
                        "zone": z.id,
                        "name": r.name(),
                        "type": r.kind(),
                        "set_identifier": r.0.get("SetIdentifier"),
                        "weight": r.0.get("Weight"),
                        "failover": r.0.get("Failover"),
                        "ttl": r.ttl(),
                        "alias": r.alias().and_then(|a| a.get("DNSName")),
                        "values": r.values().collect::<Vec<_>>(),
                        "health_check": r.health_check(),
                        "in_sync": z.serving.contains(r),
                        "healthy": self.record_is_healthy(r),
                    })
                })
            })
            .collect();
        let checks: serde_json::Map<String, Value> = self
            .dns
            .health_checks
            .values()
            .map(|c| (c.id.clone(), json!({"name": c.name, "healthy": self.dns.is_healthy(c), "last": c.last})))
            .collect();
        json!({
            "records": records,
            "health_checks": checks,
            "resolves_to": self.resolve(&self.application.host).map(|r| r.host),
        })
    }

    /// Lists the replicas of an instance, with their regions.
    pub(crate) fn replicas_of<'a>(&'a self, resource_id: &'a str) -> impl Iterator<Item = (&'a str, &'a Database)> {
        let all = self.regions.iter().flat_map(|(r, region)| region.databases.values().map(move |d| (r.as_str(), d)));
        all.filter(move |(_, d)| d.source.as_ref().is_some_and(|s| s.resource_id == resource_id))
    }

    /// Returns the host name of an instance's endpoint.
    pub(crate) fn endpoint(&self, region: &str, id: &str) -> String {
        format!("{id}.c{:011x}.{region}.rds.amazonaws.com", super::hash(5, region, 0) & 0xfff_ffff_ffff)
    }
}
