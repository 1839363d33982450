//! [`Sources`]: what a watch looks at, and what it makes of several: one look that is good, bad or neither. What cannot be found out is neither,
//! whatever the reason: a service that does not answer is no proof that users are badly off.

use std::time::Duration;

use futures_util::future::{join, join_all};
use wf_engine::model::event::{FailureKind, StepFailure};
use wf_engine::step::StepContext;
use wf_steps::aws::Cloud;
use wf_steps::aws::alarms::AlarmState;
use wf_steps::watched::is_healthy;

use crate::args::{AlarmName, Require};
use crate::failure::Failure;
use crate::render::clean;
use crate::watch::Inbox;

/// What is looked at.
pub struct Sources {
    pub page: Option<String>,
    pub alarms: Vec<AlarmName>,
    pub health_checks: Vec<String>,
    pub inbox: Option<Inbox>,
    pub require: Require,
    /// The limit of one look.
    pub limit: Duration,
}

/// What a source says, or all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Says {
    Good,
    Bad,
    Unknown,
}

/// A look at all sources.
#[derive(Debug)]
pub struct Look {
    pub says: Says,
    /// What each of them says.
    pub each: Vec<Says>,
    /// The same in words, each with its reason.
    pub why: String,
}

/// What one source says, and why.
struct Said {
    source: String,
    says: Says,
    why: String,
    /// Why it will not say more tomorrow.
    mistake: Option<StepFailure>,
}

impl Sources {
    /// Names them.
    pub fn shown(&self) -> String {
        let page = self.page.iter().cloned();
        let alarms = self.alarms.iter().map(|alarm| format!("alarm {alarm}"));
        let checks = self.health_checks.iter().map(|id| format!("health check {id}"));
        let topic = self.inbox.iter().map(Inbox::shown);
        page.chain(alarms).chain(checks).chain(topic).collect::<Vec<_>>().join(", ")
    }

    /// Ends what they listen for.
    pub async fn close(self) {
        if let Some(inbox) = self.inbox {
            inbox.close().await;
        }
    }

    /// Looks at all of them. A mistake, such as an alarm that is not there, is told instead, when this is the `first` look.
    pub async fn look(&self, cx: &StepContext<Cloud>, first: bool) -> Result<Look, Failure> {
        let pages = join_all(self.page.iter().map(|url| self.page(cx, url)));
        let alarms = join_all(self.alarms.iter().map(|alarm| self.alarm(cx, alarm)));
        let checks = join_all(self.health_checks.iter().map(|id| self.health_check(cx, id)));
        let (pages, (alarms, checks)) = join(pages, join(alarms, checks)).await;
        let topic = self.inbox.iter().map(Said::heard);
        let mut said: Vec<Said> = pages.into_iter().chain(alarms).chain(checks).chain(topic).collect();
        if let Some(mistake) = said.iter_mut().find_map(|said| said.mistake.take()).filter(|_| first) {
            return Err(Failure::of_step(mistake));
        }
        let each: Vec<_> = said.iter().map(|said| said.says).collect();
        let says = combined(&each, self.require);
        let why = match said.as_slice() {
            // The page alone needs no name.
            [one] if self.page.is_some() => one.why.clone(),
            several => several.iter().map(Said::shown).collect::<Vec<_>>().join("; "),
        };
        Ok(Look { says, each, why })
    }

    async fn page(&self, cx: &StepContext<Cloud>, url: &str) -> Said {
        let (says, why) = match cx.env.get(url, None, self.limit).await {
            Ok(answer) if answer.status == 200 => (Says::Good, String::new()),
            Ok(answer) => (Says::Bad, format!("HTTP {}", answer.status)),
            Err(failure) => (Says::Bad, failure.message),
        };
        Said { source: "page".to_owned(), says, why, mistake: None }
    }

    async fn alarm(&self, cx: &StepContext<Cloud>, alarm: &AlarmName) -> Said {
        let asked = self.within(cx, cx.env.alarm_state(&alarm.name, &alarm.region)).await;
        let asked = asked.map(|state| match state {
            AlarmState::Ok => (Says::Good, ""),
            AlarmState::Alarm => (Says::Bad, "in alarm"),
            AlarmState::Unknown => (Says::Unknown, "it has too little data"),
        });
        Said::of(format!("alarm {alarm}"), asked)
    }

    async fn health_check(&self, cx: &StepContext<Cloud>, id: &str) -> Said {
        let asked = self.within(cx, is_healthy(cx, id)).await;
        let asked = asked.map(|healthy| match healthy {
            Some(true) => (Says::Good, ""),
            Some(false) => (Says::Bad, "unhealthy"),
            None => (Says::Unknown, "Route 53 cannot say"),
        });
        Said::of(format!("health check {id}"), asked)
    }

    async fn within<T>(&self, cx: &StepContext<Cloud>, asked: impl Future<Output = Result<T, StepFailure>>) -> Result<T, StepFailure> {
        tokio::select! {
            answer = asked => answer,
            () = cx.clock.sleep(self.limit) => Err(StepFailure::transient("no answer in time")),
        }
    }
}

impl Said {
    fn heard(inbox: &Inbox) -> Self {
        let (says, why) = inbox.look();
        Self { source: "SNS".to_owned(), says, why, mistake: None }
    }

    fn of(source: String, asked: Result<(Says, &str), StepFailure>) -> Self {
        match asked {
            Ok((says, why)) => Self { source, says, why: why.to_owned(), mistake: None },
            Err(failure) => {
                let mistake = (failure.kind == FailureKind::Permanent).then(|| failure.clone());
                Self { source, says: Says::Unknown, why: failure.message, mistake }
            }
        }
    }

    fn shown(&self) -> String {
        let says = match self.says {
            Says::Good => "well",
            Says::Bad => "bad",
            Says::Unknown => "unknown",
        };
        let why = if self.why.is_empty() { String::new() } else { format!(", {}", clean(&self.why)) };
        format!("{} {says}{why}", clean(&self.source))
    }
}

/// Makes one look of what sources say: those that are unknown have no vote, and with no votes it is unknown.
fn combined(says: &[Says], require: Require) -> Says {
    let bad = says.contains(&Says::Bad);
    let good = says.contains(&Says::Good);
    match (require, bad, good) {
        (_, false, false) => Says::Unknown,
        (_, true, false) | (Require::Any, true, true) => Says::Bad,
        (_, false, true) | (Require::All, true, true) => Says::Good,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unknown_has_no_vote() {
        for (says, all, any) in [
            ("g", 'g', 'g'),
            ("b", 'b', 'b'),
            ("u", 'u', 'u'),
            ("bg", 'g', 'b'),
            ("bb", 'b', 'b'),
            ("bu", 'b', 'b'),
            ("gu", 'g', 'g'),
            ("uu", 'u', 'u'),
            ("bgu", 'g', 'b'),
            ("bbu", 'b', 'b'),
            ("bbg", 'g', 'b'),
            ("ggu", 'g', 'g'),
        ] {
            let said = |c: char| match c {
                'g' => Says::Good,
                'b' => Says::Bad,
                _ => Says::Unknown,
            };
            let said_all: Vec<_> = says.chars().map(said).collect();
            assert_eq!(combined(&said_all, Require::All), said(all), "all of {says}");
            assert_eq!(combined(&said_all, Require::Any), said(any), "any of {says}");
        }
    }
}
