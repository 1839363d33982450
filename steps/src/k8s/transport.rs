//! What a `kube` client's requests go over: `kube`'s own HTTPS to a real cluster, or the HTTP client of a simulated world.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aws_smithy_async::rt::sleep::SharedAsyncSleep;
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::interceptors::context::{Error, Output};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse, OrchestratorError};
use aws_smithy_runtime_api::client::ser_de::DeserializeResponse;
use aws_smithy_types::body::SdkBody;
use http::header::AUTHORIZATION;
use http::{Request, Response};
use kube::client::{Body, ClientBuilder, ConfigExt as _};
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::json;
use tower::util::MapRequestLayer;
use tower::{BoxError, ServiceBuilder};
use wf_engine::model::event::StepFailure;

use super::token::Bearer;
use crate::aws::Cloud;

/// A cluster that is down often accepts no connection at all.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// Makes the client of an EKS cluster, whose every request carries the bearer's token.
pub(super) async fn eks(cloud: &Cloud, endpoint: &str, authority: &str, bearer: Arc<Bearer>) -> Result<kube::Client, StepFailure> {
    let authorize = MapRequestLayer::new(move |mut request: Request<Body>| {
        if let Some(token) = bearer.header() {
            request.headers_mut().insert(AUTHORIZATION, token);
        }
        request
    });
    let unusable = |cause: String| StepFailure::permanent(format!("the endpoint {endpoint} of the cluster cannot be used")).because(cause);
    if let Some((http, sleep)) = cloud.given() {
        let uri = endpoint.parse().map_err(|error| unusable(format!("{error}")))?;
        let config = kube::Config::new(uri);
        let exchange = tower::service_fn(move |request| exchange(http.clone(), sleep.clone(), request));
        let service = ServiceBuilder::new().layer(config.base_uri_layer()).layer(authorize).service(exchange);
        return Ok(kube::Client::new(service, "default"));
    }
    let known = json!({
        "clusters": [{ "name": "eks", "cluster": { "server": endpoint, "certificate-authority-data": authority } }],
        "contexts": [{ "name": "eks", "context": { "cluster": "eks", "user": "eks" } }],
        "users": [{ "name": "eks", "user": {} }],
        "current-context": "eks",
    });
    let known: Kubeconfig = serde_json::from_value(known).map_err(|error| unusable(error.to_string()))?;
    let config = kube::Config::from_custom_kubeconfig(known, &KubeConfigOptions::default()).await;
    let config = limited(config.map_err(|error| unusable(error.to_string()))?);
    let builder = ClientBuilder::try_from(config).map_err(|error| unusable(error.to_string()))?;
    Ok(builder.with_layer(&authorize).build())
}

/// Makes the client of a kubeconfig's context, and says where it leads.
pub(super) async fn context(cloud: &Cloud, name: &str, file: Option<&Path>) -> Result<(kube::Client, String), StepFailure> {
    let unusable = |cause: String| {
        StepFailure::permanent(format!("the context {name} of the kubeconfig cannot be used"))
            .because(cause)
            .hint("`kubectl config get-contexts` lists them; KUBECONFIG or the step's `kubeconfig` names the file")
    };
    if cloud.given().is_some() {
        return Err(unusable("a simulated world has no cluster of a kubeconfig".to_owned()));
    }
    let options = KubeConfigOptions { context: Some(name.to_owned()), ..KubeConfigOptions::default() };
    let config = match file {
        Some(file) => match Kubeconfig::read_from(file) {
            Ok(known) => kube::Config::from_custom_kubeconfig(known, &options).await,
            Err(error) => Err(error),
        },
        None => kube::Config::from_kubeconfig(&options).await,
    };
    let config = limited(config.map_err(|error| unusable(crate::aws::errors::chain(&error)))?);
    let endpoint = config.cluster_url.to_string();
    let client = kube::Client::try_from(config).map_err(|error| unusable(crate::aws::errors::chain(&error)))?;
    Ok((client, endpoint))
}

/// Limits connecting only: how long an answer takes is limited above, by the clock of the run.
fn limited(mut config: kube::Config) -> kube::Config {
    config.connect_timeout = Some(CONNECT_WITHIN);
    config.read_timeout = None;
    config.write_timeout = None;
    config
}

/// Sends a request of `kube` over an HTTP client of the AWS SDK.
async fn exchange(http: SharedHttpClient, sleep: SharedAsyncSleep, request: Request<Body>) -> Result<Response<Body>, BoxError> {
    let (head, body) = request.into_parts();
    let body = body.collect_bytes().await?.to_vec();
    let endpoint = format!("{}://{}", head.uri.scheme_str().unwrap_or("https"), head.uri.authority().map_or("", |host| host.as_str()));
    let operation = Operation::builder()
        .service_name("kubernetes")
        .operation_name("call")
        .http_client(http)
        .endpoint_url(&endpoint)
        .no_auth()
        .no_retry()
        .sleep_impl(sleep)
        .serializer(move |()| {
            let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
            let mut request = Request::builder().method(head.method.clone()).uri(path).body(SdkBody::from(body.clone()))?;
            request.headers_mut().clone_from(&head.headers);
            Ok(HttpRequest::try_from(request)?)
        })
        .deserializer_impl::<HttpResponse, std::io::Error>(AsItCame)
        .build();
    let answer = operation.invoke(()).await.map_err(|error| crate::aws::errors::chain(&error))?;
    let (head, body) = answer.try_into_http1x()?.into_parts();
    Ok(Response::from_parts(head, Body::from(body.bytes().unwrap_or_default().to_vec())))
}

/// Leaves a response as it came.
#[derive(Debug)]
struct AsItCame;

impl DeserializeResponse for AsItCame {
    fn deserialize_nonstreaming(&self, response: &HttpResponse) -> Result<Output, OrchestratorError<Error>> {
        let mut copy = HttpResponse::new(response.status(), SdkBody::from(response.body().bytes().unwrap_or_default()));
        *copy.headers_mut() = response.headers().clone();
        Ok(Output::erase(copy))
    }
}
