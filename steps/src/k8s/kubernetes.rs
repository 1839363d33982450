//! [`Kubernetes`]: the API of one cluster as a step asks it, every answer within a limit and every error in the steps' own words.

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use kube::api::{Api, ApiResource, DynamicObject, ListParams};
use kube::core::{ClusterResourceScope, NamespaceResourceScope};
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use wf_engine::model::event::StepFailure;
use wf_engine::step::StepContext;

use super::cluster::Cluster;
use super::connection::Connection;
use super::errors::Refusal;
use crate::aws::Cloud;
use crate::aws::errors::{LOG_IN, reading};

/// How long the API server may take for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// How many objects a list asks for at a time, and how often.
const PAGE: u32 = 500;
const PAGES_MAX: usize = 40;

/// The API of a cluster, for one step.
pub(crate) struct Kubernetes<'a> {
    cx: &'a StepContext<Cloud>,
    cluster: &'a Cluster,
    connection: Arc<Connection>,
}

impl<'a> Kubernetes<'a> {
    /// Finds the way to a cluster.
    pub(crate) async fn reach(cx: &'a StepContext<Cloud>, cluster: &'a Cluster) -> Result<Self, StepFailure> {
        let connection = cx.env.clusters().of(cx, cluster).await?;
        Ok(Self { cx, cluster, connection })
    }

    /// Returns the calls for a type of object of a namespace.
    pub(crate) fn namespaced<K>(&self, namespace: &str) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client(), namespace)
    }

    /// Returns the calls for a type of object of the whole cluster.
    pub(crate) fn cluster_wide<K>(&self) -> Api<K>
    where
        K: Resource<Scope = ClusterResourceScope, DynamicType = ()>,
    {
        Api::all(self.client())
    }

    /// Returns the calls for objects of a namespace whose type is no part of Kubernetes.
    pub(crate) fn custom(&self, namespace: &str, resource: &ApiResource) -> Api<DynamicObject> {
        Api::namespaced_with(self.client(), namespace, resource)
    }

    /// Returns the client itself, for calls that go to a type known only at run time.
    pub(crate) fn client(&self) -> Client {
        self.connection.client.clone()
    }

    /// Makes a call that only reads. `what` was attempted, such as "list nodes". No answer means `Unreachable`.
    pub(crate) async fn read<T>(&self, what: &str, call: impl Future<Output = kube::Result<T>>) -> Result<T, StepFailure> {
        match self.ask(call).await {
            Ok(answer) => Ok(answer),
            Err(refusal) => Err(self.failure(refusal, what, StepFailure::unreachable).await),
        }
    }

    /// Makes a call that reads what may not be there.
    pub(crate) async fn find<T>(&self, what: &str, call: impl Future<Output = kube::Result<T>>) -> Result<Option<T>, StepFailure> {
        match self.ask(call).await {
            Ok(answer) => Ok(Some(answer)),
            Err(refusal) if refusal.code() == Some(404) => Ok(None),
            Err(refusal) => Err(self.failure(refusal, what, StepFailure::unreachable).await),
        }
    }

    /// Lists all objects that match the selector, page by page.
    pub(crate) async fn list<K>(&self, what: &str, api: &Api<K>, selector: Option<&str>) -> Result<Vec<K>, StepFailure>
    where
        K: Clone + DeserializeOwned + Debug,
    {
        let mut params = ListParams::default().limit(PAGE);
        params.label_selector = selector.map(str::to_owned);
        let mut all = Vec::new();
        for _ in 0..PAGES_MAX {
            let page = self.read(what, api.list(&params)).await?;
            all.extend(page.items);
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok(all),
            }
        }
        Err(StepFailure::permanent(format!("failed to {what} in {}: there are more than {}", self.cluster, PAGES_MAX * PAGE as usize))
            .hint("give a selector that fits fewer"))
    }

    /// Makes a call that changes something. No answer means `Transient`, never `Unreachable`: it may have been accepted, so the step is to
    /// look at the world again.
    pub(crate) async fn change<T>(&self, what: &str, call: impl Future<Output = kube::Result<T>>) -> Result<T, StepFailure> {
        match self.ask(call).await {
            Ok(answer) => Ok(answer),
            Err(refusal) => Err(self.failure(refusal, what, StepFailure::transient).await),
        }
    }

    /// As [`Self::change`], of a call that makes something: `None` when something of that name is there already.
    pub(crate) async fn create<T>(&self, what: &str, call: impl Future<Output = kube::Result<T>>) -> Result<Option<T>, StepFailure> {
        match self.ask(call).await {
            Ok(answer) => Ok(Some(answer)),
            Err(Refusal::Status(status)) if status.reason == "AlreadyExists" => Ok(None),
            Err(refusal) => Err(self.failure(refusal, what, StepFailure::transient).await),
        }
    }

    /// As [`Self::change`], of a call that deletes something: `None` when it is gone already.
    pub(crate) async fn delete<T>(&self, what: &str, call: impl Future<Output = kube::Result<T>>) -> Result<Option<T>, StepFailure> {
        match self.ask(call).await {
            Ok(answer) => Ok(Some(answer)),
            Err(refusal) if refusal.code() == Some(404) => Ok(None),
            Err(refusal) => Err(self.failure(refusal, what, StepFailure::transient).await),
        }
    }

    async fn ask<T>(&self, call: impl Future<Output = kube::Result<T>>) -> Result<T, Refusal> {
        if let Some(bearer) = &self.connection.bearer {
            bearer.renew(self.cx).await.map_err(Refusal::Token)?;
        }
        tokio::select! {
            biased;
            answer = call => answer.map_err(Refusal::of),
            () = self.cx.sleep(ANSWER_WITHIN) => Err(Refusal::Unanswered(format!("no answer within {} s", ANSWER_WITHIN.as_secs()))),
        }
    }

    async fn failure(&self, refusal: Refusal, what: &str, no_answer: fn(String) -> StepFailure) -> StepFailure {
        if matches!(refusal, Refusal::Unanswered(_) | Refusal::Impostor(_)) {
            self.cx.env.clusters().forget(self.cluster);
        }
        let unknown = refusal.code() == Some(401);
        let failure = refusal.failure(what, &self.cluster.to_string(), &self.connection.endpoint, no_answer);
        match &self.connection.bearer {
            Some(bearer) if unknown => {
                bearer.forget();
                self.unknown_caller(failure).await
            }
            _ => failure,
        }
    }

    /// Tells credentials that are no longer taken from an identity that the cluster does not know.
    async fn unknown_caller(&self, failure: StepFailure) -> StepFailure {
        let Cluster::Eks { name, region } = self.cluster else {
            return failure;
        };
        match self.cx.env.sts(region).get_caller_identity().send().await.map_err(reading("sts:GetCallerIdentity", "ask who we are")) {
            Ok(caller) => {
                let arn = caller.arn().unwrap_or("this identity");
                failure.hint(format!(
                    "{arn} has no access entry in cluster {name}: `aws eks create-access-entry --cluster-name {name} --region {region} --principal-arn …` (of a role, its IAM ARN), and associate an access policy"
                ))
            }
            Err(error) => failure.because(error.message).hint(error.hint.unwrap_or_else(|| LOG_IN.to_owned())),
        }
    }
}
