//! Rebuilds disks of a recorded load by the thousand and checks each.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use crate::check::{self, Broken};
use crate::disk::{self, Disk, Files, Ignoring};
use crate::image::mixed;
use crate::load::Promise;
use crate::rng::Rng;
use crate::trace::{Op, scratch};

/// So many broken ones tell enough.
const BROKEN_MAX: usize = 20;

/// A load and what to do with it.
pub struct Campaign<'a> {
    pub ops: &'a [Op],
    /// The disk before it, which is durable, and what was promised by then.
    pub base: Files,
    pub promises: Vec<Promise>,
    pub text_len: fn(u64, &mut Rng) -> usize,
    /// How many disks to rebuild, no two of them the same.
    pub disks: usize,
    pub seed: u64,
    pub ignoring: Ignoring,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    /// How many different disks were rebuilt, and how many different journals of them opened.
    pub disks: usize,
    pub journals: usize,
    pub cuts: usize,
    pub broken: Vec<(String, Broken)>,
    pub seconds: f64,
}

/// One run's files after a power cut.
struct Journal {
    name: String,
    files: Files,
    promise: Promise,
    /// Which of the more expensive checks are made.
    extra: u64,
}

impl Campaign<'_> {
    /// Rebuilds disks until there are enough different ones, or there are no more, or enough of them were found broken.
    pub fn run(&self) -> Outcome {
        let started = Instant::now();
        let (broken, seen) = (Arc::new(Mutex::new(Vec::new())), &mut Seen::default());
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let (queue, journals) = sync_channel(2 * cores);
        let journals = Arc::new(Mutex::new(journals));
        let workers: Vec<_> = (0..cores)
            .map(|_| {
                let (journals, broken) = (Arc::clone(&journals), Arc::clone(&broken));
                std::thread::spawn(move || work(&journals, &broken))
            })
            .collect();
        let mut cuts = 0;
        let timeline = self.timeline();
        for round in 0.. {
            let before = seen.disks.len();
            cuts = self.round(round, &timeline, seen, &mut |journal| {
                let _ = queue.send(journal);
                broken.lock().unwrap().len() < BROKEN_MAX
            });
            let found = seen.disks.len();
            if found >= self.disks || found == before || broken.lock().unwrap().len() >= BROKEN_MAX {
                break;
            }
        }
        drop(queue);
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        let broken = std::mem::take(&mut *broken.lock().unwrap());
        Outcome { disks: seen.disks.len(), journals: seen.journals.len(), cuts, broken, seconds: started.elapsed().as_secs_f64() }
    }

    /// What is promised after each call.
    pub fn timeline(&self) -> Vec<Vec<Promise>> {
        let mut promises = self.promises.clone();
        let mut after = |op: &Op| {
            if let Op::Mark(mark) = op {
                promises.iter_mut().for_each(|promise| promise.note(mark, self.text_len));
            }
            promises.clone()
        };
        self.ops.iter().map(&mut after).collect()
    }

    /// Cuts the power once after each call, at every call of the trace.
    fn round(&self, round: usize, timeline: &[Vec<Promise>], seen: &mut Seen, open: &mut dyn FnMut(Journal) -> bool) -> usize {
        let mut disk = Disk::new(&self.base, self.ignoring);
        let mut cuts = 0;
        for (at, (op, promises)) in self.ops.iter().zip(timeline).enumerate() {
            // After a mark the disk is the same, but more is promised.
            if !disk.apply(op) && !matches!(op, Op::Mark(_)) {
                continue;
            }
            cuts += 1;
            let seed = mixed(self.seed, mixed(round as u64, at as u64));
            let files = disk.cut(&mut Rng(seed));
            if seen.disks.len() >= self.disks {
                return cuts;
            }
            seen.disks.insert(disk::sum(&files));
            for promise in promises {
                let files = of_run(&files, promise);
                let key = mixed(disk::sum(&files), mixed(promise.number, promise.acked as u64));
                if !seen.journals.insert(key) {
                    continue;
                }
                let name = format!("cut {at} of round {round} (after {}), run {}", op.name(), promise.number);
                if !open(Journal { name, files, promise: promise.clone(), extra: key }) {
                    return cuts;
                }
            }
        }
        cuts
    }
}

#[derive(Default)]
struct Seen {
    disks: HashSet<u64>,
    journals: HashSet<u64>,
}

/// A run's directory, under the state directory `state`.
fn of_run(files: &Files, promise: &Promise) -> Files {
    let dir: PathBuf = Path::new("state/runs").join(promise.run.as_str());
    let of_run = |path: &Path| path.starts_with(&dir) || dir.starts_with(path);
    files.iter().filter(|(path, _)| of_run(path)).map(|(path, image)| (path.clone(), image.clone())).collect()
}

fn work(journals: &Mutex<Receiver<Journal>>, broken: &Mutex<Vec<(String, Broken)>>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    loop {
        let Ok(journal) = journals.lock().unwrap().recv() else { return };
        let dir = scratch();
        check::write(&journal.files, dir.path());
        let checked = runtime.block_on(check::check(&dir.path().join("state"), &journal.promise, journal.extra));
        if let Err(what) = checked {
            keep(&journal);
            broken.lock().unwrap().push((journal.name, what));
        }
    }
}

/// Leaves a broken disk where somebody can look at it.
fn keep(journal: &Journal) {
    if let Some(dir) = std::env::var_os("WF_POWER_KEEP") {
        let name: String = journal.name.chars().take_while(|c| *c != '(').filter(|c| c.is_alphanumeric()).collect();
        check::write(&journal.files, &Path::new(&dir).join(name));
    }
}
