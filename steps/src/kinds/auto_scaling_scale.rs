//! `AutoScalingScale`: sets the sizes of an EC2 Auto Scaling group, and waits until its instances serve.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_autoscaling::types::{AutoScalingGroup, Instance, LifecycleState, ScalingActivityStatusCode};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use wf_engine::model::definition::Objectives;
use wf_engine::model::event::{Fields, StepFailure};
use wf_engine::readiness::Check;
use wf_engine::signal::Signal;
use wf_engine::step::{Change, Field, FieldType, Iam, KindInfo, Observed, Rbac, Reversibility, StepContext, StepKind, fields};

use crate::aws::missing::{Missing, names};
use crate::aws::poll::{self, Look};
use crate::aws::rds;
use crate::aws::shared::Since;
use crate::aws::{Cloud, errors};
use crate::launch::{self, Launch};
use crate::launch_template::{self, launched};
use crate::sizes::{Sizes, Wish};

/// Sets the sizes of an Auto Scaling group.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AutoScalingScale {
    /// The group's name.
    pub group: String,
    /// Its region.
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
    /// The part of the desired instances that must be in service.
    #[serde(default = "all")]
    pub min_percent: u32,
}

const fn all() -> u32 {
    100
}

/// How long new instances usually take to serve, and surplus ones to be gone.
const TYPICAL_LAUNCH: Duration = Duration::from_secs(120);
const TYPICAL_END: Duration = Duration::from_secs(40);

/// How long a rollback waits for instances, which a dying region may never give.
const RESTORE_LIMIT: Duration = Duration::from_secs(600);

/// What had happened when the sizes were set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Applied {
    /// When the latest scaling activity had started, by AWS's clock: later ones are ours.
    latest_activity: Option<Timestamp>,
}

#[async_trait]
impl StepKind for AutoScalingScale {
    type Env = Cloud;
    type Before = Sizes;
    type Handle = Applied;

    const INFO: KindInfo = KindInfo {
        name: "AutoScalingScale",
        summary: "sets the sizes of an EC2 Auto Scaling group and waits for its instances",
        example: r#"(id: "scale_app", run: AutoScalingScale(group: "prod-app-dr-asg", region: "us-west-2", min: 3, desired: 6))"#,
        reversibility: Reversibility::Reversible,
        params: &[
            Field::new("group", FieldType::Text, "the group's name"),
            Field::new("region", FieldType::Text, "its region"),
            Field::new("min", FieldType::Integer, "the new smallest size; default: as it is"),
            Field::new("desired", FieldType::Integer, "the new desired size; default: as it is, moved into the new bounds"),
            Field::new("max", FieldType::Integer, "the new largest size; default: as it is"),
            Field::new(
                "min_percent",
                FieldType::Integer,
                "the part of the desired instances that must be in service, in percent; default 100",
            ),
        ],
        outputs: &[
            Field::new("in_service", FieldType::Integer, "how many instances are healthy and in service"),
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
            read: &["autoscaling:DescribeAutoScalingGroups", "autoscaling:DescribeScalingActivities"],
            apply: &["autoscaling:UpdateAutoScalingGroup"],
            compensate: &[],
            ready: &[
                launch_template::VERSIONS,
                launch_template::CONFIGURATIONS,
                launch::IMAGES,
                launch::SUBNETS,
                launch::TYPES,
                launch::QUOTA,
                launch::DEFAULT_QUOTA,
            ],
        },
        rbac: Rbac::NONE,
        facts: &[
            "one UpdateAutoScalingGroup sets all three sizes: AWS moves the desired size when a bound passes it; the call is safe to repeat",
            "a failed launch is visible in DescribeScalingActivities only: the step fails at once with AWS's message, not at its timeout",
            "activities are told apart by AWS's own clock, so a wrong clock here does no harm",
            "a group scaled in is waited for until the surplus instances are gone, which is what fencing needs; `max: 0` keeps policies from bringing them back",
            "a rollback restores the recorded sizes and waits ten minutes for instances at most",
        ],
        typical: Duration::from_secs(150),
        timeout: Duration::from_secs(20 * 60),
    };

    fn problems(&self) -> Vec<String> {
        let mut problems = self.wish().problems();
        if self.min_percent > 100 {
            problems.push(format!("`min_percent` is {}, more than 100", self.min_percent));
        }
        problems
    }

    fn iam(&self) -> Iam {
        // A group that is emptied launches nothing.
        if self.desired == Some(0) { Iam { ready: &[], ..Self::INFO.iam } } else { Self::INFO.iam }
    }

    fn changes(&self, before: &Sizes) -> Vec<Change> {
        self.wanted(before).map(|wanted| before.changes_to(&wanted)).unwrap_or_default()
    }

    async fn environment(&self, cx: &StepContext<Cloud>) -> Result<Option<String>, StepFailure> {
        let group = self.describe(cx, cx.env.since_now()).await?;
        let tag = group.tags().iter().find(|tag| tag.key().is_some_and(|key| key.eq_ignore_ascii_case(rds::ENVIRONMENT)));
        Ok(tag.and_then(|tag| tag.value()).map(str::to_owned))
    }

    async fn observe(&self, cx: &StepContext<Cloud>, intent: Option<&Sizes>) -> Result<Observed<Sizes>, StepFailure> {
        let group = self.describe(cx, cx.env.since_now()).await?;
        let sizes = sizes_of(&group);
        let before = *intent.unwrap_or(&sizes);
        let wanted = self.wanted(&before)?;
        self.must_not_be_suspended(&group, wanted)?;
        Ok(if sizes == wanted { Observed::Satisfied(before) } else { Observed::Differs(before) })
    }

    async fn readiness(&self, cx: &StepContext<Cloud>, _objectives: &Objectives) -> Result<Vec<Check>, StepFailure> {
        let group = self.describe(cx, cx.env.since_now()).await?;
        let wanted = self.wanted(&sizes_of(&group));
        let mut checks =
            vec![Check::of("sizes", self).as_observed().mended_by(&[Self::INFO.name]).fail_on(wanted.as_ref().map_err(Clone::clone))];
        if let Ok(wanted) = wanted
            && wanted.desired > count(group.instances()).1
        {
            checks.push(Check::of("processes", self).as_observed().fail_on(self.must_not_be_suspended(&group, wanted)));
            checks.extend(self.can_launch(cx, &group, wanted).await);
        }
        Ok(checks)
    }

    fn signals(&self) -> Vec<Signal> {
        vec![Signal::GroupSize { group: self.group.clone(), region: self.region.clone() }]
    }

    async fn apply(&self, cx: &StepContext<Cloud>, before: &Sizes) -> Result<Applied, StepFailure> {
        let latest_activity = self.latest_activity(cx).await?;
        self.update(cx, self.wanted(before)?).await?;
        Ok(Applied { latest_activity })
    }

    async fn settle(&self, cx: &StepContext<Cloud>, before: &Sizes, handle: Option<&Applied>) -> Result<Fields, StepFailure> {
        let wanted = self.wanted(before)?;
        let shrinks = wanted.desired < before.desired || wanted.desired == 0;
        // A step that is tried anew must not fail on the failure that it failed on before.
        let after = match handle {
            Some(applied) => applied.latest_activity,
            None => self.latest_activity(cx).await?,
        };
        let in_service = self.wait(cx, wanted, shrinks, after).await?;
        let numbers = [("in_service", in_service), ("min", wanted.min), ("desired", wanted.desired), ("max", wanted.max)];
        Ok(fields(numbers.map(|(name, number)| (name, json!(number)))))
    }

    async fn compensate(&self, cx: &StepContext<Cloud>, before: &Sizes, _handle: Option<&Applied>) -> Result<(), StepFailure> {
        let latest_activity = self.latest_activity(cx).await?;
        // Not compared first: a view of the world from before the step would show nothing to restore.
        self.update(cx, *before).await?;
        let restored = format!("the sizes of {self} are restored ({before})");
        tokio::select! {
            waited = self.wait(cx, *before, true, latest_activity) => waited.map(drop).map_err(|failure| {
                StepFailure { message: format!("{restored}, but {}", failure.message), ..failure }
            }),
            () = cx.sleep(RESTORE_LIMIT) => {
                Err(StepFailure::transient(format!("{restored}, but its instances are not as before after {} minutes", RESTORE_LIMIT.as_secs() / 60)))
            }
        }
    }
}

impl std::fmt::Display for AutoScalingScale {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Auto Scaling group {} in {}", self.group, self.region)
    }
}

impl AutoScalingScale {
    fn wish(&self) -> Wish {
        Wish { min: self.min, desired: self.desired, max: self.max }
    }

    fn wanted(&self, before: &Sizes) -> Result<Sizes, StepFailure> {
        let refused =
            |problem| StepFailure::permanent(format!("{self} cannot have the sizes asked for: {problem}")).hint(format!("it has {before}"));
        self.wish().applied_to(*before).map_err(refused)
    }

    async fn describe(&self, cx: &StepContext<Cloud>, since: Since) -> Result<Arc<AutoScalingGroup>, StepFailure> {
        let found = cx.env.read_group(&self.region, &self.group, since).await;
        if let Some(group) = found.map_err(errors::reading_shared("autoscaling:DescribeAutoScalingGroups", format!("read {self}")))? {
            return Ok(group);
        }
        let call = cx.env.autoscaling(&self.region).describe_auto_scaling_groups();
        let names = names(call.into_paginator().items().send(), |group| group.auto_scaling_group_name).await;
        let missing = Missing { what: "Auto Scaling group", name: &self.group, place: &self.region, region: Some(&self.region) };
        Err(missing.failure(cx, names).await)
    }

    async fn update(&self, cx: &StepContext<Cloud>, sizes: Sizes) -> Result<(), StepFailure> {
        let call = cx.env.autoscaling(&self.region).update_auto_scaling_group().auto_scaling_group_name(&self.group);
        let answer = call.min_size(sizes.min).desired_capacity(sizes.desired).max_size(sizes.max).send().await;
        answer.map(drop).map_err(errors::changing("autoscaling:UpdateAutoScalingGroup", format!("set {self} to {sizes}")))
    }

    /// Waits until enough instances serve and, if the group shrinks, until the surplus is gone. Returns how many serve.
    async fn wait(&self, cx: &StepContext<Cloud>, wanted: Sizes, shrinks: bool, after: Option<Timestamp>) -> Result<i32, StepFailure> {
        let needed = needed(wanted.desired, self.min_percent);
        let typical = if shrinks { TYPICAL_END } else { TYPICAL_LAUNCH };
        poll::until(cx, typical, |since| async move {
            let group = self.describe(cx, since).await?;
            let (serving, present) = count(group.instances());
            if serving < needed {
                // As long as all instances are there and on their way, no launch has failed.
                if coming(group.instances()) < wanted.desired {
                    self.refuse_failed_activity(cx, after).await?;
                }
                return Ok(Look::Waiting(format!("{serving}/{needed} in service")));
            }
            if shrinks && present > wanted.desired {
                return Ok(Look::Waiting(format!("{} still to terminate", present - wanted.desired)));
            }
            Ok(Look::Done(serving))
        })
        .await
    }

    async fn refuse_failed_activity(&self, cx: &StepContext<Cloud>, after: Option<Timestamp>) -> Result<(), StepFailure> {
        let failed = |status: Option<&ScalingActivityStatusCode>| {
            matches!(status, Some(ScalingActivityStatusCode::Failed | ScalingActivityStatusCode::Cancelled))
        };
        let activities = self.activities(cx, 100).await?;
        let ours = activities.iter().find(|activity| failed(activity.status_code()) && started(activity) > after);
        match ours {
            None => Ok(()),
            Some(activity) => {
                let said = activity.status_message().or(activity.description()).unwrap_or("no message");
                Err(StepFailure::permanent(format!("{self} cannot get its instances: {said}"))
                    .hint("another instance type or zone, or a capacity reservation, is what helps; AWS goes on trying in the meantime"))
            }
        }
    }

    async fn latest_activity(&self, cx: &StepContext<Cloud>) -> Result<Option<Timestamp>, StepFailure> {
        Ok(self.activities(cx, 1).await?.iter().filter_map(started).max())
    }

    async fn activities(&self, cx: &StepContext<Cloud>, max: i32) -> Result<Vec<aws_sdk_autoscaling::types::Activity>, StepFailure> {
        let call = cx.env.autoscaling(&self.region).describe_scaling_activities().auto_scaling_group_name(&self.group).max_records(max);
        let answer = call
            .send()
            .await
            .map_err(errors::reading("autoscaling:DescribeScalingActivities", format!("read the activities of {self}")))?;
        Ok(answer.activities.unwrap_or_default())
    }

    /// Checks what a group needs to launch instances up to the wanted size, and to go on when a zone has none to give.
    async fn can_launch(&self, cx: &StepContext<Cloud>, group: &AutoScalingGroup, wanted: Sizes) -> Vec<Check> {
        let change = format!("aws autoscaling update-auto-scaling-group --auto-scaling-group-name {} --region {}", self.group, self.region);
        let zones = group.availability_zones();
        let zones = Check::of("zones", self).fail_if(
            zones.len() < 2,
            format!("{self} has instances in one zone only ({}): when that has no capacity, there are none", zones.join(", ")),
            format!("`{change} --vpc-zone-identifier subnet-…,subnet-…`, subnets of several zones"),
        );
        let launch = Launch { cloud: &cx.env, region: &self.region, subject: self.to_string() };
        let subnets = group.vpc_zone_identifier().unwrap_or_default().split(',').map(str::trim).filter(|id| !id.is_empty());
        let subnets: Vec<_> = subnets.map(str::to_owned).collect();
        let more = wanted.desired - count(group.instances()).1;
        let larger = format!("`{change} --vpc-zone-identifier subnet-…,subnet-…`, subnets with room, or free addresses in these");
        let template = launched(&launch, group, format!("`{change} --launch-template 'LaunchTemplateName=…,Version=$Latest'`"));
        let ((template, launched), addresses) = tokio::join!(template, launch.addresses(&subnets, more, larger));
        let (image, quota) = match &launched {
            None => (None, None),
            Some(launched) => tokio::join!(
                async { Some(launch.image(launched.image.as_deref()?).await) },
                launch.quota(&launched.types, launched.on_demand(wanted.desired)),
            ),
        };
        [Some(template), image, Some(zones), addresses, quota].into_iter().flatten().collect()
    }

    fn must_not_be_suspended(&self, group: &AutoScalingGroup, wanted: Sizes) -> Result<(), StepFailure> {
        let Some(process) = self.suspended(group, wanted) else { return Ok(()) };
        Err(StepFailure::permanent(format!("{self} cannot scale: its process {process} is suspended")).hint(format!(
            "aws autoscaling resume-processes --auto-scaling-group-name {} --scaling-processes {process} --region {}",
            self.group, self.region
        )))
    }

    /// Returns the suspended process without which the group cannot reach the wanted size.
    fn suspended(&self, group: &AutoScalingGroup, wanted: Sizes) -> Option<&'static str> {
        let (_, present) = count(group.instances());
        let needed = match present.cmp(&wanted.desired) {
            std::cmp::Ordering::Less => "Launch",
            std::cmp::Ordering::Equal => return None,
            std::cmp::Ordering::Greater => "Terminate",
        };
        group.suspended_processes().iter().any(|process| process.process_name() == Some(needed)).then_some(needed)
    }
}

fn sizes_of(group: &AutoScalingGroup) -> Sizes {
    let size = |size: Option<i32>| size.unwrap_or_default();
    Sizes { min: size(group.min_size), desired: size(group.desired_capacity), max: size(group.max_size) }
}

/// Counts the instances that serve, and those that are there at all: a terminating one may still write to a database.
/// Instances in standby do not count towards the desired size.
fn count(instances: &[Instance]) -> (i32, i32) {
    let counts =
        |wanted: fn(&Instance) -> bool| i32::try_from(instances.iter().filter(|instance| wanted(instance)).count()).unwrap_or(i32::MAX);
    let serving = counts(|instance| {
        instance.lifecycle_state() == Some(&LifecycleState::InService)
            && instance.health_status().is_some_and(|status| status.eq_ignore_ascii_case("healthy"))
    });
    (serving, counts(|instance| !matches!(instance.lifecycle_state(), Some(LifecycleState::Standby | LifecycleState::EnteringStandby))))
}

/// Counts the instances that serve, or are on their way to.
fn coming(instances: &[Instance]) -> i32 {
    let comes = |instance: &&Instance| {
        instance.health_status().is_some_and(|status| status.eq_ignore_ascii_case("healthy"))
            && instance
                .lifecycle_state()
                .is_some_and(|state| matches!(state.as_str(), "InService" | "Pending" | "Pending:Wait" | "Pending:Proceed"))
    };
    i32::try_from(instances.iter().filter(comes).count()).unwrap_or(i32::MAX)
}

fn needed(desired: i32, percent: u32) -> i32 {
    let needed = (u64::from(desired.unsigned_abs()) * u64::from(percent)).div_ceil(100);
    i32::try_from(needed).unwrap_or(i32::MAX)
}

fn started(activity: &aws_sdk_autoscaling::types::Activity) -> Option<Timestamp> {
    Timestamp::from_nanosecond(activity.start_time()?.as_nanos()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_an_instance_is_rounded_up() {
        assert_eq!([needed(6, 100), needed(6, 50), needed(5, 50), needed(1, 1), needed(0, 100), needed(6, 0)], [6, 3, 3, 1, 0, 0]);
    }

    #[test]
    fn only_healthy_instances_in_service_serve() {
        let instance = |state, health: &str| Instance::builder().lifecycle_state(state).health_status(health).build();
        let instances = [
            instance(LifecycleState::InService, "Healthy"),
            instance(LifecycleState::InService, "Unhealthy"),
            instance(LifecycleState::Pending, "Healthy"),
            instance(LifecycleState::Terminating, "Healthy"),
            instance(LifecycleState::Standby, "Healthy"),
        ];
        assert_eq!(count(&instances), (1, 4));
    }

    #[test]
    fn the_before_image_shows_its_sizes_to_later_runs() {
        assert_eq!(json!(Sizes { min: 3, desired: 6, max: 10 }), json!({ "min": 3, "desired": 6, "max": 10 }));
    }
}
