//! (being written)
pub mod clock;
pub mod journal;
pub mod model;
pub mod step;
pub mod units;
#[cfg(feature = "testkit")]
pub mod testkit;
