//! The synthetic users: one request and one row a virtual second, and the account of what went wrong.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::app::{Refusal, Served};
use super::{Ms, World, timestamp};
use crate::traffic::{Loss, Outage, TrafficReport};

/// Outages that are kept one by one.
const OUTAGES_MAX: usize = 1000;

/// What the users have met so far.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Traffic {
    pub(crate) started: Ms,
    /// The next second to send a request in.
    pub(crate) next: i64,
    /// What the users' resolvers remember: a host, until an instant.
    pub(crate) cached: Option<(String, Ms)>,
    /// Seconds of retried requests that a region has yet to work off.
    pub(crate) backlog: BTreeMap<String, f64>,
    pub(crate) requests: u64,
    pub(crate) failed: u64,
    pub(crate) rows_written: u64,
    pub(crate) rows_lost: u64,
    /// When rows were lost, and how many.
    #[serde(default)]
    pub(crate) losses: Vec<(Ms, u64)>,
    pub(crate) split_brain_rows: u64,
    pub(crate) serving_region: Option<String>,
    pub(crate) last_error: Option<String>,
    /// From second, until second, reason.
    pub(crate) outages: Vec<(i64, Option<i64>, String)>,
    /// Seconds of outages that are no longer kept one by one.
    pub(crate) forgotten: u64,
}

impl Traffic {
    /// Reports whether a region still works off retried requests.
    pub(crate) fn is_overloaded(&self, region: &str) -> bool {
        self.backlog.get(region).is_some_and(|seconds| *seconds > 0.0)
    }

    /// Returns the account of it.
    pub(crate) fn report(&self, site: &str) -> TrafficReport {
        let at = |second: i64| timestamp(second * 1000);
        let outages =
            self.outages.iter().map(|(from, until, reason)| Outage { from: at(*from), until: until.map(at), reason: reason.clone() });
        TrafficReport {
            site: site.to_owned(),
            started_at: timestamp(self.started),
            outage: self.failed as f64,
            outages: outages.collect(),
            requests: self.requests,
            failed: self.failed,
            rows_written: self.rows_written,
            rows_lost: self.rows_lost,
            losses: self.losses.iter().map(|(at, rows)| Loss { at: timestamp(*at), rows: *rows }).collect(),
            split_brain_rows: self.split_brain_rows,
            serving_region: self.serving_region.clone(),
            last_error: self.last_error.clone(),
        }
    }

    /// Enters rows that a promotion lost.
    pub(crate) fn lose(&mut self, at: Ms, rows: u64) {
        const LOSSES_MAX: usize = 100;
        self.rows_lost += rows;
        if rows > 0 {
            self.losses.push((at, rows));
            let surplus = self.losses.len().saturating_sub(LOSSES_MAX);
            self.losses.drain(..surplus);
        }
    }

    /// Enters a request that failed, for the seconds from `first` to `last`.
    pub(super) fn fail(&mut self, first: i64, last: i64, reason: String) {
        self.failed += (last - first + 1) as u64;
        match self.outages.last() {
            Some((_, None, _)) => {}
            _ => self.outages.push((first, None, reason.clone())),
        }
        if self.outages.len() > OUTAGES_MAX {
            let (from, until, _) = self.outages.remove(0);
            self.forgotten += until.map_or(0, |until| (until - from).max(0) as u64);
        }
        self.last_error = Some(reason);
    }

    /// Enters a request that succeeded.
    pub(super) fn succeed(&mut self, first: i64, last: i64, region: String) {
        if let Some((_, until @ None, _)) = self.outages.last_mut() {
            *until = Some(first);
        }
        self.rows_written += (last - first + 1) as u64;
        self.serving_region = Some(region);
    }
}

impl World {
    /// Sends the requests of the seconds up to `now`; one answer stands for all of them, which are one unless days passed.
    pub(super) fn send_user_requests(&mut self) {
        let (first, last) = (self.traffic.next, self.now.div_euclid(1000));
        if last < first {
            return;
        }
        self.traffic.next = last + 1;
        self.traffic.requests += (last - first + 1) as u64;
        let answer = self.user_asks();
        self.bear_the_load(&answer, (last - first + 1) as f64);
        match answer {
            Ok(served) => {
                self.write_rows(first, last, &served);
                self.traffic.succeed(first, last, served.region);
            }
            Err(refusal) => self.traffic.fail(first, last, refusal.to_string()),
        }
    }

    /// Asks as a user does: by a resolver that remembers, through a load balancer.
    fn user_asks(&mut self) -> Result<Served, Refusal> {
        let now = self.now;
        let remembered = self.traffic.cached.clone().filter(|(_, until)| now < *until);
        let host = match remembered {
            Some((host, _)) => host,
            None => {
                let name = self.application.host.clone();
                let resolved = self.resolve(&name).ok_or(Refusal::UnknownHost(name))?;
                let ttl = Ms::from(resolved.ttl.min(self.application.resolver_ttl)) * 1000;
                self.traffic.cached = Some((resolved.host.clone(), now + ttl));
                resolved.host
            }
        };
        self.ask(&host)
    }

    /// Builds up or works off the backlog of retried requests.
    ///
    /// Servers that are running but cannot write let the retries of their users pile up; servers that can write again, or
    /// whose users went elsewhere, work them off.
    fn bear_the_load(&mut self, answer: &Result<Served, Refusal>, seconds: f64) {
        let stampede = &self.application.stampede;
        let piling_up = match answer {
            Err(Refusal::NoDatabase { region }) => Some(region.clone()),
            _ => None,
        };
        for (region, backlog) in &mut self.traffic.backlog {
            if Some(region) != piling_up.as_ref() {
                *backlog -= seconds;
            }
        }
        if let Some(region) = piling_up
            && stampede.factor > 0.0
        {
            let backlog = self.traffic.backlog.entry(region).or_insert(0.0);
            *backlog = (*backlog + stampede.factor * seconds).min(stampede.max);
        }
        self.traffic.backlog.retain(|_, backlog| *backlog > 0.0);
    }

    fn write_rows(&mut self, first: i64, last: i64, served: &Served) {
        let region = self.region_mut(&served.region);
        let Some(database) = region.databases.get_mut(&served.database) else {
            return;
        };
        database.rows.write(first, last);
        let resource_id = database.resource_id.clone();
        if self.is_superseded(&resource_id) {
            self.traffic.split_brain_rows += (last - first + 1) as u64;
        }
    }
}
