//! The step kinds, one file each: params, observe, apply, settle, compensate, example — always in that order.

pub mod approval;
pub mod auto_scaling_scale;
pub mod eks_scale_nodegroup;
pub mod elb_wait_targets_healthy;
pub mod exec;
pub mod http_check;
pub mod k8s_apply;
pub mod k8s_ingress_address;
pub mod k8s_job;
pub mod k8s_patch_config_map;
pub mod k8s_patch_secret;
pub mod k8s_rollout_restart;
pub mod k8s_scale;
pub mod k8s_suspend_cron_jobs;
pub mod k8s_wait_nodes;
pub mod k8s_wait_pods_ready;
pub mod rds_create_read_replica;
pub mod rds_delete_instance;
pub mod rds_modify_instance;
pub mod rds_promote_read_replica;
pub mod rds_wait_replica_lag;
pub mod route53_failover;
pub mod sns_publish;
pub mod velero_backup;
pub mod velero_restore;
pub mod wait;
