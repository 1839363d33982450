//! Manifest files: YAML as `kubectl` takes it, read up to a limit.

use std::path::Path;

use kube::api::{DynamicObject, GroupVersionKind};
use serde_json::Value;
use wf_engine::model::event::StepFailure;
use wf_engine::model::record::hash;

/// The longest manifest file that is read, in bytes.
const FILE_LEN_MAX: u64 = 1024 * 1024;
/// How many objects a file may hold.
const OBJECTS_MAX: usize = 200;

/// The objects of a file, and what the file is known by.
#[derive(Debug, Clone)]
pub(crate) struct Manifest {
    /// The objects, in the order of the file.
    pub(crate) objects: Vec<DynamicObject>,
    /// The hash of the file: a step that is carried on must find the same one.
    pub(crate) hash: String,
}

impl Manifest {
    /// Reads a file.
    pub(crate) fn read(file: &Path) -> Result<Self, StepFailure> {
        let unusable = |why: String| StepFailure::permanent(format!("the manifest {} cannot be used", file.display())).because(why);
        let len = std::fs::metadata(file).map_err(|error| unusable(error.to_string()))?.len();
        if len > FILE_LEN_MAX {
            return Err(unusable(format!("it has {len} bytes, more than {FILE_LEN_MAX}")));
        }
        let text = std::fs::read_to_string(file).map_err(|error| unusable(error.to_string()))?;
        Self::parse(&text).map_err(unusable)
    }

    fn parse(text: &str) -> Result<Self, String> {
        // Only `true` and `false` are truth values: a namespace may be called `n`.
        let options = serde_saphyr::options! { strict_booleans: true };
        let documents: Vec<Value> = serde_saphyr::from_multiple_with_options(text, options).map_err(|error| error.to_string())?;
        let documents: Vec<_> = documents.into_iter().filter(|document| !document.is_null()).collect();
        if documents.is_empty() || documents.len() > OBJECTS_MAX {
            return Err(format!("it holds {} objects: at least one is needed, and at most {OBJECTS_MAX} are taken", documents.len()));
        }
        let objects = documents.into_iter().map(object).collect::<Result<_, _>>()?;
        Ok(Self { objects, hash: hash(text.as_bytes()) })
    }

    /// Fails when the file is no longer the one that the step began with.
    pub(crate) fn must_be(&self, hash: &str, file: &Path) -> Result<(), StepFailure> {
        if self.hash == hash {
            return Ok(());
        }
        Err(StepFailure::permanent(format!("the manifest {} has changed since the step began", file.display()))
            .hint("put the file back as it was and `wf resume`, or roll the run back and start a new one"))
    }
}

fn object(document: Value) -> Result<DynamicObject, String> {
    let object: DynamicObject = serde_json::from_value(document).map_err(|error| error.to_string())?;
    let named = object.types.is_some() && object.metadata.name.is_some();
    if named { Ok(object) } else { Err("an object needs `apiVersion`, `kind` and `metadata.name`".to_owned()) }
}

/// Returns the type of an object as it says it.
pub(crate) fn gvk(object: &DynamicObject) -> Option<GroupVersionKind> {
    GroupVersionKind::try_from(object.types.as_ref()?).ok()
}

/// Names an object: `Deployment production/web-app`.
pub(crate) fn named(object: &DynamicObject) -> String {
    let kind = object.types.as_ref().map_or("object", |types| &types.kind);
    let namespace = object.metadata.namespace.as_deref().map(|namespace| format!("{namespace}/")).unwrap_or_default();
    format!("{kind} {namespace}{}", object.metadata.name.as_deref().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_objects_with_a_type_and_a_name() {
        let two = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\napiVersion: batch/v1\nkind: Job\nmetadata: {name: b, namespace: n}\n";
        let manifest = Manifest::parse(two).expect("two");
        assert_eq!(manifest.objects.iter().map(named).collect::<Vec<_>>(), ["ConfigMap a", "Job n/b"]);
        assert_eq!(gvk(&manifest.objects[1]).map(|gvk| gvk.group), Some("batch".to_owned()));
        for bad in ["", "kind: Job\n", "apiVersion: v1\nkind: Job\n", "a: [", "- 1\n"] {
            assert!(Manifest::parse(bad).is_err(), "{bad}");
        }
    }
}
