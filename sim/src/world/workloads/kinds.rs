//! The resources of the Kubernetes API that the simulated clusters have.

/// A resource: its names, and what can be done with it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    /// Empty for the core group.
    pub(crate) group: &'static str,
    pub(crate) version: &'static str,
    pub(crate) plural: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) namespaced: bool,
    pub(crate) short: &'static [&'static str],
    /// Whether `/status` is a resource of its own, which the main one leaves alone.
    pub(crate) status: bool,
    pub(crate) scale: bool,
}

const fn core(plural: &'static str, kind: &'static str, short: &'static [&'static str], status: bool) -> Kind {
    Kind { group: "", version: "v1", plural, kind, namespaced: true, short, status, scale: false }
}

const fn cluster_wide(kind: Kind) -> Kind {
    Kind { namespaced: false, ..kind }
}

const fn of(group: &'static str, version: &'static str, plural: &'static str, kind: &'static str, short: &'static [&'static str]) -> Kind {
    Kind { group, version, plural, kind, namespaced: true, short, status: true, scale: false }
}

const fn scalable(kind: Kind) -> Kind {
    Kind { scale: true, ..kind }
}

/// Velero keeps its custom resources without a status subresource, except where it says otherwise.
const fn velero(plural: &'static str, kind: &'static str, short: &'static [&'static str]) -> Kind {
    Kind { status: false, ..of("velero.io", "v1", plural, kind, short) }
}

pub(crate) const NAMESPACES: &Kind = &cluster_wide(core("namespaces", "Namespace", &["ns"], true));
pub(crate) const NODES: &Kind = &cluster_wide(core("nodes", "Node", &["no"], true));
pub(crate) const PODS: &Kind = &core("pods", "Pod", &["po"], true);
pub(crate) const SECRETS: &Kind = &core("secrets", "Secret", &[], false);
pub(crate) const CONFIG_MAPS: &Kind = &core("configmaps", "ConfigMap", &["cm"], false);
pub(crate) const SERVICES: &Kind = &core("services", "Service", &["svc"], true);
pub(crate) const CLAIMS: &Kind = &core("persistentvolumeclaims", "PersistentVolumeClaim", &["pvc"], true);
pub(crate) const EVENTS: &Kind = &core("events", "Event", &["ev"], false);
pub(crate) const DEPLOYMENTS: &Kind = &scalable(of("apps", "v1", "deployments", "Deployment", &["deploy"]));
pub(crate) const REPLICA_SETS: &Kind = &scalable(of("apps", "v1", "replicasets", "ReplicaSet", &["rs"]));
pub(crate) const STATEFUL_SETS: &Kind = &scalable(of("apps", "v1", "statefulsets", "StatefulSet", &["sts"]));
pub(crate) const DAEMON_SETS: &Kind = &of("apps", "v1", "daemonsets", "DaemonSet", &["ds"]);
pub(crate) const JOBS: &Kind = &of("batch", "v1", "jobs", "Job", &[]);
pub(crate) const CRON_JOBS: &Kind = &of("batch", "v1", "cronjobs", "CronJob", &["cj"]);
pub(crate) const INGRESSES: &Kind = &of("networking.k8s.io", "v1", "ingresses", "Ingress", &["ing"]);
pub(crate) const AUTOSCALERS: &Kind = &of("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler", &["hpa"]);
pub(crate) const BACKUPS: &Kind = &velero("backups", "Backup", &[]);
pub(crate) const RESTORES: &Kind = &velero("restores", "Restore", &[]);
pub(crate) const SCHEDULES: &Kind = &velero("schedules", "Schedule", &[]);
pub(crate) const LOCATIONS: &Kind = &velero("backupstoragelocations", "BackupStorageLocation", &["bsl"]);

/// Every resource.
pub(crate) const KINDS: [&Kind; 20] = [
    NAMESPACES,
    NODES,
    PODS,
    SECRETS,
    CONFIG_MAPS,
    SERVICES,
    CLAIMS,
    EVENTS,
    DEPLOYMENTS,
    REPLICA_SETS,
    STATEFUL_SETS,
    DAEMON_SETS,
    JOBS,
    CRON_JOBS,
    INGRESSES,
    AUTOSCALERS,
    BACKUPS,
    RESTORES,
    SCHEDULES,
    LOCATIONS,
];

impl Kind {
    /// Finds the resource that a path names.
    pub(crate) fn find(group: &str, version: &str, plural: &str) -> Option<&'static Kind> {
        KINDS.into_iter().find(|k| k.group == group && k.version == version && k.plural == plural)
    }

    /// Finds the resource of an object, by its `apiVersion` and `kind`.
    pub(crate) fn of_object(object: &serde_json::Value) -> Option<&'static Kind> {
        let field = |name: &str| object.get(name).and_then(serde_json::Value::as_str).unwrap_or_default();
        KINDS.into_iter().find(|k| k.api_version() == field("apiVersion") && k.kind == field("kind"))
    }

    /// Returns `group/version`, or the version alone in the core group.
    pub(crate) fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_owned() } else { format!("{}/{}", self.group, self.version) }
    }

    /// Returns the name by which messages call it: `secrets`, `deployments.apps`.
    pub(crate) fn qualified(&self) -> String {
        if self.group.is_empty() { self.plural.to_owned() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// Reports whether strategic merge patches are understood: custom resources have no schema that says how.
    pub(crate) fn is_built_in(&self) -> bool {
        self.group != "velero.io"
    }
}
