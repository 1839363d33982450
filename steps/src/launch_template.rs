//! What an Auto Scaling group launches: by a launch template, by one with other instance types, or by a launch configuration.

use aws_sdk_autoscaling::types::{AutoScalingGroup, InstancesDistribution, LaunchTemplateSpecification, MixedInstancesPolicy};
use aws_sdk_ec2::types::{MarketType, ResponseLaunchTemplateData};
use wf_engine::model::event::StepFailure;
use wf_engine::readiness::Check;

use crate::aws::errors;
use crate::launch::Launch;

/// The IAM actions.
pub(crate) const VERSIONS: &str = "ec2:DescribeLaunchTemplateVersions";
pub(crate) const CONFIGURATIONS: &str = "autoscaling:DescribeLaunchConfigurations";

/// What is launched.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Launched {
    /// The image, unless another service has to say which.
    pub(crate) image: Option<String>,
    /// The instance types, of which each will do; none when that cannot be told.
    pub(crate) types: Vec<String>,
    on_demand: OnDemand,
}

/// How many of some instances are On-Demand ones.
#[derive(Debug, Clone, Copy, PartialEq)]
struct OnDemand {
    base: i32,
    percent_above: i32,
}

impl Default for OnDemand {
    fn default() -> Self {
        Self { base: 0, percent_above: 100 }
    }
}

impl OnDemand {
    const NONE: Self = Self { base: 0, percent_above: 0 };

    fn of(self, size: i32) -> i32 {
        let base = self.base.clamp(0, size.max(0));
        let above = i64::from(size - base) * i64::from(self.percent_above.clamp(0, 100));
        base + i32::try_from(above.div_euclid(100) + i64::from(above.rem_euclid(100) > 0)).unwrap_or_default()
    }
}

impl Launched {
    /// Returns how many On-Demand instances there are when there are so many in all.
    pub(crate) fn on_demand(&self, size: i32) -> i32 {
        self.on_demand.of(size)
    }
}

/// Checks that what a group launches from is there, and returns what that is; `None` when it is not, or cannot be read. `fix` gives the group
/// another one.
pub(crate) async fn launched(launch: &Launch<'_>, group: &AutoScalingGroup, fix: String) -> (Check, Option<Launched>) {
    const NAME: &str = "launch template";
    let subject = &launch.subject;
    let mixed = group.mixed_instances_policy();
    let template = mixed.and_then(|mixed| mixed.launch_template()?.launch_template_specification()).or(group.launch_template());
    let found = match (template, group.launch_configuration_name()) {
        (Some(template), _) => by_template(launch, template).await,
        (None, Some(name)) => by_configuration(launch, name).await,
        (None, None) => {
            let why = format!("{subject} has no launch template: it cannot launch an instance");
            return (Check::of(NAME, subject).fail_if(true, why, fix), None);
        }
    };
    match found {
        Ok(Some(found)) => (Check::of(NAME, subject), Some(with_policy(found, mixed))),
        Ok(None) => {
            let from = template.map_or_else(
                || format!("launch configuration {}", group.launch_configuration_name().unwrap_or_default()),
                |template| format!("{} of launch template {}", version_of(template), name_of(template)),
            );
            let why = format!("{subject} launches by {from}, which is not there: it cannot launch an instance");
            (Check::of(NAME, subject).fail_if(true, why, fix), None)
        }
        Err(failure) => (Check::unknown(NAME, subject, failure), None),
    }
}

fn name_of(template: &LaunchTemplateSpecification) -> &str {
    template.launch_template_name().or(template.launch_template_id()).unwrap_or_default()
}

fn version_of(template: &LaunchTemplateSpecification) -> String {
    format!("version {}", template.version().unwrap_or("$Default"))
}

/// How EC2 says that there is no such template, or no such version of it.
const GONE: [&str; 4] = [
    "InvalidLaunchTemplateId.NotFound",
    "InvalidLaunchTemplateId.VersionNotFound",
    "InvalidLaunchTemplateName.NotFoundException",
    "InvalidLaunchTemplateId.Malformed",
];

async fn by_template(launch: &Launch<'_>, template: &LaunchTemplateSpecification) -> Result<Option<Launched>, StepFailure> {
    let call = launch.cloud.ec2(launch.region).describe_launch_template_versions();
    let call = match template.launch_template_id() {
        Some(id) => call.launch_template_id(id),
        None => call.set_launch_template_name(template.launch_template_name().map(str::to_owned)),
    };
    let call = call.versions(template.version().unwrap_or("$Default"));
    let answer = match call.resolve_alias(true).send().await {
        Ok(answer) => answer,
        Err(error) if GONE.iter().any(|code| errors::has_code(&error, code)) => return Ok(None),
        Err(error) => {
            let what = format!("look at launch template {} in {}", name_of(template), launch.region);
            return Err(errors::reading(VERSIONS, what)(error));
        }
    };
    let version = answer.launch_template_versions.unwrap_or_default().into_iter().next();
    Ok(version.map(|version| version.launch_template_data.map(|data| of_template(&data)).unwrap_or_default()))
}

fn of_template(data: &ResponseLaunchTemplateData) -> Launched {
    // A parameter of Systems Manager stands for an image in the template; EC2 has put the image in its place, where it may read that.
    let image = data.image_id().filter(|image| image.starts_with("ami-"));
    let spot = data.instance_market_options().and_then(|options| options.market_type()) == Some(&MarketType::Spot);
    Launched {
        image: image.map(str::to_owned),
        types: data.instance_type().map(ToString::to_string).into_iter().collect(),
        on_demand: if spot { OnDemand::NONE } else { OnDemand::default() },
    }
}

async fn by_configuration(launch: &Launch<'_>, name: &str) -> Result<Option<Launched>, StepFailure> {
    let call = launch.cloud.autoscaling(launch.region).describe_launch_configurations().launch_configuration_names(name);
    let what = format!("look at launch configuration {name} in {}", launch.region);
    let answer = call.send().await.map_err(errors::reading(CONFIGURATIONS, what))?;
    let found = answer.launch_configurations.unwrap_or_default().into_iter().next();
    Ok(found.map(|found| Launched {
        on_demand: if found.spot_price.is_some() { OnDemand::NONE } else { OnDemand::default() },
        image: found.image_id,
        types: found.instance_type.into_iter().collect(),
    }))
}

/// Applies what a policy of mixed instances says instead of its template. With weights a size is no number of instances, and with
/// requirements any type may come: then no types are told.
fn with_policy(launched: Launched, policy: Option<&MixedInstancesPolicy>) -> Launched {
    let Some(policy) = policy else { return launched };
    let overrides = policy.launch_template().map(|template| template.overrides()).unwrap_or_default();
    let plain = overrides.iter().all(|one| one.weighted_capacity().is_none() && one.instance_requirements().is_none());
    let types = match (plain, overrides.is_empty()) {
        (false, _) => Vec::new(),
        (true, true) => launched.types,
        (true, false) => overrides.iter().filter_map(|one| one.instance_type().map(str::to_owned)).collect(),
    };
    let share = |of: &InstancesDistribution| OnDemand {
        base: of.on_demand_base_capacity().unwrap_or(0),
        percent_above: of.on_demand_percentage_above_base_capacity().unwrap_or(100),
    };
    let on_demand = policy.instances_distribution().map(share).unwrap_or_default();
    // An override may name a template of its own, with another image.
    Launched { types, on_demand, ..launched }
}

#[cfg(test)]
mod tests {
    use aws_sdk_autoscaling::types::{LaunchTemplate, LaunchTemplateOverrides};

    use super::*;

    fn policy(overrides: Vec<LaunchTemplateOverrides>, share: Option<(i32, i32)>) -> MixedInstancesPolicy {
        let distribution = share.map(|(base, percent)| {
            InstancesDistribution::builder().on_demand_base_capacity(base).on_demand_percentage_above_base_capacity(percent).build()
        });
        let template = LaunchTemplate::builder().set_overrides(Some(overrides)).build();
        MixedInstancesPolicy::builder().launch_template(template).set_instances_distribution(distribution).build()
    }

    fn launched() -> Launched {
        Launched { image: Some("ami-1".into()), types: vec!["m5.large".into()], on_demand: OnDemand::default() }
    }

    #[test]
    fn a_policy_says_other_types_and_how_many_are_on_demand() {
        let of = |name: &str| LaunchTemplateOverrides::builder().instance_type(name).build();
        let mixed = with_policy(launched(), Some(&policy(vec![of("m5.large"), of("m6i.large")], Some((2, 25)))));
        assert_eq!(mixed.types, ["m5.large", "m6i.large"]);
        assert_eq!([mixed.on_demand(0), mixed.on_demand(1), mixed.on_demand(2), mixed.on_demand(6), mixed.on_demand(7)], [0, 1, 2, 3, 4]);
        let weighted = LaunchTemplateOverrides::builder().instance_type("m5.large").weighted_capacity("2").build();
        assert_eq!(with_policy(launched(), Some(&policy(vec![weighted], None))).types, Vec::<String>::new(), "no verdict");
        let same = with_policy(launched(), Some(&policy(Vec::new(), None)));
        assert_eq!((same.on_demand(6), &same), (6, &launched()));
        assert_eq!(with_policy(launched(), None), launched());
    }

    #[test]
    fn a_spot_template_uses_no_on_demand_quota_and_a_parameter_is_no_image() {
        let options = aws_sdk_ec2::types::LaunchTemplateInstanceMarketOptions::builder().market_type(MarketType::Spot).build();
        let data = ResponseLaunchTemplateData::builder().image_id("resolve:ssm:/golden").instance_type("m5.large".into());
        let spot = of_template(&data.instance_market_options(options).build());
        assert_eq!((spot.on_demand(6), spot.image), (0, None));
    }
}
