//! `S3Replicated`: sees whether what is put into a bucket is copied into one of another region. It looks at the rules; what was copied it
//! does not count.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::json;
use wf_engine::model::definition::Objectives;
use wf_engine::model::event::{Fields, StepFailure};
use wf_engine::readiness::Check;
use wf_engine::step::{Field, FieldType, Iam, KindInfo, Observed, Rbac, Reversibility, StepContext, StepKind, fields, nothing_to_apply};

use crate::aws::Cloud;
use crate::aws::bucket::{Bucket, Rule};
use crate::looked::as_failure;

/// Looks at how a bucket is copied.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct S3Replicated {
    /// The bucket whose objects are copied.
    pub bucket: String,
    /// Its region.
    pub region: String,
    /// The bucket that they are copied to.
    pub to: String,
    /// Its region.
    pub to_region: String,
    /// What the keys begin with that matter.
    #[serde(default)]
    pub prefix: String,
}

/// The rule that copies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CopiedBy {
    /// Its name.
    pub rule: String,
}

#[async_trait]
impl StepKind for S3Replicated {
    type Env = Cloud;
    type Before = CopiedBy;
    type Handle = ();

    const INFO: KindInfo = KindInfo {
        name: "S3Replicated",
        summary: "sees whether what is put into a bucket is copied into one of another region",
        example: r#"(
    id: "data_copied", only: Check,
    run: S3Replicated(bucket: "production-app-data-primary", region: "us-east-1", to: "production-app-data-dr", to_region: "us-west-2"),
)"#,
        reversibility: Reversibility::ReadOnly,
        params: &[
            Field::new("bucket", FieldType::Text, "the bucket whose objects are copied"),
            Field::new("region", FieldType::Text, "its region"),
            Field::new("to", FieldType::Text, "the bucket that they are copied to"),
            Field::new("to_region", FieldType::Text, "its region"),
            Field::new("prefix", FieldType::Text, "what the keys begin with that matter; default all of them"),
        ],
        outputs: &[Field::new("rule", FieldType::Text, "the name of the rule that copies")],
        before: &[Field::new("rule", FieldType::Text, "the name of the rule that copies")],
        iam: Iam { read: &["s3:GetBucketVersioning", "s3:GetReplicationConfiguration"], apply: &[], compensate: &[], ready: &[] },
        rbac: Rbac::NONE,
        facts: &[
            "S3 copies between buckets that both keep versions, by a rule that is Enabled; one that asks for tags copies only what has them",
            "a rule copies what is put from then on: what was there before takes S3 Batch Replication",
            "in an outage its own region cannot be asked: this is looked at beforehand, best by a step with `only: Check`",
        ],
        typical: Duration::from_secs(2),
        timeout: Duration::from_secs(60),
    };

    fn problems(&self) -> Vec<String> {
        let mut problems: Vec<_> = [self.source().problem("bucket"), self.copy().problem("to")].into_iter().flatten().collect();
        if self.region == self.to_region {
            problems.push(format!("`to_region` is {} too: a copy in the same region is gone with it", self.region));
        }
        if self.bucket == self.to {
            problems.push("`to` is the bucket itself".to_owned());
        }
        problems
    }

    async fn observe(&self, cx: &StepContext<Cloud>, _intent: Option<&CopiedBy>) -> Result<Observed<CopiedBy>, StepFailure> {
        let (kept, kept_there, rules) = self.look(cx).await;
        let rules = rules?;
        let rule = rules.iter().find(|rule| self.copies(rule)).map(|rule| rule.id.clone());
        as_failure(&self.checks(kept, kept_there, Ok(rules)))?;
        Ok(Observed::Satisfied(CopiedBy { rule: rule.unwrap_or_default() }))
    }

    async fn readiness(&self, cx: &StepContext<Cloud>, _objectives: &Objectives) -> Result<Vec<Check>, StepFailure> {
        let (kept, kept_there, rules) = self.look(cx).await;
        Ok(self.checks(kept, kept_there, rules))
    }

    async fn apply(&self, _cx: &StepContext<Cloud>, _before: &CopiedBy) -> Result<(), StepFailure> {
        nothing_to_apply(&Self::INFO)
    }

    async fn settle(&self, _cx: &StepContext<Cloud>, before: &CopiedBy, _handle: Option<&()>) -> Result<Fields, StepFailure> {
        Ok(fields([("rule", json!(before.rule))]))
    }

    async fn compensate(&self, _cx: &StepContext<Cloud>, _before: &CopiedBy, _handle: Option<&()>) -> Result<(), StepFailure> {
        nothing_to_apply(&Self::INFO)
    }
}

impl S3Replicated {
    fn source(&self) -> Bucket<'_> {
        Bucket { name: &self.bucket, region: &self.region }
    }

    fn copy(&self) -> Bucket<'_> {
        Bucket { name: &self.to, region: &self.to_region }
    }

    /// Reads whether either bucket keeps versions, and the rules of the first.
    async fn look(
        &self,
        cx: &StepContext<Cloud>,
    ) -> (Result<bool, StepFailure>, Result<bool, StepFailure>, Result<Vec<Rule>, StepFailure>) {
        let (source, copy) = (self.source(), self.copy());
        tokio::join!(source.keeps_versions(&cx.env), copy.keeps_versions(&cx.env), source.rules(&cx.env))
    }

    fn checks(
        &self,
        kept: Result<bool, StepFailure>,
        kept_there: Result<bool, StepFailure>,
        rules: Result<Vec<Rule>, StepFailure>,
    ) -> Vec<Check> {
        let versions = |bucket: Bucket<'_>, kept: Result<bool, StepFailure>| {
            let off = kept.as_ref().is_ok_and(|kept| !kept);
            Check::of("versioning", bucket).as_observed().fail_on(kept).fail_if(
                off,
                format!("{bucket} keeps no versions of its objects, and S3 copies only between buckets that do"),
                format!(
                    "`aws s3api put-bucket-versioning --bucket {} --versioning-configuration Status=Enabled --region {}`",
                    bucket.name, bucket.region
                ),
            )
        };
        let found = rules.as_ref().ok().map(|rules| self.why_not(rules));
        let rule = Check::of("replication rule", format!("{} → {}", self.source(), self.copy())).as_observed().fail_on(rules).fail_if(
            found.as_ref().is_some_and(Option::is_some),
            found.flatten().unwrap_or_default(),
            format!(
                "`aws s3api put-bucket-replication --bucket {} --region {} --replication-configuration file://…`; what is there already takes S3 Batch Replication",
                self.bucket, self.region
            ),
        );
        vec![versions(self.source(), kept), versions(self.copy(), kept_there), rule]
    }

    fn copies(&self, rule: &Rule) -> bool {
        rule.enabled && rule.to == self.to && !rule.tagged && self.prefix.starts_with(&rule.prefix)
    }

    /// Says why no rule copies what matters; `None` when one does.
    fn why_not(&self, rules: &[Rule]) -> Option<String> {
        if rules.iter().any(|rule| self.copies(rule)) {
            return None;
        }
        let (source, to) = (self.source(), &self.to);
        let Some(rule) = rules.iter().find(|rule| rule.to == *to) else {
            return Some(format!("{source} has no rule that copies to {to}: what is put there is lost with {}", self.region));
        };
        let why = match rule {
            Rule { enabled: false, .. } => "is disabled".to_owned(),
            Rule { tagged: true, .. } => "copies only objects with certain tags".to_owned(),
            _ => format!("copies only what begins with \"{}\"", rule.prefix.escape_debug()),
        };
        Some(format!("the rule \"{}\" of {source} {why}", rule.id.escape_debug()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_that_copies_less_is_told_with_what_it_leaves_out() {
        let kind = |prefix: &str| S3Replicated {
            bucket: "data".into(),
            region: "us-east-1".into(),
            to: "copy".into(),
            to_region: "us-west-2".into(),
            prefix: prefix.into(),
        };
        let rule = Rule { id: "one".into(), enabled: true, prefix: String::new(), tagged: false, to: "copy".into() };
        let why = |prefix: &str, rule: Rule| kind(prefix).why_not(&[rule]).unwrap_or_default();
        assert_eq!(kind("").why_not(std::slice::from_ref(&rule)), None);
        assert_eq!(kind("a/b").why_not(&[Rule { prefix: "a/".into(), ..rule.clone() }]), None);
        assert!(why("", Rule { prefix: "a/".into(), ..rule.clone() }).ends_with(r#"copies only what begins with "a/""#));
        assert!(why("", Rule { tagged: true, ..rule.clone() }).ends_with("with certain tags"));
        assert!(why("", Rule { enabled: false, ..rule.clone() }).ends_with("is disabled"));
        assert!(why("", Rule { to: "other".into(), ..rule }).contains("no rule that copies to copy"));
        assert_eq!(S3Replicated { to_region: "us-east-1".into(), to: "data".into(), ..kind("") }.problems().len(), 2);
    }
}
