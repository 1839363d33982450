//! Deployments, StatefulSets and DaemonSets as the kinds see them: when a rollout is done, and why pods are not ready.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind};
use serde::Deserialize;
use serde_json::Value;
use wf_engine::model::event::StepFailure;

use super::kubernetes::Kubernetes;

/// A type of object that runs pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum WorkloadKind {
    /// A Deployment.
    Deployment,
    /// A StatefulSet.
    StatefulSet,
    /// A DaemonSet.
    DaemonSet,
}

impl WorkloadKind {
    /// Returns the type as the API knows it.
    fn resource(self) -> ApiResource {
        let (kind, plural) = match self {
            Self::Deployment => ("Deployment", "deployments"),
            Self::StatefulSet => ("StatefulSet", "statefulsets"),
            Self::DaemonSet => ("DaemonSet", "daemonsets"),
        };
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("apps", "v1", kind), plural)
    }

    /// Returns the names of the other types, as the API knows them.
    pub(crate) fn others(self) -> [&'static str; 2] {
        match self {
            Self::Deployment => ["statefulsets", "daemonsets"],
            Self::StatefulSet => ["deployments", "daemonsets"],
            Self::DaemonSet => ["deployments", "statefulsets"],
        }
    }

    /// Returns the calls for workloads of this type in a namespace.
    pub(crate) fn api(self, kubernetes: &Kubernetes<'_>, namespace: &str) -> Api<DynamicObject> {
        kubernetes.custom(namespace, &self.resource())
    }
}

impl std::fmt::Display for WorkloadKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Deployment => "deployment",
            Self::StatefulSet => "statefulset",
            Self::DaemonSet => "daemonset",
        })
    }
}

/// How far a rollout is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Rollout {
    /// All pods are of the newest template, and available.
    Done,
    /// What is missing.
    Going(String),
    /// The controller has given up.
    Stuck(String),
}

/// Judges a rollout by the rule of `kubectl rollout status`: nothing counts that the controller said of an older generation.
pub(crate) fn rollout(kind: WorkloadKind, object: &DynamicObject) -> Rollout {
    let generation = object.metadata.generation.unwrap_or_default();
    if number(object, "/status/observedGeneration") < generation {
        return Rollout::Going("the controller has not seen the change yet".to_owned());
    }
    match kind {
        WorkloadKind::Deployment => deployment(object),
        WorkloadKind::StatefulSet => stateful_set(object),
        WorkloadKind::DaemonSet => {
            let wanted = number(object, "/status/desiredNumberScheduled");
            let (updated, available) = (number(object, "/status/updatedNumberScheduled"), number(object, "/status/numberAvailable"));
            first([
                (updated < wanted, format!("{updated}/{wanted} pods are updated")),
                (available < wanted, format!("{available}/{wanted} pods are available")),
            ])
        }
    }
}

fn deployment(object: &DynamicObject) -> Rollout {
    let conditions = object.data.pointer("/status/conditions").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let stuck = conditions.iter().find(|condition| condition["type"] == "Progressing" && condition["reason"] == "ProgressDeadlineExceeded");
    if let Some(condition) = stuck {
        return Rollout::Stuck(condition["message"].as_str().unwrap_or("it exceeded its progress deadline").to_owned());
    }
    let wanted = replicas(object);
    let [all, updated, available] =
        ["/status/replicas", "/status/updatedReplicas", "/status/availableReplicas"].map(|at| number(object, at));
    first([
        (updated < wanted, format!("{updated}/{wanted} replicas are updated")),
        (all > updated, format!("{} old replicas have yet to go", all - updated)),
        (available < updated, format!("{available}/{updated} updated replicas are available")),
    ])
}

fn stateful_set(object: &DynamicObject) -> Rollout {
    let (wanted, partition) = (replicas(object), number(object, "/spec/updateStrategy/rollingUpdate/partition"));
    let [ready, updated] = ["/status/readyReplicas", "/status/updatedReplicas"].map(|at| number(object, at));
    let revision = |at: &str| object.data.pointer(at).and_then(Value::as_str).unwrap_or_default();
    let whole = partition == 0 && revision("/status/currentRevision") != revision("/status/updateRevision");
    let newer = (wanted - partition).max(0);
    first([
        (ready < wanted, format!("{ready}/{wanted} pods are ready")),
        (partition > 0 && updated < newer, format!("{updated}/{newer} pods are updated")),
        (whole, format!("{updated}/{wanted} pods are updated")),
    ])
}

fn first<const N: usize>(missing: [(bool, String); N]) -> Rollout {
    missing.into_iter().find(|(is, _)| *is).map_or(Rollout::Done, |(_, said)| Rollout::Going(said))
}

/// Returns how many pods a workload wants; Kubernetes takes one for none said.
pub(crate) fn replicas(object: &DynamicObject) -> i64 {
    object.data.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1)
}

fn number(object: &DynamicObject, at: &str) -> i64 {
    object.data.pointer(at).and_then(Value::as_i64).unwrap_or_default()
}

/// Returns the label selector of a workload's pods, as a list call takes it. Expressions beside the labels are left out: more pods are told of.
pub(crate) fn pod_selector(object: &DynamicObject) -> String {
    let labels = object.data.pointer("/spec/selector/matchLabels").and_then(Value::as_object);
    let labels = labels.into_iter().flatten().filter_map(|(name, value)| Some(format!("{name}={}", value.as_str()?)));
    labels.collect::<Vec<_>>().join(",")
}

/// Lists the pods that match a selector.
pub(crate) async fn pods(kubernetes: &Kubernetes<'_>, namespace: &str, selector: &str) -> Result<Vec<Pod>, StepFailure> {
    kubernetes.list(&format!("list the pods {selector} of {namespace}"), &kubernetes.namespaced(namespace), Some(selector)).await
}

/// Tells whether a pod serves: it is ready, and not on its way out.
pub(crate) fn is_ready(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_none() && condition(pod, "Ready").is_some_and(|(status, _)| status == "True")
}

/// Says why a pod is not ready: it has no node, its image cannot be had, it crashes; `None` of one that is, or that goes.
pub(crate) fn why_not_ready(pod: &Pod) -> Option<String> {
    if is_ready(pod) || pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let status = pod.status.as_ref();
    let containers = status.and_then(|status| status.container_statuses.as_deref()).unwrap_or_default();
    let unscheduled = condition(pod, "PodScheduled").filter(|(status, _)| *status == "False").map(|(_, message)| message.to_owned());
    let why = unscheduled.or_else(|| containers.iter().find_map(waits_for)).unwrap_or_else(|| {
        let phase = status.and_then(|status| status.phase.as_deref()).unwrap_or("Unknown");
        format!("{phase}, not ready yet")
    });
    Some(format!("{}: {why}", pod.metadata.name.as_deref().unwrap_or_default()))
}

fn condition<'a>(pod: &'a Pod, wanted: &str) -> Option<(&'a str, &'a str)> {
    let conditions = pod.status.as_ref()?.conditions.as_deref()?;
    let found = conditions.iter().find(|condition| condition.type_ == wanted)?;
    Some((&found.status, found.message.as_deref().or(found.reason.as_deref()).unwrap_or_default()))
}

fn waits_for(container: &ContainerStatus) -> Option<String> {
    let state = container.state.as_ref()?;
    if let Some(waiting) = &state.waiting {
        let message = waiting.message.as_deref().map(|message| format!(" ({message})")).unwrap_or_default();
        return Some(format!("container {} {}{message}", container.name, waiting.reason.as_deref().unwrap_or("waits")));
    }
    let ended = state.terminated.as_ref()?;
    Some(format!("container {} ended with exit code {}", container.name, ended.exit_code))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(kind: WorkloadKind, generation: i64, data: Value) -> DynamicObject {
        let mut object = DynamicObject::new("web-app", &kind.resource());
        object.metadata.generation = Some(generation);
        object.data = data;
        object
    }

    #[test]
    fn a_deployment_is_done_by_kubectls_rule() {
        let judge = |status: Value| {
            rollout(WorkloadKind::Deployment, &object(WorkloadKind::Deployment, 2, json!({ "spec": { "replicas": 3 }, "status": status })))
        };
        let going = |said: &str| Rollout::Going(said.to_owned());
        assert_eq!(judge(json!({ "observedGeneration": 1 })), going("the controller has not seen the change yet"));
        assert_eq!(judge(json!({ "observedGeneration": 2, "updatedReplicas": 1 })), going("1/3 replicas are updated"));
        assert_eq!(judge(json!({ "observedGeneration": 2, "updatedReplicas": 3, "replicas": 4 })), going("1 old replicas have yet to go"));
        let available = json!({ "observedGeneration": 2, "updatedReplicas": 3, "replicas": 3, "availableReplicas": 2 });
        assert_eq!(judge(available), going("2/3 updated replicas are available"));
        assert_eq!(judge(json!({ "observedGeneration": 2, "updatedReplicas": 3, "replicas": 3, "availableReplicas": 3 })), Rollout::Done);
        let stuck = json!({ "observedGeneration": 2, "conditions": [{ "type": "Progressing", "reason": "ProgressDeadlineExceeded", "message": "timed out" }] });
        assert_eq!(judge(stuck), Rollout::Stuck("timed out".to_owned()));
    }

    #[test]
    fn stateful_sets_and_daemon_sets_have_rules_of_their_own() {
        let set = |status: Value| {
            rollout(
                WorkloadKind::StatefulSet,
                &object(WorkloadKind::StatefulSet, 1, json!({ "spec": { "replicas": 2 }, "status": status })),
            )
        };
        let old =
            json!({ "observedGeneration": 1, "readyReplicas": 2, "updatedReplicas": 1, "currentRevision": "a", "updateRevision": "b" });
        assert_eq!(set(old), Rollout::Going("1/2 pods are updated".to_owned()));
        let new =
            json!({ "observedGeneration": 1, "readyReplicas": 2, "updatedReplicas": 2, "currentRevision": "b", "updateRevision": "b" });
        assert_eq!(set(new), Rollout::Done);
        let daemon = json!({ "status": { "observedGeneration": 1, "desiredNumberScheduled": 3, "updatedNumberScheduled": 3, "numberAvailable": 2 } });
        assert_eq!(
            rollout(WorkloadKind::DaemonSet, &object(WorkloadKind::DaemonSet, 1, daemon)),
            Rollout::Going("2/3 pods are available".to_owned())
        );
    }

    #[test]
    fn pods_tell_what_keeps_them() {
        let pod = |status: Value| serde_json::from_value::<Pod>(json!({ "metadata": { "name": "p" }, "status": status })).expect("a pod");
        let unscheduled = json!({ "conditions": [{ "type": "PodScheduled", "status": "False", "message": "0/0 nodes are available" }] });
        assert_eq!(why_not_ready(&pod(unscheduled)).as_deref(), Some("p: 0/0 nodes are available"));
        let pulling = json!({ "containerStatuses": [{
            "name": "web-app", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
            "state": { "waiting": { "reason": "ImagePullBackOff", "message": "Back-off pulling image" } },
        }] });
        assert_eq!(why_not_ready(&pod(pulling)).as_deref(), Some("p: container web-app ImagePullBackOff (Back-off pulling image)"));
        assert_eq!(why_not_ready(&pod(json!({ "conditions": [{ "type": "Ready", "status": "True" }] }))), None);
    }
}
