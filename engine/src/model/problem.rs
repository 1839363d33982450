//! A mistake in a workflow file, with its place. All of them are collected; the command line shows them with the source.

use std::ops::Range;

/// A piece of the workflow's text, in bytes.
pub type Place = Range<usize>;

/// A value with the place that it was written at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub at: Place,
}

/// One mistake in a workflow file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub at: Place,
    /// What is wrong; a lowercase fragment.
    pub message: String,
    /// What to write instead, when that is known.
    pub help: Option<String>,
}

impl Problem {
    /// Makes a problem at a place.
    pub fn new(at: Place, message: impl Into<String>) -> Self {
        Self { at, message: message.into(), help: None }
    }

    /// Adds what to write instead.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds "did you mean …" if one of the known names is near, and the list of them otherwise.
    #[must_use]
    pub fn suggest<'a>(mut self, given: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        const LISTED_MAX: usize = 12;
        let known: Vec<&str> = known.into_iter().collect();
        self.help = match nearest(given, known.iter().copied()) {
            Some(name) => Some(format!("did you mean `{name}`?")),
            None if known.is_empty() => None,
            None if known.len() <= LISTED_MAX => Some(format!("there is {}", list(&known))),
            None => Some(format!("there is {} and {} more", list(&known[..LISTED_MAX]), known.len() - LISTED_MAX)),
        };
        self
    }
}

/// Returns the name that a mistyped one most likely means.
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let given = given.to_lowercase();
    known
        .into_iter()
        .map(|name| (strsim::jaro_winkler(&given, &name.to_lowercase()), name))
        .filter(|(score, _)| *score > 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, name)| name)
}

fn list(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// Returns line and column, both from 1, of a byte of the text.
pub fn line_column(text: &str, offset: usize) -> (usize, usize) {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    let before = &text[..offset];
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[start..].chars().count() + 1)
}
