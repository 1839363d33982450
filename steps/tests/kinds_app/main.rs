//! The kinds that scale, switch and check, over the wire: against scripted answers for what AWS rarely does, and against the
//! simulated world for the rest. Every fact about AWS that one of these kinds obeys is a test here.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod accounts;
mod databases;
mod launching;
mod local;
mod scripted;
mod simulated;
mod support;
#[path = "../common/virtual_clock.rs"]
mod virtual_clock;
