//! The step kinds of `wf`, one file each under [`kinds`], on the real AWS SDK.
//!
//! ```text
//!   engine ──observe, apply, settle, compensate──► kinds/*  one file per kind
//!                                                    │
//!                                  aws::poll  aws::errors  aws::rds  aws::lag
//!                                                    │
//!                                               aws::Cloud   a client per service and region
//!                                                    │
//!                                               aws::budget  what each API allows; requests wait here
//!                                                    │
//!                        live AWS  ·  simulated AWS (`--sim`)  ·  nothing (`wf check`)
//! ```
//!
//! There is no second, fake implementation of a kind: under `--sim` the same SDK speaks the same protocols to a simulator, and
//! only the HTTP connector differs. The facts about AWS that a kind obeys are listed in its [`KindInfo::facts`], which
//! `wf kinds NAME` shows.
//!
//! A new kind is one file in `kinds/`, its `mod` line there, and its line in [`registry`].
//!
//! [`KindInfo::facts`]: wf_engine::step::KindInfo::facts

pub mod aws;
mod certificate;
mod hosted_zone;
pub mod k8s;
pub mod kinds;
mod launch;
mod launch_template;
mod looked;
mod named_record;
mod output;
mod question;
mod record_readiness;
mod record_set;
mod sizes;
pub mod watched;
mod write_lease;
mod zone_queue;

use aws::Cloud;
use wf_engine::registry::Registry;

/// Returns every kind that a workflow can use. Those that reach AWS do it through `cloud`.
pub fn registry(cloud: Cloud) -> Registry {
    Registry::new()
        .with_account_rule(aws::account::rule)
        .with::<kinds::approval::Approval>(())
        .with::<kinds::auto_scaling_scale::AutoScalingScale>(cloud.clone())
        .with::<kinds::dns_propagated::DnsPropagated>(cloud.clone())
        .with::<kinds::ecr_replicated::EcrReplicated>(cloud.clone())
        .with::<kinds::eks_scale_nodegroup::EksScaleNodegroup>(cloud.clone())
        .with::<kinds::elb_wait_targets_healthy::ElbWaitTargetsHealthy>(cloud.clone())
        .with::<kinds::exec::Exec>(())
        .with::<kinds::fence::Fence>(cloud.clone())
        .with::<kinds::http_check::HttpCheck>(cloud.clone())
        .with::<kinds::k8s_apply::K8sApply>(cloud.clone())
        .with::<kinds::k8s_ingress_address::K8sIngressAddress>(cloud.clone())
        .with::<kinds::k8s_job::K8sJob>(cloud.clone())
        .with::<kinds::k8s_patch_config_map::K8sPatchConfigMap>(cloud.clone())
        .with::<kinds::k8s_patch_secret::K8sPatchSecret>(cloud.clone())
        .with::<kinds::k8s_rollout_restart::K8sRolloutRestart>(cloud.clone())
        .with::<kinds::k8s_scale::K8sScale>(cloud.clone())
        .with::<kinds::k8s_suspend_cron_jobs::K8sSuspendCronJobs>(cloud.clone())
        .with::<kinds::k8s_wait_nodes::K8sWaitNodes>(cloud.clone())
        .with::<kinds::k8s_wait_pods_ready::K8sWaitPodsReady>(cloud.clone())
        .with::<kinds::rds_create_read_replica::RdsCreateReadReplica>(cloud.clone())
        .with::<kinds::rds_delete_instance::RdsDeleteInstance>(cloud.clone())
        .with::<kinds::rds_modify_instance::RdsModifyInstance>(cloud.clone())
        .with::<kinds::rds_promote_read_replica::RdsPromoteReadReplica>(cloud.clone())
        .with::<kinds::rds_wait_replica_lag::RdsWaitReplicaLag>(cloud.clone())
        .with::<kinds::route53_failover::Route53Failover>(cloud.clone())
        .with::<kinds::route53_weighted::Route53Weighted>(cloud.clone())
        .with::<kinds::s3_replicated::S3Replicated>(cloud.clone())
        .with::<kinds::sns_publish::SnsPublish>(cloud.clone())
        .with::<kinds::velero_backup::VeleroBackup>(cloud.clone())
        .with::<kinds::velero_restore::VeleroRestore>(cloud.clone())
        .with::<kinds::vpc_peering::VpcPeering>(cloud)
        .with::<kinds::wait::Wait>(())
}
