//! EC2, query protocol of 2016-11-15 as EC2 speaks it: what instances are launched from and into, and how VPCs are joined. Reads only.

use super::{Answer, Call, Params, ServiceError};
use crate::def::{LaunchTemplateDef, PeerDef, RouteDef, RouteTableDef};
use crate::world::ec2::{launch_template_id, vcpus};
use crate::world::{Region, World, timestamp};
use crate::xml::Element;

/// Answers an EC2 call.
pub(super) fn answer(world: &World, call: &Call) -> Result<Answer, ServiceError> {
    let (region, params) = (call.region.as_str(), &call.params);
    let empty = Region::default();
    let here = world.region(region).unwrap_or(&empty);
    let (name, items) = match call.action.name {
        "DescribeLaunchTemplateVersions" => ("launchTemplateVersionSet", template_versions(world, here, params)?),
        "DescribeImages" => ("imagesSet", images(world, here, params)?),
        "DescribeSubnets" => ("subnetSet", subnets(world, region, here, params)?),
        "DescribeInstanceTypes" => ("instanceTypeSet", instance_types(params)?),
        "DescribeVpcPeeringConnections" => ("vpcPeeringConnectionSet", peerings(world, region, params)?),
        _ => ("routeTableSet", route_tables(world, here, params)?),
    };
    Ok(Answer::xml(Element::default().with_list(name, items)))
}

fn item() -> Element {
    Element::new("item")
}

fn template_versions(world: &World, here: &Region, params: &Params) -> Result<Vec<Element>, ServiceError> {
    let (id, name, versions) = (params.get("LaunchTemplateId"), params.get("LaunchTemplateName"), params.list("LaunchTemplateVersion"));
    let all = here.launch_templates();
    let found = match (id, name) {
        (Some(_), Some(_)) => {
            let message = "Either 'LaunchTemplateId' or 'LaunchTemplateName' must be specified, but not both.";
            return Err(ServiceError::new("InvalidParameterCombination", message));
        }
        (Some(id), None) => all.iter().find(|template| launch_template_id(&template.name) == id).ok_or_else(|| {
            let message = format!("The specified launch template, with template ID {id}, does not exist.");
            ServiceError::new("InvalidLaunchTemplateId.NotFound", message)
        })?,
        (None, Some(name)) => all.iter().find(|template| template.name == name).ok_or_else(|| {
            let message = format!("The specified launch template, with template name {name}, does not exist.");
            ServiceError::new("InvalidLaunchTemplateName.NotFoundException", message)
        })?,
        (None, None) => {
            let message = "The request must contain the parameter LaunchTemplateId or LaunchTemplateName";
            return Err(ServiceError::new("MissingParameter", message));
        }
    };
    let numbers = if versions.is_empty() {
        (1..=found.versions).rev().collect()
    } else {
        versions.into_iter().map(|version| number_of(found, version)).collect::<Result<Vec<_>, _>>()?
    };
    Ok(numbers.into_iter().map(|number| version(world, found, number)).collect())
}

/// Finds the number of a version that is asked for by its number or by what it is.
fn number_of(template: &LaunchTemplateDef, version: &str) -> Result<u32, ServiceError> {
    match version {
        "$Latest" => Ok(template.versions),
        "$Default" => Ok(1),
        number => number.parse().ok().filter(|number| (1..=template.versions).contains(number)).ok_or_else(|| {
            let id = launch_template_id(&template.name);
            let message = format!("Could not find the specified version {number} for the launch template with ID {id}.");
            ServiceError::new("InvalidLaunchTemplateId.VersionNotFound", message)
        }),
    }
}

fn version(world: &World, template: &LaunchTemplateDef, number: u32) -> Element {
    let data = Element::new("launchTemplateData").with("imageId", &template.image).with("instanceType", &template.instance_type);
    item()
        .with("launchTemplateId", launch_template_id(&template.name))
        .with("launchTemplateName", &template.name)
        .with("versionNumber", number)
        .with("createTime", timestamp(world.started))
        .with("createdBy", &world.principal)
        .with("defaultVersion", number == 1)
        .with_child(data)
}

/// Keeps what is asked for by id; everything if nothing is. An id that is not there is an error.
fn select<T>(
    all: Vec<T>,
    wanted: &[&str],
    id: impl Fn(&T) -> &str,
    missing: impl Fn(&str) -> ServiceError,
) -> Result<Vec<T>, ServiceError> {
    if let Some(lost) = wanted.iter().find(|wanted| !all.iter().any(|one| id(one) == **wanted)) {
        return Err(missing(lost));
    }
    Ok(all.into_iter().filter(|one| wanted.is_empty() || wanted.contains(&id(one))).collect())
}

fn images(world: &World, here: &Region, params: &Params) -> Result<Vec<Element>, ServiceError> {
    let wanted = params.list("ImageId");
    if let Some(bad) = wanted.iter().find(|id| !id.starts_with("ami-")) {
        return Err(ServiceError::new("InvalidAMIID.Malformed", format!("Invalid id: \"{bad}\" (expecting \"ami-...\")")));
    }
    let missing = |id: &str| ServiceError::new("InvalidAMIID.NotFound", format!("The image id '[{id}]' does not exist"));
    let found = select(here.images(), &wanted, |image| &image.id, missing)?;
    let shown = found.into_iter().map(|image| {
        item()
            .with("name", image.name.as_ref().unwrap_or(&image.id))
            .with("imageId", image.id)
            .with("imageState", image.state)
            .with("imageOwnerId", &world.account)
            .with("isPublic", false)
            .with("imageType", "machine")
    });
    Ok(shown.collect())
}

fn subnets(world: &World, region: &str, here: &Region, params: &Params) -> Result<Vec<Element>, ServiceError> {
    let missing = |id: &str| ServiceError::new("InvalidSubnetID.NotFound", format!("The subnet ID '{id}' does not exist"));
    let found = select(here.subnets(region), &params.list("SubnetId"), |subnet| &subnet.id, missing)?;
    let shown = found.into_iter().map(|subnet| {
        item()
            .with("subnetId", subnet.id)
            .with("state", "available")
            .with("vpcId", subnet.vpc)
            .with("cidrBlock", subnet.cidr)
            .with("availableIpAddressCount", subnet.free)
            .with("availabilityZone", format!("{region}{}", subnet.zone))
            .with("defaultForAz", false)
            .with("mapPublicIpOnLaunch", false)
            .with("ownerId", &world.account)
    });
    Ok(shown.collect())
}

fn instance_types(params: &Params) -> Result<Vec<Element>, ServiceError> {
    let wanted = params.list("InstanceType");
    let unknown: Vec<&str> = wanted.iter().copied().filter(|name| vcpus(name).is_none()).collect();
    if !unknown.is_empty() {
        let message = format!("The following supplied instance types do not exist: [{}]", unknown.join(", "));
        return Err(ServiceError::new("InvalidInstanceType", message));
    }
    let shown = wanted.into_iter().filter_map(|name| {
        let cpus = Element::new("vCpuInfo").with("defaultVCpus", vcpus(name)?);
        Some(item().with("instanceType", name).with_child(cpus))
    });
    Ok(shown.collect())
}

fn peerings(world: &World, region: &str, params: &Params) -> Result<Vec<Element>, ServiceError> {
    let here = |peering: &&crate::def::PeeringDef| peering.requester.region == region || peering.accepter.region == region;
    let all: Vec<_> = world.peerings.iter().filter(here).collect();
    let missing = |id: &str| {
        ServiceError::new("InvalidVpcPeeringConnectionID.NotFound", format!("The vpcPeeringConnection ID '{id}' does not exist"))
    };
    let found = select(all, &params.list("VpcPeeringConnectionId"), |peering| &peering.id, missing)?;
    let side = |name: &str, of: &PeerDef| {
        Element::new(name)
            .with("ownerId", &world.account)
            .with("vpcId", &of.vpc)
            .with("cidrBlock", &of.cidr)
            .with_list("cidrBlockSet", [item().with("cidrBlock", &of.cidr)])
            .with("region", &of.region)
    };
    let shown = found.into_iter().map(|peering| {
        item()
            .with("vpcPeeringConnectionId", &peering.id)
            .with_child(side("requesterVpcInfo", &peering.requester))
            .with_child(side("accepterVpcInfo", &peering.accepter))
            .with_child(Element::new("status").with("code", &peering.status).with("message", said_of(&peering.status)))
    });
    Ok(shown.collect())
}

/// What AWS says of a peering connection's status.
fn said_of(status: &str) -> &'static str {
    match status {
        "active" => "Active",
        "pending-acceptance" => "Pending Acceptance",
        "provisioning" => "Provisioning",
        "rejected" => "Rejected",
        "expired" => "Expired",
        "deleted" => "Deleted",
        _ => "Failed",
    }
}

fn route_tables(world: &World, here: &Region, params: &Params) -> Result<Vec<Element>, ServiceError> {
    let missing = |id: &str| ServiceError::new("InvalidRouteTableID.NotFound", format!("The routeTable ID '{id}' does not exist"));
    let mut found = select(here.ec2.route_tables.iter().collect(), &params.list("RouteTableId"), |table| &table.id, missing)?;
    for number in 1.. {
        let Some(name) = params.get(&format!("Filter.{number}.Name")) else { break };
        if name != "vpc-id" {
            return Err(ServiceError::new("InvalidParameterValue", format!("The filter '{name}' is invalid")));
        }
        let values = params.list(&format!("Filter.{number}.Value"));
        found.retain(|table| values.contains(&table.vpc.as_str()));
    }
    Ok(found.into_iter().map(|table| route_table(world, table)).collect())
}

fn route_table(world: &World, table: &RouteTableDef) -> Element {
    let route = |route: &RouteDef| {
        item()
            .with("destinationCidrBlock", &route.to)
            .with("vpcPeeringConnectionId", &route.peering)
            .with("state", if route.blackhole { "blackhole" } else { "active" })
            .with("origin", "CreateRoute")
    };
    let inside = |cidr: &String| {
        item().with("destinationCidrBlock", cidr).with("gatewayId", "local").with("state", "active").with("origin", "CreateRouteTable")
    };
    let peers = world.peerings.iter().flat_map(|peering| [&peering.requester, &peering.accepter]);
    let own = peers.filter(|peer| peer.vpc == table.vpc).map(|peer| &peer.cidr).next();
    item()
        .with("routeTableId", &table.id)
        .with("vpcId", &table.vpc)
        .with("ownerId", &world.account)
        .with_list("routeSet", own.map(inside).into_iter().chain(table.routes.iter().map(route)))
}
