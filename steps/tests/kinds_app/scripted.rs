//! What AWS rarely does, by scripted answers: each test is the wire's side of a conversation that no simulated world has.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use serde_json::json;
use wf_engine::model::event::FailureKind;
use wf_engine::step::{Observed, StepContext};
use wf_steps::aws::Cloud;

use crate::support::{PausedClock, Told, before, context, progress, run, step};

/// A request: method, path with query, and body.
#[derive(Debug, Clone)]
pub struct Asked {
    method: String,
    path: String,
    body: String,
}

impl Asked {
    /// Tells whether a text stands in the path or the body.
    pub fn says(&self, text: &str) -> bool {
        self.path.contains(text) || self.body.contains(text)
    }
}

pub type Answer = (u16, String);
type Script = Arc<dyn Fn(&Asked, usize) -> Answer + Send + Sync>;

/// Answers by a function of the request and of how often the like of it was asked before.
#[derive(Clone)]
struct Scripted {
    script: Script,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl std::fmt::Debug for Scripted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Scripted")
    }
}

impl HttpConnector for Scripted {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let path = request.uri().split_once("://").and_then(|(_, rest)| rest.find('/').map(|at| rest[at..].to_owned())).unwrap_or_default();
        let body = String::from_utf8_lossy(request.body().bytes().unwrap_or_default()).into_owned();
        let asked = Asked { method: request.method().to_owned(), path, body };
        let action = |asked: &Asked| asked.body.split('&').next().unwrap_or_default().to_owned();
        let like = |other: &&Asked| other.method == asked.method && other.path == asked.path && action(other) == action(&asked);
        let before = self.asked.lock().unwrap().iter().filter(like).count();
        let (status, text) = (self.script)(&asked, before);
        self.asked.lock().unwrap().push(asked);
        HttpConnectorFuture::ready(Ok(HttpResponse::new(status.try_into().unwrap(), SdkBody::from(text))))
    }
}

/// A context whose AWS answers by a script.
pub struct World {
    pub cloud: Cloud,
    pub cx: StepContext<()>,
    told: Told,
    asked: Arc<Mutex<Vec<Asked>>>,
}

pub fn world(script: impl Fn(&Asked, usize) -> Answer + Send + Sync + 'static) -> World {
    let clock = PausedClock::start();
    let connector = Scripted { script: Arc::new(script), asked: Arc::default() };
    let asked = Arc::clone(&connector.asked);
    let http = http_client_fn(move |_, _| SharedHttpConnector::new(connector.clone()));
    let (cx, told) = context(Arc::clone(&clock));
    World { cloud: Cloud::with_http_client(http, clock), cx, told, asked }
}

impl World {
    pub fn count(&self, text: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|asked| asked.says(text)).count()
    }

    fn last(&self, text: &str) -> Asked {
        self.asked.lock().unwrap().iter().rfind(|asked| asked.says(text)).unwrap().clone()
    }
}

// ---- RDS ----

fn database(id: &str, status: &str) -> Answer {
    let database =
        format!("<DBInstance><DBInstanceIdentifier>{id}</DBInstanceIdentifier><DBInstanceStatus>{status}</DBInstanceStatus></DBInstance>");
    result("DescribeDBInstances", &format!("<DBInstances>{database}</DBInstances>"))
}

/// The instance gets its old name back after the look under that name and before the look under the new one. A rollback of the
/// failback ended stuck on it.
#[tokio::test(start_paused = true)]
async fn an_instance_renamed_back_between_two_looks_is_not_missing() {
    let world = world(|asked, before| match (asked, before) {
        (asked, _) if asked.says("ModifyDBInstance") => result("ModifyDBInstance", ""),
        // Found under its new name, then renamed back.
        (_, 1) => database("db-aside", "available"),
        (_, 0 | 2 | 3) => refused(404, "DBInstanceNotFound"),
        _ => database("db", "available"),
    });
    let rename = step(&world.cloud, r#"RdsModifyInstance(instance: "db", region: "us-east-1", new_identifier: "db-aside")"#);
    let before = json!({ "identifier": "db", "backup_retention_days": 0, "instance_class": "" });
    rename.compensate(&world.cx, &before, Some(&json!(null))).await.unwrap();
    assert_eq!(world.count("ModifyDBInstance"), 1);
}

/// The renaming was accepted before a crash, and begins to show only while the next life waits for the instance to take changes. A failback
/// that was killed twice paused on it, for an instance that "is not there".
#[tokio::test(start_paused = true)]
async fn an_instance_that_is_renamed_while_it_is_waited_for_is_not_missing() {
    let world = world(|_, before| match before {
        0 => database("db", "available"),
        2 => database("db", "renaming"),
        5 => database("db-aside", "available"),
        _ => refused(404, "DBInstanceNotFound"),
    });
    let rename = step(&world.cloud, r#"RdsModifyInstance(instance: "db", region: "us-east-1", new_identifier: "db-aside")"#);
    let before = json!({ "identifier": "db", "backup_retention_days": 0, "instance_class": "" });
    assert_eq!(rename.observe(&world.cx, Some(&before)).await.unwrap(), Observed::Satisfied(before));
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_is_renamed_just_before_the_call_is_looked_for_again() {
    let world = world(|_, _| refused(404, "DBInstanceNotFound"));
    let before = json!({ "identifier": "db", "backup_retention_days": 0, "instance_class": "" });
    let rename = step(&world.cloud, r#"RdsModifyInstance(instance: "db", region: "us-east-1", new_identifier: "db-aside")"#);
    assert_eq!(rename.apply(&world.cx, &before).await.unwrap_err().kind, FailureKind::Transient);
    let keep = step(&world.cloud, r#"RdsModifyInstance(instance: "db", region: "us-east-1", backup_retention_days: 7)"#);
    assert_eq!(keep.apply(&world.cx, &before).await.unwrap_err().kind, FailureKind::Permanent);
}

// ---- Route 53 ----

const DNS: &str = r#"Route53Failover(zone: "company.com", record: "app.company.com", type: "A", set_identifier: "primary",
    to: Alias(dns_name: "west.elb.amazonaws.com", zone_id: "ZWEST"))"#;

fn zones(zones: &[(&str, &str, bool)], next: Option<(&str, &str)>) -> Answer {
    let zone = |(id, name, private): &(&str, &str, bool)| {
        format!(
            "<HostedZone><Id>/hostedzone/{id}</Id><Name>{name}</Name><CallerReference>r</CallerReference><Config><PrivateZone>{private}</PrivateZone></Config></HostedZone>"
        )
    };
    let next = next.map_or_else(
        || "<IsTruncated>false</IsTruncated>".to_owned(),
        |(name, id)| format!("<IsTruncated>true</IsTruncated><NextDNSName>{name}</NextDNSName><NextHostedZoneId>{id}</NextHostedZoneId>"),
    );
    let zones: String = zones.iter().map(zone).collect();
    (
        200,
        format!(
            "<ListHostedZonesByNameResponse><HostedZones>{zones}</HostedZones>{next}<MaxItems>100</MaxItems></ListHostedZonesByNameResponse>"
        ),
    )
}

fn record(identifier: &str, target: &str, more: &str) -> String {
    format!(
        "<ResourceRecordSet><Name>app.company.com.</Name><Type>A</Type><SetIdentifier>{identifier}</SetIdentifier>{more}\
         <AliasTarget><HostedZoneId>ZX</HostedZoneId><DNSName>{target}.</DNSName><EvaluateTargetHealth>true</EvaluateTargetHealth></AliasTarget></ResourceRecordSet>"
    )
}

fn records(records: &[String], next: Option<&str>) -> Answer {
    let next = next.map_or_else(
        || "<IsTruncated>false</IsTruncated>".to_owned(),
        |identifier| {
            format!("<IsTruncated>true</IsTruncated><NextRecordName>app.company.com.</NextRecordName><NextRecordType>A</NextRecordType><NextRecordIdentifier>{identifier}</NextRecordIdentifier>")
        },
    );
    let records = records.concat();
    (
        200,
        format!(
            "<ListResourceRecordSetsResponse><ResourceRecordSets>{records}</ResourceRecordSets>{next}<MaxItems>300</MaxItems></ListResourceRecordSetsResponse>"
        ),
    )
}

fn change(action: &str, status: &str) -> Answer {
    let info =
        format!("<ChangeInfo><Id>/change/C1</Id><Status>{status}</Status><SubmittedAt>2026-03-14T03:00:00Z</SubmittedAt></ChangeInfo>");
    (200, format!("<{action}Response>{info}</{action}Response>"))
}

fn refused(status: u16, code: &str) -> Answer {
    (
        status,
        format!(
            "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>said AWS</Message></Error><RequestId>r</RequestId></ErrorResponse>"
        ),
    )
}

/// A zone with a health-checked failover record that the answer to the first question shows.
fn company(asked: &Asked, before: usize) -> Answer {
    let watched = "<Failover>PRIMARY</Failover><HealthCheckId>watches-east</HealthCheckId>";
    if asked.says("hostedzonesbyname") {
        zones(&[("ZPUBLIC", "company.com.", false)], None)
    } else if asked.method == "GET" && asked.says("/rrset") {
        records(
            &[
                record("primary", "east.elb.amazonaws.com", watched),
                record("secondary", "west.elb.amazonaws.com", "<Failover>SECONDARY</Failover>"),
            ],
            None,
        )
    } else if asked.says("/rrset") {
        change("ChangeResourceRecordSets", "PENDING")
    } else {
        change("GetChange", if before < 2 { "PENDING" } else { "INSYNC" })
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_is_written_whole_and_followed_until_in_sync() {
    let world = world(company);
    let ran = run(&step(&world.cloud, DNS), &world.cx).await.unwrap();
    let written = world.last("ChangeBatch").body;
    for kept in [
        "<Action>UPSERT</Action>",
        "<HealthCheckId>watches-east</HealthCheckId>",
        "<Failover>PRIMARY</Failover>",
        "<SetIdentifier>primary</SetIdentifier>",
    ] {
        assert!(written.contains(kept), "{kept} is not in {written}");
    }
    assert!(written.contains("<DNSName>west.elb.amazonaws.com</DNSName>") && !written.contains("east.elb"));
    assert_eq!(json!(ran.outputs), json!({ "change_id": "C1", "zone_id": "ZPUBLIC" }));
    assert_eq!((&ran.before["alias_dns_name"], &ran.before["alias_zone_id"]), (&json!("east.elb.amazonaws.com."), &json!("ZX")));
    assert_eq!((world.count("/change/C1"), progress(&world.told).len()), (3, 2));
}

#[tokio::test(start_paused = true)]
async fn a_zone_is_matched_by_its_whole_name_and_its_type_over_all_pages() {
    let decoys = |asked: &Asked, before: usize| match asked {
        asked if asked.says("hostedzonesbyname") && asked.says("hostedzoneid=ZPAGE2") => {
            zones(&[("ZPUBLIC", "company.com.", false), ("ZOTHER", "company.com.au.", false)], Some(("company.com.au.", "ZPAGE3")))
        }
        asked if asked.says("hostedzonesbyname") => zones(&[("ZPRIVATE", "company.com.", true)], Some(("company.com.", "ZPAGE2"))),
        asked => company(asked, before),
    };
    let world = world(decoys);
    let before = before(step(&world.cloud, DNS).observe(&world.cx, None).await.unwrap());
    assert_eq!((before["hosted_zone_id"].as_str(), world.count("hostedzonesbyname")), (Some("ZPUBLIC"), 2));
}

#[tokio::test(start_paused = true)]
async fn a_zone_that_is_missing_or_ambiguous_is_refused() {
    for (found, message, hint) in [
        (vec![("Z1", "company.com.au.", false)], "there is no public hosted zone company.com in Route 53", Some("check the name")),
        (vec![("Z1", "company.com.", true)], "there is no public hosted zone company.com in Route 53", Some("set `private: true`")),
        (vec![("Z1", "company.com.", false), ("Z2", "company.com.", false)], "2 public hosted zones are named company.com", Some("Z1, Z2")),
    ] {
        let world = world(move |_, _| zones(&found, None));
        let failure = step(&world.cloud, DNS).observe(&world.cx, None).await.unwrap_err();
        assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::Permanent, message));
        assert_eq!(failure.hint.as_deref().zip(hint).map(|(given, part)| given.contains(part)), hint.map(|_| true));
    }
    let world = world(company);
    let named = DNS.replace("record:", "zone_id: \"/hostedzone/ZGIVEN\", record:");
    let before = before(step(&world.cloud, &named).observe(&world.cx, None).await.unwrap());
    assert_eq!((before["hosted_zone_id"].as_str(), world.count("hostedzonesbyname")), (Some("ZGIVEN"), 0));
}

#[tokio::test(start_paused = true)]
async fn a_record_is_found_by_its_set_identifier_over_all_pages() {
    let paged = |asked: &Asked, before: usize| match asked {
        asked if asked.method == "GET" && asked.says("identifier=primary") => records(&[record("primary", "east", "")], None),
        asked if asked.method == "GET" && asked.says("/rrset") => records(&[record("other", "east", "")], Some("primary")),
        asked => company(asked, before),
    };
    let first = world(paged);
    assert!(matches!(step(&first.cloud, DNS).observe(&first.cx, None).await, Ok(Observed::Differs(_))));

    let second = world(company);
    for (from, to, hint) in [
        ("\"primary\"", "\"third\"", "are primary, secondary"),
        ("set_identifier: \"primary\",", "", "are primary, secondary"),
        ("app.company.com", "api.company.com", "check its name"),
    ] {
        let failure = step(&second.cloud, &DNS.replace(from, to)).observe(&second.cx, None).await.unwrap_err();
        assert!(failure.kind == FailureKind::Permanent && failure.hint.as_ref().unwrap().contains(hint), "{to}: {failure:?}");
    }
    let policy = world(|asked, before| match asked {
        asked if asked.method == "GET" && asked.says("/rrset") => {
            records(&[record("primary", "east", "<TrafficPolicyInstanceId>t</TrafficPolicyInstanceId>")], None)
        }
        asked => company(asked, before),
    });
    let failure = step(&policy.cloud, DNS).observe(&policy.cx, None).await.unwrap_err();
    assert!(failure.message.contains("belongs to a traffic policy"), "{}", failure.message);
}

#[tokio::test(start_paused = true)]
async fn a_zone_takes_one_change_at_a_time() {
    let busy = world(|asked, before| match asked {
        asked if asked.method == "POST" && before < 5 => refused(400, "PriorRequestNotComplete"),
        asked => company(asked, before),
    });
    run(&step(&busy.cloud, DNS), &busy.cx).await.unwrap();
    assert_eq!(busy.count("ChangeBatch"), 6);

    let stuck =
        world(|asked, before| if asked.method == "POST" { refused(400, "PriorRequestNotComplete") } else { company(asked, before) });
    let began = tokio::time::Instant::now();
    let failure = run(&step(&stuck.cloud, DNS), &stuck.cx).await.err().unwrap();
    assert_eq!(failure.kind, FailureKind::Transient);
    assert!(began.elapsed() < Duration::from_secs(90), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_change_that_route_53_does_not_know_is_told_by_the_record() {
    let forgetful = world(|asked, before| match asked {
        asked if asked.says("/change/") => refused(404, "NoSuchChange"),
        asked if asked.method == "GET" && asked.says("/rrset") && before > 2 => {
            records(&[record("primary", "WEST.elb.amazonaws.com", "").replace("ZX", "ZWEST")], None)
        }
        asked if asked.method == "GET" && asked.says("/rrset") => records(&[record("primary", "east", "")], None),
        asked => company(asked, before),
    });
    let began = tokio::time::Instant::now();
    run(&step(&forgetful.cloud, DNS), &forgetful.cx).await.unwrap();
    assert!(began.elapsed() > Duration::from_secs(60), "a new change may not be known yet");
    assert_eq!(progress(&forgetful.told).first().unwrap(), "DNS change to be known");
    assert_eq!(progress(&forgetful.told).last().unwrap(), "DNS record to show the change");
}

#[tokio::test(start_paused = true)]
async fn a_resumed_change_keeps_the_first_before_image() {
    let switched = world(|asked, before| match asked {
        asked if asked.method == "GET" && asked.says("/rrset") => {
            records(&[record("primary", "west.elb.amazonaws.com", "").replace("ZX", "ZWEST")], None)
        }
        asked => company(asked, before),
    });
    let dns = step(&switched.cloud, DNS);
    let intent = json!({ "hosted_zone_id": "ZPUBLIC", "record": { "name": "app.company.com.", "type": "A", "set_identifier": "primary",
        "alias": { "dns_name": "east.", "zone_id": "ZX", "evaluate_target_health": true } }, "alias_dns_name": "east.", "alias_zone_id": "ZX" });
    assert_eq!(dns.observe(&switched.cx, Some(&intent)).await.unwrap(), Observed::Satisfied(intent.clone()));
    dns.settle(&switched.cx, &intent, None).await.unwrap();
    dns.compensate(&switched.cx, &intent, None).await.unwrap();
    let written = switched.last("ChangeBatch").body;
    assert!(written.contains("<DNSName>east.</DNSName>") && written.contains("UPSERT"), "{written}");
}

#[tokio::test(start_paused = true)]
async fn a_record_that_was_not_there_is_deleted_again() {
    let simple = "<ResourceRecordSet><Name>app.company.com.</Name><Type>A</Type><TTL>30</TTL><ResourceRecords><ResourceRecord><Value>192.0.2.1</Value></ResourceRecord></ResourceRecords></ResourceRecordSet>";
    let world = world(move |asked, before| match asked {
        asked if asked.method == "GET" && asked.says("/rrset") => {
            records(&if before == 0 { vec![] } else { vec![simple.to_owned()] }, None)
        }
        asked => company(asked, before),
    });
    let dns = step(
        &world.cloud,
        r#"Route53Failover(zone: "company.com", record: "app.company.com", type: "A", to: Values(values: ["192.0.2.1"], ttl: "30s"), create: true)"#,
    );
    let ran = run(&dns, &world.cx).await.unwrap();
    assert!(ran.before["record"].is_null() && world.last("ChangeBatch").body.contains("<TTL>30</TTL>"));
    dns.compensate(&world.cx, &ran.before, ran.handle.as_ref()).await.unwrap();
    assert!(world.last("ChangeBatch").body.contains("<Action>DELETE</Action>"));
}

#[tokio::test(start_paused = true)]
async fn throttling_of_route_53_is_an_http_400() {
    let world = world(|_, _| refused(400, "Throttling"));
    let failure = step(&world.cloud, DNS).observe(&world.cx, None).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Transient);
}

// ---- Auto Scaling ----

const SCALE: &str = r#"AutoScalingScale(group: "prod-app-dr-asg", region: "us-west-2", min: 3, desired: 6)"#;

pub fn group((min, desired, max): (i32, i32, i32), in_service: usize, more: &str) -> Answer {
    let instance = |n| {
        format!(
            "<member><InstanceId>i-{n}</InstanceId><LifecycleState>InService</LifecycleState><HealthStatus>Healthy</HealthStatus></member>"
        )
    };
    let instances: String = (0..in_service).map(instance).collect();
    let group = format!(
        "<member><AutoScalingGroupName>prod-app-dr-asg</AutoScalingGroupName><MinSize>{min}</MinSize><MaxSize>{max}</MaxSize>\
         <DesiredCapacity>{desired}</DesiredCapacity><Instances>{instances}</Instances>{more}</member>"
    );
    result("DescribeAutoScalingGroups", &format!("<AutoScalingGroups>{group}</AutoScalingGroups>"))
}

fn activities(activities: &[(&str, &str, &str)]) -> Answer {
    let activity = |(start, status, message): &(&str, &str, &str)| {
        format!(
            "<member><ActivityId>{start}</ActivityId><StartTime>{start}</StartTime><StatusCode>{status}</StatusCode><StatusMessage>{message}</StatusMessage></member>"
        )
    };
    let activities: String = activities.iter().map(activity).collect();
    result("DescribeScalingActivities", &format!("<Activities>{activities}</Activities>"))
}

pub fn result(action: &str, body: &str) -> Answer {
    (200, format!("<{action}Response><{action}Result>{body}</{action}Result></{action}Response>"))
}

const EARLIER: (&str, &str, &str) = ("2026-01-01T00:00:00Z", "Failed", "an old story");

#[tokio::test(start_paused = true)]
async fn a_failed_launch_fails_the_step_at_once_and_an_old_one_does_not() {
    let world = world(|asked, before| match asked {
        asked if asked.says("DescribeAutoScalingGroups") => group((0, 0, 10), before.min(4), ""),
        asked if asked.says("DescribeScalingActivities") && before < 3 => activities(&[EARLIER]),
        // AWS's clock is behind ours here, which does no harm.
        asked if asked.says("DescribeScalingActivities") => {
            activities(&[("2026-01-01T00:00:01Z", "Failed", "InsufficientInstanceCapacity in us-west-2a"), EARLIER])
        }
        _ => result("UpdateAutoScalingGroup", ""),
    });
    let scale = step(&world.cloud, SCALE);
    let failure = run(&scale, &world.cx).await.err().unwrap();
    assert_eq!(
        (failure.kind, failure.message.as_str()),
        (
            FailureKind::Permanent,
            "Auto Scaling group prod-app-dr-asg in us-west-2 cannot get its instances: InsufficientInstanceCapacity in us-west-2a"
        )
    );
    assert_eq!(progress(&world.told), ["1/6 in service", "2/6 in service"]);
    assert_eq!(world.count("UpdateAutoScalingGroup"), 1);
    let sent = world.last("UpdateAutoScalingGroup").body;
    assert!(sent.contains("MinSize=3") && sent.contains("DesiredCapacity=6") && sent.contains("MaxSize=10"), "{sent}");

    let before = json!({ "min": 0, "desired": 0, "max": 10 });
    let tried_anew = scale.settle(&world.cx, &before, None);
    assert!(tokio::time::timeout(Duration::from_secs(60), tried_anew).await.is_err(), "it must not fail on the old failure");
}

#[tokio::test(start_paused = true)]
async fn a_suspended_process_is_found_before_anything_changes() {
    let suspended = "<SuspendedProcesses><member><ProcessName>Launch</ProcessName></member></SuspendedProcesses>";
    let world = world(move |asked, _| match asked {
        asked if asked.says("DescribeAutoScalingGroups") => group((0, 0, 10), 0, suspended),
        _ => activities(&[]),
    });
    let failure = run(&step(&world.cloud, SCALE), &world.cx).await.err().unwrap();
    assert!(
        failure.kind == FailureKind::Permanent
            && failure.message.contains("Launch is suspended")
            && failure.hint.unwrap().contains("resume-processes")
    );
    let fence = SCALE.replace("min: 3, desired: 6", "min: 0, desired: 0");
    run(&step(&world.cloud, &fence), &world.cx).await.unwrap();
    assert_eq!(world.count("UpdateAutoScalingGroup"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_rollback_does_not_wait_forever_for_capacity() {
    let world = world(|asked, _| match asked {
        asked if asked.says("DescribeAutoScalingGroups") => group((3, 6, 10), 2, ""),
        asked if asked.says("DescribeScalingActivities") => activities(&[]),
        _ => result("UpdateAutoScalingGroup", ""),
    });
    let began = tokio::time::Instant::now();
    let before = json!({ "min": 3, "desired": 6, "max": 10 });
    let failure = step(&world.cloud, SCALE).compensate(&world.cx, &before, None).await.unwrap_err();
    assert!(
        failure.kind == FailureKind::Transient && failure.message.contains("are restored (min 3, desired 6, max 10)"),
        "{}",
        failure.message
    );
    assert_eq!((began.elapsed(), world.count("UpdateAutoScalingGroup")), (Duration::from_secs(600), 1));
}

#[tokio::test(start_paused = true)]
async fn a_scaling_activity_in_progress_is_no_failure() {
    let world = world(|asked, _| match asked {
        asked if asked.says("DescribeAutoScalingGroups") => group((0, 0, 10), 0, ""),
        asked if asked.says("DescribeScalingActivities") => activities(&[]),
        _ => refused(400, "ScalingActivityInProgress"),
    });
    assert_eq!(run(&step(&world.cloud, SCALE), &world.cx).await.err().unwrap().kind, FailureKind::Transient);
}

// ---- EKS ----

const NODES: &str = r#"EksScaleNodegroup(cluster: "production-dr", nodegroup: "general", region: "us-west-2", min: 3, desired: 6)"#;

fn nodegroup(status: &str, (min, desired, max): (i32, i32, i32), issues: &[(&str, &str)]) -> Answer {
    let issues: Vec<_> =
        issues.iter().map(|(code, message)| json!({ "code": code, "message": message, "resourceIds": ["eks-asg"] })).collect();
    let scaling = json!({ "minSize": min, "desiredSize": desired, "maxSize": max });
    (
        200,
        json!({ "nodegroup": { "nodegroupName": "general", "status": status, "scalingConfig": scaling, "health": { "issues": issues } } })
            .to_string(),
    )
}

fn update(status: &str, errors: &[(&str, &str)]) -> Answer {
    let errors: Vec<_> =
        errors.iter().map(|(code, message)| json!({ "errorCode": code, "errorMessage": message, "resourceIds": ["eks-asg"] })).collect();
    (200, json!({ "update": { "id": "u-1", "status": status, "type": "ConfigUpdate", "errors": errors } }).to_string())
}

#[tokio::test(start_paused = true)]
async fn a_node_group_that_is_updating_is_waited_for_before_it_is_changed() {
    let world = world(|asked, before| match asked {
        asked if asked.method == "POST" => update("InProgress", &[]),
        asked if asked.says("/updates/") => update(if before < 2 { "InProgress" } else { "Successful" }, &[]),
        _ => nodegroup(if before < 3 { "UPDATING" } else { "ACTIVE" }, (0, 0, 20), &[]),
    });
    let ran = run(&step(&world.cloud, NODES), &world.cx).await.unwrap();
    assert_eq!(json!(ran.outputs), json!({ "update_id": "u-1", "min": 3, "desired": 6, "max": 20 }));
    assert_eq!((&ran.before["min"], &ran.before["desired"], &ran.before["max"]), (&json!(0), &json!(0), &json!(20)));
    let sent: serde_json::Value = serde_json::from_str(&world.last("scalingConfig").body).unwrap();
    assert_eq!(sent["clientRequestToken"], json!(world.cx.token()));
    assert_eq!(sent["scalingConfig"], json!({ "minSize": 3, "desiredSize": 6, "maxSize": 20 }));
    assert_eq!(progress(&world.told), [vec!["another update to end"; 3], vec!["EKS update in progress"; 2]].concat());
}

#[tokio::test(start_paused = true)]
async fn an_update_that_fails_tells_eks_own_errors() {
    let world = world(|asked, _| match asked {
        asked if asked.method == "POST" => update("InProgress", &[]),
        asked if asked.says("/updates/") => update("Failed", &[("NodeCreationFailure", "no nodes"), ("AccessDenied", "no role")]),
        _ => nodegroup("ACTIVE", (0, 0, 20), &[]),
    });
    let failure = run(&step(&world.cloud, NODES), &world.cx).await.err().unwrap();
    assert_eq!(failure.kind, FailureKind::Permanent);
    assert_eq!(
        failure.message,
        "the update of node group production-dr/general in us-west-2 failed: NodeCreationFailure: no nodes (eks-asg)"
    );
    assert_eq!(failure.causes, ["AccessDenied: no role (eks-asg)"]);
}

#[tokio::test(start_paused = true)]
async fn health_issues_fail_the_step_unless_they_were_there_before() {
    let scripted = |then: &'static [(&'static str, &'static str)]| {
        world(move |asked, before| match asked {
            asked if asked.method == "POST" || asked.says("/updates/") => update("Successful", &[]),
            _ if before < 2 => nodegroup("ACTIVE", (0, 0, 20), &[("IamThrottling", "an old story")]),
            _ => nodegroup("ACTIVE", (3, 6, 20), then),
        })
    };
    let known = scripted(&[("IamThrottling", "an old story")]);
    run(&step(&known.cloud, NODES), &known.cx).await.unwrap();
    let new = scripted(&[("IamThrottling", "an old story"), ("AsgInstanceLaunchFailures", "no room")]);
    let failure = run(&step(&new.cloud, NODES), &new.cx).await.err().unwrap();
    assert_eq!(
        failure.message,
        "node group production-dr/general in us-west-2 is not healthy: AsgInstanceLaunchFailures: no room (eks-asg)"
    );
}

#[tokio::test(start_paused = true)]
async fn a_node_group_that_was_degraded_before_may_recover_and_a_deleted_one_is_refused() {
    let issue = [("InstanceLimitExceeded", "quota")];
    let degraded = world(move |asked, before| match asked {
        asked if asked.method == "POST" || asked.says("/updates/") => update("Successful", &[]),
        _ if before < 4 => nodegroup("DEGRADED", (0, 0, 20), &issue),
        _ => nodegroup("ACTIVE", (3, 6, 20), &[]),
    });
    run(&step(&degraded.cloud, NODES), &degraded.cx).await.unwrap();
    assert_eq!(progress(&degraded.told), ["node group to recover from InstanceLimitExceeded: quota (eks-asg)"; 2]);
    let deleted = world(move |_, _| nodegroup("DELETING", (0, 0, 20), &issue));
    let failure = step(&deleted.cloud, NODES).observe(&deleted.cx, None).await.unwrap_err();
    assert_eq!((failure.kind, failure.causes), (FailureKind::Permanent, vec!["InstanceLimitExceeded: quota (eks-asg)".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn a_node_group_that_is_not_active_after_all_may_be_tried_again() {
    let busy = world(|asked, _| match asked {
        asked if asked.method == "POST" => {
            (409, json!({ "__type": "ResourceInUseException", "message": "not in Active State" }).to_string())
        }
        _ => nodegroup("ACTIVE", (0, 0, 20), &[]),
    });
    assert_eq!(run(&step(&busy.cloud, NODES), &busy.cx).await.err().unwrap().kind, FailureKind::Transient);
}

#[tokio::test(start_paused = true)]
async fn a_rollback_has_a_token_of_its_own_and_waits_for_the_update_under_way() {
    let world = world(|asked, before| match asked {
        asked if asked.method == "POST" || asked.says("/updates/") => update("Successful", &[]),
        _ => nodegroup(if before < 2 { "UPDATING" } else { "ACTIVE" }, (3, 6, 20), &[]),
    });
    let nodes = step(&world.cloud, NODES);
    let before = json!({ "min": 0, "desired": 0, "max": 20 });
    nodes.compensate(&world.cx, &before, None).await.unwrap();
    let sent: serde_json::Value = serde_json::from_str(&world.last("scalingConfig").body).unwrap();
    let token = sent["clientRequestToken"].as_str().unwrap();
    assert_eq!(token, format!("{}-undo1", world.cx.token()));
    assert!(token.len() <= 64);
    let as_before = json!({ "min": 3, "desired": 6, "max": 20 });
    nodes.compensate(&world.cx, &as_before, None).await.unwrap();
    assert_eq!(world.count("scalingConfig"), 1, "a node group that is as before is left alone");
}

#[tokio::test(start_paused = true)]
async fn an_unknown_node_group_is_told_with_those_that_exist() {
    let world = world(|asked, _| match asked {
        asked if asked.path.ends_with("/node-groups") => (200, json!({ "nodegroups": ["general-2", "spot"] }).to_string()),
        _ => (404, json!({ "__type": "ResourceNotFoundException", "message": "No node group found" }).to_string()),
    });
    let failure = step(&world.cloud, NODES).observe(&world.cx, None).await.unwrap_err();
    assert_eq!(failure.message, "there is no node group general in cluster production-dr in us-west-2");
    assert_eq!(failure.hint.unwrap(), "did you mean general-2?");
}

// ---- Load balancers ----

#[tokio::test(start_paused = true)]
async fn targets_of_an_unused_group_are_not_healthy_and_draining_ones_do_not_count() {
    let target = |state: &str, reason: &str| {
        format!("<member><TargetHealth><State>{state}</State><Reason>{reason}</Reason></TargetHealth></member>")
    };
    let world = world(move |asked, before| match asked {
        asked if asked.says("DescribeTargetGroups") => result(
            "DescribeTargetGroups",
            "<TargetGroups><member><TargetGroupArn>arn:tg</TargetGroupArn><TargetGroupName>tg</TargetGroupName></member></TargetGroups>",
        ),
        _ => {
            let health = match before {
                0 => String::new(),
                1 => target("unused", "Target.NotInUse"),
                2 => target("draining", "Target.DeregistrationInProgress"),
                _ => target("healthy", "") + &target("draining", "Target.DeregistrationInProgress"),
            };
            result("DescribeTargetHealth", &format!("<TargetHealthDescriptions>{health}</TargetHealthDescriptions>"))
        }
    });
    let ran = run(&step(&world.cloud, r#"ElbWaitTargetsHealthy(target_group: "tg", region: "us-west-2")"#), &world.cx).await.unwrap();
    assert_eq!(json!(ran.outputs), json!({ "healthy": 1, "registered": 1 }));
    assert_eq!(
        progress(&world.told),
        ["0/1 healthy: no target is registered", "0/1 healthy: Target.NotInUse", "0/1 healthy: no target is registered"]
    );
}

// ---- Web pages ----

#[tokio::test(start_paused = true)]
async fn a_page_must_answer_well_several_times_in_a_row() {
    let world = world(|_, before| match before {
        0 => (503, "starting".to_owned()),
        3 => (200, "maintenance".to_owned()),
        _ => (200, "ok".to_owned()),
    });
    let check =
        step(&world.cloud, r#"HttpCheck(url: "https://app.company.com/health", body_contains: "ok", connect_to: "alb.example.com")"#);
    let ran = run(&check, &world.cx).await.unwrap();
    let bad = "0/3 ok: status 200, but its body does not say what it should";
    assert_eq!(progress(&world.told), ["0/3 ok: status 503 instead of 200", "1/3 ok", "2/3 ok", bad, "1/3 ok", "2/3 ok"]);
    assert_eq!(json!(ran.outputs), json!({ "status": 200, "checked_at": "2026-03-14T03:00:30Z", "response_ms": 0 }));
}
