//! What can go wrong with the simulator itself, apart from what the simulated services answer.

use std::path::PathBuf;

/// Why a simulator could not be opened, read or kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SimError {
    /// A file or directory of the state could not be used.
    #[error("cannot {doing} {path}: {source}", path = path.display())]
    Io {
        /// What was attempted, as a verb: "read", "write", "create", "lock".
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// Another process has the simulated world open.
    #[error("the simulated world in {path} is in use by process {pid}", path = path.display())]
    Locked {
        /// The state directory.
        path: PathBuf,
        /// The holder's process id, or "unknown".
        pid: String,
    },
    /// The state directory holds something that is no simulated world of this version.
    #[error("{path} is not a simulated world that this version can read: {message}", path = path.display())]
    Corrupt {
        /// The offending file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// There is no simulated world in the directory.
    #[error("there is no simulated world in {path}", path = path.display())]
    Missing {
        /// The state directory.
        path: PathBuf,
    },
    /// The world file could not be understood.
    #[error(transparent)]
    World(#[from] WorldError),
    /// The listener of `serve` failed.
    #[error("cannot accept connections: {source}")]
    Serve {
        /// The operating system's answer.
        #[from]
        source: std::io::Error,
    },
}

/// Why a world file could not be understood.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorldError {
    /// The text is not RON, or not of the expected shape.
    #[error("world file, line {line}, column {column}: {message}")]
    Syntax {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What is wrong there.
        message: String,
    },
    /// The text is well-formed but describes no possible world.
    #[error("world file: {0}")]
    Impossible(String),
}

/// A connection that was never answered: what a client sees instead of an HTTP response.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// Nothing listens there, or the region is down.
    #[error("connection refused: {0}")]
    Refused(String),
    /// The request got no answer within any patience.
    #[error("connection timed out: {0}")]
    TimedOut(String),
    /// The connection broke after the request was sent: whether it took effect is unknown.
    #[error("connection reset before an answer came: {0}")]
    Broken(String),
    /// The host name does not resolve.
    #[error("failed to look up {0}: no such host")]
    UnknownHost(String),
}
