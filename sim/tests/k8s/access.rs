//! Who is let in: tokens as EKS takes them, at the endpoint that `DescribeCluster` tells.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign};
use aws_sigv4::sign::v4;
use base64::Engine as _;
use serde_json::Value;
use wf_sim::Sim;

use crate::support::*;

/// A token for a cluster, signed at a virtual instant as `aws eks get-token` signs.
fn token(cluster: &str, region: &str, at: jiff::Timestamp, secret: &str) -> String {
    let mut settings = SigningSettings::default();
    settings.signature_location = SignatureLocation::QueryParams;
    settings.expires_in = Some(Duration::from_secs(60));
    let identity = Credentials::new("AKIDEXAMPLE", secret, None, None, "test").into();
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(at.as_second().unsigned_abs());
    let params = v4::SigningParams::builder().identity(&identity).region(region).name("sts").time(time).settings(settings).build().unwrap();
    let url = format!("https://sts.{region}.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15");
    let headers = [("x-k8s-aws-id", cluster)];
    let request = SignableRequest::new("GET", &url, headers.into_iter(), SignableBody::Bytes(&[])).unwrap();
    let (signature, _) = sign(request, &params.into()).unwrap().into_parts();
    let escape = |value: &str| value.replace('/', "%2F").replace(';', "%3B");
    let query: Vec<String> = signature.params().iter().map(|(name, value)| format!("{name}={}", escape(value))).collect();
    let url = format!("{url}&{}", query.join("&"));
    format!("k8s-aws-v1.{}", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(url))
}

/// The endpoint that `DescribeCluster` tells.
async fn endpoint(sim: &Sim, region: &str, cluster: &str) -> String {
    let request = http::Request::get(format!("https://eks.{region}.amazonaws.com/clusters/{cluster}")).body(Vec::new()).unwrap();
    let answer: Value = serde_json::from_slice(sim.handle(request).await.unwrap().body()).unwrap();
    let authority = answer["cluster"]["certificateAuthority"]["data"].as_str().unwrap();
    let authority = base64::engine::general_purpose::STANDARD.decode(authority).unwrap();
    assert!(String::from_utf8(authority).unwrap().starts_with("-----BEGIN CERTIFICATE-----"));
    answer["cluster"]["endpoint"].as_str().unwrap().to_owned()
}

async fn nodes(sim: &Sim, endpoint: &str, token: Option<&str>) -> (u16, Value) {
    let mut request = http::Request::get(format!("{endpoint}/api/v1/nodes"));
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let response = sim.handle(request.body(Vec::new()).unwrap()).await.unwrap();
    (response.status().as_u16(), serde_json::from_slice(response.body()).unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_token_is_for_one_cluster_and_for_a_quarter_of_an_hour() {
    let sim = open(&[]);
    let east = endpoint(&sim, EAST, PRIMARY.1).await;
    assert!(east.starts_with("https://") && east.ends_with(".gr7.us-east-1.eks.amazonaws.com"), "{east}");
    let signed = sim.clock().now();
    let valid = token(PRIMARY.1, EAST, signed, "secret");
    assert_eq!(nodes(&sim, &east, Some(&valid)).await.1["items"].as_array().unwrap().len(), 6);
    let west = endpoint(&sim, WEST, STANDBY.1).await;
    for (what, endpoint, token) in [
        ("no token", &east, None),
        ("another's token", &east, Some("something".to_owned())),
        ("a token for the other cluster", &west, Some(valid.clone())),
        ("another secret", &east, Some(token(PRIMARY.1, EAST, signed, "guess"))),
        ("no base64", &east, Some("k8s-aws-v1.%%%".to_owned())),
    ] {
        let (status, answer) = nodes(&sim, endpoint, token.as_deref()).await;
        assert_eq!((status, answer["message"].as_str()), (401, Some("Unauthorized")), "{what}: {answer}");
    }
    pass(&sim, 14 * 60).await;
    assert_eq!(nodes(&sim, &east, Some(&valid)).await.0, 200);
    pass(&sim, 2 * 60).await;
    assert_eq!(nodes(&sim, &east, Some(&valid)).await.0, 401, "it has expired");
}

#[tokio::test(start_paused = true)]
async fn without_an_access_entry_nobody_is_known() {
    let sim = open(&["k8s-no-access production-primary"]);
    let endpoint = endpoint(&sim, EAST, PRIMARY.1).await;
    let valid = token(PRIMARY.1, EAST, sim.clock().now(), "secret");
    assert_eq!(nodes(&sim, &endpoint, Some(&valid)).await.0, 401);
    sim.set_faults(Vec::new());
    assert_eq!(nodes(&sim, &endpoint, Some(&valid)).await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn who_is_served_over_loopback_is_told_an_address_there() {
    let sim = open(&[]);
    let request = http::Request::get("http://127.0.0.1:4566/clusters/production-dr")
        .header("host", "127.0.0.1:4566")
        .header("authorization", "AWS4-HMAC-SHA256 Credential=AKID/20260314/us-west-2/eks/aws4_request")
        .body(Vec::new())
        .unwrap();
    let answer: Value = serde_json::from_slice(sim.handle(request).await.unwrap().body()).unwrap();
    assert_eq!(answer["cluster"]["endpoint"], "http://127.0.0.1:4566/k8s/us-west-2/production-dr");
    let config: Value = serde_json::from_str(&sim.kubeconfig("http://127.0.0.1:4566")).unwrap();
    assert_eq!(config["clusters"][1]["cluster"]["server"], "http://127.0.0.1:4566/k8s/us-west-2/production-dr");
    assert_eq!(config["contexts"][1]["name"], "arn:aws:eks:us-west-2:123456789012:cluster/production-dr");
}
