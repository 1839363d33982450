//! How far a replica is behind its source, as CloudWatch knows it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_cloudwatch::operation::get_metric_statistics::GetMetricStatisticsError;
use aws_sdk_cloudwatch::types::{Dimension, Statistic};
use aws_smithy_types::DateTime;
use jiff::Timestamp;
use wf_engine::clock::between;
use wf_engine::model::event::StepFailure;
use wf_engine::step::StepContext;

use super::errors::Failed;
use super::shared::Since;
use super::{Cloud, errors};

/// The IAM action of every look at the lag.
pub const READ_LAG: &str = "cloudwatch:GetMetricStatistics";

/// How old the last sample may be. CloudWatch has one a minute, a minute or two late; an older one says nothing of now.
const AGE_MAX: Duration = Duration::from_secs(5 * 60);
/// How far back to look.
const WINDOW: Duration = Duration::from_secs(15 * 60);
const PERIOD_SECS: i32 = 60;

/// The lag in one minute.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// When the minute began.
    pub at: Timestamp,
    /// The largest lag in it, in seconds.
    pub seconds: f64,
}

/// Returns the samples of the last quarter of an hour, oldest first, as they were after `since`. Negative ones are left out: with them RDS says that
/// replication is not running, which is no lag at all but an unknown one.
pub async fn samples(cx: &StepContext<Cloud>, region: &str, instance: &str, since: Since) -> Result<Arc<Vec<Sample>>, StepFailure> {
    let ask = async |_| Ok(BTreeMap::from([(instance.to_owned(), Arc::new(ask(cx, region, instance).await?))]));
    let lags = cx.env.reads().of(&cx.env.reads().lags, region, 1);
    let answer = lags.get(instance, since, ask).await;
    let answer = answer.map_err(errors::reading_shared(READ_LAG, format!("read the replica lag of {instance} in {region}")))?;
    Ok(answer.unwrap_or_default())
}

async fn ask(cx: &StepContext<Cloud>, region: &str, instance: &str) -> Result<Vec<Sample>, Failed<GetMetricStatisticsError>> {
    let now = cx.clock.now();
    let from = now.checked_sub(WINDOW).unwrap_or(Timestamp::MIN);
    let answer = cx
        .env
        .cloudwatch(region)
        .get_metric_statistics()
        .namespace("AWS/RDS")
        .metric_name("ReplicaLag")
        .dimensions(Dimension::builder().name("DBInstanceIdentifier").value(instance).build())
        .start_time(DateTime::from_secs(from.as_second()))
        .end_time(DateTime::from_secs(now.as_second() + 1))
        .period(PERIOD_SECS)
        .statistics(Statistic::Maximum)
        .send()
        .await?;
    let sample = |point: &aws_sdk_cloudwatch::types::Datapoint| {
        let at = Timestamp::from_second(point.timestamp()?.secs()).ok()?;
        let seconds = point.maximum().filter(|seconds| *seconds >= 0.0)?;
        Some(Sample { at, seconds })
    };
    let mut samples: Vec<_> = answer.datapoints().iter().filter_map(sample).collect();
    samples.sort_by_key(|sample| sample.at);
    Ok(samples)
}

/// Returns the last lag known, in seconds; `None` when there is no sample of the last five minutes.
pub async fn latest(cx: &StepContext<Cloud>, region: &str, instance: &str) -> Result<Option<f64>, StepFailure> {
    let samples = samples(cx, region, instance, cx.env.since_now()).await?;
    Ok(latest_of(&samples, cx.clock.now()))
}

fn latest_of(samples: &[Sample], now: Timestamp) -> Option<f64> {
    samples.last().filter(|sample| between(sample.at, now) <= AGE_MAX).map(|sample| sample.seconds)
}

/// Writes a lag for an operator: "1.4 s", "2h".
pub fn show(seconds: f64) -> String {
    if seconds < 60.0 {
        return format!("{seconds:.1} s");
    }
    humantime::format_duration(Duration::from_secs(seconds.round() as u64)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_sample_says_nothing_of_now() {
        let sample = |at| Sample { at: Timestamp::from_second(at).unwrap_or_default(), seconds: 2.0 };
        let now = Timestamp::from_second(1000).unwrap_or_default();
        assert_eq!(latest_of(&[], now), None);
        assert_eq!(latest_of(&[sample(640), sample(700)], now), Some(2.0));
        assert_eq!(latest_of(&[sample(640), sample(699)], now), None);
    }

    #[test]
    fn lags_are_written_for_people() {
        assert_eq!(show(1.44), "1.4 s");
        assert_eq!(show(7200.4), "2h");
    }
}
