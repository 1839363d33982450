//! `Fence`: makes sure that the old side takes no more writes before the new one does, and says how sure that is.

use std::future::pending;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::json;
use wf_engine::model::definition::Objectives;
use wf_engine::model::event::{FailureKind, Fields, Mode, StepFailure};
use wf_engine::readiness::Check;
use wf_engine::step::{Change, Field, FieldType, Iam, KindInfo, Observed, Rbac, Reversibility, StepContext, StepKind, fields};
use wf_engine::units::Span;

use super::auto_scaling_scale::{Applied, AutoScalingScale};
use crate::aws::Cloud;
use crate::question;
use crate::sizes::Sizes;
use crate::write_lease::{Document, Lease};

/// Stops the writers of a side.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fence {
    /// The region of the side that is fenced.
    pub region: String,
    /// The Auto Scaling group whose instances write.
    #[serde(default)]
    pub group: Option<String>,
    /// Whether the group's largest size is set to zero, too.
    #[serde(default)]
    pub keep_empty: bool,
    /// The write lease that the application keeps.
    #[serde(default)]
    pub lease: Option<Lease>,
    /// What is added to the lease's time, for clocks that do not go alike.
    #[serde(default = "five_seconds")]
    pub skew: Span,
    /// What to do when the lease has lapsed, and the group could not be seen to be empty.
    #[serde(default)]
    pub lease_expired: Then,
    /// What to do when nothing is known of the old side.
    #[serde(default)]
    pub unreachable: Otherwise,
    /// How long a question stands.
    #[serde(default = "half_an_hour")]
    pub ask_within: Span,
}

/// What to do with an outcome that is safe as long as the application keeps its part of the contract.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum Then {
    /// Go on.
    #[default]
    Continue,
    /// Ask a human.
    Ask,
    /// Fail for good.
    Stop,
}

/// What to do when nothing is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum Otherwise {
    /// Ask a human.
    Ask,
    /// Fail as unreachable, which the step's `on_unreachable` decides about.
    #[default]
    Stop,
}

const fn five_seconds() -> Span {
    Span::secs(5)
}

const fn half_an_hour() -> Span {
    Span::secs(30 * 60)
}

const GROUP_ONLY: Iam = Iam {
    read: &["autoscaling:DescribeAutoScalingGroups", "autoscaling:DescribeScalingActivities"],
    apply: &["autoscaling:UpdateAutoScalingGroup"],
    compensate: &[],
    ready: &[],
};
const LEASE_ONLY: Iam = Iam { read: &["s3:GetObject", "s3:ListBucket"], apply: &["s3:PutObject"], compensate: &[], ready: &[] };
const BOTH: Iam = Iam {
    read: &["autoscaling:DescribeAutoScalingGroups", "autoscaling:DescribeScalingActivities", "s3:GetObject", "s3:ListBucket"],
    apply: &["autoscaling:UpdateAutoScalingGroup", "s3:PutObject"],
    compensate: &[],
    ready: &[],
};

/// The old side before it was fenced. What could not be read is not changed either.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SideBefore {
    /// The group's sizes.
    #[serde(flatten)]
    sizes: Option<Sizes>,
    /// Why the group could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    no_group: Option<String>,
    /// The text of the lease.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lease: Option<String>,
    /// Why there is no lease that could be relied on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    no_lease: Option<String>,
}

/// What was told to whom.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// What had happened to the group when it was told to shrink.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    group: Option<Applied>,
    /// Why it could not be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    no_answer: Option<String>,
}

/// How sure it is that the old side takes no more writes.
enum Outcome {
    /// The group was seen to be empty.
    Confirmed,
    /// The lease was given to the other side, and its time is over.
    LeaseExpired,
    /// Nothing is known, for this reason.
    Unreachable(StepFailure),
}

#[async_trait]
impl StepKind for Fence {
    type Env = Cloud;
    type Before = SideBefore;
    type Handle = Told;

    const INFO: KindInfo = KindInfo {
        name: "Fence",
        summary: "stops the writers of the old side, and says how sure it is that they stopped",
        example: r#"(id: "fence", run: Fence(region: "us-east-1", group: "prod-app-asg"))"#,
        reversibility: Reversibility::Reversible,
        params: &[
            Field::new("region", FieldType::Text, "the region of the side that is fenced"),
            Field::new(
                "group",
                FieldType::Text,
                "the Auto Scaling group whose instances write: it is scaled to zero, and seen to be empty",
            ),
            Field::new(
                "keep_empty",
                FieldType::Bool,
                "whether its largest size is set to zero too, so that no policy scales it up again; default false",
            ),
            Field::new(
                "lease",
                FieldType::Json,
                "the write lease that the application keeps: (bucket, key, region, holder), in S3 outside of the fenced region; it is given to `holder`",
            ),
            Field::new("skew", FieldType::Text, "what is added to the lease's time, for clocks that do not go alike; default \"5s\""),
            Field::new(
                "lease_expired",
                FieldType::Text,
                "when the lease has lapsed and the group was not seen to be empty: Continue (default), Ask or Stop",
            ),
            Field::new(
                "unreachable",
                FieldType::Text,
                "when nothing is known of the old side: Ask, or Stop (default): the step is unreachable, and its `on_unreachable` decides",
            ),
            Field::new("ask_within", FieldType::Text, "how long a question stands; default \"30m\""),
        ],
        outputs: &[
            Field::new("outcome", FieldType::Text, "Confirmed, LeaseExpired, or Unreachable after a human agreed to go on"),
            Field::new("detail", FieldType::Text, "what that rests on, in a sentence"),
        ],
        before: &[
            Field::new("min", FieldType::Integer, "the group's smallest size before"),
            Field::new("desired", FieldType::Integer, "the group's desired size before"),
            Field::new("max", FieldType::Integer, "the group's largest size before"),
        ],
        iam: BOTH,
        rbac: Rbac::NONE,
        facts: &[
            "a region that cannot be reached cannot be fenced by calling it; DNS is no fence, and the source of a promoted replica is not told",
            "Confirmed: the group has no instance left, terminating ones included, since these may still write",
            "LeaseExpired: the lease was given away and its `ttl_seconds`, which the object itself says, plus `skew` have passed since; sure as far as every writer keeps the contract (a server writes only while it has read within that time that its side is the `holder`)",
            "the lease is waited for from the moment that this process knows of, whatever a record says: a resume waits for the whole of it again",
            "with `lease_expired: Continue` the first of the two outcomes counts; otherwise a reachable group is waited for",
            "a lease that the fenced region itself keeps is of use only while that answers, as on the way home",
            "no object, or one that is no lease, means that the application keeps none: then only the group counts",
        ],
        typical: Duration::from_secs(60),
        timeout: Duration::from_secs(10 * 60),
    };

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.group.is_none() && self.lease.is_none() {
            problems.push("neither `group` nor `lease` is given: nothing would be stopped".to_owned());
        }
        if self.group.is_none() && self.keep_empty {
            problems.push("`keep_empty` is about a `group`, and none is given".to_owned());
        }
        if let Some(lease) = &self.lease {
            problems.extend(lease.object().problems());
            if lease.holder.is_empty() || lease.holder == self.region {
                problems.push(format!("the lease's `holder` is to be the other side, not \"{}\"", lease.holder.escape_debug()));
            }
        }
        problems
    }

    fn iam(&self) -> Iam {
        match (&self.group, &self.lease) {
            (Some(_), None) => GROUP_ONLY,
            (None, Some(_)) => LEASE_ONLY,
            (Some(_), Some(_)) | (None, None) => BOTH,
        }
    }

    fn timeout(&self) -> Duration {
        let asks = self.lease_expired == Then::Ask || self.unreachable == Otherwise::Ask;
        Self::INFO.timeout + if asks { self.ask_within.0 + Duration::from_secs(60) } else { Duration::ZERO }
    }

    fn changes(&self, before: &SideBefore) -> Vec<Change> {
        let lease = self.lease.as_ref().zip(before.document()).map(|(lease, now)| (now.holder, lease.holder.clone()));
        let lease = lease.filter(|(now, holder)| now != holder).map(|(now, holder)| Change::new("write lease", now, holder));
        let group = self.scale().zip(before.sizes).map(|(scale, sizes)| scale.changes(&sizes)).unwrap_or_default();
        lease.into_iter().chain(group).collect()
    }

    async fn environment(&self, cx: &StepContext<Cloud>) -> Result<Option<String>, StepFailure> {
        match self.scale() {
            Some(scale) => scale.environment(cx).await,
            None => Ok(None),
        }
    }

    async fn observe(&self, cx: &StepContext<Cloud>, intent: Option<&SideBefore>) -> Result<Observed<SideBefore>, StepFailure> {
        let (group, lease) = tokio::join!(self.see_group(cx, intent), self.see_lease(cx, intent));
        let ((group_differs, before), (lease_differs, lease)) = (group?, lease);
        let before = SideBefore { lease: lease.lease, no_lease: lease.no_lease, ..before };
        Ok(if group_differs || lease_differs { Observed::Differs(before) } else { Observed::Satisfied(before) })
    }

    async fn readiness(&self, cx: &StepContext<Cloud>, objectives: &Objectives) -> Result<Vec<Check>, StepFailure> {
        let mut checks = match self.scale() {
            Some(scale) => match scale.readiness(cx, objectives).await {
                Ok(checks) => checks,
                Err(failure) => vec![Check::unknown("group", &scale, failure)],
            },
            None => Vec::new(),
        };
        if let Some(lease) = &self.lease {
            let seen = lease.read(cx).await.err();
            checks.push(Check::of("place of the lease", lease).warn_if(
                cx.mode == Mode::Unplanned && lease.region == self.region,
                format!("{lease} is in {}, the region that is fenced: nobody could give it away when that is gone", self.region),
                "keep it in the standby region, or in a third one",
            ));
            checks.push(Check::of("write lease", lease).warn_if(
                seen.is_some(),
                format!("{}; a region that does not answer would not be fenced", seen.unwrap_or_default()),
                format!(
                    "have the application keep a write lease there, or take `lease` out of the step: `wf kinds {}` tells the contract",
                    Self::INFO.name
                ),
            ));
        }
        Ok(checks)
    }

    async fn apply(&self, cx: &StepContext<Cloud>, before: &SideBefore) -> Result<Told, StepFailure> {
        // The lease first: its time begins to run.
        let leased = match self.lease.as_ref().zip(before.document()) {
            Some((lease, document)) => lease.give(cx, &document).await.map(|()| true)?,
            None => false,
        };
        let Some((scale, sizes)) = self.scale().zip(before.sizes) else {
            return Ok(Told { group: None, no_answer: before.no_group.clone() });
        };
        match scale.apply(cx, &sizes).await {
            Ok(applied) => Ok(Told { group: Some(applied), no_answer: None }),
            // The lease lapses all the same.
            Err(failure) if leased && failure.kind != FailureKind::Permanent => Ok(Told { group: None, no_answer: Some(failure.message) }),
            Err(failure) => Err(failure),
        }
    }

    async fn settle(&self, cx: &StepContext<Cloud>, before: &SideBefore, handle: Option<&Told>) -> Result<Fields, StepFailure> {
        match self.outcome(cx, before, handle).await? {
            Outcome::Confirmed => Ok(told("Confirmed", format!("{} has no instance left", self.side()))),
            Outcome::LeaseExpired => self.lapsed(cx).await,
            Outcome::Unreachable(failure) => self.unknown(cx, before, failure).await,
        }
    }

    async fn compensate(&self, cx: &StepContext<Cloud>, before: &SideBefore, _handle: Option<&Told>) -> Result<(), StepFailure> {
        let lease = match self.lease.as_ref().zip(before.lease.as_deref()) {
            Some((lease, text)) => lease.give_back(cx, text).await,
            None => Ok(()),
        };
        let group = match self.scale().zip(before.sizes) {
            Some((scale, sizes)) => scale.compensate(cx, &sizes, None).await,
            None => Ok(()),
        };
        lease.and(group)
    }
}

impl SideBefore {
    /// Returns what the lease says. It was one when it was read.
    fn document(&self) -> Option<Document> {
        Document::parse(self.lease.as_deref()?).ok()
    }
}

fn told(outcome: &str, detail: String) -> Fields {
    fields([("outcome", json!(outcome)), ("detail", json!(detail))])
}

impl Fence {
    /// The step that empties the group.
    fn scale(&self) -> Option<AutoScalingScale> {
        let (group, region) = (self.group.clone()?, self.region.clone());
        Some(AutoScalingScale { group, region, min: Some(0), desired: Some(0), max: self.keep_empty.then_some(0), min_percent: 100 })
    }

    fn side(&self) -> String {
        self.scale().map_or_else(|| format!("the side in {}", self.region), |scale| scale.to_string())
    }

    /// Looks at the group: whether it has to be changed, and how it is. One in a region that does not answer is left alone.
    async fn see_group(&self, cx: &StepContext<Cloud>, intent: Option<&SideBefore>) -> Result<(bool, SideBefore), StepFailure> {
        let Some(scale) = self.scale() else { return Ok((false, SideBefore::default())) };
        if let Some(intent) = intent.filter(|intent| intent.sizes.is_none()) {
            return Ok((false, intent.clone()));
        }
        let earlier = intent.and_then(|intent| intent.sizes);
        match scale.observe(cx, earlier.as_ref()).await {
            Ok(Observed::Satisfied(sizes)) => Ok((false, SideBefore { sizes: Some(sizes), ..SideBefore::default() })),
            Ok(Observed::Differs(sizes)) => Ok((true, SideBefore { sizes: Some(sizes), ..SideBefore::default() })),
            // It was seen before, and is to be told.
            Err(failure) if failure.kind == FailureKind::Unreachable && earlier.is_some() => {
                Ok((true, SideBefore { sizes: earlier, ..SideBefore::default() }))
            }
            Err(failure) if failure.kind == FailureKind::Unreachable => {
                Ok((false, SideBefore { no_group: Some(failure.message), ..SideBefore::default() }))
            }
            Err(failure) => Err(failure),
        }
    }

    /// Looks at the lease: whether it has to be given away, and how it is.
    async fn see_lease(&self, cx: &StepContext<Cloud>, intent: Option<&SideBefore>) -> (bool, SideBefore) {
        let Some(lease) = &self.lease else { return (false, SideBefore::default()) };
        if let Some(intent) = intent.filter(|intent| intent.lease.is_none()) {
            return (false, intent.clone());
        }
        match (lease.read(cx).await, intent) {
            (Ok((text, now)), None) => (now.holder != lease.holder, SideBefore { lease: Some(text), ..SideBefore::default() }),
            (Ok((_, now)), Some(intent)) => (now.holder != lease.holder, intent.clone()),
            (Err(_), Some(intent)) => (true, intent.clone()),
            (Err(why), None) => (false, SideBefore { no_lease: Some(why), ..SideBefore::default() }),
        }
    }

    /// Waits for what is known first, or for all that can be known.
    async fn outcome(&self, cx: &StepContext<Cloud>, before: &SideBefore, handle: Option<&Told>) -> Result<Outcome, StepFailure> {
        let ttl = self.lease.as_ref().and(before.document()).map(|document| document.ttl + self.skew.0);
        let lapse = async {
            match ttl {
                Some(ttl) => cx.sleep(ttl).await,
                None => pending().await,
            }
        };
        let mut lapse = std::pin::pin!(lapse);
        let emptied = tokio::select! {
            biased;
            emptied = self.emptied(cx, before, handle) => emptied,
            () = &mut lapse, if self.lease_expired == Then::Continue => return Ok(Outcome::LeaseExpired),
        };
        match (emptied, ttl) {
            (Ok(()), _) => Ok(Outcome::Confirmed),
            (Err(failure), Some(ttl)) if failure.kind == FailureKind::Unreachable => {
                cx.progress(format!("the write lease to lapse, within {}; {}", Span(ttl), failure.message));
                lapse.await;
                Ok(Outcome::LeaseExpired)
            }
            (Err(failure), None) if failure.kind == FailureKind::Unreachable => Ok(Outcome::Unreachable(failure)),
            (Err(failure), _) => Err(failure),
        }
    }

    /// Waits until the group is seen to be empty; fails as unreachable when nobody can say.
    async fn emptied(&self, cx: &StepContext<Cloud>, before: &SideBefore, handle: Option<&Told>) -> Result<(), StepFailure> {
        let unknown = |why: Option<&String>| {
            let failure = StepFailure::unreachable(format!("failed to fence {}: nobody there answers", self.side()));
            why.into_iter().fold(failure, |failure, why| failure.because(why))
        };
        let Some((scale, sizes)) = self.scale().zip(before.sizes) else { return Err(unknown(before.no_group.as_ref())) };
        if let Some(Told { group: None, no_answer }) = handle {
            return Err(unknown(no_answer.as_ref()));
        }
        let applied = handle.and_then(|told| told.group.as_ref());
        scale.settle(cx, &sizes, applied).await.map(drop)
    }

    async fn lapsed(&self, cx: &StepContext<Cloud>) -> Result<Fields, StepFailure> {
        let detail = format!("the write lease of {} has lapsed, and {} was not seen to be empty", self.region, self.side());
        match self.lease_expired {
            Then::Continue => {}
            Then::Ask => {
                question::put(cx, format!("{detail}. Does every writer there keep the lease, so that the run may go on?"), self.ask_within)
                    .await?;
            }
            Then::Stop => return Err(StepFailure::permanent(format!("{detail}, which the plan does not go on from"))),
        }
        Ok(told("LeaseExpired", detail))
    }

    async fn unknown(&self, cx: &StepContext<Cloud>, before: &SideBefore, failure: StepFailure) -> Result<Fields, StepFailure> {
        let failure = before.no_lease.iter().fold(failure, |failure, why| failure.because(why));
        match self.unreachable {
            Otherwise::Stop => Err(failure.hint(
                "stop its writers by hand, and see that nothing comes back; a write lease would fence a region that does not answer",
            )),
            Otherwise::Ask => {
                let asked =
                    format!("{}: its writers may still write. Are they known to have stopped, so that the run may go on?", failure.message);
                let decision = question::put(cx, asked, self.ask_within).await?;
                Ok(told("Unreachable", format!("{}; {} says to go on", failure.message, decision.by)))
            }
        }
    }
}
