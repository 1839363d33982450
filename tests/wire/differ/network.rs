//! EC2 and Service Quotas: what instances are launched from and into, how VPCs are joined, and how much may run.

use serde_json::{Value, json};

use super::sequence::{Call, Case, Draw, EAST, Subject, Use::*, case};

pub const NETWORK: Subject = Subject { service: "ec2", cases: NETWORK_CASES, seed, watch: |_| Vec::new(), names };
pub const QUOTAS: Subject =
    Subject { service: "service-quotas", cases: QUOTA_CASES, seed: |_| Vec::new(), watch: |_| Vec::new(), names: |_| json!({}) };

fn template(draw: &Draw) -> String {
    draw.name("template")
}

/// What is called how in the simulator.
fn names(draw: &Draw) -> Value {
    let id = |start: &str| format!("{start}-0{:016x}", draw.number);
    json!({
        "image": id("ami"), "vpc": id("vpc"), "peer": id("vpc-a"), "subnet": id("subnet"), "peering": id("pcx"), "table": id("rtb"),
    })
}

fn seed(draw: &Draw) -> Vec<Call> {
    let ec2 = |operation, params| Call::new("ec2", EAST, operation, params);
    let data = |kind: &str| json!({ "ImageId": "{image}", "InstanceType": kind });
    vec![
        ec2("register_image", json!({ "Name": draw.name("image"), "Architecture": "x86_64", "RootDeviceName": "/dev/xvda" }))
            .keep("image", "ImageId"),
        ec2("create_launch_template", json!({ "LaunchTemplateName": template(draw), "LaunchTemplateData": data("m5.large") })),
        ec2("create_launch_template_version", json!({ "LaunchTemplateName": template(draw), "LaunchTemplateData": data("m5.large") })),
        ec2("create_vpc", json!({ "CidrBlock": "10.0.0.0/16" })).keep("vpc", "Vpc.VpcId"),
        ec2("create_vpc", json!({ "CidrBlock": "10.1.0.0/16" })).keep("peer", "Vpc.VpcId"),
        ec2("create_subnet", json!({ "VpcId": "{vpc}", "CidrBlock": "10.0.1.0/24" })).keep("subnet", "Subnet.SubnetId"),
        ec2("create_vpc_peering_connection", json!({ "VpcId": "{vpc}", "PeerVpcId": "{peer}" }))
            .keep("peering", "VpcPeeringConnection.VpcPeeringConnectionId"),
        ec2("accept_vpc_peering_connection", json!({ "VpcPeeringConnectionId": "{peering}" })),
        ec2("describe_route_tables", json!({ "Filters": [{ "Name": "vpc-id", "Values": ["{vpc}"] }] }))
            .keep("table", "RouteTables[0].RouteTableId"),
        ec2(
            "create_route",
            json!({ "RouteTableId": "{table}", "DestinationCidrBlock": "10.1.0.0/16", "VpcPeeringConnectionId": "{peering}" }),
        ),
    ]
}

/// What the simulator has of a sequence.
#[derive(Default)]
pub struct Simulated {
    templates: Vec<String>,
    images: Vec<String>,
    subnets: Vec<String>,
    tables: Vec<String>,
    peerings: Vec<String>,
}

impl Simulated {
    pub fn add(&mut self, draw: &Draw) {
        let names = names(draw);
        let [image, vpc, peer, subnet, peering, table] =
            ["image", "vpc", "peer", "subnet", "peering", "table"].map(|name| names[name].as_str().unwrap());
        self.templates.push(format!(r#"(name: "{}", image: "{image}", instance_type: "m5.large", versions: 2)"#, template(draw)));
        self.images.push(format!(r#"(id: "{image}", name: Some("{}"))"#, draw.name("image")));
        self.subnets.push(format!(r#"(id: "{subnet}", vpc: "{vpc}", zone: "a", cidr: "10.0.1.0/24", free: 251)"#));
        self.tables.push(format!(r#"(id: "{table}", vpc: "{vpc}", routes: [(to: "10.1.0.0/16", peering: "{peering}")])"#));
        let side = |vpc, cidr| format!(r#"(region: "{EAST}", vpc: "{vpc}", cidr: "{cidr}")"#);
        let (requester, accepter) = (side(vpc, "10.0.0.0/16"), side(peer, "10.1.0.0/16"));
        self.peerings.push(format!(r#"(id: "{peering}", requester: {requester}, accepter: {accepter})"#));
    }

    /// As the section of a region.
    pub fn section(&self) -> String {
        let Self { templates, images, subnets, tables, .. } = self;
        let quotas = r#"{ "L-1216C47A": Some(5.0) }"#;
        format!(
            "(launch_templates: Some([{}]), images: Some([{}]), subnets: Some([{}]), route_tables: [{}], quotas: {quotas})",
            templates.join(","),
            images.join(","),
            subnets.join(","),
            tables.join(","),
        )
    }

    pub fn peerings(&self) -> String {
        self.peerings.join(",")
    }
}

const VERSIONS: &str = "describe_launch_template_versions";
const TABLES: &str = "describe_route_tables";

fn versions(draw: &Draw, versions: &[&str]) -> (&'static str, Value) {
    (EAST, json!({ "LaunchTemplateName": template(draw), "Versions": versions }))
}

const NETWORK_CASES: &[Case] = &[
    case(VERSIONS, "the latest", Look, |d| versions(d, &["$Latest"])),
    case(VERSIONS, "the default", Look, |d| versions(d, &["$Default"])),
    case(VERSIONS, "by number", Look, |d| versions(d, &["1"])),
    case(VERSIONS, "all", Look, |d| (EAST, json!({ "LaunchTemplateName": template(d) }))),
    case(VERSIONS, "a version that is not there", Look, |d| versions(d, &["9"])),
    case(VERSIONS, "an unknown name", Look, |d| (EAST, json!({ "LaunchTemplateName": d.name("unknown"), "Versions": ["$Latest"] }))),
    case(VERSIONS, "an unknown id", Look, |_| (EAST, json!({ "LaunchTemplateId": "lt-0123456789abcdef0", "Versions": ["$Latest"] }))),
    case("describe_images", "an image", Look, |_| (EAST, json!({ "ImageIds": ["{image}"] }))),
    case("describe_images", "an unknown image", Look, |_| (EAST, json!({ "ImageIds": ["ami-0123456789abcdef0"] }))),
    case("describe_images", "an id that is none", Look, |_| (EAST, json!({ "ImageIds": ["image"] }))),
    case("describe_subnets", "a subnet", Look, |_| (EAST, json!({ "SubnetIds": ["{subnet}"] }))),
    case("describe_subnets", "an unknown subnet", Look, |_| (EAST, json!({ "SubnetIds": ["{subnet}", "subnet-0123456789abcdef0"] }))),
    case("describe_instance_types", "a type", Look, |d| {
        let one = d.one_of(&["m5.large", "m5.xlarge", "c5.2xlarge", "t3.medium", "r5.24xlarge"]);
        (EAST, json!({ "InstanceTypes": [one] }))
    }),
    case("describe_instance_types", "an unknown type", Look, |_| (EAST, json!({ "InstanceTypes": ["m5.enormous"] }))),
    case("describe_vpc_peering_connections", "a connection", Look, |_| (EAST, json!({ "VpcPeeringConnectionIds": ["{peering}"] }))),
    case("describe_vpc_peering_connections", "an unknown connection", Look, |_| {
        (EAST, json!({ "VpcPeeringConnectionIds": ["pcx-0123456789abcdef0"] }))
    }),
    case(TABLES, "by VPC", Look, |_| (EAST, json!({ "Filters": [{ "Name": "vpc-id", "Values": ["{vpc}"] }] }))),
    case(TABLES, "by an unknown VPC", Look, |_| (EAST, json!({ "Filters": [{ "Name": "vpc-id", "Values": ["vpc-0123456789abcdef0"] }] }))),
    case(TABLES, "an unknown filter", Look, |_| (EAST, json!({ "Filters": [{ "Name": "colour", "Values": ["red"] }] }))),
    case(TABLES, "an unknown table", Look, |_| (EAST, json!({ "RouteTableIds": ["rtb-0123456789abcdef0"] }))),
];

fn quota(service: &str, code: &str) -> (&'static str, Value) {
    (EAST, json!({ "ServiceCode": service, "QuotaCode": code }))
}

const QUOTA: &str = "get_service_quota";
const DEFAULT: &str = "get_aws_default_service_quota";

const QUOTA_CASES: &[Case] = &[
    case(QUOTA, "standard instances", Look, |_| quota("ec2", "L-1216C47A")),
    case(QUOTA, "an unknown quota", Look, |_| quota("ec2", "L-00000000")),
    case(QUOTA, "an unknown service", Look, |_| quota("nothing", "L-1216C47A")),
    case(QUOTA, "no quota", Look, |_| (EAST, json!({ "ServiceCode": "ec2" }))),
    case(DEFAULT, "standard instances", Look, |_| quota("ec2", "L-1216C47A")),
    case(DEFAULT, "an unknown quota", Look, |_| quota("ec2", "L-00000000")),
];
