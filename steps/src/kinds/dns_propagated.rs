//! `DnsPropagated`: asks the name servers of a zone for a record until they answer with what is expected. What Route 53 says of a change is
//! what it means to do; this is what resolvers are told.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use serde_json::json;
use wf_engine::model::event::{Fields, StepFailure};
use wf_engine::step::{Field, FieldType, Iam, KindInfo, Observed, Rbac, Reversibility, StepContext, StepKind, fields, nothing_to_apply};

use crate::aws::Cloud;
use crate::aws::name_server::Question;
use crate::aws::poll::{Look, until};
use crate::hosted_zone;
use crate::named_record::NamedRecord;
use crate::record_set::canonical;

/// Types of records that name servers are asked for.
const TYPES: [&str; 3] = ["A", "AAAA", "CNAME"];
/// The most servers that are asked.
const SERVERS_MAX: usize = 64;

/// Asks name servers for a record.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DnsPropagated {
    /// The hosted zone's name.
    pub zone: String,
    /// The hosted zone's id.
    #[serde(default)]
    pub zone_id: Option<String>,
    /// The record's name.
    pub record: String,
    /// The record's type.
    #[serde(default = "a")]
    pub r#type: String,
    /// What is to be answered.
    pub expect: Expected,
    /// The name servers.
    #[serde(default)]
    pub servers: Option<Vec<String>>,
    /// Resolvers that are asked too.
    #[serde(default)]
    pub resolvers: Vec<String>,
    /// How many of all of them have to answer so.
    #[serde(default)]
    pub at_least: Option<usize>,
}

fn a() -> String {
    "A".to_owned()
}

/// What is to be answered.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Expected {
    /// These values, and no others.
    Values(Vec<String>),
    /// An address that this name has.
    Alias(String),
}

/// The name servers of the zone, as they were found: they are not looked up twice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Servers {
    /// Their names.
    pub servers: Vec<String>,
}

/// What a server answered, or why it did not.
type Answer = Result<Vec<String>, String>;

#[async_trait]
impl StepKind for DnsPropagated {
    type Env = Cloud;
    type Before = Servers;
    type Handle = ();

    const INFO: KindInfo = KindInfo {
        name: "DnsPropagated",
        summary: "asks the name servers of a zone for a record until they answer with what is expected",
        example: r#"(
    id: "propagated",
    run: DnsPropagated(
        zone: "company.com", record: "app.company.com", resolvers: ["1.1.1.1"],
        expect: Alias("prod-app-dr-alb-2071366924.us-west-2.elb.amazonaws.com"),
    ),
)"#,
        reversibility: Reversibility::ReadOnly,
        params: &[
            Field::new("zone", FieldType::Text, "the hosted zone's name, matched exactly; a public one"),
            Field::new("zone_id", FieldType::Text, "the hosted zone's id; default: looked up by name"),
            Field::new("record", FieldType::Text, "the record's name"),
            Field::new("type", FieldType::Text, "\"A\", \"AAAA\" or \"CNAME\"; default \"A\""),
            Field::new(
                "expect",
                FieldType::Json,
                "Values([\"192.0.2.1\"]), these and no others, or Alias(\"name\"), at least one address that this name has",
            ),
            Field::new(
                "servers",
                FieldType::Json,
                "the name servers, [\"ns-1.awsdns-01.org\", …], each a name or an address, perhaps with a port; default: those that Route 53 gave the zone",
            ),
            Field::new("resolvers", FieldType::Json, "resolvers that are asked too, such as [\"1.1.1.1\"]; default none"),
            Field::new("at_least", FieldType::Integer, "how many of all that are asked have to answer so; default all of them"),
        ],
        outputs: &[
            Field::new("agreed", FieldType::Integer, "how many answered so"),
            Field::new("asked", FieldType::Integer, "how many were asked"),
        ],
        before: &[Field::new("servers", FieldType::Json, "the name servers of the zone")],
        iam: Iam { read: &["route53:ListHostedZonesByName", "route53:GetHostedZone"], apply: &[], compensate: &[], ready: &[] },
        rbac: Rbac::NONE,
        facts: &[
            "the name servers of a zone answer from Route 53's data plane, all over the world; which they are is told by its control plane in us-east-1: `servers` names them beforehand, and nothing is asked of it",
            "they are asked themselves, over UDP and TCP port 53, which a firewall may not let out of the house: then `resolvers: […]` inside of it, with `servers: []`",
            "a resolver keeps an answer for its time to live, and one that does so longer than that is no rarity",
            "Alias: the name is resolved by this machine; a load balancer has several addresses and does not show all of them at once, so one in common is enough",
            "Values: two weighted records of one name are never answered with together",
        ],
        typical: Duration::from_secs(60),
        timeout: Duration::from_secs(10 * 60),
    };

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if !TYPES.contains(&self.r#type.as_str()) {
            problems.push(format!("`type` \"{}\" is none of {}", self.r#type.escape_debug(), TYPES.join(", ")));
        }
        let (zone, record) = (canonical(&self.zone), canonical(&self.record));
        if record != zone && !record.ends_with(&format!(".{zone}")) {
            problems.push(format!("`record` {record} does not belong to `zone` {zone}"));
        }
        match &self.expect {
            Expected::Values(values) if values.is_empty() => problems.push("`expect` has no values".to_owned()),
            Expected::Alias(_) if self.r#type == "CNAME" => {
                problems
                    .push("`expect` is an Alias, whose addresses are compared: a CNAME has none, so it is Values([\"name\"])".to_owned());
            }
            Expected::Values(_) | Expected::Alias(_) => {}
        }
        let asked = self.servers.as_ref().map(|servers| servers.len() + self.resolvers.len());
        if asked == Some(0) {
            problems.push("`servers` and `resolvers` are empty, so nobody would be asked".to_owned());
        }
        if asked.is_some_and(|asked| asked > SERVERS_MAX) {
            problems.push(format!("`servers` and `resolvers` are more than {SERVERS_MAX}"));
        }
        if self.at_least.is_some_and(|least| least == 0 || asked.is_some_and(|asked| least > asked)) {
            problems.push("`at_least` is not between 1 and the number of `servers` and `resolvers`".to_owned());
        }
        problems
    }

    fn iam(&self) -> Iam {
        match (&self.servers, &self.zone_id) {
            (Some(_), _) => Iam { read: &[], ..Self::INFO.iam },
            (None, Some(_)) => Iam { read: &["route53:GetHostedZone"], ..Self::INFO.iam },
            (None, None) => Self::INFO.iam,
        }
    }

    async fn observe(&self, cx: &StepContext<Cloud>, intent: Option<&Servers>) -> Result<Observed<Servers>, StepFailure> {
        let servers = match (intent, &self.servers) {
            (Some(earlier), _) => earlier.servers.clone(),
            (None, Some(given)) => given.clone(),
            (None, None) => self.servers_of_the_zone(cx).await?,
        };
        Ok(Observed::Satisfied(Servers { servers }))
    }

    async fn apply(&self, _cx: &StepContext<Cloud>, _before: &Servers) -> Result<(), StepFailure> {
        nothing_to_apply(&Self::INFO)
    }

    async fn settle(&self, cx: &StepContext<Cloud>, before: &Servers, _handle: Option<&()>) -> Result<Fields, StepFailure> {
        let of_zone = before.servers.iter().map(|server| (server.as_str(), false));
        let asked: Vec<_> = of_zone.chain(self.resolvers.iter().map(|resolver| (resolver.as_str(), true))).collect();
        let needed = self.at_least.unwrap_or(asked.len());
        if needed > asked.len() {
            return Err(StepFailure::permanent(format!("`at_least` is {needed}, and only {} name servers are asked", asked.len())));
        }
        let (asked, typical) = (&asked, Self::INFO.typical);
        let agreed = until(cx, typical, |_| async move {
            let wanted = self.wanted(cx).await?;
            let answers = join_all(asked.iter().map(|(server, recursive)| self.ask(cx, server, *recursive))).await;
            let (agreed, other) = self.count(&wanted, asked.iter().map(|(server, _)| *server).zip(&answers));
            Ok(match other {
                Some(other) if agreed < needed => {
                    Look::Waiting(format!("{agreed}/{needed} name servers to answer for {} with {}; {other}", self.record, self.shown()))
                }
                Some(_) | None => Look::Done(agreed),
            })
        })
        .await?;
        Ok(fields([("agreed", json!(agreed)), ("asked", json!(asked.len()))]))
    }

    async fn compensate(&self, _cx: &StepContext<Cloud>, _before: &Servers, _handle: Option<&()>) -> Result<(), StepFailure> {
        nothing_to_apply(&Self::INFO)
    }
}

impl DnsPropagated {
    async fn servers_of_the_zone(&self, cx: &StepContext<Cloud>) -> Result<Vec<String>, StepFailure> {
        let Self { zone, zone_id, record, r#type: kind, .. } = self;
        let named = NamedRecord { zone, zone_id: zone_id.as_deref(), private: false, record, kind, set_identifier: None };
        let zone_id = named.zone(cx).await?;
        let servers = hosted_zone::name_servers(cx, &zone_id).await?;
        if servers.is_empty() {
            let failure = StepFailure::permanent(format!("Route 53 names no name servers of hosted zone {zone} ({zone_id})"));
            return Err(failure.hint("a private zone has none that could be asked: use `servers: []` with `resolvers` of its network"));
        }
        Ok(servers)
    }

    /// Asks one server. A resolver has to ask others, the servers of a zone need not.
    async fn ask(&self, cx: &StepContext<Cloud>, server: &str, recursive: bool) -> Answer {
        cx.env.ask_name_server(server, Question { name: &self.record, kind: &self.r#type, recursive }).await
    }

    /// Returns the values that count, as they are at the moment.
    async fn wanted(&self, cx: &StepContext<Cloud>) -> Result<Vec<String>, StepFailure> {
        match &self.expect {
            Expected::Values(values) => {
                let mut values: Vec<_> = values.iter().map(|value| plain(value)).collect();
                values.sort();
                values.dedup();
                Ok(values)
            }
            Expected::Alias(name) => cx.env.addresses(name.trim_end_matches('.')).await,
        }
    }

    /// Counts the answers that are as wanted, and tells the first that is not.
    fn count<'a>(&self, wanted: &[String], answers: impl Iterator<Item = (&'a str, &'a Answer)>) -> (usize, Option<String>) {
        let (mut agreed, mut other) = (0, None);
        for (server, answer) in answers {
            let told = match answer {
                Ok(values) if self.is_expected(wanted, values) => {
                    agreed += 1;
                    continue;
                }
                Ok(values) if values.is_empty() => format!("{server} knows of none"),
                Ok(values) => format!("{server} answers with {}", values.join(", ")),
                Err(why) => format!("{server}: {why}"),
            };
            other = other.or(Some(told));
        }
        (agreed, other)
    }

    fn is_expected(&self, wanted: &[String], values: &[String]) -> bool {
        match self.expect {
            Expected::Values(_) => values == wanted,
            Expected::Alias(_) => values.iter().any(|value| wanted.contains(value)),
        }
    }

    fn shown(&self) -> String {
        match &self.expect {
            Expected::Values(values) => values.join(", "),
            Expected::Alias(name) => format!("an address of {name}"),
        }
    }
}

/// A value as name servers answer with it: a name without its final dot, an address in its usual form.
fn plain(value: &str) -> String {
    match value.parse::<std::net::IpAddr>() {
        Ok(address) => address.to_string(),
        Err(_) => canonical(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(expect: Expected) -> DnsPropagated {
        DnsPropagated {
            zone: "company.com".into(),
            zone_id: None,
            record: "app.company.com".into(),
            r#type: a(),
            expect,
            servers: None,
            resolvers: Vec::new(),
            at_least: None,
        }
    }

    fn texts(values: &[&str]) -> Vec<String> {
        values.iter().map(|value| (*value).to_owned()).collect()
    }

    #[test]
    fn values_are_these_and_no_others_and_of_an_alias_one_is_enough() {
        let wanted = texts(&["192.0.2.1", "192.0.2.2"]);
        let counted = |step: &DnsPropagated, answers: &[Answer]| step.count(&wanted, std::iter::repeat("ns").zip(answers));
        let (both, one, other) = (Ok(wanted.clone()), Ok(texts(&["192.0.2.2"])), Ok(texts(&["192.0.2.9"])));
        let answers = [both, one, other, Ok(Vec::new()), Err("no answer".to_owned())];
        let values = step(Expected::Values(wanted.clone()));
        assert_eq!(counted(&values, &answers), (1, Some("ns answers with 192.0.2.2".to_owned())));
        let alias = step(Expected::Alias("west".into()));
        assert_eq!(counted(&alias, &answers), (2, Some("ns answers with 192.0.2.9".to_owned())));
        assert_eq!(counted(&alias, &answers[3..]), (0, Some("ns knows of none".to_owned())));
        assert_eq!(counted(&alias, &answers[4..]), (0, Some("ns: no answer".to_owned())));
        assert_eq!(counted(&alias, &answers[..2]), (2, None));
        assert_eq!((plain("2001:DB8::0:1"), plain("West.Example.")), ("2001:db8::1".into(), "west.example".into()));
    }

    #[test]
    fn nonsense_is_named() {
        let bad = DnsPropagated {
            r#type: "CNAME".into(),
            record: "app.company.net".into(),
            servers: Some(Vec::new()),
            at_least: Some(1),
            ..step(Expected::Alias("west".into()))
        };
        assert_eq!(bad.problems().len(), 4);
        let mx = DnsPropagated { r#type: "MX".into(), at_least: Some(0), ..step(Expected::Values(Vec::new())) };
        assert_eq!(mx.problems().len(), 3);
        assert_eq!(step(Expected::Alias("west".into())).problems(), Vec::<String>::new());
        assert!(DnsPropagated { servers: Some(texts(&["a"])), ..step(Expected::Alias("west".into())) }.iam().read.is_empty());
    }
}
