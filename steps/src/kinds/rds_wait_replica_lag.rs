//! `RdsWaitReplicaLag`: waits until a replica has caught up. Before a planned promotion, so that no row is lost.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use wf_engine::model::event::{Fields, StepFailure};
use wf_engine::signal::Signal;
use wf_engine::step::{Field, FieldType, Iam, KindInfo, Observed, Rbac, Reversibility, StepContext, StepKind, fields, nothing_to_apply};
use wf_engine::units::Span;

use crate::aws::lag::{self, Sample};
use crate::aws::poll::{Look, until};
use crate::aws::shared::Since;
use crate::aws::{Cloud, rds};

/// Waits until a replica has caught up.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RdsWaitReplicaLag {
    /// The replica.
    pub instance: String,
    /// Its region.
    pub region: String,
    /// The most that it may be behind.
    pub max_lag: Span,
    /// How many samples in a row must be within it.
    #[serde(default = "one")]
    pub samples: u32,
}

const fn one() -> u32 {
    1
}

/// The largest number of samples that one look at CloudWatch shows.
const SAMPLES_MAX: u32 = 10;

/// When the wait began: older samples do not count.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Began {
    /// When.
    pub at: Timestamp,
}

#[async_trait]
impl StepKind for RdsWaitReplicaLag {
    type Env = Cloud;
    type Before = Began;
    type Handle = ();

    const INFO: KindInfo = KindInfo {
        name: "RdsWaitReplicaLag",
        summary: "waits until an RDS read replica is hardly behind its source",
        example: r#"(id: "caught_up", run: RdsWaitReplicaLag(instance: "prod-db-replica-west", region: "us-west-2", max_lag: "10s", samples: 2), timeout: "1h")"#,
        reversibility: Reversibility::ReadOnly,
        params: &[
            Field::new("instance", FieldType::Text, "the replica's identifier"),
            Field::new("region", FieldType::Text, "the replica's region"),
            Field::new(
                "max_lag",
                FieldType::Text,
                "the most that it may be behind, such as \"10s\"; \"0s\" after the source has been fenced",
            ),
            Field::new("samples", FieldType::Integer, "how many samples in a row, one a minute, must be within it; 1 to 10, default 1"),
        ],
        outputs: &[Field::new("lag", FieldType::Number, "how many seconds it was behind at the end")],
        before: &[Field::new("at", FieldType::Text, "when the wait began")],
        iam: Iam { read: &[rds::DESCRIBE, lag::READ_LAG], apply: &[], compensate: &[], ready: &[] },
        rbac: Rbac::NONE,
        facts: &[
            "CloudWatch's ReplicaLag has one sample a minute, a minute or two late: only minutes that began after the step did count, so that a fence before it is really in the figure",
            "a negative ReplicaLag means that replication is not running: it counts as unknown",
            "an idle PostgreSQL replica in another region can report up to five minutes with nothing lost: let the source write a heartbeat",
        ],
        typical: Duration::from_secs(2 * 60),
        timeout: Duration::from_secs(3600),
    };

    fn problems(&self) -> Vec<String> {
        if (1..=SAMPLES_MAX).contains(&self.samples) {
            return Vec::new();
        }
        vec![format!("`samples` is {}: it must be 1 to {SAMPLES_MAX}", self.samples)]
    }

    async fn observe(&self, cx: &StepContext<Cloud>, intent: Option<&Began>) -> Result<Observed<Began>, StepFailure> {
        self.must_be_a_replica(cx, cx.env.since_now()).await?;
        Ok(Observed::Satisfied(intent.cloned().unwrap_or_else(|| Began { at: cx.clock.now() })))
    }

    fn signals(&self) -> Vec<Signal> {
        vec![Signal::ReplicaLag { instance: self.instance.clone(), region: self.region.clone() }]
    }

    async fn apply(&self, _cx: &StepContext<Cloud>, _before: &Began) -> Result<(), StepFailure> {
        nothing_to_apply(&Self::INFO)
    }

    async fn settle(&self, cx: &StepContext<Cloud>, before: &Began, _handle: Option<&()>) -> Result<Fields, StepFailure> {
        let lag = until(cx, Self::INFO.typical, |read| self.look(cx, before.at, read)).await?;
        Ok(fields([("lag", lag.into())]))
    }

    async fn compensate(&self, _cx: &StepContext<Cloud>, _before: &Began, _handle: Option<&()>) -> Result<(), StepFailure> {
        nothing_to_apply(&Self::INFO)
    }
}

impl RdsWaitReplicaLag {
    async fn must_be_a_replica(&self, cx: &StepContext<Cloud>, since: Since) -> Result<(), StepFailure> {
        let instance = rds::get(cx, &self.region, &self.instance, since).await?;
        instance.must_not_be_broken()?;
        if instance.source.is_some() {
            return Ok(());
        }
        let failure =
            StepFailure::permanent(format!("{} in {} replicates nothing: there is no lag to wait for", self.instance, self.region));
        Err(failure.hint("was it promoted already? Then `wf resume RUN --mark-done STEP`"))
    }

    async fn look(&self, cx: &StepContext<Cloud>, since: Timestamp, read: Since) -> Result<Look<f64>, StepFailure> {
        let limit = self.max_lag.0.as_secs_f64();
        let samples = lag::samples(cx, &self.region, &self.instance, read).await?;
        let counted = samples.iter().filter(|sample| sample.at >= since);
        let within = counted.rev().take_while(|sample| sample.seconds <= limit).count();
        match samples.last() {
            Some(last) if within >= self.samples as usize => Ok(Look::Done(last.seconds)),
            last => {
                self.must_be_a_replica(cx, read).await?;
                Ok(Look::Waiting(self.missing(last, within)))
            }
        }
    }

    fn missing(&self, last: Option<&Sample>, within: usize) -> String {
        let lag = last.map_or_else(|| "lag unknown".to_owned(), |last| format!("lag {}", lag::show(last.seconds)));
        format!("{lag}, limit {}, {within}/{} samples", self.max_lag, self.samples)
    }
}
