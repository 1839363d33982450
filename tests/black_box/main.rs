//! Tests of the `wf` binary from outside, as an operator meets it: argv in, words, exit codes and effects out.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bad_files;
mod crash;
mod support;
