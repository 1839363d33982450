//! The state of the simulated cloud and what time does to it. Knows nothing of wire formats, files or real clocks.

pub(crate) mod app;
pub(crate) mod autoscaling;
pub(crate) mod conditions;
pub(crate) mod database;
pub(crate) mod dns;
pub(crate) mod ec2;
pub(crate) mod eks;
pub(crate) mod keys;
mod lease;
pub(crate) mod monitoring;
pub(crate) mod objects;
mod recovery;
pub(crate) mod registry;
pub(crate) mod rows;
pub(crate) mod seed;
mod status;
pub(crate) mod users;
pub(crate) mod workloads;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub(crate) use conditions::Conditions;

use crate::def::{ApplicationDef, Ec2Def, PeeringDef, Span, Timings};

/// Milliseconds since 1970, virtual.
pub(crate) type Ms = i64;

/// Virtual time that passed at once beyond this is walked through in minutes rather than seconds.
const SECONDS_BY_SECOND_MAX: Ms = 12 * 3600;

/// How many transitions are remembered.
const TRANSITIONS_MAX: usize = 10_000;

/// The whole simulated cloud.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct World {
    pub(crate) version: u32,
    pub(crate) account: String,
    pub(crate) principal: String,
    pub(crate) seed: u64,
    /// How often each label has been drawn for.
    pub(crate) draws: BTreeMap<String, u64>,
    pub(crate) started: Ms,
    pub(crate) now: Ms,
    /// Entries of the call log that belong to this world.
    pub(crate) entries: u64,
    pub(crate) timings: Timings,
    pub(crate) application: ApplicationDef,
    pub(crate) incident: Option<Incident>,
    pub(crate) regions: BTreeMap<String, Region>,
    #[serde(default)]
    pub(crate) peerings: Vec<PeeringDef>,
    pub(crate) dns: dns::Dns,
    #[serde(default)]
    pub(crate) recovery: recovery::Recovery,
    pub(crate) traffic: users::Traffic,
    /// What the users of the application in the clusters have met.
    pub(crate) shop: workloads::ShopTraffic,
    /// What the servers of each region know of the write lease.
    #[serde(default)]
    pub(crate) leases: lease::Readings,
    /// The buckets of Velero's backups, by name: they outlive a region.
    pub(crate) buckets: BTreeMap<String, workloads::Bucket>,
    /// How often each counted fault has struck, by its text.
    pub(crate) faults_used: BTreeMap<String, u64>,
    /// SNS FIFO messages of the last minutes: deduplication id to message id and instant.
    pub(crate) published: BTreeMap<String, (String, Ms)>,
    #[serde(skip)]
    pub(crate) conditions: Conditions,
    /// The latest ends of what took time, in the order in which they were come upon.
    #[serde(skip)]
    pub(crate) transitions: Vec<(Ms, String)>,
}

/// When a region's servers and databases do not answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Incident {
    pub(crate) region: String,
    pub(crate) from: Ms,
    pub(crate) until: Option<Ms>,
}

/// What a region holds, by name.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Region {
    pub(crate) databases: BTreeMap<String, database::Database>,
    pub(crate) snapshots: BTreeMap<String, database::Snapshot>,
    pub(crate) groups: BTreeMap<String, autoscaling::Group>,
    pub(crate) load_balancers: BTreeMap<String, app::LoadBalancer>,
    pub(crate) target_groups: BTreeMap<String, app::TargetGroup>,
    pub(crate) clusters: BTreeMap<String, eks::Cluster>,
    pub(crate) topics: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) subscriptions: Vec<Subscription>,
    /// The objects of S3 by bucket and key.
    #[serde(default)]
    pub(crate) objects: BTreeMap<String, BTreeMap<String, objects::Object>>,
    /// What the buckets keep that keep more than their objects.
    #[serde(default)]
    pub(crate) data_buckets: BTreeMap<String, objects::DataBucket>,
    #[serde(default)]
    pub(crate) registry: registry::Registry,
    #[serde(default)]
    pub(crate) keys: Vec<keys::Key>,
    /// The instance classes of RDS that it has not.
    #[serde(default)]
    pub(crate) lacks_classes: Vec<String>,
    #[serde(default)]
    pub(crate) monitoring: monitoring::Monitoring,
    #[serde(default)]
    pub(crate) ec2: Ec2Def,
}

/// Who is told what is published to a topic.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Subscription {
    /// The topic's name.
    pub(crate) topic: String,
    /// `None` while it waits to be confirmed.
    pub(crate) arn: Option<String>,
    pub(crate) protocol: String,
    pub(crate) endpoint: String,
}

impl World {
    /// The version of the kept form.
    pub(crate) const VERSION: u32 = 2;

    /// Brings the world up to `to`: carries out, second by second and in order, all that becomes due on the way.
    pub(crate) fn advance(&mut self, to: Ms) {
        while self.now < to {
            let step = if to - self.now > SECONDS_BY_SECOND_MAX * 1000 { 60_000 } else { 1000 };
            let next = (self.now - self.now.rem_euclid(1000) + step).min(to);
            let new_minute = self.now.div_euclid(monitoring::MINUTE) != next.div_euclid(monitoring::MINUTE);
            self.now = next;
            self.read_lease();
            self.become_due();
            if new_minute {
                self.count_for_metrics();
            }
            self.send_user_requests();
            self.send_shop_requests();
        }
    }

    /// Carries out the transitions that are due at `now`.
    fn become_due(&mut self) {
        self.databases_become_due();
        self.groups_become_due();
        self.nodegroups_become_due();
        self.workloads_become_due();
        self.dns_becomes_due();
    }

    /// Remembers when things became what they were to become; what is about no more than that many is forgotten.
    pub(super) fn tell_transitions(&mut self, transitions: Vec<(Ms, String)>) {
        self.transitions.extend(transitions);
        let beyond = self.transitions.len().saturating_sub(TRANSITIONS_MAX);
        self.transitions.drain(..beyond);
    }

    /// Takes over what goes wrong on purpose.
    pub(crate) fn set_conditions(&mut self, conditions: Conditions) {
        if conditions.primary_alive {
            self.incident = None;
        }
        self.conditions = conditions;
        self.wake_clusters();
    }

    /// Draws a number of seconds; the n-th draw for a label does not depend on the draws for others.
    pub(crate) fn draw(&mut self, label: &str, span: Span) -> f64 {
        let count = self.draws.entry(label.to_owned()).or_insert(0);
        *count += 1;
        let unit = unit(self.seed, label, *count);
        span.min + (span.max - span.min) * unit
    }

    /// Draws a duration in milliseconds.
    pub(crate) fn draw_ms(&mut self, label: &str, span: Span) -> Ms {
        (self.draw(label, span) * 1000.0) as Ms
    }

    /// Draws an identifier of `digits` hexadecimal digits.
    pub(crate) fn draw_hex(&mut self, label: &str, digits: usize) -> String {
        let count = self.draws.entry(label.to_owned()).or_insert(0);
        *count += 1;
        let mut rng = fastrand::Rng::with_seed(hash(self.seed, label, *count));
        (0..digits).map(|_| char::from_digit(rng.u32(0..16), 16).unwrap_or('0')).collect()
    }

    /// Draws an identifier of the form of a UUID.
    pub(crate) fn draw_uuid(&mut self, label: &str) -> String {
        let hex = self.draw_hex(label, 32);
        format!("{}-{}-4{}-8{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..])
    }

    /// Finds a region; one that the world file does not mention is empty.
    pub(crate) fn region(&self, name: &str) -> Option<&Region> {
        self.regions.get(name)
    }

    /// Finds a region to change it.
    pub(crate) fn region_mut(&mut self, name: &str) -> &mut Region {
        self.regions.entry(name.to_owned()).or_default()
    }

    /// Reports whether servers and databases of the region answer anybody.
    pub(crate) fn data_plane_is_up(&self, region: &str) -> bool {
        let incident = self
            .incident
            .as_ref()
            .is_some_and(|i| i.region == region && self.now >= i.from && i.until.is_none_or(|until| self.now < until));
        !incident && !self.conditions.region_is_out(region)
    }

    /// Makes an ARN of this account.
    pub(crate) fn arn(&self, service: &str, region: &str, resource: &str) -> String {
        format!("arn:aws:{service}:{region}:{}:{resource}", self.account)
    }
}

/// Turns virtual milliseconds into a timestamp; what no calendar holds becomes its end.
pub(crate) fn timestamp(ms: Ms) -> jiff::Timestamp {
    jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::MAX)
}

/// Mixes a seed, a label and a count (FNV-1a): stable across versions of Rust, unlike std's hasher.
pub(crate) fn hash(seed: u64, label: &str, count: u64) -> u64 {
    let bytes = seed.to_le_bytes().into_iter().chain(label.bytes()).chain(count.to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// Draws from [0, 1).
pub(crate) fn unit(seed: u64, label: &str, count: u64) -> f64 {
    fastrand::Rng::with_seed(hash(seed, label, count)).f64()
}

/// Matches a name against a pattern in which `*` stands for anything.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((head, "")) => name.starts_with(head),
        Some((head, tail)) => {
            name.strip_prefix(head).is_some_and(|rest| (0..=rest.len()).any(|i| rest.get(i..).is_some_and(|r| matches(tail, r))))
        }
    }
}
