//! CloudWatch requests, of either protocol, as [`Query`]s.

use std::collections::BTreeMap;

use ciborium::Value as Cbor;

use super::cloudwatch::{Query, STATISTICS, invalid};
use super::{Params, ServiceError};
use crate::world::Ms;

/// The fields of a request in either protocol.
pub(super) enum Fields<'a> {
    Query(&'a Params),
    Cbor(&'a Cbor),
}

fn missing(name: &str) -> ServiceError {
    ServiceError::new("MissingParameter", format!("The parameter {name} is required."))
}

fn field<'a>(value: &'a Cbor, name: &str) -> Option<&'a Cbor> {
    value.as_map()?.iter().find(|(k, _)| k.as_text() == Some(name)).map(|(_, v)| v)
}

fn cbor_ms(value: &Cbor) -> Option<Ms> {
    let inner = match value {
        Cbor::Tag(1, inner) => inner.as_ref(),
        other => other,
    };
    let seconds = inner.as_float().or_else(|| inner.as_integer().and_then(|i| i64::try_from(i).ok()).map(|i| i as f64))?;
    // No calendar goes further, and so no sum of two instants can overflow.
    Some((seconds.clamp(-3e11, 3e11) * 1000.0) as Ms)
}

fn integer(value: &Cbor) -> Option<i64> {
    value.as_integer().and_then(|i| i64::try_from(i).ok())
}

fn text(value: &Cbor, name: &str) -> String {
    field(value, name).and_then(Cbor::as_text).unwrap_or_default().to_owned()
}

fn array<'a>(value: &'a Cbor, name: &str) -> &'a [Cbor] {
    field(value, name).and_then(Cbor::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn cbor_dimensions(value: &Cbor) -> BTreeMap<String, String> {
    array(value, "Dimensions").iter().map(|d| (text(d, "Name"), text(d, "Value"))).collect()
}

impl Fields<'_> {
    /// Reads an instant.
    fn instant(&self, name: &str) -> Result<Ms, ServiceError> {
        match self {
            Fields::Cbor(value) => field(value, name).and_then(cbor_ms).ok_or_else(|| missing(name)),
            Fields::Query(params) => {
                let text = params.get(name).ok_or_else(|| missing(name))?;
                let at = text.parse::<jiff::Timestamp>().map_err(|_| invalid(format!("{name} is not a timestamp: {text}")))?;
                Ok(at.as_millisecond())
            }
        }
    }
}

/// Reads what `GetMetricStatistics` asks for.
pub(super) fn statistics_query(fields: &Fields<'_>) -> Result<Query, ServiceError> {
    let mut query = match fields {
        Fields::Cbor(value) => Query {
            namespace: text(value, "Namespace"),
            metric: text(value, "MetricName"),
            dimensions: cbor_dimensions(value),
            period: field(value, "Period").and_then(integer).ok_or_else(|| missing("Period"))?,
            statistics: array(value, "Statistics").iter().filter_map(Cbor::as_text).map(str::to_owned).collect(),
            ..Query::default()
        },
        Fields::Query(params) => Query {
            namespace: params.get("Namespace").unwrap_or_default().to_owned(),
            metric: params.get("MetricName").unwrap_or_default().to_owned(),
            dimensions: params.pairs("Dimensions.member", "Name", "Value").into_iter().collect(),
            period: params.number("Period", "InvalidParameterValue")?.ok_or_else(|| missing("Period"))?,
            statistics: params.list("Statistics.member").into_iter().map(str::to_owned).collect(),
            ..Query::default()
        },
    };
    query.start = fields.instant("StartTime")?;
    query.end = fields.instant("EndTime")?;
    if let Some(unknown) = query.statistics.iter().find(|s| !STATISTICS.contains(&s.as_str())) {
        return Err(invalid(format!("The value {unknown} for parameter Statistics is not supported.")));
    }
    if query.statistics.is_empty() {
        return Err(missing("Statistics"));
    }
    Ok(query)
}

/// Reads what `GetMetricData` asks for.
pub(super) fn data_queries(fields: &Fields<'_>) -> Result<Vec<Query>, ServiceError> {
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
        if query.statistics.iter().any(|s| !STATISTICS.contains(&s.as_str())) {
            return Err(invalid(format!("The query '{}' has no MetricStat with a supported Stat.", query.id)));
        }
    }
    Ok(queries)
}

fn data_queries_of_params(params: &Params) -> Result<Vec<Query>, ServiceError> {
    let mut queries = Vec::new();
    for n in 1..=500 {
        let prefix = format!("MetricDataQueries.member.{n}");
        let get = |name: &str| params.get(&format!("{prefix}.{name}")).unwrap_or_default().to_owned();
        if get("Id").is_empty() {
            break;
        }
        queries.push(Query {
            id: get("Id"),
            namespace: get("MetricStat.Metric.Namespace"),
            metric: get("MetricStat.Metric.MetricName"),
            dimensions: params.pairs(&format!("{prefix}.MetricStat.Metric.Dimensions.member"), "Name", "Value").into_iter().collect(),
            period: params.number(&format!("{prefix}.MetricStat.Period"), "InvalidParameterValue")?.unwrap_or(0),
            statistics: vec![get("MetricStat.Stat")],
            ..Query::default()
        });
    }
    Ok(queries)
}
