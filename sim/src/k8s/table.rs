//! Objects as the tables that `kubectl get` prints.

use serde_json::{Value, json};

use crate::world::workloads::kinds::Kind;
use crate::world::workloads::value::{condition, list, name, number, text};
use crate::world::{Ms, timestamp};

/// A column: its name, whether only `-o wide` shows it, and how a cell is read from an object.
type Column = (&'static str, bool, fn(&Value, Ms) -> String);

/// Writes objects as a table.
pub(super) fn table(kind: &Kind, objects: &[&Value], version: u64, now: Ms) -> Value {
    let columns = columns(kind);
    let definitions = columns.iter().map(|(title, wide, _)| {
        let format = if *title == "Name" { "name" } else { "" };
        json!({ "name": title, "type": "string", "format": format, "description": "", "priority": i64::from(*wide) })
    });
    let rows = objects.iter().map(|object| {
        let cells: Vec<String> = columns.iter().map(|(_, _, cell)| cell(object, now)).collect();
        let about = json!({ "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"] });
        json!({ "cells": cells, "object": about })
    });
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": { "resourceVersion": version.to_string() },
        "columnDefinitions": definitions.collect::<Vec<_>>(), "rows": rows.collect::<Vec<_>>(),
    })
}

const NAME: Column = ("Name", false, |o, _| name(o).to_owned());
const AGE: Column = ("Age", false, |o, now| age(text(o, "/metadata/creationTimestamp"), now));

fn columns(kind: &Kind) -> Vec<Column> {
    let own: &[Column] = match kind.kind {
        "Namespace" => &[("Status", false, |_, _| "Active".to_owned())],
        "Node" => &[
            ("Status", false, |o, _| node_status(o)),
            ("Roles", false, |_, _| "<none>".to_owned()),
            ("Age", false, |o, now| age(text(o, "/metadata/creationTimestamp"), now)),
            ("Version", false, |o, _| text(o, "/status/nodeInfo/kubeletVersion").to_owned()),
            ("Internal-IP", true, |o, _| text(o, "/status/addresses/0/address").to_owned()),
            ("OS-Image", true, |o, _| text(o, "/status/nodeInfo/osImage").to_owned()),
        ],
        "Pod" => &[
            ("Ready", false, |o, _| {
                let states = list(o, "/status/containerStatuses");
                let all = list(o, "/spec/containers").len();
                format!("{}/{all}", states.iter().filter(|c| c["ready"] == true).count())
            }),
            ("Status", false, |o, _| pod_status(o)),
            ("Restarts", false, |_, _| "0".to_owned()),
            ("Age", false, |o, now| age(text(o, "/metadata/creationTimestamp"), now)),
            ("IP", true, |o, _| or_none(text(o, "/status/podIP"))),
            ("Node", true, |o, _| or_none(text(o, "/spec/nodeName"))),
        ],
        "Deployment" => &[
            ("Ready", false, |o, _| format!("{}/{}", count(o, "/status/readyReplicas"), count(o, "/spec/replicas"))),
            ("Up-to-date", false, |o, _| count(o, "/status/updatedReplicas")),
            ("Available", false, |o, _| count(o, "/status/availableReplicas")),
            ("Age", false, |o, now| age(text(o, "/metadata/creationTimestamp"), now)),
            ("Images", true, |o, _| text(o, "/spec/template/spec/containers/0/image").to_owned()),
        ],
        "ReplicaSet" => &[
            ("Desired", false, |o, _| count(o, "/spec/replicas")),
            ("Current", false, |o, _| count(o, "/status/replicas")),
            ("Ready", false, |o, _| count(o, "/status/readyReplicas")),
        ],
        "StatefulSet" => &[("Ready", false, |o, _| format!("{}/{}", count(o, "/status/readyReplicas"), count(o, "/spec/replicas")))],
        "DaemonSet" => &[
            ("Desired", false, |o, _| count(o, "/status/desiredNumberScheduled")),
            ("Current", false, |o, _| count(o, "/status/currentNumberScheduled")),
            ("Ready", false, |o, _| count(o, "/status/numberReady")),
            ("Up-to-date", false, |o, _| count(o, "/status/updatedNumberScheduled")),
            ("Available", false, |o, _| count(o, "/status/numberAvailable")),
        ],
        "Secret" => &[("Type", false, |o, _| text(o, "/type").to_owned()), ("Data", false, |o, _| entries(o, "data"))],
        "ConfigMap" => &[("Data", false, |o, _| entries(o, "data"))],
        "Service" => &[
            ("Type", false, |o, _| text(o, "/spec/type").to_owned()),
            ("Cluster-IP", false, |o, _| text(o, "/spec/clusterIP").to_owned()),
            ("External-IP", false, |_, _| "<none>".to_owned()),
            ("Port(s)", false, |o, _| format!("{}/TCP", count(o, "/spec/ports/0/port"))),
        ],
        "Ingress" => &[
            ("Class", false, |o, _| or_none(text(o, "/spec/ingressClassName"))),
            ("Hosts", false, |o, _| list(o, "/spec/rules").iter().map(|r| text(r, "/host")).collect::<Vec<_>>().join(",")),
            ("Address", false, |o, _| text(o, "/status/loadBalancer/ingress/0/hostname").to_owned()),
            ("Ports", false, |_, _| "80".to_owned()),
        ],
        "PersistentVolumeClaim" => &[
            ("Status", false, |o, _| text(o, "/status/phase").to_owned()),
            ("Capacity", false, |o, _| text(o, "/spec/resources/requests/storage").to_owned()),
            ("StorageClass", false, |o, _| text(o, "/spec/storageClassName").to_owned()),
        ],
        "Job" => &[
            ("Status", false, |o, _| job_status(o).to_owned()),
            ("Completions", false, |o, _| format!("{}/{}", count(o, "/status/succeeded"), count(o, "/spec/completions"))),
        ],
        "CronJob" => &[
            ("Schedule", false, |o, _| text(o, "/spec/schedule").to_owned()),
            ("Suspend", false, |o, _| if o["spec"]["suspend"] == true { "True" } else { "False" }.to_owned()),
            ("Last Schedule", false, |o, now| age(text(o, "/status/lastScheduleTime"), now)),
        ],
        "HorizontalPodAutoscaler" => &[
            ("Reference", false, |o, _| format!("{}/{}", text(o, "/spec/scaleTargetRef/kind"), text(o, "/spec/scaleTargetRef/name"))),
            ("MinPods", false, |o, _| count(o, "/spec/minReplicas")),
            ("MaxPods", false, |o, _| count(o, "/spec/maxReplicas")),
            ("Replicas", false, |o, _| count(o, "/status/currentReplicas")),
        ],
        "Backup" | "Restore" => &[
            ("Status", false, |o, _| text(o, "/status/phase").to_owned()),
            ("Errors", false, |o, _| count(o, "/status/errors")),
            ("Warnings", false, |o, _| count(o, "/status/warnings")),
            ("Started", false, |o, _| text(o, "/status/startTimestamp").to_owned()),
            ("Completed", false, |o, _| or_none(text(o, "/status/completionTimestamp"))),
        ],
        "Schedule" => &[
            ("Status", false, |o, _| text(o, "/status/phase").to_owned()),
            ("Schedule", false, |o, _| text(o, "/spec/schedule").to_owned()),
            ("LastBackup", false, |o, now| age(text(o, "/status/lastBackup"), now)),
        ],
        "BackupStorageLocation" => &[("Phase", false, |o, _| text(o, "/status/phase").to_owned())],
        _ => &[],
    };
    let ends_with_age = own.iter().any(|(title, _, _)| *title == "Age");
    let age = if ends_with_age { None } else { Some(AGE) };
    [NAME].into_iter().chain(own.iter().copied()).chain(age).collect()
}

fn count(object: &Value, pointer: &str) -> String {
    number(object, pointer).unwrap_or(0).to_string()
}

fn entries(object: &Value, field: &str) -> String {
    object.get(field).and_then(Value::as_object).map_or(0, serde_json::Map::len).to_string()
}

fn or_none(text: &str) -> String {
    if text.is_empty() { "<none>".to_owned() } else { text.to_owned() }
}

fn node_status(node: &Value) -> String {
    let ready = if condition(node, "Ready") == "True" { "Ready" } else { "NotReady" };
    if node["spec"]["unschedulable"] == true { format!("{ready},SchedulingDisabled") } else { ready.to_owned() }
}

fn pod_status(pod: &Value) -> String {
    if pod.pointer("/metadata/deletionTimestamp").is_some() {
        return "Terminating".to_owned();
    }
    let state = pod.pointer("/status/containerStatuses/0/state");
    let reason = ["waiting", "terminated"].into_iter().find_map(|s| state?.get(s)?.get("reason")?.as_str());
    reason.unwrap_or(text(pod, "/status/phase")).to_owned()
}

fn job_status(job: &Value) -> &'static str {
    match (condition(job, "Complete"), condition(job, "Failed")) {
        ("True", _) => "Complete",
        (_, "True") => "Failed",
        _ => "Running",
    }
}

/// How long ago something was, as kubectl writes it.
fn age(since: &str, now: Ms) -> String {
    let Ok(since) = since.parse::<jiff::Timestamp>() else {
        return "<none>".to_owned();
    };
    let seconds = (timestamp(now).as_second() - since.as_second()).max(0);
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600, seconds / 60);
    match seconds {
        _ if days >= 2 => format!("{days}d"),
        _ if hours >= 3 => format!("{hours}h"),
        _ if minutes >= 10 => format!("{minutes}m"),
        _ if seconds >= 120 && seconds % 60 > 0 => format!("{minutes}m{}s", seconds % 60),
        _ if seconds >= 120 => format!("{minutes}m"),
        _ => format!("{seconds}s"),
    }
}
