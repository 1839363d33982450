//! The table of error codes knows what AWS documents: the API models that AWS's own Python client carries.

use serde_json::{Value, json};
use wf_steps::aws::Cloud;
use wf_steps::aws::meaning::Meaning;

use crate::servers::Servers;

/// What RDS does on our behalf and wants a right for, and what S3 asks for when an object is not there; the kinds do not call it.
const RIGHTS: [&str; 3] = ["kms:", "rds:AddTagsToResource", "s3:ListBucket"];

#[test]
#[expect(clippy::print_stdout, reason = "the figures of a test are read by people")]
fn every_error_that_aws_documents_has_a_meaning() {
    let registry = wf_steps::registry(Cloud::offline());
    let iam = registry.kinds().map(|kind| kind.iam);
    let actions = iam.flat_map(|iam| [iam.read, iam.apply, iam.compensate, iam.ready].concat());
    let actions = actions.filter(|action| !RIGHTS.iter().any(|right| action.starts_with(right)));
    // A right that is not called as its operation is.
    let operation = |action| if action == "s3:GetReplicationConfiguration" { "s3:GetBucketReplication" } else { action };
    let actions: Vec<_> = actions.map(operation).chain(["sts:AssumeRole"]).collect();
    let documented = Servers::start().ask(&json!({ "do": "errors", "actions": actions }));
    let (mut codes, mut unknown) = (0, Vec::new());
    for (action, errors) in documented.as_object().unwrap() {
        let Value::Array(errors) = errors else {
            panic!("{action} is no operation");
        };
        for code in errors.iter().map(|code| code.as_str().unwrap()) {
            codes += 1;
            if Meaning::of_code(code).is_none() {
                unknown.push(format!("{action}: {code}"));
            }
        }
    }
    assert!(unknown.is_empty(), "what do these mean? {unknown:?}");
    println!("{codes} error codes of {} operations have a meaning", documented.as_object().unwrap().len());
    assert!(codes > 50, "{documented}");
}
