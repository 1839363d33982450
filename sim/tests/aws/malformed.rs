//! Requests that no SDK would send: each gets an error in the service's own form, and none a panic.

use ciborium::Value;

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn unknown_actions_are_answered_in_each_protocol() {
    let sim = open(&[]);
    for service in ["rds", "autoscaling", "sns", "sts", "elasticloadbalancing", "monitoring"] {
        let uri = format!("https://{service}.us-west-2.amazonaws.com/");
        for body in [&b"Action=Nonsense"[..], b"", b"\xff\xfe&=&&Action", b"Action=%zz%"] {
            let (status, answer) = raw(&sim, "POST", &uri, body).await;
            assert_eq!(status, 400);
            assert!(answer.contains("<Code>InvalidAction</Code>"), "{answer}");
        }
    }
    let (status, answer) = raw(&sim, "GET", "https://eks.us-west-2.amazonaws.com/nothing", b"").await;
    assert_eq!((status, answer.contains("message")), (404, true));
    let (status, answer) = raw(&sim, "GET", "https://route53.amazonaws.com/2013-04-01/nothing", b"").await;
    assert_eq!((status, answer.contains("InvalidAction")), (404, true));
}

#[tokio::test(start_paused = true)]
async fn missing_and_ill_typed_parameters_are_refused() {
    let sim = open(&[]);
    for (service, body) in [
        ("rds", "Action=PromoteReadReplica"),
        ("rds", "Action=PromoteReadReplica&DBInstanceIdentifier=prod-db-replica-west&BackupRetentionPeriod=many"),
        ("rds", "Action=CreateDBInstanceReadReplica&DBInstanceIdentifier=-&SourceDBInstanceIdentifier=arn:x"),
        ("rds", "Action=CreateDBInstanceReadReplica&DBInstanceIdentifier=a&SourceDBInstanceIdentifier=arn:x"),
        ("rds", "Action=DeleteDBInstance&DBInstanceIdentifier=prod-db-replica-west&SkipFinalSnapshot=perhaps"),
        ("rds", "Action=ModifyDBInstance&DBInstanceIdentifier=prod-db-replica-west&NewDBInstanceIdentifier=1x&ApplyImmediately=true"),
        ("autoscaling", "Action=UpdateAutoScalingGroup&AutoScalingGroupName=prod-app-dr-asg&MinSize=-1"),
        ("autoscaling", "Action=UpdateAutoScalingGroup&AutoScalingGroupName=prod-app-dr-asg&MaxSize=99999999999999999999"),
        ("autoscaling", "Action=DescribeAutoScalingGroups&NextToken=x"),
        ("autoscaling", "Action=DescribeAutoScalingGroups&MaxRecords=0"),
        ("autoscaling", "Action=SetDesiredCapacity"),
        ("sns", "Action=Publish&TopicArn=x&Message=m"),
        ("sns", "Action=Publish"),
        ("sns", "Action=CreateTopic&Name=a+b"),
        ("elasticloadbalancing", "Action=DescribeTargetHealth"),
        ("monitoring", "Action=GetMetricStatistics&StartTime=now&EndTime=then&Period=60&Statistics.member.1=Average"),
        (
            "monitoring",
            "Action=GetMetricStatistics&StartTime=2026-01-01T00:00:00Z&EndTime=9999-01-01T00:00:00Z&Period=60&Statistics.member.1=Average",
        ),
        ("monitoring", "Action=GetMetricData"),
        ("sts", "Action=AssumeRole&RoleArn=x&RoleSessionName=s"),
    ] {
        let uri = format!("https://{service}.us-west-2.amazonaws.com/");
        let (status, answer) = raw(&sim, "POST", &uri, body.as_bytes()).await;
        assert_eq!(status, 400, "{body}: {answer}");
        assert!(answer.contains("<Code>") && answer.contains("<Message>"), "{body}: {answer}");
    }
    assert!(sim.calls().iter().all(|c| !c.effective));
}

#[tokio::test(start_paused = true)]
async fn documents_that_are_none_are_refused() {
    let sim = open(&[]);
    let zone = format!("https://route53.amazonaws.com/2013-04-01/hostedzone/{ZONE}/rrset");
    let deep = "<a>".repeat(10_000);
    for body in ["<broken", "not xml", "<a/>", deep.as_str(), "<R><ChangeBatch><Changes><Change/></Changes></ChangeBatch></R>", ""] {
        let (status, answer) = raw(&sim, "POST", &zone, body.as_bytes()).await;
        assert_eq!(status, 400, "{answer}");
        assert!(answer.contains("<Code>InvalidInput</Code>"), "{answer}");
    }
    for query in ["?maxitems=x", "?maxitems=0", "?type=A", "?name=%ff&type=A&identifier=%00"] {
        let (status, _) = raw(&sim, "GET", &format!("{zone}{query}"), b"").await;
        assert!(status == 400 || status == 200);
    }
    let group = "https://eks.us-west-2.amazonaws.com/clusters/production-dr/node-groups/general/update-config";
    for body in ["{", "[]x", "\"\\ud800\"", "{\"scalingConfig\":{\"minSize\":\"three\"}}", "{\"scalingConfig\":{\"maxSize\":1e99}}"] {
        let (status, answer) = raw(&sim, "POST", group, body.as_bytes()).await;
        assert_eq!(status, 400, "{answer}");
    }
    let cbor = "https://monitoring.us-west-2.amazonaws.com/service/GraniteServiceVersion20100801/operation/GetMetricStatistics";
    for body in [&b"\xff"[..], b"", b"\xa0", b"\x9f\x9f\x9f"] {
        let request = http::Request::post(cbor).header("smithy-protocol", "rpc-v2-cbor").body(body.to_vec()).unwrap();
        assert_eq!(sim.handle(request).await.unwrap().status(), 400);
    }
}

#[tokio::test(start_paused = true)]
async fn times_at_the_end_of_the_world_do_no_harm() {
    let sim = open(&[]);
    let at = |seconds: f64| Value::Tag(1, Box::new(Value::Float(seconds)));
    for (start, end) in [(f64::MIN, f64::MAX), (f64::NAN, f64::INFINITY), (-1e300, 0.0)] {
        let dimension = Value::Map(vec![("Name".into(), "HealthCheckId".into()), ("Value".into(), CHECK.into())]);
        let body = Value::Map(vec![
            ("Namespace".into(), "AWS/Route53".into()),
            ("MetricName".into(), "HealthCheckStatus".into()),
            ("Dimensions".into(), Value::Array(vec![dimension])),
            ("StartTime".into(), at(start)),
            ("EndTime".into(), at(end)),
            ("Period".into(), Value::from(60_000_000_000_i64)),
            ("Statistics".into(), Value::Array(vec!["Average".into()])),
        ]);
        let mut bytes = Vec::new();
        ciborium::into_writer(&body, &mut bytes).unwrap();
        let uri = "https://monitoring.us-east-1.amazonaws.com/service/GraniteServiceVersion20100801/operation/GetMetricStatistics";
        let request = http::Request::post(uri).header("smithy-protocol", "rpc-v2-cbor").body(bytes).unwrap();
        assert_eq!(sim.handle(request).await.unwrap().status(), 200);
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_not_simulated_is_named() {
    let sim = open(&[]);
    let request = http::Request::post("http://127.0.0.1:1/").header(
        "authorization",
        "AWS4-HMAC-SHA256 Credential=AKID/20260314/us-west-2/dynamodb/aws4_request, SignedHeaders=host, Signature=0",
    );
    let answer = sim.handle(request.body(Vec::new()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), 400);
    assert!(String::from_utf8_lossy(answer.body()).contains("no service 'dynamodb'"));
    for broken in ["Credential=", "Credential=a/b", "", "Basic x", "AWS4-HMAC-SHA256 Credential=/////"] {
        let request = http::Request::get("http://127.0.0.1:1/").header("authorization", broken).body(Vec::new()).unwrap();
        assert!(sim.handle(request).await.is_err());
    }
}
