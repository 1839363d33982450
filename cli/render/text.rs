//! Text that is safe to show, and as wide as it is meant to be.

use std::borrow::Cow;
use std::ops::Range;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};
use wf_engine::model::event::Operator;

/// Takes out of a foreign text whatever could move the cursor, change colours, or make the text read otherwise than it is written:
/// escape sequences, control characters, marks of text direction. Line ends and tabs become spaces.
pub fn clean(text: &str) -> Cow<'_, str> {
    let harmless = |c: char| !c.is_control() && !misleading(c);
    if text.chars().all(harmless) {
        return Cow::Borrowed(text);
    }
    let text = without_escapes(text);
    let spaced = text.trim_end().chars().map(|c| if matches!(c, '\n' | '\t') { ' ' } else { c });
    Cow::Owned(spaced.filter(|&c| harmless(c)).collect())
}

/// Takes the same out of a text that we have laid out, but leaves its lines and, where colours are wanted, colours. The last line of defence:
/// whatever goes to a terminal passes here.
pub fn harmless(text: &str, color: bool) -> Cow<'_, str> {
    let passes = |c: char| matches!(c, '\n' | '\t') || !(c.is_control() || misleading(c));
    if text.chars().all(passes) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    loop {
        let paint = if color { paint_in(rest) } else { None };
        let foreign = paint.clone().map_or(rest, |paint| &rest[..paint.start]);
        shown.extend(without_escapes(foreign).chars().filter(|&c| passes(c)));
        let Some(paint) = paint else { return Cow::Owned(shown) };
        shown.push_str(&rest[paint.clone()]);
        rest = &rest[paint.end..];
    }
}

/// Finds the first escape sequence that sets a colour.
fn paint_in(text: &str) -> Option<Range<usize>> {
    text.match_indices("\x1b[").find_map(|(at, start)| {
        let codes = &text[at + start.len()..];
        let len = codes.find(|c: char| !c.is_ascii_digit() && c != ';')?;
        codes[len..].starts_with('m').then(|| at..at + start.len() + len + 1)
    })
}

/// Writes JSON so that no character of a text in it steers the terminal: JSON leaves all but the first 32 as they are.
pub fn harmless_json(json: String) -> String {
    let passes = |c: char| c == '\n' || !(c.is_control() || misleading(c));
    if json.chars().all(passes) {
        return json;
    }
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        if passes(c) {
            escaped.push(c);
        } else {
            // None of them is beyond four digits.
            escaped.push_str(&format!("\\u{:04x}", u32::from(c)));
        }
    }
    escaped
}

/// Leaves escape sequences out: `ESC [ … letter`, `ESC ] … BEL`, and `ESC` with the character behind it.
fn without_escapes(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let kind = if c == '\u{1b}' { chars.next() } else { Some(c).filter(|&c| c == '\u{9b}') };
        match kind {
            Some('[' | '\u{9b}') => drop(chars.by_ref().find(|c| ('@'..='~').contains(c))),
            Some(']' | 'P' | 'X' | '^' | '_') => drop(chars.by_ref().find(|&c| matches!(c, '\u{7}' | '\u{1b}' | '\u{9c}'))),
            Some(_) => {}
            None if c == '\u{1b}' => {}
            None => kept.push(c),
        }
    }
    kept
}

fn misleading(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Writes a span of time as people say it: `0.4s`, `12s`, `6m 12s`, `2h 05m`, `3d 4h`.
pub fn span(duration: Duration) -> String {
    if duration.is_zero() {
        return "0s".to_owned();
    }
    if duration < Duration::from_millis(9_950) {
        let tenths = format!("{:.1}", duration.as_secs_f64());
        return format!("{}s", tenths.strip_suffix(".0").unwrap_or(&tenths));
    }
    whole_span(duration)
}

/// As [`span`], without parts of a second: for figures that tick.
pub fn whole_span(duration: Duration) -> String {
    let secs = duration.as_secs_f64().round() as u64;
    match secs {
        0..60 => format!("{secs}s"),
        60..3_600 => format!("{}m {:02}s", secs / 60, secs % 60),
        3_600..86_400 => format!("{}h {:02}m", secs / 3_600, secs % 3_600 / 60),
        _ => format!("{}d {}h", secs / 86_400, secs % 86_400 / 3_600),
    }
}

/// Writes the time of day, in UTC.
pub fn time_of_day(at: Timestamp) -> String {
    at.strftime("%H:%M:%S").to_string()
}

/// Writes date and time, in UTC.
pub fn date_and_time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// Cuts a text without colours to `max` columns, with a sign that something is missing.
pub fn cut(text: &str, max: usize) -> Cow<'_, str> {
    if text.width() <= max {
        return Cow::Borrowed(text);
    }
    let mut room = max.saturating_sub(1);
    let fits = |c: &char| {
        let width = c.width().unwrap_or(0);
        let fits = width <= room;
        room = room.saturating_sub(width);
        fits
    };
    Cow::Owned(text.chars().take_while(fits).chain(['…']).collect())
}

/// Breaks a text without colours into lines of at most `room` columns, between words; a longer word has a line of its own.
pub fn wrapped(text: &str, room: usize) -> Vec<&str> {
    let mut lines = Vec::new();
    let (mut start, mut end, mut width) = (0, 0, 0);
    for word in text.split_inclusive(' ') {
        let word_width = word.trim_end().width();
        if width > 0 && width + word_width > room {
            lines.push(text[start..end].trim_end());
            (start, width) = (end, 0);
        }
        end += word.len();
        width += word.width();
    }
    lines.push(text[start..].trim_end());
    lines
}

/// Writes a value as short as can be read: moments without parts of a second, long texts cut.
pub fn short_value(value: &Value) -> String {
    const VALUE_WIDTH: usize = 56;
    let text = match value {
        Value::String(text) => match text.parse::<Timestamp>() {
            Ok(moment) => moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            Err(_) => text.clone(),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    };
    cut(&clean(&text), VALUE_WIDTH).into_owned()
}

/// Writes the fields of an object: `endpoint=…, port=5432`. Of many the ones that people read: no ARNs, ids and nested things, and
/// rather short ones.
pub fn short_fields(fields: &Map<String, Value>) -> String {
    const FIELDS_SHOWN: usize = 4;
    let opaque = |name: &str, value: &Value| {
        value.is_object() || value.is_array() || name.ends_with("id") || value.as_str().is_some_and(|text| text.starts_with("arn:"))
    };
    let told = fields.iter().filter(|(_, value)| !value.is_null());
    let mut words: Vec<_> = told.map(|(name, value)| (opaque(name, value), format!("{}={}", clean(name), short_value(value)))).collect();
    while words.len() > FIELDS_SHOWN {
        let least = (0..words.len()).max_by_key(|&ix| (words[ix].0, words[ix].1.width())).unwrap_or(0);
        words.remove(least);
    }
    if words.iter().any(|(opaque, _)| !opaque) {
        words.retain(|(opaque, _)| !opaque);
    }
    words.into_iter().map(|(_, word)| word).collect::<Vec<_>>().join(", ")
}

/// Writes who did something.
pub fn who(by: &Operator) -> String {
    clean(&format!("{}@{}", by.user, by.host)).into_owned()
}

/// Writes "1 step", "2 steps".
pub fn count(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

/// Fills a text without colours up with spaces to `width` columns; a longer one stays as it is.
pub fn pad(text: &str, width: usize) -> String {
    let missing = width.saturating_sub(text.width());
    format!("{text}{}", " ".repeat(missing))
}

/// As [`pad`], with the spaces before the text.
pub fn pad_left(text: &str, width: usize) -> String {
    let missing = width.saturating_sub(text.width());
    format!("{}{text}", " ".repeat(missing))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_cannot_steer_the_terminal() {
        assert_eq!(clean("plain — words"), "plain — words");
        assert_eq!(clean("\x1b[31mred\x1b[0m \x1b]0;title\x07x"), "red x");
        assert_eq!(clean("a\r\nb\tc\u{8}\u{7f}\u{9b}31md\n"), "a b cd");
        assert_eq!(clean("user\u{202e}gpj.exe\u{200b}"), "usergpj.exe");
        for c in (0..0x20).chain(0x7f..0xa0).filter_map(char::from_u32) {
            assert!(!clean(&format!("a{c}b")).chars().any(char::is_control), "{c:?} must not pass");
        }
    }

    #[test]
    fn only_lines_and_wanted_colours_pass_the_last_line_of_defence() {
        let hostile = "\x1b[1;31mred\x1b[0m\n\x1b[2J\x1b]0;title\x07a\u{9b}31mb\r\tc\u{202e}d\x1b";
        assert_eq!(harmless(hostile, true), "\x1b[1;31mred\x1b[0m\nab\tcd");
        assert_eq!(harmless(hostile, false), "red\nab\tcd");
        assert!(matches!(harmless("plain\n\t— words", false), Cow::Borrowed(_)));
    }

    #[test]
    fn json_reads_the_same_without_characters_that_steer() {
        let texts = ["\u{9b}31m\u{7f}\u{202e}\u{feff}", "\x1b[1m é\n\t"];
        let json = harmless_json(serde_json::to_string(&texts).expect("JSON"));
        assert!(!json.chars().any(|c| c.is_control() || misleading(c)), "{json}");
        assert_eq!(serde_json::from_str::<Vec<String>>(&json).expect("JSON"), texts);
    }

    #[test]
    fn spans_read_as_people_say_them() {
        let spans = [0, 400, 9_949, 9_950, 59_400, 372_000, 7_500_000, 273_600_000].map(|ms| span(Duration::from_millis(ms)));
        assert_eq!(spans, ["0s", "0.4s", "9.9s", "10s", "59s", "6m 12s", "2h 05m", "3d 4h"]);
    }

    #[test]
    fn texts_are_broken_between_words() {
        assert_eq!(wrapped("one two three, four", 9), ["one two", "three,", "four"]);
        assert_eq!(wrapped("a wordthatistoolong b", 5), ["a", "wordthatistoolong", "b"]);
        assert_eq!((wrapped("", 5), wrapped("one two", usize::MAX)), (vec![""], vec!["one two"]));
    }

    #[test]
    fn of_many_fields_those_are_told_that_people_read() {
        let fields = |value| short_fields(&serde_json::from_value(value).expect("an object"));
        let promoted = serde_json::json!({"arn": "arn:aws:rds:x", "endpoint": "db.example", "promoted_at": "2026-03-14T03:07:00.80502714Z", "tags": {"a": 1}, "gone": null});
        assert_eq!(fields(promoted), "endpoint=db.example, promoted_at=2026-03-14T03:07:00Z");
        assert_eq!(fields(serde_json::json!({"change_id": "C1"})), "change_id=C1");
        assert_eq!(fields(serde_json::json!({"a": 1, "b": 2, "c": 3, "d": "long", "e": 5})), "a=1, b=2, c=3, e=5");
    }

    #[test]
    fn texts_are_cut_and_filled_by_the_columns_they_take() {
        assert_eq!((cut("abc", 3), cut("abcd", 3), cut("日本語", 5)), ("abc".into(), "ab…".into(), "日本…".into()));
        assert_eq!((pad("日本", 6), pad_left("1s", 4), pad("abc", 2)), ("日本  ".to_owned(), "  1s".to_owned(), "abc".to_owned()));
    }
}
