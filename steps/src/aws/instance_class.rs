//! Instance classes of RDS: whether a region has one for an engine. For `wf check --live`.

use wf_engine::readiness::Check;
use wf_engine::step::StepContext;

use super::rds::Instance;
use super::{Cloud, errors};

/// The IAM action of [`check`].
pub(crate) const OFFERED: &str = "rds:DescribeOrderableDBInstanceOptions";

const NAME: &str = "instance class";
/// The least that a page may have.
const PAGE: i32 = 20;

/// Checks that a region has a class for an instance like `like`. Whether there is room for one more at the moment nobody tells beforehand.
pub(crate) async fn check(cx: &StepContext<Cloud>, region: &str, class: &str, like: &Instance, subject: &str) -> Check {
    let Instance { engine, engine_version, .. } = like;
    let asked = cx.env.rds(region).describe_orderable_db_instance_options().engine(engine).engine_version(engine_version);
    let what = format!("look whether {region} has {class} for {engine} {engine_version}");
    let answer = match asked.db_instance_class(class).max_records(PAGE).send().await {
        Ok(answer) => answer,
        Err(error) => return Check::unknown(NAME, subject, errors::reading(OFFERED, what)(error)),
    };
    Check::of(NAME, subject).fail_if(
        answer.orderable_db_instance_options().is_empty(),
        format!("{region} has no {class} for {engine} {engine_version}: {subject} cannot be one"),
        format!(
            "another class: `aws rds describe-orderable-db-instance-options --engine {engine} --engine-version {engine_version} --region {region} --query 'OrderableDBInstanceOptions[].DBInstanceClass'` lists them"
        ),
    )
}
