//! Service Quotas, AWS JSON 1.1: the quotas of EC2 on running instances. Reads only.

use serde_json::{Value, json};

use super::{Answer, Call, Document, ServiceError};
use crate::world::World;
use crate::world::ec2::VCPU_QUOTAS;

/// Answers a call of Service Quotas.
pub(super) fn answer(world: &World, call: &Call) -> Result<Answer, ServiceError> {
    let asked = |name: &str| match &call.document {
        Document::Json(body) => body.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()),
        _ => None,
    };
    let (Some(service), Some(code)) = (asked("ServiceCode"), asked("QuotaCode")) else {
        return Err(ServiceError::new("IllegalArgumentException", "ServiceCode and QuotaCode are required."));
    };
    let missing = || ServiceError::new("NoSuchResourceException", "The request failed because the specified quota does not exist.");
    if service != "ec2" {
        let message = "The request failed because the specified service does not exist.";
        return Err(ServiceError::new("NoSuchResourceException", message));
    }
    let (code, name, default) = *VCPU_QUOTAS.iter().find(|(known, ..)| *known == code).ok_or_else(missing)?;
    let (value, owner) = match call.action.name {
        "GetServiceQuota" => (world.quota(&call.region, code).ok_or_else(missing)?, world.account.as_str()),
        _ => (default, ""),
    };
    Ok(Answer::json(json!({
        "Quota": {
            "ServiceCode": service,
            "ServiceName": "Amazon Elastic Compute Cloud (Amazon EC2)",
            "QuotaArn": format!("arn:aws:servicequotas:{}:{owner}:ec2/{code}", call.region),
            "QuotaCode": code,
            "QuotaName": name,
            "Value": value,
            "Unit": "None",
            "Adjustable": true,
            "GlobalQuota": false,
        },
    })))
}
