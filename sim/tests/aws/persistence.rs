//! What survives a process: the world, its clock, its calls, and no half of a call.

use std::fs;
use std::io::Write;

use wf_sim::{SimError, read_calls, read_status, read_traffic, reset};

use crate::support::*;

async fn scale(sim: &wf_sim::Sim, desired: i32) -> bool {
    let client = autoscaling(sim, WEST).await;
    let update = client.update_auto_scaling_group().auto_scaling_group_name("prod-app-dr-asg");
    update.desired_capacity(desired).send().await.is_ok()
}

#[tokio::test(start_paused = true)]
async fn world_and_clock_carry_on_where_they_were_kept() {
    let dir = tempfile::tempdir().unwrap();
    let sim = open_at(dir.path(), &[]);
    assert!(scale(&sim, 2).await);
    pass(&sim, 30).await;
    let (then, report) = (sim.clock().now(), sim.traffic());
    drop(sim);
    tokio::time::sleep(std::time::Duration::from_secs(500)).await;
    let sim = open_at(dir.path(), &[]);
    let away = sim.clock().now().duration_since(then).as_millis();
    assert!((-1..=1).contains(&away), "the clock stands still meanwhile, but {away} ms passed");
    assert_eq!(sim.traffic(), report);
    assert_eq!(sim.calls().len(), 1);
    assert_eq!(status(&sim, "/regions/us-west-2/groups/prod-app-dr-asg/desired"), 2);
    pass(&sim, 120).await;
    assert_eq!(status(&sim, "/regions/us-west-2/groups/prod-app-dr-asg/in_service"), 2);
}

#[tokio::test(start_paused = true)]
async fn what_was_answered_is_kept_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let sim = open_at(dir.path(), &[]);
    assert!(scale(&sim, 2).await);
    // As after `kill -9`: the files are what counts, not what the process would still do.
    let copy = tempfile::tempdir().unwrap();
    for name in ["world.json", "calls.jsonl"] {
        fs::copy(dir.path().join(name), copy.path().join(name)).unwrap();
    }
    let resumed = open_at(copy.path(), &[]);
    assert_eq!(resumed.calls(), sim.calls());
    assert_eq!(status(&resumed, "/regions/us-west-2/groups/prod-app-dr-asg/desired"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_logged_call_without_its_effect_is_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let sim = open_at(dir.path(), &[]);
    assert!(scale(&sim, 2).await);
    drop(sim);
    let path = dir.path().join("calls.jsonl");
    let whole = fs::read_to_string(&path).unwrap();
    let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(whole.replace("\"seq\":1", "\"seq\":2").as_bytes()).unwrap();
    file.write_all(b"{\"seq\":3,\"at").unwrap();
    assert_eq!(read_calls(dir.path()).unwrap().len(), 1);
    let sim = open_at(dir.path(), &[]);
    assert_eq!(sim.calls().len(), 1);
    assert!(scale(&sim, 3).await);
    drop(sim);
    let seqs: Vec<u64> = read_calls(dir.path()).unwrap().iter().map(|c| c.seq).collect();
    assert_eq!(seqs, [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn only_one_process_may_hold_a_world() {
    let dir = tempfile::tempdir().unwrap();
    let sim = open_at(dir.path(), &[]);
    let second = wf_sim::Sim::open(wf_sim::SimOptions { state_dir: Some(dir.path().to_owned()), ..options(&[]) });
    let message = second.unwrap_err().to_string();
    assert!(message.contains(&format!("process {}", std::process::id())), "{message}");
    assert!(matches!(reset(dir.path()), Err(SimError::Locked { .. })));
    sim.flush().unwrap();
    assert!(read_status(dir.path()).unwrap()["clock"].is_string());
    assert!(read_traffic(dir.path()).unwrap().requests > 0);
    drop(sim);
    reset(dir.path()).unwrap();
    assert!(matches!(read_status(dir.path()), Err(SimError::Missing { .. })));
    reset(dir.path()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_counted_fault_keeps_its_count() {
    let dir = tempfile::tempdir().unwrap();
    let sim = open_at(dir.path(), &["fail UpdateAutoScalingGroup 1"]);
    assert!(!scale(&sim, 2).await);
    drop(sim);
    let sim = open_at(dir.path(), &["fail UpdateAutoScalingGroup 1"]);
    assert!(scale(&sim, 2).await);
}

#[tokio::test(start_paused = true)]
async fn something_else_in_the_directory_is_refused_with_its_name() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("world.json"), "{\"version\":1}").unwrap();
    let message = read_status(dir.path()).unwrap_err().to_string();
    assert!(message.contains("world.json"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn a_seed_makes_the_world() {
    let seeded = |seed| wf_sim::Sim::open(wf_sim::SimOptions { seed: Some(seed), ..options(&[]) }).unwrap();
    let durations = async |seed| {
        let sim = seeded(seed);
        scale(&sim, 6).await;
        pass(&sim, 80).await;
        sim.status()
    };
    assert_eq!(durations(7).await, durations(7).await);
    assert_ne!(durations(7).await, durations(8).await);
}
