//! [`Bucket`]: what a bucket of S3 keeps of its objects, and where it copies them to.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use wf_engine::model::event::StepFailure;

use super::Cloud;
use super::s3::{self, Ask, accepted, code};

/// A bucket, by where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bucket<'a> {
    /// Its name.
    pub(crate) name: &'a str,
    /// Its region: no other is asked.
    pub(crate) region: &'a str,
}

impl std::fmt::Display for Bucket<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "s3://{} in {}", self.name, self.region)
    }
}

/// A rule by which a bucket copies its objects, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    /// Its name.
    pub(crate) id: String,
    /// Whether it is switched on.
    pub(crate) enabled: bool,
    /// What the keys of the objects begin with that it copies.
    pub(crate) prefix: String,
    /// Whether it copies only objects with certain tags.
    pub(crate) tagged: bool,
    /// The name of the bucket that it copies to.
    pub(crate) to: String,
}

impl Bucket<'_> {
    /// Names what is wrong with the bucket's name, which `param` gives.
    pub(crate) fn problem(&self, param: &str) -> Option<String> {
        s3::bucket_problem(param, self.name)
    }

    /// Tells whether the bucket keeps earlier versions of its objects, which copying needs on both sides (`GetBucketVersioning`).
    pub(crate) async fn keeps_versions(&self, cloud: &Cloud) -> Result<bool, StepFailure> {
        let what = format!("read whether {self} keeps versions");
        let body = self.ask(cloud, "?versioning", "s3:GetBucketVersioning", what, None).await?;
        let read: Versioning = self.read(&body.unwrap_or_default())?;
        Ok(read.status.as_deref() == Some("Enabled"))
    }

    /// Returns the rules by which the bucket copies its objects; none when it has no such rules (`GetBucketReplication`).
    pub(crate) async fn rules(&self, cloud: &Cloud) -> Result<Vec<Rule>, StepFailure> {
        let (what, none) = (format!("read the replication rules of {self}"), Some("ReplicationConfigurationNotFoundError"));
        let Some(body) = self.ask(cloud, "?replication", "s3:GetReplicationConfiguration", what, none).await? else {
            return Ok(Vec::new());
        };
        let read: Replication = self.read(&body)?;
        Ok(read.rules.into_iter().map(Rule::from).collect())
    }

    /// Asks about the bucket; `None` when S3 says that there is `none` of what was asked for.
    async fn ask(
        &self,
        cloud: &Cloud,
        path: &str,
        action: &'static str,
        what: String,
        none: Option<&str>,
    ) -> Result<Option<Vec<u8>>, StepFailure> {
        let ask = Ask { method: "GET", path, action, what, body: None, no_answer: StepFailure::unreachable, allow: None };
        let answer = s3::ask(cloud, self.name, self.region, &ask).await?;
        if answer.status == 404 && none.is_some() && code(&answer).as_deref() == none {
            return Ok(None);
        }
        accepted(&ask, &answer).map(|()| Some(answer.body))
    }

    fn read<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T, StepFailure> {
        quick_xml::de::from_reader(body)
            .map_err(|error| StepFailure::transient(format!("S3's answer about {self} was not understood")).because(error.to_string()))
    }
}

#[derive(Debug, Deserialize)]
struct Versioning {
    #[serde(rename = "Status")]
    status: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Replication {
    #[serde(rename = "Rule", default)]
    rules: Vec<RuleXml>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RuleXml {
    #[serde(rename = "ID", default)]
    id: String,
    status: String,
    /// Where rules of the first version have it.
    prefix: Option<String>,
    filter: Option<FilterXml>,
    destination: DestinationXml,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct FilterXml {
    prefix: Option<String>,
    tag: Vec<TagXml>,
    and: Option<Box<FilterXml>>,
}

/// A tag that an object has to have; which does not matter.
#[derive(Debug, Deserialize)]
struct TagXml {}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DestinationXml {
    bucket: String,
}

impl From<RuleXml> for Rule {
    fn from(rule: RuleXml) -> Self {
        let filter = rule.filter.map(|filter| filter.and.map_or(FilterXml { and: None, ..filter }, |and| *and)).unwrap_or_default();
        Self {
            id: rule.id,
            enabled: rule.status == "Enabled",
            prefix: filter.prefix.or(rule.prefix).unwrap_or_default(),
            tagged: !filter.tag.is_empty(),
            to: rule.destination.bucket.rsplit(':').next().unwrap_or_default().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUCKET: Bucket<'static> = Bucket { name: "production-app-data-primary", region: "us-east-1" };

    #[test]
    fn rules_are_read_in_each_form_that_s3_has_for_them() {
        let rule = |inside: &str| {
            let text = format!(
                r#"<?xml version="1.0" encoding="UTF-8"?>
                <ReplicationConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Role>arn:aws:iam::1:role/r</Role>
                <Rule><ID>one</ID><Priority>1</Priority>{inside}<DeleteMarkerReplication><Status>Disabled</Status></DeleteMarkerReplication>
                <Destination><Bucket>arn:aws:s3:::copy</Bucket><StorageClass>STANDARD_IA</StorageClass></Destination></Rule></ReplicationConfiguration>"#
            );
            let read: Replication = BUCKET.read(text.as_bytes()).expect("read");
            let rules: Vec<Rule> = read.rules.into_iter().map(Rule::from).collect();
            let [rule] = rules.as_slice() else { panic!("one rule, not {rules:?}") };
            assert_eq!((rule.id.as_str(), rule.to.as_str()), ("one", "copy"));
            (rule.enabled, rule.prefix.clone(), rule.tagged)
        };
        let (on, off) = ("<Status>Enabled</Status>", "<Status>Disabled</Status>");
        let tag = "<Tag><Key>k</Key><Value>v</Value></Tag>";
        assert_eq!(rule(&format!("{on}<Filter/>")), (true, String::new(), false));
        assert_eq!(rule(&format!("{off}<Prefix>a/</Prefix>")), (false, "a/".to_owned(), false));
        assert_eq!(rule(&format!("{on}<Filter><Prefix>a/</Prefix></Filter>")), (true, "a/".to_owned(), false));
        assert_eq!(rule(&format!("{on}<Filter>{tag}</Filter>")), (true, String::new(), true));
        assert_eq!(rule(&format!("{on}<Filter><And><Prefix>a/</Prefix>{tag}{tag}</And></Filter>")), (true, "a/".to_owned(), true));
    }

    #[test]
    fn a_bucket_that_never_kept_versions_says_nothing() {
        let status = |inside: &str| {
            let text =
                format!(r#"<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{inside}</VersioningConfiguration>"#);
            BUCKET.read::<Versioning>(text.as_bytes()).expect("read").status
        };
        assert_eq!(status(""), None);
        assert_eq!(status("<Status>Suspended</Status>").as_deref(), Some("Suspended"));
        assert!(BUCKET.read::<Versioning>(b"<html>").is_err(), "a proxy's page");
    }
}
