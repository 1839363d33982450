//! The Kubernetes step kinds in front of a real kube-apiserver, of Kubernetes 1.20 from Debian's sources. `run.sh` makes it and runs these; they
//! are ignored otherwise, since the making takes ten minutes.
//!
//! The simulated clusters are ours, so they can share our mistakes about how Kubernetes stores, merges, refuses and lets in. The API server has
//! none of ours, but it is alone: nothing runs in it. What it cannot show is played, or shown elsewhere:
//!
//! | kind                 | shown here | played by `controllers.rs`, so shown on the simulator only |
//! |----------------------|------------|-----------------------------------------------------------|
//! | `K8sWaitNodes`       | lists by selector | kubelets that join and become ready |
//! | `K8sWaitPodsReady`   | lists by selector | the scheduler and kubelets |
//! | `K8sIngressAddress`  | reads; a near name | an ingress controller |
//! | `K8sPatchSecret`     | all of it; a change in between by somebody else | - |
//! | `K8sPatchConfigMap`  | all of it; a change in between by somebody else | - |
//! | `K8sApply`           | all of it; conflicts, managers of fields, schemas, custom types | - |
//! | `K8sJob`             | made once, found again, deleted | the Job's pods, their log and their collection |
//! | `K8sRolloutRestart`  | the mark in the template, the new generation | the rollout and pods that keep it |
//! | `K8sScale`           | the scale, with `autoscaling/v2` through `between.rs` | the rollout, and an autoscaler that acts |
//! | `K8sSuspendCronJobs` | all of it, with `batch/v1` through `between.rs` | Jobs that start |
//! | `VeleroBackup`       | made once, found again, the settings of its schedule | Velero, whose types have a schema of ours |
//! | `VeleroRestore`      | the choice of a backup, made once, found again | Velero, whose types have a schema of ours |
//!
//! `EcrReplicated` lists pods, and compares their images with those of ECR, which is not here: it is shown on the simulator only.
//!
//! Tokens of EKS are taken by a webhook of ours, which looks at their form; the simulator checks their signature. Versions of Kubernetes after
//! 1.20 could not be tried.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod asks;
mod between;
mod controllers;
mod differ;
mod double;
mod eks;
mod errors;
mod kinds;
mod rights;
mod semantics;
mod servers;
mod stage;
#[expect(dead_code, reason = "other servers are tried with all of it")]
#[path = "../common/stepped.rs"]
mod stepped;
mod world;
