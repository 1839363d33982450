//! Amazon Application Recovery Controller: a cluster of endpoints that hold the states of routing controls, and the rules that guard them. The
//! endpoints agree at once, and the cluster takes changes as long as one of them answers: of the five of a real one, three have to.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Ms;
use super::dns::HealthCheck;
use crate::def::RecoveryDef;

/// How often a health check looks at the routing control that it follows.
pub(super) const FOLLOWS_EVERY: Ms = 5000;

/// A cluster.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Recovery {
    /// The regions of its endpoints.
    pub(crate) endpoints: BTreeSet<String>,
    /// Its routing controls by ARN, and whether each is On.
    pub(crate) controls: BTreeMap<String, bool>,
    rules: BTreeMap<String, Rule>,
}

/// An assertion rule.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Rule {
    controls: Vec<String>,
    at_least: usize,
}

impl Recovery {
    pub(super) fn begin(def: &RecoveryDef) -> Recovery {
        let rule =
            |(arn, rule): (&String, &crate::def::RuleDef)| (arn.clone(), Rule { controls: rule.controls.clone(), at_least: rule.at_least });
        Recovery { endpoints: def.endpoints.clone(), controls: def.controls.clone(), rules: def.rules.iter().map(rule).collect() }
    }

    /// Returns the rule that these states would break, if one would that is not overridden. Only rules of a control that is set are asked.
    pub(crate) fn broken_by(&self, states: &BTreeMap<String, bool>, overridden: &[String]) -> Option<&str> {
        let after = |control: &String| states.get(control).or(self.controls.get(control)).copied().unwrap_or_default();
        let breaks = |rule: &Rule| {
            rule.controls.iter().any(|control| states.contains_key(control))
                && rule.controls.iter().filter(|control| after(control)).count() < rule.at_least
        };
        self.rules.iter().find(|(arn, rule)| !overridden.contains(arn) && breaks(rule)).map(|(arn, _)| arn.as_str())
    }

    /// Lets a health check follow its routing control.
    pub(super) fn lead(&self, check: &mut HealthCheck, now: Ms) {
        let Some(on) = check.routing_control.as_ref().and_then(|control| self.controls.get(control)) else { return };
        check.last = format!("The routing control is {}", if *on { "On" } else { "Off" });
        check.checked = now;
        check.next_check = now + FOLLOWS_EVERY;
        let healthy = *on != check.inverted;
        if healthy != check.healthy {
            check.healthy = healthy;
            check.history.push((now.div_euclid(60_000), healthy));
        }
    }
}
