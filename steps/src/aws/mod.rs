//! How the kinds reach AWS: one [`Cloud`] with a client per service and region, one table that says what an error means, one
//! poll loop, one set of API budgets that every request pays from. Knows nothing of workflows; knows the SDK, and that only the HTTP connector under it differs between the live
//! world, the simulated one and none at all.

pub(crate) mod account;
pub mod alarms;
pub mod arns;
mod ask_once;
pub(crate) mod bucket;
pub mod budget;
mod cloud;
pub mod errors;
mod gate;
mod identity;
pub(crate) mod instance_class;
pub(crate) mod key;
pub mod lag;
pub mod lag_diagnosis;
pub mod meaning;
pub(crate) mod missing;
pub mod monitoring;
pub(crate) mod name_server;
pub(crate) mod object;
mod patience;
pub mod poll;
pub mod presign;
pub mod rds;
mod reads;
pub mod recovery_cluster;
pub mod rights;
mod s3;
pub mod shared;
mod time;
mod topic;
mod web;

pub use ask_once::AskOnce;
pub use cloud::Cloud;
pub use identity::Unidentified;
pub use topic::Message;
pub use web::{WebAnswer, post};
