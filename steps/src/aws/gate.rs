//! [`Gate`]: where every request of a client waits for its budget, those that the SDK repeats too.
//!
//! It stands in the SDK's cache of credentials, the one thing that the SDK asks in each attempt and that may take its time: before
//! the signature, whose moment must not be an old one when the request leaves, and before the connector. The SDK's own limit on an
//! attempt would count the waiting, so [`super::patience`] limits how long an answer takes instead. What ends a wait is the step:
//! its timeout, or Ctrl-C, drops the call, and the request leaves the queue.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_route53::operation::change_resource_record_sets::ChangeResourceRecordSetsInput;
use aws_sdk_route53::types::ChangeAction;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::identity::{IdentityFuture, ResolveCachedIdentity, SharedIdentityCache, SharedIdentityResolver};
use aws_smithy_runtime_api::client::interceptors::context::{BeforeSerializationInterceptorContextMut, InterceptorContext};
use aws_smithy_runtime_api::client::interceptors::{Intercept, dyn_dispatch_hint};
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use aws_smithy_runtime_api::client::retries::classifiers::{ClassifyRetry, RetryAction, RetryClassifierPriority, RetryReason};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::{ConfigBag, Storable, StoreReplace};
use aws_smithy_types::retry::ErrorKind;
use wf_engine::clock::Clock;
use wf_engine::step::show_progress;

use super::budget::{Lane, Place, Turn};

/// A wait shorter than this is not worth a word.
const WORTH_A_WORD: Duration = Duration::from_secs(1);
/// How long it may take to get credentials: from STS, SSO, an instance or a program.
pub(super) const CREDENTIALS_WITHIN: Duration = Duration::from_secs(20);
/// A request that waits asks at least this often: others may have given up, or the rate may have risen.
const ASK_AGAIN: Duration = Duration::from_secs(5);

type SharedLane = Arc<Mutex<Lane>>;

/// The budgets of one account, shared by every client of a [`super::Cloud`].
pub(super) struct Gates {
    clock: Arc<dyn Clock>,
    credentials: SharedIdentityCache,
    lanes: Mutex<BTreeMap<(&'static str, String), SharedLane>>,
}

impl Gates {
    pub(super) fn new(clock: Arc<dyn Clock>, credentials: SharedIdentityCache) -> Self {
        Self { clock, credentials, lanes: Mutex::default() }
    }

    /// Returns the gate of the clients of a service in a region.
    pub(super) fn of(&self, service: &'static str, region: &str) -> Gate {
        let mut lanes = lock(&self.lanes);
        let lane = lanes.entry((service, region.to_owned())).or_insert_with(|| Arc::new(Mutex::new(Lane::new(service, self.clock.now()))));
        Gate { lane: Arc::clone(lane), region: region.into(), clock: Arc::clone(&self.clock), credentials: self.credentials.clone() }
    }
}

/// Makes the requests of a client wait for their budget, and learns from the answers. Goes into a client as its identity cache and
/// as a retry classifier.
#[derive(Clone)]
pub(super) struct Gate {
    lane: SharedLane,
    region: Arc<str>,
    clock: Arc<dyn Clock>,
    credentials: SharedIdentityCache,
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate").field("region", &self.region).finish_non_exhaustive()
    }
}

impl ResolveCachedIdentity for Gate {
    fn resolve_cached_identity<'a>(
        &'a self,
        resolver: SharedIdentityResolver,
        runtime_components: &'a RuntimeComponents,
        config_bag: &'a ConfigBag,
    ) -> IdentityFuture<'a> {
        IdentityFuture::new(async move {
            let operation = config_bag.load::<Metadata>().map_or("", Metadata::name);
            self.pass(operation, config_bag.load::<Records>().map_or(1.0, |records| records.0)).await;
            // The cache's own limit ends in an error that cannot be told from a bad request.
            tokio::select! {
                biased;
                identity = self.credentials.resolve_cached_identity(resolver, runtime_components, config_bag) => identity,
                () = self.clock.sleep(CREDENTIALS_WITHIN) => Err(CredentialsError::provider_timed_out(CREDENTIALS_WITHIN).into()),
            }
        })
    }
}

impl Gate {
    /// Waits until the budget has room for a request.
    pub(super) async fn pass(&self, operation: &str, weight: f64) {
        let queued = Queued { place: lock(&self.lane).join(operation, weight), lane: &self.lane };
        let mut told = false;
        loop {
            let (turn, service) = {
                let mut lane = lock(&self.lane);
                (lane.ask(queued.place, self.clock.now()), lane.service())
            };
            let Turn::Wait(wait) = turn else { return };
            if wait >= WORTH_A_WORD {
                let seconds = wait.as_secs_f64().ceil();
                show_progress(|| format!("waits {seconds}s for the API budget of {service} in {}", self.region));
                if !told {
                    tracing::debug!(service, operation, region = %self.region, ?wait, "waits for the API budget");
                    told = true;
                }
            }
            self.clock.sleep(wait.min(ASK_AGAIN)).await;
        }
    }
}

/// A request in the queue, which it leaves when it goes and when it is given up.
struct Queued<'a> {
    lane: &'a Mutex<Lane>,
    place: Place,
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        lock(self.lane).leave(self.place);
    }
}

impl ClassifyRetry for Gate {
    fn classify_retry(&self, _ctx: &InterceptorContext) -> RetryAction {
        RetryAction::NoActionIndicated
    }

    /// Has no opinion; it is where the SDK tells what became of an attempt, throttling recognised.
    fn classify_retry_v2(&self, ctx: &InterceptorContext, previous: &RetryAction) -> RetryAction {
        let now = self.clock.now();
        match previous {
            RetryAction::RetryIndicated(RetryReason::RetryableError { kind: ErrorKind::ThrottlingError, .. }) if is_rate(ctx) => {
                lock(&self.lane).throttled(now);
            }
            _ if !ctx.is_failed() => lock(&self.lane).accepted(now),
            _ => {}
        }
        RetryAction::NoActionIndicated
    }

    fn name(&self) -> &'static str {
        "Gate"
    }

    fn priority(&self) -> RetryClassifierPriority {
        RetryClassifierPriority::run_after(RetryClassifierPriority::transient_error_classifier())
    }
}

/// Tells throttling from Route 53's `PriorRequestNotComplete`, which the SDK takes for it: that is about one zone, not about a rate.
fn is_rate(ctx: &InterceptorContext) -> bool {
    let said = ctx.response().and_then(|response| response.body().bytes()).unwrap_or_default();
    const PRIOR: &[u8] = b"PriorRequestNotComplete";
    !said.windows(PRIOR.len()).any(|part| part == PRIOR)
}

/// What a change of records counts against the limit on records.
#[derive(Debug)]
struct Records(f64);

impl Storable for Records {
    type Storer = StoreReplace<Self>;
}

/// Counts the records of a change before it is written out.
#[derive(Debug)]
pub(super) struct CountRecords;

#[dyn_dispatch_hint]
impl Intercept for CountRecords {
    fn name(&self) -> &'static str {
        "CountRecords"
    }

    fn modify_before_serialization(
        &self,
        context: &mut BeforeSerializationInterceptorContextMut<'_>,
        _runtime_components: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let batch = context.input().downcast_ref::<ChangeResourceRecordSetsInput>().and_then(|input| input.change_batch());
        if let Some(batch) = batch {
            let records = batch.changes().iter().map(|change| if *change.action() == ChangeAction::Upsert { 2.0 } else { 1.0 }).sum();
            cfg.interceptor_state().store_put(Records(records));
        }
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
