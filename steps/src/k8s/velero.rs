//! What the kinds know of Velero's custom resources: their types, and how to read a phase.

use jiff::Timestamp;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use serde_json::Value;
use wf_engine::readiness::Check;

use super::{Cluster, Kubernetes};

/// The label by which the backups of a schedule are known.
pub(crate) const SCHEDULE_LABEL: &str = "velero.io/schedule-name";
/// The namespace that Velero is installed into, by default.
pub(crate) const NAMESPACE: &str = "velero";

/// Returns the type of Velero's backups, restores or schedules: `velero("Backup", "backups")`.
pub(crate) fn velero(kind: &str, plural: &str) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("velero.io", "v1", kind), plural)
}

/// Returns a part of an object's `spec` or `status`, by a JSON pointer such as `/status/phase`.
pub(crate) fn at<'a>(object: &'a DynamicObject, pointer: &str) -> Option<&'a Value> {
    object.data.pointer(pointer)
}

/// The right in Kubernetes that [`location`] needs.
pub(crate) const LIST_LOCATIONS: &str = "list backupstoragelocations.velero.io";

/// Checks, for `wf check --live`, that Velero reaches the storage that its backups lie in: the location of this name, or the default one.
pub(crate) async fn location(kubernetes: &Kubernetes<'_>, cluster: &Cluster, namespace: &str, name: Option<&str>) -> Check {
    let locations = kubernetes.custom(namespace, &velero("BackupStorageLocation", "backupstoragelocations"));
    let check = Check::of("storage location", format!("Velero of {cluster}"));
    let all = match kubernetes.list("list the backup storage locations", &locations, None).await {
        Ok(all) => all,
        Err(failure) => return check.fail_on::<()>(Err(failure)),
    };
    let is_default = |location: &&DynamicObject| at(location, "/spec/default").and_then(Value::as_bool).unwrap_or_default();
    let found = match name {
        Some(name) => all.iter().find(|location| location.metadata.name.as_deref() == Some(name)),
        None => all.iter().find(is_default).or_else(|| all.first()),
    };
    let tells = format!("`velero backup-location get -n {namespace}` tells more: its bucket, and the credentials that Velero has for it");
    let Some(found) = found else {
        let which = name.map_or_else(|| "any backup storage location".to_owned(), |name| format!("backup storage location {name}"));
        return check.fail_if(true, format!("there is not {which} in namespace {namespace} of {cluster}"), tells);
    };
    let (name, phase) = (found.metadata.name.as_deref().unwrap_or_default(), phase(found));
    let said = at(found, "/status/message").and_then(Value::as_str).map(|said| format!(": {said}")).unwrap_or_default();
    let why = format!("backup storage location {name} of {cluster} is `{phase}`, not `Available`{said}");
    check.fail_if(phase != "Available", why, tells)
}

/// The phase of what Velero has not seen yet.
pub(crate) const UNSEEN: &str = "New";

/// Returns the phase of a backup or restore.
pub(crate) fn phase(object: &DynamicObject) -> &str {
    at(object, "/status/phase").and_then(Value::as_str).filter(|phase| !phase.is_empty()).unwrap_or(UNSEEN)
}

/// Returns a count of the status, such as that of its warnings.
pub(crate) fn count(object: &DynamicObject, pointer: &str) -> u64 {
    at(object, pointer).and_then(Value::as_u64).unwrap_or_default()
}

/// Returns an instant of the status.
pub(crate) fn instant(object: &DynamicObject, pointer: &str) -> Option<Timestamp> {
    at(object, pointer)?.as_str()?.parse().ok()
}

/// What became of a backup or restore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Velero works on it; what it says of how far it is.
    Going(String),
    /// It is done, all of it.
    Completed,
    /// It is done, but for what could not be.
    Partial,
    /// It is done, and failed; Velero's reasons.
    Failed(Vec<String>),
}

/// Sorts the phases of backups and restores. `items` is what the progress counts, such as `itemsRestored`.
pub(crate) fn progress(object: &DynamicObject, items: &str) -> Progress {
    match phase(object) {
        "Completed" => Progress::Completed,
        "PartiallyFailed" => Progress::Partial,
        "Failed" | "FailedValidation" | "Deleting" => Progress::Failed(reasons(object)),
        phase => {
            let done = count(object, &format!("/status/progress/{items}"));
            let total = count(object, "/status/progress/totalItems");
            let counted = if total == 0 { String::new() } else { format!(", {done}/{total} items") };
            Progress::Going(format!("{phase}{counted}"))
        }
    }
}

/// Returns why Velero says that it failed.
fn reasons(object: &DynamicObject) -> Vec<String> {
    let errors = at(object, "/status/validationErrors").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let errors = errors.iter().filter_map(Value::as_str);
    errors.chain(at(object, "/status/failureReason").and_then(Value::as_str)).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn restore(status: Value) -> DynamicObject {
        let mut object = DynamicObject::new("r", &velero("Restore", "restores"));
        object.data = json!({ "status": status });
        object
    }

    #[test]
    fn phases_are_told_apart() {
        assert_eq!(progress(&restore(json!({})), "itemsRestored"), Progress::Going("New".to_owned()));
        let going = json!({ "phase": "InProgress", "progress": { "itemsRestored": 3, "totalItems": 9 } });
        assert_eq!(progress(&restore(going), "itemsRestored"), Progress::Going("InProgress, 3/9 items".to_owned()));
        assert_eq!(progress(&restore(json!({ "phase": "PartiallyFailed" })), "itemsRestored"), Progress::Partial);
        let failed = json!({ "phase": "FailedValidation", "validationErrors": ["no such backup"] });
        assert_eq!(progress(&restore(failed), "itemsRestored"), Progress::Failed(vec!["no such backup".to_owned()]));
    }
}
