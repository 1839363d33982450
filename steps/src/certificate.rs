//! Whether the certificates that a load balancer shows are good, and stay so. For `wf check --live`. A certificate that was uploaded to IAM
//! does not come from ACM, and is left out.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_acm::types::{CertificateDetail, CertificateStatus};
use wf_engine::model::event::StepFailure;
use wf_engine::readiness::Check;
use wf_engine::step::StepContext;

use crate::aws::{Cloud, errors};

/// The IAM actions of [`checks`].
pub(crate) const LISTENERS: &str = "elasticloadbalancing:DescribeListeners";
pub(crate) const LISTENED: &str = "elasticloadbalancing:DescribeListenerCertificates";
pub(crate) const CERTIFICATE: &str = "acm:DescribeCertificate";

const NAME: &str = "certificate";
/// How long a certificate has to be good. ACM renews its own 60 days before their end, so that one which is nearer has not been renewed.
const GOOD_FOR: Duration = Duration::from_secs(30 * DAY);
const DAY: u64 = 24 * 60 * 60;

/// Checks the certificates of a load balancer's listeners, each once.
pub(crate) async fn checks(cx: &StepContext<Cloud>, region: &str, balancer: &str) -> Vec<Check> {
    let name = balancer.rsplit('/').nth(1).unwrap_or(balancer);
    let subject = format!("load balancer {name} in {region}");
    let arns = match shown(&cx.env, region, balancer, &subject).await {
        Ok(arns) => arns,
        Err(failure) => return vec![Check::unknown(NAME, subject, failure)],
    };
    let mut checks = Vec::new();
    for arn in arns.iter().filter(|arn| arn.split(':').nth(2) == Some("acm")) {
        checks.push(check(cx, region, arn, &subject).await);
    }
    checks
}

/// Returns the certificates that a load balancer shows.
async fn shown(cloud: &Cloud, region: &str, balancer: &str, subject: &str) -> Result<BTreeSet<String>, StepFailure> {
    let elb = cloud.elb(region);
    let mut arns = BTreeSet::new();
    let mut listeners = elb.describe_listeners().load_balancer_arn(balancer).into_paginator().items().send();
    while let Some(listener) = listeners.next().await {
        let listener = listener.map_err(errors::reading(LISTENERS, format!("read the listeners of {subject}")))?;
        let encrypts = listener.protocol.is_some_and(|protocol| matches!(protocol.as_str(), "HTTPS" | "TLS"));
        let Some(arn) = listener.listener_arn.filter(|_| encrypts) else { continue };
        let mut certificates = elb.describe_listener_certificates().listener_arn(arn).into_paginator().items().send();
        while let Some(certificate) = certificates.next().await {
            let certificate = certificate.map_err(errors::reading(LISTENED, format!("read the certificates of {subject}")))?;
            arns.extend(certificate.certificate_arn);
        }
    }
    Ok(arns)
}

async fn check(cx: &StepContext<Cloud>, region: &str, arn: &str, subject: &str) -> Check {
    let id = arn.rsplit('/').next().unwrap_or(arn);
    let looks = format!("`aws acm describe-certificate --certificate-arn {arn} --region {region}` says why");
    let (on, another) = (format!("{subject}, {id}"), "request another one and have the listener show it (`aws elbv2 modify-listener`)");
    let check = Check::of(NAME, &on);
    let answer = cx.env.acm(region).describe_certificate().certificate_arn(arn).send().await;
    let found = match answer {
        Ok(answer) => answer.certificate.unwrap_or_else(|| CertificateDetail::builder().build()),
        Err(error) if errors::has_code(&error, "ResourceNotFoundException") => {
            return check.fail_if(true, format!("{subject} shows certificate {id}, which is not there any more"), another);
        }
        Err(error) => return Check::unknown(NAME, on, errors::reading(CERTIFICATE, format!("read certificate {id} of {subject}"))(error)),
    };
    let status = found.status().cloned().unwrap_or_else(|| CertificateStatus::from("unknown"));
    let left = found.not_after().map(|end| end.secs() - cx.clock.now().as_second());
    let days = left.unwrap_or_default() / DAY.cast_signed();
    check
        .fail_if(
            status != CertificateStatus::Issued,
            format!("{subject} shows certificate {id}, which is {status}: no browser takes it"),
            format!("{looks}; {another}"),
        )
        .fail_if(left.is_some_and(|left| left <= 0), format!("certificate {id} of {subject} is over since {} d", -days), another)
        .warn_if(
            left.is_some_and(|left| left < GOOD_FOR.as_secs().cast_signed()),
            format!("certificate {id} of {subject} ends in {days} d; ACM renews 60 d before, where it can"),
            format!("{looks}: often its DNS record for the validation is gone"),
        )
}
