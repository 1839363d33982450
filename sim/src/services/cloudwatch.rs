//! CloudWatch, as rpc-v2-cbor, as AWS JSON 1.0 and as query protocol of 2010-08-01: replica lag and health check status.
//!
//! All protocols are read into one [`Query`], and all answers are written from the same [`Point`]s; JSON goes by CBOR's way.

use std::collections::BTreeMap;

use super::cloudwatch_read::{Fields, data_queries, statistics_query};
use super::cloudwatch_write::{data_cbor, data_xml, statistics_cbor, statistics_xml};
use super::{Answer, Call, Document, Protocol, ServiceError};
use crate::world::{Ms, World};

/// Data points that one request may ask for.
const POINTS_MAX: i64 = 1440;
/// The statistics that can be asked for.
pub(super) const STATISTICS: [&str; 5] = ["Average", "Maximum", "Minimum", "Sum", "SampleCount"];

/// What is asked for: one metric over a time.
#[derive(Debug, Default)]
pub(super) struct Query {
    pub(super) id: String,
    pub(super) namespace: String,
    pub(super) metric: String,
    pub(super) dimensions: BTreeMap<String, String>,
    pub(super) start: Ms,
    pub(super) end: Ms,
    /// Seconds.
    pub(super) period: i64,
    pub(super) statistics: Vec<String>,
}

/// The samples of one period.
#[derive(Debug, Default, Clone)]
pub(super) struct Point {
    pub(super) at: Ms,
    pub(super) samples: Vec<f64>,
}

impl Point {
    /// Returns one statistic of the samples.
    pub(super) fn statistic(&self, name: &str) -> f64 {
        let (sum, count) = (self.samples.iter().sum::<f64>(), self.samples.len() as f64);
        match name {
            "Sum" => sum,
            "SampleCount" => count,
            "Maximum" => self.samples.iter().copied().fold(f64::MIN, f64::max),
            "Minimum" => self.samples.iter().copied().fold(f64::MAX, f64::min),
            _ => sum / count,
        }
    }
}

/// Answers a CloudWatch call.
pub(super) fn answer(world: &mut World, call: &Call) -> Result<Answer, ServiceError> {
    let fields = match &call.document {
        Document::Cbor(value) => Fields::Cbor(value),
        _ => Fields::Query(&call.params),
    };
    let body = match (call.action.name, call.protocol) {
        ("GetMetricStatistics", protocol) => {
            let query = statistics_query(&fields)?;
            let points = points(world, &call.region, &query)?;
            if protocol == Protocol::Query { statistics_xml(&query, &points) } else { statistics_cbor(&query, &points) }
        }
        (_, protocol) => {
            let results: Vec<(Query, Vec<Point>)> =
                data_queries(&fields)?.into_iter().map(|q| points(world, &call.region, &q).map(|p| (q, p))).collect::<Result<_, _>>()?;
            if protocol == Protocol::Query { data_xml(results) } else { data_cbor(results) }
        }
    };
    Ok(Answer { body, effective: false })
}

pub(super) fn invalid(message: impl Into<String>) -> ServiceError {
    ServiceError::new("InvalidParameterValue", message)
}

/// Gathers the minutes that a query covers into its periods.
fn points(world: &World, region: &str, query: &Query) -> Result<Vec<Point>, ServiceError> {
    if query.start >= query.end {
        return Err(invalid("The parameter StartTime must be less than the parameter EndTime."));
    }
    if query.period < 60 || query.period % 60 != 0 {
        return Err(invalid("The parameter Period must be a multiple of 60."));
    }
    let period = query.period.saturating_mul(1000);
    if (query.end - query.start) / period > POINTS_MAX {
        let message = format!(
            "You have requested more than {POINTS_MAX} datapoints. You may reduce the datapoints requested by increasing Period, or decreasing the time range."
        );
        return Err(ServiceError::new("InvalidParameterCombination", message));
    }
    let mut points: BTreeMap<Ms, Point> = BTreeMap::new();
    let first = query.start - query.start.rem_euclid(60_000);
    for (minute, sample) in samples(world, region, query) {
        let at = minute * 60_000;
        if at < first || at >= query.end {
            continue;
        }
        let start = first + (at - first).div_euclid(period) * period;
        points.entry(start).or_insert_with(|| Point { at: start, samples: Vec::new() }).samples.push(sample);
    }
    Ok(points.into_values().collect())
}

/// The metric by minute; a metric or resource that does not exist has no samples.
fn samples(world: &World, region: &str, query: &Query) -> Vec<(i64, f64)> {
    let dimension = |name: &str| query.dimensions.get(name).map(String::as_str).unwrap_or_default();
    match (query.namespace.as_str(), query.metric.as_str()) {
        ("AWS/RDS", "ReplicaLag") => {
            let id = dimension("DBInstanceIdentifier");
            let source = world.region(region).and_then(|r| r.databases.get(id)).and_then(|d| d.source.as_ref());
            let held = world.conditions.lag(id).map(|ms| ms as f64 / 1000.0);
            let minutes = source.into_iter().flat_map(|s| &s.lag_by_minute);
            minutes.map(|(minute, lag)| (*minute, held.unwrap_or(*lag))).collect()
        }
        ("AWS/Route53", "HealthCheckStatus") if region == "us-east-1" => {
            let Some(check) = world.dns.health_checks.get(dimension("HealthCheckId")) else {
                return Vec::new();
            };
            let begin = check.history.first().map_or(0, |h| h.0);
            let (first, last) = (query.start.div_euclid(60_000).max(begin), query.end.min(world.now).div_euclid(60_000));
            let at = |minute: i64| check.history.iter().rev().find(|h| h.0 <= minute).map(|h| h.1);
            (first..=last).filter_map(|m| at(m).map(|healthy| (m, f64::from(u8::from(healthy))))).collect()
        }
        _ => Vec::new(),
    }
}
