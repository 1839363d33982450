//! What CloudWatch keeps for its clients: samples of their own metrics, alarms and dashboards. One code for all protocols, by CBOR's way.
//! What is simpler than the real one stands in `sim/src/differences.md`.

use ciborium::Value as Cbor;

use super::cloudwatch::invalid;
use super::cloudwatch_read::{array, cbor_metric, field, instant, missing, number, structure, text};
use super::cloudwatch_write::{as_xml, cbor_timestamp, map};
use super::{Answer, Body, Call, Document, Protocol, ServiceError};
use crate::world::World;
use crate::world::monitoring::{Alarm, AlarmState, COMPARISONS, Dashboard, MINUTE, MISSING, Metric, STATISTICS, Sample};
use crate::xml::Element;

/// How old a sample may be, and how far in the future.
const OLD_MAX: i64 = 14 * 24 * 60 * MINUTE;
const FUTURE_MAX: i64 = 2 * 60 * MINUTE;
/// Metrics in one request, dimensions of one, and different values of one.
const METRICS_MAX: usize = 1000;
const DIMENSIONS_MAX: usize = 30;
const VALUES_MAX: usize = 150;
/// Alarms of a region, and dashboards.
const KEPT_MAX: usize = 1000;
/// A whole evaluation lasts a day at most.
const EVALUATION_SECS_MAX: f64 = 86_400.0;

/// Answers a call about what is kept.
pub(super) fn answer(world: &mut World, call: &Call) -> Result<Answer, ServiceError> {
    let of_query;
    let input = match &call.document {
        Document::Cbor(value) => value,
        _ => {
            of_query = structure(&call.params);
            &of_query
        }
    };
    let region = call.region.as_str();
    let output = match call.action.name {
        "PutMetricData" => put_data(world, region, input)?,
        "PutDashboard" => put_dashboard(world, region, input)?,
        "GetDashboard" => get_dashboard(world, region, input)?,
        "PutMetricAlarm" => put_alarm(world, region, input)?,
        "DeleteAlarms" => delete_alarms(world, region, input)?,
        _ => describe_alarms(world, region, input)?,
    };
    let body = match call.protocol {
        Protocol::Query if output.as_map().is_some_and(Vec::is_empty) => Body::Xml(Element::new("")),
        Protocol::Query => Body::Xml(as_xml(&format!("{}Result", call.action.name), &output)),
        _ => Body::Cbor(output),
    };
    Ok(Answer { body, effective: call.action.mutates })
}

/// Names what a call is about, for the log.
pub(super) fn resource(call: &Call) -> String {
    const NAMES: [&str; 3] = ["AlarmName", "DashboardName", "Namespace"];
    let name = match &call.document {
        Document::Cbor(value) => NAMES.into_iter().map(|name| text(value, name)).find(|name| !name.is_empty()),
        _ => NAMES.into_iter().find_map(|name| call.params.get(name)).map(str::to_owned),
    };
    name.unwrap_or_default()
}

fn nothing() -> Cbor {
    Cbor::Map(Vec::new())
}

fn not_found(message: String) -> ServiceError {
    ServiceError::new("ResourceNotFound", message).status(404)
}

fn put_data(world: &mut World, region: &str, input: &Cbor) -> Result<Cbor, ServiceError> {
    let namespace = text(input, "Namespace");
    if namespace.is_empty() {
        return Err(missing("Namespace"));
    }
    if namespace.starts_with("AWS/") {
        return Err(invalid("The value AWS/ for parameter Namespace is invalid."));
    }
    let data = array(input, "MetricData");
    if data.len() > METRICS_MAX {
        return Err(invalid(format!("The collection MetricData must not have a size greater than {METRICS_MAX}.")));
    }
    let read: Vec<(Metric, String, Vec<Sample>)> = data.iter().map(|datum| samples(world, &namespace, datum)).collect::<Result<_, _>>()?;
    for (metric, unit, samples) in read {
        world.put_samples(region, &metric, &unit, samples);
    }
    Ok(nothing())
}

/// Reads one metric of a request: a value, or values with how often each was met.
fn samples(world: &World, namespace: &str, datum: &Cbor) -> Result<(Metric, String, Vec<Sample>), ServiceError> {
    let metric = Metric { namespace: namespace.to_owned(), ..cbor_metric(datum) };
    if metric.name.is_empty() {
        return Err(missing("MetricData.MetricName"));
    }
    if metric.dimensions.len() > DIMENSIONS_MAX || metric.dimensions.iter().any(|(name, value)| name.is_empty() || value.is_empty()) {
        return Err(invalid("The parameter MetricData.Dimensions is invalid."));
    }
    let at = match field(datum, "Timestamp") {
        None => world.now,
        Some(at) => instant(at).ok_or_else(|| invalid("The parameter MetricData.Timestamp is no timestamp."))?,
    };
    if at < world.now - OLD_MAX || at > world.now + FUTURE_MAX {
        let message = "The parameter MetricData.Timestamp must be within the last two weeks and the next two hours.";
        return Err(invalid(message));
    }
    let minute = at.div_euclid(MINUTE);
    let of = |(value, count): (&Cbor, f64)| number(value).map(|value| Sample { minute, value, count });
    let counts = array(datum, "Counts");
    let values: Option<Vec<Sample>> = match field(datum, "Value") {
        Some(value) => of((value, 1.0)).map(|sample| vec![sample]),
        None => {
            let count = |nth: usize| counts.get(nth).map_or(Some(1.0), number);
            array(datum, "Values").iter().enumerate().map(|(nth, value)| of((value, count(nth)?))).collect()
        }
    };
    let values = values.ok_or_else(|| invalid("The parameter MetricData.Value is no number."))?;
    if values.is_empty() || values.len() > VALUES_MAX {
        return Err(invalid(
            "At least one of the parameters must be specified: Value, Values (at most 150); the simulator takes no StatisticValues.",
        ));
    }
    let unit = text(datum, "Unit");
    Ok((metric, if unit.is_empty() { "None".to_owned() } else { unit }, values))
}

fn put_dashboard(world: &mut World, region: &str, input: &Cbor) -> Result<Cbor, ServiceError> {
    let (name, body) = (named(input, "DashboardName")?, text(input, "DashboardBody"));
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    if name.len() > 255 || !name.chars().all(fits) {
        return Err(ServiceError::new("InvalidParameterInput", "The name of a dashboard has letters, digits, - and _, 255 at most."));
    }
    let document: Option<serde_json::Value> = serde_json::from_str(&body).ok();
    if !document.is_some_and(|document| document.get("widgets").is_some_and(serde_json::Value::is_array)) {
        return Err(ServiceError::new("InvalidParameterInput", "The dashboard body is invalid, there are 1 validation errors."));
    }
    let put = world.now;
    let kept = &mut world.region_mut(region).monitoring.dashboards;
    if kept.len() >= KEPT_MAX && !kept.contains_key(&name) {
        return Err(ServiceError::new("LimitExceeded", "There are as many dashboards as there may be."));
    }
    kept.insert(name, Dashboard { body, put });
    Ok(map([("DashboardValidationMessages", Cbor::Array(Vec::new()))]))
}

fn get_dashboard(world: &World, region: &str, input: &Cbor) -> Result<Cbor, ServiceError> {
    let name = named(input, "DashboardName")?;
    let found = world.region(region).and_then(|r| r.monitoring.dashboards.get(&name));
    let found = found.ok_or_else(|| not_found(format!("Dashboard {name} does not exist")))?;
    let arn = format!("arn:aws:cloudwatch::{}:dashboard/{name}", world.account);
    Ok(map([("DashboardArn", Cbor::from(arn)), ("DashboardBody", Cbor::from(found.body.as_str())), ("DashboardName", Cbor::from(name))]))
}

fn named(input: &Cbor, field: &str) -> Result<String, ServiceError> {
    Some(text(input, field)).filter(|name| !name.is_empty()).ok_or_else(|| missing(field))
}

fn put_alarm(world: &mut World, region: &str, input: &Cbor) -> Result<Cbor, ServiceError> {
    let alarm = alarm(input, world.now)?;
    let kept = &mut world.region_mut(region).monitoring.alarms;
    if kept.len() >= KEPT_MAX && !kept.contains_key(&alarm.name) {
        return Err(ServiceError::new("LimitExceeded", "There are as many alarms as there may be."));
    }
    let state = kept.get(&alarm.name).map(|earlier| earlier.state).unwrap_or_default();
    kept.insert(alarm.name.clone(), Alarm { state, ..alarm });
    Ok(nothing())
}

fn alarm(input: &Cbor, now: i64) -> Result<Alarm, ServiceError> {
    let metric = cbor_metric(input);
    if metric.name.is_empty() || metric.namespace.is_empty() {
        return Err(missing("MetricName"));
    }
    let given =
        |name: &str| field(input, name).map(|value| number(value).ok_or_else(|| invalid(format!("{name} is no number.")))).transpose();
    let required = |name: &str| given(name)?.ok_or_else(|| missing(name));
    let one_of = |name: &str, words: &[&str], default: &str| {
        let word = Some(text(input, name)).filter(|word| !word.is_empty()).unwrap_or_else(|| default.to_owned());
        if words.contains(&word.as_str()) {
            Ok(word)
        } else {
            Err(invalid(format!("The value '{word}' for parameter {name} is not supported.")))
        }
    };
    let (period, periods) = (required("Period")?, required("EvaluationPeriods")?);
    let of = given("DatapointsToAlarm")?.unwrap_or(periods);
    if period < 60.0 || period % 60.0 != 0.0 {
        return Err(invalid("The parameter Period must be a multiple of 60."));
    }
    if periods < 1.0 || of < 1.0 || of > periods || period * periods > EVALUATION_SECS_MAX {
        return Err(invalid("EvaluationPeriods and DatapointsToAlarm are from 1, the second no more than the first, and a day together."));
    }
    let flag = |name: &str| field(input, name).is_none_or(|flag| flag.as_bool() != Some(false) && flag.as_text() != Some("false"));
    let actions = array(input, "AlarmActions").iter().filter_map(Cbor::as_text).map(str::to_owned);
    Ok(Alarm {
        name: named(input, "AlarmName")?,
        description: text(input, "AlarmDescription"),
        metric,
        statistic: one_of("Statistic", &STATISTICS, "")?,
        period: period as i64,
        evaluation_periods: periods as usize,
        datapoints_to_alarm: of as usize,
        threshold: required("Threshold")?,
        comparison: one_of("ComparisonOperator", &COMPARISONS, "")?,
        missing: one_of("TreatMissingData", &MISSING, "missing")?,
        actions: if flag("ActionsEnabled") { actions.collect() } else { Vec::new() },
        put: now,
        state: AlarmState::InsufficientData,
    })
}

fn describe_alarms(world: &mut World, region: &str, input: &Cbor) -> Result<Cbor, ServiceError> {
    let (names, prefix) = (array(input, "AlarmNames"), text(input, "AlarmNamePrefix"));
    if !names.is_empty() && !prefix.is_empty() {
        return Err(ServiceError::new("InvalidParameterCombination", "AlarmNames and AlarmNamePrefix exclude each other."));
    }
    let named = |alarm: &Alarm| names.is_empty() || names.iter().any(|name| name.as_text() == Some(&alarm.name));
    let state = text(input, "StateValue");
    let wanted = |alarm: &Alarm| named(alarm) && alarm.name.starts_with(&prefix) && (state.is_empty() || state == alarm.state.name());
    let found: Vec<Alarm> = world.alarms(region).into_iter().filter(wanted).collect();
    let arn = |alarm: &Alarm| world.arn("cloudwatch", region, &format!("alarm:{}", alarm.name));
    let alarms = found.iter().map(|alarm| shown(alarm, arn(alarm))).collect();
    Ok(map([("MetricAlarms", Cbor::Array(alarms)), ("CompositeAlarms", Cbor::Array(Vec::new()))]))
}

fn shown(alarm: &Alarm, arn: String) -> Cbor {
    let whole = |n: usize| Cbor::from(n as u64);
    let dimension = |(name, value): (&String, &String)| map([("Name", Cbor::from(name.as_str())), ("Value", Cbor::from(value.as_str()))]);
    let Alarm { metric, .. } = alarm;
    map([
        ("AlarmName", Cbor::from(alarm.name.as_str())),
        ("AlarmArn", Cbor::from(arn)),
        ("AlarmDescription", Cbor::from(alarm.description.as_str())),
        ("AlarmConfigurationUpdatedTimestamp", cbor_timestamp(alarm.put)),
        ("ActionsEnabled", Cbor::from(!alarm.actions.is_empty())),
        ("AlarmActions", Cbor::Array(alarm.actions.iter().map(|action| Cbor::from(action.as_str())).collect())),
        ("StateValue", Cbor::from(alarm.state.name())),
        ("StateReason", Cbor::from("Evaluated when it was asked for")),
        ("MetricName", Cbor::from(metric.name.as_str())),
        ("Namespace", Cbor::from(metric.namespace.as_str())),
        ("Statistic", Cbor::from(alarm.statistic.as_str())),
        ("Dimensions", Cbor::Array(metric.dimensions.iter().map(dimension).collect())),
        ("Period", Cbor::from(alarm.period)),
        ("EvaluationPeriods", whole(alarm.evaluation_periods)),
        ("DatapointsToAlarm", whole(alarm.datapoints_to_alarm)),
        ("Threshold", Cbor::Float(alarm.threshold)),
        ("ComparisonOperator", Cbor::from(alarm.comparison.as_str())),
        ("TreatMissingData", Cbor::from(alarm.missing.as_str())),
    ])
}

fn delete_alarms(world: &mut World, region: &str, input: &Cbor) -> Result<Cbor, ServiceError> {
    let names: Vec<&str> = array(input, "AlarmNames").iter().filter_map(Cbor::as_text).collect();
    if names.is_empty() {
        return Err(missing("AlarmNames"));
    }
    let kept = &mut world.region_mut(region).monitoring.alarms;
    if let Some(unknown) = names.iter().find(|name| !kept.contains_key(**name)) {
        return Err(not_found(format!("Alarm {unknown} does not exist")));
    }
    kept.retain(|name, _| !names.contains(&name.as_str()));
    Ok(nothing())
}
