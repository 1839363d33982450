//! What name servers and resolvers of the simulated world answer, as `DnsPropagated` sees it: by real DNS messages.

use std::time::Duration;

use wf_engine::clock::between;

use crate::stage::{Cut, Known, Stage};

const EAST: &str = "prod-app-alb-1190425811.us-east-1.elb.amazonaws.com";
const WEST: &str = "prod-app-dr-alb-2071366924.us-west-2.elb.amazonaws.com";

fn propagated(expect: &str, more: &str) -> String {
    format!(r#"(id: "propagated", run: DnsPropagated(zone: "company.com", record: "app.company.com", expect: Alias("{expect}"), {more}))"#)
}

/// Runs the step, and returns how many seconds it waited.
async fn waited(stage: &Stage, step: &str) -> u64 {
    let began = stage.clock.now();
    stage.step(step).succeed().await;
    between(began, stage.clock.now()).as_secs()
}

#[tokio::test(start_paused = true)]
async fn a_resolver_keeps_its_answer_for_a_minute_and_the_zones_own_servers_do_not() {
    let stage = Stage::new(&[]);
    let (zone, resolver) = ("", r#"servers: [], resolvers: ["1.1.1.1"]"#);
    let to_the_west = stage.registry.kind("Route53Failover").unwrap().example;
    assert!(matches!(stage.step(to_the_west).drive(&mut Known::default(), Some(Cut::Applied)).await, Err(None)));
    // The change is on its way: its servers know of it within a minute, and what a resolver was told last it keeps for another one.
    assert!(waited(&stage, &propagated(EAST, resolver)).await < 5);
    let (of_zone, of_resolver) = (waited(&stage, &propagated(WEST, zone)).await, waited(&stage, &propagated(WEST, resolver)).await);
    assert!((10..75).contains(&of_zone) && (58..90).contains(&(of_zone + of_resolver)), "{of_zone} s, then {of_resolver} s");
    assert!(waited(&stage, &propagated(WEST, resolver)).await < 5);
}

#[tokio::test(start_paused = true)]
async fn all_have_to_answer_so_unless_fewer_are_enough() {
    let stage = Stage::new(&[]);
    let known = r#""ns-1.awsdns-01.org", "ns-4.awsdns-04.co.uk""#;
    let with_a_dead_one = format!(r#"servers: [{known}, "ns-9.awsdns-09.net"]"#);
    let all = propagated(EAST, &with_a_dead_one);
    let ended = tokio::time::timeout(Duration::from_secs(300), stage.step(&all).drive(&mut Known::default(), None)).await;
    assert!(ended.is_err(), "a server that does not answer is waited for: {ended:?}");
    let (_, outputs) = stage.step(&propagated(EAST, &format!("{with_a_dead_one}, at_least: 2"))).succeed().await;
    assert_eq!((&outputs["agreed"], &outputs["asked"]), (&2.into(), &3.into()));
    let ended = tokio::time::timeout(Duration::from_secs(300), stage.step(&propagated(WEST, "")).drive(&mut Known::default(), None)).await;
    assert!(ended.is_err(), "nobody answers with the west: {ended:?}");
}

#[tokio::test(start_paused = true)]
async fn a_name_that_stands_for_another_is_answered_with_that_one_and_values_are_compared_whole() {
    let stage = Stage::new(&[]);
    let www = |kind: &str, value: &str| {
        format!(
            r#"(id: "www", run: DnsPropagated(zone: "company.com", record: "www.company.com", type: "{kind}", expect: Values(["{value}"])))"#
        )
    };
    stage.step(&www("CNAME", "App.Company.com.")).succeed().await;
    let ended = tokio::time::timeout(Duration::from_secs(300), stage.step(&www("A", "192.0.2.1")).drive(&mut Known::default(), None)).await;
    assert!(ended.is_err(), "it has another address: {ended:?}");
}

/// Whoever names the servers beforehand needs nothing of Route 53's control plane.
#[tokio::test(start_paused = true)]
async fn with_servers_given_the_control_plane_is_not_asked() {
    let stage = Stage::new(&["service-outage route53"]);
    stage.step(&propagated(EAST, r#"servers: ["ns-1.awsdns-01.org"]"#)).succeed().await;
    let failure = stage.step(&propagated(EAST, "")).drive(&mut Known::default(), None).await.unwrap_err().unwrap();
    assert!(failure.message.contains("hosted zone company.com"), "{failure:?}");
}
