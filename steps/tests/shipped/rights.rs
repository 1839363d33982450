//! The rights that the kinds name are those that a failover needs: with exactly them it completes, and without any one of them the step that
//! names it says what is missing.

use std::collections::{BTreeMap, BTreeSet};

use wf_engine::model::run_state::StepStatus;
use wf_engine::model::workflow::Workflow;
use wf_engine::step::KindInfo;
use wf_steps::aws::Cloud;

use crate::COMPLETED;
use crate::world::Shipped;

/// Rights that a failover in which nothing goes wrong and nothing is undone does not use.
const SPARED: &[(&str, &str)] = &[
    ("ListClusters", "names the clusters there are, when the one that is asked for is not"),
    ("ListNodegroups", "names the node groups there are, when the one that is asked for is not"),
    ("list:ingresses", "names the ingresses there are, when the one that is asked for is not"),
    ("list:secrets", "names the Secrets there are, when the one that is asked for is not"),
    ("list:pods", "says why pods do not come up"),
    ("get:backups", "finds a backup by its name; the plan takes the newest of a schedule"),
    ("get:cronjobs", "restores what was suspended"),
    ("delete:secrets", "forgets the old values once they are restored"),
    ("get:daemonsets", "no workload of the plan is one"),
    ("list:daemonsets", "no workload of the plan is one"),
    ("patch:daemonsets", "no workload of the plan is one"),
    ("get:statefulsets", "no workload of the plan is one"),
    ("list:statefulsets", "no workload of the plan is one"),
    ("patch:statefulsets", "no workload of the plan is one"),
    ("patch:statefulsets/scale", "no workload of the plan is one"),
    ("GetHealthCheck", "the object is put without a look at the health check too"),
    ("GetHealthCheckStatus", "`wf check --live` asks for it"),
    ("GetBucketVersioning", "is looked at before a run only"),
    ("GetReplicationConfiguration", "is looked at before a run only"),
    ("DescribeImages", "is looked at before a run only"),
    ("DescribeRegistry", "is looked at before a run only"),
    ("GetHostedZone", "the plan waits for no health check"),
    ("ListSubscriptionsByTopic", "`wf check --live` asks for it"),
    ("DescribeVpcPeeringConnections", "`wf check --live` asks for it"),
    ("DescribeRouteTables", "`wf check --live` asks for it"),
    ("get:namespaces", "`wf check --live` asks for it"),
    ("list:backupstoragelocations", "`wf check --live` asks for it"),
    ("DeleteObject", "takes the object away"),
    ("GetRoutingControlState", "no routing control moves the users"),
    ("UpdateRoutingControlStates", "no routing control moves the users"),
    ("list:deployments", "no workload of the plan is chosen by its labels"),
];

/// The rights of a kind, as the simulator names calls.
fn rights(kind: &KindInfo) -> BTreeSet<String> {
    let iam = [kind.iam.read, kind.iam.apply, kind.iam.compensate].into_iter().flatten();
    let iam = iam.filter_map(|action| Some(action.split_once(':')?.1.to_owned()));
    let rbac = [kind.rbac.read, kind.rbac.apply, kind.rbac.compensate].into_iter().flatten().flat_map(|right| {
        let (verbs, resources) = right.split_once(' ').unwrap();
        let plain = |resource: &str| {
            let (name, part) = resource.split_once('/').map_or((resource, String::new()), |(name, part)| (name, format!("/{part}")));
            format!("{}{part}", name.split('.').next().unwrap())
        };
        let each = |verb: &str| resources.split(',').map(|resource| format!("{verb}:{}", plain(resource))).collect::<Vec<_>>();
        verbs.split(',').flat_map(each).collect::<Vec<_>>()
    });
    iam.chain(rbac).collect()
}

#[tokio::test(start_paused = true)]
async fn exactly_the_rights_that_the_kinds_name_suffice_and_each_is_missed_by_name() {
    let registry = wf_steps::registry(Cloud::offline());
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../workflows/failover.ron");
    let workflow = Workflow::parse(&std::fs::read_to_string(path).unwrap()).unwrap();
    let kinds: BTreeMap<_, _> =
        (0..workflow.len()).map(|ix| registry.kind(&workflow.step(ix).kind.value).unwrap()).map(|kind| (kind.name, rights(kind))).collect();
    let all: BTreeSet<String> = kinds.values().flatten().cloned().collect();
    let allow_only = |rights: &mut dyn Iterator<Item = &String>| format!("allow-only {}", rights.cloned().collect::<Vec<_>>().join(","));

    let world = Shipped::burning(&[&allow_only(&mut all.iter())]);
    let run = world.run("failover.ron", |_| {}).await;
    assert_eq!(run.end, COMPLETED, "{:#?}", run.failures());

    let mut spared = BTreeSet::new();
    for missing in &all {
        let world = Shipped::burning(&[&allow_only(&mut all.iter().filter(|right| *right != missing))]);
        let run = world.run("failover.ron", |_| {}).await;
        if run.end == COMPLETED {
            spared.insert(missing.as_str());
            continue;
        }
        let state = run.state();
        let failed = (0..workflow.len()).filter(|&ix| matches!(state.step(ix).status, StepStatus::Failed | StepStatus::Unreachable));
        for ix in failed {
            let kind = workflow.step(ix).kind.value.as_str();
            assert!(kinds[kind].contains(missing), "without {missing}, {kind} failed, which does not name it: {:#?}", run.failures());
        }
        let failures = run.failures();
        assert!(!failures.is_empty(), "without {missing}: {:?}", run.end);
        for (step, failure) in failures {
            let said = format!("{} {} {}", failure.message, failure.causes.join(" "), failure.hint.unwrap_or_default());
            // Kubernetes says "patch secrets", AWS "rds:PromoteReadReplica".
            let words: Vec<&str> = missing.split(':').collect();
            assert!(words.iter().all(|word| said.contains(word)), "without {missing}, {step} says: {said}");
        }
    }
    let known: BTreeSet<_> = SPARED.iter().map(|(right, _)| *right).collect();
    assert_eq!(spared, known, "rights that nothing missed");
}
