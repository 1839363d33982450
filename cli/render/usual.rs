//! [`Usual`]: how long the steps of a run usually take, and what follows from it for the time that is left.

use std::sync::Arc;
use std::time::Duration;

use wf_engine::model::workflow::{StepIx, Workflow};

/// How many steps a path names, and how many neighbours of each are looked at; a display is not worth more.
const PATH_MAX: usize = 12;
const NEIGHBOURS_MAX: usize = 1_000;

/// How long the steps of a run usually take.
#[derive(Debug, Clone)]
pub struct Usual {
    workflow: Arc<Workflow>,
    took: Vec<Duration>,
    /// Per step, the longest way from its start to the end of the run.
    remaining: Vec<Duration>,
}

impl Usual {
    /// Takes in each step's usual duration; zero for one that takes no part.
    pub fn new(workflow: Arc<Workflow>, took: impl Fn(StepIx) -> Duration) -> Self {
        let took: Vec<_> = (0..workflow.len()).map(took).collect();
        let remaining = workflow.remaining(|ix| took[ix]);
        Self { workflow, took, remaining }
    }

    /// Returns how long a step takes.
    pub fn of(&self, ix: StepIx) -> Duration {
        self.took.get(ix).copied().unwrap_or_default()
    }

    /// Returns the longest way to the run's end for a step that has gone on for `elapsed`. One that is overdue may end at any moment.
    pub fn left(&self, ix: StepIx, elapsed: Duration) -> Duration {
        self.remaining.get(ix).copied().unwrap_or_default().saturating_sub(elapsed.min(self.of(ix)))
    }

    /// Names the steps of the longest way from a step to the run's end.
    pub fn path(&self, from: StepIx) -> String {
        let (mut names, mut at) = (Vec::new(), Some(from));
        while let Some(ix) = at {
            if names.len() == PATH_MAX {
                names.push("…");
                break;
            }
            names.push(self.workflow.id(ix).as_str());
            let behind = self.workflow.dependents(ix).take(NEIGHBOURS_MAX).filter(|&next| !self.took[next].is_zero());
            at = behind.max_by_key(|&next| (self.remaining[next], std::cmp::Reverse(next)));
        }
        names.join(" → ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::tale::FAILOVER;

    #[test]
    fn what_is_left_is_the_longest_way_from_where_a_step_is() {
        let secs = [10, 20, 400, 80, 0, 50];
        let workflow = Arc::new(Workflow::parse(FAILOVER).expect("valid"));
        let usual = Usual::new(workflow, |ix| Duration::from_secs(secs[ix]));
        let left = |ix, elapsed| usual.left(ix, Duration::from_secs(elapsed)).as_secs();
        assert_eq!([left(0, 0), left(2, 0), left(2, 100), left(2, 1_000), left(3, 30)], [480, 450, 350, 50, 100]);
        assert_eq!((usual.path(0), usual.path(5)), ("fence → go → promote → dns".to_owned(), "dns".to_owned()));
    }
}
