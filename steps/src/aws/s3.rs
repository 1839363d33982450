//! Requests to S3, made and signed here with what signs the presigned ones: what [`Object`](super::object::Object) and
//! [`Bucket`](super::bucket::Bucket) share.
//!
//! Rejected: `aws-sdk-s3`, the largest of the clients, with checksums, multipart transfers and a second signer, for a handful of requests
//! without a body to speak of.

use std::time::{Duration, SystemTime};

use aws_credential_types::provider::ProvideCredentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use wf_engine::model::event::StepFailure;

use super::Cloud;
use super::errors::LOG_IN;
use super::meaning::{Meaning, Refused};
use super::web::{WebAnswer, WebRequest};

/// How long S3 may take for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// What is asked of S3.
pub(super) struct Ask<'a> {
    /// The HTTP method.
    pub(super) method: &'static str,
    /// What follows the bucket's address: a key, or a question about the bucket.
    pub(super) path: &'a str,
    /// The IAM action.
    pub(super) action: &'static str,
    /// What is done, as in "failed to …".
    pub(super) what: String,
    /// The body of the request.
    pub(super) body: Option<String>,
    /// What it means that nobody answers.
    pub(super) no_answer: fn(String) -> StepFailure,
    /// What is to be allowed when the access is denied, beyond the action.
    pub(super) allow: Option<&'static str>,
}

/// Returns the host of a bucket.
pub(super) fn host(bucket: &str, region: &str) -> String {
    let suffix = if region.starts_with("cn-") { ".cn" } else { "" };
    format!("{bucket}.s3.{region}.amazonaws.com{suffix}")
}

/// Returns the address of something in a bucket.
pub(super) fn url(cloud: &Cloud, bucket: &str, region: &str, path: &str) -> String {
    match cloud.given_endpoint("S3") {
        Some(endpoint) => format!("{}/{bucket}/{path}", endpoint.trim_end_matches('/')),
        None => format!("https://{}/{path}", host(bucket, region)),
    }
}

/// Names what is wrong with a bucket's name.
pub(super) fn bucket_problem(param: &str, bucket: &str) -> Option<String> {
    let is_name = bucket.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    (!(3..=63).contains(&bucket.len()) || !is_name).then(|| {
        format!(
            "`{param}` \"{}\" is not 3 to 63 of a-z, 0-9 and hyphens: one with dots has no certificate at its own address",
            bucket.escape_debug()
        )
    })
}

/// Asks S3 in the region of the bucket.
pub(super) async fn ask(cloud: &Cloud, bucket: &str, region: &str, ask: &Ask<'_>) -> Result<WebAnswer, StepFailure> {
    cloud.pass_gate("s3", region, ask.action.trim_start_matches("s3:")).await;
    let request = WebRequest {
        method: ask.method,
        url: url(cloud, bucket, region, ask.path),
        headers: signed(cloud, bucket, region, ask).await?,
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
async fn signed(cloud: &Cloud, bucket: &str, region: &str, ask: &Ask<'_>) -> Result<Vec<(String, String)>, StepFailure> {
    let unsigned = |cause: String| StepFailure::permanent(format!("failed to {}: the request was not signed", ask.what)).because(cause);
    let provider = cloud.credentials(region).ok_or_else(|| unsigned("there are no AWS credentials".to_owned()).hint(LOG_IN))?;
    let identity = provider.provide_credentials().await.map_err(|error| super::errors::no_credentials(&ask.what, &error))?.into();
    let mut settings = SigningSettings::default();
    settings.percent_encoding_mode = PercentEncodingMode::Single;
    settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    let time = cloud.config().time_source().map_or_else(SystemTime::now, |time| time.now());
    let params = v4::SigningParams::builder().identity(&identity).region(region).name("s3").time(time).settings(settings).build();
    let params = params.map_err(|error| unsigned(error.to_string()))?.into();
    let (url, body) = (url(cloud, bucket, region, ask.path), ask.body.as_deref().unwrap_or_default().as_bytes());
    let request = SignableRequest::new(ask.method, &url, std::iter::empty(), SignableBody::Bytes(body));
    let request = request.map_err(|error| unsigned(error.to_string()))?;
    let (instructions, _) = sign(request, &params).map_err(|error| unsigned(error.to_string()))?.into_parts();
    Ok(instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

/// Fails with what S3 said, unless it did what was asked.
pub(super) fn accepted(ask: &Ask<'_>, answer: &WebAnswer) -> Result<(), StepFailure> {
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
    Err(match (code.as_deref(), ask.allow) {
        (Some("AccessDenied"), Some(allow)) => failure.hint(allow),
        (Some("PermanentRedirect" | "AuthorizationHeaderMalformed"), _) => failure.hint("the bucket is in another region: correct it"),
        _ => failure,
    })
}

/// Returns the code of an error.
pub(super) fn code(answer: &WebAnswer) -> Option<String> {
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

    fn answer(status: u16, body: &str) -> WebAnswer {
        WebAnswer { status, body: body.into() }
    }

    fn look() -> Ask<'static> {
        let (what, allow) = ("look".into(), Some("allow s3:ListBucket, too"));
        Ask { method: "GET", path: "failover/app", action: "s3:GetObject", what, body: None, no_answer: StepFailure::unreachable, allow }
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
        let headers = signed(&Cloud::offline(), "production-dr-switch", "us-west-2", &look()).await.expect("signed");
        let of = |name: &str| headers.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str()).unwrap_or_default();
        assert!(
            of("authorization").contains("/us-west-2/s3/aws4_request, SignedHeaders=host;x-amz-content-sha256;x-amz-date"),
            "{headers:?}"
        );
        assert_eq!(of("x-amz-content-sha256"), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "of nothing");
    }
}
