//! What the tests share: worlds, clients, waiting in virtual time.

use std::path::Path;
use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_smithy_async::rt::sleep::TokioSleep;
use wf_sim::{CallRecord, DEFAULT_WORLD, Fault, Sim, SimOptions};

pub(crate) const EAST: &str = "us-east-1";
pub(crate) const WEST: &str = "us-west-2";
pub(crate) const ZONE: &str = "Z0COMPANYPUBLIC00";
pub(crate) const CHECK: &str = "5f4c7a1e-2b0d-4c53-9d0e-7a6f1c2b3d4e";
pub(crate) const WEST_ALB: &str = "prod-app-dr-alb-2071366924.us-west-2.elb.amazonaws.com";
pub(crate) const EAST_ALB: &str = "prod-app-alb-1190425811.us-east-1.elb.amazonaws.com";

pub(crate) fn faults(texts: &[&str]) -> Vec<Fault> {
    texts.iter().map(|t| t.parse().unwrap()).collect()
}

pub(crate) fn options(texts: &[&str]) -> SimOptions {
    SimOptions { world: DEFAULT_WORLD.parse().unwrap(), state_dir: None, speed: 1.0, seed: None, faults: faults(texts) }
}

/// Opens a new world in memory.
pub(crate) fn open(texts: &[&str]) -> Sim {
    Sim::open(options(texts)).unwrap()
}

/// Opens the world that is kept in a directory.
pub(crate) fn open_at(dir: &Path, texts: &[&str]) -> Sim {
    Sim::open(SimOptions { state_dir: Some(dir.to_owned()), ..options(texts) }).unwrap()
}

pub(crate) async fn config(sim: &Sim, region: &'static str) -> SdkConfig {
    aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new(region))
        .credentials_provider(Credentials::new("AKIDEXAMPLE", "secret", None, None, "test"))
        .http_client(sim.http_client())
        .sleep_impl(TokioSleep::new())
        .load()
        .await
}

pub(crate) async fn rds(sim: &Sim, region: &'static str) -> aws_sdk_rds::Client {
    aws_sdk_rds::Client::new(&config(sim, region).await)
}

pub(crate) async fn autoscaling(sim: &Sim, region: &'static str) -> aws_sdk_autoscaling::Client {
    aws_sdk_autoscaling::Client::new(&config(sim, region).await)
}

pub(crate) async fn eks(sim: &Sim, region: &'static str) -> aws_sdk_eks::Client {
    aws_sdk_eks::Client::new(&config(sim, region).await)
}

pub(crate) async fn route53(sim: &Sim) -> aws_sdk_route53::Client {
    aws_sdk_route53::Client::new(&config(sim, EAST).await)
}

/// Lets virtual time pass.
pub(crate) async fn pass(sim: &Sim, seconds: u64) {
    sim.clock().sleep(Duration::from_secs(seconds)).await;
}

/// The calls that changed the world, by action.
pub(crate) fn effective(sim: &Sim, action: &str) -> Vec<CallRecord> {
    sim.calls().into_iter().filter(|c| c.action == action && c.effective).collect()
}

/// The value at a path of the status.
pub(crate) fn status(sim: &Sim, pointer: &str) -> serde_json::Value {
    let status = sim.status();
    status.pointer(pointer).unwrap_or_else(|| panic!("{pointer} is not in {status:#}")).clone()
}

/// Sends a request that the SDK would not send.
pub(crate) async fn raw(sim: &Sim, method: &str, uri: &str, body: &[u8]) -> (u16, String) {
    let request = http::Request::builder().method(method).uri(uri).body(body.to_vec()).unwrap();
    let response = sim.handle(request).await.unwrap();
    (response.status().as_u16(), String::from_utf8_lossy(response.body()).into_owned())
}
