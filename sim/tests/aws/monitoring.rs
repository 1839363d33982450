//! CloudWatch: what the world tells of itself, metrics of clients, alarms and dashboards.

use aws_sdk_cloudwatch::types::{ComparisonOperator, Dimension, MetricDatum, StateValue, Statistic};
use aws_sdk_cloudwatch::{Client, error::ProvideErrorMetadata as _};
use aws_smithy_types::DateTime;
use wf_sim::Sim;

use crate::support::*;

fn dimension(name: &str, value: &str) -> Dimension {
    Dimension::builder().name(name).value(value).build()
}

/// The maxima of the minutes of the last `minutes`, oldest first.
async fn maxima(sim: &Sim, client: &Client, namespace: &str, metric: &str, dimensions: Vec<Dimension>, minutes: i64) -> Vec<f64> {
    let now = sim.clock().now().as_second();
    let asked = client.get_metric_statistics().namespace(namespace).metric_name(metric).set_dimensions(Some(dimensions));
    let asked = asked.start_time(DateTime::from_secs(now - minutes * 60)).end_time(DateTime::from_secs(now + 60)).period(60);
    let mut points = asked.statistics(Statistic::Maximum).send().await.unwrap().datapoints.unwrap_or_default();
    points.sort_by_key(|point| point.timestamp().unwrap().secs());
    points.iter().map(|point| point.maximum().unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn what_clients_put_is_found_again_also_when_the_sdk_compresses_it() {
    let sim = open(&[]);
    let client = Client::new(&config(&sim, WEST).await);
    let at = sim.clock().now().as_second() - 120;
    let datum = |name: String, value: f64| {
        let datum = MetricDatum::builder().metric_name(name).dimensions(dimension("Workflow", "failover")).value(value);
        datum.timestamp(DateTime::from_secs(at)).build()
    };
    let many = (0..400).map(|n| datum(format!("m{n}"), f64::from(n))).collect();
    client.put_metric_data().namespace("wf").set_metric_data(Some(many)).send().await.unwrap();
    let of = || vec![dimension("Workflow", "failover")];
    assert_eq!(maxima(&sim, &client, "wf", "m399", of(), 10).await, [399.0]);
    assert_eq!(maxima(&sim, &client, "wf", "m399", Vec::new(), 10).await, Vec::<f64>::new(), "another metric");
    let east = Client::new(&config(&sim, EAST).await);
    assert_eq!(maxima(&sim, &east, "wf", "m399", of(), 10).await, Vec::<f64>::new(), "another region");
    assert_eq!(effective(&sim, "PutMetricData")[0].resource, "wf");
    let old = datum("old".to_owned(), 1.0);
    let old =
        MetricDatum::builder().metric_name("old").value(1.0).timestamp(DateTime::from_secs(old.timestamp().unwrap().secs() - 15 * 86_400));
    for (namespace, datum) in
        [("wf", old.build()), ("AWS/wf", datum("m".to_owned(), 1.0)), ("wf", MetricDatum::builder().value(1.0).build())]
    {
        let refused = client.put_metric_data().namespace(namespace).metric_data(datum).send().await.unwrap_err();
        assert!(matches!(refused.code(), Some("InvalidParameterValue" | "MissingParameter")), "{refused:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_query_protocol_puts_and_describes_too() {
    let sim = open(&[]);
    let uri = "https://monitoring.us-west-2.amazonaws.com/";
    let put = b"Action=PutMetricData&Namespace=wf&MetricData.member.1.MetricName=m&MetricData.member.1.Values.member.1=3\
                &MetricData.member.1.Values.member.2=5&MetricData.member.1.Counts.member.1=1&MetricData.member.1.Counts.member.2=3";
    assert_eq!(raw(&sim, "POST", uri, put).await.0, 200);
    pass(&sim, 60).await;
    let alarm =
        b"Action=PutMetricAlarm&AlarmName=a&Namespace=wf&MetricName=m&Statistic=Average&Period=60&EvaluationPeriods=1&Threshold=4.5\
                  &ComparisonOperator=GreaterThanOrEqualToThreshold";
    assert_eq!(raw(&sim, "POST", uri, alarm).await.0, 200);
    let (status, body) = raw(&sim, "POST", uri, b"Action=DescribeAlarms&AlarmNames.member.1=a").await;
    assert_eq!(status, 200);
    assert!(body.contains("<member><AlarmName>a</AlarmName>") && body.contains("<StateValue>ALARM</StateValue>"), "{body}");
}

#[tokio::test(start_paused = true)]
async fn alarms_are_judged_by_their_metric() {
    let sim = open(&[]);
    let client = Client::new(&config(&sim, EAST).await);
    let put = |name: &str, id: &str| {
        let alarm = client.put_metric_alarm().alarm_name(name).namespace("AWS/Route53").metric_name("HealthCheckStatus");
        let alarm = alarm.dimensions(dimension("HealthCheckId", id)).statistic(Statistic::Minimum).period(60).evaluation_periods(2);
        alarm.threshold(1.0).comparison_operator(ComparisonOperator::LessThanThreshold).alarm_actions("arn:aws:sns:us-east-1:1:t")
    };
    put("primary", CHECK).send().await.unwrap();
    put("nobody", "none").send().await.unwrap();
    put("missing-is-bad", "none").treat_missing_data("breaching").send().await.unwrap();
    let states = async || -> Vec<(String, StateValue)> {
        let found = client.describe_alarms().send().await.unwrap().metric_alarms.unwrap_or_default();
        found.into_iter().map(|alarm| (alarm.alarm_name.unwrap(), alarm.state_value.unwrap())).collect()
    };
    let state = |name: &str, value| (name.to_owned(), value);
    let others = [state("missing-is-bad", StateValue::Alarm), state("nobody", StateValue::InsufficientData)];
    assert_eq!(states().await, [&others[..], &[state("primary", StateValue::Ok)]].concat(), "the outage is a minute old");
    pass(&sim, 180).await;
    assert_eq!(states().await, [&others[..], &[state("primary", StateValue::Alarm)]].concat());
    pass(&sim, 1500).await;
    assert_eq!(states().await[2], state("primary", StateValue::Ok), "us-east-1 is repaired");
    let one = client.describe_alarms().alarm_names("primary").state_value(StateValue::Alarm).send().await.unwrap();
    assert!(one.metric_alarms().is_empty());
    for wrong in [put("a", "b").period(7), put("a", "b").datapoints_to_alarm(3), put("a", "b").treat_missing_data("never"), put("", "b")] {
        assert!(wrong.send().await.is_err());
    }
    client.delete_alarms().alarm_names("nobody").send().await.unwrap();
    let gone = client.delete_alarms().alarm_names("nobody").send().await.unwrap_err();
    assert!(gone.as_service_error().unwrap().is_resource_not_found(), "{gone:?}");
    assert_eq!(states().await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn dashboards_are_kept_with_the_world_if_they_are_some() {
    let dir = tempfile::tempdir().unwrap();
    let body = r#"{"widgets":[]}"#;
    {
        let client = Client::new(&config(&open_at(dir.path(), &[]), WEST).await);
        client.put_dashboard().dashboard_name("dr").dashboard_body(body).send().await.unwrap();
        for (name, body) in [("dr", "no JSON"), ("dr", "{}"), ("a b", body)] {
            let refused = client.put_dashboard().dashboard_name(name).dashboard_body(body).send().await.unwrap_err();
            assert!(refused.as_service_error().unwrap().is_dashboard_invalid_input_error(), "{refused:?}");
        }
    }
    let client = Client::new(&config(&open_at(dir.path(), &[]), WEST).await);
    assert_eq!(client.get_dashboard().dashboard_name("dr").send().await.unwrap().dashboard_body(), Some(body));
    let none = client.get_dashboard().dashboard_name("other").send().await.unwrap_err();
    assert!(none.as_service_error().unwrap().is_dashboard_not_found_error(), "{none:?}");
}

#[tokio::test(start_paused = true)]
async fn load_balancers_groups_and_databases_have_metrics() {
    let sim = open(&[]);
    let (east, west) = (Client::new(&config(&sim, EAST).await), Client::new(&config(&sim, WEST).await));
    let elb = aws_sdk_elasticloadbalancingv2::Client::new(&config(&sim, EAST).await);
    let balancers = elb.describe_load_balancers().names("prod-app-alb").send().await.unwrap();
    let balancer = balancers.load_balancers()[0].load_balancer_arn().unwrap().split_once("loadbalancer/").unwrap().1.to_owned();
    let groups = elb.describe_target_groups().names("prod-app-tg").send().await.unwrap();
    let group = groups.target_groups()[0].target_group_arn().unwrap().rsplit(':').next().unwrap().to_owned();
    let of = || vec![dimension("LoadBalancer", &balancer), dimension("TargetGroup", &group)];
    pass(&sim, 120).await;
    let healthy = maxima(&sim, &east, "AWS/ApplicationELB", "HealthyHostCount", of(), 8).await;
    assert!(healthy[0] > 0.0 && healthy.last() == Some(&0.0), "the servers died meanwhile: {healthy:?}");
    let unhealthy = maxima(&sim, &east, "AWS/ApplicationELB", "UnHealthyHostCount", of(), 8).await;
    assert_eq!(unhealthy.last(), healthy.first());
    let in_service = vec![dimension("AutoScalingGroupName", "prod-app-dr-asg")];
    assert_eq!(maxima(&sim, &west, "AWS/AutoScaling", "GroupInServiceInstances", in_service, 3).await.last(), Some(&0.0));
    let writes = maxima(&sim, &east, "AWS/RDS", "WriteIOPS", vec![dimension("DBInstanceIdentifier", "prod-db-primary")], 6).await;
    assert!(writes[0] > 30.0 && writes.last().is_some_and(|last| *last < 2.0), "{writes:?}");
    let busy = maxima(&sim, &west, "AWS/RDS", "CPUUtilization", vec![dimension("DBInstanceIdentifier", "prod-db-replica-west")], 6).await;
    assert!(busy.len() >= 5 && busy.iter().all(|percent| (5.0..25.0).contains(percent)), "{busy:?}");
}
