//! The step kinds in front of a real API server, each as its own user.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use wf_engine::clock::Clock;
use wf_engine::registry::Registry;
use wf_steps::aws::Cloud;

use crate::asks::Asks;
use crate::between::{Meddling, between};
use crate::servers::{servers, user};
use crate::stepped::{Quick, Stepped};
use crate::{controllers, world};

/// Kinds that ask for versions of the API that 1.20 does not serve under that name.
const BETWEEN: [&str; 2] = ["K8sScale", "K8sSuspendCronJobs"];
/// The rights of K8sApply are those of the kinds of its manifests: of these.
const APPLIED: [&str; 4] = ["configmaps", "services", "deployments.apps", "schedules.velero.io"];

/// Namespaces are numbered through the process.
static PLACES: AtomicU32 = AtomicU32::new(0);

/// The kinds, with a cluster.
pub struct Stage {
    pub region: &'static str,
    /// The cluster as its operator sees it.
    pub admin: Asks,
    /// Somebody else who comes in between, for kinds that go through [`between`].
    pub meddling: Meddling,
    registry: Registry,
    clock: Arc<dyn Clock>,
    pub between: String,
    runs: AtomicU32,
    /// How much of the audit log was read, by kind.
    taken: Mutex<BTreeMap<String, usize>>,
}

/// A namespace, by whose name it goes, and those who see to it.
pub struct Place {
    ns: String,
    controllers: tokio::task::JoinHandle<()>,
}

impl std::ops::Deref for Place {
    type Target = str;

    fn deref(&self) -> &str {
        &self.ns
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.ns)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.controllers.abort();
    }
}

impl Stage {
    /// Puts the kinds in front of the API server of a region, which gets Velero's types, nodes, and a user for each kind.
    pub async fn new(region: &'static str) -> Self {
        let admin = servers().admin(region).await;
        controllers::install_velero(&admin).await;
        world::make_nodes(&admin).await;
        // No call goes to AWS: a context needs none.
        let registry = wf_steps::registry(Cloud::live().await);
        for kind in registry.kinds().filter(|kind| !kind.rbac.read.is_empty()) {
            let of_manifests = |rights: &str| {
                let (verbs, what) = rights.split_once(' ').unwrap();
                if what.contains("manifests") { format!("{verbs} {}", APPLIED.join(",")) } else { rights.to_owned() }
            };
            let rights = [kind.rbac.read, kind.rbac.apply, kind.rbac.compensate].concat();
            allow(&admin, kind.name, &rights.into_iter().map(of_manifests).collect::<Vec<_>>()).await;
        }
        let meddling = Meddling::default();
        let between = between(region, &meddling);
        Self { region, admin, meddling, registry, clock: Quick::started(), between, runs: AtomicU32::new(0), taken: Mutex::default() }
    }

    /// Makes a new namespace with all that the kinds need, and has the controllers see to it for as long as the value lives.
    pub async fn place(&self) -> Place {
        let ns = format!("place-{}", PLACES.fetch_add(1, Ordering::Relaxed));
        world::make(&self.admin, &ns).await;
        let (admin, namespace) = (self.admin.clone(), ns.clone());
        let controllers = tokio::spawn(async move {
            loop {
                controllers::pass(&admin, &namespace).await;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        Place { ns, controllers }
    }

    /// Decodes a step of a new run, as the kind's own user.
    pub fn step(&self, ns: &str, kind: &str, params: &str) -> Stepped {
        let (server, authority) = match BETWEEN.contains(&kind) {
            true => (self.between.clone(), None),
            false => (servers().endpoint(self.region), Some(servers().authority(self.region))),
        };
        let file = servers().context("cluster", &server, authority.as_deref(), kind);
        self.step_by(&file, ns, kind, params)
    }

    /// As [`Self::step`], as the user and by the way of a kubeconfig.
    pub fn step_by(&self, kubeconfig: &std::path::Path, ns: &str, kind: &str, params: &str) -> Stepped {
        let cluster = format!("Context(name: \"cluster\", kubeconfig: \"{}\")", kubeconfig.display());
        let dir = self.manifests();
        let workflows = concat!(env!("CARGO_MANIFEST_DIR"), "/workflows");
        let params = params.replace("{cluster}", &cluster).replace("{ns}", ns).replace("{workflows}", workflows);
        let params = params.replace("{dir}", &dir.display().to_string());
        let run = u32::from(self.region == "west") * 1_000_000 + self.runs.fetch_add(1, Ordering::Relaxed);
        Stepped::decode(&self.registry, &self.clock, run, &format!("{kind}{params}"))
    }

    fn manifests(&self) -> PathBuf {
        servers().file("old.yaml", world::OLD);
        servers().file("new.yaml", world::NEW).parent().unwrap().to_owned()
    }

    /// Returns what the kind's user asked for since the last time and was given: what reads, and what changes.
    pub fn take_calls(&self, kind: &str) -> (Vec<String>, Vec<String>) {
        let mut taken = self.taken.lock().unwrap();
        let all = servers().audit(self.region, kind);
        let from = taken.insert(kind.to_owned(), all.len()).unwrap_or_default();
        let new = all[from..].iter().filter(|(_, code)| *code < 300).map(|(said, _)| said.clone());
        new.partition(|said| said.starts_with("get ") || said.starts_with("list "))
    }
}

/// Gives the user of that name the rights of expressions such as "get,list secrets", in the whole cluster.
pub async fn allow(admin: &Asks, name: &str, rights: &[String]) {
    let rule = |right: &String| {
        let (verbs, resources) = right.split_once(' ').unwrap();
        let rules = resources.split(',').map(|resource| {
            let (resource, sub) =
                resource.split_once('/').map_or((resource, String::new()), |(resource, sub)| (resource, format!("/{sub}")));
            let (resource, group) = resource.split_once('.').unwrap_or((resource, ""));
            json!({ "verbs": verbs.split(',').collect::<Vec<_>>(), "apiGroups": [group], "resources": [format!("{resource}{sub}")] })
        });
        rules.collect::<Vec<_>>()
    };
    let name = user(name);
    let role = json!({ "metadata": { "name": name }, "rules": rights.iter().flat_map(rule).collect::<Vec<_>>() });
    let binding = json!({
        "metadata": { "name": name }, "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name }],
    });
    for (resource, object) in [("clusterroles", role), ("clusterrolebindings", binding)] {
        let path = format!("/apis/rbac.authorization.k8s.io/v1/{resource}");
        let (code, said) = admin.send("POST", &path, "application/json", object.to_string().as_bytes()).await;
        assert!(code < 300 || code == 409, "{name}: {code} {said}");
    }
}
