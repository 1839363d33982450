//! The way to a run that another process drives: one request a connection to its control socket.

use std::io;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::time::{sleep, timeout};
use wf_engine::model::record::Record;

use crate::control_socket::{Answer, Request, with_short_path};

/// How long an owner may take to answer, and to put its socket up after it has taken the run.
pub const OWNER_TIME_MAX: Duration = Duration::from_secs(15);
const SOCKET_WAIT_MAX: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(20);
/// The longest line of an answer: a record is at most 64 KiB.
const LINE_LEN_MAX: usize = 256 * 1024;

/// Why an owner does not do as it is told, and what to type next.
pub struct Refused {
    pub error: String,
    pub help: Option<String>,
}

/// A conversation with the owner of a run.
pub struct Conversation {
    lines: BufReader<UnixStream>,
}

/// Connects to the owner of a run. Waits a little, as an owner puts its socket up after it has taken the run.
///
/// # Errors
/// When nobody listens: the owner is just leaving, or has no socket.
pub async fn connect(path: &Path) -> io::Result<Conversation> {
    let mut waited = Duration::ZERO;
    loop {
        let stream = with_short_path(path, |short| std::os::unix::net::UnixStream::connect(short));
        match stream.and_then(|stream| stream.set_nonblocking(true).and_then(|()| UnixStream::from_std(stream))) {
            Ok(stream) => return Ok(Conversation { lines: BufReader::new(stream) }),
            Err(error) if waited >= SOCKET_WAIT_MAX => return Err(error),
            Err(_) => {
                sleep(POLL).await;
                waited += POLL;
            }
        }
    }
}

impl Conversation {
    /// Asks for the records, and hands each to `each`. Returns the time by the run's clock when the last one was told; without
    /// `follow`, that is now.
    ///
    /// # Errors
    /// When the owner breaks off: it was killed, or left.
    pub async fn records(mut self, follow: bool, mut each: impl FnMut(Record)) -> io::Result<Timestamp> {
        self.ask(&Request::Records { follow }).await?;
        loop {
            let limit = if follow { Duration::MAX } else { OWNER_TIME_MAX };
            let line = self.line(limit).await?;
            match serde_json::from_slice::<Record>(&line) {
                Ok(record) => each(record),
                Err(unreadable) => match serde_json::from_slice(&line) {
                    Ok(Answer::End { now, .. }) => return Ok(now),
                    Ok(Answer::Refused { error, .. }) => return Err(io::Error::other(error)),
                    Ok(Answer::Done { .. }) | Err(_) => return Err(unreadable.into()),
                },
            }
        }
    }

    /// Gives an order; returns what the owner has against it, if anything.
    ///
    /// # Errors
    /// When the owner breaks off.
    pub async fn order(mut self, request: &Request) -> io::Result<Result<(), Refused>> {
        self.ask(request).await?;
        let line = self.line(OWNER_TIME_MAX).await?;
        match serde_json::from_slice(&line)? {
            Answer::Done { .. } => Ok(Ok(())),
            Answer::Refused { error, help } => Ok(Err(Refused { error, help })),
            Answer::End { .. } => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    async fn ask(&mut self, request: &Request) -> io::Result<()> {
        let mut bytes = serde_json::to_vec(request)?;
        bytes.push(b'\n');
        self.lines.get_mut().write_all(&bytes).await
    }

    async fn line(&mut self, limit: Duration) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        let read = async {
            while !line.ends_with(b"\n") {
                let more = self.lines.fill_buf().await?;
                if more.is_empty() || line.len() > LINE_LEN_MAX {
                    return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
                }
                let end = more.iter().position(|&byte| byte == b'\n').map_or(more.len(), |newline| newline + 1);
                line.extend_from_slice(&more[..end]);
                self.lines.consume(end);
            }
            Ok(line)
        };
        timeout(limit, read).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}
