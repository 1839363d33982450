//! What the tests share: a served world, clients for its clusters, bare requests, waiting in virtual time.

use std::time::Duration;

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use kube::Client;
use serde_json::Value;
use wf_sim::{DEFAULT_WORLD, Fault, Sim, SimOptions};

pub(crate) const EAST: &str = "us-east-1";
pub(crate) const WEST: &str = "us-west-2";
/// The clusters, by the region that they are in.
pub(crate) const PRIMARY: (&str, &str) = (EAST, "production-primary");
pub(crate) const STANDBY: (&str, &str) = (WEST, "production-dr");

pub(crate) fn options(faults: &[&str], speed: f64) -> SimOptions {
    let faults: Vec<Fault> = faults.iter().map(|t| t.parse().unwrap()).collect();
    SimOptions { world: DEFAULT_WORLD.parse().unwrap(), state_dir: None, speed, seed: None, faults }
}

/// Opens a new world in memory.
pub(crate) fn open(faults: &[&str]) -> Sim {
    Sim::open(options(faults, 1.0)).unwrap()
}

/// A world on a loopback port, much faster than life.
pub(crate) struct Served {
    pub(crate) sim: Sim,
    pub(crate) url: String,
    _server: tokio::task::JoinHandle<Result<(), wf_sim::SimError>>,
}

impl Served {
    pub(crate) async fn begin(faults: &[&str]) -> Served {
        let sim = Sim::open(options(faults, 300.0)).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let _server = tokio::spawn(wf_sim::serve(sim.clone(), listener, std::future::pending()));
        Served { sim, url, _server }
    }

    pub(crate) fn client(&self, (region, cluster): (&str, &str)) -> Client {
        let url = format!("{}/k8s/{region}/{cluster}", self.url);
        Client::try_from(kube::Config::new(url.parse().unwrap())).unwrap()
    }
}

/// Grows or shrinks the node group of a cluster.
pub(crate) async fn scale_nodes(sim: &Sim, (region, cluster): (&'static str, &str), nodes: i32) {
    let config = aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new(region))
        .credentials_provider(Credentials::new("AKIDEXAMPLE", "secret", None, None, "test"))
        .http_client(sim.http_client())
        .load()
        .await;
    let eks = aws_sdk_eks::Client::new(&config);
    let sizes = aws_sdk_eks::types::NodegroupScalingConfig::builder().min_size(0).max_size(20).desired_size(nodes).build();
    eks.update_nodegroup_config().cluster_name(cluster).nodegroup_name("general").scaling_config(sizes).send().await.unwrap();
}

/// Promotes the replica in the west.
pub(crate) async fn promote(sim: &Sim) {
    let body = "Action=PromoteReadReplica&Version=2014-10-31&DBInstanceIdentifier=prod-db-replica-west";
    let request = http::Request::post("https://rds.us-west-2.amazonaws.com/").body(body.as_bytes().to_vec()).unwrap();
    assert_eq!(sim.handle(request).await.unwrap().status(), 200);
}

/// Lets virtual time pass.
pub(crate) async fn pass(sim: &Sim, seconds: u64) {
    sim.clock().sleep(Duration::from_secs(seconds)).await;
}

/// A bare request to a cluster by its path: method, path after the cluster's own, content type, body.
pub(crate) async fn ask(sim: &Sim, (region, cluster): (&str, &str), method: &str, path: &str, kind: &str, body: &Value) -> (u16, Value) {
    let uri = format!("http://127.0.0.1/k8s/{region}/{cluster}{path}");
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    let request = http::Request::builder().method(method).uri(uri).header("content-type", kind).body(body).unwrap();
    let response = sim.handle(request).await.unwrap();
    let status = response.status().as_u16();
    let text = String::from_utf8_lossy(response.body()).into_owned();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

pub(crate) const JSON: &str = "application/json";
pub(crate) const MERGE: &str = "application/merge-patch+json";
pub(crate) const STRATEGIC: &str = "application/strategic-merge-patch+json";
pub(crate) const APPLY: &str = "application/apply-patch+yaml";

/// Reads an object of a cluster.
pub(crate) async fn get(sim: &Sim, place: (&str, &str), path: &str) -> Value {
    let (status, object) = ask(sim, place, "GET", path, JSON, &Value::Null).await;
    assert_eq!(status, 200, "{path}: {object}");
    object
}

/// Waits, for up to an hour of virtual time, until an object is as it should be.
pub(crate) async fn until(sim: &Sim, place: (&str, &str), path: &str, holds: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..720 {
        let object = get(sim, place, path).await;
        if holds(&object) {
            return object;
        }
        pass(sim, 5).await;
    }
    panic!("{path} never came to it: {:#}", get(sim, place, path).await)
}

/// Asks a web host for `/health`: the status, and the answer.
pub(crate) async fn health(sim: &Sim, host: &str) -> (u16, Value) {
    let request = http::Request::get(format!("https://{host}/health")).body(Vec::new()).unwrap();
    let response = sim.handle(request).await.unwrap();
    (response.status().as_u16(), serde_json::from_slice(response.body()).unwrap())
}

pub(crate) const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/production/deployments/web-app";
pub(crate) const SECRET: &str = "/api/v1/namespaces/production/secrets/db-credentials";
pub(crate) const INGRESS: &str = "/apis/networking.k8s.io/v1/namespaces/production/ingresses/web-app-ingress";
pub(crate) const RESTORES: &str = "/apis/velero.io/v1/namespaces/velero/restores";

/// Restores the workloads into the standby cluster, whose nodes are started for it.
pub(crate) async fn restore(sim: &Sim) -> Value {
    scale_nodes(sim, STANDBY, 6).await;
    let body = serde_json::json!({
        "apiVersion": "velero.io/v1", "kind": "Restore", "metadata": { "name": "dr" },
        "spec": { "backupName": "production-backup-20260314020000" },
    });
    let (status, made) = ask(sim, STANDBY, "POST", RESTORES, JSON, &body).await;
    assert_eq!(status, 201, "{made}");
    until(sim, STANDBY, &format!("{RESTORES}/dr"), |r| r["status"]["completionTimestamp"].is_string()).await
}

/// Whether a deployment has rolled out, by the rule of `kubectl rollout status`.
pub(crate) fn has_rolled_out(deployment: &Value) -> bool {
    let (spec, status) = (&deployment["spec"]["replicas"], &deployment["status"]);
    status["observedGeneration"] == deployment["metadata"]["generation"]
        && status["updatedReplicas"] == *spec
        && status["replicas"] == *spec
        && status["availableReplicas"] == *spec
}

/// Restarts a deployment as `kubectl rollout restart` does.
pub(crate) async fn restart(sim: &Sim, place: (&str, &str), at: &str) {
    let stamp =
        serde_json::json!({ "spec": { "template": { "metadata": { "annotations": { "kubectl.kubernetes.io/restartedAt": at } } } } });
    assert_eq!(ask(sim, place, "PATCH", DEPLOYMENT, STRATEGIC, &stamp).await.0, 200);
}
