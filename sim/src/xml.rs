//! XML as the AWS protocols use it: a writer for answers, a small tree for requests and for stored records.

use quick_xml::events::Event;
use serde::{Deserialize, Serialize};

/// An element: its name, its text, its children. Attributes and namespaces are of no use here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Element {
    #[serde(rename = "n")]
    pub(crate) name: String,
    #[serde(rename = "t", default, skip_serializing_if = "String::is_empty")]
    pub(crate) text: String,
    #[serde(rename = "c", default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) children: Vec<Element>,
}

/// Deeper documents are refused: no request is, and recursion has to end.
const DEPTH_MAX: usize = 32;

impl Element {
    /// Makes an element without content.
    pub(crate) fn new(name: &str) -> Element {
        Element { name: name.to_owned(), ..Element::default() }
    }

    /// Adds a child element that holds `text`.
    pub(crate) fn with(mut self, name: &str, text: impl ToString) -> Element {
        self.children.push(Element { name: name.to_owned(), text: text.to_string(), children: Vec::new() });
        self
    }

    /// Adds a child element that holds `text`, if there is any.
    pub(crate) fn with_some(self, name: &str, text: Option<impl ToString>) -> Element {
        match text {
            Some(text) => self.with(name, text),
            None => self,
        }
    }

    /// Adds a child.
    pub(crate) fn with_child(mut self, child: Element) -> Element {
        self.children.push(child);
        self
    }

    /// Adds children.
    pub(crate) fn with_children(mut self, children: impl IntoIterator<Item = Element>) -> Element {
        self.children.extend(children);
        self
    }

    /// Adds a child that wraps a list, as in `<Members><member/>…</Members>`.
    pub(crate) fn with_list(self, name: &str, items: impl IntoIterator<Item = Element>) -> Element {
        self.with_child(Element::new(name).with_children(items))
    }

    /// Finds the first child of that name.
    pub(crate) fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|c| c.name == name)
    }

    /// Finds the text of the first child of that name.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.child(name).map(|c| c.text.as_str())
    }

    /// Finds the text of a grandchild and deeper, by the names on the way.
    pub(crate) fn path(&self, names: &[&str]) -> Option<&str> {
        let mut at = self;
        for name in names {
            at = at.child(name)?;
        }
        Some(&at.text)
    }

    /// Writes the document, with the namespace on its root.
    pub(crate) fn document(&self, namespace: &str) -> String {
        let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        self.write(&mut out, Some(namespace));
        out
    }

    fn write(&self, out: &mut String, namespace: Option<&str>) {
        out.push('<');
        out.push_str(&self.name);
        if let Some(namespace) = namespace {
            out.push_str(" xmlns=\"");
            escape(out, namespace);
            out.push('"');
        }
        out.push('>');
        escape(out, &self.text);
        for child in &self.children {
            child.write(out, None);
        }
        out.push_str("</");
        out.push_str(&self.name);
        out.push('>');
    }

    /// Reads a document; `None` if it is not well-formed.
    pub(crate) fn parse(text: &[u8]) -> Option<Element> {
        let text = std::str::from_utf8(text).ok()?;
        let mut reader = quick_xml::Reader::from_str(text);
        let mut open: Vec<Element> = Vec::new();
        loop {
            let done = match reader.read_event().ok()? {
                Event::Start(tag) => {
                    if open.len() == DEPTH_MAX {
                        return None;
                    }
                    open.push(Element::new(tag.local_name().as_ref()));
                    None
                }
                Event::Empty(tag) => close(&mut open, Element::new(tag.local_name().as_ref())),
                Event::End(_) => {
                    let mut element = open.pop()?;
                    if !element.children.is_empty() {
                        element.text.clear();
                    }
                    close(&mut open, element)
                }
                Event::Text(text) => {
                    append(&mut open, &text);
                    None
                }
                Event::CData(data) => {
                    append(&mut open, &data);
                    None
                }
                Event::GeneralRef(reference) => {
                    append(&mut open, &entity(&reference)?);
                    None
                }
                Event::Eof => return None,
                _ => None,
            };
            if done.is_some() {
                return done;
            }
        }
    }
}

/// Hands a finished element to its parent, or returns it if it is the root.
fn close(open: &mut [Element], element: Element) -> Option<Element> {
    match open.last_mut() {
        Some(parent) => {
            parent.children.push(element);
            None
        }
        None => Some(element),
    }
}

fn append(open: &mut [Element], text: &str) {
    if let Some(element) = open.last_mut() {
        element.text.push_str(text);
    }
}

fn entity(name: &str) -> Option<String> {
    let code = match name {
        "lt" => return Some("<".to_owned()),
        "gt" => return Some(">".to_owned()),
        "amp" => return Some("&".to_owned()),
        "quot" => return Some("\"".to_owned()),
        "apos" => return Some("'".to_owned()),
        other => other.strip_prefix('#')?,
    };
    let code = match code.strip_prefix('x') {
        Some(hex) => u32::from_str_radix(hex, 16).ok()?,
        None => code.parse().ok()?,
    };
    char::from_u32(code).map(String::from)
}

fn escape(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            // Nothing else below a blank may appear in XML 1.0, not even as a reference.
            c if c < ' ' && !matches!(c, '\t' | '\n' | '\r') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let tree = Element::new("A").with("B", "x < y & \"z\"").with_list("L", [Element::new("m").with("C", 1)]);
        assert_eq!(Element::parse(tree.document("urn:x").as_bytes()).unwrap(), tree);
    }

    #[test]
    fn malformed_documents_are_refused() {
        for text in ["", "<a>", "<a></b>", "plain", "<a>&nope;</a>", "<a>&#xD800;</a>"] {
            assert_eq!(Element::parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(Element::parse(&[0xff, 0xfe]), None);
        assert_eq!(Element::parse("<a>".repeat(100_000).as_bytes()), None);
    }
}
