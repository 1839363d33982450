//! The faults as the world sees them: who is out, what lags, where there is no capacity.

use std::collections::{BTreeMap, BTreeSet};

use super::Ms;
use crate::faults::{Fault, FaultKind};

/// What goes wrong on purpose, as far as it concerns the world rather than a single call.
#[derive(Debug, Clone, Default)]
pub(crate) struct Conditions {
    pub(crate) texts: Vec<String>,
    pub(crate) primary_alive: bool,
    regions_out: BTreeSet<String>,
    lags: BTreeMap<String, Ms>,
    write_loads: BTreeSet<String>,
    no_capacity: BTreeSet<String>,
    image_pulls_fail: BTreeSet<String>,
    no_address: BTreeSet<String>,
    partial_backup: bool,
    partial_restore: bool,
}

impl Conditions {
    /// Gathers what concerns the world.
    pub(crate) fn new(faults: &[Fault]) -> Conditions {
        let mut conditions = Conditions { texts: faults.iter().map(Fault::to_string).collect(), ..Conditions::default() };
        for fault in faults {
            match &fault.kind {
                FaultKind::RegionOutage { region } | FaultKind::RegionHang { region } => {
                    conditions.regions_out.insert(region.clone());
                }
                FaultKind::Lag { instance, lag } => {
                    let lag = Ms::try_from(lag.as_millis()).unwrap_or(Ms::MAX / 4).min(Ms::MAX / 4);
                    conditions.lags.insert(instance.clone(), lag);
                }
                FaultKind::WriteLoad { instance } => {
                    conditions.write_loads.insert(instance.clone());
                }
                FaultKind::NoCapacity { group } => {
                    conditions.no_capacity.insert(group.clone());
                }
                FaultKind::ImagePull { region } => {
                    conditions.image_pulls_fail.insert(region.clone());
                }
                FaultKind::NoAddress { ingress } => {
                    conditions.no_address.insert(ingress.clone());
                }
                FaultKind::BackupPartial => conditions.partial_backup = true,
                FaultKind::RestorePartial => conditions.partial_restore = true,
                FaultKind::PrimaryAlive => conditions.primary_alive = true,
                FaultKind::ServiceOutage { .. }
                | FaultKind::Throttle { .. }
                | FaultKind::Fail { .. }
                | FaultKind::LostResponse { .. }
                | FaultKind::Deny { .. }
                | FaultKind::AllowOnly { .. }
                | FaultKind::Timeout { .. }
                | FaultKind::ApiLimits
                | FaultKind::ApiServerDown { .. }
                | FaultKind::NoAccessEntry { .. }
                | FaultKind::EventualConsistency { .. } => {}
            }
        }
        conditions
    }

    /// Reports whether the whole region is out.
    pub(crate) fn region_is_out(&self, region: &str) -> bool {
        self.regions_out.contains(region)
    }

    /// Returns the lag that a replica is held at.
    pub(crate) fn lag(&self, instance: &str) -> Option<Ms> {
        self.lags.get(instance).copied()
    }

    /// Reports whether more is written to an instance than its replicas can apply.
    pub(crate) fn is_under_write_load(&self, instance: &str) -> bool {
        self.write_loads.contains(instance)
    }

    /// Reports whether pods of a region get no images.
    pub(crate) fn images_fail(&self, region: &str) -> bool {
        self.image_pulls_fail.contains(region)
    }

    /// Reports whether an ingress gets no load balancer: by its name, or all of a region.
    pub(crate) fn has_no_address(&self, region: &str, ingress: &str) -> bool {
        self.no_address.contains(region) || self.no_address.contains(ingress)
    }

    /// Reports whether the newest of Velero's backups is a partial one.
    pub(crate) fn backups_fail_partially(&self) -> bool {
        self.partial_backup
    }

    /// Reports whether Velero's restores end with errors.
    pub(crate) fn restores_fail_partially(&self) -> bool {
        self.partial_restore
    }

    /// Reports whether a group (or `cluster/nodegroup`) gets no instances.
    pub(crate) fn has_no_capacity(&self, group: &str) -> bool {
        self.no_capacity.contains(group) || group.rsplit('/').next().is_some_and(|g| self.no_capacity.contains(g))
    }
}

impl Conditions {
    /// Leaves out whole-region faults: they begin when a process opens the world, not before.
    pub(crate) fn without_region_outages(&self) -> Conditions {
        Conditions { regions_out: BTreeSet::new(), ..self.clone() }
    }
}
