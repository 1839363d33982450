//! What `wf watch` knows: when looks at a page become an incident ([`Detector`]), and which incident was answered already ([`Memory`]).

mod detector;
mod memory;

pub use detector::{Detector, Seen};
pub use memory::{Incident, Memory};
