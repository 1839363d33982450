//! The Kubernetes API of the simulated clusters, as the `kube` crate and bare requests meet it.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod access;
mod application;
mod faults;
mod objects;
mod persistence;
mod support;
mod velero;
mod workloads;
