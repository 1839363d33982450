//! The step kinds, one file each: params, observe, apply, settle, compensate, example — always in that order.

pub mod approval;
pub mod exec;
pub mod wait;
