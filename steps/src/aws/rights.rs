//! Whether somebody may do what a run does: IAM's policy simulator, asked beforehand. Nothing is done.
//!
//! The simulator knows the policies of a user or a role, the boundary of its permissions, and the SCPs of the organisation, as far as they have
//! no conditions. It knows neither the policy of a bucket, a topic, a key or a repository, which may allow what the user's own do not, nor that of a
//! session. What it says of something with a `*` in its name holds for a policy that allows all of that; a narrower one may do.

use std::collections::BTreeSet;

use aws_sdk_iam::types::{ContextEntry, ContextKeyTypeEnum, EvaluationResult, PolicyEvaluationDecisionType};
use wf_engine::model::event::StepFailure;

use super::{Cloud, errors};
use crate::hosted_zone;

/// The IAM action of [`Cloud::rulings`].
pub const SIMULATE: &str = "iam:SimulatePrincipalPolicy";
/// The IAM action of [`Cloud::principal`], which a role needs.
pub const GET_ROLE: &str = "iam:GetRole";

/// The services whose resources have policies of their own.
const WITH_POLICIES: [&str; 4] = ["ecr", "kms", "s3", "sns"];

/// Whose policies decide for an identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// Those of this user or role, by its ARN.
    Of(String),
    /// None that the simulator knows, and why.
    Unknowable(&'static str),
}

/// What the simulator says of an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ruling {
    /// It is allowed.
    Allowed,
    /// It is not, and why.
    Denied(String),
    /// It may be allowed all the same, and why.
    Depends(String),
    /// Whether it is allowed depends on these keys of a condition, which only a call has.
    Conditions(Vec<String>),
}

impl Cloud {
    /// Returns whose policies decide for an identity, by the ARN that STS gives. The session of a role does not tell the path of the role,
    /// so IAM is asked (`GetRole`).
    ///
    /// # Errors
    /// When that cannot be told.
    pub async fn principal(&self, arn: &str) -> Result<Principal, StepFailure> {
        let resource = arn.splitn(6, ':').nth(5).unwrap_or_default();
        let Some(session) = resource.strip_prefix("assumed-role/") else {
            let simulated = ["user/", "role/"].iter().any(|kind| resource.starts_with(kind));
            return Ok(match simulated {
                true => Principal::Of(arn.to_owned()),
                false if resource == "root" => Principal::Unknowable("it is the root user of the account, whom no policy of it binds"),
                false => Principal::Unknowable("it is neither a user nor a role"),
            });
        };
        let role = session.split('/').next().unwrap_or(session);
        let answer = self.iam().get_role().role_name(role).send().await;
        let answer = answer.map_err(errors::reading(GET_ROLE, format!("look up role {role}")))?;
        let found = answer.role().map(|role| role.arn().to_owned()).filter(|arn| !arn.is_empty());
        found
            .map(Principal::Of)
            .ok_or_else(|| StepFailure::unreachable(format!("failed to look up role {role}: IAM answered without its ARN")))
    }

    /// Returns the ARN of what is only known by name: AWS puts an id of its own into that of a group, a node group and a hosted zone, whose
    /// name and whether it is private is told. Others, and those that are not to be found, stay as they are.
    pub async fn exact(&self, resource: String, zone: Option<(&str, bool)>) -> String {
        if let ("arn:aws:route53:::hostedzone/*", Some((name, private))) = (resource.as_str(), zone) {
            let zones = hosted_zone::named(self, name).await.unwrap_or_default();
            let mut ids = zones.iter().filter(|(_, is_private)| *is_private == private).map(|(id, _)| id);
            return match (ids.next(), ids.next()) {
                (Some(id), None) => format!("arn:aws:route53:::hostedzone/{id}"),
                _ => resource,
            };
        }
        let parts: Vec<_> = resource.splitn(6, ':').collect();
        let [_, _, service, region, _, rest] = parts[..] else { return resource };
        let group = rest.strip_prefix("autoScalingGroup:*:autoScalingGroupName/").filter(|name| !name.contains('*'));
        let nodegroup = rest.strip_prefix("nodegroup/").and_then(|names| names.strip_suffix("/*")?.split_once('/'));
        let nodegroup = nodegroup.filter(|(cluster, name)| !cluster.contains('*') && !name.contains('*'));
        let found = match (service, group, nodegroup) {
            ("autoscaling", Some(name), _) => {
                let group = self.read_group(region, name, self.since_now()).await.ok().flatten();
                group.and_then(|group| group.auto_scaling_group_arn().map(str::to_owned))
            }
            ("eks", _, Some(names)) => {
                let group = self.read_nodegroup(region, names, self.since_now()).await.ok().flatten();
                group.and_then(|group| group.nodegroup_arn().map(str::to_owned))
            }
            _ => None,
        };
        found.unwrap_or(resource)
    }

    /// Asks the policy simulator whether a user or role may do each of some actions on a resource, from a region. Only the identities of the
    /// account that the cloud acts in are known there.
    ///
    /// # Errors
    /// When it does not answer, or may not be asked.
    pub async fn rulings(
        &self,
        principal: &str,
        region: Option<&str>,
        resource: &str,
        actions: &[&'static str],
    ) -> Result<Vec<(&'static str, Ruling)>, StepFailure> {
        let context = region.map(|region| {
            let entry = ContextEntry::builder().context_key_name("aws:RequestedRegion").context_key_type(ContextKeyTypeEnum::String);
            vec![entry.context_key_values(region).build()]
        });
        let asked = self.iam().simulate_principal_policy().policy_source_arn(principal).resource_arns(resource);
        let asked = asked.set_action_names(Some(actions.iter().map(|&action| action.to_owned()).collect())).set_context_entries(context);
        let mut results = asked.into_paginator().items().send();
        let mut found = Vec::new();
        while let Some(result) = results.next().await {
            found.push(result.map_err(errors::reading(SIMULATE, format!("ask IAM what {principal} may do")))?);
        }
        let of = |action: &str| found.iter().find(|result| result.eval_action_name().eq_ignore_ascii_case(action));
        let silent = || Ruling::Depends("IAM says nothing of it".to_owned());
        Ok(actions.iter().map(|&action| (action, of(action).map_or_else(silent, |result| ruling(action, resource, result)))).collect())
    }
}

/// Reads what the simulator says of an action. What is missing of the context is told of the resource, but of the whole where that is `*`.
fn ruling(action: &str, resource: &str, result: &EvaluationResult) -> Ruling {
    let of_resources = result.resource_specific_results().iter().flat_map(|of| of.missing_context_values());
    let missing: BTreeSet<_> = result.missing_context_values().iter().chain(of_resources).cloned().collect();
    if !missing.is_empty() {
        return Ruling::Conditions(missing.into_iter().collect());
    }
    match result.eval_decision() {
        PolicyEvaluationDecisionType::Allowed => Ruling::Allowed,
        PolicyEvaluationDecisionType::ExplicitDeny => Ruling::Denied("a policy denies it explicitly".to_owned()),
        PolicyEvaluationDecisionType::ImplicitDeny => not_allowed(action, resource, result),
        other => Ruling::Depends(format!("IAM says `{}`", other.as_str())),
    }
}

/// Says why nothing allows an action, as far as the simulator knows.
fn not_allowed(action: &str, resource: &str, result: &EvaluationResult) -> Ruling {
    let service = action.split(':').next().unwrap_or_default();
    let by_scp = result.organizations_decision_detail().is_some_and(|detail| !detail.allowed_by_organizations());
    let by_boundary = result.permissions_boundary_decision_detail().is_some_and(|detail| !detail.allowed_by_permissions_boundary());
    if by_scp {
        Ruling::Denied("no SCP of the organisation allows it".to_owned())
    } else if by_boundary {
        Ruling::Denied("the boundary of the permissions does not allow it".to_owned())
    } else if resource != "*" && resource.contains('*') {
        Ruling::Depends("a policy for less than that may do".to_owned())
    } else if WITH_POLICIES.contains(&service) {
        Ruling::Depends("a policy of the resource itself may do".to_owned())
    } else {
        Ruling::Denied("no policy allows it".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_iam::types::builders::EvaluationResultBuilder;
    use aws_sdk_iam::types::{OrganizationsDecisionDetail, PermissionsBoundaryDecisionDetail, ResourceSpecificResult};

    use super::*;

    const ARN: &str = "arn:aws:rds:us-west-2:123456789012:db:replica";

    fn said(decision: &str) -> EvaluationResultBuilder {
        EvaluationResult::builder().eval_action_name("a:B").eval_decision(decision.into())
    }

    fn of(action: &str, resource: &str, result: EvaluationResultBuilder) -> Ruling {
        ruling(action, resource, &result.build().expect("complete"))
    }

    #[test]
    fn a_no_is_one_only_where_no_other_policy_may_allow_it() {
        assert_eq!(of("rds:PromoteReadReplica", ARN, said("allowed")), Ruling::Allowed);
        let denied = |why: &str| Ruling::Denied(why.to_owned());
        assert_eq!(of("rds:PromoteReadReplica", ARN, said("implicitDeny")), denied("no policy allows it"));
        assert_eq!(of("ec2:DescribeImages", "*", said("implicitDeny")), denied("no policy allows it"));
        let some = "arn:aws:rds:*:123456789012:db:*";
        assert!(matches!(of("rds:DescribeDBInstances", some, said("implicitDeny")), Ruling::Depends(_)));
        assert!(matches!(of("s3:PutObject", "arn:aws:s3:::bucket/key", said("implicitDeny")), Ruling::Depends(_)));
        let explicit = denied("a policy denies it explicitly");
        assert_eq!(of("rds:DescribeDBInstances", some, said("explicitDeny")), explicit);
        assert_eq!(of("s3:PutObject", "arn:aws:s3:::bucket/key", said("explicitDeny")), explicit);
        assert!(matches!(of("rds:PromoteReadReplica", ARN, said("perhaps")), Ruling::Depends(_)));
    }

    #[test]
    fn what_only_a_call_has_is_not_guessed() {
        let keys = |keys: &[&str]| Ruling::Conditions(keys.iter().map(|&key| key.to_owned()).collect());
        for decision in ["allowed", "implicitDeny", "explicitDeny"] {
            let ruling = of("rds:PromoteReadReplica", "*", said(decision).missing_context_values("aws:MultiFactorAuthPresent"));
            assert_eq!(ruling, keys(&["aws:MultiFactorAuthPresent"]));
            let of_resource = ResourceSpecificResult::builder().eval_resource_name(ARN).eval_resource_decision(decision.into());
            let of_resource = of_resource.missing_context_values("aws:SourceIp").build().expect("complete");
            assert_eq!(of("rds:PromoteReadReplica", ARN, said(decision).resource_specific_results(of_resource)), keys(&["aws:SourceIp"]));
        }
    }

    #[test]
    fn who_says_no_beyond_the_policies_is_named() {
        let scp = OrganizationsDecisionDetail::builder().allowed_by_organizations(false).build();
        let ruling = of("s3:PutObject", "arn:aws:s3:::*", said("implicitDeny").organizations_decision_detail(scp));
        assert_eq!(ruling, Ruling::Denied("no SCP of the organisation allows it".to_owned()));
        let boundary = PermissionsBoundaryDecisionDetail::builder().allowed_by_permissions_boundary(false).build();
        let ruling = of("s3:PutObject", "arn:aws:s3:::*", said("implicitDeny").permissions_boundary_decision_detail(boundary));
        assert_eq!(ruling, Ruling::Denied("the boundary of the permissions does not allow it".to_owned()));
    }
}
