//! The simulator against servers that nobody here wrote: the same generated sequences of calls to both, through boto3, and the answers, error
//! codes and effects compared.
//!
//! Every difference is mended, or stands in `sim/src/differences.md` with who is right by AWS's documentation. One that does not stand there
//! fails the test, as does one that stands there and was not met. `WF_DIFFER_SEQUENCES=20 WF_DIFFER_SEED=7 cargo test --test wire differ --
//! --nocapture` compares 20 times as many sequences, others, and prints the figures.

mod access;
mod compare;
mod copies;
mod databases;
mod dns;
mod groups;
mod network;
mod others;
mod rules;
mod sequence;
mod world;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::servers::Servers;
use compare::{Shapes, in_order};
use rules::{ANSWER, Difference, EFFECT, OK, Rules};
use sequence::{Call, Draw, Sequence, Subject};
use world::Parts;

/// The seed of the sequences, and how many times as many there are, unless told otherwise.
const SEED: u64 = 4;
const TIMES: usize = 1;

/// What is asked, of which server.
const PLAN: &[(&str, &Subject)] = &[
    ("moto", &databases::SUBJECT),
    ("moto", &groups::GROUPS),
    ("moto", &groups::NODES),
    ("moto", &dns::SUBJECT),
    ("moto", &others::TOPICS),
    ("moto", &others::CALLER),
    ("moto", &others::BALANCERS),
    ("moto", &network::NETWORK),
    ("moto", &network::QUOTAS),
    ("moto", &copies::BUCKETS),
    ("moto", &copies::IMAGES),
    ("moto", &copies::CERTIFICATES),
    ("moto", &access::KEYS),
    ("moto", &access::ROLES),
    ("ministack", &databases::SUBJECT),
    ("ministack", &groups::GROUPS),
    ("ministack", &groups::NODES),
    ("ministack", &dns::SUBJECT),
    ("ministack", &others::TOPICS),
    ("ministack", &others::CALLER),
    ("ministack", &others::BALANCERS),
    ("ministack", &others::METRICS),
    ("ministack", &network::NETWORK),
    ("ministack", &network::QUOTAS),
    ("ministack", &copies::BUCKETS),
    ("ministack", &copies::IMAGES),
    ("ministack", &copies::CERTIFICATES),
    ("ministack", &access::KEYS),
    ("ministack", &access::ROLES),
];

fn setting<T: std::str::FromStr>(name: &str, default: T) -> T {
    let Ok(text) = std::env::var(name) else { return default };
    text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number"))
}

/// The figures.
#[derive(Default)]
struct Figures {
    sequences: usize,
    calls: usize,
    answers: usize,
    not_compared: usize,
}

struct Comparison {
    rules: Rules,
    shapes: Shapes,
    figures: Figures,
    unknown: BTreeMap<Difference, (usize, String)>,
}

impl Comparison {
    /// Learns which fields the simulator tells.
    fn learn(&mut self, sequences: &[Sequence], told: &Value) {
        for (sequence, told) in sequences.iter().zip(told.as_array().unwrap()) {
            for (call, told) in sequence.calls.iter().zip(told.as_array().unwrap()) {
                let watched = sequence.watch.iter().zip(told["at_rest"].as_array().into_iter().flatten());
                for (call, told) in watched.chain([(call, told)]) {
                    if let Some(answer) = told.get("answer") {
                        self.shapes.learn(call.operation, &in_order(answer, sequence.number));
                    }
                }
            }
        }
    }

    /// Compares what a server and the simulator told of a sequence.
    fn sequence(&mut self, server: &str, sequence: &Sequence, theirs: &Value, ours: &Value) {
        self.figures.sequences += 1;
        let told = theirs.as_array().unwrap().iter().zip(ours.as_array().unwrap());
        for (number, (call, (theirs, ours))) in sequence.calls.iter().zip(told).enumerate() {
            self.figures.calls += 1;
            if self.call(server, sequence, call, theirs, ours) {
                self.figures.not_compared += sequence.calls.len() - number - 1;
                return;
            }
        }
    }

    /// Compares the answers to a call and what it changed; reports whether the two worlds differ now.
    fn call(&mut self, server: &str, sequence: &Sequence, call: &Call, theirs: &Value, ours: &Value) -> bool {
        let mut found = self.answers(sequence, call.operation, theirs, ours);
        if !found.iter().any(|(of, a, b)| of == ANSWER && (a == OK) != (b == OK)) && call.rest {
            let pairs = theirs["at_rest"].as_array().unwrap().iter().zip(ours["at_rest"].as_array().unwrap());
            for (watched, (theirs, ours)) in sequence.watch.iter().zip(pairs) {
                let effects = self.answers(sequence, watched.operation, theirs, ours);
                found.extend(effects.into_iter().map(|(of, a, b)| (format!("{EFFECT}{of}"), a, b)));
            }
        }
        let mut apart = false;
        for (of, simulator, theirs_shown) in found {
            let difference = Difference {
                server: server.to_owned(),
                operation: call.operation.to_owned(),
                when: call.when.to_owned(),
                of,
                simulator,
                theirs: theirs_shown,
            };
            match self.rules.know(&difference) {
                Some(everywhere) => apart |= call.rest && difference.parts() && !everywhere,
                None => {
                    apart |= call.rest && difference.parts();
                    let message = [&theirs["message"], &ours["message"]].map(|m| m.as_str().unwrap_or_default()).join(" / ");
                    self.unknown.entry(difference).or_insert_with(|| (sequence.number, format!("{} {message}", call.params)));
                }
            }
        }
        apart
    }

    fn answers(&mut self, sequence: &Sequence, operation: &str, theirs: &Value, ours: &Value) -> Vec<compare::Differing> {
        self.figures.answers += 1;
        let outcome = |told: &Value| match told.get("answer") {
            Some(_) => OK.to_owned(),
            None => format!("{} {}", told["code"].as_str().unwrap_or_default(), told["status"]),
        };
        let (mine, its) = (outcome(ours), outcome(theirs));
        if mine != its {
            return vec![(ANSWER.to_owned(), mine, its)];
        }
        if mine != OK {
            return Vec::new();
        }
        let [ours, theirs] = [ours, theirs].map(|told| in_order(&told["answer"], sequence.number));
        self.shapes.compare(operation, &ours, &theirs)
    }
}

/// The account of a server, which the simulator takes over.
fn account(server: &str) -> &'static str {
    if server == "moto" { "123456789012" } else { "000000000000" }
}

/// Deals out what is to be asked of a server.
fn sequences(server: &'static str, rules: &Rules, seed: u64, times: usize) -> (Vec<Sequence>, Parts) {
    let mut draw = Draw { rng: fastrand::Rng::with_seed(seed), server, account: account(server), number: 0 };
    let (mut all, mut parts) = (Vec::new(), Parts::default());
    for (_, subject) in PLAN.iter().filter(|(at, _)| *at == server) {
        let first = draw.number;
        all.extend(subject.sequences(times, &mut draw, |case| rules.part(server, case.operation, case.when)));
        for number in first..draw.number {
            parts.add(subject.service, &Draw { rng: fastrand::Rng::with_seed(0), number, ..draw });
        }
    }
    (all, parts)
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::print_stdout, reason = "the figures of a test are read by people")]
async fn the_simulator_and_the_servers_answer_alike() {
    let (seed, times) = (setting("WF_DIFFER_SEED", SEED), setting("WF_DIFFER_SEQUENCES", TIMES));
    let servers = Servers::start();
    servers.ask(&json!({ "do": "reset" }));
    let mut comparison =
        Comparison { rules: Rules::read(), shapes: Shapes::default(), figures: Figures::default(), unknown: BTreeMap::new() };

    let (mut dealt, mut sides) = (Vec::new(), Vec::new());
    for (server, url) in [("moto", &servers.moto), ("ministack", &servers.ministack)] {
        let (sequences, parts) = sequences(server, &comparison.rules, seed, times);
        let simulator = parts.serve(account(server)).await;
        let told = |simulated: bool| sequences.iter().map(|sequence| sequence.told(simulated)).collect::<Vec<_>>();
        sides.push(json!({ "endpoint": url, "sequences": told(false) }));
        sides.push(json!({ "endpoint": simulator, "sequences": told(true) }));
        dealt.push((server, sequences));
    }
    let told = servers.ask(&json!({ "do": "perform", "sides": sides }));

    for ((server, sequences), told) in dealt.iter().zip(told.as_array().unwrap().chunks(2)) {
        comparison.learn(sequences, &told[1]);
        for (number, sequence) in sequences.iter().enumerate() {
            comparison.sequence(server, sequence, &told[0][number], &told[1][number]);
        }
    }
    let Figures { sequences, calls, answers, not_compared } = comparison.figures;
    println!("seed {seed}: {sequences} sequences, {calls} calls, {answers} answers compared, {not_compared} calls after worlds parted");
    for (rule, times, _) in comparison.rules.met() {
        println!("{times:>5} × {rule}");
    }
    for (difference, (number, asked)) in &comparison.unknown {
        println!("NEW {difference}  sequence {number}: {asked}");
    }
    assert!(comparison.unknown.is_empty(), "{} differences stand in no list; WF_DIFFER_SEED={seed} repeats them", comparison.unknown.len());
    let gone = comparison.rules.met().filter(|(_, times, must)| *must && *times == 0).map(|(rule, ..)| rule.to_string());
    let gone: Vec<_> = gone.collect();
    assert!(gone.is_empty() || seed != SEED, "these differences are gone: {gone:#?}");
}
