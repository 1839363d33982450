//! The application in a world file: its sites, its write lease, its databases, and what its users do when it fails.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The application that users ask for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApplicationDef {
    pub(crate) host: String,
    pub(crate) health_path: String,
    /// The host name of the application in the clusters, if there is traffic to it.
    #[serde(default)]
    pub(crate) shop: Option<String>,
    /// The write lease that the application keeps, if it keeps one.
    #[serde(default)]
    pub(crate) lease: Option<LeaseDef>,
    pub(crate) resolver_ttl: u32,
    pub(crate) stampede: Stampede,
    pub(crate) databases: BTreeMap<String, Vec<String>>,
}

/// The object that says which region's servers take writes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LeaseDef {
    pub(crate) region: String,
    pub(crate) bucket: String,
    pub(crate) key: String,
    /// Who holds it at first.
    pub(crate) holder: String,
    /// For how many seconds a server relies on what it read.
    pub(crate) ttl: u32,
}

/// How long the backlog of retries lasts, see the world file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stampede {
    pub(crate) factor: f64,
    pub(crate) max: f64,
}
