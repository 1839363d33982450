//! `ChangeResourceRecordSets`: a batch of changes that takes effect as a whole or not at all.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde_json::{Value, json};

use super::route53::{change_info, find_zone};
use super::{Answer, Call, Document, ServiceError};
use crate::world::World;
use crate::world::dns::{CHANGE_IN_FLIGHT, Change, Record, is_within, normal};
use crate::xml::Element;

/// The types of records, as the API's model lists them.
const KINDS: [&str; 17] =
    ["SOA", "A", "TXT", "NS", "CNAME", "MX", "NAPTR", "PTR", "SRV", "SPF", "AAAA", "CAA", "DS", "TLSA", "SSHFP", "SVCB", "HTTPS"];
/// Elements that a batch may have; an UPSERT counts twice.
const BATCH_MAX: usize = 1000;

fn invalid_input(message: impl Into<String>) -> ServiceError {
    ServiceError::new("InvalidInput", message)
}

fn invalid_batch(message: impl std::fmt::Display) -> ServiceError {
    ServiceError::new("InvalidChangeBatch", format!("[{message}]"))
}

/// Carries out a batch.
pub(super) fn change(world: &mut World, call: &Call, id: &str) -> Result<Answer, ServiceError> {
    let zone = find_zone(world, id)?.clone();
    let Document::Xml(document) = &call.document else {
        return Err(invalid_input("Unable to parse request"));
    };
    let batch = document.child("ChangeBatch").ok_or_else(|| invalid_input("The request has no ChangeBatch"))?;
    let changes = batch.child("Changes").map(|c| c.children.as_slice()).unwrap_or_default();
    if changes.is_empty() {
        return Err(invalid_input("The ChangeBatch has no changes"));
    }
    let weight: usize = changes.iter().map(|c| if c.get("Action") == Some("UPSERT") { 2 } else { 1 }).sum();
    if weight > BATCH_MAX {
        return Err(invalid_batch(format!("Number of records limit of {BATCH_MAX} exceeded.")));
    }
    if world.now < zone.busy_until {
        let message = format!("The request was rejected because Route 53 was still processing a prior request for the hosted zone {id}.");
        return Err(ServiceError::new("PriorRequestNotComplete", message));
    }
    let mut records = zone.records.clone();
    for element in changes {
        let record = element.child("ResourceRecordSet").ok_or_else(|| invalid_input("A change has no ResourceRecordSet"))?;
        let record = normalised(record);
        check(world, &zone.name, &record)?;
        apply(&mut records, element.get("Action").unwrap_or_default(), record)?;
    }
    check_together(&records)?;
    records.sort_by_key(Record::key);
    let effective = records != zone.records;
    let change = submit(world, &zone.id, batch.get("Comment").map(str::to_owned), records);
    let answer = Element::new("ChangeResourceRecordSetsResponse").with_child(change_info(world, &change));
    Ok(Answer::xml(answer).effective(effective))
}

fn submit(world: &mut World, zone: &str, comment: Option<String>, records: Vec<Record>) -> Change {
    let now = world.now;
    let id = format!("C{}", world.draw_hex("change", 20).to_ascii_uppercase());
    let mut insync_at = now + world.draw_ms(&format!("insync/{zone}"), world.timings.dns_insync);
    // Changes of a zone reach the name servers in order.
    let earlier = world.dns.changes.values().filter(|c| c.zone == zone).map(|c| c.insync_at).max();
    insync_at = insync_at.max(earlier.unwrap_or(0) + 1);
    let change = Change { id: id.clone(), zone: zone.to_owned(), comment, submitted: now, insync_at, records: Some(records.clone()) };
    world.dns.changes.insert(id, change.clone());
    if let Some(zone) = world.dns.zones.get_mut(zone) {
        zone.records = records;
        zone.busy_until = now + CHANGE_IN_FLIGHT;
    }
    change
}

/// Brings names to the form that Route 53 keeps; every other field stays as it came.
fn normalised(record: &Element) -> Record {
    let mut record = record.clone();
    for child in &mut record.children {
        match child.name.as_str() {
            "Name" => child.text = normal(&child.text),
            "AliasTarget" => {
                for field in child.children.iter_mut().filter(|f| f.name == "DNSName") {
                    field.text = normal(&field.text);
                }
            }
            _ => {}
        }
    }
    Record(record)
}

/// Refuses a record that cannot be in the zone.
fn check(world: &World, zone: &str, record: &Record) -> Result<(), ServiceError> {
    let name = record.name();
    if name.len() < 2 || record.kind().is_empty() {
        return Err(invalid_input("A ResourceRecordSet needs a Name and a Type"));
    }
    if !KINDS.contains(&record.kind()) {
        return Err(invalid_input(format!("Invalid value for Type: {}", record.kind())));
    }
    if !is_within(name, zone) {
        return Err(invalid_batch(format!("RRSet with DNS name {name} is not permitted in zone {zone}")));
    }
    let has_values = record.values().next().is_some();
    match record.alias() {
        Some(_) if has_values || record.ttl().is_some() => {
            return Err(invalid_input("Invalid request: an alias has neither TTL nor ResourceRecords"));
        }
        Some(alias) => check_alias(world, record, alias)?,
        None if !has_values || record.ttl().is_none() => {
            return Err(invalid_input(
                "Invalid request: Expected exactly one of [AliasTarget, all of [TTL, and ResourceRecords], or TrafficPolicyInstanceId], but found none",
            ));
        }
        None => check_addresses(record)?,
    }
    let policy = ["Failover", "Weight", "Region", "GeoLocation", "MultiValueAnswer"].iter().any(|p| record.0.child(p).is_some());
    if policy == record.set_identifier().is_empty() {
        return Err(invalid_input("Invalid request: a routing policy needs a SetIdentifier, and a SetIdentifier needs a routing policy"));
    }
    if !record.failover().is_empty() && !matches!(record.failover(), "PRIMARY" | "SECONDARY") {
        return Err(invalid_input(format!("Invalid value for Failover: {}", record.failover())));
    }
    match record.health_check() {
        Some(id) if !world.dns.health_checks.contains_key(id) => {
            Err(ServiceError::new("NoSuchHealthCheck", format!("A health check with id {id} does not exist.")).status(404))
        }
        _ => Ok(()),
    }
}

/// Refuses addresses that are none.
fn check_addresses(record: &Record) -> Result<(), ServiceError> {
    let wrong = |value: &&str| match record.kind() {
        "A" => value.trim().parse::<Ipv4Addr>().is_err(),
        "AAAA" => value.trim().parse::<Ipv6Addr>().is_err(),
        _ => false,
    };
    let (version, name) = if record.kind() == "A" { (4, "ARRDATA") } else { (6, "AAAARRDATA") };
    match record.values().find(wrong) {
        Some(value) => Err(invalid_batch(format!(
            "Invalid Resource Record: 'FATAL problem: {name}IllegalIPv{version}Address (Value is not a valid IPv{version} address) encountered with '{value}''"
        ))),
        None => Ok(()),
    }
}

fn check_alias(world: &World, record: &Record, alias: &Element) -> Result<(), ServiceError> {
    let target = alias.get("DNSName").unwrap_or_default();
    let zone = alias.get("HostedZoneId").unwrap_or_default();
    if alias.get("EvaluateTargetHealth").is_none_or(|e| e != "true" && e != "false") {
        return Err(invalid_input("Invalid request: an AliasTarget needs EvaluateTargetHealth"));
    }
    let problem = match world.load_balancer(target) {
        Some((_, _, balancer)) if balancer.zone_id == zone => return Ok(()),
        Some(_) => "but the alias target name does not lie within the target zone",
        // An alias to another record of a hosted zone.
        None if world.dns.zones.get(zone).is_some_and(|z| z.records.iter().any(|r| r.name() == target)) => {
            return Ok(());
        }
        None => "but that target was not found",
    };
    Err(invalid_batch(format!("Tried to create an alias that targets {target}, type {} in zone {zone}, {problem}", record.kind())))
}

fn describe(record: &Record) -> String {
    let mut text = format!("name='{}', type='{}'", record.name(), record.kind());
    if !record.set_identifier().is_empty() {
        text.push_str(&format!(", set identifier='{}'", record.set_identifier()));
    }
    text
}

fn apply(records: &mut Vec<Record>, action: &str, record: Record) -> Result<(), ServiceError> {
    let known = records.iter().position(|r| r.key() == record.key());
    match (action, known) {
        ("CREATE", Some(_)) => {
            return Err(invalid_batch(format!("Tried to create resource record set [{}] but it already exists", describe(&record))));
        }
        ("DELETE", None) => {
            return Err(invalid_batch(format!("Tried to delete resource record set [{}] but it was not found", describe(&record))));
        }
        ("DELETE", Some(at)) => {
            if !same(&records[at].0, &record.0) {
                return Err(invalid_batch(format!(
                    "Tried to delete resource record set [{}] but the values provided do not match the current values",
                    describe(&record)
                )));
            }
            records.remove(at);
        }
        // A record that says the same in another order is the same: keep it as it was.
        ("UPSERT", Some(at)) if same(&records[at].0, &record.0) => {}
        ("UPSERT", Some(at)) => records[at] = record,
        ("CREATE" | "UPSERT", None) => records.push(record),
        _ => {
            return Err(invalid_input(format!("Invalid value for Action: '{action}'")));
        }
    }
    Ok(())
}

/// Compares records without regard to the order of their fields.
fn same(a: &Element, b: &Element) -> bool {
    if a.name == "ResourceRecords" {
        return a.children == b.children;
    }
    let found = |child: &Element| b.child(&child.name).is_some_and(|other| same(child, other));
    a.name == b.name && a.text == b.text && a.children.len() == b.children.len() && a.children.iter().all(found)
}

/// Refuses records that exclude each other.
fn check_together(records: &[Record]) -> Result<(), ServiceError> {
    for record in records {
        let same_name = || records.iter().filter(|r| r.name() == record.name());
        let plain = record.set_identifier().is_empty();
        let siblings = || same_name().filter(|r| r.kind() == record.kind() && r.set_identifier() != record.set_identifier());
        if siblings().any(|r| plain != r.set_identifier().is_empty()) {
            return Err(invalid_batch(format!(
                "RRSet with DNS name {}, type {} cannot be created as both simple and with a routing policy",
                record.name(),
                record.kind()
            )));
        }
        if !record.failover().is_empty() && siblings().any(|r| r.failover() == record.failover()) {
            return Err(invalid_batch(format!(
                "RRSet with DNS name {}, type {} already has a {} failover record",
                record.name(),
                record.kind(),
                record.failover()
            )));
        }
        if record.kind() == "CNAME" && same_name().any(|r| r.kind() != "CNAME") {
            return Err(invalid_batch(format!(
                "RRSet of type CNAME with DNS name {} is not permitted as it conflicts with other records with the same DNS name",
                record.name()
            )));
        }
    }
    Ok(())
}

/// Shortens a batch for the log.
pub(super) fn summary(document: &Element) -> Value {
    let changes = document.child("ChangeBatch").and_then(|b| b.child("Changes")).map(|c| c.children.as_slice()).unwrap_or_default();
    let line = |change: &Element| {
        let record = |path: &[&str]| change.child("ResourceRecordSet").and_then(|r| r.path(path)).map(str::to_owned);
        json!({
            "action": change.get("Action"),
            "name": record(&["Name"]),
            "type": record(&["Type"]),
            "set_identifier": record(&["SetIdentifier"]),
            "alias": record(&["AliasTarget", "DNSName"]),
            "health_check": record(&["HealthCheckId"]),
        })
    };
    json!({ "changes": changes.iter().take(20).map(line).collect::<Vec<_>>() })
}
