//! The images that a region's registry has, and where it copies those that are pushed. The simulator pushes none.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::hash;

/// The registry of a region, as a world file gives it and as the world keeps it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Registry {
    /// By `repository:tag`, a word that stands for what is in the image: those of equal words are the same.
    pub(crate) images: BTreeMap<String, String>,
    /// Where what is pushed is copied to.
    pub(crate) copies: Vec<CopiedTo>,
}

/// A rule of a registry.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CopiedTo {
    pub(crate) region: String,
    /// What the repositories begin with that it is about; all of them if none is given.
    #[serde(default)]
    pub(crate) prefixes: Vec<String>,
}

/// An image, as it is told.
pub(crate) struct Image<'a> {
    pub(crate) tag: &'a str,
    pub(crate) digest: String,
}

impl Registry {
    /// Returns the images of a repository; none if there is no such repository.
    pub(crate) fn of<'a>(&'a self, repository: &'a str) -> impl Iterator<Item = Image<'a>> {
        let named = self.images.iter().filter_map(|(name, content)| Some((name.split_once(':')?, content)));
        named.filter(move |((name, _), _)| *name == repository).map(|((name, tag), content)| Image { tag, digest: digest(name, content) })
    }
}

fn digest(repository: &str, content: &str) -> String {
    let parts: Vec<_> = (0..4).map(|part| format!("{:016x}", hash(part, &format!("{repository}/{content}"), 11))).collect();
    format!("sha256:{}", parts.concat())
}
