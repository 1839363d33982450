//! CloudWatch answers, in either protocol.

use ciborium::Value as Cbor;

use super::Body;
use super::cloudwatch::{Point, Query};
use crate::world::monitoring::STATISTICS;
use crate::world::{Ms, timestamp};
use crate::xml::Element;

/// Writes `GetMetricStatistics` for the query protocol.
pub(super) fn statistics_xml(query: &Query, points: &[Point]) -> Body {
    let members = points.iter().map(|point| {
        let member = Element::new("member").with("Timestamp", timestamp(point.at));
        let member = query.statistics.iter().fold(member, |m, s| m.with(s, point.statistic(s)));
        member.with("Unit", &query.unit)
    });
    Body::Xml(Element::new("GetMetricStatisticsResult").with_list("Datapoints", members).with("Label", &query.metric.name))
}

pub(super) fn map(fields: impl IntoIterator<Item = (&'static str, Cbor)>) -> Cbor {
    Cbor::Map(fields.into_iter().map(|(k, v)| (Cbor::from(k), v)).collect())
}

pub(super) fn cbor_timestamp(at: Ms) -> Cbor {
    Cbor::Tag(1, Box::new(Cbor::Float(at as f64 / 1000.0)))
}

/// Writes `GetMetricStatistics` as CBOR.
pub(super) fn statistics_cbor(query: &Query, points: &[Point]) -> Body {
    let point = |point: &Point| {
        let mut fields = vec![("Timestamp", cbor_timestamp(point.at)), ("Unit", Cbor::from(query.unit.as_str()))];
        let wanted = STATISTICS.into_iter().filter(|s| query.statistics.iter().any(|q| q == s));
        fields.extend(wanted.map(|s| (s, Cbor::Float(point.statistic(s)))));
        map(fields)
    };
    let points = Cbor::Array(points.iter().map(point).collect());
    Body::Cbor(map([("Label", Cbor::from(query.metric.name.as_str())), ("Datapoints", points)]))
}

/// Newest first, as `GetMetricData` answers unless told otherwise.
fn newest_first(query: &Query, points: &[Point]) -> Vec<(Ms, f64)> {
    let statistic = query.statistics.first().map(String::as_str).unwrap_or_default();
    points.iter().rev().map(|p| (p.at, p.statistic(statistic))).collect()
}

/// Writes `GetMetricData` for the query protocol.
pub(super) fn data_xml(results: Vec<(Query, Vec<Point>)>) -> Body {
    let member = |text: String| Element { name: "member".to_owned(), text, children: Vec::new() };
    let members = results.iter().map(|(query, points)| {
        let values = newest_first(query, points);
        Element::new("member")
            .with("Id", &query.id)
            .with("Label", &query.metric.name)
            .with_list("Timestamps", values.iter().map(|(at, _)| member(timestamp(*at).to_string())))
            .with_list("Values", values.iter().map(|(_, value)| member(value.to_string())))
            .with("StatusCode", "Complete")
    });
    Body::Xml(Element::new("GetMetricDataResult").with_list("MetricDataResults", members))
}

/// Writes `GetMetricData` as CBOR.
pub(super) fn data_cbor(results: Vec<(Query, Vec<Point>)>) -> Body {
    let result = |(query, points): &(Query, Vec<Point>)| {
        let values = newest_first(query, points);
        map([
            ("Id", Cbor::from(query.id.as_str())),
            ("Label", Cbor::from(query.metric.name.as_str())),
            ("Timestamps", Cbor::Array(values.iter().map(|(at, _)| cbor_timestamp(*at)).collect())),
            ("Values", Cbor::Array(values.iter().map(|(_, value)| Cbor::Float(*value)).collect())),
            ("StatusCode", Cbor::from("Complete")),
        ])
    };
    Body::Cbor(map([("MetricDataResults", Cbor::Array(results.iter().map(result).collect()))]))
}

/// Writes a structure as the query protocol does, what it is in CBOR.
pub(super) fn as_xml(name: &str, value: &Cbor) -> Element {
    let mut element = Element::new(name);
    match value {
        Cbor::Map(fields) => element.children = fields.iter().map(|(k, v)| as_xml(k.as_text().unwrap_or_default(), v)).collect(),
        Cbor::Array(items) => element.children = items.iter().map(|item| as_xml("member", item)).collect(),
        Cbor::Tag(1, at) => element.text = timestamp((at.as_float().unwrap_or_default() * 1000.0) as Ms).to_string(),
        Cbor::Text(text) => element.text.clone_from(text),
        Cbor::Float(number) => element.text = number.to_string(),
        Cbor::Integer(number) => element.text = i64::try_from(*number).unwrap_or_default().to_string(),
        Cbor::Bool(flag) => element.text = flag.to_string(),
        _ => {}
    }
    element
}
