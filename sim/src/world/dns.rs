//! Route 53: zones, records, changes on their way to the name servers, health checks, and how a name resolves.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Ms, World, unit};
use crate::xml::Element;

/// How long after a change the zone takes no other.
pub(crate) const CHANGE_IN_FLIGHT: Ms = 1500;
/// Names in a chain of aliases and CNAMEs.
const CHAIN_MAX: usize = 8;
/// The time to live of an alias to a load balancer, in seconds.
const ALIAS_TTL: u32 = 60;

/// Everything Route 53 keeps.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Dns {
    pub(crate) zones: BTreeMap<String, Zone>,
    pub(crate) health_checks: BTreeMap<String, HealthCheck>,
    pub(crate) changes: BTreeMap<String, Change>,
    /// What resolvers keep, by resolver, name and type, and until when.
    #[serde(default)]
    pub(crate) kept: BTreeMap<String, (Ms, Vec<Answered>)>,
}

/// A hosted zone.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Zone {
    pub(crate) id: String,
    /// With the final dot.
    pub(crate) name: String,
    pub(crate) private: bool,
    /// What the API shows.
    pub(crate) records: Vec<Record>,
    /// What the name servers answer from: changes arrive here when they are INSYNC.
    pub(crate) serving: Vec<Record>,
    pub(crate) busy_until: Ms,
}

/// A record set, kept as the very XML element of the API so that no field can get lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Record(pub(crate) Element);

/// A submitted change.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Change {
    pub(crate) id: String,
    pub(crate) zone: String,
    pub(crate) comment: Option<String>,
    pub(crate) submitted: Ms,
    pub(crate) insync_at: Ms,
    /// The zone's records after it, until they are served.
    pub(crate) records: Option<Vec<Record>>,
}

/// A health check: of an endpoint, of a routing control, or calculated from others.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct HealthCheck {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) fqdn: String,
    pub(crate) port: u16,
    pub(crate) path: String,
    pub(crate) interval: u32,
    pub(crate) threshold: u32,
    /// Whether it is healthy when its endpoint is not.
    #[serde(default)]
    pub(crate) inverted: bool,
    /// Whether the endpoint is not asked and taken for a healthy one.
    #[serde(default)]
    pub(crate) disabled: bool,
    /// The routing control that it follows.
    #[serde(default)]
    pub(crate) routing_control: Option<String>,
    /// The checks that it is calculated from, and how many of them have to be healthy.
    #[serde(default)]
    pub(crate) children: Vec<String>,
    #[serde(default)]
    pub(crate) health_threshold: usize,
    /// How often it was changed, from one.
    #[serde(default)]
    pub(crate) version: u64,
    /// What the endpoint was last found to be, turned round if it is inverted.
    pub(crate) healthy: bool,
    /// Checks in a row that disagree with `healthy`.
    pub(crate) streak: u32,
    pub(crate) next_check: Ms,
    pub(crate) checked: Ms,
    pub(crate) last: String,
    /// Minutes in which the state changed, for the metric.
    pub(crate) history: Vec<(i64, bool)>,
}

/// A record of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answered {
    /// Whose it is, with the final dot.
    pub(crate) name: String,
    pub(crate) ttl: u32,
    /// An address, or with a final dot the name that the other one stands for.
    pub(crate) value: String,
}

/// Where a name leads, and how long a resolver may remember it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resolved {
    pub(crate) host: String,
    pub(crate) ttl: u32,
}

impl Dns {
    /// Whether a health check counts as healthy.
    pub(crate) fn is_healthy(&self, check: &HealthCheck) -> bool {
        if check.disabled {
            return !check.inverted;
        }
        if check.children.is_empty() {
            return check.healthy;
        }
        let healthy = check.children.iter().filter_map(|id| self.health_checks.get(id)).filter(|c| self.is_healthy(c)).count();
        (healthy >= check.health_threshold) != check.inverted
    }
}

impl Dns {
    /// Whether a health check counted as healthy in a minute, by its endpoint or by those that it is calculated from.
    pub(crate) fn was_healthy(&self, id: &str, minute: i64) -> Option<bool> {
        let check = self.health_checks.get(id)?;
        if check.children.is_empty() {
            return check.history.iter().rev().find(|change| change.0 <= minute).map(|change| change.1);
        }
        let children: Option<Vec<bool>> = check.children.iter().map(|child| self.was_healthy(child, minute)).collect();
        Some((children?.into_iter().filter(|healthy| *healthy).count() >= check.health_threshold) != check.inverted)
    }
}

/// Brings a domain name to the form that Route 53 shows: lower case, with the final dot.
pub(crate) fn normal(name: &str) -> String {
    format!("{}.", name.trim_end_matches('.').to_ascii_lowercase())
}

impl Record {
    pub(crate) fn name(&self) -> &str {
        self.0.get("Name").unwrap_or_default()
    }

    pub(crate) fn kind(&self) -> &str {
        self.0.get("Type").unwrap_or_default()
    }

    pub(crate) fn set_identifier(&self) -> &str {
        self.0.get("SetIdentifier").unwrap_or_default()
    }

    pub(crate) fn failover(&self) -> &str {
        self.0.get("Failover").unwrap_or_default()
    }

    pub(crate) fn health_check(&self) -> Option<&str> {
        self.0.get("HealthCheckId")
    }

    pub(crate) fn alias(&self) -> Option<&Element> {
        self.0.child("AliasTarget")
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &str> {
        self.0.child("ResourceRecords").into_iter().flat_map(|r| &r.children).filter_map(|r| r.get("Value"))
    }

    pub(crate) fn ttl(&self) -> Option<u32> {
        self.0.get("TTL")?.trim().parse().ok()
    }

    /// What makes a record unique in its zone.
    pub(crate) fn key(&self) -> (String, String, String) {
        (sort_name(self.name()), self.kind().to_owned(), self.set_identifier().to_owned())
    }
}

/// Route 53 sorts names by their labels from the last to the first.
pub(crate) fn sort_name(name: &str) -> String {
    let normal = normal(name);
    let mut labels: Vec<&str> = normal.trim_end_matches('.').split('.').collect();
    labels.reverse();
    labels.join(".")
}

impl World {
    pub(super) fn dns_becomes_due(&mut self) {
        let now = self.now;
        // In the order of submission, should two become INSYNC at once.
        let mut due: Vec<(Ms, String)> =
            self.dns.changes.values().filter(|c| c.records.is_some() && now >= c.insync_at).map(|c| (c.submitted, c.id.clone())).collect();
        due.sort();
        for (_, id) in due {
            let Some(change) = self.dns.changes.get_mut(&id) else {
                continue;
            };
            let Some(records) = change.records.take() else {
                continue;
            };
            let transition = (change.insync_at, format!("route53/{}", change.zone));
            if let Some(zone) = self.dns.zones.get_mut(&change.zone) {
                zone.serving = records;
            }
            self.tell_transitions(vec![transition]);
        }
        let checks: Vec<String> = self.dns.health_checks.values().filter(|c| c.next_check <= now).map(|c| c.id.clone()).collect();
        for id in checks {
            self.check_health(&id);
        }
    }

    /// Carries out a health check that is due.
    fn check_health(&mut self, id: &str) {
        let now = self.now;
        let Some(check) = self.dns.health_checks.get(id) else {
            return;
        };
        if !check.children.is_empty() {
            return;
        }
        if check.routing_control.is_some() {
            if let Some(check) = self.dns.health_checks.get_mut(id) {
                self.recovery.lead(check, now);
            }
            return;
        }
        let (host, path) = (check.fqdn.clone(), check.path.clone());
        let answer = self.probe(&host, &path);
        let Some(check) = self.dns.health_checks.get_mut(id) else {
            return;
        };
        let passed = answer.is_ok() != check.inverted;
        check.last = answer.err().unwrap_or_else(|| "Success: HTTP Status Code 200, OK".to_owned());
        check.checked = now;
        check.next_check = now + Ms::from(check.interval.max(1)) * 1000;
        check.streak = if passed == check.healthy { 0 } else { check.streak + 1 };
        if check.streak >= check.threshold.max(1) {
            check.healthy = passed;
            check.streak = 0;
            check.history.push((now.div_euclid(60_000), passed));
        }
    }

    /// Asks an endpoint as a health checker does: the application, or an object of S3.
    fn probe(&self, host: &str, path: &str) -> Result<(), String> {
        let no_connection =
            |why: String| Err(format!("Failure: The health checker could not establish a connection within the timeout limit. {why}"));
        if super::objects::bucket_of(host).is_some() {
            return match self.public_object(host, path) {
                Some((region, _)) if self.conditions.region_is_out(&region) => no_connection(format!("{host} does not answer")),
                Some((_, Some(_))) => Ok(()),
                Some((_, None)) | None => Err("Failure: HTTP Status Code 403. Forbidden".to_owned()),
            };
        }
        match self.ask(host) {
            Ok(_) => Ok(()),
            Err(refusal) => match refusal.status() {
                Some(status) => Err(format!("Failure: HTTP Status Code {status}. {refusal}")),
                None => no_connection(refusal.to_string()),
            },
        }
    }

    /// Resolves a public name to addresses, and tells for how many seconds they may be kept. A load balancer has an address made of its name.
    pub(crate) fn addresses(&self, name: &str) -> Option<(Vec<String>, u32)> {
        let found = self.resolve(name)?;
        if found.host.parse::<std::net::IpAddr>().is_ok() {
            return Some((vec![found.host], found.ttl));
        }
        let hash = super::hash(6, &found.host, 0).to_le_bytes();
        // Of the network that is set aside for benchmarks: an address of nobody's.
        Some((vec![format!("198.18.{}.{}", hash[0], hash[1])], found.ttl))
    }

    /// Returns the public zone that a name is in.
    pub(crate) fn zone_of(&self, host: &str) -> Option<&Zone> {
        let zones = self.dns.zones.values().filter(|z| !z.private && is_within(host, &z.name));
        zones.max_by_key(|z| z.name.len())
    }

    /// Answers as the name servers of a name's zone do: its records of a type, of A and CNAME. `None` when there is no such name.
    pub(crate) fn answers(&self, host: &str, kind: &str) -> Option<Vec<Answered>> {
        let record = self.answer(host)?;
        let answered = |name: &str, ttl, value: String| Answered { name: name.to_owned(), ttl, value };
        if record.kind() == "CNAME" {
            let (target, ttl) = (normal(record.values().next()?), record.ttl().unwrap_or(300));
            let mut all = vec![answered(host, ttl, target.clone())];
            if kind == "A"
                && let Some((addresses, ttl)) = self.addresses(&target)
            {
                all.extend(addresses.into_iter().map(|address| answered(&target, ttl, address)));
            }
            return Some(all);
        }
        if kind != "A" {
            return Some(Vec::new());
        }
        if record.alias().is_none() {
            return Some(record.values().map(|value| answered(host, record.ttl().unwrap_or(300), value.to_owned())).collect());
        }
        let (addresses, ttl) = self.addresses(host)?;
        Some(addresses.into_iter().map(|address| answered(host, ttl, address)).collect())
    }

    /// Answers as a resolver does, which keeps what it was answered for its time to live.
    pub(crate) fn resolved(&mut self, resolver: &str, host: &str, kind: &str) -> Option<Vec<Answered>> {
        let (now, of) = (self.now, format!("{resolver} {host} {kind}"));
        if let Some((until, kept)) = self.dns.kept.get(&of)
            && now < *until
        {
            return Some(kept.clone());
        }
        let found = self.answers(host, kind)?;
        let ttl = found.iter().map(|answered| answered.ttl).min().unwrap_or_default();
        self.dns.kept.insert(of, (now + Ms::from(ttl) * 1000, found.clone()));
        Some(found)
    }

    /// Resolves a public name as the name servers would now, down to a load balancer's host name or an address.
    pub(crate) fn resolve(&self, name: &str) -> Option<Resolved> {
        let mut host = normal(name);
        let mut ttl = u32::MAX;
        for _ in 0..CHAIN_MAX {
            if self.load_balancer(&host).is_some() {
                return Some(Resolved { host: host.trim_end_matches('.').to_owned(), ttl: ttl.min(ALIAS_TTL) });
            }
            let record = self.answer(&host)?;
            let (next, its_ttl) = match record.alias() {
                Some(alias) => (alias.get("DNSName")?.to_owned(), ALIAS_TTL),
                None => (record.values().next()?.to_owned(), record.ttl().unwrap_or(300)),
            };
            ttl = ttl.min(its_ttl);
            if record.kind() != "CNAME" && record.alias().is_none() {
                return Some(Resolved { host: next, ttl });
            }
            host = normal(&next);
        }
        None
    }

    /// Chooses among the served records of a name, by their routing policy.
    fn answer(&self, host: &str) -> Option<&Record> {
        let zone = self.zone_of(host)?;
        let of_kind = |kind: &'static str| zone.serving.iter().filter(move |r| r.name() == host && r.kind() == kind);
        let kind = if of_kind("A").next().is_some() { "A" } else { "CNAME" };
        let records: Vec<&Record> = of_kind(kind).collect();
        let with_role = |role: &str| records.iter().copied().find(|r| r.failover() == role);
        if let Some(primary) = with_role("PRIMARY") {
            let secondary = with_role("SECONDARY");
            let take_secondary = !self.record_is_healthy(primary) && secondary.is_some_and(|s| self.record_is_healthy(s));
            return if take_secondary { secondary } else { Some(primary) };
        }
        self.by_weight(host, &records)
    }

    /// Chooses among weighted records, a simple record being the only one.
    fn by_weight<'a>(&self, host: &str, records: &[&'a Record]) -> Option<&'a Record> {
        let healthy: Vec<&Record> = records.iter().copied().filter(|r| self.record_is_healthy(r)).collect();
        let candidates = if healthy.is_empty() { records.to_vec() } else { healthy };
        let weight = |r: &Record| r.0.get("Weight").and_then(|w| w.parse::<f64>().ok()).unwrap_or(1.0).clamp(0.0, 255.0);
        let total: f64 = candidates.iter().map(|r| weight(r)).sum();
        let mut at = total * unit(self.seed, host, self.now.div_euclid(1000).unsigned_abs());
        for record in &candidates {
            at -= weight(record);
            if at < 0.0 {
                return Some(record);
            }
        }
        candidates.first().copied()
    }

    /// Whether Route 53 takes a record into account: its health check, and its load balancer's targets if it evaluates them.
    pub(crate) fn record_is_healthy(&self, record: &Record) -> bool {
        let check = record.health_check().and_then(|id| self.dns.health_checks.get(id));
        if check.is_some_and(|c| !self.dns.is_healthy(c)) {
            return false;
        }
        let Some(alias) = record.alias() else {
            return true;
        };
        if alias.get("EvaluateTargetHealth") != Some("true") {
            return true;
        }
        let Some((name, region, balancer)) = alias.get("DNSName").and_then(|h| self.load_balancer(h)) else {
            return true;
        };
        let healthy = match &balancer.backend {
            Some(backend) => self.healthy_pods(name, backend),
            None => region.healthy_targets(balancer),
        };
        !self.conditions.region_is_out(name) && healthy > 0
    }
}

/// Reports whether a name is the zone's own or below it.
pub(crate) fn is_within(name: &str, zone: &str) -> bool {
    name == zone || name.strip_suffix(zone).is_some_and(|head| head.ends_with('.'))
}
