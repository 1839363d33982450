//! (being written)
pub mod aws;
pub mod kinds;
mod record_set;
mod sizes;
