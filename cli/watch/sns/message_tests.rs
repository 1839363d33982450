//! Messages signed with the simulator's key, and what is done to them on the way.

use serde_json::{Value, json};

use super::*;
use crate::watch::sns::signing::{CERTIFICATE, TOPIC, notification, sign};

fn now() -> Timestamp {
    "2026-03-14T03:00:00Z".parse().expect("a moment")
}

fn believed(message: &Value) -> Result<Message, Disbelieved> {
    let message = Message::read(message.to_string().as_bytes(), TOPIC, now())?;
    message.signed_by(CERTIFICATE.as_bytes()).map(|()| message)
}

#[test]
fn what_sns_signed_is_believed() {
    assert_eq!(believed(&sign(notification("in alarm", None, now()))).expect("signed").text(), "in alarm");
    let with_subject = sign(notification("in alarm", Some("ALARM: x"), now()));
    assert_eq!(believed(&with_subject).expect("signed").r#type(), Type::Notification);
    let mut confirmation = notification("You have chosen to subscribe", None, now());
    confirmation["Type"] = json!("SubscriptionConfirmation");
    confirmation["Token"] = json!("abc");
    confirmation["SubscribeURL"] = json!("https://sns.us-west-2.amazonaws.com/?Action=ConfirmSubscription&Token=abc");
    assert!(believed(&sign(confirmation)).expect("signed").confirmation().is_some_and(|url| url.ends_with("Token=abc")));
}

#[test]
fn whatever_is_changed_on_the_way_is_noticed() {
    let message = sign(notification("in alarm", Some("ALARM: x"), now()));
    for field in ["Message", "MessageId", "Subject"] {
        let mut changed = message.clone();
        changed[field] = json!("another");
        assert_eq!(believed(&changed).expect_err(field), Disbelieved::Forged);
    }
    let mut later = message.clone();
    later["Timestamp"] = json!("2026-03-14T02:59:59.000Z");
    assert_eq!(believed(&later).expect_err("a timestamp"), Disbelieved::Forged);
    let mut without = message.clone();
    without.as_object_mut().expect("an object").remove("Subject");
    assert_eq!(believed(&without).expect_err("no subject"), Disbelieved::Forged);
    for signature in ["", "AAAA", "not base64!"] {
        let mut changed = message.clone();
        changed["Signature"] = json!(signature);
        assert_eq!(believed(&changed).expect_err(signature), Disbelieved::Forged);
    }
}

#[test]
fn what_could_not_be_believed_whatever_its_signature_is_refused_before() {
    let message = sign(notification("in alarm", None, now()));
    let refused = |field: &str, value: &str| {
        let mut changed = message.clone();
        changed[field] = json!(value);
        believed(&changed).expect_err(field)
    };
    assert!(matches!(refused("TopicArn", "arn:aws:sns:us-west-2:123456789012:other"), Disbelieved::OtherTopic(_)));
    assert!(matches!(refused("SignatureVersion", "1"), Disbelieved::OldSignature(_)));
    assert!(matches!(refused("Timestamp", "2026-03-14T01:00:00.000Z"), Disbelieved::OutOfTime(_)), "an hour and more ago");
    assert!(matches!(refused("Timestamp", "2026-03-14T04:00:00.000Z"), Disbelieved::OutOfTime(_)), "not yet");
    assert!(matches!(refused("Timestamp", "yesterday"), Disbelieved::OutOfTime(_)));
    assert!(matches!(refused("Type", "Other"), Disbelieved::Malformed(_)));
    for url in [
        "http://sns.us-west-2.amazonaws.com/x.pem",
        "https://sns.us-east-1.amazonaws.com/x.pem",
        "https://sns.us-west-2.amazonaws.com.evil.example/x.pem",
        "https://sns.us-west-2.amazonaws.com@evil.example/x.pem",
        "https://sns.us-west-2.amazonaws.com:8443/x.pem",
        "https://evil.example/sns.us-west-2.amazonaws.com/x.pem",
        "x",
    ] {
        assert!(matches!(refused("SigningCertURL", url), Disbelieved::ForeignAddress(_)), "{url}");
        assert!(matches!(refused("SubscribeURL", url), Disbelieved::ForeignAddress(_)), "{url}");
    }
    assert!(matches!(Message::read(b"{", TOPIC, now()), Err(Disbelieved::Malformed(_))));
    let read = Message::read(message.to_string().as_bytes(), TOPIC, now()).expect("well formed");
    assert!(matches!(read.signed_by(b"no certificate"), Err(Disbelieved::Certificate(_))));
}

#[test]
fn a_topic_that_is_none_has_no_region() {
    assert_eq!(region_of(TOPIC), Some("us-west-2"));
    for topic in ["", "alerts", "arn:aws:sqs:us-west-2:1:q", "arn:aws:sns::1:t", "arn:aws:sns:us-west-2:1", "arn:aws:sns:a/b:1:t"] {
        assert_eq!(region_of(topic), None, "{topic}");
    }
}
