//! [`Asks`]: looking at a cluster and changing it from outside of `wf`, in raw JSON by path. Only the TLS is that of the `kube` crate, which the
//! kinds use too: no types, no discovery, no patch helpers of it.

use http::Request;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::Value;

/// The API of a cluster, as its operator asks it.
#[derive(Clone)]
pub struct Asks(kube::Client);

/// An answer: its code and what it holds.
pub type Answer = (u16, Value);

impl Asks {
    /// Enters a cluster by a kubeconfig.
    pub async fn of(kubeconfig: &Value) -> Self {
        let known: Kubeconfig = serde_json::from_value(kubeconfig.clone()).unwrap();
        let config = kube::Config::from_custom_kubeconfig(known, &KubeConfigOptions::default()).await.unwrap();
        Self(kube::Client::try_from(config).unwrap())
    }

    /// Sends a request as it is, and returns the code and the body of the answer.
    pub async fn pass_on(&self, request: Request<Vec<u8>>) -> (u16, Vec<u8>) {
        let shown = format!("{} {}", request.method(), request.uri());
        let answer = self.0.send(request.map(kube::client::Body::from)).await.unwrap_or_else(|error| panic!("{shown}: {error}"));
        let (head, body) = answer.into_parts();
        (head.status.as_u16(), body.collect_bytes().await.unwrap().to_vec())
    }

    /// Sends a request, and returns what came back, good or bad.
    pub async fn send(&self, method: &str, path: &str, content: &str, body: &[u8]) -> Answer {
        let request = Request::builder().method(method).uri(path).header("content-type", content).header("accept", "application/json");
        let (code, body) = self.pass_on(request.body(body.to_vec()).unwrap()).await;
        let text = || Value::String(String::from_utf8_lossy(&body).into_owned());
        (code, serde_json::from_slice(&body).unwrap_or_else(|_| text()))
    }

    /// Returns a page that is no JSON; `None` as long as there is no answer.
    pub async fn text(&self, path: &str) -> Option<String> {
        self.0.request_text(Request::builder().uri(path).body(Vec::new()).unwrap()).await.ok()
    }

    /// Reads an object or a list.
    #[track_caller]
    pub fn get(&self, path: &str) -> impl Future<Output = Value> {
        self.good("GET", path.to_owned(), "application/json", Value::Null)
    }

    /// Makes an object.
    #[track_caller]
    pub fn create(&self, path: &str, object: Value) -> impl Future<Output = Value> {
        self.good("POST", path.to_owned(), "application/json", object)
    }

    /// Merges a patch into an object.
    #[track_caller]
    pub fn merge(&self, path: &str, patch: Value) -> impl Future<Output = Value> {
        self.good("PATCH", path.to_owned(), "application/merge-patch+json", patch)
    }

    async fn good(&self, method: &'static str, path: String, content: &'static str, body: Value) -> Value {
        let bytes = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let (code, answer) = self.send(method, &path, content, &bytes).await;
        assert!(code < 300, "{method} {path}: {code} {answer}\n{body:#}");
        answer
    }
}
