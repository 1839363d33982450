//! Watches: the changes since a resource version, as lines of JSON.

use serde_json::{Value, json};

use super::refused::Refused;
use super::route::Target;
use super::select::Selector;
use super::{read, table};
use crate::services::Params;
use crate::world::Ms;
use crate::world::workloads::value::name;
use crate::world::workloads::{Kube, Verb};

/// A watch, and how far it has told.
pub(super) struct Watch {
    target: Target,
    selector: Selector,
    as_table: bool,
    bookmarks: bool,
    /// Told up to this version; `None` before the objects that are there have been told.
    version: Option<u64>,
}

impl Watch {
    /// Reads what a watch is to follow. A path with a name watches that object alone.
    pub(super) fn new(target: &Target, query: &Params, as_table: bool) -> Result<Watch, Refused> {
        let from = query.get("resourceVersion").filter(|v| *v != "0");
        let version = match from {
            None => None,
            Some(text) => Some(text.parse().map_err(|_| Refused::bad_request(format!("invalid resourceVersion: {text}")))?),
        };
        let bookmarks = query.get("allowWatchBookmarks") == Some("true");
        Ok(Watch { target: target.clone(), selector: Selector::parse(query)?, as_table, bookmarks, version })
    }

    /// Returns the events since the last call, each a line.
    pub(super) fn events(&mut self, kube: &Kube, now: Ms) -> String {
        let Some(since) = self.version else {
            self.version = Some(kube.version);
            let there = kube.all(self.target.kind).map(|o| &o.json).filter(|o| self.follows(o));
            return there.map(|o| self.line("ADDED", o, kube.version, now)).collect();
        };
        let Some(changes) = kube.changes_since(since) else {
            self.version = Some(kube.version);
            return line(&json!({ "type": "ERROR", "object": Refused::expired(since, kube.version).status() }));
        };
        let mut told = String::new();
        for change in changes.filter(|c| c.kind == self.target.kind) {
            let is = self.follows(&change.object);
            let was = change.before.as_ref().is_some_and(|b| self.follows(b));
            let word = match (change.verb, was, is) {
                (_, false, false) => continue,
                (Verb::Deleted, _, _) | (_, true, false) => "DELETED",
                (_, false, true) => "ADDED",
                (_, true, true) => "MODIFIED",
            };
            told += &self.line(word, &change.object, kube.version, now);
        }
        self.version = Some(kube.version);
        told
    }

    /// Returns a bookmark, if the client takes them: up to where it has been told.
    pub(super) fn bookmark(&self) -> Option<String> {
        let version = self.version.filter(|_| self.bookmarks && !self.as_table)?;
        let kind = self.target.kind;
        let object = json!({ "kind": kind.kind, "apiVersion": kind.api_version(), "metadata": { "resourceVersion": version.to_string() } });
        Some(line(&json!({ "type": "BOOKMARK", "object": object })))
    }

    fn follows(&self, object: &Value) -> bool {
        read::is_within(object, &self.target)
            && (self.target.name.is_empty() || name(object) == self.target.name)
            && self.selector.selects(object)
    }

    fn line(&self, word: &str, object: &Value, version: u64, now: Ms) -> String {
        let object = if self.as_table { table::table(self.target.kind, &[object], version, now) } else { object.clone() };
        line(&json!({ "type": word, "object": object }))
    }
}

fn line(event: &Value) -> String {
    format!("{event}\n")
}
