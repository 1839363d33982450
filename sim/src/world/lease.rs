//! The write lease that the application may keep: its servers take writes only while they have read, not too long ago, that their own region
//! is the holder. Whoever gives the lease to the other region and waits has fenced a region that nobody can reach.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::app::Refusal;
use super::objects::Object;
use super::{Ms, World};
use crate::def::LeaseDef;

/// What a region's servers read, and when.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Read {
    holder: String,
    at: Ms,
}

/// The last reading of each region.
pub(crate) type Readings = BTreeMap<String, Read>;

impl World {
    /// Puts the lease where the application keeps it.
    pub(super) fn seed_lease(&mut self) {
        let Some(lease) = self.application.lease.clone() else { return };
        let content = serde_json::json!({ "holder": lease.holder, "ttl_seconds": lease.ttl }).to_string();
        let bucket = self.region_mut(&lease.region).objects.entry(lease.bucket).or_default();
        bucket.insert(lease.key, Object { content, put: 0 });
    }

    /// Lets the servers of each region read the lease. The worst that the contract allows: who holds it looks again only when the time is over.
    pub(super) fn read_lease(&mut self) {
        let Some(lease) = self.application.lease.clone() else { return };
        let holder = self.holder(&lease);
        for region in self.regions.keys().cloned().collect::<Vec<_>>() {
            let relies = self.leases.get(&region).is_some_and(|read| read.holder == region && self.now - read.at < ttl(&lease));
            let reaches = self.data_plane_is_up(&region) && !self.conditions.region_is_out(&lease.region);
            if let Some(holder) = holder.clone().filter(|_| reaches && !relies) {
                self.leases.insert(region, Read { holder, at: self.now });
            }
        }
    }

    /// Returns who holds the lease by its object, if the application keeps one and there is one.
    pub(crate) fn lease_holder(&self) -> Option<String> {
        self.holder(self.application.lease.as_ref()?)
    }

    fn holder(&self, lease: &LeaseDef) -> Option<String> {
        let object = self.region(&lease.region)?.objects.get(&lease.bucket)?.get(&lease.key)?;
        let document: serde_json::Value = serde_json::from_str(&object.content).ok()?;
        Some(document.get("holder")?.as_str()?.to_owned())
    }

    /// Refuses a write of a region's servers that the lease does not allow.
    pub(crate) fn may_write(&self, region: &str) -> Result<(), Refusal> {
        let Some(lease) = &self.application.lease else { return Ok(()) };
        match self.leases.get(region) {
            Some(read) if self.now - read.at > ttl(lease) => {
                Err(Refusal::NoLease { region: region.to_owned(), why: "could not be read".to_owned() })
            }
            Some(read) if read.holder == region => Ok(()),
            Some(read) => Err(Refusal::NoLease { region: region.to_owned(), why: format!("is held by {}", read.holder) }),
            None => Err(Refusal::NoLease { region: region.to_owned(), why: "was never read".to_owned() }),
        }
    }
}

fn ttl(lease: &LeaseDef) -> Ms {
    Ms::from(lease.ttl) * 1000
}
