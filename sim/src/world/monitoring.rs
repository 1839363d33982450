//! CloudWatch: what the world tells of itself by the minute, what clients have put there, alarms and dashboards.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::{Ms, Region, World, unit};

/// A minute, in which CloudWatch gathers samples.
pub(crate) const MINUTE: Ms = 60_000;
/// Metrics of clients that a region keeps, and samples of one of them; the oldest give way.
const SERIES_MAX: usize = 500;
const SAMPLES_MAX: usize = 2000;
/// Changes of a metric of the world that are kept.
const CHANGES_MAX: usize = 1000;
/// Writes a second of a database in normal times.
const WRITES: (f64, f64) = (40.0, 60.0);
/// How busy the processors of one that takes writes are, and those of a replica, in percent.
const BUSY: (f64, f64) = (25.0, 45.0);
const BUSY_REPLICA: (f64, f64) = (8.0, 20.0);
/// How much more is written under load than in normal times, and how busy a replica is with it.
const LOAD: f64 = 12.0;
const BUSY_BEHIND: (f64, f64) = (94.0, 99.0);
/// Of a database whose servers are dead.
const IDLE: f64 = 1.0;

/// What a region's CloudWatch keeps.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Monitoring {
    /// What clients have put, by [`Metric::key`].
    series: BTreeMap<String, Series>,
    /// Counts of the world by [`Metric::key`]: since that minute it is so, `None` when nobody could tell.
    counts: BTreeMap<String, Vec<(i64, Option<u32>)>>,
    pub(crate) dashboards: BTreeMap<String, Dashboard>,
    pub(crate) alarms: BTreeMap<String, Alarm>,
}

/// Names a metric.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Metric {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) dimensions: BTreeMap<String, String>,
}

impl Metric {
    fn new(namespace: &str, name: &str, dimensions: &[(&str, &str)]) -> Metric {
        let dimensions = dimensions.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Metric { namespace: namespace.to_owned(), name: name.to_owned(), dimensions }
    }

    fn key(&self) -> String {
        let dimensions = self.dimensions.iter().map(|(name, value)| format!("\n{name}={value}"));
        format!("{}\n{}{}", self.namespace, self.name, dimensions.collect::<String>())
    }

    fn dimension(&self, name: &str) -> &str {
        self.dimensions.get(name).map(String::as_str).unwrap_or_default()
    }

    /// The unit of a metric of the world.
    fn unit(&self) -> &'static str {
        match (self.namespace.as_str(), self.name.as_str()) {
            ("AWS/RDS", "ReplicaLag") => "Seconds",
            ("AWS/RDS", "WriteIOPS") => "Count/Second",
            ("AWS/RDS", "CPUUtilization") => "Percent",
            ("AWS/ApplicationELB", "HealthyHostCount" | "UnHealthyHostCount") => "Count",
            _ => "None",
        }
    }
}

/// So often this value was told.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) minute: i64,
    pub(crate) value: f64,
    pub(crate) count: f64,
}

impl Sample {
    fn once((minute, value): (i64, f64)) -> Sample {
        Sample { minute, value, count: 1.0 }
    }
}

/// A metric of clients.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Series {
    unit: String,
    samples: VecDeque<Sample>,
    put: Ms,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Dashboard {
    pub(crate) body: String,
    pub(crate) put: Ms,
}

/// An alarm on one statistic of one metric.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Alarm {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) metric: Metric,
    pub(crate) statistic: String,
    /// Seconds.
    pub(crate) period: i64,
    pub(crate) evaluation_periods: usize,
    pub(crate) datapoints_to_alarm: usize,
    pub(crate) threshold: f64,
    pub(crate) comparison: String,
    pub(crate) missing: String,
    pub(crate) actions: Vec<String>,
    pub(crate) put: Ms,
    /// As it was when it was asked for last.
    pub(crate) state: AlarmState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) enum AlarmState {
    Ok,
    Alarm,
    #[default]
    InsufficientData,
}

impl AlarmState {
    /// As the API writes it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            AlarmState::Ok => "OK",
            AlarmState::Alarm => "ALARM",
            AlarmState::InsufficientData => "INSUFFICIENT_DATA",
        }
    }
}

/// The statistics that can be asked for.
pub(crate) const STATISTICS: [&str; 5] = ["Average", "Maximum", "Minimum", "Sum", "SampleCount"];
/// How an alarm can compare.
pub(crate) const COMPARISONS: [&str; 4] =
    ["GreaterThanOrEqualToThreshold", "GreaterThanThreshold", "LessThanThreshold", "LessThanOrEqualToThreshold"];
/// What an alarm can take missing data for.
pub(crate) const MISSING: [&str; 4] = ["missing", "notBreaching", "breaching", "ignore"];
/// How many periods more than it evaluates an alarm looks back for data.
const MORE_PERIODS: usize = 2;

/// Returns one statistic of samples.
pub(crate) fn statistic(samples: &[Sample], name: &str) -> f64 {
    let sum: f64 = samples.iter().map(|s| s.value * s.count).sum();
    let count: f64 = samples.iter().map(|s| s.count).sum();
    match name {
        "Sum" => sum,
        "SampleCount" => count,
        "Maximum" => samples.iter().map(|s| s.value).fold(f64::MIN, f64::max),
        "Minimum" => samples.iter().map(|s| s.value).fold(f64::MAX, f64::min),
        _ => sum / count,
    }
}

impl Alarm {
    fn breaches(&self, value: f64) -> bool {
        match self.comparison.as_str() {
            "GreaterThanOrEqualToThreshold" => value >= self.threshold,
            "GreaterThanThreshold" => value > self.threshold,
            "LessThanThreshold" => value < self.threshold,
            _ => value <= self.threshold,
        }
    }

    /// Decides by the newest complete periods, the oldest first, `None` where there is no data.
    fn judge(&self, periods: &[Option<f64>]) -> AlarmState {
        let known: Vec<bool> = periods.iter().rev().flatten().take(self.evaluation_periods).map(|value| self.breaches(*value)).collect();
        let breaching = known.iter().filter(|breaches| **breaches).count();
        let missing = self.evaluation_periods.saturating_sub(known.len());
        let in_alarm = |breaching: usize, needed: usize| if breaching >= needed { AlarmState::Alarm } else { AlarmState::Ok };
        match self.missing.as_str() {
            "breaching" => in_alarm(breaching + missing, self.datapoints_to_alarm),
            "notBreaching" => in_alarm(breaching, self.datapoints_to_alarm),
            "ignore" if breaching < self.datapoints_to_alarm && known.len() == breaching => self.state,
            "ignore" => in_alarm(breaching, self.datapoints_to_alarm),
            _ if known.is_empty() => AlarmState::InsufficientData,
            _ => in_alarm(breaching, self.datapoints_to_alarm.min(known.len())),
        }
    }
}

impl World {
    /// Returns the samples of a metric between two instants, and its unit. A metric or resource that does not exist has none.
    pub(crate) fn samples(&self, region: &str, metric: &Metric, from: Ms, to: Ms) -> (Vec<Sample>, String) {
        if let Some(series) = self.region(region).and_then(|r| r.monitoring.series.get(&metric.key())) {
            return (series.samples.iter().copied().collect(), series.unit.clone());
        }
        let until = to.min(self.now).div_euclid(MINUTE);
        let samples = match (metric.namespace.as_str(), metric.name.as_str()) {
            ("AWS/RDS", "ReplicaLag") => self.lag_samples(region, metric.dimension("DBInstanceIdentifier")),
            ("AWS/RDS", "WriteIOPS" | "CPUUtilization") => self.load_samples(region, metric, from.div_euclid(MINUTE), until),
            ("AWS/Route53", "HealthCheckStatus") if region == "us-east-1" => {
                let id = metric.dimension("HealthCheckId");
                let told = |minute| self.dns.was_healthy(id, minute).map(|healthy| (minute, f64::from(u8::from(healthy))));
                let begin = from.div_euclid(MINUTE).max(self.started.div_euclid(MINUTE));
                (begin..=until).filter_map(told).map(Sample::once).collect()
            }
            _ => {
                let counts = self.region(region).and_then(|r| r.monitoring.counts.get(&metric.key()));
                counts.map(|changes| between(changes, from.div_euclid(MINUTE), until)).unwrap_or_default()
            }
        };
        (samples, metric.unit().to_owned())
    }

    fn lag_samples(&self, region: &str, id: &str) -> Vec<Sample> {
        let source = self.region(region).and_then(|r| r.databases.get(id)).and_then(|d| d.source.as_ref());
        let held = self.conditions.lag(id).map(|ms| ms as f64 / 1000.0);
        let minutes = source.into_iter().flat_map(|s| &s.lag_by_minute);
        minutes.map(|(minute, lag)| Sample::once((*minute, held.unwrap_or(*lag)))).collect()
    }

    /// What a database has to do: a new value every minute, and next to nothing while its region's servers are dead.
    fn load_samples(&self, region: &str, metric: &Metric, from: i64, until: i64) -> Vec<Sample> {
        let id = metric.dimension("DBInstanceIdentifier");
        let Some(database) = self.region(region).and_then(|r| r.databases.get(id)) else { return Vec::new() };
        let dead = |minute: i64| {
            let (begin, end) = (minute * MINUTE, (minute + 1) * MINUTE);
            let incident = self.incident.as_ref().filter(|incident| incident.region == region);
            incident.is_some_and(|i| i.from < begin && i.until.is_none_or(|healed| end <= healed))
        };
        let (writes, is_replica) = (metric.name == "WriteIOPS", database.source.is_some());
        let behind = database.source.as_ref().is_some_and(|source| self.conditions.is_under_write_load(&source.id));
        let factor = if writes && (behind || self.conditions.is_under_write_load(id)) { LOAD } else { 1.0 };
        let value = |minute: i64| {
            let (least, most) = match (writes, is_replica) {
                (true, _) => WRITES,
                (false, true) if behind => BUSY_BEHIND,
                (false, true) => BUSY_REPLICA,
                (false, false) => BUSY,
            };
            let at = unit(self.seed, &format!("{}/{}", metric.name, database.resource_id), minute.unsigned_abs());
            if dead(minute) { IDLE } else { factor * (least + (most - least) * at) }
        };
        (from.max(database.created.div_euclid(MINUTE))..=until).map(|minute| Sample::once((minute, value(minute)))).collect()
    }

    /// Counts, once a minute, what CloudWatch tells of load balancers and groups.
    pub(super) fn count_for_metrics(&mut self) {
        let minute = self.now.div_euclid(MINUTE);
        let out: Vec<String> = self.regions.keys().filter(|name| self.conditions.region_is_out(name)).cloned().collect();
        for (name, region) in &mut self.regions {
            let counted = counted(region);
            for (metric, count) in counted {
                let count = (!out.contains(name)).then_some(count);
                let changes = region.monitoring.counts.entry(metric.key()).or_default();
                if changes.last().is_none_or(|last| last.1 != count) {
                    changes.push((minute, count));
                }
                let beyond = changes.len().saturating_sub(CHANGES_MAX);
                changes.drain(..beyond);
            }
        }
    }

    /// Takes in samples of a client's metric.
    pub(crate) fn put_samples(&mut self, region: &str, metric: &Metric, unit: &str, samples: impl IntoIterator<Item = Sample>) {
        let now = self.now;
        let all = &mut self.region_mut(region).monitoring.series;
        let key = metric.key();
        if !all.contains_key(&key) && all.len() >= SERIES_MAX {
            let oldest = all.iter().min_by_key(|(_, series)| series.put).map(|(key, _)| key.clone());
            oldest.and_then(|oldest| all.remove(&oldest));
        }
        let series = all.entry(key).or_default();
        (series.unit, series.put) = (unit.to_owned(), now);
        for sample in samples {
            let at = series.samples.partition_point(|known| known.minute <= sample.minute);
            series.samples.insert(at, sample);
        }
        let beyond = series.samples.len().saturating_sub(SAMPLES_MAX);
        series.samples.drain(..beyond);
    }

    /// Evaluates the alarms of a region, and returns them.
    pub(crate) fn alarms(&mut self, region: &str) -> Vec<Alarm> {
        let Some(here) = self.region(region) else { return Vec::new() };
        let judged: Vec<Alarm> = here.monitoring.alarms.values().map(|a| Alarm { state: self.judge(region, a), ..a.clone() }).collect();
        for alarm in &judged {
            self.region_mut(region).monitoring.alarms.insert(alarm.name.clone(), alarm.clone());
        }
        judged
    }

    fn judge(&self, region: &str, alarm: &Alarm) -> AlarmState {
        // Periods end with the last whole minute, whatever their length.
        let minutes = (alarm.period / 60).max(1);
        let end = self.now.div_euclid(MINUTE);
        let periods = i64::try_from(alarm.evaluation_periods + MORE_PERIODS).unwrap_or(i64::from(u16::MAX));
        let (samples, _) = self.samples(region, &alarm.metric, (end - periods * minutes) * MINUTE, end * MINUTE);
        let value = |back: i64| {
            let last = end - back * minutes;
            let within: Vec<Sample> = samples.iter().copied().filter(|s| (last - minutes..last).contains(&s.minute)).collect();
            (!within.is_empty()).then(|| statistic(&within, &alarm.statistic))
        };
        alarm.judge(&(0..periods).rev().map(value).collect::<Vec<_>>())
    }
}

/// Writes changes out by the minute.
fn between(changes: &[(i64, Option<u32>)], from: i64, until: i64) -> Vec<Sample> {
    let begin = changes.first().map_or(i64::MAX, |first| first.0);
    let at = |minute: i64| changes.iter().rev().find(|change| change.0 <= minute).and_then(|change| change.1);
    (from.max(begin)..=until).filter_map(|minute| Some(Sample::once((minute, f64::from(at(minute)?))))).collect()
}

/// Counts the healthy targets of each target group, and the instances in service of each group.
fn counted(region: &Region) -> Vec<(Metric, u32)> {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let mut counts = Vec::new();
    for balancer in region.load_balancers.values() {
        let named = balancer.arn.split_once(":loadbalancer/").map_or("", |(_, name)| name);
        for group in balancer.target_groups.iter().filter_map(|name| region.target_groups.get(name)) {
            let of = [("LoadBalancer", named), ("TargetGroup", group.arn.rsplit(':').next().unwrap_or_default())];
            let health = |wanted: bool| number(region.targets(&group.name).filter(|i| i.health.healthy == Some(wanted)).count());
            counts.push((Metric::new("AWS/ApplicationELB", "HealthyHostCount", &of), health(true)));
            counts.push((Metric::new("AWS/ApplicationELB", "UnHealthyHostCount", &of), health(false)));
        }
    }
    for group in region.groups.values() {
        let of = [("AutoScalingGroupName", group.name.as_str())];
        counts.push((Metric::new("AWS/AutoScaling", "GroupInServiceInstances", &of), number(group.in_service())));
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alarm(missing: &str, datapoints_to_alarm: usize) -> Alarm {
        Alarm {
            name: String::new(),
            description: String::new(),
            metric: Metric::default(),
            statistic: "Average".to_owned(),
            period: 60,
            evaluation_periods: 3,
            datapoints_to_alarm,
            threshold: 1.0,
            comparison: "GreaterThanOrEqualToThreshold".to_owned(),
            missing: missing.to_owned(),
            actions: Vec::new(),
            put: 0,
            state: AlarmState::InsufficientData,
        }
    }

    /// The table of CloudWatch's user guide (Configuring how alarms treat missing data): `X` breaches, `0` does not, `-` is missing.
    #[test]
    fn missing_data_is_treated_as_documented() {
        use AlarmState::{Alarm as A, InsufficientData as I, Ok};
        for (periods, m, states) in [
            ("0-X-X", 3, [Ok, Ok, Ok, Ok]),
            ("0----", 3, [Ok, Ok, Ok, Ok]),
            ("-----", 3, [I, I, A, Ok]),
            ("0XX-X", 3, [A, A, A, A]),
            ("--X--", 3, [A, I, A, Ok]),
            ("0-X-X", 2, [A, A, A, A]),
            ("00X-X", 2, [A, A, A, A]),
            ("0-X--", 2, [Ok, Ok, A, Ok]),
            ("---X-", 2, [A, I, A, Ok]),
        ] {
            let values: Vec<Option<f64>> = periods.chars().map(|c| (c != '-').then(|| f64::from(u8::from(c == 'X')))).collect();
            let judged = ["missing", "ignore", "breaching", "notBreaching"].map(|missing| alarm(missing, m).judge(&values));
            assert_eq!(judged, states, "{periods} with {m} of 3");
        }
    }
}
