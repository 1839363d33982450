//! [`Object`]: a small object of S3, put, looked at and taken away.

use wf_engine::model::event::StepFailure;

use super::Cloud;
use super::s3::{self, Ask, accepted, code};

/// An object, by where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Object<'a> {
    /// The bucket.
    pub(crate) bucket: &'a str,
    /// The key, without a slash in front, of characters that no URL has to escape.
    pub(crate) key: &'a str,
    /// The bucket's region: no other is asked.
    pub(crate) region: &'a str,
}

impl std::fmt::Display for Object<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.key)
    }
}

/// What is to be allowed of who may not read an object.
const ALLOW: &str = "allow s3:GetObject on the object, and s3:ListBucket on its bucket: without the latter S3 says of an object that is not there that the access is denied";

impl Object<'_> {
    /// Names what is wrong with where the object is said to be.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut problems: Vec<_> = s3::bucket_problem("bucket", self.bucket).into_iter().collect();
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
        if self.key.is_empty() || self.key.len() > 254 || self.key.starts_with('/') || !self.key.bytes().all(is_plain) {
            problems.push(format!("`key` \"{}\" is not 1 to 254 of A-Z, a-z, 0-9, -, _, . and inner slashes", self.key.escape_debug()));
        }
        problems
    }

    /// Returns the object's public address, at which a health checker asks for it.
    pub(crate) fn url(&self, cloud: &Cloud) -> String {
        s3::url(cloud, self.bucket, self.region, self.key)
    }

    /// Returns the host that a health checker names.
    pub(crate) fn host(&self) -> String {
        s3::host(self.bucket, self.region)
    }

    /// Tells whether the object is there. S3 has it for everybody from the moment that its PUT was answered.
    pub(crate) async fn is_there(&self, cloud: &Cloud) -> Result<bool, StepFailure> {
        Ok(self.read(cloud).await?.is_some())
    }

    /// Returns what the object holds; `None` if it is not there.
    pub(crate) async fn read(&self, cloud: &Cloud) -> Result<Option<Vec<u8>>, StepFailure> {
        let what = format!("look at {self} in {}", self.region);
        let (path, no_answer) = (self.key, StepFailure::unreachable as fn(String) -> StepFailure);
        let ask = Ask { method: "GET", path, action: "s3:GetObject", what, body: None, no_answer, allow: Some(ALLOW) };
        match s3::ask(cloud, self.bucket, self.region, &ask).await? {
            answer if answer.status == 404 && code(&answer).as_deref() == Some("NoSuchKey") => Ok(None),
            answer => accepted(&ask, &answer).map(|()| Some(answer.body)),
        }
    }

    /// Puts the object; whatever was there is replaced.
    pub(crate) async fn put(&self, cloud: &Cloud, content: &str) -> Result<(), StepFailure> {
        self.change(cloud, "PUT", "s3:PutObject", "put", Some(content.to_owned())).await
    }

    /// Takes the object away, if it is there.
    pub(crate) async fn delete(&self, cloud: &Cloud) -> Result<(), StepFailure> {
        self.change(cloud, "DELETE", "s3:DeleteObject", "delete", None).await
    }

    async fn change(
        &self,
        cloud: &Cloud,
        method: &'static str,
        action: &'static str,
        deed: &str,
        body: Option<String>,
    ) -> Result<(), StepFailure> {
        let what = format!("{deed} {self} in {}", self.region);
        let ask = Ask { method, path: self.key, action, what, body, no_answer: StepFailure::transient, allow: None };
        accepted(&ask, &s3::ask(cloud, self.bucket, self.region, &ask).await?)
    }
}

#[cfg(test)]
mod tests {
    use wf_engine::model::event::FailureKind;

    use super::*;

    const OBJECT: Object<'static> = Object { bucket: "production-dr-switch", key: "failover/app", region: "us-west-2" };

    #[test]
    fn an_address_that_cannot_be_one_is_named() {
        assert_eq!(OBJECT.problems(), Vec::<String>::new());
        assert_eq!(Object { bucket: "a.b.c", key: "/x?y", region: "us-west-2" }.problems().len(), 2);
        assert_eq!(Object { bucket: "Dr-switch", key: "", region: "us-west-2" }.problems().len(), 2);
    }

    #[tokio::test]
    async fn an_object_that_nobody_can_be_asked_for_is_neither_there_nor_not() {
        let cloud = Cloud::offline();
        assert_eq!(OBJECT.url(&cloud), "https://production-dr-switch.s3.us-west-2.amazonaws.com/failover/app");
        assert_eq!(OBJECT.is_there(&cloud).await.expect_err("offline").kind, FailureKind::Unreachable);
        assert_eq!(OBJECT.put(&cloud, "x").await.expect_err("offline").kind, FailureKind::Transient);
    }
}
