//! What a world file says of Amazon Application Recovery Controller: a cluster of endpoints, its routing controls, and their safety rules.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::error::WorldError;

/// A cluster of ARC.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecoveryDef {
    /// The regions of its endpoints.
    pub(crate) endpoints: BTreeSet<String>,
    /// Its routing controls by ARN, and whether each is On.
    pub(crate) controls: BTreeMap<String, bool>,
    /// Its assertion rules by ARN.
    #[serde(default)]
    pub(crate) rules: BTreeMap<String, RuleDef>,
}

/// An assertion rule: of these controls so many have to be On.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RuleDef {
    pub(crate) controls: Vec<String>,
    #[serde(default = "one")]
    pub(crate) at_least: usize,
}

const fn one() -> usize {
    1
}

impl RecoveryDef {
    /// Refuses rules that name what is not there.
    pub(super) fn check(&self) -> Result<(), WorldError> {
        for (arn, rule) in &self.rules {
            if let Some(lost) = rule.controls.iter().find(|control| !self.controls.contains_key(*control)) {
                return Err(WorldError::Impossible(format!("recovery: rule '{arn}' names routing control '{lost}', which is not there")));
            }
        }
        Ok(())
    }
}
