//! What must hold for any input whatever. Each module is a fuzz target: its `check` takes bytes and panics when a promise is broken.
//!
//! | target | input | promises |
//! |---|---|---|
//! | [`workflow`] | a workflow file | a mistake has a place in the file; what is valid is valid again, and bound it can be run |
//! | [`template`] | params, and values for their references | rendered, it has the shape that was written; printed, it reads the same |
//! | [`record`] | events, one JSON object a line | encoded and decoded they are the same; replayed twice, the state is the same |
//! | [`journal`] | events and damage, or keys and values | what is accepted as a journal is one unbroken chain, and nothing that nobody wrote |
//! | [`sim`] | HTTP requests | each has an answer in its protocol; the world goes on |
//!
//! `cargo test -p wf-fuzz` runs all of `corpus/` and some mutations of it: `FUZZ_SEED=7 FUZZ_RUNS=100000` before it makes it longer.
//! Guided by coverage, on a machine with cargo-fuzz and a C++ compiler, each target runs for a million inputs or an hour with
//!
//! ```text
//! cd fuzz && for t in workflow template record journal sim; do mkdir -p libfuzzer/target/corpus/$t &&
//!   cargo fuzz run --fuzz-dir libfuzzer --sanitizer none $t libfuzzer/target/corpus/$t corpus/$t -- -runs=1000000 -max_total_time=3600 -max_len=4096
//! done
//! ```

pub mod journal;
mod lines;
pub mod record;
pub mod sim;
pub mod template;
pub mod workflow;

/// A fuzz target: panics when its input breaks a promise.
pub type Target = fn(&[u8]);

/// Every target, by the name of its folder in `corpus/`.
pub const TARGETS: [(&str, Target); 5] = [
    ("workflow", workflow::check),
    ("template", template::check),
    ("record", record::check),
    ("journal", journal::check),
    ("sim", sim::check),
];
