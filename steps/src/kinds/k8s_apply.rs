//! `K8sApply`: brings the objects of manifest files into a cluster by server-side apply.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::discovery::Scope;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use wf_engine::model::event::{Fields, StepFailure};
use wf_engine::step::{Field, FieldType, Iam, KindInfo, Observed, Rbac, Reversibility, StepContext, StepKind, fields};

use crate::aws::Cloud;
use crate::k8s::manifest::{Manifest, gvk, named};
use crate::k8s::{Cluster, Kubernetes, MANAGER};

/// Applies manifests.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct K8sApply {
    /// The cluster.
    pub cluster: Cluster,
    /// The files.
    pub manifests: Vec<PathBuf>,
    /// The namespace of objects that name none.
    #[serde(default = "default_namespace")]
    pub namespace: String,
    /// Who owns the fields.
    #[serde(default = "default_manager")]
    pub field_manager: String,
    /// Whether fields of other managers are taken over.
    #[serde(default)]
    pub force: bool,
}

fn default_namespace() -> String {
    "default".to_owned()
}

fn default_manager() -> String {
    MANAGER.to_owned()
}

/// The objects before the step, in the order of the files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ApplyBefore {
    /// The hash of each file.
    pub manifests: Vec<String>,
    /// Each object as it was; `None` of one that was not there.
    pub objects: Vec<Option<Value>>,
}

/// How much of old objects the journal takes, in bytes of JSON.
const OLD_LEN_MAX: usize = 32 * 1024;

#[async_trait]
impl StepKind for K8sApply {
    type Env = Cloud;
    type Before = ApplyBefore;
    type Handle = ();

    const INFO: KindInfo = KindInfo {
        name: "K8sApply",
        summary: "applies manifest files to a cluster, server-side",
        example: r#"(id: "maintenance", run: K8sApply(cluster: Eks(name: "production-dr", region: "us-west-2"), namespace: "production", manifests: ["workflows/k8s/maintenance.yaml"]))"#,
        reversibility: Reversibility::Reversible,
        params: &[
            Field::new("cluster", FieldType::Json, Cluster::DOC),
            Field::new("manifests", FieldType::Json, "YAML files, one or more objects each; no Secrets"),
            Field::new("namespace", FieldType::Text, "the namespace of objects that name none; default \"default\""),
            Field::new("field_manager", FieldType::Text, "who owns the fields; default \"wf\""),
            Field::new(
                "force",
                FieldType::Bool,
                "whether fields of other managers are taken over; default false: a conflict fails the step",
            ),
        ],
        outputs: &[Field::new("objects", FieldType::Integer, "how many objects were applied")],
        before: &[],
        iam: Iam { read: &["eks:DescribeCluster", "eks:ListClusters"], apply: &[], compensate: &[], ready: &[] },
        rbac: Rbac {
            read: &["get the kinds of the manifests"],
            apply: &["create,patch the kinds of the manifests"],
            compensate: &["update,patch,delete the kinds of the manifests"],
        },
        facts: &[
            "applying twice changes nothing; a file that changed after the step began is refused",
            "a rollback deletes what the step made and puts back what it found, in the opposite order",
            "what was found is recorded in the journal, so Secrets are refused: K8sPatchSecret keeps their values out of it",
            "applied does not mean running: follow it with K8sWaitPodsReady or K8sRolloutRestart",
        ],
        typical: Duration::from_secs(5),
        timeout: Duration::from_secs(5 * 60),
    };

    fn problems(&self) -> Vec<String> {
        if self.manifests.is_empty() { vec!["`manifests` names no file".to_owned()] } else { Vec::new() }
    }

    async fn observe(&self, cx: &StepContext<Cloud>, intent: Option<&ApplyBefore>) -> Result<Observed<ApplyBefore>, StepFailure> {
        if let Some(intent) = intent {
            return Ok(Observed::Differs(intent.clone()));
        }
        let manifests = self.read()?;
        let kubernetes = Kubernetes::reach(cx, &self.cluster).await?;
        let mut objects = Vec::new();
        for object in manifests.iter().flat_map(|manifest| &manifest.objects) {
            let api = self.api(&kubernetes, object).await?;
            let name = object.metadata.name.clone().unwrap_or_default();
            let found = kubernetes.find(&format!("read {}", named(object)), api.get(&name)).await?;
            objects.push(found.as_ref().map(as_it_was));
        }
        if json!(objects).to_string().len() > OLD_LEN_MAX {
            return Err(StepFailure::permanent(format!(
                "what the manifests would change is more than the {OLD_LEN_MAX} bytes that are recorded"
            ))
            .hint("apply fewer objects in one step"));
        }
        let hashes = manifests.into_iter().map(|manifest| manifest.hash).collect();
        Ok(Observed::Differs(ApplyBefore { manifests: hashes, objects }))
    }

    async fn apply(&self, cx: &StepContext<Cloud>, before: &ApplyBefore) -> Result<(), StepFailure> {
        let objects = self.objects(before)?;
        let kubernetes = Kubernetes::reach(cx, &self.cluster).await?;
        let params = PatchParams { field_manager: Some(self.field_manager.clone()), force: self.force, ..PatchParams::default() };
        for object in &objects {
            let api = self.api(&kubernetes, object).await?;
            let name = object.metadata.name.clone().unwrap_or_default();
            kubernetes.change(&format!("apply {}", named(object)), api.patch(&name, &params, &Patch::Apply(object))).await?;
        }
        Ok(())
    }

    async fn settle(&self, _cx: &StepContext<Cloud>, before: &ApplyBefore, _handle: Option<&()>) -> Result<Fields, StepFailure> {
        Ok(fields([("objects", json!(before.objects.len()))]))
    }

    async fn compensate(&self, cx: &StepContext<Cloud>, before: &ApplyBefore, _handle: Option<&()>) -> Result<(), StepFailure> {
        let objects = self.objects(before)?;
        let kubernetes = Kubernetes::reach(cx, &self.cluster).await?;
        for (object, old) in objects.iter().zip(&before.objects).rev() {
            let api = self.api(&kubernetes, object).await?;
            let name = object.metadata.name.clone().unwrap_or_default();
            match old {
                None => {
                    kubernetes.delete(&format!("delete {}", named(object)), api.delete(&name, &DeleteParams::background())).await?;
                }
                Some(old) => {
                    let old: DynamicObject = serde_json::from_value(old.clone()).map_err(|error| {
                        StepFailure::permanent(format!("the old {} cannot be read", named(object))).because(error.to_string())
                    })?;
                    self.put_back(&kubernetes, &api, &name, old).await?;
                }
            }
        }
        Ok(())
    }
}

impl K8sApply {
    fn read(&self) -> Result<Vec<Manifest>, StepFailure> {
        let manifests = self.manifests.iter().map(|file| Manifest::read(file)).collect::<Result<Vec<_>, _>>()?;
        let secret = |object: &&DynamicObject| object.types.as_ref().is_some_and(|types| types.kind == "Secret");
        match manifests.iter().flat_map(|manifest| &manifest.objects).find(secret) {
            Some(secret) => Err(StepFailure::permanent(format!("{} is a Secret: K8sApply would record its values", named(secret)))
                .hint("K8sPatchSecret sets its keys, from environment variables or files")),
            None => Ok(manifests),
        }
    }

    /// Reads the objects again, of the same files.
    fn objects(&self, before: &ApplyBefore) -> Result<Vec<DynamicObject>, StepFailure> {
        let mut objects = Vec::new();
        for ((manifest, hash), file) in self.read()?.into_iter().zip(&before.manifests).zip(&self.manifests) {
            manifest.must_be(hash, file)?;
            objects.extend(manifest.objects);
        }
        Ok(objects)
    }

    /// Puts an object back as it was, and then its fields into the hands of those who managed them: the first call makes us the manager of what
    /// it changes, and the next `K8sApply`, a manager of its own, would be refused because of us.
    async fn put_back(
        &self,
        kubernetes: &Kubernetes<'_>,
        api: &Api<DynamicObject>,
        name: &str,
        mut old: DynamicObject,
    ) -> Result<(), StepFailure> {
        let (reading, what) = (format!("read {}", named(&old)), format!("put back {}", named(&old)));
        let params = PostParams { field_manager: Some(self.field_manager.clone()), ..PostParams::default() };
        // Objects of custom types are replaced by version only.
        old.metadata.resource_version = kubernetes.read(&reading, api.get(name)).await?.metadata.resource_version;
        let now = kubernetes.change(&what, api.replace(name, &params, &old)).await?;
        let managers = old.metadata.managed_fields.filter(|managers| Some(managers) != now.metadata.managed_fields.as_ref());
        if let Some(managers) = managers {
            let patch = Patch::Merge(json!({ "metadata": { "managedFields": managers } }));
            let params = PatchParams { field_manager: Some(self.field_manager.clone()), ..PatchParams::default() };
            kubernetes.change(&what, api.patch(name, &params, &patch)).await?;
        }
        Ok(())
    }

    /// Returns the calls for an object, whose type is looked up in the cluster.
    async fn api(&self, kubernetes: &Kubernetes<'_>, object: &DynamicObject) -> Result<Api<DynamicObject>, StepFailure> {
        let gvk = gvk(object).ok_or_else(|| StepFailure::permanent(format!("{} has no type", named(object))))?;
        let client = kubernetes.client();
        let what = format!("look up the type of {}", named(object));
        let (resource, capabilities) = kubernetes.read(&what, kube::discovery::pinned_kind(&client, &gvk)).await?;
        Ok(match capabilities.scope {
            Scope::Cluster => Api::all_with(client, &resource),
            Scope::Namespaced => {
                let namespace = object.metadata.namespace.as_deref().unwrap_or(&self.namespace);
                Api::namespaced_with(client, namespace, &resource)
            }
        })
    }
}

/// Returns an object without what only the cluster may set.
fn as_it_was(object: &DynamicObject) -> Value {
    let mut object = object.clone();
    object.metadata.resource_version = None;
    object.metadata.uid = None;
    object.metadata.creation_timestamp = None;
    object.metadata.generation = None;
    if let Some(fields) = object.data.as_object_mut() {
        fields.remove("status");
    }
    json!(object)
}
