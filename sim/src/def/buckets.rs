//! Buckets in a world file that keep versions, and may be copied.

use serde::{Deserialize, Serialize};

/// A bucket that keeps versions of its objects.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DataBucketDef {
    pub(crate) name: String,
    /// Whether that is switched off again.
    #[serde(default)]
    pub(crate) suspended: bool,
    /// Where it is copied to.
    #[serde(default)]
    pub(crate) copied: Option<CopyRule>,
}

/// A rule by which a bucket is copied.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CopyRule {
    pub(crate) rule: String,
    pub(crate) to: String,
    #[serde(default)]
    pub(crate) prefix: String,
    #[serde(default)]
    pub(crate) disabled: bool,
}
