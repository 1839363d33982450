//! Which resources an IAM action is about, for policies: the Service Authorization Reference's resource types, as far as the kinds use them.
//! An action that has none, such as most `Describe…`, is allowed on `*` or not at all.

/// Returns the resource of an action by the params of the step that uses it; `*` where AWS knows none for the action. A param that is not
/// known before the run stands for any.
pub fn resource(action: &str, account: &str, param: impl Fn(&str) -> Option<String>) -> String {
    let known = |name: &str| param(name).unwrap_or_else(|| "*".to_owned());
    let region = known("region");
    // An instance may be renamed in the run, and is created under one of the names.
    let instance = || format!("arn:aws:rds:{region}:{account}:db:{}", known("instance"));
    match action {
        "autoscaling:UpdateAutoScalingGroup" => {
            format!("arn:aws:autoscaling:{region}:{account}:autoScalingGroup:*:autoScalingGroupName/{}", known("group"))
        }
        "eks:DescribeCluster" | "eks:ListNodegroups" | "eks:ListAddons" => {
            format!("arn:aws:eks:{region}:{account}:cluster/{}", known("cluster"))
        }
        "eks:DescribeNodegroup" | "eks:UpdateNodegroupConfig" | "eks:DescribeUpdate" => {
            format!("arn:aws:eks:{region}:{account}:nodegroup/{}/{}/*", known("cluster"), known("nodegroup"))
        }
        "rds:PromoteReadReplica" | "rds:DeleteDBInstance" => instance(),
        // The source of a replica, in another region, is looked at too; and the names that are there, when one is not.
        "rds:DescribeDBInstances" => format!("arn:aws:rds:*:{account}:db:*"),
        // The new name of an instance is a resource of the call too.
        "rds:ModifyDBInstance" | "rds:CreateDBInstanceReadReplica" | "rds:AddTagsToResource" | "rds:RebootDBInstance" => {
            format!("arn:aws:rds:*:{account}:*")
        }
        "rds:CreateDBSnapshot" => format!("arn:aws:rds:{region}:{account}:*"),
        "route53:ChangeResourceRecordSets" | "route53:ListResourceRecordSets" => {
            format!("arn:aws:route53:::hostedzone/{}", known("zone_id"))
        }
        "route53:GetChange" => "arn:aws:route53:::change/*".to_owned(),
        "route53:GetHealthCheck" | "route53:GetHealthCheckStatus" => "arn:aws:route53:::healthcheck/*".to_owned(),
        "route53-recovery-cluster:GetRoutingControlState" | "route53-recovery-cluster:UpdateRoutingControlStates" => {
            format!("arn:aws:route53-recovery-control::{account}:controlpanel/*/routingcontrol/*")
        }
        "s3:GetObject" | "s3:PutObject" | "s3:DeleteObject" => format!("arn:aws:s3:::{}/{}", known("bucket"), known("key")),
        // A repository is named by the images that run.
        "ecr:DescribeImages" => format!("arn:aws:ecr:*:{account}:repository/*"),
        "kms:DescribeKey" | "kms:CreateGrant" => format!("arn:aws:kms:{region}:{account}:key/*"),
        "acm:DescribeCertificate" => format!("arn:aws:acm:{region}:{account}:certificate/*"),
        // The copy is asked too.
        "s3:GetBucketVersioning" => "arn:aws:s3:::*".to_owned(),
        "s3:ListBucket" | "s3:GetReplicationConfiguration" => format!("arn:aws:s3:::{}", known("bucket")),
        "sns:Publish" | "sns:ListSubscriptionsByTopic" => match param("topic") {
            Some(arn) if arn.starts_with("arn:") => arn,
            topic => format!("arn:aws:sns:{region}:{account}:{}", topic.unwrap_or_else(|| "*".to_owned())),
        },
        _ => "*".to_owned(),
    }
}

/// Returns the resource that a step surely touches by an action, to ask beforehand whether it may: narrower than [`resource`] where a policy has
/// to allow for what only the run will know.
pub fn touched(action: &str, account: &str, param: impl Fn(&str) -> Option<String>) -> String {
    match (action, param("region"), param("instance")) {
        (
            "rds:DescribeDBInstances"
            | "rds:ModifyDBInstance"
            | "rds:CreateDBInstanceReadReplica"
            | "rds:AddTagsToResource"
            | "rds:RebootDBInstance",
            Some(region),
            Some(instance),
        ) => format!("arn:aws:rds:{region}:{account}:db:{instance}"),
        _ => resource(action, account, param),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_is_as_narrow_as_aws_and_the_plan_allow() {
        let params = [("region", "us-west-2"), ("instance", "replica"), ("cluster", "dr"), ("nodegroup", "general"), ("topic", "alerts")];
        let of =
            |action: &str| resource(action, "123456789012", |name| Some(params.iter().find(|(known, _)| *known == name)?.1.to_owned()));
        assert_eq!(of("rds:PromoteReadReplica"), "arn:aws:rds:us-west-2:123456789012:db:replica");
        assert_eq!(of("eks:UpdateNodegroupConfig"), "arn:aws:eks:us-west-2:123456789012:nodegroup/dr/general/*");
        assert_eq!(of("sns:Publish"), "arn:aws:sns:us-west-2:123456789012:alerts");
        assert_eq!(of("route53:ChangeResourceRecordSets"), "arn:aws:route53:::hostedzone/*", "known only in the run");
        assert_eq!(of("autoscaling:DescribeAutoScalingGroups"), "*");
        assert_eq!(of("rds:DescribeDBInstances"), "arn:aws:rds:*:123456789012:db:*", "the source of a replica is in another region");
        let known = |name: &str| Some(params.iter().find(|(known, _)| *known == name)?.1.to_owned());
        assert_eq!(touched("rds:DescribeDBInstances", "123456789012", known), "arn:aws:rds:us-west-2:123456789012:db:replica");
        assert_eq!(touched("rds:DescribeDBInstances", "123456789012", |_| None), "arn:aws:rds:*:123456789012:db:*");
        assert_eq!(touched("sns:Publish", "123456789012", known), of("sns:Publish"));
    }
}
