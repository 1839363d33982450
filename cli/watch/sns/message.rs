//! A message of SNS over HTTP: read, and believed only when SNS signed it. Knows nothing of connections.
//!
//! The signature is of version 2, RSA over SHA-256; version 1 is over SHA-1, which is not to be relied on any more. The certificate is the one
//! that the message names, and is asked for only at SNS's own address in the topic's region, over TLS: that is what makes it SNS's.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::Uri;
use jiff::{SignedDuration, Timestamp};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde::Deserialize;
use webpki::EndEntityCert;

/// How old a message may be: SNS tries for an hour to deliver one. What is older is a repetition by somebody else.
const AGE_MAX: SignedDuration = SignedDuration::from_hours(1);
/// How far the sender's clock may be ahead.
const AHEAD_MAX: SignedDuration = SignedDuration::from_mins(5);

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Type {
    Notification,
    SubscriptionConfirmation,
    UnsubscribeConfirmation,
}

/// A message as it came, which nobody has vouched for.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Message {
    r#type: Type,
    message_id: String,
    #[serde(default)]
    token: Option<String>,
    topic_arn: String,
    #[serde(default)]
    subject: Option<String>,
    message: String,
    timestamp: String,
    signature_version: String,
    signature: String,
    #[serde(rename = "SigningCertURL")]
    signing_cert_url: String,
    #[serde(default, rename = "SubscribeURL")]
    subscribe_url: Option<String>,
}

/// Why a message is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Disbelieved {
    #[error("it is no message of SNS: {0}")]
    Malformed(String),
    #[error("it is of another topic, {0}")]
    OtherTopic(String),
    #[error(
        "its signature is of version {0}, over SHA-1; `aws sns set-topic-attributes --attribute-name SignatureVersion --attribute-value 2` changes that"
    )]
    OldSignature(String),
    #[error("it names an address that is none of SNS in the topic's region: {0}")]
    ForeignAddress(String),
    #[error("it is of {0}, too long ago or not yet")]
    OutOfTime(String),
    #[error("its certificate cannot be used: {0}")]
    Certificate(String),
    #[error("SNS did not sign it")]
    Forged,
}

impl Message {
    /// Reads a message, and refuses one that could not be believed whatever its signature: of another topic, signed as nobody should any more,
    /// with foreign addresses, or out of time.
    pub fn read(body: &[u8], topic: &str, now: Timestamp) -> Result<Self, Disbelieved> {
        let message: Self = serde_json::from_slice(body).map_err(|error| Disbelieved::Malformed(error.to_string()))?;
        if message.topic_arn != topic {
            return Err(Disbelieved::OtherTopic(message.topic_arn));
        }
        if message.signature_version != "2" {
            return Err(Disbelieved::OldSignature(message.signature_version));
        }
        let foreign = [Some(&message.signing_cert_url), message.subscribe_url.as_ref()];
        if let Some(url) = foreign.into_iter().flatten().find(|url| !is_of_sns(url, topic)) {
            return Err(Disbelieved::ForeignAddress(url.clone()));
        }
        let age = message.at()?.duration_until(now);
        if age > AGE_MAX || age < -AHEAD_MAX {
            return Err(Disbelieved::OutOfTime(message.timestamp));
        }
        Ok(message)
    }

    /// Returns where the certificate is that SNS signed with.
    pub fn certificate_url(&self) -> &str {
        &self.signing_cert_url
    }

    /// Believes the message if the certificate's owner signed it.
    pub fn signed_by(&self, certificate: &[u8]) -> Result<(), Disbelieved> {
        let der = CertificateDer::from_pem_slice(certificate).map_err(|error| Disbelieved::Certificate(error.to_string()))?;
        let certificate = EndEntityCert::try_from(&der).map_err(|error| Disbelieved::Certificate(error.to_string()))?;
        let signature = BASE64_STANDARD.decode(&self.signature).map_err(|_| Disbelieved::Forged)?;
        let signed = self.signed_text()?;
        certificate
            .verify_signature(webpki::ring::RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &signature)
            .map_err(|_| Disbelieved::Forged)
    }

    pub fn r#type(&self) -> Type {
        self.r#type
    }

    /// Returns what was published.
    pub fn text(&self) -> &str {
        &self.message
    }

    /// Returns the address that confirms a subscription.
    pub fn confirmation(&self) -> Option<&str> {
        self.subscribe_url.as_deref()
    }

    /// Returns when SNS sent it.
    pub fn at(&self) -> Result<Timestamp, Disbelieved> {
        self.timestamp.parse().map_err(|_| Disbelieved::OutOfTime(self.timestamp.clone()))
    }

    /// Puts together what SNS signs: names and values of the fields in the order of their names, a line each.
    fn signed_text(&self) -> Result<String, Disbelieved> {
        let missing = |name: &str| Disbelieved::Malformed(format!("it has no `{name}`"));
        let mut fields = vec![("Message", self.message.as_str()), ("MessageId", &self.message_id)];
        let r#type = match self.r#type {
            Type::Notification => {
                fields.extend(self.subject.as_deref().map(|subject| ("Subject", subject)));
                fields.push(("Timestamp", &self.timestamp));
                "Notification"
            }
            confirmation => {
                fields.push(("SubscribeURL", self.subscribe_url.as_deref().ok_or_else(|| missing("SubscribeURL"))?));
                fields.push(("Timestamp", &self.timestamp));
                fields.push(("Token", self.token.as_deref().ok_or_else(|| missing("Token"))?));
                if confirmation == Type::SubscriptionConfirmation { "SubscriptionConfirmation" } else { "UnsubscribeConfirmation" }
            }
        };
        fields.extend([("TopicArn", self.topic_arn.as_str()), ("Type", r#type)]);
        Ok(fields.into_iter().map(|(name, value)| format!("{name}\n{value}\n")).collect())
    }
}

/// Tells whether an address is SNS's own in the region of a topic.
fn is_of_sns(url: &str, topic: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else { return false };
    let Some(region) = region_of(topic) else { return false };
    let suffix = if region.starts_with("cn-") { ".cn" } else { "" };
    // Whatever else an authority can hold, such as a user or a port, makes it another text.
    let authority = uri.authority().map(|authority| authority.as_str());
    uri.scheme_str() == Some("https") && authority == Some(format!("sns.{region}.amazonaws.com{suffix}").as_str())
}

/// Returns the region of a topic's ARN.
pub fn region_of(topic: &str) -> Option<&str> {
    let mut parts = topic.split(':');
    let is_sns =
        parts.next() == Some("arn") && parts.next().is_some_and(|partition| partition.starts_with("aws")) && parts.next() == Some("sns");
    let region = parts
        .next()
        .filter(|region| is_sns && !region.is_empty() && region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'))?;
    (parts.count() == 2).then_some(region)
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
