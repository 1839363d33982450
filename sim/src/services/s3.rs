//! S3, as far as objects go: put, get, delete. Everybody may read an object, as the health checkers of Route 53 do.

use super::{Answer, Body, Call, ServiceError};
use crate::world::World;
use crate::world::objects::{Object, bucket_of};

/// The largest object that is kept, in bytes: the simulator is no store.
const OBJECT_LEN_MAX: usize = 64 * 1024;

/// Reports whether a host is one of S3's.
pub(super) fn is_host(host: &str) -> bool {
    bucket_of(host).is_some()
}

/// Finds the action for a method, and the bucket and the key that the address names, in either of its two forms.
pub(super) fn route(method: &str, host: &str, path: &[String]) -> Option<(String, Vec<String>)> {
    let action = match method {
        "GET" | "HEAD" => "GetObject",
        "PUT" => "PutObject",
        "DELETE" => "DeleteObject",
        _ => return None,
    };
    let (bucket, key) = match bucket_of(host) {
        Some((bucket, _)) => (bucket.to_owned(), path.join("/")),
        None => (path.first()?.clone(), path[1..].join("/")),
    };
    (!key.is_empty()).then(|| (action.to_owned(), vec![bucket, key]))
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
    let objects = world.region_mut(&call.region).objects.get_mut(bucket).ok_or_else(missing)?;
    match call.action.name {
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
