//! [`Launch`]: whether instances could be launched if a group grew now. For `wf check --live`: the image, room in the subnets, the quota on
//! vCPUs. What cannot be told of a group, such as the quota of one that takes instances of any type, is left out.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::ImageState;
use wf_engine::model::event::StepFailure;
use wf_engine::readiness::Check;

use crate::aws::{Cloud, errors};

/// The IAM actions of [`Launch::image`], [`Launch::addresses`] and [`Launch::quota`].
pub(crate) const IMAGES: &str = "ec2:DescribeImages";
pub(crate) const SUBNETS: &str = "ec2:DescribeSubnets";
pub(crate) const TYPES: &str = "ec2:DescribeInstanceTypes";
pub(crate) const QUOTA: &str = "servicequotas:GetServiceQuota";
pub(crate) const DEFAULT_QUOTA: &str = "servicequotas:GetAWSDefaultServiceQuota";

/// What launches instances, and where.
pub(crate) struct Launch<'a> {
    pub(crate) cloud: &'a Cloud,
    pub(crate) region: &'a str,
    /// As messages name it.
    pub(crate) subject: String,
}

/// A quota on the vCPUs of running On-Demand instances of some families.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Quota {
    code: &'static str,
    name: &'static str,
}

const STANDARD: Quota = Quota { code: "L-1216C47A", name: "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances" };

/// The others, by the letters of their families (Amazon EC2 User Guide, On-Demand Instance quotas).
const OTHERS: &[(&[&str], Quota)] = &[
    (&["dl"], Quota { code: "L-6E869C2A", name: "Running On-Demand DL instances" }),
    (&["f"], Quota { code: "L-74FC7D96", name: "Running On-Demand F instances" }),
    (&["g", "gr", "vt"], Quota { code: "L-DB2E81BA", name: "Running On-Demand G and VT instances" }),
    (&["hpc"], Quota { code: "L-F7808C92", name: "Running On-Demand HPC instances" }),
    (&["inf"], Quota { code: "L-1945791B", name: "Running On-Demand Inf instances" }),
    (&["p"], Quota { code: "L-417A185B", name: "Running On-Demand P instances" }),
    (&["trn"], Quota { code: "L-2C3B7624", name: "Running On-Demand Trn instances" }),
    (&["u", "u-"], Quota { code: "L-43DA4232", name: "Running On-Demand High Memory instances" }),
    (&["x"], Quota { code: "L-7295265B", name: "Running On-Demand X instances" }),
];

/// The families of the standard quota that have more than one letter.
const STANDARD_LONG: [&str; 2] = ["im", "is"];

impl Quota {
    /// Returns the quota that an instance type counts towards; `None` of one that is not known.
    fn of(instance_type: &str) -> Option<Self> {
        let letters = instance_type.split(|c: char| c.is_ascii_digit()).next()?;
        if let Some((_, quota)) = OTHERS.iter().find(|(families, _)| families.contains(&letters)) {
            return Some(*quota);
        }
        let standard = letters.len() == 1 && "acdhimrtz".contains(letters) || STANDARD_LONG.contains(&letters);
        standard.then_some(STANDARD)
    }
}

impl Launch<'_> {
    /// Checks that an image is there, and that instances can be launched from it.
    pub(crate) async fn image(&self, id: &str) -> Check {
        const NAME: &str = "image";
        let Self { region, subject, .. } = self;
        let fix = format!(
            "copy a good one (`aws ec2 copy-image --source-region … --source-image-id … --region {region} --name …`) and have a new version of the launch template name it (`aws ec2 create-launch-template-version --region {region} --source-version '$Latest' --launch-template-data '{{\"ImageId\":\"ami-…\"}}' …`)"
        );
        let gone = || {
            Check::of(NAME, subject).fail_if(true, format!("{subject} launches from {id}, which is not there: it was deregistered, belongs to another region, or is not shared with this account"), &fix)
        };
        let answer = self.cloud.ec2(region).describe_images().image_ids(id).send().await;
        let found = match answer {
            Ok(answer) => answer.images.unwrap_or_default().into_iter().next(),
            Err(error) if GONE_IMAGE.iter().any(|code| errors::has_code(&error, code)) => return gone(),
            Err(error) => return Check::unknown(NAME, subject, errors::reading(IMAGES, format!("look at {id} in {region}"))(error)),
        };
        let Some(found) = found else { return gone() };
        let state = found.state().map_or("without a state", ImageState::as_str);
        Check::of(NAME, subject).fail_if(
            found.state() != Some(&ImageState::Available),
            format!("{subject} launches from {id}, which is {state}: it has to be available"),
            fix,
        )
    }

    /// Checks that the subnets together have addresses for so many more instances. None is needed for none, and nothing is known of
    /// subnets that are not named.
    pub(crate) async fn addresses(&self, subnets: &[String], more: i32, fix: impl Into<String>) -> Option<Check> {
        const NAME: &str = "addresses";
        let Self { region, subject, .. } = self;
        if subnets.is_empty() || more <= 0 {
            return None;
        }
        let answer = self.cloud.ec2(region).describe_subnets().set_subnet_ids(Some(subnets.to_vec())).send().await;
        let found = match answer {
            Ok(answer) => answer.subnets.unwrap_or_default(),
            Err(error) if errors::has_code(&error, "InvalidSubnetID.NotFound") => {
                let gone = format!("{subject} has a subnet that is not there: {}", subnets.join(", "));
                return Some(Check::of(NAME, subject).fail_if(true, gone, fix));
            }
            Err(error) => {
                let failure = errors::reading(SUBNETS, format!("look at the subnets of {subject}"))(error);
                return Some(Check::unknown(NAME, subject, failure));
            }
        };
        let free = |subnet: &aws_sdk_ec2::types::Subnet| i64::from(subnet.available_ip_address_count().unwrap_or_default());
        let each: Vec<_> = found.iter().map(|one| format!("{} {}", one.subnet_id().unwrap_or_default(), free(one))).collect();
        let all: i64 = found.iter().map(free).sum();
        let short = format!("{subject} is to have {more} more, and its subnets have {all} free addresses ({})", each.join(", "));
        Some(Check::of(NAME, subject).fail_if(all < i64::from(more), short, fix))
    }

    /// Checks that the quota of the region lets so many On-Demand instances of any one of these types run. It does not know what else runs
    /// there. Types of several quotas are left out.
    pub(crate) async fn quota(&self, types: &[String], size: i32) -> Option<Check> {
        const NAME: &str = "vCPU quota";
        let Self { region, subject, .. } = self;
        let quotas: BTreeSet<_> = types.iter().map(|one| Quota::of(one)).collect();
        let quotas: Vec<_> = quotas.into_iter().collect();
        let (&[Some(quota)], true) = (quotas.as_slice(), size > 0) else { return None };
        let (smallest, limit) = match tokio::join!(self.smallest(types), self.limit(quota)) {
            (Ok(Some(smallest)), Ok(limit)) => (smallest, limit),
            (Ok(None), _) => {
                let gone = format!("{subject} launches {}, and {region} has no such instance type", types.join(" or "));
                return Some(Check::of(NAME, subject).fail_if(
                    true,
                    gone,
                    "choose an instance type that the region has: `aws ec2 describe-instance-type-offerings` lists them",
                ));
            }
            (Err(failure), _) | (_, Err(failure)) => return Some(Check::unknown(NAME, subject, failure)),
        };
        let (name, vcpus) = smallest;
        let needed = i64::from(vcpus) * i64::from(size);
        let Quota { code, name: quota } = quota;
        Some(Check::of(NAME, subject).fail_if(
            limit < needed as f64,
            format!("{subject} needs {needed} vCPUs for {size} × {name}, and the quota of {region} is {limit} ({quota}, {code})"),
            format!("`aws service-quotas request-service-quota-increase --service-code ec2 --quota-code {code} --desired-value {needed} --region {region}`, to more when other instances run there; AWS may take days"),
        ))
    }

    /// Returns the type with the fewest vCPUs, and those; `None` if there is none of the types.
    async fn smallest(&self, types: &[String]) -> Result<Option<(String, i32)>, StepFailure> {
        let wanted = types.iter().map(|one| one.as_str().into()).collect();
        let answer = self.cloud.ec2(self.region).describe_instance_types().set_instance_types(Some(wanted)).send().await;
        let found = match answer {
            Ok(answer) => answer.instance_types.unwrap_or_default(),
            Err(error) if errors::has_code(&error, "InvalidInstanceType") => return Ok(None),
            Err(error) => return Err(errors::reading(TYPES, format!("look at instance types in {}", self.region))(error)),
        };
        let vcpus = found.iter().filter_map(|one| Some((one.instance_type()?.to_string(), one.v_cpu_info()?.default_v_cpus()?)));
        Ok(vcpus.min_by_key(|(_, vcpus)| *vcpus))
    }

    /// Returns what a quota of the region allows: what AWS granted, or else its default.
    async fn limit(&self, quota: Quota) -> Result<f64, StepFailure> {
        let (client, what) = (self.cloud.servicequotas(self.region), || format!("read the quota {} of {}", quota.code, self.region));
        let unknown = || StepFailure::transient(format!("failed to {}: AWS gave no value", what()));
        match client.get_service_quota().service_code("ec2").quota_code(quota.code).send().await {
            Ok(answer) => return answer.quota.and_then(|quota| quota.value).ok_or_else(unknown),
            Err(error) if errors::has_code(&error, "NoSuchResourceException") => {}
            Err(error) => return Err(errors::reading(QUOTA, what())(error)),
        }
        let answer = client.get_aws_default_service_quota().service_code("ec2").quota_code(quota.code).send().await;
        let answer = answer.map_err(errors::reading(DEFAULT_QUOTA, what()))?;
        answer.quota.and_then(|quota| quota.value).ok_or_else(unknown)
    }
}

/// How EC2 says that there is no such image.
const GONE_IMAGE: [&str; 4] = ["InvalidAMIID.NotFound", "InvalidAMIID.Unavailable", "InvalidAMIID.Malformed", "InvalidAMIId.NotFound"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_counts_towards_its_own_quota() {
        let code = |name: &str| Quota::of(name).map(|quota| quota.code);
        for standard in ["m5.large", "c7gn.xlarge", "t3a.medium", "r6g.2xlarge", "im4gn.large", "is4gen.large", "z1d.large", "a1.medium"] {
            assert_eq!(code(standard), Some("L-1216C47A"), "{standard}");
        }
        let others = [
            ("g5.xlarge", "L-DB2E81BA"),
            ("vt1.3xlarge", "L-DB2E81BA"),
            ("p5.48xlarge", "L-417A185B"),
            ("x2gd.large", "L-7295265B"),
            ("inf2.xlarge", "L-1945791B"),
            ("trn1.2xlarge", "L-2C3B7624"),
            ("dl1.24xlarge", "L-6E869C2A"),
            ("u-6tb1.metal", "L-43DA4232"),
            ("u7i-12tb.224xlarge", "L-43DA4232"),
            ("hpc7a.96xlarge", "L-F7808C92"),
            ("f1.2xlarge", "L-74FC7D96"),
        ];
        for (other, expected) in others {
            assert_eq!(code(other), Some(expected), "{other}");
        }
        assert_eq!((code("mac1.metal"), code("q9.large"), code("")), (None, None, None), "no verdict");
    }
}
