//! The wire protocols: who is asked, for what, and how the answer is written. One file per service.

use crate::Sim;
use crate::error::ConnectionError;

/// An API action that the simulator understands.
pub(crate) struct Action {
    pub(crate) name: &'static str,
    pub(crate) service: &'static str,
    pub(crate) mutates: bool,
}

/// Every action; `HttpGet` stands for a request to the application itself.
pub(crate) const ACTIONS: &[Action] = &[Action {
    name: "HttpGet",
    service: "app",
    mutates: false,
}];

/// Answers a request.
pub(crate) async fn handle(
    _sim: &Sim,
    _request: http::Request<Vec<u8>>,
) -> Result<http::Response<Vec<u8>>, ConnectionError> {
    Err(ConnectionError::Refused("not yet".to_owned()))
}
