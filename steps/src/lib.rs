//! (being written)
pub mod aws;
pub mod kinds;
