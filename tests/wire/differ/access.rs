//! KMS's keys, and IAM's roles with what they may do.

use serde_json::{Value, json};

use super::sequence::{Call, Case, Draw, EAST, Subject, Use::*, WEST, case};

pub const KEYS: Subject = Subject { service: "kms", cases: KEY_CASES, seed: seed_keys, watch: |_| Vec::new(), names };
pub const ROLES: Subject = Subject { service: "iam", cases: ROLE_CASES, seed: seed_role, watch: |_| Vec::new(), names: |_| json!({}) };

/// The ids of the keys in the simulator.
fn names(draw: &Draw) -> Value {
    let id = |which: u8| format!("{which:08}-0000-4000-8000-{:012}", draw.number);
    json!({ "key": id(1), "disabled": id(2), "deleted": id(3) })
}

fn alias(draw: &Draw) -> String {
    format!("alias/{}", draw.name("db"))
}

fn seed_keys(draw: &Draw) -> Vec<Call> {
    let kms = |operation, params| Call::new("kms", EAST, operation, params);
    vec![
        kms("create_key", json!({})).keep("key", "KeyMetadata.KeyId"),
        kms("create_alias", json!({ "AliasName": alias(draw), "TargetKeyId": "{key}" })),
        kms("create_key", json!({})).keep("disabled", "KeyMetadata.KeyId"),
        kms("disable_key", json!({ "KeyId": "{disabled}" })),
        kms("create_key", json!({})).keep("deleted", "KeyMetadata.KeyId"),
        kms("schedule_key_deletion", json!({ "KeyId": "{deleted}", "PendingWindowInDays": 7 })),
    ]
}

/// What the simulator has of the keys of a sequence.
pub fn simulated_keys(draw: &Draw) -> String {
    let names = names(draw);
    let [key, disabled, deleted] = ["key", "disabled", "deleted"].map(|name| names[name].as_str().unwrap());
    let alias = alias(draw);
    format!(r#"(id: "{key}", alias: "{alias}"), (id: "{disabled}", state: "Disabled"), (id: "{deleted}", state: "PendingDeletion")"#)
}

fn key(id: impl Into<String>) -> (&'static str, Value) {
    (EAST, json!({ "KeyId": id.into() }))
}

const UNKNOWN: &str = "12345678-1234-1234-1234-123456789012";

const KEY_CASES: &[Case] = &[
    case("describe_key", "a key by its id", Look, |_| key("{key}")),
    case("describe_key", "a key by its ARN", Look, |d| key(format!("arn:aws:kms:{EAST}:{}:key/{{key}}", d.account))),
    case("describe_key", "a key by its alias", Look, |d| key(alias(d))),
    case("describe_key", "a key that is disabled", Look, |_| key("{disabled}")),
    case("describe_key", "a key that is to be deleted", Look, |_| key("{deleted}")),
    case("describe_key", "an unknown key", Look, |_| key(UNKNOWN)),
    case("describe_key", "an unknown alias", Look, |d| key(format!("alias/{}", d.name("unknown")))),
    case("describe_key", "an unknown ARN", Look, |d| key(format!("arn:aws:kms:{EAST}:{}:key/{UNKNOWN}", d.account))),
    case("describe_key", "in another region", Look, |_| (WEST, json!({ "KeyId": "{key}" }))),
];

fn role_arn(draw: &Draw, role: &str) -> String {
    format!("arn:aws:iam::{}:role/{}", draw.account, draw.name(role))
}

fn seed_role(draw: &Draw) -> Vec<Call> {
    let iam = |operation, params| Call::new("iam", EAST, operation, params);
    let statement = |more: Value| {
        let mut statement = json!({ "Effect": "Allow" });
        statement.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "Version": "2012-10-17", "Statement": [statement] }).to_string()
    };
    let trust = statement(json!({ "Principal": { "Service": "ec2.amazonaws.com" }, "Action": "sts:AssumeRole" }));
    let policy = statement(json!({ "Action": "*", "Resource": "*" }));
    vec![
        iam("create_role", json!({ "RoleName": draw.name("on-call"), "AssumeRolePolicyDocument": trust })),
        iam("put_role_policy", json!({ "RoleName": draw.name("on-call"), "PolicyName": "all", "PolicyDocument": policy })),
    ]
}

fn simulate(draw: &Draw, source: String, more: Value) -> (&'static str, Value) {
    let resource = format!("arn:aws:rds:{WEST}:{}:db:replica", draw.account);
    let actions = ["rds:PromoteReadReplica", "rds:DescribeDBInstances"];
    let mut params = json!({ "PolicySourceArn": source, "ActionNames": actions, "ResourceArns": [resource] });
    params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    (EAST, params)
}

const SIMULATE: &str = "simulate_principal_policy";
/// moto has no simulator of policies.
const HERE: &str = "ministack";

const ROLE_CASES: &[Case] = &[
    case("get_role", "a role", Look, |d| (EAST, json!({ "RoleName": d.name("on-call") }))),
    case("get_role", "an unknown role", Look, |d| (EAST, json!({ "RoleName": d.name("unknown") }))),
    case("get_role", "a name that is none", Look, |_| (EAST, json!({ "RoleName": "on call" }))),
    case(SIMULATE, "a role that may do everything", Look, |d| simulate(d, role_arn(d, "on-call"), json!({}))).on(HERE),
    case(SIMULATE, "on no resource in particular", Look, |d| {
        let (region, mut params) = simulate(d, role_arn(d, "on-call"), json!({}));
        params.as_object_mut().unwrap().remove("ResourceArns");
        (region, params)
    })
    .on(HERE),
    case(SIMULATE, "one answer at a time", Look, |d| simulate(d, role_arn(d, "on-call"), json!({ "MaxItems": 1 }))).on(HERE),
    case(SIMULATE, "an unknown role", Look, |d| simulate(d, role_arn(d, "unknown"), json!({}))).on(HERE),
    case(SIMULATE, "an unknown user", Look, |d| simulate(d, format!("arn:aws:iam::{}:user/{}", d.account, d.name("unknown")), json!({})))
        .on(HERE),
    case(SIMULATE, "the root user", Look, |d| simulate(d, format!("arn:aws:iam::{}:root", d.account), json!({}))).on(HERE),
    case(SIMULATE, "an action of no service", Look, |d| {
        simulate(d, role_arn(d, "on-call"), json!({ "ActionNames": ["PromoteReadReplica"] }))
    }),
];
