//! What a user may do: `SelfSubjectAccessReview`, which `kubectl auth can-i` asks. All is allowed but what a fault denies.

use serde_json::{Value, json};

use super::refused::Refused;
use super::{Asked, Reply};
use crate::sim::State;
use crate::world::workloads::value::text;

/// Where reviews are asked for.
pub(super) const REVIEWS: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";

/// The resources of the group.
pub(super) fn resources() -> Value {
    json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "authorization.k8s.io/v1",
        "resources": [{
            "name": "selfsubjectaccessreviews", "singularName": "selfsubjectaccessreview", "namespaced": false,
            "kind": "SelfSubjectAccessReview", "verbs": ["create"],
        }],
    })
}

/// Answers a review.
pub(super) fn review(state: &mut State, body: &[u8]) -> Result<Reply, Refused> {
    let mut review: Value = serde_json::from_slice(body).map_err(|e| Refused::bad_request(format!("json parse error: {e}")))?;
    let field = |name: &str| text(&review, &format!("/spec/resourceAttributes/{name}")).to_owned();
    let (verb, resource, sub) = (field("verb"), field("resource"), field("subresource"));
    let resource = if sub.is_empty() { resource } else { format!("{resource}/{sub}") };
    let asked = Asked { verb: "create", action: format!("{verb}:{resource}"), applies: false };
    let denied = state.faults.iter().any(|fault| super::gate::denies(&fault.kind, &asked));
    review["status"] = match denied {
        true => json!({ "allowed": false }),
        false => json!({ "allowed": true, "reason": "EKS Access Policy: allowed by AmazonEKSClusterAdminPolicy" }),
    };
    Ok(Reply { status: 201, ..Reply::json(review) })
}
