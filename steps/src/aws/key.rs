//! KMS keys that databases are encrypted with. For `wf check --live`.

use aws_sdk_kms::types::KeyState;
use wf_engine::readiness::Check;
use wf_engine::step::StepContext;

use super::{Cloud, errors};

/// The IAM action of [`check`].
pub(crate) const DESCRIBE: &str = "kms:DescribeKey";

/// Checks that a key is there and can be used, for `what`. A database whose key is not is out of reach within hours, whatever else is well.
pub(crate) async fn check(cx: &StepContext<Cloud>, region: &str, key: &str, what: &str) -> Check {
    let check = Check::of("KMS key", what);
    let answer = match cx.env.kms(region).describe_key().key_id(key).send().await {
        Ok(answer) => answer,
        Err(error) if errors::has_code(&error, "NotFoundException") => {
            let why = format!("there is no key {key} in {region} for {what}");
            return check.fail_if(true, why, format!("`aws kms list-aliases --region {region}` shows those that are there"));
        }
        Err(error) => return Check::unknown("KMS key", what, errors::reading(DESCRIBE, format!("look at key {key} in {region}"))(error)),
    };
    let state = answer.key_metadata().and_then(|key| key.key_state());
    let mend = match state {
        Some(KeyState::PendingDeletion) => {
            format!("`aws kms cancel-key-deletion --key-id {key} --region {region}`, and then `aws kms enable-key` with the same")
        }
        _ => format!("`aws kms enable-key --key-id {key} --region {region}`"),
    };
    check.fail_if(
        state != Some(&KeyState::Enabled),
        format!("key {key} of {what} is {}: it has to be Enabled", state.map_or("in no state that is told", KeyState::as_str)),
        mend,
    )
}
