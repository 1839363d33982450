//! The ways of `Route53Failover`: what each is given, what of that is nonsense, and which rights each needs.

use std::collections::BTreeSet;

use serde::Deserialize;
use wf_engine::step::{Iam, Reversibility};

use crate::aws::object::Object;
use crate::aws::recovery_cluster::{CONTROLS_MAX, Endpoint, is_arn};

/// The rights of all ways together.
pub(super) const EVERY: Iam = Iam {
    read: &[
        "route53:ListHostedZonesByName",
        "route53:ListResourceRecordSets",
        "route53:GetChange",
        "route53:GetHealthCheck",
        "route53:GetHealthCheckStatus",
        "route53:GetHostedZone",
        "route53-recovery-cluster:GetRoutingControlState",
        "s3:GetObject",
        "s3:ListBucket",
    ],
    apply: &["route53:ChangeResourceRecordSets", "route53-recovery-cluster:UpdateRoutingControlStates", "s3:PutObject", "s3:DeleteObject"],
    compensate: &["route53-recovery-cluster:UpdateRoutingControlStates", "s3:DeleteObject", "s3:PutObject"],
    ready: &[],
};

/// How a record is brought to point elsewhere.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Via {
    /// By an edit of the record, by Route 53's control plane.
    #[default]
    RecordEdit,
    /// By an object that the inverted health check of the primary record watches; nothing is asked of Route 53's control plane.
    StopObject {
        /// The object's bucket, in the standby region.
        bucket: String,
        /// The object's key.
        key: String,
        /// The standby region.
        region: String,
        /// Whether the object is to be there. Without it the users go back, once the primary record is healthy.
        #[serde(default = "yes")]
        present: bool,
    },
    /// By routing controls of Amazon Application Recovery Controller, which the record's health check follows; nothing is asked of Route 53's
    /// control plane.
    RoutingControl {
        /// The endpoints of the controls' cluster: five, in as many regions.
        endpoints: Vec<Endpoint>,
        /// The ARNs of the controls that are to be On.
        #[serde(default)]
        on: Vec<String>,
        /// The ARNs of the controls that are to be Off.
        #[serde(default)]
        off: Vec<String>,
        /// The ARNs of safety rules that may be broken.
        #[serde(default)]
        override_safety_rules: Vec<String>,
    },
    /// By nobody: the health check of the primary record turns when the primary is down. It is waited for, and nothing is changed.
    HealthCheck,
}

const fn yes() -> bool {
    true
}

impl Via {
    /// The word for it in a plan.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::RecordEdit => "RecordEdit",
            Self::StopObject { .. } => "StopObject",
            Self::RoutingControl { .. } => "RoutingControl",
            Self::HealthCheck => "HealthCheck",
        }
    }

    pub(super) const fn reversibility(&self) -> Reversibility {
        match self {
            Self::HealthCheck => Reversibility::ReadOnly,
            Self::RecordEdit | Self::StopObject { .. } | Self::RoutingControl { .. } => Reversibility::Reversible,
        }
    }

    /// Names what is nonsense.
    pub(super) fn problems(&self, create: bool) -> Vec<String> {
        let mut problems = match self {
            Self::RecordEdit | Self::HealthCheck => Vec::new(),
            Self::StopObject { bucket, key, region, .. } => Object { bucket, key, region }.problems(),
            Self::RoutingControl { endpoints, on, off, override_safety_rules } => {
                let mut problems = of_endpoints(endpoints);
                problems.extend(of_controls(on, off));
                problems.extend(of_rules(override_safety_rules));
                problems
            }
        };
        if create && *self != Self::RecordEdit {
            problems.push(format!("`create` makes a record, which `via: {}` does not", self.name()));
        }
        problems
    }

    /// Returns the rights that it needs.
    pub(super) fn iam(&self) -> Iam {
        match self {
            Self::RecordEdit => Iam {
                read: &[
                    "route53:ListHostedZonesByName",
                    "route53:ListResourceRecordSets",
                    "route53:GetChange",
                    "route53:GetHealthCheck",
                    "route53:GetHealthCheckStatus",
                ],
                apply: &["route53:ChangeResourceRecordSets"],
                compensate: &[],
                ready: &[],
            },
            Self::HealthCheck => Iam {
                read: &[
                    "route53:ListHostedZonesByName",
                    "route53:ListResourceRecordSets",
                    "route53:GetHealthCheck",
                    "route53:GetHealthCheckStatus",
                    "route53:GetHostedZone",
                ],
                apply: &[],
                compensate: &[],
                ready: &[],
            },
            Self::RoutingControl { .. } => Iam {
                read: &[
                    "route53:ListHostedZonesByName",
                    "route53:ListResourceRecordSets",
                    "route53:GetHealthCheck",
                    "route53:GetHostedZone",
                    "route53-recovery-cluster:GetRoutingControlState",
                ],
                apply: &["route53-recovery-cluster:UpdateRoutingControlStates"],
                compensate: &["route53-recovery-cluster:UpdateRoutingControlStates"],
                ready: &[],
            },
            Self::StopObject { present, .. } => Iam {
                read: &[
                    "route53:ListHostedZonesByName",
                    "route53:ListResourceRecordSets",
                    "route53:GetHealthCheck",
                    "route53:GetHealthCheckStatus",
                    "s3:GetObject",
                    "s3:ListBucket",
                ],
                apply: if *present { &["s3:PutObject"] } else { &["s3:DeleteObject"] },
                compensate: if *present { &["s3:DeleteObject"] } else { &["s3:PutObject"] },
                ready: &[],
            },
        }
    }
}

fn of_endpoints(endpoints: &[Endpoint]) -> Vec<String> {
    let mut problems = Vec::new();
    if endpoints.is_empty() {
        problems.push(
            "`endpoints` names none: a cluster has five, which `aws route53-recovery-control-config describe-cluster` lists".to_owned(),
        );
    }
    let mut regions = BTreeSet::new();
    for Endpoint { url, region } in endpoints {
        if !url.starts_with("https://") && !url.starts_with("http://") {
            problems.push(format!("`endpoints`: the `url` \"{}\" does not begin with https://", url.escape_debug()));
        }
        let host = url.split("://").nth(1).unwrap_or_default().split(['/', ':']).next().unwrap_or_default();
        if host.contains(".amazonaws.com") && !region.is_empty() && !host.split('.').any(|label| label == region) {
            problems.push(format!("`endpoints`: {} is not in region {}", url.escape_debug(), region.escape_debug()));
        }
        if region.is_empty() {
            problems.push(format!("`endpoints`: {} has no `region`", url.escape_debug()));
        } else if !regions.insert(region) {
            problems.push(format!("`endpoints` has region {} twice: a cluster has one endpoint in a region", region.escape_debug()));
        }
    }
    problems
}

fn of_controls(on: &[String], off: &[String]) -> Vec<String> {
    let (mut problems, mut seen) = (Vec::new(), BTreeSet::new());
    if on.is_empty() && off.is_empty() {
        problems.push("`on` and `off` name no routing control".to_owned());
    }
    for control in on.iter().chain(off) {
        if !is_arn(control, "routingcontrol") {
            let form = "arn:aws:route53-recovery-control::ACCOUNT:controlpanel/…/routingcontrol/…";
            problems.push(format!("\"{}\" is not the ARN of a routing control: {form}", control.escape_debug()));
        }
        if !seen.insert(control) {
            let both = on.contains(control) && off.contains(control);
            problems.push(format!("routing control {} is named twice{}", control.escape_debug(), if both { ", On and Off" } else { "" }));
        }
    }
    if on.len() + off.len() > CONTROLS_MAX {
        problems.push(format!("`on` and `off` name {} routing controls: one call sets {CONTROLS_MAX} at most", on.len() + off.len()));
    }
    problems
}

fn of_rules(rules: &[String]) -> Vec<String> {
    let wrong = rules.iter().filter(|rule| !is_arn(rule, "safetyrule"));
    let form = "arn:aws:route53-recovery-control::ACCOUNT:controlpanel/…/safetyrule/…";
    wrong.map(|rule| format!("`override_safety_rules`: \"{}\" is not the ARN of a safety rule: {form}", rule.escape_debug())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rights_of_all_ways_are_those_of_each() {
        let stop = |present| Via::StopObject { bucket: String::new(), key: String::new(), region: String::new(), present };
        let control = Via::RoutingControl { endpoints: Vec::new(), on: Vec::new(), off: Vec::new(), override_safety_rules: Vec::new() };
        let ways = [Via::RecordEdit, Via::HealthCheck, stop(true), stop(false), control].map(|via| via.iam());
        for part in [|iam: &Iam| iam.read, |iam: &Iam| iam.apply, |iam: &Iam| iam.compensate, |iam: &Iam| iam.ready] {
            let each: BTreeSet<_> = ways.iter().flat_map(part).collect();
            assert_eq!(each, part(&EVERY).iter().collect());
        }
    }
}
