//! Ingresses: each gets a load balancer, whose targets are the ready pods of the service behind it.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::kinds::{INGRESSES, NODES, PODS, SERVICES};
use super::nodes::takes_pods;
use super::tick::Tick;
use super::value::{fields, has_labels, list, name, namespace, put, text};
use super::{Kube, Object};
use crate::world::app::LoadBalancer;
use crate::world::hash;

/// Whose traffic a load balancer carries, if an ingress made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Backend {
    pub(crate) cluster: String,
    pub(crate) namespace: String,
    pub(crate) ingress: String,
}

/// The hosted zone of the load balancers of a region.
pub(crate) fn zone_id(region: &str) -> &'static str {
    match region {
        "us-east-1" => "Z35SXDOTRQ7X7K",
        "us-east-2" => "Z3AADJGX6KTTL2",
        "us-west-1" => "Z368ELLRRE2KJ0",
        _ => "Z1H1FL5HABSF5",
    }
}

/// The name of the load balancer of an ingress, as the AWS Load Balancer Controller makes it.
pub(crate) fn balancer_name(cluster: &str, namespace: &str, ingress: &str) -> String {
    let short = |text: &str| text.chars().filter(char::is_ascii_alphanumeric).take(8).collect::<String>();
    let digest = hash(16, &format!("{cluster}/{namespace}/{ingress}"), 0) & 0xff_ffff_ffff;
    format!("k8s-{}-{}-{digest:010x}", short(namespace), short(ingress))
}

/// The host name of the load balancer of an ingress.
pub(crate) fn host_name(region: &str, cluster: &str, namespace: &str, ingress: &str) -> String {
    let name = balancer_name(cluster, namespace, ingress);
    format!("{name}-{}.{region}.elb.amazonaws.com", 1_000_000_000 + hash(17, &name, 0) % 999_999_999)
}

/// Gives ingresses their load balancers, and takes those away whose ingress is gone.
pub(super) fn run(tick: &mut Tick) {
    for key in tick.kube.keys(INGRESSES) {
        let Some(Object { json, due, .. }) = tick.kube.hidden(INGRESSES, &key).cloned() else {
            continue;
        };
        if !list(&json, "/status/loadBalancer/ingress").is_empty() || tick.world.conditions.has_no_address(tick.region, name(&json)) {
            continue;
        }
        // The controller that makes load balancers is a pod itself.
        if !tick.kube.all(NODES).any(|n| takes_pods(&n.json)) {
            continue;
        }
        match due {
            None => {
                let due = tick.now + tick.draw("ingress", |t| t.ingress_address);
                if let Some(ingress) = tick.kube.hidden(INGRESSES, &key) {
                    ingress.due = Some(due);
                }
                tick.wake_at(due);
            }
            Some(due) if due > tick.now => tick.wake_at(due),
            Some(_) => provision(tick, &key, &json),
        }
    }
    remove_orphans(tick);
}

fn provision(tick: &mut Tick, key: &str, ingress: &Value) {
    let backend = Backend { cluster: tick.cluster.to_owned(), namespace: namespace(ingress).to_owned(), ingress: name(ingress).to_owned() };
    let balancer_name = balancer_name(tick.cluster, &backend.namespace, &backend.ingress);
    let host = host_name(tick.region, tick.cluster, &backend.namespace, &backend.ingress);
    let resource = format!("loadbalancer/app/{balancer_name}/{:016x}", hash(1, &balancer_name, 0));
    let balancer = LoadBalancer {
        certificate: None,
        arn: tick.world.arn("elasticloadbalancing", tick.region, &resource),
        name: balancer_name.clone(),
        dns_name: host.clone(),
        zone_id: zone_id(tick.region).to_owned(),
        target_groups: Vec::new(),
        created: tick.now,
        backend: Some(backend),
    };
    tick.world.region_mut(tick.region).load_balancers.insert(balancer_name, balancer);
    let status = json!([{ "hostname": host }]);
    tick.kube.change(INGRESSES, key, |i| put(i, &["status", "loadBalancer", "ingress"], status));
    if let Some(ingress) = tick.kube.hidden(INGRESSES, key) {
        ingress.due = None;
    }
}

fn remove_orphans(tick: &mut Tick) {
    let (kube, cluster) = (&*tick.kube, tick.cluster);
    tick.world.region_mut(tick.region).load_balancers.retain(|_, balancer| {
        let backend = balancer.backend.as_ref().filter(|b| b.cluster == cluster);
        backend.is_none_or(|b| kube.get(INGRESSES, &b.namespace, &b.ingress).is_some())
    });
}

impl Kube {
    /// Lists the ready pods behind an ingress: those that the service of its first path selects.
    pub(in crate::world) fn behind<'a>(&'a self, space: &'a str, ingress: &str) -> Vec<&'a Object> {
        let service = self.get(INGRESSES, space, ingress).map(|i| {
            let rule = text(&i.json, "/spec/rules/0/http/paths/0/backend/service/name");
            if rule.is_empty() { text(&i.json, "/spec/defaultBackend/service/name") } else { rule }
        });
        let Some(service) = service.and_then(|s| self.get(SERVICES, space, s)) else {
            return Vec::new();
        };
        let selector: Vec<_> = fields(&service.json, "/spec/selector").collect();
        let pods = self.within(PODS, space).filter(|p| p.is_ready() && !selector.is_empty());
        pods.filter(|p| has_labels(&p.json, selector.iter().copied())).collect()
    }
}
