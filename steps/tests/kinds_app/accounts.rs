//! Steps in other accounts: whose credentials they use, where those come from, how they are renewed, and what is said when they cannot be had.

use std::sync::Arc;
use std::time::Duration;

use wf_engine::model::account::Account;
use wf_engine::model::event::{FailureKind, StepFailure};
use wf_engine::step::Env as _;
use wf_sim::{DEFAULT_WORLD, Sim, SimOptions};
use wf_steps::aws::Cloud;
use wf_steps::aws::errors::reading;

use crate::virtual_clock::Virtual;

const ROLE: &str = "arn:aws:iam::210987654321:role/dr";

/// The simulated AWS on tokio's paused clock, and the cloud of the operator.
fn world() -> (Sim, Cloud) {
    let options = SimOptions { world: DEFAULT_WORLD.parse().unwrap(), state_dir: None, speed: 1.0, seed: Some(7), faults: Vec::new() };
    let sim = Sim::open(options).unwrap();
    let cloud = Cloud::with_http_client(sim.http_client(), Arc::new(Virtual(sim.clock()))).with_session_name("wf-42");
    (sim, cloud)
}

fn account() -> Account {
    Account { role: ROLE.to_owned(), ..Account::default() }
}

async fn look(cloud: &Cloud, region: &str) -> Result<(), StepFailure> {
    let asked = cloud.autoscaling(region).describe_auto_scaling_groups().send().await;
    asked.map(drop).map_err(reading("autoscaling:DescribeAutoScalingGroups", "look"))
}

/// How often a role was asked for, by region.
fn assumed(sim: &Sim) -> Vec<(String, u64)> {
    sim.api_use().into_iter().filter(|used| used.action == "AssumeRole").map(|used| (used.region, used.calls)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_role_is_taken_on_once_in_each_region_that_it_is_used_in() {
    let (sim, cloud) = world();
    let _kept = cloud.in_account(&account());
    for region in ["us-west-2", "us-west-2", "us-east-1"] {
        look(&cloud.in_account(&account()), region).await.unwrap();
        look(&cloud, region).await.unwrap();
    }
    assert_eq!(assumed(&sim), [("us-east-1".to_owned(), 1), ("us-west-2".to_owned(), 1)]);

    let elsewhere = cloud.in_account(&Account { region: Some("us-west-2".to_owned()), external_id: Some("ext".to_owned()), ..account() });
    look(&elsewhere, "us-east-1").await.unwrap();
    elsewhere.route53().list_hosted_zones_by_name().send().await.unwrap();
    assert_eq!(assumed(&sim), [("us-east-1".to_owned(), 1), ("us-west-2".to_owned(), 2)]);
}

#[tokio::test(start_paused = true)]
async fn credentials_are_renewed_before_they_expire() {
    let (sim, cloud) = world();
    let other = cloud.in_account(&account());
    look(&other, "us-west-2").await.unwrap();
    let mut times = Vec::new();
    for _ in 0..3 {
        // They are good for an hour, and the SDK renews them five to ten seconds before.
        sim.clock().sleep(Duration::from_secs(3580)).await;
        look(&other, "us-west-2").await.unwrap();
        times.push(assumed(&sim)[0].1);
        sim.clock().sleep(Duration::from_secs(17)).await;
        look(&other, "us-west-2").await.unwrap();
        times.push(assumed(&sim)[0].1);
    }
    assert_eq!(times, [1, 2, 2, 3, 3, 4]);
}

/// The failure of a step that needs a role which cannot be had, and how long it took.
async fn refused(sim: &Sim, cloud: &Cloud, fault: &str) -> (StepFailure, Duration) {
    sim.set_faults(vec![fault.parse().unwrap()]);
    let began = tokio::time::Instant::now();
    let failure = look(cloud, "us-west-2").await.expect_err(fault);
    sim.set_faults(Vec::new());
    (failure, began.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_role_that_cannot_be_had_is_told_with_what_helps() {
    let (sim, cloud) = world();
    let other = cloud.in_account(&Account { external_id: Some("blue".to_owned()), ..account() });
    let (denied, _) = refused(&sim, &other, "deny AssumeRole").await;
    assert_eq!(denied.kind, FailureKind::Permanent);
    assert!(
        denied.message.starts_with(&format!("failed to look: it was not possible to act as {ROLE}, by STS in us-west-2: ")),
        "{denied:?}"
    );
    let hint = denied.hint.unwrap();
    for part in ["allow sts:AssumeRole", "arn:aws:iam::123456789012:user/operator", &format!("trust policy of {ROLE}"), "`blue`"] {
        assert!(hint.contains(part), "{part}: {hint}");
    }

    let (silent, took) = refused(&sim, &other, "timeout AssumeRole").await;
    assert_eq!(silent.kind, FailureKind::Unreachable, "the region of the call does not answer: {silent:?}");
    assert!(silent.message.ends_with("no answer within 15 s") && took < Duration::from_secs(20), "{took:?} {silent:?}");

    let named = cloud.in_account(&Account { region: Some("us-west-2".to_owned()), ..account() });
    let (silent, _) = refused(&sim, &named, "timeout AssumeRole").await;
    assert_eq!(silent.kind, FailureKind::Transient, "{silent:?}");
    look(&named, "us-west-2").await.unwrap();
    look(&other, "us-west-2").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn credentials_that_cannot_be_renewed_fail_the_step_and_are_asked_for_again() {
    let (sim, cloud) = world();
    let other = cloud.in_account(&account());
    look(&other, "us-west-2").await.unwrap();
    sim.clock().sleep(Duration::from_secs(3600)).await;
    let (outage, _) = refused(&sim, &other, "service-outage sts").await;
    assert_eq!(outage.kind, FailureKind::Transient, "{outage:?}");
    look(&other, "us-west-2").await.unwrap();
    assert_eq!(assumed(&sim)[0].0, "us-west-2");
}
