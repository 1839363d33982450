//! Values as they are typed: `k=v` pairs, speeds, and files of inputs.

use std::path::Path;
use std::time::Duration;

use indexmap::IndexMap;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::Value;
use wf_engine::model::ron_fields;
use wf_engine::step::{Field, FieldType};
use wf_engine::units::Span;

use crate::failure::Failure;
use crate::source::Source;

/// A name with a value.
pub type Pair = (String, String);

/// Reads `name=value`. The value may be empty, and may hold further `=`.
pub fn pair(text: &str) -> Result<Pair, String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().to_owned(), value.to_owned())),
        Some(_) => Err("there is no name before the `=`".to_owned()),
        None => Err("expected NAME=VALUE".to_owned()),
    }
}

/// The longest reason that is recorded, in bytes.
const REASON_LEN_MAX: usize = 4096;

/// Reads the reason for a decision.
pub fn reason(text: &str) -> Result<String, String> {
    match text.len() {
        0..=REASON_LEN_MAX => Ok(text.to_owned()),
        len => Err(format!("the reason is {len} bytes long, more than the {REASON_LEN_MAX} allowed")),
    }
}

/// Reads a speed: a positive number.
pub fn speed(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(speed) if speed.is_finite() && speed > 0.0 => Ok(speed),
        Ok(_) | Err(_) => Err("expected a number above 0, such as 60".to_owned()),
    }
}

/// Since when: so long ago, or a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    Ago(Duration),
    Moment(Timestamp),
}

impl Since {
    /// Returns the moment that is meant.
    pub fn before(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Ago(span) => now.checked_sub(span).unwrap_or(Timestamp::UNIX_EPOCH),
            Self::Moment(moment) => moment,
        }
    }

    /// Returns the moment that is meant, in milliseconds of the Unix epoch.
    pub fn as_ms(self, now: Timestamp) -> u64 {
        u64::try_from(self.before(now).as_millisecond()).unwrap_or(0)
    }
}

/// Reads since when: a span, a day or a moment, in UTC.
pub fn since(text: &str) -> Result<Since, String> {
    let day = |text: &str| text.parse::<Date>().ok().and_then(|day| day.to_zoned(TimeZone::UTC).ok()).map(|day| day.timestamp());
    if let Ok(span) = text.parse::<Span>() {
        return Ok(Since::Ago(span.0));
    }
    // A moment first: a date is also read from the beginning of one.
    let moment = text.parse::<Timestamp>().ok().or_else(|| day(text));
    moment.map(Since::Moment).ok_or_else(|| "expected a span such as `2d`, a day such as `2026-11-01`, or a moment of it".to_owned())
}

/// Puts the inputs of a file and those of `--set` together, the latter last so that they win.
pub fn inputs(file: Option<&Path>, set: &[Pair]) -> Result<Vec<(String, Value)>, Failure> {
    let mut inputs: IndexMap<String, Value> = IndexMap::new();
    if let Some(file) = file {
        let source = Source::read(file)?;
        inputs = ron_fields::value(&source.text)
            .map_err(|problem| source.invalid(vec![problem.help("write it as `{ \"input\": \"value\" }`")]))?;
    }
    inputs.extend(set.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))));
    Ok(inputs.into_iter().collect())
}

/// Reads an output as its kind declares it.
pub fn output(field: &Field, text: &str) -> Result<Value, String> {
    let not = |what: &str| format!("output `{}` is {what}, `{}` is not", field.name, text.escape_debug());
    match field.ty {
        FieldType::Text => Ok(Value::from(text)),
        FieldType::Integer => text.parse::<i64>().map(Value::from).map_err(|_| not("a whole number")),
        FieldType::Number => text.parse::<serde_json::Number>().map(Value::Number).map_err(|_| not("a number")),
        FieldType::Bool => text.parse::<bool>().map(Value::from).map_err(|_| not("`true` or `false`")),
        FieldType::Json => serde_json::from_str(text).map_err(|_| not("JSON")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_split_at_the_first_sign() {
        assert_eq!(pair("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert_eq!(pair("a="), Ok(("a".to_owned(), String::new())));
        assert!(pair("=b").is_err() && pair("ab").is_err());
    }

    #[test]
    fn reasons_are_short_enough_for_a_record() {
        assert!(reason(&"x".repeat(REASON_LEN_MAX)).is_ok());
        assert_eq!(reason(&"x".repeat(5000)), Err("the reason is 5000 bytes long, more than the 4096 allowed".to_owned()));
    }

    #[test]
    fn speeds_are_positive() {
        assert_eq!(speed("600"), Ok(600.0));
        for bad in ["0", "-1", "inf", "NaN", "fast"] {
            assert!(speed(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn since_when_is_a_span_a_day_or_a_moment() {
        let now: Timestamp = "2026-11-03T12:00:00Z".parse().expect("a moment");
        let meant =
            |text| since(text).map(|since| Timestamp::from_millisecond(since.as_ms(now).cast_signed()).expect("in range").to_string());
        assert_eq!(meant("2d").as_deref(), Ok("2026-11-01T12:00:00Z"));
        assert_eq!(meant("2026-11-01").as_deref(), Ok("2026-11-01T00:00:00Z"));
        assert_eq!(meant("2026-11-01T03:00:00Z").as_deref(), Ok("2026-11-01T03:00:00Z"));
        for bad in ["2", "yesterday", "2026-13-01", ""] {
            assert!(since(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn outputs_have_the_declared_type() {
        let port = Field::new("port", FieldType::Integer, "");
        assert_eq!(output(&port, "5432"), Ok(Value::from(5432)));
        assert!(output(&port, "many").is_err());
    }
}
