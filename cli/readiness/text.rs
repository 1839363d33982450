//! A [`Readiness`] for people: what is wrong, by step, each with what to do about it; and a line that says how it stands.

use std::time::Duration;

use super::{Readiness, Told, ToldLater, Verdict};
use crate::render::{Ink, Look, clean, span};
use crate::words::count;

impl Readiness {
    /// Writes it for a screen of this look.
    pub fn text(&self, look: &Look) -> String {
        let as_whom = self.identity.as_ref().map_or_else(String::new, |who| format!(", as {}", clean(&who.arn)));
        let place = if self.world == "sim" { "the simulated AWS" } else { "the real AWS" };
        let mut text = format!("{}: {} on {place}{as_whom}\n", clean(&self.workflow), self.mode);
        let mut step = None;
        for check in self.checks.iter().filter(|check| check.verdict != Verdict::Passed) {
            if step != Some(&check.step) {
                text.push_str(&format!(
                    "\n  {}  {}\n",
                    look.paint(Ink::Bold, check.step.as_str()),
                    look.paint(Ink::Dim, &clean(&check.kind))
                ));
                step = Some(&check.step);
            }
            text.push_str(&line(check, look));
        }
        if !self.warnings.is_empty() {
            text.push_str("\n  Of the plan itself:\n");
            for warning in &self.warnings {
                text.push_str(&format!("    {} {}\n", look.paint(Ink::Warn, "warning"), clean(warning)));
            }
        }
        if !self.later.is_empty() {
            text.push_str(&format!("\n  {} cannot be checked in full before others have run:\n", count(self.later.len(), "step")));
            self.later.iter().for_each(|later| text.push_str(&format!("    {}\n", look.paint(Ink::Dim, &waiting(later)))));
        }
        text.push_str(&format!("\n{}\n", self.summary(look)));
        text
    }

    fn summary(&self, look: &Look) -> String {
        let of = |verdict| self.checks.iter().filter(|check| check.verdict == verdict).count();
        let (warned, failed, unknown) = (of(Verdict::Warned), of(Verdict::Failed), of(Verdict::Unknown));
        let took = span(Duration::try_from_secs_f64(self.seconds.max(0.0)).unwrap_or_default());
        let counted = [(failed, "failed"), (unknown, "unknown"), (warned, "with a warning")];
        let counted = counted.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!(", {n} {word}")).collect::<String>();
        let verdict = if self.ready { look.paint(Ink::Good, "ready") } else { look.paint(Ink::Bad, "not ready") };
        format!("{verdict}: {} of {} passed in {took}{counted}", self.passed, count(self.checks.len(), "check"))
    }
}

fn line(check: &Told, look: &Look) -> String {
    let (ink, word) = match check.verdict {
        Verdict::Passed => (Ink::Good, "passed"),
        Verdict::Warned => (Ink::Warn, "warning"),
        Verdict::Failed => (Ink::Bad, "failed"),
        Verdict::Unknown => (Ink::Bad, "unknown"),
    };
    format!("    {} {}: {}\n        fix: {}\n", look.paint(ink, word), check.check, clean(&check.why), clean(&check.fix))
}

fn waiting(later: &ToldLater) -> String {
    let after: Vec<_> = later.after.iter().map(|step| step.as_str()).collect();
    match &later.not_yet {
        Some(why) => format!("{}: not yet: {}", later.step, clean(why)),
        None => format!("{}: after {}", later.step, after.join(", ")),
    }
}
