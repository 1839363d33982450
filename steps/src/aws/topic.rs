//! Topics of SNS: their ARNs, and messages of `wf` itself. The step that publishes is [`crate::kinds::sns_publish`].

use aws_sdk_sns::types::MessageAttributeValue;
use wf_engine::model::event::StepFailure;

use super::{Cloud, errors};

/// A message to a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// At most 100 characters of ASCII, in one line.
    pub subject: String,
    /// The message itself.
    pub text: String,
    /// What it belongs to: a FIFO topic keeps the order within.
    pub group: String,
    /// Names it: a FIFO topic drops a second copy.
    pub token: String,
    /// What subscriptions can filter by, as name and value.
    pub attributes: Vec<(&'static str, String)>,
}

impl Cloud {
    /// Returns the ARN of a topic: an ARN is its own, and a name becomes one with the account that the region's STS tells.
    ///
    /// # Errors
    /// When STS does not tell.
    pub async fn topic_arn(&self, topic: &str, region: &str) -> Result<String, StepFailure> {
        if topic.starts_with("arn:") {
            return Ok(topic.to_owned());
        }
        let what = format!("ask STS in {region} for the account of the topic {topic}");
        let caller = self.sts(region).get_caller_identity().send().await.map_err(errors::reading("sts:GetCallerIdentity", what))?;
        let partition = caller.arn().and_then(|arn| arn.split(':').nth(1)).unwrap_or("aws");
        let account = caller.account().ok_or_else(|| StepFailure::transient(format!("STS in {region} named no account")))?;
        Ok(format!("arn:{partition}:sns:{region}:{account}:{topic}"))
    }

    /// Publishes a message to a topic. What the SDK repeats may arrive twice.
    ///
    /// # Errors
    /// When it was not accepted, or nobody answered.
    pub async fn publish(&self, topic_arn: &str, region: &str, message: &Message) -> Result<(), StepFailure> {
        let fifo = topic_arn.ends_with(".fifo");
        let mut publish = self
            .sns(region)
            .publish()
            .topic_arn(topic_arn)
            .subject(&message.subject)
            .message(&message.text)
            .set_message_group_id(fifo.then(|| message.group.clone()))
            .set_message_deduplication_id(fifo.then(|| message.token.clone()));
        for (name, value) in &message.attributes {
            let what = format!("describe a message by {name}");
            let value = MessageAttributeValue::builder().data_type("String").string_value(value).build();
            let value = value.map_err(|error| StepFailure::permanent(format!("failed to {what}")).because(error.to_string()))?;
            publish = publish.message_attributes(*name, value);
        }
        publish.send().await.map(|_| ()).map_err(errors::reading("sns:Publish", format!("publish to {topic_arn}")))
    }
}
