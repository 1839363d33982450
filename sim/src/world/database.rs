//! RDS instances: their status over time, replication, and the rows that a promotion keeps.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::rows::Rows;
use super::{Ms, World, unit};

/// Minutes of lag history that CloudWatch can be asked for.
const LAG_MINUTES_MAX: usize = 24 * 60;
/// How much further behind a replica is after each second in which more is written than it applies.
const FALLS_BEHIND: f64 = 0.5;
/// How fast a new replica catches up: seconds of lag worked off per second.
const CATCH_UP: f64 = 3.0;

/// An RDS instance.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Database {
    pub(crate) id: String,
    pub(crate) resource_id: String,
    pub(crate) engine: String,
    pub(crate) engine_version: String,
    pub(crate) class: String,
    pub(crate) allocated_storage: u32,
    /// The ARN of the key that encrypts it.
    #[serde(default)]
    pub(crate) key: Option<String>,
    pub(crate) multi_az: bool,
    pub(crate) retention: u32,
    pub(crate) database: String,
    pub(crate) username: String,
    pub(crate) deletion_protection: bool,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) created: Ms,
    pub(crate) work: Option<Work>,
    /// Changes that wait for the maintenance window.
    pub(crate) deferred: Changes,
    pub(crate) source: Option<Source>,
    /// The resource id of the instance that this one was promoted from.
    pub(crate) promoted_from: Option<String>,
    pub(crate) promoted_at: Option<Ms>,
    pub(crate) rows: Rows,
}

/// What a replica knows of its source.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Source {
    pub(crate) region: String,
    pub(crate) resource_id: String,
    /// The source's name when it was last seen.
    pub(crate) id: String,
    /// The replica holds what the source had at this instant.
    pub(crate) replicated_to: Ms,
    /// Since when it catches up, and from how many seconds behind.
    pub(crate) catching_up: Option<(Ms, f64)>,
    /// Since when it falls behind, and from how many seconds, as more is written than it applies.
    #[serde(default)]
    pub(crate) falling_behind: Option<(Ms, f64)>,
    /// Lag in seconds, by minute.
    pub(crate) lag_by_minute: VecDeque<(i64, f64)>,
    /// Set when a promotion has cut replication.
    pub(crate) detached: bool,
    /// What is shown of the replication in place of how it goes.
    #[serde(default)]
    pub(crate) shown: Option<String>,
}

/// Work in progress on an instance.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Work {
    Creating { until: Ms },
    Promoting { unseen_until: Ms, reboots_at: Ms, until: Ms, retention: u32 },
    Modifying { unseen_until: Ms, until: Ms, changes: Changes },
    Deleting { until: Ms },
}

/// Changes to an instance that have been asked for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Changes {
    pub(crate) retention: Option<u32>,
    pub(crate) class: Option<String>,
    pub(crate) id: Option<String>,
    pub(crate) multi_az: Option<bool>,
    pub(crate) deletion_protection: Option<bool>,
    pub(crate) allocated_storage: Option<u32>,
}

impl Changes {
    /// Reports whether nothing would change.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Changes::default()
    }
}

/// A manual snapshot.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    pub(crate) id: String,
    pub(crate) instance: String,
    pub(crate) engine: String,
    pub(crate) engine_version: String,
    pub(crate) allocated_storage: u32,
    pub(crate) created: Ms,
    pub(crate) rows: u64,
}

impl Database {
    /// Returns the status that a describe shows.
    pub(crate) fn status(&self, now: Ms) -> &'static str {
        match &self.work {
            None => "available",
            Some(Work::Creating { .. }) => "creating",
            Some(Work::Deleting { .. }) => "deleting",
            Some(Work::Promoting { unseen_until, .. }) if now < *unseen_until => "available",
            Some(Work::Promoting { reboots_at, .. }) if now < *reboots_at => "modifying",
            Some(Work::Promoting { .. }) => "rebooting",
            Some(Work::Modifying { unseen_until, .. }) if now < *unseen_until => "available",
            Some(Work::Modifying { changes, .. }) if changes.id.is_some() => "renaming",
            Some(Work::Modifying { .. }) => "modifying",
        }
    }

    /// Reports whether clients can write to it, given that its region answers.
    pub(crate) fn is_writable(&self) -> bool {
        self.source.is_none() && matches!(self.work, None | Some(Work::Modifying { .. }))
    }

    /// Reports whether it is a replica that still follows its source.
    pub(crate) fn is_replicating(&self) -> bool {
        self.source.as_ref().is_some_and(|s| !s.detached) && !matches!(self.work, Some(Work::Creating { .. } | Work::Deleting { .. }))
    }
}

impl World {
    /// Finds an instance in any region by its resource id.
    pub(crate) fn database_by_resource(&self, resource_id: &str) -> Option<(&str, &Database)> {
        self.regions
            .iter()
            .find_map(|(region, r)| r.databases.values().find(|d| d.resource_id == resource_id).map(|d| (region.as_str(), d)))
    }

    /// Finds the instance that takes a region's writes: the one promoted last, of those the application knows.
    pub(crate) fn writable_database(&self, region: &str) -> Option<&Database> {
        let patterns = self.application.databases.get(region)?;
        let known = |d: &&Database| patterns.iter().any(|p| super::matches(p, &d.id));
        let databases = self.region(region)?.databases.values();
        databases.filter(known).filter(|d| d.is_writable()).max_by_key(|d| d.promoted_at)
    }

    /// Reports whether another instance has been promoted from this one.
    pub(crate) fn is_superseded(&self, resource_id: &str) -> bool {
        let databases = self.regions.values().flat_map(|r| r.databases.values());
        databases.into_iter().any(|d| d.promoted_from.as_deref() == Some(resource_id) && !matches!(d.work, Some(Work::Deleting { .. })))
    }

    /// Cuts replication and begins to promote; returns how many rows only the source has.
    pub(crate) fn promote(&mut self, region: &str, id: &str, retention: u32) -> Option<u64> {
        let now = self.now;
        let unseen = self.draw_ms(&format!("promote-unseen/{region}/{id}"), self.timings.promote_unseen);
        let takes = self.draw_ms(&format!("promote/{region}/{id}"), self.timings.promote).max(unseen);
        let source = self.region(region)?.databases.get(id)?.source.clone()?;
        let rows = self.database_by_resource(&source.resource_id).map(|(_, s)| s.rows.clone());
        let database = self.region_mut(region).databases.get_mut(id)?;
        let mut lost = 0;
        if let Some(rows) = rows {
            database.rows = rows.until(source.replicated_to);
            lost = rows.count() - database.rows.count();
        }
        database.promoted_from = Some(source.resource_id);
        database.source.as_mut()?.detached = true;
        database.work = Some(Work::Promoting {
            unseen_until: now + unseen,
            reboots_at: now + unseen + (takes - unseen) * 6 / 10,
            until: now + takes,
            retention,
        });
        self.traffic.lose(now, lost);
        Some(lost)
    }

    pub(super) fn databases_become_due(&mut self) {
        let now = self.now;
        let databases = self.regions.iter().flat_map(|(r, region)| region.databases.values().map(move |d| (r, d)));
        let due = databases.filter_map(|(r, d)| Some((d.work_ends().filter(|at| now >= *at)?, format!("rds/{r}/{}", d.id))));
        self.tell_transitions(due.collect());
        for region in self.regions.values_mut() {
            region.databases.retain(|_, d| !matches!(d.work, Some(Work::Deleting { until }) if now >= until));
            let mut renamed = Vec::new();
            for database in region.databases.values_mut() {
                renamed.extend(database.finish_work(now).map(|new| (database.id.clone(), new)));
            }
            for (old, new) in renamed {
                if let Some(mut database) = region.databases.remove(&old) {
                    database.id = new.clone();
                    region.databases.insert(new, database);
                }
            }
        }
        self.replicate();
    }

    /// Moves every replica's position forward, and keeps the lag of each minute.
    fn replicate(&mut self) {
        let replicas: Vec<(String, String)> = self
            .regions
            .iter()
            .flat_map(|(r, region)| region.databases.values().filter(|d| d.is_replicating()).map(|d| (r.clone(), d.id.clone())))
            .collect();
        for (region, id) in replicas {
            self.replicate_one(&region, &id);
        }
    }

    fn replicate_one(&mut self, region: &str, id: &str) -> Option<()> {
        let now = self.now;
        let replica = self.region(region)?.databases.get(id)?;
        let source = replica.source.as_ref()?;
        let reachable = !self.conditions.region_is_out(&source.region) && !self.conditions.region_is_out(region);
        let master = self.database_by_resource(&source.resource_id).map(|(_, s)| (s.id.clone(), s.rows.last()));
        let behind = self.conditions.lag(id).map_or_else(|| self.natural_lag(replica), |ms| ms as f64 / 1000.0);
        let held = self.conditions.lag(id);
        let (is_there, last_row) = (master.is_some() && reachable, master.as_ref().and_then(|(_, last)| *last));

        let overloaded = self.conditions.is_under_write_load(&source.id);
        let source = self.region_mut(region).databases.get_mut(id)?.source.as_mut()?;
        match source.falling_behind {
            None if overloaded => source.falling_behind = Some((now, behind)),
            // What has piled up is worked off as by a new replica.
            Some(_) if !overloaded => (source.falling_behind, source.catching_up) = (None, Some((now, behind))),
            None | Some(_) => {}
        }
        if is_there {
            source.replicated_to = source.replicated_to.max(now.saturating_sub((behind * 1000.0) as Ms));
        }
        if let Some((id, _)) = master {
            source.id = id;
        }
        let seen = match held {
            Some(ms) => ms as f64 / 1000.0,
            None if !is_there => (now - source.replicated_to) as f64 / 1000.0,
            None if last_row.is_none_or(|last| last <= source.replicated_to) && now - last_row.unwrap_or(0) > 5000 => 0.0,
            None => behind,
        };
        let minute = now.div_euclid(60_000);
        match source.lag_by_minute.back_mut() {
            Some(last) if last.0 == minute => last.1 = seen,
            _ => source.lag_by_minute.push_back((minute, seen)),
        }
        if source.lag_by_minute.len() > LAG_MINUTES_MAX {
            source.lag_by_minute.pop_front();
        }
        Some(())
    }

    /// How far behind a replica is when nothing holds it: a new value every minute, or what it has yet to catch up.
    fn natural_lag(&self, replica: &Database) -> f64 {
        let span = self.timings.replica_lag;
        let minute = self.now.div_euclid(60_000).unsigned_abs();
        let base = span.min + (span.max - span.min) * unit(self.seed, &replica.resource_id, minute);
        let since = |from: Ms| (self.now - from) as f64 / 1000.0;
        let source = replica.source.as_ref();
        if let Some((from, behind)) = source.and_then(|s| s.falling_behind) {
            return behind + FALLS_BEHIND * since(from);
        }
        let catching_up = source.and_then(|s| s.catching_up);
        catching_up.map_or(base, |(from, behind)| base.max(behind - CATCH_UP * since(from)))
    }
}

impl Database {
    /// Returns when its work ends, if there is any.
    fn work_ends(&self) -> Option<Ms> {
        match self.work.as_ref()? {
            Work::Creating { until } | Work::Promoting { until, .. } | Work::Modifying { until, .. } | Work::Deleting { until } => {
                Some(*until)
            }
        }
    }

    /// Finishes the work that is due; returns the new name if it was to be renamed.
    fn finish_work(&mut self, now: Ms) -> Option<String> {
        match self.work.clone() {
            Some(Work::Creating { until }) if now >= until => {
                self.work = None;
                if let Some(source) = &mut self.source {
                    let behind = source.catching_up.map_or(0.0, |(_, behind)| behind);
                    source.catching_up = Some((until, behind));
                    source.replicated_to = until - (behind * 1000.0) as Ms;
                }
                None
            }
            Some(Work::Promoting { until, retention, .. }) if now >= until => {
                self.work = None;
                self.source = None;
                self.promoted_at = Some(until);
                self.retention = retention;
                None
            }
            Some(Work::Modifying { until, changes, .. }) if now >= until => {
                self.work = None;
                self.change(changes)
            }
            _ => None,
        }
    }

    fn change(&mut self, changes: Changes) -> Option<String> {
        self.retention = changes.retention.unwrap_or(self.retention);
        self.multi_az = changes.multi_az.unwrap_or(self.multi_az);
        self.deletion_protection = changes.deletion_protection.unwrap_or(self.deletion_protection);
        self.allocated_storage = changes.allocated_storage.unwrap_or(self.allocated_storage);
        if let Some(class) = changes.class {
            self.class = class;
        }
        changes.id
    }
}
