//! S3, as far as objects go: put, get, delete; and what a bucket says of the versions that it keeps and of its copies. Everybody may read an
//! object, as the health checkers of Route 53 do.

use super::{Answer, Body, Call, ServiceError};
use crate::def::CopyRule;
use crate::world::World;
use crate::world::objects::{DataBucket, Object, bucket_of};
use crate::xml::Element;

/// The largest object that is kept, in bytes: the simulator is no store.
const OBJECT_LEN_MAX: usize = 64 * 1024;

/// Reports whether a host is one of S3's.
pub(super) fn is_host(host: &str) -> bool {
    bucket_of(host).is_some()
}

/// Finds the action for a method, and the bucket and the key that the address names, in either of its two forms.
pub(super) fn route(method: &str, host: &str, path: &[String], query: &str) -> Option<(String, Vec<String>)> {
    let about = [("versioning", "GetBucketVersioning"), ("replication", "GetReplicationConfiguration")];
    let asks = |word: &str| query.split('&').any(|part| part.trim_end_matches('=') == word);
    let about = about.into_iter().find(|(word, _)| method == "GET" && asks(word));
    let action = match (about, method) {
        (Some((_, action)), _) => action,
        (None, "GET" | "HEAD") => "GetObject",
        (None, "PUT") => "PutObject",
        (None, "DELETE") => "DeleteObject",
        (None, _) => return None,
    };
    let (bucket, key) = match bucket_of(host) {
        Some((bucket, _)) => (bucket.to_owned(), path.join("/")),
        None => (path.first()?.clone(), path[1..].join("/")),
    };
    (about.is_some() || !key.is_empty()).then(|| (action.to_owned(), vec![bucket, key]))
}

/// Answers a call about an object.
pub(super) fn answer(world: &mut World, call: &Call) -> Result<Answer, ServiceError> {
    let [bucket, key] = call.labels.as_slice() else {
        return Err(ServiceError::new("InvalidRequest", "A request names a bucket and a key."));
    };
    let missing = || ServiceError::new("NoSuchBucket", "The specified bucket does not exist").status(404);
    let elsewhere = world.regions.iter().any(|(region, held)| *region != call.region && held.objects.contains_key(bucket));
    if elsewhere {
        let message = "The bucket you are attempting to access must be addressed using the specified endpoint.";
        return Err(ServiceError::new("PermanentRedirect", message).status(301));
    }
    let (now, length) = (world.now, call.object.len());
    let data = world.region(&call.region).and_then(|held| held.data_buckets.get(bucket)).cloned();
    let objects = world.region_mut(&call.region).objects.get_mut(bucket).ok_or_else(missing)?;
    match call.action.name {
        "GetBucketVersioning" => Ok(document(versioning(data.as_ref()))),
        "GetReplicationConfiguration" => {
            let none = || ServiceError::new("ReplicationConfigurationNotFoundError", "The replication configuration was not found");
            data.and_then(|data| data.copied).as_ref().map(|rule| document(replication(rule))).ok_or_else(|| none().status(404))
        }
        "GetObject" => {
            let found = objects.get(key);
            let found = found.ok_or_else(|| ServiceError::new("NoSuchKey", "The specified key does not exist.").status(404))?;
            Ok(Answer { body: Body::Object(200, found.content.clone().into_bytes()), effective: false })
        }
        "PutObject" if length > OBJECT_LEN_MAX => {
            Err(ServiceError::new("EntityTooLarge", "Your proposed upload exceeds the maximum allowed size"))
        }
        "PutObject" => {
            let content = String::from_utf8_lossy(&call.object).into_owned();
            let earlier = objects.insert(key.clone(), Object { content: content.clone(), put: now });
            Ok(Answer { body: Body::Object(200, Vec::new()), effective: earlier.is_none_or(|earlier| earlier.content != content) })
        }
        _ => {
            let held = objects.remove(key).is_some();
            Ok(Answer { body: Body::Object(204, Vec::new()), effective: held })
        }
    }
}

fn document(element: Element) -> Answer {
    let text = element.document("http://s3.amazonaws.com/doc/2006-03-01/");
    Answer { body: Body::Object(200, text.into_bytes()), effective: false }
}

/// Says whether versions are kept; nothing of a bucket that never kept any.
fn versioning(data: Option<&DataBucket>) -> Element {
    let status = data.map(|data| if data.suspended { "Suspended" } else { "Enabled" });
    Element::new("VersioningConfiguration").with_some("Status", status)
}

fn replication(rule: &CopyRule) -> Element {
    let rule = Element::new("Rule")
        .with("ID", &rule.rule)
        .with("Priority", 1)
        .with("Status", if rule.disabled { "Disabled" } else { "Enabled" })
        .with_child(Element::new("Filter").with("Prefix", &rule.prefix))
        .with_child(Element::new("Destination").with("Bucket", format!("arn:aws:s3:::{}", rule.to)))
        .with_child(Element::new("DeleteMarkerReplication").with("Status", "Disabled"));
    Element::new("ReplicationConfiguration").with("Role", "arn:aws:iam::123456789012:role/s3-replication").with_child(rule)
}
