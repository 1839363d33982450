//! `ElbWaitTargetsHealthy`: waits until a load balancer's target group has enough healthy targets.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_elasticloadbalancingv2::types::{TargetHealth, TargetHealthStateEnum};
use serde::{Deserialize, Serialize};
use serde_json::json;
use wf_engine::model::definition::Objectives;
use wf_engine::model::event::{Fields, StepFailure};
use wf_engine::readiness::Check;
use wf_engine::signal::Signal;
use wf_engine::step::{Field, FieldType, Iam, KindInfo, Observed, Rbac, Reversibility, StepContext, StepKind, fields, nothing_to_apply};

use crate::aws::missing::{Missing, names};
use crate::aws::poll::{self, Look};
use crate::aws::{Cloud, errors};
use crate::certificate;

/// Waits for healthy targets.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ElbWaitTargetsHealthy {
    /// The target group's name or ARN.
    pub target_group: String,
    /// Its region.
    pub region: String,
    /// How many targets must be healthy.
    #[serde(default)]
    pub min_healthy: Option<u32>,
    /// The part of the registered targets that must be healthy.
    #[serde(default)]
    pub min_percent: Option<u32>,
}

/// The target group that the name stands for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetGroup {
    /// Its ARN.
    pub arn: String,
}

#[async_trait]
impl StepKind for ElbWaitTargetsHealthy {
    type Env = Cloud;
    type Before = TargetGroup;
    type Handle = ();

    const INFO: KindInfo = KindInfo {
        name: "ElbWaitTargetsHealthy",
        summary: "waits until a load balancer's target group has enough healthy targets",
        example: r#"(id: "targets", run: ElbWaitTargetsHealthy(target_group: "prod-app-dr-tg", region: "us-west-2", min_healthy: 3))"#,
        reversibility: Reversibility::ReadOnly,
        params: &[
            Field::new("target_group", FieldType::Text, "the target group's name or ARN"),
            Field::new("region", FieldType::Text, "its region"),
            Field::new("min_healthy", FieldType::Integer, "how many targets must be healthy, at least 1; the safer of the two"),
            Field::new(
                "min_percent",
                FieldType::Integer,
                "the part of the registered targets that must be healthy, in percent; default 100",
            ),
        ],
        outputs: &[
            Field::new("healthy", FieldType::Integer, "how many targets are healthy"),
            Field::new("registered", FieldType::Integer, "how many targets there are, without those that are draining"),
        ],
        before: &[Field::new("arn", FieldType::Text, "the target group's ARN")],
        iam: Iam {
            read: &["elasticloadbalancing:DescribeTargetGroups", "elasticloadbalancing:DescribeTargetHealth"],
            apply: &[],
            compensate: &[],
            ready: &[certificate::LISTENERS, certificate::LISTENED, certificate::CERTIFICATE],
        },
        rbac: Rbac::NONE,
        facts: &[
            "a target group without targets never passes, whatever part of them must be healthy",
            "targets that are draining belong to the past and are not counted",
            "a target group that no listener uses has targets of state `unused`: they are not healthy",
        ],
        typical: Duration::from_secs(60),
        timeout: Duration::from_secs(15 * 60),
    };

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.min_healthy.is_some() && self.min_percent.is_some() {
            problems.push("`min_healthy` and `min_percent` exclude each other".to_owned());
        }
        if self.min_healthy == Some(0) || self.min_percent == Some(0) {
            problems.push("nothing is waited for: `min_healthy` and `min_percent` must be at least 1".to_owned());
        }
        if self.min_percent.is_some_and(|percent| percent > 100) {
            problems.push("`min_percent` is more than 100".to_owned());
        }
        if self.is_arn() && self.target_group.split(':').nth(3) != Some(&self.region) {
            problems.push(format!("the ARN in `target_group` is not of region {}", self.region));
        }
        problems
    }

    async fn observe(&self, cx: &StepContext<Cloud>, _intent: Option<&TargetGroup>) -> Result<Observed<TargetGroup>, StepFailure> {
        let (arn, _) = self.find(cx).await?;
        Ok(Observed::Satisfied(TargetGroup { arn }))
    }

    async fn readiness(&self, cx: &StepContext<Cloud>, _objectives: &Objectives) -> Result<Vec<Check>, StepFailure> {
        let there = Check::of("target group", self).as_observed();
        let (arn, load_balancers) = match self.find(cx).await {
            Ok(found) => found,
            Err(failure) => return Ok(vec![there.fail_on::<()>(Err(failure))]),
        };
        let used = Check::of("load balancer", self).fail_if(
            load_balancers.is_empty(),
            format!("{self} belongs to no load balancer: its targets are `unused`, and never healthy"),
            format!(
                "`aws elbv2 modify-listener --listener-arn … --default-actions Type=forward,TargetGroupArn={arn} --region {}`",
                self.region
            ),
        );
        let mut checks = vec![there, used];
        for balancer in &load_balancers {
            checks.extend(certificate::checks(cx, &self.region, balancer).await);
        }
        Ok(checks)
    }

    fn signals(&self) -> Vec<Signal> {
        vec![Signal::HealthyTargets { group: self.target_group.clone(), region: self.region.clone(), least: self.min_healthy }]
    }

    async fn apply(&self, _cx: &StepContext<Cloud>, _before: &TargetGroup) -> Result<(), StepFailure> {
        nothing_to_apply(&Self::INFO)
    }

    async fn settle(&self, cx: &StepContext<Cloud>, before: &TargetGroup, _handle: Option<&()>) -> Result<Fields, StepFailure> {
        let health = poll::until(cx, Self::INFO.typical, |since| async move {
            let targets = cx.env.read_targets(&self.region, &before.arn, since).await;
            let targets = targets
                .map_err(errors::reading_shared("elasticloadbalancing:DescribeTargetHealth", format!("read the health of {self}")))?;
            let health = Health::of(targets.iter().filter_map(|target| target.target_health()));
            let needed = self.needed(health.registered);
            Ok(if health.healthy >= needed { Look::Done(health) } else { Look::Waiting(health.shown(needed)) })
        })
        .await?;
        Ok(fields([("healthy", json!(health.healthy)), ("registered", json!(health.registered))]))
    }

    async fn compensate(&self, _cx: &StepContext<Cloud>, _before: &TargetGroup, _handle: Option<&()>) -> Result<(), StepFailure> {
        nothing_to_apply(&Self::INFO)
    }
}

impl std::fmt::Display for ElbWaitTargetsHealthy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "target group {} in {}", self.target_group, self.region)
    }
}

impl ElbWaitTargetsHealthy {
    fn is_arn(&self) -> bool {
        self.target_group.starts_with("arn:")
    }

    /// Finds the target group: its ARN, and those of the load balancers that use it.
    pub(crate) async fn find(&self, cx: &StepContext<Cloud>) -> Result<(String, Vec<String>), StepFailure> {
        let call = cx.env.elb(&self.region).describe_target_groups();
        let one = if self.is_arn() { call.clone().target_group_arns(&self.target_group) } else { call.clone().names(&self.target_group) };
        let found = match one.send().await {
            Ok(answer) => answer.target_groups.unwrap_or_default().into_iter().next(),
            Err(error) if errors::has_code(&error, "TargetGroupNotFound") => None,
            Err(error) => return Err(errors::reading("elasticloadbalancing:DescribeTargetGroups", format!("read {self}"))(error)),
        };
        if let Some(group) = found
            && let Some(arn) = group.target_group_arn
        {
            return Ok((arn, group.load_balancer_arns.unwrap_or_default()));
        }
        let names = names(call.into_paginator().items().send(), |group| group.target_group_name).await;
        let missing = Missing { what: "target group", name: &self.target_group, place: &self.region, region: Some(&self.region) };
        Err(missing.failure(cx, names).await)
    }

    /// Returns how many targets there are, without those that are draining.
    pub(crate) async fn registered(&self, cx: &StepContext<Cloud>, arn: &str) -> Result<u32, StepFailure> {
        let targets = cx.env.read_targets(&self.region, arn, cx.env.since_now()).await;
        let targets =
            targets.map_err(errors::reading_shared("elasticloadbalancing:DescribeTargetHealth", format!("read the health of {self}")))?;
        Ok(Health::of(targets.iter().filter_map(|target| target.target_health())).registered)
    }

    /// Returns how many targets must be healthy: at least one, so that an empty group never passes.
    fn needed(&self, registered: u32) -> u32 {
        let part = u64::from(registered) * u64::from(self.min_percent.unwrap_or(100));
        self.min_healthy.unwrap_or_else(|| u32::try_from(part.div_ceil(100)).unwrap_or(u32::MAX)).max(1)
    }
}

/// The health of a target group.
#[derive(Debug, Default, PartialEq)]
struct Health {
    healthy: u32,
    registered: u32,
    reasons: BTreeSet<String>,
}

impl Health {
    fn of<'a>(targets: impl Iterator<Item = &'a TargetHealth>) -> Self {
        let mut health = Self::default();
        for target in targets {
            match target.state() {
                Some(TargetHealthStateEnum::Draining | TargetHealthStateEnum::UnhealthyDraining) => continue,
                Some(TargetHealthStateEnum::Healthy) => health.healthy += 1,
                _ => health.reasons.extend(target.reason().map(|reason| reason.as_str().to_owned())),
            }
            health.registered += 1;
        }
        health
    }

    fn shown(&self, needed: u32) -> String {
        let reasons: Vec<_> = self.reasons.iter().map(String::as_str).collect();
        match (self.registered, reasons.is_empty()) {
            (0, _) => format!("0/{needed} healthy: no target is registered"),
            (_, true) => format!("{}/{needed} healthy", self.healthy),
            (_, false) => format!("{}/{needed} healthy: {}", self.healthy, reasons.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_elasticloadbalancingv2::types::TargetHealthReasonEnum;

    use super::*;

    fn kind(min_healthy: Option<u32>, min_percent: Option<u32>) -> ElbWaitTargetsHealthy {
        ElbWaitTargetsHealthy { target_group: "tg".into(), region: "us-west-2".into(), min_healthy, min_percent }
    }

    #[test]
    fn an_empty_target_group_never_passes() {
        assert_eq!([kind(None, None).needed(0), kind(None, Some(50)).needed(0), kind(Some(3), None).needed(0)], [1, 1, 3]);
        assert_eq!([kind(None, None).needed(6), kind(None, Some(50)).needed(5), kind(Some(3), None).needed(9)], [6, 3, 3]);
    }

    #[test]
    fn draining_targets_are_not_counted_and_reasons_are_shown() {
        let target = |state| TargetHealth::builder().state(state);
        let targets = [
            target(TargetHealthStateEnum::Healthy).build(),
            target(TargetHealthStateEnum::Draining).build(),
            target(TargetHealthStateEnum::Unhealthy).reason(TargetHealthReasonEnum::FailedHealthChecks).build(),
        ];
        let health = Health::of(targets.iter());
        assert_eq!((health.healthy, health.registered), (1, 2));
        assert_eq!(health.shown(3), "1/3 healthy: Target.FailedHealthChecks");
        assert_eq!(Health::default().shown(3), "0/3 healthy: no target is registered");
    }

    #[test]
    fn an_arn_must_be_of_the_region() {
        let mut kind = kind(None, None);
        kind.target_group = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/prod-app-tg/0123456789abcdef".into();
        assert_eq!(kind.problems().len(), 1);
    }
}
