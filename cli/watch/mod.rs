//! What `wf watch` knows: what its sources say ([`Sources`]), when looks become an incident ([`Detector`]), and which incident was answered
//! already ([`Memory`]).

mod detector;
mod memory;
mod sns;
mod sources;

pub use detector::{Detector, Seen};
pub use memory::{Incident, Memory};
pub use sns::{Inbox, region_of, tls};
pub use sources::{Look, Says, Sources};
