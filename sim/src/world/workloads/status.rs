//! The clusters as an operator reads them: what is there and how much of it is ready.

use serde_json::{Map, Value, json};

use super::Kube;
use super::kinds::{BACKUPS, DAEMON_SETS, DEPLOYMENTS, INGRESSES, JOBS, NODES, RESTORES, STATEFUL_SETS};
use super::value::{condition, list, name, namespace, number, text};

/// Restores and backups that are shown.
const SHOWN: usize = 3;

impl Kube {
    /// Describes a cluster's workloads in a few lines.
    pub(in crate::world) fn status(&self) -> Value {
        let ready = self.all(NODES).filter(|n| condition(&n.json, "Ready") == "True").count();
        let mut shown = Map::new();
        shown.insert("nodes".to_owned(), json!(format!("{ready}/{} ready", self.count(NODES))));
        for (kind, wanted, there) in [
            (DEPLOYMENTS, "/spec/replicas", "/status/readyReplicas"),
            (STATEFUL_SETS, "/spec/replicas", "/status/readyReplicas"),
            (DAEMON_SETS, "/status/desiredNumberScheduled", "/status/numberReady"),
        ] {
            for object in self.all(kind).map(|o| &o.json) {
                let counts = format!("{}/{} ready", number(object, there).unwrap_or(0), number(object, wanted).unwrap_or(0));
                shown.insert(format!("{}/{}", namespace(object), name(object)), json!(counts));
            }
        }
        for ingress in self.all(INGRESSES).map(|o| &o.json) {
            let address = list(ingress, "/status/loadBalancer/ingress").first().map(|i| text(i, "/hostname"));
            shown.insert(format!("ingress {}/{}", namespace(ingress), name(ingress)), json!(address));
        }
        let failed = self.all(JOBS).filter(|j| condition(&j.json, "Failed") == "True").count();
        if failed > 0 {
            shown.insert("failed jobs".to_owned(), json!(failed));
        }
        for (word, kind) in [("backup", BACKUPS), ("restore", RESTORES)] {
            let mut all: Vec<&Value> = self.all(kind).map(|o| &o.json).collect();
            all.sort_by_key(|o| std::cmp::Reverse(text(o, "/status/startTimestamp").to_owned()));
            for object in all.into_iter().take(SHOWN) {
                let counts = ["warnings", "errors"]
                    .map(|f| number(object, &format!("/status/{f}")).filter(|n| *n > 0).map(|n| format!(", {n} {f}")));
                let told = format!("{}{}", text(object, "/status/phase"), counts.into_iter().flatten().collect::<String>());
                shown.insert(format!("{word} {}", name(object)), json!(told));
            }
        }
        Value::Object(shown)
    }
}
