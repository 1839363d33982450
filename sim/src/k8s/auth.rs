//! Who asks: the bearer tokens that EKS takes, which are presigned requests to STS that name the cluster.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::HeaderMap;
use sha2::{Digest as _, Sha256};

use crate::services::Params;
use crate::world::Ms;

/// How a token for EKS begins.
const PREFIX: &str = "k8s-aws-v1.";
/// How long EKS takes a token after it was signed.
const VALID_FOR: Ms = 15 * 60 * 1000;
/// How far a client's clock may be ahead.
const SKEW: Ms = 5 * 60 * 1000;
/// The signed header that names the cluster.
const CLUSTER_HEADER: &str = "x-k8s-aws-id";

/// The secret keys that the simulator knows: its own roles', and what the documentation's examples use. Another's signature is
/// looked at for its form only.
const SECRETS: [(&str, &str); 3] = [("AKIASIMULATED", "simulated"), ("ASIASIMULATEDROLE000", "simulated"), ("AKIDEXAMPLE", "secret")];

/// Reports whether a request's bearer token is one that EKS would take for the cluster now. Out of the simulator's own
/// process (`lenient`) any other token will do, and so will none.
pub(super) fn is_authentic(headers: &HeaderMap, cluster: &str, now: Ms, lenient: bool) -> bool {
    let token = headers.get("authorization").and_then(|v| v.to_str().ok()).and_then(|v| v.strip_prefix("Bearer "));
    match token.map(str::trim) {
        Some(token) if token.starts_with(PREFIX) => {
            signed_request(token).is_some_and(|r| r.is_for(cluster) && (lenient || r.is_fresh(now)))
        }
        _ => lenient,
    }
}

/// The request behind a token.
struct Signed {
    host: String,
    query: Params,
    /// The query as it was written, without the signature.
    unsigned: Vec<String>,
}

fn signed_request(token: &str) -> Option<Signed> {
    let bytes = URL_SAFE_NO_PAD.decode(token.strip_prefix(PREFIX)?.trim_end_matches('=')).ok()?;
    let url: http::Uri = String::from_utf8(bytes).ok()?.parse().ok()?;
    let host = url.host().filter(|h| h.starts_with("sts.") && h.contains(".amazonaws.com"))?.to_owned();
    if url.scheme_str() != Some("https") || url.path() != "/" {
        return None;
    }
    let text = url.query()?;
    let mut unsigned: Vec<String> = text.split('&').filter(|p| !p.starts_with("X-Amz-Signature=")).map(str::to_owned).collect();
    unsigned.sort();
    Some(Signed { host, query: Params::parse(text), unsigned })
}

impl Signed {
    fn is_for(&self, cluster: &str) -> bool {
        let is = |name: &str, value: &str| self.query.get(name) == Some(value);
        let headers: Vec<&str> = self.query.get("X-Amz-SignedHeaders").unwrap_or_default().split(';').collect();
        let scope: Vec<&str> = self.query.get("X-Amz-Credential").unwrap_or_default().split('/').collect();
        let [key, date, region, "sts", "aws4_request"] = scope.as_slice() else {
            return false;
        };
        let formal = is("Action", "GetCallerIdentity")
            && is("X-Amz-Algorithm", "AWS4-HMAC-SHA256")
            && headers == ["host", CLUSTER_HEADER]
            && (self.host == "sts.amazonaws.com" || self.host.split('.').nth(1) == Some(region))
            && self.query.get("X-Amz-Signature").is_some();
        let secret = SECRETS.iter().find(|(known, _)| known == key).map(|(_, secret)| *secret);
        formal && secret.is_none_or(|secret| self.query.get("X-Amz-Signature") == Some(&self.signature(secret, cluster, date, region)))
    }

    fn is_fresh(&self, now: Ms) -> bool {
        let date = self.query.get("X-Amz-Date").unwrap_or_default();
        let signed = jiff::fmt::strtime::parse("%Y%m%dT%H%M%SZ", date).ok().and_then(|t| t.to_datetime().ok());
        let signed = signed.and_then(|t| t.to_zoned(jiff::tz::TimeZone::UTC).ok()).map(|t| t.timestamp().as_millisecond());
        signed.is_some_and(|signed| now < signed + VALID_FOR && signed < now + SKEW)
    }

    /// What the signature has to be if the signed header named this cluster (AWS Signature Version 4).
    fn signature(&self, secret: &str, cluster: &str, date: &str, region: &str) -> String {
        let nothing = hex(&Sha256::digest(b""));
        let headers = format!("host:{}\n{CLUSTER_HEADER}:{cluster}\n", self.host);
        let canonical = format!("GET\n/\n{}\n{headers}\nhost;{CLUSTER_HEADER}\n{nothing}", self.unsigned.join("&"));
        let stamp = self.query.get("X-Amz-Date").unwrap_or_default();
        let scope = format!("{date}/{region}/sts/aws4_request");
        let to_sign = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{}", hex(&Sha256::digest(canonical.as_bytes())));
        let key = mac(format!("AWS4{secret}").as_bytes(), date);
        let key = mac(&mac(&mac(&key, region), "sts"), "aws4_request");
        hex(&mac(&key, &to_sign))
    }
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return Vec::new();
    };
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
