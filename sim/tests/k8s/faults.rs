//! What goes wrong on purpose in the clusters, as a client meets it.

use serde_json::{Value, json};
use wf_sim::ConnectionError;

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn rbac_denies_in_its_own_words() {
    let sim = open(&["deny patch:secrets"]);
    let (status, answer) = ask(&sim, PRIMARY, "PATCH", SECRET, MERGE, &json!({ "data": {} })).await;
    assert_eq!((status, answer["reason"].as_str()), (403, Some("Forbidden")));
    assert_eq!(
        answer["message"],
        "secrets \"db-credentials\" is forbidden: User \"arn:aws:iam::123456789012:user/operator\" cannot patch resource \"secrets\" in API \
         group \"\" in the namespace \"production\""
    );
    assert_eq!(ask(&sim, PRIMARY, "GET", SECRET, JSON, &Value::Null).await.0, 200);
    let reviews = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let review = |verb: &str| json!({ "kind": "SelfSubjectAccessReview", "spec": { "resourceAttributes": { "verb": verb, "resource": "secrets" } } });
    assert_eq!(ask(&sim, PRIMARY, "POST", reviews, JSON, &review("patch")).await.1["status"]["allowed"], false);
    assert_eq!(ask(&sim, PRIMARY, "POST", reviews, JSON, &review("get")).await.1["status"]["allowed"], true);
}

#[tokio::test(start_paused = true)]
async fn an_api_server_is_down_for_a_while() {
    let sim = open(&["k8s-down production-dr 2m"]);
    let nodes = || http::Request::get("http://127.0.0.1/k8s/us-west-2/production-dr/api/v1/nodes").body(Vec::new()).unwrap();
    assert!(matches!(sim.handle(nodes()).await.unwrap_err(), ConnectionError::Refused(_)), "nobody answers");
    assert_eq!(ask(&sim, PRIMARY, "GET", "/readyz", JSON, &Value::Null).await.0, 200);
    pass(&sim, 110).await;
    assert!(matches!(sim.handle(nodes()).await.unwrap_err(), ConnectionError::Refused(_)), "still nobody answers");
    pass(&sim, 15).await;
    assert_eq!(sim.handle(nodes()).await.unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_whole_region_that_is_out_takes_its_cluster_with_it() {
    let sim = open(&["region-outage us-west-2"]);
    let nodes = http::Request::get("http://127.0.0.1/k8s/us-west-2/production-dr/api/v1/nodes").body(Vec::new()).unwrap();
    assert!(matches!(sim.handle(nodes).await.unwrap_err(), ConnectionError::Refused(_)));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_lost_has_had_its_effect() {
    let sim = open(&["lost-response VeleroRestore"]);
    let body = json!({ "apiVersion": "velero.io/v1", "kind": "Restore", "metadata": { "name": "dr" }, "spec": { "backupName": "x" } });
    let create =
        http::Request::post(format!("http://127.0.0.1/k8s/us-west-2/production-dr{RESTORES}")).body(body.to_string().into_bytes()).unwrap();
    assert!(matches!(sim.handle(create).await.unwrap_err(), ConnectionError::Broken(_)));
    get(&sim, STANDBY, &format!("{RESTORES}/dr")).await;
    assert_eq!(ask(&sim, STANDBY, "POST", RESTORES, JSON, &body).await.1["reason"], "AlreadyExists");
    let calls: Vec<_> = sim.calls().into_iter().map(|c| (c.action, c.resource, c.effective)).collect();
    let resource = "production-dr/velero/dr".to_owned();
    assert_eq!(calls[0], ("create:restores".to_owned(), resource, true));
    assert!(!calls[1].2);
}

#[tokio::test(start_paused = true)]
async fn the_newest_backup_is_a_partial_one_until_the_fault_is_gone() {
    let sim = open(&["backup-partial"]);
    let phases = async || {
        pass(&sim, 5).await;
        let list = get(&sim, STANDBY, "/apis/velero.io/v1/namespaces/velero/backups").await;
        let items = list["items"].as_array().unwrap().clone();
        items.iter().map(|b| b["status"]["phase"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(phases().await, ["Completed", "Completed", "PartiallyFailed"]);
    sim.set_faults(Vec::new());
    assert_eq!(phases().await, ["Completed"; 3]);
}

#[tokio::test(start_paused = true)]
async fn a_restore_with_errors_leaves_the_volume_out() {
    let sim = open(&["restore-partial"]);
    let restore = restore(&sim).await;
    assert_eq!((&restore["status"]["phase"], &restore["status"]["errors"]), (&json!("PartiallyFailed"), &json!(1)));
    pass(&sim, 120).await;
    let pods = get(&sim, STANDBY, "/api/v1/namespaces/production/pods?labelSelector=app%3Dweb-app").await;
    let why = &pods["items"][0]["status"]["conditions"][0];
    assert_eq!(why["reason"], "Unschedulable");
    assert!(why["message"].as_str().unwrap().contains("persistentvolumeclaim \"app-data-pvc\" not found"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn images_that_cannot_be_pulled_let_a_rollout_time_out() {
    let sim = open(&["image-pull us-east-1"]);
    assert_eq!(get(&sim, PRIMARY, DEPLOYMENT).await["status"]["readyReplicas"], 6, "what runs already goes on");
    restart(&sim, PRIMARY, "03:01").await;
    let pods = "/api/v1/namespaces/production/pods?labelSelector=app%3Dweb-app";
    let reason = "/status/containerStatuses/0/state/waiting/reason";
    let waits = |list: &Value| list["items"].as_array().unwrap().iter().any(|p| p.pointer(reason) == Some(&json!("ImagePullBackOff")));
    until(&sim, PRIMARY, pods, waits).await;
    let exceeded = |d: &Value| d["status"]["conditions"].as_array().unwrap().iter().any(|c| c["reason"] == "ProgressDeadlineExceeded");
    let stuck = until(&sim, PRIMARY, DEPLOYMENT, exceeded).await;
    assert_eq!(stuck["status"]["readyReplicas"], 5, "the old pods stay as far as the strategy says");
    sim.set_faults(Vec::new());
    until(&sim, PRIMARY, DEPLOYMENT, has_rolled_out).await;
}

#[tokio::test(start_paused = true)]
async fn an_ingress_gets_no_address_until_the_fault_is_gone() {
    let sim = open(&["no-address us-west-2"]);
    restore(&sim).await;
    pass(&sim, 1800).await;
    assert!(get(&sim, STANDBY, INGRESS).await["status"]["loadBalancer"]["ingress"].is_null());
    sim.set_faults(Vec::new());
    until(&sim, STANDBY, INGRESS, |i| i["status"]["loadBalancer"]["ingress"][0]["hostname"].is_string()).await;
}
