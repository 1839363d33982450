//! The second synthetic user: it asks the application in the clusters, by its own host name, once a virtual second.
//!
//! A pod takes a write only if the database host that it read from its secret *when it started* is the endpoint of a database
//! that takes writes and whose region answers. So a secret that is not patched, and a patch without a restart, are felt here.

use super::{Backend, Kube};
use crate::world::app::{Refusal, Served};
use crate::world::users::Traffic;
use crate::world::{Ms, World};

/// What the users of the application in the clusters have met so far.
pub(crate) type ShopTraffic = Traffic;

impl World {
    /// Finds the database that takes writes at a host name: region and name; or why there is none.
    pub(in crate::world) fn database_at(&self, host: &str) -> Result<(String, String), String> {
        let all = self.regions.iter().flat_map(|(region, r)| r.databases.values().map(move |d| (region, d)));
        let found = all.into_iter().find(|(region, d)| self.endpoint(region, &d.id).eq_ignore_ascii_case(host));
        let (region, database) = found.ok_or_else(|| format!("could not translate host name \"{host}\" to address"))?;
        if !self.data_plane_is_up(region) {
            return Err("connection timed out".to_owned());
        }
        if !database.is_writable() {
            return Err("cannot execute INSERT in a read-only transaction".to_owned());
        }
        Ok((region.clone(), database.id.clone()))
    }

    fn kube(&self, region: &str, cluster: &str) -> Option<&Kube> {
        Some(&self.region(region)?.clusters.get(cluster)?.kube)
    }

    /// Counts the ready pods behind an ingress' load balancer that answer with success.
    pub(in crate::world) fn healthy_pods(&self, region: &str, backend: &Backend) -> usize {
        let pods = self.kube(region, &backend.cluster).map(|k| k.behind(&backend.namespace, &backend.ingress)).unwrap_or_default();
        if !self.data_plane_is_up(region) || self.may_write(region).is_err() {
            return 0;
        }
        pods.iter().filter(|p| p.pod.as_ref().is_some_and(|p| p.database.as_ref().is_none_or(|h| self.database_at(h).is_ok()))).count()
    }

    /// Asks the application through the load balancer of an ingress; the pods take turns.
    pub(in crate::world) fn ask_ingress(&self, region: &str, load_balancer: &str, backend: &Backend) -> Result<Served, Refusal> {
        let pods = self.kube(region, &backend.cluster).map(|k| k.behind(&backend.namespace, &backend.ingress)).unwrap_or_default();
        let turn = self.now.div_euclid(1000).unsigned_abs() as usize;
        let Some(pod) = pods.get(turn % pods.len().max(1)) else {
            return Err(Refusal::NoTargets { region: region.to_owned(), load_balancer: load_balancer.to_owned() });
        };
        if !self.data_plane_is_up(region) {
            return Err(Refusal::DeadServers { region: region.to_owned() });
        }
        let Some(host) = pod.pod.as_ref().and_then(|p| p.database.as_deref()) else {
            return Ok(Served { region: region.to_owned(), database: String::new() });
        };
        self.may_write(region)?;
        match self.database_at(host) {
            Ok((_, database)) => Ok(Served { region: region.to_owned(), database }),
            Err(why) => Err(Refusal::PodCannotWrite { region: region.to_owned(), host: host.to_owned(), why }),
        }
    }

    /// Sends the requests of the seconds up to `now`, as `send_user_requests` does for the application outside the clusters.
    pub(in crate::world) fn send_shop_requests(&mut self) {
        let Some(name) = self.application.shop.clone() else {
            return;
        };
        let (first, last) = (self.shop.next, self.now.div_euclid(1000));
        if last < first {
            return;
        }
        self.shop.next = last + 1;
        self.shop.requests += (last - first + 1) as u64;
        match self.shop_asks(&name) {
            Ok(served) => {
                let written = self.regions.values().find_map(|r| r.databases.get(&served.database)).map(|d| d.resource_id.clone());
                if written.is_some_and(|id| self.is_superseded(&id)) {
                    self.shop.split_brain_rows += (last - first + 1) as u64;
                }
                self.shop.succeed(first, last, served.region);
            }
            Err(refusal) => self.shop.fail(first, last, refusal.to_string()),
        }
    }

    fn shop_asks(&mut self, name: &str) -> Result<Served, Refusal> {
        let now = self.now;
        let remembered = self.shop.cached.clone().filter(|(_, until)| now < *until);
        let host = match remembered {
            Some((host, _)) => host,
            None => {
                let resolved = self.resolve(name).ok_or_else(|| Refusal::UnknownHost(name.to_owned()))?;
                let ttl = Ms::from(resolved.ttl.min(self.application.resolver_ttl)) * 1000;
                self.shop.cached = Some((resolved.host.clone(), now + ttl));
                resolved.host
            }
        };
        self.ask(&host)
    }
}
