//! [`Masked`]: keeps secrets out of what the libraries trace, whatever the level.
//!
//! The AWS SDK masks most by itself, and not all: it repeats what a `credential_process` wrote, for one. Nothing is left out of a log by its level
//! or its origin here, since what an operator debugs is often just that; only the secrets themselves go, by their values where they are known and by
//! the names before them where not.

use std::borrow::Cow;
use std::io::{self, Write};
use std::sync::Arc;

use regex_lite::Regex;
use tracing_subscriber::fmt::MakeWriter;

/// Variables whose values are secrets.
const VARIABLES: [&str; 4] = ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN"];
/// A shorter value is none: masking it would spoil words.
const SECRET_LEN_MIN: usize = 8;
const MASK: &str = "[secret]";

/// A secret after its name: in a header, a query, JSON, XML, a profile file, or any of these as Rust's `Debug` shows them.
const NAMED: &str = r#"(?i)\b((?:x-amz-)?signature|(?:x-amz-)?security-?token|session-?token|secret-?access-?key|aws_(?:secret_access_key|session_token)|(?:access|refresh|id|web-?identity)_?token|client_?secret|authorization)([\\"'\s:=>({]{1,6}(?:some\(\\?"|bearer\s+|basic\s+)?)([a-z0-9+/=_.%~-]{8,})"#;
/// What a program wrote that was to give out credentials, to the end of the event.
const WRITTEN: &str = r"(?s)(external process exited with code .{0,80}?Stderr: ).*";
/// A value of a profile file that stands there twice.
const OVERWRITTEN: &str = r"(overwriting [^\n]{0,200}?: was )[^\n]*";

/// What a Kubernetes Secret holds, in JSON however often it is quoted, to its end or to that of the text. That of a ConfigMap goes with it.
const HELD: &str = r#"(\\*"(?:data|stringData|binaryData)\\*"\s*:\s*)\{[^{}]*\}?"#;

/// A writer that masks secrets in each event.
#[derive(Clone)]
pub struct Masked {
    known: Arc<[String]>,
    patterns: Arc<[Regex]>,
}

impl Masked {
    /// Writes to stderr. `secrets` are those of the command line.
    pub fn stderr(secrets: &[String]) -> Self {
        let known = VARIABLES.iter().filter_map(|name| std::env::var(name).ok());
        Self::new(secrets.iter().cloned().chain(known))
    }

    fn new(known: impl Iterator<Item = String>) -> Self {
        // All patterns are right: a test counts them.
        let patterns = [NAMED, WRITTEN, OVERWRITTEN, HELD].iter().filter_map(|pattern| Regex::new(pattern).ok());
        Self { known: known.filter(|value| value.len() >= SECRET_LEN_MIN).collect(), patterns: patterns.collect() }
    }

    fn mask(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in self.known.iter() {
            text = text.replace(secret, MASK);
        }
        for (pattern, by) in self.patterns.iter().zip(["${1}${2}[secret]", "${1}[secret]\n", "${1}[secret]", "${1}[secret]"]) {
            if let Cow::Owned(masked) = pattern.replace_all(&text, by) {
                text = masked;
            }
        }
        text
    }
}

impl<'a> MakeWriter<'a> for Masked {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Write for Masked {
    /// Takes an event, which comes whole.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        io::stderr().write_all(self.mask(&String::from_utf8_lossy(event)).as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn masked(text: &str) -> String {
        let masked = Masked::new(["kn0wnS3cret".to_owned(), "test".to_owned()].into_iter());
        assert_eq!(masked.patterns.len(), 4);
        masked.mask(text)
    }

    #[test]
    fn secrets_go_whatever_they_stand_in() {
        for (text, left) in [
            ("a kn0wnS3cret b", "a [secret] b"),
            (
                "authorization: AWS4-HMAC-SHA256 Credential=AKIA/1, Signature=0123abcdef",
                "authorization: [secret] Credential=AKIA/1, Signature=[secret]",
            ),
            (r#""x-amz-security-token": "FwoGZXIvYXdzE//=""#, r#""x-amz-security-token": "[secret]""#),
            (
                "?X-Amz-Credential=A&X-Amz-Security-Token=FwoG%2Fabc&X-Amz-Signature=00ff00ff&B=1",
                "?X-Amz-Credential=A&X-Amz-Security-Token=[secret]&X-Amz-Signature=[secret]&B=1",
            ),
            (r#"b"{\"SecretAccessKey\": \"abcd/efgh\"}""#, r#"b"{\"SecretAccessKey\": \"[secret]\"}""#),
            ("<SessionToken>IQoJb3JpZ2lu</SessionToken>", "<SessionToken>[secret]</SessionToken>"),
            ("overwriting aws_secret_access_key: was abcdefgh1, now", "overwriting aws_secret_access_key: was [secret]"),
            (r#"{"kind":"Secret","data":{"password":"c3dvcmQ="},"type":"Opaque"}"#, r#"{"kind":"Secret","data":[secret],"type":"Opaque"}"#),
            (r#"b"{\"data\":{\"password\":\"c3dvcmQ=\"},\"kind\""#, r#"b"{\"data\":[secret],\"kind\""#),
            (r#"error: expected value, text: {"stringData": {"password": "swo"#, r#"error: expected value, text: {"stringData": [secret]"#),
            (r#"accessToken: Some("eyJhbGciOi")"#, r#"accessToken: Some("[secret]")"#),
            ("Authorization: Bearer eyJhbGciOi.x", "Authorization: Bearer [secret]"),
            (
                "external process exited with code exit status: 3. Stderr: a\nb\n",
                "external process exited with code exit status: 3. Stderr: [secret]\n",
            ),
        ] {
            assert_eq!(masked(text), left, "{text}");
        }
    }

    #[test]
    fn words_stay() {
        for text in [
            "no tests are testing",
            "signature is calculated",
            "x-amz-date: 20260101T000000Z",
            "authorization: ** redacted (length=255) **",
        ] {
            assert_eq!(masked(text), text);
        }
    }
}
