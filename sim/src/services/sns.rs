//! SNS, query protocol of 2010-03-31: topics and publishing. Nothing is delivered anywhere; the call log shows it.

use super::{Answer, Call, Params, ServiceError};
use crate::world::{Subscription, World};
use crate::xml::Element;

/// SNS forgets a deduplication id after five minutes.
const DEDUPLICATION: i64 = 5 * 60 * 1000;
/// The largest message that SNS takes, in bytes.
const MESSAGE_MAX: usize = 262_144;

/// Answers an SNS call.
pub(super) fn answer(world: &mut World, call: &Call) -> Result<Answer, ServiceError> {
    let (region, params) = (call.region.as_str(), &call.params);
    match call.action.name {
        "Publish" => publish(world, region, params),
        "CreateTopic" => create(world, region, params),
        "GetTopicAttributes" => attributes(world, region, params),
        "ListSubscriptionsByTopic" => subscriptions(world, region, params),
        _ => list(world, region),
    }
}

fn invalid(message: impl Into<String>) -> ServiceError {
    ServiceError::new("InvalidParameter", message)
}

fn find(world: &World, region: &str, arn: &str) -> Result<String, ServiceError> {
    if !arn.starts_with("arn:") {
        return Err(invalid(format!("Invalid parameter: TopicArn Reason: An ARN must have at least 6 elements, not 1: {arn}")));
    }
    let found = world.region(region).and_then(|r| r.topics.values().find(|t| *t == arn));
    found.cloned().ok_or_else(|| ServiceError::new("NotFound", "Topic does not exist").status(404))
}

fn publish(world: &mut World, region: &str, params: &Params) -> Result<Answer, ServiceError> {
    let arn = params.get("TopicArn").or(params.get("TargetArn"));
    let arn = find(
        world,
        region,
        arn.ok_or_else(|| invalid("Invalid parameter: TopicArn or TargetArn Reason: no value for required parameter"))?,
    )?;
    let message = params.get("Message").ok_or_else(|| invalid("Invalid parameter: Empty message"))?;
    if message.len() > MESSAGE_MAX {
        return Err(invalid("Invalid parameter: Message too long"));
    }
    if params.get("Subject").is_some_and(|s| s.chars().count() > 100 || s.contains('\n')) {
        return Err(invalid("Invalid parameter: Subject"));
    }
    let now = world.now;
    world.published.retain(|_, (_, at)| now - *at < DEDUPLICATION);
    let mut key = None;
    if arn.ends_with(".fifo") {
        params
            .get("MessageGroupId")
            .ok_or_else(|| invalid("Invalid parameter: The MessageGroupId parameter is required for FIFO topics"))?;
        let id = params.get("MessageDeduplicationId").unwrap_or(message);
        key = Some(format!("{arn}/{id}"));
    }
    if let Some((known, _)) = key.as_ref().and_then(|k| world.published.get(k)) {
        return Ok(Answer::xml(Element::new("PublishResult").with("MessageId", known)));
    }
    let id = world.draw_uuid("message");
    if let Some(key) = key {
        world.published.insert(key, (id.clone(), now));
    }
    Ok(Answer::xml(Element::new("PublishResult").with("MessageId", id)).effective(true))
}

fn create(world: &mut World, region: &str, params: &Params) -> Result<Answer, ServiceError> {
    let name = params.require("Name", "InvalidParameter")?;
    let plain = name.strip_suffix(".fifo").unwrap_or(name);
    if plain.is_empty() || plain.len() > 250 || !plain.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)) {
        return Err(invalid("Invalid parameter: Topic Name"));
    }
    let arn = world.arn("sns", region, name);
    let new = world.region_mut(region).topics.insert(name.to_owned(), arn.clone()).is_none();
    Ok(Answer::xml(Element::new("CreateTopicResult").with("TopicArn", arn)).effective(new))
}

fn attributes(world: &World, region: &str, params: &Params) -> Result<Answer, ServiceError> {
    let arn = find(world, region, params.require("TopicArn", "InvalidParameter")?)?;
    let confirmed = subscribed(world, region, &arn).filter(|one| one.arn.is_some()).count();
    let entry = |key: &str, value: &str| Element::new("entry").with("key", key).with("value", value);
    let mut entries =
        vec![entry("TopicArn", &arn), entry("Owner", &world.account), entry("SubscriptionsConfirmed", &confirmed.to_string())];
    if arn.ends_with(".fifo") {
        entries.push(entry("FifoTopic", "true"));
    }
    Ok(Answer::xml(Element::new("GetTopicAttributesResult").with_list("Attributes", entries)))
}

/// Returns the subscriptions of a topic.
fn subscribed<'a>(world: &'a World, region: &str, topic_arn: &'a str) -> impl Iterator<Item = &'a Subscription> {
    let name = topic_arn.rsplit(':').next().unwrap_or_default();
    world.region(region).into_iter().flat_map(|r| &r.subscriptions).filter(move |one| one.topic == name)
}

fn subscriptions(world: &World, region: &str, params: &Params) -> Result<Answer, ServiceError> {
    let arn = find(world, region, params.require("TopicArn", "InvalidParameter")?)?;
    let members = subscribed(world, region, &arn).map(|one| {
        Element::new("member")
            .with("SubscriptionArn", one.arn.as_deref().unwrap_or("PendingConfirmation"))
            .with("Owner", &world.account)
            .with("Protocol", &one.protocol)
            .with("Endpoint", &one.endpoint)
            .with("TopicArn", &arn)
    });
    Ok(Answer::xml(Element::new("ListSubscriptionsByTopicResult").with_list("Subscriptions", members)))
}

fn list(world: &World, region: &str) -> Result<Answer, ServiceError> {
    let topics = world.region(region).into_iter().flat_map(|r| r.topics.values());
    let members: Vec<Element> = topics.map(|arn| Element::new("member").with("TopicArn", arn)).collect();
    Ok(Answer::xml(Element::new("ListTopicsResult").with_list("Topics", members)))
}
