//! The keys of KMS that databases are encrypted with. Nothing happens to a database whose key is gone; a describe of the key tells.

use serde::{Deserialize, Serialize};

use super::{World, hash};

/// A key, as a world file gives it and as the world keeps it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Key {
    pub(crate) id: String,
    /// Such as `alias/prod-db`.
    #[serde(default)]
    pub(crate) alias: Option<String>,
    #[serde(default = "enabled")]
    pub(crate) state: String,
}

fn enabled() -> String {
    "Enabled".to_owned()
}

/// The alias of the key that AWS itself keeps for RDS.
const MANAGED: &str = "alias/aws/rds";

impl World {
    /// Returns a key of a region by its id, its alias, or the ARN of either. The one that AWS keeps for RDS is in every region.
    pub(crate) fn key(&self, region: &str, wanted: &str) -> Option<Key> {
        let bare = match wanted.starts_with("arn:") {
            true => wanted.strip_prefix(&self.arn("kms", region, ""))?,
            false => wanted,
        };
        let bare = bare.strip_prefix("key/").unwrap_or(bare);
        let word = hash(13, region, 0);
        let managed = Key {
            id: format!("{:08x}-0000-4000-8000-{:012x}", word >> 32, word & 0xffff_ffff),
            alias: Some(MANAGED.to_owned()),
            state: enabled(),
        };
        let keys = self.region(region).into_iter().flat_map(|region| &region.keys).chain([&managed]);
        keys.into_iter().find(|key| key.id == bare || key.alias.as_deref() == Some(bare)).cloned()
    }
}
