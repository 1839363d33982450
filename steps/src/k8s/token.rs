//! [`Bearer`]: the token that the API of an EKS cluster knows us by, a presigned question to STS, made here without the `aws` program.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderValue;
use jiff::Timestamp;
use wf_engine::clock::between;
use wf_engine::model::event::StepFailure;
use wf_engine::step::StepContext;

use crate::aws::{Cloud, presign};

/// A token is taken for 15 minutes; a new one is made well before.
const RENEWED_AFTER: Duration = Duration::from_secs(10 * 60);
/// What the API server knows such tokens by.
const PREFIX: &str = "k8s-aws-v1.";

/// The token for one cluster, renewed in long waits. Never recorded and never shown.
pub(super) struct Bearer {
    cluster: String,
    region: String,
    current: Mutex<Option<(Timestamp, HeaderValue)>>,
}

impl Bearer {
    pub(super) fn new(cluster: &str, region: &str) -> Self {
        Self { cluster: cluster.to_owned(), region: region.to_owned(), current: Mutex::default() }
    }

    /// Makes a new token if the last one is about to expire. Costs no call, unless credentials have to be renewed.
    pub(super) async fn renew(&self, cx: &StepContext<Cloud>) -> Result<(), StepFailure> {
        let now = cx.clock.now();
        let made = self.current.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|(made, _)| *made);
        if made.is_some_and(|made| between(made, now) < RENEWED_AFTER) {
            return Ok(());
        }
        let url = presign::caller_identity(&cx.env, &self.region, &self.cluster).await?;
        let header = header(&url).map_err(|error| StepFailure::permanent("the token for Kubernetes is no header").because(error))?;
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, header));
        Ok(())
    }

    /// Makes the next call bring a new token.
    pub(super) fn forget(&self) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Returns the `authorization` header.
    pub(super) fn header(&self) -> Option<HeaderValue> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|(_, header)| header.clone())
    }
}

fn header(url: &str) -> Result<HeaderValue, String> {
    let mut header = HeaderValue::try_from(format!("Bearer {PREFIX}{}", URL_SAFE_NO_PAD.encode(url))).map_err(|error| error.to_string())?;
    header.set_sensitive(true);
    Ok(header)
}
