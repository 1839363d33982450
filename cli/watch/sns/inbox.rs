//! [`Inbox`]: listens for what SNS delivers, and keeps what was believed for the next look.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use wf_engine::clock::Clock;
use wf_steps::aws::Cloud;

use super::alarms::Alarms;
use super::message::{Disbelieved, Message, Type};
use crate::watch::Says;

/// No message of SNS is larger.
const BODY_LEN_MAX: usize = 256 * 1024;
/// How many connections are served at once; others wait.
const CONNECTIONS_MAX: usize = 16;
/// How long a connection may last, and SNS's own address may take for a certificate.
const SERVED_WITHIN: Duration = Duration::from_secs(15);
/// How long those who are being answered hold up the end: an incident waits for it.
const CLOSED_WITHIN: Duration = Duration::from_secs(2);
/// How many certificates are kept: SNS changes its own now and then.
const CERTIFICATES_MAX: usize = 4;

/// What SNS delivers to this watch.
pub struct Inbox {
    topic: String,
    address: SocketAddr,
    /// Whether it speaks TLS.
    secure: bool,
    alarms: Arc<Mutex<Alarms>>,
    /// Told when no more is to be listened for.
    closing: Arc<Notify>,
    listens: JoinHandle<()>,
}

/// What serving a delivery takes.
struct Post {
    topic: String,
    alarms: Arc<Mutex<Alarms>>,
    cloud: Cloud,
    clock: Arc<dyn Clock>,
    certificates: Mutex<BTreeMap<String, Vec<u8>>>,
}

/// Why a delivery is not taken.
enum Refused {
    /// It is not believed.
    Disbelieved(Disbelieved),
    /// It may be, when SNS delivers it again.
    NotNow(String),
    /// It is SNS's, and of no use here.
    Useless(&'static str),
}

impl Inbox {
    /// Begins to listen for the messages of a topic, over TLS if it is given what that takes.
    pub async fn listen(
        address: SocketAddr,
        tls: Option<TlsAcceptor>,
        topic: &str,
        cloud: Cloud,
        clock: Arc<dyn Clock>,
    ) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let (alarms, address) = (Arc::default(), listener.local_addr()?);
        let post = Post { topic: topic.to_owned(), alarms: Arc::clone(&alarms), cloud, clock, certificates: Mutex::default() };
        let closing = Arc::new(Notify::new());
        let secure = tls.is_some();
        let listens = tokio::spawn(serve(listener, tls, Arc::new(post), Arc::clone(&closing)));
        Ok(Self { topic: topic.to_owned(), address, secure, alarms, closing, listens })
    }

    /// Listens no more, once everybody is answered or was waited for: nothing holds on to the world then.
    pub async fn close(mut self) {
        self.closing.notify_one();
        if tokio::time::timeout(CLOSED_WITHIN, &mut self.listens).await.is_err() {
            self.listens.abort();
            // It says only that it was cut off.
            let _ = (&mut self.listens).await;
        }
    }

    /// Names what is listened for, and where.
    pub fn shown(&self) -> String {
        format!("messages of {} on {}{}", self.topic, self.address, if self.secure { " (TLS)" } else { "" })
    }

    /// Returns what the topic's alarms say to this look.
    pub fn look(&self) -> (Says, String) {
        lock(&self.alarms).look()
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.listens.abort();
    }
}

async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, post: Arc<Post>, closing: Arc<Notify>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = closing.notified() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                Ok((stream, _)) => drop(connections.spawn(converse(Arc::clone(&post), tls.clone(), stream))),
                Err(error) => {
                    // Such as too many open files: it may pass.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }
    // Who is being answered has the answer, within its limit.
    while connections.join_next().await.is_some() {}
}

async fn converse(post: Arc<Post>, tls: Option<TlsAcceptor>, stream: TcpStream) {
    let served = async {
        match tls {
            Some(tls) => match tls.accept(stream).await {
                Ok(stream) => serve_one(&post, stream).await,
                Err(error) => tracing::debug!(%error, "somebody does not come to an agreement about TLS"),
            },
            None => serve_one(&post, stream).await,
        }
    };
    let _ = tokio::time::timeout(SERVED_WITHIN, served).await;
}

async fn serve_one(post: &Post, stream: impl AsyncRead + AsyncWrite + Unpin) {
    let service = service_fn(|request| answer(post, request));
    // A broken connection is the sender's business: SNS delivers again.
    let _ = hyper::server::conn::http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(post: &Post, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.method() != Method::POST {
        return Ok(said(StatusCode::METHOD_NOT_ALLOWED, "SNS posts".to_owned()));
    }
    let Ok(body) = Limited::new(request.into_body(), BODY_LEN_MAX).collect().await else {
        return Ok(said(StatusCode::PAYLOAD_TOO_LARGE, "no message of SNS is that large".to_owned()));
    };
    Ok(match post.take(&body.to_bytes()).await {
        Ok(taken) => {
            tracing::info!(taken, "a message of SNS");
            said(StatusCode::OK, taken)
        }
        // SNS is not to deliver it again.
        Err(Refused::Useless(why)) => said(StatusCode::OK, format!("not taken: {why}")),
        Err(Refused::NotNow(why)) => {
            tracing::warn!(why, "a message of SNS could not be checked");
            said(StatusCode::SERVICE_UNAVAILABLE, why)
        }
        Err(Refused::Disbelieved(why)) => {
            tracing::warn!(%why, "a message that is not believed");
            said(StatusCode::FORBIDDEN, why.to_string())
        }
    })
}

fn said(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response
}

impl Post {
    /// Takes a delivery: checks who it is from, and does what it is for. Says what that was.
    async fn take(&self, body: &[u8]) -> Result<String, Refused> {
        let message = Message::read(body, &self.topic, self.clock.now()).map_err(Refused::Disbelieved)?;
        let certificate = self.certificate(message.certificate_url()).await?;
        message.signed_by(&certificate).map_err(Refused::Disbelieved)?;
        self.keep(message.certificate_url(), certificate);
        match message.r#type() {
            Type::Notification => {
                let at = message.at().map_err(Refused::Disbelieved)?;
                lock(&self.alarms).hear(message.text(), at).map_err(Refused::Useless)
            }
            Type::SubscriptionConfirmation => self.confirm(message.confirmation().unwrap_or_default()).await,
            Type::UnsubscribeConfirmation => Err(Refused::Useless("the subscription is over: subscribe again, or end the watch")),
        }
    }

    async fn certificate(&self, url: &str) -> Result<Vec<u8>, Refused> {
        if let Some(kept) = lock(&self.certificates).get(url) {
            return Ok(kept.clone());
        }
        self.get(url).await
    }

    /// Keeps a certificate that a signature was proved with.
    fn keep(&self, url: &str, certificate: Vec<u8>) {
        let mut kept = lock(&self.certificates);
        if kept.len() >= CERTIFICATES_MAX && !kept.contains_key(url) {
            kept.clear();
        }
        kept.insert(url.to_owned(), certificate);
    }

    async fn confirm(&self, url: &str) -> Result<String, Refused> {
        self.get(url).await.map(|_| format!("the subscription to {} is confirmed", self.topic))
    }

    /// Asks SNS's own address, which was checked to be that.
    async fn get(&self, url: &str) -> Result<Vec<u8>, Refused> {
        match self.cloud.get(url, None, SERVED_WITHIN).await {
            Ok(answer) if answer.status == 200 => Ok(answer.body),
            Ok(answer) => Err(Refused::NotNow(format!("SNS answers with HTTP {} for {url}", answer.status))),
            Err(failure) => Err(Refused::NotNow(failure.message)),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
