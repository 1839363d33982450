//! SNS, STS, load balancers, CloudWatch, and the application itself.

use aws_sdk_cloudwatch::types::{Dimension, Metric, MetricDataQuery, MetricStat, Statistic};
use aws_smithy_types::DateTime;

use crate::support::*;

const TOPIC: &str = "arn:aws:sns:us-west-2:123456789012:production-dr-alerts";

#[tokio::test(start_paused = true)]
async fn sns_publishes_to_topics_that_exist() {
    let sim = open(&[]);
    let client = aws_sdk_sns::Client::new(&config(&sim, WEST).await);
    let sent = client.publish().topic_arn(TOPIC).subject("DR").message("started").send().await.unwrap();
    assert!(sent.message_id().is_some());
    assert_eq!(client.list_topics().send().await.unwrap().topics()[0].topic_arn(), Some(TOPIC));
    let attributes = client.get_topic_attributes().topic_arn(TOPIC).send().await.unwrap();
    assert_eq!(attributes.attributes().unwrap()["Owner"], "123456789012");
    let none = client.publish().topic_arn(format!("{TOPIC}-x")).message("m").send().await.unwrap_err();
    assert!(none.as_service_error().unwrap().is_not_found_exception());
    let fifo = client.create_topic().name("alerts.fifo").send().await.unwrap();
    let publish = || {
        let message = client.publish().topic_arn(fifo.topic_arn().unwrap()).message("m");
        message.message_group_id("run").message_deduplication_id("run/step")
    };
    let (first, second) = (publish().send().await.unwrap(), publish().send().await.unwrap());
    assert_eq!(first.message_id(), second.message_id());
    let effective: Vec<bool> = sim.calls().iter().map(|c| c.effective).collect();
    assert_eq!(effective, [true, false, true, true, false]);
    assert_eq!(sim.calls()[0].params["Message"], "started");
}

#[tokio::test(start_paused = true)]
async fn sts_knows_the_caller() {
    let sim = open(&[]);
    let uri = "https://sts.us-west-2.amazonaws.com/";
    let (status, body) = raw(&sim, "POST", uri, b"Action=GetCallerIdentity&Version=2011-06-15").await;
    assert_eq!(status, 200);
    assert!(body.contains("<Account>123456789012</Account>"), "{body}");
    let role = b"Action=AssumeRole&RoleArn=arn:aws:iam::123456789012:role/dr&RoleSessionName=drill";
    let (status, body) = raw(&sim, "POST", uri, role).await;
    assert_eq!(status, 200);
    assert!(body.contains("assumed-role/dr/drill"), "{body}");
}

#[tokio::test(start_paused = true)]
async fn targets_become_healthy_only_when_the_database_takes_writes() {
    let sim = open(&[]);
    let client = aws_sdk_elasticloadbalancingv2::Client::new(&config(&sim, WEST).await);
    let balancers = client.describe_load_balancers().names("prod-app-dr-alb").send().await.unwrap();
    assert_eq!(balancers.load_balancers()[0].dns_name(), Some(WEST_ALB));
    let arn = balancers.load_balancers()[0].load_balancer_arn().unwrap();
    let groups = client.describe_target_groups().load_balancer_arn(arn).send().await.unwrap();
    assert_eq!(groups.target_groups()[0].target_group_name(), Some("prod-app-dr-tg"));
    let arn = groups.target_groups()[0].target_group_arn().unwrap().to_owned();
    let states = async || -> Vec<String> {
        let health = client.describe_target_health().target_group_arn(&arn).send().await.unwrap();
        let descriptions = health.target_health_descriptions();
        descriptions.iter().map(|d| d.target_health().unwrap().state().unwrap().as_str().to_owned()).collect()
    };
    let scale = autoscaling(&sim, WEST).await.update_auto_scaling_group().auto_scaling_group_name("prod-app-dr-asg");
    scale.desired_capacity(2).send().await.unwrap();
    pass(&sim, 125).await;
    assert!(states().await.contains(&"initial".to_owned()));
    pass(&sim, 60).await;
    assert_eq!(states().await, ["unhealthy", "unhealthy"]);
    let promote = rds(&sim, WEST).await.promote_read_replica().db_instance_identifier("prod-db-replica-west");
    promote.send().await.unwrap();
    pass(&sim, 545).await;
    assert_eq!(states().await, ["healthy", "healthy"]);
    let none = client.describe_target_groups().names("nope").send().await.unwrap_err();
    assert!(none.as_service_error().unwrap().is_target_group_not_found_exception());
    let none = client.describe_load_balancers().names("nope").send().await.unwrap_err();
    assert!(none.as_service_error().unwrap().is_load_balancer_not_found_exception());
}

#[tokio::test(start_paused = true)]
async fn cloudwatch_tells_the_lag_by_the_minute() {
    let sim = open(&["primary-alive"]);
    let client = aws_sdk_cloudwatch::Client::new(&config(&sim, WEST).await);
    let dimension = Dimension::builder().name("DBInstanceIdentifier").value("prod-db-replica-west").build();
    let now = sim.clock().now().as_second();
    let (start, end) = (DateTime::from_secs(now - 300), DateTime::from_secs(now + 60));
    let statistics = client
        .get_metric_statistics()
        .namespace("AWS/RDS")
        .metric_name("ReplicaLag")
        .dimensions(dimension.clone())
        .start_time(start)
        .end_time(end)
        .period(60)
        .statistics(Statistic::Average)
        .statistics(Statistic::Maximum);
    let found = statistics.clone().send().await.unwrap();
    assert!(found.datapoints().len() >= 5, "{found:?}");
    for point in found.datapoints() {
        let average = point.average().unwrap();
        assert!((0.5..=3.0).contains(&average), "{average}");
        assert_eq!(point.unit().unwrap().as_str(), "Seconds");
    }
    let metric = Metric::builder().namespace("AWS/RDS").metric_name("ReplicaLag").dimensions(dimension).build();
    let stat = MetricStat::builder().metric(metric).period(60).stat("Maximum").build();
    let query = MetricDataQuery::builder().id("lag").metric_stat(stat).build();
    let data = client.get_metric_data().metric_data_queries(query).start_time(start).end_time(end).send().await.unwrap();
    let result = &data.metric_data_results()[0];
    assert_eq!(result.values().len(), found.datapoints().len());
    assert!(result.timestamps()[0] > result.timestamps()[1], "newest first");
    sim.set_faults(faults(&["lag prod-db-replica-west 2h"]));
    assert_eq!(statistics.clone().send().await.unwrap().datapoints()[0].average(), Some(7200.0));
    let wrong = statistics.period(7).send().await.unwrap_err();
    assert!(wrong.as_service_error().unwrap().is_invalid_parameter_value_exception(), "{wrong:?}");
}

#[tokio::test(start_paused = true)]
async fn cloudwatch_answers_the_query_protocol_too() {
    let sim = open(&[]);
    pass(&sim, 60).await;
    let body = format!(
        "Action=GetMetricStatistics&Namespace=AWS/Route53&MetricName=HealthCheckStatus&Dimensions.member.1.Name=HealthCheckId\
         &Dimensions.member.1.Value={CHECK}&StartTime=2026-03-14T02:55:00Z&EndTime=2026-03-14T03:05:00Z&Period=60&Statistics.member.1=Minimum"
    );
    let (status, body) = raw(&sim, "POST", "https://monitoring.us-east-1.amazonaws.com/", body.as_bytes()).await;
    assert_eq!(status, 200);
    assert!(body.contains("<Minimum>1</Minimum>") && body.contains("<Minimum>0</Minimum>"), "{body}");
}

#[tokio::test(start_paused = true)]
async fn the_application_answers_by_name_and_by_load_balancer() {
    let sim = open(&["primary-alive"]);
    for uri in ["https://app.company.com/health".to_owned(), format!("https://{EAST_ALB}/health")] {
        let (status, body) = raw(&sim, "GET", &uri, b"").await;
        assert_eq!(status, 200);
        assert!(body.contains("us-east-1") && body.contains("prod-db-primary"), "{body}");
    }
    let connect = http::Request::get("https://app.company.com/health").header("x-wf-connect-to", format!("{WEST_ALB}:443"));
    let response = sim.handle(connect.body(Vec::new()).unwrap()).await.unwrap();
    assert_eq!(response.status(), 503);
    assert!(String::from_utf8_lossy(response.body()).contains("no targets in service"));
    let unknown = http::Request::get("https://example.org/").body(Vec::new()).unwrap();
    assert!(matches!(sim.handle(unknown).await, Err(wf_sim::ConnectionError::UnknownHost(_))));
}
