//! `EcrReplicated`: sees whether the images that run in a namespace are in another region's registry too, the same ones, and whether new ones
//! come there.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_ecr::types::{ImageIdentifier, ReplicationRule};
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::{Pod, PodSpec};
use serde::{Deserialize, Serialize};
use serde_json::json;
use wf_engine::model::definition::Objectives;
use wf_engine::model::event::{Fields, StepFailure};
use wf_engine::readiness::Check;
use wf_engine::step::{Field, FieldType, Iam, KindInfo, Observed, Rbac, Reversibility, StepContext, StepKind, fields, nothing_to_apply};

use crate::aws::{Cloud, errors};
use crate::k8s::{Cluster, Kubernetes, readiness};
use crate::looked::as_failure;

/// Looks at where images are.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EcrReplicated {
    /// The cluster whose pods run the images.
    pub cluster: Cluster,
    /// The pods' namespace.
    pub namespace: String,
    /// The region whose registry is to have them.
    pub region: String,
}

/// The images that run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Running {
    /// How many of them come out of a registry of ECR.
    pub images: usize,
}

/// An image in a registry of ECR.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Image {
    account: String,
    region: String,
    repository: String,
    /// A tag, or a digest.
    version: String,
}

const DESCRIBE: &str = "ecr:DescribeImages";
const REGISTRY: &str = "ecr:DescribeRegistry";
/// How many images are named that are missing.
const NAMED_MAX: usize = 3;

#[async_trait]
impl StepKind for EcrReplicated {
    type Env = Cloud;
    type Before = Running;
    type Handle = ();

    const INFO: KindInfo = KindInfo {
        name: "EcrReplicated",
        summary: "sees whether the images that run in a namespace are in another region's registry too",
        example: r#"(
    id: "images_copied", only: Check,
    run: EcrReplicated(cluster: Eks(name: "production-primary", region: "us-east-1"), namespace: "production", region: "us-west-2"),
)"#,
        reversibility: Reversibility::ReadOnly,
        params: &[
            Field::new("cluster", FieldType::Json, Cluster::DOC),
            Field::new("namespace", FieldType::Text, "the namespace of the pods and CronJobs whose images are looked for"),
            Field::new("region", FieldType::Text, "the region whose registry is to have them"),
        ],
        outputs: &[Field::new("images", FieldType::Integer, "how many images there are")],
        before: &[Field::new("images", FieldType::Integer, "how many images there are")],
        iam: Iam { read: &["eks:DescribeCluster", "eks:ListClusters", DESCRIBE, REGISTRY], apply: &[], compensate: &[], ready: &[] },
        rbac: Rbac { read: &["list pods", "list cronjobs.batch", readiness::GET_NAMESPACES], apply: &[], compensate: &[] },
        facts: &[
            "a registry belongs to a region, and so does the address of an image: what Velero restores still asks the region that it came from, unless its plugin config `change-image-name` names the other one",
            "a replication rule copies what is pushed from then on, to a repository of the same name",
            "a tag may be moved: the image there has to have the digest of the one here",
            "an image of another registry than ECR is left out",
        ],
        typical: Duration::from_secs(2),
        timeout: Duration::from_secs(60),
    };

    async fn observe(&self, cx: &StepContext<Cloud>, _intent: Option<&Running>) -> Result<Observed<Running>, StepFailure> {
        let images = self.running(cx).await?;
        as_failure(&self.checks(cx, &images).await)?;
        Ok(Observed::Satisfied(Running { images: images.len() }))
    }

    async fn readiness(&self, cx: &StepContext<Cloud>, _objectives: &Objectives) -> Result<Vec<Check>, StepFailure> {
        let mut checks = readiness::namespace(cx, &self.cluster, &self.namespace).await?;
        checks.extend(self.checks(cx, &self.running(cx).await?).await);
        Ok(checks)
    }

    async fn apply(&self, _cx: &StepContext<Cloud>, _before: &Running) -> Result<(), StepFailure> {
        nothing_to_apply(&Self::INFO)
    }

    async fn settle(&self, _cx: &StepContext<Cloud>, before: &Running, _handle: Option<&()>) -> Result<Fields, StepFailure> {
        Ok(fields([("images", json!(before.images))]))
    }

    async fn compensate(&self, _cx: &StepContext<Cloud>, _before: &Running, _handle: Option<&()>) -> Result<(), StepFailure> {
        nothing_to_apply(&Self::INFO)
    }
}

impl EcrReplicated {
    /// Returns the images of ECR that the pods run, and that the CronJobs would.
    async fn running(&self, cx: &StepContext<Cloud>) -> Result<BTreeSet<Image>, StepFailure> {
        let kubernetes = Kubernetes::reach(cx, &self.cluster).await?;
        let (pods, jobs) = (kubernetes.namespaced::<Pod>(&self.namespace), kubernetes.namespaced::<CronJob>(&self.namespace));
        let pods = kubernetes.list(&format!("list the pods of {}", self.namespace), &pods, None).await?;
        let jobs = kubernetes.list(&format!("list the CronJobs of {}", self.namespace), &jobs, None).await?;
        let of_pods = pods.into_iter().filter_map(|pod| pod.spec);
        let of_jobs = jobs.into_iter().filter_map(|job| job.spec?.job_template.spec?.template.spec);
        Ok(of_pods.chain(of_jobs).flat_map(images).filter_map(|image| Image::parse(&image)).collect())
    }

    async fn checks(&self, cx: &StepContext<Cloud>, images: &BTreeSet<Image>) -> Vec<Check> {
        let (namespace, there) = (&self.namespace, &self.region);
        let mut missing = Vec::new();
        for image in images {
            match self.why_missing(&cx.env, image).await {
                Ok(why) => missing.extend(why),
                Err(failure) => return vec![Check::unknown("images", namespace, failure).as_observed()],
            }
        }
        let named = missing.iter().take(NAMED_MAX).map(String::as_str).collect::<Vec<_>>().join("; ");
        let more = missing.len().saturating_sub(NAMED_MAX);
        let more = if more == 0 { String::new() } else { format!("; and {more} more") };
        let are = if missing.len() == 1 { "is" } else { "are" };
        let present = Check::of("images", namespace).as_observed().fail_if(
            !missing.is_empty(),
            format!("{} of {} images of {namespace} {are} not there in {there}: {named}{more}", missing.len(), images.len()),
            format!(
                "push them again: a replication rule copies what is pushed after it was made; or `docker push` them to {there} yourself"
            ),
        );
        let abroad = images.iter().filter(|image| image.region != *there).count();
        let address = Check::of("image addresses", namespace).warn_if(
            abroad > 0,
            format!("{abroad} images of {namespace} are asked of another registry than that of {there}: restored as they are, pods there wait for a region that may be gone"),
            "have Velero rewrite the addresses as it restores (its plugin config `change-image-name`)",
        );
        vec![present, self.rule(cx, images).await, address]
    }

    /// Says why an image cannot be had in the other region; `None` if it can.
    async fn why_missing(&self, cloud: &Cloud, image: &Image) -> Result<Option<String>, StepFailure> {
        let Some(here) = digest(cloud, &image.region, image).await? else {
            return Ok(Some(format!("{image} is gone from {} too", image.region)));
        };
        Ok(match digest(cloud, &self.region, image).await? {
            Some(there) if there == here => None,
            Some(_) => Some(format!("{image} is another image there")),
            None => Some(image.to_string()),
        })
    }

    /// Checks that what is pushed for these images from now on comes to the other region.
    async fn rule(&self, cx: &StepContext<Cloud>, images: &BTreeSet<Image>) -> Check {
        const NAME: &str = "replication rule";
        let there = &self.region;
        let mut left_out = BTreeSet::new();
        for region in images.iter().map(|image| &image.region).filter(|region| *region != there).collect::<BTreeSet<_>>() {
            let answer = cx.env.ecr(region).describe_registry().send().await;
            let rules = match answer {
                Ok(answer) => answer.replication_configuration.map(|found| found.rules).unwrap_or_default(),
                Err(error) => {
                    let failure = errors::reading(REGISTRY, format!("read the replication rules of the registry in {region}"))(error);
                    return Check::unknown(NAME, region, failure).as_observed();
                }
            };
            let of_region = images.iter().filter(|image| image.region == *region);
            left_out.extend(
                of_region.filter(|image| !rules.iter().any(|rule| copies(rule, &image.repository, there))).map(|image| &image.repository),
            );
        }
        let named = left_out.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
        Check::of(NAME, format!("{} → {there}", self.namespace)).as_observed().fail_if(
            !left_out.is_empty(),
            format!("no replication rule copies {named} to {there}: the next version that is pushed is not there"),
            "`aws ecr put-replication-configuration --replication-configuration file://…`, in the region that the images come from",
        )
    }
}

/// Returns the digest of an image in a region; `None` if it is not there.
async fn digest(cloud: &Cloud, region: &str, image: &Image) -> Result<Option<String>, StepFailure> {
    let id = ImageIdentifier::builder();
    let id = if image.version.starts_with("sha256:") { id.image_digest(&image.version) } else { id.image_tag(&image.version) };
    let call = cloud.ecr(region).describe_images().registry_id(&image.account).repository_name(&image.repository).image_ids(id.build());
    match call.send().await {
        Ok(answer) => Ok(answer.image_details.unwrap_or_default().into_iter().find_map(|found| found.image_digest)),
        Err(error) if ["ImageNotFoundException", "RepositoryNotFoundException"].iter().any(|code| errors::has_code(&error, code)) => {
            Ok(None)
        }
        Err(error) => Err(errors::reading(DESCRIBE, format!("look for {image} in {region}"))(error)),
    }
}

/// Tells whether a rule copies a repository to a region: all of its filters are prefixes, and one that fits is enough.
fn copies(rule: &ReplicationRule, repository: &str, region: &str) -> bool {
    let filters = rule.repository_filters();
    rule.destinations().iter().any(|destination| destination.region() == region)
        && (filters.is_empty() || filters.iter().any(|filter| repository.starts_with(filter.filter())))
}

/// Returns the images of all containers of a pod.
fn images(spec: PodSpec) -> impl Iterator<Item = String> {
    let init = spec.init_containers.unwrap_or_default().into_iter();
    init.chain(spec.containers).filter_map(|container| container.image)
}

impl Image {
    /// Reads an address such as `123456789012.dkr.ecr.us-east-1.amazonaws.com/app:v1`; `None` of one of another registry.
    fn parse(address: &str) -> Option<Self> {
        let (host, path) = address.split_once('/')?;
        let (account, rest) = host.split_once(".dkr.ecr.")?;
        let region = rest.strip_suffix(".amazonaws.com").or_else(|| rest.strip_suffix(".amazonaws.com.cn"))?;
        let (repository, version) = path.split_once('@').or_else(|| path.split_once(':')).unwrap_or((path, "latest"));
        // A digest decides, whatever tag stands before it.
        let repository = repository.split(':').next().unwrap_or(repository);
        Some(Self { account: account.into(), region: region.into(), repository: repository.into(), version: version.into() })
    }
}

impl std::fmt::Display for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let between = if self.version.starts_with("sha256:") { '@' } else { ':' };
        write!(f, "{}{between}{}", self.repository, self.version)
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_ecr::types::{ReplicationDestination, RepositoryFilter, RepositoryFilterType};

    use super::*;

    #[test]
    fn addresses_of_ecr_are_read_and_others_are_left_out() {
        let read = |address: &str| Image::parse(address).map(|image| (image.region.clone(), image.to_string()));
        let host = "123456789012.dkr.ecr.us-east-1.amazonaws.com";
        let east = |image: &str| Some(("us-east-1".to_owned(), image.to_owned()));
        assert_eq!(read(&format!("{host}/app:v1")), east("app:v1"));
        assert_eq!(read(&format!("{host}/team/app")), east("team/app:latest"));
        assert_eq!(read(&format!("{host}/app:v1@sha256:ab")), east("app@sha256:ab"));
        assert_eq!(
            read("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/app:v1").map(|(region, _)| region).as_deref(),
            Some("cn-north-1")
        );
        for other in ["nginx", "nginx:1", "docker.io/library/nginx:1", "public.ecr.aws/x/y:1", "quay.io:443/a/b@sha256:ab", "", "/"] {
            assert_eq!(read(other), None, "{other}");
        }
    }

    #[test]
    fn a_rule_copies_the_repositories_that_one_of_its_filters_fits() {
        let to = |region: &str| ReplicationDestination::builder().region(region).registry_id("1").build().expect("whole");
        let filter = |prefix: &str| {
            RepositoryFilter::builder().filter(prefix).filter_type(RepositoryFilterType::PrefixMatch).build().expect("whole")
        };
        let rule = |filters: &[&str]| {
            let rule = ReplicationRule::builder().destinations(to("us-west-2"));
            filters.iter().fold(rule, |rule, prefix| rule.repository_filters(filter(prefix))).build().expect("whole")
        };
        assert!(copies(&rule(&[]), "app", "us-west-2"));
        assert!(!copies(&rule(&[]), "app", "eu-west-1"));
        assert!(copies(&rule(&["x", "production-"]), "production-app", "us-west-2"));
        assert!(!copies(&rule(&["production-"]), "app", "us-west-2"));
    }
}
