//! References in params: found where they stand, replaced by values, and nothing else changed.

use ron::Value as Ron;
use serde_json::Value;
use wf_engine::model::problem::Problem;
use wf_engine::model::ron_fields;
use wf_engine::model::template::{Reference, Template};

/// Where the params stand in a file, so that places of the file and of the params are not mistaken for each other.
const OFFSET: usize = 1000;

/// Checks an input: params in RON up to the first NUL, behind it the values that their references take in turn, each up to the next one.
///
/// # Panics
/// When a place is none, or when values change more than the literals that refer to them.
pub fn check(input: &[u8]) {
    let mut parts = input.split(|&byte| byte == 0).map(|part| String::from_utf8_lossy(part).into_owned());
    let text = parts.next().unwrap_or_default();
    let values: Vec<Value> = parts.map(value).collect();

    let mut problems = Vec::new();
    let template = Template::parse(&text, OFFSET, &mut problems);
    assert_eq!(template.text(), text);
    problems.iter().for_each(|Problem { at, message, .. }| in_file(&text, at.start, at.end, message));
    template.references().for_each(|Reference { at, path }| in_file(&text, at.start, at.end, path));

    let mut again = Vec::new();
    assert_eq!(Template::parse(template.text(), OFFSET, &mut again), template, "printed and parsed, it is another template");
    assert_eq!(again, problems);

    let mut next = 0;
    let rendered = template.render(|_| {
        next += 1;
        Some(values.get((next - 1) % values.len().max(1)).cloned().unwrap_or_else(|| Value::from("a \"value\"\n\u{1b}${no.reference}")))
    });
    let Ok(rendered) = rendered else {
        // Values grow a text up to a limit only.
        return;
    };
    for (at, c) in rendered.text.char_indices() {
        let place = rendered.original(&(at..at + c.len_utf8()));
        in_file(&text, place.start, place.end, "an original place");
    }
    // Params are RON before they become a template.
    let Ok(written) = ron_fields::value::<Ron>(&text) else { return };
    match ron_fields::value::<Ron>(&rendered.text) {
        Ok(now) => assert!(!problems.is_empty() || same_shape(&written, &now), "{text:?} became {:?}", rendered.text),
        Err(problem) => panic!("{text:?} became {:?}, which is no RON: {}", rendered.text, problem.message),
    }
}

/// Reads a value: JSON, or else a text.
fn value(text: String) -> Value {
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}

#[track_caller]
fn in_file(text: &str, start: usize, end: usize, what: &str) {
    assert!(start >= OFFSET && start <= end && end <= OFFSET + text.len(), "{what}: {start}..{end} is not in {text:?}");
    let (start, end) = (start - OFFSET, end - OFFSET);
    assert!(text.is_char_boundary(start) && text.is_char_boundary(end), "{what}: {start}..{end} cuts a character of {text:?}");
}

/// Tells whether nothing but texts with references differs.
fn same_shape(written: &Ron, now: &Ron) -> bool {
    match (written, now) {
        (Ron::String(text), now) if text.contains("${") => !matches!(now, Ron::Seq(_) | Ron::Map(_)),
        (Ron::Seq(written), Ron::Seq(now)) => written.len() == now.len() && written.iter().zip(now).all(|(a, b)| same_shape(a, b)),
        // Keys with references may become equal, and change their order.
        (Ron::Map(written), Ron::Map(_)) if written.keys().any(|key| matches!(key, Ron::String(text) if text.contains("${"))) => true,
        (Ron::Map(written), Ron::Map(now)) => {
            written.len() == now.len() && written.iter().zip(now.iter()).all(|((a, x), (b, y))| a == b && same_shape(x, y))
        }
        (Ron::Option(Some(written)), Ron::Option(Some(now))) => same_shape(written, now),
        (written, now) => written == now,
    }
}
