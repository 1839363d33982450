//! The file by which `kubectl` finds the clusters of a simulator that is served.

use serde_json::json;

use super::PATH;
use crate::Sim;

impl Sim {
    /// Returns a kubeconfig for the clusters as `serve` answers for them at `base` (`http://127.0.0.1:PORT`). Contexts are named as
    /// `aws eks update-kubeconfig` names them, by the cluster's ARN, and the first is the current one.
    pub fn kubeconfig(&self, base: &str) -> String {
        let clusters: Vec<(String, String)> = self.with(|state| {
            let world = &state.world;
            let all = world.regions.iter().flat_map(|(region, r)| r.clusters.keys().map(move |cluster| (region, cluster)));
            let named = all.map(|(region, cluster)| {
                (world.arn("eks", region, &format!("cluster/{cluster}")), format!("{base}{PATH}{region}/{cluster}"))
            });
            named.collect()
        });
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "preferences": {},
            "current-context": clusters.first().map(|(arn, _)| arn).cloned().unwrap_or_default(),
            "clusters": clusters.iter().map(|(arn, url)| json!({ "name": arn, "cluster": { "server": url } })).collect::<Vec<_>>(),
            "contexts": clusters.iter().map(|(arn, _)| json!({ "name": arn, "context": { "cluster": arn, "user": "simulated" } })).collect::<Vec<_>>(),
            "users": [{ "name": "simulated", "user": { "token": "simulated" } }],
        });
        // JSON is YAML.
        format!("{config:#}\n")
    }
}
