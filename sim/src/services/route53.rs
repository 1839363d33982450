//! Route 53, REST/XML of 2013-04-01: zones, records, changes, health checks. Its endpoint is the same for all regions.

use super::{Answer, Call, Params, ServiceError, route53_changes, route53_checks};
use crate::world::dns::{Change, Record, Zone, normal, sort_name};
use crate::world::{World, timestamp};
use crate::xml::Element;

/// Items on a page, unless asked for fewer: of zones, and of records.
const ZONES_MAX: usize = 100;
const RECORDS_MAX: usize = 300;

/// Finds the action for a method and path, and what the path names.
pub(super) fn route(method: &str, path: &[String]) -> Option<(String, Vec<String>)> {
    let parts: Vec<&str> = path.iter().map(String::as_str).collect();
    let parts = parts.strip_prefix(&["2013-04-01"])?;
    let (action, labels): (&str, &[&str]) = match (method, parts) {
        ("GET", ["hostedzone"]) => ("ListHostedZones", &[]),
        ("GET", ["hostedzonesbyname"]) => ("ListHostedZonesByName", &[]),
        ("GET", ["hostedzone", zone]) => ("GetHostedZone", &[zone]),
        ("GET", ["hostedzone", zone, "rrset"]) => ("ListResourceRecordSets", &[zone]),
        ("POST", ["hostedzone", zone, "rrset"]) => ("ChangeResourceRecordSets", &[zone]),
        ("GET", ["change", id]) => ("GetChange", &[id]),
        ("GET", ["healthcheck"]) => ("ListHealthChecks", &[]),
        ("GET", ["healthcheck", id]) => ("GetHealthCheck", &[id]),
        ("POST", ["healthcheck", id]) => ("UpdateHealthCheck", &[id]),
        ("GET", ["healthcheck", id, "status"]) => ("GetHealthCheckStatus", &[id]),
        _ => return None,
    };
    Some((action.to_owned(), labels.iter().map(|l| (*l).to_owned()).collect()))
}

/// Answers a Route 53 call.
pub(super) fn answer(world: &mut World, call: &Call) -> Result<Answer, ServiceError> {
    let id = call.labels.first().map(String::as_str).unwrap_or_default();
    match call.action.name {
        "ListHostedZones" => list_zones(world, &call.params),
        "ListHostedZonesByName" => list_zones_by_name(world, &call.params),
        "GetHostedZone" => get_zone(world, id),
        "ListResourceRecordSets" => list_records(world, id, &call.params),
        "GetChange" => get_change(world, id),
        "ListHealthChecks" | "GetHealthCheck" | "GetHealthCheckStatus" | "UpdateHealthCheck" => route53_checks::answer(world, call, id),
        _ => route53_changes::change(world, call, id),
    }
}

/// Finds a zone by its id, with or without the prefix that Route 53 shows.
pub(super) fn find_zone<'a>(world: &'a World, id: &str) -> Result<&'a Zone, ServiceError> {
    let found = world.dns.zones.get(id.trim_start_matches("/hostedzone/"));
    found.ok_or_else(|| ServiceError::new("NoSuchHostedZone", format!("No hosted zone found with ID: {id}")).status(404))
}

fn page_size(params: &Params, most: usize) -> Result<usize, ServiceError> {
    match params.number("maxitems", "InvalidInput")? {
        None => Ok(most),
        Some(n) if n >= 1 => Ok((n.unsigned_abs() as usize).min(most)),
        Some(n) => Err(ServiceError::new("InvalidInput", format!("Invalid value for maxItems: {n}"))),
    }
}

fn zone(zone: &Zone) -> Element {
    Element::new("HostedZone")
        .with("Id", format!("/hostedzone/{}", zone.id))
        .with("Name", &zone.name)
        .with("CallerReference", format!("reference-{}", zone.id))
        .with_child(Element::new("Config").with("Comment", "").with("PrivateZone", zone.private))
        .with("ResourceRecordSetCount", zone.records.len())
}

fn list_zones(world: &World, params: &Params) -> Result<Answer, ServiceError> {
    let size = page_size(params, ZONES_MAX)?;
    let marker = params.get("marker").unwrap_or_default();
    let mut zones: Vec<&Zone> = world.dns.zones.values().filter(|z| z.id.as_str() >= marker).collect();
    let next = zones.get(size).map(|z| z.id.clone());
    zones.truncate(size);
    let result = Element::new("ListHostedZonesResponse").with_list("HostedZones", zones.into_iter().map(zone));
    Ok(Answer::xml(result.with("Marker", marker).with("IsTruncated", next.is_some()).with_some("NextMarker", next).with("MaxItems", size)))
}

/// Lists the zones *at or after* a name, private ones included, as Route 53 does.
fn list_zones_by_name(world: &World, params: &Params) -> Result<Answer, ServiceError> {
    let size = page_size(params, ZONES_MAX)?;
    let from = params.get("dnsname").map(sort_name).unwrap_or_default();
    let from_id = params.get("hostedzoneid").unwrap_or_default();
    let mut zones: Vec<(String, &Zone)> = world.dns.zones.values().map(|z| (sort_name(&z.name), z)).collect();
    zones.sort_by(|a, b| (&a.0, &a.1.id).cmp(&(&b.0, &b.1.id)));
    zones.retain(|(name, z)| *name > from || (*name == from && z.id.as_str() >= from_id));
    let next = zones.get(size).map(|(_, z)| (z.name.clone(), z.id.clone()));
    zones.truncate(size);
    let result = Element::new("ListHostedZonesByNameResponse")
        .with_list("HostedZones", zones.into_iter().map(|(_, z)| zone(z)))
        .with_some("DNSName", params.get("dnsname").map(normal))
        .with("IsTruncated", next.is_some())
        .with_some("NextDNSName", next.as_ref().map(|(name, _)| name))
        .with_some("NextHostedZoneId", next.as_ref().map(|(_, id)| id));
    Ok(Answer::xml(result.with("MaxItems", size)))
}

fn get_zone(world: &World, id: &str) -> Result<Answer, ServiceError> {
    let found = find_zone(world, id)?;
    let mut result = Element::new("GetHostedZoneResponse").with_child(zone(found));
    if found.private {
        let vpc = Element::new("VPC").with("VPCRegion", "us-east-1").with("VPCId", "vpc-0simulated");
        result = result.with_list("VPCs", [vpc]);
    } else {
        let servers = name_servers(found).map(|server| server.trim_end_matches('.'));
        let servers = servers.fold(Element::new("NameServers"), |list, server| list.with("NameServer", server));
        result = result.with_child(Element::new("DelegationSet").with_child(servers));
    }
    Ok(Answer::xml(result))
}

/// The name servers of a zone, with the final dot.
pub(super) fn name_servers(zone: &Zone) -> impl Iterator<Item = &str> {
    zone.serving.iter().filter(|record| record.kind() == "NS" && record.name() == zone.name).flat_map(Record::values)
}

fn list_records(world: &World, id: &str, params: &Params) -> Result<Answer, ServiceError> {
    let found = find_zone(world, id)?;
    let size = page_size(params, RECORDS_MAX)?;
    let (name, kind, identifier) = (params.get("name"), params.get("type"), params.get("identifier"));
    if (kind.is_some() && name.is_none()) || (identifier.is_some() && kind.is_none()) {
        return Err(ServiceError::new("InvalidInput", "A type needs a name, and an identifier needs a type."));
    }
    let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
    let from = (name.map(sort_name).unwrap_or_default(), text(kind), text(identifier));
    let mut records: Vec<&Record> = found.records.iter().filter(|r| r.key() >= from).collect();
    records.sort_by_key(|r| r.key());
    let next = records.get(size).copied();
    records.truncate(size);
    let mut result = Element::new("ListResourceRecordSetsResponse")
        .with_list("ResourceRecordSets", records.into_iter().map(|r| r.0.clone()))
        .with("IsTruncated", next.is_some());
    if let Some(next) = next {
        result = result
            .with("NextRecordName", next.name())
            .with("NextRecordType", next.kind())
            .with_some("NextRecordIdentifier", next.0.get("SetIdentifier"));
    }
    Ok(Answer::xml(result.with("MaxItems", size)))
}

/// Writes a change as Route 53 shows it.
pub(super) fn change_info(world: &World, change: &Change) -> Element {
    let status = if world.now >= change.insync_at { "INSYNC" } else { "PENDING" };
    Element::new("ChangeInfo")
        .with("Id", format!("/change/{}", change.id))
        .with("Status", status)
        .with("SubmittedAt", timestamp(change.submitted))
        .with_some("Comment", change.comment.as_ref())
}

fn get_change(world: &World, id: &str) -> Result<Answer, ServiceError> {
    let found = world.dns.changes.get(id.trim_start_matches("/change/"));
    let change = found.ok_or_else(|| ServiceError::new("NoSuchChange", format!("Could not find resource with ID: {id}")).status(404))?;
    Ok(Answer::xml(Element::new("GetChangeResponse").with_child(change_info(world, change))))
}
