//! Cron schedules, as far as the simulator needs them: minute and hour as a number, a list of them, `*` or `*/n`; the other fields
//! are `*`.

use crate::world::Ms;

const MINUTE: Ms = 60_000;
const MINUTES_A_DAY: Ms = 24 * 60;

/// Reports whether a schedule names the minute of an instant.
pub(super) fn is_due(schedule: &str, at: Ms) -> bool {
    let minute = at.div_euclid(MINUTE).rem_euclid(MINUTES_A_DAY);
    parse(schedule).is_some_and(|(minutes, hours)| matches(minutes, minute % 60) && matches(hours, minute / 60))
}

/// The next minute after an instant that a schedule names; none if it names none.
pub(super) fn next(schedule: &str, at: Ms) -> Option<Ms> {
    let (minutes, hours) = parse(schedule)?;
    let first = at.div_euclid(MINUTE) + 1;
    let is_named = |m: &Ms| matches(hours, m.rem_euclid(MINUTES_A_DAY) / 60) && matches(minutes, m.rem_euclid(60));
    (first..first + MINUTES_A_DAY).find(is_named).map(|m| m * MINUTE)
}

/// The fields of the minute and of the hour.
fn parse(schedule: &str) -> Option<(&str, &str)> {
    let mut fields = schedule.split_whitespace();
    Some((fields.next()?, fields.next()?))
}

fn matches(field: &str, value: i64) -> bool {
    match field.strip_prefix("*/") {
        Some(step) => step.parse::<i64>().is_ok_and(|n| n > 0 && value % n == 0),
        None => field == "*" || field.split(',').any(|n| n.parse() == Ok(value)),
    }
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
        assert_eq!(next("0 2 * * *", at("2026-03-14T02:00:00Z")), Some(at("2026-03-15T02:00:00Z")));
        assert_eq!(next("*/15 * * * *", at("2026-03-14T23:59:59Z")), Some(at("2026-03-15T00:00:00Z")));
        assert_eq!(next("61 2 * * *", at("2026-03-14T23:59:59Z")), None);
    }
}
