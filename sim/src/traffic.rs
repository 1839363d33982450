//! What the synthetic users saw: the measured outage and the measured loss.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What the traffic client measured since the world began. It sends one request a virtual second.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrafficReport {
    /// The host name of the site that was asked.
    pub site: String,
    /// When the traffic began (virtual).
    pub started_at: Timestamp,
    /// Virtual seconds in which a user's request was not answered with success, in all.
    pub outage: f64,
    /// The outages one by one, in order; the last one may still be going on.
    pub outages: Vec<Outage>,
    /// Requests sent.
    pub requests: u64,
    /// Requests that failed.
    pub failed: u64,
    /// Rows that users wrote and were told are safe.
    pub rows_written: u64,
    /// Rows of these that a promoted database did not have when it parted from its source.
    pub rows_lost: u64,
    /// The promotions that lost rows, in order, the latest hundred.
    pub losses: Vec<Loss>,
    /// Rows of these that were written to a database after another had been promoted from it.
    pub split_brain_rows: u64,
    /// The region that answered the last successful request; none before the first.
    pub serving_region: Option<String>,
    /// Why the last failed request failed.
    pub last_error: Option<String>,
}

/// A promotion that lost rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// When the database was promoted (virtual).
    pub at: Timestamp,
    /// How many rows it did not have.
    pub rows: u64,
}

/// An unbroken row of failed seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outage {
    /// The first failed second (virtual).
    pub from: Timestamp,
    /// The first second that succeeded again; none while it goes on.
    pub until: Option<Timestamp>,
    /// Why the first request failed.
    pub reason: String,
}
