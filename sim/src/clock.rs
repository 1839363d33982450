//! Virtual time: what the simulated cloud, its traffic and the engine above it all go by.
//!
//! Knows nothing of the world. It is tokio's clock times a speed, so under tokio's paused clock it is the paused clock.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// Tells and waits in virtual time.
#[derive(Clone, Debug)]
pub struct SimClock {
    start: Timestamp,
    began: Instant,
    speed: f64,
}

/// The slowest and fastest a clock can run; anything else is brought into these bounds.
const SPEED_MIN: f64 = 0.001;
const SPEED_MAX: f64 = 1_000_000.0;
/// The longest real sleep, so that a tiny speed cannot overflow tokio's timer.
const SLEEP_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

impl SimClock {
    /// Starts a clock at `start` that runs `speed` times as fast as tokio's.
    pub fn scaled(start: Timestamp, speed: f64) -> SimClock {
        let speed = if speed.is_finite() { speed.clamp(SPEED_MIN, SPEED_MAX) } else { 1.0 };
        SimClock { start, began: Instant::now(), speed }
    }

    /// Returns the virtual instant.
    pub fn now(&self) -> Timestamp {
        let elapsed = self.began.elapsed().as_secs_f64() * self.speed;
        let elapsed = SignedDuration::try_from_secs_f64(elapsed).unwrap_or(SignedDuration::ZERO);
        self.start.checked_add(elapsed).unwrap_or(Timestamp::MAX)
    }

    /// Waits for `virtual_duration` of virtual time.
    pub async fn sleep(&self, virtual_duration: Duration) {
        let real = Duration::try_from_secs_f64(virtual_duration.as_secs_f64() / self.speed);
        tokio::time::sleep(real.unwrap_or(SLEEP_MAX).min(SLEEP_MAX)).await;
    }

    /// Returns how many virtual seconds pass in a real one.
    pub fn speed(&self) -> f64 {
        self.speed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn runs_with_tokios_paused_clock_times_the_speed() {
        let clock = SimClock::scaled(Timestamp::UNIX_EPOCH, 60.0);
        let before = tokio::time::Instant::now();
        clock.sleep(Duration::from_secs(120)).await;
        assert_eq!(before.elapsed(), Duration::from_secs(2));
        assert_eq!(clock.now().as_second(), 120);
    }

    #[tokio::test(start_paused = true)]
    async fn brings_nonsense_speeds_into_bounds() {
        for speed in [f64::NAN, f64::INFINITY, -3.0, 0.0] {
            let clock = SimClock::scaled(Timestamp::UNIX_EPOCH, speed);
            assert!(clock.speed() > 0.0 && clock.speed().is_finite());
        }
    }
}
