//! The dashboard of a workflow, as CloudWatch reads it: what its steps work on, and wf's own figures.

use serde_json::{Value, json};
use wf_engine::signal::Signal;

use super::alarms::HEALTH_CHECK_REGION;
use super::{READY, WORKFLOW, Watchable};

/// A dashboard is 24 columns wide.
const WIDTH: usize = 12;
const HEIGHT: usize = 6;
const PERIOD_SECS: u32 = 60;

/// A widget: its title, its metrics, and a line that they are compared with.
struct Widget {
    title: &'static str,
    metrics: Vec<Value>,
    limit: Option<(&'static str, f64)>,
}

/// Makes the body of the dashboard. Widgets without metrics are left out.
pub fn dashboard(watchable: &Watchable) -> Value {
    let of =
        |metrics: fn(&Watchable, &Signal) -> Vec<Value>| watchable.signals.iter().flat_map(|signal| metrics(watchable, signal)).collect();
    let lag = watchable.objectives.rpo.map(|rpo| ("RPO", rpo.0.as_secs_f64()));
    let widgets = [
        Widget { title: "Health of the primary side", metrics: of(health), limit: None },
        Widget { title: "Healthy targets", metrics: of(targets), limit: None },
        Widget { title: "Replica lag", metrics: of(self::lag), limit: lag },
        Widget { title: "Databases", metrics: of(databases), limit: None },
        Widget { title: "Servers", metrics: of(servers), limit: None },
        Widget { title: "wf: ready to fail over", metrics: own(watchable, &[READY, "ChecksNotPassed"]), limit: None },
        Widget { title: "wf: RTO and RPO", metrics: own(watchable, &["RTO", "RTOObjective", "RPO", "RPOObjective"]), limit: None },
    ];
    let region = watchable.own_region.as_deref().unwrap_or(HEALTH_CHECK_REGION);
    let widgets: Vec<_> = widgets.into_iter().filter(|widget| !widget.metrics.is_empty()).collect();
    let placed = widgets.into_iter().enumerate().map(|(nth, widget)| widget.at(nth, region));
    json!({ "widgets": placed.collect::<Vec<_>>() })
}

impl Widget {
    fn at(self, nth: usize, region: &str) -> Value {
        let mut properties = json!({
            "title": self.title, "metrics": self.metrics, "region": region, "view": "timeSeries", "stacked": false, "period": PERIOD_SECS,
        });
        if let Some((label, value)) = self.limit {
            properties["annotations"] = json!({ "horizontal": [{ "label": label, "value": value }] });
        }
        json!({
            "type": "metric", "x": nth % 2 * WIDTH, "y": nth / 2 * HEIGHT, "width": WIDTH, "height": HEIGHT, "properties": properties,
        })
    }
}

/// Names a metric as a widget does: namespace, name, its dimensions one after the other, and how it is shown.
fn metric(namespace: &str, name: &str, dimensions: &[(&str, &str)], stat: &str, region: &str) -> Value {
    let dimensions = dimensions.iter().flat_map(|(name, value)| [*name, *value]);
    let mut metric: Vec<Value> = [namespace, name].into_iter().chain(dimensions).map(Value::from).collect();
    metric.push(json!({ "stat": stat, "region": region }));
    Value::from(metric)
}

fn health(watchable: &Watchable, signal: &Signal) -> Vec<Value> {
    let id = watchable.names.health_checks.get(signal);
    id.map(|id| metric("AWS/Route53", "HealthCheckStatus", &[("HealthCheckId", id)], "Minimum", HEALTH_CHECK_REGION)).into_iter().collect()
}

/// Without a look at AWS nobody knows the full names: CloudWatch is told to search for them.
fn targets(watchable: &Watchable, signal: &Signal) -> Vec<Value> {
    let Signal::HealthyTargets { group, region, .. } = signal else { return Vec::new() };
    let names = ["HealthyHostCount", "UnHealthyHostCount"];
    if let Some(found) = watchable.names.targets.get(signal) {
        let of = |balancer: &String| {
            let dimensions = [("LoadBalancer", balancer.as_str()), ("TargetGroup", found.group.as_str())];
            names.map(|name| metric("AWS/ApplicationELB", name, &dimensions, "Minimum", region))
        };
        return found.load_balancers.iter().flat_map(of).collect();
    }
    let short = group.rsplit(':').next().unwrap_or(group).replace(['"', '\''], "");
    let search = |name: &str| {
        let searched = format!("{{AWS/ApplicationELB,LoadBalancer,TargetGroup}} MetricName=\"{name}\" \"{short}\"");
        json!([{ "expression": format!("SEARCH('{searched}', 'Minimum', {PERIOD_SECS})"), "region": region }])
    };
    names.map(search).into()
}

fn lag(_: &Watchable, signal: &Signal) -> Vec<Value> {
    let Signal::ReplicaLag { instance, region } = signal else { return Vec::new() };
    vec![metric("AWS/RDS", "ReplicaLag", &[("DBInstanceIdentifier", instance)], "Maximum", region)]
}

fn databases(_: &Watchable, signal: &Signal) -> Vec<Value> {
    let Signal::ReplicaLag { instance, region } = signal else { return Vec::new() };
    let names = ["DatabaseConnections", "CPUUtilization", "WriteIOPS"];
    names.map(|name| metric("AWS/RDS", name, &[("DBInstanceIdentifier", instance)], "Average", region)).into()
}

fn servers(_: &Watchable, signal: &Signal) -> Vec<Value> {
    let Signal::GroupSize { group, region } = signal else { return Vec::new() };
    let names = ["GroupInServiceInstances", "GroupDesiredCapacity"];
    names.map(|name| metric("AWS/AutoScaling", name, &[("AutoScalingGroupName", group)], "Minimum", region)).into()
}

fn own(watchable: &Watchable, names: &[&str]) -> Vec<Value> {
    let Watchable { workflow, namespace, own_region: Some(region), .. } = watchable else { return Vec::new() };
    names.iter().map(|name| metric(namespace, name, &[(WORKFLOW, workflow)], "Maximum", region)).collect()
}
