//! [`Export`]: the spans of run, step and compensation, one for each attempt, sent to an OpenTelemetry collector over HTTP (protobuf). Built
//! with the feature `otlp` only; without it no collector is known, and nothing is paid for it.
//!
//! It begins when `OTEL_EXPORTER_OTLP_ENDPOINT` or `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` is set, and goes by the other `OTEL_*` variables that
//! the SDK reads: headers, timeout, service name, resource attributes, batch sizes. Spans are queued and sent by a thread of its own, so that a
//! collector that hangs or fails holds no run up; the end of the process waits for it for a few seconds at most. Only the spans themselves
//! are sent, with their ids, names, attempts and outcomes: no events, no text of others, no values.
//!
//! Rejected: an HTTP client of its own (reqwest, or tonic for gRPC). The one that posts notifications does.

use std::time::Duration;

use async_trait::async_trait;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::runtime::Builder;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::registry::LookupSpan;
use wf_steps::aws::post;

/// What says where the collector is.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];
/// What says how to prove who sends, as `name=value` pairs.
const HEADERS: [&str; 2] = ["OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"];
/// How long the collector may take for one batch.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// How long the end of the process waits for what is still to be sent.
const FAREWELL_MAX: Duration = Duration::from_secs(3);
/// Where the spans are made that are sent.
const ENGINE: &str = "wf_engine";

/// Sends spans.
pub struct Export {
    provider: SdkTracerProvider,
}

impl Export {
    /// Begins to send, if the environment names a collector.
    pub fn begin() -> Option<Self> {
        ENDPOINTS.iter().find(|name| std::env::var_os(name).is_some_and(|endpoint| !endpoint.is_empty()))?;
        let exporter = SpanExporter::builder().with_http().with_http_client(Client).with_protocol(Protocol::HttpBinary).build();
        // Traced by nobody yet, and no reason not to run.
        let exporter = exporter.ok()?;
        let resource = Resource::builder().with_attribute(opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
        let resource = if std::env::var_os("OTEL_SERVICE_NAME").is_none() { resource.with_service_name("wf") } else { resource };
        let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource.build()).build();
        Some(Self { provider })
    }

    /// Returns what takes the spans.
    pub fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let layer = tracing_opentelemetry::layer().with_tracer(self.provider.tracer("wf"));
        let layer = layer.with_location(false).with_threads(false).with_tracked_inactivity(false).with_target(false);
        layer.with_filter(filter_fn(is_ours).with_max_level_hint(LevelFilter::INFO))
    }

    /// Sends what is left, for a few seconds at most.
    pub fn finish(self) {
        if let Err(error) = self.provider.shutdown_with_timeout(FAREWELL_MAX) {
            tracing::warn!(%error, "the last spans were not sent");
        }
    }
}

/// Returns the values of the headers, which must not be in any log.
pub fn secrets() -> Vec<String> {
    let headers = HEADERS.iter().filter_map(|name| std::env::var(name).ok());
    headers
        .flat_map(|pairs| pairs.split(',').filter_map(|pair| Some(pair.split_once('=')?.1.trim().to_owned())).collect::<Vec<_>>())
        .collect()
}

fn is_ours(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && metadata.target().starts_with(ENGINE)
}

/// Posts batches. The SDK asks it from a thread of its own, where it may block.
#[derive(Debug)]
struct Client;

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (head, body) = request.into_parts();
        let header = |(name, value): (&http::HeaderName, &http::HeaderValue)| Some((name.to_string(), value.to_str().ok()?.to_owned()));
        let headers = head.headers.iter().filter_map(header).collect();
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let posted = runtime.block_on(post(&head.uri.to_string(), headers, body.to_vec(), ANSWER_WITHIN));
        let answer = posted.map_err(|failure| {
            let why = [failure.message].into_iter().chain(failure.causes).collect::<Vec<_>>().join("; ");
            tracing::warn!(why, "spans were not sent");
            why
        })?;
        if !(200..300).contains(&answer.status) {
            tracing::warn!(status = answer.status, "spans were not taken");
        }
        Ok(Response::builder().status(answer.status).body(answer.body.into())?)
    }
}
