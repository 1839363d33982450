//! EC2 in a world file: groups of instances, what instances are launched from and into, the quotas on them, and how the networks of the regions are joined.
//!
//! A region that says nothing of it has what its groups name, and plenty of everything. The definitions are kept with the world as they
//! are, as nothing in them changes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// EC2 in a region.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Ec2Def {
    /// Unless it is said, those that the groups name.
    pub(crate) launch_templates: Option<Vec<LaunchTemplateDef>>,
    /// Unless it is said, those that the launch templates name.
    pub(crate) images: Option<Vec<ImageDef>>,
    /// Unless it is said, one in each of three zones.
    pub(crate) subnets: Option<Vec<SubnetDef>>,
    /// The applied quotas by their codes, `None` for one that nobody ever had raised. One that is not named is ample.
    pub(crate) quotas: BTreeMap<String, Option<f64>>,
    pub(crate) route_tables: Vec<RouteTableDef>,
}

/// An Auto Scaling group.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GroupDef {
    pub(crate) name: String,
    pub(crate) min: i64,
    pub(crate) max: i64,
    pub(crate) desired: i64,
    pub(crate) instance_type: String,
    #[serde(default)]
    pub(crate) target_groups: Vec<String>,
    #[serde(default = "a_template")]
    pub(crate) launch_template: Option<String>,
    #[serde(default = "latest")]
    pub(crate) launch_template_version: String,
    /// In how many zones its instances are, the first of the region.
    #[serde(default = "three")]
    pub(crate) zones: usize,
    /// Its suspended processes, such as "Launch".
    #[serde(default)]
    pub(crate) suspended: Vec<String>,
}

/// The launch template of a group that names none.
pub(crate) fn a_template() -> Option<String> {
    Some("application".to_owned())
}

/// The version of its launch template that a group uses which does not say.
pub(crate) fn latest() -> String {
    "$Latest".to_owned()
}

/// In how many zones a group is that does not say.
pub(crate) fn three() -> usize {
    3
}

/// A launch template.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LaunchTemplateDef {
    pub(crate) name: String,
    pub(crate) image: String,
    pub(crate) instance_type: String,
    /// How many versions there are, all of them alike.
    #[serde(default = "one")]
    pub(crate) versions: u32,
}

fn one() -> u32 {
    1
}

/// An image.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ImageDef {
    pub(crate) id: String,
    /// Unless it is said, its id.
    #[serde(default)]
    pub(crate) name: Option<String>,
    #[serde(default = "available")]
    pub(crate) state: String,
}

fn available() -> String {
    "available".to_owned()
}

/// A subnet. All groups and node groups of the region are in those of their zones.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SubnetDef {
    pub(crate) id: String,
    pub(crate) vpc: String,
    /// The letter of its zone.
    pub(crate) zone: String,
    pub(crate) cidr: String,
    /// How many of its addresses are free. The simulator's own instances take none.
    pub(crate) free: u32,
}

/// A route table: its routes beside the one inside of its VPC.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RouteTableDef {
    pub(crate) id: String,
    pub(crate) vpc: String,
    #[serde(default)]
    pub(crate) routes: Vec<RouteDef>,
}

/// A route by a peering connection.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RouteDef {
    pub(crate) to: String,
    pub(crate) peering: String,
    /// Whether what it leads to is gone.
    #[serde(default)]
    pub(crate) blackhole: bool,
}

/// A peering connection of two VPCs.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PeeringDef {
    pub(crate) id: String,
    #[serde(default = "active")]
    pub(crate) status: String,
    pub(crate) requester: PeerDef,
    pub(crate) accepter: PeerDef,
}

fn active() -> String {
    "active".to_owned()
}

/// A side of a peering connection.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PeerDef {
    pub(crate) region: String,
    pub(crate) vpc: String,
    pub(crate) cidr: String,
}
