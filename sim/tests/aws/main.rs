//! The simulator as the AWS SDK's own clients see it, on tokio's paused clock.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod autoscaling;
mod eks;
mod faults;
mod judged;
mod malformed;
mod monitoring;
mod others;
mod persistence;
mod rds;
mod recovery;
mod route53;
mod s3;
mod serve;
mod support;
mod traffic;
