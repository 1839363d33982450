//! Replica sets: as many pods as are wanted.

use serde_json::{Map, Value, json};

use super::kinds::REPLICA_SETS;
use super::pods;
use super::tick::Tick;
use super::value::{name, number, put, text};
use super::{Object, key_of};

/// Makes or ends the pods of each replica set, and counts them.
pub(super) fn run(tick: &mut Tick) {
    for key in tick.kube.keys(REPLICA_SETS) {
        let Some(set) = tick.kube.hidden(REPLICA_SETS, &key).map(|s| s.json.clone()) else {
            continue;
        };
        let wanted = number(&set, "/spec/replicas").unwrap_or(1).max(0) as usize;
        let surplus = surplus(tick, &set, wanted);
        surplus.iter().for_each(|pod| pods::terminate(tick, pod));
        let there = tick.kube.active_pods(text(&set, "/metadata/uid")).count();
        for _ in there..wanted {
            let pod = format!("{}-{}", name(&set), tick.suffix());
            pods::create(tick, REPLICA_SETS, &set, &pod, &[]);
        }
        count(tick, &key, &set);
    }
}

/// The pods beyond those that are wanted: those that are not ready first, then the newest.
fn surplus(tick: &Tick, set: &Value, wanted: usize) -> Vec<String> {
    let mut pods: Vec<&Object> = tick.kube.active_pods(text(set, "/metadata/uid")).collect();
    pods.sort_by_key(|p| (p.is_ready(), std::cmp::Reverse(text(&p.json, "/metadata/creationTimestamp").to_owned())));
    let excess = pods.len().saturating_sub(wanted);
    pods.into_iter().take(excess).map(|p| key_of(&p.json)).collect()
}

fn count(tick: &mut Tick, key: &str, set: &Value) {
    let uid = text(set, "/metadata/uid");
    let (all, ready) = (tick.kube.active_pods(uid).count(), tick.kube.active_pods(uid).filter(|p| p.is_ready()).count());
    let mut status = Map::new();
    status.insert("replicas".to_owned(), json!(all));
    status.insert("observedGeneration".to_owned(), set["metadata"]["generation"].clone());
    for (field, count) in [("fullyLabeledReplicas", all), ("readyReplicas", ready), ("availableReplicas", ready)] {
        if count > 0 {
            status.insert(field.to_owned(), json!(count));
        }
    }
    tick.kube.change(REPLICA_SETS, key, |set| put(set, &["status"], Value::Object(status)));
}
