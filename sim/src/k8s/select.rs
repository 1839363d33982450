//! Label and field selectors.

use serde_json::Value;

use super::refused::Refused;
use crate::services::Params;

/// What a list or a watch is limited to.
#[derive(Debug, Default)]
pub(super) struct Selector {
    labels: Vec<Requirement>,
    fields: Vec<Requirement>,
}

#[derive(Debug, PartialEq, Eq)]
enum Requirement {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Missing(String),
}

impl Selector {
    /// Reads the selectors of a query.
    pub(super) fn parse(query: &Params) -> Result<Selector, Refused> {
        let read = |name: &str| {
            let text = query.get(name).unwrap_or_default();
            split(text).into_iter().map(|part| requirement(part, text)).collect::<Result<Vec<_>, _>>()
        };
        Ok(Selector { labels: read("labelSelector")?, fields: read("fieldSelector")? })
    }

    /// Reports whether an object is selected.
    pub(super) fn selects(&self, object: &Value) -> bool {
        let label = |name: &str| object.pointer("/metadata/labels").and_then(|l| l.get(name)).and_then(Value::as_str).map(str::to_owned);
        let field = |path: &str| {
            let value = object.pointer(&format!("/{}", path.replace('.', "/")));
            Some(match value {
                Some(Value::String(text)) => text.clone(),
                Some(Value::Bool(_) | Value::Number(_)) => value.map(Value::to_string).unwrap_or_default(),
                _ => String::new(),
            })
        };
        self.labels.iter().all(|r| r.holds(label)) && self.fields.iter().all(|r| r.holds(field))
    }
}

impl Requirement {
    fn holds(&self, value: impl Fn(&str) -> Option<String>) -> bool {
        match self {
            Requirement::In(name, values) => value(name).is_some_and(|v| values.contains(&v)),
            Requirement::NotIn(name, values) => value(name).is_none_or(|v| !values.contains(&v)),
            Requirement::Exists(name) => value(name).is_some(),
            Requirement::Missing(name) => value(name).is_none(),
        }
    }
}

/// Splits at the commas that are not within parentheses.
fn split(text: &str) -> Vec<&str> {
    let mut depth = 0;
    let parts = text.split(|c| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        c == ',' && depth == 0
    });
    parts.map(str::trim).filter(|p| !p.is_empty()).collect()
}

fn requirement(part: &str, whole: &str) -> Result<Requirement, Refused> {
    let words: Vec<&str> = part.splitn(2, char::is_whitespace).collect();
    if let [name, rest] = words.as_slice()
        && let Some((word, values)) = rest.split_once('(')
    {
        let values = values.trim_end_matches(')').split(',').map(|v| v.trim().to_owned()).collect();
        return match word.trim() {
            "in" => Ok(Requirement::In((*name).to_owned(), values)),
            "notin" => Ok(Requirement::NotIn((*name).to_owned(), values)),
            _ => Err(unreadable(whole)),
        };
    }
    if let Some((name, value)) = part.split_once("!=") {
        return Ok(Requirement::NotIn(name.trim().to_owned(), vec![value.trim().to_owned()]));
    }
    if let Some((name, value)) = part.split_once('=') {
        return Ok(Requirement::In(name.trim().to_owned(), vec![value.trim_start_matches('=').trim().to_owned()]));
    }
    match part.strip_prefix('!') {
        _ if part.contains(char::is_whitespace) => Err(unreadable(whole)),
        Some(name) => Ok(Requirement::Missing(name.to_owned())),
        None => Ok(Requirement::Exists(part.to_owned())),
    }
}

fn unreadable(text: &str) -> Refused {
    Refused::bad_request(format!("unable to parse requirement: found '{text}'"))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use serde_json::json;

    use super::*;

    #[test]
    fn selects_by_labels_and_fields() {
        let pod = json!({ "metadata": { "name": "a", "labels": { "app": "web", "tier": "x" } }, "status": { "phase": "Running" } });
        for (query, selected) in [
            ("labelSelector=app%3Dweb", true),
            ("labelSelector=app%3D%3Dweb,tier", true),
            ("labelSelector=app!%3Dweb", false),
            ("labelSelector=app+in+(db,web),!gone", true),
            ("labelSelector=app+notin+(db,web)", false),
            ("fieldSelector=metadata.name%3Da,status.phase!%3DFailed", true),
            ("fieldSelector=status.phase%3DPending", false),
            ("", true),
        ] {
            assert_eq!(Selector::parse(&Params::parse(query)).unwrap().selects(&pod), selected, "{query}");
        }
        assert_eq!(Selector::parse(&Params::parse("labelSelector=a+b+c")).unwrap_err().code, 400);
    }
}
