//! Sequences of calls, drawn from tables of cases: what is asked, and what is right or wrong about it.

use serde::Serialize;
use serde_json::{Map, Value, json};

pub const EAST: &str = "us-east-1";
pub const WEST: &str = "us-west-2";

/// A call, as `servers/differ.py` performs it.
#[derive(Debug, Clone, Serialize)]
pub struct Call {
    pub service: &'static str,
    pub region: &'static str,
    pub operation: &'static str,
    pub params: Value,
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub keep: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub busy: Option<&'static str>,
    /// Everything comes to rest after it, and is looked at.
    pub rest: bool,
    /// All pages are asked for.
    pub pages: bool,
    /// What is right or wrong about it.
    #[serde(skip)]
    pub when: &'static str,
}

impl Call {
    pub fn new(service: &'static str, region: &'static str, operation: &'static str, params: Value) -> Self {
        Self { service, region, operation, params, keep: Map::new(), busy: None, rest: false, pages: false, when: "" }
    }

    /// Names a part of the answer.
    pub fn keep(mut self, name: &str, path: &str) -> Self {
        self.keep.insert(name.to_owned(), json!(path));
        self
    }

    /// Says how the answer tells that something has not come to rest.
    pub fn busy(mut self, path: &'static str) -> Self {
        self.busy = Some(path);
        self
    }
}

/// How a case is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Changes nothing.
    Look,
    /// As `Look`, at all pages.
    All,
    /// Changes something, or is refused; the next call waits until everything is at rest.
    Change,
    /// As `Change`, and nothing of interest can come after it.
    Last,
}

/// A row of a table of cases: an operation, and what is right or wrong about the call.
pub struct Case {
    pub operation: &'static str,
    pub when: &'static str,
    pub used: Use,
    /// Draws the region and the parameters.
    pub make: fn(&mut Draw) -> (&'static str, Value),
    /// What of the answer has a name from then on.
    pub keep: Option<(&'static str, &'static str)>,
    /// The only server that can be asked.
    pub on: Option<&'static str>,
}

/// Makes a row.
pub const fn case(operation: &'static str, when: &'static str, used: Use, make: fn(&mut Draw) -> (&'static str, Value)) -> Case {
    Case { operation, when, used, make, keep: None, on: None }
}

impl Case {
    pub const fn keep(self, name: &'static str, path: &'static str) -> Case {
        Case { keep: Some((name, path)), ..self }
    }

    pub const fn on(self, server: &'static str) -> Case {
        Case { on: Some(server), ..self }
    }
}

/// What a case draws its parameters from.
pub struct Draw {
    pub rng: fastrand::Rng,
    pub server: &'static str,
    pub account: &'static str,
    pub number: usize,
}

impl Draw {
    /// A name that no other sequence has.
    pub fn name(&self, what: &str) -> String {
        format!("w{}-{what}", self.number)
    }

    pub fn number(&mut self, from: i64, to: i64) -> i64 {
        self.rng.i64(from..=to)
    }

    pub fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.rng.usize(..choices.len())]
    }
}

/// What sequences of one kind ask for, and what their world is.
pub struct Subject {
    pub service: &'static str,
    pub cases: &'static [Case],
    /// Makes the world of a sequence on a server.
    pub seed: fn(&Draw) -> Vec<Call>,
    /// Looks at that world.
    pub watch: fn(&Draw) -> Vec<Call>,
    /// What in it is called how in the simulator, of what a server names itself.
    pub names: fn(&Draw) -> Value,
}

/// A sequence.
#[derive(Debug, Clone)]
pub struct Sequence {
    pub number: usize,
    pub names: Value,
    pub seed: Vec<Call>,
    pub watch: Vec<Call>,
    pub calls: Vec<Call>,
}

impl Sequence {
    /// As a server, or the simulator, whose world is there already, is to perform it.
    pub fn told(&self, simulated: bool) -> Value {
        let (names, seed) = if simulated { (self.names.clone(), &[][..]) } else { (json!({}), &self.seed[..]) };
        json!({ "names": names, "seed": seed, "watch": self.watch, "calls": self.calls })
    }
}

/// Calls of a sequence before its last.
const CALLS: usize = 8;

impl Subject {
    /// Deals the cases out to sequences, each so many times or oftener. `parts` tells which cases leave the two worlds different,
    /// so that nothing after them can be compared: they come last.
    pub fn sequences(&self, times: usize, draw: &mut Draw, parts: impl Fn(&Case) -> bool) -> Vec<Sequence> {
        let served = self.cases.iter().filter(|case| case.on.is_none_or(|server| server == draw.server));
        let (last, inner): (Vec<_>, Vec<_>) = served.partition(|case| case.used == Use::Last || parts(case));
        let (short, long) = (last.len(), inner.len().div_ceil(CALLS));
        let (mut last, mut inner) = (Deck::new(last), Deck::new(inner));
        let mut sequences = Vec::new();
        // What comes last comes also first, to a world in which nothing has happened.
        for calls in [vec![0; short], vec![CALLS; long]].concat().repeat(times) {
            let mut cases: Vec<_> = (0..calls).filter_map(|_| inner.deal(&mut draw.rng)).collect();
            cases.extend(last.deal(&mut draw.rng));
            let calls = cases.into_iter().map(|case| self.call(case, draw)).collect();
            let (seed, watch, names) = ((self.seed)(draw), (self.watch)(draw), (self.names)(draw));
            sequences.push(Sequence { number: draw.number, names, seed, watch, calls });
            draw.number += 1;
        }
        sequences
    }

    fn call(&self, case: &Case, draw: &mut Draw) -> Call {
        let (region, params) = (case.make)(draw);
        let mut call = Call::new(self.service, region, case.operation, params);
        call.when = case.when;
        call.rest = matches!(case.used, Use::Change | Use::Last);
        call.pages = case.used == Use::All;
        if let Some((name, path)) = case.keep {
            call = call.keep(name, path);
        }
        call
    }
}

/// Cases in random order, shuffled anew each time that all are dealt.
struct Deck {
    cases: Vec<&'static Case>,
    left: Vec<&'static Case>,
}

impl Deck {
    fn new(cases: Vec<&'static Case>) -> Self {
        Self { cases, left: Vec::new() }
    }

    fn deal(&mut self, rng: &mut fastrand::Rng) -> Option<&'static Case> {
        if self.left.is_empty() {
            self.left = self.cases.clone();
            rng.shuffle(&mut self.left);
        }
        self.left.pop()
    }
}
