//! Params with references: RON text whose string literals may contain `${input}`, `${step.output}`, `${step.before.field}` or
//! `${workflow.step.output}`. A literal that is nothing but one reference takes the value's own type, so `"${desired}"` can be
//! a number; within a longer text a value is written out. `$${` stands for `${` itself.

use serde_json::Value;

use super::ids::is_name;
use super::problem::{Place, Problem};

/// How much longer values may make the params of a step, in bytes.
pub const GROWTH_MAX: usize = 1024 * 1024;

/// Says why references cannot be replaced.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// There is no value for a reference.
    #[error("`${{{}}}` has no value", .0.path)]
    NoValue(Reference),
    /// The values are too long.
    #[error("with the value of `${{{}}}`, the params are more than the {GROWTH_MAX} bytes longer that are allowed", .0.path)]
    TooLong(Reference),
}

/// A piece of params with references to be replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    text: String,
    /// Where `text` begins in the workflow's file.
    offset: usize,
    literals: Vec<Literal>,
}

/// A string literal that contains references.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Literal {
    /// Where it stands in the template's text, quotes included.
    at: Place,
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Reference(Reference),
}

/// A reference, as its dotted path, with its place in the workflow's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The path, such as `promote.endpoint`.
    pub path: String,
    /// Where it stands.
    pub at: Place,
}

impl Reference {
    /// Returns the parts of the path.
    pub fn parts(&self) -> Vec<&str> {
        self.path.split('.').collect()
    }
}

/// A template with its references replaced, and the way back to the places of the original.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// RON without references.
    pub text: String,
    /// (end in `text`, end in the file, whether this piece was replaced as a whole, its place in the file).
    pieces: Vec<RenderedPiece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct RenderedPiece {
    rendered: Place,
    original: Place,
    copied: bool,
}

impl Rendered {
    /// Returns the place in the workflow's file that a place of the rendered text came from.
    pub fn original(&self, at: &Place) -> Place {
        let start = self.original_of(at.start, false);
        start..self.original_of(at.end.max(at.start), true).max(start)
    }

    fn original_of(&self, offset: usize, end: bool) -> usize {
        let inside = |piece: &&RenderedPiece| if end { offset <= piece.rendered.end } else { offset < piece.rendered.end };
        match self.pieces.iter().find(inside) {
            Some(piece) if piece.copied => piece.original.start + offset.saturating_sub(piece.rendered.start),
            Some(piece) if end => piece.original.end,
            Some(piece) => piece.original.start,
            None => self.pieces.last().map_or(0, |piece| piece.original.end),
        }
    }
}

impl Template {
    /// Finds the references in `text`, which begins at byte `offset` of the workflow's file.
    pub fn parse(text: &str, offset: usize, problems: &mut Vec<Problem>) -> Self {
        let mut literals = Vec::new();
        for at in string_literals(text) {
            let source = &text[at.clone()];
            if !source.contains("${") {
                continue;
            }
            // The text was read as RON before, so its literals are valid.
            let Ok(content) = ron::from_str::<String>(source) else { continue };
            let pieces = pieces(&content, source, offset + at.start, problems);
            literals.push(Literal { at, pieces });
        }
        Self { text: text.to_owned(), offset, literals }
    }

    /// Returns the text as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Tells whether two texts are the same but for comments, space and a last comma.
    pub fn says_the_same_as(&self, other: &Self) -> bool {
        self.bare() == other.bare()
    }

    /// Returns the text without comments, space, and commas that end a list.
    pub(super) fn bare(&self) -> String {
        let mut bare = String::with_capacity(self.text.len());
        let mut from = 0;
        for literal in string_literals(&self.text).into_iter().chain(std::iter::once(self.text.len()..self.text.len())) {
            push_bare(&mut bare, &self.text[from..literal.start]);
            bare.push_str(&self.text[literal.clone()]);
            from = literal.end;
        }
        bare
    }

    /// Returns every reference.
    pub fn references(&self) -> impl Iterator<Item = &Reference> {
        self.literals.iter().flat_map(|literal| &literal.pieces).filter_map(|piece| match piece {
            Piece::Reference(reference) => Some(reference),
            Piece::Text(_) => None,
        })
    }

    /// Replaces the references by their values.
    ///
    /// # Errors
    /// Returns the first reference that `value_of` knows no value for, or whose value makes the params too long.
    pub fn render(&self, mut value_of: impl FnMut(&Reference) -> Option<Value>) -> Result<Rendered, RenderError> {
        let mut rendered = Rendered { text: String::with_capacity(self.text.len()), pieces: Vec::new() };
        let mut room = GROWTH_MAX;
        let mut from = 0;
        for literal in &self.literals {
            self.copy(&mut rendered, from..literal.at.start);
            let start = rendered.text.len();
            rendered.text.push_str(&literal.render(&mut value_of, &mut room)?);
            let original = self.offset + literal.at.start..self.offset + literal.at.end;
            rendered.pieces.push(RenderedPiece { rendered: start..rendered.text.len(), original, copied: false });
            from = literal.at.end;
        }
        self.copy(&mut rendered, from..self.text.len());
        Ok(rendered)
    }

    fn copy(&self, rendered: &mut Rendered, at: Place) {
        if !at.is_empty() {
            let start = rendered.text.len();
            rendered.text.push_str(&self.text[at.clone()]);
            let original = self.offset + at.start..self.offset + at.end;
            rendered.pieces.push(RenderedPiece { rendered: start..rendered.text.len(), original, copied: true });
        }
    }
}

impl Literal {
    /// Writes the literal with values of at most `room` bytes, of which it leaves what it did not need.
    fn render(&self, value_of: &mut impl FnMut(&Reference) -> Option<Value>, room: &mut usize) -> Result<String, RenderError> {
        let mut lookup = |reference: &Reference| {
            let value = value_of(reference).ok_or_else(|| RenderError::NoValue(reference.clone()))?;
            let len = if let Value::String(text) = &value { text.len() } else { value.to_string().len() };
            *room = room.checked_sub(len).ok_or_else(|| RenderError::TooLong(reference.clone()))?;
            Ok(value)
        };
        if let [Piece::Reference(only)] = self.pieces.as_slice() {
            return Ok(as_ron(&lookup(only)?));
        }
        let mut text = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(piece) => text.push_str(piece),
                Piece::Reference(reference) => match lookup(reference)? {
                    Value::String(value) => text.push_str(&value),
                    value => text.push_str(&value.to_string()),
                },
            }
        }
        Ok(as_ron(&Value::String(text)))
    }
}

/// Writes a value as RON. Lists and objects are written as JSON text, which no param can mistake for its own type.
fn as_ron(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => quoted(text),
        Value::Array(_) | Value::Object(_) => quoted(&value.to_string()),
    }
}

fn quoted(text: &str) -> String {
    // A text can always be written; were it not, an empty one is refused later by the kind.
    ron::to_string(text).unwrap_or_else(|_| "\"\"".to_owned())
}

fn pieces(content: &str, source: &str, offset: usize, problems: &mut Vec<Problem>) -> Vec<Piece> {
    let mut places = source.match_indices("${").map(|(at, _)| at);
    // Written with escapes, a reference stands elsewhere in the source than in the content, and the whole literal is its place.
    let place_of = |place: Option<usize>, written: &str| match place {
        Some(at) if source[at..].starts_with(written) => offset + at..offset + at + written.len(),
        Some(_) | None => offset..offset + source.len(),
    };
    let mut pieces = Vec::new();
    let mut text = String::new();
    let mut rest = content;
    while let Some(at) = rest.find("${") {
        let place = places.next();
        if rest[..at].ends_with('$') {
            text.push_str(&rest[..at]);
            text.push('{');
            rest = &rest[at + 2..];
            continue;
        }
        text.push_str(&rest[..at]);
        let Some(end) = rest[at..].find('}') else {
            let problem = Problem::new(place_of(place, "${"), "`${` is not closed");
            problems.push(problem.help("write `$${` for the two characters themselves"));
            rest = "";
            break;
        };
        let path = &rest[at + 2..at + end];
        let at_file = place_of(place, &rest[at..=at + end]);
        if path.split('.').all(is_name) && path.split('.').count() <= 4 {
            if !text.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut text)));
            }
            pieces.push(Piece::Reference(Reference { path: path.to_owned(), at: at_file }));
        } else {
            let problem = Problem::new(at_file, format!("`{}` is not a reference", path.escape_debug()));
            problems.push(problem.help("write ${input}, ${step.output} or ${step.before.field}"));
        }
        rest = &rest[at + end + 1..];
    }
    text.push_str(rest);
    if !text.is_empty() {
        pieces.push(Piece::Text(text));
    }
    pieces
}

/// Adds a text between two string literals without its comments, space, and commas that end a list.
fn push_bare(bare: &mut String, between: &str) {
    let mut at = 0;
    while let Some(c) = between[at..].chars().next() {
        let rest = &between[at..];
        if rest.starts_with("//") {
            at += rest.find('\n').unwrap_or(rest.len());
            continue;
        }
        if rest.starts_with("/*") {
            at += block_comment_len(rest);
            continue;
        }
        if matches!(c, ')' | ']' | '}') && bare.ends_with(',') {
            bare.pop();
        }
        if !c.is_whitespace() {
            bare.push(c);
        }
        at += c.len_utf8();
    }
}

/// Finds the string literals of a valid RON text, quotes included; comments and characters are passed over.
fn string_literals(text: &str) -> Vec<Place> {
    let bytes = text.as_bytes();
    let mut literals = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &text[at..];
        at = if rest.starts_with("//") {
            rest.find('\n').map_or(bytes.len(), |end| at + end)
        } else if rest.starts_with("/*") {
            at + block_comment_len(rest)
        } else if let Some(len) = byte_string_len(rest).filter(|_| !follows_name(bytes, at)) {
            // No param is of bytes: they are told where they are decoded.
            at + len
        } else if rest.starts_with('"') {
            let end = at + quoted_len(rest);
            literals.push(at..end);
            end
        } else if let Some(len) = raw_string_len(rest).filter(|_| !follows_name(bytes, at)) {
            literals.push(at..at + len);
            at + len
        } else if rest.starts_with('\'') {
            at + char_len(rest)
        } else {
            at + rest.chars().next().map_or(1, char::len_utf8)
        };
    }
    literals
}

fn follows_name(bytes: &[u8], at: usize) -> bool {
    at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_')
}

fn quoted_len(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

fn byte_string_len(rest: &str) -> Option<usize> {
    let string = rest.strip_prefix('b')?;
    let len = if string.starts_with('"') { Some(quoted_len(string)) } else { raw_string_len(string) };
    len.map(|len| len + 1)
}

fn raw_string_len(rest: &str) -> Option<usize> {
    let after_r = rest.strip_prefix('r')?;
    let hashes = after_r.len() - after_r.trim_start_matches('#').len();
    let body = after_r[hashes..].strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(hashes));
    Some(body.find(&close).map_or(rest.len(), |end| 2 + hashes + end + close.len()))
}

fn char_len(rest: &str) -> usize {
    let body = &rest[1..];
    let skip = if body.starts_with('\\') { 2 } else { body.chars().next().map_or(0, char::len_utf8) };
    body.get(skip..).and_then(|tail| tail.find('\'')).map_or(1, |end| 1 + skip + end + 1)
}

/// Returns how long the comment is that a text begins with; comments may stand in comments.
pub(super) fn block_comment_len(rest: &str) -> usize {
    let mut depth = 0_u32;
    let mut at = 0;
    while at < rest.len() {
        let here = &rest[at..];
        if here.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if here.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += here.chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> (Template, Vec<Problem>) {
        let mut problems = Vec::new();
        let template = Template::parse(text, 100, &mut problems);
        (template, problems)
    }

    fn render(text: &str) -> String {
        let (template, problems) = parse(text);
        assert_eq!(problems, []);
        let value = |reference: &Reference| match reference.path.as_str() {
            "n" => Some(Value::from(6)),
            "s" => Some(Value::from("a\"b")),
            _ => None,
        };
        template.render(value).expect("known").text
    }

    #[test]
    fn a_lone_reference_keeps_its_type_and_a_longer_text_is_a_text() {
        assert_eq!(render(r#"(a: "${n}", b: "n=${n}", c: "${s}", d: "x${s}${n}")"#), r#"(a: 6, b: "n=6", c: "a\"b", d: "xa\"b6")"#);
    }

    #[test]
    fn comments_characters_and_escapes_are_left_alone() {
        let text = "(a: 'x', /* \"${no}\" */ b: '\"', c: \"\\\"$${n}\", // \"${no}\"\n)";
        assert_eq!(render(text), "(a: 'x', /* \"${no}\" */ b: '\"', c: \"\\\"${n}\", // \"${no}\"\n)");
        assert_eq!(render("(a: r#\"${s}\"#)"), r#"(a: "a\"b")"#);
    }

    #[test]
    fn references_and_mistakes_know_their_places() {
        let text = r#"(a: "x ${promote.endpoint} ${a b}", b: "${")"#;
        let (template, problems) = parse(text);
        let reference = template.references().next().expect("one");
        assert_eq!(&text[reference.at.start - 100..reference.at.end - 100], "${promote.endpoint}");
        let shown: Vec<_> = problems.iter().map(|p| &text[p.at.start - 100..p.at.end - 100]).collect();
        assert_eq!(shown, ["${a b}", "${"]);
    }

    /// Found by fuzzing: what stands behind `b` was taken for a text, and places were counted in the text instead of in the file.
    #[test]
    fn byte_strings_are_left_alone_and_escapes_do_not_move_places() {
        let text = r##"(a: b"${s}", b: br#"${s}"#, c: b'"', d: "${n}", b"${n}")"##;
        assert_eq!(render(text), r##"(a: b"${s}", b: br#"${s}"#, c: b'"', d: 6, b"${n}")"##);
        let text = r#"(a: "\u{24}{n} é ${\u{e9}é} ${n}")"#.replace("\\\\", "\\");
        let (template, problems) = parse(&text);
        let literal = &text[4..text.len() - 1];
        let shown: Vec<_> = template.references().map(|r| &text[r.at.start - 100..r.at.end - 100]).collect();
        assert_eq!(shown, [literal, literal]);
        assert_eq!(&text[problems[0].at.start - 100..problems[0].at.end - 100], literal);
    }

    #[test]
    fn values_are_put_in_up_to_a_limit() {
        let (template, _) = parse(r#"(a: "${s}", b: "x${s}")"#);
        let of_len = |len| move |_: &Reference| Some(Value::from("x".repeat(len)));
        assert!(template.render(of_len(GROWTH_MAX / 2)).is_ok());
        let error = template.render(of_len(GROWTH_MAX / 2 + 1)).expect_err("too long");
        assert_eq!(error.to_string(), "with the value of `${s}`, the params are more than the 1048576 bytes longer that are allowed");
    }

    #[test]
    fn rendered_places_lead_back() {
        let (template, _) = parse(r#"(a: "${n}", bad: 7)"#);
        let rendered = template.render(|_| Some(Value::from("a long text"))).expect("known");
        let at = rendered.text.find('7').expect("kept");
        assert_eq!(rendered.original(&(at..at + 1)), 117..118);
        assert_eq!(rendered.original(&(5..6)), 104..110);
    }
}
