//! What an error of the SDK means for a step. The one table, so that every kind tells throttling, a missing permission and a
//! dead region apart in the same way.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::display::DisplayErrorContext;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use wf_engine::model::event::StepFailure;

/// Codes of calls that were turned away because there were too many, or because another change is under way: the same call
/// is accepted later. Route 53 answers throttling with HTTP 400.
const BUSY: &[&str] = &[
    "EC2ThrottledException",
    "PriorRequestNotComplete",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "ResourceContention",
    "ResourceContentionFault",
    "ResourceInUseException",
    "ScalingActivityInProgress",
    "ScalingActivityInProgressFault",
    "SlowDown",
    "Throttled",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
];

/// Codes of a resource whose state does not allow the call now.
const WRONG_STATE: &[&str] = &[
    "InvalidDBInstanceState",
    "InvalidDBInstanceStateFault",
    "InvalidDBClusterStateFault",
    "InvalidDBSnapshotState",
];

/// Codes of a service that failed by itself, whatever the HTTP status.
const SERVER_FAILED: &[&str] =
    &["InternalError", "InternalFailure", "InternalFailureException", "InternalServerError", "ServerException", "ServiceUnavailable", "ServiceUnavailableException"];

/// Codes of credentials that may not do this.
const DENIED: &[&str] =
    &["AccessDenied", "AccessDeniedException", "AuthorizationError", "AuthorizationErrorException", "NotAuthorized", "UnauthorizedOperation"];

/// Codes of credentials that are no longer valid, or never were.
const BAD_CREDENTIALS: &[&str] = &[
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "RequestExpired",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
];

/// Codes of a region that has not the room: another type, zone or quota is needed, so trying again at once is no use.
const NO_ROOM: &[&str] = &["InsufficientDBInstanceCapacity", "InsufficientDBInstanceCapacityFault"];

/// Turns the error of a reading call into the step's failure. `action` is the IAM action, `what` what was attempted, such as
/// "look at prod-db-replica-west in us-west-2". No answer means `Unreachable`: nothing can have happened, or nothing that matters.
pub fn reading<E>(action: &'static str, what: impl Into<String>) -> impl FnOnce(SdkError<E, HttpResponse>) -> StepFailure
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    let what = what.into();
    move |error| classify(action, &what, &error, StepFailure::unreachable)
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
    if let Some(credentials) = find::<CredentialsError>(error) {
        return unusable_credentials(what, credentials);
    }
    match error {
        SdkError::ServiceError(answer) => refused(action, what, answer.err(), answer.raw().status().as_u16()),
        SdkError::ResponseError(answer) => StepFailure::transient(format!("failed to {what}: the answer could not be read (HTTP {})", answer.raw().status()))
            .because(DisplayErrorContext(error).to_string())
            .hint("the next attempt looks at the world again before it acts"),
        SdkError::TimeoutError(_) => no_answer(format!("failed to {what}: no answer in time")).because(DisplayErrorContext(error).to_string()).hint(REACH),
        SdkError::DispatchFailure(failure) if failure.is_user() => bad_request(what, error),
        SdkError::DispatchFailure(_) => {
            no_answer(format!("failed to {what}: {}", lost(error))).because(DisplayErrorContext(error).to_string()).hint(REACH)
        }
        _ => bad_request(what, error),
    }
}

const REACH: &str = "check that this machine reaches the region's endpoint (network, proxy, AWS_ENDPOINT_URL), and the region's health";

/// What a service said no to.
fn refused<E: ProvideErrorMetadata + Error>(action: &str, what: &str, error: &E, status: u16) -> StepFailure {
    let code = error.code().unwrap_or("no error code");
    let said = error.message().unwrap_or("no message");
    let message = format!("failed to {what}: {said} ({code}, HTTP {status})");
    let is = |codes: &[&str]| codes.contains(&code);
    let failure = if is(BUSY) {
        StepFailure::transient(message).hint("AWS is busy with other calls or changes; the step is tried again")
    } else if is(WRONG_STATE) {
        StepFailure::transient(message).hint("the resource is not in a state that allows this; the step is tried again")
    } else if is(DENIED) || status == 403 && !is(BAD_CREDENTIALS) {
        StepFailure::permanent(message).hint(format!("allow {action} to the credentials that wf uses; an SCP of the organisation may deny it as well"))
    } else if is(BAD_CREDENTIALS) {
        StepFailure::permanent(message).hint(LOG_IN)
    } else if is(NO_ROOM) {
        StepFailure::permanent(message).hint("choose another instance class or zone, or use a capacity reservation")
    } else if is(SERVER_FAILED) || status >= 500 || status == 429 {
        StepFailure::transient(message).hint("the service failed; the step is tried again")
    } else {
        StepFailure::permanent(message)
    };
    match error.meta().extra("aws_request_id") {
        Some(id) => failure.because(format!("AWS request id {id}")),
        None => failure,
    }
}

const LOG_IN: &str = "log in again (such as `aws sso login`), or set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and then `wf resume`";

fn unusable_credentials(what: &str, error: &CredentialsError) -> StepFailure {
    let message = format!("failed to {what}: {error}");
    let failure = match error {
        CredentialsError::ProviderTimedOut(_) => StepFailure::transient(message),
        _ => StepFailure::permanent(message),
    };
    failure.because(DisplayErrorContext(error).to_string()).hint(LOG_IN)
}

fn bad_request<E>(what: &str, error: &SdkError<E, HttpResponse>) -> StepFailure
where
    E: Error + Send + Sync + 'static,
{
    StepFailure::permanent(format!("failed to {what}: the request could not be made")).because(DisplayErrorContext(error).to_string())
}

/// Says in a few words how the connection failed.
fn lost(error: &(dyn Error + 'static)) -> &'static str {
    match find::<std::io::Error>(error).map(std::io::Error::kind) {
        Some(std::io::ErrorKind::ConnectionRefused) => "the connection was refused",
        Some(std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::ConnectionAborted | std::io::ErrorKind::BrokenPipe) => "the connection was lost",
        Some(std::io::ErrorKind::TimedOut) => "no connection in time",
        _ => "nobody answered",
    }
}

fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}
