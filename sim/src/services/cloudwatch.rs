//! CloudWatch, as rpc-v2-cbor and as query protocol of 2010-08-01: replica lag and health check status.
//!
//! Both protocols are read into one [`Query`], and both answers are written from the same [`Point`]s.

use std::collections::BTreeMap;

use ciborium::Value as Cbor;

use super::{Answer, Body, Call, Document, Params, Protocol, ServiceError};
use crate::world::{Ms, World, timestamp};
use crate::xml::Element;

/// Data points that one request may ask for.
const POINTS_MAX: i64 = 1440;
const STATISTICS: [&str; 5] = ["Average", "Maximum", "Minimum", "Sum", "SampleCount"];

/// What is asked for: one metric over a time.
#[derive(Debug, Default)]
struct Query {
    id: String,
    namespace: String,
    metric: String,
    dimensions: BTreeMap<String, String>,
    start: Ms,
    end: Ms,
    /// Seconds.
    period: i64,
    statistics: Vec<String>,
}

/// The samples of one period.
#[derive(Debug, Default, Clone)]
struct Point {
    at: Ms,
    samples: Vec<f64>,
}

impl Point {
    fn statistic(&self, name: &str) -> f64 {
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
            if protocol == Protocol::Cbor {
                statistics_cbor(&query, &points)
            } else {
                statistics_xml(&query, &points)
            }
        }
        (_, protocol) => {
            let results: Vec<(Query, Vec<Point>)> = data_queries(&fields)?
                .into_iter()
                .map(|q| points(world, &call.region, &q).map(|p| (q, p)))
                .collect::<Result<_, _>>()?;
            if protocol == Protocol::Cbor {
                data_cbor(results)
            } else {
                data_xml(results)
            }
        }
    };
    Ok(Answer {
        body,
        effective: false,
    })
}

/// The fields of a request in either protocol.
enum Fields<'a> {
    Query(&'a Params),
    Cbor(&'a Cbor),
}

fn invalid(message: impl Into<String>) -> ServiceError {
    ServiceError::new("InvalidParameterValue", message)
}

fn missing(name: &str) -> ServiceError {
    ServiceError::new(
        "MissingRequiredParameterException",
        format!("The parameter {name} is required."),
    )
}

fn field<'a>(value: &'a Cbor, name: &str) -> Option<&'a Cbor> {
    value
        .as_map()?
        .iter()
        .find(|(k, _)| k.as_text() == Some(name))
        .map(|(_, v)| v)
}

fn cbor_ms(value: &Cbor) -> Option<Ms> {
    let inner = match value {
        Cbor::Tag(1, inner) => inner.as_ref(),
        other => other,
    };
    let seconds = inner.as_float().or_else(|| {
        inner
            .as_integer()
            .and_then(|i| i64::try_from(i).ok())
            .map(|i| i as f64)
    })?;
    Some((seconds * 1000.0) as Ms)
}

fn integer(value: &Cbor) -> Option<i64> {
    value.as_integer().and_then(|i| i64::try_from(i).ok())
}

fn text(value: &Cbor, name: &str) -> String {
    field(value, name)
        .and_then(Cbor::as_text)
        .unwrap_or_default()
        .to_owned()
}

fn array<'a>(value: &'a Cbor, name: &str) -> &'a [Cbor] {
    field(value, name)
        .and_then(Cbor::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

fn cbor_dimensions(value: &Cbor) -> BTreeMap<String, String> {
    array(value, "Dimensions")
        .iter()
        .map(|d| (text(d, "Name"), text(d, "Value")))
        .collect()
}

impl Fields<'_> {
    /// Reads an instant.
    fn instant(&self, name: &str) -> Result<Ms, ServiceError> {
        match self {
            Fields::Cbor(value) => field(value, name)
                .and_then(cbor_ms)
                .ok_or_else(|| missing(name)),
            Fields::Query(params) => {
                let text = params.get(name).ok_or_else(|| missing(name))?;
                let at = text
                    .parse::<jiff::Timestamp>()
                    .map_err(|_| invalid(format!("{name} is not a timestamp: {text}")))?;
                Ok(at.as_millisecond())
            }
        }
    }
}

fn statistics_query(fields: &Fields<'_>) -> Result<Query, ServiceError> {
    let mut query = match fields {
        Fields::Cbor(value) => Query {
            namespace: text(value, "Namespace"),
            metric: text(value, "MetricName"),
            dimensions: cbor_dimensions(value),
            period: field(value, "Period")
                .and_then(integer)
                .ok_or_else(|| missing("Period"))?,
            statistics: array(value, "Statistics")
                .iter()
                .filter_map(Cbor::as_text)
                .map(str::to_owned)
                .collect(),
            ..Query::default()
        },
        Fields::Query(params) => Query {
            namespace: params.get("Namespace").unwrap_or_default().to_owned(),
            metric: params.get("MetricName").unwrap_or_default().to_owned(),
            dimensions: params
                .pairs("Dimensions.member", "Name", "Value")
                .into_iter()
                .collect(),
            period: params
                .number("Period", "InvalidParameterValue")?
                .ok_or_else(|| missing("Period"))?,
            statistics: params
                .list("Statistics.member")
                .into_iter()
                .map(str::to_owned)
                .collect(),
            ..Query::default()
        },
    };
    query.start = fields.instant("StartTime")?;
    query.end = fields.instant("EndTime")?;
    if let Some(unknown) = query
        .statistics
        .iter()
        .find(|s| !STATISTICS.contains(&s.as_str()))
    {
        return Err(invalid(format!(
            "The value {unknown} for parameter Statistics is not supported."
        )));
    }
    if query.statistics.is_empty() {
        return Err(missing("Statistics"));
    }
    Ok(query)
}

fn data_queries(fields: &Fields<'_>) -> Result<Vec<Query>, ServiceError> {
    let (start, end) = (fields.instant("StartTime")?, fields.instant("EndTime")?);
    let mut queries: Vec<Query> = match fields {
        Fields::Cbor(value) => array(value, "MetricDataQueries")
            .iter()
            .map(|q| {
                let empty = Cbor::Map(Vec::new());
                let stat = field(q, "MetricStat").unwrap_or(&empty);
                let metric = field(stat, "Metric").unwrap_or(&empty);
                Query {
                    id: text(q, "Id"),
                    namespace: text(metric, "Namespace"),
                    metric: text(metric, "MetricName"),
                    dimensions: cbor_dimensions(metric),
                    period: field(stat, "Period").and_then(integer).unwrap_or(0),
                    statistics: vec![text(stat, "Stat")],
                    ..Query::default()
                }
            })
            .collect(),
        Fields::Query(params) => data_queries_of_params(params)?,
    };
    for query in &mut queries {
        (query.start, query.end) = (start, end);
        if query
            .statistics
            .iter()
            .any(|s| !STATISTICS.contains(&s.as_str()))
        {
            return Err(invalid(format!(
                "The query '{}' has no MetricStat with a supported Stat.",
                query.id
            )));
        }
    }
    Ok(queries)
}

fn data_queries_of_params(params: &Params) -> Result<Vec<Query>, ServiceError> {
    let mut queries = Vec::new();
    for n in 1..=500 {
        let prefix = format!("MetricDataQueries.member.{n}");
        let get = |name: &str| {
            params
                .get(&format!("{prefix}.{name}"))
                .unwrap_or_default()
                .to_owned()
        };
        if get("Id").is_empty() {
            break;
        }
        queries.push(Query {
            id: get("Id"),
            namespace: get("MetricStat.Metric.Namespace"),
            metric: get("MetricStat.Metric.MetricName"),
            dimensions: params
                .pairs(
                    &format!("{prefix}.MetricStat.Metric.Dimensions.member"),
                    "Name",
                    "Value",
                )
                .into_iter()
                .collect(),
            period: params
                .number(
                    &format!("{prefix}.MetricStat.Period"),
                    "InvalidParameterValue",
                )?
                .unwrap_or(0),
            statistics: vec![get("MetricStat.Stat")],
            ..Query::default()
        });
    }
    Ok(queries)
}

/// Gathers the minutes that a query covers into its periods.
fn points(world: &World, region: &str, query: &Query) -> Result<Vec<Point>, ServiceError> {
    if query.start >= query.end {
        return Err(invalid(
            "The parameter StartTime must be less than the parameter EndTime.",
        ));
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
        points
            .entry(start)
            .or_insert_with(|| Point {
                at: start,
                samples: Vec::new(),
            })
            .samples
            .push(sample);
    }
    Ok(points.into_values().collect())
}

/// The metric by minute; a metric or resource that does not exist has no samples.
fn samples(world: &World, region: &str, query: &Query) -> Vec<(i64, f64)> {
    let dimension = |name: &str| {
        query
            .dimensions
            .get(name)
            .map(String::as_str)
            .unwrap_or_default()
    };
    match (query.namespace.as_str(), query.metric.as_str()) {
        ("AWS/RDS", "ReplicaLag") => {
            let id = dimension("DBInstanceIdentifier");
            let source = world
                .region(region)
                .and_then(|r| r.databases.get(id))
                .and_then(|d| d.source.as_ref());
            let held = world.conditions.lag(id).map(|ms| ms as f64 / 1000.0);
            let minutes = source.into_iter().flat_map(|s| &s.lag_by_minute);
            minutes
                .map(|(minute, lag)| (*minute, held.unwrap_or(*lag)))
                .collect()
        }
        ("AWS/Route53", "HealthCheckStatus") if region == "us-east-1" => {
            let Some(check) = world.dns.health_checks.get(dimension("HealthCheckId")) else {
                return Vec::new();
            };
            let (first, last) = (
                query.start.div_euclid(60_000),
                query.end.min(world.now).div_euclid(60_000),
            );
            let at = |minute: i64| {
                check
                    .history
                    .iter()
                    .rev()
                    .find(|h| h.0 <= minute)
                    .map(|h| h.1)
            };
            let minutes = (first..=last)
                .filter_map(|m| at(m).map(|healthy| (m, f64::from(u8::from(healthy)))));
            minutes.take(POINTS_MAX as usize * 60).collect()
        }
        _ => Vec::new(),
    }
}

fn unit(query: &Query) -> &'static str {
    if query.metric == "ReplicaLag" {
        "Seconds"
    } else {
        "None"
    }
}

fn statistics_xml(query: &Query, points: &[Point]) -> Body {
    let members = points.iter().map(|point| {
        let member = Element::new("member").with("Timestamp", timestamp(point.at));
        let member = query
            .statistics
            .iter()
            .fold(member, |m, s| m.with(s, point.statistic(s)));
        member.with("Unit", unit(query))
    });
    Body::Xml(
        Element::new("GetMetricStatisticsResult")
            .with_list("Datapoints", members)
            .with("Label", &query.metric),
    )
}

fn map(fields: impl IntoIterator<Item = (&'static str, Cbor)>) -> Cbor {
    Cbor::Map(
        fields
            .into_iter()
            .map(|(k, v)| (Cbor::from(k), v))
            .collect(),
    )
}

fn cbor_timestamp(at: Ms) -> Cbor {
    Cbor::Tag(1, Box::new(Cbor::Float(at as f64 / 1000.0)))
}

fn statistics_cbor(query: &Query, points: &[Point]) -> Body {
    let point = |point: &Point| {
        let mut fields = vec![
            ("Timestamp", cbor_timestamp(point.at)),
            ("Unit", Cbor::from(unit(query))),
        ];
        let wanted = STATISTICS
            .into_iter()
            .filter(|s| query.statistics.iter().any(|q| q == s));
        fields.extend(wanted.map(|s| (s, Cbor::Float(point.statistic(s)))));
        map(fields)
    };
    let points = Cbor::Array(points.iter().map(point).collect());
    Body::Cbor(map([
        ("Label", Cbor::from(query.metric.as_str())),
        ("Datapoints", points),
    ]))
}

/// Newest first, as `GetMetricData` answers unless told otherwise.
fn newest_first(query: &Query, points: &[Point]) -> Vec<(Ms, f64)> {
    let statistic = query
        .statistics
        .first()
        .map(String::as_str)
        .unwrap_or_default();
    points
        .iter()
        .rev()
        .map(|p| (p.at, p.statistic(statistic)))
        .collect()
}

fn data_xml(results: Vec<(Query, Vec<Point>)>) -> Body {
    let member = |text: String| Element {
        name: "member".to_owned(),
        text,
        children: Vec::new(),
    };
    let members = results.iter().map(|(query, points)| {
        let values = newest_first(query, points);
        Element::new("member")
            .with("Id", &query.id)
            .with("Label", &query.metric)
            .with_list(
                "Timestamps",
                values
                    .iter()
                    .map(|(at, _)| member(timestamp(*at).to_string())),
            )
            .with_list(
                "Values",
                values.iter().map(|(_, value)| member(value.to_string())),
            )
            .with("StatusCode", "Complete")
    });
    Body::Xml(Element::new("GetMetricDataResult").with_list("MetricDataResults", members))
}

fn data_cbor(results: Vec<(Query, Vec<Point>)>) -> Body {
    let result = |(query, points): &(Query, Vec<Point>)| {
        let values = newest_first(query, points);
        map([
            ("Id", Cbor::from(query.id.as_str())),
            ("Label", Cbor::from(query.metric.as_str())),
            (
                "Timestamps",
                Cbor::Array(values.iter().map(|(at, _)| cbor_timestamp(*at)).collect()),
            ),
            (
                "Values",
                Cbor::Array(
                    values
                        .iter()
                        .map(|(_, value)| Cbor::Float(*value))
                        .collect(),
                ),
            ),
            ("StatusCode", Cbor::from("Complete")),
        ])
    };
    Body::Cbor(map([(
        "MetricDataResults",
        Cbor::Array(results.iter().map(result).collect()),
    )]))
}
