//! Library error → report and exit code: the one table. What to type next is in [`crate::hints`]. The only file that knows miette.

use std::fmt::Write as _;

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, Report};
use wf_engine::journal::JournalError;
use wf_engine::model::event::RunOutcome;
use wf_engine::model::problem::{Problem, line_column};
use wf_engine::model::record::RecordError;
use wf_engine::runtime::{RunEnd, RunError};
use wf_sim::SimError;

use crate::console::Console;
use crate::failure::{Failure, count};
use crate::hints::hint;
use crate::render::drill::DrillVerdict;
use crate::render::{Look, clean};

/// How many mistakes of a file are shown; the rest is counted.
const SHOWN_MAX: usize = 50;

/// The most bytes of a file that are shown with one mistake: where lines are longer, its line and column have to do.
const EXCERPT_LEN_MAX: usize = 4096;

/// The exit codes, as `wf --help` lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    Completed = 0,
    Unexpected = 1,
    Usage = 2,
    InvalidWorkflow = 3,
    Refused = 4,
    RolledBack = 10,
    Stuck = 11,
    Paused = 12,
    JournalUnusable = 13,
    /// `wf check --live`: a run would not work, or nobody can tell.
    NotReady = 14,
    /// `wf plan --exit-code`: a run would change something.
    Changes = 20,
    /// `wf drill`: the failover does not work, or missed an objective.
    DrillFailed = 21,
    /// `wf drill`: nothing was proved.
    DrillInconclusive = 22,
    Interrupted = 130,
}

impl From<DrillVerdict> for Exit {
    fn from(verdict: DrillVerdict) -> Self {
        match verdict {
            DrillVerdict::Pass => Self::Completed,
            DrillVerdict::Fail => Self::DrillFailed,
            DrillVerdict::Inconclusive => Self::DrillInconclusive,
        }
    }
}

impl From<&RunEnd> for Exit {
    fn from(end: &RunEnd) -> Self {
        match end {
            RunEnd::Finished(RunOutcome::Completed | RunOutcome::CompletedWithExceptions) => Self::Completed,
            RunEnd::Finished(RunOutcome::RolledBack) => Self::RolledBack,
            RunEnd::Finished(RunOutcome::Stuck | RunOutcome::Abandoned) => Self::Stuck,
            RunEnd::Paused { .. } => Self::Paused,
            RunEnd::Interrupted { .. } => Self::Interrupted,
        }
    }
}

impl From<&Failure> for Exit {
    fn from(failure: &Failure) -> Self {
        match failure {
            Failure::Usage { .. } | Failure::Unreadable { .. } => Self::Usage,
            Failure::Refused { .. } => Self::Refused,
            Failure::Invalid { .. } => Self::InvalidWorkflow,
            Failure::Run { source, .. } => source.into(),
            Failure::Journal(error) => error.into(),
            Failure::State(_) | Failure::Files { .. } => Self::JournalUnusable,
            Failure::Sim(error) => error.into(),
            Failure::Output(_) | Failure::System { .. } => Self::Unexpected,
        }
    }
}

impl From<&RunError> for Exit {
    fn from(error: &RunError) -> Self {
        match error {
            RunError::Journal(error) => error.into(),
            RunError::Record(_) | RunError::Illegal(_) | RunError::NotARun { .. } => Self::JournalUnusable,
            RunError::Workflow { .. } => Self::InvalidWorkflow,
            RunError::Stalled { .. } => Self::Unexpected,
            RunError::Refused(_) => Self::Refused,
        }
    }
}

impl From<&JournalError> for Exit {
    fn from(error: &JournalError) -> Self {
        match error {
            JournalError::NoSuchRun { .. } => Self::Usage,
            JournalError::Locked { .. } => Self::Refused,
            JournalError::Fenced { .. } | JournalError::Damaged { .. } | JournalError::Storage { .. } | JournalError::Poisoned { .. } => {
                Self::JournalUnusable
            }
        }
    }
}

impl From<&SimError> for Exit {
    fn from(error: &SimError) -> Self {
        match error {
            SimError::Locked { .. } => Self::Refused,
            SimError::Missing { .. } | SimError::World(_) => Self::Usage,
            // `SimError` may grow: what is not known to be the operator's doing is unexpected.
            _ => Self::Unexpected,
        }
    }
}

/// Shows why a verb failed, and returns the exit code.
pub fn report(failure: &Failure, console: &mut Console) -> Exit {
    match failure {
        // Whoever read the output has seen enough.
        Failure::Output(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Exit::Completed,
        Failure::Invalid { path, text, problems } => {
            let name = path.display().to_string();
            let name = clean(&name);
            let shown = problems_shown(&name, text, problems, console.err_look());
            console.say(&format!("{shown}{name}: {}", count(problems.len())));
        }
        Failure::Run { run, source: RunError::Workflow { problems, text } } => {
            let shown = problems_shown(&format!("workflow of run {run}"), text, problems, console.err_look());
            console.say(&format!(
                "{shown}the workflow that run {run} stored is not understood by this wf: resume it with the wf that started it"
            ));
        }
        failure => {
            let shown = Shown { message: clean_lines(&message(failure)), help: hint(failure).map(|help| clean_lines(&help)), label: None };
            console.say(shown.text(None, console.err_look()).trim_end());
        }
    }
    failure.into()
}

/// Makes a text of our own that repeats foreign words safe to show; its lines stay lines.
fn clean_lines(text: &str) -> String {
    text.lines().map(clean).collect::<Vec<_>>().join("\n")
}

/// Renders the mistakes of a file, each with its excerpt.
fn problems_shown(name: &str, text: &str, problems: &[Problem], look: &Look) -> String {
    let mut shown = String::new();
    let harmless = harmless(text);
    for problem in problems.iter().take(SHOWN_MAX) {
        let (line, column) = line_column(text, problem.at.start);
        let label = problem.at.start.min(text.len())..problem.at.end.min(text.len());
        let message = format!("{name}:{line}:{column}: {}", clean(&problem.message));
        let one = Shown { message, help: problem.help.as_deref().map(|help| clean(help).into_owned()), label: Some(label) };
        let source = excerpt_len(text, problem.at.start) <= EXCERPT_LEN_MAX;
        shown.push_str(&one.text(source.then_some((name, &harmless)), look));
        shown.push('\n');
    }
    if problems.len() > SHOWN_MAX {
        let _ = writeln!(shown, "… and {} more", count(problems.len() - SHOWN_MAX));
    }
    shown
}

/// Returns how long the line of a place is, with the lines around it.
fn excerpt_len(text: &str, at: usize) -> usize {
    let (before, after) = text.as_bytes().split_at(at.min(text.len()));
    let is_end = |byte: &u8| *byte == b'\n';
    let back: usize = before.rsplit(is_end).take(2).map(|line| line.len() + 1).sum();
    let ahead: usize = after.split(is_end).take(2).map(|line| line.len() + 1).sum();
    back + ahead
}

/// Replaces what could steer the terminal, byte for byte, so that places stay right.
fn harmless(text: &str) -> String {
    let misleading =
        |c: char| (c.is_control() && !matches!(c, '\n' | '\t' | '\r')) || (!c.is_ascii() && clean(c.encode_utf8(&mut [0; 4])).is_empty());
    text.chars().flat_map(|c| if misleading(c) { vec!['?'; c.len_utf8()] } else { vec![c] }).collect()
}

/// One thing to show.
#[derive(Debug)]
struct Shown {
    message: String,
    help: Option<String>,
    /// Where in the source.
    label: Option<std::ops::Range<usize>>,
}

impl Shown {
    fn text(self, source: Option<(&str, &str)>, look: &Look) -> String {
        let theme = if look.color { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        let width = if look.width < 40 { 100 } else { look.width };
        let handler = GraphicalReportHandler::new_themed(theme).with_width(width).with_context_lines(1);
        let report = match source {
            Some((name, text)) => Report::new(self).with_source_code(NamedSource::new(name, text.to_owned())),
            None => Report::new(self),
        };
        let mut out = String::new();
        match handler.render_report(&mut out, report.as_ref()) {
            Ok(()) => out,
            Err(_) => format!("{report}\n"),
        }
    }
}

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Shown {}

impl Diagnostic for Shown {
    fn help<'a>(&'a self) -> Option<Box<dyn std::fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn std::fmt::Display>)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let at = self.label.as_ref()?;
        Some(Box::new(std::iter::once(LabeledSpan::new(None, at.start, at.len()))))
    }
}

/// Says what happened and why, each cause once.
fn message(failure: &Failure) -> String {
    let mut message = match failure {
        Failure::Journal(error) | Failure::Run { source: RunError::Journal(error), .. } => journal_message(error),
        failure => failure.to_string(),
    };
    let mut cause = std::error::Error::source(failure);
    while let Some(error) = cause {
        let text = error.to_string();
        if !message.contains(&text) {
            let _ = write!(message, ": {text}");
        }
        cause = error.source();
    }
    message
}

/// A journal of a newer wf is refused in the same way as a damaged one, and is none.
fn journal_message(error: &JournalError) -> String {
    match error {
        JournalError::Damaged { run, source: RecordError::Newer { .. } } => format!("the journal of run {run} was written by a newer wf"),
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use wf_engine::model::ids::RunId;

    use super::*;

    #[test]
    fn excerpts_cannot_steer_the_terminal() {
        let text = "a\u{1b}[31m\u{9b}b\u{202e}é\n";
        assert_eq!(harmless(text), "a?[31m??b???é\n");
        assert_eq!(harmless(text).len(), text.len());
    }

    #[test]
    fn exit_codes_are_those_of_the_help() {
        let run = RunId::new(0, 0);
        let locked = || JournalError::Locked { run: run.clone(), holder: "process 1".to_owned(), pid: Some(1) };
        let cases = [
            (Exit::from(&RunEnd::Finished(RunOutcome::Completed)), 0),
            (Exit::from(&RunEnd::Finished(RunOutcome::CompletedWithExceptions)), 0),
            (Exit::from(&RunEnd::Finished(RunOutcome::RolledBack)), 10),
            (Exit::from(&RunEnd::Finished(RunOutcome::Stuck)), 11),
            (Exit::from(&RunEnd::Paused { reason: String::new() }), 12),
            (Exit::from(&RunEnd::Interrupted { reason: String::new() }), 130),
            (Exit::from(&Failure::usage("")), 2),
            (Exit::from(&Failure::refused("")), 4),
            (Exit::from(&Failure::from(locked())), 4),
            (Exit::from(&Failure::Run { run: run.clone(), source: locked().into() }), 4),
            (Exit::from(&Failure::from(JournalError::Poisoned { run: run.clone() })), 13),
            (Exit::from(&Failure::from(JournalError::NoSuchRun { run })), 2),
        ];
        for (exit, code) in cases {
            assert_eq!(exit as u8, code, "{exit:?}");
        }
    }
}
