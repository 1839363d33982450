//! [`Cloud`]: the clients. Made once by the command line, cloned into every kind.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_config::environment::EnvironmentVariableRegionProvider;
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
use wf_engine::clock::Clock;

use super::time::{ClockSleep, ClockTime};
use super::web::Web;

/// The region of the one control plane of Route 53, and the region that its requests are signed for.
const ROUTE53_REGION: &str = "us-east-1";

/// The way to AWS: a client per service and region, made when first asked for, all of them over one connection pool and one
/// cache of credentials. Cloning is cheap and shares everything. Every endpoint is a regional one, those of STS included, so
/// that a step in the standby region needs nothing of the failing one; Route 53 is global and has a single control plane.
#[derive(Clone)]
pub struct Cloud {
    inner: Arc<Inner>,
}

struct Inner {
    config: SdkConfig,
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
        Self::new(config, Web::live(SharedAsyncSleep::new(TokioSleep::new())))
    }

    /// Reaches whatever answers behind `http`, the simulated AWS for instance, with static credentials. Time is the `clock`'s
    /// in the SDK too: its back-off and its time limits run as fast as the simulated world.
    pub fn with_http_client(http: SharedHttpClient, clock: Arc<dyn Clock>) -> Self {
        let sleep = SharedAsyncSleep::new(ClockSleep(Arc::clone(&clock)));
        let config =
            plain_config(http.clone(), no_credentials()).to_builder().sleep_impl(sleep.clone()).time_source(ClockTime(clock)).build();
        Self::new(config, Web::given(http, sleep))
    }

    /// Reaches nothing: for commands that only look at workflow files and kinds. A call fails as if the network were down.
    pub fn offline() -> Self {
        let http = http_client_fn(|_, _| SharedHttpConnector::new(NotConnected));
        let sleep = SharedAsyncSleep::new(TokioSleep::new());
        let config = plain_config(http.clone(), no_credentials()).to_builder().sleep_impl(sleep.clone()).build();
        Self::new(config, Web::given(http, sleep))
    }

    fn new(config: SdkConfig, web: Web) -> Self {
        let inner = Inner {
            config,
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

    /// Returns the way to web pages that are no AWS API.
    pub(super) fn web(&self) -> &Web {
        &self.inner.web
    }
}

/// Makes the accessor of a service: builds the client from the shared config, which is where the SDK reads
/// `AWS_ENDPOINT_URL_<SERVICE>`, and then sets the region.
macro_rules! regional {
    ($($service:ident: $sdk:ident, $name:literal;)+) => {
        impl Cloud {
            $(
                #[doc = concat!("Returns the client of ", $name, " in a region.")]
                pub fn $service(&self, region: &str) -> $sdk::Client {
                    self.inner.$service.get(region, |region| {
                        $sdk::Client::from_conf($sdk::config::Builder::from(&self.inner.config).region(region).build())
                    })
                }
            )+
        }
    };
}

regional! {
    autoscaling: aws_sdk_autoscaling, "EC2 Auto Scaling";
    cloudwatch: aws_sdk_cloudwatch, "CloudWatch";
    eks: aws_sdk_eks, "EKS";
    elb: aws_sdk_elasticloadbalancingv2, "Elastic Load Balancing";
    rds: aws_sdk_rds, "RDS";
    sns: aws_sdk_sns, "SNS";
    sts: aws_sdk_sts, "STS";
}

impl Cloud {
    /// Returns the client of Route 53, which has one control plane for all regions.
    pub fn route53(&self) -> aws_sdk_route53::Client {
        self.inner.route53.get(ROUTE53_REGION, |region| {
            aws_sdk_route53::Client::from_conf(aws_sdk_route53::config::Builder::from(&self.inner.config).region(region).build())
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

/// A region that is down often accepts no connection at all, so the limit on connecting is short; an answer may take longer.
fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(3))
        .operation_attempt_timeout(Duration::from_secs(20))
        .operation_timeout(Duration::from_secs(60))
        .build()
}
