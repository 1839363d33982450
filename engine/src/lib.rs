//! The engine of `wf`: vocabulary, rules and runtime. It has never heard of sled, AWS or a terminal; those plug in from outside
//! through [`journal::Journal`], [`step::StepKind`], [`clock::Clock`] and [`report::Reporter`].
//!
//! ```text
//!   RON text ──► model::dsl ──► model::workflow ──► registry::bind ──► BoundWorkflow
//!               (settings,        (a DAG that        (kinds known,         │
//!                places)        cannot be invalid)   params decoded)       │
//!                                                                          ▼
//!              ┌────────────────────── runtime::dispatcher ──────────────────────┐
//!   orders ──► │  decide: schedule::next_command ──► RunState::apply (in memory) │
//!              │  append: Journal::append, durable                               │ ──► Reporter
//!              │  act:    start executors, let them go on, set timers            │
//!              └───────▲─────────────────────────────────────────────────┬───────┘
//!                      │ before-image, handle, outputs, failure          │ go
//!                      └──────────── runtime::executor (one per attempt) ◄
//!                                     observe → apply → settle, or compensate
//! ```
//!
//! A run is a fold: [`model::run_state::RunState`] is nothing but the journal's events applied in order. Resuming is therefore
//! no feature with code of its own: replay, append `RunResumed`, carry on.

pub mod clock;
pub mod journal;
pub mod model;
pub mod pacer;
pub mod plan;
pub mod readiness;
pub mod registry;
pub mod report;
pub mod runtime;
pub mod signal;
pub mod step;
#[cfg(feature = "testkit")]
pub mod testkit;
pub mod units;
