//! Nodes, rollouts, scaling, jobs: what the controllers do, over loopback with the `kube` crate.

use std::pin::pin;

use futures_util::StreamExt as _;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, DeleteParams, ListParams, LogParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use serde_json::json;

use crate::support::*;

fn is_ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|s| s.conditions.clone()).unwrap_or_default();
    conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True")
}

#[tokio::test]
async fn nodes_join_and_leave_with_their_node_group() {
    let served = Served::begin(&[]).await;
    let nodes: Api<Node> = Api::all(served.client(STANDBY));
    assert_eq!(nodes.list(&ListParams::default()).await.unwrap().items.len(), 0);
    scale_nodes(&served.sim, STANDBY, 3).await;
    let group = ListParams::default().labels("eks.amazonaws.com/nodegroup=general");
    let mut seen_unready = false;
    for _ in 0..600 {
        let there = nodes.list(&group).await.unwrap().items;
        seen_unready |= there.iter().any(|n| !is_ready(n));
        if there.len() == 3 && there.iter().all(is_ready) {
            break;
        }
        pass(&served.sim, 1).await;
    }
    let there = nodes.list(&group).await.unwrap().items;
    assert!(there.len() == 3 && there.iter().all(is_ready), "{there:?}");
    assert!(seen_unready, "a node joins before it is ready");
    let labels = there[0].metadata.labels.clone().unwrap();
    assert_eq!(labels["topology.kubernetes.io/region"], WEST);
    scale_nodes(&served.sim, STANDBY, 1).await;
    until(&served.sim, STANDBY, "/api/v1/nodes", |list| list["items"].as_array().unwrap().len() == 1).await;
}

#[tokio::test]
async fn a_rollout_replaces_the_pods_and_a_watch_tells_of_it() {
    let served = Served::begin(&[]).await;
    let client = served.client(PRIMARY);
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), "production");
    let pods: Api<Pod> = Api::namespaced(client, "production");
    let of_app = ListParams::default().labels("app=web-app");
    let names = |pods: kube::core::ObjectList<Pod>| pods.items.into_iter().filter_map(|p| p.metadata.name).collect::<Vec<_>>();
    let before = names(pods.list(&of_app).await.unwrap());
    assert_eq!(before.len(), 6);
    let version = deployments.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    let watched = WatchParams::default().fields("metadata.name=web-app").timeout(60);
    let mut events = pin!(deployments.watch(&watched, &version).await.unwrap());
    deployments.restart("web-app").await.unwrap();
    let mut fewest = i32::MAX;
    while let Some(event) = events.next().await {
        let WatchEvent::Modified(deployment) = event.unwrap() else { continue };
        let status = deployment.status.clone().unwrap();
        fewest = fewest.min(status.available_replicas.unwrap_or(0));
        if has_rolled_out(&serde_json::to_value(&deployment).unwrap()) {
            break;
        }
    }
    let after = names(pods.list(&of_app.clone().fields("status.phase=Running")).await.unwrap());
    let new = after.iter().filter(|name| !before.contains(name)).count();
    assert_eq!(new, 6, "{before:?} {after:?}");
    assert_eq!(fewest, 5, "maxUnavailable is a quarter, rounded down");
    let deployment = deployments.get("web-app").await.unwrap();
    assert_eq!(deployment.metadata.annotations.unwrap()["deployment.kubernetes.io/revision"], "2");
}

#[tokio::test]
async fn a_scale_is_kept_within_the_autoscalers_bounds() {
    let served = Served::begin(&[]).await;
    let deployments: Api<Deployment> = Api::namespaced(served.client(PRIMARY), "production");
    assert_eq!(deployments.get_scale("web-app").await.unwrap().spec.unwrap().replicas, Some(6));
    for (asked, becomes) in [(2, 3), (9, 9), (0, 0)] {
        let patch = Patch::Merge(json!({ "spec": { "replicas": asked } }));
        deployments.patch_scale("web-app", &PatchParams::default(), &patch).await.unwrap();
        let done = until(&served.sim, PRIMARY, DEPLOYMENT, |d| {
            d["spec"]["replicas"] == becomes && d["status"]["readyReplicas"].as_i64().unwrap_or(0) == becomes
        });
        done.await;
    }
}

fn job(name: &str, command: &[&str]) -> Job {
    let container = json!({ "name": "main", "image": "busybox", "command": command });
    let pod = json!({ "spec": { "restartPolicy": "Never", "containers": [container] } });
    serde_json::from_value(json!({ "metadata": { "name": name }, "spec": { "backoffLimit": 1, "template": pod } })).unwrap()
}

#[tokio::test]
async fn jobs_run_to_their_end_and_leave_a_log() {
    let served = Served::begin(&[]).await;
    let client = served.client(PRIMARY);
    let jobs: Api<Job> = Api::namespaced(client.clone(), "production");
    let pods: Api<Pod> = Api::namespaced(client, "production");
    for (name, command, condition, pods_made) in [("good", &["true"][..], "Complete", 1), ("bad", &["sh", "-c", "exit 3"][..], "Failed", 2)]
    {
        jobs.create(&PostParams::default(), &job(name, command)).await.unwrap();
        let path = format!("/apis/batch/v1/namespaces/production/jobs/{name}");
        let is_over =
            |j: &serde_json::Value| j["status"]["conditions"].as_array().is_some_and(|c| c.iter().any(|c| c["type"] == condition));
        until(&served.sim, PRIMARY, &path, is_over).await;
        let of_job = pods.list(&ListParams::default().labels(&format!("job-name={name}"))).await.unwrap().items;
        assert_eq!(of_job.len(), pods_made);
        let last = LogParams { tail_lines: Some(1), ..LogParams::default() };
        let log = pods.logs(of_job[0].metadata.name.as_deref().unwrap(), &last).await.unwrap();
        assert_eq!(log, if name == "good" { "done\n" } else { "failed with exit code 3\n" });
    }
    let refused = jobs.create(&PostParams::default(), &job("good", &["true"])).await.unwrap_err();
    assert!(refused.to_string().contains("jobs.batch \"good\" already exists"), "{refused}");
    jobs.delete("good", &DeleteParams::background()).await.unwrap();
    assert_eq!(pods.list(&ListParams::default().labels("job-name=good")).await.unwrap().items.len(), 0, "its pods go with it");
}

#[tokio::test]
async fn a_suspended_cron_job_makes_no_jobs() {
    let served = Served::begin(&[]).await;
    let cron: Api<CronJob> = Api::namespaced(served.client(PRIMARY), "production");
    let suspend = Patch::Strategic(json!({ "spec": { "suspend": true } }));
    cron.patch("invoice-run", &PatchParams::default(), &suspend).await.unwrap();
    pass(&served.sim, 60).await;
    let last = cron.get("invoice-run").await.unwrap().status.unwrap().last_schedule_time;
    pass(&served.sim, 3600).await;
    assert_eq!(cron.get("invoice-run").await.unwrap().status.unwrap().last_schedule_time, last);
    let go_on = Patch::Strategic(json!({ "spec": { "suspend": false } }));
    cron.patch("invoice-run", &PatchParams::default(), &go_on).await.unwrap();
    until(&served.sim, PRIMARY, "/apis/batch/v1/namespaces/production/cronjobs/invoice-run", |c| {
        c["status"]["lastScheduleTime"].as_str().is_some_and(|t| last.as_ref().is_none_or(|last| t > last.0.to_string().as_str()))
    })
    .await;
}

#[tokio::test]
async fn stateful_and_daemon_sets_change_one_pod_after_another() {
    let served = Served::begin(&[]).await;
    for (kind, name) in [("statefulsets", "session-store"), ("daemonsets", "log-shipper")] {
        let path = format!("/apis/apps/v1/namespaces/production/{kind}/{name}");
        let stamp = json!({ "spec": { "template": { "metadata": { "annotations": { "kubectl.kubernetes.io/restartedAt": "now" } } } } });
        assert_eq!(ask(&served.sim, PRIMARY, "PATCH", &path, STRATEGIC, &stamp).await.0, 200);
        let (updated, ready) =
            if kind == "daemonsets" { ("updatedNumberScheduled", "numberReady") } else { ("updatedReplicas", "readyReplicas") };
        let wanted = if kind == "daemonsets" { 6 } else { 2 };
        until(&served.sim, PRIMARY, &path, |set| {
            set["status"]["observedGeneration"] == set["metadata"]["generation"]
                && set["status"][updated] == wanted
                && set["status"][ready] == wanted
                && set["metadata"]["generation"] == 2
        })
        .await;
    }
}
