//! What an answer of the Kubernetes API means for a step: who failed, how, and what helps. The counterpart of [`crate::aws::errors`].

use kube::core::Status;
use wf_engine::model::event::StepFailure;

use crate::aws::errors::chain;

/// Why a call got no good answer.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The token could not be made.
    Token(StepFailure),
    /// Nobody answered, or not in time.
    Unanswered(String),
    /// The API server refused.
    Status(Box<Status>),
    /// What was answered could not be read, or the call could not be made.
    Broken(String),
}

impl Refusal {
    /// Sorts an error of `kube`. Its own words are kept, never an answer as it came: that may hold a secret.
    pub(super) fn of(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::Status(status),
            kube::Error::Service(error) => Self::Unanswered(chain(error.as_ref())),
            kube::Error::HyperError(error) => Self::Unanswered(chain(&error)),
            kube::Error::SerdeError(error) => Self::Broken(format!("line {}, column {} of the answer", error.line(), error.column())),
            error => Self::Broken(chain(&error)),
        }
    }

    /// Returns the code of the API server's refusal.
    pub(super) fn code(&self) -> Option<u16> {
        match self {
            Self::Status(status) => Some(status.code),
            Self::Token(_) | Self::Unanswered(_) | Self::Broken(_) => None,
        }
    }

    /// Makes the failure of a call that attempted `what`, such as "patch secret production/db-credentials", in the cluster `whose`.
    /// `no_answer` says what no answer means: `unreachable` to a reading call, `transient` to a changing one.
    pub(super) fn failure(self, what: &str, whose: &str, endpoint: &str, no_answer: fn(String) -> StepFailure) -> StepFailure {
        let what = format!("failed to {what} in {whose}");
        match self {
            Self::Token(failure) => StepFailure { message: format!("{what}: {}", failure.message), ..failure },
            Self::Unanswered(why) => no_answer(format!("{what}: its API at {endpoint} does not answer")).because(why).hint(
                "check that this machine reaches that address: a private endpoint needs the VPN or a host in its VPC, and its security group must let port 443 in",
            ),
            Self::Broken(why) => no_answer(format!("{what}: the call or its answer could not be understood")).because(why),
            Self::Status(status) => refused(&what, &status),
        }
    }
}

fn refused(what: &str, status: &Status) -> StepFailure {
    let Status { code, reason, message, .. } = status;
    let said = format!("{what}: {message} ({}, HTTP {code})", if reason.is_empty() { "no reason" } else { reason });
    match code {
        401 => StepFailure::permanent(said)
            .hint("the cluster does not know who asks: log in again, or have an access entry made for this identity"),
        403 => StepFailure::permanent(said).hint(allow(message)),
        404 => StepFailure::permanent(said).hint("check the name and the namespace: `kubectl get` in that cluster lists what is there"),
        409 if reason == "AlreadyExists" => {
            StepFailure::permanent(said).hint("somebody else made something of that name: look whose it is")
        }
        409 => StepFailure::transient(said).hint("somebody else changed it at the same moment; the step is tried again"),
        429 => StepFailure::transient(said).hint("the API server asks for fewer calls; the step is tried again"),
        500.. => StepFailure::transient(said).hint("the API server failed; the step is tried again"),
        410 => StepFailure::transient(said),
        _ => StepFailure::permanent(said)
            .hint("Kubernetes does not take what the step asks for: correct the step in a new run, after a rollback of this one"),
    }
}

/// Says which right is missing to whom, as far as the API server tells: `User "x" cannot patch resource "secrets" in API group "" in the
/// namespace "production"`.
fn allow(message: &str) -> String {
    let quoted = |mark: &str| message.split_once(mark).and_then(|(_, rest)| rest.split('"').next()).filter(|word| !word.is_empty());
    let verb = message.split_once(" cannot ").and_then(|(_, rest)| rest.split_whitespace().next());
    let (Some(verb), Some(resource)) = (verb, quoted("resource \"")) else {
        return "a Role or ClusterRole must allow it to this identity, or an access policy of its EKS access entry".to_owned();
    };
    let group = quoted("API group \"").map(|group| format!(".{group}")).unwrap_or_default();
    let place = quoted("namespace \"").map_or_else(|| "in the whole cluster".to_owned(), |namespace| format!("in namespace {namespace}"));
    let whom = quoted("User \"").unwrap_or("this identity");
    format!("allow `{verb}` on `{resource}{group}` {place} to {whom}: a Role and its binding, or an access policy of its EKS access entry")
}

#[cfg(test)]
mod tests {
    use wf_engine::model::event::FailureKind;

    use super::*;

    fn failure(code: u16, reason: &str, message: &str) -> StepFailure {
        let status = Status { code, reason: reason.to_owned(), message: message.to_owned(), ..Status::failure("", "") };
        Refusal::Status(Box::new(status)).failure(
            "patch secret production/db",
            "cluster dr in us-west-2",
            "https://x",
            StepFailure::transient,
        )
    }

    #[test]
    fn refusals_say_whether_to_wait_or_what_helps() {
        for (code, reason, kind, hint) in [
            (401, "Unauthorized", FailureKind::Permanent, "access entry"),
            (404, "NotFound", FailureKind::Permanent, "check the name"),
            (409, "Conflict", FailureKind::Transient, "same moment"),
            (409, "AlreadyExists", FailureKind::Permanent, "look whose it is"),
            (422, "Invalid", FailureKind::Permanent, "does not take"),
            (429, "TooManyRequests", FailureKind::Transient, "fewer calls"),
            (503, "ServiceUnavailable", FailureKind::Transient, "failed"),
        ] {
            let failure = failure(code, reason, "words");
            assert_eq!(failure.kind, kind, "{failure:?}");
            assert!(failure.hint.as_deref().unwrap_or_default().contains(hint), "{failure:?}");
            assert!(failure.message.starts_with("failed to patch secret production/db in cluster dr in us-west-2: words"), "{failure:?}");
        }
    }

    #[test]
    fn who_is_denied_learns_which_verb_on_what() {
        let message = r#"deployments.apps "web-app" is forbidden: User "arn:aws:iam::123456789012:user/ana" cannot patch resource "deployments" in API group "apps" in the namespace "production""#;
        let hint = failure(403, "Forbidden", message).hint.unwrap_or_default();
        let start = "allow `patch` on `deployments.apps` in namespace production to arn:aws:iam::123456789012:user/ana";
        assert!(hint.starts_with(start), "{hint}");
        let nodes = allow(r#"nodes is forbidden: User "ana" cannot list resource "nodes" in API group "" at the cluster scope"#);
        assert!(nodes.starts_with("allow `list` on `nodes` in the whole cluster to ana"), "{nodes}");
        assert!(allow("no").starts_with("a Role"));
    }

    #[test]
    fn no_answer_to_a_change_leaves_open_whether_it_happened() {
        let change = Refusal::Unanswered("refused".to_owned()).failure("scale", "cluster dr", "https://x", StepFailure::transient);
        assert_eq!((change.kind, change.causes.len()), (FailureKind::Transient, 1));
        let read = Refusal::Unanswered("refused".to_owned()).failure("list nodes", "cluster dr", "https://x", StepFailure::unreachable);
        assert_eq!(read.kind, FailureKind::Unreachable);
    }
}
