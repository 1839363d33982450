//! `SnsPublish`, fact by fact.

use wf_engine::model::event::FailureKind;

use crate::stage::{Cut, Known, Stage};

fn publish(params: &str) -> String {
    format!(r#"(id: "announce", run: SnsPublish(region: "us-west-2", {params}))"#)
}

#[tokio::test(start_paused = true)]
async fn a_message_names_its_run_and_step_so_that_a_second_copy_is_recognised() {
    let stage = Stage::new(&["lost-response Publish"]);
    let step = stage.step(&publish(r#"topic: "production-dr-alerts", subject: "DR failover started""#));
    let (_, outputs) = step.succeed().await;
    assert_eq!(outputs["topic_arn"], "arn:aws:sns:us-west-2:123456789012:production-dr-alerts");
    let sent = stage.all_effects();
    assert_eq!(sent.len(), 2, "at least once: {sent:?}");
    let text = sent[0].params["Message"].as_str().unwrap_or_default();
    assert!(text.starts_with("DR failover started\n") && text.contains(step.cx.run.as_str()) && text.contains("step announce"), "{text}");
    assert_eq!(sent[0].params["Message"], sent[1].params["Message"]);
}

#[tokio::test(start_paused = true)]
async fn a_fifo_topic_sends_a_repeated_message_once() {
    let stage = Stage::new(&[]);
    stage.make_topic("us-west-2", "alerts.fifo").await;
    let prepared = stage.all_effects().len();
    let step = stage.step(&publish(r#"topic: "alerts.fifo", subject: "DR failover started""#));
    let mut known = Known::default();
    assert!(matches!(step.drive(&mut known, Some(Cut::Called)).await, Err(None)));
    assert!(step.drive(&mut known, None).await.is_ok());
    assert_eq!(stage.all_effects().len() - prepared, 1);
}

#[tokio::test(start_paused = true)]
async fn an_arn_needs_no_sts_and_a_dead_topic_region_is_unreachable() {
    let stage = Stage::new(&["region-outage us-west-2"]);
    let step = stage.step(&publish(r#"topic: "arn:aws:sns:us-west-2:123456789012:production-dr-alerts", message: "x""#));
    let failure = step.fail().await.1;
    assert_eq!(failure.kind, FailureKind::Unreachable, "{failure:?}");
    assert!(!stage.take_actions().contains("sts:GetCallerIdentity"));
}

#[test]
fn what_sns_would_refuse_is_found_before() {
    let stage = Stage::new(&[]);
    let problems = |params: &str| stage.registry.step("SnsPublish", params).map(|step| step.problems()).unwrap_or_default();
    assert_eq!(problems(r#"(topic: "t", region: "us-west-2", message: "m")"#), Vec::<String>::new());
    assert_eq!(problems(r#"(topic: "t", region: "us-west-2")"#).len(), 1);
    assert_eq!(problems("(topic: \"t\", region: \"us-west-2\", subject: \"two\\nlines\")").len(), 1);
    assert_eq!(problems(r#"(topic: "arn:aws:sns:us-east-1:1:t", region: "us-west-2", subject: "s")"#).len(), 1);
}
