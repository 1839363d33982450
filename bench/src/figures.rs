//! What one round found.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a run cost, beside the floor of the same round.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Figures {
    /// How many steps the run had.
    pub steps: usize,
    /// How many records it left.
    pub records: u64,
    /// How long it took, from the claim of the journal to its release, in seconds.
    pub wall_seconds: f64,
    /// The CPU time of all threads meanwhile, in user mode and in the kernel.
    pub cpu_seconds: f64,
    /// The most memory that was resident, in MiB.
    pub peak_rss_mib: u64,
    /// How many `fdatasync` were waited for.
    pub syncs: u64,
    /// The bytes that were handed to the kernel.
    pub bytes_written: u64,
    /// How long one raw `write` + `fdatasync` of as many bytes as a sync carries took in the same directory, in seconds.
    pub floor_sync_seconds: f64,
}

impl Figures {
    /// Returns the syncs per step.
    pub fn syncs_per_step(&self) -> f64 {
        self.syncs as f64 / self.steps as f64
    }

    /// Returns the steps per second.
    pub fn steps_per_second(&self) -> f64 {
        self.steps as f64 / self.wall_seconds
    }

    /// Returns how much longer the run took than the raw disk takes for one durable write per step.
    pub fn over_floor(&self) -> f64 {
        self.wall_seconds / (self.floor_sync_seconds * self.steps as f64)
    }

    /// Returns the CPU time per step.
    pub fn cpu_per_step(&self) -> Duration {
        Duration::from_secs_f64(self.cpu_seconds / self.steps as f64)
    }
}

/// Returns the median of what `of` takes from each round.
pub fn median<T>(rounds: &[T], of: impl Fn(&T) -> f64) -> f64 {
    let mut values: Vec<_> = rounds.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
