//! Presigned requests. The SDK for Rust makes none for RDS and STS, unlike other SDKs: a replica of an encrypted instance in another region
//! cannot be created without one, and the API of an EKS cluster takes one of STS as its bearer token.

use std::time::{Duration, SystemTime};

use aws_credential_types::provider::ProvideCredentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign};
use aws_sigv4::sign::v4;
use wf_engine::model::event::StepFailure;

use super::Cloud;

/// A request that is signed beforehand.
struct Presigned<'a> {
    service: &'a str,
    region: &'a str,
    url: &'a str,
    /// Signed headers beside `host`.
    headers: &'a [(&'a str, &'a str)],
    expires_in: Duration,
}

/// Returns a URL that allows RDS in `region` to read the encrypted instance `source` of `source_region` for a new replica.
/// It grants that right to whoever has it, so it is never recorded.
pub async fn create_read_replica(
    cloud: &Cloud,
    source_region: &str,
    region: &str,
    source: &str,
    instance: &str,
    kms_key: &str,
) -> Result<String, StepFailure> {
    let query = [
        ("Action", "CreateDBInstanceReadReplica"),
        ("Version", "2014-10-31"),
        ("SourceDBInstanceIdentifier", source),
        ("DBInstanceIdentifier", instance),
        ("DestinationRegion", region),
        ("KmsKeyId", kms_key),
    ];
    let suffix = if source_region.starts_with("cn-") { ".cn" } else { "" };
    let query = query.map(|(name, value)| format!("{name}={}", escape(value))).join("&");
    let url = format!("https://rds.{source_region}.amazonaws.com{suffix}/?{query}");
    presign(cloud, &Presigned { service: "rds", region: source_region, url: &url, headers: &[], expires_in: Duration::from_secs(3600) })
        .await
}

/// Returns a URL that tells who asks whom, as the API of an EKS cluster wants it: the cluster has STS answer it. Whoever has it is taken for
/// us by that cluster for 15 minutes, so it is never recorded. The region's own STS is named, never the global one.
pub(crate) async fn caller_identity(cloud: &Cloud, region: &str, cluster: &str) -> Result<String, StepFailure> {
    let suffix = if region.starts_with("cn-") { ".cn" } else { "" };
    let url = format!("https://sts.{region}.amazonaws.com{suffix}/?Action=GetCallerIdentity&Version=2011-06-15");
    let headers = &[("x-k8s-aws-id", cluster)];
    presign(cloud, &Presigned { service: "sts", region, url: &url, headers, expires_in: Duration::from_secs(60) }).await
}

async fn presign(cloud: &Cloud, request: &Presigned<'_>) -> Result<String, StepFailure> {
    let Presigned { service, region, url, headers, expires_in } = *request;
    let unsigned = |cause: String| {
        StepFailure::permanent(format!("failed to presign a request to {} in {region}", service.to_uppercase())).because(cause)
    };
    let provider = cloud.credentials(region).ok_or_else(|| unsigned("no credentials".to_owned()))?;
    let identity = provider.provide_credentials().await.map_err(|error| unsigned(error.to_string()))?.into();
    let mut settings = SigningSettings::default();
    settings.signature_location = SignatureLocation::QueryParams;
    settings.expires_in = Some(expires_in);
    let time = cloud.config().time_source().map_or_else(SystemTime::now, |time| time.now());
    let params = v4::SigningParams::builder().identity(&identity).region(region).name(service).time(time).settings(settings).build();
    let params = params.map_err(|error| unsigned(error.to_string()))?.into();
    let request =
        SignableRequest::new("GET", url, headers.iter().copied(), SignableBody::Bytes(&[])).map_err(|error| unsigned(error.to_string()))?;
    let (instructions, _) = sign(request, &params).map_err(|error| unsigned(error.to_string()))?.into_parts();
    let signature: Vec<_> = instructions.params().iter().map(|(name, value)| format!("{name}={}", escape(value))).collect();
    Ok(format!("{url}&{}", signature.join("&")))
}

/// Escapes all but the unreserved characters of RFC 3986, as signatures want it.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => escaped.push(char::from(byte)),
            byte => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_url_carries_the_request_and_its_signature() {
        let source = "arn:aws:rds:us-east-1:123456789012:db:prod-db-primary";
        let url = create_read_replica(&Cloud::offline(), "us-east-1", "us-west-2", source, "prod-db-replica-west", "alias/dr")
            .await
            .expect("signed");
        assert!(url.starts_with("https://rds.us-east-1.amazonaws.com/?Action=CreateDBInstanceReadReplica&Version=2014-10-31&"), "{url}");
        for part in [
            "DestinationRegion=us-west-2",
            "KmsKeyId=alias%2Fdr",
            "db%3Aprod-db-primary",
            "X-Amz-Expires=3600",
            "us-east-1%2Frds%2Faws4_request",
            "X-Amz-Signature=",
        ] {
            assert!(url.contains(part), "{part} in {url}");
        }
    }
}
