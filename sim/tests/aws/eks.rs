//! EKS: node groups and their updates.

use aws_sdk_eks::error::ProvideErrorMetadata;
use aws_sdk_eks::operation::update_nodegroup_config::builders::UpdateNodegroupConfigFluentBuilder;
use aws_sdk_eks::types::{Nodegroup, NodegroupScalingConfig, UpdateStatus};

use crate::support::*;

fn scale(client: &aws_sdk_eks::Client, min: i32, desired: i32, token: &str) -> UpdateNodegroupConfigFluentBuilder {
    let config = NodegroupScalingConfig::builder().min_size(min).max_size(20).desired_size(desired).build();
    client
        .update_nodegroup_config()
        .cluster_name("production-dr")
        .nodegroup_name("general")
        .scaling_config(config)
        .client_request_token(token)
}

async fn nodegroup(client: &aws_sdk_eks::Client) -> Nodegroup {
    let found = client.describe_nodegroup().cluster_name("production-dr").nodegroup_name("general").send().await;
    found.unwrap().nodegroup.unwrap()
}

async fn update_status(client: &aws_sdk_eks::Client, id: &str) -> UpdateStatus {
    let request = client.describe_update().name("production-dr").nodegroup_name("general").update_id(id);
    request.send().await.unwrap().update.unwrap().status.unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_same_token_is_the_same_update() {
    let sim = open(&[]);
    let client = eks(&sim, WEST).await;
    let first = scale(&client, 3, 6, "token-1").send().await.unwrap().update.unwrap();
    let again = scale(&client, 3, 6, "token-1").send().await.unwrap().update.unwrap();
    assert_eq!(first.id(), again.id());
    assert_eq!(nodegroup(&client).await.status().unwrap().as_str(), "UPDATING");
    let busy = scale(&client, 3, 7, "token-2").send().await.unwrap_err();
    assert_eq!(busy.raw_response().unwrap().status().as_u16(), 409);
    assert!(busy.as_service_error().unwrap().is_resource_in_use_exception());
    assert_eq!(update_status(&client, first.id().unwrap()).await, UpdateStatus::InProgress);
    pass(&sim, 181).await;
    assert_eq!(update_status(&client, first.id().unwrap()).await, UpdateStatus::Successful);
    let done = nodegroup(&client).await;
    assert_eq!(done.status().unwrap().as_str(), "ACTIVE");
    assert_eq!(done.scaling_config().unwrap().desired_size(), Some(6));
    assert_eq!(status(&sim, "/regions/us-west-2/nodegroups/production-dr~1general/nodes"), 6);
    let late = scale(&client, 3, 6, "token-1").send().await.unwrap().update.unwrap();
    assert_eq!(first.id(), late.id());
    assert_eq!(effective(&sim, "UpdateNodegroupConfig").len(), 1);
    assert_eq!(sim.calls().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn mistakes_are_answered_as_eks_does() {
    let sim = open(&[]);
    let client = eks(&sim, WEST).await;
    let error = scale(&client, 7, 6, "t").send().await.unwrap_err();
    assert!(error.as_service_error().unwrap().is_invalid_parameter_exception());
    let error = client.describe_nodegroup().cluster_name("nope").nodegroup_name("general").send().await.unwrap_err();
    assert!(error.as_service_error().unwrap().is_resource_not_found_exception());
    assert!(error.as_service_error().unwrap().message().unwrap().contains("nope"));
    let error = client.describe_update().name("production-dr").update_id("nope").send().await.unwrap_err();
    assert!(error.as_service_error().unwrap().is_resource_not_found_exception());
    let clusters = client.list_clusters().send().await.unwrap();
    assert_eq!(clusters.clusters(), ["production-dr"]);
    let groups = client.list_nodegroups().cluster_name("production-dr").send().await.unwrap();
    assert_eq!(groups.nodegroups(), ["general"]);
    let cluster = client.describe_cluster().name("production-dr").send().await.unwrap().cluster.unwrap();
    assert_eq!(cluster.version(), Some("1.28"));
}

#[tokio::test(start_paused = true)]
async fn without_capacity_the_update_fails_and_the_node_group_says_why() {
    let sim = open(&["no-capacity general"]);
    let client = eks(&sim, WEST).await;
    let update = scale(&client, 3, 6, "t").send().await.unwrap().update.unwrap();
    pass(&sim, 30).await;
    let issue = nodegroup(&client).await.health.unwrap().issues.unwrap()[0].clone();
    assert_eq!(issue.code().unwrap().as_str(), "AsgInstanceLaunchFailures");
    pass(&sim, 160).await;
    assert_eq!(update_status(&client, update.id().unwrap()).await, UpdateStatus::Failed);
    assert_eq!(nodegroup(&client).await.status().unwrap().as_str(), "DEGRADED");
    sim.set_faults(Vec::new());
    pass(&sim, 2).await;
    assert_eq!(nodegroup(&client).await.status().unwrap().as_str(), "ACTIVE");
}
