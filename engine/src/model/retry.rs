//! How often and how soon a failed attempt is followed by another.

use std::time::Duration;

use serde::Deserialize;

use crate::units::Span;

/// Attempt number → delay, or giving up: exponential back-off with jitter.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetryPolicy {
    /// How many attempts there are in all, the first one included.
    pub attempts: u32,
    /// The delay after the first attempt.
    pub initial: Span,
    /// The longest delay.
    pub max: Span,
    /// How much longer each delay is than the one before.
    pub factor: f64,
    /// The part of a delay that is left to chance, from 0 to 1, so that steps that failed together do not return together.
    pub jitter: f64,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { attempts: 4, initial: Span::secs(2), max: Span::secs(30), factor: 2.0, jitter: 0.2 }
    }
}

impl RetryPolicy {
    /// The most attempts a policy may ask for.
    pub const ATTEMPTS_MAX: u32 = 1000;

    /// Says what is wrong with the figures, a sentence each.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.attempts == 0 || self.attempts > Self::ATTEMPTS_MAX {
            problems.push(format!("`attempts` must be from 1 to {}, not {}", Self::ATTEMPTS_MAX, self.attempts));
        }
        if !(1.0..=100.0).contains(&self.factor) {
            problems.push(format!("`factor` must be from 1 to 100, not {}", self.factor));
        }
        if !(0.0..=1.0).contains(&self.jitter) {
            problems.push(format!("`jitter` must be from 0 to 1, not {}", self.jitter));
        }
        if self.max < self.initial {
            problems.push(format!("`max` ({}) must not be shorter than `initial` ({})", self.max, self.initial));
        }
        problems
    }

    /// Returns the delay after the failure of attempt `attempt` (from 1), or `None` to give up. `chance` is from 0 to 1.
    pub fn delay(&self, attempt: u32, chance: f64) -> Option<Duration> {
        if attempt >= self.attempts {
            return None;
        }
        let exponent = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
        let full = (self.initial.0.as_secs_f64() * self.factor.powi(exponent)).min(self.max.0.as_secs_f64());
        let jittered = full * (1.0 - self.jitter * chance.clamp(0.0, 1.0));
        Some(Duration::try_from_secs_f64(jittered).unwrap_or(self.max.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_the_longest_and_end() {
        let policy = RetryPolicy { attempts: 6, ..RetryPolicy::default() };
        let delays: Vec<_> = (1..=6).map(|attempt| policy.delay(attempt, 0.0).map(|d| d.as_secs())).collect();
        assert_eq!(delays, [Some(2), Some(4), Some(8), Some(16), Some(30), None]);
    }

    #[test]
    fn chance_only_shortens_within_the_jitter() {
        let policy = RetryPolicy::default();
        assert_eq!(policy.delay(1, 1.0), Some(Duration::from_millis(1600)));
        assert_eq!(policy.delay(1000, 0.5), None);
    }

    #[test]
    fn impossible_figures_are_named() {
        let policy = RetryPolicy { attempts: 0, factor: 0.5, jitter: 2.0, max: Span::secs(1), ..RetryPolicy::default() };
        assert_eq!(policy.problems().len(), 4);
        assert!(RetryPolicy::default().problems().is_empty());
    }
}
