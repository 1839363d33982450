//! The seeds of every fuzz target, and a bounded number of mutations of them, through the same bodies that libFuzzer drives.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use fastrand::Rng;
use wf_fuzz::{TARGETS, Target};

/// The most bytes of a mutated input.
const LEN_MAX: usize = 4096;
/// The most bytes of all seeds together: they are for every checkout.
const CORPUS_LEN_MAX: usize = 500_000;

/// Reads a number from the environment.
fn given(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let mut names: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert!(!names.is_empty(), "{target} has no seeds");
    names.into_iter().map(|name| (name.clone(), std::fs::read(folder.join(name)).unwrap())).collect()
}

/// Runs a body; its panic is told with the input, which can be made a file and a test of its own.
fn run(target: &str, body: Target, origin: &str, input: &[u8]) {
    if catch_unwind(AssertUnwindSafe(|| body(input))).is_err() {
        panic!("{target} fails on {origin}:\n{:?}\nas bytes: {input:?}", String::from_utf8_lossy(input));
    }
}

/// Changes an input in one to eight places, with pieces of other seeds and words of the formats.
fn mutated(rng: &mut Rng, seeds: &[(String, Vec<u8>)]) -> Vec<u8> {
    const WORDS: [&[u8]; 14] = [
        b"${",
        b"}",
        b"\"",
        b"\\",
        b"(",
        b")",
        b"[",
        b"\0",
        b"\n----\n",
        b"\xff",
        b"/*",
        b"-1",
        b"99999999999999999999",
        "\u{202e}é".as_bytes(),
    ];
    let mut input = seeds[rng.usize(..seeds.len())].1.clone();
    for _ in 0..rng.usize(1..=8) {
        let at = rng.usize(..=input.len());
        let end = rng.usize(at..=input.len().min(at + 64));
        match rng.u8(..6) {
            0 => drop(input.drain(at..end)),
            1 if at < input.len() => input[at] ^= 1 << rng.u8(..8),
            2 => drop(input.splice(at..end, WORDS[rng.usize(..WORDS.len())].iter().copied())),
            3 => {
                let twice = input[at..end].to_vec();
                drop(input.splice(at..at, twice));
            }
            4 => input.insert(at, rng.u8(..)),
            _ => {
                let other = &seeds[rng.usize(..seeds.len())].1;
                let from = rng.usize(..=other.len());
                let to = rng.usize(from..=other.len().min(from + 128));
                drop(input.splice(at..end, other[from..to].iter().copied()));
            }
        }
    }
    input.truncate(LEN_MAX);
    input
}

#[expect(clippy::print_stdout, reason = "whoever sees it fail needs the seed")]
fn smoke(target: &str, runs_default: u64) {
    let body = TARGETS.iter().find(|(name, _)| *name == target).unwrap().1;
    let (seed, runs) = (given("FUZZ_SEED", 1), given("FUZZ_RUNS", runs_default));
    println!("{target}: FUZZ_SEED={seed} FUZZ_RUNS={runs}");
    let seeds = seeds(target);
    for (name, input) in &seeds {
        run(target, body, name, input);
    }
    let mut rng = Rng::with_seed(seed);
    for n in 0..runs {
        run(target, body, &format!("mutation {n} of FUZZ_SEED={seed}"), &mutated(&mut rng, &seeds));
    }
}

#[test]
fn workflows() {
    smoke("workflow", 2_000);
}

#[test]
fn templates() {
    smoke("template", 10_000);
}

#[test]
fn records() {
    smoke("record", 2_000);
}

#[test]
fn journals() {
    smoke("journal", 2_000);
}

#[test]
fn simulator_requests() {
    smoke("sim", 1_000);
}

#[test]
fn the_seeds_are_few_and_small() {
    let sizes = TARGETS.iter().flat_map(|(target, _)| seeds(target)).map(|(_, input)| input.len());
    assert!(sizes.sum::<usize>() <= CORPUS_LEN_MAX);
}
