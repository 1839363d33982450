//! What is mostly read: SNS, STS, load balancers, CloudWatch.

use serde_json::{Value, json};

use super::dns::{BALANCER_ZONE, balancer, balancer_name};
use super::sequence::{Call, Case, Draw, EAST, Subject, Use::*, WEST, case};

pub const TOPICS: Subject = Subject { service: "sns", cases: TOPIC_CASES, seed: seed_topics, watch: |_| Vec::new(), names: |_| json!({}) };
pub const CALLER: Subject =
    Subject { service: "sts", cases: CALLER_CASES, seed: |_| Vec::new(), watch: |_| Vec::new(), names: |_| json!({}) };
pub const BALANCERS: Subject =
    Subject { service: "elbv2", cases: BALANCER_CASES, seed: seed_balancers, watch: |_| Vec::new(), names: balancer_names };
pub const METRICS: Subject =
    Subject { service: "cloudwatch", cases: METRIC_CASES, seed: |_| Vec::new(), watch: |_| Vec::new(), names: |_| json!({}) };

/// The topic that the simulator has of a sequence.
pub fn topic(draw: &Draw) -> String {
    draw.name("alerts")
}

fn topic_arn(draw: &Draw, region: &str, name: &str) -> String {
    format!("arn:aws:sns:{region}:{}:{name}", draw.account)
}

fn seed_topics(draw: &Draw) -> Vec<Call> {
    vec![Call::new("sns", EAST, "create_topic", json!({ "Name": topic(draw) }))]
}

fn publish(draw: &Draw, more: Value) -> (&'static str, Value) {
    let mut params = json!({ "TopicArn": topic_arn(draw, EAST, &topic(draw)), "Message": "failover" });
    params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    (EAST, params)
}

const PUBLISH: &str = "publish";

const TOPIC_CASES: &[Case] = &[
    case("list_topics", "all", All, |_| (EAST, json!({}))),
    case("get_topic_attributes", "a topic", Look, |d| (EAST, json!({ "TopicArn": topic_arn(d, EAST, &topic(d)) }))),
    case("get_topic_attributes", "an unknown topic", Look, |d| (EAST, json!({ "TopicArn": topic_arn(d, EAST, "unknown") }))),
    case("get_topic_attributes", "a name that is no ARN", Look, |d| (EAST, json!({ "TopicArn": topic(d) }))),
    case("get_topic_attributes", "no topic", Look, |_| (EAST, json!({}))),
    case("create_topic", "a topic that is there", Change, |d| (EAST, json!({ "Name": topic(d) }))),
    case("create_topic", "a new topic", Change, |d| (EAST, json!({ "Name": d.name("new") }))),
    case("create_topic", "a name that is none", Change, |d| {
        let name = d.one_of(&["with space", "with/slash", "with.dot"]);
        (EAST, json!({ "Name": d.name(name) }))
    }),
    case("create_topic", "a name of more than 256 letters", Change, |d| (EAST, json!({ "Name": d.name(&"n".repeat(257)) }))),
    case("create_topic", "no name", Change, |_| (EAST, json!({}))),
    case(PUBLISH, "a message", Change, |d| publish(d, json!({ "Subject": "DR failover" }))),
    case(PUBLISH, "an empty message", Change, |d| publish(d, json!({ "Message": "" }))),
    case(PUBLISH, "a message that is too long", Change, |d| publish(d, json!({ "Message": "m".repeat(262_145) }))),
    case(PUBLISH, "a subject of more than 100 letters", Change, |d| publish(d, json!({ "Subject": "s".repeat(101) }))),
    case(PUBLISH, "a subject of two lines", Change, |d| publish(d, json!({ "Subject": "one\ntwo" }))),
    case(PUBLISH, "an empty subject", Change, |d| publish(d, json!({ "Subject": "" }))),
    case(PUBLISH, "an unknown topic", Change, |d| publish(d, json!({ "TopicArn": topic_arn(d, EAST, "unknown") }))),
    case(PUBLISH, "a topic of another region", Change, |d| (WEST, publish(d, json!({ "TopicArn": topic_arn(d, WEST, &topic(d)) })).1)),
    case(PUBLISH, "a name that is no ARN", Change, |d| publish(d, json!({ "TopicArn": topic(d) }))),
    case(PUBLISH, "no topic", Change, |_| (EAST, json!({ "Message": "failover" }))),
];

const CALLER_CASES: &[Case] = &[
    case("get_caller_identity", "any", Look, |_| (WEST, json!({}))),
    case("assume_role", "a role", Look, |d| {
        let role = format!("arn:aws:iam::{}:role/failover", d.account);
        (WEST, json!({ "RoleArn": role, "RoleSessionName": d.name("session") }))
    }),
    case("assume_role", "a name that is no ARN", Look, |d| (WEST, json!({ "RoleArn": "failover", "RoleSessionName": d.name("session") }))),
    case("assume_role", "no session name", Look, |d| (WEST, json!({ "RoleArn": format!("arn:aws:iam::{}:role/failover", d.account) }))),
    case("assume_role", "a session name that is none", Look, |d| {
        (WEST, json!({ "RoleArn": format!("arn:aws:iam::{}:role/failover", d.account), "RoleSessionName": "with space" }))
    }),
    case("assume_role", "a minute", Look, |d| {
        let role = format!("arn:aws:iam::{}:role/failover", d.account);
        (WEST, json!({ "RoleArn": role, "RoleSessionName": d.name("session"), "DurationSeconds": 60 }))
    }),
];

fn seed_balancers(draw: &Draw) -> Vec<Call> {
    let mut calls = balancer(draw);
    let target = json!({ "Name": draw.name("targets"), "Protocol": "HTTP", "Port": 80, "VpcId": "{vpc}", "HealthCheckPath": "/health", "HealthyThresholdCount": 2 });
    let action = json!([{ "Type": "forward", "TargetGroupArn": "{targets}" }]);
    let listener = json!({ "LoadBalancerArn": "{balancer_arn}", "Protocol": "HTTP", "Port": 80, "DefaultActions": action });
    calls.extend([
        Call::new("ec2", EAST, "describe_subnets", json!({})).keep("vpc", "Subnets[0].VpcId"),
        Call::new("elbv2", EAST, "create_target_group", target).keep("targets", "TargetGroups[0].TargetGroupArn"),
        Call::new("elbv2", EAST, "create_listener", listener),
    ]);
    calls
}

fn balancer_names(draw: &Draw) -> Value {
    json!({ "balancer": balancer_name(draw), "balancer_zone": BALANCER_ZONE })
}

/// What the simulator has of the load balancers of a sequence: balancer and target group.
pub fn simulated_balancer(draw: &Draw) -> (String, String) {
    let (name, targets) = (draw.name("balancer"), draw.name("targets"));
    let dns = balancer_name(draw);
    (format!(r#"(name: "{name}", dns_name: "{dns}", zone_id: "{BALANCER_ZONE}", target_groups: ["{targets}"])"#), format!("{targets:?}"))
}

fn no_arn(draw: &Draw, what: &str) -> String {
    format!("arn:aws:elasticloadbalancing:us-east-1:{}:{what}/unknown/0123456789abcdef", draw.account)
}

const BALANCER_CASES: &[Case] = &[
    case("describe_load_balancers", "by name", Look, |d| (EAST, json!({ "Names": [d.name("balancer")] })))
        .keep("balancer_arn", "LoadBalancers[0].LoadBalancerArn"),
    case("describe_load_balancers", "a known and an unknown name", Look, |d| {
        (EAST, json!({ "Names": [d.name("balancer"), d.name("unknown")] }))
    }),
    case("describe_load_balancers", "an unknown ARN", Look, |d| (EAST, json!({ "LoadBalancerArns": [no_arn(d, "loadbalancer/app")] }))),
    case("describe_target_groups", "by name", Look, |d| (EAST, json!({ "Names": [d.name("targets")] })))
        .keep("targets", "TargetGroups[0].TargetGroupArn"),
    case("describe_target_groups", "an unknown name", Look, |d| (EAST, json!({ "Names": [d.name("unknown")] }))),
    case("describe_target_groups", "of an unknown load balancer", Look, |d| {
        (EAST, json!({ "LoadBalancerArn": no_arn(d, "loadbalancer/app") }))
    }),
    case("describe_listeners", "of an unknown load balancer", Look, |d| {
        (EAST, json!({ "LoadBalancerArn": no_arn(d, "loadbalancer/app") }))
    }),
    case("describe_listener_certificates", "an unknown listener", Look, |d| {
        (EAST, json!({ "ListenerArn": format!("{}/0123456789abcdef", no_arn(d, "listener/app")) }))
    }),
    case("describe_target_health", "an unknown target group", Look, |d| (EAST, json!({ "TargetGroupArn": no_arn(d, "targetgroup") }))),
    case("describe_target_health", "a name that is no ARN", Look, |d| (EAST, json!({ "TargetGroupArn": d.name("targets") }))),
    case("describe_target_health", "no target group", Look, |_| (EAST, json!({}))),
];

fn statistics(more: Value) -> (&'static str, Value) {
    let mut params = json!({
        "Namespace": "AWS/RDS", "MetricName": "ReplicaLag", "Dimensions": [{ "Name": "DBInstanceIdentifier", "Value": "unknown" }],
        "StartTime": "2026-03-14T03:00:00Z", "EndTime": "2026-03-14T03:10:00Z", "Period": 60, "Statistics": ["Average"],
    });
    for (name, value) in more.as_object().unwrap() {
        match value {
            Value::Null => params.as_object_mut().unwrap().remove(name),
            value => params.as_object_mut().unwrap().insert(name.clone(), value.clone()),
        };
    }
    (EAST, params)
}

const STATISTICS: &str = "get_metric_statistics";

const METRIC_CASES: &[Case] = &[
    case(STATISTICS, "an unknown instance", Look, |_| statistics(json!({}))),
    case(STATISTICS, "an end before the start", Look, |_| statistics(json!({ "EndTime": "2026-03-14T02:00:00Z" }))),
    case(STATISTICS, "a period of 90 s", Look, |_| statistics(json!({ "Period": 90 }))),
    case(STATISTICS, "no period at all", Look, |_| statistics(json!({ "Period": null }))),
    case(STATISTICS, "a period of nothing", Look, |_| statistics(json!({ "Period": 0 }))),
    case(STATISTICS, "too many points", Look, |_| statistics(json!({ "StartTime": "2026-03-01T03:00:00Z" }))),
    case(STATISTICS, "an unknown statistic", Look, |_| statistics(json!({ "Statistics": ["Mean"] }))),
    case(STATISTICS, "no statistic", Look, |_| statistics(json!({ "Statistics": null }))),
    case(STATISTICS, "no start", Look, |_| statistics(json!({ "StartTime": null }))),
    case("get_metric_data", "an unknown instance", Look, |_| {
        let metric = json!({ "Namespace": "AWS/RDS", "MetricName": "ReplicaLag", "Dimensions": [{ "Name": "DBInstanceIdentifier", "Value": "unknown" }] });
        let query = json!({ "Id": "lag", "MetricStat": { "Metric": metric, "Period": 60, "Stat": "Average" } });
        (EAST, json!({ "MetricDataQueries": [query], "StartTime": "2026-03-14T03:00:00Z", "EndTime": "2026-03-14T03:10:00Z" }))
    }),
];
