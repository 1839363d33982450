//! KMS, AWS JSON 1.1: a key, of those that databases are encrypted with. Reads only.

use serde_json::{Value, json};

use super::{Answer, Call, Document, ServiceError};
use crate::world::World;

/// Answers a call of KMS.
pub(super) fn answer(world: &World, call: &Call) -> Result<Answer, ServiceError> {
    let wanted = match &call.document {
        Document::Json(body) => body.get("KeyId").and_then(Value::as_str).unwrap_or_default(),
        _ => "",
    };
    let missing = || match wanted.starts_with("arn:") {
        true => format!("Key '{wanted}' does not exist"),
        false => format!("Key '{}' does not exist", world.arn("kms", &call.region, &format!("key/{wanted}"))),
    };
    let key = world.key(&call.region, wanted).ok_or_else(|| ServiceError::new("NotFoundException", missing()))?;
    let managed = key.alias.as_deref().is_some_and(|alias| alias.starts_with("alias/aws/"));
    let deleted = (key.state == "PendingDeletion").then(|| json!(world.now.div_euclid(1000) + 7 * 86_400));
    let mut metadata = json!({
        "AWSAccountId": world.account,
        "KeyId": key.id,
        "Arn": world.arn("kms", &call.region, &format!("key/{}", key.id)),
        "Enabled": key.state == "Enabled",
        "KeyState": key.state,
        "KeyUsage": "ENCRYPT_DECRYPT",
        "KeyManager": if managed { "AWS" } else { "CUSTOMER" },
        "KeySpec": "SYMMETRIC_DEFAULT",
        "Origin": "AWS_KMS",
        "MultiRegion": false,
        "EncryptionAlgorithms": ["SYMMETRIC_DEFAULT"],
    });
    if let Some(at) = deleted {
        metadata["DeletionDate"] = at;
    }
    Ok(Answer::json(json!({ "KeyMetadata": metadata })))
}
