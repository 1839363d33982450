//! Power loss: the calls that a journal makes are recorded, the disks that a power cut could have left are rebuilt from them by the
//! thousand, and each is opened. See `disk.rs` for what a power cut may do and `check.rs` for what is demanded.
//!
//! A longer run: `WF_POWER_DISKS=200000 WF_POWER_SEED=7 cargo test -p wf-journal --test power -- --nocapture`.
//! `WF_POWER_KEEP=<dir>` keeps the disks that were found broken.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod campaign;
mod check;
mod disk;
mod image;
mod load;
mod rng;
mod trace;

use std::collections::HashSet;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use campaign::{Campaign, Outcome};
use check::Broken;
use disk::{Disk, Files, Ignoring};
use load::{Player, Promise, ROLE, burst_len, failover_len};
use rng::Rng;
use trace::{Op, Recorder};

/// sled's segments, as `journal/src/run.rs` has them.
const SEGMENT_LEN: usize = 2 * 1024 * 1024;

/// What the recorded processes do.
#[tokio::test]
async fn child() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let player = Player::new(&PathBuf::from(std::env::var_os("WF_POWER_STATE").unwrap()));
    match role.as_str() {
        "failover" => player.failover().await,
        "torn append" => player.torn_append().await,
        "large append" => player.large_append().await,
        "resume" => player.resume().await,
        "open" => player.open().await,
        "burst" => Arc::new(player).burst().await,
        "failing sync" => player.failing_sync().await,
        "until full" => player.until_full().await,
        role => panic!("no such role: {role}"),
    }
}

/// The tests use all cores each, and follow one another.
fn one_at_a_time() -> MutexGuard<'static, ()> {
    static RUNNING: Mutex<()> = Mutex::new(());
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |number| number.parse().unwrap())
}

/// Records a role that dies, and what another process makes of it.
fn resumed(role: &str) -> Vec<Op> {
    let recorder = Recorder::new();
    assert_eq!(recorder.play(role).code(), Some(9), "{role} is meant to die");
    assert!(recorder.play("resume").success());
    checked(&recorder, &Files::new())
}

fn burst() -> Vec<Op> {
    let recorder = Recorder::new();
    assert!(recorder.play("burst").success());
    checked(&recorder, &Files::new())
}

/// What was recorded, after making sure that nothing was overlooked: without a power cut the model and the real files are the same.
fn checked(recorder: &Recorder, base: &Files) -> Vec<Op> {
    let ops = recorder.ops();
    let mut disk = Disk::new(base, Ignoring::Nothing);
    for op in &ops {
        disk.apply(op);
    }
    let files = disk.live();
    for (path, image) in &files {
        let real = recorder.root().join(path);
        match image {
            None => assert_eq!(
                real.read_dir().unwrap().count(),
                files.keys().filter(|file| file.parent() == Some(path)).count(),
                "{}",
                real.display()
            ),
            Some(image) => assert!(std::fs::read(&real).unwrap() == image.bytes(), "{} is not what the model says", real.display()),
        }
    }
    ops
}

/// How often sled wrote a segment where another one was.
fn segments_reused(ops: &[Op]) -> usize {
    let (mut begun, mut reused) = (HashSet::new(), 0);
    for op in ops {
        match op {
            Op::Write { fd, at, .. } if at % SEGMENT_LEN == 0 && *at > 0 => reused += usize::from(!begun.insert((*fd, *at))),
            _ => {}
        }
    }
    reused
}

fn say(what: &str, outcome: &Outcome) {
    let Outcome { disks, journals, cuts, broken, seconds } = outcome;
    let _ = writeln!(
        std::io::stderr(),
        "{what}: {cuts} cuts, {disks} disks, {journals} journals opened, {} broken, {seconds:.1} s",
        broken.len()
    );
}

fn campaign(ops: &[Op], runs: std::ops::Range<u64>, share: u64) -> Campaign<'_> {
    Campaign {
        ops,
        base: Files::new(),
        text_len: if runs.end == 2 { failover_len } else { burst_len },
        promises: runs.map(Promise::nothing).collect(),
        disks: (number("WF_POWER_DISKS", 10_000) * share / 100) as usize,
        seed: number("WF_POWER_SEED", 1),
        ignoring: Ignoring::Nothing,
    }
}

fn assert_unbroken(what: &str, campaign: &Campaign<'_>, at_least: usize) {
    let outcome = campaign.run();
    say(what, &outcome);
    assert!(outcome.broken.is_empty(), "seed {}: {:#?}", campaign.seed, outcome.broken);
    assert!(outcome.disks >= at_least, "only {} different disks", outcome.disks);
}

#[test]
fn a_power_cut_during_a_failover_loses_nothing() {
    let _alone = one_at_a_time();
    let ops = resumed("failover");
    let campaign = campaign(&ops, 1..2, 82);
    assert_unbroken("failover", &campaign, campaign.disks);
}

#[test]
fn a_power_cut_after_a_death_in_a_large_append_loses_nothing() {
    let _alone = one_at_a_time();
    let ops = resumed("torn append");
    let campaign = campaign(&ops, 1..2, 5);
    assert_unbroken("torn append", &campaign, campaign.disks);
}

#[test]
fn a_power_cut_during_a_burst_loses_nothing() {
    let _alone = one_at_a_time();
    let ops = burst();
    assert!(segments_reused(&ops) > 0, "the burst is too small");
    let campaign = campaign(&ops, 0..3, 9);
    assert_unbroken("burst", &campaign, campaign.disks);
}

/// A journal that a power cut has left is opened, which repairs it, and the power goes once more.
#[test]
fn a_power_cut_while_a_journal_is_repaired_loses_nothing() {
    let _alone = one_at_a_time();
    let ops = resumed("failover");
    let first = campaign(&ops, 1..2, 1);
    let (mut disk, timeline, rng) = (Disk::new(&Files::new(), Ignoring::Nothing), first.timeline(), &mut Rng(first.seed));
    for (at, (op, promises)) in ops.iter().zip(timeline).enumerate() {
        disk.apply(op);
        // Only every so often: each one is a process of its own.
        if at % (ops.len() / 16) != 9 {
            continue;
        }
        let (recorder, base) = (Recorder::new(), disk.cut(rng));
        check::write(&base, &recorder.root());
        assert_eq!(recorder.play("open").code(), Some(9));
        let ops = checked(&recorder, &base);
        let repair = Campaign { ops: &ops, base, promises, disks: first.disks / 2, ..campaign(&[], 1..2, 1) };
        // How many different disks there are depends on what there is to repair.
        assert_unbroken(&format!("repair of cut {at}"), &repair, 1);
    }
}

/// The test can fail: on a disk that ignores a barrier, records are lost, so both the barrier and the test are needed.
#[test]
fn without_its_barriers_the_journal_loses_records() {
    let _alone = one_at_a_time();
    let ops = resumed("failover");
    for ignoring in [Ignoring::Fdatasync, Ignoring::DirectorySync] {
        let outcome = Campaign { ignoring, disks: 1_000, ..campaign(&ops, 1..2, 10) }.run();
        say(&format!("failover, ignoring {ignoring:?}"), &outcome);
        assert!(outcome.broken.iter().any(|(_, broken)| matches!(broken, Broken::Lost(_))), "nothing was lost: {:#?}", outcome.broken);
    }
}

/// What the calls would be if an append were synced once, at its end.
fn without_syncs_in_between(ops: &[Op]) -> Vec<Op> {
    let (mut kept, mut last_of_an_append) = (Vec::new(), true);
    for op in ops.iter().rev() {
        match op {
            Op::Fdatasync { .. } if !std::mem::take(&mut last_of_an_append) => continue,
            Op::Mark(_) => last_of_an_append = true,
            _ => {}
        }
        kept.push(op.clone());
    }
    kept.reverse();
    kept
}

/// The bound on what is written between two syncs is needed too: without it the segments that an append uses again take what was
/// acknowledged long ago with them.
#[test]
fn without_syncs_within_a_large_append_the_journal_loses_records() {
    let _alone = one_at_a_time();
    let recorder = Recorder::new();
    assert!(recorder.play("large append").success());
    let ops = checked(&recorder, &Files::new());
    assert!(segments_reused(&ops) > 0, "the append is too small");
    let fewer = without_syncs_in_between(&ops);
    assert!(ops.len() > fewer.len() + 8, "{} syncs in between", ops.len() - fewer.len());
    let large = |ops| Campaign { text_len: burst_len, disks: 600, ..campaign(ops, 1..2, 1) };
    let outcome = large(&fewer).run();
    say("large append, synced at its end alone", &outcome);
    assert!(!outcome.broken.is_empty(), "nothing was lost");
    let bounded = Campaign { disks: 60, ..large(&ops) };
    assert_unbroken("large append", &bounded, 60);
}

#[tokio::test]
async fn after_a_failed_sync_nothing_is_acknowledged_and_nothing_is_lost() {
    let recorder = Recorder::new();
    // The role itself demands that all ten appends after it fail.
    assert!(recorder.play("failing sync").success());
    let mut promise = Promise::nothing(1);
    for op in checked(&recorder, &Files::new()) {
        if let Op::Mark(mark) = op {
            promise.note(&mark, failover_len);
        }
    }
    assert!(promise.acked >= 20, "{}", promise.acked);
    check::check(&recorder.state(), &promise, 1).await.unwrap();
}

#[tokio::test]
async fn on_a_full_disk_nothing_more_is_acknowledged_and_nothing_is_lost() {
    let recorder = Recorder::new();
    let mut promise = Promise::nothing(1);
    recorder.play_on_a_full_disk("until full").lines().for_each(|mark| promise.note(mark, burst_len));
    assert!(promise.acked > 10, "{}", promise.acked);
    // The one who looks at it has space again.
    check::check(&recorder.state(), &promise, 1).await.unwrap();
}
