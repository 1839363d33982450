//! Two answers to the same call, field by field: what a server tells and the simulator never does is left out, and what each makes up.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::rules::like;

/// What is not compared: the operation, the field, and why not.
const IGNORED: &[(&str, &str, &str)] = &[
    ("*", "*Time", "the worlds are not of the same age"),
    ("*", "*Date", "the worlds are not of the same age"),
    ("*", "*.createdAt", "the worlds are not of the same age"),
    ("*", "*.modifiedAt", "the worlds are not of the same age"),
    ("*", "*.SubmittedAt", "the worlds are not of the same age"),
    ("*", "*.id", "made up; what is called {name} is compared"),
    ("*", "*Id", "made up; what is called {name} is compared"),
    ("*", "*Token", "made up"),
    ("*", "Credentials.*", "made up"),
    ("*", "*.CallerReference", "a world file has none"),
    ("*", "*.Endpoint*", "made up"),
    ("*", "*.endpoint", "made up"),
    ("*", "*.certificateAuthority*", "made up"),
    ("*", "*.AutoScalingGroupARN", "holds an id"),
    ("*", "*.nodegroupArn", "holds an id"),
    ("*", "*.resources.autoScalingGroups*", "holds an id"),
    ("*", "*Groups[].Instances*", "instances are counted, their ids are made up"),
    ("*", "*ResourceRecordSets[NS]*", "the name servers are made up"),
    ("*", "*ResourceRecordSets[SOA]*", "the name servers are made up"),
    ("*", "*.PreferredBackupWindow", "AWS chooses it"),
    ("*", "*.PreferredMaintenanceWindow", "AWS chooses it"),
    ("*", "*.AvailabilityZone", "AWS chooses it"),
    ("*", "*.platformVersion", "AWS chooses it"),
    ("*", "*.VPCZoneIdentifier", "holds ids"),
    ("*", "*.subnets*", "holds ids"),
    ("*", "*.CreatedBy", "another caller"),
    ("*", "*.QuotaArn", "nobody's, or the account's"),
    ("describe_target_groups", "*.LoadBalancerArns*", "holds an id"),
    ("get_caller_identity", "Arn", "another caller"),
    ("list_hosted_zones_by_name", "NextDNSName", "another sequence's"),
    ("list_hosted_zones_by_name", "IsTruncated", "another sequence's zone may not be there yet"),
];

/// Where two answers differ: the field, what the simulator has, what the server has.
pub type Differing = (String, String, String);

/// Which fields the simulator tells, by operation.
#[derive(Default)]
pub struct Shapes(BTreeMap<String, BTreeSet<String>>);

impl Shapes {
    /// Learns from an answer of the simulator.
    pub fn learn(&mut self, operation: &str, answer: &Value) {
        fields(answer, "", self.0.entry(operation.to_owned()).or_default());
    }

    /// Compares two answers that are in order.
    pub fn compare(&self, operation: &str, simulator: &Value, server: &Value) -> Vec<Differing> {
        let mut found = Vec::new();
        self.differ(operation, "", Some(simulator), Some(server), &mut found);
        found
    }

    fn differ(&self, operation: &str, path: &str, a: Option<&Value>, b: Option<&Value>, found: &mut Vec<Differing>) {
        if !self.0.get(operation).is_some_and(|known| known.contains(path)) || is_ignored(operation, path) {
            return;
        }
        match (a, b) {
            (Some(Value::Object(a)), Some(Value::Object(b))) => {
                let names: BTreeSet<_> = a.keys().chain(b.keys()).collect();
                names.into_iter().for_each(|name| self.differ(operation, &below(path, name), a.get(name), b.get(name), found));
            }
            (a, b) if a == b => {}
            (a, b) => found.push((path.to_owned(), shown(a), shown(b))),
        }
    }
}

fn is_ignored(operation: &str, path: &str) -> bool {
    IGNORED.iter().any(|(at, field, _)| like(at, operation) && like(field, path))
}

fn shown(value: Option<&Value>) -> String {
    let text = match value {
        None => "nothing".to_owned(),
        Some(Value::Object(_)) => "there".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    text.chars().take(80).collect()
}

/// The path of a field; an element of a list counts for all, but the kinds of records are told apart.
fn below(path: &str, name: &str) -> String {
    let kind = name.strip_prefix('[').and_then(|key| key.trim_end_matches(']').split(' ').nth(1));
    match kind {
        Some(kind @ ("NS" | "SOA")) => format!("{path}[{kind}]"),
        _ if name.starts_with('[') => format!("{path}[]"),
        _ if path.is_empty() => name.to_owned(),
        _ => format!("{path}.{name}"),
    }
}

fn fields(value: &Value, path: &str, known: &mut BTreeSet<String>) {
    known.insert(path.to_owned());
    if let Value::Object(parts) = value {
        parts.iter().for_each(|(name, part)| fields(part, &below(path, name), known));
    }
}

/// What the elements of lists are known by.
const KEYS: [&str; 14] = [
    "DBInstanceIdentifier",
    "DBSnapshotIdentifier",
    "AutoScalingGroupName",
    "LoadBalancerName",
    "TargetGroupName",
    "TopicArn",
    "StatusType",
    "Key",
    "Name",
    "name",
    "type",
    "Value",
    "Id",
    "InstanceId",
];

/// Lists whose order AWS promises.
const ORDERED: [&str; 2] = ["ResourceRecordSets", "HostedZones"];

/// Brings an answer in order: lists become maps by what their elements are known by, without the elements of other sequences; what is
/// empty is left out.
pub fn in_order(value: &Value, sequence: usize) -> Value {
    match value {
        Value::Object(parts) => {
            let mut ordered = Map::new();
            for (name, part) in parts {
                let inner = in_order(part, sequence);
                if ORDERED.contains(&name.as_str())
                    && let Value::Object(elements) = &inner
                {
                    let order: Vec<_> =
                        part.as_array().into_iter().flatten().map(|e| key(e, 0)).filter(|k| elements.contains_key(k)).collect();
                    ordered.insert(format!("order of {name}"), json!(order.join(" ")));
                }
                if name == "Instances" {
                    ordered.insert("number of Instances".to_owned(), json!(part.as_array().map_or(0, Vec::len)));
                }
                if !is_empty(&inner) {
                    ordered.insert(name.clone(), inner);
                }
            }
            Value::Object(ordered)
        }
        Value::Array(elements) => {
            let mine = elements.iter().filter(|element| is_of(element, sequence));
            let keyed = mine.enumerate().map(|(n, element)| (key(element, n), in_order(element, sequence)));
            let ordered: BTreeMap<_, _> = keyed.collect();
            Value::Object(ordered.into_iter().collect())
        }
        plain => plain.clone(),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(parts) => parts.is_empty(),
        Value::Object(parts) => parts.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

fn key(element: &Value, number: usize) -> String {
    let record = |field: &str| element[field].as_str().unwrap_or_default();
    if element.get("Type").is_some() && element.get("Name").is_some() {
        return format!("[{} {} {}]", record("Name"), record("Type"), record("SetIdentifier"));
    }
    let known = KEYS.iter().find_map(|name| element.get(name).and_then(Value::as_str));
    format!("[{}]", known.or(element.as_str()).map_or_else(|| number.to_string(), ToOwned::to_owned))
}

/// Reports whether an element is of no other sequence, as names have the number of theirs.
fn is_of(element: &Value, sequence: usize) -> bool {
    let key = key(element, 0).to_lowercase();
    let numbers = key.split('w').skip(1).filter_map(|rest| rest.split_once('-')).filter_map(|(number, _)| number.parse::<usize>().ok());
    numbers.into_iter().all(|number| number == sequence)
}
