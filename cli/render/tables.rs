//! Runs in a list, one run's status, and what the neighbours [`super::kinds`] and [`super::graph`] write.

use jiff::Timestamp;
use serde::Serialize;
use wf_engine::clock::between;
use wf_engine::model::event::RunOutcome;
use wf_engine::model::record::Record;
use wf_engine::model::run_state::{RunPhase, StepStatus, is_active};
use wf_engine::model::workflow::StepIx;
use wf_engine::runtime::Replayed;

pub use super::graph::{graph_dot, graph_mermaid};
pub use super::kinds::{kind_text, kinds_table};

use super::lines::as_whom;
use super::next::{self, Undoing, commands_text};
use super::timeline::Timeline;
use super::{Ink, Look, clean, count, cut, date_and_time, pad, pad_left, state_word, time_of_day, who, whole_span};

/// How many steps of one group a status shows.
const GROUP_MAX: usize = 40;

/// A run in a list.
#[derive(Debug, Clone, Serialize)]
pub struct ListRow {
    /// Its id.
    pub run: String,
    /// The workflow's name; empty when the run cannot be read.
    pub workflow: String,
    /// Where it is, in a word, or why it cannot be read.
    pub state: String,
    /// When it was started.
    pub started: Option<Timestamp>,
    /// For how many seconds it went on, or has gone on.
    pub duration: Option<f64>,
    /// How many steps are done.
    pub steps_done: usize,
    /// How many there are.
    pub steps_total: usize,
    /// The run that it follows.
    pub follows: Option<String>,
}

impl ListRow {
    /// Describes a run whose journal cannot be used.
    pub fn unreadable(run: String, reason: &str) -> Self {
        let state = format!("unreadable: {reason}");
        Self { run, workflow: String::new(), state, started: None, duration: None, steps_done: 0, steps_total: 0, follows: None }
    }
}

/// Writes runs as a table, in the order given.
pub fn list_table(rows: &[ListRow], look: &Look) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let cells: Vec<[String; 7]> = rows.iter().map(list_cells).collect();
    let titles = ["RUN", "WORKFLOW", "STARTED (UTC)", "TIME", "STEPS", "FOLLOWS", "STATE"];
    let width = |column: usize| cells.iter().map(|row| row[column].chars().count()).chain([titles[column].len()]).max().unwrap_or(0);
    let widths: Vec<usize> = (0..titles.len()).map(width).collect();
    let line = |cells: &[&str]| {
        let padded = cells.iter().zip(&widths).map(|(cell, &width)| pad(cell, width)).collect::<Vec<_>>();
        padded.join("  ").trim_end().to_owned()
    };
    let mut text = format!("{}\n", look.paint(Ink::Dim, &line(&titles)));
    for (row, cells) in rows.iter().zip(&cells) {
        let (state, rest) = (&cells[6], cells.iter().take(6).map(String::as_str).collect::<Vec<_>>());
        let before = pad(&line(&rest), widths.iter().take(6).map(|width| width + 2).sum());
        text.push_str(&format!("{before}{}\n", look.paint(list_ink(&row.state), state)));
    }
    text
}

fn list_cells(row: &ListRow) -> [String; 7] {
    let duration = row.duration.and_then(|secs| std::time::Duration::try_from_secs_f64(secs).ok());
    let steps = if row.steps_total == 0 { String::new() } else { format!("{}/{}", row.steps_done, row.steps_total) };
    // The end of an id tells runs of one day apart.
    let follows = row.follows.as_ref().map(|run| format!("…{}", &clean(run)[clean(run).len().saturating_sub(6)..]));
    [
        clean(&row.run).into_owned(),
        clean(&row.workflow).into_owned(),
        row.started.map(date_and_time).unwrap_or_default(),
        duration.map(whole_span).unwrap_or_default(),
        steps,
        follows.unwrap_or_default(),
        clean(&row.state).into_owned(),
    ]
}

fn list_ink(state: &str) -> Ink {
    match state {
        "completed" => Ink::Good,
        running if running.starts_with("running") => Ink::Busy,
        "stuck" | "abandoned" => Ink::Bad,
        unreadable if unreadable.starts_with("unreadable") => Ink::Bad,
        _ => Ink::Warn,
    }
}

/// Writes where a run is: its phase, its steps in groups, and what to type next. `live_at` is the run's present time, if a process
/// drives it.
pub fn status_text(replayed: &Replayed, records: &[Record], look: &Look, live_at: Option<Timestamp>) -> String {
    let Replayed { header, workflow, state, .. } = replayed;
    let end = live_at.or(state.last_at()).unwrap_or_default();
    let timeline = Timeline::of(replayed, records, end);
    let (word, ink) = state_word(state, live_at.is_some());
    let elapsed = whole_span(between(timeline.start, end));
    let rto = workflow.def().objectives.rto.map(|rto| format!(" of {rto} RTO")).unwrap_or_default();
    let title = look.paint(Ink::Bold, &format!("{} {}", clean(&header.workflow), header.run));
    let done = workflow.len() - state.left();
    let mut text = format!(
        "{title}: {}\n  {elapsed}{rto}, {done} of {} done, began {} UTC\n",
        look.paint(ink, word),
        count(workflow.len(), "step"),
        date_and_time(timeline.start)
    );
    if let Some(identity) = as_whom(&header.by) {
        text.push_str(&format!("  {}\n", look.paint(Ink::Dim, &identity)));
    }
    if let Some(reason) = state.pause_reason() {
        text.push_str(&format!("  {}\n", look.paint(Ink::Warn, &cut(&clean(reason), look.width.saturating_sub(3)))));
    }
    if let Some(word) = state.held().filter(|_| live_at.is_some()) {
        let reason = if word.reason.is_empty() { String::new() } else { format!(": {}", clean(&word.reason)) };
        text.push_str(&format!("  {}\n", look.paint(Ink::Warn, &format!("paused by {}{reason}", who(&word.by)))));
    }
    for (name, members) in GROUPS {
        let steps: Vec<_> = (0..workflow.len()).map(|ix| (ix, known_status(state.step(ix).status, live_at.is_some()))).collect();
        let steps: Vec<_> = steps.into_iter().filter(|(_, status)| members.contains(status)).collect();
        text.push_str(&group(name, &steps, replayed, &timeline, look));
    }
    let over = matches!(state.phase(), RunPhase::Finished(outcome) if outcome != RunOutcome::Stuck);
    let undo = if over || live_at.is_some() { String::new() } else { Undoing::of(state).text(look) };
    for part in [undo, commands_text(&next::commands(&header.run, state, live_at.is_some()), look)] {
        if !part.is_empty() {
            text.push_str(&format!("\n{part}"));
        }
    }
    text
}

use StepStatus as S;

/// What is under way first, then what needs a look, then what is done, then the rest.
const GROUPS: [(&str, &[StepStatus]); 5] = [
    ("running", &[S::Running, S::Retrying, S::Compensating]),
    ("waiting for an answer", &[S::Waiting]),
    ("failed or interrupted", &[S::Failed, S::Unreachable, S::Interrupted, S::CompensationFailed, S::CompensationInterrupted]),
    ("done", &[S::Succeeded, S::Skipped, S::Compensated]),
    ("not started", &[S::Pending]),
];

/// Returns where a step is, given that nothing runs in a run that nobody drives.
fn known_status(status: StepStatus, live: bool) -> StepStatus {
    match (live || !is_active(status), status == S::Compensating) {
        (true, _) => status,
        (false, true) => S::CompensationInterrupted,
        (false, false) => S::Interrupted,
    }
}

fn group(name: &str, steps: &[(StepIx, StepStatus)], replayed: &Replayed, timeline: &Timeline, look: &Look) -> String {
    if steps.is_empty() {
        return String::new();
    }
    let mut text = format!("\n  {}\n", look.paint(Ink::Bold, &format!("{name} ({})", steps.len())));
    for &(ix, status) in steps.iter().take(GROUP_MAX) {
        text.push_str(&status_line(ix, status, replayed, timeline, look));
    }
    if steps.len() > GROUP_MAX {
        text.push_str(&format!("    … and {}\n", count(steps.len() - GROUP_MAX, "more step")));
    }
    text
}

fn status_line(ix: StepIx, status: StepStatus, replayed: &Replayed, timeline: &Timeline, look: &Look) -> String {
    let Replayed { workflow, state, .. } = replayed;
    let step = state.step(ix);
    let (sign, ink, words) = status_words(status);
    let undoing = matches!(status, S::Compensating | S::CompensationInterrupted | S::Compensated | S::CompensationFailed);
    let lap = if undoing { timeline.undo[ix] } else { timeline.forward[ix] };
    let time = lap.map(|lap| whole_span(timeline.duration(&lap))).unwrap_or_default();
    let mut note = words.to_owned();
    if let (S::Retrying | S::Compensating, Some(retry_at)) = (status, step.retry_at) {
        note.push_str(&format!(", next attempt at {}", time_of_day(retry_at)));
    }
    let failed = matches!(status, S::Retrying | S::Failed | S::Unreachable | S::CompensationFailed) || step.retry_at.is_some();
    if let Some(failure) = step.failure.as_ref().filter(|_| failed) {
        note.push_str(&format!(": {}", clean(&failure.message)));
    }
    if status == S::Pending {
        note = waits_for(ix, replayed);
    }
    let room = look.width.saturating_sub(42).max(40);
    let kind = look.paint(Ink::Dim, &pad(&cut(&clean(&workflow.step(ix).kind.value), 22), 22));
    let line =
        format!("    {}{} {}  {kind} {}", look.sign(ink, sign), pad(workflow.id(ix).as_str(), 18), pad_left(&time, 8), cut(&note, room));
    format!("{}\n", line.trim_end())
}

fn status_words(status: StepStatus) -> (&'static str, Ink, &'static str) {
    match status {
        S::Pending => ("·", Ink::Dim, "not started"),
        S::Waiting => ("?", Ink::Warn, "asks for an answer"),
        S::Running => ("▶", Ink::Busy, "running"),
        S::Retrying => ("↻", Ink::Warn, "will be tried again"),
        S::Interrupted => ("!", Ink::Warn, "interrupted"),
        S::Succeeded => ("✓", Ink::Good, "succeeded"),
        S::Failed => ("✗", Ink::Bad, "failed"),
        S::Skipped => ("-", Ink::Dim, "skipped"),
        S::Unreachable => ("✗", Ink::Bad, "unreachable"),
        S::Compensating => ("◀", Ink::Busy, "undoing"),
        S::CompensationInterrupted => ("!", Ink::Warn, "interrupted while being undone"),
        S::Compensated => ("✓", Ink::Good, "undone"),
        S::CompensationFailed => ("✗", Ink::Bad, "cannot be undone"),
    }
}

fn waits_for(ix: StepIx, replayed: &Replayed) -> String {
    let Replayed { workflow, state, .. } = replayed;
    let open = |&need: &StepIx| !matches!(state.step(need).status, S::Succeeded | S::Skipped);
    let mut needs: Vec<StepIx> = workflow.needs(ix).filter(open).collect();
    needs.sort_unstable();
    if needs.is_empty() { String::new() } else { format!("waits for {}", next::names(state, &needs)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::tale::{LOOK, Tale, at};

    #[test]
    fn runs_are_listed() {
        let row = |state: &str, duration, steps_done| ListRow {
            run: "01HZXW3V9K0000000000000042".into(),
            workflow: "failover".into(),
            state: state.into(),
            started: Some(at(0.0)),
            duration: Some(duration),
            steps_done,
            steps_total: 6,
            follows: None,
        };
        let follows = ListRow { follows: Some("01HZXW3V9K0000000000000042".into()), ..row("paused", 450.0, 4) };
        let rows =
            [row("completed", 500.0, 6), follows, ListRow::unreadable("01HZXW3V9K0000000000000043".into(), "record 7 is \x1b[1mmissing")];
        insta::assert_snapshot!(list_table(&rows, &LOOK), @r"
        RUN                         WORKFLOW  STARTED (UTC)        TIME    STEPS  FOLLOWS  STATE
        01HZXW3V9K0000000000000042  failover  2026-03-01 02:59:00  8m 20s  6/6             completed
        01HZXW3V9K0000000000000042  failover  2026-03-01 02:59:00  7m 30s  4/6    …000042  paused
        01HZXW3V9K0000000000000043                                                         unreadable: record 7 is missing
        ");
        assert_eq!(list_table(&[], &LOOK), "");
    }

    #[test]
    fn a_live_run_shows_what_runs_first() {
        let mut tale = Tale::approved();
        tale.records.truncate(tale.records.len() - 2);
        insta::assert_snapshot!(status_text(&tale.replayed(), &tale.records, &LOOK, Some(at(20.0))), @r"
        failover 01HZXW3V9K0000000000000042: running
          20s of 15m RTO, 2 of 6 steps done, began 2026-03-01 02:59:00 UTC

          running (1)
            ▶ scale_app                8s  AutoScalingScale       running

          waiting for an answer (1)
            ? go                       8s  Approval               asks for an answer

          done (2)
            ✓ fence                   12s  AutoScalingScale       succeeded
            - old_dns                      Route53Failover        skipped

          not started (2)
            · promote                      RdsPromoteReadReplica  waits for go
            · dns                          Route53Failover        waits for promote, scale_app

          Type next:
            wf approve 01HZXW3V9K0000000000000042 go   goes on
            wf reject 01HZXW3V9K0000000000000042 go    fails the step
        ");
    }

    #[test]
    fn a_run_that_nobody_drives_tells_how_to_go_on() {
        let mut tale = Tale::approved();
        tale.records.truncate(tale.records.len() - 2);
        insta::assert_snapshot!(status_text(&tale.replayed(), &tale.records, &LOOK, None), @r"
        failover 01HZXW3V9K0000000000000042: interrupted
          12s of 15m RTO, 2 of 6 steps done, began 2026-03-01 02:59:00 UTC

          failed or interrupted (2)
            ! go                       0s  Approval               interrupted
            ! scale_app                0s  AutoScalingScale       interrupted

          done (2)
            ✓ fence                   12s  AutoScalingScale       succeeded
            - old_dns                      Route53Failover        skipped

          not started (2)
            · promote                      RdsPromoteReadReplica  waits for go
            · dns                          Route53Failover        waits for promote, scale_app

          Can still be undone:
            fence               AutoScalingScale
            scale_app           AutoScalingScale

          Type next:
            wf resume 01HZXW3V9K0000000000000042     carries on where it stopped
            wf rollback 01HZXW3V9K0000000000000042   undoes fence, scale_app
        ");
        let tale = Tale::paused();
        insta::assert_snapshot!(status_text(&tale.replayed(), &tale.records, &LOOK, None), @r"
        failover 01HZXW3V9K0000000000000042: paused
          7m 30s of 15m RTO, 4 of 6 steps done, began 2026-03-01 02:59:00 UTC
          scale_app: scale_app cannot be scaled

          failed or interrupted (1)
            ✗ scale_app            1m 18s  AutoScalingScale       failed: scale_app cannot be scaled

          done (4)
            ✓ fence                   12s  AutoScalingScale       succeeded
            ✓ go                      18s  Approval               succeeded
            ✓ promote              7m 00s  RdsPromoteReadReplica  succeeded
            - old_dns                      Route53Failover        skipped

          not started (1)
            · dns                          Route53Failover        waits for scale_app

          Can still be undone:
            fence               AutoScalingScale
            scale_app           AutoScalingScale
          Cannot be undone:
            promote             RdsPromoteReadReplica

          Type next:
            wf resume 01HZXW3V9K0000000000000042
                tries scale_app again and goes on
            wf resume 01HZXW3V9K0000000000000042 --mark-done scale_app
                if you did scale_app by hand: goes on behind it
            wf rollback 01HZXW3V9K0000000000000042 --past-point-of-no-return
                undoes fence, scale_app; what cannot be undone stays
        ");
    }
}
