//! Doubles and suites for tests, in this crate and in the crates that implement its traits. Feature `testkit`.
//!
//! A suite is written once and run by every implementation of a trait. Nothing here is part of `wf` itself.
#![expect(clippy::unwrap_used, reason = "a suite that cannot go on fails the test that runs it")]

pub mod crash;
mod driver;
pub mod fake_world;
pub mod journal_suite;
pub mod laws;
mod memory_journal;

pub use driver::{TestRun, somebody};
pub use fake_world::{FakeWorld, Part};
pub use memory_journal::{AppendFault, MemoryJournal};
