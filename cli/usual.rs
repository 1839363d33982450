//! How long the steps of a run usually take: by earlier runs of the workflow, else by what their kinds say. Only for showing: what cannot
//! be found out is left out, and nothing waits for it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use wf_engine::model::event::RunHeader;
use wf_engine::model::occasion::Occasion;
use wf_engine::model::workflow::Workflow;
use wf_engine::registry::{BoundWorkflow, Imports};

use crate::plan::History;
use crate::render::live::Suspend;
use crate::render::usual::Usual;
use crate::runs::Runs;
use crate::sim_world::offline_registry;

/// How long earlier runs are looked at.
const HISTORY_TIME_MAX: Duration = Duration::from_secs(10);

/// What is known of a run's steps before earlier runs are looked at.
pub struct Expected {
    workflow: Arc<Workflow>,
    world: String,
    kinds: Vec<Duration>,
}

impl Expected {
    /// Takes a bound workflow's kinds by their word.
    pub fn of_bound(bound: &BoundWorkflow, occasion: Occasion, world: &str) -> Self {
        let workflow = bound.workflow();
        let kind = |ix| if workflow.step(ix).takes_part(occasion) { bound.declared(ix).typical() } else { Duration::ZERO };
        Self { workflow: Arc::clone(workflow), world: world.to_owned(), kinds: (0..workflow.len()).map(kind).collect() }
    }

    /// As [`Expected::of_bound`], for a run that is on record. `None` if this `wf` does not know its kinds.
    pub fn of_run(workflow: &Arc<Workflow>, header: &RunHeader) -> Option<Self> {
        let bound = offline_registry().bind(Arc::clone(workflow), &header.inputs, &Imports::Values(&header.imports)).ok()?;
        let occasion = workflow.def().occasion(header.mode, header.drill.is_some());
        Some(Self::of_bound(&bound, occasion, &header.world))
    }

    /// Tells a display what the kinds say at once, and what earlier runs say when they have been looked at.
    pub async fn tell(self, runs: Runs, display: Suspend) {
        display.usual(Usual::new(Arc::clone(&self.workflow), |ix| self.kinds[ix]));
        let looked = timeout(HISTORY_TIME_MAX, History::glance(&runs, self.workflow.name(), &self.world)).await;
        if let Ok(Ok(history)) = looked
            && history.runs() > 0
        {
            let known = |ix| history.of(self.workflow.id(ix).as_str()).map(|known| known.p50);
            let took = |ix: usize| known(ix).filter(|_| !self.kinds[ix].is_zero()).unwrap_or(self.kinds[ix]);
            display.usual(Usual::new(Arc::clone(&self.workflow), took));
        }
    }
}
