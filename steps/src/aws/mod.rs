//! How the kinds reach AWS: one [`Cloud`] with a client per service and region, one table that says what an error means, one
//! poll loop. Knows nothing of workflows; knows the SDK, and that only the HTTP connector under it differs between the live
//! world, the simulated one and none at all.

mod ask_once;
mod cloud;
pub mod errors;
pub mod lag;
pub mod poll;
pub mod presign;
pub mod rds;
mod time;
mod web;

pub use ask_once::AskOnce;
pub use cloud::Cloud;
pub use web::WebAnswer;
