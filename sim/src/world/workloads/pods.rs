//! Pods: scheduled to a ready node, image pulled, started with what their secrets say at that moment, ready, and gone.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::kinds::{CLAIMS, CONFIG_MAPS, Kind, NODES, PODS, SECRETS};
use super::nodes::takes_pods;
use super::tick::{Tick, owner};
use super::value::{default, is_owned_by, list, name, namespace, put, set_condition, text};
use super::{Kube, Object, jobs};
use crate::world::Ms;

/// Pods that fit on a node.
const PODS_PER_NODE_MAX: usize = 58;
/// How often a kubelet tries again what failed.
const TRY_AGAIN: Ms = 20_000;
/// The environment variable by which a container finds its database.
pub(super) const DATABASE_VARIABLE: &str = "DB_HOST";

/// What only the simulation knows of a pod.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Pod {
    pub(crate) stage: Stage,
    /// The database host that the container read when it started.
    pub(crate) database: Option<String>,
    pub(crate) log: String,
}

/// Where a pod is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stage {
    Unscheduled,
    Pulling,
    Starting,
    Running,
    Terminating,
    Ended,
}

impl Object {
    /// Reports whether the pod counts for its owner: it is neither on its way out nor ended.
    pub(super) fn is_active(&self) -> bool {
        self.pod.as_ref().is_some_and(|p| !matches!(p.stage, Stage::Terminating | Stage::Ended))
    }

    /// Reports whether the pod takes requests.
    pub(super) fn is_ready(&self) -> bool {
        self.pod.as_ref().is_some_and(|p| p.stage == Stage::Running)
    }
}

impl Kube {
    /// Lists the pods that an object owns and that count for it.
    pub(super) fn active_pods<'a>(&'a self, uid: &'a str) -> impl Iterator<Item = &'a Object> {
        self.all(PODS).filter(|p| p.is_active()).filter(move |p| is_owned_by(&p.json, uid))
    }
}

/// Makes a pod from its owner's template.
pub(super) fn create(tick: &mut Tick, kind: &Kind, parent: &Value, pod_name: &str, labels: &[(&str, String)]) {
    let mut pod = parent.pointer("/spec/template").cloned().unwrap_or_else(|| json!({}));
    put(&mut pod, &["metadata", "name"], pod_name.into());
    put(&mut pod, &["metadata", "namespace"], namespace(parent).into());
    put(&mut pod, &["metadata", "ownerReferences"], owner(kind, parent));
    for (label, value) in labels {
        put(&mut pod, &["metadata", "labels", label], value.as_str().into());
    }
    let key = tick.create(PODS, pod);
    if let Some(pod) = tick.kube.hidden(PODS, &key) {
        pod.pod = Some(Pod { stage: Stage::Unscheduled, database: None, log: String::new() });
    }
    show(tick, &key, "", "");
}

/// Begins to end a pod.
pub(super) fn terminate(tick: &mut Tick, key: &str) {
    let scheduled = tick.kube.hidden(PODS, key).is_some_and(|p| p.pod.as_ref().is_some_and(|p| p.stage != Stage::Unscheduled));
    if !scheduled {
        tick.kube.remove(PODS, key);
        return;
    }
    let due = tick.now + tick.draw("pod-stop", |t| t.pod_stop);
    let stamp = tick.stamp();
    tick.kube.change(PODS, key, |pod| put(pod, &["metadata", "deletionTimestamp"], stamp.into()));
    enter(tick, key, Stage::Terminating, Some(due));
}

/// Carries every pod on to where it is by now.
pub(super) fn run(tick: &mut Tick) {
    for key in tick.kube.keys(PODS) {
        let Some(Object { json, due, pod: Some(pod) }) = tick.kube.hidden(PODS, &key) else {
            continue;
        };
        let (stage, due, on) = (pod.stage, *due, text(json, "/spec/nodeName").to_owned());
        if !on.is_empty() && tick.kube.get(NODES, "", &on).is_none() {
            tick.kube.remove(PODS, &key);
            continue;
        }
        match due {
            Some(due) if due > tick.now => tick.wake_at(due),
            None if matches!(stage, Stage::Running | Stage::Ended) => {}
            _ => {
                let json = tick.kube.hidden(PODS, &key).map(|p| p.json.clone()).unwrap_or_default();
                step(tick, &key, &json, stage);
            }
        }
    }
}

fn step(tick: &mut Tick, key: &str, pod: &Value, stage: Stage) {
    match stage {
        Stage::Unscheduled => schedule(tick, key, pod),
        Stage::Pulling => start(tick, key, pod),
        Stage::Starting if jobs::is_of_a_job(pod) => jobs::end(tick, key, pod),
        Stage::Starting => {
            enter(tick, key, Stage::Running, None);
            show(tick, key, "", "");
        }
        Stage::Terminating => drop(tick.kube.remove(PODS, key)),
        Stage::Running | Stage::Ended => {}
    }
}

fn schedule(tick: &mut Tick, key: &str, pod: &Value) {
    let missing = list(pod, "/spec/volumes")
        .iter()
        .map(|v| text(v, "/persistentVolumeClaim/claimName"))
        .find(|claim| !claim.is_empty() && tick.kube.get(CLAIMS, namespace(pod), claim).is_none());
    let total = tick.kube.count(NODES);
    if let Some(claim) = missing {
        let message = format!("0/{total} nodes are available: persistentvolumeclaim \"{claim}\" not found.");
        return show(tick, key, "Unschedulable", &message);
    }
    let pinned = text(pod, "/spec/nodeName").to_owned();
    let load = |node: &str| tick.kube.all(PODS).filter(|p| text(&p.json, "/spec/nodeName") == node).count();
    let ready = tick.kube.all(NODES).filter(|n| takes_pods(&n.json)).map(|n| name(&n.json));
    let chosen = ready.map(|n| (load(n), n.to_owned())).filter(|(load, _)| *load < PODS_PER_NODE_MAX).min();
    let chosen = if pinned.is_empty() { chosen.map(|(_, node)| node) } else { Some(pinned) };
    let Some(node) = chosen else {
        let message = match total {
            0 => "no nodes available to schedule pods".to_owned(),
            _ => format!("0/{total} nodes are available: {total} node(s) had untolerated taint {{node.kubernetes.io/not-ready: }}."),
        };
        return show(tick, key, "Unschedulable", &message);
    };
    let due = tick.now + tick.draw("image-pull", |t| t.image_pull);
    tick.kube.change(PODS, key, |pod| put(pod, &["spec", "nodeName"], node.into()));
    enter(tick, key, Stage::Pulling, Some(due));
    show(tick, key, "ContainerCreating", "");
}

fn start(tick: &mut Tick, key: &str, pod: &Value) {
    let image = text(pod, "/spec/containers/0/image").to_owned();
    if tick.world.conditions.images_fail(tick.region) {
        let message = format!("Back-off pulling image \"{image}\"");
        enter(tick, key, Stage::Pulling, Some(tick.now + TRY_AGAIN));
        return show(tick, key, "ImagePullBackOff", &message);
    }
    let database = match read_environment(tick.kube, pod) {
        Ok(database) => database,
        Err(message) => {
            enter(tick, key, Stage::Pulling, Some(tick.now + TRY_AGAIN));
            return show(tick, key, "CreateContainerConfigError", &message);
        }
    };
    let due = tick.now
        + match jobs::is_of_a_job(pod) {
            true => tick.draw("job", |t| t.job),
            false => tick.draw("pod-ready", |t| t.pod_ready),
        };
    enter(tick, key, Stage::Starting, Some(due));
    if let Some(pod) = tick.kube.hidden(PODS, key).and_then(|p| p.pod.as_mut()) {
        pod.database = database;
    }
    show(tick, key, "", "");
}

/// Reads what a container's environment says as it starts; the database's host is all that matters later.
fn read_environment(kube: &Kube, pod: &Value) -> Result<Option<String>, String> {
    let mut database = None;
    for variable in list(pod, "/spec/containers").iter().flat_map(|c| list(c, "/env")) {
        let value = match (variable.pointer("/valueFrom/secretKeyRef"), variable.pointer("/valueFrom/configMapKeyRef")) {
            (Some(from), _) => Some(read_key(kube, SECRETS, namespace(pod), from)?),
            (_, Some(from)) => Some(read_key(kube, CONFIG_MAPS, namespace(pod), from)?),
            (None, None) => variable.get("value").and_then(Value::as_str).map(str::to_owned),
        };
        if text(variable, "/name") == DATABASE_VARIABLE {
            database = value;
        }
    }
    Ok(database)
}

fn read_key(kube: &Kube, kind: &'static Kind, space: &str, from: &Value) -> Result<String, String> {
    let (object, field) = (text(from, "/name"), text(from, "/key"));
    let what = kind.kind.to_lowercase();
    if from["optional"] == true {
        return Ok(String::new());
    }
    let found = kube.get(kind, space, object).ok_or_else(|| format!("{what} \"{object}\" not found"))?;
    let value = found.json.get("data").and_then(|d| d.get(field)).and_then(Value::as_str);
    let value = value.ok_or_else(|| format!("couldn't find key {field} in {} {space}/{object}", kind.kind))?;
    Ok(if kind == SECRETS { super::defaults::decode(value) } else { value.to_owned() })
}

/// Notes the stage of a pod, and when it ends.
pub(super) fn enter(tick: &mut Tick, key: &str, stage: Stage, due: Option<Ms>) {
    if let Some(object) = tick.kube.hidden(PODS, key) {
        object.due = due;
        if let Some(pod) = object.pod.as_mut() {
            pod.stage = stage;
        }
    }
    if let Some(due) = due {
        tick.wake_at(due);
    }
}

/// Writes a pod's status for its stage; `reason` says why it does not get on.
fn show(tick: &mut Tick, key: &str, reason: &str, message: &str) {
    let stamp = tick.stamp();
    let Some(stage) = tick.kube.hidden(PODS, key).and_then(|p| p.pod.as_ref()).map(|p| p.stage) else {
        return;
    };
    let address = tick.kube.get(PODS, key.split('/').next().unwrap_or_default(), key.split('/').nth(1).unwrap_or_default());
    let address = address.map(|p| crate::world::hash(13, text(&p.json, "/metadata/uid"), 0)).unwrap_or_default();
    tick.kube.change(PODS, key, |pod| {
        let mut status = pod.get("status").cloned().unwrap_or_else(|| json!({}));
        let (running, scheduled) = (matches!(stage, Stage::Starting | Stage::Running), stage != Stage::Unscheduled);
        let phase = if running { "Running" } else { "Pending" };
        put(&mut status, &["phase"], phase.into());
        let truth = |yes: bool| if yes { "True" } else { "False" };
        let why_not = if scheduled { ("", "") } else { (reason, message) };
        set_condition(&mut status, "PodScheduled", truth(scheduled), why_not.0, why_not.1, &stamp);
        if scheduled {
            let ready = stage == Stage::Running;
            set_condition(&mut status, "Initialized", "True", "", "", &stamp);
            for kind in ["ContainersReady", "Ready"] {
                let unready = list(pod, "/spec/containers").iter().map(|c| text(c, "/name")).collect::<Vec<_>>().join(" ");
                let message = format!("containers with unready status: [{unready}]");
                let why_not = if ready { ("", "") } else { ("ContainersNotReady", message.as_str()) };
                set_condition(&mut status, kind, truth(ready), why_not.0, why_not.1, &stamp);
            }
            let containers = list(pod, "/spec/containers").iter();
            let states = containers.map(|c| container(c, stage, reason, message, &stamp)).collect::<Vec<_>>();
            put(&mut status, &["containerStatuses"], states.into());
            put(&mut status, &["hostIP"], host_address(text(pod, "/spec/nodeName")).into());
        }
        if running {
            put(&mut status, &["podIP"], format!("10.{}.{}.{}", address % 96, (address >> 8) % 256, (address >> 16) % 250 + 4).into());
            default(&mut status, &["startTime"], stamp.as_str().into());
        }
        put(pod, &["status"], status);
    });
}

fn container(container: &Value, stage: Stage, reason: &str, message: &str, stamp: &str) -> Value {
    let state = match stage {
        Stage::Starting | Stage::Running => json!({ "running": { "startedAt": stamp } }),
        _ if message.is_empty() => json!({ "waiting": { "reason": reason } }),
        _ => json!({ "waiting": { "reason": reason, "message": message } }),
    };
    let ready = stage == Stage::Running;
    let image = text(container, "/image");
    json!({
        "name": container["name"], "image": image, "imageID": "", "ready": ready, "started": matches!(stage, Stage::Running),
        "restartCount": 0, "state": state, "lastState": {},
    })
}

/// The address in the name of a node.
fn host_address(node: &str) -> String {
    node.split('.').next().unwrap_or_default().trim_start_matches("ip-").replace('-', ".")
}
