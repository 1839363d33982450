//! `SnsPublish`: tells people. Never a reason to stop: give it `on_failure: Continue`.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_sns::types::Subscription;
use serde::{Deserialize, Serialize};
use wf_engine::model::definition::Objectives;
use wf_engine::model::event::{Fields, StepFailure};
use wf_engine::readiness::Check;
use wf_engine::signal::Signal;
use wf_engine::step::{Field, FieldType, Iam, KindInfo, Observed, Rbac, Reversibility, StepContext, StepKind, fields};

use crate::aws::missing::{Missing, names};
use crate::aws::{Cloud, errors};

/// Publishes a message to a topic.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnsPublish {
    /// The topic.
    pub topic: String,
    /// Its region.
    pub region: String,
    /// The subject.
    #[serde(default)]
    pub subject: Option<String>,
    /// The message.
    #[serde(default)]
    pub message: Option<String>,
}

/// The longest subject that SNS takes, in characters.
const SUBJECT_LEN_MAX: usize = 100;
/// The longest message that SNS takes, in bytes, less what is added to it.
const MESSAGE_LEN_MAX: usize = 255 * 1024;

/// Where the message goes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Addressee {
    /// The topic's ARN.
    pub topic_arn: String,
}

/// A message that SNS accepted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Published {
    /// Its id.
    pub message_id: String,
}

#[async_trait]
impl StepKind for SnsPublish {
    type Env = Cloud;
    type Before = Addressee;
    type Handle = Published;

    const INFO: KindInfo = KindInfo {
        name: "SnsPublish",
        summary: "publishes a message to an SNS topic",
        example: r#"(id: "announce", run: SnsPublish(topic: "production-dr-alerts", region: "us-west-2", subject: "DR failover started"), on_failure: Continue)"#,
        reversibility: Reversibility::Reversible,
        params: &[
            Field::new("topic", FieldType::Text, "the topic's name in the account of the credentials, or its ARN"),
            Field::new("region", FieldType::Text, "the topic's region; in a failover the standby one"),
            Field::new("subject", FieldType::Text, "the subject of mails, up to 100 characters of ASCII"),
            Field::new("message", FieldType::Text, "the message; default: the subject"),
        ],
        outputs: &[
            Field::new("message_id", FieldType::Text, "the id that SNS gave to the message"),
            Field::new("topic_arn", FieldType::Text, "the topic's ARN"),
        ],
        before: &[Field::new("topic_arn", FieldType::Text, "the topic's ARN")],
        iam: Iam { read: &["sts:GetCallerIdentity", "sns:ListSubscriptionsByTopic"], apply: &["sns:Publish"], compensate: &[], ready: &[] },
        rbac: Rbac::NONE,
        facts: &[
            "SNS has no idempotency token but that of FIFO topics: an interrupted step may publish twice, so the message names run and step",
            "on a FIFO topic the token of the step is the deduplication id, and the run is the message group",
            "a message cannot be taken back: rolling back leaves it as it is",
            "a name becomes an ARN with the account that the regional STS endpoint tells; an ARN needs no STS",
            "it never blocks: give it `on_failure: Continue`, and the standby region",
        ],
        typical: Duration::from_secs(1),
        timeout: Duration::from_secs(120),
    };

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.subject.is_none() && self.message.is_none() {
            problems.push("neither `subject` nor `message` is given: there is nothing to say".to_owned());
        }
        if let Some(subject) = &self.subject
            && (subject.is_empty()
                || subject.len() > SUBJECT_LEN_MAX
                || subject.starts_with(' ')
                || !subject.chars().all(|c| c.is_ascii_graphic() || c == ' '))
        {
            problems
                .push(format!("SNS takes a `subject` of 1 to {SUBJECT_LEN_MAX} characters of ASCII in one line, without a space in front"));
        }
        if self.message.as_ref().is_some_and(|message| message.len() > MESSAGE_LEN_MAX) {
            problems.push("`message` is longer than the 256 KiB that SNS takes".to_owned());
        }
        if self.topic.starts_with("arn:") && self.topic.split(':').nth(3) != Some(&self.region) {
            problems.push(format!("the topic `{}` is not in `{}`", self.topic, self.region));
        }
        problems
    }

    async fn observe(&self, cx: &StepContext<Cloud>, intent: Option<&Addressee>) -> Result<Observed<Addressee>, StepFailure> {
        let topic_arn = match intent {
            Some(earlier) => earlier.topic_arn.clone(),
            None => cx.env.topic_arn(&self.topic, &self.region).await?,
        };
        Ok(Observed::Differs(Addressee { topic_arn }))
    }

    async fn readiness(&self, cx: &StepContext<Cloud>, _objectives: &Objectives) -> Result<Vec<Check>, StepFailure> {
        let arn = cx.env.topic_arn(&self.topic, &self.region).await?;
        let topic = Check::of("topic", &arn);
        let mut pages = cx.env.sns(&self.region).list_subscriptions_by_topic().topic_arn(&arn).into_paginator().items().send();
        let mut all = Vec::new();
        while let Some(subscription) = pages.next().await {
            match subscription {
                Ok(subscription) => all.push(subscription),
                Err(error) if errors::has_code(&error, "NotFound") => {
                    return Ok(vec![topic.fail_on::<()>(Err(self.missing(cx, &arn).await))]);
                }
                Err(error) => {
                    let failure = errors::reading("sns:ListSubscriptionsByTopic", format!("list the subscriptions of {arn}"))(error);
                    return Ok(vec![topic.fail_on::<()>(Err(failure))]);
                }
            }
        }
        Ok(vec![topic, self.subscriptions(&arn, &all)])
    }

    fn signals(&self) -> Vec<Signal> {
        vec![Signal::Topic { topic: self.topic.clone(), region: self.region.clone() }]
    }

    async fn apply(&self, cx: &StepContext<Cloud>, before: &Addressee) -> Result<Published, StepFailure> {
        let fifo = before.topic_arn.ends_with(".fifo");
        let sns = cx.env.sns(&self.region);
        let answer = sns
            .publish()
            .topic_arn(&before.topic_arn)
            .set_subject(self.subject.clone())
            .message(self.text(cx))
            .set_message_group_id(fifo.then(|| cx.run.to_string()))
            .set_message_deduplication_id(fifo.then(|| cx.token()))
            .send()
            .await;
        match answer {
            Ok(answer) => Ok(Published { message_id: answer.message_id().unwrap_or_default().to_owned() }),
            Err(error) if errors::has_code(&error, "NotFound") => Err(self.missing(cx, &before.topic_arn).await),
            // A second copy does no harm, so that a topic out of reach is just that.
            Err(error) => Err(errors::reading("sns:Publish", format!("publish to {}", before.topic_arn))(error)),
        }
    }

    async fn settle(&self, _cx: &StepContext<Cloud>, before: &Addressee, handle: Option<&Published>) -> Result<Fields, StepFailure> {
        let message_id = handle.map_or("", |published| &published.message_id);
        Ok(fields([("message_id", message_id.into()), ("topic_arn", before.topic_arn.clone().into())]))
    }

    async fn compensate(&self, _cx: &StepContext<Cloud>, _before: &Addressee, _handle: Option<&Published>) -> Result<(), StepFailure> {
        Ok(())
    }
}

impl SnsPublish {
    /// The message, and where it comes from, so that its readers recognise a second copy.
    fn text(&self, cx: &StepContext<Cloud>) -> String {
        let text = self.message.as_deref().or(self.subject.as_deref()).unwrap_or_default();
        format!("{text}\n\nwf run {}, step {} (copies with the same token are one message: {})", cx.run, cx.step, cx.token())
    }

    /// Checks that a message reaches somebody. Until who is subscribed confirms it, SNS sends nothing there.
    fn subscriptions(&self, arn: &str, all: &[Subscription]) -> Check {
        let is_confirmed = |subscription: &&Subscription| subscription.subscription_arn().is_some_and(|arn| arn.starts_with("arn:"));
        let to = |subscription: &Subscription| {
            format!("{} {}", subscription.protocol().unwrap_or_default(), subscription.endpoint().unwrap_or_default())
        };
        let confirmed = all.iter().filter(is_confirmed).count();
        let pending: Vec<_> = all.iter().filter(|one| one.subscription_arn() == Some("PendingConfirmation")).map(to).collect();
        let waiting = if pending.is_empty() { String::new() } else { format!("; not confirmed yet: {}", pending.join(", ")) };
        let confirm = "whoever is not confirmed follows the link that SNS sent; `aws sns subscribe` with the same protocol and endpoint sends it again";
        let subscribe = format!(
            "`aws sns subscribe --topic-arn {arn} --protocol email --notification-endpoint … --region {}`, and confirm it",
            self.region
        );
        let fix = if pending.is_empty() { subscribe.as_str() } else { confirm };
        Check::of("subscriptions", arn)
            .fail_if(confirmed == 0, format!("{arn} has no confirmed subscription: nobody would be told{waiting}"), fix)
            .warn_if(!pending.is_empty(), format!("{arn} does not reach everybody{waiting}"), confirm)
    }

    /// Makes the failure of a topic that is not there.
    async fn missing(&self, cx: &StepContext<Cloud>, arn: &str) -> StepFailure {
        let topics = cx.env.sns(&self.region).list_topics().into_paginator().items().send();
        let topics = names(topics, |topic| topic.topic_arn).await;
        Missing { what: "SNS topic", name: arn, place: &self.region, region: Some(&self.region) }.failure(cx, topics).await
    }
}
