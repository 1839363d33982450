//! The differences that are known and left: the tables of `sim/src/differences.md`, which is part of the simulator's docs.

use std::collections::BTreeMap;
use std::fmt;

const LIST: &str = include_str!("../../../sim/src/differences.md");

/// What an answer in order is called, and the field of a difference between two outcomes.
pub const OK: &str = "ok";
pub const ANSWER: &str = "answer";
/// Before the fields of what changed in the world.
pub const EFFECT: &str = "effect: ";

/// A difference between the simulator and a server.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    pub server: String,
    pub operation: String,
    pub when: String,
    /// "answer", or a field of it, or of what changed.
    pub of: String,
    pub simulator: String,
    pub theirs: String,
}

impl Difference {
    /// Reports whether the two worlds differ from then on.
    pub fn parts(&self) -> bool {
        let refused = (self.simulator == OK) != (self.theirs == OK);
        (self.of == ANSWER && refused) || self.of.starts_with(EFFECT)
    }
}

impl fmt::Display for Difference {
    /// As a row of the list, but for the judgement.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { server, operation, when, of, simulator, theirs } = self;
        write!(f, "| {server} | {operation} | {when} | {of} | {simulator} | {theirs} |")
    }
}

/// A known difference.
struct Rule {
    is: Difference,
    /// Only some sequences show it.
    seldom: bool,
}

/// The known differences, and how often each was met.
pub struct Rules {
    rules: Vec<Rule>,
    met: BTreeMap<usize, usize>,
}

impl Rules {
    pub fn read() -> Self {
        let rows = LIST.lines().filter(|line| ["| moto |", "| ministack |", "| both |"].iter().any(|start| line.starts_with(start)));
        Self { rules: rows.flat_map(rules).collect(), met: BTreeMap::new() }
    }

    /// Reports whether two worlds are known to differ once this was asked, so that it must be asked last.
    pub fn part(&self, server: &str, operation: &str, when: &str) -> bool {
        let concerned =
            |rule: &&Difference| rule.server == server && like(&rule.operation, operation) && rule.when != "*" && like(&rule.when, when);
        self.rules.iter().map(|rule| &rule.is).filter(concerned).any(Difference::parts)
    }

    /// Finds the rule for a difference; `Some(true)` if it holds for any call, so that the worlds go on alike otherwise.
    pub fn know(&mut self, found: &Difference) -> Option<bool> {
        let fits = |rule: &Difference| {
            let pairs = [
                (&rule.operation, &found.operation),
                (&rule.when, &found.when),
                (&rule.of, &found.of),
                (&rule.simulator, &found.simulator),
                (&rule.theirs, &found.theirs),
            ];
            rule.server == found.server && pairs.into_iter().all(|(pattern, text)| like(pattern, text))
        };
        let number = self.rules.iter().position(|rule| fits(&rule.is))?;
        *self.met.entry(number).or_default() += 1;
        Some(self.rules[number].is.when == "*")
    }

    /// Lists the rules with how often each was met, and whether it had to be.
    pub fn met(&self) -> impl Iterator<Item = (&Difference, usize, bool)> {
        let times = |number| self.met.get(&number).copied().unwrap_or(0);
        self.rules.iter().enumerate().map(move |(number, rule)| (&rule.is, times(number), !rule.seldom))
    }
}

/// Reads a row, which stands for as many rules as it names servers, calls, cases and fields.
fn rules(row: &str) -> Vec<Rule> {
    let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
    let [servers, operations, cases, fields, simulator, theirs, why] = cells[..] else { panic!("not seven cells: {row}") };
    assert!(!why.is_empty(), "who is right, and by what? {row}");
    let servers: &[&str] = if servers == "both" { &["moto", "ministack"] } else { &[servers] };
    let mut rules = Vec::new();
    for server in servers {
        for operation in operations.split("; ") {
            for (when, of) in cases.split("; ").flat_map(|when| fields.split("; ").map(move |of| (when, of))) {
                let [server, operation, when, of] = [server, operation, when, of].map(ToOwned::to_owned);
                let is = Difference { server, operation, when, of, simulator: simulator.to_owned(), theirs: theirs.to_owned() };
                rules.push(Rule { is, seldom: why.starts_with("Seldom") });
            }
        }
    }
    rules
}

/// Matches a text with a pattern in which `*` stands for anything.
pub fn like(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, tail)) => {
            text.strip_prefix(head).is_some_and(|rest| (0..=rest.len()).any(|at| rest.get(at..).is_some_and(|rest| like(tail, rest))))
        }
    }
}
