//! What a world file says of Route 53: health checks, zones and their records.

use serde::Deserialize;

/// A Route 53 health check on a load balancer's host name or an object of S3, one that follows a routing control, or one that is calculated from
/// others.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HealthCheckDef {
    pub(crate) id: String,
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) fqdn: String,
    #[serde(default)]
    pub(crate) port: u16,
    #[serde(default)]
    pub(crate) path: String,
    #[serde(default)]
    pub(crate) interval: u32,
    #[serde(default)]
    pub(crate) failure_threshold: u32,
    /// Whether it is healthy when its endpoint is not.
    #[serde(default)]
    pub(crate) inverted: bool,
    /// The ARN of the routing control that it follows.
    #[serde(default)]
    pub(crate) routing_control: Option<String>,
    /// The checks that it is calculated from, and how many of them have to be healthy.
    #[serde(default)]
    pub(crate) children: Vec<String>,
    #[serde(default)]
    pub(crate) health_threshold: usize,
}

/// A hosted zone.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ZoneDef {
    pub(crate) id: String,
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) private: bool,
    #[serde(default)]
    pub(crate) records: Vec<RecordDef>,
}

/// A record set.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecordDef {
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) set_identifier: Option<String>,
    #[serde(default)]
    pub(crate) weight: Option<u8>,
    #[serde(default)]
    pub(crate) failover: Option<String>,
    #[serde(default)]
    pub(crate) health_check: Option<String>,
    #[serde(default)]
    pub(crate) ttl: Option<u32>,
    #[serde(default)]
    pub(crate) values: Vec<String>,
    #[serde(default)]
    pub(crate) alias: Option<AliasDef>,
}

/// An alias to a load balancer, or to the one of an ingress: `cluster/namespace/ingress`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AliasDef {
    pub(crate) region: String,
    pub(crate) load_balancer: String,
    #[serde(default)]
    pub(crate) evaluate_target_health: bool,
}
