//! RON read field by field, each with its place: ron itself stops at the first mistake, an operator wants to see all of them.
//!
//! [`split`] takes a `Name(field: value, …)` apart without interpreting the values; [`decode`] turns the fields into a typed
//! struct and collects every unknown, missing, repeated and ill-typed one on the way.

use std::cell::Cell;
use std::fmt;

use ron::extensions::Extensions;
use ron::value::RawValue;
use serde::de::{self, Deserialize, DeserializeOwned, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

use super::problem::{Place, Problem, nearest};

/// How deep brackets may be nested.
pub const NESTING_MAX: usize = 128;

/// A field as it was written. Places are bytes of the text that was split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawField {
    /// The field's name.
    pub name: String,
    /// Where the name stands.
    pub key: Place,
    /// Where the value stands, without the space and comments around it.
    pub value: Place,
}

/// Returns how every RON text of ours is read.
pub fn options() -> ron::Options {
    ron::Options::default().with_default_extension(Extensions::IMPLICIT_SOME).with_recursion_limit(NESTING_MAX)
}

/// Reads a typed value; a problem is at a place of `text`.
///
/// # Errors
/// When the text is not RON, or not of this type.
pub fn value<'de, T: Deserialize<'de>>(text: &'de str) -> Result<T, Problem> {
    options().from_str(text).map_err(|error| problem(text, &error))
}

/// Takes `Name(field: value, …)`, or a map with text keys, apart.
///
/// # Errors
/// When the text is not RON, or has no named fields.
pub fn split(text: &str) -> Result<Vec<RawField>, Problem> {
    let fields: Fields<'_> = value(text)?;
    let mut from = 0;
    let place = |(name, raw): (String, &RawValue)| {
        let value = place_of(text, raw.trim().get_ron());
        let key = text[from..value.start].rfind(&name).map_or(value.clone(), |at| from + at..from + at + name.len());
        from = value.end;
        RawField { name, key, value }
    };
    Ok(fields.0.into_iter().map(place).collect())
}

/// Takes a list apart.
///
/// # Errors
/// When the text is not a RON list.
pub fn elements(text: &str) -> Result<Vec<Place>, Problem> {
    let list: Vec<&RawValue> = value(text)?;
    Ok(list.into_iter().map(|raw| place_of(text, raw.trim().get_ron())).collect())
}

/// Returns where a slice of `text` stands in it.
fn place_of(text: &str, slice: &str) -> Place {
    let start = (slice.as_ptr() as usize).saturating_sub(text.as_ptr() as usize).min(text.len());
    start..(start + slice.len()).min(text.len())
}

/// Turns the fields of `text` into a struct.
///
/// # Errors
/// Every field that is unknown, given twice, missing or of the wrong type, at places of `text`.
pub fn decode<T: DeserializeOwned>(text: &str) -> Result<T, Vec<Problem>> {
    if let Ok(done) = options().from_str(text) {
        return Ok(done);
    }
    let fields = split(text).map_err(|problem| vec![problem])?;
    let known = field_names::<T>();
    let mut problems = Vec::new();
    let mut kept: Vec<Candidate> = Vec::new();
    for field in fields {
        if !known.contains(&field.name.as_str()) {
            let problem = Problem::new(field.key, format!("there is no field `{}`", field.name));
            problems.push(problem.suggest(&field.name, known.iter().copied()));
        } else if kept.iter().any(|other| other.name == field.name) {
            problems.push(Problem::new(field.key, format!("`{}` is given twice", field.name)));
        } else {
            kept.push(Candidate { text: text[field.value.clone()].to_owned(), name: field.name, at: Some(field.value) });
        }
    }
    loop {
        match attempt::<T>(&kept) {
            Ok(done) => return if problems.is_empty() { Ok(done) } else { Err(problems) },
            Err(culprit) => {
                problems.push(culprit.problem(text, &kept));
                if !substitute::<T>(&mut kept, &culprit) {
                    return Err(problems);
                }
            }
        }
    }
}

/// A field on trial: as written, or replaced by something of the right type after its mistake was noted.
struct Candidate {
    name: String,
    text: String,
    /// Where it stands in the original; `None` for one that replaces a mistake.
    at: Option<Place>,
}

/// What made an attempt fail.
enum Culprit {
    Missing { field: String },
    Field { index: usize, offset: Option<usize>, message: String },
    Unknown { message: String },
}

impl Culprit {
    fn problem(&self, text: &str, fields: &[Candidate]) -> Problem {
        match self {
            Self::Missing { field } => Problem::new(char_at(text, 0), format!("`{field}` is missing")),
            Self::Unknown { message } => Problem::new(0..text.len(), message.clone()),
            Self::Field { index, offset, message } => {
                let field = &fields[*index];
                let whole = field.at.clone().unwrap_or(0..text.len());
                let compound = field.text.starts_with(['(', '[', '{']) || field.text.ends_with(')');
                let at = match offset {
                    Some(offset) if compound => char_at(text, (whole.start + offset).min(whole.end)),
                    Some(_) | None => whole,
                };
                Problem::new(at, format!("`{}`: {message}", field.name))
            }
        }
    }

    fn is_about(&self, name: &str, fields: &[Candidate]) -> bool {
        match self {
            Self::Missing { field } => field == name,
            Self::Field { index, .. } => fields[*index].name == name,
            Self::Unknown { .. } => true,
        }
    }
}

fn attempt<T: DeserializeOwned>(fields: &[Candidate]) -> Result<T, Culprit> {
    let mut text = String::from("(");
    let mut ends = Vec::new();
    for field in fields {
        text.push_str(&field.name);
        text.push(':');
        let start = text.len();
        text.push_str(&field.text);
        // A comment in the value may run to the end of the line.
        text.push_str("\n,");
        ends.push((start, text.len()));
    }
    text.push(')');
    options().from_str::<T>(&text).map_err(|error| {
        if let ron::Error::MissingStructField { field, .. } = &error.code {
            return Culprit::Missing { field: field.to_string() };
        }
        let message = message(&error.code);
        let offset = offset_of(&text, error.span.end);
        match ends.iter().position(|(_, end)| offset <= *end) {
            Some(index) => Culprit::Field { index, offset: offset.checked_sub(ends[index].0), message },
            None => Culprit::Unknown { message },
        }
    })
}

/// Puts something of the right type in the place of a mistake, so that the mistakes behind it are found too.
fn substitute<T: DeserializeOwned>(fields: &mut Vec<Candidate>, culprit: &Culprit) -> bool {
    const OF_EVERY_TYPE: [&str; 9] = ["\"1s\"", "1", "1.0", "true", "[]", "{}", "()", "\"GET\"", "[\"x\"]"];
    let name = match culprit {
        Culprit::Missing { field } => {
            fields.push(Candidate { name: field.clone(), text: String::new(), at: None });
            field.clone()
        }
        Culprit::Field { index, .. } => fields[*index].name.clone(),
        Culprit::Unknown { .. } => return false,
    };
    let Some(index) = fields.iter().position(|field| field.name == name) else { return false };
    for text in OF_EVERY_TYPE {
        text.clone_into(&mut fields[index].text);
        match attempt::<T>(fields) {
            Ok(_) => return true,
            Err(next) if !next.is_about(&name, fields) => return true,
            Err(_) => {}
        }
    }
    false
}

/// Returns the field names that a struct is read from; empty when it is no struct.
pub fn field_names<T: DeserializeOwned>() -> &'static [&'static str] {
    let names = Cell::new(&[][..]);
    // The probe always ends in an error; what it saw is in the cell.
    let _ = T::deserialize(Probe(&names));
    names.get()
}

struct Probe<'a>(&'a Cell<&'static [&'static str]>);

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = de::value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(de::Error::custom("only the shape is asked for"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.0.set(fields);
        self.deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// Turns ron's error into a problem at a place of `text`.
fn problem(text: &str, error: &ron::error::SpannedError) -> Problem {
    let start = offset_of(text, error.span.start);
    let end = offset_of(text, error.span.end).max(start);
    let (start, end) = if end > start { (end - 1, end) } else { (start.saturating_sub(1), end) };
    Problem::new(floor(text, start)..floor(text, end), message(&error.code))
}

fn message(error: &ron::Error) -> String {
    if matches!(error, ron::Error::ExceededRecursionLimit) {
        return format!("the brackets are nested more than {NESTING_MAX} deep");
    }
    let text = error.to_string();
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

fn floor(text: &str, mut offset: usize) -> usize {
    offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

/// Returns the place of the character at `start`; at the end of the text an empty one.
pub fn char_at(text: &str, start: usize) -> Place {
    let start = floor(text, start);
    start..start + text[start..].chars().next().map_or(0, char::len_utf8)
}

/// Returns the byte that ron's position (line and column from 1, in characters) names.
fn offset_of(text: &str, position: ron::error::Position) -> usize {
    let line_start = match position.line {
        0 | 1 => 0,
        line => text.match_indices('\n').nth(line - 2).map_or(text.len(), |(at, _)| at + 1),
    };
    let column = position.col.saturating_sub(1);
    text[line_start..].char_indices().nth(column).map_or(text.len(), |(at, _)| line_start + at)
}

/// Says which name was meant by an unknown one, for messages that are no [`Problem`].
pub fn did_you_mean<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(given, known).map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
}

struct Fields<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;
        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("named fields, such as (id: \"a\")")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    fields.push((name, map.next_value()?));
                }
                Ok(Fields(fields))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Fields<'de>, A::Error> {
                match seq.next_element::<de::IgnoredAny>()? {
                    None => Ok(Fields(Vec::new())),
                    Some(_) => Err(de::Error::custom("expected named fields, such as (id: \"a\")")),
                }
            }

            fn visit_unit<E>(self) -> Result<Fields<'de>, E> {
                Ok(Fields(Vec::new()))
            }
        }
        deserializer.deserialize_any(FieldsVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read")]
    struct Params {
        count: u32,
        name: String,
        wait: crate::units::Span,
        #[serde(default)]
        list: Vec<String>,
    }

    #[test]
    fn fields_know_their_places() {
        let text = "Foo(a: 1, /* a: */ bee: \"x\" /*c*/, c: Bar(x: [1]))";
        let fields = split(text).expect("RON");
        let shown: Vec<_> = fields.iter().map(|f| (&text[f.key.clone()], &text[f.value.clone()])).collect();
        assert_eq!(shown, [("a", "1"), ("bee", "\"x\""), ("c", "Bar(x: [1])")]);
        assert_eq!(split("Foo()").expect("RON"), []);
        assert!(split("Foo(1, 2)").is_err());
    }

    #[test]
    fn every_mistake_is_found_at_once() {
        let text = "(cuont: 3, name: 5, name: \"x\", wait: 15, list: [\"a\", 7])";
        let problems = decode::<Params>(text).expect_err("five mistakes");
        let shown: Vec<_> = problems.iter().map(|p| format!("{}: {}", &text[p.at.clone()], p.message)).collect();
        assert_eq!(
            shown,
            [
                "cuont: there is no field `cuont`",
                "name: `name` is given twice",
                "5: `name`: expected string",
                "15: `wait`: `15` has no unit: write it as \"15s\", \"15m\" or \"15h\"",
                "7: `list`: expected string",
                "(: `count` is missing",
            ]
        );
        assert_eq!(problems[0].help.as_deref(), Some("did you mean `count`?"));
    }

    #[test]
    fn good_fields_decode() {
        assert_eq!(decode::<Params>("(count: 1, name: \"x\", wait: \"2s\")").expect("good").count, 1);
        assert_eq!(field_names::<Params>(), ["count", "name", "wait", "list"]);
    }
}
