//! What EC2 has in a region: what the world file says, and what it leaves to the simulator.

use std::collections::BTreeMap;

use super::{Region, World, hash};
use crate::def::{ImageDef, LaunchTemplateDef, SubnetDef};

/// Free addresses of a subnet that the world file does not name: a /24 without those that AWS keeps.
const FREE: u32 = 251;

/// Returns the id that a launch template has.
pub(crate) fn launch_template_id(name: &str) -> String {
    format!("lt-0{:016x}", hash(11, name, 0))
}

/// The quotas on running instances, by the vCPUs: code, name, and AWS's default.
pub(crate) const VCPU_QUOTAS: [(&str, &str, f64); 10] = [
    ("L-1216C47A", "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances", 5.0),
    ("L-1945791B", "Running On-Demand Inf instances", 0.0),
    ("L-2C3B7624", "Running On-Demand Trn instances", 0.0),
    ("L-417A185B", "Running On-Demand P instances", 0.0),
    ("L-43DA4232", "Running On-Demand High Memory instances", 0.0),
    ("L-6E869C2A", "Running On-Demand DL instances", 0.0),
    ("L-7295265B", "Running On-Demand X instances", 0.0),
    ("L-74FC7D96", "Running On-Demand F instances", 0.0),
    ("L-DB2E81BA", "Running On-Demand G and VT instances", 0.0),
    ("L-F7808C92", "Running On-Demand HPC instances", 0.0),
];

/// What a quota is that the world file does not name.
pub(crate) const AMPLE: f64 = 1152.0;

impl Region {
    /// Returns its launch templates.
    pub(crate) fn launch_templates(&self) -> Vec<LaunchTemplateDef> {
        if let Some(said) = &self.ec2.launch_templates {
            return said.clone();
        }
        let named = self.groups.values().filter_map(|group| Some((group.launch_template.clone()?, &group.instance_type)));
        let all: BTreeMap<_, _> = named.collect();
        let template = |(name, instance_type): (String, &String)| LaunchTemplateDef {
            image: format!("ami-0{:016x}", hash(13, &name, 0)),
            instance_type: instance_type.clone(),
            versions: 1,
            name,
        };
        all.into_iter().map(template).collect()
    }

    /// Returns its images.
    pub(crate) fn images(&self) -> Vec<ImageDef> {
        if let Some(said) = &self.ec2.images {
            return said.clone();
        }
        let mut ids: Vec<_> = self.launch_templates().into_iter().map(|template| template.image).collect();
        ids.sort();
        ids.dedup();
        ids.into_iter().map(|id| ImageDef { id, name: None, state: "available".to_owned() }).collect()
    }

    /// Returns its subnets.
    pub(crate) fn subnets(&self, name: &str) -> Vec<SubnetDef> {
        if let Some(said) = &self.ec2.subnets {
            return said.clone();
        }
        let subnet = |(number, zone): (usize, &str)| SubnetDef {
            id: format!("subnet-0{:016x}", hash(14, &format!("{name}{zone}"), 0)),
            vpc: format!("vpc-0{:016x}", hash(15, name, 0)),
            zone: zone.to_owned(),
            cidr: format!("10.0.{number}.0/24"),
            free: FREE,
        };
        ["a", "b", "c"].into_iter().enumerate().map(subnet).collect()
    }

    /// Returns the ids of the subnets that lie in zones.
    pub(crate) fn subnets_in(&self, name: &str, zones: &[&str]) -> Vec<String> {
        let all = self.subnets(name).into_iter();
        all.filter(|subnet| zones.contains(&subnet.zone.as_str())).map(|subnet| subnet.id).collect()
    }
}

impl World {
    /// Returns the applied value of a quota of a region; `None` if there is none.
    pub(crate) fn quota(&self, region: &str, code: &str) -> Option<f64> {
        let said = self.region(region).and_then(|region| region.ec2.quotas.get(code));
        match said {
            Some(applied) => *applied,
            None => Some(AMPLE),
        }
    }
}

/// Returns the vCPUs of an instance type, by the name of its size; `None` if there is no such type.
pub(crate) fn vcpus(instance_type: &str) -> Option<u32> {
    let (family, size) = instance_type.split_once('.')?;
    if family.is_empty() || !family.starts_with(|c: char| c.is_ascii_lowercase()) || !family.contains(|c: char| c.is_ascii_digit()) {
        return None;
    }
    match size {
        "nano" | "micro" | "small" | "medium" => Some(if family.starts_with("t3") || family.starts_with("t4") { 2 } else { 1 }),
        "large" => Some(2),
        _ => {
            let times = size.strip_suffix("xlarge")?;
            let times = if times.is_empty() { 1 } else { times.parse::<u32>().ok().filter(|times| (2..=128).contains(times))? };
            Some(4 * times)
        }
    }
}
