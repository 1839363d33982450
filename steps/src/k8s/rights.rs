//! Whether who acts may do in a cluster what a step does: the API server is asked (`SelfSubjectAccessReview`), as `kubectl auth can-i` does.
//! Anybody may ask, and nothing is done. For `wf check --live`.

use std::path::Path;

use futures_util::future::join_all;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::PostParams;
use wf_engine::model::event::StepFailure;
use wf_engine::readiness::Check;
use wf_engine::step::{Rbac, StepContext};

use super::workload::WorkloadKind;
use super::{Cluster, Kubernetes, velero};
use crate::aws::Cloud;

const NAME: &str = "cluster rights";

/// What a step does in a cluster.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The cluster.
    pub cluster: Cluster,
    /// Where in it, unless in the whole of it.
    pub namespace: Option<String>,
    /// The one type of workload that it is about, of those that its kind names.
    pub workload: Option<WorkloadKind>,
    /// The rights of its kind.
    pub rbac: Rbac,
}

/// What is not allowed of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// As `kubectl auth can-i` takes them, such as "patch deployments.apps/scale".
    pub rights: Vec<String>,
    /// Whether the namespace is there.
    pub is_there: bool,
}

/// The namespace of a step that could name one and does not: Velero's.
pub const NAMESPACE: &str = velero::NAMESPACE;

impl Asked {
    /// Tells whether all of it is allowed, of a step of this workflow file. In a namespace that is not there yet a no is not the last word, as
    /// what binds roles comes with it.
    pub fn check(&self, file: &Path, denied: Result<Denied, StepFailure>) -> Check {
        let check = Check::of(NAME, self.place());
        let Denied { rights: denied, is_there } = match denied {
            Ok(denied) => denied,
            Err(failure) => return Check::unknown(NAME, self.place(), failure),
        };
        let flag = self.namespace.as_ref().map(|namespace| format!(" -n {namespace}")).unwrap_or_default();
        let first = denied.first().map(String::as_str).unwrap_or_default();
        let fix = format!(
            "bind the role that `wf iam {} --kubernetes` prints to whom the cluster takes you for; `kubectl auth can-i {first}{flag}` asks again",
            file.display()
        );
        let why = format!("who acts may not {} in {}", denied.join(", "), self.place());
        let later = format!("{why}, which is not there yet: what binds a role may come with it");
        check.fail_if(is_there && !denied.is_empty(), why, &fix).warn_if(!denied.is_empty(), later, &fix)
    }

    /// Asks what is not allowed of it.
    ///
    /// # Errors
    /// When the cluster does not tell.
    pub async fn denied(&self, cx: &StepContext<Cloud>) -> Result<Denied, StepFailure> {
        let kubernetes = Kubernetes::reach(cx, &self.cluster).await?;
        let answers = join_all(self.each().map(async |right| (right, may(&kubernetes, right, self.namespace.as_deref()).await))).await;
        let mut rights = Vec::new();
        for (right, answer) in answers {
            if !answer? {
                rights.push(right.to_string());
            }
        }
        let Some(name) = self.namespace.as_deref().filter(|_| !rights.is_empty()) else { return Ok(Denied { rights, is_there: true }) };
        // Who may not look does not know: then a no is one.
        let found = kubernetes.find(&format!("read namespace {name}"), kubernetes.cluster_wide::<Namespace>().get(name)).await;
        Ok(Denied { rights, is_there: found.map_or(true, |found| found.is_some()) })
    }

    fn place(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("namespace {namespace} of {}", self.cluster),
            None => self.cluster.to_string(),
        }
    }

    /// Takes the rights apart: "get,list deployments.apps/scale,pods" are four. Those that a kind tells in words are left out.
    fn each(&self) -> impl Iterator<Item = Right<'static>> {
        let Rbac { read, apply, compensate } = self.rbac;
        let workload = self.workload;
        let lines = [read, apply, compensate].into_iter().flatten().filter_map(|line| line.split_once(' '));
        lines
            .filter(|(_, resources)| !resources.contains(' '))
            .flat_map(|(verbs, resources)| verbs.split(',').flat_map(move |verb| resources.split(',').map(move |of| (verb, of))))
            .map(|(verb, of)| {
                let (whole, part) = of.split_once('/').unwrap_or((of, ""));
                let (resource, group) = whole.split_once('.').unwrap_or((whole, ""));
                Right { verb, resource, group, part }
            })
            .filter(move |right| workload.is_none_or(|only| !only.others().contains(&right.resource)))
    }
}

async fn may(kubernetes: &Kubernetes<'_>, right: Right<'_>, namespace: Option<&str>) -> Result<bool, StepFailure> {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let attributes = ResourceAttributes {
        verb: text(right.verb),
        group: text(right.group),
        resource: text(right.resource),
        subresource: text(right.part),
        namespace: namespace.map(str::to_owned),
        // A namespace is in itself.
        name: namespace.filter(|_| right.resource == "namespaces").map(str::to_owned),
        ..ResourceAttributes::default()
    };
    let spec = SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..SelfSubjectAccessReviewSpec::default() };
    let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
    let (api, params) = (kubernetes.cluster_wide::<SelfSubjectAccessReview>(), PostParams::default());
    let answer = kubernetes.read("ask what is allowed", api.create(&params, &review)).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

/// A verb on a resource.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Right<'a> {
    verb: &'a str,
    resource: &'a str,
    group: &'a str,
    /// Such as the `scale` of a deployment.
    part: &'a str,
}

impl std::fmt::Display for Right<'_> {
    /// As `kubectl` takes it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        if !self.part.is_empty() {
            write!(f, "/{}", self.part)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_taken_apart_and_those_of_other_workloads_left_out() {
        let rbac = Rbac {
            read: &["get,list deployments.apps,daemonsets.apps", "get namespaces"],
            apply: &["patch deployments.apps/scale,statefulsets.apps/scale"],
            compensate: &["delete pods", "delete the kinds of the manifests"],
        };
        let of = |workload| {
            let asked = Asked { cluster: Cluster::Context { name: "dr".to_owned(), kubeconfig: None }, namespace: None, workload, rbac };
            asked.each().map(|right| right.to_string()).collect::<Vec<_>>()
        };
        let some = ["get deployments.apps", "list deployments.apps", "get namespaces", "patch deployments.apps/scale", "delete pods"];
        assert_eq!(of(Some(WorkloadKind::Deployment)), some);
        assert_eq!(of(None).len(), 8);
    }
}
