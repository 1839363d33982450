//! Each Kubernetes step kind in front of a real API server, entered by a kubeconfig's context as a user who has the rights that the kind
//! declares and no others: it succeeds, is repeated with one effect, is cut off between any two of its parts and carried on, compensates, and
//! compensates twice. What it changed is read from the API in raw JSON; what it asked for stands in the server's own audit log.
//! `tests/apiserver/run.sh kinds -- --nocapture` prints the table.

use serde_json::Value;
use wf_engine::step::KindInfo;
use wf_steps::aws::Cloud;

use crate::stage::Stage;
use crate::stepped::{Cut, Known};
use crate::world;

/// What they do stays when they are rolled back, and harms nobody.
const STAYS: [&str; 3] = ["K8sRolloutRestart", "VeleroBackup", "VeleroRestore"];

/// A step: its kind, what is in its namespace, and its params, where `{cluster}`, `{ns}` and `{dir}` stand for what they are.
pub struct Case {
    kind: &'static str,
    ron: &'static str,
    /// How many calls it changes something by.
    changes: usize,
    /// How many of them a rollback needs.
    undone_by: usize,
}

const CASES: [Case; 16] = [
    Case { kind: "K8sWaitNodes", ron: r#"(cluster: {cluster}, expected: 2, selector: "pool=general")"#, changes: 0, undone_by: 0 },
    Case {
        kind: "K8sWaitPodsReady",
        ron: r#"(cluster: {cluster}, namespace: "{ns}", selector: "app=web", min_ready: 2)"#,
        changes: 0,
        undone_by: 0,
    },
    Case { kind: "K8sIngressAddress", ron: r#"(cluster: {cluster}, namespace: "{ns}", name: "web")"#, changes: 0, undone_by: 0 },
    Case {
        kind: "K8sPatchSecret",
        ron: r#"(cluster: {cluster}, namespace: "{ns}", name: "db", data: { "host": "west.example", "port": "5433" })"#,
        changes: 2,
        undone_by: 2,
    },
    Case {
        kind: "K8sPatchConfigMap",
        ron: r#"(cluster: {cluster}, namespace: "{ns}", name: "web", data: { "REGION": "us-west-2", "NEW": "x" })"#,
        changes: 1,
        undone_by: 1,
    },
    Case { kind: "K8sApply", ron: r#"(cluster: {cluster}, namespace: "{ns}", manifests: ["{dir}/new.yaml"])"#, changes: 3, undone_by: 3 },
    Case {
        kind: "K8sApply",
        ron: r#"(cluster: {cluster}, namespace: "{ns}", manifests: ["{dir}/old.yaml"], force: true)"#,
        changes: 3,
        // Each object in two calls, the second gives the fields back to their managers; 1.20 does both to a Service in the first.
        undone_by: 5,
    },
    Case {
        kind: "K8sJob",
        ron: r#"(cluster: {cluster}, namespace: "{ns}", manifest: "{workflows}/k8s/smoke-test.yaml")"#,
        changes: 1,
        undone_by: 1,
    },
    Case {
        kind: "K8sRolloutRestart",
        ron: r#"(cluster: {cluster}, namespace: "{ns}", kind: Deployment, selector: "app=web")"#,
        changes: 1,
        undone_by: 0,
    },
    Case {
        kind: "K8sRolloutRestart",
        ron: r#"(cluster: {cluster}, namespace: "{ns}", kind: StatefulSet, name: "db")"#,
        changes: 1,
        undone_by: 0,
    },
    Case {
        kind: "K8sRolloutRestart",
        ron: r#"(cluster: {cluster}, namespace: "{ns}", kind: DaemonSet, name: "log")"#,
        changes: 1,
        undone_by: 0,
    },
    Case {
        kind: "K8sScale",
        ron: r#"(cluster: {cluster}, namespace: "{ns}", kind: Deployment, name: "web", replicas: 6)"#,
        changes: 2,
        undone_by: 2,
    },
    Case {
        kind: "K8sScale",
        ron: r#"(cluster: {cluster}, namespace: "{ns}", kind: StatefulSet, name: "db", replicas: 0)"#,
        changes: 1,
        undone_by: 1,
    },
    Case { kind: "K8sSuspendCronJobs", ron: r#"(cluster: {cluster}, namespace: "{ns}")"#, changes: 1, undone_by: 1 },
    Case {
        kind: "VeleroBackup",
        ron: r#"(cluster: {cluster}, namespace: "{ns}", schedule: "nightly", ttl: "720h")"#,
        changes: 1,
        undone_by: 0,
    },
    Case {
        kind: "VeleroRestore",
        ron: r#"(cluster: {cluster}, namespace: "{ns}", backup: Newest(schedule: "nightly"), included_namespaces: ["production"])"#,
        changes: 1,
        undone_by: 0,
    },
];

impl Case {
    /// Tries everything that the kind must do, and returns its line of the table.
    async fn check(&self, stage: &Stage) -> String {
        let shown = self.kind;
        let place = stage.place().await;
        let at_rest = world::at_rest(&stage.admin, &place).await;
        let step = stage.step(&place, self.kind, self.ron);
        stage.take_calls(self.kind);
        let mut known = Known::default();
        step.drive(&mut known).await.unwrap_or_else(|failure| panic!("{shown}: {failure:?}"));
        // The audit log may be a little behind the answers, so the world is looked at first.
        let changed = world::at_rest(&stage.admin, &place).await;
        let (reads, changes) = stage.take_calls(self.kind);
        assert_eq!(changes.len(), self.changes, "{shown}: {changes:?}");
        assert_eq!(world::plain(&changed) == world::plain(&at_rest), self.changes == 0, "{shown}: {changed:#}");

        // A second call of what is done leaves each object at the version that it has.
        for mut again in [Known { handle: None, ..known.clone() }, Known { intent: false, handle: None, ..known.clone() }] {
            if !again.intent && self.makes_another() {
                continue;
            }
            step.drive(&mut again).await.unwrap_or_else(|failure| panic!("{shown}, repeated: {failure:?}"));
            assert_eq!(world::at_rest(&stage.admin, &place).await, changed, "{shown}, repeated");
        }

        let stays = self.changes == 0 || STAYS.contains(&self.kind);
        stage.take_calls(self.kind);
        let mut undone_by = Vec::new();
        for time in ["once", "twice"] {
            if !step.changes_something() {
                break;
            }
            step.undo(&known).await.unwrap_or_else(|failure| panic!("{shown}, undone {time}: {failure:?}"));

            let now = world::plain(&world::at_rest(&stage.admin, &place).await);
            let wanted = world::plain(if stays { &changed } else { &at_rest });
            assert_eq!(now, wanted, "{shown}, undone {time}");
            undone_by.push(stage.take_calls(self.kind).1.len());
        }
        assert!(undone_by.first().is_none_or(|calls| *calls == self.undone_by), "{shown}: {undone_by:?}");

        for cut in [Cut::Intended, Cut::AnswerLost, Cut::Answered, Cut::Settling] {
            self.cut_off(stage, cut, &changed, stays).await;
        }
        let undone = match (self.changes, stays) {
            (0, _) => "-".to_owned(),
            (_, true) => "stays".to_owned(),
            (_, false) => format!("{} calls", self.undone_by),
        };
        let way_back = if stays { "-" } else { "4 of 4" };
        let repeated = if self.changes == 0 { "reads" } else { "one effect" };
        format!("{:<19} {:>5} {:>7}  {repeated:<11} 4 of 4   {way_back:<9} {undone}", self.kind, reads.len(), changes.len())
    }

    /// Kinds that, asked anew, do it anew.
    fn makes_another(&self) -> bool {
        STAYS.contains(&self.kind) || self.kind == "K8sJob"
    }

    /// Cuts the step off in a place of its own, carries it on, and compares with the step that was not cut off; then cuts off the way back.
    async fn cut_off(&self, stage: &Stage, cut: Cut, changed: &Value, stays: bool) {
        let shown = format!("{} cut off: {cut:?}", self.kind);
        let place = stage.place().await;
        let at_rest = world::plain(&world::at_rest(&stage.admin, &place).await);
        let (step, mut known) = (stage.step(&place, self.kind, self.ron), Known::default());
        step.begin(&mut known, cut).await.unwrap_or_else(|failure| panic!("{shown}: {failure:?}"));
        step.drive(&mut known).await.unwrap_or_else(|failure| panic!("{shown}: {failure:?}"));
        let now = world::at_rest(&stage.admin, &place).await;
        assert_eq!(world::plain(&now), world::plain(changed), "{shown}");
        if stays {
            return;
        }
        step.begin_undo(&known).await.unwrap_or_else(|failure| panic!("{shown}, undone: {failure:?}"));
        step.undo(&known).await.unwrap_or_else(|failure| panic!("{shown}, undone: {failure:?}"));
        assert_eq!(world::plain(&world::at_rest(&stage.admin, &place).await), at_rest, "{shown}, undone");
    }
}

#[tokio::test]
#[ignore = "needs a kube-apiserver: tests/apiserver/build.sh makes one"]
async fn the_kinds_on_an_api_server() {
    let stage = Stage::new("west").await;
    let registry = wf_steps::registry(Cloud::offline());
    // What asks more of AWS than the way to the cluster needs AWS, too.
    let only_clusters = |kind: &&KindInfo| !kind.rbac.read.is_empty() && kind.iam.read.iter().all(|action| action.starts_with("eks:"));
    for KindInfo { name, .. } in registry.kinds().filter(only_clusters) {
        assert!(CASES.iter().any(|case| case.kind == *name), "{name} has no case");
    }
    // Kinds wait for their controllers at the same time; the cases of one kind share its user, whose calls are counted.
    let mut kinds: Vec<Vec<&Case>> = Vec::new();
    for case in &CASES {
        match kinds.last_mut().filter(|cases| cases[0].kind == case.kind) {
            Some(cases) => cases.push(case),
            None => kinds.push(vec![case]),
        }
    }
    let lines = futures_util::future::join_all(kinds.into_iter().map(async |cases| {
        let mut lines = Vec::new();
        for case in cases {
            lines.push(case.check(&stage).await);
        }
        lines
    }));
    let head = format!("{:<19} reads changes  repeated    cut off  way back  undone twice", "kind");
    let table: Vec<_> = std::iter::once(head).chain(lines.await.into_iter().flatten()).collect();
    #[expect(clippy::print_stderr, reason = "the table is what the test is for")]
    {
        eprintln!("{}", table.join("\n"));
    }
}
