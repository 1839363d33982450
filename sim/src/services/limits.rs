//! The limits on requests that AWS publishes, while the fault `api-limits` is on: a token bucket for each service in a region, and
//! one for each operation that has its own.
//!
//! Where AWS publishes nothing a figure is assumed, and marked so.

use std::collections::BTreeMap;

use super::{Call, Document};
use crate::world::Ms;

/// Service, operation (or all together), what can be used at once, and what comes back in a second.
const LIMITS: &[(&str, Option<&str>, f64, f64)] = &[
    // Amazon Route 53 Developer Guide, Quotas: Maximums on API requests.
    ("route53", None, 50.0, 10.0),
    // Counted in records, an UPSERT twice.
    ("route53", Some("ChangeResourceRecordSets"), 1500.0, 100.0),
    ("route53", Some("GetHealthCheckStatus"), 4.0, 1.0),
    // ARC Developer Guide, Quotas for routing control.
    ("route53-recovery-cluster", Some("UpdateRoutingControlStates"), 3.0, 3.0),
    // Elastic Load Balancing User Guide, Request throttling for the ELB API.
    ("elasticloadbalancing", None, 40.0, 10.0),
    // Assumed: what EC2 publishes for its own Describe calls (Amazon EC2 Developer Guide, Request throttling).
    ("autoscaling", None, 100.0, 20.0),
    ("acm", None, 100.0, 20.0),
    ("ec2", None, 100.0, 20.0),
    ("ecr", None, 100.0, 20.0),
    ("eks", None, 100.0, 20.0),
    ("iam", None, 100.0, 20.0),
    ("kms", None, 100.0, 20.0),
    ("rds", None, 100.0, 20.0),
    ("monitoring", None, 100.0, 20.0),
    ("servicequotas", None, 100.0, 20.0),
    ("sns", None, 100.0, 20.0),
    ("sts", None, 100.0, 20.0),
];

/// What is left in each bucket, by its place in [`LIMITS`] and the region. Not kept with the world.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    left: BTreeMap<(usize, String), (f64, Ms)>,
}

impl Limits {
    /// Takes a call from the buckets that it concerns, or from none of them if one has too little left.
    pub(super) fn allow(&mut self, call: &Call, now: Ms) -> bool {
        let mut taken = Vec::new();
        for (ix, &(service, operation, burst, rate)) in LIMITS.iter().enumerate() {
            if service != call.action.service || operation.is_some_and(|operation| operation != call.action.name) {
                continue;
            }
            let cost = if operation == Some("ChangeResourceRecordSets") { records(call) } else { 1.0 };
            let (left, at) = self.left.entry((ix, call.region.clone())).or_insert((burst, now));
            *left = (*left + rate * (now - *at) as f64 / 1000.0).min(burst);
            *at = now;
            if *left < cost.min(burst) {
                return false;
            }
            taken.push((ix, cost));
        }
        for (ix, cost) in taken {
            if let Some((left, _)) = self.left.get_mut(&(ix, call.region.clone())) {
                *left -= cost;
            }
        }
        true
    }
}

/// Counts the records of a batch, those of an UPSERT twice.
fn records(call: &Call) -> f64 {
    let Document::Xml(document) = &call.document else { return 1.0 };
    let changes = document.child("ChangeBatch").and_then(|batch| batch.child("Changes")).map_or(&[][..], |changes| &changes.children);
    changes.iter().map(|change| if change.get("Action") == Some("UPSERT") { 2.0 } else { 1.0 }).sum()
}
