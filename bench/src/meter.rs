//! What the operating system says of this process. Linux only, as is the rest of `wf`.

use std::fs;

use rustix::time::{ClockId, clock_gettime};

/// Readings at one moment, to be subtracted from later ones.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Readings {
    cpu_seconds: f64,
    bytes_written: u64,
}

impl Readings {
    /// Reads the counters of all threads, and lets the peak of memory begin anew.
    pub(crate) fn begin() -> Self {
        // Without it the peak is that of the process so far, which is more, not less.
        let _ = fs::write("/proc/self/clear_refs", "5");
        Self { cpu_seconds: cpu_seconds(), bytes_written: bytes_written() }
    }

    /// Returns the CPU seconds, in user mode and in the kernel, since then.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        cpu_seconds() - self.cpu_seconds
    }

    /// Returns the bytes that were handed to the kernel to be written since then.
    pub(crate) fn bytes_written(&self) -> u64 {
        bytes_written() - self.bytes_written
    }
}

fn cpu_seconds() -> f64 {
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    spent.tv_sec as f64 + spent.tv_nsec as f64 / 1e9
}

fn bytes_written() -> u64 {
    proc_number("/proc/self/io", "wchar:")
}

/// Returns the most memory that was resident since [`Readings::begin`], in MiB.
pub(crate) fn peak_rss_mib() -> u64 {
    proc_number("/proc/self/status", "VmHWM:") / 1024
}

fn proc_number(path: &str, name: &str) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
