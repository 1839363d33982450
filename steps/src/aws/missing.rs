//! [`Missing`]: the failure of a name that AWS does not know, with what the operator needs to see the mistake: the region and the account that
//! were asked, and the names that are there.

use std::time::Duration;

use aws_smithy_async::future::pagination_stream::PaginationStream;
use wf_engine::model::event::StepFailure;
use wf_engine::model::problem::nearest;
use wf_engine::step::StepContext;

use super::Cloud;

/// How long the account is asked for: it is a hint, no reason to wait.
const ACCOUNT_WITHIN: Duration = Duration::from_secs(5);
/// How many names are read to find a near one.
const NAMES_MAX: usize = 1000;
/// How many names a hint shows.
const SHOWN_MAX: usize = 8;

/// Something that a step names and a region does not have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Missing<'a> {
    /// What it is, in the singular, such as "RDS instance".
    pub(crate) what: &'a str,
    /// Its name.
    pub(crate) name: &'a str,
    /// Where it should be, such as "us-west-2" or "cluster production-dr in us-west-2".
    pub(crate) place: &'a str,
    /// The region whose STS is asked for the account; `None` for what is in no region, whose account is not told.
    pub(crate) region: Option<&'a str>,
}

impl Missing<'_> {
    /// Makes the failure. `names` are those that the place has, at most [`NAMES_MAX`]; `None` when they could not be read either.
    pub(crate) async fn failure(self, cx: &StepContext<Cloud>, names: Option<Vec<String>>) -> StepFailure {
        let Self { what, name, place, .. } = self;
        let account = self.account(cx).await.map(|account| format!(" of account {account}")).unwrap_or_default();
        let message = format!("there is no {what} {name} in {place}{account}");
        StepFailure::permanent(message).hint(self.hint(names))
    }

    async fn account(self, cx: &StepContext<Cloud>) -> Option<String> {
        let region = self.region?;
        tokio::select! {
            answer = cx.env.sts(region).get_caller_identity().send() => answer.ok()?.account,
            () = cx.sleep(ACCOUNT_WITHIN) => None,
        }
    }

    fn hint(self, names: Option<Vec<String>>) -> String {
        let Self { what, name, place, .. } = self;
        let Some(mut names) = names else {
            return "check the name, the region and the account".to_owned();
        };
        if let Some(near) = nearest(name, names.iter().map(String::as_str)) {
            return format!("did you mean {near}?");
        }
        names.sort();
        let more = names.len().saturating_sub(SHOWN_MAX);
        names.truncate(SHOWN_MAX);
        match (names.is_empty(), more) {
            (true, _) => format!("there is no {what} in {place} at all: is it the right region and account?"),
            (false, 0) => format!("what is there: {}", names.join(", ")),
            (false, more) => format!("what is there: {} and {more} more", names.join(", ")),
        }
    }
}

/// Reads the names from all pages of a list, [`NAMES_MAX`] at most; `None` when they cannot be read.
pub(crate) async fn names<T, E>(mut items: PaginationStream<Result<T, E>>, name: impl Fn(T) -> Option<String>) -> Option<Vec<String>> {
    let mut names = Vec::new();
    while names.len() < NAMES_MAX
        && let Some(item) = items.next().await
    {
        names.extend(name(item.ok()?));
    }
    Some(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_names_the_near_one_or_what_is_there() {
        let missing = Missing { what: "RDS instance", name: "prod-db-replica-wets", place: "us-west-2", region: Some("us-west-2") };
        let hint = |names: &[&str]| missing.hint(Some(names.iter().map(|name| (*name).to_owned()).collect()));
        assert_eq!(hint(&["other", "prod-db-replica-west"]), "did you mean prod-db-replica-west?");
        assert_eq!(hint(&["z", "y"]), "what is there: y, z");
        assert!(hint(&[]).contains("no RDS instance in us-west-2 at all"));
        let many: Vec<_> = (0..20).map(|number| number.to_string()).collect();
        assert!(missing.hint(Some(many)).ends_with("and 12 more"));
        assert!(missing.hint(None).starts_with("check the name"));
    }
}
