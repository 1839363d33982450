//! [`between`]: a proxy between a kind and a real API server, for two things that the server alone cannot do.
//!
//! Kubernetes 1.20 serves CronJobs as `batch/v1beta1` and autoscalers as `autoscaling/v2beta2`; the kinds ask for `batch/v1` and
//! `autoscaling/v2`, as all versions that EKS supports serve them. The fields that the kinds use are the same, so the version is exchanged on the
//! way, in the path and in the objects, and nothing else. And somebody else may be let in just before a change arrives.

use std::sync::{Arc, Mutex};

use http::Request;

use crate::double::{self, Said};
use crate::servers::servers;

/// New versions of the API, and what 1.20 calls them, where it serves the resource in the path.
const VERSIONS: [(&str, &str, &str); 2] =
    [("/cronjobs", "batch/v1", "batch/v1beta1"), ("/horizontalpodautoscalers", "autoscaling/v2", "autoscaling/v2beta2")];

/// Somebody else's change: a merge patch of the object at a path, once, just before the next patch of that object.
pub type Meddling = Arc<Mutex<Option<(String, serde_json::Value)>>>;

/// Answers as the API server of a region does, and returns the address.
pub fn between(region: &'static str, meddling: &Meddling) -> String {
    let meddling = Arc::clone(meddling);
    double::serve(move |request| {
        let meddling = Arc::clone(&meddling);
        async move { pass_on(region, request, &meddling).await }
    })
}

async fn pass_on(region: &'static str, request: double::Asked, meddling: &Meddling) -> Said {
    let (head, body) = request.into_parts();
    let mut path = head.uri.path_and_query().unwrap().as_str().to_owned();
    let version = VERSIONS.into_iter().find(|(resource, new, _)| path.contains(resource) && path.starts_with(&format!("/apis/{new}/")));
    let exchange = |from: &str, to: &str, text: &[u8]| {
        let (from, to) = (format!("\"apiVersion\":\"{from}\""), format!("\"apiVersion\":\"{to}\""));
        String::from_utf8_lossy(text).replace(&from, &to).into_bytes()
    };
    let mut body = body;
    if let Some((_, new, old)) = version {
        path = path.replacen(new, old, 1);
        body = exchange(new, old, &body);
    }
    let meddle = {
        let mut next = meddling.lock().unwrap();
        let now = head.method == "PATCH" && next.as_ref().is_some_and(|(at, _)| path.split('?').next() == Some(at));
        if now { next.take() } else { None }
    };
    if let Some((at, patch)) = meddle {
        servers().admin(region).await.merge(&at, patch).await;
    }
    let mut forward = Request::builder().method(head.method).uri(path);
    for name in ["authorization", "content-type", "accept"] {
        if let Some(value) = head.headers.get(name) {
            forward = forward.header(name, value);
        }
    }
    let (code, mut answer) = servers().nobody(region).await.pass_on(forward.body(body).unwrap()).await;
    if let Some((_, new, old)) = version {
        answer = exchange(old, new, &answer);
    }
    (code, "application/json", answer)
}
