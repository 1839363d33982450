//! `wf check --live` asks IAM and the clusters whether who acts may do what a run does: each right that is missing is told by the steps that need it, and by no
//! other.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::sandbox::{Outcome, Sandbox};

const OPERATOR: &str = "arn:aws:iam::123456789012:user/operator";

/// Each action of the shipped failover, the steps that need it, and whether IAM's no is the last word.
const NEEDED: &[(&str, &[&str], Word)] = &[
    ("acm:DescribeCertificate", &["targets"], Word::Warned),
    ("autoscaling:DescribeAutoScalingGroups", &["fence", "scale_app"], Word::Failed),
    ("autoscaling:DescribeLaunchConfigurations", &["scale_app"], Word::Failed),
    ("autoscaling:DescribeScalingActivities", &["fence", "scale_app"], Word::Failed),
    ("autoscaling:UpdateAutoScalingGroup", &["fence", "scale_app"], Word::Failed),
    ("cloudwatch:GetMetricStatistics", &["promote"], Word::Failed),
    // EC2 and ECR both call an action so, and the simulator denies both.
    ("ec2:DescribeImages", &["images_copied", "scale_app"], Word::Failed),
    ("ec2:DescribeInstanceTypes", &["scale_app", "scale_eks"], Word::Failed),
    ("ec2:DescribeLaunchTemplateVersions", &["scale_app"], Word::Failed),
    ("ec2:DescribeRouteTables", &["peering"], Word::Failed),
    ("ec2:DescribeSubnets", &["scale_app", "scale_eks"], Word::Failed),
    ("ec2:DescribeVpcPeeringConnections", &["peering"], Word::Failed),
    ("ecr:DescribeImages", &["images_copied", "scale_app"], Word::Failed),
    ("ecr:DescribeRegistry", &["images_copied"], Word::Warned),
    (
        "eks:DescribeCluster",
        &[
            "address",
            "cron",
            "db_host",
            "fence_cron",
            "fence_eks",
            "fence_shop",
            "images_copied",
            "nodes",
            "restart",
            "restore",
            "scale_eks",
            "scale_shop",
        ],
        Word::Failed,
    ),
    // Of which AWS's own id is not known, if it may not be looked at.
    ("eks:DescribeNodegroup", &["fence_eks", "scale_eks"], Word::Warned),
    ("eks:DescribeUpdate", &["fence_eks", "scale_eks"], Word::Failed),
    ("eks:ListAddons", &["fence_eks", "scale_eks"], Word::Failed),
    (
        "eks:ListClusters",
        &["address", "cron", "db_host", "fence_cron", "fence_shop", "images_copied", "nodes", "restart", "restore", "scale_shop"],
        Word::Failed,
    ),
    ("eks:ListNodegroups", &["fence_eks", "scale_eks"], Word::Failed),
    ("eks:UpdateNodegroupConfig", &["fence_eks", "scale_eks"], Word::Failed),
    ("elasticloadbalancing:DescribeListenerCertificates", &["targets"], Word::Failed),
    ("elasticloadbalancing:DescribeListeners", &["targets"], Word::Failed),
    ("elasticloadbalancing:DescribeTargetGroups", &["targets"], Word::Failed),
    ("elasticloadbalancing:DescribeTargetHealth", &["targets"], Word::Failed),
    // The policies of keys, buckets, topics and repositories may allow what the operator's do not.
    ("kms:DescribeKey", &["promote"], Word::Warned),
    ("rds:DescribeDBInstances", &["promote"], Word::Failed),
    ("rds:PromoteReadReplica", &["promote"], Word::Failed),
    ("route53:ChangeResourceRecordSets", &["shop_dns"], Word::Failed),
    ("route53:GetChange", &["shop_dns"], Word::Warned),
    ("route53:GetHealthCheck", &["dns", "shop_dns"], Word::Warned),
    ("route53:GetHealthCheckStatus", &["dns", "shop_dns"], Word::Warned),
    ("route53:ListHostedZonesByName", &["dns", "shop_dns"], Word::Failed),
    ("route53:ListResourceRecordSets", &["dns", "shop_dns"], Word::Failed),
    ("s3:DeleteObject", &["dns"], Word::Warned),
    ("s3:GetBucketVersioning", &["data_copied"], Word::Warned),
    ("s3:GetObject", &["dns", "fence"], Word::Warned),
    ("s3:GetReplicationConfiguration", &["data_copied"], Word::Warned),
    ("s3:ListBucket", &["dns", "fence"], Word::Warned),
    ("s3:PutObject", &["dns", "fence"], Word::Warned),
    ("servicequotas:GetAWSDefaultServiceQuota", &["scale_app", "scale_eks"], Word::Failed),
    ("servicequotas:GetServiceQuota", &["scale_app", "scale_eks"], Word::Failed),
    ("sns:ListSubscriptionsByTopic", &["announce", "announce_end"], Word::Warned),
    ("sns:Publish", &["announce", "announce_end"], Word::Warned),
];

/// The same of the rights in Kubernetes. In the standby cluster the namespace is not there before Velero has restored it, and a no is a warning.
const IN_CLUSTERS: &[(&str, &[&str], Word)] = &[
    ("create:restores", &["restore"], Word::Failed),
    ("create:secrets", &["db_host"], Word::Warned),
    ("delete:secrets", &["db_host"], Word::Warned),
    ("get:backups", &["restore"], Word::Failed),
    ("get:cronjobs", &["cron", "fence_cron"], Word::Failed),
    ("get:daemonsets", &[], Word::Warned),
    ("get:deployments", &["fence_shop", "restart", "scale_shop"], Word::Failed),
    ("get:ingresses", &["address"], Word::Warned),
    ("get:namespaces", &["address", "cron", "db_host", "fence_cron", "fence_shop", "images_copied", "restart", "scale_shop"], Word::Failed),
    ("get:restores", &["restore"], Word::Failed),
    ("get:secrets", &["db_host"], Word::Warned),
    ("get:statefulsets", &[], Word::Warned),
    ("list:backups", &["restore"], Word::Failed),
    ("list:backupstoragelocations", &["restore"], Word::Failed),
    ("list:cronjobs", &["cron", "fence_cron", "images_copied"], Word::Failed),
    ("list:daemonsets", &[], Word::Warned),
    ("list:deployments", &["restart"], Word::Warned),
    ("list:horizontalpodautoscalers", &["fence_shop", "scale_shop"], Word::Failed),
    ("list:ingresses", &["address"], Word::Warned),
    ("list:nodes", &["nodes"], Word::Failed),
    ("list:pods", &["images_copied", "restart"], Word::Failed),
    ("list:secrets", &["db_host"], Word::Warned),
    ("list:statefulsets", &[], Word::Warned),
    ("patch:cronjobs", &["cron", "fence_cron"], Word::Failed),
    ("patch:daemonsets", &[], Word::Warned),
    ("patch:deployments", &["restart"], Word::Warned),
    ("patch:deployments/scale", &["fence_shop", "scale_shop"], Word::Failed),
    ("patch:horizontalpodautoscalers", &["fence_shop", "scale_shop"], Word::Failed),
    ("patch:secrets", &["db_host"], Word::Warned),
    // No workload of the plan is one.
    ("patch:statefulsets", &[], Word::Warned),
    ("patch:statefulsets/scale", &[], Word::Warned),
];

#[derive(Clone, Copy, PartialEq)]
enum Word {
    Failed,
    Warned,
}

/// What has to be allowed for the question itself.
const ASKING: [&str; 3] = ["iam:GetRole", "iam:SimulatePrincipalPolicy", "sts:GetCallerIdentity"];

fn check(sandbox: &Sandbox, more: &[&str]) -> Outcome {
    let args = ["check", "workflows/failover.ron", "--live", "--sim", "--sim-speed", "5", "--sim-fault", "primary-alive"];
    Outcome::of(&mut sandbox.at_root(&[&args[..], more].concat()))
}

fn checks(sandbox: &Sandbox, more: &[&str]) -> Vec<Value> {
    let told = check(sandbox, &[more, &["--json"]].concat());
    let json: Value = serde_json::from_str(&told.stdout).unwrap_or_else(|error| panic!("no JSON ({error}): {told:?}"));
    json["checks"].as_array().unwrap().clone()
}

fn is_about_rights(check: &Value) -> bool {
    check["check"] == "rights" || check["check"] == "rights simulated"
}

fn text<'a>(check: &'a Value, field: &str) -> &'a str {
    check[field].as_str().unwrap_or_default()
}

#[test]
fn every_right_that_is_missing_is_told_by_the_steps_that_need_it_and_by_no_other() {
    let sandbox = Sandbox::new();
    let policy = Outcome::of(&mut sandbox.at_root(&["iam", "workflows/failover.ron", "--account", "123456789012", "--json"]));
    let policy: Value = serde_json::from_str(&policy.exits(0).stdout).unwrap();
    let statements = policy["iam"]["run"]["Statement"].as_array().unwrap();
    let actions = statements.iter().flat_map(|statement| statement["Action"].as_array().unwrap()).map(|action| action.as_str().unwrap());
    let expected: BTreeSet<_> = NEEDED.iter().map(|(action, ..)| *action).chain(ASKING).collect();
    assert_eq!(actions.collect::<BTreeSet<_>>(), expected, "all that `wf iam` names is looked at here");

    for (action, steps, word) in NEEDED {
        let name = action.split(':').nth(1).unwrap();
        let all = checks(&Sandbox::new(), &["--sim-fault", &format!("deny {name}")]);
        let mut told: BTreeMap<&str, &str> = BTreeMap::new();
        for check in all.iter().filter(|check| is_about_rights(check) && check["verdict"] != "passed") {
            assert!(text(check, "why").starts_with(OPERATOR) && text(check, "why").contains(name), "{action}: {check:#}");
            assert!(text(check, "fix").contains("`wf iam workflows/failover.ron --account 123456789012`"), "{check:#}");
            told.insert(text(check, "step"), text(check, "verdict"));
        }
        assert_eq!(told.keys().copied().collect::<BTreeSet<_>>(), steps.iter().copied().collect(), "{action}");
        let failed = told.values().any(|verdict| *verdict == "failed");
        assert_eq!(failed, *word == Word::Failed, "{action}: {told:?}");
        // A look that was denied is of a step that names the right.
        let denied = all.iter().filter(|check| !is_about_rights(check) && text(check, "why").contains(&format!(":{name} because")));
        denied.for_each(|check| assert!(told.contains_key(text(check, "step")), "{action}: {check:#}"));
    }
}

#[test]
fn every_right_in_kubernetes_that_is_missing_is_told_by_the_steps_that_need_it_and_by_no_other() {
    let sandbox = Sandbox::new();
    let policy = Outcome::of(&mut sandbox.at_root(&["iam", "workflows/failover.ron", "--json"]));
    let policy: Value = serde_json::from_str(&policy.exits(0).stdout).unwrap();
    let texts = |value: &Value| value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect::<Vec<_>>();
    let rules = policy["kubernetes"]["run"]["rules"].as_array().unwrap();
    let of_rule = |rule: &Value| {
        let resources = texts(&rule["resources"]);
        texts(&rule["verbs"]).into_iter().flat_map(move |verb| resources.clone().into_iter().map(move |of| format!("{verb}:{of}")))
    };
    let named: BTreeSet<_> = rules.iter().flat_map(of_rule).collect();
    assert_eq!(named, IN_CLUSTERS.iter().map(|(right, ..)| (*right).to_owned()).collect(), "all that `wf iam` names is looked at here");

    for (right, steps, word) in IN_CLUSTERS {
        let all = checks(&Sandbox::new(), &["--sim-fault", &format!("deny {right}")]);
        let bad: Vec<_> = all.iter().filter(|check| check["check"] == "cluster rights" && check["verdict"] != "passed").collect();
        assert_eq!(bad.iter().map(|check| text(check, "step")).collect::<BTreeSet<_>>(), steps.iter().copied().collect(), "{right}");
        assert_eq!(bad.iter().any(|check| check["verdict"] == "failed"), *word == Word::Failed, "{right}: {bad:#?}");
        let (verb, resource) = right.split_once(':').unwrap();
        for check in bad {
            let name = resource.split('/').next().unwrap();
            assert!(text(check, "why").starts_with(&format!("who acts may not {verb} {name}")), "{check:#}");
            assert!(text(check, "fix").contains(&format!("`kubectl auth can-i {verb} {name}")), "{check:#}");
            assert!(text(check, "fix").contains("`wf iam workflows/failover.ron --kubernetes`"), "{check:#}");
        }
    }
}

/// What stands in the way of the step itself is not told once more for its rights.
#[test]
fn a_cluster_that_does_not_answer_is_told_once() {
    let all = checks(&Sandbox::new(), &["--sim-fault", "k8s-down production-dr"]);
    let bad: Vec<_> = all.iter().filter(|check| check["verdict"] == "failed" || check["verdict"] == "unknown").collect();
    let told: BTreeSet<_> = bad.iter().map(|check| (text(check, "step"), text(check, "why"))).collect();
    assert!(bad.iter().any(|check| text(check, "step") == "restore") && told.len() == bad.len(), "{bad:#?}");
    // Of a step that waits for another's outputs nothing else is known.
    assert!(bad.iter().any(|check| text(check, "step") == "db_host" && check["check"] == "cluster rights"), "{bad:#?}");
}

/// A step in another account is asked about there, as the role that it takes on.
#[test]
fn a_step_in_another_account_needs_the_rights_of_its_role() {
    let sandbox = Sandbox::new();
    let scale = r#"AutoScalingScale(group: "prod-app-dr-asg", region: "us-west-2", min: 0, desired: 0)"#;
    let role = "arn:aws:iam::210987654321:role/dr/on-call";
    sandbox.workflow("two", &format!(r#"(id: "here", run: {scale}), (id: "there", run: {scale}, account: Account(role: "{role}"))"#));
    let check = ["check", "two.ron", "--live", "--sim", "--sim-speed", "5", "--sim-fault", "deny UpdateAutoScalingGroup"];
    let told = sandbox.wf(&check);
    told.exits(14).tells(&format!("{OPERATOR} may not autoscaling:UpdateAutoScalingGroup"));
    told.tells(&format!("{role} may not autoscaling:UpdateAutoScalingGroup")).tells("`wf iam two.ron --account 210987654321`");
}

#[test]
fn who_may_not_ask_or_cannot_be_asked_about_is_told_so_once() {
    let unknown = |more: &[&str]| {
        let all = checks(&Sandbox::new(), more);
        let bad: Vec<_> = all.into_iter().filter(|check| is_about_rights(check) && check["verdict"] != "passed").collect();
        let [bad] = <[Value; 1]>::try_from(bad).unwrap_or_else(|bad| panic!("not told once: {bad:#?}"));
        (text(&bad, "verdict").to_owned(), format!("{} {}", text(&bad, "why"), text(&bad, "fix")))
    };
    let (verdict, said) = unknown(&["--sim-fault", "deny SimulatePrincipalPolicy"]);
    assert!(verdict == "unknown" && said.contains("allow iam:SimulatePrincipalPolicy to"), "{said}");
    let (verdict, said) = unknown(&["--sim-fault", "service-outage iam"]);
    assert!(verdict == "unknown" && said.contains("IAM is asked in us-east-1 for all regions"), "{said}");
    let (verdict, said) = unknown(&["--sim-fault", "deny GetCallerIdentity"]);
    assert!(verdict == "unknown" && said.contains("aws sts get-caller-identity"), "{said}");
    let (verdict, said) = unknown(&["--rights-of", "arn:aws:iam::123456789012:user/nobody"]);
    assert!(verdict == "unknown" && said.contains("The user with name nobody cannot be found"), "{said}");

    let sandbox = Sandbox::new();
    check(&sandbox, &["--rights-of", "nobody"]).exits(2).says("it is the ARN of a user or a role");
    check(&sandbox, &["--rights-of", "arn:aws:iam::123456789012:role/on-call"]).exits(0).tells("ready: 96 of 96 checks");
}

/// The policies of a role's session are those of the role, and those of the root user are nobody's to tell.
#[test]
fn those_who_act_by_a_role_are_asked_about_by_its_name() {
    let world = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/workflows/world.ron")).unwrap();
    let as_whom = |arn: &str| {
        let sandbox = Sandbox::new();
        sandbox.file("world.ron", &world.replace(OPERATOR, arn));
        let world = sandbox.path("world.ron").display().to_string();
        let all = checks(&sandbox, &["--sim-world", &world, "--sim-fault", "deny PromoteReadReplica"]);
        let bad: Vec<_> = all.into_iter().filter(|check| is_about_rights(check) && check["verdict"] != "passed").collect();
        bad.iter().map(|check| format!("{} {} {}", text(check, "step"), text(check, "verdict"), text(check, "why"))).collect::<Vec<_>>()
    };
    let of_session = as_whom("arn:aws:sts::123456789012:assumed-role/on-call/ana");
    let [told] = &of_session[..] else { panic!("{of_session:?}") };
    assert!(told.starts_with("promote failed arn:aws:iam::123456789012:role/on-call may not rds:PromoteReadReplica on "), "{told}");
    let of_root = as_whom("arn:aws:iam::123456789012:root");
    let [told] = &of_root[..] else { panic!("{of_root:?}") };
    assert!(told.contains("warned IAM does not tell what arn:aws:iam::123456789012:root may do"), "{told}");
}
