//! [`Cluster`]: how a step names the cluster that it works on.

use std::path::PathBuf;

use serde::Deserialize;

/// The cluster that a step works on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Cluster {
    /// An EKS cluster, found and entered with the AWS credentials of the step: no kubeconfig and no `aws` program is needed.
    Eks {
        /// Its name.
        name: String,
        /// Its region.
        region: String,
    },
    /// Any cluster, by a context of a kubeconfig.
    Context {
        /// The context's name.
        name: String,
        /// The file; by default what `KUBECONFIG` names, or `~/.kube/config`.
        #[serde(default)]
        kubeconfig: Option<PathBuf>,
    },
}

impl Cluster {
    /// What a kind's `cluster` param means, for its list of params.
    pub const DOC: &str = "the cluster: Eks(name: \"…\", region: \"…\") or Context(name: \"…\", kubeconfig: \"FILE\")";
}

impl std::fmt::Display for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Eks { name, region } => write!(f, "cluster {name} in {region}"),
            Self::Context { name, .. } => write!(f, "the cluster of context {name}"),
        }
    }
}
