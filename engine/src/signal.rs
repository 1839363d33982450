//! [`Signal`]: what a step works on and can be kept an eye on, before and after a run. Each kind names its own
//! ([`StepKind::signals`](crate::step::StepKind::signals)). Knows nothing of how it is watched, and by whom.

/// Something whose state can be watched.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signal {
    /// How far a database replica is behind its source.
    ReplicaLag {
        /// The replica.
        instance: String,
        /// Its region.
        region: String,
    },
    /// How many targets of a load balancer are healthy.
    HealthyTargets {
        /// The targets' group: its name, or its ARN.
        group: String,
        /// Its region.
        region: String,
        /// How many have to be for users to be served; `None` when the step only knows a part.
        least: Option<u32>,
    },
    /// How many servers a group has.
    GroupSize {
        /// The group.
        group: String,
        /// Its region.
        region: String,
    },
    /// Whether the side that a DNS record leads its users to is healthy.
    RecordHealth {
        /// The hosted zone's name.
        zone: String,
        /// Its id, if that is given.
        zone_id: Option<String>,
        /// Whether it is a private one.
        private: bool,
        /// The record's name.
        record: String,
        /// The record's type.
        kind: String,
    },
    /// People who are told by a topic.
    Topic {
        /// The topic: its name, or its ARN.
        topic: String,
        /// Its region.
        region: String,
    },
}

impl Signal {
    /// Returns the names that it has from the step's params.
    pub(crate) fn names(&self) -> Vec<&str> {
        match self {
            Self::ReplicaLag { instance: name, region }
            | Self::HealthyTargets { group: name, region, .. }
            | Self::GroupSize { group: name, region }
            | Self::Topic { topic: name, region } => vec![name, region],
            Self::RecordHealth { zone, zone_id, record, .. } => {
                [Some(zone), zone_id.as_ref(), Some(record)].into_iter().flatten().map(String::as_str).collect()
            }
        }
    }
}
