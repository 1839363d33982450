//! What SNS tells a watch: messages of CloudWatch alarms, by HTTP, each believed only when SNS signed it.
//!
//! The watch speaks TLS with a certificate that it is given, or else listens for plain HTTP behind whatever ends TLS for it, such as a load
//! balancer. Either way a message that was changed or made up on the way is not believed.

mod alarms;
mod inbox;
mod message;
#[cfg(test)]
#[path = "../../../tests/cli/sns_signing.rs"]
mod signing_key;
mod tls;

pub use inbox::Inbox;
pub use message::region_of;
pub use tls::tls;

/// What tests sign with, and the certificate that belongs to it.
#[cfg(test)]
mod signing {
    pub use super::signing_key::{TOPIC, notification, sign};
    pub const CERTIFICATE: &str = include_str!("../../../sim/src/services/sns-signing.pem");
}
