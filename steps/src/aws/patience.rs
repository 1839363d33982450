//! [`Patient`]: limits how long AWS may take for an answer, counted from when the request is sent. [`NotAgain`]: who waited for that long
//! in vain does not at once wait again.
//!
//! The SDK's own limit on an attempt also counts the wait for the API budget ([`super::gate`]), which can take longer than any answer may. Left
//! to itself the SDK makes three attempts, so that each call into a region that hangs takes a minute, and a step that is tried twice two of
//! them. Trying again is the engine's: it looks at the world before it does, tells the operator, and keeps to the step's own policy. The limit
//! itself stays long, since a region in trouble answers slowly, and a fence that was given up too soon is worse than one that came late.

use std::time::Duration;

use aws_smithy_async::rt::sleep::{AsyncSleep, SharedAsyncSleep};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::interceptors::context::InterceptorContext;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse, OrchestratorError};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::retries::classifiers::{ClassifyRetry, RetryAction, RetryClassifierPriority};
use aws_smithy_runtime_api::client::runtime_components::{RuntimeComponents, RuntimeComponentsBuilder};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use aws_smithy_types::config_bag::ConfigBag;

use super::errors::find;

/// An answer that did not come, or not to its end.
#[derive(Debug, thiserror::Error)]
#[error("no answer within {} s", .0.as_secs())]
pub(super) struct NoAnswer(Duration);

/// An HTTP client that gives up on an answer that is not complete in time. Reads it to its end: those of these APIs are small.
#[derive(Debug, Clone)]
pub(super) struct Patient<T> {
    pub(super) inner: T,
    pub(super) limit: Duration,
    pub(super) sleep: SharedAsyncSleep,
}

impl HttpClient for Patient<SharedHttpClient> {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        let inner = self.inner.http_connector(settings, components);
        SharedHttpConnector::new(Patient { inner, limit: self.limit, sleep: self.sleep.clone() })
    }

    fn validate_base_client_config(&self, components: &RuntimeComponentsBuilder, cfg: &ConfigBag) -> Result<(), BoxError> {
        self.inner.validate_base_client_config(components, cfg)
    }

    fn validate_final_config(&self, components: &RuntimeComponents, cfg: &ConfigBag) -> Result<(), BoxError> {
        self.inner.validate_final_config(components, cfg)
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.inner.connector_metadata()
    }
}

impl HttpConnector for Patient<SharedHttpConnector> {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (answer, limit, sleep) = (self.inner.call(request), self.limit, self.sleep.sleep(self.limit));
        HttpConnectorFuture::new(async move {
            tokio::select! {
                biased;
                answer = whole(answer) => answer,
                () = sleep => Err(ConnectorError::timeout(NoAnswer(limit).into())),
            }
        })
    }
}

async fn whole(answer: HttpConnectorFuture) -> Result<HttpResponse, ConnectorError> {
    let mut answer = answer.await?;
    let body = std::mem::replace(answer.body_mut(), SdkBody::taken());
    let bytes = ByteStream::new(body).collect().await.map_err(|error| ConnectorError::io(error.into()))?.into_bytes();
    *answer.body_mut() = SdkBody::from(bytes);
    Ok(answer)
}

/// Keeps the SDK from repeating a request that got no answer in time. One that was refused, reset, or found nobody to connect to costs little, and
/// is repeated.
#[derive(Debug, Clone, Copy)]
pub(super) struct NotAgain;

impl ClassifyRetry for NotAgain {
    fn classify_retry(&self, ctx: &InterceptorContext) -> RetryAction {
        let failed = ctx.output_or_error().and_then(Result::err).and_then(OrchestratorError::as_connector_error);
        match failed.and_then(|error| find::<NoAnswer>(error)) {
            Some(NoAnswer(_)) => RetryAction::RetryForbidden,
            None => RetryAction::NoActionIndicated,
        }
    }

    fn name(&self) -> &'static str {
        "NotAgain"
    }

    fn priority(&self) -> RetryClassifierPriority {
        RetryClassifierPriority::run_after(RetryClassifierPriority::transient_error_classifier())
    }
}
