//! A [`Plan`] for people.

use std::time::Duration;

use super::{Plan, PlannedStep, Told};
use crate::render::{Ink, Look, clean, count, cut, pad, pad_left, span};

/// How many changes of a step are shown.
const CHANGES_MAX: usize = 6;
/// How wide a line may get elsewhere than on a terminal.
const WIDTH: usize = 160;

impl Plan {
    /// Writes the plan for a screen of this look.
    pub fn text(&self, look: &Look) -> String {
        let as_whom = self.identity.as_ref().map_or_else(String::new, |who| format!(", as {}", clean(&who.arn)));
        let place = if self.world == "sim" { "the simulated AWS" } else { "the real AWS" };
        let mut text = format!("{}: {} on {place}{as_whom}\n\n", clean(&self.workflow), self.mode);
        text.push_str(&self.table(look));
        text.push_str(&self.undoing());
        text.push_str(&self.time());
        text.push_str(&self.asks());
        if !self.warnings.is_empty() {
            text.push_str("\n  Look at these first:\n");
            for warning in &self.warnings {
                text.push_str(&format!("    {} {}\n", look.paint(Ink::Warn, "!"), clean(warning)));
            }
        }
        text.push_str(&format!(
            "\n  Nothing was changed. Plan {}: `wf run … --plan-hash {}` runs it only if it is still this one.\n",
            self.hash, self.hash
        ));
        text
    }

    fn table(&self, look: &Look) -> String {
        let widest = self.steps.iter().map(|step| step.step.as_str().chars().count()).max().unwrap_or_default().max(4);
        let mut table = format!("  {}  {}  {}  WOULD\n", pad("STEP", widest), pad_left("START", 7), pad_left("TAKES", 7));
        let room = if look.tty { look.width.max(60) } else { WIDTH };
        for step in &self.steps {
            let star = if step.critical { "*" } else { " " };
            let lead = format!(
                "{star} {}  {}  {}  ",
                pad(step.step.as_str(), widest),
                pad_left(&seconds(step.start), 7),
                pad_left(&seconds(step.p50), 7)
            );
            let (ink, would) = would(step);
            let indent = lead.chars().count();
            for (number, line) in would.iter().enumerate() {
                let line = look.paint(ink, &cut(&clean(line), room.saturating_sub(indent).max(30)));
                let lead = if number == 0 { lead.clone() } else { " ".repeat(indent) };
                table.push_str(&format!("{lead}{line}\n"));
            }
        }
        table
    }

    fn undoing(&self) -> String {
        let names = |steps: &[wf_engine::model::ids::StepId]| steps.iter().map(|step| step.as_str()).collect::<Vec<_>>().join(", ");
        let mut text = "\n".to_owned();
        if self.point_of_no_return.is_empty() {
            text.push_str("  A failure at any step rolls everything back.\n");
        } else {
            text.push_str(&format!("  Point of no return: {}. A failure behind it pauses the run.\n", names(&self.point_of_no_return)));
        }
        if !self.can_be_undone.is_empty() {
            text.push_str(&format!("  Can be undone, at any stage: {}\n", names(&self.can_be_undone)));
        }
        if !self.cannot_be_undone.is_empty() {
            text.push_str(&format!("  Stays: {}\n", names(&self.cannot_be_undone)));
        }
        text
    }

    fn time(&self) -> String {
        let Self { expected, .. } = self;
        let of = self.rto.map_or_else(String::new, |rto| format!(", of an RTO of {}", seconds(rto)));
        let path: Vec<_> = self.steps.iter().filter(|step| step.critical).map(|step| step.step.as_str()).collect();
        let from = match (expected.runs, self.steps.len() - expected.steps_seen) {
            (0, _) => "no run of it has completed yet: these are what the kinds usually take".to_owned(),
            (runs, 0) => format!("by {}", count(runs, "earlier run")),
            (runs, unseen) => format!("by {}; {} by what their kinds usually take", count(runs, "earlier run"), count(unseen, "step")),
        };
        format!(
            "\n  Takes {}, nine times of ten up to {}{of}\n    {from}\n    * decides: {}\n",
            seconds(expected.p50),
            seconds(expected.p90),
            path.join(" → ")
        )
    }

    fn asks(&self) -> String {
        let names =
            |calls: &mut dyn Iterator<Item = &super::Calls>| calls.map(|c| format!("{} {}", c.service, c.at_least)).collect::<Vec<_>>();
        let mut text = String::new();
        let published = names(&mut self.calls.iter().filter(|calls| calls.source.is_some()));
        if !published.is_empty() {
            text.push_str(&format!("  Calls, waits not counted: {}; 10 a second are allowed\n", published.join(", ")));
        }
        let guessed = names(&mut self.calls.iter().filter(|calls| calls.source.is_none()));
        if !guessed.is_empty() {
            text.push_str(&format!("  Calls without a published limit, 10 a second are taken: {}\n", guessed.join(", ")));
        }
        text
    }
}

fn seconds(seconds: f64) -> String {
    span(Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or_default())
}

fn would(step: &PlannedStep) -> (Ink, Vec<String>) {
    let because = |failure: &wf_engine::model::event::StepFailure| {
        let hint = failure.hint.iter().map(|hint| format!("hint: {hint}"));
        [failure.message.clone()].into_iter().chain(hint).collect::<Vec<_>>()
    };
    match &step.verdict {
        Told::Changes(changes) if changes.is_empty() => (Ink::Plain, vec![step.summary.to_owned()]),
        Told::Changes(changes) => {
            let mut lines: Vec<_> = changes
                .iter()
                .take(CHANGES_MAX)
                .map(|change| {
                    if change.from.is_empty() {
                        format!("{} → {}", change.what, change.to)
                    } else {
                        format!("{} {} → {}", change.what, change.from, change.to)
                    }
                })
                .collect();
            if changes.len() > CHANGES_MAX {
                lines.push(format!("and {} more", changes.len() - CHANGES_MAX));
            }
            // Short ones share a line.
            let joined = lines.join(", ");
            (Ink::Plain, if joined.chars().count() <= 60 { vec![joined] } else { lines })
        }
        Told::AsDesired => (Ink::Good, vec!["nothing, as things are".to_owned()]),
        Told::Waits => (Ink::Dim, vec![step.summary.to_owned()]),
        Told::After(steps) => {
            let names: Vec<_> = steps.iter().map(|step| step.as_str()).collect();
            (Ink::Dim, vec![step.summary.to_owned(), format!("  cannot be looked at before {}", names.join(", "))])
        }
        Told::NotYet(failure) => (Ink::Dim, vec![step.summary.to_owned(), format!("  not yet: {}", failure.message)]),
        Told::Unreachable(failure) => (Ink::Warn, because(failure)),
        Told::Fails(failure) => (Ink::Bad, because(failure)),
    }
}
