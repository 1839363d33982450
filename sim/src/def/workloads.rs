//! What runs in the clusters of a world file, written shorter than manifests are.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Span;

/// How long things in a cluster take.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WorkloadTimings {
    pub(crate) node_ready: Span,
    pub(crate) image_pull: Span,
    pub(crate) pod_ready: Span,
    pub(crate) pod_stop: Span,
    pub(crate) job: Span,
    pub(crate) ingress_address: Span,
    pub(crate) backup: Span,
    pub(crate) restore: Span,
}

impl Default for WorkloadTimings {
    fn default() -> Self {
        let span = |min, max| Span { min, max };
        WorkloadTimings {
            node_ready: span(15.0, 40.0),
            image_pull: span(5.0, 15.0),
            pod_ready: span(8.0, 20.0),
            pod_stop: span(2.0, 10.0),
            job: span(10.0, 30.0),
            ingress_address: span(60.0, 150.0),
            backup: span(40.0, 90.0),
            restore: span(60.0, 120.0),
        }
    }
}

impl WorkloadTimings {
    /// Every span by the name it has in messages.
    pub(super) fn named(&self) -> [(&'static str, Span); 8] {
        [
            ("workloads.node_ready", self.node_ready),
            ("workloads.image_pull", self.image_pull),
            ("workloads.pod_ready", self.pod_ready),
            ("workloads.pod_stop", self.pod_stop),
            ("workloads.job", self.job),
            ("workloads.ingress_address", self.ingress_address),
            ("workloads.backup", self.backup),
            ("workloads.restore", self.restore),
        ]
    }
}

/// What runs in a cluster.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WorkloadsDef {
    #[serde(default)]
    pub(crate) namespaces: BTreeMap<String, NamespaceDef>,
    #[serde(default)]
    pub(crate) velero: Option<VeleroDef>,
}

/// The objects of a namespace.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct NamespaceDef {
    /// In clear; `{endpoint REGION/DATABASE}` stands for a database's host name.
    pub(crate) secrets: BTreeMap<String, BTreeMap<String, String>>,
    pub(crate) config_maps: BTreeMap<String, BTreeMap<String, String>>,
    pub(crate) deployments: Vec<WorkloadDef>,
    pub(crate) stateful_sets: Vec<WorkloadDef>,
    pub(crate) daemon_sets: Vec<WorkloadDef>,
    pub(crate) services: BTreeMap<String, ServiceDef>,
    pub(crate) ingresses: Vec<IngressDef>,
    /// Persistent volume claims, by name: their sizes.
    pub(crate) claims: BTreeMap<String, String>,
    pub(crate) cron_jobs: Vec<CronJobDef>,
    pub(crate) autoscalers: Vec<AutoscalerDef>,
}

/// A deployment, a stateful set or a daemon set; its only container and its label `app` have its name.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WorkloadDef {
    pub(crate) name: String,
    #[serde(default = "one")]
    pub(crate) replicas: u32,
    pub(crate) image: String,
    /// `secret/key` stands for the key of a secret of the namespace.
    #[serde(default)]
    pub(crate) env: BTreeMap<String, String>,
    /// The claim of the volume that is mounted at `/data`.
    #[serde(default)]
    pub(crate) claim: Option<String>,
}

fn one() -> u32 {
    1
}

/// A service in front of the pods of one label `app`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServiceDef {
    pub(crate) app: String,
    pub(crate) port: u16,
    pub(crate) target_port: u16,
}

/// An ingress with one rule.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct IngressDef {
    pub(crate) name: String,
    pub(crate) host: String,
    pub(crate) service: String,
}

/// A cron job.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CronJobDef {
    pub(crate) name: String,
    pub(crate) schedule: String,
    pub(crate) image: String,
    #[serde(default)]
    pub(crate) env: BTreeMap<String, String>,
}

/// A horizontal pod autoscaler on a deployment.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AutoscalerDef {
    pub(crate) name: String,
    pub(crate) deployment: String,
    pub(crate) min: u32,
    pub(crate) max: u32,
}

/// Velero, where its backups lie and when it takes them.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct VeleroDef {
    pub(crate) location: String,
    pub(crate) bucket: String,
    /// Whether the bucket cannot be reached.
    #[serde(default)]
    pub(crate) unavailable: bool,
    #[serde(default)]
    pub(crate) schedules: Vec<ScheduleDef>,
}

/// A schedule of backups.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScheduleDef {
    pub(crate) name: String,
    pub(crate) cron: String,
    pub(crate) namespaces: Vec<String>,
    /// How many backups there are when the world begins.
    #[serde(default)]
    pub(crate) taken: u32,
}
