//! `Cluster`: the routing controls of Amazon Application Recovery Controller (ARC), read and set at whichever of the cluster's five endpoints
//! answers. AWS keeps three of the five available at any time, and takes the others away in turn for maintenance: one that does not answer is
//! nothing to report. Knows nothing of records, nor of who moves where.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_config::Region;
use aws_config::retry::RetryConfig;
use aws_sdk_route53recoverycluster as sdk;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use futures_util::future::{join_all, try_join_all};
use sdk::operation::update_routing_control_states::UpdateRoutingControlStatesError;
use sdk::types::{RoutingControlState, UpdateRoutingControlStateEntry};
use serde::Deserialize;
use wf_engine::model::event::{FailureKind, StepFailure};
use wf_engine::step::StepContext;

use super::Cloud;
use super::errors;
use super::patience::Patient;

/// How long one endpoint may take for an answer: with five of them the next is the better hope.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// The most controls that one call sets (ARC Developer Guide, Quotas for routing control).
pub(crate) const CONTROLS_MAX: usize = 10;

const GET: &str = "route53-recovery-cluster:GetRoutingControlState";
const UPDATE: &str = "route53-recovery-cluster:UpdateRoutingControlStates";
/// The one refusal that says nothing but that another endpoint is to be asked.
const UNAVAILABLE: &str = "EndpointTemporarilyUnavailableException";

/// An endpoint of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// Its address, with the scheme.
    pub url: String,
    /// The region that it is in, and that requests to it are signed for.
    pub region: String,
}

/// The states of routing controls by their ARNs; true is On.
pub(crate) type States = BTreeMap<String, bool>;

/// Returns AWS's word for a state.
pub(crate) const fn word(on: bool) -> &'static str {
    if on { "On" } else { "Off" }
}

/// A cluster, by its endpoints.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cluster<'a>(pub(crate) &'a [Endpoint]);

impl<'a> Cluster<'a> {
    /// Reads the states of controls, all of them at one endpoint. That none answers is `Unreachable`.
    pub(crate) async fn states(&self, cx: &StepContext<Cloud>, controls: &[&str]) -> Result<States, StepFailure> {
        let mut missed = Missed::default();
        for endpoint in self.in_random_order() {
            match states_at(&cx.env, endpoint, controls).await {
                Ok(states) => return Ok(states),
                Err(failure) => missed.add(cx, failure),
            }
        }
        Err(missed.nobody(&format!("read the states of {} routing controls", controls.len()), StepFailure::unreachable))
    }

    /// Reads the states at every endpoint: what each says, or why it does not.
    pub(crate) async fn states_everywhere(&self, cloud: &Cloud, controls: &[&str]) -> Vec<(&'a Endpoint, Result<States, StepFailure>)> {
        let answers = join_all(self.0.iter().map(|endpoint| states_at(cloud, endpoint, controls))).await;
        self.0.iter().zip(answers).collect()
    }

    /// Sets controls, all in one call, and returns the region of the endpoint that took it. States are absolute, so a repetition, at
    /// another endpoint too, has no effect of its own. That none answers leaves it open whether they were set.
    pub(crate) async fn set(&self, cx: &StepContext<Cloud>, states: &States, overridden: &[String]) -> Result<&'a str, StepFailure> {
        let shown: Vec<_> = states.iter().map(|(arn, on)| format!("{arn} {}", word(*on))).collect();
        let what = format!("set {}", shown.join(", "));
        let entry = |(arn, on): (&String, &bool)| {
            let state = if *on { RoutingControlState::On } else { RoutingControlState::Off };
            UpdateRoutingControlStateEntry::builder().routing_control_arn(arn).routing_control_state(state).build()
        };
        let entries = states.iter().map(entry).collect::<Result<Vec<_>, _>>();
        let entries = entries.map_err(|error| StepFailure::permanent(format!("cannot {what}: {error}")))?;
        let rules = Some(overridden.to_vec()).filter(|rules| !rules.is_empty());
        let mut missed = Missed::default();
        for endpoint in self.in_random_order() {
            let call = cx.env.recovery_cluster(endpoint).update_routing_control_states();
            let call = call.set_update_routing_control_state_entries(Some(entries.clone()));
            match call.set_safety_rules_to_override(rules.clone()).send().await {
                Ok(_) => return Ok(&endpoint.region),
                Err(error) => {
                    // What breaks a rule at one endpoint breaks it at all of them.
                    let is_conflict = errors::has_code(&error, "ConflictException");
                    let failure = not_set(format!("{what} at the endpoint in {}", endpoint.region), !overridden.is_empty(), error);
                    if is_conflict {
                        return Err(failure);
                    }
                    missed.add(cx, failure);
                }
            }
        }
        Err(missed.nobody(&what, StepFailure::transient))
    }

    /// As AWS advises.
    fn in_random_order(&self) -> Vec<&'a Endpoint> {
        let mut order: Vec<&Endpoint> = self.0.iter().collect();
        fastrand::shuffle(&mut order);
        order
    }
}

/// The endpoints that did not answer, or not with what was asked.
#[derive(Debug, Default)]
struct Missed(Vec<StepFailure>);

impl Missed {
    /// Adds an endpoint, so that another one is asked: after a refusal too, as the plan may have the address or the region of one of five wrong.
    fn add(&mut self, cx: &StepContext<Cloud>, failure: StepFailure) {
        cx.progress(format!("asks another endpoint of the ARC cluster: {}", failure.message));
        self.0.push(failure);
    }

    /// Makes the failure of a request that no endpoint took. What one refused is refused; one that answered that it cannot now is there; from
    /// the others nothing is known.
    fn nobody(&self, what: &str, no_answer: fn(String) -> StepFailure) -> StepFailure {
        let of = |kind| self.0.iter().find(|failure| failure.kind == kind);
        let message = format!("failed to {what}: none of the {} endpoints of the ARC cluster answered", self.0.len());
        let told = match (of(FailureKind::Permanent), of(FailureKind::Transient)) {
            (Some(refused), _) => return self.0.iter().filter(|other| *other != refused).fold(refused.clone(), told_too),
            (None, Some(failure)) => StepFailure { hint: failure.hint.clone(), ..StepFailure::transient(format!("{message} with it")) },
            (None, None) => no_answer(message).hint(REACH),
        };
        self.0.iter().fold(told, told_too)
    }
}

fn told_too(failure: StepFailure, other: &StepFailure) -> StepFailure {
    failure.because(other.message.clone())
}

const REACH: &str = "check that this machine reaches them (network, proxy, AWS_ENDPOINT_URL), and that they are those that `aws route53-recovery-control-config describe-cluster --region us-west-2` names; AWS keeps three of a cluster's five available";

/// Reads the states of controls at one endpoint.
async fn states_at(cloud: &Cloud, endpoint: &Endpoint, controls: &[&str]) -> Result<States, StepFailure> {
    let states = try_join_all(controls.iter().map(|control| state_at(cloud, endpoint, control))).await?;
    Ok(controls.iter().map(|control| (*control).to_owned()).zip(states).collect())
}

async fn state_at(cloud: &Cloud, endpoint: &Endpoint, control: &str) -> Result<bool, StepFailure> {
    let answer = cloud.recovery_cluster(endpoint).get_routing_control_state().routing_control_arn(control).send().await;
    let what = format!("read the state of routing control {control} at the endpoint in {}", endpoint.region);
    match answer.map_err(|error| missed(GET, what, error))?.routing_control_state() {
        RoutingControlState::On => Ok(true),
        RoutingControlState::Off => Ok(false),
        other => {
            let other = other.as_str().escape_debug();
            Err(StepFailure::permanent(format!("routing control {control} is \"{other}\", neither On nor Off")))
        }
    }
}

/// Makes the failure of one endpoint. That it is away for now is no answer, whatever words it has for it.
fn missed<E>(action: &'static str, what: String, error: SdkError<E, HttpResponse>) -> StepFailure
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let is_away = errors::has_code(&error, UNAVAILABLE);
    let failure = errors::reading(action, what)(error);
    if is_away { StepFailure { kind: FailureKind::Unreachable, ..failure } } else { failure }
}

/// As [`missed`], of a change: says which safety rule is in the way, if one is, and how it is overridden, and what else a right may lack that
/// overrides some.
fn not_set(what: String, overrides: bool, error: SdkError<UpdateRoutingControlStatesError, HttpResponse>) -> StepFailure {
    if overrides && errors::has_code(&error, "AccessDeniedException") {
        let failure = missed(UPDATE, what, error);
        let hint = failure.hint.clone().unwrap_or_default();
        return failure.hint(format!("{hint}; a policy may allow it and yet not that safety rules are overridden: {OVERRIDES}"));
    }
    let conflict = match error.as_service_error() {
        Some(UpdateRoutingControlStatesError::ConflictException(conflict)) => Some(conflict.clone()),
        _ => None,
    };
    let failure = missed(UPDATE, what, error);
    let Some(conflict) = conflict else { return failure };
    let named = [conflict.resource_id(), conflict.message()].into_iter().find_map(rule_in);
    failure.hint(match named {
        Some(rule) => format!("safety rule {rule} refuses these states: correct `on` and `off`, or, if it has to be broken, add \"{rule}\" to `override_safety_rules`, in a new run after a rollback of this one"),
        None => "a safety rule of the control panel refuses these states: `aws route53-recovery-control-config list-safety-rules --region us-west-2 --control-panel-arn …` shows which there are; correct `on` and `off`, or, if it has to be broken, add its ARN to `override_safety_rules`, in a new run after a rollback of this one".to_owned(),
    })
}

/// What IAM says of overriding (Service Authorization Reference).
const OVERRIDES: &str = "the condition key route53-recovery-cluster:AllowSafetyRulesOverrides";

/// Finds the ARN of a safety rule in a text.
fn rule_in(text: &str) -> Option<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || ":./_-".contains(c)));
    words.map(|word| word.trim_end_matches(['.', ':'])).find(|word| is_arn(word, "safetyrule")).map(str::to_owned)
}

/// Tells whether a text is the ARN of something in a control panel: "routingcontrol" or "safetyrule".
pub(crate) fn is_arn(text: &str, kind: &str) -> bool {
    let parts: Vec<_> = text.splitn(6, ':').collect();
    let [arn, partition, service, _region, account, resource] = parts.as_slice() else { return false };
    let resource: Vec<_> = resource.split('/').collect();
    let is_plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    let is_in_panel = matches!(resource.as_slice(), ["controlpanel", panel, of, id] if *of == kind && is_plain(panel) && is_plain(id));
    *arn == "arn"
        && partition.starts_with("aws")
        && *service == "route53-recovery-control"
        && is_plain(account)
        && is_in_panel
        && text.len() <= 255
}

impl Cloud {
    /// Returns the client of an endpoint. Requests are signed for the endpoint's region; where the environment or the profile names another
    /// address of the service, they go there. It asks once: the next endpoint is the retry.
    pub(super) fn recovery_cluster(&self, endpoint: &Endpoint) -> sdk::Client {
        let url = self.given_endpoint("Route53 Recovery Cluster").unwrap_or_else(|| endpoint.url.clone());
        self.recovery_clients().get(&format!("{} {url}", endpoint.region), |_| {
            let gate = self.gate("route53-recovery-cluster", &endpoint.region);
            let mut config = sdk::config::Builder::from(self.config());
            // An endpoint is asked because other regions may be down: the role is not to be asked for in each of them.
            config.set_credentials_provider(self.credentials(self.region().unwrap_or(&endpoint.region)));
            if let (Some(inner), Some(sleep)) = (self.config().http_client(), self.config().sleep_impl()) {
                config.set_http_client(Some(SharedHttpClient::new(Patient { inner, limit: ANSWER_WITHIN, sleep })));
            }
            // An address that is given has no variants.
            let config = config.use_fips(false).use_dual_stack(false).endpoint_url(url).region(Region::new(endpoint.region.clone()));
            let config = config.retry_config(RetryConfig::disabled());
            sdk::Client::from_conf(config.identity_cache(gate.clone()).retry_classifier(gate).build())
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn};
    use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
    use aws_smithy_types::body::SdkBody;
    use wf_engine::clock::SystemClock;

    use super::*;

    const RULE: &str = "arn:aws:route53-recovery-control::123456789012:controlpanel/0f1e2d3c/safetyrule/9a8b7c6d";

    #[test]
    fn an_arn_is_told_from_what_is_none() {
        assert!(is_arn(RULE, "safetyrule") && !is_arn(RULE, "routingcontrol"));
        for text in [
            "",
            "arn:aws:s3:::bucket",
            &RULE.replace("/9a8b7c6d", "/"),
            &RULE.replace("123456789012", ""),
            &format!("{RULE}/x"),
            &RULE.replace('9', " "),
        ] {
            assert!(!is_arn(text, "safetyrule"), "{text}");
        }
    }

    #[test]
    fn the_rule_is_found_in_what_is_said_of_it() {
        for text in [RULE.to_owned(), format!("the update breaks {RULE}."), format!("['{RULE}', 'x']")] {
            assert_eq!(rule_in(&text).as_deref(), Some(RULE), "{text}");
        }
        assert_eq!(rule_in("arn:aws:s3:::safetyrule/x"), None);
    }

    /// Answers every request with the same refusal.
    #[derive(Debug, Clone)]
    struct Refuses(&'static str);

    impl HttpConnector for Refuses {
        fn call(&self, _request: HttpRequest) -> HttpConnectorFuture {
            HttpConnectorFuture::ready(Ok(HttpResponse::new(400.try_into().expect("a status"), SdkBody::from(self.0))))
        }
    }

    /// The failure of a change that is refused so.
    async fn refused(body: &'static str, overrides: bool) -> StepFailure {
        let http = http_client_fn(move |_, _| SharedHttpConnector::new(Refuses(body)));
        let cloud = Cloud::with_http_client(http, Arc::new(SystemClock));
        let endpoint = Endpoint { url: "https://0c1d2e3f.example/v1".to_owned(), region: "eu-west-1".to_owned() };
        let answer = cloud.recovery_cluster(&endpoint).update_routing_control_states().send().await;
        not_set("set".to_owned(), overrides, answer.expect_err("refused"))
    }

    #[tokio::test]
    async fn a_conflict_says_which_rule_or_how_to_find_it_and_a_denial_what_may_be_denied() {
        let hint = |failure: StepFailure| failure.hint.unwrap_or_default();
        let named = r#"{"__type":"ConflictException","message":"no: arn:aws:route53-recovery-control::123456789012:controlpanel/0f1e2d3c/safetyrule/9a8b7c6d.","resourceId":"x","resourceType":"y"}"#;
        let failure = refused(named, false).await;
        assert_eq!(failure.kind, FailureKind::Permanent);
        assert!(hint(failure).contains(&format!("add \"{RULE}\" to `override_safety_rules`")));
        let unnamed = r#"{"__type":"ConflictException","message":"no","resourceId":"x","resourceType":"y"}"#;
        assert!(hint(refused(unnamed, false).await).contains("list-safety-rules"));
        let denied = r#"{"__type":"AccessDeniedException","message":"is not authorized"}"#;
        assert!(hint(refused(denied, true).await).contains(OVERRIDES) && !hint(refused(denied, false).await).contains(OVERRIDES));
        let away = r#"{"__type":"EndpointTemporarilyUnavailableException","message":"not now"}"#;
        assert_eq!(refused(away, false).await.kind, FailureKind::Unreachable);
    }

    #[test]
    fn who_answers_nothing_and_who_cannot_now_are_told_apart() {
        let silent = || StepFailure::unreachable("failed to ask: nobody answered");
        let kind = |failures: &[StepFailure], no_answer| Missed(failures.to_vec()).nobody("ask", no_answer).kind;
        assert_eq!(kind(&[silent(), silent()], StepFailure::unreachable), FailureKind::Unreachable);
        assert_eq!(kind(&[silent(), silent()], StepFailure::transient), FailureKind::Transient);
        let throttled = StepFailure::transient("throttled");
        assert_eq!(kind(&[silent(), throttled.clone()], StepFailure::unreachable), FailureKind::Transient);
        let refused =
            Missed(vec![silent(), StepFailure::permanent("denied").hint("allow it"), throttled]).nobody("ask", StepFailure::unreachable);
        assert_eq!((refused.message.as_str(), refused.hint.as_deref(), refused.causes.len()), ("denied", Some("allow it"), 2));
    }
}
