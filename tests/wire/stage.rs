//! The step kinds in front of a server. The AWS SDK believes that it talks to AWS; its HTTP
//! connector goes to the servers, and counts the calls. The servers are no name servers: questions to those are answered here, each name with
//! the same address, so that nothing that is waited for depends on them.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use aws_smithy_http_client::tls;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use jiff::Timestamp;
use wf_engine::clock::Clock;
use wf_engine::registry::Registry;
use wf_steps::aws::Cloud;

use crate::servers::Servers;
use crate::stepped::Quick;
pub use crate::stepped::{Cut, Known, Stepped};

/// Where all names lead.
pub const ADDRESS: [u8; 4] = [198, 51, 100, 1];

/// The kinds, with a server for AWS.
pub struct Stage {
    registry: Registry,
    clock: Arc<dyn Clock>,
    changes: Arc<Mutex<Vec<String>>>,
    reads: Arc<AtomicU32>,
    runs: AtomicU32,
}

impl Stage {
    /// Puts the kinds in front of one of the servers; CloudWatch is always ministack's.
    pub fn new(servers: &Servers, server: &str) -> Self {
        let main = if server == "moto" { &servers.moto } else { &servers.ministack };
        Self::at(main, &servers.ministack)
    }

    /// Puts the kinds in front of whatever answers at these addresses.
    pub fn at(main: &str, cloudwatch: &str) -> Self {
        let (changes, reads) = (Arc::default(), Arc::default());
        let live = aws_smithy_http_client::Builder::new().tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring));
        let wire = Wire {
            inner: live.build_https(),
            route: Arc::new(Route { main: main.to_owned(), cloudwatch: cloudwatch.to_owned() }),
            changes: Arc::clone(&changes),
            reads: Arc::clone(&reads),
        };
        let clock: Arc<dyn Clock> = Quick::started();
        let registry = wf_steps::registry(Cloud::with_http_client(SharedHttpClient::new(wire), Arc::clone(&clock)));
        Self { registry, clock, changes, reads, runs: AtomicU32::new(0) }
    }

    /// Decodes a step of a new run.
    pub fn step(&self, ron: &str) -> Stepped {
        Stepped::decode(&self.registry, &self.clock, self.runs.fetch_add(1, Ordering::Relaxed), ron)
    }

    /// Returns how many calls only read since the last time.
    pub fn take_reads(&self) -> u32 {
        self.reads.swap(0, Ordering::Relaxed)
    }

    /// Returns the time as the kinds see it.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Returns the calls that changed something since the last time.
    pub fn take_changes(&self) -> Vec<String> {
        std::mem::take(&mut self.changes.lock().unwrap())
    }
}

/// Leads the SDK's requests to the servers.
#[derive(Debug)]
struct Wire<C> {
    inner: C,
    route: Arc<Route>,
    changes: Arc<Mutex<Vec<String>>>,
    reads: Arc<AtomicU32>,
}

#[derive(Debug)]
struct Route {
    main: String,
    cloudwatch: String,
}

impl HttpClient for Wire<SharedHttpClient> {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        let inner = self.inner.http_connector(settings, components);
        let (route, changes, reads) = (Arc::clone(&self.route), Arc::clone(&self.changes), Arc::clone(&self.reads));
        SharedHttpConnector::new(Wire { inner, route, changes, reads })
    }
}

impl HttpConnector for Wire<SharedHttpConnector> {
    fn call(&self, mut request: HttpRequest) -> HttpConnectorFuture {
        if let Some(answer) = name_server(&request) {
            return HttpConnectorFuture::ready(Ok(answer));
        }
        let service = service_of(&request);
        let base = if service == "monitoring" { &self.route.cloudwatch } else { &self.route.main };
        let path = path_of(request.uri());
        match change(&service, &request, &path) {
            Some(change) => self.changes.lock().unwrap().push(change),
            None => drop(self.reads.fetch_add(1, Ordering::Relaxed)),
        }
        request.set_uri(format!("{base}{path}")).unwrap();
        self.inner.call(request)
    }
}

/// Returns the path of a URL. A bucket in the name of the host is moved into it: the servers have no names.
fn path_of(url: &str) -> String {
    let after = url.split_once("://").map_or(url, |(_, rest)| rest);
    let (host, path) = after.find('/').map_or((after, ""), |at| after.split_at(at));
    host.split_once(".s3.").map_or_else(|| path.to_owned(), |(bucket, _)| format!("/{bucket}{path}"))
}

/// Answers a question to a name server: with [`ADDRESS`], whatever is asked.
fn name_server(request: &HttpRequest) -> Option<HttpResponse> {
    let (_, server) = request.uri().split_once("//dns.wf.invalid/")?;
    let body = if server.starts_with('?') {
        format!(r#"{{"addresses":["{}"],"ttl":60}}"#, std::net::Ipv4Addr::from(ADDRESS)).into_bytes()
    } else {
        // The question comes back as an answer with one record: its name is the one at byte 12, type A, class IN, a minute, four bytes.
        let mut message = request.body().bytes()?.to_vec();
        (message[2], message[7]) = (message[2] | 0x80, 1);
        message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        message.extend(ADDRESS);
        message
    };
    Some(HttpResponse::new(200.try_into().unwrap(), body.into()))
}

fn service_of(request: &HttpRequest) -> String {
    let scope = request.headers().get("authorization").and_then(|header| header.split("Credential=").nth(1)).unwrap_or_default();
    scope.split('/').nth(3).unwrap_or_default().to_owned()
}

/// Names a request that changes something.
fn change(service: &str, request: &HttpRequest, path: &str) -> Option<String> {
    if matches!(service, "eks" | "route53" | "s3") {
        return (request.method() != "GET").then(|| format!("{} {path}", request.method()));
    }
    let body = String::from_utf8_lossy(request.body().bytes()?).into_owned();
    let action = body.split('&').find_map(|pair| pair.strip_prefix("Action="))?.to_owned();
    (!action.starts_with("Describe") && !action.starts_with("Get")).then_some(action)
}
