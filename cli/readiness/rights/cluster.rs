//! What the Kubernetes clusters say of each step that acts in one.

use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use wf_engine::model::workflow::StepIx;
use wf_engine::readiness::Check;
use wf_engine::step::{KindInfo, StepContext};
use wf_steps::aws::Cloud;
use wf_steps::k8s::rights::{self, NAMESPACE};

use super::{AT_ONCE, Asked};

/// How long a cluster may take, in the world's time.
const WITHIN: Duration = Duration::from_secs(60);

impl Asked<'_> {
    /// Asks the clusters about every step that is looked at.
    pub(super) async fn cluster_rights(&self, cx: &StepContext<Cloud>) -> Vec<(StepIx, Check)> {
        let asked: Vec<_> = self.steps().filter_map(|(ix, kind)| Some((ix, self.in_cluster(ix, kind)?))).collect();
        let checks = stream::iter(asked).map(async |(ix, asked)| {
            let cloud = self.cloud(self.looking.bound.account(ix));
            let cx = cx.with_env(cloud);
            (ix, asked.check(self.file, self.within(WITHIN, asked.denied(&cx)).await))
        });
        checks.buffer_unordered(AT_ONCE).collect().await
    }

    /// Returns what a step does in a cluster, if it acts in one, and that is known.
    fn in_cluster(&self, ix: StepIx, kind: &KindInfo) -> Option<rights::Asked> {
        let plan = &self.place.run;
        let cluster = plan.value(ix, "cluster")?;
        let is_namespaced = kind.params.iter().any(|param| param.name == "namespace");
        let namespace = plan.value(ix, "namespace").or_else(|| is_namespaced.then(|| NAMESPACE.to_owned()));
        (!kind.rbac.is_empty()).then(|| rights::Asked { cluster, namespace, workload: plan.value(ix, "kind"), rbac: kind.rbac })
    }
}
