//! Asking a web page, as a client of the application would: for the kinds that check that the failover worked.

use std::time::Duration;

use aws_smithy_async::rt::sleep::{AsyncSleep, SharedAsyncSleep, TokioSleep};
use aws_smithy_http_client::tls;
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime_api::client::dns::{DnsFuture, ResolveDns, ResolveDnsError};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::interceptors::context::{Error, Output};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse, OrchestratorError};
use aws_smithy_runtime_api::client::ser_de::DeserializeResponse;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use aws_smithy_types::timeout::TimeoutConfig;
use http::Uri;
use serde::Deserialize;
use wf_engine::model::event::StepFailure;
use wf_engine::units::Span;

use super::Cloud;

/// The most of a body that is kept, in bytes.
const BODY_LEN_MAX: usize = 4096;

/// Tells the simulated world which host to connect to; the live world needs no header for that.
const CONNECT_TO: &str = "x-wf-connect-to";

/// Where the simulated world's name servers are asked, over HTTP; the live world has those that this machine uses.
pub(super) const NAME_SERVERS: &str = "https://dns.wf.invalid/";
/// How long a name server may take.
const RESOLVED_WITHIN: Duration = Duration::from_secs(10);

/// A request with all that it carries.
pub(super) struct WebRequest {
    pub(super) method: &'static str,
    pub(super) url: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

/// What a web page answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebAnswer {
    /// The HTTP status. Redirects are not followed.
    pub status: u16,
    /// The first 4 KiB of the body.
    pub body: Vec<u8>,
}

impl Cloud {
    /// Asks for a page over a new connection, so that a change of DNS is seen. With `connect_to` the connection goes to that host
    /// (or address) while `Host` and TLS name stay those of the URL: a load balancer is checked before DNS points at it, against
    /// the certificate that it will serve. `Unreachable` means that nobody answered.
    pub async fn get(&self, url: &str, connect_to: Option<&str>, timeout: Duration) -> Result<WebAnswer, StepFailure> {
        let request = WebRequest { method: "GET", url: url.to_owned(), headers: Vec::new(), body: Vec::new() };
        self.exchange(&request, connect_to, timeout).await
    }

    /// As [`Cloud::get`], for any request.
    pub(super) async fn exchange(
        &self,
        request: &WebRequest,
        connect_to: Option<&str>,
        timeout: Duration,
    ) -> Result<WebAnswer, StepFailure> {
        self.web().exchange(request, connect_to, timeout).await
    }

    /// Returns the addresses of a name as this machine's resolver gives them, in order; none when the name has none. An answer may be as
    /// old as its time to live.
    pub(crate) async fn addresses(&self, name: &str) -> Result<Vec<String>, StepFailure> {
        let unanswered = |cause: String| StepFailure::unreachable(format!("no name server answered for {name}")).because(cause);
        let mut found = match &self.web().world {
            World::Live => {
                let resolved = tokio::time::timeout(RESOLVED_WITHIN, tokio::net::lookup_host((name, 0))).await;
                let resolved = resolved.map_err(|_| unanswered(format!("no answer within {}", Span(RESOLVED_WITHIN))))?;
                resolved.map_err(|error| unanswered(error.to_string()))?.map(|address| address.ip().to_string()).collect()
            }
            World::Given(_) => {
                let answer = self.get(&format!("{NAME_SERVERS}?name={name}"), None, RESOLVED_WITHIN).await?;
                let answer: Resolved = serde_json::from_slice(&answer.body).map_err(|error| unanswered(error.to_string()))?;
                answer.addresses.unwrap_or_default()
            }
        };
        found.sort();
        found.dedup();
        Ok(found)
    }
}

/// Posts to a page of the live world, whatever world a run acts on. The URL may be a secret, so it is in no failure.
///
/// # Errors
/// When nobody answered. A status that is no success is an answer.
pub async fn post(url: &str, headers: Vec<(String, String)>, body: Vec<u8>, timeout: Duration) -> Result<WebAnswer, StepFailure> {
    let request = WebRequest { method: "POST", url: url.to_owned(), headers, body };
    let web = Web::live(SharedAsyncSleep::new(TokioSleep::new()));
    web.exchange(&request, None, timeout).await.map_err(|failure| {
        let nameless = StepFailure::unreachable("nobody answered");
        failure.causes.into_iter().fold(nameless, StepFailure::because)
    })
}

/// What the simulated name servers answer.
#[derive(Deserialize)]
struct Resolved {
    addresses: Option<Vec<String>>,
}

/// The way to web pages.
pub(super) struct Web {
    world: World,
    sleep: SharedAsyncSleep,
}

enum World {
    Live,
    Given(SharedHttpClient),
}

impl Web {
    pub(super) fn live(sleep: SharedAsyncSleep) -> Self {
        Self { world: World::Live, sleep }
    }

    pub(super) fn given(http: SharedHttpClient, sleep: SharedAsyncSleep) -> Self {
        Self { world: World::Given(http), sleep }
    }

    /// Returns whether the network is there, or only an HTTP client that stands for the world.
    pub(super) fn is_live(&self) -> bool {
        matches!(self.world, World::Live)
    }

    /// Returns the HTTP client that stands for the world, and how it sleeps; `None` in the live world.
    pub(super) fn given_client(&self) -> Option<(SharedHttpClient, SharedAsyncSleep)> {
        match &self.world {
            World::Live => None,
            World::Given(http) => Some((http.clone(), self.sleep.clone())),
        }
    }

    async fn exchange(&self, request: &WebRequest, connect_to: Option<&str>, timeout: Duration) -> Result<WebAnswer, StepFailure> {
        let uri = parse(&request.url)?;
        tokio::select! {
            answer = self.fetch(request, &uri, connect_to, timeout) => answer,
            () = self.sleep.sleep(timeout) => Err(no_answer(&uri, connect_to).because(format!("no answer within {}", Span(timeout)))),
        }
    }

    async fn fetch(&self, request: &WebRequest, uri: &Uri, connect_to: Option<&str>, timeout: Duration) -> Result<WebAnswer, StepFailure> {
        let header = match self.world {
            World::Live => None,
            World::Given(_) => connect_to.map(str::to_owned),
        };
        let path = uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string);
        let (method, headers, body) = (request.method, request.headers.clone(), request.body.clone());
        let operation = Operation::builder()
            .service_name("web")
            .operation_name("get")
            .http_client(self.client(connect_to))
            .endpoint_url(&format!(
                "{}://{}",
                uri.scheme_str().unwrap_or("https"),
                uri.authority().map_or("", |authority| authority.as_str())
            ))
            .no_auth()
            .no_retry()
            .sleep_impl(self.sleep.clone())
            .timeout_config(TimeoutConfig::builder().connect_timeout(timeout).build())
            .serializer(move |()| {
                let mut request = HttpRequest::new(SdkBody::from(body.clone()));
                request.set_method(method)?;
                request.set_uri(path.as_str())?;
                for (name, value) in &headers {
                    request.headers_mut().try_insert(name.clone(), value.clone())?;
                }
                request.headers_mut().insert("user-agent", concat!("wf/", env!("CARGO_PKG_VERSION")));
                if let Some(host) = &header {
                    request.headers_mut().try_insert(CONNECT_TO, host.clone())?;
                }
                Ok(request)
            })
            .deserializer_impl::<Page, std::io::Error>(KeepStreaming)
            .build();
        let page = operation.invoke(()).await.map_err(|error| no_answer(uri, connect_to).because(super::errors::chain(&error)))?;
        Ok(WebAnswer { status: page.status, body: head(page.body).await })
    }

    fn client(&self, connect_to: Option<&str>) -> SharedHttpClient {
        let live = || aws_smithy_http_client::Builder::new().tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring));
        match (&self.world, connect_to) {
            (World::Given(http), _) => http.clone(),
            (World::Live, None) => live().build_https(),
            (World::Live, Some(host)) => live().build_with_resolver(Always { host: host.to_owned() }),
        }
    }
}

fn parse(url: &str) -> Result<Uri, StepFailure> {
    let uri: Uri = url.parse().map_err(|error| StepFailure::permanent(format!("`{url}` is not a URL")).because(format!("{error}")))?;
    match (uri.scheme_str(), uri.host()) {
        (Some("http" | "https"), Some(_)) => Ok(uri),
        _ => Err(StepFailure::permanent(format!("`{url}` is not a URL such as \"https://app.company.com/health\""))),
    }
}

fn no_answer(uri: &Uri, connect_to: Option<&str>) -> StepFailure {
    let by_way_of = connect_to.map(|host| format!(" by way of {host}")).unwrap_or_default();
    StepFailure::unreachable(format!("{uri} did not answer{by_way_of}"))
}

/// Reads the beginning of a body; what was read when the connection broke counts.
async fn head(body: SdkBody) -> Vec<u8> {
    let mut stream = ByteStream::new(body);
    let mut head = Vec::new();
    while head.len() < BODY_LEN_MAX
        && let Some(Ok(bytes)) = stream.next().await
    {
        head.extend_from_slice(&bytes);
    }
    head.truncate(BODY_LEN_MAX);
    head
}

/// A response whose body was not read yet: it may be endless.
#[derive(Debug)]
struct Page {
    status: u16,
    body: SdkBody,
}

#[derive(Debug)]
struct KeepStreaming;

impl DeserializeResponse for KeepStreaming {
    fn deserialize_streaming(&self, response: &mut HttpResponse) -> Option<Result<Output, OrchestratorError<Error>>> {
        let body = std::mem::replace(response.body_mut(), SdkBody::taken());
        Some(Ok(Output::erase(Page { status: response.status().as_u16(), body })))
    }

    fn deserialize_nonstreaming(&self, _response: &HttpResponse) -> Result<Output, OrchestratorError<Error>> {
        Err(OrchestratorError::other("the response was not taken as a stream"))
    }
}

/// Resolves one host whatever is asked for.
#[derive(Debug, Clone)]
struct Always {
    host: String,
}

impl ResolveDns for Always {
    fn resolve_dns<'a>(&'a self, _name: &'a str) -> DnsFuture<'a> {
        DnsFuture::new(async move {
            let found = tokio::net::lookup_host((self.host.as_str(), 0)).await.map_err(ResolveDnsError::new)?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}
