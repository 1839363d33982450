//! [`Diagnosis`]: why a replica is behind, as far as RDS and CloudWatch tell, and what to do about it. Read-only.

use std::time::Duration;

use aws_sdk_cloudwatch::types::{Dimension, Statistic};
use aws_smithy_types::DateTime;
use jiff::Timestamp;
use serde::Serialize;
use wf_engine::clock::between;
use wf_engine::model::event::StepFailure;
use wf_engine::step::StepContext;

use super::lag::{READ_LAG, show};
use super::rds::{self, Instance};
use super::{Cloud, errors};

/// A lag below which a replica keeps up, in seconds.
const KEEPS_UP: f64 = 30.0;
/// How fast the lag grows, in seconds a second, when nothing arrives any more: as fast as the clock.
const STANDS_STILL: f64 = 0.9;
/// How fast it falls when the replica catches up.
const CATCHES_UP: f64 = -0.05;
/// A processor that has no time left, in percent.
const CPU_FULL: f64 = 85.0;
/// How much of the latest time tells where the lag goes: a source that died five minutes ago had kept up before.
const TREND: Duration = Duration::from_secs(150);
/// How much of it tells how busy the replica is.
const LATELY: Duration = Duration::from_secs(10 * 60);
/// How old the last sample may be.
const AGE_MAX: Duration = Duration::from_secs(5 * 60);
/// The most samples that CloudWatch gives at once.
const SAMPLES_MAX: u64 = 1440;

/// A metric in one period.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Sample {
    /// When the period began.
    pub at: Timestamp,
    /// The average in it.
    pub average: f64,
    /// The most in it.
    pub maximum: f64,
}

/// Why a replica is behind.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Diagnosis {
    /// The instance.
    pub instance: String,
    /// Its region.
    pub region: String,
    /// Its status.
    pub status: String,
    /// What it replicates; `None` when it is no replica.
    pub source: Option<String>,
    /// Its class.
    pub class: String,
    /// The class of its source, as far as that answers.
    pub source_class: Option<String>,
    /// What RDS says of the replication, when it does not run.
    pub trouble: Option<String>,
    /// The lag over the time that was asked for, in seconds, oldest first.
    pub lag: Vec<Sample>,
    /// How many writes a second the source did in that time, on average.
    pub source_write_iops: Option<f64>,
    /// How busy the replica's processors were lately, in percent.
    pub cpu: Option<f64>,
    /// Whether it keeps up.
    pub keeps_up: bool,
    /// The likely cause.
    pub cause: String,
    /// What to do next.
    pub next: String,
}

/// Looks at a replica, its source and their metrics of the last `window`. A source that does not answer is a finding, not a failure.
///
/// # Errors
/// When the replica itself, or its lag, cannot be read.
pub async fn diagnose(cx: &StepContext<Cloud>, region: &str, instance: &str, window: Duration) -> Result<Diagnosis, StepFailure> {
    let replica = rds::get(cx, region, instance, cx.env.since_now()).await?;
    let lag = metric(cx, region, instance, "ReplicaLag", window).await?;
    let cpu = metric(cx, region, instance, "CPUUtilization", LATELY).await.ok().and_then(|samples| average(&samples));
    let (mut source, mut source_write_iops) = (None, None);
    if let Some(name) = &replica.source {
        let (source_region, id) = rds::split(name, region);
        source = rds::find(cx, &source_region, &id, cx.env.since_now()).await.ok().flatten();
        let writes = metric(cx, &source_region, &id, "WriteIOPS", window).await;
        source_write_iops = writes.ok().and_then(|samples| average(&samples));
    }
    let load = Load { cpu, writes: source_write_iops };
    let Verdict { keeps_up, cause, next } = judge(&replica, source.as_ref(), &lag, load, cx.clock.now());
    Ok(Diagnosis {
        instance: replica.id,
        region: replica.region,
        status: replica.status,
        source: replica.source,
        class: replica.class,
        source_class: source.map(|source| source.class),
        trouble: replica.replication_trouble,
        lag,
        source_write_iops,
        cpu,
        keeps_up,
        cause,
        next,
    })
}

async fn metric(cx: &StepContext<Cloud>, region: &str, instance: &str, name: &str, window: Duration) -> Result<Vec<Sample>, StepFailure> {
    let now = cx.clock.now();
    let from = now.checked_sub(window).unwrap_or(Timestamp::MIN);
    let minutes = window.as_secs().div_ceil(60 * SAMPLES_MAX).max(1);
    let answer = cx
        .env
        .cloudwatch(region)
        .get_metric_statistics()
        .namespace("AWS/RDS")
        .metric_name(name)
        .dimensions(Dimension::builder().name("DBInstanceIdentifier").value(instance).build())
        .start_time(DateTime::from_secs(from.as_second()))
        .end_time(DateTime::from_secs(now.as_second() + 1))
        .period(i32::try_from(minutes * 60).unwrap_or(i32::MAX))
        .statistics(Statistic::Average)
        .statistics(Statistic::Maximum)
        .send()
        .await
        .map_err(errors::reading(READ_LAG, format!("read {name} of {instance} in {region}")))?;
    let sample = |point: &aws_sdk_cloudwatch::types::Datapoint| {
        let at = Timestamp::from_second(point.timestamp()?.secs()).ok()?;
        // RDS says with a negative lag that replication does not run.
        Some(Sample { at, average: point.average().filter(|value| *value >= 0.0)?, maximum: point.maximum()? })
    };
    let mut samples: Vec<_> = answer.datapoints().iter().filter_map(sample).collect();
    samples.sort_by_key(|sample| sample.at);
    Ok(samples)
}

fn average(samples: &[Sample]) -> Option<f64> {
    (!samples.is_empty()).then(|| samples.iter().map(|sample| sample.average).sum::<f64>() / samples.len() as f64)
}

/// How much there is to do, as far as CloudWatch knows.
#[derive(Default, Clone, Copy)]
struct Load {
    /// How busy the replica's processors are, in percent.
    cpu: Option<f64>,
    /// How many writes a second the source does.
    writes: Option<f64>,
}

struct Verdict {
    keeps_up: bool,
    cause: String,
    next: String,
}

/// Names the likeliest cause: what RDS says first, then what the lag does, then what the instances are.
fn judge(replica: &Instance, source: Option<&Instance>, lag: &[Sample], load: Load, now: Timestamp) -> Verdict {
    let behind = |cause: String, next: String| Verdict { keeps_up: false, cause, next };
    let (id, region) = (&replica.id, &replica.region);
    let Some(source_name) = &replica.source else {
        return behind(
            format!("{id} is no replica: it takes writes of its own"),
            format!("a replica of it: RdsCreateReadReplica(source: \"{id}\", …)"),
        );
    };
    if let Some(trouble) = &replica.replication_trouble {
        let next = format!(
            "mend what RDS names; what cannot be mended is made anew: RdsDeleteInstance(instance: \"{id}\", region: \"{region}\", …), RdsCreateReadReplica(instance: \"{id}\", source: \"{source_name}\", …)"
        );
        return behind(format!("replication does not run: {trouble}"), next);
    }
    let Some(last) = lag.last().filter(|last| between(last.at, now) <= AGE_MAX) else {
        let next = format!("aws rds describe-events --source-type db-instance --source-identifier {id} --region {region}");
        return behind("CloudWatch has no lag of the last five minutes: replication may not run".to_owned(), next);
    };
    if last.maximum < KEEPS_UP {
        let next = "nothing; `wf check FILE --live` looks at the rest of the failover".to_owned();
        return Verdict { keeps_up: true, cause: format!("it keeps up: {} behind", show(last.maximum)), next };
    }
    let growth = growth(lag, now);
    match growth {
        Some(growth) if growth >= STANDS_STILL => behind(
            "nothing arrives any more: the lag grows as fast as the clock, so the source, its region or the way between them is down"
                .to_owned(),
            format!(
                "if {source_name} is down, this is the outage: what would be lost is the lag that it began with, and nothing more while it lasts"
            ),
        ),
        Some(growth) if growth <= CATCHES_UP => {
            let left = Duration::try_from_secs_f64(last.maximum / -growth).unwrap_or(Duration::MAX);
            let left = show(left.as_secs_f64());
            behind(
                format!("it catches up, and has about {left} left at this pace"),
                "wait; a failover before that loses what is missing".to_owned(),
            )
        }
        _ if load.cpu.is_some_and(|cpu| cpu >= CPU_FULL) => {
            let busy = format!("the replica's processors are busy to {:.0} %", load.cpu.unwrap_or_default());
            let writes = load
                .writes
                .map_or_else(String::new, |writes| format!(": its source writes {writes:.0} times a second, more than it applies"));
            behind(format!("{busy}{writes}"), larger(replica, source))
        }
        _ if source.is_some_and(|source| source.class != replica.class) => {
            let source_class = source.map_or("", |source| source.class.as_str());
            behind(
                format!(
                    "the replica is a {}, its source a {source_class}: it may be too small for the writes of the source",
                    replica.class
                ),
                larger(replica, source),
            )
        }
        _ => behind(
            "more is written than the replica applies: a burst of writes, or one long transaction".to_owned(),
            format!(
                "look at what {source_name} writes (Performance Insights, `pg_stat_activity`); if it is to stay so: {}",
                larger(replica, source)
            ),
        ),
    }
}

fn larger(replica: &Instance, source: Option<&Instance>) -> String {
    let class = source.filter(|source| source.class != replica.class).map_or("a larger one", |source| source.class.as_str());
    format!("RdsModifyInstance(instance: \"{}\", region: \"{}\", instance_class: \"{class}\")", replica.id, replica.region)
}

/// Returns by how many seconds a second the lag has grown lately.
fn growth(lag: &[Sample], now: Timestamp) -> Option<f64> {
    let last = lag.last()?;
    let first = lag.iter().find(|sample| between(sample.at, now) <= TREND)?;
    let time = between(first.at, last.at).as_secs_f64();
    (time > 0.0).then(|| (last.maximum - first.maximum) / time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(class: &str) -> Instance {
        Instance {
            id: "replica".into(),
            region: "us-west-2".into(),
            arn: String::new(),
            status: "available".into(),
            source: Some("arn:aws:rds:us-east-1:123456789012:db:primary".into()),
            replicas: Vec::new(),
            endpoint: None,
            port: None,
            engine: String::new(),
            engine_version: String::new(),
            class: class.into(),
            backup_retention_days: 0,
            encrypted: false,
            key: None,
            deletion_protection: false,
            tags: Default::default(),
            replication_trouble: None,
            pending_id: None,
            pending_class: None,
            pending_backup_retention_days: None,
        }
    }

    /// A lag that ends `now` at `last` seconds, having grown by `by` a minute.
    fn lag(last: f64, by: f64) -> Vec<Sample> {
        let sample = |minute: i32| {
            let seconds = last - by * f64::from(10 - minute);
            Sample { at: Timestamp::from_second(i64::from(minute) * 60).expect("in range"), average: seconds, maximum: seconds }
        };
        (0..=10).map(sample).collect()
    }

    fn said(replica: &Instance, lag: &[Sample], cpu: Option<f64>) -> String {
        let source = instance("db.r6g.xlarge");
        let load = Load { cpu, writes: None };
        let verdict = judge(replica, Some(&source), lag, load, Timestamp::from_second(610).expect("in range"));
        format!("{} {} {}", verdict.keeps_up, verdict.cause, verdict.next)
    }

    #[test]
    fn each_cause_is_told_from_the_others() {
        let (same, small) = (instance("db.r6g.xlarge"), instance("db.r6g.large"));
        let stopped = Instance { replication_trouble: Some("`error`: out of disk".into()), ..instance("db.r6g.xlarge") };
        let alone = Instance { source: None, ..instance("db.r6g.xlarge") };
        for (told, what) in [
            (said(&same, &lag(2.0, 0.0), None), "true it keeps up: 2.0 s behind"),
            (said(&same, &lag(900.0, 60.0), None), "false nothing arrives any more"),
            (said(&same, &lag(600.0, -30.0), None), "false it catches up, and has about 20m left"),
            (said(&same, &lag(600.0, 5.0), Some(97.0)), "false the replica's processors are busy to 97 %"),
            (said(&small, &lag(600.0, 5.0), Some(20.0)), "false the replica is a db.r6g.large, its source a db.r6g.xlarge"),
            (said(&same, &lag(600.0, 5.0), Some(20.0)), "false more is written than the replica applies"),
            (said(&stopped, &lag(2.0, 0.0), None), "false replication does not run: `error`: out of disk"),
            (said(&alone, &[], None), "false replica is no replica"),
            (said(&same, &[], None), "false CloudWatch has no lag"),
            (said(&same, &lag(2.0, 0.0)[..5], None), "false CloudWatch has no lag"),
        ] {
            assert!(told.starts_with(what), "{told}");
        }
        assert!(said(&small, &lag(600.0, 5.0), None).contains("instance_class: \"db.r6g.xlarge\""));
    }
}
