//! The faults: what each of them makes of a call.

use aws_sdk_rds::error::ProvideErrorMetadata;

use crate::support::*;

async fn promote(sim: &wf_sim::Sim) -> Result<(), String> {
    let client = rds(sim, WEST).await;
    let sent = client.promote_read_replica().db_instance_identifier("prod-db-replica-west").send().await;
    sent.map(|_| ()).map_err(|e| e.code().unwrap_or("no answer").to_owned())
}

#[tokio::test(start_paused = true)]
async fn a_lost_response_has_taken_effect_and_the_sdks_retry_does_not_promote_twice() {
    let sim = open(&["lost-response PromoteReadReplica"]);
    // The SDK asks again after the connection broke, and learns that the instance is being promoted.
    assert_eq!(promote(&sim).await, Err("InvalidDBInstanceState".to_owned()));
    let calls = sim.calls();
    assert_eq!(calls.iter().map(|c| c.effective).collect::<Vec<_>>(), [true, false]);
    assert_eq!(calls[1].error.as_deref(), Some("InvalidDBInstanceState"));
}

#[tokio::test(start_paused = true)]
async fn a_region_outage_refuses_its_control_planes_and_leaves_route_53_and_the_other_region() {
    let sim = open(&["region-outage us-east-1"]);
    let refused = rds(&sim, EAST).await.describe_db_instances().send().await.unwrap_err();
    assert!(refused.as_service_error().is_none(), "{refused:?}");
    assert!(rds(&sim, WEST).await.describe_db_instances().send().await.is_ok());
    assert!(route53(&sim).await.list_hosted_zones().send().await.is_ok());
    assert_eq!(status(&sim, "/regions/us-east-1/data_plane"), "down");
    let request = http::Request::get(format!("https://{EAST_ALB}/health")).body(Vec::new()).unwrap();
    assert!(sim.handle(request).await.is_err());
    assert_eq!(sim.calls().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_region_that_hangs_answers_nobody_for_an_hour() {
    let sim = open(&["region-hang us-east-1"]);
    let before = sim.clock().now();
    let request = http::Request::post("https://rds.us-east-1.amazonaws.com/").body(b"Action=DescribeDBInstances".to_vec());
    assert!(sim.handle(request.unwrap()).await.is_err());
    assert!(sim.clock().now().duration_since(before).as_secs() >= 3600);
}

#[tokio::test(start_paused = true)]
async fn api_limits_turn_away_what_is_too_much_in_route_53s_own_form_and_nothing_else() {
    let sim = open(&["api-limits"]);
    let client = aws_sdk_route53::Client::from_conf(
        aws_sdk_route53::config::Builder::from(&config(&sim, EAST).await).retry_config(aws_config::retry::RetryConfig::disabled()).build(),
    );
    let mut refused = Vec::new();
    let zones = || client.list_hosted_zones().send();
    let answers: Vec<_> = (0..70).map(|_| tokio::spawn(zones())).collect();
    for answer in answers {
        refused.extend(answer.await.unwrap().err());
    }
    assert!((18..=20).contains(&refused.len()), "50 at once, and one in a tenth of a second: {}", refused.len());
    let first = refused.first().unwrap();
    assert_eq!((first.code(), first.raw_response().map(|raw| raw.status().as_u16())), (Some("Throttling"), Some(400)));
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert!(zones().await.is_ok());
    let counted = sim.api_use();
    assert_eq!((counted[0].calls, counted[0].throttled), (71, refused.len() as u64));
    assert!(rds(&sim, WEST).await.describe_db_instances().send().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn throttling_is_retried_by_the_sdk_and_shows_when_it_is_complete() {
    let sim = open(&["throttle rds 100%"]);
    assert_eq!(promote(&sim).await, Err("Throttling".to_owned()));
    assert_eq!(sim.calls().len(), 3, "the SDK's standard retry tries three times");
    sim.set_faults(faults(&["throttle rds 20%"]));
    assert_eq!(promote(&sim).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_call_fails_as_often_as_told() {
    let sim = open(&["fail RdsPromoteReadReplica 2"]);
    assert!(promote(&sim).await.is_err());
    assert!(promote(&sim).await.is_err());
    assert_eq!(promote(&sim).await, Ok(()));
    assert_eq!(effective(&sim, "PromoteReadReplica").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_denial_names_principal_and_iam_action() {
    let sim = open(&["deny GetMetricStatistics", "deny PromoteReadReplica"]);
    assert_eq!(promote(&sim).await, Err("AccessDenied".to_owned()));
    let uri = "https://monitoring.us-west-2.amazonaws.com/";
    let (status, body) = raw(&sim, "POST", uri, b"Action=GetMetricStatistics").await;
    assert_eq!(status, 403);
    assert!(body.contains("user/operator is not authorized to perform: cloudwatch:GetMetricStatistics"), "{body}");
}

#[tokio::test(start_paused = true)]
async fn a_service_outage_answers_503_and_a_timeout_nothing() {
    let sim = open(&["service-outage route53", "timeout DescribeDBInstances"]);
    let error = route53(&sim).await.list_hosted_zones().send().await.unwrap_err();
    assert_eq!(error.raw_response().unwrap().status().as_u16(), 503);
    let request = http::Request::post("https://rds.us-west-2.amazonaws.com/").body(b"Action=DescribeDBInstances".to_vec());
    assert!(matches!(sim.handle(request.unwrap()).await, Err(wf_sim::ConnectionError::TimedOut(_))));
}

#[tokio::test(start_paused = true)]
async fn describes_lag_behind_changes() {
    let sim = open(&["eventual-consistency 30s"]);
    let client = autoscaling(&sim, WEST).await;
    let update = client.update_auto_scaling_group().auto_scaling_group_name("prod-app-dr-asg").desired_capacity(2);
    update.send().await.unwrap();
    let desired = async || {
        let groups = client.describe_auto_scaling_groups().send().await.unwrap();
        groups.auto_scaling_groups()[0].desired_capacity().unwrap()
    };
    assert_eq!(desired().await, 0);
    pass(&sim, 31).await;
    assert_eq!(desired().await, 2);
}

#[tokio::test(start_paused = true)]
async fn a_check_of_the_application_can_be_told_to_fail() {
    let sim = open(&["primary-alive", "fail HttpCheck 1"]);
    assert_eq!(raw(&sim, "GET", "https://app.company.com/health", b"").await.0, 503);
    assert_eq!(raw(&sim, "GET", "https://app.company.com/health", b"").await.0, 200);
}
