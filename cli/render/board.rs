//! What the live display shows of a run: a row per step under way, and a line about the run. Kept up to date event by event, so that
//! drawing needs no more than the time.

use std::collections::BTreeMap;

use jiff::Timestamp;
use wf_engine::clock::between;
use wf_engine::model::event::Event;
use wf_engine::model::ids::StepId;
use wf_engine::model::record::Record;
use wf_engine::model::run_state::{RunPhase, RunState, StepStatus};
use wf_engine::model::workflow::StepIx;
use wf_engine::units::Span;

use super::lines::STEP_WIDTH;
use super::{Ink, Look, clean, count, cut, pad, pad_left, whole_span};

/// How many steps are named as next.
const NEXT_MAX: usize = 4;
/// How many steps, and how many neighbours of each, are looked at to find those; a display is not worth more.
const LOOKED_AT_MAX: usize = 16;
/// The fewest and the most lines of the block.
const LINES: std::ops::RangeInclusive<usize> = 4..=40;

/// A step under way.
#[derive(Debug)]
struct Row {
    id: StepId,
    since: Timestamp,
    doing: Doing,
    note: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    Running,
    Asking,
    Retrying { at: Timestamp },
    Undoing,
}

/// What the display shows.
#[derive(Debug, Default)]
pub struct Board {
    rows: BTreeMap<StepIx, Row>,
    started_at: Option<Timestamp>,
    rto: Option<Span>,
    steps: usize,
    done: usize,
    undoing: Option<usize>,
    next: Vec<String>,
    leaving: bool,
}

impl Board {
    /// Takes in what an event changed.
    pub fn recorded(&mut self, record: &Record, state: &RunState) {
        let workflow = state.workflow();
        self.started_at = state.started_at();
        self.rto = workflow.def().objectives.rto;
        self.steps = workflow.len();
        self.done = workflow.len() - state.left();
        self.undoing = (state.phase() == RunPhase::Compensating).then(|| state.undo_left());
        match record.event.step().and_then(|step| workflow.find(step)) {
            Some(ix) => self.update(ix, record, state),
            None => self.rows.retain(|ix, _| state.active().contains(ix)),
        }
        self.next = next_up(state);
    }

    /// Takes in what a step waits for.
    pub fn progress(&mut self, step: &StepId, text: &str, state: &RunState) {
        let row = state.workflow().find(step).and_then(|ix| self.rows.get_mut(&ix));
        // A question matters more than the words that it is asked with.
        if let Some(row) = row.filter(|row| row.doing != Doing::Asking) {
            row.note = clean(text).into_owned();
        }
    }

    /// Takes in that the engine is leaving.
    pub fn leaves(&mut self) {
        self.leaving = true;
    }

    fn update(&mut self, ix: StepIx, record: &Record, state: &RunState) {
        let step = state.step(ix);
        let doing = match step.status {
            StepStatus::Running => Doing::Running,
            StepStatus::Waiting => Doing::Asking,
            StepStatus::Retrying => Doing::Retrying { at: step.retry_at.unwrap_or(record.at) },
            StepStatus::Compensating => step.retry_at.map_or(Doing::Undoing, |at| Doing::Retrying { at }),
            StepStatus::Pending
            | StepStatus::Interrupted
            | StepStatus::Succeeded
            | StepStatus::Failed
            | StepStatus::Skipped
            | StepStatus::Unreachable
            | StepStatus::CompensationInterrupted
            | StepStatus::Compensated
            | StepStatus::CompensationFailed => {
                self.rows.remove(&ix);
                return;
            }
        };
        let since = if step.status == StepStatus::Compensating { step.undo.started_at } else { step.alive_since };
        let row = self.rows.entry(ix).or_insert_with(|| Row {
            id: state.workflow().id(ix).clone(),
            since: record.at,
            doing,
            note: String::new(),
        });
        (row.since, row.doing) = (since.unwrap_or(record.at), doing);
        if let Event::ApprovalRequested { message, .. } = &record.event {
            row.note = clean(message).into_owned();
        } else if let Event::AttemptFailed { failure, .. } | Event::CompensationAttemptFailed { failure, .. } = &record.event {
            row.note = clean(&failure.message).into_owned();
        } else if let Event::StepStarted { .. } | Event::CompensationStarted { .. } | Event::ApprovalDecided { .. } = &record.event {
            row.note.clear();
        }
    }

    /// Lays the block out for a terminal of this size: questions first, as many rows as have room, the line about the run last.
    pub fn block(&self, now: Timestamp, look: &Look, height: usize) -> Vec<String> {
        let Some(started_at) = self.started_at else { return Vec::new() };
        // One line stays free for the cursor, so that the block's top never scrolls out of reach.
        let room = height.saturating_sub(3).clamp(*LINES.start(), *LINES.end()) - 1;
        let (asking, other): (Vec<&Row>, Vec<&Row>) = self.rows.values().partition(|row| row.doing == Doing::Asking);
        let all = asking.len() + other.len();
        let shown = if all > room { room - 1 } else { all };
        let mut lines: Vec<_> = asking.into_iter().chain(other).take(shown).map(|row| row.line(now, look)).collect();
        if all > shown {
            lines.push(look.paint(Ink::Dim, &format!("    … and {} more", all - shown)));
        }
        lines.push(self.footer(now, started_at, look));
        lines
    }

    fn footer(&self, now: Timestamp, started_at: Timestamp, look: &Look) -> String {
        let elapsed = between(started_at, now);
        let (time, ink) = match self.rto {
            None => (whole_span(elapsed), Ink::Bold),
            Some(rto) if elapsed > rto.0 => (format!("{}, over the RTO of {rto}", whole_span(elapsed)), Ink::Bad),
            Some(rto) => (format!("{} of {rto} RTO", whole_span(elapsed)), Ink::Bold),
        };
        let progress = match self.undoing {
            Some(left) => format!("rolling back, {} to undo", left),
            None => format!("{}/{} done", self.done, count(self.steps, "step")),
        };
        let next = match (self.leaving, self.next.as_slice()) {
            (true, _) => " · leaving, waits for calls under way".to_owned(),
            (false, []) => String::new(),
            (false, next) => format!(" · next: {}", next.join(", ")),
        };
        let room = look.width.saturating_sub(time.chars().count() + 8);
        format!("  {} · {}", look.paint(ink, &time), cut(&format!("{progress}{next}"), room))
    }
}

impl Row {
    fn line(&self, now: Timestamp, look: &Look) -> String {
        let (sign, ink, words) = match self.doing {
            Doing::Running => ("▶", Ink::Busy, String::new()),
            Doing::Asking => ("?", Ink::Warn, "asks: ".to_owned()),
            Doing::Retrying { at } => ("↻", Ink::Warn, format!("next attempt in {}: ", whole_span(between(now, at)))),
            Doing::Undoing => ("◀", Ink::Warn, "undoing ".to_owned()),
        };
        let elapsed = pad_left(&whole_span(between(self.since, now)), 8);
        let step = pad(self.id.as_str(), STEP_WIDTH);
        let room = look.width.saturating_sub(step.len() + 8 + 8);
        let note = format!("{words}{}", self.note);
        let line = format!("  {} {}{elapsed}  {}", look.paint(ink, sign), look.paint(Ink::Bold, &step), cut(&note, room));
        line.trim_end().to_owned()
    }
}

/// Names the steps that come next: those that could start now, then those that wait only for steps under way.
fn next_up(state: &RunState) -> Vec<String> {
    if state.phase() != RunPhase::Forward {
        return Vec::new();
    }
    let workflow = state.workflow();
    let mut next: Vec<StepIx> = state.ready().take(NEXT_MAX + 1).collect();
    let waits_for_active = |&ix: &StepIx| {
        let under_way =
            |need: StepIx| state.active().contains(&need) || matches!(state.step(need).status, StepStatus::Succeeded | StepStatus::Skipped);
        state.step(ix).status == StepStatus::Pending && workflow.needs(ix).take(LOOKED_AT_MAX).all(under_way)
    };
    for &ix in state.active().iter().take(LOOKED_AT_MAX) {
        if next.len() > NEXT_MAX {
            break;
        }
        for soon in workflow.dependents(ix).take(LOOKED_AT_MAX).filter(waits_for_active) {
            if !next.contains(&soon) {
                next.push(soon);
            }
        }
    }
    let mut names: Vec<_> = next.iter().take(NEXT_MAX).map(|&ix| workflow.id(ix).to_string()).collect();
    if next.len() > NEXT_MAX {
        names.push("…".to_owned());
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::tale::{FAILOVER, LOOK, Tale, at, id};
    use wf_engine::model::workflow::Workflow;

    /// Shows a tale as it is after its first `records` records, `secs` seconds after it began.
    fn shown(tale: &Tale, records: usize, secs: f64, height: usize) -> String {
        let workflow = std::sync::Arc::new(Workflow::parse(FAILOVER).expect("valid"));
        let mut state = RunState::new(workflow, |_| std::time::Duration::from_secs(1));
        let mut board = Board::default();
        for record in &tale.records[..records] {
            state.apply(record).expect("legal");
            board.recorded(record, &state);
        }
        board.progress(&id("scale_app"), "4/6 in \x1b[1mservice", &state);
        board.progress(&id("go"), "waits for an answer", &state);
        board.block(at(secs), &LOOK, height).join("\n")
    }

    #[test]
    fn rows_tell_what_runs_and_the_footer_what_comes() {
        let tale = Tale::approved();
        insta::assert_snapshot!(shown(&tale, tale.records.len() - 2, 20.0, 24), @r"
        ? go                      8s  asks: Promote prod-db-replica-west?
        ▶ scale_app               8s  4/6 in service
        20s of 15m RTO · 2/6 steps done · next: promote
        ");
        insta::assert_snapshot!(shown(&Tale::completed(), Tale::completed().records.len() - 6, 901.0, 24), @r"
        ▶ promote            14m 31s
        15m 01s, over the RTO of 15m · 4/6 steps done · next: dns
        ");
    }

    #[test]
    fn a_rollback_shows_what_is_left_to_undo() {
        let tale = Tale::rolled_back();
        insta::assert_snapshot!(shown(&tale, tale.records.len() - 4, 100.0, 24), @r"
        ◀ scale_app              10s  undoing 4/6 in service
        1m 40s of 15m RTO · rolling back, 2 to undo
        ");
    }

    #[test]
    fn rows_without_room_are_counted() {
        let steps: Vec<_> = (0..30).map(|ix| format!("(id: \"s{ix}\", run: X())")).collect();
        let text = format!("Workflow(name: \"w\", steps: [{}])", steps.join(", "));
        let workflow = std::sync::Arc::new(Workflow::parse(&text).expect("valid"));
        let mut state = RunState::new(workflow, |_| std::time::Duration::from_secs(1));
        let mut board = Board::default();
        let mut chain = wf_engine::model::record::Chain::default();
        let header = Event::RunStarted(Box::new(crate::render::tale::header()));
        let starts = (0..30).map(|ix| Event::StepStarted { step: id(&format!("s{ix}")), attempt: 1 });
        for event in [header].into_iter().chain(starts) {
            let (record, _) = chain.extend(at(0.0), 1, event).expect("small");
            state.apply(&record).expect("legal");
            board.recorded(&record, &state);
        }
        let lines = board.block(at(1.0), &LOOK, 12);
        assert_eq!((lines.len(), lines[7].as_str()), (9, "    … and 23 more"));
        assert_eq!(board.block(at(1.0), &LOOK, 2).len(), 4);
    }
}
