//! [`Connections`]: a connection per cluster, made when first asked for, shared by all steps.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wf_engine::model::event::StepFailure;
use wf_engine::step::StepContext;

use super::cluster::Cluster;
use super::token::Bearer;
use super::transport;
use crate::aws::missing::{Missing, names};
use crate::aws::{Cloud, errors};

/// The way to one cluster.
pub(super) struct Connection {
    pub(super) client: kube::Client,
    /// Where its API answers, for messages.
    pub(super) endpoint: String,
    /// Who we are there; a kubeconfig sees to that itself.
    pub(super) bearer: Option<Arc<Bearer>>,
}

/// The connections of a [`Cloud`].
#[derive(Default)]
pub(crate) struct Connections(Mutex<BTreeMap<Cluster, Arc<Connection>>>);

impl Connections {
    /// Returns the connection to a cluster. Looks an EKS cluster up when it is first asked for.
    pub(super) async fn of(&self, cx: &StepContext<Cloud>, cluster: &Cluster) -> Result<Arc<Connection>, StepFailure> {
        if let Some(connection) = self.lock().get(cluster) {
            return Ok(Arc::clone(connection));
        }
        let made = match cluster {
            Cluster::Eks { name, region } => eks(cx, name, region).await?,
            Cluster::Context { name, kubeconfig } => {
                let (client, endpoint) = transport::context(&cx.env, name, kubeconfig.as_deref()).await?;
                Connection { client, endpoint, bearer: None }
            }
        };
        Ok(Arc::clone(self.lock().entry(cluster.clone()).or_insert_with(|| Arc::new(made))))
    }

    /// Makes the next step look the cluster up anew: its endpoint may have changed.
    pub(super) fn forget(&self, cluster: &Cluster) {
        self.lock().remove(cluster);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Cluster, Arc<Connection>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Finds an EKS cluster by `DescribeCluster`: its endpoint and the certificate of its authority.
async fn eks(cx: &StepContext<Cloud>, name: &str, region: &str) -> Result<Connection, StepFailure> {
    let client = cx.env.eks(region);
    let found = match client.describe_cluster().name(name).send().await {
        Ok(answer) => answer.cluster,
        Err(error) if errors::has_code(&error, "ResourceNotFoundException") => None,
        Err(error) => return Err(errors::reading("eks:DescribeCluster", format!("look up cluster {name} in {region}"))(error)),
    };
    let Some(found) = found else {
        let clusters = names(client.list_clusters().into_paginator().items().send(), Some).await;
        return Err(Missing { what: "cluster", name, place: region, region: Some(region) }.failure(cx, clusters).await);
    };
    let authority = found.certificate_authority().and_then(|authority| authority.data());
    let (Some(endpoint), Some(authority)) = (found.endpoint(), authority) else {
        let status = found.status().map_or("without a status", |status| status.as_str());
        return Err(StepFailure::transient(format!("cluster {name} in {region} has no endpoint: it is {status}"))
            .hint("a cluster that is being created has none yet; the step is tried again"));
    };
    let bearer = Arc::new(Bearer::new(name, region));
    let client = transport::eks(&cx.env, endpoint, authority, Arc::clone(&bearer)).await?;
    Ok(Connection { client, endpoint: endpoint.to_owned(), bearer: Some(bearer) })
}
