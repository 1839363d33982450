//! The clusters of a world that is kept on disk.

use serde_json::json;
use wf_sim::{Sim, SimError, SimOptions};

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn the_clusters_are_as_they_were_when_the_world_is_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Sim::open(SimOptions { state_dir: Some(dir.path().to_owned()), ..options(&[], 1.0) }).unwrap();
    let sim = open();
    assert_eq!(ask(&sim, PRIMARY, "PATCH", SECRET, MERGE, &json!({ "data": { "host": "YQ==" } })).await.0, 200);
    restart(&sim, PRIMARY, "03:01").await;
    drop(sim);
    let sim = open();
    assert_eq!(get(&sim, PRIMARY, SECRET).await["data"]["host"], "YQ==");
    until(&sim, PRIMARY, DEPLOYMENT, has_rolled_out).await;
    let changed = get(&sim, PRIMARY, DEPLOYMENT).await;
    assert_eq!(changed["metadata"]["annotations"]["deployment.kubernetes.io/revision"], "2");
}

#[tokio::test(start_paused = true)]
async fn a_world_of_the_first_version_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let options = SimOptions { state_dir: Some(dir.path().to_owned()), ..options(&[], 1.0) };
    drop(Sim::open(options.clone()).unwrap());
    let path = dir.path().join("world.json");
    let text = std::fs::read_to_string(&path).unwrap().replacen("\"version\":2", "\"version\":1", 1);
    std::fs::write(&path, text).unwrap();
    let SimError::Corrupt { message, .. } = Sim::open(options).unwrap_err() else { panic!("another error") };
    assert_eq!(message, "its version is 1, not 2");
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_and_calls_make_the_same_cluster() {
    let run = async || {
        let sim = open(&[]);
        restore(&sim).await;
        until(&sim, STANDBY, DEPLOYMENT, has_rolled_out).await;
        get(&sim, STANDBY, "/api/v1/pods").await
    };
    assert_eq!(run().await, run().await);
}
