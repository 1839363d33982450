//! The simulator as the HTTP client under the AWS SDK: the only thing that differs from the real cloud.

use aws_smithy_runtime_api::client::http::{HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use http_body_util::BodyExt;

use crate::Sim;
use crate::error::ConnectionError;

/// An `HttpClient` whose every connection leads into the simulator.
#[derive(Clone)]
pub(crate) struct SimConnector {
    sim: Sim,
}

impl SimConnector {
    pub(crate) fn new(sim: Sim) -> SimConnector {
        SimConnector { sim }
    }
}

impl std::fmt::Debug for SimConnector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SimConnector")
    }
}

impl HttpClient for SimConnector {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for SimConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let sim = self.sim.clone();
        HttpConnectorFuture::new(async move { exchange(&sim, request).await })
    }
}

async fn exchange(sim: &Sim, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
    let request = request.try_into_http1x().map_err(|e| ConnectorError::user(e.into()))?;
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(ConnectorError::user)?.to_bytes().to_vec();
    let response = sim.handle(http::Request::from_parts(head, body)).await.map_err(connector_error)?;
    HttpResponse::try_from(response.map(SdkBody::from)).map_err(|e| ConnectorError::other(e.into(), None))
}

fn connector_error(error: ConnectionError) -> ConnectorError {
    match error {
        ConnectionError::TimedOut(_) => ConnectorError::timeout(error.into()),
        ConnectionError::Refused(_) | ConnectionError::Broken(_) | ConnectionError::UnknownHost(_) => ConnectorError::io(error.into()),
    }
}
