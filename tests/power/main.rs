//! Power cuts under the real `wf`: a failover, its interruption and its resumption are recorded call by call, and the disks that a power cut
//! could have left are rebuilt as in the journal's own test, whose parts these are. Each is opened by the library, and a sample by `wf` itself,
//! which carries the run on to the end that it has without a power cut. The simulated AWS has its own power supply: it is as it was.
//!
//! `WF_POWER_WF_DISKS=5000 WF_POWER_WF_SAMPLE=500 WF_POWER_SEED=7 cargo test -p wf --test power -- --nocapture` is a longer run.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../../journal/tests/power/campaign.rs"]
mod campaign;
#[path = "../../journal/tests/power/check.rs"]
mod check;
#[path = "../../journal/tests/power/disk.rs"]
mod disk;
#[path = "../../journal/tests/power/image.rs"]
mod image;
#[expect(dead_code, reason = "shared with the journal's own test")]
#[path = "../../journal/tests/power/load.rs"]
mod load;
#[path = "../../journal/tests/power/rng.rs"]
mod rng;
#[expect(dead_code, reason = "shared with the other tests of the binary")]
#[path = "../cli/sandbox.rs"]
mod sandbox;
#[expect(dead_code, reason = "shared with the journal's own test")]
#[path = "../../journal/tests/power/trace.rs"]
mod trace;

use std::collections::{BTreeMap, HashSet};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use campaign::Campaign;
use disk::{Disk, Files, Ignoring};
use load::{Promise, failover_len};
use rng::Rng;
use sandbox::Outcome;
use serde_json::Value;
use trace::{Op, Recorder};
use wf_engine::journal::Journal as _;
use wf_journal::SledJournal;

/// After so many lines of about fifty the recorded run is interrupted.
const LINES: usize = 24;
/// The runs wait for simulated time, mostly.
const AT_ONCE: usize = 6;

fn number(variable: &str, default: usize) -> usize {
    std::env::var(variable).map_or(default, |number| number.parse().unwrap())
}

/// What `wf` did, and what came of it.
struct Recorded {
    ops: Vec<Op>,
    /// Nothing, and all that can be on record.
    promise: Promise,
    /// The records and the effects of the whole run.
    log: Vec<String>,
    effects: BTreeMap<String, usize>,
}

fn wf(state: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wf"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    command
        .args(args)
        .env_clear()
        .env("PATH", path)
        .env("WF_STATE_DIR", state)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null());
    command
}

fn recorded() -> Recorded {
    let recorder = Recorder::new();
    let state = recorder.state();
    let mut run = wf(&state, &["run", "workflows/failover.ron", "--sim", "--yes", "--sim-speed", "600"]);
    let mut child = recorder.watch(&mut run).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    assert_eq!(said.by_ref().take(LINES).count(), LINES);
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    said.for_each(drop);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    Outcome::of(recorder.watch(&mut wf(&state, &["resume", "--yes", "--sim-speed", "600"]))).exits(0);
    let ops = recorder.ops();
    assert_nothing_overlooked(&recorder, &ops);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let journal = SledJournal::open(&state).unwrap();
    let run = journal.layout().runs().unwrap().remove(0);
    let records = runtime.block_on(journal.read(&run)).unwrap().iter().map(|record| record.seal().unwrap()).collect();
    let promise = Promise { number: 1, run, acked: 0, records: Arc::new(records) };
    Recorded { ops: marked(ops), promise, log: log(&state), effects: effects(&state) }
}

/// Without a power cut the model of the disk and the real files are the same.
fn assert_nothing_overlooked(recorder: &Recorder, ops: &[Op]) {
    let mut disk = Disk::new(&Files::new(), Ignoring::Nothing);
    for op in ops {
        disk.apply(op);
    }
    for (path, image) in disk.live() {
        if let Some(image) = image {
            assert!(std::fs::read(recorder.root().join(&path)).unwrap() == image.bytes(), "{} is not what the model says", path.display());
        }
    }
}

/// Adds a mark wherever `wf` noted how far it was acknowledged, which it does before it acts on it.
fn marked(ops: Vec<Op>) -> Vec<Op> {
    let (mut marked, mut notes) = (Vec::new(), HashSet::new());
    for op in ops {
        let mark = match &op {
            Op::Open { fd, path, .. } => {
                if path.ends_with("acked") {
                    notes.insert(*fd)
                } else {
                    notes.remove(fd)
                };
                None
            }
            Op::Write { fd, data, .. } if notes.contains(fd) => {
                let next = std::str::from_utf8(data).unwrap().split(' ').nth(1).unwrap();
                Some(Op::Mark(format!("acked 1 {}", next.parse::<u64>().unwrap())))
            }
            _ => None,
        };
        marked.push(op);
        marked.extend(mark);
    }
    marked
}

fn log(state: &Path) -> Vec<String> {
    let log = Outcome::of(&mut wf(state, &["log", "@latest", "--json"]));
    log.exits(0).stdout.lines().map(str::to_owned).collect()
}

/// Effective mutating calls by action and resource.
fn effects(state: &Path) -> BTreeMap<String, usize> {
    let log: Value = serde_json::from_str(&Outcome::of(&mut wf(state, &["sim", "log", "--json"])).stdout).unwrap();
    let mut effects = BTreeMap::new();
    for call in log.as_array().unwrap().iter().filter(|call| call["effective"] == true) {
        let resource = call["resource"].as_str().unwrap_or_default();
        // Whether the workload that was restored in the west still has to be scaled depends on what its autoscaler did meanwhile.
        if resource.starts_with("production-dr/") && call["action"] == "patch:deployments/scale" {
            continue;
        }
        // A name that was made of a run's id is another one in each run.
        let resource = resource.split_once("/wf-").map_or(resource, |(before, _)| before);
        *effects.entry(format!("{} {resource}", call["action"])).or_default() += 1;
    }
    effects
}

impl Recorded {
    fn campaign(&self, disks: usize, seed: usize) -> Campaign<'_> {
        Campaign {
            ops: &self.ops,
            base: Files::new(),
            promises: vec![self.promise.clone()],
            text_len: failover_len,
            disks,
            seed: seed as u64,
            ignoring: Ignoring::Nothing,
        }
    }

    /// Some of the disks, each with how many records were acknowledged by then: what is under `state/sim` is as the process saw it.
    fn sample(&self, disks: usize, seed: usize) -> Vec<(usize, Files)> {
        let (mut disk, mut rng, mut sample) = (Disk::new(&Files::new(), Ignoring::Nothing), Rng(seed as u64), Vec::new());
        for (op, promises) in self.ops.iter().zip(self.campaign(disks, seed).timeline()) {
            let changed = disk.apply(op);
            if !changed || rng.below(self.ops.len()) >= disks * 5 / 4 {
                continue;
            }
            let simulated = |path: &Path| path.starts_with("state/sim");
            let mut files = disk.cut(&mut rng);
            files.retain(|path, _| !simulated(path));
            let live = disk.live();
            if live.contains_key(Path::new("state/sim")) {
                files.insert("state".into(), None);
                files.extend(live.into_iter().filter(|(path, _)| simulated(path)));
            }
            sample.push((promises[0].acked, files));
        }
        sample
    }

    /// Carries the run on from a disk with `wf` itself.
    fn carried_on(&self, acked: usize, files: &Files) -> &'static str {
        let scratch = trace::scratch();
        check::write(files, scratch.path());
        let state = scratch.path().join("state");
        let verified = Outcome::of(&mut wf(&state, &["journal", "verify", "--all"]));
        verified.exits(0);
        let resumed = Outcome::of(&mut wf(&state, &["resume", "--yes", "--sim-speed", "300"]));
        match resumed.code {
            Some(2) => {
                resumed.says("there are no runs here yet");
                assert_eq!(acked, 0, "records are lost");
                return "had not begun";
            }
            Some(4) => drop(resumed.says("is completed")),
            _ => drop(resumed.exits(0)),
        }
        assert!(log(&state)[..acked] == self.log[..acked], "other records than were acknowledged");
        let effects = effects(&state);
        assert_eq!(effects.keys().collect::<Vec<_>>(), self.effects.keys().collect::<Vec<_>>());
        for (call, times) in effects.iter().filter(|(call, _)| !call.contains("Publish")) {
            assert_eq!(*times, self.effects[call], "{call}");
        }
        if resumed.code == Some(4) { "were complete" } else { "were carried on" }
    }
}

fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

#[test]
fn a_power_cut_under_wf_loses_nothing_and_the_run_is_carried_on() {
    let (recorded, seed) = (recorded(), number("WF_POWER_SEED", 1));
    let outcome = recorded.campaign(number("WF_POWER_WF_DISKS", 1_000), seed).run();
    let campaign::Outcome { disks, journals, cuts, broken, seconds } = &outcome;
    say(&format!("wf: {cuts} cuts, {disks} disks, {journals} journals opened, {} broken, {seconds:.1} s", broken.len()));
    assert!(broken.is_empty(), "seed {seed}: {broken:#?}");

    let sample = recorded.sample(number("WF_POWER_WF_SAMPLE", 120), seed);
    let (next, counts) = (AtomicUsize::new(0), std::sync::Mutex::new(BTreeMap::<_, usize>::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some((acked, files)) = sample.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let what = recorded.carried_on(*acked, files);
                    *counts.lock().unwrap().entry(what).or_default() += 1;
                }
            });
        }
    });
    let counts = counts.into_inner().unwrap();
    say(&format!("{} disks opened by wf itself, seed {seed}: {counts:?}", sample.len()));
    assert!(counts["were carried on"] > sample.len() / 2, "{counts:?}");
}
