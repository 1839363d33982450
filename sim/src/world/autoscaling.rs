//! Auto Scaling groups: instances that come, become healthy and go, and the activities that tell of it.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{Ms, World};

/// Activities that a describe can go back to.
const ACTIVITIES_MAX: usize = 200;
/// How long a group waits after a failed launch before it tries again.
const LAUNCH_RETRY: Ms = 60_000;
/// Target health checks: the interval, and how many in a row decide.
pub(crate) const CHECK_INTERVAL: Ms = 30_000;
const CHECKS_IN_A_ROW: u32 = 2;
/// The letters of a region's zones.
const ZONES: [&str; 3] = ["a", "b", "c"];

/// An Auto Scaling group.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) min: i64,
    pub(crate) max: i64,
    pub(crate) desired: i64,
    pub(crate) instance_type: String,
    pub(crate) target_groups: Vec<String>,
    pub(crate) created: Ms,
    pub(crate) instances: Vec<Instance>,
    pub(crate) activities: VecDeque<Activity>,
    pub(crate) next_launch: Ms,
    #[serde(default = "crate::def::a_template")]
    pub(crate) launch_template: Option<String>,
    #[serde(default = "crate::def::latest")]
    pub(crate) launch_template_version: String,
    #[serde(default = "crate::def::three")]
    pub(crate) zones: usize,
    #[serde(default)]
    pub(crate) suspended: Vec<String>,
}

/// An instance of a group.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Instance {
    pub(crate) id: String,
    pub(crate) zone: String,
    pub(crate) state: Lifecycle,
    pub(crate) health: TargetHealth,
    pub(crate) activity: String,
}

/// Where an instance is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Lifecycle {
    Pending { until: Ms },
    InService,
    Terminating { until: Ms },
}

/// What the load balancer thinks of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TargetHealth {
    /// `None` until the first checks have decided.
    pub(crate) healthy: Option<bool>,
    /// Checks in a row that disagree with `healthy`.
    pub(crate) streak: u32,
    pub(crate) next_check: Ms,
}

/// A scaling activity.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Activity {
    pub(crate) id: String,
    pub(crate) description: String,
    pub(crate) cause: String,
    pub(crate) started: Ms,
    pub(crate) ended: Option<Ms>,
    pub(crate) status: String,
    pub(crate) message: Option<String>,
    pub(crate) progress: u32,
}

impl Instance {
    /// Reports whether it is or will be in service.
    pub(crate) fn is_wanted(&self) -> bool {
        !matches!(self.state, Lifecycle::Terminating { .. })
    }
}

impl Group {
    /// Reports whether it carries a process out, such as "Launch".
    fn goes_on(&self, process: &str) -> bool {
        !self.suspended.iter().any(|suspended| suspended == process)
    }

    /// Returns the letters of its zones.
    pub(crate) fn zone_letters(&self) -> &'static [&'static str] {
        &ZONES[..self.zones.clamp(1, ZONES.len())]
    }

    /// Counts the instances in service.
    pub(crate) fn in_service(&self) -> usize {
        self.instances.iter().filter(|i| i.state == Lifecycle::InService).count()
    }

    /// Adds an activity, and forgets the oldest beyond the limit.
    fn tell(&mut self, activity: Activity) {
        self.activities.push_front(activity);
        self.activities.truncate(ACTIVITIES_MAX);
    }

    fn end_activity(&mut self, id: &str, at: Ms) {
        if let Some(activity) = self.activities.iter_mut().find(|a| a.id == id) {
            activity.ended = Some(at);
            activity.status = "Successful".to_owned();
            activity.progress = 100;
        }
    }

    /// Brings instances into service or removes them as their time comes. Returns when each came or went.
    fn finish_lifecycles(&mut self, now: Ms) -> Vec<Ms> {
        let mut ended = Vec::new();
        for instance in &mut self.instances {
            if let Lifecycle::Pending { until } = instance.state
                && now >= until
            {
                instance.state = Lifecycle::InService;
                instance.health = TargetHealth { healthy: None, streak: 0, next_check: until + CHECK_INTERVAL };
                ended.push((instance.activity.clone(), until));
            }
        }
        self.instances.retain(|instance| match instance.state {
            Lifecycle::Terminating { until } if now >= until => {
                ended.push((instance.activity.clone(), until));
                false
            }
            _ => true,
        });
        for (activity, at) in &ended {
            self.end_activity(activity, *at);
        }
        ended.into_iter().map(|(_, at)| at).collect()
    }

    /// Lets the load balancer check its targets. Returns when each of those that became healthy did.
    fn check_targets(&mut self, now: Ms, answers: bool) -> Vec<Ms> {
        let mut recovered = Vec::new();
        for instance in self.instances.iter_mut().filter(|i| i.state == Lifecycle::InService) {
            let health = &mut instance.health;
            while health.next_check <= now {
                let at = health.next_check;
                health.next_check =
                    if now - health.next_check > 100 * CHECK_INTERVAL { now + CHECK_INTERVAL } else { health.next_check + CHECK_INTERVAL };
                health.streak = if health.healthy == Some(answers) { 0 } else { health.streak + 1 };
                // A new target is taken for healthy or unhealthy by the same number of checks.
                if health.streak >= CHECKS_IN_A_ROW {
                    health.healthy = Some(answers);
                    health.streak = 0;
                    recovered.extend(answers.then_some(at));
                }
            }
        }
        recovered
    }
}

impl World {
    pub(super) fn groups_become_due(&mut self) {
        let now = self.now;
        let names: Vec<(String, String)> =
            self.regions.iter().flat_map(|(r, region)| region.groups.keys().map(move |g| (r.clone(), g.clone()))).collect();
        for (region, name) in names {
            let answers = self.server_answers(&region).is_ok();
            if let Some(group) = self.region_mut(&region).groups.get_mut(&name) {
                let moved = group.finish_lifecycles(now).into_iter().map(|at| (at, format!("autoscaling/{region}/{name}")));
                let mut transitions: Vec<_> = moved.collect();
                for at in group.check_targets(now, answers) {
                    transitions.extend(group.target_groups.iter().map(|targets| (at, format!("elasticloadbalancing/{region}/{targets}"))));
                }
                self.tell_transitions(transitions);
            }
            self.fit_to_desired(&region, &name);
        }
    }

    /// Launches or terminates instances until as many are wanted as desired.
    pub(crate) fn fit_to_desired(&mut self, region: &str, name: &str) {
        let Some(group) = self.region(region).and_then(|r| r.groups.get(name)) else {
            return;
        };
        let wanted = group.instances.iter().filter(|i| i.is_wanted()).count() as i64;
        let missing = group.desired - wanted;
        if !group.goes_on(if missing > 0 { "Launch" } else { "Terminate" }) {
            return;
        }
        if missing > 0 && self.conditions.has_no_capacity(name) {
            self.fail_to_launch(region, name);
        } else if missing > 0 {
            (0..missing).for_each(|_| self.launch(region, name));
        } else {
            (missing..0).for_each(|_| self.terminate(region, name));
        }
    }

    fn launch(&mut self, region: &str, name: &str) {
        let now = self.now;
        let label = format!("instance/{region}/{name}");
        let id = format!("i-0{}", self.draw_hex(&label, 16));
        let until = now + self.draw_ms(&format!("launch/{region}/{name}"), self.timings.instance_launch);
        let activity = self.draw_uuid(&format!("activity/{region}/{name}"));
        let Some(group) = self.region_mut(region).groups.get_mut(name) else {
            return;
        };
        let zones = group.zone_letters();
        let zone = format!("{region}{}", zones[group.instances.len() % zones.len()]);
        group.tell(Activity {
            id: activity.clone(),
            description: format!("Launching a new EC2 instance: {id}"),
            cause: cause(now, group.desired, "an instance was started in response to a difference between desired and actual capacity"),
            started: now,
            ended: None,
            status: "InProgress".to_owned(),
            message: None,
            progress: 30,
        });
        let health = TargetHealth { healthy: None, streak: 0, next_check: until + CHECK_INTERVAL };
        group.instances.push(Instance { id, zone, state: Lifecycle::Pending { until }, health, activity });
    }

    fn fail_to_launch(&mut self, region: &str, name: &str) {
        let now = self.now;
        if self.region(region).and_then(|r| r.groups.get(name)).is_none_or(|g| now < g.next_launch) {
            return;
        }
        let id = self.draw_uuid(&format!("activity/{region}/{name}"));
        let Some(group) = self.region_mut(region).groups.get_mut(name) else {
            return;
        };
        group.next_launch = now + LAUNCH_RETRY;
        let kind = group.instance_type.clone();
        let (a, b, c) = (format!("{region}a"), format!("{region}b"), format!("{region}c"));
        group.tell(Activity {
            id,
            description: "Launching a new EC2 instance.  Status Reason: Could not launch On-Demand Instances. InsufficientInstanceCapacity"
                .to_owned(),
            cause: cause(now, group.desired, "an instance was started in response to a difference between desired and actual capacity"),
            started: now,
            ended: Some(now),
            status: "Failed".to_owned(),
            message: Some(format!(
                "Could not launch On-Demand Instances. InsufficientInstanceCapacity - We currently do not have sufficient {kind} \
                 capacity in the Availability Zone you requested ({a}). Our system will be working on provisioning additional \
                 capacity. You can currently get {kind} capacity by not specifying an Availability Zone in your request or \
                 choosing {b}, {c}. Launching EC2 instance failed."
            )),
            progress: 100,
        });
    }

    fn terminate(&mut self, region: &str, name: &str) {
        let now = self.now;
        let until = now + self.draw_ms(&format!("terminate/{region}/{name}"), self.timings.instance_terminate);
        let activity = self.draw_uuid(&format!("activity/{region}/{name}"));
        let Some(group) = self.region_mut(region).groups.get_mut(name) else {
            return;
        };
        // Instances that are not in service yet go first, then the newest.
        let pending = group.instances.iter().rposition(|i| matches!(i.state, Lifecycle::Pending { .. }));
        let Some(index) = pending.or_else(|| group.instances.iter().rposition(Instance::is_wanted)) else {
            return;
        };
        let Some(instance) = group.instances.get_mut(index) else {
            return;
        };
        let launching = std::mem::replace(&mut instance.activity, activity.clone());
        let was_pending = matches!(instance.state, Lifecycle::Pending { .. });
        instance.state = Lifecycle::Terminating { until };
        let description = format!("Terminating EC2 instance: {}", instance.id);
        if was_pending && let Some(launch) = group.activities.iter_mut().find(|a| a.id == launching) {
            launch.status = "Cancelled".to_owned();
            launch.ended = Some(now);
        }
        let cause = cause(
            now,
            group.desired,
            "an instance was taken out of service in response to a difference between desired and actual capacity",
        );
        group.tell(Activity {
            id: activity,
            description,
            cause,
            started: now,
            ended: None,
            status: "InProgress".to_owned(),
            message: None,
            progress: 50,
        });
    }
}

fn cause(now: Ms, desired: i64, what: &str) -> String {
    format!("At {} {what}, with a desired capacity of {desired}.", super::timestamp(now).strftime("%Y-%m-%dT%H:%M:%SZ"))
}
