//! Nodes: one for each EC2 instance of a node group, ready some time after it has joined.

use serde_json::{Value, json};

use super::kinds::NODES;
use super::tick::Tick;
use super::value::{condition, put, set_condition, text};
use crate::world::{Ms, hash};

const GROUP_LABEL: &str = "eks.amazonaws.com/nodegroup";

/// Lets nodes join and leave as their groups grow and shrink.
pub(super) fn run(tick: &mut Tick) {
    let Some(cluster) = tick.world.region(tick.region).and_then(|r| r.clusters.get(tick.cluster)) else {
        return;
    };
    let version = format!("v{}.15-eks-5e0fdde", cluster.version);
    let groups: Vec<(String, usize, String)> =
        cluster.nodegroups.values().map(|g| (g.name.clone(), g.nodes.max(0) as usize, g.instance_type.clone())).collect();
    for (group, wanted, instance_type) in groups {
        let mut nodes = of_group(tick, &group);
        while nodes.len() > wanted {
            // The newest leave first.
            if let Some((_, key)) = nodes.pop() {
                tick.kube.remove(NODES, &key);
            }
        }
        for _ in nodes.len()..wanted {
            join(tick, &group, &instance_type, &version);
        }
    }
    let now = tick.now;
    for key in tick.kube.keys(NODES) {
        match tick.kube.hidden(NODES, &key).and_then(|n| n.due) {
            Some(due) if due <= now => become_ready(tick, &key),
            Some(due) => tick.wake_at(due),
            None => {}
        }
    }
}

/// The nodes of a group, the oldest first.
fn of_group(tick: &Tick, group: &str) -> Vec<(String, String)> {
    let nodes = tick.kube.all(NODES).map(|n| &n.json).filter(|n| n["metadata"]["labels"][GROUP_LABEL] == group);
    let mut nodes: Vec<_> =
        nodes.map(|n| (text(n, "/metadata/creationTimestamp").to_owned(), format!("/{}", text(n, "/metadata/name")))).collect();
    nodes.sort();
    nodes
}

fn join(tick: &mut Tick, group: &str, instance_type: &str, version: &str) {
    let digits = tick.world.draw_hex(&format!("k8s/node/{}/{}", tick.region, tick.cluster), 21);
    let number = |from: usize| digits.get(from..from + 2).and_then(|d| u8::from_str_radix(d, 16).ok()).unwrap_or(7);
    let network = hash(12, tick.region, 0) % 100;
    let address = format!("10.{network}.{}.{}", number(17) % 96, number(19).clamp(4, 250));
    let name = format!("ip-{}.{}.compute.internal", address.replace('.', "-"), tick.region);
    let zone = format!("{}{}", tick.region, ["a", "b", "c"][of_group(tick, group).len() % 3]);
    let mut node = json!({
        "metadata": {
            "name": name,
            "labels": {
                "beta.kubernetes.io/arch": "amd64", "beta.kubernetes.io/os": "linux",
                GROUP_LABEL: group, "eks.amazonaws.com/capacityType": "ON_DEMAND",
                "kubernetes.io/arch": "amd64", "kubernetes.io/hostname": name, "kubernetes.io/os": "linux",
                "node.kubernetes.io/instance-type": instance_type,
                "topology.kubernetes.io/region": tick.region, "topology.kubernetes.io/zone": zone,
            },
        },
        "spec": { "providerID": format!("aws:///{zone}/i-0{}", &digits[..16]) },
        "status": {
            "capacity": { "cpu": "4", "memory": "15896988Ki", "pods": "58" },
            "allocatable": { "cpu": "3920m", "memory": "14880172Ki", "pods": "58" },
            "addresses": [{ "type": "InternalIP", "address": address }, { "type": "Hostname", "address": name }],
            "nodeInfo": {
                "architecture": "amd64", "operatingSystem": "linux", "kubeletVersion": version, "kubeProxyVersion": version,
                "containerRuntimeVersion": "containerd://1.7.22", "osImage": "Amazon Linux 2023", "kernelVersion": "6.1.112-122.189.amzn2023.x86_64",
                "machineID": digits, "systemUUID": digits, "bootID": digits,
            },
        },
    });
    tell_ready(&mut node, false, &tick.stamp());
    let key = tick.create(NODES, node);
    let due: Ms = tick.now + tick.draw("node-ready", |t| t.node_ready);
    if let Some(node) = tick.kube.hidden(NODES, &key) {
        node.due = Some(due);
    }
    tick.wake_at(due);
}

fn become_ready(tick: &mut Tick, key: &str) {
    let stamp = tick.stamp();
    tick.kube.change(NODES, key, |node| tell_ready(node, true, &stamp));
    if let Some(node) = tick.kube.hidden(NODES, key) {
        node.due = None;
    }
}

fn tell_ready(node: &mut Value, ready: bool, at: &str) {
    const NO_NETWORK: &str = "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady \
         message:Network plugin returns error: cni plugin not initialized";
    let mut status = node["status"].clone();
    for (pressure, what) in [("MemoryPressure", "Memory"), ("DiskPressure", "Disk"), ("PIDPressure", "PID")] {
        let message = format!("kubelet has sufficient {} available", what.to_lowercase());
        set_condition(&mut status, pressure, "False", &format!("KubeletHasSufficient{what}"), &message, at);
    }
    match ready {
        true => set_condition(&mut status, "Ready", "True", "KubeletReady", "kubelet is posting ready status", at),
        false => set_condition(&mut status, "Ready", "False", "KubeletNotReady", NO_NETWORK, at),
    }
    put(node, &["status"], status);
    let taints = json!([{ "key": "node.kubernetes.io/not-ready", "effect": "NoSchedule" }]);
    match ready {
        true => drop(super::value::remove(node, &["spec", "taints"])),
        false => put(node, &["spec", "taints"], taints),
    }
}

/// Reports whether pods can be put on a node.
pub(super) fn takes_pods(node: &Value) -> bool {
    condition(node, "Ready") == "True" && node["spec"]["unschedulable"] != true
}
