//! CloudWatch requests, of either protocol, as [`Query`]s.

use std::collections::BTreeMap;

use ciborium::Value as Cbor;

use super::cloudwatch::{Query, invalid};
use super::{Params, ServiceError};
use crate::world::Ms;
use crate::world::monitoring::{Metric, STATISTICS};

/// Deeper structures are none of CloudWatch's.
const STRUCTURE_DEPTH_MAX: usize = 8;

/// The fields of a request in either protocol.
pub(super) enum Fields<'a> {
    Query(&'a Params),
    Cbor(&'a Cbor),
}

pub(super) fn missing(name: &str) -> ServiceError {
    ServiceError::new("MissingParameter", format!("The parameter {name} is required."))
}

pub(super) fn field<'a>(value: &'a Cbor, name: &str) -> Option<&'a Cbor> {
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

pub(super) fn integer(value: &Cbor) -> Option<i64> {
    value.as_integer().and_then(|i| i64::try_from(i).ok())
}

pub(super) fn text(value: &Cbor, name: &str) -> String {
    field(value, name).and_then(Cbor::as_text).unwrap_or_default().to_owned()
}

pub(super) fn array<'a>(value: &'a Cbor, name: &str) -> &'a [Cbor] {
    field(value, name).and_then(Cbor::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn cbor_dimensions(value: &Cbor) -> BTreeMap<String, String> {
    array(value, "Dimensions").iter().map(|d| (text(d, "Name"), text(d, "Value"))).collect()
}

/// Reads what a structure names with `Namespace`, `MetricName` and `Dimensions`.
pub(super) fn cbor_metric(value: &Cbor) -> Metric {
    Metric { namespace: text(value, "Namespace"), name: text(value, "MetricName"), dimensions: cbor_dimensions(value) }
}

/// Reads a number, which the query protocol writes as a text.
pub(super) fn number(value: &Cbor) -> Option<f64> {
    let of_text = || value.as_text().and_then(|text| text.parse().ok());
    value.as_float().or_else(|| integer(value).map(|i| i as f64)).or_else(of_text).filter(|n: &f64| n.is_finite())
}

/// Reads an instant, which the query protocol writes as a text.
pub(super) fn instant(value: &Cbor) -> Option<Ms> {
    let of_text = || value.as_text().and_then(|text| text.parse::<jiff::Timestamp>().ok()).map(|at| at.as_millisecond());
    cbor_ms(value).or_else(of_text)
}

/// Brings parameters of the query protocol to the structure that the same request has in CBOR; all that is no structure stays text.
pub(super) fn structure(params: &Params) -> Cbor {
    let mut root = Cbor::Map(Vec::new());
    for (name, value) in params.iter() {
        let names: Vec<&str> = name.split('.').filter(|part| *part != "member").collect();
        if names.len() <= STRUCTURE_DEPTH_MAX {
            set(&mut root, &names, value);
        }
    }
    lists(root)
}

fn set(at: &mut Cbor, names: &[&str], value: &str) {
    let (Cbor::Map(fields), Some((first, rest))) = (at, names.split_first()) else { return };
    let found = fields.iter().position(|(name, _)| name.as_text() == Some(first));
    let ix = found.unwrap_or_else(|| {
        fields.push((Cbor::from(*first), Cbor::Map(Vec::new())));
        fields.len() - 1
    });
    if rest.is_empty() { fields[ix].1 = Cbor::from(value) } else { set(&mut fields[ix].1, rest, value) }
}

/// Makes lists of what is numbered.
fn lists(value: Cbor) -> Cbor {
    let Cbor::Map(fields) = value else { return value };
    let number = |name: &Cbor| name.as_text().and_then(|name| name.parse::<u32>().ok());
    if !fields.is_empty() && fields.iter().all(|(name, _)| number(name).is_some()) {
        let mut items: Vec<(u32, Cbor)> = fields.into_iter().map(|(name, item)| (number(&name).unwrap_or_default(), lists(item))).collect();
        items.sort_by_key(|(nth, _)| *nth);
        return Cbor::Array(items.into_iter().map(|(_, item)| item).collect());
    }
    Cbor::Map(fields.into_iter().map(|(name, item)| (name, lists(item))).collect())
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
            metric: cbor_metric(value),
            period: field(value, "Period").and_then(integer).ok_or_else(|| missing("Period"))?,
            statistics: array(value, "Statistics").iter().filter_map(Cbor::as_text).map(str::to_owned).collect(),
            ..Query::default()
        },
        Fields::Query(params) => Query {
            metric: Metric {
                namespace: params.get("Namespace").unwrap_or_default().to_owned(),
                name: params.get("MetricName").unwrap_or_default().to_owned(),
                dimensions: params.pairs("Dimensions.member", "Name", "Value").into_iter().collect(),
            },
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
                    metric: cbor_metric(metric),
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
            metric: Metric {
                namespace: get("MetricStat.Metric.Namespace"),
                name: get("MetricStat.Metric.MetricName"),
                dimensions: params.pairs(&format!("{prefix}.MetricStat.Metric.Dimensions.member"), "Name", "Value").into_iter().collect(),
            },
            period: params.number(&format!("{prefix}.MetricStat.Period"), "InvalidParameterValue")?.unwrap_or(0),
            statistics: vec![get("MetricStat.Stat")],
            ..Query::default()
        });
    }
    Ok(queries)
}
