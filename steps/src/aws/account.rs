//! Other accounts: what a workflow may say of one, and the credentials of a role in it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::future::ProvideCredentials as Provided;
use aws_credential_types::provider::{self, ProvideCredentials};
use aws_smithy_types::error::metadata::ProvideErrorMetadata as _;
use wf_engine::clock::Clock;
use wf_engine::model::account::Account;
use wf_engine::model::event::StepFailure;

use super::meaning::Meaning;
use super::{Cloud, errors};

/// The IAM action that taking on a role needs.
const ASSUME_ROLE: &str = "sts:AssumeRole";

/// How long STS may take for a role, repeated requests included: less than the limit on all credentials, which knows no role.
const ROLE_WITHIN: Duration = Duration::from_secs(15);

/// Says what is wrong with a field of an `Account(…)`, by the patterns of STS's API reference.
pub fn rule(field: &str, text: &str) -> Option<String> {
    let told = text.escape_debug();
    match field {
        "role" if role_parts(text).is_none() => {
            Some(format!("`{told}` is not the ARN of a role such as \"arn:aws:iam::123456789012:role/dr\""))
        }
        "external_id" if !(2..=1224).contains(&text.len()) || !text.chars().all(|c| is_common(c) || matches!(c, ':' | '/')) => {
            Some(format!("`{told}` is not an external id: 2 to 1224 of letters, digits and `_+=,.@-:/`"))
        }
        "session_name" if !(2..=64).contains(&text.len()) || !text.chars().all(is_common) => {
            Some(format!("`{told}` is not a session name: 2 to 64 of letters, digits and `_+=,.@-`"))
        }
        "region" if !is_region(text) => Some(format!("`{told}` is not a region such as \"us-west-2\"")),
        _ => None,
    }
}

/// Returns the number of the account that a role is in.
pub(super) fn number(role: &str) -> &str {
    role_parts(role).map_or("", |(account, _)| account)
}

/// Takes `arn:PARTITION:iam::ACCOUNT:role/PATH/NAME` apart: the account, and the path with the name.
fn role_parts(arn: &str) -> Option<(&str, &str)> {
    let [start, partition, "iam", "", account, resource] = arn.splitn(6, ':').collect::<Vec<_>>()[..] else { return None };
    let path = resource.strip_prefix("role/")?;
    let name = path.rsplit('/').next()?;
    let good = start == "arn"
        && (partition == "aws" || partition.starts_with("aws-"))
        && account.len() == 12
        && account.bytes().all(|byte| byte.is_ascii_digit())
        && (1..=64).contains(&name.len())
        && name.chars().all(is_common)
        && path.len() <= 512
        && path.bytes().all(|byte| byte.is_ascii_graphic());
    good.then_some((account, path))
}

fn is_common(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '+' | '=' | ',' | '.' | '@' | '-')
}

fn is_region(text: &str) -> bool {
    let parts: Vec<_> = text.split('-').collect();
    let number = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let word = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase());
    (3..=5).contains(&parts.len()) && parts.last().is_some_and(number) && parts[..parts.len() - 1].iter().all(word)
}

/// The role of another account that a [`Cloud`] acts as.
pub(super) struct Role {
    /// With its session name.
    pub(super) account: Account,
    /// Who takes it on.
    pub(super) base: Cloud,
}

/// Gives out the credentials of a role, by the STS of one region. The SDK's cache of credentials keeps them, and asks for new ones before
/// they expire.
pub(super) struct RoleCredentials {
    pub(super) sts: aws_sdk_sts::Client,
    pub(super) region: String,
    pub(super) account: Account,
    pub(super) clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for RoleCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RoleCredentials").field("role", &self.account.role).field("region", &self.region).finish_non_exhaustive()
    }
}

impl ProvideCredentials for RoleCredentials {
    fn provide_credentials<'a>(&'a self) -> Provided<'a>
    where
        Self: 'a,
    {
        Provided::new(async {
            tokio::select! {
                biased;
                given = self.assume() => given,
                () = self.clock.sleep(ROLE_WITHIN) => Err(CredentialsError::provider_error(CannotAssume(self.no_answer()))),
            }
        })
    }
}

impl RoleCredentials {
    async fn assume(&self) -> provider::Result {
        let Account { role, external_id, session_name, .. } = &self.account;
        let assume = self.sts.assume_role().role_arn(role).set_role_session_name(session_name.clone());
        let answer = assume.set_external_id(external_id.clone()).send().await.map_err(|error| {
            let denied = error.code().and_then(Meaning::of_code) == Some(Meaning::Denied);
            let what = self.what();
            let failure = match self.account.region {
                None => errors::reading(ASSUME_ROLE, what)(error),
                Some(_) => errors::changing(ASSUME_ROLE, what)(error),
            };
            CredentialsError::provider_error(CannotAssume(if denied { self.denied(failure) } else { failure }))
        })?;
        let no_credentials = || CredentialsError::unhandled(format!("STS in {} answered without credentials", self.region));
        let given = answer.credentials().ok_or_else(no_credentials)?;
        let expires = SystemTime::try_from(*given.expiration()).map_err(CredentialsError::unhandled)?;
        let (key, secret, token) = (given.access_key_id(), given.secret_access_key(), given.session_token().to_owned());
        Ok(Credentials::new(key, secret, Some(token), Some(expires), "AssumedRole"))
    }

    fn what(&self) -> String {
        format!("act as {}, by STS in {}", self.account.role, self.region)
    }

    /// Where the role is asked for in the region that the call goes to, it is that region which cannot be reached.
    fn no_answer(&self) -> StepFailure {
        let message = format!("failed to {}: no answer within {} s", self.what(), ROLE_WITHIN.as_secs());
        let failure = if self.account.region.is_none() { StepFailure::unreachable(message) } else { StepFailure::transient(message) };
        failure.hint("`region` in the step's `account` says which region's STS is asked: name one that works")
    }

    /// AWS says the same whatever the reason is, even when there is no such role.
    fn denied(&self, failure: StepFailure) -> StepFailure {
        let told = failure.hint.clone().unwrap_or_default();
        let external_id = match &self.account.external_id {
            Some(id) => format!("`{id}`, if it demands an external id"),
            None => "no external id (none is given here)".to_owned(),
        };
        failure.hint(format!(
            "{told}; the trust policy of {} must name that identity, and want {external_id}; and is there such a role?",
            self.account.role
        ))
    }
}

/// Why a role cannot be taken on.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.message)]
pub(super) struct CannotAssume(pub(super) StepFailure);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_sts_would_refuse_is_told_beforehand() {
        let good = [
            ("role", "arn:aws:iam::123456789012:role/dr"),
            ("role", "arn:aws-us-gov:iam::123456789012:role/a/b/dr+x=1,2.3@4-5_6"),
            ("external_id", "a:b/c"),
            ("session_name", "wf-01HZXW3V9K0000000000000042"),
            ("region", "us-gov-west-1"),
        ];
        let bad = [
            ("role", "dr"),
            ("role", "arn:aws:iam::12345:role/dr"),
            ("role", "arn:aws:iam::123456789012:user/dr"),
            ("role", "arn:aws:sts::123456789012:assumed-role/dr/x"),
            ("role", "arn:aws:iam::123456789012:role/"),
            ("role", "arn:aws:iam::123456789012:role/d r"),
            ("external_id", "a"),
            ("external_id", "a b"),
            ("session_name", "a/b"),
            ("session_name", "x"),
            ("region", "us-west"),
            ("region", "us_west_2"),
        ];
        for (field, text) in good {
            assert_eq!(rule(field, text), None, "{text}");
        }
        for (field, text) in bad {
            assert!(rule(field, text).is_some(), "{text}");
        }
        let long = "x".repeat(65);
        assert!(rule("session_name", &long).is_some() && rule("role", &format!("arn:aws:iam::123456789012:role/{long}")).is_some());
        assert_eq!(number("arn:aws:iam::123456789012:role/a/dr"), "123456789012");
    }
}
