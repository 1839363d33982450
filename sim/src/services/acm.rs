//! ACM, AWS JSON 1.1: a certificate, of those that load balancers show. Reads only.

use serde_json::{Value, json};

use super::{Answer, Call, Document, ServiceError};
use crate::world::World;

/// Answers a call of ACM.
pub(super) fn answer(world: &World, call: &Call) -> Result<Answer, ServiceError> {
    let arn = match &call.document {
        Document::Json(body) => body.get("CertificateArn").and_then(Value::as_str).unwrap_or_default(),
        _ => "",
    };
    if !arn.starts_with("arn:aws:acm:") {
        return Err(ServiceError::new("InvalidArnException", format!("Invalid Amazon Resource Name in request: '{arn}'.")));
    }
    let balancers = world.region(&call.region).into_iter().flat_map(|region| region.load_balancers.values());
    let users: Vec<_> = balancers.filter(|balancer| balancer.certificate.as_ref().is_some_and(|shown| shown.arn == arn)).collect();
    let Some(certificate) = users.first().and_then(|balancer| balancer.certificate.as_ref()).filter(|shown| !shown.gone) else {
        let message = format!("Could not find certificate {arn}.");
        return Err(ServiceError::new("ResourceNotFoundException", message));
    };
    let seconds = |ms: i64| ms.div_euclid(1000);
    Ok(Answer::json(json!({
        "Certificate": {
            "CertificateArn": arn,
            "DomainName": world.application.host,
            "SubjectAlternativeNames": [world.application.host],
            "Status": certificate.status,
            "Type": "AMAZON_ISSUED",
            "NotBefore": seconds(certificate.until) - 395 * 86_400,
            "NotAfter": seconds(certificate.until),
            "InUseBy": users.iter().map(|balancer| &balancer.arn).collect::<Vec<_>>(),
            "KeyAlgorithm": "RSA-2048",
            "RenewalEligibility": "ELIGIBLE",
        },
    })))
}
