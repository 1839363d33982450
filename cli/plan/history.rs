//! [`History`]: how long the steps of a workflow took in earlier runs.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::failure::Failure;
use crate::render::timeline::{Ending, Timeline};
use crate::run_summary::{kept, summary};
use crate::runs::Runs;

/// How many runs are looked at, the newest.
const RUNS_MAX: usize = 20;
/// The most steps of a run that is looked at in passing.
const STEPS_MAX: usize = 2_000;

/// How long steps took.
#[derive(Debug, Default)]
pub struct History {
    steps: BTreeMap<String, Known>,
    runs: usize,
}

/// How long a step took.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    pub p50: Duration,
    pub p90: Duration,
    /// In how many runs.
    pub runs: usize,
}

impl History {
    /// Reads the newest runs of a workflow on a world that reached their ends. A run that cannot be read tells nothing.
    pub async fn read(runs: &Runs, workflow: &str, world: &str) -> Result<Self, Failure> {
        Self::gather(runs, workflow, world, false).await
    }

    /// As [`History::read`], from the runs that are known to rest, and that are not huge: asks no other process, and is quick.
    pub async fn glance(runs: &Runs, workflow: &str, world: &str) -> Result<Self, Failure> {
        Self::gather(runs, workflow, world, true).await
    }

    async fn gather(runs: &Runs, workflow: &str, world: &str, quickly: bool) -> Result<Self, Failure> {
        let (mut took, mut seen): (BTreeMap<String, Vec<Duration>>, usize) = (BTreeMap::new(), 0);
        for run in runs.ids().await?.iter().rev() {
            if seen == RUNS_MAX {
                break;
            }
            let kept = if quickly { kept(runs, run).filter(|kept| kept.steps <= STEPS_MAX) } else { summary(runs, run).await.ok() };
            let Some(summary) = kept else { continue };
            if summary.workflow != workflow || summary.world != world || !summary.is_completed() {
                continue;
            }
            let Ok((replayed, found)) = runs.replayed(run).await else { continue };
            seen += 1;
            let timeline = Timeline::of(&replayed, &found.records, replayed.state.last_at().unwrap_or_default());
            for (ix, lap) in timeline.forward.iter().enumerate() {
                if let Some(lap) = lap.as_ref().filter(|lap| lap.ending == Some(Ending::Well)) {
                    took.entry(replayed.workflow.id(ix).to_string()).or_default().push(timeline.duration(lap));
                }
            }
        }
        let steps = took.into_iter().filter_map(|(step, took)| Some((step, known(took)?))).collect();
        Ok(Self { steps, runs: seen })
    }

    /// Returns how long a step took; none when it never succeeded.
    pub fn of(&self, step: &str) -> Option<Known> {
        self.steps.get(step).copied()
    }

    /// Returns how many runs it is from.
    pub fn runs(&self) -> usize {
        self.runs
    }
}

/// By nearest rank.
fn known(mut took: Vec<Duration>) -> Option<Known> {
    took.sort_unstable();
    let runs = took.len();
    let rank = |part: usize| took.get((runs * part).div_ceil(100).max(1) - 1).copied();
    Some(Known { p50: rank(50)?, p90: rank(90)?, runs })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_of_times_that_were_measured() {
        let of =
            |seconds: &[u64]| known(seconds.iter().map(|&s| Duration::from_secs(s)).collect()).map(|k| (k.p50.as_secs(), k.p90.as_secs()));
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[7]), Some((7, 7)));
        assert_eq!(of(&[3, 1]), Some((1, 3)));
        assert_eq!(of(&[10, 9, 8, 7, 6, 5, 4, 3, 2, 1]), Some((5, 9)));
    }
}
