//! Horizontal pod autoscalers: they keep replicas between their bounds, whoever else changes them. Load is not simulated.

use serde_json::json;

use super::key;
use super::kinds::{AUTOSCALERS, DEPLOYMENTS, STATEFUL_SETS};
use super::tick::Tick;
use super::value::{namespace, number, put, set_condition, text};

/// Brings every scale target between its autoscaler's bounds. A target of no replicas is left alone, as the real one does.
pub(super) fn run(tick: &mut Tick) {
    for own in tick.kube.keys(AUTOSCALERS) {
        let Some(scaler) = tick.kube.hidden(AUTOSCALERS, &own).map(|a| a.json.clone()) else {
            continue;
        };
        let kind = if text(&scaler, "/spec/scaleTargetRef/kind") == "StatefulSet" { STATEFUL_SETS } else { DEPLOYMENTS };
        let target = key(namespace(&scaler), text(&scaler, "/spec/scaleTargetRef/name"));
        let found = tick.kube.hidden(kind, &target).map(|t| t.json.clone());
        let stamp = tick.stamp();
        let mut status = scaler.get("status").cloned().unwrap_or_else(|| json!({ "currentMetrics": null }));
        match &found {
            None => {
                let message = "the HPA controller was unable to get the target's current scale";
                set_condition(&mut status, "AbleToScale", "False", "FailedGetScale", message, &stamp);
            }
            Some(target) => {
                set_condition(&mut status, "AbleToScale", "True", "ReadyForNewScale", "recommended size matches current size", &stamp);
                put(&mut status, &["currentReplicas"], number(target, "/status/replicas").unwrap_or(0).into());
            }
        }
        let replicas = found.as_ref().map(|t| number(t, "/spec/replicas").unwrap_or(1));
        let bounds = (number(&scaler, "/spec/minReplicas").unwrap_or(1), number(&scaler, "/spec/maxReplicas").unwrap_or(1));
        let wanted = match replicas {
            Some(0) => {
                let message = "scaling is disabled since the replica count of the target is zero";
                set_condition(&mut status, "ScalingActive", "False", "ScalingDisabled", message, &stamp);
                0
            }
            Some(now) => now.clamp(bounds.0.min(bounds.1), bounds.1),
            None => 0,
        };
        put(&mut status, &["desiredReplicas"], wanted.into());
        if let Some(now) = replicas
            && now != wanted
        {
            tick.kube.change(kind, &target, |t| put(t, &["spec", "replicas"], wanted.into()));
            put(&mut status, &["lastScaleTime"], stamp.into());
        }
        tick.kube.change(AUTOSCALERS, &own, |a| put(a, &["status"], status));
    }
}
