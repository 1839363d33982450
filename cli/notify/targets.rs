//! Who is told: topics and a webhook, read from what was typed. The webhook's URL is a secret, as Slack's are: whoever has it can post.
//! So nothing here shows it, not even a mistake in it.

use std::fmt;

use http::Uri;
use tokio::sync::OnceCell;

use crate::args::{Notify, Secret};
use crate::failure::Failure;

/// The longest file that holds a URL, in bytes.
const URL_FILE_LEN_MAX: u64 = 4096;
/// What is shorter is no secret: masking it would spoil words.
const SECRET_LEN_MIN: usize = 8;
const MASK: &str = "[secret]";

/// Who is told.
#[derive(Debug, Default)]
pub struct Targets {
    pub topics: Vec<Topic>,
    pub webhook: Option<Webhook>,
}

/// A topic.
#[derive(Debug)]
pub struct Topic {
    /// Its name, or its ARN.
    pub name: String,
    pub region: String,
    /// Its ARN, once it is known.
    pub arn: OnceCell<String>,
}

/// An address that is posted to.
#[derive(Clone)]
pub struct Webhook {
    url: String,
    secrets: Vec<String>,
}

impl Targets {
    /// Reads who is to be told.
    pub fn of(args: &Notify) -> Result<Self, Failure> {
        let topics = args.notify_sns.iter().map(|text| text.trim()).filter(|text| !text.is_empty());
        let topics = topics.map(Topic::of).collect::<Result<_, _>>()?;
        let webhook = args.notify_webhook.as_ref().map(read).transpose()?;
        let webhook = webhook.filter(|url| !url.is_empty()).map(Webhook::of).transpose()?;
        Ok(Self { topics, webhook })
    }
}

/// Returns what must not be in any log. A mistake in it is told later.
pub fn secrets(args: &Notify) -> Vec<String> {
    let url = args.notify_webhook.as_ref().and_then(|secret| read(secret).ok()).filter(|url| !url.is_empty());
    url.map(secrets_of).unwrap_or_default()
}

/// Returns the parts of a URL that give it away, the longest first.
fn secrets_of(url: String) -> Vec<String> {
    let uri = url.parse::<Uri>().ok();
    let parts = uri.iter().flat_map(|uri| {
        let path_and_query = uri.path_and_query().map(ToString::to_string);
        [path_and_query, Some(uri.path().to_owned()), uri.query().map(str::to_owned)].into_iter().flatten()
    });
    let mut parts: Vec<_> = parts.collect();
    parts.push(url);
    parts.retain(|part| part.len() >= SECRET_LEN_MIN);
    parts.sort_by_key(|part| std::cmp::Reverse(part.len()));
    parts.dedup();
    parts
}

/// Returns the URL that is meant: what was typed, or what the file holds that it names.
fn read(secret: &Secret) -> Result<String, Failure> {
    use std::io::Read as _;
    let Some(path) = secret.0.strip_prefix('@') else { return Ok(secret.0.trim().to_owned()) };
    let mut text = String::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(URL_FILE_LEN_MAX).read_to_string(&mut text));
    read.map_err(|source| Failure::Unreadable { path: path.into(), source })?;
    Ok(text.trim().to_owned())
}

impl Topic {
    fn of(text: &str) -> Result<Self, Failure> {
        let wrong = |why: &str| {
            Failure::usage(format!("`{}` is no topic to notify: {why}", text.escape_debug()))
                .help("write `production-dr-alerts@us-west-2`, or the topic's ARN")
        };
        let named = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        let (name, region) = match (text.starts_with("arn:"), text.split_once('@')) {
            (true, _) => match text.split(':').collect::<Vec<_>>().as_slice() {
                ["arn", _, "sns", region, account, name] if named(region) && named(account) && named(name) => (text, *region),
                _ => return Err(wrong("that is not the ARN of an SNS topic")),
            },
            (false, Some((name, region))) if named(name) && named(region) => (name, region),
            (false, Some(_)) => return Err(wrong("topics and regions have names of letters, digits, `-` and `_`")),
            (false, None) => return Err(wrong("it names no region")),
        };
        Ok(Self { name: name.to_owned(), region: region.to_owned(), arn: OnceCell::new() })
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.starts_with("arn:") { f.write_str(&self.name) } else { write!(f, "{}@{}", self.name, self.region) }
    }
}

impl Webhook {
    fn of(url: String) -> Result<Self, Failure> {
        let wrong = |why: &str| {
            Failure::usage(format!("the webhook to notify is no address that can be posted to: {why}"))
                .help("it is not repeated here, as it is a secret: look at --notify-webhook, or WF_NOTIFY_WEBHOOK")
        };
        let uri: Uri = url.parse().map_err(|_| wrong("that is no URL"))?;
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(|| wrong("it names no host"))?;
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(wrong("a user's name and password in it are not sent"));
        }
        match uri.scheme_str() {
            Some("https") => {}
            Some("http") if is_loopback(host) => {}
            Some("http") => return Err(wrong("http is only for this machine itself: use https")),
            _ => return Err(wrong("it begins neither with https:// nor with http://")),
        }
        Ok(Self { secrets: secrets_of(url.clone()), url })
    }

    /// Returns the URL: for whoever posts to it, and for nobody else.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Takes the URL, and what gives it away, out of a text.
    pub fn masked(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, MASK))
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Webhook([secret])")
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(sns: &[&str], webhook: Option<&str>) -> Result<Targets, Failure> {
        let notify_sns = sns.iter().map(ToString::to_string).collect();
        Targets::of(&Notify { notify_sns, notify_webhook: webhook.map(|url| Secret(url.to_owned())) })
    }

    #[test]
    fn topics_have_a_region() {
        let arn = "arn:aws:sns:us-west-2:123456789012:alerts.fifo";
        let told = targets(&["alerts@us-west-2", " ", arn], None).expect("topics").topics;
        let told: Vec<_> = told.iter().map(|topic| (topic.to_string(), topic.region.as_str())).collect();
        assert_eq!(told, [("alerts@us-west-2".to_owned(), "us-west-2"), (arn.to_owned(), "us-west-2")]);
        for wrong in ["alerts", "@us-west-2", "alerts@", "arn:aws:sqs:us-west-2:1:q", "arn:aws:sns::1:q", "a b@us-west-2"] {
            assert!(targets(&[wrong], None).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_wrong_webhook_is_refused_without_a_word_of_it() {
        for good in ["https://hooks.example.com/services/T0/B0/x", "http://127.0.0.1:8080/hook", "http://localhost/", "http://[::1]:1/x"] {
            assert!(targets(&[], Some(good)).expect("a URL").webhook.is_some(), "{good}");
        }
        assert!(targets(&[], Some("")).expect("none").webhook.is_none());
        for wrong in [
            "http://example.com/swordfish",
            "swordfish",
            "ftp://x/swordfish",
            "https://u:swordfish@x/",
            "https:///swordfish",
            "ht tp://swordfish",
        ] {
            let error = targets(&[], Some(wrong)).expect_err(wrong);
            assert!(!format!("{error} {error:?}").contains("swordfish"), "{error:?}");
        }
    }

    #[test]
    fn what_gives_the_url_away_is_masked() {
        let webhook = Webhook::of("https://hooks.example.com/services/T0/swordfish?key=trout-and-eel".to_owned()).expect("a URL");
        let text = "GET https://hooks.example.com/services/T0/swordfish?key=trout-and-eel; path /services/T0/swordfish; key=trout-and-eel";
        assert_eq!(webhook.masked(text), "GET [secret]; path [secret]; [secret]");
        assert!(!format!("{webhook:?}").contains("example"));
    }
}
