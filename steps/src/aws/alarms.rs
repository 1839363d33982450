//! Alarms and dashboards of CloudWatch, as `wf` puts them and asks for them. An alarm lives in the region of its metric.

use aws_sdk_cloudwatch::types::{AlarmType, ComparisonOperator, Dimension, StateValue, Statistic};
use serde::Serialize;
use wf_engine::model::event::StepFailure;

use super::{Cloud, errors};

/// An alarm on one metric.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Alarm {
    /// Its name: putting another one of this name replaces it.
    pub name: String,
    /// What it is about.
    pub description: String,
    /// Its region.
    pub region: String,
    /// The metric's namespace.
    pub namespace: String,
    /// The metric's name.
    pub metric: String,
    /// What the metric is told apart by, as name and value.
    pub dimensions: Vec<(String, String)>,
    /// What is compared.
    pub statistic: AlarmStatistic,
    /// On which side of the threshold it is in alarm.
    pub when: Side,
    /// The threshold.
    pub threshold: f64,
    /// In seconds.
    pub period: u32,
    /// In how many periods in a row.
    pub periods: u32,
    /// What no data means.
    pub missing: Missing,
    /// The ARNs of the topics that are told, when it goes off and when it is over.
    pub topics: Vec<String>,
}

/// What an alarm compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum AlarmStatistic {
    /// The largest value of a period.
    Maximum,
    /// The smallest one.
    Minimum,
}

/// On which side of its threshold an alarm goes off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// Above it.
    Above,
    /// Below it.
    Below,
}

/// What an alarm takes missing data for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Missing {
    /// It says that it does not know.
    Unknown,
    /// For a reason to go off.
    Bad,
}

/// What an alarm says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlarmState {
    /// All is well.
    Ok,
    /// It has gone off.
    Alarm,
    /// It has too little data.
    Unknown,
}

impl Cloud {
    /// Puts an alarm, in place of one of the same name.
    ///
    /// # Errors
    /// When it was not accepted, or nobody answered.
    pub async fn put_alarm(&self, alarm: &Alarm) -> Result<(), StepFailure> {
        let whole = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
        let dimension = |(name, value): &(String, String)| Dimension::builder().name(name).value(value).build();
        let statistic = match alarm.statistic {
            AlarmStatistic::Maximum => Statistic::Maximum,
            AlarmStatistic::Minimum => Statistic::Minimum,
        };
        let side = match alarm.when {
            Side::Above => ComparisonOperator::GreaterThanThreshold,
            Side::Below => ComparisonOperator::LessThanThreshold,
        };
        let missing = match alarm.missing {
            Missing::Unknown => "missing",
            Missing::Bad => "breaching",
        };
        let put = self
            .cloudwatch(&alarm.region)
            .put_metric_alarm()
            .alarm_name(&alarm.name)
            .alarm_description(&alarm.description)
            .namespace(&alarm.namespace)
            .metric_name(&alarm.metric)
            .set_dimensions(Some(alarm.dimensions.iter().map(dimension).collect()))
            .statistic(statistic)
            .comparison_operator(side)
            .threshold(alarm.threshold)
            .period(whole(alarm.period))
            .evaluation_periods(whole(alarm.periods))
            .datapoints_to_alarm(whole(alarm.periods))
            .treat_missing_data(missing)
            .set_alarm_actions(Some(alarm.topics.clone()))
            .set_ok_actions(Some(alarm.topics.clone()));
        let what = format!("put alarm {} in {}", alarm.name, alarm.region);
        put.send().await.map(|_| ()).map_err(errors::changing("cloudwatch:PutMetricAlarm", what))
    }

    /// Asks what an alarm says, one of several others too.
    ///
    /// # Errors
    /// When there is none of the name, or nobody answered.
    pub async fn alarm_state(&self, name: &str, region: &str) -> Result<AlarmState, StepFailure> {
        let asked = self.cloudwatch(region).describe_alarms().alarm_names(name);
        let asked = asked.alarm_types(AlarmType::MetricAlarm).alarm_types(AlarmType::CompositeAlarm);
        let what = format!("ask for alarm {name} in {region}");
        let answer = asked.send().await.map_err(errors::reading("cloudwatch:DescribeAlarms", what))?;
        let of_metric = answer.metric_alarms().first().and_then(|alarm| alarm.state_value());
        let composite = || answer.composite_alarms().first().and_then(|alarm| alarm.state_value());
        match of_metric.or_else(composite) {
            Some(StateValue::Ok) => Ok(AlarmState::Ok),
            Some(StateValue::Alarm) => Ok(AlarmState::Alarm),
            Some(_) => Ok(AlarmState::Unknown),
            None => Err(StepFailure::permanent(format!("there is no alarm {name} in {region}"))
                .hint(format!("`aws cloudwatch describe-alarms --region {region}` lists those that are there"))),
        }
    }

    /// Puts a dashboard, in place of one of the same name.
    ///
    /// # Errors
    /// When it was not accepted, or nobody answered.
    pub async fn put_dashboard(&self, region: &str, name: &str, body: &str) -> Result<(), StepFailure> {
        let put = self.cloudwatch(region).put_dashboard().dashboard_name(name).dashboard_body(body);
        let answer = put.send().await.map_err(errors::changing("cloudwatch:PutDashboard", format!("put dashboard {name} in {region}")))?;
        for message in answer.dashboard_validation_messages() {
            tracing::warn!(path = message.data_path(), message = message.message(), "of the dashboard");
        }
        Ok(())
    }
}
