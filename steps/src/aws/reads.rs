//! [`Reads`]: what the poll loops look at, each of it described once for all the steps that look ([`super::shared`]). One set for each
//! account; within it each region has its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_sdk_autoscaling::operation::describe_auto_scaling_groups::DescribeAutoScalingGroupsError;
use aws_sdk_autoscaling::types::AutoScalingGroup;
use aws_sdk_cloudwatch::operation::get_metric_statistics::GetMetricStatisticsError;
use aws_sdk_eks::operation::describe_nodegroup::DescribeNodegroupError;
use aws_sdk_eks::operation::describe_update::DescribeUpdateError;
use aws_sdk_eks::types::{Nodegroup, Update};
use aws_sdk_elasticloadbalancingv2::operation::describe_target_health::DescribeTargetHealthError;
use aws_sdk_elasticloadbalancingv2::types::TargetHealthDescription;
use aws_sdk_rds::operation::describe_db_instances::DescribeDBInstancesError;
use aws_sdk_rds::types::{DbInstance, Filter};
use aws_sdk_route53::operation::get_change::GetChangeError;
use aws_sdk_route53::types::ChangeStatus;
use wf_engine::clock::Clock;

use super::Cloud;
use super::cloud::PerRegion;
use super::errors::{self, Failed};
use super::lag::Sample;
use super::shared::{Shared, Since, Tickets};

/// How many names go in a call to EC2 Auto Scaling, which takes no more without asking for longer pages, and to RDS.
const NAMES_MAX: usize = 50;

type Kept<T, E> = PerRegion<Arc<Shared<T, Failed<E>>>>;

/// The answers that are shared.
pub(super) struct Reads {
    clock: Arc<dyn Clock>,
    tickets: Arc<Tickets>,
    groups: Kept<Arc<AutoScalingGroup>, DescribeAutoScalingGroupsError>,
    instances: Kept<Option<Arc<DbInstance>>, DescribeDBInstancesError>,
    nodegroups: Kept<Arc<Nodegroup>, DescribeNodegroupError>,
    updates: Kept<Arc<Update>, DescribeUpdateError>,
    targets: Kept<Arc<Vec<TargetHealthDescription>>, DescribeTargetHealthError>,
    changes: Kept<ChangeStatus, GetChangeError>,
    pub(super) lags: Kept<Arc<Vec<Sample>>, GetMetricStatisticsError>,
}

impl Reads {
    /// Makes the set of an account.
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            tickets: Arc::default(),
            groups: Kept::default(),
            instances: Kept::default(),
            nodegroups: Kept::default(),
            updates: Kept::default(),
            targets: Kept::default(),
            changes: Kept::default(),
            lags: Kept::default(),
        }
    }

    /// Returns the answers of a region.
    pub(super) fn of<T, E>(&self, kept: &Kept<T, E>, region: &str, together: usize) -> Arc<Shared<T, Failed<E>>>
    where
        T: Clone,
        Failed<E>: super::shared::Shareable,
    {
        kept.get(region, |_| Arc::new(Shared::new(Arc::clone(&self.clock), Arc::clone(&self.tickets), together)))
    }
}

impl Cloud {
    /// Returns the present moment: what a step reads since then is from after everything that it did before.
    pub(crate) fn since_now(&self) -> Since {
        self.reads().tickets.next()
    }

    /// Describes an Auto Scaling group; `None` when the region has none of that name.
    pub(crate) async fn read_group(
        &self,
        region: &str,
        name: &str,
        since: Since,
    ) -> Result<Option<Arc<AutoScalingGroup>>, Failed<DescribeAutoScalingGroupsError>> {
        let ask = async |names: Vec<String>| {
            let call = self.autoscaling(region).describe_auto_scaling_groups().set_auto_scaling_group_names(Some(names));
            let mut found = BTreeMap::new();
            let mut groups = call.into_paginator().items().send();
            while let Some(group) = groups.next().await {
                let group = group?;
                if let Some(name) = group.auto_scaling_group_name().map(str::to_owned) {
                    found.insert(name, Arc::new(group));
                }
            }
            Ok(found)
        };
        self.reads().of(&self.reads().groups, region, NAMES_MAX).get(name, since, ask).await
    }

    /// Describes an RDS instance; `None` when the region has none of that name.
    pub(crate) async fn read_instance(
        &self,
        region: &str,
        id: &str,
        since: Since,
    ) -> Result<Option<Arc<DbInstance>>, Failed<DescribeDBInstancesError>> {
        let id = id.to_ascii_lowercase();
        let ask = async |ids: Vec<String>| match ids.as_slice() {
            [id] => Ok(BTreeMap::from([(id.clone(), self.instance(region, id).await?)])),
            _ => self.instances(region, ids).await,
        };
        match self.reads().of(&self.reads().instances, region, NAMES_MAX).get(&id, since, ask).await? {
            Some(found) => Ok(found),
            // A filter passes over what it does not find; that something is gone must come from a question for it alone.
            None => self.instance(region, &id).await,
        }
    }

    async fn instance(&self, region: &str, id: &str) -> Result<Option<Arc<DbInstance>>, Failed<DescribeDBInstancesError>> {
        match self.rds(region).describe_db_instances().db_instance_identifier(id).send().await {
            Ok(answer) => Ok(answer.db_instances.unwrap_or_default().into_iter().next().map(Arc::new)),
            Err(error) if errors::has_code(&error, "DBInstanceNotFound") => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn instances(
        &self,
        region: &str,
        ids: Vec<String>,
    ) -> Result<BTreeMap<String, Option<Arc<DbInstance>>>, Failed<DescribeDBInstancesError>> {
        let filter = Filter::builder().name("db-instance-id").set_values(Some(ids)).build();
        let mut found = BTreeMap::new();
        let mut all = self.rds(region).describe_db_instances().filters(filter).into_paginator().items().send();
        while let Some(instance) = all.next().await {
            let instance = instance?;
            if let Some(id) = instance.db_instance_identifier().map(str::to_ascii_lowercase) {
                found.insert(id, Some(Arc::new(instance)));
            }
        }
        Ok(found)
    }

    /// Describes an EKS node group; `None` when there is none of that name, or no such cluster.
    pub(crate) async fn read_nodegroup(
        &self,
        region: &str,
        (cluster, name): (&str, &str),
        since: Since,
    ) -> Result<Option<Arc<Nodegroup>>, Failed<DescribeNodegroupError>> {
        let key = format!("{cluster}/{name}");
        let ask = async |_| match self.eks(region).describe_nodegroup().cluster_name(cluster).nodegroup_name(name).send().await {
            Ok(answer) => Ok(answer.nodegroup.map(|group| (key.clone(), Arc::new(group))).into_iter().collect()),
            Err(error) if errors::has_code(&error, "ResourceNotFoundException") => Ok(BTreeMap::new()),
            Err(error) => Err(error.into()),
        };
        self.reads().of(&self.reads().nodegroups, region, 1).get(&key, since, ask).await
    }

    /// Describes an update of an EKS node group; `None` when EKS does not know it, yet or any more.
    pub(crate) async fn read_update(
        &self,
        region: &str,
        (cluster, nodegroup, id): (&str, &str, &str),
        since: Since,
    ) -> Result<Option<Arc<Update>>, Failed<DescribeUpdateError>> {
        let key = format!("{cluster}/{nodegroup}/{id}");
        let ask = async |_| {
            let call = self.eks(region).describe_update().name(cluster).nodegroup_name(nodegroup).update_id(id);
            match call.send().await {
                Ok(answer) => Ok(answer.update.map(|update| (key.clone(), Arc::new(update))).into_iter().collect()),
                Err(error) if errors::has_code(&error, "ResourceNotFoundException") => Ok(BTreeMap::new()),
                Err(error) => Err(error.into()),
            }
        };
        self.reads().of(&self.reads().updates, region, 1).get(&key, since, ask).await
    }

    /// Describes the health of the targets of a target group.
    pub(crate) async fn read_targets(
        &self,
        region: &str,
        arn: &str,
        since: Since,
    ) -> Result<Arc<Vec<TargetHealthDescription>>, Failed<DescribeTargetHealthError>> {
        let ask = async |_| {
            let answer = self.elb(region).describe_target_health().target_group_arn(arn).send().await?;
            Ok(BTreeMap::from([(arn.to_owned(), Arc::new(answer.target_health_descriptions.unwrap_or_default()))]))
        };
        Ok(self.reads().of(&self.reads().targets, region, 1).get(arn, since, ask).await?.unwrap_or_default())
    }

    /// Tells how a change of Route 53 stands; `None` when Route 53 does not know it, yet or any more.
    pub(crate) async fn read_change(&self, id: &str, since: Since) -> Result<Option<ChangeStatus>, Failed<GetChangeError>> {
        let ask = async |_| match self.route53().get_change().id(id).send().await {
            Ok(answer) => Ok(answer.change_info.map(|info| (id.to_owned(), info.status)).into_iter().collect()),
            Err(error) if errors::has_code(&error, "NoSuchChange") => Ok(BTreeMap::new()),
            Err(error) => Err(error.into()),
        };
        self.reads().of(&self.reads().changes, "global", 1).get(id, since, ask).await
    }
}
