//! What a group launches from, and how networks are joined, by scripted answers: launch configurations, policies of mixed instances, images by
//! parameter, peerings of two accounts. The simulated world has none of them.

use wf_engine::model::definition::Objectives;
use wf_engine::readiness::{Check, Finding};

use crate::scripted::{Answer, Asked, World, group, result, world};
use crate::support::step;

const SCALE: &str = r#"AutoScalingScale(group: "prod-app-dr-asg", region: "us-west-2", min: 3, desired: 6)"#;
const SUBNETS: &str = "<VPCZoneIdentifier>subnet-1, subnet-2</VPCZoneIdentifier>\
                       <AvailabilityZones><member>us-west-2a</member><member>us-west-2b</member></AvailabilityZones>";

fn ec2(action: &str, body: &str) -> Answer {
    (200, format!("<{action}Response><requestId>1</requestId>{body}</{action}Response>"))
}

/// A region with an image, room, 2 vCPUs in each m5.large and 8 in each m5.2xlarge, and this quota.
fn region(asked: &Asked, quota: u32) -> Answer {
    let kind = |name: &str, vcpus| {
        let info = format!("<vCpuInfo><defaultVCpus>{vcpus}</defaultVCpus></vCpuInfo>");
        if asked.says(&format!("={name}")) { format!("<item><instanceType>{name}</instanceType>{info}</item>") } else { String::new() }
    };
    match asked {
        asked if asked.says("QuotaCode") => (200, format!("{{\"Quota\":{{\"Value\":{quota}.0}}}}")),
        asked if asked.says("DescribeImages") => {
            ec2("DescribeImages", "<imagesSet><item><imageId>ami-1</imageId><imageState>available</imageState></item></imagesSet>")
        }
        asked if asked.says("DescribeSubnets") => ec2(
            "DescribeSubnets",
            "<subnetSet><item><subnetId>subnet-1</subnetId><availableIpAddressCount>6</availableIpAddressCount></item></subnetSet>",
        ),
        asked if asked.says("DescribeInstanceTypes") => {
            let all = [kind("m5.large", 2), kind("m5.2xlarge", 8)].concat();
            ec2("DescribeInstanceTypes", &format!("<instanceTypeSet>{all}</instanceTypeSet>"))
        }
        _ => panic!("nobody answers {asked:?}"),
    }
}

/// What is checked of what is needed to launch, and what was found.
async fn checked(world: &World, run: &str) -> Vec<(&'static str, &'static str)> {
    let checks = step(&world.cloud, run).readiness(&world.cx, &Objectives::default()).await.unwrap();
    let word = |check: &Check| match check.found {
        Finding::Passed => "passed",
        Finding::Warned { .. } => "warned",
        Finding::Failed { .. } => "failed",
        Finding::Unknown { .. } => "unknown",
    };
    checks.iter().filter(|check| !["sizes", "processes", "zones"].contains(&check.name)).map(|check| (check.name, word(check))).collect()
}

#[tokio::test(start_paused = true)]
async fn a_launch_configuration_is_as_good_as_a_template_and_may_be_gone_as_well() {
    let by = format!("<LaunchConfigurationName>old</LaunchConfigurationName>{SUBNETS}");
    for (there, expected) in [
        (true, vec![("launch template", "passed"), ("image", "passed"), ("addresses", "passed"), ("vCPU quota", "failed")]),
        (false, vec![("launch template", "failed"), ("addresses", "passed")]),
    ] {
        let by = by.clone();
        let world = world(move |asked, _| match asked {
            asked if asked.says("DescribeAutoScalingGroups") => group((0, 0, 10), 0, &by),
            asked if asked.says("DescribeLaunchConfigurations") => {
                let found = "<member><LaunchConfigurationName>old</LaunchConfigurationName><ImageId>ami-1</ImageId>\
                             <InstanceType>m5.large</InstanceType></member>";
                let found = if there { found } else { "" };
                result("DescribeLaunchConfigurations", &format!("<LaunchConfigurations>{found}</LaunchConfigurations>"))
            }
            asked => region(asked, 11),
        });
        assert_eq!(checked(&world, SCALE).await, expected);
    }
}

/// Answers for a group with a template by this policy, whose template has this image.
fn with_policy(policy: &str, image: &str, quota: u32) -> World {
    let template = "<LaunchTemplateSpecification><LaunchTemplateId>lt-1</LaunchTemplateId></LaunchTemplateSpecification>";
    let policy = policy.replace("<LaunchTemplate>", &format!("<LaunchTemplate>{template}"));
    let by = format!("<MixedInstancesPolicy>{policy}</MixedInstancesPolicy>{SUBNETS}");
    let data = format!("<launchTemplateData><imageId>{image}</imageId><instanceType>m5.2xlarge</instanceType></launchTemplateData>");
    world(move |asked, _| match asked {
        asked if asked.says("DescribeAutoScalingGroups") => group((0, 0, 10), 0, &by),
        asked if asked.says("DescribeLaunchTemplateVersions") => {
            assert!(asked.says("LaunchTemplateId=lt-1") && asked.says("LaunchTemplateVersion.1=%24Default"), "{asked:?}");
            let set = format!("<launchTemplateVersionSet><item>{data}</item></launchTemplateVersionSet>");
            ec2("DescribeLaunchTemplateVersions", &set)
        }
        asked => region(asked, quota),
    })
}

#[tokio::test(start_paused = true)]
async fn a_policy_of_mixed_instances_needs_the_quota_of_its_smallest_type_and_of_its_on_demand_part() {
    let override_of = |more: &str| format!("<member><InstanceType>m5.large</InstanceType>{more}</member>");
    let types = |overrides: &str| format!("<LaunchTemplate><Overrides>{overrides}</Overrides></LaunchTemplate>");
    let share = |percent: u32| {
        format!(
            "<InstancesDistribution><OnDemandPercentageAboveBaseCapacity>{percent}</OnDemandPercentageAboveBaseCapacity></InstancesDistribution>"
        )
    };
    let both = format!("{}<member><InstanceType>m5.2xlarge</InstanceType></member>", override_of(""));
    let weighted = override_of("<WeightedCapacity>2</WeightedCapacity>");
    for (policy, quota, expected) in [
        (types(&both), 12, Some("passed")),
        (types(&both), 11, Some("failed")),
        (types(&both) + &share(50), 6, Some("passed")),
        (types(&both) + &share(50), 5, Some("failed")),
        // Spot instances only, and sizes that are no numbers of instances: no verdict.
        (types(&both) + &share(0), 0, None),
        (types(&weighted), 0, None),
        // Those of the template.
        ("<LaunchTemplate></LaunchTemplate>".to_owned(), 47, Some("failed")),
        ("<LaunchTemplate></LaunchTemplate>".to_owned(), 48, Some("passed")),
    ] {
        let found = checked(&with_policy(&policy, "ami-1", quota), SCALE).await;
        let quotas: Vec<_> = found.iter().filter(|(name, _)| *name == "vCPU quota").map(|(_, word)| *word).collect();
        assert_eq!(quotas, expected.into_iter().collect::<Vec<_>>(), "{policy} {quota}");
        assert_eq!(found.len(), 3 + quotas.len(), "{found:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_image_that_only_systems_manager_knows_is_left_out() {
    let found = checked(&with_policy("<LaunchTemplate></LaunchTemplate>", "resolve:ssm:/golden/ami", 48), SCALE).await;
    assert_eq!(found, [("launch template", "passed"), ("addresses", "passed"), ("vCPU quota", "passed")]);
}

#[tokio::test(start_paused = true)]
async fn a_group_that_is_emptied_needs_nothing_of_all_this() {
    let world = world(|asked, _| match asked {
        asked if asked.says("DescribeAutoScalingGroups") => group((3, 6, 10), 6, SUBNETS),
        asked => panic!("{asked:?}"),
    });
    let fence = r#"AutoScalingScale(group: "prod-app-dr-asg", region: "us-west-2", min: 0, desired: 0)"#;
    assert_eq!(checked(&world, fence).await, []);
    assert!(step(&world.cloud, fence).iam().ready.is_empty() && !step(&world.cloud, SCALE).iam().ready.is_empty());
}

/// A peering of two accounts, of which only one side's route tables are shown.
fn peering(accepter: &'static str, tables_of_accepter: &'static str) -> World {
    let side = |name: &str, vpc: &str, owner: &str, cidr: &str, region: &str| {
        format!("<{name}><ownerId>{owner}</ownerId><vpcId>{vpc}</vpcId><cidrBlock>{cidr}</cidrBlock><region>{region}</region></{name}>")
    };
    world(move |asked, _| match asked {
        asked if asked.says("DescribeVpcPeeringConnections") => {
            let sides = [
                side("requesterVpcInfo", "vpc-1", "123456789012", "10.0.0.0/16", "us-east-1"),
                side("accepterVpcInfo", "vpc-2", accepter, "10.1.0.0/16", "us-west-2"),
            ];
            let status = "<status><code>active</code></status>";
            let set = format!("<vpcPeeringConnectionSet><item>{}{status}</item></vpcPeeringConnectionSet>", sides.concat());
            ec2("DescribeVpcPeeringConnections", &set)
        }
        asked if asked.says("=vpc-1") => {
            // By a prefix list, which is not looked up.
            let route = "<item><destinationPrefixListId>pl-1</destinationPrefixListId><vpcPeeringConnectionId>pcx-1</vpcPeeringConnectionId><state>active</state></item>";
            let table = format!("<item><routeTableId>rtb-1</routeTableId><routeSet>{route}</routeSet></item>");
            ec2("DescribeRouteTables", &format!("<routeTableSet>{table}</routeTableSet>"))
        }
        _ => ec2("DescribeRouteTables", &format!("<routeTableSet>{tables_of_accepter}</routeTableSet>")),
    })
}

#[tokio::test(start_paused = true)]
async fn the_route_tables_of_another_account_are_not_missed_and_ones_own_are() {
    const LOOK: &str = r#"VpcPeering(connection: "pcx-1", region: "us-east-1")"#;
    const IDLE: &str = "<item><routeTableId>rtb-2</routeTableId><routeSet/></item>";
    let both = |of_accepter| vec![("peering", "passed"), ("routes", "passed"), ("routes", of_accepter)];
    assert_eq!(checked(&peering("210987654321", ""), LOOK).await, both("passed"));
    assert_eq!(checked(&peering("123456789012", ""), LOOK).await, both("failed"));
    assert_eq!(checked(&peering("210987654321", IDLE), LOOK).await, both("failed"));
}
