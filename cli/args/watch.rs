//! What `wf watch` can be told.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args as ClapArgs, ValueEnum, ValueHint};
use clap_complete::engine::ArgValueCompleter;
use wf_engine::units::Span;

use super::{Notify, RunOptions};
use crate::complete::workflows;
use crate::watch::region_of;

/// What a watch looks at; something it must be.
#[derive(Debug, ClapArgs)]
#[group(required = true, multiple = true)]
pub struct LookedAt {
    /// The page that users ask for; an answer with the status 200 is a good one
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// A CloudWatch alarm: bad in ALARM, well in OK; INSUFFICIENT_DATA and no answer are neither. It takes the right to cloudwatch:DescribeAlarms
    #[arg(long, value_name = "NAME@REGION")]
    pub alarm: Vec<AlarmName>,
    /// A health check of Route 53. It takes the rights to route53:GetHealthCheck and route53:GetHealthCheckStatus
    #[arg(long, value_name = "ID")]
    pub health_check: Vec<String>,
    /// A topic of SNS that alarms of CloudWatch are published to: its messages are listened for, and believed when SNS signed them, with signatures
    /// of version 2. One alarm in ALARM is bad
    #[arg(long, value_name = "ARN", requires = "sns_listen", value_parser = topic)]
    pub sns_topic: Option<String>,
}

/// How many sources make a bad look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Require {
    /// All that are known: one false alarm starts nothing
    All,
    /// One
    Any,
}

/// An alarm, by its name and region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlarmName {
    pub name: String,
    pub region: String,
}

impl FromStr for AlarmName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain = |region: &str| !region.is_empty() && region.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        match text.rsplit_once('@') {
            Some((name, region)) if !name.is_empty() && plain(region) => Ok(Self { name: name.to_owned(), region: region.to_owned() }),
            _ => Err("an alarm is named with its region, such as `primary-region-health-check@us-east-1`"),
        }
    }
}

impl fmt::Display for AlarmName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.region)
    }
}

fn topic(text: &str) -> Result<String, &'static str> {
    let is_topic = region_of(text).is_some();
    is_topic
        .then(|| text.to_owned())
        .ok_or("a topic is named by its ARN, such as `arn:aws:sns:us-west-2:123456789012:production-dr-alerts`")
}

#[derive(Debug, ClapArgs)]
pub struct Watch {
    /// The workflow that is started when it stays bad
    #[arg(value_name = "FILE", add = ArgValueCompleter::new(workflows))]
    pub file: PathBuf,
    #[command(flatten)]
    pub looked_at: LookedAt,
    /// Where messages of SNS are listened for; SNS delivers to the address that is subscribed, and the subscription is confirmed by itself. Plain
    /// HTTP, behind what ends TLS for it, unless there is a certificate
    #[arg(long, value_name = "ADDRESS:PORT", requires = "sns_topic")]
    pub sns_listen: Option<SocketAddr>,
    /// The certificate for it in PEM, with those of the authorities between: a name that it has is subscribed, and SNS must trust it
    #[arg(long, value_name = "FILE", requires = "sns_listen", requires = "sns_key", value_hint = ValueHint::FilePath)]
    pub sns_certificate: Option<PathBuf>,
    /// The key of that certificate, in PEM
    #[arg(long, value_name = "FILE", requires = "sns_certificate", value_hint = ValueHint::FilePath)]
    pub sns_key: Option<PathBuf>,
    /// Of several sources: whether all of them that are known must be bad for a bad look, or any
    #[arg(long, value_name = "HOW_MANY", default_value = "all")]
    pub require: Require,
    /// The pause between two looks, and the limit of one
    #[arg(long, value_name = "SPAN", default_value = "10s")]
    pub interval: Span,
    /// How many looks must be bad
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub failures: u32,
    /// Of how many looks; default: of as many, so that all of them in a row must be bad
    #[arg(long, value_name = "M", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub of: Option<u32>,
    /// Start nothing so soon after the last run of the workflow was started
    #[arg(long, value_name = "SPAN", default_value = "1h")]
    pub min_delay: Span,
    /// Approve in advance whatever the steps ask, the promotion too; otherwise the run does what can be undone, and asks
    #[arg(long)]
    pub auto: bool,
    /// Watch again although the last incident was answered by a run
    #[arg(long)]
    pub rearm: bool,
    #[command(flatten)]
    pub options: RunOptions,
    #[command(flatten)]
    pub notify: Notify,
}
