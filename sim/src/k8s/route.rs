//! From a request line to what it asks for.

use crate::services::{Params, decode};
use crate::world::workloads::kinds::{KINDS, Kind, PODS};

/// What a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    /// `/version`, `/readyz`, `/api`, `/openapi/v3`, …, as its parts.
    Meta(Vec<String>),
    Resource(Target),
}

/// A resource, or all of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) kind: &'static Kind,
    /// Empty across namespaces, and for what has none.
    pub(super) namespace: String,
    /// Empty for a collection.
    pub(super) name: String,
    /// `status`, `scale` or `log`; else empty.
    pub(super) sub: String,
}

impl Target {
    /// The resource as RBAC names it: `deployments/scale`.
    pub(super) fn resource(&self) -> String {
        if self.sub.is_empty() { self.kind.plural.to_owned() } else { format!("{}/{}", self.kind.plural, self.sub) }
    }
}

/// Reads a path; `None` if nothing is there.
pub(super) fn parse(path: &str) -> Option<Route> {
    let parts: Vec<String> = path.split('/').filter(|p| !p.is_empty()).map(|p| decode(p, false)).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let (group, version, rest) = match parts.as_slice() {
        ["api", version, rest @ ..] if !rest.is_empty() => ("", *version, rest),
        ["apis", group, version, rest @ ..] if !rest.is_empty() => (*group, *version, rest),
        other => return Some(Route::Meta(other.iter().map(|p| (*p).to_owned()).collect())),
    };
    let find = |plural: &str| Kind::find(group, version, plural);
    let target = |kind: &'static Kind, namespace: &str, rest: &[&str]| {
        let (name, sub) = match rest {
            [] => ("", ""),
            [name] => (*name, ""),
            [name, sub] if has_sub(kind, sub) => (*name, *sub),
            _ => return None,
        };
        Some(Target { kind, namespace: namespace.to_owned(), name: name.to_owned(), sub: sub.to_owned() })
    };
    let found = match rest {
        ["namespaces", space, plural, rest @ ..] if *plural != "status" => target(find(plural).filter(|k| k.namespaced)?, space, rest),
        [plural, rest @ ..] => {
            let kind = find(plural)?;
            // Without a namespace, a namespaced kind is only listed or created.
            if kind.namespaced && !rest.is_empty() { None } else { target(kind, "", rest) }
        }
        [] => None,
    };
    found.map(Route::Resource)
}

fn has_sub(kind: &Kind, sub: &str) -> bool {
    match sub {
        "status" => kind.status,
        "scale" => kind.scale,
        "log" => kind == PODS,
        _ => false,
    }
}

/// What is done to a resource, as RBAC names it.
pub(super) fn verb(method: &str, target: &Target, query: &Params) -> Option<&'static str> {
    let one = !target.name.is_empty();
    match (method, one) {
        ("GET", true) => Some("get"),
        ("GET", false) if is_watch(query) => Some("watch"),
        ("GET", false) => Some("list"),
        ("POST", false) => Some("create"),
        ("PUT", true) => Some("update"),
        ("PATCH", true) => Some("patch"),
        ("DELETE", true) => Some("delete"),
        ("DELETE", false) => Some("deletecollection"),
        _ => None,
    }
}

/// Reports whether a list is asked for as a watch.
pub(super) fn is_watch(query: &Params) -> bool {
    matches!(query.get("watch"), Some("true" | "1"))
}

/// Reports whether text is an action as faults and logs write it: `patch:secrets`, `update:deployments/scale`.
pub(crate) fn is_action(text: &str) -> bool {
    const VERBS: [&str; 8] = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"];
    let Some((verb, resource)) = text.split_once(':') else {
        return false;
    };
    let (plural, sub) = resource.split_once('/').unwrap_or((resource, ""));
    VERBS.contains(&verb) && KINDS.iter().any(|k| k.plural == plural && (sub.is_empty() || has_sub(k, sub)))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;

    #[test]
    fn paths_name_resources() {
        for (path, expected) in [
            ("/api/v1/nodes", ("nodes", "", "", "")),
            ("/api/v1/namespaces", ("namespaces", "", "", "")),
            ("/api/v1/namespaces/production", ("namespaces", "", "production", "")),
            ("/api/v1/namespaces/production/secrets/db-credentials", ("secrets", "production", "db-credentials", "")),
            ("/apis/apps/v1/namespaces/p/deployments/web/scale", ("deployments", "p", "web", "scale")),
            ("/apis/velero.io/v1/namespaces/velero/restores", ("restores", "velero", "", "")),
            ("/api/v1/namespaces/p/pods/x/log", ("pods", "p", "x", "log")),
        ] {
            let Some(Route::Resource(found)) = parse(path) else { panic!("{path}") };
            assert_eq!((found.kind.plural, found.namespace.as_str(), found.name.as_str(), found.sub.as_str()), expected);
        }
        for path in ["/api/v1/secrets/x", "/apis/apps/v1/pods", "/api/v1/namespaces/p/secrets/x/scale", "/apis/batch/v1beta1/cronjobs"] {
            assert_eq!(parse(path), None, "{path}");
        }
        assert_eq!(parse("/apis/apps/v1").unwrap(), Route::Meta(vec!["apis".into(), "apps".into(), "v1".into()]));
    }

    #[test]
    fn actions_have_a_verb_and_a_resource() {
        assert!(is_action("patch:secrets") && is_action("update:deployments/scale"));
        assert!(!is_action("patch") && !is_action("patch:secret") && !is_action("fly:secrets") && !is_action("patch:secrets/scale"));
    }
}
