//! Route 53: a zone with a record of each sort, and batches that change it.

use serde_json::{Value, json};

use super::sequence::{Call, Case, Draw, EAST, Subject, Use::*, case};

pub const SUBJECT: Subject = Subject { service: "route53", cases: CASES, seed, watch, names };

/// The zone of a load balancer in us-east-1.
pub const BALANCER_ZONE: &str = "Z35SXDOTRQ7X7K";

fn zone_name(draw: &Draw) -> String {
    format!("{}.com", draw.name("zone"))
}

fn named(draw: &Draw, label: &str) -> String {
    format!("{label}.{}", zone_name(draw))
}

fn names(draw: &Draw) -> Value {
    json!({ "zone": zone_id(draw), "check": draw.name("check"), "balancer": balancer_name(draw), "balancer_zone": BALANCER_ZONE })
}

fn zone_id(draw: &Draw) -> String {
    format!("Z0SIMULATED{}", draw.number)
}

/// The DNS name of the load balancer in the simulator.
pub fn balancer_name(draw: &Draw) -> String {
    format!("{}-1190425811.us-east-1.elb.amazonaws.com", draw.name("balancer"))
}

/// Makes a load balancer, whose name and zone are called `balancer` and `balancer_zone`.
pub fn balancer(draw: &Draw) -> Vec<Call> {
    let subnets = json!(["{subnet}", "{other_subnet}"]);
    vec![
        Call::new("ec2", EAST, "describe_subnets", json!({}))
            .keep("subnet", "Subnets[0].SubnetId")
            .keep("other_subnet", "Subnets[1].SubnetId"),
        Call::new("elbv2", EAST, "create_load_balancer", json!({ "Name": draw.name("balancer"), "Subnets": subnets }))
            .keep("balancer", "LoadBalancers[0].DNSName")
            .keep("balancer_zone", "LoadBalancers[0].CanonicalHostedZoneId")
            .keep("balancer_arn", "LoadBalancers[0].LoadBalancerArn"),
    ]
}

fn plain(name: String, kind: &str, ttl: i64, values: &[&str]) -> Value {
    let values: Vec<_> = values.iter().map(|value| json!({ "Value": value })).collect();
    json!({ "Name": name, "Type": kind, "TTL": ttl, "ResourceRecords": values })
}

fn alias(name: String, more: Value) -> Value {
    let target = json!({ "DNSName": "{balancer}", "HostedZoneId": "{balancer_zone}", "EvaluateTargetHealth": true });
    with(json!({ "Name": name, "Type": "A", "AliasTarget": target }), more)
}

fn with(mut record: Value, more: Value) -> Value {
    record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    record
}

/// The records that each zone has at first; the simulator's are in [`simulated_zone`].
fn seed_records(draw: &Draw) -> Vec<Value> {
    vec![
        alias(named(draw, "app"), json!({ "SetIdentifier": "primary", "Failover": "PRIMARY", "HealthCheckId": "{check}" })),
        alias(named(draw, "app"), json!({ "SetIdentifier": "secondary", "Failover": "SECONDARY" })),
        plain(named(draw, "www"), "CNAME", 300, &[&named(draw, "app")]),
        plain(named(draw, "api"), "A", 60, &["192.0.2.1", "192.0.2.2"]),
        plain(zone_name(draw), "MX", 3600, &[&format!("10 mail.{}", zone_name(draw))]),
    ]
}

fn seed(draw: &Draw) -> Vec<Call> {
    let config = json!({ "Type": "HTTPS", "FullyQualifiedDomainName": "{balancer}", "Port": 443, "ResourcePath": "/health" });
    let changes: Vec<_> = seed_records(draw).into_iter().map(|record| change("CREATE", record)).collect();
    let mut calls = balancer(draw);
    calls.extend([
        Call::new("route53", EAST, "create_hosted_zone", json!({ "Name": zone_name(draw), "CallerReference": draw.name("zone") }))
            .keep("zone", "HostedZone.Id"),
        Call::new("route53", EAST, "create_health_check", json!({ "CallerReference": draw.name("check"), "HealthCheckConfig": config }))
            .keep("check", "HealthCheck.Id"),
        Call::new("route53", EAST, "change_resource_record_sets", batch(changes)),
    ]);
    calls
}

/// What the simulator has of a sequence: its zone and its health check.
pub fn simulated_zone(draw: &Draw) -> (String, String) {
    let (name, app) = (zone_name(draw), named(draw, "app"));
    let alias = format!(r#"alias: (region: "us-east-1", load_balancer: "{}", evaluate_target_health: true)"#, draw.name("balancer"));
    let zone = format!(
        r#"(id: "{}", name: "{name}", records: [
            (name: "{app}", type: "A", set_identifier: "primary", failover: "PRIMARY", health_check: "{}", {alias}),
            (name: "{app}", type: "A", set_identifier: "secondary", failover: "SECONDARY", {alias}),
            (name: "www.{name}", type: "CNAME", ttl: 300, values: ["{app}"]),
            (name: "api.{name}", type: "A", ttl: 60, values: ["192.0.2.1", "192.0.2.2"]),
            (name: "{name}", type: "MX", ttl: 3600, values: ["10 mail.{name}"]),
        ])"#,
        zone_id(draw),
        draw.name("check"),
    );
    let check = format!(
        r#"(id: "{0}", name: "{0}", fqdn: "{1}", port: 443, path: "/health", interval: 30, failure_threshold: 3)"#,
        draw.name("check"),
        balancer_name(draw)
    );
    (zone, check)
}

fn watch(_: &Draw) -> Vec<Call> {
    let change = Call::new("route53", EAST, "get_change", json!({ "Id": "{change}" })).busy("ChangeInfo.Status == 'PENDING'");
    vec![change, Call::new("route53", EAST, LIST, json!({ "HostedZoneId": "{zone}" }))]
}

fn change(action: &str, record: Value) -> Value {
    json!({ "Action": action, "ResourceRecordSet": record })
}

fn batch(changes: Vec<Value>) -> Value {
    json!({ "HostedZoneId": "{zone}", "ChangeBatch": { "Changes": changes } })
}

fn one(action: &str, record: Value) -> (&'static str, Value) {
    (EAST, batch(vec![change(action, record)]))
}

fn list(more: Value) -> (&'static str, Value) {
    (EAST, with(json!({ "HostedZoneId": "{zone}" }), more))
}

const LIST: &str = "list_resource_record_sets";
const CHANGE: &str = "change_resource_record_sets";

/// A batch, whose id is `{change}` from then on.
const fn changes(when: &'static str, make: fn(&mut Draw) -> (&'static str, Value)) -> Case {
    case(CHANGE, when, Change, make).keep("change", "ChangeInfo.Id")
}

const CASES: &[Case] = &[
    case("get_hosted_zone", "a zone", Look, |_| (EAST, json!({ "Id": "{zone}" }))),
    case("get_hosted_zone", "an unknown zone", Look, |_| (EAST, json!({ "Id": "Z0UNKNOWN" }))),
    case("list_hosted_zones_by_name", "a name", Look, |d| (EAST, json!({ "DNSName": zone_name(d), "MaxItems": "1" }))),
    case("list_hosted_zones_by_name", "a name in capitals", Look, |d| {
        (EAST, json!({ "DNSName": zone_name(d).to_uppercase(), "MaxItems": "1" }))
    }),
    case("list_hosted_zones_by_name", "after all names", Look, |_| (EAST, json!({ "DNSName": "zzz.zzz" }))),
    case("list_hosted_zones_by_name", "no page", Look, |_| (EAST, json!({ "MaxItems": "0" }))),
    case("list_hosted_zones_by_name", "a page that is no number", Look, |_| (EAST, json!({ "MaxItems": "few" }))),
    case(LIST, "all", Look, |_| list(json!({}))),
    case(LIST, "an unknown zone", Look, |_| (EAST, json!({ "HostedZoneId": "Z0UNKNOWN" }))),
    case(LIST, "from a name on", Look, |d| list(json!({ "StartRecordName": named(d, "app"), "MaxItems": "1" }))),
    case(LIST, "from a name in capitals on", Look, |d| list(json!({ "StartRecordName": named(d, "app").to_uppercase(), "MaxItems": "1" }))),
    case(LIST, "from a name and a type on", Look, |d| {
        list(json!({ "StartRecordName": named(d, "www"), "StartRecordType": "A", "MaxItems": "1" }))
    }),
    case(LIST, "from a name, a type and an identifier on", Look, |d| {
        let from =
            json!({ "StartRecordName": named(d, "app"), "StartRecordType": "A", "StartRecordIdentifier": "secondary", "MaxItems": "1" });
        list(from)
    }),
    case(LIST, "a type without a name", Look, |_| list(json!({ "StartRecordType": "A" }))),
    case(LIST, "an identifier without a type", Look, |d| {
        list(json!({ "StartRecordName": named(d, "app"), "StartRecordIdentifier": "primary" }))
    }),
    case("get_change", "an unknown change", Look, |_| (EAST, json!({ "Id": "C0UNKNOWN" }))),
    case("get_health_check", "a health check", Look, |_| (EAST, json!({ "HealthCheckId": "{check}" }))),
    case("get_health_check", "an unknown health check", Look, |_| {
        (EAST, json!({ "HealthCheckId": "00000000-0000-4000-8000-000000000000" }))
    }),
    case("get_health_check_status", "an unknown health check", Look, |_| {
        (EAST, json!({ "HealthCheckId": "00000000-0000-4000-8000-000000000000" }))
    }),
    changes("UPSERT of an alias that is there", |d| {
        let identifier = d.one_of(&[("primary", "PRIMARY"), ("secondary", "SECONDARY")]);
        one("UPSERT", alias(named(d, "app"), json!({ "SetIdentifier": identifier.0, "Failover": identifier.1 })))
    }),
    changes("UPSERT of a record that is there", |d| {
        let (ttl, value) = (d.number(0, 300), d.one_of(&["192.0.2.7", "192.0.2.1"]));
        one("UPSERT", plain(named(d, "api"), "A", ttl, &[value]))
    }),
    changes("UPSERT of a new record", |d| one("UPSERT", plain(named(d, "new"), "A", 60, &["192.0.2.9"]))),
    changes("UPSERT in capitals", |d| one("UPSERT", plain(named(d, "API").to_uppercase(), "A", 30, &["192.0.2.3"]))),
    changes("UPSERT with a final dot", |d| one("UPSERT", plain(format!("{}.", named(d, "api")), "A", 20, &["192.0.2.4"]))),
    changes("UPSERT of a weighted record", |d| {
        let weight = d.number(0, 255);
        one("UPSERT", with(plain(named(d, "some"), "A", 60, &["192.0.2.5"]), json!({ "SetIdentifier": "a", "Weight": weight })))
    }),
    changes("UPSERT of several records", |d| {
        (
            EAST,
            batch(vec![
                change("UPSERT", plain(named(d, "one"), "A", 60, &["192.0.2.1"])),
                change("UPSERT", plain(named(d, "two"), "TXT", 60, &["\"two\""])),
            ]),
        )
    }),
    changes("DELETE and CREATE of the same record", |d| {
        let old = plain(zone_name(d), "MX", 3600, &[&format!("10 mail.{}", zone_name(d))]);
        (EAST, batch(vec![change("DELETE", old.clone()), change("CREATE", old)]))
    }),
    changes("CREATE of a record that is there", |d| one("CREATE", plain(named(d, "www"), "CNAME", 300, &["elsewhere.example.com"]))),
    changes("DELETE of a record that is not there", |d| one("DELETE", plain(named(d, "nothing"), "A", 60, &["192.0.2.9"]))),
    changes("DELETE with other values", |d| one("DELETE", plain(zone_name(d), "MX", 3600, &["20 other.example.com"]))),
    changes("DELETE with another TTL", |d| one("DELETE", plain(zone_name(d), "MX", 60, &[&format!("10 mail.{}", zone_name(d))]))),
    changes("one bad record of two", |d| {
        let good = change("UPSERT", plain(named(d, "good"), "A", 60, &["192.0.2.1"]));
        (EAST, batch(vec![good, change("CREATE", plain(named(d, "www"), "CNAME", 300, &["elsewhere.example.com"]))]))
    }),
    changes("a name outside of the zone", |d| {
        let name = d.one_of(&["app.example.org", "com"]);
        one("UPSERT", plain(name.to_owned(), "A", 60, &["192.0.2.1"]))
    }),
    changes("a simple record beside failover records", |d| one("UPSERT", plain(named(d, "app"), "A", 60, &["192.0.2.1"]))),
    changes("a second PRIMARY", |d| one("UPSERT", alias(named(d, "app"), json!({ "SetIdentifier": "third", "Failover": "PRIMARY" })))),
    changes("a CNAME beside another record", |d| one("UPSERT", plain(named(d, "api"), "CNAME", 60, &["elsewhere.example.com"]))),
    changes("a CNAME at the apex", |d| one("UPSERT", plain(zone_name(d), "CNAME", 60, &["elsewhere.example.com"]))),
    changes("a routing policy without an identifier", |d| one("UPSERT", alias(named(d, "bare"), json!({ "Failover": "PRIMARY" })))),
    changes("an identifier without a routing policy", |d| {
        one("UPSERT", with(plain(named(d, "bare"), "A", 60, &["192.0.2.1"]), json!({ "SetIdentifier": "a" })))
    }),
    changes("an unknown role", |d| one("UPSERT", alias(named(d, "bare"), json!({ "SetIdentifier": "a", "Failover": "TERTIARY" })))),
    changes("an unknown action", |d| one("REPLACE", plain(named(d, "bare"), "A", 60, &["192.0.2.1"]))),
    changes("an unknown type", |d| one("UPSERT", plain(named(d, "bare"), "B", 60, &["192.0.2.1"]))),
    changes("an address that is none", |d| {
        let value = d.one_of(&["192.0.2", "localhost", "256.1.1.1"]);
        one("UPSERT", plain(named(d, "bare"), "A", 60, &[value]))
    }),
    changes("a TTL below nothing", |d| one("UPSERT", plain(named(d, "bare"), "A", -1, &["192.0.2.1"]))),
    changes("no TTL", |d| one("UPSERT", json!({ "Name": named(d, "bare"), "Type": "A", "ResourceRecords": [{ "Value": "192.0.2.1" }] }))),
    changes("neither values nor alias", |d| one("UPSERT", json!({ "Name": named(d, "bare"), "Type": "A" }))),
    changes("an alias with a TTL", |d| one("UPSERT", alias(named(d, "bare"), json!({ "TTL": 60 })))),
    changes("an alias to what is not there", |d| {
        let target =
            json!({ "DNSName": "nothing.us-east-1.elb.amazonaws.com", "HostedZoneId": "{balancer_zone}", "EvaluateTargetHealth": true });
        one("UPSERT", json!({ "Name": named(d, "bare"), "Type": "A", "AliasTarget": target }))
    }),
    changes("an alias with the zone of something else", |d| {
        let target = json!({ "DNSName": "{balancer}", "HostedZoneId": "Z0UNKNOWN", "EvaluateTargetHealth": true });
        one("UPSERT", json!({ "Name": named(d, "bare"), "Type": "A", "AliasTarget": target }))
    }),
    changes("an alias in its own zone", |d| {
        let target = json!({ "DNSName": named(d, "api"), "HostedZoneId": "{zone}", "EvaluateTargetHealth": false });
        one("UPSERT", json!({ "Name": named(d, "same"), "Type": "A", "AliasTarget": target }))
    }),
    changes("an unknown health check", |d| {
        let check = json!({ "SetIdentifier": "a", "Weight": 1, "HealthCheckId": "00000000-0000-4000-8000-000000000000" });
        one("UPSERT", with(plain(named(d, "bare"), "A", 60, &["192.0.2.1"]), check))
    }),
    changes("the same record twice", |d| {
        let record = change("CREATE", plain(named(d, "twice"), "A", 60, &["192.0.2.1"]));
        (EAST, batch(vec![record.clone(), record]))
    }),
    changes("no changes", |_| (EAST, batch(Vec::new()))),
    changes("more than 500 UPSERTs", |d| {
        let record = |n: usize| change("UPSERT", plain(named(d, &format!("n{n}")), "A", 60, &["192.0.2.1"]));
        (EAST, batch((0..501).map(record).collect()))
    }),
    changes("an unknown zone", |d| {
        let record = change("UPSERT", plain(named(d, "bare"), "A", 60, &["192.0.2.1"]));
        (EAST, json!({ "HostedZoneId": "Z0UNKNOWN", "ChangeBatch": { "Changes": [record] } }))
    }),
];
