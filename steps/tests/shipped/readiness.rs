//! Readiness: a healthy world is ready for the shipped failovers, and each thing that is broken is found by its own check, and by no other.

mod breaks;

use std::collections::BTreeSet;

use wf_engine::model::event::Mode;
use wf_engine::readiness::{Finding, Later};
use wf_sim::DEFAULT_WORLD;

use breaks::{BREAKS, Break, Busy, FAILOVER, STOP, WHOLE};

use crate::world::{Shipped, text_of, with_a_lease};

/// What a healthy world is warned of: the shipped plan restores volumes out of a daily backup, and has an RPO of five minutes; and what it
/// restores asks the registry of the primary region for its images.
const ALWAYS: [&str; 2] = ["images_copied/image addresses warned", "restore/backup age warned"];

fn edited(text: &str, edits: &[(&str, &str)]) -> String {
    edits.iter().fold(text.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "there is no {from:?} to break");
        text.replacen(from, to, 1)
    })
}

/// What is not in order, and what is said of it.
async fn found(case: &Break) -> Vec<(String, String)> {
    let text = edited(&text_of(case.file), case.plan);
    let world = Shipped::in_world(&edited(&with_a_lease(), case.world), None, &["primary-alive", case.fault]);
    match case.busy {
        Busy::Nothing => {}
        Busy::Replica => world.change_the_replica().await,
        Busy::Nodes => world.change_the_nodes().await,
    }
    let mut found = Vec::new();
    for (step, readiness) in world.readiness(&text, case.mode).await {
        for check in readiness.checks {
            let word = match &check.found {
                Finding::Passed => continue,
                Finding::Warned { .. } => "warned",
                Finding::Failed { .. } => "failed",
                Finding::Unknown { .. } => "unknown",
            };
            assert!(!check.why().is_empty() && !check.fix().is_empty(), "{check:?}");
            found.push((format!("{step}/{} {word}", check.name), format!("{} {}", check.why(), check.fix())));
        }
    }
    assert!(
        world.sim.calls().iter().all(|call| !call.effective || case.busy != Busy::Nothing),
        "a check only reads: {:?}",
        world.sim.calls()
    );
    found
}

#[tokio::test(start_paused = true)]
async fn a_healthy_world_is_ready() {
    for (file, mode, always) in [
        (FAILOVER, Mode::Unplanned, ALWAYS.map(str::to_owned).to_vec()),
        (FAILOVER, Mode::Planned, ALWAYS.map(str::to_owned).to_vec()),
        (STOP, Mode::Unplanned, Vec::new()),
    ] {
        let found: Vec<_> = found(&Break { file, mode, ..WHOLE }).await;
        assert_eq!(found.iter().map(|(check, _)| check.clone()).collect::<Vec<_>>(), always, "{found:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn each_break_is_found_by_its_own_check_and_by_no_other() {
    let mut wrong = Vec::new();
    for case in BREAKS {
        let found = found(case).await;
        let is_expected = |check: &String| case.found.contains(&check.as_str());
        let names: BTreeSet<_> = found.iter().map(|(check, _)| check.as_str()).filter(|check| !ALWAYS.contains(check)).collect();
        let says = case.found.is_empty() || found.iter().any(|(check, said)| is_expected(check) && said.contains(case.says));
        if names != case.found.iter().copied().collect() || !says {
            wrong.push(format!("{:?} {:?} {}: {found:#?}", case.plan, case.world, case.fault));
        }
    }
    assert!(wrong.is_empty(), "{} of {} breaks:\n{}", wrong.len(), BREAKS.len(), wrong.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_checked_yet_says_after_what() {
    let world = Shipped::in_world(DEFAULT_WORLD, None, &["primary-alive"]);
    let all = world.readiness(&text_of(FAILOVER), Mode::Unplanned).await;
    let later = |id: &str| all.iter().find(|(step, _)| step == id).and_then(|(_, readiness)| readiness.later.clone());
    assert!(matches!(later("shop_dns"), Some(Later::After(steps)) if steps.len() == 1));
    assert!(matches!(later("restart"), Some(Later::NotYet(_)) | None), "{:?}", later("restart"));
    assert!(matches!(later("cron"), Some(Later::NotYet(why)) if why.contains("namespace production")), "{:?}", later("cron"));
    assert_eq!(later("promote"), None);
}
