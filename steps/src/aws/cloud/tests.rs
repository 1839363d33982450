//! Which hosts the clients ask, and what the clouds of several accounts share.

use aws_credential_types::provider::ProvideCredentials;
use aws_credential_types::provider::future::ProvideCredentials as Provided;
use aws_smithy_types::body::SdkBody;
use wf_engine::clock::{Sleep, SystemClock};
use wf_engine::model::event::FailureKind;

use super::*;
use crate::aws::errors::reading;
use crate::aws::recovery_cluster::Endpoint;

type Asked = Arc<Mutex<Vec<String>>>;

/// Writes down which hosts are asked, and answers nobody.
#[derive(Debug, Clone)]
struct Recorder(Asked);

impl HttpConnector for Recorder {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let host = request.uri().trim_start_matches("https://").split(['/', '?']).next().unwrap_or_default();
        lock(&self.0).push(host.to_owned());
        let refusal = "<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>";
        let status = 403.try_into().expect("a status");
        HttpConnectorFuture::ready(Ok(aws_smithy_runtime_api::client::orchestrator::HttpResponse::new(status, SdkBody::from(refusal))))
    }
}

fn cloud(fips: bool, dual_stack: bool) -> (Cloud, Asked) {
    cloud_of(|config| config.use_fips(fips).use_dual_stack(dual_stack))
}

fn cloud_of(adjust: impl FnOnce(aws_types::sdk_config::Builder) -> aws_types::sdk_config::Builder) -> (Cloud, Asked) {
    let asked = Asked::default();
    let recorder = Recorder(Arc::clone(&asked));
    let http = http_client_fn(move |_, _| SharedHttpConnector::new(recorder.clone()));
    let sleep = SharedAsyncSleep::new(TokioSleep::new());
    let config = plain_config(http.clone(), no_credentials()).into_builder().sleep_impl(sleep.clone());
    let config = adjust(config).build();
    (Cloud::new(config, Arc::new(SystemClock), sleep.clone(), Web::given(http, sleep)), asked)
}

/// The hosts of one call to each service in us-west-2.
async fn hosts(fips: bool, dual_stack: bool) -> Vec<String> {
    let (cloud, asked) = cloud(fips, dual_stack);
    let region = "us-west-2";
    let _ = cloud.autoscaling(region).describe_auto_scaling_groups().send().await;
    let _ = cloud.cloudwatch(region).list_metrics().send().await;
    let _ = cloud.eks(region).list_clusters().send().await;
    let _ = cloud.elb(region).describe_target_groups().send().await;
    let _ = cloud.rds(region).describe_db_instances().send().await;
    let _ = cloud.route53().list_hosted_zones().send().await;
    let _ = cloud.sns(region).list_topics().send().await;
    let _ = cloud.sts(region).get_caller_identity().send().await;
    std::mem::take(&mut *lock(&asked))
}

const SERVICES: [&str; 8] = ["autoscaling", "monitoring", "eks", "elasticloadbalancing", "rds", "route53", "sns", "sts"];

#[tokio::test(start_paused = true)]
async fn endpoints_are_regional_and_follow_fips_and_dual_stack() {
    let plain = SERVICES.map(|service| match service {
        "route53" => "route53.amazonaws.com".to_owned(),
        _ => format!("{service}.us-west-2.amazonaws.com"),
    });
    assert_eq!(hosts(false, false).await, plain);
    for (host, service) in hosts(true, false).await.iter().zip(SERVICES) {
        assert!(host.contains(service) && host.contains("fips") && host.ends_with("amazonaws.com"), "{service}: {host}");
    }
    for (host, service) in hosts(false, true).await.iter().zip(SERVICES) {
        assert!(host.contains(service) && host.ends_with("api.aws"), "{service}: {host}");
    }
    for (host, service) in hosts(true, true).await.iter().zip(SERVICES) {
        assert!(host.contains(service) && host.contains("fips") && host.ends_with("api.aws"), "{service}: {host}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_of_arc_is_asked_where_the_plan_says_unless_the_environment_names_another_place() {
    let url = "https://0c1d2e3f.route53-recovery-cluster.eu-west-1.amazonaws.com/v1".to_owned();
    let endpoint = Endpoint { url, region: "eu-west-1".to_owned() };
    let control = "arn:aws:route53-recovery-control::123456789012:controlpanel/p/routingcontrol/r";
    let host = async |(cloud, asked): (Cloud, Asked)| {
        let _ = cloud.recovery_cluster(&endpoint).get_routing_control_state().routing_control_arn(control).send().await;
        std::mem::take(&mut *lock(&asked))
    };
    for (fips, dual_stack) in [(false, false), (true, true)] {
        assert_eq!(host(cloud(fips, dual_stack)).await, ["0c1d2e3f.route53-recovery-cluster.eu-west-1.amazonaws.com"]);
    }
    assert_eq!(host(cloud_of(|config| config.endpoint_url("https://localhost:4566"))).await, ["localhost:4566"]);
    // Whose account another one's role is taken on in: by one STS, that of the operator's region, as others may be gone.
    let (cloud, asked) = cloud_of(|config| config.region(Region::new("us-west-2")));
    assert_eq!(host((cloud.in_account(&account("210987654321:role/dr")), asked)).await, ["sts.us-west-2.amazonaws.com"]);
}

fn account(role: &str) -> Account {
    Account { role: format!("arn:aws:iam::{role}"), ..Account::default() }
}

#[tokio::test(start_paused = true)]
async fn a_role_is_asked_for_where_the_call_goes_and_names_never_in_the_failing_region() {
    let (cloud, asked) = cloud(false, false);
    let other = cloud.in_account(&account("210987654321:role/dr"));
    let _ = other.rds("us-west-2").describe_db_instances().send().await;
    let _ = other.rds("eu-west-1").describe_db_instances().send().await;
    assert_eq!(*lock(&asked), ["sts.us-west-2.amazonaws.com", "sts.eu-west-1.amazonaws.com"]);
    lock(&asked).clear();
    let named = cloud.in_account(&Account { region: Some("eu-west-1".to_owned()), ..account("210987654321:role/dr") });
    let _ = named.rds("us-west-2").describe_db_instances().send().await;
    let _ = named.route53().list_hosted_zones().send().await;
    assert_eq!(*lock(&asked), ["sts.eu-west-1.amazonaws.com", "sts.eu-west-1.amazonaws.com"]);
}

#[tokio::test(start_paused = true)]
async fn roles_of_one_account_share_its_budgets_and_all_share_the_zones() {
    let (cloud, _) = cloud(false, false);
    let [a, b, same, elsewhere] = ["210987654321:role/a", "210987654321:role/b", "210987654321:role/a", "310987654321:role/a"]
        .map(|role| cloud.in_account(&account(role)));
    assert!(Arc::ptr_eq(&a.inner, &same.inner) && !Arc::ptr_eq(&a.inner, &b.inner));
    assert!(Arc::ptr_eq(&a.inner.gates, &b.inner.gates) && !Arc::ptr_eq(&a.inner.gates, &elsewhere.inner.gates));
    assert!(Arc::ptr_eq(&a.zone("Z1"), &elsewhere.zone("Z1")) && Arc::ptr_eq(&a.zone("Z1"), &cloud.zone("Z1")));
    let chained = a.in_account(&account("210987654321:role/b"));
    assert!(Arc::ptr_eq(&chained.inner, &b.inner), "the operator takes on each role, not another role");

    cloud.is_account("410987654321");
    let own = cloud.in_account(&account("410987654321:role/a"));
    assert!(Arc::ptr_eq(&own.inner.gates, &cloud.inner.gates));
    drop([a, b, same, elsewhere, chained, own]);
    let _last = cloud.in_account(&account("510987654321:role/a"));
    assert_eq!(lock(&cloud.inner.shared.clouds).len(), 1, "who is used no more is forgotten");
}

/// Who never gives out credentials, such as an STS that hangs.
#[derive(Debug)]
struct Never;

impl ProvideCredentials for Never {
    fn provide_credentials<'a>(&'a self) -> Provided<'a>
    where
        Self: 'a,
    {
        Provided::new(std::future::pending())
    }
}

/// Tokio's time, which the test pauses.
struct Paused;

impl Clock for Paused {
    fn now(&self) -> jiff::Timestamp {
        SystemClock.now()
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        Box::pin(tokio::time::sleep(duration))
    }
}

#[tokio::test(start_paused = true)]
async fn credentials_that_nobody_gives_out_in_time_may_come_later() {
    let http = http_client_fn(|_, _| SharedHttpConnector::new(NotConnected));
    let sleep = SharedAsyncSleep::new(TokioSleep::new());
    let config = plain_config(http.clone(), no_credentials()).into_builder().sleep_impl(sleep.clone());
    let config = config.credentials_provider(SharedCredentialsProvider::new(Never)).build();
    let cloud = Cloud::new(config, Arc::new(Paused), sleep.clone(), Web::given(http, sleep));
    let began = tokio::time::Instant::now();
    let asked = cloud.rds("us-west-2").describe_db_instances().send().await;
    let failure = asked.map_err(reading("rds:DescribeDBInstances", "look")).expect_err("no credentials");
    assert_eq!(failure.kind, FailureKind::Transient, "{failure:?}");
    assert!(began.elapsed() < 2 * CREDENTIALS_WITHIN, "{:?}", began.elapsed());
}
