//! STS, query protocol of 2011-06-15: who the caller is, and taking on a role. Any role can be taken on, of any account, whatever the external
//! id, unless the fault `deny AssumeRole` says otherwise; all of them see the one account that there is.

use super::{Answer, Call, ServiceError};
use crate::world::{World, timestamp};
use crate::xml::Element;

/// Answers an STS call.
pub(super) fn answer(world: &mut World, call: &Call) -> Result<Answer, ServiceError> {
    match call.action.name {
        "GetCallerIdentity" => Ok(Answer::xml(
            Element::new("GetCallerIdentityResult")
                .with("Arn", &world.principal)
                .with("UserId", "AIDASIMULATEDOPERATOR")
                .with("Account", &world.account),
        )),
        _ => assume_role(world, call),
    }
}

fn assume_role(world: &World, call: &Call) -> Result<Answer, ServiceError> {
    let role = call.params.require("RoleArn", "ValidationError")?;
    let session = call.params.require("RoleSessionName", "ValidationError")?;
    let parts = role.strip_prefix("arn:aws:iam::").and_then(|rest| rest.split_once(":role/"));
    let Some((account, name)) = parts else {
        return Err(ServiceError::new("ValidationError", format!("{role} is invalid")));
    };
    let name = name.rsplit('/').next().unwrap_or(name);
    if !(2..=64).contains(&session.len()) || !session.chars().all(|c| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c)) {
        let message = format!("Value '{session}' at 'roleSessionName' failed to satisfy constraint: [\\w+=,.@-]{{2,64}}");
        return Err(ServiceError::new("ValidationError", message));
    }
    let seconds = call.params.number("DurationSeconds", "ValidationError")?.unwrap_or(3600);
    if !(900..=43_200).contains(&seconds) {
        let message = format!("Value '{seconds}' at 'durationSeconds' failed to satisfy constraint: 900 to 43200");
        return Err(ServiceError::new("ValidationError", message));
    }
    let credentials = Element::new("Credentials")
        .with("AccessKeyId", "ASIASIMULATEDROLE000")
        .with("SecretAccessKey", "simulated")
        .with("SessionToken", "simulated")
        .with("Expiration", timestamp(world.now + seconds * 1000));
    let user = Element::new("AssumedRoleUser")
        .with("AssumedRoleId", format!("AROASIMULATED:{session}"))
        .with("Arn", format!("arn:aws:sts::{account}:assumed-role/{name}/{session}"));
    Ok(Answer::xml(Element::new("AssumeRoleResult").with_child(credentials).with_child(user)))
}
