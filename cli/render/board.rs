//! What the live display shows of a run: a row per step under way, and a line about the run. Kept up to date event by event, so that
//! drawing needs no more than the time.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use wf_engine::clock::between;
use wf_engine::model::event::Event;
use wf_engine::model::ids::{RunId, StepId};
use wf_engine::model::record::Record;
use wf_engine::model::run_state::{RunPhase, RunState, StepStatus};
use wf_engine::model::workflow::StepIx;
use wf_engine::units::Span;

use super::rows::{Doing, Footer, Row, id_width};
use super::usual::Usual;
use super::{Ink, Look, clean, cut, who};

/// How many steps are named as next.
const NEXT_MAX: usize = 4;
/// How many steps, and how many neighbours of each, are looked at to find those; a display is not worth more.
const LOOKED_AT_MAX: usize = 16;
/// Ways to the end that differ by less are equally long.
const TIE: Duration = Duration::from_secs(1);
/// What part of the terminal is left to what scrolls by.
const ABOVE_PART: usize = 5;
/// The fewest and the most lines of the block.
const LINES: std::ops::RangeInclusive<usize> = 4..=40;

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
    run: Option<RunId>,
    usual: Option<Usual>,
    /// The longest way from a step that could run if there were a place for it.
    queued: Duration,
    /// What the run is about to do, if it is not to go on.
    word: Option<String>,
    /// Who holds it up, or gave it up.
    ordered: Option<String>,
}

/// How long the run still takes, if its steps take as long as usual, and the steps under way that decide it.
#[derive(Debug, Default)]
struct Outlook {
    left: Duration,
    critical: Vec<StepIx>,
}

impl Board {
    /// Takes in what an event changed.
    pub fn recorded(&mut self, record: &Record, state: &RunState) {
        self.catch_up(std::slice::from_ref(record), state);
    }

    /// Takes in what events changed that led to `state`.
    pub fn catch_up(&mut self, records: &[Record], state: &RunState) {
        let workflow = state.workflow();
        self.started_at = state.started_at();
        if self.run.is_none() {
            self.run = state.header().map(|header| header.run.clone());
        }
        self.rto = workflow.def().objectives.rto;
        self.steps = workflow.len();
        self.done = workflow.len() - state.left();
        self.undoing = (state.phase() == RunPhase::Compensating).then(|| state.undo_left());
        for record in records {
            match record.event.step().and_then(|step| workflow.find(step)) {
                Some(ix) => self.update(ix, record, state),
                None => self.rows.retain(|ix, _| state.active().contains(ix)),
            }
        }
        let paused = state.held().map(|word| format!("paused by {}", who(&word.by)));
        self.ordered = state.cancelled().map(|cancelled| format!("cancelled by {}", who(&cancelled.word.by))).or(paused);
        self.next = next_up(state);
        let way = |usual: &Usual| state.ready().take(LOOKED_AT_MAX).map(|ix| usual.left(ix, Duration::ZERO)).max();
        self.queued = self.usual.as_ref().and_then(way).unwrap_or_default();
    }

    /// Takes in how long the steps usually take.
    pub fn usual(&mut self, usual: Usual) {
        self.usual = Some(usual);
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
        self.word = Some("leaving, waits for calls under way".to_owned());
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
            kind: clean(&state.workflow().step(ix).kind.value).into_owned(),
            since: record.at,
            doing,
            lapses_at: None,
            note: String::new(),
        });
        (row.since, row.doing) = (since.unwrap_or(record.at), doing);
        if let Event::ApprovalRequested { message, expires_at, .. } = &record.event {
            row.note = clean(message).into_owned();
            row.lapses_at = Some(*expires_at);
        } else if let Event::AttemptFailed { failure, .. } | Event::CompensationAttemptFailed { failure, .. } = &record.event {
            row.note = clean(&failure.message).into_owned();
        } else if let Event::StepStarted { .. } | Event::CompensationStarted { .. } | Event::ApprovalDecided { .. } = &record.event {
            row.note.clear();
        }
    }

    /// Lays the block out for a terminal of this size: questions first, then what decides when the run ends, then what is tried again, as
    /// many rows as have room, the lines about the run last. No line is as wide as the terminal.
    pub fn block(&self, now: Timestamp, look: &Look, height: usize) -> Vec<String> {
        let Some(started_at) = self.started_at else { return Vec::new() };
        let outlook = self.outlook(now);
        let footer = self.footer(now, started_at, &outlook, look);
        // One line stays free for the cursor, so that the block's top never scrolls out of reach, and some for what was over last.
        let room = height.saturating_sub(3 + height / ABOVE_PART).clamp(*LINES.start(), *LINES.end()).saturating_sub(footer.len()).max(1);
        let mut rows: Vec<(&StepIx, &Row)> = self.rows.iter().collect();
        let is_critical = |ix: &StepIx| outlook.critical.contains(ix);
        rows.sort_by_key(|(ix, row)| match row.doing {
            Doing::Asking => 0,
            _ if is_critical(ix) => 1,
            Doing::Retrying { .. } => 2,
            Doing::Running | Doing::Undoing => 3,
        });
        let shown = if rows.len() > room { room - 1 } else { rows.len() };
        let ids = id_width(rows.iter().take(shown).map(|(_, row)| &row.id), look);
        let usual = |ix: StepIx| self.usual.as_ref().filter(|_| self.undoing.is_none()).map(|usual| usual.of(ix));
        let line = |&(&ix, row): &(&StepIx, &Row)| row.line(now, is_critical(&ix), usual(ix), self.run.as_ref(), ids, look);
        let mut lines: Vec<_> = rows.iter().take(shown).map(line).collect();
        if rows.len() > shown {
            lines.push(look.paint(Ink::Dim, &format!("    … and {} more", rows.len() - shown)));
        }
        lines.extend(footer);
        lines
    }

    fn footer(&self, now: Timestamp, started_at: Timestamp, outlook: &Outlook, look: &Look) -> Vec<String> {
        let footer = Footer {
            elapsed: between(started_at, now),
            left: outlook.left,
            rto: self.rto,
            steps: self.steps,
            done: self.done,
            undoing: self.undoing,
            word: self.word.as_deref().or(self.ordered.as_deref()),
            next: &self.next,
        };
        let mut lines = vec![footer.line(look)];
        if let (Some(usual), Some(&from)) = (&self.usual, outlook.critical.first()) {
            let path = cut(&format!("critical path: {}", usual.path(from)), look.width.saturating_sub(3)).into_owned();
            lines.push(format!("{} {path}", look.paint(Ink::Busy, "»")));
        }
        lines
    }

    fn outlook(&self, now: Timestamp) -> Outlook {
        let Some(usual) = self.usual.as_ref().filter(|_| self.undoing.is_none()) else { return Outlook::default() };
        let ways: Vec<_> = self.rows.iter().map(|(&ix, row)| (ix, usual.left(ix, between(row.since, now)))).collect();
        let left = ways.iter().map(|&(_, way)| way).max().unwrap_or_default().max(self.queued);
        let critical = ways.iter().filter(|(_, way)| *way + TIE > left).map(|&(ix, _)| ix).collect();
        Outlook { left, critical }
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
    use unicode_width::UnicodeWidthStr as _;
    use wf_engine::model::workflow::Workflow;

    /// Shows a tale as it is after its first `records` records, `secs` seconds after it began.
    fn shown(tale: &Tale, records: usize, secs: f64, height: usize) -> String {
        let board = board(tale, records, Board::default());
        board.block(at(secs), &LOOK, height).join("\n")
    }

    fn board(tale: &Tale, records: usize, mut board: Board) -> Board {
        let workflow = std::sync::Arc::new(Workflow::parse(FAILOVER).expect("valid"));
        let mut state = RunState::new(workflow, |_| std::time::Duration::from_secs(1));
        for record in &tale.records[..records] {
            state.apply(record).expect("legal");
            board.recorded(record, &state);
        }
        board.progress(&id("scale_app"), "4/6 in \x1b[1mservice", &state);
        board.progress(&id("go"), "waits for an answer", &state);
        board
    }

    #[test]
    fn rows_tell_what_runs_and_the_footer_what_comes() {
        let tale = Tale::approved();
        insta::assert_snapshot!(shown(&tale, tale.records.len() - 2, 20.0, 24), @r"
        ? go                      8s  lapses in 29m 52s · wf approve 000042 go · Promote prod-db-replica…
        ▶ scale_app               8s  4/6 in service
        20s of 15m RTO · 2/6 steps done · next: promote
        ");
        insta::assert_snapshot!(shown(&Tale::completed(), Tale::completed().records.len() - 6, 901.0, 24), @r"
        ▶ promote            14m 31s
        15m 01s, over the RTO of 15m · 4/6 steps done · next: dns
        ");
    }

    #[test]
    fn what_is_usual_tells_what_is_left_and_what_decides_it() {
        let secs = [10, 120, 400, 80, 0, 50];
        let workflow = std::sync::Arc::new(Workflow::parse(FAILOVER).expect("valid"));
        let usual = || Usual::new(std::sync::Arc::clone(&workflow), |ix| Duration::from_secs(secs[ix]));
        let shown = |secs, width| {
            let (tale, mut expecting) = (Tale::completed(), Board::default());
            expecting.usual(usual());
            let until = tale.records.iter().take_while(|record| record.at <= at(secs)).count();
            let block = board(&tale, until, expecting).block(at(secs), &Look { width, ..LOOK }, 24);
            assert!(block.iter().all(|line| line.width() < width), "{block:#?}");
            block.join("\n")
        };
        insta::assert_snapshot!(shown(70.0, 80), @r"
        » ▶ promote                40s / ~6m 40s
          ▶ scale_app              58s / ~1m 20s   4/6 in service
          1m 10s + ≈ 6m 50s of 15m RTO · 3/6 steps done · next: dns
        » critical path: promote → dns
        ");
        insta::assert_snapshot!(shown(20.0, 80), @r"
        » ? go                      8s  lapses in 29m 52s · wf approve 000042 go · Pro…
          ▶ scale_app               8s / ~1m 20s   4/6 in service
          20s + ≈ 9m 30s of 15m RTO · 2/6 steps done · next: promote
        » critical path: go → promote → dns
        ");
        insta::assert_snapshot!(shown(70.0, 160), @r"
        » ▶ promote           RdsPromoteReadReplica        40s / ~6m 40s
          ▶ scale_app         AutoScalingScale             58s / ~1m 20s   4/6 in service
          1m 10s + ≈ 6m 50s of 15m RTO · 3/6 steps done · next: dns
        » critical path: promote → dns
        ");
        for width in [1, 10, 30, 50] {
            let (tale, mut expecting) = (Tale::approved(), Board::default());
            expecting.usual(usual());
            board(&tale, 12, expecting).block(at(20.0), &Look { width, ..LOOK }, 24);
        }
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
        assert_eq!((lines.len(), lines[5].as_str()), (7, "    … and 25 more"));
        assert_eq!(board.block(at(1.0), &LOOK, 2).len(), 4);
    }
}
