//! The application: load balancers, their targets, and what a request to it is answered.

use serde::{Deserialize, Serialize};

use super::autoscaling::{Instance, Lifecycle};
use super::workloads::Backend;
use super::{Region, World};

/// A load balancer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LoadBalancer {
    pub(crate) name: String,
    pub(crate) arn: String,
    pub(crate) dns_name: String,
    pub(crate) zone_id: String,
    pub(crate) target_groups: Vec<String>,
    pub(crate) created: super::Ms,
    /// Set if an ingress made it: its targets are pods.
    pub(crate) backend: Option<Backend>,
    /// What its HTTPS listener shows.
    #[serde(default)]
    pub(crate) certificate: Option<Certificate>,
}

/// A certificate.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Certificate {
    pub(crate) arn: String,
    pub(crate) status: String,
    pub(crate) until: super::Ms,
    /// Whether it was deleted.
    pub(crate) gone: bool,
}

/// A target group; its targets are the instances of the groups that name it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct TargetGroup {
    pub(crate) name: String,
    pub(crate) arn: String,
}

/// Who answered a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Served {
    pub(crate) region: String,
    pub(crate) database: String,
}

/// Why a request was not answered with success.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("{0} does not resolve")]
    UnknownHost(String),
    #[error("{0} does not answer")]
    Unreachable(String),
    #[error("{load_balancer} has no targets in service")]
    NoTargets { region: String, load_balancer: String },
    #[error("the application servers in {region} do not answer")]
    DeadServers { region: String },
    #[error("the database in {region} takes no writes")]
    NoDatabase { region: String },
    #[error("the application servers in {region} take no writes: the write lease {why}")]
    NoLease { region: String, why: String },
    #[error("the pods in {region} cannot write to {host}: {why}")]
    PodCannotWrite { region: String, host: String, why: String },
    #[error("the application in {region} is overloaded by retried requests")]
    Overloaded { region: String },
}

impl Refusal {
    /// Returns the HTTP status of the answer; `None` if there is no answer.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Refusal::UnknownHost(_) | Refusal::Unreachable(_) => None,
            Refusal::DeadServers { .. } => Some(504),
            Refusal::NoTargets { .. }
            | Refusal::NoDatabase { .. }
            | Refusal::NoLease { .. }
            | Refusal::PodCannotWrite { .. }
            | Refusal::Overloaded { .. } => Some(503),
        }
    }

    /// Returns the region whose load balancer was reached.
    pub(crate) fn region(&self) -> Option<&str> {
        match self {
            Refusal::UnknownHost(_) | Refusal::Unreachable(_) => None,
            Refusal::NoTargets { region, .. }
            | Refusal::DeadServers { region }
            | Refusal::NoDatabase { region }
            | Refusal::NoLease { region, .. }
            | Refusal::PodCannotWrite { region, .. }
            | Refusal::Overloaded { region } => Some(region),
        }
    }
}

impl Region {
    /// Lists the instances that are registered with a target group and take requests.
    pub(crate) fn targets<'a>(&'a self, target_group: &'a str) -> impl Iterator<Item = &'a Instance> {
        let groups = self.groups.values().filter(move |g| g.target_groups.iter().any(|t| t == target_group));
        groups.flat_map(|g| &g.instances).filter(|i| i.state == Lifecycle::InService)
    }

    /// Counts a load balancer's targets that are healthy.
    pub(crate) fn healthy_targets(&self, load_balancer: &LoadBalancer) -> usize {
        let targets = load_balancer.target_groups.iter().flat_map(|t| self.targets(t));
        targets.filter(|i| i.health.healthy == Some(true)).count()
    }
}

impl World {
    /// Finds a load balancer by its host name.
    pub(crate) fn load_balancer(&self, host: &str) -> Option<(&str, &Region, &LoadBalancer)> {
        let host = host.trim_end_matches('.');
        self.regions.iter().find_map(|(name, region)| {
            let found = region.load_balancers.values().find(|l| l.dns_name.eq_ignore_ascii_case(host))?;
            Some((name.as_str(), region, found))
        })
    }

    /// What a running server of the region answers to `/health`: the database it writes to, or why it cannot.
    pub(crate) fn server_answers(&self, region: &str) -> Result<&str, Refusal> {
        if !self.data_plane_is_up(region) {
            return Err(Refusal::DeadServers { region: region.to_owned() });
        }
        self.may_write(region)?;
        let database = self.writable_database(region).ok_or_else(|| Refusal::NoDatabase { region: region.to_owned() })?;
        Ok(&database.id)
    }

    /// Asks the application through the load balancer of that host name.
    pub(crate) fn ask(&self, load_balancer: &str) -> Result<Served, Refusal> {
        let (region_name, region, found) =
            self.load_balancer(load_balancer).ok_or_else(|| Refusal::UnknownHost(load_balancer.to_owned()))?;
        if self.conditions.region_is_out(region_name) {
            return Err(Refusal::Unreachable(load_balancer.to_owned()));
        }
        if let Some(backend) = &found.backend {
            return self.ask_ingress(region_name, &found.name, backend);
        }
        let targets = || found.target_groups.iter().flat_map(|t| region.targets(t));
        // With nothing but unhealthy targets, a load balancer fails open: it uses them all.
        if !targets().any(|i| i.health.healthy.is_some()) {
            return Err(Refusal::NoTargets { region: region_name.to_owned(), load_balancer: found.name.clone() });
        }
        let database = self.server_answers(region_name)?.to_owned();
        let region = region_name.to_owned();
        if self.traffic.is_overloaded(&region) {
            return Err(Refusal::Overloaded { region });
        }
        Ok(Served { region, database })
    }
}
