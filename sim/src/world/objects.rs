//! The objects of S3.

use serde::{Deserialize, Serialize};

use super::{Ms, World};
use crate::def::CopyRule;

/// An object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Object {
    pub(crate) content: String,
    pub(crate) put: Ms,
}

/// What a bucket keeps beside its objects. The simulator copies nothing: it says that it would.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct DataBucket {
    pub(crate) suspended: bool,
    pub(crate) copied: Option<CopyRule>,
}

/// Takes `BUCKET.s3.REGION.amazonaws.com` apart.
pub(crate) fn bucket_of(host: &str) -> Option<(&str, &str)> {
    let host = host.split(':').next()?;
    let (bucket, region) = host.strip_suffix(".amazonaws.com")?.split_once(".s3.")?;
    (!bucket.is_empty() && !region.contains('.')).then_some((bucket, region))
}

impl World {
    /// Finds an object by its public address: its region, and the object if there is one; `None` for an address that is none of a bucket.
    pub(crate) fn public_object(&self, host: &str, path: &str) -> Option<(String, Option<Object>)> {
        let (bucket, region) = bucket_of(host)?;
        let objects = self.regions.get(region)?.objects.get(bucket)?;
        Some((region.to_owned(), objects.get(path.trim_start_matches('/')).cloned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_a_bucket_names_it_and_its_region() {
        assert_eq!(bucket_of("a.b.s3.us-west-2.amazonaws.com:443"), Some(("a.b", "us-west-2")));
        for host in ["s3.us-west-2.amazonaws.com", ".s3.us-west-2.amazonaws.com", "a.s3.amazonaws.com", "127.0.0.1:80", ""] {
            assert_eq!(bucket_of(host), None, "{host}");
        }
    }
}
