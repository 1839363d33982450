//! What monitoring systems are told: the figures of runs ([`figures()`]), as Prometheus reads them and as CloudWatch takes them, one list of figures with
//! one renderer each; and what keeps an eye on what a workflow's steps work on, as dashboard and as alarms. Knows nothing of how a run goes on.

mod alarms;
mod cloudwatch;
mod dashboard;
mod figures;
mod prometheus;
mod watchable;

pub use alarms::{Alarms, Topics};
pub use cloudwatch::{Standby, publishable};
pub use dashboard::dashboard;
pub use figures::{Figure, Told, ToldRun, figures};
pub use prometheus::text;
pub use watchable::Watchable;

/// The namespace of wf's own metrics.
pub const NAMESPACE: &str = "wf";
/// What a metric of a workflow is told apart by.
pub const WORKFLOW: &str = "Workflow";
/// Whether a workflow was found ready.
pub const READY: &str = "Ready";
