//! Auto Scaling groups and node groups: their sizes, and what cannot be one.

use serde_json::{Value, json};

use super::sequence::{Call, Case, Draw, EAST, Subject, Use::*, case};

pub const GROUPS: Subject =
    Subject { service: "autoscaling", cases: GROUP_CASES, seed: seed_groups, watch: watch_groups, names: |_| json!({}) };
pub const NODES: Subject = Subject { service: "eks", cases: NODE_CASES, seed: seed_nodes, watch: watch_nodes, names: |_| json!({}) };

fn group(draw: &Draw) -> String {
    draw.name("group")
}

fn other(draw: &Draw) -> String {
    draw.name("other")
}

fn seed_groups(draw: &Draw) -> Vec<Call> {
    let template = draw.name("template");
    let data = json!({ "ImageId": "ami-0abcdef1234567890", "InstanceType": "m5.large" });
    let mut calls =
        vec![Call::new("ec2", EAST, "create_launch_template", json!({ "LaunchTemplateName": template, "LaunchTemplateData": data }))];
    for name in [group(draw), other(draw)] {
        let params = json!({
            "AutoScalingGroupName": name, "LaunchTemplate": { "LaunchTemplateName": template, "Version": "$Latest" }, "MinSize": 1, "MaxSize": 6,
            "DesiredCapacity": 2, "AvailabilityZones": ["us-east-1a", "us-east-1b", "us-east-1c"],
        });
        calls.push(Call::new("autoscaling", EAST, "create_auto_scaling_group", params));
    }
    calls
}

/// What the simulator has of a sequence.
pub fn simulated_groups(draw: &Draw) -> String {
    let template = draw.name("template");
    let group =
        |name| format!(r#"(name: "{name}", min: 1, max: 6, desired: 2, instance_type: "m5.large", launch_template: Some("{template}"))"#);
    format!("{}, {}", group(group_name(draw)), group(other(draw)))
}

fn group_name(draw: &Draw) -> String {
    group(draw)
}

fn watch_groups(draw: &Draw) -> Vec<Call> {
    let params = json!({ "AutoScalingGroupNames": [group(draw), other(draw)] });
    let busy =
        "AutoScalingGroups[?length(Instances[?LifecycleState=='InService']) != DesiredCapacity || length(Instances) != DesiredCapacity]";
    vec![Call::new("autoscaling", EAST, "describe_auto_scaling_groups", params).busy(busy)]
}

fn sized(name: String, more: Value) -> (&'static str, Value) {
    let mut params = json!({ "AutoScalingGroupName": name });
    params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    (EAST, params)
}

const SHOW: &str = "describe_auto_scaling_groups";
const TELL: &str = "describe_scaling_activities";
const UPDATE: &str = "update_auto_scaling_group";
const SET: &str = "set_desired_capacity";

const GROUP_CASES: &[Case] = &[
    case(SHOW, "two groups", Look, |d| (EAST, json!({ "AutoScalingGroupNames": [group(d), other(d)] }))),
    case(SHOW, "a known and an unknown group", Look, |d| (EAST, json!({ "AutoScalingGroupNames": [d.name("unknown"), other(d)] }))),
    case(SHOW, "an unknown group", Look, |d| (EAST, json!({ "AutoScalingGroupNames": [d.name("unknown")] }))),
    case(SHOW, "in capitals", Look, |d| (EAST, json!({ "AutoScalingGroupNames": [group(d).to_uppercase()] }))),
    case(SHOW, "a page of one", Look, |d| (EAST, json!({ "AutoScalingGroupNames": [group(d), other(d)], "MaxRecords": 1 }))),
    case(SHOW, "no page", Look, |d| (EAST, json!({ "AutoScalingGroupNames": [group(d)], "MaxRecords": 0 }))),
    case(SHOW, "a page of more than 100", Look, |d| (EAST, json!({ "AutoScalingGroupNames": [group(d)], "MaxRecords": 101 }))),
    case(SHOW, "an invalid token", Look, |d| (EAST, json!({ "AutoScalingGroupNames": [group(d)], "NextToken": "nonsense" }))),
    case(TELL, "an unknown group", Look, |d| (EAST, json!({ "AutoScalingGroupName": d.name("unknown") }))),
    case(TELL, "an unknown activity", Look, |d| {
        (EAST, json!({ "AutoScalingGroupName": group(d), "ActivityIds": ["00000000-0000-4000-8000-000000000000"] }))
    }),
    case(UPDATE, "all three sizes", Change, |d| {
        let (min, max) = (d.number(0, 3), d.number(4, 8));
        let desired = d.number(min, max);
        sized(group(d), json!({ "MinSize": min, "MaxSize": max, "DesiredCapacity": desired }))
    }),
    case(UPDATE, "the desired size", Change, |d| {
        let desired = d.number(3, 4);
        sized(group(d), json!({ "DesiredCapacity": desired }))
    }),
    case(UPDATE, "a minimum above the desired size", Change, |d| sized(other(d), json!({ "MinSize": 4, "MaxSize": 8 }))),
    case(UPDATE, "a maximum below the desired size", Change, |d| sized(other(d), json!({ "MinSize": 0, "MaxSize": 1 }))),
    case(UPDATE, "a maximum of nothing", Change, |d| sized(other(d), json!({ "MinSize": 0, "MaxSize": 0 }))),
    case(UPDATE, "nothing", Change, |d| sized(group(d), json!({}))),
    case(UPDATE, "a minimum above the maximum", Change, |d| {
        let min = d.number(5, 9);
        sized(group(d), json!({ "MinSize": min, "MaxSize": 4 }))
    }),
    case(UPDATE, "only a minimum, above the maximum", Change, |d| sized(group(d), json!({ "MinSize": 50 }))),
    case(UPDATE, "a desired size above the maximum", Change, |d| {
        let desired = d.number(9, 20);
        sized(group(d), json!({ "MaxSize": 8, "DesiredCapacity": desired }))
    }),
    case(UPDATE, "a desired size below the minimum", Change, |d| {
        sized(group(d), json!({ "MinSize": 3, "MaxSize": 8, "DesiredCapacity": 2 }))
    }),
    case(UPDATE, "a negative size", Change, |d| sized(group(d), json!({ "MinSize": -1 }))),
    case(UPDATE, "a size that is no number", Change, |d| sized(group(d), json!({ "MinSize": "few" }))),
    case(UPDATE, "an unknown group", Change, |d| sized(d.name("unknown"), json!({ "MinSize": 1 }))),
    case(UPDATE, "no group", Change, |_| (EAST, json!({ "MinSize": 1 }))),
    case(SET, "within the limits", Change, |d| {
        let desired = d.number(3, 4);
        sized(group(d), json!({ "DesiredCapacity": desired }))
    }),
    case(SET, "above the maximum", Change, |d| {
        let desired = d.number(9, 20);
        sized(group(d), json!({ "DesiredCapacity": desired }))
    }),
    case(SET, "a negative size", Change, |d| sized(group(d), json!({ "DesiredCapacity": -1 }))),
    case(SET, "no size", Change, |d| sized(group(d), json!({}))),
    case(SET, "a size that is no number", Change, |d| sized(group(d), json!({ "DesiredCapacity": "few" }))),
    case(SET, "an unknown group", Change, |d| sized(d.name("unknown"), json!({ "DesiredCapacity": 1 }))),
    case(SET, "no group", Change, |_| (EAST, json!({ "DesiredCapacity": 1 }))),
];

fn cluster(draw: &Draw) -> String {
    draw.name("cluster")
}

fn seed_nodes(draw: &Draw) -> Vec<Call> {
    let role = "arn:aws:iam::123456789012:role/eks";
    let subnets = ["{subnet}", "{other_subnet}"];
    vec![
        Call::new("ec2", EAST, "describe_subnets", json!({}))
            .keep("subnet", "Subnets[0].SubnetId")
            .keep("other_subnet", "Subnets[1].SubnetId"),
        Call::new(
            "eks",
            EAST,
            "create_cluster",
            json!({ "name": cluster(draw), "version": "1.28", "roleArn": role, "resourcesVpcConfig": { "subnetIds": subnets } }),
        ),
        Call::new(
            "eks",
            EAST,
            "create_nodegroup",
            json!({
                "clusterName": cluster(draw), "nodegroupName": "general", "subnets": subnets, "nodeRole": role, "instanceTypes": ["m5.xlarge"],
                "scalingConfig": { "minSize": 1, "maxSize": 6, "desiredSize": 2 },
            }),
        ),
    ]
}

/// What the simulator has of a sequence.
pub fn simulated_nodes(draw: &Draw) -> String {
    format!(
        r#"(name: "{}", version: "1.28", nodegroups: [(name: "general", min: 1, max: 6, desired: 2, instance_type: "m5.xlarge")])"#,
        cluster(draw)
    )
}

fn watch_nodes(draw: &Draw) -> Vec<Call> {
    let params = json!({ "clusterName": cluster(draw), "nodegroupName": "general" });
    vec![Call::new("eks", EAST, "describe_nodegroup", params).busy("nodegroup.status != 'ACTIVE'")]
}

fn scaled(draw: &Draw, sizes: Value) -> (&'static str, Value) {
    (EAST, json!({ "clusterName": cluster(draw), "nodegroupName": "general", "scalingConfig": sizes }))
}

const CONFIG: &str = "update_nodegroup_config";

const NODE_CASES: &[Case] = &[
    case("list_clusters", "all", All, |_| (EAST, json!({}))),
    case("describe_cluster", "a cluster", Look, |d| (EAST, json!({ "name": cluster(d) }))),
    case("describe_cluster", "an unknown cluster", Look, |d| (EAST, json!({ "name": d.name("unknown") }))),
    case("describe_cluster", "in capitals", Look, |d| (EAST, json!({ "name": cluster(d).to_uppercase() }))),
    case("list_addons", "a cluster", Look, |d| (EAST, json!({ "clusterName": cluster(d) }))),
    case("list_addons", "an unknown cluster", Look, |d| (EAST, json!({ "clusterName": d.name("unknown") }))),
    case("list_nodegroups", "a cluster", Look, |d| (EAST, json!({ "clusterName": cluster(d) }))),
    case("list_nodegroups", "an unknown cluster", Look, |d| (EAST, json!({ "clusterName": d.name("unknown") }))),
    case("describe_nodegroup", "an unknown node group", Look, |d| (EAST, json!({ "clusterName": cluster(d), "nodegroupName": "unknown" }))),
    case("describe_nodegroup", "an unknown cluster", Look, |d| (EAST, json!({ "clusterName": d.name("unknown"), "nodegroupName": "general" }))),
    case(CONFIG, "all three sizes", Change, |d| {
        let (min, max) = (d.number(0, 3), d.number(4, 8));
        let desired = d.number(min, max);
        scaled(d, json!({ "minSize": min, "maxSize": max, "desiredSize": desired }))
    })
    .keep("update", "update.id")
    .on("moto"),
    case(CONFIG, "the desired size", Change, |d| scaled(d, json!({ "desiredSize": 4 }))).keep("update", "update.id").on("moto"),
    case(CONFIG, "with a token", Change, |d| {
        let (region, mut params) = scaled(d, json!({ "minSize": 1, "maxSize": 6, "desiredSize": 3 }));
        params["clientRequestToken"] = json!(d.name("token"));
        (region, params)
    })
    .keep("update", "update.id")
    .on("moto"),
    case(CONFIG, "no sizes", Change, |d| (EAST, json!({ "clusterName": cluster(d), "nodegroupName": "general" }))).on("moto"),
    case(CONFIG, "a minimum above the maximum", Change, |d| scaled(d, json!({ "minSize": 5, "maxSize": 4, "desiredSize": 5 }))).on("moto"),
    case(CONFIG, "a desired size above the maximum", Change, |d| scaled(d, json!({ "minSize": 1, "maxSize": 4, "desiredSize": 5 }))).on("moto"),
    case(CONFIG, "a desired size below the minimum", Change, |d| scaled(d, json!({ "minSize": 3, "maxSize": 4, "desiredSize": 2 }))).on("moto"),
    case(CONFIG, "a maximum of nothing", Change, |d| scaled(d, json!({ "minSize": 0, "maxSize": 0, "desiredSize": 0 }))).on("moto"),
    case(CONFIG, "a negative size", Change, |d| scaled(d, json!({ "minSize": -1, "maxSize": 4, "desiredSize": 2 }))).on("moto"),
    case(CONFIG, "a size that is no number", Change, |d| scaled(d, json!({ "minSize": "few", "maxSize": 4, "desiredSize": 2 }))).on("moto"),
    case(CONFIG, "an unknown node group", Change, |d| {
        (EAST, json!({ "clusterName": cluster(d), "nodegroupName": "unknown", "scalingConfig": { "minSize": 1, "maxSize": 4, "desiredSize": 2 } }))
    })
    .on("moto"),
    case(CONFIG, "an unknown cluster", Change, |d| {
        let sizes = json!({ "minSize": 1, "maxSize": 4, "desiredSize": 2 });
        (EAST, json!({ "clusterName": d.name("unknown"), "nodegroupName": "general", "scalingConfig": sizes }))
    })
    .on("moto"),
    case("describe_update", "the last update", Look, |d| (EAST, json!({ "name": cluster(d), "nodegroupName": "general", "updateId": "{update}" })))
        .on("moto"),
    case("describe_update", "an unknown update", Look, |d| {
        (EAST, json!({ "name": cluster(d), "nodegroupName": "general", "updateId": "00000000-0000-4000-8000-000000000000" }))
    })
    .on("moto"),
];
