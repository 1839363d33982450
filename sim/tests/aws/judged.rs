//! What the comparison with other people's servers found to be wrong in the simulator, by AWS's documentation.

use aws_sdk_route53::types::{Change, ChangeAction, ChangeBatch, ResourceRecord, ResourceRecordSet, RrType};
use serde_json::Value;

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn instances_come_in_pages_and_through_the_filters_that_rds_knows() {
    let sim = open(&[]);
    let uri = "https://rds.us-east-1.amazonaws.com/";
    let describe = async |more: &str| raw(&sim, "POST", uri, format!("Action=DescribeDBInstances{more}").as_bytes()).await;
    for wrong in
        ["&MaxRecords=19", "&MaxRecords=101", "&Marker=nonsense", "&Filters.Filter.1.Name=colour&Filters.Filter.1.Values.Value.1=red"]
    {
        let (status, answer) = describe(wrong).await;
        assert_eq!((status, answer.contains("<Code>InvalidParameterValue</Code>")), (400, true), "{wrong}: {answer}");
    }
    let by = |name: &str, value: &str| format!("&Filters.Filter.1.Name={name}&Filters.Filter.1.Values.Value.1={value}");
    for (filter, there) in [(by("engine", "postgres"), true), (by("engine", "mysql"), false), (by("db-cluster-id", "any"), false)] {
        let (status, answer) = describe(&filter).await;
        assert_eq!((status, answer.contains("prod-db-primary")), (200, there), "{filter}: {answer}");
    }
    let client = rds(&sim, EAST).await;
    for n in 0..25 {
        let create = client.create_db_instance_read_replica().db_instance_identifier(format!("replica-{n:02}"));
        create.source_db_instance_identifier("prod-db-primary").send().await.unwrap();
    }
    let pages = client.describe_db_instances().max_records(20).into_paginator().send().collect::<Result<Vec<_>, _>>().await.unwrap();
    assert_eq!(pages.iter().map(|page| page.db_instances().len()).collect::<Vec<_>>(), [20, 6]);
}

#[tokio::test(start_paused = true)]
async fn tags_belong_to_an_arn() {
    let sim = open(&[]);
    let client = rds(&sim, EAST).await;
    let refused = client.list_tags_for_resource().resource_name("prod-db-primary").send().await.unwrap_err();
    assert_eq!(refused.as_service_error().unwrap().meta().code(), Some("InvalidParameterValue"));
    let arn = "arn:aws:rds:us-east-1:123456789012:db:prod-db-primary";
    assert_eq!(client.list_tags_for_resource().resource_name(arn).send().await.unwrap().tag_list().len(), 3);
}

async fn refused(client: &aws_sdk_route53::Client, kind: &str, value: &str, check: Option<&str>) -> (String, u16) {
    let record = ResourceRecordSet::builder()
        .name("new.company.com")
        .r#type(RrType::from(kind))
        .ttl(60)
        .resource_records(ResourceRecord::builder().value(value).build().unwrap());
    let record = match check {
        Some(check) => record.set_identifier("a").weight(1).health_check_id(check),
        None => record,
    };
    let change = Change::builder().action(ChangeAction::Upsert).resource_record_set(record.build().unwrap()).build().unwrap();
    let batch = ChangeBatch::builder().changes(change).build().unwrap();
    let error = client.change_resource_record_sets().hosted_zone_id(ZONE).change_batch(batch).send().await.unwrap_err();
    let status = error.raw_response().unwrap().status().as_u16();
    (error.as_service_error().unwrap().meta().code().unwrap().to_owned(), status)
}

#[tokio::test(start_paused = true)]
async fn records_are_of_a_type_and_lead_to_addresses_and_health_checks_that_are_some() {
    let client = route53(&open(&[])).await;
    let unknown = "00000000-0000-4000-8000-000000000000";
    assert_eq!(refused(&client, "B", "192.0.2.1", None).await, ("InvalidInput".to_owned(), 400));
    assert_eq!(refused(&client, "A", "192.0.2", None).await, ("InvalidChangeBatch".to_owned(), 400));
    assert_eq!(refused(&client, "AAAA", "192.0.2.1", None).await, ("InvalidChangeBatch".to_owned(), 400));
    assert_eq!(refused(&client, "A", "192.0.2.1", Some(unknown)).await, ("NoSuchHealthCheck".to_owned(), 404));
    assert_eq!(client.list_hosted_zones().send().await.unwrap().max_items(), 100);
}

#[tokio::test(start_paused = true)]
async fn load_balancers_and_target_groups_are_looked_for_by_their_arns() {
    let sim = open(&[]);
    let client = aws_sdk_elasticloadbalancingv2::Client::new(&config(&sim, EAST).await);
    let unknown = "arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/app/x/0";
    let groups = client.describe_target_groups().load_balancer_arn(unknown).send().await.unwrap_err();
    assert!(groups.as_service_error().unwrap().is_load_balancer_not_found_exception());
    let health = client.describe_target_health().target_group_arn("prod-app-tg").send().await.unwrap_err();
    assert_eq!(health.as_service_error().unwrap().meta().code(), Some("ValidationError"));
}

#[tokio::test(start_paused = true)]
async fn a_role_is_assumed_for_a_quarter_of_an_hour_at_least_and_under_a_proper_name() {
    let sim = open(&[]);
    let role = "Action=AssumeRole&RoleArn=arn:aws:iam::123456789012:role/dr";
    for (more, expected) in [
        ("&RoleSessionName=drill&DurationSeconds=900", 200),
        ("&RoleSessionName=drill&DurationSeconds=899", 400),
        ("&RoleSessionName=a+drill", 400),
        ("&RoleSessionName=d", 400),
    ] {
        let (status, answer) = raw(&sim, "POST", "https://sts.us-west-2.amazonaws.com/", format!("{role}{more}").as_bytes()).await;
        assert_eq!((status, answer.contains("ValidationError")), (expected, expected == 400), "{more}: {answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn standard_topics_say_nothing_of_fifo() {
    let sim = open(&[]);
    let client = aws_sdk_sns::Client::new(&config(&sim, WEST).await);
    let fifo = client.create_topic().name("alerts.fifo").send().await.unwrap().topic_arn.unwrap();
    for (arn, expected) in [("arn:aws:sns:us-west-2:123456789012:production-dr-alerts", None), (fifo.as_str(), Some("true"))] {
        let told = client.get_topic_attributes().topic_arn(arn).send().await.unwrap();
        assert_eq!(told.attributes().unwrap().get("FifoTopic").map(String::as_str), expected, "{arn}");
    }
}

/// Asks CloudWatch as boto3 and the AWS CLI do: in AWS JSON 1.0.
async fn metrics(sim: &wf_sim::Sim, action: &str, asked: Value) -> (http::response::Parts, Value) {
    let request = http::Request::builder()
        .method("POST")
        .uri("https://monitoring.us-west-2.amazonaws.com/")
        .header("x-amz-target", format!("GraniteServiceVersion20100801.{action}"))
        .header("content-type", "application/x-amz-json-1.0")
        .body(asked.to_string().into_bytes())
        .unwrap();
    let (head, body) = sim.handle(request).await.unwrap().into_parts();
    (head, serde_json::from_slice(&body).unwrap())
}

#[tokio::test(start_paused = true)]
async fn cloudwatch_speaks_json_too() {
    let sim = open(&[]);
    pass(&sim, 120).await;
    let now = sim.clock().now().as_second();
    let asked = serde_json::json!({
        "Namespace": "AWS/RDS", "MetricName": "ReplicaLag", "Period": 60, "Statistics": ["Maximum"],
        "Dimensions": [{ "Name": "DBInstanceIdentifier", "Value": "prod-db-replica-west" }], "StartTime": now - 120, "EndTime": now,
    });
    let (head, answer) = metrics(&sim, "GetMetricStatistics", asked.clone()).await;
    assert_eq!((head.status.as_u16(), head.headers["content-type"].to_str().unwrap()), (200, "application/x-amz-json-1.0"));
    let points = answer["Datapoints"].as_array().unwrap();
    assert!(!points.is_empty() && points.iter().all(|p| p["Maximum"].is_f64() && p["Timestamp"].is_f64()), "{answer}");

    let mut wrong = asked;
    wrong["Period"] = 90.into();
    let (head, answer) = metrics(&sim, "GetMetricStatistics", wrong).await;
    assert_eq!((head.status.as_u16(), &head.headers["x-amzn-query-error"]), (400, &"InvalidParameterValue;Sender".parse().unwrap()));
    assert_eq!(answer["__type"], "InvalidParameterValueException");
    let (head, answer) = metrics(&sim, "Nonsense", Value::Null).await;
    assert_eq!((head.status.as_u16(), &answer["__type"]), (404, &Value::from("UnknownOperationException")));
}
