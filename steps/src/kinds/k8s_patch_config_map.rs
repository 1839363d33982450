//! `K8sPatchConfigMap`: sets keys of a ConfigMap, and can set them back.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, Patch, PatchParams};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use wf_engine::model::definition::Objectives;
use wf_engine::model::event::{Fields, StepFailure};
use wf_engine::readiness::Check;
use wf_engine::step::{Change, Field, FieldType, Iam, KindInfo, Observed, Rbac, Reversibility, StepContext, StepKind, fields};

use crate::aws::Cloud;
use crate::k8s::{Cluster, Kubernetes, MANAGER, readiness};

/// Sets keys of a ConfigMap.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct K8sPatchConfigMap {
    /// The cluster.
    pub cluster: Cluster,
    /// The ConfigMap's namespace.
    pub namespace: String,
    /// The ConfigMap.
    pub name: String,
    /// New values by key.
    pub data: BTreeMap<String, String>,
}

/// What the keys that differed were; `None` of one that was not there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConfigBefore {
    /// The old values by key.
    pub old: BTreeMap<String, Option<String>>,
}

/// How much of old values the journal takes, in bytes.
const OLD_LEN_MAX: usize = 16 * 1024;

#[async_trait]
impl StepKind for K8sPatchConfigMap {
    type Env = Cloud;
    type Before = ConfigBefore;
    type Handle = ();

    const INFO: KindInfo = KindInfo {
        name: "K8sPatchConfigMap",
        summary: "sets keys of a Kubernetes ConfigMap",
        example: r#"(id: "region", run: K8sPatchConfigMap(cluster: Eks(name: "production-dr", region: "us-west-2"), namespace: "production", name: "web-app-config", data: { "REGION": "us-west-2" }))"#,
        reversibility: Reversibility::Reversible,
        params: &[
            Field::new("cluster", FieldType::Json, Cluster::DOC),
            Field::new("namespace", FieldType::Text, "the ConfigMap's namespace"),
            Field::new("name", FieldType::Text, "the ConfigMap, which must be there"),
            Field::new("data", FieldType::Json, "new values by key"),
        ],
        outputs: &[Field::new("changed", FieldType::Integer, "how many keys had to be changed")],
        before: &[],
        iam: Iam { read: &["eks:DescribeCluster", "eks:ListClusters"], apply: &[], compensate: &[], ready: &[] },
        rbac: Rbac { read: &["get configmaps", readiness::GET_NAMESPACES], apply: &["patch configmaps"], compensate: &[] },
        facts: &[
            "old and new values are recorded in the journal: what is secret belongs into a Secret",
            "the change is made against the version that was read: one by somebody else in between is not overwritten, the step looks again",
            "a key that somebody else changed after the step is not set back: the rollback says so",
        ],
        typical: Duration::from_secs(2),
        timeout: Duration::from_secs(120),
    };

    fn problems(&self) -> Vec<String> {
        if self.data.is_empty() { vec!["`data` names no key: there is nothing to set".to_owned()] } else { Vec::new() }
    }

    fn changes(&self, before: &ConfigBefore) -> Vec<Change> {
        let change =
            |(key, old): (&String, &Option<String>)| Some(Change::new(key, old.as_deref().unwrap_or_default(), self.data.get(key)?));
        before.old.iter().filter_map(change).collect()
    }

    async fn observe(&self, cx: &StepContext<Cloud>, intent: Option<&ConfigBefore>) -> Result<Observed<ConfigBefore>, StepFailure> {
        let now = self.get(&Kubernetes::reach(cx, &self.cluster).await?).await?.data.unwrap_or_default();
        let differ = self.data.iter().filter(|(key, value)| now.get(*key) != Some(*value));
        let old: BTreeMap<_, _> = differ.map(|(key, _)| (key.clone(), now.get(key).cloned())).collect();
        if old.values().flatten().map(String::len).sum::<usize>() > OLD_LEN_MAX {
            return Err(StepFailure::permanent(format!(
                "the old values of {self} are longer than the {OLD_LEN_MAX} bytes that are recorded"
            ))
            .hint("change fewer keys in one step"));
        }
        let as_wished = old.is_empty();
        // What was found at first is what is restored.
        let before = intent.filter(|earlier| !earlier.old.is_empty()).cloned().unwrap_or(ConfigBefore { old });
        Ok(if as_wished { Observed::Satisfied(before) } else { Observed::Differs(before) })
    }

    async fn readiness(&self, cx: &StepContext<Cloud>, _objectives: &Objectives) -> Result<Vec<Check>, StepFailure> {
        readiness::namespace(cx, &self.cluster, &self.namespace).await
    }

    async fn apply(&self, cx: &StepContext<Cloud>, _before: &ConfigBefore) -> Result<(), StepFailure> {
        let kubernetes = Kubernetes::reach(cx, &self.cluster).await?;
        let version = self.get(&kubernetes).await?.metadata.resource_version;
        self.patch(&kubernetes, "set keys of", version, json!(self.data)).await
    }

    async fn settle(&self, _cx: &StepContext<Cloud>, before: &ConfigBefore, _handle: Option<&()>) -> Result<Fields, StepFailure> {
        Ok(fields([("changed", json!(before.old.len()))]))
    }

    async fn compensate(&self, cx: &StepContext<Cloud>, before: &ConfigBefore, _handle: Option<&()>) -> Result<(), StepFailure> {
        if before.old.is_empty() {
            return Ok(());
        }
        let kubernetes = Kubernetes::reach(cx, &self.cluster).await?;
        let found = self.get(&kubernetes).await?;
        let now = found.data.unwrap_or_default();
        let mut back = BTreeMap::new();
        for (key, old) in &before.old {
            match now.get(key) {
                found if found == old.as_ref() => {}
                found if found == self.data.get(key) => _ = back.insert(key, old),
                _ => {
                    let failure = StepFailure::permanent(format!("somebody else has changed the key {key} of {self} since the step did"));
                    return Err(failure.hint("it is not set back: decide which value is right; `wf log` has the old one"));
                }
            }
        }
        if back.is_empty() {
            return Ok(());
        }
        self.patch(&kubernetes, "set back keys of", found.metadata.resource_version, json!(back)).await
    }
}

impl std::fmt::Display for K8sPatchConfigMap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "config map {}/{}", self.namespace, self.name)
    }
}

impl K8sPatchConfigMap {
    async fn get(&self, kubernetes: &Kubernetes<'_>) -> Result<ConfigMap, StepFailure> {
        let maps: Api<ConfigMap> = kubernetes.namespaced(&self.namespace);
        let found = kubernetes.find(&format!("read {self}"), maps.get(&self.name)).await?;
        found.ok_or_else(|| {
            StepFailure::permanent(format!("there is no {self} in {}", self.cluster))
                .hint("check the name and the namespace; is it restored already?")
        })
    }

    async fn patch(&self, kubernetes: &Kubernetes<'_>, doing: &str, version: Option<String>, data: Value) -> Result<(), StepFailure> {
        let maps: Api<ConfigMap> = kubernetes.namespaced(&self.namespace);
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        let patch = Patch::Merge(json!({ "metadata": { "resourceVersion": version }, "data": data }));
        kubernetes.change(&format!("{doing} {self}"), maps.patch(&self.name, &params, &patch)).await.map(drop)
    }
}
