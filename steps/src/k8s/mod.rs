//! How the kinds reach Kubernetes: which [`Cluster`], as whom (`token`), over what (`transport`), and what an error means (`errors`).
//! `Kubernetes` puts these together; a kind asks through it and never makes a client of its own. Knows nothing of workflows.
//!
//! Under `--sim` the same `kube` client speaks the same protocol to the simulated cluster: only the HTTP service below it differs.

mod cluster;
mod connection;
mod errors;
mod kubernetes;
pub(crate) mod manifest;
pub(crate) mod readiness;
pub mod rights;
mod token;
mod transport;
pub(crate) mod velero;
pub mod workload;

pub use cluster::Cluster;
pub(crate) use connection::Connections;
pub(crate) use kubernetes::Kubernetes;

/// What `wf` calls itself as a writer of fields, and as the manager of objects that it made.
pub(crate) const MANAGER: &str = "wf";
