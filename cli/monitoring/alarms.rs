//! The alarms of a workflow: its readiness, the health of the side that it leaves, the lag of its replicas, the targets that serve. What is put in
//! one go, and what is left out and why.

use std::collections::BTreeMap;

use serde::Serialize;
use wf_engine::signal::Signal;
use wf_steps::aws::alarms::{Alarm, AlarmStatistic, Missing, Side};

use super::{READY, WORKFLOW, Watchable};
use crate::render::{clean, count};

/// Where the metrics of health checks are, wherever the endpoints are.
pub const HEALTH_CHECK_REGION: &str = "us-east-1";
/// A day, in seconds: so long a readiness check stands.
const DAY: u32 = 24 * 3600;
/// A minute, and how many in a row make an alarm.
const MINUTE: u32 = 60;
const MINUTES: u32 = 3;

/// The alarms of a workflow.
#[derive(Debug, Serialize)]
pub struct Alarms {
    pub alarms: Vec<Planned>,
    /// What is not watched, and why.
    pub left_out: Vec<String>,
}

/// An alarm that is to be put.
#[derive(Debug, Serialize)]
pub struct Planned {
    #[serde(flatten)]
    pub alarm: Alarm,
    /// What is only found out when it is put.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending: Option<&'static str>,
}

/// Topics by region: their names, or their ARNs.
pub type Topics = BTreeMap<String, Vec<String>>;

impl Alarms {
    /// Makes the alarms of what can be watched; each tells the topics of its own region, as CloudWatch wants it.
    pub fn of(watchable: &Watchable, topics: &Topics) -> Self {
        let mut made = Self { alarms: Vec::new(), left_out: Vec::new() };
        for signal in &watchable.signals {
            match of_signal(watchable, signal) {
                Ok(planned) => made.alarms.extend(planned),
                Err(why) => made.left_out.push(why),
            }
        }
        match &watchable.own_region {
            Some(region) => made.alarms.push(planned(ready(watchable, region))),
            None => made.left_out.push("whether it is ready: nobody says where wf's metrics are; `--region REGION`".to_owned()),
        }
        for id in &watchable.elsewhere {
            made.left_out.push(format!("what step `{id}` works on: it is in another account"));
        }
        for planned in &mut made.alarms {
            planned.alarm.topics = topics.get(&planned.alarm.region).cloned().unwrap_or_default();
        }
        let mute: Vec<_> = made.alarms.iter().filter(|one| one.alarm.topics.is_empty()).map(|one| one.alarm.name.as_str()).collect();
        if let Some(region) = made.alarms.iter().find(|one| one.alarm.topics.is_empty()).map(|one| &one.alarm.region) {
            let mute = format!("who is told by {}: no topic is in the same region; `--topic NAME@{region}`", mute.join(", "));
            made.left_out.push(mute);
        }
        made
    }

    /// Writes them down.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for Planned { alarm, pending } in &self.alarms {
            let Alarm { name, region, namespace, metric, threshold, period, periods, .. } = alarm;
            let dimensions: Vec<_> = alarm.dimensions.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let (statistic, side) = match (alarm.statistic, alarm.when) {
                (AlarmStatistic::Maximum, Side::Above) => ("the most", "above"),
                (AlarmStatistic::Maximum, Side::Below) => ("the most", "below"),
                (AlarmStatistic::Minimum, Side::Above) => ("the least", "above"),
                (AlarmStatistic::Minimum, Side::Below) => ("the least", "below"),
            };
            let missing = match alarm.missing {
                Missing::Unknown => "",
                Missing::Bad => ", or no data",
            };
            let topics = if alarm.topics.is_empty() { "nobody".to_owned() } else { alarm.topics.join(", ") };
            let lines = [
                format!("{name}  in {region}"),
                format!("  metric     {namespace} {metric}, {}", dimensions.join(", ")),
                format!("  threshold  {statistic} is {side} {threshold}{missing}"),
                format!(
                    "  period     {}",
                    if *periods == 1 { format!("{period} s") } else { format!("{periods} in a row of {period} s each") }
                ),
                format!("  tells      {topics}"),
            ];
            lines.iter().for_each(|line| text.push_str(&format!("{}\n", clean(line))));
            if let Some(pending) = pending {
                text.push_str(&format!("  looked up when it is put: {pending}\n"));
            }
        }
        if !self.left_out.is_empty() {
            text.push_str(&format!("Left out, {}:\n", count(self.left_out.len(), "thing")));
            self.left_out.iter().for_each(|why| text.push_str(&format!("  {}\n", clean(why))));
        }
        text
    }
}

fn planned(alarm: Alarm) -> Planned {
    Planned { alarm, pending: None }
}

/// Makes the alarm of a signal: none for what is only shown, and why not for what cannot be watched.
fn of_signal(watchable: &Watchable, signal: &Signal) -> Result<Option<Planned>, String> {
    let name = |what: &str, subject: &str| format!("wf-{}-{what}-{subject}", watchable.workflow);
    match signal {
        Signal::ReplicaLag { instance, region } => {
            let rpo = watchable.objectives.rpo.ok_or_else(|| format!("the lag of {instance}: the workflow has no objective `rpo`"))?;
            Ok(Some(planned(Alarm {
                description: format!("{instance} is further behind than the RPO of {rpo} allows: a failover now would lose more"),
                namespace: "AWS/RDS".to_owned(),
                metric: "ReplicaLag".to_owned(),
                dimensions: vec![("DBInstanceIdentifier".to_owned(), instance.clone())],
                statistic: AlarmStatistic::Maximum,
                when: Side::Above,
                threshold: rpo.0.as_secs_f64(),
                ..blank(name("lag", instance), region)
            })))
        }
        Signal::RecordHealth { record, kind, .. } => {
            let id = watchable.names.health_checks.get(signal);
            if watchable.names.looked && id.is_none() {
                return Err(format!("the health behind {record} {kind}: its PRIMARY record has no health check"));
            }
            let alarm = Alarm {
                description: format!("the side that {record} leads its users to is unhealthy: fail over, or see why it is not"),
                namespace: "AWS/Route53".to_owned(),
                metric: "HealthCheckStatus".to_owned(),
                dimensions: vec![("HealthCheckId".to_owned(), id.cloned().unwrap_or_else(|| format!("of {record}")))],
                ..blank(name("health", record), HEALTH_CHECK_REGION)
            };
            Ok(Some(Planned { alarm, pending: id.is_none().then_some("the health check of the PRIMARY record") }))
        }
        Signal::HealthyTargets { group, region, least } => targets(watchable, signal, group, region, least.unwrap_or(1)),
        Signal::GroupSize { .. } | Signal::Topic { .. } => Ok(None),
    }
}

fn targets(watchable: &Watchable, signal: &Signal, group: &str, region: &str, least: u32) -> Result<Option<Planned>, String> {
    let short = group.rsplit(':').next().unwrap_or(group).trim_start_matches("targetgroup/").split('/').next().unwrap_or(group);
    let mut alarm = Alarm {
        description: format!("fewer than {least} targets of {short} are healthy"),
        namespace: "AWS/ApplicationELB".to_owned(),
        metric: "HealthyHostCount".to_owned(),
        dimensions: vec![("TargetGroup".to_owned(), short.to_owned())],
        threshold: f64::from(least),
        ..blank(format!("wf-{}-targets-{short}", watchable.workflow), region)
    };
    let Some(found) = watchable.names.targets.get(signal) else {
        return Ok(Some(Planned {
            alarm,
            pending: Some("the full names of the load balancer and the target group, and whether it has targets"),
        }));
    };
    let Some(balancer) = found.load_balancers.first() else {
        return Err(format!("the targets of {short}: no load balancer uses it"));
    };
    if found.registered == 0 {
        return Err(format!("the targets of {short}: it has none now, and would be in alarm until it serves; put the alarms again then"));
    }
    alarm.dimensions = vec![("LoadBalancer".to_owned(), balancer.clone()), ("TargetGroup".to_owned(), found.group.clone())];
    Ok(Some(planned(alarm)))
}

fn ready(watchable: &Watchable, region: &str) -> Alarm {
    let Watchable { workflow, namespace, .. } = watchable;
    Alarm {
        description: format!("`wf check --live` found something in the way of {workflow}, or nobody has checked for a day"),
        namespace: namespace.clone(),
        metric: READY.to_owned(),
        dimensions: vec![(WORKFLOW.to_owned(), workflow.clone())],
        period: DAY,
        periods: 1,
        missing: Missing::Bad,
        ..blank(format!("wf-{workflow}-ready"), region)
    }
}

/// An alarm of what is 1 as long as all is well.
fn blank(name: String, region: &str) -> Alarm {
    Alarm {
        name,
        description: String::new(),
        region: region.to_owned(),
        namespace: String::new(),
        metric: String::new(),
        dimensions: Vec::new(),
        statistic: AlarmStatistic::Minimum,
        when: Side::Below,
        threshold: 1.0,
        period: MINUTE,
        periods: MINUTES,
        missing: Missing::Unknown,
        topics: Vec::new(),
    }
}
