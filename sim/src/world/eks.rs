//! EKS clusters and their managed node groups.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::workloads::Kube;
use super::{Ms, World};

/// Updates that a describe can go back to.
const UPDATES_MAX: usize = 100;

/// A cluster.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Cluster {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) created: Ms,
    #[serde(default)]
    pub(crate) addons: Vec<String>,
    pub(crate) nodegroups: BTreeMap<String, Nodegroup>,
    /// What its Kubernetes API holds.
    pub(crate) kube: Kube,
}

/// A managed node group.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Nodegroup {
    pub(crate) name: String,
    pub(crate) min: i64,
    pub(crate) max: i64,
    pub(crate) desired: i64,
    pub(crate) instance_type: String,
    pub(crate) created: Ms,
    pub(crate) modified: Ms,
    /// Nodes that are there.
    pub(crate) nodes: i64,
    pub(crate) updates: Vec<Update>,
    pub(crate) launch_failure: bool,
    /// Health issues that do not pass, in EKS's codes.
    #[serde(default)]
    pub(crate) issues: Vec<String>,
}

/// An update of a node group's configuration.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Update {
    pub(crate) id: String,
    pub(crate) token: String,
    pub(crate) min: i64,
    pub(crate) max: i64,
    pub(crate) desired: i64,
    pub(crate) nodes_before: i64,
    pub(crate) created: Ms,
    pub(crate) until: Ms,
    pub(crate) status: UpdateStatus,
}

/// How an update stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum UpdateStatus {
    InProgress,
    Successful,
    Failed,
}

impl UpdateStatus {
    /// Returns the API's word.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            UpdateStatus::InProgress => "InProgress",
            UpdateStatus::Successful => "Successful",
            UpdateStatus::Failed => "Failed",
        }
    }
}

impl Nodegroup {
    /// Returns the status that a describe shows.
    pub(crate) fn status(&self) -> &'static str {
        if self.is_updating() {
            "UPDATING"
        } else if self.launch_failure || !self.issues.is_empty() {
            "DEGRADED"
        } else {
            "ACTIVE"
        }
    }

    /// Reports whether an update is in progress.
    pub(crate) fn is_updating(&self) -> bool {
        self.updates.iter().any(|u| u.status == UpdateStatus::InProgress)
    }

    /// Explains a launch failure, in AWS's words.
    pub(crate) fn launch_failure_message(&self) -> String {
        format!(
            "Could not launch On-Demand Instances. InsufficientInstanceCapacity - We currently do not have sufficient {} \
             capacity in the Availability Zone you requested. Our system will be working on provisioning additional capacity. \
             Launching EC2 instance failed.",
            self.instance_type
        )
    }

    /// Records an update and begins it.
    pub(crate) fn begin(&mut self, update: Update) {
        (self.min, self.max, self.desired) = (update.min, update.max, update.desired);
        self.modified = update.created;
        self.updates.push(update);
        if self.updates.len() > UPDATES_MAX {
            self.updates.remove(0);
        }
    }

    fn become_due(&mut self, now: Ms, no_capacity: bool) {
        let starved = no_capacity && self.desired > self.nodes;
        for update in self.updates.iter_mut().filter(|u| u.status == UpdateStatus::InProgress) {
            if starved {
                self.launch_failure = true;
            } else {
                // Nodes join (or leave) one after another over the second half of the update.
                let half = (update.until - update.created) / 2;
                let part = (now - update.created - half).clamp(0, half.max(1)) as f64 / half.max(1) as f64;
                self.nodes = update.nodes_before + ((update.desired - update.nodes_before) as f64 * part).round() as i64;
            }
            if now >= update.until {
                update.status = if starved { UpdateStatus::Failed } else { UpdateStatus::Successful };
                if !starved {
                    self.nodes = update.desired;
                }
            }
        }
        if !starved && self.launch_failure {
            self.launch_failure = false;
        }
        if !starved && !self.is_updating() {
            self.nodes = self.desired;
        }
    }
}

impl World {
    pub(super) fn nodegroups_become_due(&mut self) {
        let now = self.now;
        let conditions = &self.conditions;
        let mut transitions = Vec::new();
        for (region, cluster) in self.regions.iter().flat_map(|(r, region)| region.clusters.values().map(move |c| (r, c))) {
            for group in cluster.nodegroups.values() {
                let ending = group.updates.iter().filter(|u| u.status == UpdateStatus::InProgress && now >= u.until);
                transitions.extend(ending.map(|u| (u.until, format!("eks/{region}/{}/{}", cluster.name, group.name))));
            }
        }
        for cluster in self.regions.values_mut().flat_map(|r| r.clusters.values_mut()) {
            for group in cluster.nodegroups.values_mut() {
                let no_capacity = conditions.has_no_capacity(&format!("{}/{}", cluster.name, group.name));
                group.become_due(now, no_capacity);
            }
        }
        self.tell_transitions(transitions);
    }
}
