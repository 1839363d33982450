//! Little HTTP servers on loopback, in the place of AWS and of what EKS puts before an API server. What they say is our reading of AWS.

use std::convert::Infallible;
use std::future::Future;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

/// A request with its whole body.
pub type Asked = Request<Vec<u8>>;
/// An answer: its code, its type and its body.
pub type Said = (u16, &'static str, Vec<u8>);

/// Runs something to its end on a runtime of its own.
pub fn block_on<F: Future>(work: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// Answers HTTP on a free port until the process ends, and returns the address.
pub fn serve<A, F>(answer: A) -> String
where
    A: Fn(Asked) -> F + Clone + Send + 'static,
    F: Future<Output = Said> + 'static,
{
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let local = tokio::task::LocalSet::new();
        block_on(local.run_until(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                let answer = answer.clone();
                let service = hyper::service::service_fn(move |request| whole(answer.clone(), request));
                let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                tokio::task::spawn_local(async move { drop(connection.await) });
            }
        }));
    });
    url
}

async fn whole<A, F>(answer: A, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible>
where
    A: Fn(Asked) -> F,
    F: Future<Output = Said>,
{
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes().to_vec()).unwrap_or_default();
    let (code, content, body) = answer(Request::from_parts(head, body)).await;
    Ok(Response::builder().status(code).header("content-type", content).body(Full::new(Bytes::from(body))).unwrap())
}

/// What EKS has its API servers ask about a token, and what it was asked.
pub struct Identities {
    /// Where it answers.
    pub url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Identities {
    /// Answers `TokenReview`s: who signs with the key `AKIDEXAMPLE` is `aws:example`, who signs with `AKIDNOBODY` is somebody without rights,
    /// and nobody else is known. The signature itself is not looked at here; the simulator does that, with the examples of AWS.
    pub fn start() -> Self {
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let kept = Arc::clone(&asked);
        let url = serve(move |request: Asked| {
            let review: Value = serde_json::from_slice(request.body()).unwrap_or_default();
            let url = review["spec"]["token"].as_str().and_then(presigned);
            kept.lock().unwrap().extend(url.clone());
            let known = |url: &String| {
                let is = |part: &str| url.contains(part);
                let whole = is("X-Amz-SignedHeaders=host%3Bx-k8s-aws-id") && is("Action=GetCallerIdentity") && is("X-Amz-Expires=60");
                let west = url.starts_with("https://sts.us-west-2.amazonaws.com/?");
                let keys = [("AKIDEXAMPLE%2F", "aws:example"), ("AKIDNOBODY%2F", "aws:nobody")];
                keys.into_iter().find(|(key, _)| whole && west && is(key)).map(|(_, user)| user)
            };
            let status = match url.as_ref().and_then(known) {
                Some(user) => json!({ "authenticated": true, "user": { "username": user, "uid": user } }),
                None => json!({ "authenticated": false }),
            };
            let review = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": status });
            std::future::ready((200, "application/json", review.to_string().into_bytes()))
        });
        Self { url, asked }
    }

    /// Returns the presigned questions that the API servers were sent so far.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn presigned(token: &str) -> Option<String> {
    String::from_utf8(URL_SAFE_NO_PAD.decode(token.strip_prefix("k8s-aws-v1.")?).ok()?).ok()
}

/// An AWS that knows one cluster, `production-dr`, and who asks.
pub fn aws(endpoint: &str, authority: &[u8]) -> String {
    let cluster = json!({ "cluster": {
        "name": "production-dr", "status": "ACTIVE", "endpoint": endpoint, "certificateAuthority": { "data": STANDARD.encode(authority) },
    } });
    serve(move |request: Asked| {
        let form = String::from_utf8_lossy(request.body()).into_owned();
        let said: Said = match request.uri().path() {
            "/clusters/production-dr" => (200, "application/json", cluster.to_string().into_bytes()),
            "/" if form.contains("Action=GetCallerIdentity") => (200, "text/xml", CALLER.as_bytes().to_vec()),
            _ => (404, "application/json", b"{}".to_vec()),
        };
        std::future::ready(said)
    })
}

const CALLER: &str = r#"<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>
<Arn>arn:aws:iam::123456789012:user/example</Arn><UserId>AIDAEXAMPLE</UserId><Account>123456789012</Account></GetCallerIdentityResult>
<ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></GetCallerIdentityResponse>"#;
