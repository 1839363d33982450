//! The application's truth: its users are served only when the pods were started with the host of a database that takes writes.

use serde_json::{Value, json};

use crate::support::*;

/// The host name of the load balancer in front of the pods, once there is one.
async fn ingress(sim: &wf_sim::Sim, place: (&str, &str)) -> String {
    let ingress = until(sim, place, INGRESS, |i| i["status"]["loadBalancer"]["ingress"][0]["hostname"].is_string()).await;
    ingress["status"]["loadBalancer"]["ingress"][0]["hostname"].as_str().unwrap().to_owned()
}

/// The promoted database's host name, in base64 as a patch of the secret.
fn promoted(sim: &wf_sim::Sim) -> Value {
    let status = sim.status();
    let endpoint = status["regions"][WEST]["databases"]["prod-db-replica-west"]["endpoint"].as_str().unwrap();
    json!({ "stringData": { "host": endpoint.split(':').next().unwrap() } })
}

#[tokio::test(start_paused = true)]
async fn users_are_served_from_the_west_only_after_every_step() {
    let sim = open(&[]);
    restore(&sim).await;
    until(&sim, STANDBY, DEPLOYMENT, has_rolled_out).await;
    let host = ingress(&sim, STANDBY).await;
    assert!(host.ends_with(".us-west-2.elb.amazonaws.com"), "{host}");
    // The secret came out of the backup: it names the database that the incident has struck.
    let (status, answer) = health(&sim, &host).await;
    assert_eq!(status, 503, "{answer}");
    promote(&sim).await;
    pass(&sim, 600).await;
    assert_eq!(health(&sim, &host).await.0, 503, "promoted, and the secret still names the old database");
    assert_eq!(ask(&sim, STANDBY, "PATCH", SECRET, STRATEGIC, &promoted(&sim)).await.0, 200);
    pass(&sim, 60).await;
    assert_eq!(health(&sim, &host).await.0, 503, "patched, and the pods still hold what they read when they started");
    restart(&sim, STANDBY, "03:20").await;
    until(&sim, STANDBY, DEPLOYMENT, has_rolled_out).await;
    let (status, answer) = health(&sim, &host).await;
    assert_eq!((status, &answer["database"], &answer["region"]), (200, &json!("prod-db-replica-west"), &json!(WEST)));
}

#[tokio::test(start_paused = true)]
async fn the_second_user_counts_the_outage_of_the_pods() {
    let sim = open(&[]);
    let shop = || sim.status()["shop_traffic"].clone();
    // 03:00: the incident of the default world began at 02:58:30.
    assert_eq!(shop()["failed"], 91);
    assert_eq!(shop()["last_error"], "the application servers in us-east-1 do not answer");
    assert_eq!(health(&sim, "shop.company.com").await.0, 504);
    pass(&sim, 1200).await;
    assert_eq!((shop()["failed"].as_u64(), shop()["serving_region"].as_str()), (Some(1200), Some(EAST)), "it ends with the incident");
    scale_nodes(&sim, PRIMARY, 0).await;
    until(&sim, PRIMARY, "/api/v1/nodes", |list| list["items"].as_array().unwrap().is_empty()).await;
    pass(&sim, 30).await;
    assert_eq!(health(&sim, "shop.company.com").await.0, 503);
    assert!(shop()["failed"].as_u64() > Some(1200), "fenced nodes serve nobody");
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_given_the_database_needs_it_to_take_writes() {
    let sim = open(&[]);
    let container = json!({ "name": "migrate", "image": "x", "env": [{ "name": "DB_HOST", "valueFrom": { "secretKeyRef": { "name": "db-credentials", "key": "host" } } }] });
    let job = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": "migrate" },
        "spec": { "backoffLimit": 0, "template": { "spec": { "restartPolicy": "Never", "containers": [container] } } },
    });
    let jobs = "/apis/batch/v1/namespaces/production/jobs";
    assert_eq!(ask(&sim, PRIMARY, "POST", jobs, JSON, &job).await.0, 201);
    let is_over = |j: &Value| j["status"]["failed"] == 1;
    until(&sim, PRIMARY, &format!("{jobs}/migrate"), is_over).await;
    let pods = get(&sim, PRIMARY, "/api/v1/namespaces/production/pods?labelSelector=job-name%3Dmigrate").await;
    let log = format!("/api/v1/namespaces/production/pods/{}/log", pods["items"][0]["metadata"]["name"].as_str().unwrap());
    let log = get(&sim, PRIMARY, &log).await;
    assert!(log.as_str().unwrap().contains("cannot write to prod-db-primary."), "{log}");
}
