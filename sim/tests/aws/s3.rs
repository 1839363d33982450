//! Objects of S3, and the health check that watches one.

use crate::support::*;

const OBJECT: &str = "https://production-dr-switch.s3.us-west-2.amazonaws.com/failover/app.company.com";
const STOP: &str = "a3b1f0d2-6c7e-4f19-8b25-0d9c4e7f5a61";
const PRIMARY: &str = "c8d5e2b7-1f40-4a6d-9e83-72b6a0c94d15";

/// Asks as somebody whose request is signed for S3 in a region.
async fn signed(sim: &wf_sim::Sim, region: &str, method: &str, uri: &str, body: &[u8]) -> (u16, String) {
    let scope = format!("AWS4-HMAC-SHA256 Credential=AKIA/20260314/{region}/s3/aws4_request, SignedHeaders=host, Signature=0");
    let request = http::Request::builder().method(method).uri(uri).header("authorization", scope).body(body.to_vec()).unwrap();
    let response = sim.handle(request).await.unwrap();
    (response.status().as_u16(), String::from_utf8_lossy(response.body()).into_owned())
}

#[tokio::test(start_paused = true)]
async fn an_object_is_put_read_by_anybody_and_deleted() {
    let sim = open(&[]);
    assert_eq!(raw(&sim, "GET", OBJECT, b"").await.0, 403, "who may not list a bucket is not told that an object is not there");
    let (status, body) = signed(&sim, WEST, "GET", OBJECT, b"").await;
    assert!(status == 404 && body.contains("<Code>NoSuchKey</Code>"), "{body}");
    assert_eq!(signed(&sim, WEST, "PUT", OBJECT, b"here").await.0, 200);
    assert_eq!(raw(&sim, "GET", OBJECT, b"").await, (200, "here".to_owned()));
    let by_path = "https://s3.us-west-2.amazonaws.com/production-dr-switch/failover/app.company.com";
    assert_eq!(signed(&sim, WEST, "GET", by_path, b"").await, (200, "here".to_owned()));
    for (region, uri, code) in [(EAST, by_path, "PermanentRedirect"), (WEST, "https://s3.us-west-2.amazonaws.com/none/key", "NoSuchBucket")]
    {
        let (_, body) = signed(&sim, region, "GET", uri, b"").await;
        assert!(body.contains(code), "{body}");
    }
    for (status, effective) in [(204, true), (204, false)] {
        assert_eq!(signed(&sim, WEST, "DELETE", OBJECT, b"").await.0, status);
        assert_eq!(sim.calls().last().unwrap().effective, effective);
    }
}

#[tokio::test(start_paused = true)]
async fn an_inverted_check_is_unhealthy_while_its_object_is_there_and_so_is_what_is_calculated_from_it() {
    let sim = open(&["primary-alive"]);
    let healthy = |id: &str| status(&sim, &format!("/dns/health_checks/{id}/healthy"));
    assert_eq!((healthy(STOP), healthy(PRIMARY)), (true.into(), true.into()));
    signed(&sim, WEST, "PUT", OBJECT, b"here").await;
    sim.clock().sleep(std::time::Duration::from_secs(15)).await;
    assert_eq!(healthy(STOP), true, "three checks of ten seconds have to agree");
    sim.clock().sleep(std::time::Duration::from_secs(20)).await;
    assert_eq!((healthy(STOP), healthy(PRIMARY), healthy(CHECK)), (false.into(), false.into(), true.into()));
    // A standby region out of sight is no reason to go there.
    sim.set_faults(faults(&["primary-alive", "region-outage us-west-2"]));
    sim.clock().sleep(std::time::Duration::from_secs(40)).await;
    assert_eq!((healthy(STOP), healthy(PRIMARY)), (true.into(), true.into()));
}

#[tokio::test(start_paused = true)]
async fn a_disabled_check_counts_as_healthy_and_may_be_inverted() {
    let sim = open(&["primary-alive"]);
    let client = route53(&sim).await;
    let healthy = |id: &str| status(&sim, &format!("/dns/health_checks/{id}/healthy"));
    let shown = client.get_health_check().health_check_id(PRIMARY).send().await.unwrap().health_check.unwrap();
    let config = shown.health_check_config.unwrap();
    assert_eq!((config.child_health_checks(), config.health_threshold()), (&[CHECK.to_owned(), STOP.to_owned()][..], Some(2)));
    client.update_health_check().health_check_id(CHECK).disabled(true).inverted(true).health_check_version(1).send().await.unwrap();
    assert_eq!((healthy(CHECK), healthy(PRIMARY)), (false.into(), false.into()));
    let old = client.update_health_check().health_check_id(CHECK).disabled(false).health_check_version(1).send().await.unwrap_err();
    assert!(old.as_service_error().unwrap().is_health_check_version_mismatch());
    client.update_health_check().health_check_id(CHECK).disabled(false).inverted(false).send().await.unwrap();
    assert_eq!((healthy(CHECK), healthy(PRIMARY)), (true.into(), true.into()));
    assert!(client.get_health_check_status().health_check_id(PRIMARY).send().await.is_err(), "a calculated one has no status of its own");
}
