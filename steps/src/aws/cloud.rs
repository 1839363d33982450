//! [`Cloud`]: the clients. Made once by the command line, cloned into every kind.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
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
use aws_smithy_runtime_api::client::identity::SharedIdentityCache;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_types::service_config::ServiceConfigKey;
use wf_engine::clock::{Clock, SystemClock};
use wf_engine::model::account::Account;
use wf_engine::step::Env;

use super::account::{self, Role, RoleCredentials};
use super::gate::{CREDENTIALS_WITHIN, CountRecords, Gate, Gates};
use super::patience::{NotAgain, Patient};
use super::reads::Reads;
use super::time::{ClockSleep, ClockTime};
use super::web::Web;
use crate::k8s::Connections;
use crate::zone_queue::{ZoneQueue, ZoneQueues};

/// The region of the one control plane that Route 53 and IAM each have for all regions, and the region that their requests are signed for.
const GLOBAL_REGION: &str = "us-east-1";

/// The most credentials that are kept at once: a role has one for each region that it is used in.
const SIGNERS_MAX: usize = 4096;

/// The way to AWS: a client per service and region, made when first asked for, all of them over one connection pool and one
/// cache of credentials, and within one set of API budgets ([`super::budget`]). Cloning is cheap and shares everything. Every endpoint
/// is a regional one, those of STS included, so that a step in the standby region needs nothing of the failing one; Route 53 is global and has a single control plane.
///
/// A cloud acts as the operator, or as the role of another account ([`Env::in_account`]). All of them share the connections and the queues of
/// the hosted zones; budgets are per account, as AWS counts, and answers are shared by those who act as the same.
#[derive(Clone)]
pub struct Cloud {
    inner: Arc<Inner>,
    /// Names the sessions of roles when the workflow does not.
    session: Arc<str>,
}

struct Inner {
    config: SdkConfig,
    shared: Arc<Common>,
    gates: Arc<Gates>,
    reads: Reads,
    /// Whom it acts as, when that is not the operator.
    role: Option<Role>,
    /// Who signs as that role, by the region whose STS gives out the credentials.
    signers: PerRegion<SharedCredentialsProvider>,
    clusters: Connections,
    clients: Clients,
}

/// What the clouds of all accounts share.
struct Common {
    clock: Arc<dyn Clock>,
    credentials: SharedIdentityCache,
    zones: ZoneQueues,
    web: Web,
    /// By the account's number.
    gates: Mutex<BTreeMap<String, Arc<Gates>>>,
    clouds: Mutex<BTreeMap<Account, Weak<Inner>>>,
}

#[derive(Default)]
struct Clients {
    acm: PerRegion<aws_sdk_acm::Client>,
    autoscaling: PerRegion<aws_sdk_autoscaling::Client>,
    cloudwatch: PerRegion<aws_sdk_cloudwatch::Client>,
    ec2: PerRegion<aws_sdk_ec2::Client>,
    ecr: PerRegion<aws_sdk_ecr::Client>,
    eks: PerRegion<aws_sdk_eks::Client>,
    elb: PerRegion<aws_sdk_elasticloadbalancingv2::Client>,
    iam: PerRegion<aws_sdk_iam::Client>,
    kms: PerRegion<aws_sdk_kms::Client>,
    rds: PerRegion<aws_sdk_rds::Client>,
    /// By region and address.
    recovery_clusters: PerRegion<aws_sdk_route53recoverycluster::Client>,
    route53: PerRegion<aws_sdk_route53::Client>,
    servicequotas: PerRegion<aws_sdk_servicequotas::Client>,
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
        let credentials = IdentityCache::lazy().max_partitions(SIGNERS_MAX).load_timeout(2 * CREDENTIALS_WITHIN).build();
        let gates = Arc::new(Gates::new(Arc::clone(&clock), credentials.clone()));
        let shared = Common { clock, credentials, zones: ZoneQueues::default(), web, gates: Mutex::default(), clouds: Mutex::default() };
        Self { inner: Arc::new(Inner::new(config, Arc::new(shared), gates, None)), session: "wf".into() }
    }

    /// Names the sessions of the roles that are taken on without a name of their own, so that who looks at another account's trail finds
    /// the run.
    #[must_use]
    pub fn with_session_name(self, name: &str) -> Self {
        Self { session: name.into(), ..self }
    }

    /// Returns the region that the operator's environment or profile names.
    pub fn region(&self) -> Option<&str> {
        self.inner.config.region().map(AsRef::as_ref)
    }

    /// Returns the role that it acts as, if it does not act as the operator.
    pub(crate) fn role(&self) -> &str {
        self.inner.role.as_ref().map_or("", |role| &role.account.role)
    }

    /// Learns which account is the operator's own: its roles share its budgets.
    pub(super) fn is_account(&self, number: &str) {
        if self.inner.role.is_none() {
            lock(&self.inner.shared.gates).entry(number.to_owned()).or_insert_with(|| Arc::clone(&self.inner.gates));
        }
    }

    /// Returns who signs the requests to a region. A role is taken on by the STS of that region, unless the workflow names another one.
    pub(super) fn credentials(&self, region: &str) -> Option<SharedCredentialsProvider> {
        let Some(Role { account, base }) = &self.inner.role else { return self.inner.config.credentials_provider() };
        let region = account.region.as_deref().unwrap_or(region);
        Some(self.inner.signers.get(region, |_| {
            let (sts, region, account) = (base.sts(region), region.to_owned(), account.clone());
            let clock = Arc::clone(&self.inner.shared.clock);
            SharedCredentialsProvider::new(RoleCredentials { sts, region, account, clock })
        }))
    }

    /// Returns what every client is built from.
    pub(super) fn config(&self) -> &SdkConfig {
        &self.inner.config
    }

    /// Returns the endpoint that the environment or the profile gives for a service, by the service's id.
    pub(super) fn given_endpoint(&self, service_id: &str) -> Option<String> {
        let config = self.config();
        let of_service = config.service_config().and_then(|config| {
            let key = ServiceConfigKey::builder().service_id(service_id).env("AWS_ENDPOINT_URL").profile("endpoint_url").build().ok()?;
            config.load_config(key)
        });
        of_service.or_else(|| config.endpoint_url().map(str::to_owned))
    }

    /// Returns the clients of the endpoints of ARC clusters.
    pub(super) fn recovery_clients(&self) -> &PerRegion<aws_sdk_route53recoverycluster::Client> {
        &self.inner.clients.recovery_clusters
    }

    /// Returns where the requests of a client wait for their budget.
    pub(super) fn gate(&self, service: &'static str, region: &str) -> Gate {
        self.inner.gates.of(service, region)
    }

    /// Waits until the budget of a service has room for a request that no client of the SDK makes.
    pub(super) async fn pass_gate(&self, service: &'static str, region: &str, operation: &str) {
        self.inner.gates.of(service, region).pass(operation, 1.0).await;
    }

    /// Returns the queue of the changes of a hosted zone.
    pub(crate) fn zone(&self, zone_id: &str) -> Arc<ZoneQueue> {
        self.inner.shared.zones.of(zone_id)
    }

    /// Returns what the steps look at together.
    pub(super) fn reads(&self) -> &Reads {
        &self.inner.reads
    }

    /// Returns the connections to Kubernetes clusters.
    pub(crate) fn clusters(&self) -> &Connections {
        &self.inner.clusters
    }

    /// Returns the HTTP client that stands for the world, and how it sleeps; `None` in the live world.
    pub(crate) fn given(&self) -> Option<(SharedHttpClient, SharedAsyncSleep)> {
        self.inner.shared.web.given_client()
    }

    /// Returns the way to web pages that are no AWS API.
    pub(super) fn web(&self) -> &Web {
        &self.inner.shared.web
    }
}

impl Env for Cloud {
    /// Returns the cloud of a role. Those who act as the same role get the same one, for as long as one of them has it.
    fn in_account(&self, account: &Account) -> Self {
        let base = self.inner.role.as_ref().map_or(self, |role| &role.base);
        let session_name = account.session_name.clone().unwrap_or_else(|| self.session.to_string());
        let account = Account { session_name: Some(session_name), ..account.clone() };
        let shared = &base.inner.shared;
        let mut clouds = lock(&shared.clouds);
        let inner = clouds.get(&account).and_then(Weak::upgrade).unwrap_or_else(|| {
            clouds.retain(|_, cloud| cloud.strong_count() > 0);
            let gates = Arc::clone(
                lock(&shared.gates)
                    .entry(account::number(&account.role).to_owned())
                    .or_insert_with(|| Arc::new(Gates::new(Arc::clone(&shared.clock), shared.credentials.clone()))),
            );
            let role = Role { account: account.clone(), base: base.clone() };
            let inner = Arc::new(Inner::new(base.inner.config.clone(), Arc::clone(shared), gates, Some(role)));
            clouds.insert(account, Arc::downgrade(&inner));
            inner
        });
        Self { inner, session: Arc::clone(&self.session) }
    }
}

impl Inner {
    fn new(config: SdkConfig, shared: Arc<Common>, gates: Arc<Gates>, role: Option<Role>) -> Self {
        let (reads, signers) = (Reads::new(Arc::clone(&shared.clock)), PerRegion::default());
        Self { config, shared, gates, reads, role, signers, clusters: Connections::default(), clients: Clients::default() }
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
                    self.inner.clients.$service.get(region, |region| {
                        let gate = self.inner.gates.of($endpoint, region.as_ref());
                        let mut config = $sdk::config::Builder::from(&self.inner.config);
                        config.set_credentials_provider(self.credentials(region.as_ref()));
                        let config = config.region(region);
                        $sdk::Client::from_conf(config.identity_cache(gate.clone()).retry_classifier(gate).retry_classifier(NotAgain).build())
                    })
                }
            )+
        }
    };
}

regional! {
    acm: aws_sdk_acm, "acm", "Certificate Manager";
    autoscaling: aws_sdk_autoscaling, "autoscaling", "EC2 Auto Scaling";
    cloudwatch: aws_sdk_cloudwatch, "monitoring", "CloudWatch";
    ec2: aws_sdk_ec2, "ec2", "EC2";
    ecr: aws_sdk_ecr, "ecr", "ECR";
    eks: aws_sdk_eks, "eks", "EKS";
    elb: aws_sdk_elasticloadbalancingv2, "elasticloadbalancing", "Elastic Load Balancing";
    kms: aws_sdk_kms, "kms", "KMS";
    rds: aws_sdk_rds, "rds", "RDS";
    servicequotas: aws_sdk_servicequotas, "servicequotas", "Service Quotas";
    sns: aws_sdk_sns, "sns", "SNS";
    sts: aws_sdk_sts, "sts", "STS";
}

impl Cloud {
    /// Returns the client of Route 53, which has one control plane for all regions.
    pub fn route53(&self) -> aws_sdk_route53::Client {
        self.inner.clients.route53.get(GLOBAL_REGION, |region| {
            let gate = self.inner.gates.of("route53", region.as_ref());
            let mut config = aws_sdk_route53::config::Builder::from(&self.inner.config);
            // The names are changed while us-east-1 is down, so the role is not to be asked for there.
            config.set_credentials_provider(self.credentials(self.region().unwrap_or(GLOBAL_REGION)));
            let config = config.region(region).interceptor(CountRecords);
            aws_sdk_route53::Client::from_conf(
                config.identity_cache(gate.clone()).retry_classifier(gate).retry_classifier(NotAgain).build(),
            )
        })
    }

    /// Returns the client of IAM, which has one control plane for all regions.
    pub fn iam(&self) -> aws_sdk_iam::Client {
        self.inner.clients.iam.get(GLOBAL_REGION, |region| {
            let gate = self.inner.gates.of("iam", region.as_ref());
            let mut config = aws_sdk_iam::config::Builder::from(&self.inner.config);
            config.set_credentials_provider(self.credentials(self.region().unwrap_or(GLOBAL_REGION)));
            let config = config.region(region);
            aws_sdk_iam::Client::from_conf(config.identity_cache(gate.clone()).retry_classifier(gate).retry_classifier(NotAgain).build())
        })
    }
}

impl std::fmt::Debug for Cloud {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cloud").finish_non_exhaustive()
    }
}

/// Something for each region, a client for instance, made when first asked for.
pub(super) struct PerRegion<C>(Mutex<BTreeMap<String, C>>);

impl<C> Default for PerRegion<C> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<C: Clone> PerRegion<C> {
    pub(super) fn get(&self, region: &str, make: impl FnOnce(Region) -> C) -> C {
        let mut clients = lock(&self.0);
        if let Some(client) = clients.get(region) {
            return client.clone();
        }
        let client = make(Region::new(region.to_owned()));
        clients.insert(region.to_owned(), client.clone());
        client
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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

/// How long AWS may take for a whole answer. A region that hangs holds a call for as long: [`NotAgain`].
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests;
