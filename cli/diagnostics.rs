//! Library error → report, hint and exit code: the one table. The only file that knows miette.

use std::fmt::Write as _;

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, Report};
use wf_engine::journal::JournalError;
use wf_engine::model::event::RunOutcome;
use wf_engine::model::ids::RunId;
use wf_engine::model::problem::{Problem, line_column};
use wf_engine::runtime::{Refusal, RunEnd, RunError};
use wf_sim::SimError;

use crate::console::Console;
use crate::failure::{Failure, count};
use crate::render::{Look, clean};

/// How many mistakes of a file are shown; the rest is counted.
const SHOWN_MAX: usize = 50;

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
    Interrupted = 130,
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
            Failure::Run { source, .. } => match source {
                RunError::Journal(error) => error.into(),
                RunError::Record(_) | RunError::Illegal(_) | RunError::NotARun { .. } => Self::JournalUnusable,
                RunError::Workflow { .. } => Self::InvalidWorkflow,
                RunError::Stalled { .. } => Self::Unexpected,
                RunError::Refused(_) => Self::Refused,
            },
            Failure::Journal(error) => error.into(),
            Failure::State(_) | Failure::Files { .. } => Self::JournalUnusable,
            Failure::Sim(error) => error.into(),
            Failure::Output(_) | Failure::System { .. } => Self::Unexpected,
        }
    }
}

impl From<&JournalError> for Exit {
    fn from(error: &JournalError) -> Self {
        match error {
            JournalError::NoSuchRun { .. } => Self::Usage,
            JournalError::Locked { .. } => Self::Refused,
            JournalError::Fenced { .. } | JournalError::Damaged { .. } | JournalError::Storage { .. } | JournalError::Poisoned { .. } => Self::JournalUnusable,
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
            let shown = problems_shown(&path.display().to_string(), text, problems, console.err_look());
            console.say(&format!("{shown}{}: {}", path.display(), count(problems.len())));
        }
        Failure::Run { run, source: RunError::Workflow { problems, text } } => {
            let shown = problems_shown(&format!("workflow of run {run}"), text, problems, console.err_look());
            console.say(&format!("{shown}the workflow that run {run} stored is not understood by this wf: resume it with the wf that started it"));
        }
        failure => {
            let shown = Shown { message: message(failure), help: hint(failure), label: None };
            console.say(shown.text(None, console.err_look()).trim_end());
        }
    }
    failure.into()
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
        shown.push_str(&one.text(Some((name, &harmless)), look));
        shown.push('\n');
    }
    if problems.len() > SHOWN_MAX {
        let _ = writeln!(shown, "… and {} more", count(problems.len() - SHOWN_MAX));
    }
    shown
}

/// Replaces what could steer the terminal, byte for byte, so that places stay right.
fn harmless(text: &str) -> String {
    let misleading = |c: char| (c.is_control() && !matches!(c, '\n' | '\t' | '\r')) || (!c.is_ascii() && clean(c.encode_utf8(&mut [0; 4])).is_empty());
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
    let mut message = failure.to_string();
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

/// Says what to type next.
fn hint(failure: &Failure) -> Option<String> {
    match failure {
        Failure::Usage { help, .. } | Failure::Refused { help, .. } => help.clone(),
        Failure::Invalid { .. } | Failure::Output(_) | Failure::System { .. } => None,
        Failure::Unreadable { .. } => Some("give the path of a file that you can read".to_owned()),
        Failure::Run { run, source } => run_hint(run, source),
        Failure::Journal(error) => journal_hint(error),
        Failure::State(_) => Some("name another directory with --state-dir or WF_STATE_DIR".to_owned()),
        Failure::Files { .. } => Some("check the directory's owner and free space; --state-dir names another one".to_owned()),
        Failure::Sim(error) => sim_hint(error),
    }
}

fn run_hint(run: &RunId, error: &RunError) -> Option<String> {
    match error {
        RunError::Journal(error) => journal_hint(error),
        RunError::Record(_) => Some(format!("nothing was done that is not on record; `wf resume {run}` carries the run on")),
        RunError::Illegal(_) => Some(format!("`wf journal verify {run}` tells whether the journal was altered")),
        RunError::NotARun { .. } => Some("start a new run; this one can be left where it is".to_owned()),
        RunError::Workflow { .. } => None,
        RunError::Stalled { .. } => Some(format!("please report this, with the output of `wf log {run} --json`")),
        RunError::Refused(refusal) => refusal_hint(run, refusal),
    }
}

fn refusal_hint(run: &RunId, refusal: &Refusal) -> Option<String> {
    match refusal {
        Refusal::NoSuchStep { .. } | Refusal::NotWaiting { .. } | Refusal::NotUndecided { .. } => Some(format!("`wf status {run}` shows every step")),
        Refusal::Finished { .. } => Some(format!("`wf log {run}` shows what it did; `wf run` starts a new run")),
        Refusal::PastPointOfNoReturn { .. } => Some(format!("wf rollback {run} --past-point-of-no-return")),
        Refusal::RollingBack => Some(format!("wf resume {run}")),
        Refusal::Leaving => Some(format!("wait for it to end, then: wf resume {run}")),
    }
}

fn journal_hint(error: &JournalError) -> Option<String> {
    Some(match error {
        JournalError::NoSuchRun { .. } => "`wf list` shows the runs of this state directory".to_owned(),
        JournalError::Locked { run, pid, .. } => {
            let wait = pid.map_or_else(String::new, |pid| format!("; to end it: kill -INT {pid}, then `wf resume {run}`"));
            format!("nothing was touched. `wf status {run}` and `wf log {run} --follow` watch it{wait}")
        }
        JournalError::Fenced { run, .. } => format!("another process took the run over; `wf status {run}` shows where it is"),
        JournalError::Damaged { run, .. } => {
            format!("the run is quarantined, all others work. `wf journal verify {run}` shows the first bad record; restore {run} from a backup, or look after its steps by hand")
        }
        JournalError::Storage { run, .. } => format!("nothing was done that is not on record. Check the disk (free space, permissions), then: wf resume {run}"),
        JournalError::Poisoned { run } => format!("nothing was done that is not on record. Check the disk, then: wf resume {run}"),
    })
}

fn sim_hint(error: &SimError) -> Option<String> {
    match error {
        SimError::Locked { .. } => Some("a simulated world is used by one process at a time; --state-dir names another one".to_owned()),
        SimError::Missing { .. } => Some("`wf run workflows/failover.ron --sim` begins one".to_owned()),
        SimError::Corrupt { .. } => Some("`wf sim reset` forgets it".to_owned()),
        SimError::World(_) => Some("`wf sim world` prints one that is right".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
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
