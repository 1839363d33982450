//! Load balancers in a world file, and the certificates that they show.

use serde::Deserialize;

/// A load balancer and the target groups that its listener forwards to.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LoadBalancerDef {
    pub(crate) name: String,
    pub(crate) dns_name: String,
    pub(crate) zone_id: String,
    pub(crate) target_groups: Vec<String>,
    /// What its HTTPS listener shows; without one it only listens on HTTP.
    #[serde(default = "a_certificate")]
    pub(crate) certificate: Option<CertificateDef>,
}

/// A certificate of ACM.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct CertificateDef {
    pub(crate) status: String,
    /// How many days it is good when the world begins.
    pub(crate) days: i64,
    /// Whether it was deleted.
    pub(crate) gone: bool,
}

impl Default for CertificateDef {
    fn default() -> Self {
        Self { status: "ISSUED".to_owned(), days: 200, gone: false }
    }
}

fn a_certificate() -> Option<CertificateDef> {
    Some(CertificateDef::default())
}
