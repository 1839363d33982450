//! Signs messages as SNS does, with the key whose certificate the simulated SNS shows.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::{Value, json};

pub const TOPIC: &str = "arn:aws:sns:us-west-2:123456789012:production-dr-alerts";

const KEY: &str = include_str!("../fixtures/sns/signing-key.pem");

/// Makes a notification that is not signed yet.
pub fn notification(message: &str, subject: Option<&str>, at: Timestamp) -> Value {
    let mut notification = json!({
        "Type": "Notification", "MessageId": format!("{}", at.as_millisecond()), "TopicArn": TOPIC, "Message": message,
        "Timestamp": at.strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string(), "SignatureVersion": "2",
        "SigningCertURL": "https://sns.us-west-2.amazonaws.com/SimpleNotificationService-simulated.pem",
        "UnsubscribeURL": "https://sns.us-west-2.amazonaws.com/?Action=Unsubscribe",
    });
    if let Some(subject) = subject {
        notification["Subject"] = json!(subject);
    }
    notification
}

/// Signs a message: the fields that AWS's documentation names for its type, in the order of their names.
pub fn sign(mut message: Value) -> Value {
    let names: &[&str] = match message["Type"].as_str() {
        Some("Notification") => &["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"],
        _ => &["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"],
    };
    let text: String = names.iter().filter_map(|name| Some(format!("{name}\n{}\n", message[name].as_str()?))).collect();
    let key = PrivatePkcs8KeyDer::from_pem_slice(KEY.as_bytes()).expect("a key");
    let key = RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).expect("an RSA key");
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature).expect("signed");
    message["Signature"] = json!(BASE64_STANDARD.encode(signature));
    message
}
