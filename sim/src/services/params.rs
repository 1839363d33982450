//! Parameters of the query protocol (and of query strings): `a=b&List.member.1=c`.

use std::collections::BTreeMap;

use super::ServiceError;

/// Parameters by name; of a repeated one the last counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Params(BTreeMap<String, String>);

impl Params {
    /// Reads form-encoded text; what is not well-formed is read as it stands.
    pub(crate) fn parse(text: &str) -> Params {
        let pairs = text.split('&').filter(|p| !p.is_empty());
        Params(pairs.map(|p| p.split_once('=').unwrap_or((p, ""))).map(|(k, v)| (decode(k, true), decode(v, true))).collect())
    }

    /// Adds the parameters of `other`.
    pub(crate) fn merge(mut self, other: Params) -> Params {
        self.0.extend(other.0);
        self
    }

    /// Finds a parameter that is not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|v| !v.is_empty())
    }

    /// Lists names and values.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }

    /// Finds a parameter that has to be there.
    pub(crate) fn require(&self, name: &str, code: &str) -> Result<&str, ServiceError> {
        self.get(name).ok_or_else(|| ServiceError::new(code, format!("The request must contain the parameter {name}.")))
    }

    /// Lists the values of `prefix.1`, `prefix.2`, … in order.
    pub(crate) fn list(&self, prefix: &str) -> Vec<&str> {
        let mut values: Vec<(u64, &str)> = Vec::new();
        for (name, value) in self.iter() {
            let index = name.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('.')).and_then(|n| n.parse().ok());
            if let Some(index) = index {
                values.push((index, value));
            }
        }
        values.sort_unstable();
        values.into_iter().map(|(_, value)| value).collect()
    }

    /// Lists the pairs of `prefix.N.first` and `prefix.N.second`, in order.
    pub(crate) fn pairs(&self, prefix: &str, first: &str, second: &str) -> Vec<(String, String)> {
        let mut found: Vec<(u64, String, String)> = Vec::new();
        for (name, value) in self.iter() {
            let rest = name.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('.'));
            let Some((index, field)) = rest.and_then(|rest| rest.split_once('.')) else {
                continue;
            };
            let Ok(n) = index.parse() else { continue };
            if field == first {
                let other = self.get(&format!("{prefix}.{index}.{second}")).unwrap_or_default();
                found.push((n, value.to_owned(), other.to_owned()));
            }
        }
        found.sort();
        found.into_iter().map(|(_, first, second)| (first, second)).collect()
    }

    /// Reads a number, if there is one.
    pub(crate) fn number(&self, name: &str, code: &str) -> Result<Option<i64>, ServiceError> {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        let number = text.parse().map_err(|_| ServiceError::new(code, format!("Value '{text}' at '{name}' is not an integer.")))?;
        Ok(Some(number))
    }

    /// Reads a truth value, if there is one.
    pub(crate) fn flag(&self, name: &str, code: &str) -> Result<Option<bool>, ServiceError> {
        match self.get(name) {
            None => Ok(None),
            Some(text) if text.eq_ignore_ascii_case("true") => Ok(Some(true)),
            Some(text) if text.eq_ignore_ascii_case("false") => Ok(Some(false)),
            Some(text) => Err(ServiceError::new(code, format!("Value '{text}' at '{name}' is not a boolean."))),
        }
    }
}

/// Undoes percent-encoding; in forms a `+` is a blank.
pub(crate) fn decode(text: &str, form: bool) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let hex = tail.get(..2).and_then(|h| std::str::from_utf8(h).ok()).and_then(|h| u8::from_str_radix(h, 16).ok());
        rest = match (first, hex) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                tail.get(2..).unwrap_or_default()
            }
            (b'+', _) if form => {
                bytes.push(b' ');
                tail
            }
            _ => {
                bytes.push(first);
                tail
            }
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_forms() {
        let params = Params::parse("A=x+y%20z&L.member.10=j&L.member.2=b&T.Tag.1.Key=k&T.Tag.1.Value=v&bad%zz=%f&&=");
        assert_eq!(params.get("A"), Some("x y z"));
        assert_eq!(params.list("L.member"), ["b", "j"]);
        assert_eq!(params.pairs("T.Tag", "Key", "Value"), [("k".to_owned(), "v".to_owned())]);
        assert_eq!(params.get("bad%zz"), Some("%f"));
        assert_eq!(params.get("nothing"), None);
    }
}
