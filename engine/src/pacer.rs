//! [`Pacer`]: the pauses of a poll loop.
//!
//! What counts is how late the end of a wait is seen, and that is half a pause on average. So the pauses are short around the time
//! at which the end is to be expected, longer before, and grow again long after:
//!
//! ```text
//!   pause   2.5 s  growing, 10 s at most │ 2.5 s to 8 s, by the length of the wait │ growing, 10 s at most
//!   time    0                     half of the typical                   twice the typical
//! ```
//!
//! The stock waiters of the SDK pause 30 s throughout, which costs 15 s on average on the critical path of each wait.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::clock::{Clock, between};

/// The shortest pause.
const SHORTEST: Duration = Duration::from_millis(2500);
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(10);
/// The longest pause around the expected end: the end of something that takes half an hour may be seen seconds later.
const LONGEST_CLOSE: Duration = Duration::from_secs(8);
/// How many pauses around the expected end make up the typical time.
const CLOSE_PARTS: u32 = 150;
/// How much a pause differs, either way, so that steps do not poll in step.
const JITTER: f64 = 0.2;

/// The pauses of one poll loop. Their jitter comes from the step, so the same run on the same clock pauses the same.
pub struct Pacer {
    clock: Arc<dyn Clock>,
    began: Timestamp,
    typical: Duration,
    random: fastrand::Rng,
}

impl Pacer {
    /// Begins a loop that usually takes `typical`; `seed` says what its jitter is made from.
    pub fn new(clock: Arc<dyn Clock>, typical: Duration, seed: &str) -> Self {
        let hash = crate::model::record::hash(seed.as_bytes());
        let seed = u64::from_str_radix(&hash[..16], 16).unwrap_or_default();
        Self { began: clock.now(), clock, typical, random: fastrand::Rng::with_seed(seed) }
    }

    /// Pauses until it is time to look again.
    pub async fn pause(&mut self) {
        let pause = pause_after(between(self.began, self.clock.now()), self.typical);
        self.clock.sleep(pause.mul_f64(1.0 - JITTER + 2.0 * JITTER * self.random.f64())).await;
    }
}

/// Returns the pause after `waited`, before jitter.
fn pause_after(waited: Duration, typical: Duration) -> Duration {
    let close = (typical / CLOSE_PARTS).clamp(SHORTEST, LONGEST_CLOSE);
    let (from, until) = (typical / 2, typical * 2);
    if waited < from {
        // Grows by half each time: what ends much sooner than usual is not seen much later.
        let growing = (waited / 2).clamp(SHORTEST, LONGEST).min((typical / 8).max(close));
        return growing.min((from - waited).max(close));
    }
    let beyond = waited.as_secs_f64() / until.as_secs_f64().max(1.0);
    close.mul_f64(beyond.max(1.0)).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The moments at which a loop looks, in seconds, without jitter.
    fn looks(typical: u64, until: f64) -> Vec<f64> {
        let mut looks = vec![0.0];
        loop {
            let last = looks[looks.len() - 1];
            let next = last + pause_after(Duration::from_secs_f64(last), Duration::from_secs(typical)).as_secs_f64();
            if next > until {
                return looks;
            }
            looks.push(next);
        }
    }

    #[test]
    fn looks_are_rare_at_first_and_close_around_the_expected_end() {
        assert_eq!(looks(420, 30.0), [0.0, 2.5, 5.0, 7.5, 11.25, 16.875, 25.3125]);
        let promotion = looks(420, 840.0);
        let pauses: Vec<_> = promotion.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(pauses.iter().all(|pause| (2.5..=10.0).contains(pause)), "{pauses:?}");
        assert!(promotion.windows(2).filter(|pair| pair[0] >= 210.0).all(|pair| pair[1] - pair[0] < 2.9), "{promotion:?}");
        assert!(looks(420, 210.0).len() < 28);
    }

    #[test]
    fn a_wait_far_beyond_the_expected_end_backs_off() {
        assert_eq!(pause_after(Duration::from_secs(3600), Duration::from_secs(60)), LONGEST);
        assert_eq!(pause_after(Duration::from_secs(240), Duration::from_secs(60)), SHORTEST * 2);
    }

    #[test]
    fn a_short_wait_is_looked_at_closely_and_a_long_one_less() {
        assert!(looks(45, 90.0).windows(2).all(|pair| pair[1] - pair[0] < 5.7));
        assert_eq!(pause_after(Duration::from_secs(1800), Duration::from_secs(1800)), LONGEST_CLOSE);
        assert_eq!(pause_after(Duration::ZERO, Duration::ZERO), SHORTEST);
    }
}
