//! `wf` in front of AWS servers that nobody here wrote: moto and ministack, of pinned versions, driven and looked at by boto3.
//!
//! The simulator is ours, so it can share our mistakes; these servers have others. `servers/requirements.txt` has the versions, and
//! `servers/moto_patched.py` says where moto is no AWS and is replaced by our own reading of AWS, which proves nothing about those points.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod clusters;
mod differ;
mod errors;
mod faults;
mod identity;
mod kinds;
mod servers;
mod shipped;
mod stage;
#[path = "../common/stepped.rs"]
mod stepped;
mod venv;
