//! [`Cloud`]: the clients. Made once by the command line, cloned into every kind.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::identity::IdentityCache;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_http_client::tls;
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use wf_engine::clock::{Clock, SystemClock};
use wf_engine::model::event::StepFailure;

use super::gate::{CountRecords, Gates};
use super::patience::Patient;
use super::shared::Shared;
use super::time::{ClockSleep, ClockTime};
use super::web::Web;
use crate::zone_queue::{ZoneQueue, ZoneQueues};

/// The region of the one control plane of Route 53, and the region that its requests are signed for.
const ROUTE53_REGION: &str = "us-east-1";

/// The way to AWS: a client per service and region, made when first asked for, all of them over one connection pool and one
/// cache of credentials, and within one set of API budgets ([`super::budget`]). Cloning is cheap and shares everything. Every endpoint
/// is a regional one, those of STS included, so that a step in the standby region needs nothing of the failing one; Route 53 is global and has a single control plane.
#[derive(Clone)]
pub struct Cloud {
    inner: Arc<Inner>,
}

struct Inner {
    config: SdkConfig,
    gates: Gates,
    zones: ZoneQueues,
    changes: Shared<Result<(), StepFailure>>,
    web: Web,
    autoscaling: PerRegion<aws_sdk_autoscaling::Client>,
    cloudwatch: PerRegion<aws_sdk_cloudwatch::Client>,
    eks: PerRegion<aws_sdk_eks::Client>,
    elb: PerRegion<aws_sdk_elasticloadbalancingv2::Client>,
    rds: PerRegion<aws_sdk_rds::Client>,
    route53: PerRegion<aws_sdk_route53::Client>,
    sns: PerRegion<aws_sdk_sns::Client>,
    sts: PerRegion<aws_sdk_sts::Client>,
}

impl Cloud {
    /// Reaches the real AWS with the standard credential chain, loaded at the first call. Honours `AWS_ENDPOINT_URL` and
    /// `AWS_ENDPOINT_URL_<SERVICE>`. The region of a client is always the step's own; `AWS_REGION` or the profile's region only
    /// says where the credential chain itself calls STS, so set it to the standby region. Instance metadata is not asked for a
    /// region, which would cost seconds on a laptop.
    pub async fn live() -> Self {
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring))
            .build_https();
        let region =
            RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new()).or_else(ProfileFileRegionProvider::builder().build());
        let config =
            aws_config::defaults(BehaviorVersion::latest()).region(region).http_client(http).timeout_config(timeouts()).load().await;
        let sleep = SharedAsyncSleep::new(TokioSleep::new());
        Self::new(config, Arc::new(SystemClock), sleep.clone(), Web::live(sleep))
    }

    /// Reaches whatever answers behind `http`, the simulated AWS for instance, with static credentials. Time is the `clock`'s
    /// in the SDK too: its back-off and its time limits run as fast as the simulated world.
    pub fn with_http_client(http: SharedHttpClient, clock: Arc<dyn Clock>) -> Self {
        let sleep = SharedAsyncSleep::new(ClockSleep(Arc::clone(&clock)));
        let config = plain_config(http.clone(), no_credentials())
            .to_builder()
            .sleep_impl(sleep.clone())
            .time_source(ClockTime(Arc::clone(&clock)))
            .build();
        Self::new(config, clock, sleep.clone(), Web::given(http, sleep))
    }

    /// Reaches nothing: for commands that only look at workflow files and kinds. A call fails as if the network were down.
    pub fn offline() -> Self {
        let http = http_client_fn(|_, _| SharedHttpConnector::new(NotConnected));
        let sleep = SharedAsyncSleep::new(TokioSleep::new());
        let config = plain_config(http.clone(), no_credentials()).to_builder().sleep_impl(sleep.clone()).build();
        Self::new(config, Arc::new(SystemClock), sleep.clone(), Web::given(http, sleep))
    }

    fn new(config: SdkConfig, clock: Arc<dyn Clock>, sleep: SharedAsyncSleep, web: Web) -> Self {
        let patient = config.http_client().map(|inner| SharedHttpClient::new(Patient { inner, limit: ANSWER_WITHIN, sleep }));
        let config = config.into_builder();
        let config = match patient {
            Some(http) => config.http_client(http).build(),
            None => config.build(),
        };
        let credentials = config.identity_cache().unwrap_or_else(|| IdentityCache::lazy().build());
        let inner = Inner {
            config,
            gates: Gates::new(clock, credentials),
            zones: ZoneQueues::default(),
            changes: Shared::default(),
            web,
            autoscaling: PerRegion::default(),
            cloudwatch: PerRegion::default(),
            eks: PerRegion::default(),
            elb: PerRegion::default(),
            rds: PerRegion::default(),
            route53: PerRegion::default(),
            sns: PerRegion::default(),
            sts: PerRegion::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Returns what every client is built from.
    pub(super) fn config(&self) -> &SdkConfig {
        &self.inner.config
    }

    /// Returns the queue of the changes of a hosted zone.
    pub(crate) fn zone(&self, zone_id: &str) -> Arc<ZoneQueue> {
        self.inner.zones.of(zone_id)
    }

    /// Returns what became of the changes of Route 53, by their ids.
    pub(crate) fn changes(&self) -> &Shared<Result<(), StepFailure>> {
        &self.inner.changes
    }

    /// Returns the way to web pages that are no AWS API.
    pub(super) fn web(&self) -> &Web {
        &self.inner.web
    }
}

/// Makes the accessor of a service: builds the client from the shared config, which is where the SDK reads
/// `AWS_ENDPOINT_URL_<SERVICE>`, and then sets the region.
macro_rules! regional {
    ($($service:ident: $sdk:ident, $endpoint:literal, $name:literal;)+) => {
        impl Cloud {
            $(
                #[doc = concat!("Returns the client of ", $name, " in a region.")]
                pub fn $service(&self, region: &str) -> $sdk::Client {
                    self.inner.$service.get(region, |region| {
                        let gate = self.inner.gates.of($endpoint, region.as_ref());
                        let config = $sdk::config::Builder::from(&self.inner.config).region(region);
                        $sdk::Client::from_conf(config.identity_cache(gate.clone()).retry_classifier(gate).build())
                    })
                }
            )+
        }
    };
}

regional! {
    autoscaling: aws_sdk_autoscaling, "autoscaling", "EC2 Auto Scaling";
    cloudwatch: aws_sdk_cloudwatch, "monitoring", "CloudWatch";
    eks: aws_sdk_eks, "eks", "EKS";
    elb: aws_sdk_elasticloadbalancingv2, "elasticloadbalancing", "Elastic Load Balancing";
    rds: aws_sdk_rds, "rds", "RDS";
    sns: aws_sdk_sns, "sns", "SNS";
    sts: aws_sdk_sts, "sts", "STS";
}

impl Cloud {
    /// Returns the client of Route 53, which has one control plane for all regions.
    pub fn route53(&self) -> aws_sdk_route53::Client {
        self.inner.route53.get(ROUTE53_REGION, |region| {
            let gate = self.inner.gates.of("route53", region.as_ref());
            let config = aws_sdk_route53::config::Builder::from(&self.inner.config).region(region).interceptor(CountRecords);
            aws_sdk_route53::Client::from_conf(config.identity_cache(gate.clone()).retry_classifier(gate).build())
        })
    }
}

impl std::fmt::Debug for Cloud {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cloud").finish_non_exhaustive()
    }
}

/// A client per region, made when first asked for.
struct PerRegion<C>(Mutex<BTreeMap<String, C>>);

impl<C> Default for PerRegion<C> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<C: Clone> PerRegion<C> {
    fn get(&self, region: &str, make: impl FnOnce(Region) -> C) -> C {
        let mut clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(region) {
            return client.clone();
        }
        let client = make(Region::new(region.to_owned()));
        clients.insert(region.to_owned(), client.clone());
        client
    }
}

/// A connector that connects to nothing.
#[derive(Debug)]
struct NotConnected;

impl HttpConnector for NotConnected {
    fn call(&self, _request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::ready(Err(ConnectorError::io("this command works offline".into()).never_connected()))
    }
}

/// What a simulated world is content with: no secret, and no way into a real account.
fn no_credentials() -> Credentials {
    Credentials::from_keys("AKIASIMULATED", "simulated", None)
}

fn plain_config(http: SharedHttpClient, credentials: Credentials) -> SdkConfig {
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .retry_config(RetryConfig::standard())
        .timeout_config(timeouts())
        .http_client(http)
        .build()
}

/// A region that is down often accepts no connection at all, so the limit on connecting is short; an answer may take longer. The
/// SDK's limits on attempts and operations are not used: they would count the wait for the API budget.
fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder().connect_timeout(Duration::from_secs(3)).build()
}

/// How long AWS may take for a whole answer. The SDK makes three attempts, so a region that hangs holds a call for a minute.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
