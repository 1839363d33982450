//! Routing controls of ARC on the wire: AWS JSON 1.0, as the SDKs send it to each endpoint of a cluster.

use serde_json::{Value, json};
use wf_sim::{DEFAULT_WORLD, Sim, SimOptions};

use crate::support::*;

const CLUSTER: &str = r#"recovery: (
        endpoints: ["us-east-1", "eu-west-1"],
        controls: { "east": true, "west": false, "apart": false },
        rules: { "one-of-both": (controls: ["east", "west"]) },
    ),
    health_checks: [
        (id: "follows", name: "Follows", routing_control: "east"),"#;

fn world(texts: &[&str]) -> Sim {
    let text = DEFAULT_WORLD.replacen("    health_checks: [", CLUSTER, 1);
    Sim::open(SimOptions { world: text.parse().unwrap(), ..options(texts) }).unwrap()
}

async fn ask(sim: &Sim, region: &str, action: &str, body: &str) -> (u16, Value) {
    let scope = format!("AWS4-HMAC-SHA256 Credential=AKIA/20260314/{region}/route53-recovery-cluster/aws4_request, SignedHeaders=host");
    let request = http::Request::post("https://0c1d2e3f.example/v1/")
        .header("authorization", scope)
        .header("x-amz-target", format!("ToggleCustomerAPI.{action}"));
    let response = sim.handle(request.body(body.into()).unwrap()).await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/x-amz-json-1.0");
    (response.status().as_u16(), serde_json::from_slice(response.body()).unwrap())
}

async fn set(sim: &Sim, states: &[(&str, &str)], overridden: &[&str]) -> (u16, Value) {
    let entries: Vec<_> =
        states.iter().map(|(control, state)| json!({ "RoutingControlArn": control, "RoutingControlState": state })).collect();
    let body = json!({ "UpdateRoutingControlStateEntries": entries, "SafetyRulesToOverride": overridden });
    ask(sim, "eu-west-1", "UpdateRoutingControlStates", &body.to_string()).await
}

async fn states(sim: &Sim) -> Vec<String> {
    let mut states = Vec::new();
    for control in ["east", "west", "apart"] {
        let body = json!({ "RoutingControlArn": control }).to_string();
        let (status, answer) = ask(sim, "us-east-1", "GetRoutingControlState", &body).await;
        assert_eq!((status, &answer["RoutingControlArn"]), (200, &json!(control)));
        states.push(answer["RoutingControlState"].as_str().unwrap().to_owned());
    }
    states
}

#[tokio::test(start_paused = true)]
async fn what_one_endpoint_takes_all_tell_and_health_checks_follow() {
    let sim = world(&[]);
    assert_eq!(states(&sim).await, ["On", "Off", "Off"]);
    assert_eq!(set(&sim, &[("east", "Off"), ("west", "On")], &[]).await.0, 200);
    assert_eq!(set(&sim, &[("east", "Off"), ("west", "On")], &[]).await.0, 200);
    assert_eq!(states(&sim).await, ["Off", "On", "Off"]);
    assert_eq!(effective(&sim, "UpdateRoutingControlStates").len(), 1, "the same once more changes nothing");
    pass(&sim, 10).await;
    assert_eq!(status(&sim, "/dns/health_checks/follows/healthy"), false);
    let check = route53(&sim).await.get_health_check().health_check_id("follows").send().await.unwrap();
    let config = check.health_check.unwrap().health_check_config.unwrap();
    assert_eq!((config.r#type.as_str(), config.routing_control_arn.as_deref()), ("RECOVERY_CONTROL", Some("east")));
    let one = json!({ "RoutingControlArn": "apart", "RoutingControlState": "On" }).to_string();
    assert_eq!(ask(&sim, "us-east-1", "UpdateRoutingControlState", &one).await.0, 200);
    assert_eq!(states(&sim).await, ["Off", "On", "On"]);
}

#[tokio::test(start_paused = true)]
async fn an_assertion_rule_holds_unless_it_is_overridden_by_name() {
    let sim = world(&[]);
    let (status, refused) = set(&sim, &[("east", "Off")], &["another"]).await;
    assert_eq!((status, &refused["__type"]), (409, &json!("ConflictException")));
    assert_eq!((&refused["resourceId"], &refused["resourceType"]), (&json!("one-of-both"), &json!("SafetyRule")));
    assert_eq!(set(&sim, &[("apart", "Off")], &[]).await.0, 200, "the rule is not about it");
    assert_eq!(states(&sim).await, ["On", "Off", "Off"]);
    assert_eq!(set(&sim, &[("east", "Off")], &["one-of-both"]).await.0, 200);
    assert_eq!(set(&sim, &[("apart", "On")], &[]).await.0, 200, "a rule that is broken already is asked of its own controls only");
}

#[tokio::test(start_paused = true)]
async fn what_arc_refuses_is_refused_in_its_words() {
    let sim = world(&[]);
    let many: Vec<_> = (0..11).map(|_| ("east", "On")).collect();
    for (answer, code) in [
        (set(&sim, &[("unknown", "On")], &[]).await, "ResourceNotFoundException"),
        (set(&sim, &[("east", "ON")], &[]).await, "ValidationException"),
        (set(&sim, &[], &[]).await, "ValidationException"),
        (set(&sim, &many, &[]).await, "ServiceLimitExceededException"),
        (ask(&sim, "eu-west-1", "GetRoutingControlState", "{}").await, "ValidationException"),
        (ask(&sim, "eu-west-1", "GetRoutingControlState", "[").await, "SerializationException"),
        (ask(&sim, "eu-west-1", "Nonsense", "{}").await, "UnknownOperationException"),
        // The cluster has no endpoint there.
        (ask(&sim, "us-west-2", "GetRoutingControlState", "{}").await, "AccessDeniedException"),
    ] {
        assert!(answer.0 >= 400 && answer.1["__type"] == code, "{code}: {answer:?}");
    }
    sim.set_faults(faults(&["service-outage arc eu-west-1"]));
    let (status, away) = ask(&sim, "eu-west-1", "GetRoutingControlState", "{}").await;
    assert_eq!((status, &away["__type"]), (503, &json!("EndpointTemporarilyUnavailableException")));
    assert_eq!(states(&sim).await, ["On", "Off", "Off"], "the other endpoint answers");
    assert_eq!(sim.calls().iter().filter(|call| call.effective).count(), 0);
}
