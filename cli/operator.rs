//! Who types: taken from the operating system, for the record.

use wf_engine::model::event::{Operator, clip};

/// The longest name that is recorded.
const NAME_LEN_MAX: usize = 256;

/// Describes whoever runs this process.
pub fn this() -> Operator {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned();
    Operator {
        user: clip(user(), NAME_LEN_MAX),
        host: clip(host, NAME_LEN_MAX),
        pid: std::process::id(),
        wf: env!("CARGO_PKG_VERSION").to_owned(),
        identity: None,
    }
}

fn user() -> String {
    use std::os::unix::fs::MetadataExt as _;
    let named = ["USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty()));
    named.unwrap_or_else(|| {
        std::fs::metadata("/proc/self").map_or_else(|_| "unknown".to_owned(), |process| format!("uid {}", process.uid()))
    })
}
