//! S3's buckets, ECR's registries and ACM's certificates: what is kept in another region, and what is shown to browsers.

use serde_json::{Value, json};

use super::sequence::{Call, Case, Draw, EAST, Subject, Use::*, case};

pub const BUCKETS: Subject =
    Subject { service: "s3", cases: BUCKET_CASES, seed: seed_buckets, watch: |_| Vec::new(), names: |_| json!({}) };
pub const IMAGES: Subject = Subject { service: "ecr", cases: IMAGE_CASES, seed: seed_images, watch: |_| Vec::new(), names: |_| json!({}) };
pub const CERTIFICATES: Subject =
    Subject { service: "acm", cases: CERTIFICATE_CASES, seed: |_| Vec::new(), watch: |_| Vec::new(), names: |_| json!({}) };

fn seed_buckets(draw: &Draw) -> Vec<Call> {
    let s3 = |operation, params| Call::new("s3", EAST, operation, params);
    let (data, copy) = (draw.name("data"), draw.name("copy"));
    let versions = |bucket: &str| json!({ "Bucket": bucket, "VersioningConfiguration": { "Status": "Enabled" } });
    let rule = json!({
        "ID": "one", "Priority": 1, "Status": "Enabled", "Filter": { "Prefix": "" }, "DeleteMarkerReplication": { "Status": "Disabled" },
        "Destination": { "Bucket": format!("arn:aws:s3:::{copy}") },
    });
    let rules = json!({ "Role": "arn:aws:iam::123456789012:role/s3-replication", "Rules": [rule] });
    vec![
        s3("create_bucket", json!({ "Bucket": data })),
        s3("create_bucket", json!({ "Bucket": copy })),
        s3("create_bucket", json!({ "Bucket": draw.name("plain") })),
        s3("put_bucket_versioning", versions(&data)),
        s3("put_bucket_versioning", versions(&copy)),
        s3("put_bucket_replication", json!({ "Bucket": data, "ReplicationConfiguration": rules })),
    ]
}

fn seed_images(draw: &Draw) -> Vec<Call> {
    let ecr = |operation, params| Call::new("ecr", EAST, operation, params);
    let kind = "application/vnd.docker.distribution.manifest.v2+json";
    let manifest = json!({
        "schemaVersion": 2, "mediaType": kind, "layers": [],
        "config": { "mediaType": "application/vnd.docker.container.image.v1+json", "size": 2, "digest": format!("sha256:{:064x}", draw.number) },
    });
    vec![
        ecr("create_repository", json!({ "repositoryName": draw.name("app") })),
        ecr("put_image", json!({ "repositoryName": draw.name("app"), "imageManifest": manifest.to_string(), "imageTag": "v1" })),
    ]
}

/// What the simulator has of a sequence.
#[derive(Default)]
pub struct Simulated {
    data: Vec<String>,
    plain: Vec<String>,
    images: Vec<String>,
}

impl Simulated {
    pub fn add(&mut self, service: &str, draw: &Draw) {
        if service == "s3" {
            let (data, copy) = (draw.name("data"), draw.name("copy"));
            self.data.push(format!(r#"(name: "{data}", copied: (rule: "one", to: "{copy}")), (name: "{copy}")"#));
            self.plain.push(format!("{:?}", draw.name("plain")));
        } else {
            self.images.push(format!(r#""{}:v1": "1""#, draw.name("app")));
        }
    }

    /// As fields of a region.
    pub fn fields(&self) -> String {
        let [data, plain, images] = [&self.data, &self.plain, &self.images].map(|parts| parts.join(","));
        format!("data_buckets: [{data}], buckets: [{plain}], registry: (images: {{ {images} }})")
    }
}

fn bucket(draw: &Draw, which: &str) -> (&'static str, Value) {
    (EAST, json!({ "Bucket": draw.name(which) }))
}

const BUCKET_CASES: &[Case] = &[
    case("get_bucket_versioning", "a bucket that keeps versions", Look, |d| bucket(d, "data")),
    case("get_bucket_versioning", "a bucket that never did", Look, |d| bucket(d, "plain")),
    case("get_bucket_versioning", "an unknown bucket", Look, |d| bucket(d, "unknown")),
    case("get_bucket_replication", "a bucket with a rule", Look, |d| bucket(d, "data")),
    case("get_bucket_replication", "a bucket without one", Look, |d| bucket(d, "plain")),
    case("get_bucket_replication", "an unknown bucket", Look, |d| bucket(d, "unknown")),
];

fn image(draw: &Draw, repository: &str, id: Value) -> (&'static str, Value) {
    (EAST, json!({ "repositoryName": draw.name(repository), "imageIds": [id] }))
}

const IMAGE_CASES: &[Case] = &[
    case("describe_images", "an image by its tag", Look, |d| image(d, "app", json!({ "imageTag": "v1" }))),
    case("describe_images", "all images", Look, |d| (EAST, json!({ "repositoryName": d.name("app") }))),
    case("describe_images", "an unknown tag", Look, |d| image(d, "app", json!({ "imageTag": "v2" }))),
    case("describe_images", "an unknown digest", Look, |d| image(d, "app", json!({ "imageDigest": format!("sha256:{:064x}", 0) }))),
    case("describe_images", "an unknown repository", Look, |d| image(d, "unknown", json!({ "imageTag": "v1" }))),
    case("describe_registry", "a registry without rules", Look, |_| (EAST, json!({}))),
];

const CERTIFICATE_CASES: &[Case] = &[
    case("describe_certificate", "an unknown certificate", Look, |d| {
        let arn = format!("arn:aws:acm:us-east-1:{}:certificate/12345678-1234-1234-1234-123456789012", d.account);
        (EAST, json!({ "CertificateArn": arn }))
    }),
    case("describe_certificate", "an ARN that is none", Look, |_| (EAST, json!({ "CertificateArn": "arn:certificate/0123456789" }))),
];
