//! The write lease: a JSON object in S3 that names the side which may write, and for how long a server may rely on what it read.
//!
//! It is a contract with the application, which has to keep it: a server takes writes only while it has read within the last `ttl_seconds`
//! that its own side is the `holder`. When the lease has been given to the other side and that time is over, no server of the old side takes
//! writes any more, whether it can be reached or not: either it has read who the holder is, or it could not read and has stopped. The object
//! lies outside of the region that may have to be fenced.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use wf_engine::model::event::StepFailure;
use wf_engine::step::StepContext;

use crate::aws::Cloud;
use crate::aws::object::Object;

/// The longest document, in bytes: it is journaled to be restored.
const DOCUMENT_LEN_MAX: usize = 4096;
/// The longest time that a server may rely on what it read, in seconds.
const TTL_MAX: u64 = 3600;

/// Where the lease is, as a step names it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lease {
    /// The bucket.
    pub bucket: String,
    /// The key.
    pub key: String,
    /// The bucket's region.
    pub region: String,
    /// The side that is to hold it.
    pub holder: String,
}

/// What the lease says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Document {
    fields: Map<String, Value>,
    pub(crate) holder: String,
    pub(crate) ttl: Duration,
}

impl Document {
    /// Reads a document; says what is wrong with one that is none of a lease.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > DOCUMENT_LEN_MAX {
            return Err(format!("it is longer than {DOCUMENT_LEN_MAX} bytes"));
        }
        let fields: Map<String, Value> = serde_json::from_str(text).map_err(|error| format!("it is no JSON object: {error}"))?;
        let holder = fields.get("holder").and_then(Value::as_str).filter(|holder| !holder.is_empty());
        let holder = holder.ok_or("it names no `holder`")?.to_owned();
        let ttl = fields.get("ttl_seconds").and_then(Value::as_u64).filter(|ttl| (1..=TTL_MAX).contains(ttl));
        let ttl = Duration::from_secs(ttl.ok_or(format!("its `ttl_seconds` is not 1 to {TTL_MAX}"))?);
        Ok(Self { fields, holder, ttl })
    }

    /// Returns the text of the same lease with another holder.
    fn given_to(&self, holder: &str, by: &str) -> String {
        let mut fields = self.fields.clone();
        fields.insert("holder".to_owned(), json!(holder));
        fields.insert("given_by".to_owned(), json!(by));
        Value::Object(fields).to_string()
    }
}

impl Lease {
    /// Returns the object that it is.
    pub(crate) fn object(&self) -> Object<'_> {
        Object { bucket: &self.bucket, key: &self.key, region: &self.region }
    }

    /// Reads the lease: its text, and what it says. The inner error says why there is none that a fence could rely on.
    pub(crate) async fn read(&self, cx: &StepContext<Cloud>) -> Result<(String, Document), String> {
        let bytes = self.object().read(&cx.env).await.map_err(|failure| failure.message)?;
        let bytes = bytes.ok_or_else(|| format!("there is no {self}: the application keeps no write lease there"))?;
        let text = String::from_utf8(bytes).map_err(|_| format!("{self} is no text"))?;
        let document = Document::parse(&text).map_err(|why| format!("{self} is not a write lease: {why}"))?;
        Ok((text, document))
    }

    /// Gives the lease to the side that is to hold it, in a document that is otherwise as it was.
    pub(crate) async fn give(&self, cx: &StepContext<Cloud>, before: &Document) -> Result<(), StepFailure> {
        let by = format!("wf run {} step {}", cx.run, cx.step);
        self.object().put(&cx.env, &before.given_to(&self.holder, &by)).await
    }

    /// Puts the lease back as it was, unless somebody has given it to a third side.
    pub(crate) async fn give_back(&self, cx: &StepContext<Cloud>, before: &str) -> Result<(), StepFailure> {
        let Some(now) = self.object().read(&cx.env).await? else { return Ok(()) };
        match Document::parse(&String::from_utf8_lossy(&now)) {
            Ok(now) if now.holder == self.holder => self.object().put(&cx.env, before).await,
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

impl std::fmt::Display for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "write lease {}", self.object())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_keeps_what_else_it_says() {
        let document = Document::parse(r#"{"holder": "us-east-1", "ttl_seconds": 60, "note": "ours"}"#).expect("a lease");
        assert_eq!((document.holder.as_str(), document.ttl), ("us-east-1", Duration::from_secs(60)));
        let given = document.given_to("us-west-2", "wf run 1 step fence");
        let given = Document::parse(&given).expect("a lease");
        assert_eq!((given.holder.as_str(), &given.fields["note"]), ("us-west-2", &json!("ours")));
    }

    #[test]
    fn what_is_no_lease_says_why() {
        let long = format!(r#"{{"holder": "{}"}}"#, "x".repeat(DOCUMENT_LEN_MAX));
        for (text, why) in [
            ("", "no JSON"),
            ("[]", "no JSON"),
            (r#"{"ttl_seconds": 60}"#, "no `holder`"),
            (r#"{"holder": "", "ttl_seconds": 60}"#, "no `holder`"),
            (r#"{"holder": "a"}"#, "`ttl_seconds`"),
            (r#"{"holder": "a", "ttl_seconds": 0}"#, "`ttl_seconds`"),
            (r#"{"holder": "a", "ttl_seconds": 86400}"#, "`ttl_seconds`"),
            (&long, "longer"),
        ] {
            let said = Document::parse(text).expect_err(text);
            assert!(said.contains(why), "{text}: {said}");
        }
    }
}
