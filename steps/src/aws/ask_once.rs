//! [`AskOnce`]: keeps the SDK from repeating a call that has no idempotency token.

use aws_smithy_runtime_api::client::interceptors::context::InterceptorContext;
use aws_smithy_runtime_api::client::retries::classifiers::{ClassifyRetry, RetryAction, RetryClassifierPriority, RetryReason};
use aws_smithy_types::retry::ErrorKind;

/// Forbids the SDK to repeat a call whose effect is unknown: the answer was lost, or the server failed. For the calls without
/// an idempotency token (promote a replica, create one, delete an instance): the engine observes the world before
/// it calls again, which the SDK cannot. A throttled call was surely not accepted, so it is still repeated.
///
/// Goes into a call with `.customize().config_override(Config::builder().retry_classifier(AskOnce))`.
#[derive(Debug, Clone, Copy)]
pub struct AskOnce;

impl ClassifyRetry for AskOnce {
    fn classify_retry(&self, _ctx: &InterceptorContext) -> RetryAction {
        RetryAction::NoActionIndicated
    }

    fn classify_retry_v2(&self, _ctx: &InterceptorContext, previous: &RetryAction) -> RetryAction {
        match previous {
            RetryAction::RetryIndicated(RetryReason::RetryableError { kind: ErrorKind::ThrottlingError, .. }) => {
                RetryAction::NoActionIndicated
            }
            RetryAction::RetryIndicated(_) => RetryAction::RetryForbidden,
            _ => RetryAction::NoActionIndicated,
        }
    }

    fn name(&self) -> &'static str {
        "AskOnce"
    }

    fn priority(&self) -> RetryClassifierPriority {
        RetryClassifierPriority::run_after(RetryClassifierPriority::transient_error_classifier())
    }
}
