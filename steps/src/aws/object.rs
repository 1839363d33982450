//! [`Object`]: a small object of S3, put, looked at and taken away.
//!
//! The requests are made and signed here, with what signs the presigned ones. Rejected: `aws-sdk-s3`, the largest of the clients, with
//! checksums, multipart transfers and a second signer, for three requests without a body to speak of.

use std::time::{Duration, SystemTime};

use aws_credential_types::provider::ProvideCredentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use aws_types::service_config::ServiceConfigKey;
use wf_engine::model::event::StepFailure;

use super::Cloud;
use super::errors::LOG_IN;
use super::meaning::{Meaning, Refused};
use super::web::{WebAnswer, WebRequest};

/// How long S3 may take for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// An object, by where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Object<'a> {
    /// The bucket.
    pub(crate) bucket: &'a str,
    /// The key, without a slash in front, of characters that no URL has to escape.
    pub(crate) key: &'a str,
    /// The bucket's region: no other is asked.
    pub(crate) region: &'a str,
}

impl std::fmt::Display for Object<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.key)
    }
}

/// What is asked of S3.
struct Ask {
    method: &'static str,
    action: &'static str,
    what: String,
    body: Option<String>,
    /// What it means that nobody answers.
    no_answer: fn(String) -> StepFailure,
}

impl Object<'_> {
    /// Names what is wrong with where the object is said to be.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let is_name = |text: &str| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if !(3..=63).contains(&self.bucket.len()) || !is_name(self.bucket) {
            problems.push(format!(
                "`bucket` \"{}\" is not 3 to 63 of a-z, 0-9 and hyphens: one with dots has no certificate at its own address",
                self.bucket.escape_debug()
            ));
        }
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
        if self.key.is_empty() || self.key.len() > 254 || self.key.starts_with('/') || !self.key.bytes().all(is_plain) {
            problems.push(format!("`key` \"{}\" is not 1 to 254 of A-Z, a-z, 0-9, -, _, . and inner slashes", self.key.escape_debug()));
        }
        problems
    }

    /// Returns the object's public address, at which a health checker asks for it.
    pub(crate) fn url(&self, cloud: &Cloud) -> String {
        match endpoint(cloud) {
            Some(endpoint) => format!("{}/{}/{}", endpoint.trim_end_matches('/'), self.bucket, self.key),
            None => format!("https://{}/{}", self.host(), self.key),
        }
    }

    /// Returns the host that a health checker names.
    pub(crate) fn host(&self) -> String {
        let suffix = if self.region.starts_with("cn-") { ".cn" } else { "" };
        format!("{}.s3.{}.amazonaws.com{suffix}", self.bucket, self.region)
    }

    /// Tells whether the object is there. S3 has it for everybody from the moment that its PUT was answered.
    pub(crate) async fn is_there(&self, cloud: &Cloud) -> Result<bool, StepFailure> {
        Ok(self.read(cloud).await?.is_some())
    }

    /// Returns what the object holds; `None` if it is not there.
    pub(crate) async fn read(&self, cloud: &Cloud) -> Result<Option<Vec<u8>>, StepFailure> {
        let what = format!("look at {self} in {}", self.region);
        let ask = Ask { method: "GET", action: "s3:GetObject", what, body: None, no_answer: StepFailure::unreachable };
        match self.ask(cloud, &ask).await? {
            answer if answer.status == 404 && code(&answer).as_deref() == Some("NoSuchKey") => Ok(None),
            answer => accepted(&ask, &answer).map(|()| Some(answer.body)),
        }
    }

    /// Puts the object; whatever was there is replaced.
    pub(crate) async fn put(&self, cloud: &Cloud, content: &str) -> Result<(), StepFailure> {
        let (what, body) = (format!("put {self} in {}", self.region), Some(content.to_owned()));
        let ask = Ask { method: "PUT", action: "s3:PutObject", what, body, no_answer: StepFailure::transient };
        accepted(&ask, &self.ask(cloud, &ask).await?)
    }

    /// Takes the object away, if it is there.
    pub(crate) async fn delete(&self, cloud: &Cloud) -> Result<(), StepFailure> {
        let what = format!("delete {self} in {}", self.region);
        let ask = Ask { method: "DELETE", action: "s3:DeleteObject", what, body: None, no_answer: StepFailure::transient };
        accepted(&ask, &self.ask(cloud, &ask).await?)
    }

    async fn ask(&self, cloud: &Cloud, ask: &Ask) -> Result<WebAnswer, StepFailure> {
        cloud.pass_gate("s3", self.region, ask.action.trim_start_matches("s3:")).await;
        let request = WebRequest {
            method: ask.method,
            url: self.url(cloud),
            headers: self.signed(cloud, ask).await?,
            body: ask.body.clone().unwrap_or_default().into_bytes(),
        };
        let answer = cloud.exchange(&request, None, ANSWER_WITHIN).await;
        answer.map_err(|failure| {
            let told = (ask.no_answer)(format!("failed to {}: nobody answered", ask.what));
            StepFailure { causes: failure.causes, ..told }
                .hint("check that this machine reaches S3 in the region (network, proxy, AWS_ENDPOINT_URL), and the region's health")
        })
    }

    /// Signs a request, and returns the headers that carry the signature.
    async fn signed(&self, cloud: &Cloud, ask: &Ask) -> Result<Vec<(String, String)>, StepFailure> {
        let unsigned = |cause: String| StepFailure::permanent(format!("failed to {}: the request was not signed", ask.what)).because(cause);
        let provider = cloud.credentials(self.region).ok_or_else(|| unsigned("there are no AWS credentials".to_owned()).hint(LOG_IN))?;
        let identity = provider.provide_credentials().await.map_err(|error| super::errors::no_credentials(&ask.what, &error))?.into();
        let mut settings = SigningSettings::default();
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        let time = cloud.config().time_source().map_or_else(SystemTime::now, |time| time.now());
        let params = v4::SigningParams::builder().identity(&identity).region(self.region).name("s3").time(time).settings(settings).build();
        let params = params.map_err(|error| unsigned(error.to_string()))?.into();
        let (url, body) = (self.url(cloud), ask.body.as_deref().unwrap_or_default().as_bytes());
        let request = SignableRequest::new(ask.method, &url, std::iter::empty(), SignableBody::Bytes(body));
        let request = request.map_err(|error| unsigned(error.to_string()))?;
        let (instructions, _) = sign(request, &params).map_err(|error| unsigned(error.to_string()))?.into_parts();
        Ok(instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }
}

/// Returns the endpoint that the environment or the profile gives for S3.
fn endpoint(cloud: &Cloud) -> Option<String> {
    let of_s3 = cloud.config().service_config().and_then(|config| {
        let key = ServiceConfigKey::builder().service_id("S3").env("AWS_ENDPOINT_URL").profile("endpoint_url").build().ok()?;
        config.load_config(key)
    });
    of_s3.or_else(|| cloud.config().endpoint_url().map(str::to_owned))
}

fn accepted(ask: &Ask, answer: &WebAnswer) -> Result<(), StepFailure> {
    if (200..300).contains(&answer.status) {
        return Ok(());
    }
    let (code, said) = (code(answer), field(answer, "Message").unwrap_or_else(|| "no message".to_owned()));
    let meaning = Meaning::of(code.as_deref(), answer.status, &said);
    let message = match &code {
        Some(code) => format!("failed to {}: {said} ({code}, HTTP {})", ask.what, answer.status),
        None => format!("failed to {}: HTTP {} without an error code of AWS", ask.what, answer.status),
    };
    let failure = meaning.failure(message, &Refused { action: ask.action, said: &said });
    Err(match code.as_deref() {
        Some("AccessDenied") if ask.method == "GET" => failure.hint("allow s3:GetObject on the object, and s3:ListBucket on its bucket: without the latter S3 says of an object that is not there that the access is denied"),
        Some("PermanentRedirect" | "AuthorizationHeaderMalformed") => failure.hint("the bucket is in another region: correct `region`"),
        _ => failure,
    })
}

fn code(answer: &WebAnswer) -> Option<String> {
    field(answer, "Code")
}

/// Returns a field of S3's error document, a flat one.
fn field(answer: &WebAnswer, name: &str) -> Option<String> {
    let body = String::from_utf8_lossy(&answer.body).into_owned();
    let (_, rest) = body.split_once(&format!("<{name}>"))?;
    Some(rest.split_once("</")?.0.to_owned())
}

#[cfg(test)]
mod tests {
    use wf_engine::model::event::FailureKind;

    use super::*;

    const OBJECT: Object<'static> = Object { bucket: "production-dr-switch", key: "failover/app", region: "us-west-2" };

    fn answer(status: u16, body: &str) -> WebAnswer {
        WebAnswer { status, body: body.into() }
    }

    fn look() -> Ask {
        Ask { method: "GET", action: "s3:GetObject", what: "look".into(), body: None, no_answer: StepFailure::unreachable }
    }

    #[test]
    fn an_address_that_cannot_be_one_is_named() {
        assert_eq!(OBJECT.problems(), Vec::<String>::new());
        assert_eq!(Object { bucket: "a.b.c", key: "/x?y", region: "us-west-2" }.problems().len(), 2);
        assert_eq!(Object { bucket: "Dr-switch", key: "", region: "us-west-2" }.problems().len(), 2);
    }

    #[test]
    fn a_refusal_is_told_in_the_words_of_s3() {
        let refused = |status, code: &str| {
            let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>said</Message></Error>");
            accepted(&look(), &answer(status, &body)).expect_err("refused")
        };
        let denied = refused(403, "AccessDenied");
        assert_eq!((denied.kind, denied.message.as_str()), (FailureKind::Permanent, "failed to look: said (AccessDenied, HTTP 403)"));
        assert!(denied.hint.is_some_and(|hint| hint.contains("s3:ListBucket")));
        assert_eq!(refused(503, "SlowDown").kind, FailureKind::Transient);
        assert!(refused(301, "PermanentRedirect").hint.is_some_and(|hint| hint.contains("another region")));
        assert_eq!(accepted(&look(), &answer(502, "a proxy")).expect_err("refused").kind, FailureKind::Transient);
        assert_eq!(accepted(&look(), &answer(204, "")), Ok(()));
    }

    #[tokio::test]
    async fn a_request_is_signed_for_s3_in_the_region_of_the_bucket() {
        let cloud = Cloud::offline();
        assert_eq!(OBJECT.url(&cloud), "https://production-dr-switch.s3.us-west-2.amazonaws.com/failover/app");
        let headers = OBJECT.signed(&cloud, &look()).await.expect("signed");
        let of = |name: &str| headers.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str()).unwrap_or_default();
        assert!(
            of("authorization").contains("/us-west-2/s3/aws4_request, SignedHeaders=host;x-amz-content-sha256;x-amz-date"),
            "{headers:?}"
        );
        assert_eq!(of("x-amz-content-sha256"), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "of nothing");
        assert_eq!(OBJECT.is_there(&cloud).await.expect_err("offline").kind, FailureKind::Unreachable);
        assert_eq!(OBJECT.put(&cloud, "x").await.expect_err("offline").kind, FailureKind::Transient);
    }
}
