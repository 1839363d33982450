//! [`Notification`]: what people are told about an event, with the commands to type next. The words are those of `wf log`.

use jiff::Timestamp;
use serde::Serialize;
use wf_engine::model::dsl::StepPolicy;
use wf_engine::model::event::{Event, RunOutcome};
use wf_engine::model::ids::{RunId, StepId};
use wf_engine::model::order::Order;
use wf_engine::model::record::Record;
use wf_engine::model::run_state::RunState;

use crate::render::lines::told;
use crate::render::next::{Next, answers, commands};
use crate::render::{clean, cut, harmless_json};
use crate::sim_world::SIM;

/// The longest piece of text, in columns; `wf log` has it whole.
const TEXT_WIDTH_MAX: usize = 1024;
/// The most lines beside the first.
const DETAILS_MAX: usize = 8;
/// The longest subject that SNS takes, in bytes of ASCII.
const SUBJECT_LEN_MAX: usize = 100;

/// What happened, as somebody would filter it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Started,
    Resumed,
    WorkflowChanged,
    Asks,
    PointOfNoReturn,
    StepFailed,
    Paused,
    Cancelled,
    Escalated,
    RollingBack,
    Interrupted,
    Completed,
    CompletedWithExceptions,
    RolledBack,
    Stuck,
    Abandoned,
}

/// What people are told about an event.
#[derive(Debug, Clone, Serialize)]
pub struct Notification {
    /// `RUN/SEQ`: the same for each copy of a message.
    pub id: String,
    pub event: Kind,
    pub run: RunId,
    pub workflow: String,
    /// `aws`, or `sim`.
    pub world: String,
    /// The environment that is exercised, when the run is a drill.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drill: Option<String>,
    pub at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<StepId>,
    /// One line that says it all.
    pub summary: String,
    pub details: Vec<String>,
    /// What to type.
    pub next: Vec<Next>,
    /// Whether an earlier process recorded it and did not live to tell.
    pub late: bool,
    #[serde(skip)]
    pub seq: u64,
}

impl Notification {
    /// Puts together what people are told about an event; `None` when they need not know. `state` is the run's, at the event or soon after.
    pub fn of(record: &Record, state: &RunState) -> Option<Self> {
        let header = state.header()?;
        let kind = kind(&record.event, state)?;
        let (text, mut details) = told(record, state)?;
        let step = record.event.step().cloned();
        let text = match (&step, kind) {
            (Some(step), Kind::Asks) => format!("{step} asks: {text}"),
            (Some(step), _) => format!("{step}: {text}"),
            // The run's id stands before it already.
            (None, _) => text.strip_prefix(&format!("{} ", header.run)).map(str::to_owned).unwrap_or(text),
        };
        match kind {
            // The answers are commands.
            Kind::Asks => details.truncate(1),
            Kind::StepFailed => details.push(consequence(state).to_owned()),
            _ => {}
        }
        details.truncate(DETAILS_MAX);
        let simulated = if header.world == SIM { "SIMULATED: " } else { "" };
        let drill = header.drill.as_ref().map(|environment| format!("DRILL of {}: ", clean(environment))).unwrap_or_default();
        let summary = format!("{simulated}{drill}{} {}: {text}", header.workflow, header.run);
        Some(Self {
            id: format!("{}/{}", header.run, record.seq),
            event: kind,
            run: header.run.clone(),
            workflow: header.workflow.clone(),
            world: header.world.clone(),
            drill: header.drill.clone(),
            at: record.at,
            next: next(&header.run, kind, step.as_ref(), state),
            step,
            summary: cut(&summary, TEXT_WIDTH_MAX).into_owned(),
            details: details.iter().map(|detail| cut(detail, TEXT_WIDTH_MAX).into_owned()).collect(),
            late: false,
            seq: record.seq,
        })
    }

    /// Makes it one that is told long after: what made sense then may not any more.
    pub fn late(mut self) -> Self {
        self.late = true;
        self.details.push("told late: the process that recorded this ended before it could tell".to_owned());
        self.next = vec![status(&self.run)];
        self
    }

    /// Writes it as one document: the fields, and `text` as Slack and those who follow it show it.
    pub fn json(&self) -> serde_json::Result<String> {
        #[derive(Serialize)]
        struct Document<'a> {
            #[serde(flatten)]
            notification: &'a Notification,
            text: String,
        }
        let lines = self.details.iter().map(|detail| for_slack(detail));
        let next = self.next.iter().map(|next| format!("`{}` {}", for_slack(&next.command), for_slack(&next.does)));
        let text: Vec<_> = [for_slack(&self.summary)].into_iter().chain(lines).chain(next).collect();
        serde_json::to_string(&Document { notification: self, text: text.join("\n") }).map(harmless_json)
    }

    /// Writes it as lines.
    pub fn text(&self) -> String {
        let mut text = format!("{}\n", self.summary);
        self.details.iter().for_each(|detail| text.push_str(&format!("{detail}\n")));
        if !self.next.is_empty() {
            text.push_str("\nType next:\n");
            self.next.iter().for_each(|next| text.push_str(&format!("  {}\n      {}\n", next.command, next.does)));
        }
        text.push_str(&format!("\n{} UTC; message {}\n", crate::render::date_and_time(self.at), self.id));
        text
    }

    /// Writes what a mail has for its subject.
    pub fn subject(&self) -> String {
        let simulated = if self.world == SIM { " (simulated)" } else { "" };
        let drill = if self.drill.is_some() { " (drill)" } else { "" };
        let subject = format!("wf {}{drill}{simulated}: {} {}", self.event, self.workflow, self.run);
        subject.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(SUBJECT_LEN_MAX).collect()
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Started => "started",
            Self::Resumed => "resumed",
            Self::WorkflowChanged => "workflow-changed",
            Self::Asks => "asks",
            Self::PointOfNoReturn => "point-of-no-return",
            Self::StepFailed => "step-failed",
            Self::Paused => "paused",
            Self::Cancelled => "cancelled",
            Self::Escalated => "escalated",
            Self::RollingBack => "rolling-back",
            Self::Interrupted => "interrupted",
            Self::Completed => "completed",
            Self::CompletedWithExceptions => "completed-with-exceptions",
            Self::RolledBack => "rolled-back",
            Self::Stuck => "stuck",
            Self::Abandoned => "abandoned",
        })
    }
}

/// Tells what an event is to people; every one by name, so that a new one cannot be forgotten.
fn kind(event: &Event, state: &RunState) -> Option<Kind> {
    Some(match event {
        Event::RunStarted(_) => Kind::Started,
        Event::RunResumed { .. } => Kind::Resumed,
        Event::WorkflowChanged(_) => Kind::WorkflowChanged,
        Event::ApprovalRequested { step, .. } if unanswered(step, state) => Kind::Asks,
        Event::PointOfNoReturnPassed { .. } => Kind::PointOfNoReturn,
        Event::StepFailed { step, .. } if holds_up(step, state, |step| step.on_failure) => Kind::StepFailed,
        Event::StepUnreachable { step, .. } if holds_up(step, state, |step| step.on_unreachable) => Kind::StepFailed,
        Event::RunPaused { .. } => Kind::Paused,
        Event::RunInterrupted { .. } => Kind::Interrupted,
        Event::RollbackStarted { .. } => Kind::RollingBack,
        Event::RunFinished { outcome } => match outcome {
            RunOutcome::Completed => Kind::Completed,
            RunOutcome::CompletedWithExceptions => Kind::CompletedWithExceptions,
            RunOutcome::RolledBack => Kind::RolledBack,
            RunOutcome::Stuck => Kind::Stuck,
            RunOutcome::Abandoned => Kind::Abandoned,
        },
        Event::Ordered { order, .. } => match order {
            Order::Pause => Kind::Paused,
            Order::Resume => Kind::Resumed,
            Order::Cancel { .. } => Kind::Cancelled,
            Order::Escalate => Kind::Escalated,
            Order::Approve { .. }
            | Order::Reject { .. }
            | Order::Retry { .. }
            | Order::Skip { .. }
            | Order::MarkDone { .. }
            | Order::Adjust { .. } => return None,
        },
        Event::ApprovalRequested { .. }
        | Event::StepFailed { .. }
        | Event::StepUnreachable { .. }
        | Event::WorkflowText { .. }
        | Event::StepStarted { .. }
        | Event::StepObserved { .. }
        | Event::StepApplied { .. }
        | Event::ApprovalDecided { .. }
        | Event::AttemptFailed { .. }
        | Event::StepSucceeded { .. }
        | Event::StepSkipped { .. }
        | Event::StepInterrupted { .. }
        | Event::StepRedone { .. }
        | Event::StepMarkedDone { .. }
        | Event::CompensationStarted { .. }
        | Event::CompensationAttemptFailed { .. }
        | Event::StepCompensated { .. }
        | Event::CompensationFailed { .. } => return None,
    })
}

/// Tells whether a question waits for somebody: with `--yes` it is answered as it is asked.
fn unanswered(step: &StepId, state: &RunState) -> bool {
    state.workflow().find(step).is_none_or(|ix| state.step(ix).approval.is_none())
}

/// Tells whether a step that did not succeed holds the run up.
fn holds_up(step: &StepId, state: &RunState, policy: impl Fn(&wf_engine::model::dsl::StepDef) -> StepPolicy) -> bool {
    let workflow = state.workflow();
    workflow.find(step).is_none_or(|ix| match policy(workflow.step(ix)) {
        StepPolicy::Fail => true,
        StepPolicy::Continue => false,
    })
}

fn consequence(state: &RunState) -> &'static str {
    if state.rolls_back() {
        "the run is rolled back once what is under way has ended"
    } else {
        "the run pauses once what is under way has ended"
    }
}

fn status(run: &RunId) -> Next {
    Next { command: format!("wf status {run}"), does: "shows where the run is".to_owned() }
}

/// Returns what to type next.
fn next(run: &RunId, kind: Kind, step: Option<&StepId>, state: &RunState) -> Vec<Next> {
    let next = |command: String, does: &str| Next { command, does: does.to_owned() };
    let follow = next(format!("wf status {run} --follow"), "shows it while it happens");
    let report = next(format!("wf report {run}"), "tells what was done, and what is left changed");
    let suggested = match (kind, step) {
        (Kind::Asks, Some(step)) => answers(run, step).to_vec(),
        (Kind::StepFailed, Some(step)) => vec![next(format!("wf explain {run} {step}"), "tells what led there"), follow],
        (Kind::Paused, _) => commands(run, state, true),
        (Kind::Interrupted | Kind::Stuck, _) => commands(run, state, false),
        (Kind::Started, _) => vec![follow, next(format!("wf cancel {run} --rollback --reason …"), "undoes everything")],
        (Kind::PointOfNoReturn, _) => vec![follow, next(format!("wf pause {run} --reason …"), "starts nothing more")],
        (Kind::Resumed | Kind::WorkflowChanged | Kind::Cancelled | Kind::Escalated | Kind::RollingBack, _) => vec![follow],
        (Kind::Completed | Kind::CompletedWithExceptions | Kind::RolledBack | Kind::Abandoned, _) => vec![report],
        (Kind::Asks | Kind::StepFailed, None) => Vec::new(),
    };
    if suggested.is_empty() { vec![status(run)] } else { suggested }
}

/// Writes a text so that Slack takes nothing in it for a link, or a call to everybody.
fn for_slack(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::tale::Tale;

    fn told(tale: &Tale) -> Vec<Notification> {
        let state = tale.replayed().state;
        tale.records.iter().filter_map(|record| Notification::of(record, &state)).collect()
    }

    #[test]
    fn people_are_told_what_they_must_know_and_nothing_else() {
        let kinds = |tale: Tale| told(&tale).iter().map(|notification| notification.event.to_string()).collect::<Vec<_>>().join(" ");
        // The question is answered by the end of these.
        assert_eq!(kinds(Tale::completed()), "started point-of-no-return completed");
        assert_eq!(kinds(Tale::paused()), "started point-of-no-return step-failed paused");
        assert_eq!(kinds(Tale::rolled_back()), "started asks step-failed rolling-back rolled-back");
    }

    #[test]
    fn a_message_says_what_happened_and_what_to_type() {
        let paused = told(&Tale::paused()).pop().expect("a message");
        assert_eq!(paused.subject(), "wf paused (simulated): failover 01HZXW3V9K0000000000000042");
        insta::assert_snapshot!(paused.text(), @r"
        SIMULATED: failover 01HZXW3V9K0000000000000042: paused: scale_app: scale_app cannot be scaled

        Type next:
          wf resume 01HZXW3V9K0000000000000042
              tries scale_app again and goes on
          wf resume 01HZXW3V9K0000000000000042 --mark-done scale_app
              if you did scale_app by hand: goes on behind it
          wf rollback 01HZXW3V9K0000000000000042 --past-point-of-no-return
              undoes fence, scale_app; what cannot be undone stays

        2026-03-01 03:06:30 UTC; message 01HZXW3V9K0000000000000042/21
        ");
        let late = paused.late();
        assert_eq!((late.late, late.next[0].command.as_str()), (true, "wf status 01HZXW3V9K0000000000000042"));
    }

    #[test]
    fn subjects_are_what_sns_takes() {
        let mut long = told(&Tale::paused()).pop().expect("a message");
        long.workflow = "é\n".to_owned() + &"x".repeat(200);
        let subject = long.subject();
        assert!(subject.len() == SUBJECT_LEN_MAX && subject.is_ascii() && !subject.contains('\n'), "{subject}");
    }
}
