//! Who is told what happens in a run, as it is typed. What it means is read in [`crate::notify`].

use std::fmt;

use clap::{Args as ClapArgs, ValueHint};

use super::Verb;
use crate::notify;

/// Who is told, besides whoever sits at the terminal.
#[derive(Debug, Clone, Default, ClapArgs)]
#[command(next_help_heading = "Notifications")]
pub struct Notify {
    /// Tell an SNS topic what happens: TOPIC@REGION or its ARN; several after commas
    #[arg(long, env = "WF_NOTIFY_SNS", value_name = "TOPIC", value_delimiter = ',')]
    pub notify_sns: Vec<String>,
    /// Post to this URL what happens, as JSON with a `text` that Slack shows. The URL is a secret: give it in the variable, or in a file as @FILE
    #[arg(long, env = "WF_NOTIFY_WEBHOOK", value_name = "URL", hide_env_values = true, value_hint = ValueHint::Url)]
    pub notify_webhook: Option<Secret>,
}

/// A value that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl From<String> for Secret {
    fn from(secret: String) -> Self {
        Self(secret)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl Verb {
    /// Returns what was typed that must not be in any log.
    pub fn secrets(&self) -> Vec<String> {
        let notify = match self {
            Self::Run(args) => &args.notify,
            Self::Resume(args) => &args.notify,
            Self::Rollback(args) => &args.notify,
            Self::Failback(args) => &args.notify,
            Self::Drill(args) => &args.notify,
            Self::Watch(args) => &args.notify,
            Self::Approve(_)
            | Self::Reject(_)
            | Self::Pause(_)
            | Self::Cancel(_)
            | Self::Retry(_)
            | Self::Skip(_)
            | Self::MarkDone(_)
            | Self::Adjust(_)
            | Self::Escalate(_)
            | Self::Plan(_)
            | Self::Check(_)
            | Self::List(_)
            | Self::Status(_)
            | Self::Explain(_)
            | Self::Log(_)
            | Self::Report(_)
            | Self::Kinds(_)
            | Self::Iam(_)
            | Self::Graph(_)
            | Self::Journal(_)
            | Self::Sim(_)
            | Self::Completions { .. }
            | Self::Man { .. }
            | Self::Diagnose(_)
            | Self::Metrics(_)
            | Self::Dashboard(_)
            | Self::Alarms(_)
            | Self::Bench(_) => return Vec::new(),
        };
        notify::secrets(notify)
    }
}
