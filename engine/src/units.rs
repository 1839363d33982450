//! Quantities as people write them: `"15m"`, `"2h 30m"`, `"64KiB"`. A bare number has no unit and is refused.

use std::fmt;
use std::time::Duration;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A span of time in a workflow file or on the command line, such as `"90s"` or `"1h 30m"`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Span(pub Duration);

impl Span {
    /// The longest span accepted: a year. Longer waits are mistakes, and sums of them overflow.
    pub const MAX: Duration = Duration::from_secs(365 * 24 * 3600);

    /// Makes a span of whole seconds.
    pub const fn secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }
}

impl std::str::FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let span = humantime::parse_duration(text).map_err(|error| bad_span(text, &error))?;
        if span > Self::MAX {
            return Err(format!("`{text}` is longer than a year"));
        }
        Ok(Self(span))
    }
}

fn bad_span(text: &str, error: &humantime::DurationError) -> String {
    let number = !text.is_empty() && text.chars().all(|c| c.is_ascii_digit() || c == '.');
    if number {
        format!("`{text}` has no unit: write it as \"{text}s\", \"{text}m\" or \"{text}h\"")
    } else {
        format!("`{}` is not a duration such as \"90s\", \"15m\" or \"1h 30m\": {error}", text.escape_debug())
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&humantime::format_duration(self.0).to_string())
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SpanVisitor;
        impl Visitor<'_> for SpanVisitor {
            type Value = Span;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration with its unit, such as \"15m\"")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Span, E> {
                text.parse().map_err(E::custom)
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Span, E> {
                Err(E::custom(format!("`{number}` has no unit: write it as \"{number}s\", \"{number}m\" or \"{number}h\"")))
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Span, E> {
                Err(E::custom(format!("`{number}` is not a duration such as \"15m\"")))
            }
            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Span, E> {
                Err(E::custom(format!("`{number}` has no unit: write a text such as \"{number}s\"")))
            }
        }
        deserializer.deserialize_any(SpanVisitor)
    }
}

/// A number of bytes in a workflow file, such as `"64KiB"`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Size(pub u64);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.chars().all(|c| c.is_ascii_digit()) {
            return Err(de::Error::custom(format!("`{text}` has no unit: write it as \"{text}B\", \"{text}KiB\" or \"{text}MiB\"")));
        }
        let size = text
            .parse::<bytesize::ByteSize>()
            .map_err(|error| de::Error::custom(format!("`{text}` is not a size such as \"64KiB\": {error}")))?;
        Ok(Self(size.as_u64()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_need_a_unit() {
        assert_eq!("1h 30m".parse(), Ok(Span::secs(5400)));
        assert_eq!(Span::secs(5400).to_string(), "1h 30m");
        let error = "15".parse::<Span>().expect_err("no unit");
        assert!(error.contains("\"15m\""), "{error}");
        assert!("".parse::<Span>().is_err());
        assert!("3years".parse::<Span>().is_err());
        assert!(ron::from_str::<Span>("15").expect_err("no unit").to_string().contains("has no unit"));
    }

    #[test]
    fn sizes_need_a_unit() {
        assert_eq!(ron::from_str(r#""64KiB""#), Ok(Size(65536)));
        assert!(ron::from_str::<Size>(r#""64""#).is_err());
        assert!(ron::from_str::<Size>(r#""x KiB""#).is_err());
    }
}
