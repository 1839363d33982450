//! What SNS answers to anybody who asks by a plain URL: the certificate that it signs with, and the confirmation of a subscription.

use super::{Outcome, Params, wire};
use crate::sim::State;

/// The certificate. Its key is among the tests' fixtures: whoever tries a watch out signs with it.
const CERTIFICATE: &str = include_str!("sns-signing.pem");
const CERTIFICATE_PATH: &str = "/SimpleNotificationService-simulated.pem";

/// Answers for a host of SNS; `None` for any other host.
pub(super) fn respond(state: &State, host: &str, uri: &http::Uri) -> Option<Outcome> {
    let region = host.strip_prefix("sns.")?.strip_suffix(".amazonaws.com")?;
    let asked = Params::parse(uri.query().unwrap_or_default());
    let topic = asked.get("TopicArn").unwrap_or_default();
    let reply = |status, kind, body: &str| Some(Outcome::Reply(wire::response(status, kind, body.as_bytes().to_vec(), &[])));
    if uri.path() == CERTIFICATE_PATH {
        return reply(200, "application/x-pem-file", CERTIFICATE);
    }
    let known = state.world.region(region).is_some_and(|held| held.topics.values().any(|arn| arn == topic));
    match asked.get("Action") {
        Some("ConfirmSubscription") if known && asked.get("Token").is_some() => reply(
            200,
            "text/xml",
            "<ConfirmSubscriptionResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><ConfirmSubscriptionResult/></ConfirmSubscriptionResponse>",
        ),
        _ => reply(404, "text/plain", "there is nothing here"),
    }
}
