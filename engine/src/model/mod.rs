//! The pure heart: no async, no clock, no randomness, no I/O. Everything here is a function of its arguments.

pub mod account;
pub mod definition;
pub mod dsl;
pub mod edit;
pub mod event;
pub mod ids;
pub mod occasion;
pub mod order;
pub mod problem;
pub mod record;
pub mod retry;
pub mod ron_fields;
pub mod run_state;
pub mod schedule;
pub mod step_state;
pub mod template;
pub mod transition;
pub mod workflow;
