//! CloudWatch, as rpc-v2-cbor, as AWS JSON 1.0 and as query protocol of 2010-08-01: metrics. Alarms, dashboards and what clients put are in
//! [`super::cloudwatch_kept`].
//!
//! All protocols are read into one [`Query`], and all answers are written from the same [`Point`]s; JSON goes by CBOR's way.

use std::collections::BTreeMap;

use super::cloudwatch_read::{Fields, data_queries, statistics_query};
use super::cloudwatch_write::{data_cbor, data_xml, statistics_cbor, statistics_xml};
use super::{Answer, Call, Document, Protocol, ServiceError, cloudwatch_kept};
use crate::world::monitoring::{MINUTE, Metric, Sample, statistic};
use crate::world::{Ms, World};

/// Data points that one request may ask for.
const POINTS_MAX: i64 = 1440;

/// What is asked for: one metric over a time.
#[derive(Debug, Default)]
pub(super) struct Query {
    pub(super) id: String,
    pub(super) metric: Metric,
    /// What its samples are counted in, once they are found.
    pub(super) unit: String,
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
    pub(super) samples: Vec<Sample>,
}

impl Point {
    /// Returns one statistic of the samples.
    pub(super) fn statistic(&self, name: &str) -> f64 {
        statistic(&self.samples, name)
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
            let mut query = statistics_query(&fields)?;
            let points = points(world, &call.region, &mut query)?;
            if protocol == Protocol::Query { statistics_xml(&query, &points) } else { statistics_cbor(&query, &points) }
        }
        ("GetMetricData", protocol) => {
            let found = |mut query: Query| points(world, &call.region, &mut query).map(|points| (query, points));
            let results: Vec<(Query, Vec<Point>)> = data_queries(&fields)?.into_iter().map(found).collect::<Result<_, _>>()?;
            if protocol == Protocol::Query { data_xml(results) } else { data_cbor(results) }
        }
        _ => return cloudwatch_kept::answer(world, call),
    };
    Ok(Answer { body, effective: false })
}

pub(super) fn invalid(message: impl Into<String>) -> ServiceError {
    ServiceError::new("InvalidParameterValue", message)
}

/// Gathers the minutes that a query covers into its periods.
fn points(world: &World, region: &str, query: &mut Query) -> Result<Vec<Point>, ServiceError> {
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
    let first = query.start - query.start.rem_euclid(MINUTE);
    let (samples, unit) = world.samples(region, &query.metric, query.start, query.end);
    query.unit = unit;
    for sample in samples {
        let at = sample.minute * MINUTE;
        if at < first || at >= query.end {
            continue;
        }
        let start = first + (at - first).div_euclid(period) * period;
        points.entry(start).or_insert_with(|| Point { at: start, samples: Vec::new() }).samples.push(sample);
    }
    Ok(points.into_values().collect())
}
