//! What the API server fills in when an object leaves it out.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::kinds::{AUTOSCALERS, CLAIMS, CRON_JOBS, DAEMON_SETS, DEPLOYMENTS, JOBS, Kind, SECRETS, SERVICES, STATEFUL_SETS};
use super::value::{default, fields, put, remove};
use crate::world::hash;

/// Reads the text behind base64; empty if it is not such.
pub(super) fn decode(text: &str) -> String {
    STANDARD.decode(text).ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()
}

/// Writes text in base64.
pub(crate) fn encode(text: &str) -> String {
    STANDARD.encode(text)
}

/// Reports whether text is base64, as a secret's values must be.
pub(crate) fn is_base64(text: &str) -> bool {
    STANDARD.decode(text).is_ok()
}

/// Completes an object of a kind.
pub(crate) fn fill_in(kind: &Kind, object: &mut Value) {
    if kind == SECRETS {
        default(object, &["type"], "Opaque".into());
        let plain: Vec<(String, String)> =
            fields(object, "/stringData").map(|(field, value)| (field.to_owned(), value.as_str().unwrap_or_default().to_owned())).collect();
        plain.iter().for_each(|(field, value)| put(object, &["data", field], encode(value).into()));
        remove(object, &["stringData"]);
    } else if kind == SERVICES {
        default(object, &["spec", "type"], "ClusterIP".into());
        let digest = hash(18, &super::key_of(object), 0);
        default(object, &["spec", "clusterIP"], format!("172.20.{}.{}", digest % 256, (digest >> 8) % 250 + 2).into());
    } else if kind == CLAIMS {
        default(object, &["status", "phase"], "Bound".into());
    } else if kind == AUTOSCALERS {
        default(object, &["spec", "minReplicas"], 1.into());
    } else if kind == CRON_JOBS {
        default(object, &["spec", "suspend"], false.into());
        default(object, &["spec", "concurrencyPolicy"], "Allow".into());
        default(object, &["spec", "successfulJobsHistoryLimit"], 3.into());
        default(object, &["spec", "failedJobsHistoryLimit"], 1.into());
    } else if kind == JOBS {
        for (field, value) in [("backoffLimit", 6), ("completions", 1), ("parallelism", 1)] {
            default(object, &["spec", field], value.into());
        }
        default(object, &["spec", "suspend"], false.into());
    } else if [DEPLOYMENTS, STATEFUL_SETS, DAEMON_SETS].contains(&kind) {
        fill_in_workload(kind, object);
    }
    if object.pointer("/spec/template/spec/containers").is_some() {
        fill_in_template(kind, object);
    }
}

fn fill_in_workload(kind: &Kind, object: &mut Value) {
    if kind != DAEMON_SETS {
        default(object, &["spec", "replicas"], 1.into());
    }
    default(object, &["spec", "revisionHistoryLimit"], 10.into());
    if kind == DEPLOYMENTS {
        default(object, &["spec", "progressDeadlineSeconds"], 600.into());
        default(object, &["spec", "strategy", "type"], "RollingUpdate".into());
        if object["spec"]["strategy"]["type"] == "RollingUpdate" {
            default(object, &["spec", "strategy", "rollingUpdate"], json!({ "maxSurge": "25%", "maxUnavailable": "25%" }));
        }
    } else {
        default(object, &["spec", "updateStrategy", "type"], "RollingUpdate".into());
    }
}

fn fill_in_template(kind: &Kind, object: &mut Value) {
    let policy = if kind == JOBS { "Never" } else { "Always" };
    default(object, &["spec", "template", "spec", "restartPolicy"], policy.into());
    default(object, &["spec", "template", "spec", "dnsPolicy"], "ClusterFirst".into());
    default(object, &["spec", "template", "spec", "schedulerName"], "default-scheduler".into());
    default(object, &["spec", "template", "spec", "terminationGracePeriodSeconds"], 30.into());
    let containers = object.pointer_mut("/spec/template/spec/containers").and_then(Value::as_array_mut);
    for container in containers.into_iter().flatten() {
        default(container, &["imagePullPolicy"], "IfNotPresent".into());
        default(container, &["terminationMessagePath"], "/dev/termination-log".into());
        default(container, &["terminationMessagePolicy"], "File".into());
    }
}
