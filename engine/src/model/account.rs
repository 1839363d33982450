//! Another account that steps act in: as it was written, and with the values of a run. Plain text here: what an account, a role or a
//! region is, the environment of the kinds knows, and gives the rules for it ([`crate::registry::AccountRule`]).

use super::problem::Place;
use super::template::{Reference, Template};

/// The fields of `Account(…)`, the first of which is required.
pub const FIELDS: [&str; 4] = ["role", "external_id", "session_name", "region"];

/// An account as it was written: `Account(role: "…", external_id: "…", session_name: "…", region: "…")`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountDef {
    /// What was given of [`FIELDS`], each at most once.
    pub fields: Vec<AccountField>,
    /// Where it stands.
    pub at: Place,
}

/// A text of an [`AccountDef`], which may refer to inputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountField {
    /// One of [`FIELDS`].
    pub name: &'static str,
    /// The text.
    pub text: Template,
    /// Where it stands.
    pub at: Place,
}

impl AccountDef {
    /// Returns every reference.
    pub fn references(&self) -> impl Iterator<Item = &Reference> {
        self.fields.iter().flat_map(|field| field.text.references())
    }
}

/// Whom a step acts as, when not as the operator.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Account {
    /// The role that is taken on.
    pub role: String,
    /// The secret-like word that the role's owner wants to hear, so that nobody is made to use the role for others.
    pub external_id: Option<String>,
    /// What the other account sees of who acts; names the run when nobody says.
    pub session_name: Option<String>,
    /// Where the role is asked for; the region that a call goes to when nobody says.
    pub region: Option<String>,
}

impl Account {
    /// Sets one of [`FIELDS`].
    pub(crate) fn set(&mut self, name: &str, value: String) {
        match name {
            "role" => self.role = value,
            "external_id" => self.external_id = Some(value),
            "session_name" => self.session_name = Some(value),
            _ => self.region = Some(value),
        }
    }
}
