//! `K8sPatchSecret`: sets keys of a Secret, such as the host of a promoted database, and can set them back.
//!
//! The journal never sees a value, old or new. What the keys were before is kept where it was safe before: in a second Secret beside the first,
//! under the same rights and the same encryption at rest. Rejected: values in the journal, encrypted under a key of the operator's. The
//! key would have to be there at 3 a.m. on another machine, and a rollback without it would be none.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use wf_engine::model::definition::Objectives;
use wf_engine::model::event::{Fields, StepFailure};
use wf_engine::model::problem::nearest;
use wf_engine::readiness::Check;
use wf_engine::step::{Change, Field, FieldType, Iam, KindInfo, Observed, Rbac, Reversibility, StepContext, StepKind, fields};

use crate::aws::Cloud;
use crate::k8s::{Cluster, Kubernetes, MANAGER, readiness};

/// Sets keys of a Secret.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct K8sPatchSecret {
    /// The cluster.
    pub cluster: Cluster,
    /// The Secret's namespace.
    pub namespace: String,
    /// The Secret.
    pub name: String,
    /// New values by key.
    #[serde(default)]
    pub data: BTreeMap<String, String>,
    /// Environment variables that hold new values, by key.
    #[serde(default)]
    pub data_from_env: BTreeMap<String, String>,
    /// Files that hold new values, by key.
    #[serde(default)]
    pub data_from_file: BTreeMap<String, PathBuf>,
}

/// What must be known to set the keys back. No values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SecretBefore {
    /// The keys that differed.
    pub keys: Vec<String>,
    /// Those of them that were not there.
    pub absent: Vec<String>,
    /// The Secret that keeps their old values; none when nothing had to be changed.
    pub kept_in: Option<String>,
}

/// The version of the Secret that the change made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Patched {
    /// Kubernetes' `resourceVersion`.
    pub version: String,
}

/// Kubernetes takes a Secret of at most a mebibyte.
const VALUES_LEN_MAX: u64 = 1024 * 1024;
/// Marks a Secret that a step has changed, with the step's token.
const CHANGED_BY: &str = "wf.dr/changed-by";
/// In the Secret that keeps old values: what a key was, and what the step made of it.
const OLD: &str = "old.";
const NEW: &str = "new.";

type Values = BTreeMap<String, ByteString>;

#[async_trait]
impl StepKind for K8sPatchSecret {
    type Env = Cloud;
    type Before = SecretBefore;
    type Handle = Patched;

    const INFO: KindInfo = KindInfo {
        name: "K8sPatchSecret",
        summary: "sets keys of a Kubernetes Secret, the old values kept beside it in the cluster",
        example: r#"(id: "db_host", run: K8sPatchSecret(cluster: Eks(name: "production-dr", region: "us-west-2"), namespace: "production", name: "db-credentials", data: { "host": "prod-db-replica-west.cf74ae620883.us-west-2.rds.amazonaws.com" }))"#,
        reversibility: Reversibility::Reversible,
        params: &[
            Field::new("cluster", FieldType::Json, Cluster::DOC),
            Field::new("namespace", FieldType::Text, "the Secret's namespace"),
            Field::new("name", FieldType::Text, "the Secret, which must be there"),
            Field::new(
                "data",
                FieldType::Json,
                "new values by key, such as { \"host\": \"${promote.endpoint}\" }: recorded, so no passwords here",
            ),
            Field::new("data_from_env", FieldType::Json, "environment variables of wf that hold new values, by key: never recorded"),
            Field::new("data_from_file", FieldType::Json, "files that hold new values, by key, taken byte for byte: never recorded"),
        ],
        outputs: &[
            Field::new("changed", FieldType::Integer, "how many keys had to be changed"),
            Field::new("kept_in", FieldType::Text, "the Secret that keeps the old values; empty when nothing had to be changed"),
        ],
        before: &[Field::new("kept_in", FieldType::Text, "the Secret that keeps the old values")],
        iam: Iam { read: &["eks:DescribeCluster", "eks:ListClusters"], apply: &[], compensate: &[], ready: &[] },
        rbac: Rbac {
            read: &["get,list secrets", readiness::GET_NAMESPACES],
            apply: &["create,patch secrets"],
            compensate: &["delete secrets"],
        },
        facts: &[
            "pods that read the Secret into their environment see a change only when they are started anew: follow it with K8sRolloutRestart",
            "the old values are kept in a Secret wf-before-… in the same namespace, owned by the changed one, until the step is rolled back or that Secret goes",
            "the change is made against the version that was read: one by somebody else in between is not overwritten, the step looks again",
            "a key that somebody else changed after the step is not set back: the rollback says so",
        ],
        typical: Duration::from_secs(2),
        timeout: Duration::from_secs(120),
    };

    fn problems(&self) -> Vec<String> {
        let keys: Vec<_> = self.data.keys().chain(self.data_from_env.keys()).chain(self.data_from_file.keys()).collect();
        let mut problems = Vec::new();
        if keys.is_empty() {
            problems.push("none of `data`, `data_from_env` and `data_from_file` names a key: there is nothing to set".to_owned());
        }
        for (at, key) in keys.iter().enumerate() {
            if keys[..at].contains(key) {
                problems.push(format!("the key `{key}` is given twice"));
            }
            if key.is_empty() || key.len() > 253 - OLD.len() || !key.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
                problems.push(format!("`{key}` is no key of a Secret: letters, digits, `-`, `_` and `.`"));
            }
        }
        problems
    }

    fn changes(&self, before: &SecretBefore) -> Vec<Change> {
        before.keys.iter().map(|key| Change::new(key, if before.absent.contains(key) { "" } else { "(secret)" }, "(secret)")).collect()
    }

    async fn observe(&self, cx: &StepContext<Cloud>, intent: Option<&SecretBefore>) -> Result<Observed<SecretBefore>, StepFailure> {
        let wanted = self.wanted()?;
        let kubernetes = Kubernetes::reach(cx, &self.cluster).await?;
        let now = self.get(&kubernetes).await?.data.unwrap_or_default();
        let differs = |(key, value): &(&String, &ByteString)| now.get(*key) != Some(*value);
        let keys: Vec<_> = wanted.iter().filter(differs).map(|(key, _)| key.clone()).collect();
        if keys.is_empty() {
            let untouched = || SecretBefore { keys: Vec::new(), absent: Vec::new(), kept_in: None };
            return Ok(Observed::Satisfied(intent.cloned().unwrap_or_else(untouched)));
        }
        let absent = keys.iter().filter(|key| !now.contains_key(*key)).cloned().collect();
        let before = SecretBefore { absent, keys, kept_in: Some(format!("wf-before-{}", &cx.token()["wf-".len()..])) };
        Ok(Observed::Differs(intent.cloned().filter(|earlier| earlier.kept_in.is_some()).unwrap_or(before)))
    }

    async fn readiness(&self, cx: &StepContext<Cloud>, _objectives: &Objectives) -> Result<Vec<Check>, StepFailure> {
        readiness::namespace(cx, &self.cluster, &self.namespace).await
    }

    async fn apply(&self, cx: &StepContext<Cloud>, before: &SecretBefore) -> Result<Patched, StepFailure> {
        let wanted = self.wanted()?;
        let kubernetes = Kubernetes::reach(cx, &self.cluster).await?;
        let secrets: Api<Secret> = kubernetes.namespaced(&self.namespace);
        let secret = self.get(&kubernetes).await?;
        if let Some(kept_in) = &before.kept_in {
            // What an earlier attempt kept is older, and right.
            let keep = self.keep(cx, kept_in, &secret, &wanted, before);
            kubernetes
                .create(&format!("keep the old values of {self} in secret {kept_in}"), secrets.create(&PostParams::default(), &keep))
                .await?;
        }
        let patch = json!({
            "metadata": { "resourceVersion": secret.metadata.resource_version, "annotations": { CHANGED_BY: cx.token() } },
            "data": wanted,
        });
        let patched = self.patch(&kubernetes, &secrets, "set keys of", patch).await?;
        Ok(Patched { version: patched.metadata.resource_version.unwrap_or_default() })
    }

    async fn settle(&self, _cx: &StepContext<Cloud>, before: &SecretBefore, _handle: Option<&Patched>) -> Result<Fields, StepFailure> {
        Ok(fields([("changed", json!(before.keys.len())), ("kept_in", json!(before.kept_in.as_deref().unwrap_or_default()))]))
    }

    async fn compensate(&self, cx: &StepContext<Cloud>, before: &SecretBefore, _handle: Option<&Patched>) -> Result<(), StepFailure> {
        let Some(kept_in) = &before.kept_in else {
            return Ok(());
        };
        let kubernetes = Kubernetes::reach(cx, &self.cluster).await?;
        let secrets: Api<Secret> = kubernetes.namespaced(&self.namespace);
        let secret = self.get(&kubernetes).await?;
        let touched = secret.metadata.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(CHANGED_BY));
        let what = format!("read the old values of {self} in secret {kept_in}");
        let Some(kept) = kubernetes.find(&what, secrets.get(kept_in)).await? else {
            if !touched {
                return Ok(());
            }
            return Err(StepFailure::permanent(format!("the old values of {self} are gone: there is no secret {kept_in} any more"))
                .hint(format!("set the keys {} by hand", before.keys.join(", "))));
        };
        if let Some(old) = restored(&secret, &kept).map_err(|key| self.changed_since(&key, kept_in))? {
            let metadata = json!({ "resourceVersion": secret.metadata.resource_version, "annotations": { CHANGED_BY: null } });
            self.patch(&kubernetes, &secrets, "set back keys of", json!({ "metadata": metadata, "data": old })).await?;
        }
        let what = format!("remove secret {kept_in}, which kept the old values of {self}");
        kubernetes.delete(&what, secrets.delete(kept_in, &DeleteParams::default())).await.map(drop)
    }
}

impl std::fmt::Display for K8sPatchSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "secret {}/{}", self.namespace, self.name)
    }
}

impl K8sPatchSecret {
    /// Returns the new values. Read anew for each part: they are kept nowhere.
    fn wanted(&self) -> Result<Values, StepFailure> {
        let mut values: Values = self.data.iter().map(|(key, value)| (key.clone(), ByteString(value.clone().into_bytes()))).collect();
        for (key, variable) in &self.data_from_env {
            let value = std::env::var(variable).map_err(|_| {
                StepFailure::permanent(format!("the environment variable {variable}, for the key {key} of {self}, is not set"))
                    .hint(format!("export {variable} in this shell, and then try again: `wf resume`"))
            })?;
            values.insert(key.clone(), ByteString(value.into_bytes()));
        }
        for (key, file) in &self.data_from_file {
            let unreadable = |why: String| {
                StepFailure::permanent(format!("the file {}, for the key {key} of {self}, cannot be read", file.display())).because(why)
            };
            let len = std::fs::metadata(file).map_err(|error| unreadable(error.to_string()))?.len();
            if len > VALUES_LEN_MAX {
                return Err(unreadable(format!("it has {len} bytes, and a Secret takes {VALUES_LEN_MAX}")));
            }
            values.insert(key.clone(), ByteString(std::fs::read(file).map_err(|error| unreadable(error.to_string()))?));
        }
        Ok(values)
    }

    async fn get(&self, kubernetes: &Kubernetes<'_>) -> Result<Secret, StepFailure> {
        let secrets: Api<Secret> = kubernetes.namespaced(&self.namespace);
        if let Some(secret) = kubernetes.find(&format!("read {self}"), secrets.get(&self.name)).await? {
            return Ok(secret);
        }
        let all = kubernetes.list(&format!("list the secrets of {}", self.namespace), &secrets, None).await.unwrap_or_default();
        let names: Vec<_> = all.iter().filter_map(|secret| secret.metadata.name.as_deref()).collect();
        let hint = nearest(&self.name, names.iter().copied()).map_or_else(
            || format!("{} has {} secrets; is it restored already?", self.namespace, names.len()),
            |near| format!("did you mean {near}?"),
        );
        Err(StepFailure::permanent(format!("there is no {self} in {}", self.cluster)).hint(hint))
    }

    /// Makes the Secret that keeps the old values. It goes when the one that it belongs to goes.
    fn keep(&self, cx: &StepContext<Cloud>, name: &str, secret: &Secret, wanted: &Values, before: &SecretBefore) -> Secret {
        let now = secret.data.clone().unwrap_or_default();
        let old = before.keys.iter().filter_map(|key| Some((format!("{OLD}{key}"), now.get(key)?.clone())));
        let new = before.keys.iter().filter_map(|key| Some((format!("{NEW}{key}"), wanted.get(key)?.clone())));
        let mut kept = Secret { data: Some(old.chain(new).collect()), ..Secret::default() };
        kept.metadata.name = Some(name.to_owned());
        kept.metadata.labels = Some([("app.kubernetes.io/managed-by".to_owned(), MANAGER.to_owned())].into());
        kept.metadata.annotations =
            Some([("wf.dr/run".to_owned(), cx.run.to_string()), ("wf.dr/step".to_owned(), cx.step.to_string())].into());
        kept.metadata.owner_references = kube::Resource::owner_ref(secret, &()).map(|owner| vec![owner]);
        kept
    }

    async fn patch(&self, kubernetes: &Kubernetes<'_>, secrets: &Api<Secret>, doing: &str, patch: Value) -> Result<Secret, StepFailure> {
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        kubernetes.change(&format!("{doing} {self}"), secrets.patch(&self.name, &params, &Patch::Merge(patch))).await
    }

    fn changed_since(&self, key: &str, kept_in: &str) -> StepFailure {
        StepFailure::permanent(format!("somebody else has changed the key {key} of {self} since the step did: it is not set back"))
            .hint(format!("decide which value is right; the old one is `old.{key}` of secret {kept_in} in namespace {}", self.namespace))
    }
}

/// Returns the patch that sets the keys back, `None` when they are as they were. Fails with a key that somebody else has changed.
fn restored(secret: &Secret, kept: &Secret) -> Result<Option<BTreeMap<String, Option<ByteString>>>, String> {
    let (empty, mut patch) = (BTreeMap::new(), BTreeMap::new());
    let (now, kept) = (secret.data.as_ref().unwrap_or(&empty), kept.data.as_ref().unwrap_or(&empty));
    for (key, new) in kept.iter().filter_map(|(key, new)| Some((key.strip_prefix(NEW)?, new))) {
        let old = kept.get(&format!("{OLD}{key}"));
        match now.get(key) {
            found if found == old => {}
            Some(found) if found == new => _ = patch.insert(key.to_owned(), old.cloned()),
            _ => return Err(key.to_owned()),
        }
    }
    Ok((!patch.is_empty()).then_some(patch))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(data: &[(&str, &str)]) -> Secret {
        let bytes = |value: &str| ByteString(value.as_bytes().to_vec());
        Secret { data: Some(data.iter().map(|(key, value)| ((*key).to_owned(), bytes(value))).collect()), ..Secret::default() }
    }

    #[test]
    fn keys_are_set_back_unless_somebody_else_changed_them() {
        let kept = secret(&[("old.host", "east"), ("new.host", "west"), ("new.port", "5433")]);
        let patch = restored(&secret(&[("host", "west"), ("port", "5433")]), &kept).expect("ours").expect("a change");
        assert_eq!(patch["host"], Some(ByteString(b"east".to_vec())));
        assert_eq!(patch["port"], None, "a key that was not there goes");
        assert_eq!(restored(&secret(&[("host", "east")]), &kept), Ok(None));
        assert_eq!(restored(&secret(&[("host", "north"), ("port", "5433")]), &kept), Err("host".to_owned()));
    }

    #[test]
    fn a_key_is_given_once_and_is_one() {
        let params = json!({
            "cluster": { "Eks": { "name": "dr", "region": "us-west-2" } }, "namespace": "production", "name": "db",
            "data": { "host": "west", "not a key": "x" }, "data_from_env": { "host": "DB_HOST" },
        });
        let kind: K8sPatchSecret = serde_json::from_value(params).expect("params");
        let problems = kind.problems();
        assert_eq!(problems.len(), 2, "{problems:?}");
    }
}
