//! The log of mutating calls: what was asked of the simulated cloud, and whether it changed anything.

use serde::{Deserialize, Serialize};

/// One mutating API call, in the order in which the simulated cloud received them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallRecord {
    /// Position in the log, from 1.
    pub seq: u64,
    /// Virtual instant of the call.
    pub at: jiff::Timestamp,
    /// Region whose endpoint was called (`us-east-1` for Route 53).
    pub region: String,
    /// Service by its endpoint name: `rds`, `autoscaling`, `eks`, `route53`, `sns`, ….
    pub service: String,
    /// API action, such as `PromoteReadReplica`.
    pub action: String,
    /// The resource that the call was about, by name.
    pub resource: String,
    /// Whether the call changed the world: a repetition that changed nothing is not effective.
    pub effective: bool,
    /// The service's error code, if it refused.
    pub error: Option<String>,
    /// The request's parameters, shortened.
    pub params: serde_json::Value,
}

/// How often an action was called, with or without effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiUse {
    /// Service by its endpoint name.
    pub service: String,
    /// Region whose endpoint was called (`us-east-1` for Route 53).
    pub region: String,
    /// API action, such as `GetChange`.
    pub action: String,
    /// Calls that were answered.
    pub calls: u64,
    /// Of these, the ones that were turned away because there were too many.
    pub throttled: u64,
}
