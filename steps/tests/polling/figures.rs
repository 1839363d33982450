//! The figures: how late, and with how many calls.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

/// A wait that ended.
pub struct Wait {
    /// What was waited for, and about how long.
    pub kind: String,
    /// From the change of the world to the start of the next step.
    pub lag: Duration,
    /// From the start of the step to the change of the world.
    pub took: Duration,
    /// How long the stock waiter pauses between two looks.
    pub stock_pause: Duration,
}

impl Wait {
    /// Returns how often a stock waiter looks until it sees the change, the look at the beginning included, and how late it sees it.
    fn stock(&self) -> (u64, Duration) {
        let pauses = self.took.as_secs_f64() / self.stock_pause.as_secs_f64();
        let pauses = pauses.ceil() as u32;
        (u64::from(pauses) + 1, self.stock_pause * pauses - self.took)
    }
}

/// All waits, and the reads by service and action.
#[derive(Default)]
pub struct Figures {
    waits: Vec<Wait>,
    reads: BTreeMap<String, u64>,
}

impl Figures {
    /// Adds a run: its waits, and the reads by its end and by its beginning.
    pub fn add(&mut self, waits: Vec<Wait>, reads: &BTreeMap<String, u64>, before: &BTreeMap<String, u64>) {
        self.waits.extend(waits);
        for (name, count) in reads {
            *self.reads.entry(name.clone()).or_default() += count - before.get(name).unwrap_or(&0);
        }
    }

    pub fn waits(&self) -> usize {
        self.waits.len()
    }

    pub fn calls(&self) -> f64 {
        self.reads.values().sum::<u64>() as f64
    }

    pub fn lag(&self, percent: usize) -> Duration {
        part(self.waits.iter().map(|wait| wait.lag), percent)
    }

    pub fn report(&self, name: &str, runs: u64) -> String {
        let mut kinds: BTreeMap<&str, Vec<&Wait>> = BTreeMap::new();
        for wait in &self.waits {
            kinds.entry(&wait.kind).or_default().push(wait);
        }
        let mut text = format!("{name}, {runs} runs: seconds from the change of the world to the start of the next step\n");
        writeln!(text, "  {:<40} {:>4} {:>6} {:>6} {:>6}   stock waiters: p50, p95, looks a wait", "wait", "n", "p50", "p95", "max")
            .unwrap();
        for (kind, waits) in kinds {
            line(&mut text, kind, &waits);
        }
        line(&mut text, "all", &self.waits.iter().collect::<Vec<_>>());
        writeln!(text, "  reads a run: {:.0}", self.calls() / runs as f64).unwrap();
        for (name, count) in &self.reads {
            writeln!(text, "  {:>8.1} {name}", *count as f64 / runs as f64).unwrap();
        }
        let stock: u64 = self.waits.iter().map(|wait| wait.stock().0).sum();
        writeln!(text, "  {:>8.1} looks of stock waiters, for these waits alone", stock as f64 / runs as f64).unwrap();
        text
    }
}

fn line(text: &mut String, kind: &str, waits: &[&Wait]) {
    let ours = |percent| part(waits.iter().map(|wait| wait.lag), percent).as_secs_f64();
    let stock = |percent| part(waits.iter().map(|wait| wait.stock().1), percent).as_secs_f64();
    let looks = waits.iter().map(|wait| wait.stock().0).sum::<u64>() as f64 / waits.len() as f64;
    let (p50, p95, max) = (ours(50), ours(95), ours(100));
    writeln!(text, "  {kind:<40} {:>4} {p50:>6.2} {p95:>6.2} {max:>6.2}   {:>5.1} {:>5.1} {looks:>5.1}", waits.len(), stock(50), stock(95))
        .unwrap();
}

/// Returns the value that `percent` of all are not above.
fn part(values: impl Iterator<Item = Duration>, percent: usize) -> Duration {
    let mut values: Vec<_> = values.collect();
    values.sort();
    let rank = (values.len() * percent).div_ceil(100);
    values.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

/// Says about how long something took.
pub fn about(took: Duration) -> &'static str {
    match took.as_secs() {
        0..=59 => "under a minute",
        60..=239 => "1 to 4 min",
        240..=899 => "4 to 15 min",
        _ => "longer",
    }
}
