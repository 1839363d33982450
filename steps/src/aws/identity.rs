//! Whom AWS takes the operator for.

use aws_config::retry::RetryConfig;
use aws_sdk_sts::config::Config;
use aws_smithy_types::error::metadata::ProvideErrorMetadata as _;
use wf_engine::model::event::{FailureKind, Identity, StepFailure};

use super::meaning::Meaning;
use super::{Cloud, errors};

/// A throttled answer, or a lost one, is not the last word; but nobody waits for a third.
const ATTEMPTS: u32 = 2;

/// What helps who has no credentials, before anything has begun.
const LOG_IN: &str = "log in (such as `aws sso login`), or set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";

/// Why nobody knows who the operator is.
#[derive(Debug, Clone, PartialEq)]
pub enum Unidentified {
    /// They have no credentials, or none that AWS takes: nothing else would work either.
    NoCredentials(StepFailure),
    /// STS, or who gives out the credentials, does not answer, or not as it should: everything else may work.
    NoAnswer(StepFailure),
}

impl Cloud {
    /// Asks the STS of a region for the identity behind the operator's own credentials. It needs no permission. From here on the roles of
    /// the same account share its API budgets.
    ///
    /// # Errors
    /// When that cannot be told.
    pub async fn identity(&self, region: &str) -> Result<Identity, Unidentified> {
        let retries = Config::builder().retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS));
        let asked = self.sts(region).get_caller_identity().customize().config_override(retries).send().await;
        let what = format!("ask STS in {region} who this is");
        let answer = asked.map_err(|error| {
            let meaning = error.code().and_then(Meaning::of_code);
            let no_credentials = match meaning {
                Some(meaning) => matches!(meaning, Meaning::Expired | Meaning::Credentials | Meaning::Clock),
                None => errors::is_about_credentials(&error),
            };
            let failure = errors::changing("sts:GetCallerIdentity", what.clone())(error);
            if no_credentials && failure.kind == FailureKind::Permanent {
                Unidentified::NoCredentials(if meaning == Some(Meaning::Clock) { failure } else { failure.hint(LOG_IN) })
            } else {
                Unidentified::NoAnswer(failure)
            }
        })?;
        match (answer.account(), answer.arn()) {
            (Some(account), Some(arn)) => {
                self.is_account(account);
                Ok(Identity { account: account.to_owned(), arn: arn.to_owned() })
            }
            _ => Err(Unidentified::NoAnswer(StepFailure::transient(format!("failed to {what}: the answer names nobody")))),
        }
    }
}
