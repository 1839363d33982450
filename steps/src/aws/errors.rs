//! What an error of the SDK means for a step, so that every kind tells throttling, a missing permission and a dead region apart in the
//! same way. Here is who failed, and how: no credentials, no connection, no answer, an unreadable one, or a refusal, whose codes stand in
//! the table of [`super::meaning`].

use std::error::Error;
use std::sync::Arc;

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::{ConnectorError, SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use wf_engine::model::event::{FailureKind, StepFailure};

use super::account::CannotAssume;
use super::meaning::{ENDPOINT, Meaning, Refused};
use super::patience::NoAnswer;
use super::shared::Shareable;

/// Turns the error of a reading call into the step's failure. `action` is the IAM action, `what` what was attempted, such as
/// "look at prod-db-replica-west in us-west-2". No answer means `Unreachable`: nothing can have happened, or nothing that matters.
pub fn reading<E>(action: &'static str, what: impl Into<String>) -> impl FnOnce(SdkError<E, HttpResponse>) -> StepFailure
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    let what = what.into();
    move |error| classify(action, &what, &error, StepFailure::unreachable)
}

/// As [`reading`], for an error that is told to several who asked the same.
pub(crate) fn reading_shared<E>(action: &'static str, what: impl Into<String>) -> impl FnOnce(Failed<E>) -> StepFailure
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    let what = what.into();
    move |Failed(error)| classify(action, &what, &error, StepFailure::unreachable)
}

/// An error that is told to several.
#[derive(Debug)]
pub(crate) struct Failed<E>(pub(crate) Arc<SdkError<E, HttpResponse>>);

impl<E> Clone for Failed<E> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<E> From<SdkError<E, HttpResponse>> for Failed<E> {
    fn from(error: SdkError<E, HttpResponse>) -> Self {
        Self(Arc::new(error))
    }
}

impl<E: ProvideErrorMetadata + Error + Send + Sync + 'static> Shareable for Failed<E> {
    fn is_refusal(&self) -> bool {
        matches!(*self.0, SdkError::ServiceError(_)) && classify("", "", &self.0, StepFailure::unreachable).kind == FailureKind::Permanent
    }
}

/// Turns the error of a changing call into the step's failure. `action` is the IAM action, `what` what was attempted, such as
/// "promote prod-db-replica-west in us-west-2". No answer means `Transient`, never `Unreachable`: an earlier try of the SDK, or
/// this one, may have been accepted, so the step is to observe the world again, which then says whether it can be reached.
pub fn changing<E>(action: &'static str, what: impl Into<String>) -> impl FnOnce(SdkError<E, HttpResponse>) -> StepFailure
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    let what = what.into();
    move |error| classify(action, &what, &error, StepFailure::transient)
}

/// Tells whether the service answered with this error code. Codes of the query protocol come with or without `Fault`.
pub fn has_code<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>, code: &str) -> bool {
    let given = error.as_service_error().and_then(ProvideErrorMetadata::code).unwrap_or_default();
    given.strip_suffix("Fault").unwrap_or(given) == code.strip_suffix("Fault").unwrap_or(code)
}

fn classify<E>(action: &str, what: &str, error: &SdkError<E, HttpResponse>, no_answer: fn(String) -> StepFailure) -> StepFailure
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    if let Some(CannotAssume(failure)) = find(error) {
        return not_in_role(what, failure, no_answer);
    }
    if let Some(credentials) = find::<CredentialsError>(error) {
        return unusable_credentials(what, credentials);
    }
    match error {
        // The SDK also calls it an error of the service when it cannot read a good answer.
        SdkError::ServiceError(answer) if answer.raw().status().is_success() => unreadable(what, answer.raw(), error),
        SdkError::ServiceError(answer) => refused(action, what, answer.err(), answer.raw().status().as_u16()),
        SdkError::ResponseError(answer) => unreadable(what, answer.raw(), error),
        SdkError::DispatchFailure(failure) if failure.is_user() => bad_request(what, error),
        SdkError::DispatchFailure(_) if chain(error).contains(NO_URL) => no_url(what, error),
        SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) => unanswered(what, error, no_answer),
        _ => bad_request(what, error),
    }
}

const REACH: &str = "check that this machine reaches the region's endpoint (network, proxy, AWS_ENDPOINT_URL), and the region's health";

/// What was accepted, or not: the answer is lost.
fn unreadable(what: &str, answer: &HttpResponse, error: &(dyn Error + 'static)) -> StepFailure {
    StepFailure::transient(format!("failed to {what}: the answer (HTTP {}) could not be read", answer.status()))
        .because(chain(error))
        .hint("the next attempt looks at the world again before it acts")
}

/// What was answered with a no, by the service or by somebody else.
fn refused<E: ProvideErrorMetadata + Error>(action: &str, what: &str, error: &E, status: u16) -> StepFailure {
    let said = error.message().unwrap_or("no message");
    let meaning = Meaning::of(error.code(), status, said);
    let message = match error.code() {
        Some(code) => format!("failed to {what}: {said} ({code}, HTTP {status})"),
        None => format!("failed to {what}: HTTP {status} without an error code of AWS"),
    };
    let failure = meaning.failure(message, &Refused { action, said });
    match error.meta().extra("aws_request_id") {
        Some(id) => failure.because(format!("AWS request id {id}")),
        None => failure,
    }
}

/// What helps whose credentials are not, or no longer, taken.
pub(crate) const LOG_IN: &str = "log in again (such as `aws sso login`), or set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and then try again: `wf resume`, or `wf run` after a rollback";

/// Tells whether a call failed because there were no credentials for it.
pub(super) fn is_about_credentials(error: &(dyn Error + 'static)) -> bool {
    find::<CredentialsError>(error).is_some()
}

/// The role that the call was to be made in could not be taken on, so that nothing was asked for.
fn not_in_role(what: &str, failure: &StepFailure, no_answer: fn(String) -> StepFailure) -> StepFailure {
    let why = failure.message.strip_prefix("failed to ").unwrap_or(&failure.message);
    let message = format!("failed to {what}: it was not possible to {why}");
    let told = if failure.kind == FailureKind::Unreachable { no_answer(message) } else { StepFailure { message, ..failure.clone() } };
    StepFailure { causes: failure.causes.clone(), hint: failure.hint.clone(), ..told }
}

/// Makes the failure of a request that could not be signed, as there were no credentials for it.
pub(super) fn no_credentials(what: &str, error: &CredentialsError) -> StepFailure {
    match find::<CannotAssume>(error) {
        Some(CannotAssume(failure)) => not_in_role(what, failure, StepFailure::transient),
        None => unusable_credentials(what, error),
    }
}

/// Credentials that could not be had. When nobody answered who gives them out, that may pass; everything else needs the operator.
fn unusable_credentials(what: &str, error: &CredentialsError) -> StepFailure {
    let unanswered = matches!(error, CredentialsError::ProviderTimedOut(_))
        || find::<NoAnswer>(error).is_some()
        || find::<ConnectorError>(error).is_some_and(|error| !error.is_user());
    if unanswered {
        return StepFailure::transient(format!(
            "failed to {what}: who gives out the credentials (STS, SSO or the instance) does not answer"
        ))
        .because(without_output(chain(error)))
        .hint("AWS_REGION says which region's STS and SSO are asked: set it to one that works, or use static credentials");
    }
    let message = match error {
        CredentialsError::CredentialsNotLoaded(_) => format!("failed to {what}: there are no AWS credentials"),
        _ => format!("failed to {what}: the AWS credentials could not be had"),
    };
    StepFailure::permanent(message).because(without_output(chain(error))).hint(LOG_IN)
}

/// Leaves out what a `credential_process` wrote to its stderr: the SDK repeats it, and it may hold what must not be recorded.
fn without_output(said: String) -> String {
    match said.split_once(" Stderr: ") {
        Some((before, _)) => {
            format!("{before} (what it wrote is not repeated here, as it may be secret: run the `credential_process` by hand)")
        }
        None => said,
    }
}

fn bad_request<E>(what: &str, error: &SdkError<E, HttpResponse>) -> StepFailure
where
    E: Error + Send + Sync + 'static,
{
    StepFailure::permanent(format!("failed to {what}: the request could not be made")).because(chain(error))
}

/// How the SDK says that an endpoint is no URL.
const NO_URL: &str = "failed to apply endpoint";

fn no_url(what: &str, error: &dyn Error) -> StepFailure {
    StepFailure::permanent(format!("failed to {what}: its endpoint is no URL")).because(chain(error)).hint(
        "check AWS_ENDPOINT_URL, its variants for single services, and the profile's endpoint_url: `http://` or `https://` comes first",
    )
}

/// Makes the failure of a request that was not answered: how, and what to look at.
fn unanswered(what: &str, error: &(dyn Error + 'static), no_answer: fn(String) -> StepFailure) -> StepFailure {
    let causes = chain(error);
    let (how, hint) = match find::<std::io::Error>(error).map(std::io::Error::kind) {
        _ if find::<NoAnswer>(error).is_some() => ("no answer in time", REACH),
        // The SDK keeps hyper's own errors to itself, but for their words.
        _ if causes.contains("dns error") => ("the name of its endpoint is unknown", UNKNOWN_NAME),
        _ if causes.contains("connect timeout") => ("no connection in time", REACH),
        _ if LOST.iter().any(|words| causes.contains(words)) => ("the connection was lost", REACH),
        // What rustls says to an answer that is not encrypted.
        _ if causes.contains("received corrupt message") => ("what listens there does not speak TLS", ENDPOINT),
        _ if causes.contains("certificate") => ("its certificate is not AWS's", ENDPOINT),
        Some(std::io::ErrorKind::ConnectionRefused) => ("the connection was refused", REACH),
        Some(std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::ConnectionAborted | std::io::ErrorKind::BrokenPipe) => {
            ("the connection was lost", REACH)
        }
        Some(std::io::ErrorKind::TimedOut) => ("no connection in time", REACH),
        _ => ("nobody answered", REACH),
    };
    no_answer(format!("failed to {what}: {how}")).because(causes).hint(hint)
}

/// How hyper says that the other side went away, before its answer and in the middle of it.
const LOST: [&str; 3] =
    ["connection closed before message completed", "error reading a body from connection", "end of file before message length reached"];

const UNKNOWN_NAME: &str = "is there such a region, and does this machine's DNS work?";

/// Returns the first error of a type in a chain.
pub(super) fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// Says an error and its sources in their own words. Never their `Debug` form: that holds answers as they came, and the answer of
/// a credentials provider may hold credentials.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut said = without_request(error.to_string());
    let mut source = error.source();
    while let Some(cause) = source {
        let words = without_request(cause.to_string());
        if !said.contains(&words) {
            said = format!("{said}: {words}");
        }
        source = cause.source();
    }
    said
}

/// Leaves out a request: the SDK repeats one that has no endpoint, with its body, which may hold what must not be recorded.
fn without_request(said: String) -> String {
    match (said.split_once(" to request `Request {"), said.rsplit_once("}`")) {
        (Some((before, _)), Some((_, after))) => format!("{before}{after}"),
        _ => said,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use aws_sdk_rds::config::Config;
    use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn};
    use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
    use aws_smithy_types::body::SdkBody;
    use wf_engine::clock::SystemClock;

    use super::*;
    use crate::aws::{AskOnce, Cloud};

    type Answer = fn() -> Result<HttpResponse, ConnectorError>;

    /// Answers every request the same, and counts them.
    #[derive(Debug, Clone)]
    struct Canned {
        answer: Answer,
        asked: Arc<AtomicUsize>,
    }

    impl HttpConnector for Canned {
        fn call(&self, _request: HttpRequest) -> HttpConnectorFuture {
            self.asked.fetch_add(1, Ordering::Relaxed);
            HttpConnectorFuture::ready((self.answer)())
        }
    }

    fn cloud(answer: Answer) -> (Cloud, Arc<AtomicUsize>) {
        let canned = Canned { answer, asked: Arc::default() };
        let asked = Arc::clone(&canned.asked);
        (Cloud::with_http_client(http_client_fn(move |_, _| SharedHttpConnector::new(canned.clone())), Arc::new(SystemClock)), asked)
    }

    fn refusal(status: u16, code: &str, message: &str) -> Result<HttpResponse, ConnectorError> {
        let body = format!(
            "<ErrorResponse><Error><Code>{code}</Code><Message>{message}</Message></Error><RequestId>42</RequestId></ErrorResponse>"
        );
        let status = status.try_into().map_err(|_| ConnectorError::user("no status".into()))?;
        let mut response = HttpResponse::new(status, SdkBody::from(body));
        response.headers_mut().insert("x-amzn-requestid", "42");
        Ok(response)
    }

    fn refused_connection() -> Result<HttpResponse, ConnectorError> {
        Err(ConnectorError::io(std::io::Error::from(std::io::ErrorKind::ConnectionRefused).into()))
    }

    /// The failures of a reading and of a changing call that get this answer, and how often the latter was asked.
    async fn failures(answer: Answer) -> (StepFailure, StepFailure, usize) {
        let (cloud, asked) = cloud(answer);
        let rds = cloud.rds("us-west-2");
        let read = rds.describe_db_instances().send().await.map_err(reading("rds:DescribeDBInstances", "look"));
        asked.store(0, Ordering::Relaxed);
        let promote = rds.promote_read_replica().db_instance_identifier("db").customize();
        let change = promote
            .config_override(Config::builder().retry_classifier(AskOnce))
            .send()
            .await
            .map_err(changing("rds:PromoteReadReplica", "promote db"));
        (read.expect_err("read"), change.expect_err("change"), asked.load(Ordering::Relaxed))
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_answering_a_change_leaves_open_whether_it_happened() {
        let (read, change, asked) = failures(refused_connection).await;
        assert_eq!((read.kind, change.kind, asked), (FailureKind::Unreachable, FailureKind::Transient, 1));
        assert_eq!(change.message, "failed to promote db: the connection was refused");
        assert!(change.hint.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_throttled_change_was_not_accepted_and_is_repeated_by_the_sdk() {
        let (read, change, asked) = failures(|| refusal(400, "Throttling", "Rate exceeded")).await;
        assert_eq!((read.kind, change.kind, asked), (FailureKind::Transient, FailureKind::Transient, 3));
        assert!(change.message.contains("Rate exceeded (Throttling, HTTP 400)"), "{change:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_failed_is_not_asked_to_change_again() {
        let (read, change, asked) = failures(|| refusal(500, "InternalFailure", "oops")).await;
        assert_eq!((read.kind, change.kind, asked), (FailureKind::Transient, FailureKind::Transient, 1));
        let (_, change, asked) = failures(|| {
            Ok(HttpResponse::new(200.try_into().map_err(|_| ConnectorError::user("".into()))?, SdkBody::from("<html>a secret")))
        })
        .await;
        assert_eq!((change.kind, asked), (FailureKind::Transient, 1), "an answer that cannot be read: {change:?}");
        assert!(!change.causes.concat().contains("a secret"), "what was answered is not repeated: {change:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn refusals_say_whether_to_wait_to_ask_for_rights_or_to_log_in() {
        let cases: [(Answer, FailureKind, &str); 5] = [
            (|| refusal(400, "InvalidDBInstanceState", "is backing-up"), FailureKind::Transient, "tried again"),
            (|| refusal(403, "AccessDenied", "is not authorized"), FailureKind::Permanent, "allow rds:PromoteReadReplica"),
            (|| refusal(403, "ExpiredToken", "The security token is expired"), FailureKind::Permanent, "log in again"),
            (|| refusal(400, "InsufficientDBInstanceCapacity", "no room"), FailureKind::Permanent, "another instance class"),
            (|| refusal(404, "DBInstanceNotFound", "DBInstance db not found"), FailureKind::Permanent, ""),
        ];
        for (answer, kind, hint) in cases {
            let (_, change, asked) = failures(answer).await;
            assert_eq!((change.kind, asked), (kind, 1), "{change:?}");
            assert!(change.hint.as_deref().unwrap_or_default().contains(hint), "{change:?}");
            assert_eq!(change.causes, ["AWS request id 42"]);
        }
    }

    #[test]
    fn credentials_that_nobody_gives_out_now_are_told_from_none_at_all() {
        let nobody = ConnectorError::io(std::io::Error::from(std::io::ErrorKind::ConnectionRefused).into());
        let cases = [
            (CredentialsError::not_loaded("nothing found"), FailureKind::Permanent, "there are no AWS credentials"),
            (CredentialsError::provider_error("the SSO session has expired"), FailureKind::Permanent, "could not be had"),
            (CredentialsError::provider_error(nobody), FailureKind::Transient, "does not answer"),
            (CredentialsError::provider_timed_out(std::time::Duration::from_secs(5)), FailureKind::Transient, "does not answer"),
        ];
        for (error, kind, said) in cases {
            let failure = unusable_credentials("look", &error);
            assert_eq!(failure.kind, kind, "{failure:?}");
            assert!(failure.message.contains(said) && failure.hint.is_some(), "{failure:?}");
        }
    }

    #[test]
    fn a_request_is_not_repeated() {
        let said = "failed to apply endpoint `nowhere` to request `Request { body: \"a secret\" }`: endpoint must contain scheme";
        assert_eq!(without_request(said.to_owned()), "failed to apply endpoint `nowhere`: endpoint must contain scheme");
        assert_eq!(without_request("timed out".to_owned()), "timed out");
    }

    #[test]
    fn what_a_program_for_credentials_wrote_is_not_repeated() {
        let error = CredentialsError::provider_error("external process exited with code 3. Stderr: a secret\nand more");
        let failure = unusable_credentials("look", &error);
        assert!(failure.causes[0].contains("exited with code 3.") && !failure.causes[0].contains("secret\n"), "{failure:?}");
        assert!(!failure.causes[0].contains("and more"), "{failure:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn offline_reaches_nothing() {
        let failure = Cloud::offline()
            .rds("us-west-2")
            .describe_db_instances()
            .send()
            .await
            .map_err(reading("rds:DescribeDBInstances", "look"))
            .expect_err("offline");
        assert_eq!(failure.kind, FailureKind::Unreachable);
        assert!(failure.causes.iter().any(|cause| cause.contains("offline")), "{failure:?}");
    }
}
