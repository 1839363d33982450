//! Cron schedules, as far as the simulator needs them: minute and hour as a number, `*` or `*/n`; the other fields are `*`.

use crate::world::{Ms, timestamp};

/// Reports whether a schedule names the minute of an instant.
pub(super) fn is_due(schedule: &str, at: Ms) -> bool {
    let fields: Vec<&str> = schedule.split_whitespace().collect();
    let [minute, hour, ..] = fields.as_slice() else {
        return false;
    };
    let now = timestamp(at).to_zoned(jiff::tz::TimeZone::UTC);
    matches(minute, i64::from(now.minute())) && matches(hour, i64::from(now.hour()))
}

fn matches(field: &str, value: i64) -> bool {
    match field.strip_prefix("*/") {
        Some(step) => step.parse::<i64>().is_ok_and(|n| n > 0 && value % n == 0),
        None => field == "*" || field.split(',').any(|n| n.parse() == Ok(value)),
    }
}

/// The beginning of the minute after an instant.
pub(super) fn next_minute(at: Ms) -> Ms {
    at.div_euclid(60_000) * 60_000 + 60_000
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;

    #[test]
    fn knows_minutes_and_hours() {
        let at = |text: &str| text.parse::<jiff::Timestamp>().unwrap().as_millisecond();
        for (schedule, instant, due) in [
            ("0 2 * * *", "2026-03-14T02:00:59Z", true),
            ("0 2 * * *", "2026-03-14T02:01:00Z", false),
            ("*/15 * * * *", "2026-03-14T09:45:00Z", true),
            ("*/15 * * * *", "2026-03-14T09:46:00Z", false),
            ("5,35 * * * *", "2026-03-14T09:35:00Z", true),
            ("nonsense", "2026-03-14T09:35:00Z", false),
        ] {
            assert_eq!(is_due(schedule, at(instant)), due, "{schedule} at {instant}");
        }
        assert_eq!(next_minute(at("2026-03-14T02:00:59Z")), at("2026-03-14T02:01:00Z"));
        assert_eq!(next_minute(at("2026-03-14T02:01:00Z")), at("2026-03-14T02:02:00Z"));
    }
}
