//! The step kinds, one file each: params, observe, apply, settle, compensate, example — always in that order.

pub mod approval;
pub mod auto_scaling_scale;
pub mod eks_scale_nodegroup;
pub mod elb_wait_targets_healthy;
pub mod exec;
pub mod http_check;
pub mod rds_create_read_replica;
pub mod rds_delete_instance;
pub mod rds_modify_instance;
pub mod rds_promote_read_replica;
pub mod rds_wait_replica_lag;
pub mod route53_failover;
pub mod sns_publish;
pub mod wait;
