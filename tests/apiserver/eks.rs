//! The real `wf` and an EKS cluster: `DescribeCluster` leads to the real API server, whose certificate must be of the authority that it told, and
//! who has our token looked at as EKS has. AWS itself is a double of ours; see `double.rs`.

use std::process::{Command, Output};

use serde_json::json;

use crate::double;
use crate::servers::servers;
use crate::stage::Stage;

const WORKFLOW: &str = r#"Workflow(name: "eks", steps: [
    (id: "config", run: K8sPatchConfigMap(cluster: Eks(name: "production-dr", region: "us-west-2"), namespace: "{ns}", name: "web", data: { "REGION": "us-west-2" })),
    (id: "secret", needs: ["config"], run: K8sPatchSecret(cluster: Eks(name: "production-dr", region: "us-west-2"), namespace: "{ns}", name: "db", data_from_env: { "password": "NEW_PASSWORD" })),
    (id: "stop", needs: ["secret"], run: K8sIngressAddress(cluster: Eks(name: "production-dr", region: "us-west-2"), namespace: "{ns}", name: "wen"), retry: (attempts: 1)),
], on_failure: Rollback)"#;

struct Operator {
    home: tempfile::TempDir,
    aws: String,
}

impl Operator {
    fn new(aws: String, ns: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("eks.ron"), WORKFLOW.replace("{ns}", ns)).unwrap();
        Self { home, aws }
    }

    /// Runs `wf` with a key of AWS, from a home that has nothing else.
    fn wf(&self, key: &str, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wf"));
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("USER", "tester").env("HOME", self.home.path());
        command.env("WF_STATE_DIR", self.home.path().join("state")).env("AWS_EC2_METADATA_DISABLED", "true");
        command.env("AWS_ENDPOINT_URL", &self.aws).env("AWS_REGION", "us-west-2").env("NEW_PASSWORD", "battery staple");
        command.env("AWS_ACCESS_KEY_ID", key).env("AWS_SECRET_ACCESS_KEY", "secret");
        command.current_dir(self.home.path()).args(args).output().unwrap()
    }
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a kube-apiserver: tests/apiserver/build.sh makes one"]
async fn an_eks_cluster_is_found_entered_changed_and_put_back() {
    let stage = Stage::new("west").await;
    let ns = stage.place().await;
    // `aws:example` may do what the steps do; `aws:nobody` is known and may do nothing.
    let rule = json!({ "verbs": ["get", "list", "create", "patch", "delete"], "apiGroups": ["", "networking.k8s.io"], "resources": ["secrets", "configmaps", "ingresses"] });
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    stage.admin.create(&format!("{rbac}/clusterroles"), json!({ "metadata": { "name": "example" }, "rules": [rule] })).await;
    let binding = json!({
        "metadata": { "name": "example" }, "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "example" },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "aws:example" }],
    });
    stage.admin.create(&format!("{rbac}/clusterrolebindings"), binding).await;
    let before = crate::world::at_rest(&stage.admin, &ns).await;
    let endpoint = servers().endpoint("west");
    let operator = Operator::new(double::aws(&endpoint, &servers().authority("west")), &ns);

    // Two steps change the cluster; the third asks for an Ingress that is not there, so both are rolled back.
    let ran = operator.wf("AKIDEXAMPLE", &["run", "eks.ron", "--yes"]);
    assert_eq!(ran.status.code(), Some(10), "{}", said(&ran));
    assert!(said(&ran).contains("did you mean web?"), "{}", said(&ran));
    let now = crate::world::at_rest(&stage.admin, &ns).await;
    assert_eq!(crate::world::plain(&now), crate::world::plain(&before));
    assert_ne!(now["secrets"][0]["metadata"]["resourceVersion"], before["secrets"][0]["metadata"]["resourceVersion"], "it was changed");
    let log = said(&operator.wf("AKIDEXAMPLE", &["log"]));
    let secrets = ["battery staple", "correct horse", "k8s-aws-v1", "X-Amz-Signature"];
    assert!(secrets.iter().all(|secret| !log.contains(secret) && !said(&ran).contains(secret)), "{log}");
    let asked = servers().identities.asked();
    let ours: Vec<_> = asked.iter().filter(|url| url.contains("AKIDEXAMPLE")).collect();
    assert!(
        !ours.is_empty() && ours.iter().all(|url| url.starts_with("https://sts.us-west-2.amazonaws.com/?Action=GetCallerIdentity")),
        "{ours:?}"
    );

    let denied = operator.wf("AKIDNOBODY", &["run", "eks.ron", "--yes"]);
    assert_eq!(denied.status.code(), Some(10), "{}", said(&denied));
    assert!(said(&denied).contains("to aws:nobody: a Role and its binding"), "{}", said(&denied));
    let unknown = operator.wf("AKIDUNKNOWN", &["run", "eks.ron", "--yes"]);
    assert!(said(&unknown).contains("user/example has no access entry in cluster production-dr"), "{}", said(&unknown));

    let impostor = Operator::new(double::aws(&endpoint, &servers().authority("east")), &ns);
    let ran = impostor.wf("AKIDEXAMPLE", &["run", "eks.ron", "--yes"]);
    assert_eq!(ran.status.code(), Some(10), "{}", said(&ran));
    assert!(said(&ran).contains("does not prove to be that cluster"), "{}", said(&ran));
    assert_eq!(crate::world::plain(&crate::world::at_rest(&stage.admin, &ns).await), crate::world::plain(&before));
}
