//! The control socket of a live run: a process that owns a run answers the others on `<run>/control.sock`, one JSON request a
//! connection. This is the owner's end; [`crate::control_client`] is the other.
//!
//! ```text
//! {"verb":"records"}                      every record so far, a line each, then {"end":true,…}
//! {"verb":"records","follow":true}        the same, and each record that follows, until the run leaves this process
//! {"verb":"order","order":{"verb":"pause"},"reason":…,"by":{…},"until":…}     {"ok":true} once it is on record, or {"error":"…"}
//! ```
//!
//! Everything is bounded: connections, the length of a request, and the time that a peer may take. The directory above lets nobody in
//! but its owner, so whoever connects is that user, or root.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use wf_engine::clock::Clock;
use wf_engine::model::event::Operator;
use wf_engine::model::ids::RunId;
use wf_engine::runtime::{Control, Controller, Order};

use crate::hints::refusal_hint;
use crate::ledger::{Ledger, Progress};

/// How many peers are served at once.
const CONNECTIONS_MAX: usize = 8;
/// The longest request, in bytes.
pub const REQUEST_LEN_MAX: u64 = 64 * 1024;
/// How long a peer may take to ask, or to take what it is given.
const PEER_TIME_MAX: Duration = Duration::from_secs(10);
/// How long followers may take for the last records once the run has ended.
const FAREWELL_MAX: Duration = Duration::from_secs(2);
/// The longest path that the kernel takes for a socket.
const PATH_LEN_MAX: usize = 107;

/// What can be asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "lowercase", deny_unknown_fields)]
pub enum Request {
    Records {
        #[serde(default)]
        follow: bool,
    },
    Order {
        order: Box<Order>,
        #[serde(default)]
        reason: String,
        by: Box<Operator>,
        /// When whoever gave it stops waiting for the answer.
        until: Timestamp,
    },
}

/// The last line of an answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Answer {
    /// What was ordered is on record.
    Done { ok: bool },
    /// All records were told.
    End { end: bool, now: Timestamp },
    /// It cannot be done.
    Refused {
        error: String,
        /// What to type next.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        help: Option<String>,
    },
}

/// The owner's end of the socket. Dropping it removes the file.
pub struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
    /// Tells our file from one that the next owner has put in its place.
    inode: Option<u64>,
}

/// What the socket's answers come from.
#[derive(Clone)]
pub struct Served {
    pub run: RunId,
    pub ledger: Arc<Ledger>,
    pub controller: Controller,
    pub clock: Arc<dyn Clock>,
}

/// Calls `with` with a name of the socket that is short enough for the kernel: through the open directory when the path is too long.
pub fn with_short_path<T>(path: &Path, with: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    if path.as_os_str().len() <= PATH_LEN_MAX {
        return with(path);
    }
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else { return with(path) };
    let dir = File::open(dir)?;
    with(&Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string()).join(name))
}

impl ControlSocket {
    /// Listens on `path`. Only the owner of the run may call this: a socket that is there is a stale one, and is replaced.
    pub fn bind(path: &Path) -> io::Result<Self> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let listener = with_short_path(path, |short| UnixListener::bind(short))?;
        fs::set_permissions(path, Permissions::from_mode(0o600))?;
        let inode = fs::metadata(path).ok().map(|file| file.ino());
        Ok(Self { listener, path: path.to_owned(), inode })
    }

    /// Answers until the run has ended and its followers know.
    pub async fn serve(self, served: Served) {
        let mut progress = served.ledger.watch();
        let mut peers = JoinSet::new();
        loop {
            tokio::select! {
                () = ended(&mut progress) => break,
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) if peers.len() < CONNECTIONS_MAX => { peers.spawn(answer(stream, served.clone())); }
                    Ok((stream, _)) => { peers.spawn(turn_away(stream)); }
                    // Out of descriptors, for instance: others may be closed meanwhile.
                    Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                },
                Some(_) = peers.join_next() => {}
            }
        }
        drop(self);
        let _ = timeout(FAREWELL_MAX, async { while peers.join_next().await.is_some() {} }).await;
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        let ours = fs::metadata(&self.path).ok().map(|file| file.ino());
        if ours.is_some() && ours == self.inode {
            let _ = fs::remove_file(&self.path);
        }
    }
}

async fn ended(progress: &mut watch::Receiver<Progress>) {
    // The sender lives as long as the ledger.
    let _ = progress.wait_for(|progress| progress.ended).await;
}

async fn turn_away(mut stream: UnixStream) {
    let busy = refused(format!("{CONNECTIONS_MAX} others are connected already: try again"));
    let _ = timeout(Duration::from_secs(1), send(&mut stream, &busy)).await;
}

async fn answer(stream: UnixStream, served: Served) {
    // A peer that breaks off or takes too long has lost its interest.
    if let Err(error) = converse(stream, &served).await {
        tracing::debug!(%error, "control connection ended");
    }
}

async fn converse(mut stream: UnixStream, served: &Served) -> io::Result<()> {
    let mut line = Vec::new();
    let mut peer = BufReader::new(&mut stream).take(REQUEST_LEN_MAX);
    let read = within(PEER_TIME_MAX, peer.read_until(b'\n', &mut line)).await?;
    let request = serde_json::from_slice::<Request>(&line);
    match request {
        _ if read == 0 => Ok(()),
        _ if !line.ends_with(b"\n") => {
            send(&mut stream, &refused(format!("a request is one line of at most {REQUEST_LEN_MAX} bytes"))).await
        }
        Err(error) => send(&mut stream, &refused(format!("not understood: {error}"))).await,
        Ok(Request::Records { follow }) => tell(&mut stream, served, follow).await,
        // Whoever got no answer in time was told so: what they ordered is not done behind their back.
        Ok(Request::Order { until, .. }) if until < Timestamp::now() => Ok(()),
        Ok(Request::Order { order, reason, by, until: _ }) => pass_on(&mut stream, served, (*order, reason, *by)).await,
    }
}

fn refused(error: String) -> Answer {
    Answer::Refused { error, help: None }
}

async fn tell(stream: &mut UnixStream, served: &Served, follow: bool) -> io::Result<()> {
    let mut progress = served.ledger.watch();
    let mut told = 0;
    loop {
        let Progress { records, ended, .. } = *progress.borrow_and_update();
        for record in served.ledger.since(told) {
            send(stream, &record).await?;
            told += 1;
        }
        // What was recorded meanwhile is told in the next round.
        if !follow || (ended && told >= records) {
            return send(stream, &Answer::End { end: true, now: served.clock.now() }).await;
        }
        if progress.changed().await.is_err() {
            return Ok(());
        }
    }
}

async fn pass_on(stream: &mut UnixStream, served: &Served, (order, reason, by): (Order, String, Operator)) -> io::Result<()> {
    let (reply, decided) = oneshot::channel();
    let order = Control::Order { order, by, reason, reply };
    let gone = || refused("the run is leaving".to_owned());
    let answer = match timeout(PEER_TIME_MAX, served.controller.send(order)).await {
        Err(_) | Ok(Err(_)) => gone(),
        Ok(Ok(())) => match decided.await {
            Ok(Ok(())) => Answer::Done { ok: true },
            Ok(Err(refusal)) => Answer::Refused { error: refusal.to_string(), help: refusal_hint(&served.run, &refusal) },
            Err(_) => gone(),
        },
    };
    send(stream, &answer).await
}

async fn send(stream: &mut UnixStream, line: &impl Serialize) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(line)?;
    bytes.push(b'\n');
    within(PEER_TIME_MAX, stream.write_all(&bytes)).await
}

/// Limits how long an I/O operation may take.
async fn within<T>(limit: Duration, operation: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(limit, operation).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
