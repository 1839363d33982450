//! One line per event: for live runs that are not on a terminal, for what scrolls by on one, and for `wf log`.
//!
//! A line begins with time, sign and step, so that it can be searched; what an event has to say beyond that (causes, a hint, the
//! commands to type) follows on indented lines of its own.

use wf_engine::clock::between;
use wf_engine::model::event::{Event, Fields, Operator, RunHeader, RunOutcome, StepFailure, WorkflowChange};
use wf_engine::model::ids::StepId;
use wf_engine::model::occasion::Only;
use wf_engine::model::order::Order;
use wf_engine::model::record::Record;
use wf_engine::model::run_state::RunState;

use super::{Ink, Look, clean, count, cut, date_and_time, next, pad, short_fields, short_value, span, time_of_day, who, wrapped};

/// The column that step ids are filled up to.
pub const STEP_WIDTH: usize = 18;

/// The least room for words, on a terminal however narrow.
const ROOM_MIN: usize = 30;

/// The most columns of one piece of text: a failure's message, a cause, what a step waits for. `--json` has it whole.
const TEXT_WIDTH_MAX: usize = 4096;

/// The most columns of a reason that repeats failures.
const REASON_WIDTH: usize = 120;

/// What a line says, before it is laid out.
struct Words {
    ink: Ink,
    sign: char,
    text: String,
    more: Vec<String>,
}

impl Words {
    fn more(mut self, more: impl IntoIterator<Item = String>) -> Self {
        self.more.extend(more);
        self
    }
}

/// Writes an event as a line, without its end; `None` when there is nothing to show. `state` is the run's, at the event or later.
pub fn line(record: &Record, state: &RunState, look: &Look) -> Option<String> {
    let words = words(record, state)?;
    let step = record.event.step().map_or("", StepId::as_str);
    Some(laid_out(&time_of_day(record.at), step, &words, look))
}

/// Returns what a line says of an event, and what follows on lines of its own, without colours or signs; `None` when there is nothing to say.
pub fn told(record: &Record, state: &RunState) -> Option<(String, Vec<String>)> {
    words(record, state).map(|words| (words.text, words.more))
}

/// Writes what a step waits for as a line.
pub fn progress_line(at: jiff::Timestamp, step: &StepId, text: &str, look: &Look) -> String {
    laid_out(&time_of_day(at), step.as_str(), &say(Ink::Dim, '…', clean(text)), look)
}

/// Writes a word of the engine itself as a line.
pub fn run_line(at: jiff::Timestamp, text: &str, look: &Look) -> String {
    laid_out(&time_of_day(at), "", &say(Ink::Warn, '!', clean(text)), look)
}

fn laid_out(time: &str, step: &str, words: &Words, look: &Look) -> String {
    let who = if step.is_empty() { pad("run", STEP_WIDTH) } else { pad(step, STEP_WIDTH) };
    let sign = look.sign(words.ink, &words.sign.to_string());
    let ink = if words.ink == Ink::Busy { Ink::Plain } else { words.ink };
    let indent = time.len() + if look.plain { 2 } else { 4 } + STEP_WIDTH + 2;
    // Elsewhere a line stays a line, so that it can be searched.
    let room = if look.tty { look.width.saturating_sub(indent + 1).max(ROOM_MIN) } else { usize::MAX };
    let lead = if look.plain { in_words(words.sign) } else { "" };
    let said = cut(&format!("{lead}{}", words.text), TEXT_WIDTH_MAX).into_owned();
    let text = wrapped(&said, room).into_iter().map(|part| look.paint(ink, part));
    let more: Vec<_> = words.more.iter().map(|more| cut(more, TEXT_WIDTH_MAX)).collect();
    let more = more.iter().flat_map(|more| wrapped(more, room)).map(ToOwned::to_owned);
    let text: Vec<_> = text.chain(more).collect();
    let text = text.join(&format!("\n{}", " ".repeat(indent)));
    format!("{}  {sign}{}  {text}", look.paint(Ink::Dim, time), look.paint(Ink::Bold, &who))
}

/// Says what a sign says that the words behind it do not.
fn in_words(sign: char) -> &'static str {
    match sign {
        '?' => "asks: ",
        '…' => "now: ",
        _ => "",
    }
}

fn say(ink: Ink, sign: char, text: impl Into<String>) -> Words {
    Words { ink, sign, text: text.into(), more: Vec::new() }
}

fn only_checked(state: &RunState, step: &StepId) -> bool {
    let workflow = state.workflow();
    workflow.find(step).is_some_and(|ix| workflow.step(ix).only == Some(Only::Check))
}

/// Says what an event means; every one by name, so that a new one cannot be forgotten.
fn words(record: &Record, state: &RunState) -> Option<Words> {
    Some(match &record.event {
        Event::RunStarted(header) => started(header, state),
        Event::WorkflowText { .. } => return None,
        Event::WorkflowChanged(change) => edited(change),
        Event::StepStarted { attempt: 1, .. } => say(Ink::Busy, '▶', "started"),
        Event::StepStarted { attempt, .. } => say(Ink::Busy, '▶', format!("started, attempt {attempt}")),
        Event::StepObserved { before, satisfied, .. } => observed(before, *satisfied)?,
        Event::PointOfNoReturnPassed { .. } if state.undoes() => {
            say(Ink::Bad, '‼', "POINT OF NO RETURN: this cannot be undone; everything else is put back at the end.")
        }
        Event::PointOfNoReturnPassed { .. } => say(
            Ink::Bad,
            '‼',
            "POINT OF NO RETURN: this cannot be undone. From here on a failure pauses the run instead of rolling it back.",
        ),
        Event::StepApplied { .. } => say(Ink::Dim, '·', "change accepted, waits until it has taken effect"),
        Event::ApprovalRequested { step, message, expires_at } => {
            let question = say(Ink::Warn, '?', clean(message));
            question.more(answers(state, step, format!("answer by {} UTC:", date_and_time(*expires_at))))
        }
        Event::ApprovalDecided { granted: true, by, reason, .. } => say(Ink::Good, '✓', decided("approved", by, reason)),
        Event::ApprovalDecided { granted: false, by, reason, .. } => say(Ink::Bad, '✗', decided("rejected", by, reason)),
        Event::AttemptFailed { attempt, failure, retry_at, .. } => {
            let pause = span(between(record.at, *retry_at));
            let text = format!("attempt {attempt} failed, next one in {pause} at {}: {}", time_of_day(*retry_at), clean(&failure.message));
            say(Ink::Warn, '↻', text).more(why(failure))
        }
        Event::StepSucceeded { step, outputs } => say(Ink::Good, '✓', succeeded(record, step, outputs, state)),
        Event::StepFailed { failure, .. } => say(Ink::Bad, '✗', format!("failed: {}", clean(&failure.message))).more(why(failure)),
        Event::StepUnreachable { failure, .. } => {
            say(Ink::Bad, '✗', format!("unreachable: {}", clean(&failure.message))).more(why(failure))
        }
        // No step of the run: it is only looked at beforehand.
        Event::StepSkipped { step, .. } if only_checked(state, step) => return None,
        Event::StepSkipped { reason, .. } => say(Ink::Dim, '-', format!("skipped: {}", clean(reason))),
        Event::StepInterrupted { .. } => say(Ink::Warn, '!', "interrupted before its result was known"),
        Event::StepRedone { by, .. } => say(Ink::Warn, '!', format!("may run again, says {}", who(by))),
        Event::StepMarkedDone { outputs, by, reason, .. } => {
            say(Ink::Warn, '✓', format!("done{}, says {}{}", with_outputs(outputs), who(by), because(reason)))
        }
        Event::Ordered { order, by, reason } => {
            say(Ink::Warn, '!', format!("{}, ordered by {}{}", order_words(order), who(by), because(reason)))
        }
        Event::RunPaused { reason } => say(Ink::Warn, '‖', format!("paused: {}", brief(reason))),
        Event::RunInterrupted { reason } => say(Ink::Warn, '!', format!("interrupted: {}; it can be resumed", clean(reason))),
        Event::RunResumed { by } => {
            say(Ink::Busy, '▶', format!("resumed by {}, owner {} of this run", who(by), record.epoch)).more(as_whom(by))
        }
        Event::RollbackStarted { reason, by } => say(Ink::Warn, '◀', rollback(reason, by.as_ref())),
        Event::CompensationStarted { attempt: 1, .. } => say(Ink::Busy, '◀', "undoing"),
        Event::CompensationStarted { attempt, .. } => say(Ink::Busy, '◀', format!("undoing, attempt {attempt}")),
        Event::CompensationAttemptFailed { attempt, failure, retry_at, .. } => {
            let pause = span(between(record.at, *retry_at));
            let text = format!(
                "undoing failed, attempt {attempt}, next one in {pause} at {}: {}",
                time_of_day(*retry_at),
                clean(&failure.message)
            );
            say(Ink::Warn, '↻', text).more(why(failure))
        }
        Event::StepCompensated { step } => say(Ink::Good, '✓', format!("undone{}", took(undo_time(record, step, state)))),
        Event::CompensationFailed { failure, .. } => {
            say(Ink::Bad, '✗', format!("cannot be undone: {}", clean(&failure.message))).more(why(failure))
        }
        Event::RunFinished { outcome } => finished(record, *outcome, state),
    })
}

/// Says whom the world takes an operator for.
pub fn as_whom(by: &Operator) -> Option<String> {
    by.identity.as_ref().map(|identity| format!("as {}", clean(&identity.arn)))
}

fn started(header: &RunHeader, state: &RunState) -> Words {
    let (run, steps) = (&header.run, count(state.workflow().len(), "step"));
    let where_ = if header.world == "sim" { "on the simulated AWS" } else { "on AWS" };
    let text = format!("{run} started by {}: {}, {}, {steps}, {where_}", who(&header.by), clean(&header.workflow), header.mode);
    let follows = header.follows.as_ref().map(|run| format!("follows run {run}"));
    let identity = as_whom(&header.by);
    let declared = &state.workflow().def().inputs;
    let given = header.inputs.iter().filter(|(name, value)| declared.get(*name).and_then(|input| input.default.as_ref()) != Some(value));
    let given: Vec<_> = given.map(|(name, value)| format!("{}={}", clean(name), short_value(value))).collect();
    let given = (!given.is_empty()).then(|| format!("with {}", given.join(", ")));
    let approved = header.approve_all.then(|| "approvals given in advance (--yes)".to_owned());
    say(Ink::Busy, '▶', text)
        .more(identity.into_iter().chain(follows).chain(given).chain(approved).chain(crate::split_brain::taken(&header.unfenced)))
}

fn edited(change: &WorkflowChange) -> Words {
    let hash = change.workflow_hash.get(..12).unwrap_or_default();
    let text = format!("edited workflow adopted by {}: {}", who(&change.by), clean(&change.summary));
    say(Ink::Warn, '!', text).more([format!("from {}, SHA-256 {hash}…", clean(&change.file))])
}

fn observed(before: &serde_json::Value, satisfied: bool) -> Option<Words> {
    let was = before.as_object().map(short_fields).filter(|was| !was.is_empty());
    match (satisfied, was) {
        // A kind that only looks has nothing to say here.
        (true, None) => None,
        (true, Some(was)) => Some(say(Ink::Dim, '·', format!("nothing to change: {was}"))),
        (false, None) => Some(say(Ink::Dim, '·', "about to change the world")),
        (false, Some(was)) => Some(say(Ink::Dim, '·', format!("about to change; before: {was}"))),
    }
}

fn answers(state: &RunState, step: &StepId, until: String) -> Vec<String> {
    let Some(header) = state.header() else { return vec![until] };
    let commands = next::answers(&header.run, step).map(|next| next.command);
    [until].into_iter().chain(commands).collect()
}

fn decided(verb: &str, by: &Operator, reason: &str) -> String {
    format!("{verb} by {}{}", who(by), because(reason))
}

fn because(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(": {}", clean(reason)) }
}

/// Says what was ordered.
pub fn order_words(order: &Order) -> String {
    match order {
        Order::Approve { .. } => "approved".to_owned(),
        Order::Reject { .. } => "rejected".to_owned(),
        Order::Pause => "paused: starts nothing more".to_owned(),
        Order::Resume => "goes on".to_owned(),
        Order::Cancel { rollback: true, .. } => "cancelled: leaves what is under way, and undoes everything".to_owned(),
        Order::Cancel { rollback: false, .. } => "cancelled: leaves what is under way, and undoes nothing".to_owned(),
        Order::Retry { .. } => "tried again now".to_owned(),
        Order::Skip { .. } => "to be left out".to_owned(),
        Order::MarkDone { outputs, .. } => format!("to be taken for done{}", with_outputs(outputs)),
        Order::Escalate => "unplanned from now on".to_owned(),
        Order::Adjust { timeout, attempts, .. } => {
            let timeout = timeout.map(|timeout| format!("timeout {timeout}"));
            let attempts = attempts.map(|attempts| count(usize::try_from(attempts).unwrap_or(usize::MAX), "attempt"));
            format!("now has {}", timeout.into_iter().chain(attempts).collect::<Vec<_>>().join(", "))
        }
    }
}

fn succeeded(record: &Record, step: &StepId, outputs: &Fields, state: &RunState) -> String {
    let started_at = state.workflow().find(step).and_then(|ix| state.step(ix).started_at);
    let time = started_at.map(|start| span(between(start, record.at)));
    format!("succeeded{}{}", took(time), with_outputs(outputs))
}

fn undo_time(record: &Record, step: &StepId, state: &RunState) -> Option<String> {
    let started_at = state.workflow().find(step).and_then(|ix| state.step(ix).undo.started_at);
    started_at.map(|start| span(between(start, record.at)))
}

fn took(time: Option<String>) -> String {
    time.map(|time| format!(" in {time}")).unwrap_or_default()
}

fn with_outputs(outputs: &Fields) -> String {
    if outputs.is_empty() { String::new() } else { format!(": {}", short_fields(outputs)) }
}

/// Writes causes and hint of a failure, a line each.
pub fn why(failure: &StepFailure) -> Vec<String> {
    let causes = failure.causes.iter().map(|cause| format!("because: {}", clean(cause)));
    causes.chain(failure.hint.iter().map(|hint| format!("hint: {}", clean(hint)))).collect()
}

fn rollback(reason: &str, by: Option<&Operator>) -> String {
    let asked = by.map(|by| format!(", asked for by {}", who(by))).unwrap_or_default();
    let reason = brief(reason);
    if reason.is_empty() { format!("rolling back{asked}") } else { format!("rolling back{asked}: {reason}") }
}

/// Shortens a reason that mostly repeats failures which have just been told in full.
fn brief(reason: &str) -> String {
    cut(&clean(reason), REASON_WIDTH).into_owned()
}

fn finished(record: &Record, outcome: RunOutcome, state: &RunState) -> Words {
    let time = state.started_at().map(|start| span(between(start, record.at)));
    let time = time.map(|time| format!(" after {time}")).unwrap_or_default();
    match outcome {
        RunOutcome::Completed => say(Ink::Good, '✓', format!("completed{time}")),
        RunOutcome::CompletedWithExceptions => say(Ink::Warn, '✓', format!("completed with exceptions{time}")),
        RunOutcome::RolledBack => say(Ink::Warn, '◀', format!("rolled back{time}")),
        RunOutcome::Stuck => say(Ink::Bad, '✗', format!("stuck{time}: a step could not be undone, the world is between two states")),
        RunOutcome::Abandoned => say(Ink::Bad, '✗', format!("abandoned{time}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::render::tale::{LOOK, Tale, at, header, id, operator, outputs};

    /// One of each, in the order of the enum; the match in [`words`] makes sure that no new one is forgotten there.
    fn every_event() -> Vec<Event> {
        let failure = || StepFailure::transient("Throttling: Rate \x1b[31mexceeded").because("HTTP 400").hint("wait, or raise the limit");
        let step = |name| id(name);
        let ordered = |order, reason: &str| Event::Ordered { order, by: operator(), reason: reason.into() };
        vec![
            Event::RunStarted(Box::new(RunHeader { approve_all: true, follows: Some(header().run), ..header() })),
            Event::WorkflowText { part: 0, text: "Workflow(…)".into() },
            Event::WorkflowChanged(Box::new(WorkflowChange {
                workflow_hash: "0123456789abcdef".repeat(4),
                text_parts: 1,
                file: "workflows/failover.ron".into(),
                inputs: header().inputs,
                summary: "changed, not started: promote".into(),
                by: operator(),
            })),
            Event::StepStarted { step: step("fence"), attempt: 1 },
            Event::StepStarted { step: step("fence"), attempt: 2 },
            Event::StepObserved { step: step("fence"), before: json!({"min": 4, "desired": 6, "max": 12, "tag": null}), satisfied: false },
            Event::StepObserved { step: step("fence"), before: json!({"min": 0}), satisfied: true },
            Event::StepObserved { step: step("fence"), before: Value::Null, satisfied: true },
            Event::PointOfNoReturnPassed { step: step("promote") },
            Event::StepApplied { step: step("promote"), handle: json!("update-1") },
            Event::ApprovalRequested {
                step: step("go"),
                message: "Promote prod-db-replica-west?\nThis cannot be undone.".into(),
                expires_at: at(1800.0),
            },
            Event::ApprovalDecided { step: step("go"), granted: true, by: operator(), reason: "lag is 2 s".into() },
            Event::ApprovalDecided { step: step("go"), granted: false, by: operator(), reason: String::new() },
            Event::AttemptFailed { step: step("fence"), attempt: 1, failure: failure(), retry_at: at(4.2) },
            Event::StepSucceeded {
                step: step("promote"),
                outputs: outputs(json!({"endpoint": "db.example", "port": 5432, "a": "x".repeat(99), "b": true, "c": 1})),
            },
            Event::StepFailed { step: step("fence"), failure: failure() },
            Event::StepUnreachable { step: step("fence"), failure: failure() },
            Event::StepSkipped { step: step("old_dns"), reason: "only part of planned runs".into() },
            Event::StepInterrupted { step: step("fence") },
            Event::StepRedone { step: step("fence"), by: operator() },
            Event::StepMarkedDone {
                step: step("fence"),
                outputs: outputs(json!({"in_service": 0})),
                by: operator(),
                reason: "scaled by hand".into(),
            },
            ordered(Order::Pause, "lag grows"),
            ordered(Order::Resume, ""),
            ordered(Order::Cancel { rollback: true, past_point_of_no_return: false }, "the primary is back"),
            ordered(Order::Cancel { rollback: false, past_point_of_no_return: false }, "by hand from here"),
            ordered(Order::Retry { step: step("fence") }, ""),
            ordered(Order::Skip { step: step("fence") }, "the region is gone"),
            ordered(Order::MarkDone { step: step("fence"), outputs: outputs(json!({"in_service": 0})) }, "by hand"),
            ordered(Order::Escalate, "the primary does not answer"),
            ordered(Order::Adjust { step: step("fence"), timeout: "40m".parse().ok(), attempts: Some(9) }, ""),
            Event::RunPaused { reason: "dns: AccessDenied".into() },
            Event::RunInterrupted { reason: "Ctrl-C".into() },
            Event::RunResumed { by: operator() },
            Event::RollbackStarted { reason: "fence: Throttling".into(), by: None },
            Event::RollbackStarted { reason: String::new(), by: Some(operator()) },
            Event::CompensationStarted { step: step("fence"), attempt: 1 },
            Event::CompensationStarted { step: step("fence"), attempt: 2 },
            Event::CompensationAttemptFailed { step: step("fence"), attempt: 1, failure: failure(), retry_at: at(9.0) },
            Event::StepCompensated { step: step("fence") },
            Event::CompensationFailed { step: step("fence"), failure: failure() },
            Event::RunFinished { outcome: RunOutcome::Completed },
            Event::RunFinished { outcome: RunOutcome::CompletedWithExceptions },
            Event::RunFinished { outcome: RunOutcome::RolledBack },
            Event::RunFinished { outcome: RunOutcome::Stuck },
            Event::RunFinished { outcome: RunOutcome::Abandoned },
        ]
    }

    #[test]
    fn every_event_reads_well() {
        let state = Tale::rolled_back().replayed().state;
        let record = |event| Record { v: 1, seq: 7, at: at(0.0), epoch: 2, prev_hash: String::new(), event };
        let lines: Vec<_> = every_event().into_iter().filter_map(|event| line(&record(event), &state, &LOOK)).collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
        02:59:00  ▶ run                 01HZXW3V9K0000000000000042 started by ops@bastion: failover, unplanned, 6 steps, on the simulated AWS
                                        follows run 01HZXW3V9K0000000000000042
                                        with dr_region=eu-west-1
                                        approvals given in advance (--yes)
        02:59:00  ! run                 edited workflow adopted by ops@bastion: changed, not started: promote
                                        from workflows/failover.ron, SHA-256 0123456789ab…
        02:59:00  ▶ fence               started
        02:59:00  ▶ fence               started, attempt 2
        02:59:00  · fence               about to change; before: desired=6, max=12, min=4
        02:59:00  · fence               nothing to change: min=0
        02:59:00  ‼ promote             POINT OF NO RETURN: this cannot be undone. From here on a failure pauses the run instead of rolling it back.
        02:59:00  · promote             change accepted, waits until it has taken effect
        02:59:00  ? go                  Promote prod-db-replica-west? This cannot be undone.
                                        answer by 2026-03-01 03:29:00 UTC:
                                        wf approve 01HZXW3V9K0000000000000042 go
                                        wf reject 01HZXW3V9K0000000000000042 go
        02:59:00  ✓ go                  approved by ops@bastion: lag is 2 s
        02:59:00  ✗ go                  rejected by ops@bastion
        02:59:00  ↻ fence               attempt 1 failed, next one in 4.2s at 02:59:04: Throttling: Rate exceeded
                                        because: HTTP 400
                                        hint: wait, or raise the limit
        02:59:00  ✓ promote             succeeded: b=true, c=1, endpoint=db.example, port=5432
        02:59:00  ✗ fence               failed: Throttling: Rate exceeded
                                        because: HTTP 400
                                        hint: wait, or raise the limit
        02:59:00  ✗ fence               unreachable: Throttling: Rate exceeded
                                        because: HTTP 400
                                        hint: wait, or raise the limit
        02:59:00  - old_dns             skipped: only part of planned runs
        02:59:00  ! fence               interrupted before its result was known
        02:59:00  ! fence               may run again, says ops@bastion
        02:59:00  ✓ fence               done: in_service=0, says ops@bastion: scaled by hand
        02:59:00  ! run                 paused: starts nothing more, ordered by ops@bastion: lag grows
        02:59:00  ! run                 goes on, ordered by ops@bastion
        02:59:00  ! run                 cancelled: leaves what is under way, and undoes everything, ordered by ops@bastion: the primary is back
        02:59:00  ! run                 cancelled: leaves what is under way, and undoes nothing, ordered by ops@bastion: by hand from here
        02:59:00  ! fence               tried again now, ordered by ops@bastion
        02:59:00  ! fence               to be left out, ordered by ops@bastion: the region is gone
        02:59:00  ! fence               to be taken for done: in_service=0, ordered by ops@bastion: by hand
        02:59:00  ! run                 unplanned from now on, ordered by ops@bastion: the primary does not answer
        02:59:00  ! fence               now has timeout 40m, 9 attempts, ordered by ops@bastion
        02:59:00  ‖ run                 paused: dns: AccessDenied
        02:59:00  ! run                 interrupted: Ctrl-C; it can be resumed
        02:59:00  ▶ run                 resumed by ops@bastion, owner 2 of this run
        02:59:00  ◀ run                 rolling back: fence: Throttling
        02:59:00  ◀ run                 rolling back, asked for by ops@bastion
        02:59:00  ◀ fence               undoing
        02:59:00  ◀ fence               undoing, attempt 2
        02:59:00  ↻ fence               undoing failed, attempt 1, next one in 9s at 02:59:09: Throttling: Rate exceeded
                                        because: HTTP 400
                                        hint: wait, or raise the limit
        02:59:00  ✓ fence               undone in 0s
        02:59:00  ✗ fence               cannot be undone: Throttling: Rate exceeded
                                        because: HTTP 400
                                        hint: wait, or raise the limit
        02:59:00  ✓ run                 completed after 0s
        02:59:00  ✓ run                 completed with exceptions after 0s
        02:59:00  ◀ run                 rolled back after 0s
        02:59:00  ✗ run                 stuck after 0s: a step could not be undone, the world is between two states
        02:59:00  ✗ run                 abandoned after 0s
        "#);
    }

    #[test]
    fn lines_have_an_end() {
        let line = progress_line(at(0.0), &id("fence"), &"x".repeat(3_000_000), &LOOK);
        assert!(line.len() < 2 * TEXT_WIDTH_MAX && line.ends_with('…'), "{} bytes", line.len());
    }

    #[test]
    fn colours_do_not_change_the_words() {
        let tale = Tale::completed();
        let state = tale.replayed().state;
        for record in &tale.records {
            let colored = line(record, &state, &Look { color: true, ..LOOK });
            assert_eq!(colored.map(|line| clean(&line).into_owned()), line(record, &state, &LOOK).map(|line| clean(&line).into_owned()));
        }
    }
}
