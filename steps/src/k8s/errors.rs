//! What an answer of the Kubernetes API means for a step: who failed, how, and what helps. The counterpart of [`crate::aws::errors`].

use kube::core::Status;
use kube::error::DiscoveryError;
use wf_engine::model::event::StepFailure;

use crate::aws::errors::chain;

/// Why a call got no good answer.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The token could not be made.
    Token(StepFailure),
    /// Nobody answered, or not in time.
    Unanswered(String),
    /// The API serves no such type of object.
    NoSuchType,
    /// The other side does not prove that it is the cluster; why.
    Impostor(String),
    /// The API server refused.
    Status(Box<Status>),
    /// What was answered could not be read, or the call could not be made.
    Broken(String),
}

impl Refusal {
    /// Sorts an error of `kube`. Its own words are kept, never an answer as it came: that may hold a secret.
    pub(super) fn of(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) if serves_no_such_type(&status) => Self::NoSuchType,
            kube::Error::Api(status) => Self::Status(status),
            kube::Error::Discovery(DiscoveryError::MissingKind(_)) => Self::NoSuchType,
            kube::Error::Service(error) => Self::unanswered(chain(error.as_ref())),
            kube::Error::HyperError(error) => Self::unanswered(chain(&error)),
            kube::Error::SerdeError(error) => Self::Broken(format!("line {}, column {} of the answer", error.line(), error.column())),
            error => Self::Broken(chain(&error)),
        }
    }

    /// Tells a certificate that is not taken from an answer that does not come: both come as an error of the connection.
    fn unanswered(why: String) -> Self {
        if why.contains("invalid peer certificate") { Self::Impostor(why) } else { Self::Unanswered(why) }
    }

    /// Returns the code of the API server's refusal.
    pub(super) fn code(&self) -> Option<u16> {
        match self {
            Self::Status(status) => Some(status.code),
            Self::Token(_) | Self::Unanswered(_) | Self::NoSuchType | Self::Impostor(_) | Self::Broken(_) => None,
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
            Self::NoSuchType => StepFailure::permanent(format!("{what}: its API serves no such type of object")).hint(
                "is what defines it installed there, such as Velero? `kubectl api-resources` lists the types, each with its apiVersion and kind",
            ),
            // Nothing was sent: the certificate comes before the request.
            Self::Impostor(why) => StepFailure::permanent(format!("{what}: who answers at {endpoint} does not prove to be that cluster"))
                .because(why)
                .hint("the authority's certificate is another one: a kubeconfig of an older cluster, or a proxy in between that opens TLS"),
            Self::Broken(why) => no_answer(format!("{what}: the call or its answer could not be understood")).because(why),
            Self::Status(status) => refused(&what, &status),
        }
    }
}

fn refused(what: &str, status: &Status) -> StepFailure {
    let Status { code, reason, .. } = status;
    let message = &without_echo(&status.message);
    let said = format!("{what}: {message} ({}, HTTP {code})", if reason.is_empty() { "no reason" } else { reason });
    match code {
        401 => StepFailure::permanent(said)
            .hint("the cluster does not know who asks: log in again, or have an access entry made for this identity"),
        403 => StepFailure::permanent(said).hint(allow(message)),
        404 => StepFailure::permanent(said).hint("check the name and the namespace: `kubectl get` in that cluster lists what is there"),
        409 if reason == "AlreadyExists" => {
            StepFailure::permanent(said).hint("somebody else made something of that name: look whose it is")
        }
        409 if is_managed_by_others(status) => StepFailure::permanent(said)
            .hint("somebody else manages these fields: leave them out of the manifest, or take them over with `force: true`, in a new run"),
        409 => StepFailure::transient(said).hint("somebody else changed it at the same moment; the step is tried again"),
        429 => StepFailure::transient(said).hint("the API server asks for fewer calls; the step is tried again"),
        // A mistake of ours is a 500 here, since the API server takes it for one of its own.
        500 if message.starts_with("failed to create typed patch object") => {
            StepFailure::permanent(said).hint("correct the manifest: its type does not have such a field, or not of that type")
        }
        500.. => StepFailure::transient(said).hint("the API server failed; the step is tried again"),
        410 => StepFailure::transient(said),
        _ => StepFailure::permanent(said)
            .hint("Kubernetes does not take what the step asks for: correct the step in a new run, after a rollback of this one"),
    }
}

/// Cuts what was sent out of a refusal: of a patch that fits no object the API server shows the whole object, and that may be a Secret.
fn without_echo(message: &str) -> String {
    match message.split_once("Invalid value: \"{") {
        Some((said, _)) => format!("{said}Invalid value (not shown)"),
        None => message.to_owned(),
    }
}

/// Tells a type that is not served from an object that is not there: only the latter is named. The former may be plain text.
fn serves_no_such_type(status: &Status) -> bool {
    status.code == 404 && status.details.as_ref().is_none_or(|details| details.name.is_empty())
}

/// Tells server-side apply's conflict, which stays, from that of two writers at the same moment: both are a 409 `Conflict`.
fn is_managed_by_others(status: &Status) -> bool {
    let causes = status.details.as_ref().map(|details| details.causes.as_slice()).unwrap_or_default();
    causes.iter().any(|cause| cause.reason == "FieldManagerConflict")
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
    use serde_json::json;
    use wf_engine::model::event::FailureKind;

    use super::*;

    fn failure(code: u16, reason: &str, message: &str) -> StepFailure {
        let status = json!({ "code": code, "reason": reason, "message": message, "details": { "name": "db" } });
        let status: Status = serde_json::from_value(status).expect("a status");
        Refusal::Status(Box::new(status)).failure(
            "patch secret production/db",
            "cluster dr in us-west-2",
            "https://x",
            StepFailure::transient,
        )
    }

    #[test]
    fn refusals_say_whether_to_wait_or_what_helps() {
        let typed = "failed to create typed patch object: .spec: field not declared in schema";
        assert_eq!(failure(500, "", typed).kind, FailureKind::Permanent);
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

    fn sort(error: kube::Error) -> StepFailure {
        Refusal::of(error).failure("apply page", "cluster dr", "https://x", StepFailure::transient)
    }

    /// The answers are those of a real API server.
    #[test]
    fn what_looks_alike_is_told_apart() {
        let answer = |json: serde_json::Value| kube::Error::Api(Box::new(serde_json::from_value(json).expect("a status")));
        let at_once =
            answer(json!({ "code": 409, "reason": "Conflict", "message": "the object has been modified", "details": { "name": "page" } }));
        assert_eq!(sort(at_once).kind, FailureKind::Transient);
        let causes = json!([{ "reason": "FieldManagerConflict", "message": "conflict with \"kubectl\" using v1", "field": ".data.k" }]);
        let managed =
            json!({ "code": 409, "reason": "Conflict", "message": "Apply failed with 1 conflict", "details": { "causes": causes } });
        let failure = sort(answer(managed));
        assert_eq!(failure.kind, FailureKind::Permanent, "{failure:?}");
        assert!(failure.hint.as_deref().unwrap_or_default().contains("`force: true`"), "{failure:?}");

        let missing =
            json!({ "code": 404, "reason": "NotFound", "message": "backups.velero.io \"a\" not found", "details": { "name": "a" } });
        assert_eq!(Refusal::of(answer(missing)).code(), Some(404));
        for unserved in [
            answer(json!({ "code": 404, "reason": "Failed to parse error data", "message": "404 page not found" })),
            answer(
                json!({ "code": 404, "reason": "NotFound", "message": "the server could not find the requested resource", "details": {} }),
            ),
            kube::Error::Discovery(DiscoveryError::MissingKind("Page".to_owned())),
        ] {
            let failure = sort(unserved);
            assert_eq!(failure.kind, FailureKind::Permanent, "{failure:?}");
            assert!(failure.message.ends_with("its API serves no such type of object"), "{failure:?}");
        }
        let certificate = "client error (Connect): invalid peer certificate: UnknownIssuer".to_owned();
        let failure = Refusal::unanswered(certificate).failure("list nodes", "cluster dr", "https://x", StepFailure::unreachable);
        assert_eq!(failure.kind, FailureKind::Permanent, "{failure:?}");
        assert!(failure.message.contains("does not prove to be that cluster"), "{failure:?}");
    }

    #[test]
    fn an_object_that_is_echoed_is_not_told() {
        let echo = r#" "" is invalid: patch: Invalid value: "{\"apiVersion\":\"v1\",\"data\":{\"p\":\"d29yZA==\"},\"kind\":\"Secret\"}": decode base64"#;
        let failure = failure(422, "Invalid", echo);
        assert!(failure.message.ends_with("patch: Invalid value (not shown) (Invalid, HTTP 422)"), "{failure:?}");
        assert!(!format!("{failure:?}").contains("d29yZA"), "{failure:?}");
    }

    #[test]
    fn no_answer_to_a_change_leaves_open_whether_it_happened() {
        let change = Refusal::Unanswered("refused".to_owned()).failure("scale", "cluster dr", "https://x", StepFailure::transient);
        assert_eq!((change.kind, change.causes.len()), (FailureKind::Transient, 1));
        let read = Refusal::Unanswered("refused".to_owned()).failure("list nodes", "cluster dr", "https://x", StepFailure::unreachable);
        assert_eq!(read.kind, FailureKind::Unreachable);
    }
}
