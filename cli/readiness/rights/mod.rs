//! Whether those who act in a run may do all that it does: a check of each step that acts in an account (`iam`) or in a cluster (`cluster`). What
//! a step does is known before the run, also of one whose other params only the run will know.

mod cluster;
mod iam;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use wf_engine::model::account::Account;
use wf_engine::model::event::StepFailure;
use wf_engine::model::ids::RunId;
use wf_engine::model::occasion::Only;
use wf_engine::model::workflow::StepIx;
use wf_engine::plan::Looking;
use wf_engine::readiness::Check;
use wf_engine::step::{Env as _, KindInfo};
use wf_steps::aws::Cloud;

use crate::failure::Failure;
use crate::plan::Place;
use crate::sim_world::World;

/// How many questions are asked at once.
const AT_ONCE: usize = 8;

/// What is asked about.
pub struct Asked<'a> {
    /// The workflow's file.
    pub file: &'a Path,
    pub looking: &'a Looking,
    pub place: &'a Place<'a>,
    pub world: &'a World,
    /// Who is to act, by their ARN, when that is not who asks. Clusters tell everybody of themselves only.
    pub whose: Option<&'a str>,
}

impl Asked<'_> {
    /// Asks about every step of the run, and about those that are there to be checked only.
    ///
    /// # Errors
    /// When nothing can be asked in this world.
    pub async fn checks(&self, run: RunId) -> Result<BTreeMap<StepIx, Vec<Check>>, Failure> {
        let cx = self.world.context(run, "rights")?;
        let of_clusters = async { if self.whose.is_none() { self.cluster_rights(&cx).await } else { Vec::new() } };
        let (accounts, clusters) = tokio::join!(self.iam_rights(), of_clusters);
        let mut checks: BTreeMap<StepIx, Vec<Check>> = BTreeMap::new();
        for (ix, check) in accounts.into_iter().chain(clusters) {
            checks.entry(ix).or_default().push(check);
        }
        Ok(checks)
    }

    /// Returns the steps that are looked at, with their kinds.
    fn steps(&self) -> impl Iterator<Item = (StepIx, &'static KindInfo)> {
        let workflow = self.looking.bound.workflow();
        let looked_at = |ix: &StepIx| {
            let step = workflow.step(*ix);
            step.only == Some(Only::Check) || step.takes_part(self.looking.occasion)
        };
        let kind = |ix: StepIx| Some((ix, self.looking.registry.kind(&workflow.step(ix).kind.value)?));
        (0..workflow.len()).filter(looked_at).filter_map(kind)
    }

    /// Waits for an answer for a limited time, of the world's.
    async fn within<T>(&self, limit: Duration, answer: impl Future<Output = Result<T, StepFailure>>) -> Result<T, StepFailure> {
        tokio::select! {
            answer = answer => answer,
            () = self.world.clock.sleep(limit) => Err(StepFailure::unreachable(format!("no answer within {} s", limit.as_secs()))),
        }
    }

    /// Returns the way to AWS of who acts in an account; `None` is the operator's own.
    fn cloud(&self, account: Option<&Account>) -> Cloud {
        account.map_or_else(|| self.world.cloud.clone(), |account| self.world.cloud.in_account(account))
    }
}
