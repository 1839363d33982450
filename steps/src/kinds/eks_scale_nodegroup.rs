//! `EksScaleNodegroup`: sets the sizes of an EKS managed node group, and waits until EKS has done it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_eks::types::{CapacityTypes, ClusterStatus, Nodegroup, NodegroupScalingConfig, NodegroupStatus, Update, UpdateStatus};
use serde::{Deserialize, Serialize};
use serde_json::json;
use wf_engine::clock::between;
use wf_engine::model::definition::Objectives;
use wf_engine::model::event::{Fields, StepFailure};
use wf_engine::readiness::Check;
use wf_engine::step::{Change, Field, FieldType, Iam, KindInfo, Observed, Rbac, Reversibility, StepContext, StepKind, fields};

use crate::aws::missing::{Missing, names};
use crate::aws::poll::{self, Look};
use crate::aws::shared::Since;
use crate::aws::{Cloud, errors};
use crate::launch::{self, Launch};
use crate::sizes::{Sizes, Wish};

/// Sets the sizes of a node group.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EksScaleNodegroup {
    /// The cluster's name.
    pub cluster: String,
    /// The node group's name.
    pub nodegroup: String,
    /// Their region.
    pub region: String,
    /// The new smallest size.
    #[serde(default)]
    pub min: Option<u32>,
    /// The new desired size.
    #[serde(default)]
    pub desired: Option<u32>,
    /// The new largest size.
    #[serde(default)]
    pub max: Option<u32>,
}

/// The IAM action with which the add-ons of a cluster are compared beforehand.
const LIST_ADDONS: &str = "eks:ListAddons";
/// How long a change that was accepted may take to show.
const SHOWS_WITHIN: Duration = Duration::from_secs(30);

/// The update that EKS works on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UpdateHandle {
    /// Its id.
    pub update_id: String,
    /// The health issues that the node group had already.
    pub issues: Vec<String>,
}

#[async_trait]
impl StepKind for EksScaleNodegroup {
    type Env = Cloud;
    type Before = Sizes;
    type Handle = UpdateHandle;

    const INFO: KindInfo = KindInfo {
        name: "EksScaleNodegroup",
        summary: "sets the sizes of an EKS managed node group and waits for the update",
        example: r#"(id: "scale_eks", run: EksScaleNodegroup(cluster: "production-dr", nodegroup: "general", region: "us-west-2", min: 3, desired: 6, max: 20))"#,
        reversibility: Reversibility::Reversible,
        params: &[
            Field::new("cluster", FieldType::Text, "the cluster's name"),
            Field::new("nodegroup", FieldType::Text, "the node group's name"),
            Field::new("region", FieldType::Text, "their region"),
            Field::new("min", FieldType::Integer, "the new smallest size; default: as it is"),
            Field::new("desired", FieldType::Integer, "the new desired size; default: as it is, moved into the new bounds"),
            Field::new("max", FieldType::Integer, "the new largest size, at least 1; default: as it is"),
        ],
        outputs: &[
            Field::new("update_id", FieldType::Text, "the id of EKS's update; empty when nothing had to be changed"),
            Field::new("min", FieldType::Integer, "the smallest size"),
            Field::new("desired", FieldType::Integer, "the desired size"),
            Field::new("max", FieldType::Integer, "the largest size"),
        ],
        before: &[
            Field::new("min", FieldType::Integer, "the smallest size before"),
            Field::new("desired", FieldType::Integer, "the desired size before"),
            Field::new("max", FieldType::Integer, "the largest size before"),
        ],
        iam: Iam {
            read: &["eks:DescribeNodegroup", "eks:DescribeUpdate", "eks:ListNodegroups", "eks:DescribeCluster"],
            apply: &["eks:UpdateNodegroupConfig"],
            compensate: &[],
            ready: &[LIST_ADDONS, launch::SUBNETS, launch::TYPES, launch::QUOTA, launch::DEFAULT_QUOTA],
        },
        rbac: Rbac::NONE,
        facts: &[
            "clientRequestToken comes from run and step, so a repeated call is the same update",
            "a node group that is not ACTIVE refuses a change (409 ResourceInUseException): another update is waited for, not failed on",
            "the update's own errors, and health issues that were not there before, fail the step with code, message and resources",
            "a successful update does not mean that nodes are ready: wait for them in Kubernetes as well",
            "with Cluster Autoscaler a desired size alone does not last: raise `min` too",
        ],
        typical: Duration::from_secs(150),
        timeout: Duration::from_secs(25 * 60),
    };

    fn problems(&self) -> Vec<String> {
        let mut problems = self.wish().problems();
        if self.max == Some(0) {
            problems.push("`max` is 0: EKS wants at least 1; to have no nodes set `min` and `desired` to 0".to_owned());
        }
        problems
    }

    fn iam(&self) -> Iam {
        // A group that is emptied launches nothing.
        if self.desired == Some(0) { Iam { ready: &[LIST_ADDONS], ..Self::INFO.iam } } else { Self::INFO.iam }
    }

    fn changes(&self, before: &Sizes) -> Vec<Change> {
        self.wanted(before).map(|wanted| before.changes_to(&wanted)).unwrap_or_default()
    }

    async fn observe(&self, cx: &StepContext<Cloud>, intent: Option<&Sizes>) -> Result<Observed<Sizes>, StepFailure> {
        poll::until_if_seen(cx, Self::INFO.typical, |since| async move {
            let group = self.describe(cx, since).await?;
            self.refuse_lost(&group)?;
            let now = sizes_of(&group);
            let before = *intent.unwrap_or(&now);
            if self.wanted(&before)? == now {
                return Ok(Look::Done(Observed::Satisfied(before)));
            }
            Ok(if is_busy(&group) { Look::Waiting("another update to end".to_owned()) } else { Look::Done(Observed::Differs(before)) })
        })
        .await
    }

    async fn readiness(&self, cx: &StepContext<Cloud>, _objectives: &Objectives) -> Result<Vec<Check>, StepFailure> {
        let group = self.describe(cx, cx.env.since_now()).await?;
        let wanted = self.wanted(&sizes_of(&group));
        let sizes = Check::of("sizes", self).as_observed().mended_by(&[Self::INFO.name]).fail_on(wanted.as_ref().map_err(Clone::clone));
        let (version, add_ons) = tokio::join!(self.version(cx), self.add_ons(cx));
        let mut checks = vec![sizes, self.status(&group), self.health(&group), version, add_ons];
        if let Ok(wanted) = wanted {
            checks.extend(self.can_launch(cx, &group, wanted).await);
        }
        Ok(checks)
    }

    async fn apply(&self, cx: &StepContext<Cloud>, before: &Sizes) -> Result<UpdateHandle, StepFailure> {
        let issues = issues_of(&*self.describe(cx, cx.env.since_now()).await?);
        let update_id = self.update(cx, self.wanted(before)?, cx.token()).await?;
        Ok(UpdateHandle { update_id, issues })
    }

    async fn settle(&self, cx: &StepContext<Cloud>, before: &Sizes, handle: Option<&UpdateHandle>) -> Result<Fields, StepFailure> {
        let wanted = self.wanted(before)?;
        // A step that is tried anew must not fail on the issues that it failed on before: they may pass.
        let issues = match handle {
            Some(handle) => handle.issues.clone(),
            None => issues_of(&*self.describe(cx, cx.env.since_now()).await?),
        };
        let update_id = handle.map_or("", |handle| &handle.update_id);
        self.wait(cx, update_id, wanted, Some(&issues)).await?;
        Ok(fields([
            ("update_id", json!(update_id)),
            ("min", json!(wanted.min)),
            ("desired", json!(wanted.desired)),
            ("max", json!(wanted.max)),
        ]))
    }

    async fn compensate(&self, cx: &StepContext<Cloud>, before: &Sizes, _handle: Option<&UpdateHandle>) -> Result<(), StepFailure> {
        let began = cx.clock.now();
        let as_before = poll::until(cx, Self::INFO.typical, |since| async move {
            let group = self.describe(cx, since).await?;
            let as_before = sizes_of(&group) == *before;
            Ok(if is_busy(&group) {
                Look::Waiting("the update to end".to_owned())
            } else if as_before && between(began, cx.clock.now()) < SHOWS_WITHIN {
                Look::Waiting("a change that does not show yet".to_owned())
            } else {
                Look::Done(as_before)
            })
        })
        .await?;
        if as_before {
            return Ok(());
        }
        // A token of its own, and one for each attempt: EKS answers a known token with the old update, a failed one too.
        let update_id = self.update(cx, *before, format!("{}-undo{}", cx.token(), cx.attempt)).await?;
        self.wait(cx, &update_id, *before, None).await
    }
}

impl std::fmt::Display for EksScaleNodegroup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "node group {}/{} in {}", self.cluster, self.nodegroup, self.region)
    }
}

/// What is checked beforehand, for `wf check --live`.
impl EksScaleNodegroup {
    fn status(&self, group: &Nodegroup) -> Check {
        let Self { cluster, nodegroup, region, .. } = self;
        let status = group.status().map_or("without a status", |status| status.as_str());
        Check::of("status", self).as_observed().mended_by(&[Self::INFO.name]).fail_on(self.refuse_lost(group)).fail_if(
            is_busy(group),
            format!("{self} is {status}: EKS takes no other change until that has ended"),
            format!("wait for it: `aws eks wait nodegroup-active --cluster-name {cluster} --nodegroup-name {nodegroup} --region {region}`"),
        )
    }

    fn health(&self, group: &Nodegroup) -> Check {
        let Self { cluster, nodegroup, region, .. } = self;
        let issues = issues_of(group);
        let found = if issues.is_empty() { "EKS names no issue".to_owned() } else { issues.join("; ") };
        Check::of("health", self).fail_if(
            !issues.is_empty() || group.status() == Some(&NodegroupStatus::Degraded),
            format!("{self} is not healthy: {found}"),
            format!("mend what it names; `aws eks describe-nodegroup --cluster-name {cluster} --nodegroup-name {nodegroup} --region {region}` tells when it is gone"),
        )
    }

    /// Checks that there is room for the nodes that are to come: an address for each, of which its pods take more, and the quota.
    async fn can_launch(&self, cx: &StepContext<Cloud>, group: &Nodegroup, wanted: Sizes) -> Vec<Check> {
        let launch = Launch { cloud: &cx.env, region: &self.region, subject: self.to_string() };
        let more = wanted.desired - sizes_of(group).desired;
        let larger = "free addresses in these, or make a node group in larger ones: EKS does not move it; each pod takes an address too";
        // Spot instances count towards another quota; a template of one's own may name the types.
        let types = match group.capacity_type() {
            Some(CapacityTypes::OnDemand) if more > 0 => group.instance_types(),
            _ => &[],
        };
        let (addresses, quota) = tokio::join!(launch.addresses(group.subnets(), more, larger), launch.quota(types, wanted.desired));
        addresses.into_iter().chain(quota).collect()
    }

    /// Checks that the cluster has the same add-ons as the others of the workflow: what is restored into it may lean on each of them.
    async fn add_ons(&self, cx: &StepContext<Cloud>) -> Check {
        let Self { cluster, region, .. } = self;
        let place = format!("cluster {cluster} in {region}");
        let mut names = BTreeSet::new();
        let mut found = cx.env.eks(region).list_addons().cluster_name(cluster).into_paginator().items().send();
        while let Some(name) = found.next().await {
            match name.map_err(errors::reading(LIST_ADDONS, format!("list the add-ons of {place}"))) {
                Ok(name) => drop(names.insert(name)),
                Err(failure) => return Check::unknown("add-ons", place, failure),
            }
        }
        let all = if names.is_empty() { "none".to_owned() } else { names.into_iter().collect::<Vec<_>>().join(", ") };
        Check::of("add-ons", place).agreeing_on(all)
    }

    /// Checks the cluster: that it is active, and of the same version as the others of the workflow. Manifests of one version need not be
    /// good for another.
    async fn version(&self, cx: &StepContext<Cloud>) -> Check {
        let Self { cluster, region, .. } = self;
        let place = format!("cluster {cluster} in {region}");
        let answer = cx.env.eks(region).describe_cluster().name(cluster).send().await;
        let found = answer.map_err(errors::reading("eks:DescribeCluster", format!("look at {place}")));
        let check = Check::of("cluster version", &place);
        let found = match found {
            Ok(answer) => answer.cluster,
            Err(failure) => return check.fail_on::<()>(Err(failure)),
        };
        let status = found.as_ref().and_then(|found| found.status());
        let said = status.map_or("without a status", |status| status.as_str());
        let version = found.as_ref().and_then(|found| found.version()).unwrap_or_default();
        check.agreeing_on(version).fail_if(
            !matches!(status, Some(ClusterStatus::Active | ClusterStatus::Updating)),
            format!("{place} is {said}"),
            format!("`aws eks describe-cluster --name {cluster} --region {region}` tells more"),
        )
    }
}

impl EksScaleNodegroup {
    fn wish(&self) -> Wish {
        Wish { min: self.min, desired: self.desired, max: self.max }
    }

    fn wanted(&self, before: &Sizes) -> Result<Sizes, StepFailure> {
        let refused =
            |problem| StepFailure::permanent(format!("{self} cannot have the sizes asked for: {problem}")).hint(format!("it has {before}"));
        self.wish().applied_to(*before).map_err(refused)
    }

    async fn describe(&self, cx: &StepContext<Cloud>, since: Since) -> Result<Arc<Nodegroup>, StepFailure> {
        let found = cx.env.read_nodegroup(&self.region, (&self.cluster, &self.nodegroup), since).await;
        match found.map_err(errors::reading_shared("eks:DescribeNodegroup", format!("read {self}")))? {
            Some(group) => Ok(group),
            None => Err(self.missing(cx).await),
        }
    }

    /// Makes the failure of a node group that is not there, or of a whole cluster.
    async fn missing(&self, cx: &StepContext<Cloud>) -> StepFailure {
        let client = cx.env.eks(&self.region);
        let place = format!("cluster {} in {}", self.cluster, self.region);
        let groups = client.list_nodegroups().cluster_name(&self.cluster).into_paginator().items().send();
        if let Some(names) = names(groups, Some).await {
            let missing = Missing { what: "node group", name: &self.nodegroup, place: &place, region: Some(&self.region) };
            return missing.failure(cx, Some(names)).await;
        }
        let clusters = names(client.list_clusters().into_paginator().items().send(), Some).await;
        Missing { what: "cluster", name: &self.cluster, place: &self.region, region: Some(&self.region) }.failure(cx, clusters).await
    }

    async fn update(&self, cx: &StepContext<Cloud>, sizes: Sizes, token: String) -> Result<String, StepFailure> {
        let config = NodegroupScalingConfig::builder().min_size(sizes.min).desired_size(sizes.desired).max_size(sizes.max).build();
        let call = cx.env.eks(&self.region).update_nodegroup_config().cluster_name(&self.cluster).nodegroup_name(&self.nodegroup);
        let answer = call.scaling_config(config).client_request_token(token).send().await;
        let answer = answer.map_err(errors::changing("eks:UpdateNodegroupConfig", format!("set {self} to {sizes}")))?;
        let update_id = answer.update.and_then(|update| update.id);
        update_id.ok_or_else(|| StepFailure::transient(format!("EKS named no update of {self}")))
    }

    /// Waits until the update is done and, given the health issues that the node group had before, until it is active without
    /// others; a rollback asks for the sizes only. An update that EKS does not know, yet or any more, counts as done when the
    /// node group has its sizes.
    async fn wait(&self, cx: &StepContext<Cloud>, update_id: &str, wanted: Sizes, known: Option<&[String]>) -> Result<(), StepFailure> {
        poll::until(cx, Self::INFO.typical, |since| async move {
            let update = self.read_update(cx, update_id, since).await?;
            let done = update.as_ref().map(|update| self.is_done(update)).transpose()?;
            if done == Some(false) {
                return Ok(Look::Waiting("EKS update in progress".to_owned()));
            }
            let group = self.describe(cx, since).await?;
            self.refuse_lost(&group)?;
            let waiting = if is_busy(&group) {
                "node group is updating".to_owned()
            } else if done.is_none() && sizes_of(&group) != wanted {
                "node group to show the change".to_owned()
            } else if let Some(known) = known
                && !self.is_healthy(&group, known)?
            {
                format!("node group to recover from {}", issues_of(&group).join(", "))
            } else {
                return Ok(Look::Done(()));
            };
            Ok(Look::Waiting(waiting))
        })
        .await
    }

    /// Refuses a node group with health issues that it did not have before; one that is still degraded by those may recover.
    fn is_healthy(&self, group: &Nodegroup, known: &[String]) -> Result<bool, StepFailure> {
        let issues: Vec<_> = issues_of(group).into_iter().filter(|issue| !known.contains(issue)).collect();
        match issues.split_first() {
            Some((first, others)) => Err(with_causes(StepFailure::permanent(format!("{self} is not healthy: {first}")), others)),
            None => Ok(group.status() != Some(&NodegroupStatus::Degraded)),
        }
    }

    /// Reads an update, if there is one; EKS forgets old ones.
    async fn read_update(&self, cx: &StepContext<Cloud>, id: &str, since: Since) -> Result<Option<Arc<Update>>, StepFailure> {
        if id.is_empty() {
            return Ok(None);
        }
        let found = cx.env.read_update(&self.region, (&self.cluster, &self.nodegroup, id), since).await;
        found.map_err(errors::reading_shared("eks:DescribeUpdate", format!("read update {id} of {self}")))
    }

    fn is_done(&self, update: &Update) -> Result<bool, StepFailure> {
        match update.status() {
            Some(UpdateStatus::Successful) => Ok(true),
            Some(status @ (UpdateStatus::Failed | UpdateStatus::Cancelled)) => {
                let describe = |error: &aws_sdk_eks::types::ErrorDetail| {
                    said(
                        error.error_code().map_or("", |code| code.as_str()),
                        error.error_message().unwrap_or_default(),
                        error.resource_ids(),
                    )
                };
                let causes: Vec<_> = update.errors().iter().map(describe).collect();
                let first = causes.first().map_or("EKS gives no reason", String::as_str);
                let failure = StepFailure::permanent(format!("the update of {self} {}: {first}", status.as_str().to_ascii_lowercase()));
                Err(with_causes(failure, causes.get(1..).unwrap_or_default()))
            }
            _ => Ok(false),
        }
    }

    /// Refuses a node group that no waiting makes active.
    fn refuse_lost(&self, group: &Nodegroup) -> Result<(), StepFailure> {
        match group.status() {
            Some(status @ (NodegroupStatus::CreateFailed | NodegroupStatus::Deleting | NodegroupStatus::DeleteFailed)) => {
                Err(with_causes(StepFailure::permanent(format!("{self} is {status}")), &issues_of(group)))
            }
            _ => Ok(()),
        }
    }
}

fn sizes_of(group: &Nodegroup) -> Sizes {
    let config = group.scaling_config();
    let size = |size: fn(&NodegroupScalingConfig) -> Option<i32>| config.and_then(size).unwrap_or_default();
    Sizes { min: size(|config| config.min_size), desired: size(|config| config.desired_size), max: size(|config| config.max_size) }
}

fn is_busy(group: &Nodegroup) -> bool {
    matches!(group.status(), Some(NodegroupStatus::Updating | NodegroupStatus::Creating))
}

fn issues_of(group: &Nodegroup) -> Vec<String> {
    let issues = group.health().map(|health| health.issues()).unwrap_or_default();
    issues
        .iter()
        .map(|issue| said(issue.code().map_or("", |code| code.as_str()), issue.message().unwrap_or_default(), issue.resource_ids()))
        .collect()
}

fn said(code: &str, message: &str, resources: &[String]) -> String {
    let resources = if resources.is_empty() { String::new() } else { format!(" ({})", resources.join(", ")) };
    format!("{code}: {message}{resources}")
}

fn with_causes(failure: StepFailure, causes: &[String]) -> StepFailure {
    causes.iter().fold(failure, StepFailure::because)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issues_tell_code_message_and_resources() {
        assert_eq!(
            said("AsgInstanceLaunchFailures", "no room", &["i-1".into(), "i-2".into()]),
            "AsgInstanceLaunchFailures: no room (i-1, i-2)"
        );
        assert_eq!(said("Unknown", "?", &[]), "Unknown: ?");
    }

    #[test]
    fn a_node_group_cannot_have_a_largest_size_of_zero() {
        let params = json!({ "cluster": "c", "nodegroup": "n", "region": "us-west-2", "max": 0 });
        let kind: EksScaleNodegroup = serde_json::from_value(params).expect("params of the kind");
        assert_eq!(kind.problems().len(), 1);
    }
}
