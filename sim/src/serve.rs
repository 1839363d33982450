//! The simulator on a loopback port, for `aws --endpoint-url`, `kubectl` and anything else that speaks HTTP.

use std::future::Future;
use std::pin::pin;

use http_body_util::{BodyExt, Either, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::Sim;
use crate::error::SimError;

/// No AWS request that the simulator understands is larger.
const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Answers HTTP on `listener` until `shutdown` completes; connections that are open then are closed.
pub async fn serve(sim: Sim, listener: TcpListener, shutdown: impl Future<Output = ()>) -> Result<(), SimError> {
    let mut shutdown = pin!(shutdown);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                connections.spawn(connection(sim.clone(), TokioIo::new(stream)));
            }
            Some(_) = connections.join_next() => {}
        }
    }
    connections.shutdown().await;
    sim.flush()
}

async fn connection(sim: Sim, stream: TokioIo<tokio::net::TcpStream>) {
    let service = service_fn(move |request| answer(sim.clone(), request));
    // A broken connection is the client's business: the next one starts afresh.
    if let Err(error) = hyper::server::conn::http1::Builder::new().serve_connection(stream, service).await {
        tracing::debug!(%error, "connection ended");
    }
}

/// A whole answer, or a watch that goes on.
type Answer = Either<Full<Bytes>, crate::k8s::Stream>;

/// A simulated connection failure becomes a closed connection, as it would be from a real host.
async fn answer(sim: Sim, request: hyper::Request<Incoming>) -> Result<hyper::Response<Answer>, Box<dyn std::error::Error + Send + Sync>> {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, BODY_BYTES_MAX).collect().await else {
        return Ok(too_large());
    };
    let request = hyper::Request::from_parts(head, body.to_bytes().to_vec());
    if let Some(watch) = crate::k8s::follow(&sim, &request) {
        let mut response = hyper::Response::new(Either::Right(watch));
        response.headers_mut().insert(hyper::header::CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
        return Ok(response);
    }
    let response = sim.handle(request).await?;
    Ok(response.map(|body| Either::Left(Full::new(Bytes::from(body)))))
}

fn too_large() -> hyper::Response<Answer> {
    let mut response = hyper::Response::new(Either::Left(Full::new(Bytes::from_static(b"the request is too large"))));
    *response.status_mut() = hyper::StatusCode::PAYLOAD_TOO_LARGE;
    response
}
